"""Look for documents: what an agency received and sent, and who is late with it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from hub.application.offload import Offloader
from hub.application.ports import (
    Clock,
    DeliveryRow,
    DocumentFilter,
    DocumentLists,
    DocumentRow,
    Tally,
)
from hub.application.registry import Registry
from hub.domain.deadlines import Late, LateRule, Passed, lateness
from hub.domain.working_days import WorkingDays
from hub.errors import RequestMalformed

_PLACE_BYTES, _BINDING_BYTES = 8, 16


@dataclass(frozen=True, slots=True)
class LateRecipients:
    """A rule that recipients are late by, since when, and how many they are."""

    late: Late
    recipients: int


@dataclass(frozen=True, slots=True)
class Received:
    """A document in an agency's inbox, and the rules that agency is late by."""

    delivery: DeliveryRow
    document: DocumentRow
    late: Sequence[LateRecipients]


@dataclass(frozen=True, slots=True)
class Sent:
    """A document an agency sent, its deliveries counted, and the rules some are late by."""

    document: DocumentRow
    tallies: Sequence[Tally]
    late: Sequence[LateRecipients]


@dataclass(frozen=True, slots=True)
class ReceivedPage:
    """Some of what an agency received. `next_token` is empty on the last page."""

    documents: Sequence[Received]
    next_token: str


@dataclass(frozen=True, slots=True)
class SentPage:
    """Some of what an agency sent. `next_token` is empty on the last page."""

    documents: Sequence[Sent]
    next_token: str


class Listing:
    """What an agency may ask about its documents at large. Reads only."""

    def __init__(
        self,
        *,
        lists: DocumentLists,
        registry: Callable[[], Registry],
        calendar: WorkingDays,
        offload: Offloader,
        clock: Clock,
    ) -> None:
        self._lists = lists
        self._registry = registry
        self._calendar = calendar
        self._offload = offload
        self._clock = clock

    async def received(
        self, agency: str, wanted: DocumentFilter, token: str, limit: int
    ) -> ReceivedPage:
        """Documents an agency received, newest first. Raises RequestMalformed for the token."""
        binding = _binding(agency, "received", wanted)
        before = _place_in(token, binding)
        calendar, passed = self._deadlines()
        found = await self._offload(
            lambda: self._lists.received(agency, wanted, passed, before, limit)
        )
        documents = [
            Received(row, document, _late_of_one(row, document, calendar, passed))
            for row, document in found.rows
        ]
        return ReceivedPage(documents, _token(found.next_before, binding))

    async def sent(self, agency: str, wanted: DocumentFilter, token: str, limit: int) -> SentPage:
        """Documents an agency sent, newest first. Raises RequestMalformed for the token."""
        binding = _binding(agency, "sent", wanted)
        before = _place_in(token, binding)
        calendar, passed = self._deadlines()
        found = await self._offload(lambda: self._lists.sent(agency, wanted, passed, before, limit))
        documents = [
            Sent(document, tallies, _late_of_all(document, tallies, calendar, passed))
            for document, tallies in found.rows
        ]
        return SentPage(documents, _token(found.next_before, binding))

    def _deadlines(self) -> tuple[WorkingDays, Passed]:
        calendar = calendar_of(self._registry(), self._calendar)
        return calendar, Passed.at(calendar, self._clock())


def calendar_of(registry: Registry, base: WorkingDays) -> WorkingDays:
    """The calendar as a register knows it: that of today, or of any earlier position."""
    corrections = {day: entry.working for day, entry in registry.calendar.items()}
    return replace(base, corrections=corrections)


# --- Who is late ------------------------------------------------------------------


def _late_of_one(
    row: DeliveryRow, document: DocumentRow, calendar: WorkingDays, passed: Passed
) -> list[LateRecipients]:
    return _late_of_all(document, [Tally(row.state, row.recall, row.expired, 1)], calendar, passed)


def _late_of_all(
    document: DocumentRow, tallies: Sequence[Tally], calendar: WorkingDays, passed: Passed
) -> list[LateRecipients]:
    """The rules that any of these deliveries are late by, each with how many."""
    found: dict[LateRule, LateRecipients] = {}
    for tally in tallies:
        for late in lateness(
            accepted_at=document.accepted_at,
            due_on=document.due_on,
            state=tally.state,
            recall=tally.recall,
            expired=tally.expired,
            replaced=document.replaced_by is not None or document.erased,
            calendar=calendar,
            passed=passed,
        ):
            # Since when depends on the document alone, so all are late since the same instant.
            before = found[late.rule].recipients if late.rule in found else 0
            found[late.rule] = LateRecipients(late, before + tally.count)
    return [found[rule] for rule in sorted(found)]


# --- Page tokens ------------------------------------------------------------------


def _binding(agency: str, which: str, wanted: DocumentFilter) -> bytes:
    """What a token is good for: one list of one agency, through one filter.

    Not a secret: a forged token leads to a place in the forger's own list.
    """
    asked = json.dumps([agency, which, asdict(wanted)], default=str)
    return hashlib.sha256(asked.encode()).digest()[:_BINDING_BYTES]


def _token(place: int | None, binding: bytes) -> str:
    if place is None:
        return ""
    return base64.urlsafe_b64encode(place.to_bytes(_PLACE_BYTES, "big") + binding).decode()


def _place_in(token: str, binding: bytes) -> int | None:
    if not token:
        return None
    try:
        data = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    place = int.from_bytes(data[:_PLACE_BYTES], "big")
    # Above 63 bits no database could compare it.
    if data[_PLACE_BYTES:] != binding or place >> 63:
        raise RequestMalformed(
            "page_token is none of this list with this filter; begin again without it",
            field="page_token",
        )
    return place
