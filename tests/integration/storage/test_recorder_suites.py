"""The recorder is what the event-sourcing library expects: its own suites say so."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import TestCase

from eventsourcing.persistence import StoredEvent

# The module, not its classes: pytest would collect those too.
from eventsourcing.tests import persistence as suites

from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.migrate import migrate


class AggregateRecorder(EventRecorder):
    """A recorder that only keeps aggregates has no notification ids to tell."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        super().insert_events(stored_events, **kwargs)


class OnAFile(TestCase):
    recorder_class: type[EventRecorder] = EventRecorder

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        url = f"sqlite:///{Path(folder.name)}/hub.db"
        migrate(url)
        self.database = Database(url)
        self.addCleanup(self.database.close)

    def create_recorder(self) -> EventRecorder:
        return self.recorder_class(self.database)


class TestAsAggregateRecorder(OnAFile, suites.AggregateRecorderTestCase):
    recorder_class = AggregateRecorder


class TestAsApplicationRecorder(OnAFile, suites.ApplicationRecorderTestCase):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNotificationIdsDoNotInterleave(OnAFile, suites.NonInterleavingNotificationIDsBaseCase):
    pass
