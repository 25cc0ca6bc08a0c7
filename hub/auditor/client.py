"""An auditor's connection to the hub: replay, and documents for a case."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

import grpc

from hub.auditor.bundling import CaseSource
from hub.auditor.ranges import Wanted, timestamp_of
from hub.auditor.stream import EventStream, Logged, Progress
from hub.client.answers import VerifiedStatement, enrolment_of, receipt_of, statement_of
from hub.client.bundling import make_bundle
from hub.client.client import consistency_of
from hub.client.errors import ProfileInvalid, UnexpectedAnswer, error_of
from hub.client.line import Line
from hub.client.memory import CheckpointMemory
from hub.client.profile import ClientProfile
from hub.client.retry import RetryPolicy, given_up, is_repeatable, repeat
from hub.client.roots import follower_of
from hub.client.state import StateDirectory
from hub.client.verification import ReceiptVerifier
from hub.errors import VerificationFailed
from hub.proof.bundle import Bundle
from hub.proof.evidence import ReceiptFile
from hub.proof.receipt import Receipt, VerifiedReceipt
from hub.v1 import audit_service_pb2 as calls
from hub.v1 import exchange_pb2 as wire

ACCESS_TOPIC = "hub.Log.AuditAccessMade"
# Millions of rows are counted in some seconds; nobody waits for it but an auditor.
_COUNTING_S = 300.0
EXPORT_TOPIC = "hub.Log.AuditExportMade"


@dataclass(frozen=True, slots=True)
class Case:
    """What a document is read for: the case's reference, and the request that names this access.

    The same request again is the same access, so a call that broke off is repeated under it.
    """

    reference: str
    request_id: str

    @classmethod
    def of(cls, reference: str, request_id: str | None = None) -> Case:
        """An access for this case; a new one unless a request is named."""
        return cls(reference, request_id or str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class Access:
    """The hub's record of an access, verified: who read what, and for which case."""

    receipt: Receipt
    fact: VerifiedReceipt

    def evidence(self) -> bytes:
        """The receipt file of the record."""
        return ReceiptFile(self.receipt).format()


@dataclass(frozen=True, slots=True)
class Lost:
    """A statement that is no longer to be had: where it is recorded, and the hub's reason."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class Statements:
    """Everything that was signed about a document, verified, by rising position."""

    access: Access
    said: Mapping[int, VerifiedStatement]
    lost: Mapping[int, Lost]


@dataclass(slots=True)
class _Place:
    """The byte of an attachment that comes next."""

    attachment: int
    offset: int

    def follows(self, piece: calls.AttachmentPiece) -> bool:
        """Whether a piece comes next: here, or where the next attachments begin."""
        if piece.attachment_index == self.attachment:
            return piece.offset == self.offset
        return piece.attachment_index > self.attachment and piece.offset == 0

    def go_on(self, piece: Piece) -> None:
        """Behind a piece."""
        self.attachment, self.offset = piece.attachment, piece.offset + len(piece.data)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of an attachment, from `offset` on."""

    attachment: int
    offset: int
    data: bytes


class Period(StrEnum):
    """How long a period of the statistics is."""

    DAY = "day"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


_PERIODS = {
    Period.DAY: calls.PERIOD_DAY,
    Period.MONTH: calls.PERIOD_MONTH,
    Period.QUARTER: calls.PERIOD_QUARTER,
    Period.YEAR: calls.PERIOD_YEAR,
}


