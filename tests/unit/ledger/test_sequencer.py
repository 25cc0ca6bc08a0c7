"""Events → leaves → tree → checkpoint: the same code at the start, after a failure, always."""

from typing import Any

import pytest

from adapters.memory.signer import MemorySigner
from adapters.memory.tree import MemoryTreeStore
from hub.errors import LedgerMismatch
from hub.ledger.sequencer import Sequencer, check_events, read_entries, require_columns
from hub.proof.checkpoint import open_checkpoint
from hub.proof.merkle import leaf_hash, root_of
from tests.support.builders import ORIGIN, MemoryHub, Party, Stores, check_whole, new_hub
from tests.support.commands import submit_command


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


def roots(hub: MemoryHub) -> list[bytes]:
    return [leaf_hash(entry.state) for entry in hub.log.entries(0, 9999)]


def sequencer(hub: MemoryHub, store: MemoryTreeStore, signer: MemorySigner) -> Sequencer:
    return Sequencer(origin=ORIGIN, log=hub.log, store=store, signer=signer)


def test_an_empty_log_has_no_checkpoint():
    hub = MemoryHub()

    assert (hub.sequencer.size, hub.sequencer.checkpoint) == (0, b"")
    assert hub.stores.tree.latest_checkpoint() is None
    assert hub.signer.last is None


def test_every_checkpoint_signs_the_events_below_it(hub):
    leaves = roots(hub)
    sizes = []
    for size, note in hub.stores.tree.checkpoints():
        checkpoint = open_checkpoint(note, log_keys=[hub.signer.verifier_key], origin=ORIGIN)
        assert (checkpoint.size, checkpoint.root) == (size, root_of(leaves[:size]))
        sizes.append(size)

    assert sizes == [4, 7, 10]


def test_a_tree_can_be_grown_again_from_the_events_alone(hub):
    store, signer = MemoryTreeStore(), MemorySigner(ORIGIN)
    again = sequencer(hub, store, signer)
    # Its signer remembers nothing, so this is how `reopen` begins, never `load`.
    entries = again.extend()

    assert [entry.position for entry in entries] == list(range(10))
    assert again.checkpoint == hub.sequencer.checkpoint
    assert list(store.tiles()) == list(hub.stores.tree.tiles())


def test_a_long_backlog_is_covered_in_pieces(hub, monkeypatch):
    monkeypatch.setattr("hub.ledger.sequencer._LEAVES_PER_CHECKPOINT_MAX", 4)
    monkeypatch.setattr("hub.ledger.sequencer._READ_MAX", 3)
    store, signer = MemoryTreeStore(), MemorySigner(ORIGIN)

    entries = sequencer(hub, store, signer).extend()

    assert [entry.position for entry in entries] == list(range(10))
    assert [size for size, _ in store.checkpoints()] == [4, 8, 10]


def test_a_signer_that_is_ahead_is_caught_up_with(hub):
    """It remembered a head, and the tiles and the checkpoint were never stored."""
    tree = hub.stores.tree
    newest = max(tree._checkpoints)
    del tree._checkpoints[newest]
    tree._published.remove(newest)
    tree._tiles[0, 0] = tree._tiles[0, 0][: 7 * 32]

    again = hub.restarted()

    assert again.sequencer.size == 10
    check_whole(again)


def test_a_signer_for_another_log_is_not_believed(hub):
    stores = Stores(**vars(hub.stores) | {"signer": MemorySigner(ORIGIN, bytes([1]) * 32)})
    stores.signer._last = hub.signer.last

    with pytest.raises(LedgerMismatch, match="not ours"):
        MemoryHub(stores)


