"""Show an auditor what a document says, for a case: recorded first, shown afterwards."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from hub.application.exchanges import Evidence, evidence_of
from hub.application.lane import Lane, Receipts, Recorded
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.ports import ContentStore, EventLog, RequestKey
from hub.application.replay import STRETCH_EVENTS_MAX, aggregates_of, opened_exchange
from hub.application.session import Session
from hub.application.vault import Vault
from hub.errors import CaseReferenceMissing, ContentLost, RequestMalformed
from hub.proof.leaf import Event

CASE_CHARS_MAX = 64
_CASE = re.compile(rf"[^\W_][\w./:-]{{0,{CASE_CHARS_MAX - 1}}}")
STATEMENTS, ATTACHMENT, EXPORT = "statements", "attachment", "export"


@dataclass(frozen=True, slots=True)
class Access:
    """Who reads what of which document, for which case, under which request."""

    auditor: str
    request_id: str
    case: str
    exchange_id: UUID

    def require_case(self) -> None:
        """Refuse without a case, and what is no file number: it stands in the log for ever.

        Raises CaseReferenceMissing, RequestMalformed.
        """
        if not self.case.strip():
            raise CaseReferenceMissing(
                "subject and content are shown for a case only; name its reference",
                field="case_reference",
            )
        if not _CASE.fullmatch(self.case) or not unicodedata.is_normalized("NFC", self.case):
            raise RequestMalformed(
                f"case_reference must have 1 to {CASE_CHARS_MAX} letters, digits and . _ / : -,"
                " without spaces, composed, and begin with a letter or digit",
                field="case_reference",
            )


@dataclass(frozen=True, slots=True)
class NoteAccess:
    """Record that an auditor is about to be shown something of a document."""

    access: Access
    read: str
    attachment: int  # -1 where it is not about one; how many there are, for an export.

    @property
    def request(self) -> RequestKey:
        """Bound to the auditor, the case, and what is read."""
        access = self.access
        parts = (self.read, str(self.attachment), access.case, str(access.exchange_id))
        digest = hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).digest()
        # Auditors have request ids of their own, whatever they are called.
        return RequestKey(f"auditor:{access.auditor}", access.request_id, digest)

    def decide(self, session: Session) -> None:
        """Record `AuditAccessMade` or `AuditExportMade`."""
        access = self.access
        trail = session.history.audit_trail(access.exchange_id, session.at)
        facts = {
            "exchange": str(access.exchange_id),
            "case": access.case,
            "by": access.auditor,
            "request_id": access.request_id,
        }
        if self.read == EXPORT:
            trail.note_export(at=session.at, attachments=self.attachment, **facts)
        else:
            trail.note_access(at=session.at, read=self.read, attachment=self.attachment, **facts)
        session.record(trail, self.request, access.exchange_id)


@dataclass(frozen=True, slots=True)
class Lost:
    """A statement that is no longer to be had: where it is recorded, and why it is not."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of an attachment, from `offset` on."""

    attachment: int
    offset: int
    data: bytes


class CaseReading:
    """What an auditor may read of documents.

    Each method first records the access and waits for its receipt, so for a checkpoint that
    covers it, and hands nothing out before. The same request again is the same access.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        lane: Lane,
        receipts: Receipts,
        content: ContentStore,
        vault: Vault,
        offload: Offloader,
    ) -> None:
        self._log = log
        self._lane = lane
        self._receipts = receipts
        self._content = content
        self._vault = vault
        self._offload = offload

    async def statements(self, access: Access) -> AsyncIterator[Recorded | Evidence | Lost]:
        """The record of the access, then every statement about a document, in order."""
        opened = await self._opened(access)
        yield await self._lane.do(NoteAccess(access, STATEMENTS, -1))
        async for statement in self._statements(opened):
            yield statement

    async def attachment(
        self, access: Access, index: int, offset: int
    ) -> AsyncIterator[Recorded | Piece]:
        """The record of the access, then one attachment from `offset` to its end.

        Raises RequestMalformed for none such, ContentLost.
        """
        opened = await self._opened(access)
        _require_place(opened, index, offset, last=False)
        yield await self._lane.do(NoteAccess(access, ATTACHMENT, index))
        async for piece in self._pieces(opened, index, offset):
            yield piece

    async def export(
        self, access: Access, index: int, offset: int
    ) -> AsyncIterator[Recorded | Evidence | Lost | Piece]:
        """The record of the export, every statement, then the attachments from a place on.

        Raises RequestMalformed for a place that is none, ContentLost.
        """
        opened = await self._opened(access)
        _require_place(opened, index, offset, last=True)
        count = len(opened.data["attachments"])
        yield await self._lane.do(NoteAccess(access, EXPORT, count))
        async for statement in self._statements(opened):
            yield statement
        for number in range(index, count):
            async for piece in self._pieces(opened, number, offset if number == index else 0):
                yield piece

    async def _opened(self, access: Access) -> Event:
        access.require_case()
        _, opened = await self._offload(
            lambda: opened_exchange(self._log, self._receipts, access.exchange_id)
        )
        return opened

    async def _statements(self, opened: Event) -> AsyncIterator[Evidence | Lost]:
        ids, position, size = aggregates_of(opened), 0, self._receipts.size
        while True:
            read = partial(self._log.entries_of, ids, position, STRETCH_EVENTS_MAX)
            page = await self._offload(read)
            for entry in page:
                if entry.position >= size:
                    return
                event = read_event(entry.state)
                if "statement" in event.data:
                    yield await self._offload(partial(self._statement, entry.position))
            if len(page) < STRETCH_EVENTS_MAX:
                return
            position = page[-1].position + 1

    def _statement(self, position: int) -> Evidence | Lost:
        recorded = self._receipts.receipt(position)
        try:
            return evidence_of(recorded, self._receipts, self._log, self._vault)
        except ContentLost as error:
            return Lost(position, error.reason)

    async def _pieces(self, opened: Event, index: int, offset: int) -> AsyncIterator[Piece]:
        key = await self._offload(lambda: self._vault.key_of(opened.id))
        size = opened.data["attachments"][index]["size"]
        parts = self._content.read(opened.id, index, size, key, offset)
        while (part := await self._offload(lambda: next(parts, None))) is not None:
            yield Piece(index, offset, part)
            offset += len(part)


def _require_place(opened: Event, index: int, offset: int, *, last: bool) -> None:
    """Refuse a place that no attachment has; `last` allows that behind all of them."""
    attachments = opened.data["attachments"]
    if index < len(attachments) and offset <= attachments[index]["size"]:
        return
    if not (last and index == len(attachments) and offset == 0):
        raise RequestMalformed("no such attachment, or an offset beyond its end")
