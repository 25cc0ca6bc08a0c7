"""What every store of cosignatures must do, whichever adapter provides it."""

import pytest

from adapters.memory.witnesses import MemoryCosignatures
from adapters.storage.cosignatures import CosignatureStore
from adapters.storage.tree import TreeStore
from hub.application.ports import Cosignatures
from hub.errors import LedgerMismatch
from hub.proof.note import NoteSignature

SIZES = range(1, 100)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Cosignatures:
    if request.param == "memory":
        return MemoryCosignatures(lambda size: size in SIZES)
    database = request.getfixturevalue(request.param)
    for size in SIZES:
        TreeStore(database).publish({}, size, b"note %d" % size)
    return CosignatureStore(database)


def line(witness: str, key_id: bytes = b"key1", signature: bytes = b"s" * 72) -> NoteSignature:
    return NoteSignature(witness, key_id, signature)


def test_an_empty_store_knows_no_witness(store: Cosignatures):
    assert store.of(5) == []
    assert store.newest("w1", b"key1") == 0
    assert store.best(0) is None
    assert list(store.all()) == []


def test_cosignatures_come_back_in_the_order_they_came(store: Cosignatures):
    for witness in ("w2", "w1", "w3"):
        store.add(5, line(witness))
    store.add(3, line("w1"))

    assert store.of(5) == [line("w2"), line("w1"), line("w3")]
    assert list(store.all()) == [
        (3, line("w1")), (5, line("w2")), (5, line("w1")), (5, line("w3")),
    ]  # fmt: skip


def test_the_first_cosignature_of_a_witness_stays(store: Cosignatures):
    store.add(5, line("w1", signature=b"1" * 72))
    store.add(5, line("w1", signature=b"2" * 72))
    store.add(5, line("w2"))

    assert store.of(5) == [line("w1", signature=b"1" * 72), line("w2")]
    assert store.best(0) == 5


def test_another_key_of_a_witness_is_another_witness(store: Cosignatures):
    store.add(5, line("w1", b"key1"))
    store.add(5, line("w1", b"key2"))
    store.add(7, line("w1", b"key2"))

    assert len(store.of(5)) == 2
    assert (store.newest("w1", b"key1"), store.newest("w1", b"key2")) == (5, 7)


def test_what_has_no_checkpoint_cannot_be_cosigned(store: Cosignatures):
    with pytest.raises(LedgerMismatch):
        store.add(100, line("w1"))
    assert list(store.all()) == []


def test_the_newest_of_a_witness_is_its_largest(store: Cosignatures):
    for size in (3, 9, 5):
        store.add(size, line("w1"))
    store.add(20, line("w2"))
    assert store.newest("w1", b"key1") == 9


def test_the_best_is_the_smallest_of_those_that_most_cosigned(store: Cosignatures):
    for size, witnesses in {3: 1, 5: 2, 8: 3, 9: 1, 12: 3, 20: 2, 30: 1}.items():
        for number in range(witnesses):
            store.add(size, line(f"w{number}"))

    found = {position: store.best(position) for position in (0, 7, 8, 11, 12, 19, 20, 29, 30)}

    assert found == {0: 8, 7: 8, 8: 12, 11: 12, 12: 20, 19: 20, 20: 30, 29: 30, 30: None}


def test_more_cosignatures_than_a_note_carries_are_kept_but_not_given(store: Cosignatures):
    for number in range(70):
        store.add(5, line(f"w{number:02}"))
    assert [each.name for each in store.of(5)] == [f"w{number:02}" for number in range(64)]
    assert len(list(store.all())) == 70
