"""What the hub itself records of the axis, decided in the lane: nothing twice, nothing too late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from hub.application.agencies import operator_request
from hub.application.commands import numbered
from hub.application.lane import NothingRecorded
from hub.application.ports import RelayRow, RequestKey, SealedPayload
from hub.application.session import Session
from hub.application.standing import Addressee
from hub.application.vault import Vault
from hub.domain.axis_link import AxisLink, ListedOnAxis
from hub.domain.delivery import STATE_OF_CODE, RecallState
from hub.domain.exchange import AXIS, ContentRecord, Exchange, UnsignedRecord
from hub.domain.relay import Direction, Relay, RelayKind, RelayState, arrival_id
from hub.errors import RecallNotOpen, Unavailable
from hub.proof.statements import Envelope

# --- To the axis ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QueueRelay:
    """A package is made and stored; `package` is its SHA-256 in hexadecimal, or empty."""

    row: RelayRow
    sender: str
    addressed: tuple[str, ...]
    agencies: tuple[str, ...]
    package: str
    package_bytes: int
    request_bytes: int
    request: RequestKey | None = None

    def decide(self, session: Session) -> None:
        """Record `RelayQueued`, unless something else has happened to it meanwhile."""
        relay = _relay(session, self.row, RelayState.WAITING)
        for agency in self.agencies:
            if session.history.delivery(self.row.exchange_id, agency, session.at).expired:
                raise NothingRecorded("its sender's limit has passed meanwhile")
        relay.queue(
            at=session.at,
            exchange=str(self.row.exchange_id),
            sender=self.sender,
            agency=self.row.agency,
            kind=self.row.kind.value,
            code=self.row.status,
            addressed=list(self.addressed),
            agencies=list(self.agencies),
            package=self.package,
            package_bytes=self.package_bytes,
            request_bytes=self.request_bytes,
        )
        session.record(relay)


@dataclass(frozen=True, slots=True)
class MarkSent:
    """The axis took a package."""

    row: RelayRow
    axis_id: str
    request: RequestKey | None = None

    def decide(self, session: Session) -> None:
        """Record `RelaySent`, or `AxisStatusSent`; also where it was parked while it went."""
        relay = session.history.relay(self.row.relay_id, session.at)
        if relay.state is RelayState.SENT:
            raise NothingRecorded("it is recorded as sent already")
        relay.sent(at=session.at, axis_id=self.axis_id)
        session.record(relay)


@dataclass(frozen=True, slots=True)
class MarkFailed:
    """An attempt failed, and is repeated at `again_at`."""

    row: RelayRow
    reason: str
    code: str
    again_at: datetime
    request: RequestKey | None = None

    def decide(self, session: Session) -> None:
        """Record `RelayFailed`."""
        relay = _relay(session, self.row, RelayState.QUEUED, RelayState.FAILED)
        relay.fail(at=session.at, reason=self.reason, code=self.code, again_at=self.again_at)
        session.record(relay)


@dataclass(frozen=True, slots=True)
class SplitRelay:
    """Each receiver of a package gets one of its own."""

    row: RelayRow
    code: str
    agencies: tuple[str, ...]
    request: RequestKey | None = None

    def decide(self, session: Session) -> None:
        """Record `RelaySplit`."""
        relay = _relay(session, self.row, RelayState.WAITING, RelayState.QUEUED, RelayState.FAILED)
        relay.split(
            at=session.at,
            exchange=self.row.exchange_id,
            kind=self.row.kind,
            code=self.code,
            agencies=list(self.agencies),
        )
        session.record(relay)


@dataclass(frozen=True, slots=True)
class HoldRelay:
    """A package cannot go on by itself."""

    row: RelayRow
    reason: str
    code: str = ""
    request: RequestKey | None = None

    def decide(self, session: Session) -> None:
        """Record `RelayParked`."""
        relay = _relay(session, self.row, RelayState.WAITING, RelayState.QUEUED, RelayState.FAILED)
        relay.park(
            at=session.at,
            exchange=self.row.exchange_id,
            sender=relay.sender,
            direction=self.row.direction,
            kind=self.row.kind,
            reason=self.reason,
            code=self.code,
            axis_id=self.row.axis_id,
            package=self.row.package.hex(),
            package_bytes=self.row.package_bytes,
        )
        session.record(relay)


def _relay(session: Session, row: RelayRow, *expected: RelayState) -> Relay:
    relay = session.history.relay(row.relay_id, session.at)
    if relay.state not in expected:
        raise NothingRecorded(f"it is {relay.state.name.lower()} meanwhile")
    return relay


# --- From the axis ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParkArrival:
    """A package that came is stored, and cannot be delivered by itself.

    Or none came: then what the axis replied instead is.
    """

    exchange_id: UUID
    axis_id: str
    kind: RelayKind
    reason: str
    package: str = ""
    package_bytes: int = -1
    code: str = ""
    reply: str = ""
    reply_bytes: int = -1
    request: RequestKey | None = None

    def decide(self, session: Session) -> None:
        """Record `RelayParked`; once, and again after it was resumed."""
        relay = session.history.relay(arrival_id(self.exchange_id), session.at)
        if relay.state is RelayState.PARKED:
            raise NothingRecorded("it is parked already")
        relay.park(
            at=session.at,
            exchange=self.exchange_id,
            sender="",
            direction=Direction.IN,
            kind=self.kind,
            reason=self.reason,
            code=self.code,
            axis_id=self.axis_id,
            package=self.package,
            package_bytes=self.package_bytes,
            reply=self.reply,
            reply_bytes=self.reply_bytes,
        )
        session.record(relay)


@dataclass(frozen=True, slots=True)
class TakeDocument:
    """A document came over the axis, and its content is stored.

    `document_key` is None where it is stored already. `older` is the exchange that this one
    updates or replaces.
    """

    exchange_id: UUID
    envelope: Envelope
    payload: SealedPayload
    document_key: bytes | None = field(repr=False)
    addressees: Sequence[Addressee]
    older: UUID | None
    axis_id: str
    package: str
    package_bytes: int
    is_signed: bool

    @property
    def request(self) -> RequestKey:
        """Bound to the axis's id: whatever else happens, one id makes one exchange."""
        return RequestKey(AXIS, self.envelope.header.request_id, self.payload.digest)

    def decide(self, session: Session) -> None:
        """Record `AxisDocumentTaken`, with a number in each recipient's inbox."""
        envelope = self.envelope
        self._require_still_there(session)
        numbers = session.next_inbox_seqs([each.agency for each in self.addressees])
        exchange = Exchange.take(
            exchange_id=self.exchange_id,
            at=session.at,
            sender=envelope.header.agency,
            request_id=envelope.header.request_id,
            statement=UnsignedRecord(
                payload_type=Envelope.MEDIA_TYPE, digest=self.payload.digest.hex()
            ),
            axis_id=self.axis_id,
            package=self.package,
            package_bytes=self.package_bytes,
            signed=self.is_signed,
            action=envelope.action.value,
            relates_to=envelope.relates_to,
            recipients=[
                each.consigned(number)
                for each, number in zip(self.addressees, numbers, strict=True)
            ],
            attachments=[
                ContentRecord(sha256=each.sha256, size=each.size)
                for each in envelope.document.attachments
            ],
        )
        if self.document_key is not None:
            session.add_document_key(exchange.id, self.document_key)
        session.add_payload(self.payload)
        session.record(exchange, self.request, exchange.id)
        if self.older is not None:
            older = session.history.exchange(self.older)
            older.supersede(
                at=session.at,
                replaces=envelope.action.value == "replace",
                by_exchange=exchange.id,
                by_digest=self.payload.digest.hex(),
                notices=numbered(session, older.recipients),
            )
            session.record(older)

    def _require_still_there(self, session: Session) -> None:
        """The register may have moved on since the content was stored: then it is read anew."""
        for each in self.addressees:
            receiver = session.registry.receiver(each.signed)
            if receiver is None or receiver.code != each.agency or receiver.suspended:
                raise Unavailable("the register has changed meanwhile")


