"""The signer's own store fails: before it remembers a head, after it did, and for good."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.errors import LedgerMismatch, ReceiptDelayed, Unavailable
from keys.checkpoint_signer import CheckpointSigner
from keys.last_signed import LastSigned, Signed, SignerConflict, SignerStoreError
from tests.support.builders import (
    ORIGIN,
    SENDER,
    MemoryHub,
    Party,
    Stores,
    check_whole,
    new_hub,
)
from tests.support.commands import submit_command
from tests.support.signers import OneKey

sender = Party(SENDER)


class FailingLastSigned(LastSigned):
    """Fails once, in one of the two ways, when told to; counts what it was asked."""

    fault: str = ""
    advanced = 0

    def advance(self, expected: Signed | None, new: Signed) -> None:
        fault, self.fault = self.fault, ""
        self.advanced += 1
        if fault == "lost":
            raise SignerStoreError("on purpose, before it was stored")
        if fault == "conflict":
            raise SignerConflict("on purpose")
        super().advance(expected, new)
        if fault == "kept":
            raise SignerStoreError("on purpose, after it was stored")


class FailingKey:
    """A private key that fails once when told to: the head is remembered, but not signed."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(32))
        self.failing = False

    def public_key(self):
        return self._key.public_key()

    def sign(self, data: bytes) -> bytes:
        if self.failing:
            self.failing = False
            raise OSError("the key store cannot be reached")
        return self._key.sign(data)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[FailingLastSigned]:
    LastSigned.create(tmp_path / "last-signed.db").close()
    memory = FailingLastSigned.open(tmp_path / "last-signed.db")
    yield memory
    memory.close()


@pytest.fixture
def key() -> FailingKey:
    return FailingKey()


@pytest.fixture
def hub(memory: FailingLastSigned, key: FailingKey) -> MemoryHub:
    return new_hub(Stores(signer=CheckpointSigner(ORIGIN, OneKey(key), memory)))


@pytest.mark.parametrize("fault", ["lost", "kept", "conflict"])
def test_a_head_that_may_not_have_been_remembered_is_signed_later(hub, memory, fault):
    envelope = sender.envelope()
    memory.fault = fault

    with pytest.raises(ReceiptDelayed):
        hub.submit(SENDER, envelope)
    assert (memory.read().size == 11) is (fault == "kept")
    assert hub.receipts.size == 10

    recorded = hub.submit(SENDER, envelope)
    assert hub.topics().count("DocumentSubmitted") == 1
    assert hub.restarted().submit(SENDER, envelope) == recorded
    check_whole(hub)


def test_a_head_that_was_remembered_but_not_signed_is_signed_later(hub, memory, key):
    envelope = sender.envelope()
    key.failing = True

    with pytest.raises(ReceiptDelayed):
        hub.submit(SENDER, envelope)
    assert memory.read().size == 11
    assert hub.receipts.size == 10

    hub = hub.restarted()
    assert hub.receipts.size == 11
    hub.submit(SENDER, envelope)
    assert hub.topics().count("DocumentSubmitted") == 1
    check_whole(hub)


def test_nothing_is_accepted_while_the_signer_cannot_be_reached(hub, memory, key):
    key.failing = True
    with pytest.raises(ReceiptDelayed):
        hub.submit(SENDER, sender.envelope())
    for _ in range(3):
        key.failing = True
        (outcome,) = hub.process(submit_command(hub, sender, sender.envelope()))
        assert isinstance(outcome, Unavailable)
    assert hub.topics().count("DocumentSubmitted") == 1

    hub.process()
    check_whole(hub)


def test_one_batch_is_one_head_however_many_documents_are_in_it(hub, memory):
    for count in (1, 7, 50):
        before = memory.advanced
        hub.done(*(submit_command(hub, sender, sender.envelope()) for _ in range(count)))
        assert memory.advanced - before == 1


def test_a_signer_with_an_older_memory_stops_the_start(hub, tmp_path):
    hub.submit(SENDER, sender.envelope())
    LastSigned.create(tmp_path / "restored.db").close()
    older = LastSigned.open(tmp_path / "restored.db")
    older.advance(None, Signed(ORIGIN, 4, bytes(32)))
    hub.stores.signer = CheckpointSigner(
        ORIGIN, OneKey(Ed25519PrivateKey.from_private_bytes(bytes(32))), older
    )

    with pytest.raises(LedgerMismatch, match="older copy"):
        hub.restarted()

    older.close()
