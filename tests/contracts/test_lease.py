"""Every Lease says who leads as of now, and never longer than nobody else can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import NamedTuple

import pytest

from adapters.memory.leading import MemoryLease
from adapters.storage import leadership
from adapters.storage.engine import Database
from adapters.storage.leadership import LEASE_S, Leadership, Undisputed
from hub.application.ports import Lease, NotLeading


class Held(NamedTuple):
    """A lease, and how another hub takes it."""

    lease: Lease
    lose: Callable[[], object]


@pytest.fixture
def leaders(postgres_url: str) -> Iterator[Callable[[str], Leadership]]:
    with ExitStack() as stack:

        def leader(name: str) -> Leadership:
            one = Leadership(stack.enter_context(closing(Database(postgres_url))), name)
            stack.callback(one.give_up)
            return one

        yield leader


@pytest.fixture(params=["memory", "postgres"])
def held(request: pytest.FixtureRequest) -> Held:
    if request.param == "memory":
        memory = MemoryLease()
        return Held(memory, lambda: setattr(memory, "taken", True))
    leader = request.getfixturevalue("leaders")
    one, next_process = leader("one"), leader("one")
    assert one.take()
    return Held(one, next_process.take)


def test_who_leads_has_some_seconds_left(held: Held):
    assert 0 < held.lease.left() <= LEASE_S
    assert 0 < held.lease.left() <= LEASE_S


def test_who_was_followed_has_none(held: Held):
    held.lose()
    for _ in range(2):
        with pytest.raises(NotLeading):
            held.lease.left()


def test_who_does_not_lead_yet_and_who_gave_up_have_none(leaders):
    one, two = leaders("one"), leaders("two")
    with pytest.raises(NotLeading):
        one.left()
    assert one.take()
    with pytest.raises(NotLeading):
        two.left()
    one.give_up()
    with pytest.raises(NotLeading):
        one.left()
    assert two.take(), "asking took nothing back"


def test_a_sign_that_is_overdue_is_given_before_anything_is_promised(
    leaders, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(leadership, "BEAT_S", 3600)
    one, two = leaders("one"), leaders("two")
    assert one.take()
    with one._database.writing_unfenced() as connection:
        connection.exec_driver_sql("UPDATE leadership SET beat_at = now() - interval '1 hour'")
    assert one.left() == LEASE_S
    assert not two.take()


def test_a_server_that_is_away_promises_nothing(leaders, monkeypatch: pytest.MonkeyPatch):
    one = leaders("one")
    assert one.take()
    with monkeypatch.context() as patched:
        patched.setattr(one, "_database", Database("postgresql://nobody@127.0.0.1:1/nothing"))
        with pytest.raises(OSError, match="connect"):
            one.left()


def test_a_file_is_held_by_the_lock_of_its_folder():
    assert Undisputed().left() == float("inf")