@dataclass(frozen=True, slots=True)
class TakeStatus:
    """The axis says what a recipient behind it says of a document."""

    exchange_id: UUID
    agency: str
    code: str
    relay: UUID
    axis_id: str
    report: bytes
    vault: Vault = field(repr=False)
    request: RequestKey | None = None

    def decide(self, session: Session) -> None:
        """Record `AxisStatusTaken`, each code of a recipient once.

        Raises RecallNotOpen for an answer to a recall that nobody asked for.
        """
        exchange = session.history.exchange(self.exchange_id)
        delivery = session.history.delivery(self.exchange_id, self.agency, session.at)
        if exchange.erased or self.code in delivery.axis_codes:
            raise NothingRecorded("it is known already, or the document was erased")
        if self.code not in STATE_OF_CODE:
            if not exchange.is_recalled_at(self.agency):
                raise RecallNotOpen("there is no open recall of this document to answer")
            if delivery.recall is not RecallState.NONE:
                raise NothingRecorded("the recall was answered already")
        sealed = _sealed_report(self.vault, self.exchange_id, self.report)
        delivery.take_status(
            at=session.at,
            code=self.code,
            exchange=str(self.exchange_id),
            agency=self.agency,
            sender=exchange.sender,
            outbox_seq=session.next_outbox_seq(exchange.sender),
            envelope_digest=exchange.envelope_digest,
            relay=str(self.relay),
            axis_id=self.axis_id,
            report=sealed.digest.hex(),
        )
        session.add_payload(sealed)
        session.record(delivery)


