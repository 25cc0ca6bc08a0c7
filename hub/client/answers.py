"""What a hub's answers mean to a program: typed, and checked before anyone sees them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Self

from google.protobuf.timestamp_pb2 import Timestamp

from hub.client.errors import UnexpectedAnswer
from hub.proof.dsse import SignedStatement
from hub.proof.envelope import Attachment, Document
from hub.proof.evidence import Enrolment, ReceiptFile
from hub.proof.note import parse_note
from hub.proof.receipt import Receipt, VerifiedReceipt, parse_tlog_proof
from hub.proof.statements import Envelope, Statement
from hub.v1 import exchange_pb2 as wire
from hub.v1.exchange_service_pb2 import GetLimitsResponse


class DeliveryState(IntEnum):
    """What became of a document at one recipient, in the order of the ladder.

    `UNKNOWN` stands for a state that a newer hub knows and this version does not.
    """

    UNKNOWN = 0
    CONSIGNED = 1
    COLLECTED = 2
    ARRIVED = 3
    REFUSED = 4
    ACCEPTED = 5
    ASSIGNED = 6
    PROCESSING = 7
    FINISHED = 8

    @classmethod
    def of(cls, value: int) -> DeliveryState:
        """The state of that number on the wire."""
        return cls(value) if value in set(cls) else cls.UNKNOWN


class RecallState(IntEnum):
    """Where a recall of a document stands at one recipient."""

    UNKNOWN = -1
    NONE = 0
    ASKED = 1
    AGREED = 2
    REFUSED = 3

    @classmethod
    def of(cls, value: int) -> RecallState:
        """The state of that number on the wire."""
        return cls(value) if value in set(cls) else cls.UNKNOWN


class InboxItemKind(IntEnum):
    """What an item of the inbox says: a new document, or news of an earlier one."""

    UNKNOWN = 0
    DOCUMENT = 1
    RECALL = 2
    UPDATED = 3
    REPLACED = 4
    EXPIRED = 5
    ERASED = 6
    IN_DOUBT = 7
    SIGNATURES = 8

    @classmethod
    def of(cls, value: int) -> InboxItemKind:
        """The kind of that number on the wire."""
        return cls(value) if value in set(cls) else cls.UNKNOWN


class OutboxItemKind(IntEnum):
    """What an item of the outbox says of one recipient; an erasure, of all."""

    UNKNOWN = 0
    HANDED_OVER = 1
    STATUS = 2
    RECALL_ANSWER = 3
    EXPIRED = 4
    ERASED = 5
    IN_DOUBT = 6
    AXIS_STATUS = 7
    AXIS_RECALL_ANSWER = 8

    @classmethod
    def of(cls, value: int) -> OutboxItemKind:
        """The kind of that number on the wire."""
        return cls(value) if value in set(cls) else cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class HubWarning:
    """Something the hub noticed about a statement, recorded, and did not refuse for."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A statement the hub has recorded, with the receipt that was verified on arrival.

    `fact` is what the receipt proves. `receipt_file` is where the evidence has been put;
    keep it. `statement` is None only where this client no longer holds what was signed.
    """

    exchange_id: str
    request_id: str
    receipt: Receipt
    fact: VerifiedReceipt
    warnings: tuple[HubWarning, ...]
    receipt_file: Path
    statement: SignedStatement | None

    @property
    def position(self) -> int:
        """Where the fact stands in the log, counted from 0."""
        return self.fact.position

    def evidence(self) -> bytes:
        """The receipt file, which `python -m hub.proof` checks without the hub."""
        return ReceiptFile(self.receipt, self.statement).format()


@dataclass(frozen=True, slots=True)
class CollectedDocument:
    """A document its recipient has signed for, and that has been verified throughout.

    The sender signed `envelope`, and it names this agency; `submission` proves that the hub
    accepted it then, under the certificate of `enrolment`. `handover` is the hub's answer to
    our own `collect` statement. The content comes with `HubClient.download`.

    `enrolment` is None for a document that came over the national axis: the hub made the
    envelope, nobody signed it, and the sender it names is not proven.
    """

    exchange_id: str
    envelope: Envelope
    statement: SignedStatement
    receipt: Receipt
    submission: VerifiedReceipt
    enrolment: Enrolment | None
    handover: Accepted
    receipt_file: Path

    @property
    def sender(self) -> str:
        """The code of the sending agency; only a claim unless `sender_proven`."""
        return self.envelope.header.agency

    @property
    def sender_proven(self) -> bool:
        """Whether the sender signed the envelope; false for what came over the national axis."""
        return self.enrolment is not None

    @property
    def envelope_digest(self) -> str:
        """SHA-256 of the envelope's payload in hexadecimal: its name in our statements."""
        return self.statement.digest.hex()

    @property
    def document(self) -> Document:
        """What the sender says about the document."""
        return self.envelope.document

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The attachments, as the sender signed them."""
        return self.envelope.document.attachments

    def evidence(self) -> bytes:
        """The receipt file that convicts the sender: its statement, its key, its acceptance."""
        return ReceiptFile(self.receipt, self.statement, self.enrolment).format()


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document that was collected, whose attachments are in their place.

    `files` are in the envelope's order. `arrived` is the answer to the 01 that was reported,
    None where it was switched off.
    """

    document: CollectedDocument
    files: list[Path]
    arrived: Accepted | None


