"""A start reads what is new; what it does not read is found beside the work."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from adapters.memory.verified import MemoryVerifiedMark
from hub.application.ports import Verified
from hub.errors import LedgerMismatch
from hub.ledger.known import KnownGood, register_digest
from hub.ledger.recheck import Recheck, Stopped
from hub.ledger.sequencer import Sequencer
from tests.support.builders import ORIGIN, MemoryHub, Party, new_hub
from tests.support.commands import submit_command

NEWEST = 3


class Reads:
    """The event log, noting the first position of each walk over it."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.positions: set[int] = set()

    def entries(self, start: int, limit: int) -> Any:
        found = self._log.entries(start, limit)
        self.positions |= {entry.position for entry in found}
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


@pytest.fixture
def hub() -> MemoryHub:
    hub, party = new_hub(), Party("H01.1")
    for _ in range(5):
        hub.done(*(submit_command(hub, party, party.envelope()) for _ in range(4)))
    return hub


@pytest.fixture
def mark() -> MemoryVerifiedMark:
    return MemoryVerifiedMark()


def started(hub: MemoryHub, mark: MemoryVerifiedMark, newest: int = NEWEST) -> set[int]:
    """Which events the checks of a start read that goes on to serve, and so moves its mark."""
    log = Reads(hub.log)
    known = KnownGood(log, hub.stores.tree, mark, newest=newest)
    Sequencer(
        origin=ORIGIN,
        log=log,
        store=hub.stores.tree,
        signer=hub.signer,
        known=known,
    ).load()
    read = set(log.positions)
    known.note(hub.receipts.size)
    return read


def change(hub: MemoryHub, position: int) -> None:
    """Another digit in an event's nonce; everything a column says stays."""
    entries = hub.stores.log._tables.entries
    state = entries[position].state
    at = state.index(b'"nonce":"') + 9
    other = b"A" if state[at : at + 1] != b"A" else b"B"
    entries[position] = entries[position]._replace(state=state[:at] + other + state[at + 1 :])


def test_the_first_start_reads_everything_and_the_next_only_the_newest(
    hub: MemoryHub, mark: MemoryVerifiedMark
):
    size = hub.receipts.size
    assert started(hub, mark) == set(range(size))
    assert started(hub, mark) == set(range(size - NEWEST, size))


def test_what_came_since_the_last_start_is_read(hub: MemoryHub, mark: MemoryVerifiedMark):
    size = hub.receipts.size
    started(hub, mark)
    party = Party("H01.1")
    hub.done(*(submit_command(hub, party, party.envelope()) for _ in range(9)))

    assert started(hub, mark) == set(range(size, size + 9))
    assert started(hub, mark) == set(range(size + 9 - NEWEST, size + 9))


def test_no_newest_to_be_read_means_that_all_are(hub: MemoryHub, mark: MemoryVerifiedMark):
    started(hub, mark)

    assert started(hub, mark, newest=0) == set(range(hub.receipts.size))


@pytest.mark.parametrize("newest", [1, NEWEST])
def test_a_change_in_what_a_start_reads_is_named(
    hub: MemoryHub, mark: MemoryVerifiedMark, newest: int
):
    started(hub, mark)
    position = hub.receipts.size - newest
    change(hub, position)

    with pytest.raises(LedgerMismatch) as mismatch:
        started(hub, mark)

    assert mismatch.value.position == position


def test_a_registry_event_that_was_changed_is_named_however_old(
    hub: MemoryHub, mark: MemoryVerifiedMark
):
    started(hub, mark)
    change(hub, 2)

    with pytest.raises(LedgerMismatch) as mismatch:
        started(hub, mark)

    assert mismatch.value.position == 2


def test_a_registry_event_that_was_hidden_is_named_however_old(
    hub: MemoryHub, mark: MemoryVerifiedMark, monkeypatch: pytest.MonkeyPatch
):
    started(hub, mark)
    shown = hub.log.registry_entries
    monkeypatch.setattr(
        hub.log,
        "registry_entries",
        lambda *which, **more: (e for e in shown(*which, **more) if e.position != 2),
    )

    with pytest.raises(LedgerMismatch) as mismatch:
        started(hub, mark)

    assert mismatch.value.position == 2


