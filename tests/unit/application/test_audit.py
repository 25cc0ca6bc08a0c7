"""Who may hold which receipt: leaves go to those they concern, and nobody learns of others."""

from contextlib import suppress

import pytest

from hub.application.registry import Caller, Role
from hub.errors import PositionUnknown
from hub.proof.checkpoint import open_checkpoint
from hub.proof.merkle import verify_consistency
from tests.support.builders import (
    ORIGIN,
    OTHER,
    RECIPIENT,
    SENDER,
    MemoryHub,
    Party,
    new_hub,
    run,
)

OUTSIDER = "H77"
KEYS = (0, 1, 2)


def agency(code: str) -> Caller:
    return Caller(Role.AGENCY, code)


@pytest.fixture
def hub() -> MemoryHub:
    """Events 10 to 14: a registration, a document, its collection, a status, a refusal."""
    hub = new_hub()
    hub.register(OUTSIDER)
    sender, recipient = Party(SENDER), Party(RECIPIENT)
    envelope = sender.envelope(RECIPIENT, OTHER)
    hub.submit(SENDER, envelope)
    hub.collect(RECIPIENT, recipient.collect(envelope))
    hub.report(RECIPIENT, recipient.status(envelope, "01"))
    with pytest.raises(Exception, match="not registered"):
        hub.submit(SENDER, sender.envelope("H-NOBODY"))
    return hub


def held_by(hub: MemoryHub, caller: Caller) -> list[int]:
    held = []
    for position in range(hub.receipts.size):
        with suppress(PositionUnknown):
            assert run(hub.own_receipts.receipt(caller, position)) == hub.receipts.receipt(position)
            held.append(position)
    return held


def test_parties_hold_what_concerns_them(hub):
    # The log and its keys; its registration, its certificate; then the document and what was
    # said of it. Nobody holds a receipt of a refusal.
    assert held_by(hub, agency(SENDER)) == [*KEYS, 4, 7, 11, 12, 13]
    assert held_by(hub, agency(RECIPIENT)) == [*KEYS, 5, 8, 11, 12, 13]
    # Another recipient sees that it was sent, not what became of it elsewhere.
    assert held_by(hub, agency(OTHER)) == [*KEYS, 6, 9, 11]
    assert held_by(hub, agency(OUTSIDER)) == [*KEYS, 10]


def test_operators_hold_the_registry(hub):
    assert held_by(hub, Caller(Role.OPERATOR, "anybody")) == list(range(11))


def test_auditors_hold_everything(hub):
    assert held_by(hub, Caller(Role.AUDITOR, "anybody")) == list(range(hub.receipts.size))


@pytest.mark.parametrize("position", [3, 5, 15, 2**62])
def test_what_is_not_the_callers_gets_the_words_of_what_does_not_exist(hub, position):
    with pytest.raises(PositionUnknown, match=r"^no such position in the log$"):
        run(hub.own_receipts.receipt(agency(SENDER), position))


def test_everybody_holds_the_checkpoint_and_its_consistency_with_earlier_ones(hub):
    newest = open_checkpoint(
        hub.own_receipts.checkpoint(), log_keys=[hub.signer.verifier_key], origin=ORIGIN
    )
    for size, note in hub.stores.tree.checkpoints():
        older = open_checkpoint(note, log_keys=[hub.signer.verifier_key], origin=ORIGIN)
        proof = run(hub.own_receipts.consistency(size, newest.size))
        verify_consistency(
            old_size=size,
            old_root=older.root,
            new_size=newest.size,
            new_root=newest.root,
            proof=proof,
        )
    for old, new in ((0, 5), (6, 5), (5, 16), (-1, 5)):
        with pytest.raises(PositionUnknown):
            run(hub.own_receipts.consistency(old, new))
