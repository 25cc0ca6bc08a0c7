"""What every TreeStore must do, whichever adapter provides it."""

from typing import Any

import pytest
import sqlalchemy as sa

from adapters.memory.tree import MemoryTreeStore
from adapters.storage import schema
from adapters.storage import tree as storage
from adapters.storage.tree import TreeStore as SqlTreeStore
from hub.application.ports import TreeStore
from hub.errors import LedgerMismatch
from hub.proof.note import Note, NoteSignature, format_note

A, B, C = (bytes([n]) * 32 for n in range(3))


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def tree(request: pytest.FixtureRequest) -> TreeStore:
    if request.param == "memory":
        return MemoryTreeStore()
    return SqlTreeStore(request.getfixturevalue(request.param))


def test_an_empty_store_has_no_tile_and_no_checkpoint(tree: TreeStore):
    assert tree.tile(0, 0) == b""
    assert list(tree.tiles()) == []
    assert tree.latest_checkpoint() is None
    assert tree.checkpoint_covering(0) is None
    assert list(tree.checkpoints()) == []


def test_tiles_and_their_checkpoint_come_back(tree: TreeStore):
    tree.publish({(0, 1): A, (0, 0): A * 256, (1, 0): B}, 257, b"note 257")

    assert tree.tile(0, 1) == A
    assert list(tree.tiles()) == [(0, 0, A * 256), (0, 1, A), (1, 0, B)]
    assert tree.latest_checkpoint() == (257, b"note 257")


def test_a_tile_grows(tree: TreeStore):
    tree.publish({(0, 0): A}, 1, b"1")
    tree.publish({(0, 0): A + B + C}, 3, b"3")

    assert tree.tile(0, 0) == A + B + C


@pytest.mark.parametrize("data", [B, B + A, A, A + C])
def test_the_beginning_of_a_tile_never_changes(tree: TreeStore, data: bytes):
    tree.publish({(0, 0): A + B}, 2, b"2")

    with pytest.raises(LedgerMismatch, match="beginning"):
        tree.publish({(0, 1): C, (0, 0): data}, 3, b"3")

    assert tree.tile(0, 0) == A + B
    assert tree.tile(0, 1) == b""
    assert tree.latest_checkpoint() == (2, b"2")


@pytest.mark.parametrize("data", [b"", b"half a hash", A * 257])
def test_a_tile_holds_whole_hashes(tree: TreeStore, data: bytes):
    with pytest.raises(ValueError, match="hashes"):
        tree.publish({(0, 0): data}, 1, b"1")


def test_tiles_are_kept_before_a_checkpoint_covers_them(tree: TreeStore):
    tree.keep_tiles({})
    tree.keep_tiles({(0, 0): A + B})

    assert tree.tile(0, 0) == A + B
    assert tree.latest_checkpoint() is None
    with pytest.raises(LedgerMismatch, match="beginning"):
        tree.keep_tiles({(0, 1): C, (0, 0): B + B})
    assert tree.tile(0, 1) == b""
    tree.publish({}, 2, b"2")
    assert tree.latest_checkpoint() == (2, b"2")


def test_publishing_the_same_again_changes_nothing(tree: TreeStore):
    for _ in range(2):
        tree.publish({(0, 0): A}, 1, b"1")

    assert list(tree.checkpoints()) == [(1, b"1")]


def test_a_checkpoint_never_changes(tree: TreeStore):
    tree.publish({(0, 0): A}, 1, b"1")

    with pytest.raises(LedgerMismatch):
        tree.publish({(0, 0): A + B}, 1, b"another")

    assert tree.latest_checkpoint() == (1, b"1")
    assert tree.tile(0, 0) == A


def test_the_tree_never_shrinks(tree: TreeStore):
    tree.publish({(0, 0): A + B}, 2, b"2")

    with pytest.raises(LedgerMismatch):
        tree.publish({}, 1, b"1")

    assert list(tree.checkpoints()) == [(2, b"2")]


def test_a_position_is_covered_by_the_first_checkpoint_beyond_it(tree: TreeStore):
    for size in (2, 5, 10):
        tree.publish({}, size, b"%d" % size)

    covering = [tree.checkpoint_covering(position) for position in (0, 1, 2, 4, 5, 9, 10)]

    assert covering == [
        (2, b"2"),
        (2, b"2"),
        (5, b"5"),
        (5, b"5"),
        (10, b"10"),
        (10, b"10"),
        None,
    ]
    assert [size for size, _note in tree.checkpoints()] == [2, 5, 10]


def test_checkpoints_that_are_there_are_missed_by_nobody(tree: TreeStore):
    assert list(tree.checkpoints_missing()) == []
    for size in (2, 5, 5, 10):
        tree.publish({}, size, b"%d" % size)

    assert list(tree.checkpoints_missing()) == []


@pytest.mark.parametrize("removed", [[2], [5], [10], [5, 10], [2, 5, 10]])
def test_checkpoints_that_were_removed_are_missed(tree: TreeStore, removed: list[int]):
    for size in (2, 5, 10):
        tree.publish({}, size, b"%d" % size)

    remove(tree, removed)

    assert list(tree.checkpoints_missing()) == removed
    assert list(tree.checkpoints_missing(5)) == [size for size in removed if size > 5]


def test_a_log_that_ends_puts_its_checkpoints_away_and_keeps_its_tiles(tree: TreeStore):
    notes = {size: note(size) for size in (2, 5)}
    for size, signed in notes.items():
        tree.publish({(0, 0): (A + B + C + A + B)[: 32 * size]}, size, signed)

    for _ in range(2):
        tree.close("ended.example/log")

    assert tree.latest_checkpoint() is None
    assert list(tree.checkpoints_missing()) == []
    assert list(tree.former_checkpoints()) == [
        ("ended.example/log", size, signed) for size, signed in notes.items()
    ]
    assert tree.tile(0, 0) == A + B + C + A + B
    # The log goes on, also below the old size, and may end once more.
    tree.publish({}, 4, note(4))
    tree.close("again.example/log")
    assert [(size, origin) for origin, size, _ in tree.former_checkpoints()] == [
        (2, "ended.example/log"),
        (4, "again.example/log"),
        (5, "ended.example/log"),
    ]


def note(size: int) -> bytes:
    signature = NoteSignature("ended.example/log", bytes(4), bytes(64))
    return format_note(Note(b"ended.example/log\n%d\nroot\n" % size, (signature,)))


def remove(tree: Any, sizes: list[int]) -> None:
    """Behind the store's back, as somebody with the disk in hand can."""
    if isinstance(tree, MemoryTreeStore):
        for size in sizes:
            del tree._checkpoints[size]
        return
    with (
        tree._database.writing() as connection,
        storage._without_triggers(connection, storage._CHECKPOINT_TABLES),
    ):
        statement = sa.delete(schema.checkpoints)
        connection.execute(statement.where(schema.checkpoints.c.size.in_(sizes)))