@dataclass(frozen=True, slots=True)
class VerifiedDoubt:
    """That a signature is in doubt: its key was revoked later, as of `effective`."""

    receipt: Receipt
    fact: VerifiedReceipt
    effective: str

    def evidence(self) -> bytes:
        """The receipt file, which `python -m hub.proof` checks without the hub."""
        return ReceiptFile(self.receipt).format()


@dataclass(frozen=True, slots=True)
class VerifiedStatement:
    """What an agency signed and the hub recorded, verified throughout.

    `payload` is what it says. `fact` proves that the hub recorded it then, under the
    certificate of `enrolment`, which is None for an envelope that the hub made of a package of
    the national axis: nobody signed that one. `about` is the envelope it speaks of, verified
    likewise; None where `payload` is an envelope itself, and where this agency has not
    collected it. `doubt` proves that the hub put the signature in doubt; None where it did not,
    by its word.
    """

    exchange_id: str
    payload: Statement
    statement: SignedStatement
    receipt: Receipt
    fact: VerifiedReceipt
    enrolment: Enrolment | None
    about: VerifiedStatement | None = None
    doubt: VerifiedDoubt | None = None

    @property
    def author(self) -> str:
        """The code of the agency that signed it."""
        return self.payload.header.agency

    @property
    def position(self) -> int:
        """Where the fact stands in the log, counted from 0."""
        return self.fact.position

    @property
    def cosigners(self) -> tuple[str, ...]:
        """Who is named as witness in the receipt's checkpoint. Not verified here.

        That takes the witnesses' keys: `python -m hub.proof --policy`.
        """
        note = parse_note(parse_tlog_proof(self.receipt.proof).checkpoint)
        names = dict.fromkeys(line.name for line in note.signatures)
        return tuple(name for name in names if name != self.fact.checkpoint.origin)

    def evidence(self) -> bytes:
        """The receipt file that convicts the author: its statement, its key, the record."""
        return ReceiptFile(self.receipt, self.statement, self.enrolment).format()


@dataclass(frozen=True, slots=True)
class InboxItem:
    """One line of this agency's inbox: a document, or news of an earlier one.

    Only the hub's word: `HubClient.collect` proves the document, `HubClient.statement` at
    `position` a recall. `state`, `recall`, `replaced_by`, `expired` and `erased` are as of now;
    words are empty once they were erased by law; the rest never changes. `by_exchange` names the
    exchange that updated or replaced the document, where `kind` says so; `replaced_by` the one
    that replaced it. `origin` is `axis` where the document came over the national axis: its
    sender is then a claim, which nobody signed.
    """

    inbox_seq: int
    exchange_id: str
    sender: str
    envelope_digest: str
    accepted_at: datetime
    position: int
    state: DeliveryState
    code: str
    type_name: str
    subject: str
    attachment_count: int
    attachment_bytes: int
    kind: InboxItemKind
    recall: RecallState
    by_exchange: str | None
    replaced_by: str | None
    expired: bool
    erased: bool = False
    origin: str = ""

    @classmethod
    def of(cls, item: wire.InboxItem) -> InboxItem:
        """The item in a message of the hub. Raises UnexpectedAnswer."""
        return cls(
            inbox_seq=item.inbox_seq,
            exchange_id=item.exchange_id,
            sender=item.sender,
            envelope_digest=_digest(item.envelope_digest),
            accepted_at=_instant(item.accept_time),
            position=item.position,
            state=DeliveryState.of(item.state),
            code=item.code,
            type_name=item.type_name,
            subject=item.subject,
            attachment_count=item.attachment_count,
            attachment_bytes=item.attachment_bytes,
            kind=InboxItemKind.of(item.kind),
            recall=RecallState.of(item.recall),
            by_exchange=item.by_exchange or None,
            replaced_by=item.replaced_by or None,
            expired=item.expired,
            erased=item.erased,
            origin=item.origin,
        )


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """One line of this agency's outbox: what became of its document at one recipient.

    Only the hub's word: `HubClient.statement` at `position` proves what the recipient signed.
    `code` is that of a status or of an answer to a recall, else None. `document_code` is the
    document's number and notation; it and `subject` are empty once they were erased.
    """

    outbox_seq: int
    exchange_id: str
    envelope_digest: str
    recipient: str
    kind: OutboxItemKind
    code: str | None
    recorded_at: datetime
    position: int
    document_code: str
    subject: str

    @classmethod
    def of(cls, item: wire.OutboxItem) -> OutboxItem:
        """The item in a message of the hub. Raises UnexpectedAnswer."""
        return cls(
            outbox_seq=item.outbox_seq,
            exchange_id=item.exchange_id,
            envelope_digest=_digest(item.envelope_digest),
            recipient=item.recipient,
            kind=OutboxItemKind.of(item.kind),
            code=item.code or None,
            recorded_at=_instant(item.record_time),
            position=item.position,
            document_code=item.document_code,
            subject=item.subject,
        )


