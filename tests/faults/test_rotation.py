"""A hub killed at every write of every step in a key's life: finished or undone, never half."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from adapters.memory.faults import Fault
from hub.application.key_ring import KeyState
from hub.proof.note import VerifierKey
from hub.proof.statements import ACTIVATE, COMPROMISE
from tests.support.builders import (
    OPERATOR,
    SECOND_OPERATOR,
    SENDER,
    MemoryHub,
    Party,
    check_whole,
    first_operator,
    new_hub,
    new_request_id,
    run,
    second_operator,
)

sender = Party(SENDER)

# Every write that a step in a key's life makes, in their order.
WRITES = [
    "signer.make_key",
    "document_keys.add",
    "log.commit",
    "signer.sign",
    "tree.publish",
    "signer.destroy_key",
]
FORMS = [Fault.LOST, Fault.KEPT]

ANNOUNCED, ACTIVE, RETIRED, COMPROMISED = KeyState

Step = Callable[[MemoryHub], Callable[[MemoryHub], object]]


def announcing(hub: MemoryHub) -> Callable[[MemoryHub], object]:
    request_id = new_request_id()
    return lambda hub: run(hub.hub_keys.announce(OPERATOR, request_id))


def approving(action: str, which: int) -> Step:
    def prepare(hub: MemoryHub) -> Callable[[MemoryHub], object]:
        announce(hub)
        order = first_operator.key_order(action, hub.hub_keys.all()[which].key)
        hub.order_key(OPERATOR, order)
        approval = second_operator.approval(order)
        return lambda hub: hub.approve(SECOND_OPERATOR, approval)

    return prepare


def retiring(hub: MemoryHub) -> Callable[[MemoryHub], object]:
    approving(ACTIVATE, 1)(hub)(hub)
    request_id, old = new_request_id(), hub.hub_keys.all()[0].key.format()
    return lambda hub: run(hub.hub_keys.retire(OPERATOR, request_id, old))


def announce(hub: MemoryHub) -> VerifierKey:
    run(hub.hub_keys.announce(OPERATOR, new_request_id()))
    return hub.hub_keys.all()[-1].key


# What each step makes of the keys, and how many the signer holds when it is finished.
STEPS = {
    "announce": (announcing, [ACTIVE], [ACTIVE, ANNOUNCED], 2),
    "activate": (approving(ACTIVATE, 1), [ACTIVE, ANNOUNCED], [ACTIVE, ACTIVE], 2),
    "retire": (retiring, [ACTIVE, ACTIVE], [RETIRED, ACTIVE], 1),
    "compromise": (approving(COMPROMISE, 0), [ACTIVE, ANNOUNCED], [COMPROMISED, ACTIVE], 1),
}


@pytest.fixture
def hub() -> MemoryHub:
    hub = new_hub()
    hub.let_in(SECOND_OPERATOR)
    return hub


def states(hub: MemoryHub) -> list[KeyState]:
    return [each.state for each in hub.hub_keys.all()]


@pytest.mark.parametrize("fault", FORMS, ids=["lost", "kept"])
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_was_cut_off_is_finished_or_undone(
    hub: MemoryHub, step: str, write: str, fault: Fault
):
    prepare, before, after, held = STEPS[step]
    take = prepare(hub)
    assert states(hub) == before
    hub.break_next(write, fault)

    with suppress(Exception):  # Killed here: whoever asked hears nothing that is certain.
        take(hub)
    for switch in hub.stores.switches.values():
        switch.disarm()  # A step need not make every write.
    restarted = hub.restarted()

    # Wholly before, or wholly after; and what is signed is what the log says of its keys.
    assert states(restarted) in (before, after)
    check_whole(restarted)
    restarted.submit(SENDER, sender.envelope())

    # The same request again brings it to its end, whichever it was.
    take(restarted)
    assert states(restarted) == after
    assert len(restarted.signer.keys) == held
    restarted.submit(SENDER, sender.envelope())
    check_whole(restarted)
    check_whole(restarted.restarted())


def test_a_key_that_was_made_and_never_announced_is_the_next_one(hub: MemoryHub):
    hub.break_next("log.commit", Fault.LOST)
    with pytest.raises(Exception, match="not known"):
        announce(hub)
    spare = hub.signer.keys[-1]

    assert announce(hub.restarted()) == spare
    assert len(hub.signer.keys) == 2


def test_what_could_not_be_destroyed_is_destroyed_later(hub: MemoryHub):
    take = retiring(hub)
    hub.break_next("signer.destroy_key", Fault.LOST)
    take(hub)
    # The fact stands and its receipt is good; that something is left shows.
    assert states(hub) == [RETIRED, ACTIVE]
    assert len(hub.signer.keys) == 2
    assert hub.engine.behind

    hub.submit(SENDER, sender.envelope())
    assert len(hub.signer.keys) == 1
    assert not hub.engine.behind
