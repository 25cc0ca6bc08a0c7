"""Whatever happens to stored content is noticed, and a failed write leaves no half content."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from adapters.memory.determinism import CountedRandomness
from adapters.storage.content import PART_BYTES, ContentStore
from adapters.storage.uploads import make_root
from hub.application.sealing import SEAL_OVERHEAD_BYTES, unseal
from hub.errors import ContentLost

KEY = b"k" * 32
EXCHANGE = UUID("01934f6e-7b00-7abc-8def-0123456789ab")
LONG = CountedRandomness("content")(2 * PART_BYTES + 1000)
# Two attachments of one shape, so that nothing but the binding tells them apart.
OTHER = CountedRandomness("other")(len(LONG))


@pytest.fixture
def content(tmp_path: Path) -> ContentStore:
    make_root(tmp_path / "content")
    content = ContentStore(tmp_path / "content", CountedRandomness())
    content.put(EXCHANGE, 0, LONG, KEY)
    content.put(EXCHANGE, 1, OTHER, KEY)
    return content


@pytest.fixture
def folder(content: ContentStore, tmp_path: Path) -> Path:
    return tmp_path / "content" / "ab" / str(EXCHANGE)


def read(content: ContentStore, index: int = 0) -> bytes:
    return b"".join(content.read(EXCHANGE, index, len(LONG), KEY, 0))


def swap(one: Path, other: Path) -> None:
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a part is deleted": lambda folder: (folder / "0/00000001").unlink(),
    "the last part is deleted": lambda folder: (folder / "0/00000002").unlink(),
    "a part is cut off": lambda folder: os.truncate(folder / "0/00000001", 1000),
    "the key is deleted": lambda folder: (folder / "0/key").unlink(),
    "the key is cut off": lambda folder: os.truncate(folder / "0/key", 59),
    "a part is emptied": lambda folder: os.truncate(folder / "0/00000000", 0),
    "a part has grown": lambda folder: os.truncate(folder / "0/00000002", 10_000),
    "an attachment is deleted": lambda folder: shutil.rmtree(folder / "0"),
    "the exchange is deleted": shutil.rmtree,
}
FORGERIES: dict[str, Callable[[Path], object]] = {
    "a byte is flipped": lambda folder: flip_a_byte(folder / "0/00000001"),
    "a byte of the key is flipped": lambda folder: flip_a_byte(folder / "0/key"),
    "the keys of two attachments are swapped": lambda folder: swap(
        folder / "0/key", folder / "1/key"
    ),
    "two parts are swapped": lambda folder: swap(folder / "0/00000000", folder / "0/00000001"),
    "two attachments are swapped": lambda folder: swap(folder / "0", folder / "1"),
    "parts of two attachments are swapped": lambda folder: swap(
        folder / "0/00000002", folder / "1/00000002"
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_shows_in_the_check_and_in_reading(content: ContentStore, folder: Path, damage: str):
    DAMAGES[damage](folder)

    with pytest.raises(ContentLost):
        content.check(EXCHANGE, [len(LONG), len(LONG)])
    with pytest.raises(ContentLost) as lost:
        read(content)
    assert lost.value.metadata == {"exchange": str(EXCHANGE), "attachment": "0"}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_shows_in_reading(content: ContentStore, folder: Path, forgery: str):
    FORGERIES[forgery](folder)

    content.check(EXCHANGE, [len(LONG), len(LONG)])  # It does not look inside.
    with pytest.raises(ContentLost):
        read(content)


def test_a_part_of_another_exchange_does_not_open(content: ContentStore, folder: Path):
    other = UUID(int=EXCHANGE.int ^ 1)
    content.put(other, 0, LONG, KEY)
    shutil.copytree(folder.parents[1] / "aa" / str(other) / "0", folder / "0", dirs_exist_ok=True)

    with pytest.raises(ContentLost):
        read(content)


def test_content_cut_at_the_end_of_a_part_does_not_pass_for_whole(content: ContentStore):
    with pytest.raises(ContentLost):
        b"".join(content.read(EXCHANGE, 0, PART_BYTES, KEY, 0))


def test_good_pieces_before_the_damage_are_still_handed_out(content: ContentStore, folder: Path):
    flip_a_byte(folder / "0/00000001")

    pieces = content.read(EXCHANGE, 0, len(LONG), KEY, 10)

    assert next(pieces) == LONG[10:PART_BYTES]
    with pytest.raises(ContentLost):
        next(pieces)


def test_reading_opens_one_part_at_a_time_and_none_before_the_offset(
    content: ContentStore, folder: Path
):
    (folder / "0/00000000").unlink()
    (folder / "0/00000002").unlink()

    pieces = content.read(EXCHANGE, 0, len(LONG), KEY, PART_BYTES)

    assert next(pieces) == LONG[PART_BYTES : 2 * PART_BYTES]


def test_content_lies_encrypted_in_numbered_parts_only_the_hub_may_read(
    content: ContentStore, folder: Path
):
    *parts, key = sorted((folder / "0").iterdir())

    assert key.name == "key"
    assert [part.name for part in parts] == ["00000000", "00000001", "00000002"]
    assert [part.stat().st_size - SEAL_OVERHEAD_BYTES for part in parts] == [
        PART_BYTES,
        PART_BYTES,
        1000,
    ]
    assert not any(LONG[:16] in part.read_bytes() for part in parts)
    assert {part.stat().st_mode & 0o077 for part in [folder, folder / "0", key, *parts]} == {0}


def test_a_part_and_its_key_are_sealed_to_their_place_as_documented(folder: Path):
    """The bytes on disk are a promise: content of today is read by the hub of tomorrow."""
    sealed_key = (folder / "0/key").read_bytes()
    place = b"lienthong content key v1\n" + EXCHANGE.bytes + b"\n0"
    content_key = unseal(KEY, sealed_key, place)
    sealed = (folder / "0/00000002").read_bytes()

    assert unseal(content_key, sealed, b"lienthong content v2\n2 last") == LONG[2 * PART_BYTES :]
    assert content_key not in {KEY, unseal(KEY, (folder / "1/key").read_bytes(), place[:-1] + b"1")}


@pytest.mark.parametrize("failing", range(1, 8))
def test_a_failed_sync_leaves_nothing_or_the_whole_attachment(
    content: ContentStore, folder: Path, monkeypatch: pytest.MonkeyPatch, failing: int
):
    real, calls = os.fsync, 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError("on purpose")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="on purpose"):
        content.put(EXCHANGE, 2, LONG, KEY)

    if (folder / "2").exists():
        assert read(content, 2) == LONG
    else:
        assert {path.name for path in folder.iterdir()} == {"0", "1"}


def test_what_a_crash_left_unfinished_is_nobodys_content_and_is_swept(
    content: ContentStore, folder: Path
):
    lone = UUID(int=EXCHANGE.int ^ 2)
    content.put(lone, 0, b"", KEY)
    unfinished = folder.parents[1] / lone.hex[-2:] / str(lone)
    (unfinished / "0").rename(unfinished / ".0-crashed")

    with pytest.raises(ContentLost):
        content.check(lone, [0])
    assert sorted(content.exchanges()) == sorted([EXCHANGE, lone])
    content.put(lone, 0, b"now", KEY)
    content.discard(lone)
    assert list(content.exchanges()) == [EXCHANGE]


def test_foreign_files_are_passed_over(content: ContentStore, folder: Path):
    root = folder.parents[1]
    (root / "lost+found").mkdir()
    (root / "README").write_text("backup notes")
    (folder.parent / "not-a-uuid").mkdir()
    (folder.parent / str(UUID(int=1))).mkdir()  # An exchange, but in the wrong place.
    (folder.parent / EXCHANGE.hex).mkdir()  # Right, but in another spelling.

    assert list(content.exchanges()) == [EXCHANGE]


def test_a_full_or_broken_folder_says_so(tmp_path: Path):
    make_root(tmp_path / "content")
    content = ContentStore(tmp_path / "content", CountedRandomness())
    assert content.is_usable()

    (tmp_path / "content").rename(tmp_path / "away")

    assert not content.is_usable()