class RelayState(IntEnum):
    """How far a package has come."""

    UNKNOWN = 0
    WAITING = 1
    QUEUED = 2
    FAILED = 3
    SENT = 4
    PARKED = 5
    TAKEN = 6
    SPLIT = 7
    ERASED = 8

    @classmethod
    def of(cls, value: int) -> RelayState:
        """The state of that number on the wire."""
        return cls(value) if value in set(cls) else cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a document at one recipient, by the hub's word.

    `via` is `axis` for one behind the national document axis: then `relay` says how far its
    package has come, `relay_reason` and `relay_code` why it does not go on.
    """

    recipient: str
    state: DeliveryState
    updated_at: datetime
    position: int
    recall: RecallState
    expired: bool
    via: str = ""
    relay: RelayState = RelayState.UNKNOWN
    relay_reason: str = ""
    relay_code: str = ""


@dataclass(frozen=True, slots=True)
class DocumentSignature:
    """What the hub found out about a signature that an attachment carries, or has beside it.

    Of form `xml` it stands in the package in which the document came over the national axis; that
    is counted behind the attachments.

    `outcome` is `valid`, `invalid` or `unknown`, `reason` a code word. `signer` is `person`,
    `agency` or `unknown` (NĐ 30/2020); names are there only for who may have the content.
    `signed_at` is the signer's own word; `stamp` is what became of a timestamp over the signature
    or, by `stamp_over`, the `document` later (`valid`, `invalid`, `unknown`; empty where there is
    none), `stamped_at` its time, `stamp_reason` a code word, `stamp_authority` who made it by its
    own word. The signature was judged as of `judged_at`: that time where `judged_by` is `stamp`,
    when the document arrived where it is `arrival`. The fact at `position` proves that the hub
    said so.

    Where `status` is not empty it is the signature of a status or recall from the axis, which
    `agency` is said to have said.
    """

    attachment: int
    form: str
    outcome: str
    reason: str
    signer: str
    signed_at: datetime | None
    name: str
    organisation: str
    position: int
    issuer: str = ""
    stamp: str = ""
    stamped_at: datetime | None = None
    stamp_over: str = ""
    stamp_reason: str = ""
    stamp_authority: str = ""
    judged_by: str = "arrival"
    judged_at: datetime | None = None
    agency: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A statement whose key was revoked later, from before it was accepted on; the hub's word.

    `statement` is the position of the fact that records it, `position` that of the doubt,
    `revocation` that of the revocation. `recipient` is whose it is, None for the sender's.
    """

    statement: int
    recipient: str | None
    effective: datetime
    position: int
    revocation: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """One document on its way, by the hub's word; a recipient sees only its own delivery."""

    exchange_id: str
    sender: str
    envelope_digest: str
    accepted_at: datetime
    position: int
    deliveries: tuple[Delivery, ...]
    replaced_by: str | None
    erased: bool = False
    doubts: tuple[Doubt, ...] = ()
    signatures: tuple[DocumentSignature, ...] = ()

    @classmethod
    def of(cls, exchange: wire.Exchange) -> Exchange:
        """The exchange in a message of the hub. Raises UnexpectedAnswer."""
        return cls(
            exchange_id=exchange.exchange_id,
            sender=exchange.sender,
            envelope_digest=_digest(exchange.envelope_digest),
            accepted_at=_instant(exchange.accept_time),
            position=exchange.position,
            deliveries=tuple(
                Delivery(
                    recipient=delivery.recipient,
                    state=DeliveryState.of(delivery.state),
                    updated_at=_instant(delivery.update_time),
                    position=delivery.position,
                    recall=RecallState.of(delivery.recall),
                    expired=delivery.expired,
                    via=delivery.via,
                    relay=RelayState.of(delivery.relay_state),
                    relay_reason=delivery.relay_reason,
                    relay_code=delivery.relay_code,
                )
                for delivery in exchange.deliveries
            ),
            replaced_by=exchange.replaced_by or None,
            erased=exchange.erased,
            doubts=tuple(
                Doubt(
                    statement=doubt.position,
                    recipient=doubt.recipient or None,
                    effective=_instant(doubt.effective_time),
                    position=doubt.doubt_position,
                    revocation=doubt.revocation_position,
                )
                for doubt in exchange.doubts
            ),
            signatures=tuple(map(_document_signature, exchange.signatures)),
        )


