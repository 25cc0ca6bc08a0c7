"""The recorder is what the event-sourcing library expects: its own suites say so."""

from collections.abc import Iterator, Sequence
from typing import Any
from unittest import TestCase

import pytest
from eventsourcing.persistence import StoredEvent

# The module, not its classes: pytest would collect those too.
from eventsourcing.tests import persistence as suites

from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder


class AggregateRecorder(EventRecorder):
    """A recorder that only keeps aggregates has no notification ids to tell."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        super().insert_events(stored_events, **kwargs)


class OnADatabase(TestCase):
    recorder_class: type[EventRecorder] = EventRecorder
    kind: str
    database: Database

    @pytest.fixture(autouse=True)
    def open_database(self, request: pytest.FixtureRequest) -> Iterator[None]:
        self.database = Database(request.getfixturevalue(self.kind))
        yield
        self.database.close()

    def create_recorder(self) -> EventRecorder:
        return self.recorder_class(self.database)


class OnAFile(OnADatabase):
    kind = "sqlite_url"


class OnAServer(OnADatabase):
    kind = "postgres_url"


class TestAsAggregateRecorder(OnAFile, suites.AggregateRecorderTestCase):
    recorder_class = AggregateRecorder


class TestAsApplicationRecorder(OnAFile, suites.ApplicationRecorderTestCase):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNotificationIdsDoNotInterleave(OnAFile, suites.NonInterleavingNotificationIDsBaseCase):
    pass


class TestAsAggregateRecorderOnAServer(OnAServer, suites.AggregateRecorderTestCase):
    recorder_class = AggregateRecorder


class TestAsApplicationRecorderOnAServer(OnAServer, suites.ApplicationRecorderTestCase):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNotificationIdsDoNotInterleaveOnAServer(
    OnAServer, suites.NonInterleavingNotificationIDsBaseCase
):
    pass
