"""A log as files: paths have one spelling, and nothing is believed that the root does not prove."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache

import pytest

from hub.errors import VerificationFailed
from hub.proof.checkpoint import Checkpoint, OpenedCheckpoint
from hub.proof.merkle import HASH_BYTES, leaf_hash, root_of, verify_consistency, verify_inclusion
from hub.proof.tiles import (
    LogFileMissing,
    TiledLog,
    TilePath,
    check_log,
    format_bundle,
    parse_bundle,
    width_at,
)
from hub.proof.tree import GrowingTree

SIZES = [1, 2, 3, 255, 256, 257, 511, 512, 700, 65_536, 66_000]


def files_of(leaves: list[bytes]) -> dict[str, bytes]:
    """A log as third parties lay it out: every tile and bundle of this size."""
    tiles: dict[tuple[int, int], bytes] = {}
    growing = GrowingTree(0, lambda level, number: tiles.get((level, number), b""))
    growing.append(map(leaf_hash, leaves))
    tiles |= growing.changed
    files = {}
    for (level, number), data in tiles.items():
        files[TilePath(level, number, len(data) // HASH_BYTES).format()] = data
    for start in range(0, len(leaves), 256):
        some = leaves[start : start + 256]
        files[TilePath(None, start // 256, len(some)).format()] = format_bundle(some)
    return files


def log_of(files: dict[str, bytes], leaves: Sequence[bytes]) -> TiledLog:
    checkpoint = Checkpoint("example.vn/log", len(leaves), root(tuple(leaves)))
    read = lambda path, bytes_max: files.get(path)  # noqa: E731
    return TiledLog(read, OpenedCheckpoint(checkpoint, (), ()), b"")


@cache
def root(leaves: tuple[bytes, ...]) -> bytes:
    return root_of([leaf_hash(leaf) for leaf in leaves])


@cache
def some(count: int) -> list[bytes]:
    return [b"leaf %d" % n for n in range(count)]


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (TilePath(0, 0), "tile/0/000"),
        (TilePath(0, 5, 7), "tile/0/005.p/7"),
        (TilePath(1, 1234067), "tile/1/x001/x234/067"),
        (TilePath(None, 1000, 255), "tile/entries/x001/000.p/255"),
        (TilePath(63, 999_999), "tile/63/x999/999"),
    ],
)
def test_a_path_is_read_as_it_is_written(tile: TilePath, path: str):
    assert tile.format() == path
    assert TilePath.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "", "checkpoint", "tile", "tile/0", "tile/0/", "tile/0/0", "tile/0/0000", "tile/00/000",
        "tile/64/000", "tile/0/x000/001", "tile/0/001/x000", "tile/0/x01/001", "tile/0/000.p",
        "tile/0/000.p/", "tile/0/000.p/0", "tile/0/000.p/01", "tile/0/000.p/256", "tile/-1/000",
        "tile/0/000/", "/tile/0/000", "tile/0/../000", "tile/0/000\n", "tile/0/٠٠٠",
        "tile/Entries/000", "tile/entries/0/000", "tile/0/" + "x001/" * 7 + "001",
        "tile/0/000.p/1/2", "tile/0/%30%30%30",
    ],
)  # fmt: skip
def test_any_other_spelling_is_no_path(path: str):
    assert TilePath.parse(path) is None


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_of_a_log_is_read_and_proven(size: int):
    leaves = some(size)
    log = log_of(files_of(leaves), leaves)
    assert list(check_log(log)) == []
    for position in {0, 1, 254, 255, 256, size // 2, size - 1} & set(range(size)):
        assert log.entry(position) == leaves[position]
        assert log.leaf_hash(position) == leaf_hash(leaves[position])
        verify_inclusion(
            leaf=leaf_hash(leaves[position]),
            index=position,
            size=size,
            proof=log.inclusion(position),
            root=log.checkpoint.root,
        )


def test_an_empty_log_has_no_files():
    log = log_of({}, [])
    assert list(check_log(log)) == []
    assert list(log.entries()) == []


def test_an_older_tree_is_shown_to_begin_the_newer_one():
    leaves = some(700)
    log = log_of(files_of(leaves), leaves)
    for old in (1, 255, 256, 257, 699, 700):
        old_root = root_of([leaf_hash(leaf) for leaf in leaves[:old]])
        assert log.root(old) == old_root
        verify_consistency(
            old_size=old,
            old_root=old_root,
            new_size=700,
            new_root=log.checkpoint.root,
            proof=log.consistency(old),
        )


def test_a_stretch_is_read_in_order():
    leaves = some(600)
    log = log_of(files_of(leaves), leaves)
    assert list(log.entries(250, 520)) == list(enumerate(leaves))[250:520]


@pytest.mark.parametrize("size", [300, 66_000])
def test_a_flipped_bit_in_any_file_is_named(size: int):
    leaves = some(size)
    files = files_of(leaves)
    for path in sorted(files)[:: max(1, len(files) // 12)]:
        data = bytearray(files[path])
        data[len(data) // 2] ^= 1
        changed = files | {path: bytes(data)}
        try:
            defects = list(check_log(log_of(changed, leaves)))
        except VerificationFailed:
            continue  # At the edge there is no log at all.
        assert defects, path


def test_a_changed_entry_is_named_by_its_position():
    leaves = some(600)
    files = files_of([*leaves[:300], b"other", *leaves[301:]])
    bundles = {path: data for path, data in files.items() if path.startswith("tile/entries/")}
    log = log_of(files_of(leaves) | bundles, leaves)
    (defect,) = check_log(log)
    assert defect.position == 300
    with pytest.raises(VerificationFailed, match="entry 300 was changed"):
        log.entry(299)


def test_a_log_rewritten_as_a_whole_is_refused_by_the_root():
    leaves = some(600)
    files = files_of([*leaves[:5], b"other", *leaves[6:]])
    with pytest.raises(VerificationFailed, match="do not make the signed root"):
        log_of(files, leaves)


@pytest.mark.parametrize("path", ["tile/0/001", "tile/entries/001"])
def test_a_missing_file_is_neither_proof_nor_refutation(path: str):
    leaves = some(600)
    files = files_of(leaves)
    del files[path]
    log = log_of(files, leaves)
    with pytest.raises(LogFileMissing, match=path):
        log.entry(256)
    assert [defect.what for defect in check_log(log)] == [f"the file {path} is missing"]


def test_a_partial_tile_that_has_been_filled_since_is_read_from_the_full_one():
    leaves = some(700)
    files = files_of(leaves)  # As a newer export has them.
    older = leaves[:300]
    log = log_of(files | {"tile/1/000.p/1": files["tile/1/000.p/2"][:32]}, older)
    assert log.entry(299) == leaves[299]


def test_files_of_a_wrong_length_are_refused():
    leaves = some(300)
    files = files_of(leaves)
    for path in files:
        for data in (b"", files[path][:-1], files[path] + b"\0"):
            changed = files | {path: data}
            with suppress(VerificationFailed):
                assert list(check_log(log_of(changed, leaves))), path


def test_memory_of_tiles_is_bounded():
    leaves = some(66_000)
    log = log_of(files_of(leaves), leaves)
    assert list(check_log(log)) == []
    assert len(log._kept) <= 256


@pytest.mark.parametrize("data", [b"\0", b"\0\2a", b"\0\1ab", b"\0\1a\0"])
def test_a_bundle_that_does_not_end_with_an_entry_is_refused(data: bytes):
    with pytest.raises(VerificationFailed):
        parse_bundle(data, width=1)


def test_a_bundle_holds_empty_and_largest_leaves():
    leaves = [b"", b"x" * 65_535]
    assert parse_bundle(format_bundle(leaves), width=2) == leaves
    with pytest.raises(OverflowError):
        format_bundle([b"x" * 65_536])


def test_the_widths_are_those_of_the_specifications_example():
    # c2sp.org/tlog-tiles, "Partial Tiles": a tree of size 70,000.
    assert [width_at(0, n, 70_000) for n in (0, 272, 273, 274)] == [256, 256, 112, 0]
    assert [width_at(1, n, 70_000) for n in (0, 1, 2)] == [256, 17, 0]
    assert [width_at(2, n, 70_000) for n in (0, 1)] == [1, 0]
