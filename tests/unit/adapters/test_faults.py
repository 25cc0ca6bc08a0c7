"""The switch breaks exactly the call it was told to, in the way it was told to."""

import pytest

from adapters.memory.document_keys import MemoryDocumentKeys
from adapters.memory.events import MemoryEventLog
from adapters.memory.faults import Fault
from tests.support.commits import new_commit, new_event

ONE = new_event().originator_id


@pytest.mark.parametrize(("fault", "kept"), [(Fault.LOST, None), (Fault.KEPT, b"1")])
def test_a_broken_call_raises_and_is_lost_or_kept(fault: Fault, kept: bytes | None):
    keys = MemoryDocumentKeys()
    keys.faults.break_next("add", fault)

    with pytest.raises(OSError, match="on purpose"):
        keys.add({ONE: b"1"})

    assert keys.get(ONE) == kept
    assert not keys.faults.armed
    keys.add({ONE: b"1"})
    assert keys.get(ONE) == b"1"


def test_only_the_named_method_breaks():
    keys = MemoryDocumentKeys()
    keys.faults.break_next("discard", Fault.LOST)

    keys.add({ONE: b"1"})

    assert keys.faults.armed
    with pytest.raises(OSError):
        keys.discard([ONE])


def test_faults_wait_in_the_order_they_were_armed():
    log = MemoryEventLog()
    log.faults.break_next("commit", Fault.LOST, calls=2)
    log.faults.break_next("commit", Fault.KEPT)

    heads = []
    for _ in range(3):
        with pytest.raises(OSError):
            log.commit(new_commit(0, [new_event()]))
        heads.append(log.head().next_position)

    assert heads == [0, 0, 1]


def test_a_refused_call_is_refused_before_it_can_break():
    log = MemoryEventLog()
    log.commit(new_commit(0, [new_event()]))
    log.faults.break_next("commit", Fault.KEPT)

    with pytest.raises(Exception, match="the log ends at 1"):
        log.commit(new_commit(0, [new_event()]))

    assert not log.faults.armed


def test_a_method_that_cannot_break_is_not_armed():
    with pytest.raises(ValueError, match="comit"):
        MemoryEventLog().faults.break_next("comit", Fault.LOST)
