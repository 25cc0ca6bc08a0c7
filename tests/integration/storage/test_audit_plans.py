"""One document's story costs what it is long, however long the log has grown."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import event

from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from tests.support.commits import new_commit, new_event


def test_a_story_is_found_along_the_index_by_aggregate(database: Database):
    log, one = EventRecorder(database), uuid4()
    events = [replace(new_event(), originator_id=one), *(new_event() for _ in range(300))]
    log.commit(new_commit(0, events))
    seen: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, text: str, values: Any, *_others: object) -> None:
        seen.append((text, values))

    event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        assert len(log.entries_of([one, uuid4()], 0, 10)) == 1
    finally:
        event.remove(sa.Engine, "before_cursor_execute", note)
    ((text, values),) = [each for each in seen if each[0].startswith("SELECT")]
    with database.reading() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()
    details = " ".join(row[3] for row in plan)
    assert "events_by_aggregate (aggregate_id=?)" in details
    assert "SCAN" not in details
