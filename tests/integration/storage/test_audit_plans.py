"""What is read of a log costs what it is long, however long the log has grown."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from hub.application.key_ring import KEY_TOPICS
from tests.support.commits import new_commit, new_event


@contextmanager
def plans_of(database: Database) -> Iterator[list[str]]:
    """How the queries that are asked in the block find what they are asked for."""
    seen: list[tuple[str, Any]] = []
    plans: list[str] = []

    def note(_c: object, _cursor: object, text: str, values: Any, *_others: object) -> None:
        seen.append((text, values))

    event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield plans
    finally:
        event.remove(sa.Engine, "before_cursor_execute", note)
    with database.reading() as connection:
        for text, values in [each for each in seen if each[0].startswith("SELECT")]:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
            plans.append(" ".join(row[3] for row in plan))


@pytest.mark.parametrize("topics", [(), KEY_TOPICS])
@pytest.mark.parametrize("after", [-1, 100])
def test_the_register_is_read_along_an_index_that_holds_nothing_else(
    database: Database, after: int, topics: frozenset[str]
):
    log = EventRecorder(database)
    log.commit(new_commit(0, [new_event() for _ in range(300)]))
    with plans_of(database) as plans:
        assert list(log.registry_entries(after, topics)) == []
    (plan,) = plans
    assert plan == "SEARCH events USING INDEX events_of_registry (position>?)"


def test_a_story_is_found_along_the_index_by_aggregate(database: Database):
    log, one = EventRecorder(database), uuid4()
    events = [replace(new_event(), originator_id=one), *(new_event() for _ in range(300))]
    log.commit(new_commit(0, events))
    with plans_of(database) as plans:
        assert len(log.entries_of([one, uuid4()], 0, 10)) == 1
    (plan,) = plans
    assert "events_by_aggregate (aggregate_id=?)" in plan
    assert "SCAN" not in plan