@dataclass(frozen=True, slots=True)
class Repeated:
    """What came of repeating one pending statement: the answer, or why there is none yet.

    A refused statement is settled; with any other error it is still pending.
    """

    request_id: str
    answer: Accepted | CollectedDocument | None = None
    error: Exception | None = None


def _document_signature(signature: wire.DocumentSignature) -> DocumentSignature:
    signed = signature.signing_time if signature.HasField("signing_time") else None
    stamped = signature.stamp_time if signature.HasField("stamp_time") else None
    judged = signature.judge_time if signature.HasField("judge_time") else None
    return DocumentSignature(
        attachment=signature.attachment,
        form=signature.form,
        outcome=signature.outcome,
        reason=signature.reason,
        signer=signature.signer,
        signed_at=signed and _instant(signed),
        name=signature.name,
        organisation=signature.organisation,
        issuer=signature.issuer,
        position=signature.verdict_position,
        stamp=signature.stamp,
        stamped_at=stamped and _instant(stamped),
        stamp_over=signature.stamp_over,
        stamp_reason=signature.stamp_reason,
        stamp_authority=signature.stamp_authority,
        judged_by=signature.judged_by or "arrival",
        judged_at=judged and _instant(judged),
        agency=signature.agency,
        status=signature.status,
    )


def receipt_of(receipt: wire.Receipt) -> Receipt:
    """The receipt in a message of the hub, not yet verified."""
    return Receipt(receipt.leaf, receipt.proof)


def enrolment_of(enrolment: wire.Enrolment) -> Enrolment | None:
    """The enrolment in a message of the hub, not yet verified; None where there is none."""
    if not enrolment.HasField("receipt"):
        return None
    return Enrolment(receipt_of(enrolment.receipt), enrolment.certificate)


def statement_of(statement: wire.SignedStatement) -> SignedStatement:
    """The signed statement in a message of the hub, not yet verified."""
    return SignedStatement(
        statement.payload_type, statement.payload, statement.key_id, statement.signature
    )


def to_wire(statement: SignedStatement) -> wire.SignedStatement:
    """The message that carries a signed statement."""
    return wire.SignedStatement(
        payload_type=statement.payload_type,
        payload=statement.payload,
        key_id=statement.key_id,
        signature=statement.signature,
    )


def warnings_of(acceptance: wire.Acceptance) -> tuple[HubWarning, ...]:
    """The warnings of an answer."""
    return tuple(HubWarning(found.code, found.message) for found in acceptance.warnings)


def _instant(timestamp: Timestamp) -> datetime:
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise UnexpectedAnswer("a time beyond the calendar") from error


def _digest(value: bytes) -> str:
    if len(value) != 32:
        raise UnexpectedAnswer("a digest that does not have 32 bytes")
    return value.hex()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a hub announces of its limits; sizes are in bytes."""

    inline_bytes_max: int
    attachment_bytes_max: int
    attachments_max: int
    recipients_max: int
    part_bytes: int
    chunk_bytes_max: int
    statement_bytes_max: int
    batch_max: int
    uploads_max: int
    batch_bytes_max: int

    @classmethod
    def of(cls, message: GetLimitsResponse) -> Self:
        """Take over a hub's announcement."""
        return cls(**{each.name: getattr(message, each.name) for each in fields(cls)})
