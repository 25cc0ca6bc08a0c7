"""Where attachments lie is read from one setting, and what opens it from nowhere near it."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.storage.objects import BucketPlace
from hub.bootstrap.content import bucket_place, content_root, open_content
from hub.bootstrap.folder import DataFolder
from hub.config import ConfigInvalid, Settings
from keys.file import KeyFileError

BUCKET = "s3://bucket/a/b/?endpoint=https://s3.example:9000&region=vn-1"
KEYS = "aws_access_key_id = AK\naws_secret_access_key = very-secret\n"


def settings(url: str, **more: str) -> Settings:
    return Settings(origin="hub.example/log", content_url=url, **more)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("file:content", None),
        ("s3://bucket", BucketPlace("bucket")),
        ("s3://bucket/", BucketPlace("bucket")),
        (BUCKET, BucketPlace("bucket", "a/b/", "https://s3.example:9000", "vn-1")),
    ],
)
def test_a_url_names_a_bucket_or_none(url: str, place: BucketPlace | None):
    assert bucket_place(settings(url)) == place


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("file:content", "hub/content"),
        ("file:other/place", "hub/other/place"),
        ("file:///srv/content", "/srv/content"),
        ("file:/srv/content", "/srv/content"),
        ("s3://bucket/prefix", "hub/content"),
    ],
)
def test_uploads_lie_in_the_folder_or_beside_the_bucket(url: str, root: str):
    assert content_root(DataFolder(Path("hub")), settings(url)) == Path(root)


def test_what_a_bucket_url_does_not_know_is_refused():
    with pytest.raises(ConfigInvalid, match="secret_key"):
        bucket_place(settings("s3://bucket/?secret_key=x"))


@pytest.mark.parametrize("text", ["", "[default]\n", "[other]\n" + KEYS, KEYS, "\xff"])
def test_a_file_without_credentials_is_refused_and_not_shown(tmp_path: Path, text: str):
    (tmp_path / "s3").touch(0o600)
    (tmp_path / "s3").write_text(text, encoding="latin-1")

    with (
        pytest.raises(ConfigInvalid, match="aws_secret_access_key") as refused,
        open_content(DataFolder(tmp_path), settings(BUCKET, content_credentials_file="s3")),
    ):
        pass
    assert "very-secret" not in str(refused.value)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path):
    (tmp_path / "s3").write_text("[default]\n" + KEYS)
    (tmp_path / "s3").chmod(0o644)

    with (
        pytest.raises(KeyFileError),
        open_content(DataFolder(tmp_path), settings(BUCKET, content_credentials_file="s3")),
    ):
        pass


def test_without_any_credentials_it_says_what_is_missing(tmp_path: Path):
    with (
        pytest.raises(ConfigInvalid, match="content_credentials_file"),
        open_content(DataFolder(tmp_path), settings(BUCKET)),
    ):
        pass


def test_the_environment_opens_a_bucket_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")

    with open_content(DataFolder(tmp_path), settings(BUCKET)) as contents:
        assert "very-secret" not in repr(contents) + str(contents.store)
