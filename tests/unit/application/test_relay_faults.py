"""Each write on the way to the axis and from there, broken in two ways, and then a restart."""

from __future__ import annotations

from contextlib import suppress

import pytest

from adapters.memory.axis import MemoryAxis
from adapters.memory.faults import Fault
from hub.application.axis import MessageKind
from hub.domain.relay import RelayState
from tests.support.builders import check_whole, run
from tests.support.relaying import ELSEWHERE, HERE, THERE, Linked, linked
from tests.unit.application.test_relaying import received, sent

WRITES = [
    "log.commit",
    "tree.publish",
    "signer.sign",
    "views.apply",
    "content.put",
    "content.discard",
    "document_keys.add",
]
STEPS = range(4)


@pytest.fixture
def axis() -> MemoryAxis:
    return MemoryAxis((HERE, THERE))


def rounds(link: Linked) -> Linked:
    """A round of each kind that may fail anywhere, and the hub anew."""
    for work in (link.send, link.take):
        with suppress(OSError):
            work()
    return link.restarted()


def disarm(link: Linked) -> None:
    for switch in link.hub.stores.switches.values():
        switch._armed.clear()


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("calls", STEPS)
def test_whatever_breaks_each_document_is_there_once(axis, write, fault, calls):
    ours, theirs = linked(axis, HERE), linked(axis, THERE)
    sent(ours)
    # The calls before the one that fails succeed.
    for link in (ours, theirs):
        store, method = write.split(".")
        switch = link.hub.stores.switches.get(store)
        if switch is None or method not in switch.methods:
            pytest.skip("this store has no such write")
        _break_after(link, store, method, fault, calls)

    ours, theirs = rounds(ours), rounds(theirs)
    ours, theirs = rounds(ours), rounds(theirs)
    disarm(ours)
    disarm(theirs)
    for _ in range(3):
        ours, theirs = rounds(ours), rounds(theirs)

    assert len(received(theirs)) == 1
    assert [row.state for row in ours.rows() if row.kind.value == "document"] == [RelayState.SENT]
    codes = [line.code for line, _ in ours.hub.views.outbox(HERE, 0, 10)]
    assert codes == ["01"]
    for link in (ours, theirs):
        for kind in MessageKind:
            assert run(link.gateway.count(kind)) == 0
        check_whole(link.hub)


def _break_after(link: Linked, store: str, method: str, fault: Fault, calls: int) -> None:
    """Let the call after so many good ones fail."""
    switch = link.hub.stores.switches[store]
    good = calls
    take = switch.take

    def counted(name: str) -> Fault | None:
        nonlocal good
        if name != method:
            return take(name)
        good -= 1
        return fault if good == -1 else None

    switch.take = counted


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("calls", STEPS)
def test_whatever_breaks_one_that_is_refused_keeps_nothing_from_the_other(write, fault, calls):
    axis = MemoryAxis((HERE, THERE, ELSEWHERE), locked={ELSEWHERE})
    ours, theirs = linked(axis, HERE), linked(axis, THERE)
    sent(ours, THERE, ELSEWHERE)
    store, method = write.split(".")
    switch = ours.hub.stores.switches.get(store)
    if switch is None or method not in switch.methods:
        pytest.skip("this store has no such write")
    _break_after(ours, store, method, fault, calls)
    ours, theirs = rounds(ours), rounds(theirs)
    disarm(ours)
    for _ in range(4):
        ours, theirs = rounds(ours), rounds(theirs)

    assert len(received(theirs)) == 1
    states = {row.agency: row.state for row in ours.rows() if row.kind.value == "document"}
    assert states == {
        "": RelayState.SPLIT,
        THERE: RelayState.SENT,
        ELSEWHERE: RelayState.PARKED,
    }
    check_whole(ours.hub)