def test_a_tree_that_was_made_anew_over_changed_events_is_refused(
    hub: MemoryHub, mark: MemoryVerifiedMark
):
    started(hub, mark)
    tiles = hub.stores.tree._tiles
    tiles[0, 0] = bytes(32) + tiles[0, 0][32:]

    with pytest.raises(LedgerMismatch):
        started(hub, mark)


@pytest.mark.parametrize("wrong", ["size", "root", "register"])
def test_a_mark_that_does_not_fit_costs_time_and_nothing_else(
    hub: MemoryHub, mark: MemoryVerifiedMark, wrong: str
):
    started(hub, mark)
    good = mark.read()
    assert good is not None
    mark.write(replace(good, **{wrong: 10**6 if wrong == "size" else bytes(32)}))

    assert started(hub, mark) == set(range(hub.receipts.size))
    assert mark.read() == good


def test_the_register_is_marked_by_all_of_its_events_below_the_size(hub: MemoryHub):
    digests = [register_digest(hub.log, size) for size in range(hub.receipts.size + 1)]

    registry = [entry.position for entry in hub.log.registry_entries()]
    changes = [n for n in range(hub.receipts.size) if digests[n] != digests[n + 1]]
    assert changes == registry


# --- Beside the work ----------------------------------------------------------------


def rechecking(hub: MemoryHub, mark: MemoryVerifiedMark, unread: int, **how: Any) -> Recheck:
    hub.sequencer.unread = unread
    how = {"every_events": 5, "stopping": lambda _seconds: False} | how
    known = KnownGood(hub.log, hub.stores.tree, mark, newest=NEWEST)
    return Recheck(hub.log, hub.stores.tree, hub.engine, known, **how)


def test_what_a_start_took_for_whole_is_read_once(hub: MemoryHub, mark: MemoryVerifiedMark):
    started(hub, mark)
    size = hub.receipts.size
    recheck = rechecking(hub, mark, size - NEWEST)

    assert recheck.run(size) == size - NEWEST
    assert recheck.run(size) == 0
    assert hub.engine.frozen is None


def test_a_change_in_it_freezes_the_log_and_the_next_start_reads_everything(
    hub: MemoryHub, mark: MemoryVerifiedMark
):
    started(hub, mark)
    size = hub.receipts.size
    position = size - NEWEST - 1
    change(hub, position)
    assert started(hub, mark) == set(range(size - NEWEST, size))

    rechecking(hub, mark, size - NEWEST).run(size)

    assert hub.engine.frozen is not None
    assert hub.engine.frozen.position == position
    assert mark.read() is None
    with pytest.raises(LedgerMismatch) as mismatch:
        started(hub, mark)
    assert mismatch.value.position == position


def test_new_events_are_read_again_once_enough_have_come(hub: MemoryHub, mark: MemoryVerifiedMark):
    started(hub, mark)
    recheck, party = rechecking(hub, mark, 0), Party("H01.1")
    marked = hub.receipts.size
    for count, read in ((4, 0), (3, 7), (1, 0)):
        hub.done(*(submit_command(hub, party, party.envelope()) for _ in range(count)))
        assert recheck.run(hub.receipts.size) == read
    verified = mark.read()
    assert isinstance(verified, Verified)
    assert verified.size == marked + 7


def test_a_change_in_them_freezes_the_log(hub: MemoryHub, mark: MemoryVerifiedMark):
    started(hub, mark)
    party = Party("H01.1")
    hub.done(*(submit_command(hub, party, party.envelope()) for _ in range(7)))
    change(hub, hub.receipts.size - 2)

    rechecking(hub, mark, 0).run(hub.receipts.size)

    assert hub.engine.frozen is not None
    assert mark.read() is None


def test_it_leaves_time_to_others_and_stops_when_told(hub: MemoryHub, mark: MemoryVerifiedMark):
    waited: list[float] = []

    def stopping(seconds: float) -> bool:
        waited.append(seconds)
        return True

    before = time.perf_counter()
    recheck = rechecking(hub, mark, 5, stopping=stopping)
    with pytest.raises(Stopped):
        recheck.run(hub.receipts.size)

    assert len(waited) == 1
    assert 0 <= waited[0] <= time.perf_counter() - before
