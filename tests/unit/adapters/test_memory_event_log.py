"""Where the log in memory is stricter than the database."""

from dataclasses import replace
from uuid import uuid4

import pytest

from adapters.memory.events import MemoryEventLog
from tests.support.commits import new_commit, new_event, new_request


def test_versions_of_an_aggregate_follow_one_another():
    log, one = MemoryEventLog(), uuid4()
    log.commit(new_commit(0, [new_event(one, 1)]))

    with pytest.raises(ValueError, match="version 3"):
        log.commit(new_commit(1, [new_event(one, 3)]))

    log.commit(new_commit(1, [new_event(one, 2), new_event(one, 3)]))


def test_a_digest_has_its_length():
    short = replace(new_request("r"), digest=b"short")

    with pytest.raises(ValueError, match="32 bytes"):
        MemoryEventLog().commit(new_commit(0, [new_event()], requests=[short]))


def test_what_was_handed_in_may_change_afterwards():
    log, state, events = MemoryEventLog(), bytearray(b"state"), []
    events.append(new_event(state=state))
    log.commit(new_commit(0, events))

    state[:] = b"other"
    events.clear()

    assert [entry.state for entry in log.entries(0, 9)] == [b"state"]
