"""What auditors read of one document beyond the public facts: each time a fact of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from eventsourcing.domain import event

from hub.domain.aggregate import Aggregate, derived_id


def audit_trail_id(exchange_id: UUID) -> UUID:
    """The one audit trail of an exchange."""
    return derived_id(exchange_id, b"audit")


class AuditTrail(Aggregate):
    """Who read subject, reasons or content of a document, and for which case.

    No TOPIC here and no Created event, as for deliveries: a trail begins with the first
    access. One for each exchange, and not the log's own: so no history grows slow to read
    however much is audited, and a document's whole story is found by its exchange.
    """

    INITIAL_VERSION = 1

    class AuditAccessMade(Aggregate.Event):
        """An auditor was shown words or content of a document; recorded before they went out.

        `read` is `statements` or `attachment`, `attachment` the index of that one from 0, or
        -1. `case` is what the auditor gave as the reference of the case.
        """

        TOPIC = "hub.Log.AuditAccessMade"
        exchange: str
        read: str
        attachment: int
        case: str
        by: str
        request_id: str

    class AuditExportMade(Aggregate.Event):
        """An auditor took statements and attachments of a document along, all of them."""

        TOPIC = "hub.Log.AuditExportMade"
        exchange: str
        attachments: int
        case: str
        by: str
        request_id: str

    @classmethod
    def begin(cls, exchange_id: UUID, at: datetime) -> Self:
        """The trail of a document that nobody has audited."""
        trail = cls.__new__(cls)
        trail.__base_init__(audit_trail_id(exchange_id), 0, at)
        return trail

    def note_access(self, *, at: datetime, **facts: object) -> None:
        """Record that an auditor is about to be shown something."""
        self.trigger_event(self.AuditAccessMade, timestamp=at, **facts)

    def note_export(self, *, at: datetime, **facts: object) -> None:
        """Record that an auditor is about to take everything along."""
        self.trigger_event(self.AuditExportMade, timestamp=at, **facts)

    @event(AuditAccessMade)
    def _apply_access(self) -> None:
        pass  # Nothing is decided by who has read what.

    @event(AuditExportMade)
    def _apply_export(self) -> None:
        pass