@dataclass(frozen=True, slots=True)
class FiguresRow:
    """The counts of one agency and kind of document in one period."""

    period_start: date
    agency: str
    kind: str
    sent: int
    received: int
    answered: int
    late: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of every event before `position`, lateness judged at `at`."""

    position: int
    at: datetime
    time_zone: str
    rows: tuple[FiguresRow, ...]


class AuditClient:
    """An auditor's connection; open it with `AuditClient.open`. Errors as with `HubClient`."""

    def __init__(self, line: Line, verifier: ReceiptVerifier) -> None:
        self._line = line
        self._verifier = verifier

    @classmethod
    @asynccontextmanager
    async def open(
        cls, profile: ClientProfile, *, policy: RetryPolicy | None = None
    ) -> AsyncIterator[AuditClient]:
        """A client with this auditor's profile, until the `async with` block ends.

        Raises ProfileInvalid, StateInUse and StateDamaged.
        """
        # Before the state folder is touched: it belongs for ever to whoever opens it first.
        if profile.agency is not None:
            raise ProfileInvalid(f"the profile is that of {profile.agency}, not of an auditor")
        trust = profile.read_trusted_root()
        # Under the name RegistryClient uses too: a profile does not say which of both it is, and
        # whoever takes the wrong one must not spoil the folder for the right one.
        with StateDirectory(profile.state, f"{profile.hub} operator") as state:
            memory = CheckpointMemory(state.folder("checkpoints"))
            line = Line(profile, policy or RetryPolicy())
            try:
                verifier = ReceiptVerifier(
                    trust,
                    profile.hub,
                    memory,
                    consistency_of(line),
                    follower_of(state, trust, line),
                )
                yield cls(line, verifier)
            finally:
                await line.close()
                memory.close()

    def events(
        self,
        wanted: Wanted,
        *,
        complete: bool = False,
        progress: Progress = lambda first, reached, end: None,
    ) -> EventStream:
        """Replay a stretch of history; see EventStream for what it proves.

        `complete` streams the whole range whatever the filter: then it is also proven that
        nothing was left out, and who iterates filters with `Wanted.fits`.
        """
        asked = wanted.unfiltered() if complete else wanted
        return EventStream(self._line, self._verifier, asked, progress)

    async def story(self, exchange_id: str, end: int | None = None) -> list[Logged]:
        """All events of a document, each proven. Raises ExchangeUnknown."""
        wanted = Wanted(exchange_id=exchange_id, end=end)
        return [logged async for logged in self.events(wanted)]

    async def read_statements(self, case: Case, exchange_id: str) -> Statements:
        """Everything that was signed about a document; the hub records that it was read.

        Raises CaseReferenceMissing and ExchangeUnknown.
        """
        request = calls.ReadStatementsRequest(
            request_id=case.request_id, case_reference=case.reference, exchange_id=exchange_id
        )

        async def attempt(deadline_s: float) -> list[calls.ReadStatementsResponse]:
            call = self._line.audit.ReadStatements(request, timeout=deadline_s)
            return [response async for response in call]

        parts = await repeat(self._line.policy, attempt)
        first = parts.pop(0) if parts else None
        access = await self._access(first, ACCESS_TOPIC, case, exchange_id, read="statements")
        said: dict[int, VerifiedStatement] = {}
        lost: dict[int, Lost] = {}
        for part in parts:
            match await self._statement(part):
                case VerifiedStatement() as statement:
                    said[statement.position] = statement
                case Lost() as missing:
                    lost[missing.position] = missing
        return Statements(access, said, lost)

    async def bundle(
        self,
        case: Case,
        exchange_id: str,
        *,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Bundle:
        """Everything about a document as one file that stands alone; the hub records the access.

        The very bundle that its sender could make, but for statements that are no longer to be
        had. Raises as `read_statements`, and TooLarge.
        """
        said = (await self.read_statements(case, exchange_id)).said
        source = CaseSource(self._line, self._verifier, said)
        return await make_bundle(source, exchange_id, self._verifier.trust, progress=progress)

    async def read_attachment(
        self, case: Case, exchange_id: str, index: int, offset: int = 0
    ) -> AsyncIterator[Access | Piece]:
        """The record of the access, then one attachment from a byte on, over any breaks.

        The bytes are as the hub sends them: hold them against the signed envelope.
        """
        place = _Place(index, offset)

        def call() -> Any:
            request = calls.ReadAttachmentRequest(
                request_id=case.request_id,
                case_reference=case.reference,
                exchange_id=exchange_id,
                attachment_index=index,
                offset=place.offset,
            )
            timeout = self._line.policy.stream_deadline_s
            return self._line.audit.ReadAttachment(request, timeout=timeout)

        recorded = False
        async for message in self._resumed(call, place):
            if message.WhichOneof("part") == "data" and recorded:
                piece = Piece(index, place.offset, message.data)
                yield piece
                place.go_on(piece)
                continue
            access = await self._access(
                message, ACCESS_TOPIC, case, exchange_id, read="attachment", attachment=index
            )
            if not recorded:
                yield access
            recorded = True

    async def export(
        self, case: Case, exchange_id: str
    ) -> AsyncIterator[Access | VerifiedStatement | Lost | Piece]:
        """The record of the export, every statement, and every attachment piece by piece.

        Over a break it goes on at a byte; statements may then come once more. The content is
        as the hub sends it: hold it against the signed envelope.
        """
        place = _Place(0, 0)

        def call() -> Any:
            request = calls.ExportDocumentRequest(
                request_id=case.request_id,
                case_reference=case.reference,
                exchange_id=exchange_id,
                attachment_index=place.attachment,
                offset=place.offset,
            )
            timeout = self._line.policy.stream_deadline_s
            return self._line.audit.ExportDocument(request, timeout=timeout)

        recorded = False
        async for message in self._resumed(call, place):
            kind = message.WhichOneof("part")
            if kind == "access" or not recorded:
                access = await self._access(message, EXPORT_TOPIC, case, exchange_id)
                if not recorded:
                    yield access
                recorded = True
            elif kind == "piece":
                if not place.follows(message.piece):
                    raise VerificationFailed("the content has a gap", step="content")
                item = message.piece
                piece = Piece(item.attachment_index, item.offset, item.data)
                yield piece
                place.go_on(piece)
            else:
                yield await self._statement(message)

    async def statistics(
        self,
        period: Period,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        agency: str = "",
    ) -> Statistics:
        """Figures by period, agency and kind of document, by the hub's count.

        Only documents accepted from `start` on and before `end`. Raises TooLarge.
        """
        request = calls.GetStatisticsRequest(
            period=_PERIODS[period],
            start_time=timestamp_of(start),
            end_time=timestamp_of(end),
            agency=agency,
        )

        async def attempt(deadline_s: float) -> list[calls.GetStatisticsResponse]:
            call = self._line.audit.GetStatistics(request, timeout=deadline_s)
            return [response async for response in call]

        parts = await repeat(replace(self._line.policy, deadline_s=_COUNTING_S), attempt)
        if not parts or not parts[0].HasField("header"):
            raise UnexpectedAnswer("figures without what they are of")
        header = parts[0].header
        checkpoint = await self._verifier.advance(header.checkpoint)
        if header.position > checkpoint.size:
            raise VerificationFailed("the figures go beyond their checkpoint", step="statistics")
        return Statistics(
            position=header.position,
            at=header.as_of_time.ToDatetime(UTC),
            time_zone=header.time_zone,
            rows=tuple(_figures(row) for part in parts for row in part.rows),
        )

    async def _resumed(self, call: Callable[[], Any], place: _Place) -> AsyncIterator[Any]:
        """The messages of a stream, taken up again where it stands when it breaks off."""
        attempt = 0
        while True:
            begun_at = (place.attachment, place.offset)
            try:
                async for message in call():
                    yield message
                return
            except grpc.RpcError as broken:
                error = error_of(broken)
                if not is_repeatable(error):
                    raise error from broken
                moved = (place.attachment, place.offset) != begun_at
                attempt = 0 if moved else attempt + 1
                if attempt >= self._line.policy.attempts_max:
                    raise given_up(attempt, error) from broken
                await self._line.policy.pause(attempt, broken)

    async def _access(
        self, message: Any, topic: str, case: Case, exchange_id: str, **facts: object
    ) -> Access:
        """The record an answer must begin with, verified and held against what was asked."""
        if message is None or message.WhichOneof("part") != "access":
            raise UnexpectedAnswer("what was read came without the record of the access")
        receipt = receipt_of(message.access)
        fact = await self._verifier.verify(receipt)
        asked = {
            "exchange": exchange_id,
            "case": case.reference,
            "request_id": case.request_id,
            **facts,
        }
        recorded = fact.event.data
        if fact.event.topic != topic or any(recorded.get(name) != asked[name] for name in asked):
            raise VerificationFailed("the recorded access is another one", step="fact")
        return Access(receipt, fact)

    async def _statement(self, message: Any) -> VerifiedStatement | Lost:
        if message.WhichOneof("part") == "lost":
            return Lost(message.lost.position, message.lost.reason)
        if message.WhichOneof("part") != "evidence":
            raise UnexpectedAnswer("a part of an answer that is unknown here")
        evidence: wire.StatementEvidence = message.evidence
        return await self._verifier.verify_statement(
            receipt_of(evidence.receipt),
            statement_of(evidence.statement),
            enrolment_of(evidence.enrolment),
        )


def _figures(row: calls.StatisticsRow) -> FiguresRow:
    try:
        first_day = date.fromisoformat(row.period_start)
    except ValueError as error:
        raise UnexpectedAnswer("a period that does not begin on a day") from error
    return FiguresRow(
        first_day, row.agency, row.kind, row.sent, row.received, row.answered, row.late
    )