@pytest.mark.parametrize(
    ("start", "count", "found"), [(0, 10, 10), (3, 4, 4), (0, 99, 10), (10, 5, 0), (0, 0, 0)]
)
def test_entries_are_read_in_chunks(hub, monkeypatch, start, count, found):
    monkeypatch.setattr("hub.ledger.sequencer._READ_MAX", 3)

    chunks = list(read_entries(hub.log, start, count))

    assert all(0 < len(chunk) <= 3 for chunk in chunks)
    positions = [entry.position for chunk in chunks for entry in chunk]
    assert positions == list(range(start, start + found))


def test_a_gap_in_the_positions_is_named(hub):
    del hub.stores.log._tables.entries[6]

    with pytest.raises(LedgerMismatch, match="event 6 is missing") as mismatch:
        list(read_entries(hub.log, 0, 10))

    assert mismatch.value.position == 6


def test_events_are_compared_with_tiles_in_constant_memory(monkeypatch):
    hub = new_hub()
    party = Party("H01.1")
    for _ in range(3):
        hub.done(*(submit_command(hub, party, party.envelope()) for _ in range(200)))
    monkeypatch.setattr("hub.ledger.sequencer._READ_MAX", 100)
    size = hub.receipts.size

    check_events(hub.log, hub.stores.tree, size)

    for level, number in list(hub.stores.tree._tiles):
        tile = hub.stores.tree._tiles[level, number]
        hub.stores.tree._tiles[level, number] = tile[:-32] + bytes(32)
        with pytest.raises(LedgerMismatch) as mismatch:
            check_events(hub.log, hub.stores.tree, size)
        last = min(number * 256 + 255, (size - 1) >> (8 * level)) if level == 0 else 1
        assert mismatch.value.position == last << (8 * level)
        hub.stores.tree._tiles[level, number] = tile


def test_only_tiles_that_grew_are_published_again(monkeypatch):
    hub = new_hub()
    party = Party("H01.1")
    hub.done(*(submit_command(hub, party, party.envelope()) for _ in range(250)))
    published: list[list[tuple[int, int]]] = []
    publish = hub.stores.tree.publish
    monkeypatch.setattr(
        hub.stores.tree,
        "publish",
        lambda tiles, *others: published.append(sorted(tiles)) or publish(tiles, *others),
    )

    for _ in range(2):
        hub.done(submit_command(hub, party, party.envelope()))

    # Tile 0 was full at 256 already; only the edge of each level is written.
    assert published == [[(0, 1), (1, 0)]] * 2


@pytest.mark.parametrize(
    "changed",
    [
        {"aggregate": bytes(16)},
        {"version": 11},
        {"topic": "hub.Agency.CertificateRevoked"},
        {"topic": ""},
    ],
    ids=["aggregate", "version", "topic", "no topic"],
)
def test_columns_that_say_something_else_than_the_bytes_are_named(hub, changed):
    (entry,) = hub.log.entries(5, 1)
    require_columns(entry)
    with pytest.raises(LedgerMismatch, match="event 5: the columns") as mismatch:
        require_columns(entry._replace(**changed))
    assert mismatch.value.position == 5


class Answering(MemorySigner):
    """A signer that answers with a note of its own choice, once it was told which."""

    answer = b""

    def sign(self, *asked: Any, **more: Any) -> bytes:
        return self.answer or super().sign(*asked, **more)


def test_a_checkpoint_that_was_not_asked_for_is_not_published(hub):
    """Whoever answers as the signer has its keys; what it says must still be the answer."""
    size, root = 10, root_of(roots(hub))
    signer = Answering(ORIGIN)
    old, new = signer.verifier_key, signer.make_key()
    other = MemorySigner(ORIGIN)
    another_tree = other.sign(size, bytes(32), ())
    one_of_two = MemorySigner(ORIGIN).sign(size, root, ())
    for answer, by in ((another_tree, (old,)), (one_of_two, (old, new))):
        store = MemoryTreeStore()
        lying = sequencer(hub, store, signer)
        signer.answer = answer
        with pytest.raises(LedgerMismatch, match="not what the signer was asked for"):
            lying._sign_and_store(size, root, by)
        assert store.latest_checkpoint() is None
