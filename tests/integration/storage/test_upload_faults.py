"""An upload on disk: nothing that a crash or a broken disk leaves passes for what it is not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

from adapters.memory.determinism import CountedRandomness
from adapters.storage.content import ContentStore
from adapters.storage.uploads import UploadStore, make_root
from hub.application.ports import Claim, NewUpload
from hub.application.sealing import PART_BYTES
from hub.errors import ContentLost

KEY, EXCHANGE_KEY = b"k" * 32, b"e" * 32
UPLOAD = UUID("01934f6e-7b00-7abc-8def-000000000001")
EXCHANGE = UUID("01934f6e-7b00-7abc-8def-0123456789ab")
LONG = CountedRandomness("content")(2 * PART_BYTES + 1000)
ABOUT = NewUpload(UPLOAD, "H29.1", len(LONG), "ab" * 32, "")
CLAIM = Claim(EXCHANGE, 0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "content"


def opened(root: Path) -> tuple[ContentStore, UploadStore]:
    make_root(root)
    content = ContentStore(root, CountedRandomness())
    return content, UploadStore(root, content, CountedRandomness())


def upload(uploads: UploadStore) -> None:
    uploads.create(ABOUT)
    for number in range(3):
        part = LONG[number * PART_BYTES : (number + 1) * PART_BYTES]
        uploads.append(UPLOAD, number, part, KEY, last=number == 2)
    uploads.finish(UPLOAD)


class Stopped(Exception):
    """The process ends here."""


def stopping_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the process end before its sync or rename number `count`, as `kill -9` would."""
    steps = 0

    def step(real: Callable) -> Callable:
        def call(*arguments: object) -> object:
            nonlocal steps
            steps += 1
            if steps == count:
                raise Stopped
            return real(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", step(os.fsync))
    monkeypatch.setattr(Path, "rename", step(Path.rename))


ADOPTING = 12  # Syncs and renames; test_syncs says which.


@pytest.mark.parametrize("step", range(1, ADOPTING + 1))
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
def test_an_adoption_that_stops_anywhere_is_finished_or_undone(
    root: Path, monkeypatch: pytest.MonkeyPatch, step: int, recorded: bool
):
    upload(opened(root)[1])
    with monkeypatch.context() as patched:
        stopping_at(patched, step)
        try:
            opened(root)[1].adopt(UPLOAD, CLAIM, KEY, EXCHANGE_KEY)
            finished = True
        except Stopped:
            finished = False

    content, uploads = opened(root)
    uploads.tidy()
    [found] = uploads.uploads()
    assert found.claim in {None, CLAIM}
    if recorded and finished:  # An event is committed after the adoption, never before it.
        uploads.discard(UPLOAD)
        content.check(EXCHANGE, [len(LONG)])
        assert b"".join(content.read(EXCHANGE, 0, len(LONG), EXCHANGE_KEY, 0)) == LONG
        return
    uploads.give_back(UPLOAD, EXCHANGE)
    content.discard(EXCHANGE)
    uploads.check(UPLOAD, len(LONG))
    uploads.adopt(UPLOAD, Claim(EXCHANGE, 1), KEY, EXCHANGE_KEY)
    assert b"".join(content.read(EXCHANGE, 1, len(LONG), EXCHANGE_KEY, 0)) == LONG


@pytest.mark.parametrize("step", range(1, 6))
def test_giving_back_may_stop_anywhere_and_is_done_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, step: int
):
    uploads = opened(root)[1]
    upload(uploads)
    uploads.adopt(UPLOAD, CLAIM, KEY, EXCHANGE_KEY)
    with monkeypatch.context() as patched:
        stopping_at(patched, step)
        with suppress(Stopped):
            uploads.give_back(UPLOAD, EXCHANGE)

    _, uploads = opened(root)
    uploads.give_back(UPLOAD, EXCHANGE)

    [found] = uploads.uploads()
    assert (found.claim, found.whole) == (None, True)
    uploads.check(UPLOAD, len(LONG))


@pytest.mark.parametrize("step", range(1, 5))
def test_a_creation_that_stops_leaves_an_upload_or_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, step: int
):
    with monkeypatch.context() as patched:
        _, uploads = opened(root)
        stopping_at(patched, step)
        with pytest.raises(Stopped):
            uploads.create(ABOUT)

    _, uploads = opened(root)
    uploads.tidy()

    found = list(uploads.uploads())
    assert [each.upload for each in found] in ([], [ABOUT])
    assert len(list((root / "uploads").iterdir())) == len(found)


def test_a_part_that_was_not_written_whole_does_not_count(root: Path):
    _, uploads = opened(root)
    upload(uploads)
    folder = root / "uploads" / str(UPLOAD)
    (folder / "whole").unlink()

    for damage, stored in [
        (lambda: (folder / "content/00000002.new").write_bytes(b"half"), len(LONG)),
        (lambda: os.truncate(folder / "content/00000002", 17), 2 * PART_BYTES),
        ((folder / "content/00000001").unlink, PART_BYTES),
        (lambda: os.truncate(folder / "content/00000000", 0), 0),
    ]:
        damage()
        [found] = opened(root)[1].uploads()
        assert found.stored == stored


def test_stored_parts_that_were_changed_are_noticed(root: Path):
    _, uploads = opened(root)
    upload(uploads)
    path = root / "uploads" / str(UPLOAD) / "content/00000001"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)

    with pytest.raises(ContentLost):
        b"".join(uploads.read(UPLOAD, len(LONG), len(LONG), KEY))
    path.unlink()
    with pytest.raises(ContentLost):
        b"".join(uploads.read(UPLOAD, len(LONG), len(LONG), KEY))
    with pytest.raises(ContentLost):
        uploads.check(UPLOAD, len(LONG))


def test_uploads_lie_encrypted_and_only_the_hub_may_read_them(root: Path):
    _, uploads = opened(root)
    upload(uploads)

    files = list((root / "uploads").rglob("*"))
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    assert not any(LONG[:16] in path.read_bytes() for path in files if path.is_file())


def test_an_uploads_age_is_that_of_its_newest_part(root: Path):
    _, uploads = opened(root)
    uploads.create(ABOUT)
    folder = root / "uploads" / str(UPLOAD) / "content"
    os.utime(folder, (1_000_000_000, 1_000_000_000))
    [old] = uploads.uploads()

    uploads.append(UPLOAD, 0, LONG[:PART_BYTES], KEY, last=False)

    [found] = opened(root)[1].uploads()
    assert old.touched_at.timestamp() == 1_000_000_000
    assert abs(time.time() - found.touched_at.timestamp()) < 60


def test_foreign_files_are_passed_over(root: Path):
    _, uploads = opened(root)
    (root / "uploads/README").write_text("backup notes")
    (root / "uploads/lost+found").mkdir()

    uploads.tidy()

    assert list(uploads.uploads()) == []
    assert len(list((root / "uploads").iterdir())) == 2
