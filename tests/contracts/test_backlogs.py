"""What every Backlogs must do, whichever adapter provides it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from adapters.memory.backlogs import MemoryBacklogs
from adapters.memory.views import MemoryViews
from adapters.storage.backlogs import Backlogs as SqlBacklogs
from adapters.storage.views import Views as SqlViews
from hub.application.ports import Backlog, Backlogs, ViewChanges, Views
from hub.domain.delivery import DeliveryState, RecallState
from tests.support.views import AT, new_delivery, new_document

HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def stores(request: pytest.FixtureRequest) -> tuple[Views, Backlogs]:
    if request.param == "memory":
        memory = MemoryViews()
        return memory, MemoryBacklogs(memory)
    database = request.getfixturevalue(request.param)
    return SqlViews(database), SqlBacklogs(database)


def test_it_counts_for_each_agency_what_waits_and_since_when(stores: tuple[Views, Backlogs]):
    views, backlogs = stores
    documents, deliveries = [], []
    for n, agency in enumerate(["H02", "H03", "H02"], start=1):
        exchange = UUID(int=n)
        document = replace(new_document(exchange, n), accepted_at=AT + n * HOUR)
        documents.append(document)
        deliveries.append(new_delivery(exchange, agency, n, n))
    views.apply(ViewChanges(documents=documents, deliveries=deliveries, notices=[]), start=0, end=4)

    assert backlogs.uncollected() == [
        Backlog("H02", 2, AT + HOUR),
        Backlog("H03", 1, AT + 2 * HOUR),
    ]


@pytest.mark.parametrize(
    ("delivery", "document"),
    [
        ({"state": DeliveryState.COLLECTED, "collected": True}, {}),
        ({"expired": True}, {}),
        ({"recall": RecallState.ASKED}, {}),
        ({"recall": RecallState.AGREED}, {}),
        ({}, {"erased": True}),
        ({}, {"replaced_by": UUID(int=9)}),
    ],
)
def test_what_is_over_waits_no_longer(stores: tuple[Views, Backlogs], delivery, document):
    views, backlogs = stores
    exchange = UUID(int=1)
    changes = ViewChanges(
        documents=[replace(new_document(exchange), **document)],
        deliveries=[replace(new_delivery(exchange, "H02", 1), **delivery)],
        notices=[],
    )
    views.apply(changes, start=0, end=1)
    assert backlogs.uncollected() == []


def test_a_recall_that_was_refused_leaves_it_waiting(stores: tuple[Views, Backlogs]):
    views, backlogs = stores
    exchange = UUID(int=1)
    waiting = replace(new_delivery(exchange, "H02", 1), recall=RecallState.REFUSED)
    changes = ViewChanges(documents=[new_document(exchange)], deliveries=[waiting], notices=[])
    views.apply(changes, start=0, end=1)
    assert [each.agency for each in backlogs.uncollected()] == ["H02"]
