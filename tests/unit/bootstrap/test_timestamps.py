"""Authorities in the settings are read once, listed in the trusted root, and never taken out."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub.application.leading import undisputed
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.timestamps import authorities_of, authorities_to_ask, read_offer, stampers_of
from hub.bootstrap.trust import held_root, publish
from hub.config import ConfigInvalid, Settings
from hub.evidence.found import Stamper
from hub.proof.trust import TrustedRoot, parse_trusted_root
from tests.support.timestamping import DAY, Authority

NOW = datetime(2026, 11, 23, 1, 30, 0, 5, tzinfo=UTC)
MADE = Authority.make(NOW - DAY, NOW + DAY)
TABLE = """
[[timestamp_authorities]]
name = "{name}"
url = "https://tsa.example.vn/rfc3161"
certificates = "{file}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path)
    (tmp_path / "root.pem").write_bytes(MADE.root.pem)
    (tmp_path / "chain.pem").write_bytes(MADE.middle.pem + MADE.root.pem)
    (tmp_path / "no-root.pem").write_bytes(MADE.middle.pem)
    (tmp_path / "garbage.pem").write_bytes(b"garbage")
    folder.trusted_root.write_bytes(TrustedRoot(1, ()).format())
    return folder


def settings(folder: DataFolder, *tables: tuple[str, str]) -> Settings:
    text = 'origin = "hub.example/log"\n'
    text += "".join(TABLE.format(name=name, file=file) for name, file in tables)
    folder.settings.write_text(text)
    return Settings.load(folder.root)


def test_an_authority_is_asked_with_its_certificates(folder: DataFolder):
    (asked,) = authorities_to_ask(folder, settings(folder, ("tsa", "chain.pem")), undisputed)

    assert (asked.name, asked.policy) == ("tsa", None)
    assert asked.certificates == (MADE.middle.der, MADE.root.der)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("missing.pem", "cannot be read"),
        ("garbage.pem", "cannot be read"),
        ("no-root.pem", "issued itself"),
    ],
)
def test_a_certificate_file_that_cannot_be_used_is_named(folder: DataFolder, file: str, words: str):
    with pytest.raises(ConfigInvalid, match=words) as refused:
        authorities_to_ask(folder, settings(folder, ("tsa", file)), undisputed)
    assert file in str(refused.value)


def test_two_authorities_of_one_name_are_refused(folder: DataFolder):
    with pytest.raises(ConfigInvalid, match="one name"):
        authorities_to_ask(
            folder, settings(folder, ("tsa", "root.pem"), ("tsa", "chain.pem")), undisputed
        )


@pytest.mark.parametrize(
    "line",
    [
        'name = "Tsa"',
        'url = "ftp://tsa.example.vn"',
        'url = "http://tsa.example.vn/a b"',
        'policy = "none"',
        'policy = "1.2.03"',
        "timeout = 5",
    ],
)
def test_a_table_that_is_wrong_keeps_the_hub_from_starting(folder: DataFolder, line: str):
    key = line.split(" ", maxsplit=1)[0]
    lines = TABLE.format(name="tsa", file="root.pem").splitlines()
    kept = [each for each in lines if not each.startswith(f"{key} ")]
    folder.settings.write_text('origin = "hub.example/log"\n' + "\n".join([*kept, line]))
    with pytest.raises(ConfigInvalid, match=r"timestamp_authorities\.0"):
        Settings.load(folder.root)


def test_what_is_offered_is_read_beside_the_offer(folder: DataFolder):
    offer = folder.root / "offer.toml"
    offer.write_text(TABLE.format(name="tsa", file="root.pem"))
    (offered,) = read_offer(offer)
    assert offered.certificates == (MADE.root.der,)

    offer.write_text('origin = "x"\n' + TABLE.format(name="tsa", file="root.pem"))
    with pytest.raises(ConfigInvalid, match="origin"):
        read_offer(offer)


# --- The trusted root -----------------------------------------------------------------------


def test_the_next_edition_lists_who_is_new_from_now_on(folder: DataFolder):
    told = settings(folder, ("tsa", "root.pem"))

    (listed,) = authorities_of(folder, told, held_root(folder), since=NOW)

    assert listed.name == "tsa"
    assert (listed.not_before, listed.not_after) == (NOW.replace(microsecond=0), None)


def test_documents_may_carry_timestamps_of_whoever_is_in_settings_or_trusted_root(
    folder: DataFolder,
):
    told, nothing = settings(folder, ("tsa", "chain.pem")), Settings(origin="hub.example/log")
    here = Stamper((MADE.middle.der, MADE.root.der))
    assert stampers_of(folder, told) == (here,)
    publish(folder, told)
    assert stampers_of(folder, nothing) == (here,)

    root = held_root(folder)
    (listed,) = root.timestamp_authorities
    ended = replace(
        root, timestamp_authorities=(replace(listed, not_after=NOW.replace(microsecond=0)),)
    )
    folder.trusted_root.write_bytes(ended.format())
    assert stampers_of(folder, told) == (replace(here, until=NOW.replace(microsecond=0)),)


def test_publishing_twice_is_one_edition(folder: DataFolder):
    told = settings(folder, ("tsa", "root.pem"))
    path, first = publish(folder, told)
    written = path.read_bytes()

    assert publish(folder, told) == (path, first)
    assert path.read_bytes() == written
    assert parse_trusted_root(written) == first


def test_a_new_root_of_an_authority_stands_beside_the_old_one(folder: DataFolder):
    publish(folder, settings(folder, ("tsa", "root.pem")))
    other = Authority.make(NOW - DAY, NOW + DAY)
    (folder.root / "other.pem").write_bytes(other.root.pem)

    _, root = publish(folder, settings(folder, ("tsa", "other.pem"), ("tsa-2", "root.pem")))

    one, two = root.timestamp_authorities
    assert one.certificates == (MADE.root.der, other.root.der)
    assert two.name == "tsa-2"
    assert root.version == 3


def test_who_is_no_longer_asked_stays_listed(folder: DataFolder):
    publish(folder, settings(folder, ("tsa", "root.pem")))
    _, root = publish(folder, settings(folder))
    assert [each.name for each in root.timestamp_authorities] == ["tsa"]


def test_an_authority_that_was_closed_by_hand_stays_closed(folder: DataFolder):
    told = settings(folder, ("tsa", "root.pem"))
    publish(folder, told)
    edited = json.loads(folder.trusted_root.read_bytes())
    edited["timestamp_authorities"][0]["until"] = "2099-01-01T00:00:00Z"
    folder.trusted_root.write_text(json.dumps(edited))

    _, root = publish(folder, settings(folder, ("tsa", "root.pem"), ("tsa-2", "root.pem")))

    assert [each.not_after is None for each in root.timestamp_authorities] == [False, True]


def test_a_file_that_says_more_than_this_version_knows_is_not_rewritten(folder: DataFolder):
    data = folder.trusted_root.read_bytes().replace(b'"version": 1', b'"new": 1, "version": 1')
    folder.trusted_root.write_bytes(data)
    with pytest.raises(ConfigInvalid, match="more than this version"):
        publish(folder, settings(folder, ("tsa", "root.pem")))
    assert folder.trusted_root.read_bytes() == data