@dataclass(frozen=True, slots=True)
class TakeRecall:
    """The axis says that the sender of a document wants it back from these recipients."""

    exchange_id: UUID
    agencies: tuple[str, ...]
    form: str
    relay: UUID
    axis_id: str
    report: bytes
    vault: Vault = field(repr=False)
    request: RequestKey | None = None

    def decide(self, session: Session) -> None:
        """Record `AxisRecallTaken` for those who were not asked before."""
        exchange = session.history.exchange(self.exchange_id)
        asked = [each for each in self.agencies if not exchange.is_recalled_at(each)]
        if exchange.erased or not asked:
            raise NothingRecorded("they were asked before, or the document was erased")
        sealed = _sealed_report(self.vault, self.exchange_id, self.report)
        exchange.take_recall(
            at=session.at,
            notices=numbered(session, asked),
            form=self.form,
            relay=str(self.relay),
            axis_id=self.axis_id,
            report=sealed.digest.hex(),
        )
        session.add_payload(sealed)
        session.record(exchange)


def _sealed_report(vault: Vault, exchange_id: UUID, report: bytes) -> SealedPayload:
    key = vault.key_of(exchange_id)
    return vault.seal_payload(exchange_id, sha256(report).digest(), report, key)


# --- By operators, and of the axis as a whole ---------------------------------------------


@dataclass(frozen=True, slots=True)
class ParkRelay:
    """An operator lets a package wait."""

    operator: str
    request_id: str
    row: RelayRow
    reason: str

    @property
    def request(self) -> RequestKey:
        """Bound to the operator, the package and the reason."""
        return operator_request(
            self.operator, self.request_id, "park", str(self.row.relay_id), self.reason
        )

    def decide(self, session: Session) -> None:
        """Record `RelayParked`."""
        relay = session.history.relay(self.row.relay_id, session.at)
        relay.park(
            at=session.at,
            exchange=self.row.exchange_id,
            sender=relay.sender,
            direction=self.row.direction,
            kind=self.row.kind,
            reason=self.reason,
            axis_id=self.row.axis_id,
            package=self.row.package.hex(),
            package_bytes=self.row.package_bytes,
            by=self.operator,
            request_id=self.request_id,
        )
        session.record(relay, self.request, self.row.exchange_id)


@dataclass(frozen=True, slots=True)
class ResumeRelay:
    """An operator lets a package go on, now."""

    operator: str
    request_id: str
    row: RelayRow

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and the package."""
        return operator_request(self.operator, self.request_id, "resume", str(self.row.relay_id))

    def decide(self, session: Session) -> None:
        """Record `RelayResumed`."""
        relay = session.history.relay(self.row.relay_id, session.at)
        relay.resume(at=session.at, by=self.operator, request_id=self.request_id)
        session.record(relay, self.request, self.row.exchange_id)


@dataclass(frozen=True, slots=True)
class SynchroniseDirectory:
    """The axis's list of organisations has changed."""

    changes: list[ListedOnAxis]
    listed: int
    request: RequestKey | None = None

    def decide(self, session: Session) -> None:
        """Record `DirectorySynchronised`."""
        link = AxisLink.begin(session.new_id(), session.at)
        link.synchronise(at=session.at, changes=self.changes, listed=self.listed)
        session.record(link)


@dataclass(frozen=True, slots=True)
class RecordReconciliation:
    """Our ledger was held against the axis's lists; `report` says what was found."""

    report: bytes
    compared: int
    differences: int
    waiting: int
    unsent: int
    unanswered: int
    operator: str = ""
    request_id: str = ""

    @property
    def request(self) -> RequestKey | None:
        """Bound to the operator, if one asked: a repeated call gets the first report."""
        if not self.request_id:
            return None
        return operator_request(self.operator, self.request_id, "reconcile")

    def decide(self, session: Session) -> None:
        """Record `ReconciliationMade`, and keep the report as evidence."""
        digest = sha256(self.report).digest()
        link = AxisLink.begin(session.new_id(), session.at)
        link.reconcile(
            at=session.at,
            report=digest.hex(),
            compared=self.compared,
            differences=self.differences,
            waiting=self.waiting,
            unsent=self.unsent,
            unanswered=self.unanswered,
            by=self.operator,
            request_id=self.request_id,
        )
        session.add_evidence(digest, self.report)
        session.record(link, self.request)
