"""Lists of documents, with filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from hub.application.ports.views import DeliveryRow, DocumentRow
from hub.domain.deadlines import Passed
from hub.domain.delivery import DeliveryState, RecallState


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """Which documents of a list are wanted: all that is given must hold.

    `states` are those of a delivery, any of them. `other_agency` is the sender of what was
    received, a recipient of what was sent. `type` is a kind's name or code, `code` a part of
    number and notation, both folded; `words` are folded words of the subject, all of which
    must occur. Ranges of time include their beginning and not their end; ranges of dates
    include both. `overdue_only` keeps what is late, see `hub.domain.deadlines`. What was
    recalled with consent is not found by its words.
    """

    states: tuple[DeliveryState, ...] = ()
    other_agency: str = ""
    type: str = ""
    priorities: tuple[str, ...] = ()
    code: str = ""
    words: tuple[str, ...] = ()
    accepted_from: datetime | None = None
    accepted_before: datetime | None = None
    issued_from: date | None = None
    issued_to: date | None = None
    overdue_only: bool = False
    recalled: bool | None = None
    replaced: bool | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many deliveries of one document stand alike."""

    state: DeliveryState
    recall: RecallState
    expired: bool
    count: int


@dataclass(frozen=True, slots=True)
class ReceivedRows:
    """A stretch of what an agency received. `next_before` is None when nothing is older."""

    rows: Sequence[tuple[DeliveryRow, DocumentRow]]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class SentRows:
    """A stretch of what an agency sent, each with all its deliveries counted."""

    rows: Sequence[tuple[DocumentRow, Sequence[Tally]]]
    next_before: int | None


class DocumentLists(Protocol):
    """What an agency received and sent, newest first. Untrusted and disposable, like Views.

    A call looks at a bounded number of rows, whatever the filter, and so may return fewer
    than `limit`, or none, while older ones fit: `next_before` says where to go on. It names
    a place that later documents do not move.
    """

    def received(
        self, agency: str, wanted: DocumentFilter, passed: Passed, before: int | None, limit: int
    ) -> ReceivedRows:
        """Documents in an agency's inbox with an `inbox_seq` below `before`, by falling one."""
        ...

    def sent(
        self, agency: str, wanted: DocumentFilter, passed: Passed, before: int | None, limit: int
    ) -> SentRows:
        """Documents an agency sent with a position below `before`, by falling position.

        What the filter says of deliveries must hold for one of them, all of it.
        """
        ...
