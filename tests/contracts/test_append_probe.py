"""Every AppendProbe tries to append, and leaves nothing behind."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from adapters.memory.determinism import CountedRandomness
from adapters.memory.probe import MemoryAppendProbe
from adapters.storage.engine import Database, DatabaseAway
from adapters.storage.events import EventRecorder
from adapters.storage.probe import AppendProbe as SqlProbe
from hub.application.ports import AppendProbe
from tests.support.commits import new_commit, new_event


@pytest.fixture(params=["sqlite", "postgres"])
def stored(request: pytest.FixtureRequest) -> Database:
    database: Database = request.getfixturevalue(request.param)
    return database


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def probe(request: pytest.FixtureRequest) -> AppendProbe:
    if request.param == "memory":
        return MemoryAppendProbe()
    return SqlProbe(request.getfixturevalue(request.param), CountedRandomness())


def test_it_may_be_repeated(probe: AppendProbe):
    probe.append_and_read()
    probe.append_and_read()


def test_the_log_ends_where_it_ended(stored: Database):
    log = EventRecorder(stored)
    log.commit(new_commit(0, [new_event(), new_event()]))
    head, entries = log.head(), log.entries(0, 10)

    SqlProbe(stored, CountedRandomness()).append_and_read()

    assert (log.head(), log.entries(0, 10)) == (head, entries)
    log.commit(new_commit(2, [new_event()]))


def test_a_database_that_does_not_take_an_event_is_found_out(stored: Database):
    with stored.writing() as connection:
        connection.execute(sa.text("ALTER TABLE events RENAME TO gone"))
    with pytest.raises((OSError, sa.exc.DBAPIError)):
        SqlProbe(stored, CountedRandomness()).append_and_read()
    with stored.writing() as connection:
        connection.execute(sa.text("ALTER TABLE gone RENAME TO events"))


def test_a_database_that_another_hub_leads_is_found_out(postgres: Database):
    postgres.fence(41)
    with pytest.raises(DatabaseAway):
        SqlProbe(postgres, CountedRandomness()).append_and_read()
