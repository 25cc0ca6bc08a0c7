"""What a list costs: every query walks an index, and none looks at a table from end to end."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from adapters.storage.engine import Database
from adapters.storage.lists import DocumentLists
from adapters.storage.views import Views
from hub.application.ports import DocumentFilter, ViewChanges
from hub.domain.deadlines import Passed
from hub.domain.delivery import DeliveryState
from tests.support.views import AT, new_delivery, new_document

PASSED = Passed(datetime(2026, 11, 20, 10, tzinfo=UTC), date(2026, 11, 20))
FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "words": {"words": ("lien", "thong")},
    "states": {"states": (DeliveryState.ARRIVED, DeliveryState.FINISHED)},
    "not collected": {"states": (DeliveryState.CONSIGNED,)},
    "overdue": {"overdue_only": True},
    "other agency": {"other_agency": "H01"},
    "kind, priority, code": {"type": "cong van", "priorities": ("khan",), "code": "12"},
    "accepted": {"accepted_from": AT, "accepted_before": AT + timedelta(days=1)},
    "issued": {"issued_from": date(2026, 1, 1), "issued_to": date(2026, 12, 31)},
    "recalled": {"recalled": True, "replaced": False},
    "all at once": {
        "states": (DeliveryState.CONSIGNED,),
        "words": ("lien",),
        "overdue_only": True,
        "accepted_from": AT,
        "other_agency": "H01",
    },
}


@pytest.fixture
def sent(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Every statement with its parameters, from here on; the views hold one document."""
    row = replace(new_delivery(UUID(int=1), "H02", 1), due_on=date(2026, 1, 1))
    changes = ViewChanges([new_document(UUID(int=1))], [row], [])
    Views(database).apply(changes, start=0, end=1)
    statements: list[tuple[str, Any]] = []

    def seen(_c: object, _cursor: object, text: str, values: Any, *_others: object) -> None:
        if text.startswith("SELECT"):
            statements.append((text, values))

    event.listen(sa.Engine, "before_cursor_execute", seen)
    yield statements
    event.remove(sa.Engine, "before_cursor_execute", seen)


def plans(database: Database, statements: list[tuple[str, Any]]) -> list[str]:
    asked = list(statements)
    assert asked
    with database.reading() as connection:
        return [
            row[3]
            for text, values in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
        ]


def require_no_scan(found: list[str]) -> None:
    assert [step for step in found if step.startswith("SCAN")] == []


@pytest.mark.parametrize("before", [None, 1000])
@pytest.mark.parametrize("name", FILTERS)
def test_what_was_received_is_read_along_an_index(
    database: Database, sent: list[tuple[str, Any]], name: str, before: int | None
):
    wanted = DocumentFilter(**FILTERS[name])

    DocumentLists(database).received("H02", wanted, PASSED, before, 100)

    found = plans(database, sent)
    require_no_scan(found)
    assert not any("TEMP B-TREE" in step for step in found), found


@pytest.mark.parametrize("name", ["not collected", "overdue", "all at once"])
def test_what_waits_is_found_by_an_index_that_holds_little_else(
    database: Database, sent: list[tuple[str, Any]], name: str
):
    wanted = DocumentFilter(**FILTERS[name])

    DocumentLists(database).received("H02", wanted, PASSED, 1000, 100)

    found = plans(database, sent)
    assert any("INDEX view_deliveries_waiting" in step for step in found), found
    assert not any("view_deliveries_by_number" in step for step in found), found


@pytest.mark.parametrize("before", [None, 1000])
@pytest.mark.parametrize("name", FILTERS)
def test_what_was_sent_is_read_along_an_index(
    database: Database, sent: list[tuple[str, Any]], name: str, before: int | None
):
    wanted = DocumentFilter(**FILTERS[name])

    DocumentLists(database).sent("H01", wanted, PASSED, before, 100)

    found = plans(database, sent)
    require_no_scan(found)
    assert any("INDEX view_documents_by_sender" in step for step in found), found


def test_a_page_takes_as_many_statements_however_much_there_is(
    database: Database, sent: list[tuple[str, Any]]
):
    lists = DocumentLists(database)

    lists.received("H02", DocumentFilter(words=("lien",)), PASSED, None, 100)
    assert len(sent) == 2, "how far to look, and the rows"
    sent.clear()
    lists.sent("H01", DocumentFilter(code="15"), PASSED, None, 100)
    assert len(sent) == 3, "these two, and the deliveries counted"
