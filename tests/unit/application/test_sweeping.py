"""What no event points at is swept, and nothing that somebody is about to record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from adapters.memory.content import MemoryContentStore
from adapters.memory.leading import MemoryLease
from hub.application import sweeping
from hub.application.ports import NotLeading
from hub.application.sweeping import Sweep
from hub.domain.aggregate import derived_id
from hub.domain.values import uuid7
from hub.proof.leaf import parse_leaf
from tests.support.builders import RECIPIENT, SENDER, MemoryHub, Party, found

NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEY = bytes(32)


@pytest.fixture
def hub() -> MemoryHub:
    hub = found(MemoryHub())
    hub.register(SENDER, RECIPIENT)
    hub.done(hub.enrolment(Party(SENDER)))
    return hub


def stored(content: MemoryContentStore, *ids: UUID) -> list[UUID]:
    for each in ids:
        content.put(each, 0, b"content", KEY)
    return list(ids)


def an_id(age: timedelta, number: int = 0) -> UUID:
    return uuid7(NOW - age, number.to_bytes(10, "big"))


def sweep_over(hub: MemoryHub, lease: MemoryLease | None = None, **options) -> Sweep:
    options.setdefault("stopping", lambda _: False)
    return Sweep(hub.stores.content, hub.log, lease or MemoryLease(), **options)


HOUR = timedelta(hours=1)


def test_what_is_recorded_stays_and_what_is_old_and_unknown_goes(hub: MemoryHub):
    content = hub.stores.content
    accepted = hub.submit(SENDER, Party(SENDER).envelope(RECIPIENT, contents=[b"x"]), [b"x"])
    kept, now = parse_leaf(accepted.receipt.leaf).id, hub.clock()
    old, young = (uuid7(now + age, bytes(10)) for age in (-HOUR, 2 * HOUR))
    stored(content, old, young)

    assert sweep_over(hub).run(now + HOUR) == 1
    assert set(content.exchanges()) == {kept, young}


def test_what_is_being_made_under_an_old_id_is_passed_over(hub: MemoryHub):
    old = an_id(HOUR)
    orphan, package = stored(hub.stores.content, old, derived_id(old, b"relay"))
    sweep = sweep_over(hub)
    sweep.leave(package)

    assert sweep.run(NOW) == 1
    assert list(hub.stores.content.exchanges()) == [package]
    # The next process knows whether it was recorded.
    assert sweep_over(hub).run(NOW) == 1
    assert orphan != package


def test_it_is_passed_over_also_where_it_was_looked_at_before_it_was_made(
    hub: MemoryHub, monkeypatch: pytest.MonkeyPatch
):
    (package,) = stored(hub.stores.content, an_id(HOUR))
    sweep = sweep_over(hub)

    def not_kept(*_: object) -> bool:
        sweep.leave(package)  # Just now, by another thread.
        return False

    monkeypatch.setattr(sweeping, "is_kept", not_kept)
    assert sweep.run(NOW) == 0
    assert list(hub.stores.content.exchanges()) == [package]


def test_a_hub_that_was_followed_discards_nothing(hub: MemoryHub):
    stored(hub.stores.content, an_id(HOUR))
    lease = MemoryLease()
    lease.taken = True
    with pytest.raises(NotLeading):
        sweep_over(hub, lease).run(NOW)
    assert len(list(hub.stores.content.exchanges())) == 1


def test_it_pauses_between_portions_and_ends_where_the_hub_stops(
    hub: MemoryHub, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sweeping, "_AT_ONCE", 10)
    stored(hub.stores.content, *(an_id(HOUR, number) for number in range(35)))
    answers: Iterator[bool] = iter([False, True, False, False, False])
    asked = []

    def stopping(seconds: float) -> bool:
        asked.append(seconds)
        return next(answers)

    sweep = sweep_over(hub, stopping=stopping)
    assert sweep.run(NOW) == 20
    assert len(asked) == 2
    assert all(seconds > 0 for seconds in asked)
    assert sweep.run(NOW) == 15


def test_nothing_is_remembered_once_it_is_over(hub: MemoryHub):
    sweep = sweep_over(hub)
    sweep.run(NOW)
    sweep.leave(an_id(HOUR))
    assert sweep._left is None
