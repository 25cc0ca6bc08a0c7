"""Wire messages to our types and back. Nothing else speaks both languages but `convert_lists`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from hub.application.directory import Listing
from hub.application.exchanges import Evidence, ExchangeView, HandedOver
from hub.application.intake import INLINE_BYTES_MAX
from hub.application.lane import Recorded
from hub.application.mapper import read_event
from hub.application.ports import DeliveryRow, DocumentRow, NoticeKind, NoticeRow, RelayRow
from hub.application.registry import AgencyEntry, CertificateEntry, GroupEntry, Revocation
from hub.application.sealing import PART_BYTES
from hub.application.timestamp_book import PositionTimestamp
from hub.application.timestamping import AuthorityStatus, TimestampStatus
from hub.application.uploads import CHUNK_BYTES_MAX, UPLOADS_PER_AGENCY_MAX
from hub.domain.delivery import RecallState
from hub.domain.exchange import AXIS, Exchange
from hub.errors import HubError, RequestMalformed, TooLarge
from hub.evidence.timestamps import TimestampToken
from hub.proof.dsse import SignedStatement
from hub.proof.envelope import ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX
from hub.proof.signatures import Algorithm
from hub.proof.statements import PAYLOAD_BYTES_MAX, RECIPIENTS_MAX
from hub.server.errors import status_details
from hub.v1 import (
    axis_pb2,
    directory_service_pb2,
    exchange_pb2,
    exchange_service_pb2,
    ledger_service_pb2,
    registry_service_pb2,
    status_details_pb2,
    trust_pb2,
)

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000
BATCH_MAX = 100
BATCH_BYTES_MAX = 15 * 1024 * 1024
_INBOX_SEQ_MAX = 2**63 - 1  # What a database's integer holds.

_ALGORITHMS = {
    trust_pb2.KEY_ALGORITHM_ED25519: Algorithm.ED25519,
    trust_pb2.KEY_ALGORITHM_ECDSA_P256_SHA256: Algorithm.ECDSA_P256_SHA256,
    trust_pb2.KEY_ALGORITHM_RSA_PSS_SHA256: Algorithm.RSA_PSS_SHA256,
    trust_pb2.KEY_ALGORITHM_RSA_PKCS1_SHA256: Algorithm.RSA_PKCS1_SHA256,
}
_ALGORITHM_NUMBERS = {algorithm.value: number for number, algorithm in _ALGORITHMS.items()}
_PURPOSES = {
    trust_pb2.CERTIFICATE_PURPOSE_SIGNING: "signing",
    trust_pb2.CERTIFICATE_PURPOSE_TRANSPORT: "transport",
}
_PURPOSE_NUMBERS = {purpose: number for number, purpose in _PURPOSES.items()}
_OUTBOX_KINDS = {
    NoticeKind.HANDED_OVER: exchange_pb2.OUTBOX_ITEM_KIND_HANDED_OVER,
    NoticeKind.STATUS: exchange_pb2.OUTBOX_ITEM_KIND_STATUS,
    NoticeKind.RECALL_ANSWER: exchange_pb2.OUTBOX_ITEM_KIND_RECALL_ANSWER,
    NoticeKind.DELIVERY_EXPIRED: exchange_pb2.OUTBOX_ITEM_KIND_EXPIRED,
    NoticeKind.DELIVERY_ERASED: exchange_pb2.OUTBOX_ITEM_KIND_ERASED,
    NoticeKind.DELIVERY_IN_DOUBT: exchange_pb2.OUTBOX_ITEM_KIND_IN_DOUBT,
    NoticeKind.AXIS_STATUS: exchange_pb2.OUTBOX_ITEM_KIND_AXIS_STATUS,
    NoticeKind.AXIS_RECALL_ANSWER: exchange_pb2.OUTBOX_ITEM_KIND_AXIS_RECALL_ANSWER,
}
_WARNINGS = {
    "CLOCK_SKEW": "created_at differs from the hub's clock by more than ten minutes",
    "REVOCATION_STALE": "the newest revocation list of the certificate's issuer is old",
}


# --- From the wire ----------------------------------------------------------------


def signed_statement(message: exchange_pb2.SignedStatement) -> SignedStatement:
    """A signed statement; what is missing in it, the checks will say."""
    return SignedStatement(
        payload_type=message.payload_type,
        payload=message.payload,
        key_id=message.key_id,
        signature=message.signature,
    )


def uuid(text: str, field: str) -> UUID:
    """A UUID in its canonical form; RequestMalformed for anything else."""
    try:
        value = UUID(text)
    except ValueError:
        value = None
    if value is None or str(value) != text:
        raise RequestMalformed(f"{field} must be a UUID in lower case with hyphens", field=field)
    return value


def page_size(requested: int) -> int:
    """How many items a page holds: the default for 0, never more than the maximum."""
    if requested < 0:
        raise RequestMalformed("page_size must not be negative", field="page_size")
    return min(requested or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)


def require_batch(count: int) -> None:
    """Refuse a batch of too many documents."""
    if count > BATCH_MAX:
        raise TooLarge(f"a batch has at most {BATCH_MAX} documents", limit=str(BATCH_MAX))


def cursor(after: int) -> int:
    """A place in an inbox; what lies beyond any inbox is its end."""
    return min(after, _INBOX_SEQ_MAX)


def purpose(number: int) -> str:
    """What a certificate is for."""
    if number not in _PURPOSES:
        raise RequestMalformed("purpose must be signing or transport", field="purpose")
    return _PURPOSES[trust_pb2.CertificatePurpose.ValueType(number)]


def algorithm(number: int) -> Algorithm | None:
    """The algorithm a certificate signs with; None where it is not stated."""
    if number == trust_pb2.KEY_ALGORITHM_UNSPECIFIED:
        return None
    if number not in _ALGORITHMS:
        raise RequestMalformed("algorithm is none of this hub's list", field="algorithm")
    return _ALGORITHMS[trust_pb2.KeyAlgorithm.ValueType(number)]


def upload_ids(texts: Sequence[str]) -> list[UUID | None]:
    """The uploads of a submission; None where an attachment's content is inline."""
    return [uuid(text, "upload_ids") if text else None for text in texts]


async def upload_stream(
    messages: AsyncIterator[exchange_service_pb2.UploadContentRequest],
) -> tuple[exchange_service_pb2.UploadStart, AsyncIterator[bytes]]:
    """Where an upload's stream begins, and its bytes as they come."""
    first = await anext(aiter(messages), None)
    if first is None or not first.HasField("start"):
        raise RequestMalformed("the first message of an upload is its start", field="start")

    async def chunks() -> AsyncIterator[bytes]:
        async for message in messages:
            if not message.HasField("data"):
                raise RequestMalformed("after the first message only data follows", field="data")
            yield message.data

    return first.start, chunks()


# --- To the wire ------------------------------------------------------------------


def receipt(recorded: Recorded) -> exchange_pb2.Receipt:
    """A receipt."""
    return exchange_pb2.Receipt(
        leaf=recorded.receipt.leaf, proof=recorded.receipt.proof, position=recorded.position
    )


def acceptance(recorded: Recorded) -> exchange_pb2.Acceptance:
    """The answer to a statement: a function of its receipt alone, so always the same."""
    event = read_event(recorded.receipt.leaf)
    of_exchange = event.topic in {Exchange.Created.TOPIC, Exchange.RecallRequested.TOPIC}
    return exchange_pb2.Acceptance(
        exchange_id=str(event.id) if of_exchange else event.data["exchange"],
        receipt=receipt(recorded),
        warnings=[
            exchange_pb2.Warning(code=code, message=_WARNINGS[code])
            for code in event.data["warnings"]
        ],
    )


def submit_result(outcome: Recorded | BaseException) -> exchange_service_pb2.SubmitResult:
    """One result of a batch. What is no refusal of ours fails the whole call, as a bug."""
    if isinstance(outcome, HubError):
        error = status_details_pb2.StatusDetails.FromString(status_details(outcome))
        return exchange_service_pb2.SubmitResult(error=error)
    if isinstance(outcome, BaseException):
        raise outcome
    return exchange_service_pb2.SubmitResult(acceptance=acceptance(outcome))


def document(handed_over: HandedOver) -> exchange_pb2.Document:
    """A document as its recipient takes delivery of it."""
    proven = evidence(handed_over.envelope)
    return exchange_pb2.Document(
        exchange_id=str(handed_over.exchange_id),
        envelope=proven.statement,
        submission=proven.receipt,
        sender_enrolment=proven.enrolment if proven.HasField("enrolment") else None,
    )


def evidence(proven: Evidence) -> exchange_pb2.StatementEvidence:
    """A signed statement with its proofs."""
    statement = proven.statement
    return exchange_pb2.StatementEvidence(
        statement=exchange_pb2.SignedStatement(
            payload_type=statement.payload_type,
            payload=statement.payload,
            key_id=statement.key_id,
            signature=statement.signature,
        ),
        receipt=receipt(proven.recorded),
        enrolment=None
        if proven.enrolment is None
        else exchange_pb2.Enrolment(
            receipt=receipt(proven.enrolment), certificate=proven.certificate
        ),
        doubt=receipt(proven.doubt) if proven.doubt else None,
    )


def inbox_item(
    notice: NoticeRow, row: DeliveryRow, document: DocumentRow
) -> exchange_pb2.InboxItem:
    """One line of an inbox. What was recalled with consent keeps its place, not its words."""
    cancelled = row.recall is RecallState.AGREED
    return exchange_pb2.InboxItem(
        inbox_seq=notice.seq,
        exchange_id=str(document.exchange_id),
        sender=document.sender,
        envelope_digest=document.envelope_digest,
        accept_time=timestamp(document.accepted_at),
        position=notice.position,
        state=exchange_pb2.DeliveryState.ValueType(row.state.value),
        code=document.code,
        type_name=document.type_name,
        subject="" if cancelled else document.subject,
        attachment_count=document.attachment_count,
        attachment_bytes=document.attachment_bytes,
        kind=exchange_pb2.InboxItemKind.ValueType(notice.kind.value),
        recall=exchange_pb2.RecallState.ValueType(row.recall.value),
        by_exchange=str(notice.by_exchange or ""),
        replaced_by=str(document.replaced_by or ""),
        expired=row.expired,
        erased=document.erased,
        origin=document.origin,
    )


def outbox_item(notice: NoticeRow, document: DocumentRow) -> exchange_pb2.OutboxItem:
    """One line of an outbox."""
    return exchange_pb2.OutboxItem(
        outbox_seq=notice.seq,
        exchange_id=str(document.exchange_id),
        envelope_digest=document.envelope_digest,
        recipient=notice.recipient,
        kind=_OUTBOX_KINDS[notice.kind],
        code=notice.code,
        record_time=timestamp(notice.recorded_at),
        position=notice.position,
        document_code=document.code,
        subject=document.subject,
    )


def _delivery(row: DeliveryRow, relay: RelayRow | None) -> exchange_pb2.Delivery:
    made = exchange_pb2.Delivery(
        recipient=row.recipient,
        state=exchange_pb2.DeliveryState.ValueType(row.state.value),
        update_time=timestamp(row.updated_at),
        position=row.position,
        recall=exchange_pb2.RecallState.ValueType(row.recall.value),
        expired=row.expired,
    )
    if relay is not None:
        made.via = AXIS
        made.relay_state = axis_pb2.RelayState.ValueType(relay.state.value)
        made.relay_reason, made.relay_code = relay.reason, relay.code
    return made


def exchange(view: ExchangeView) -> exchange_pb2.Exchange:
    """An exchange as one of its parties sees it."""
    return exchange_pb2.Exchange(
        exchange_id=str(view.document.exchange_id),
        sender=view.document.sender,
        envelope_digest=view.document.envelope_digest,
        accept_time=timestamp(view.document.accepted_at),
        position=view.document.position,
        deliveries=[_delivery(row, view.relays.get(row.recipient)) for row in view.deliveries],
        replaced_by=str(view.document.replaced_by or ""),
        erased=view.document.erased,
        doubts=[
            exchange_pb2.SignatureDoubt(
                position=doubt.statement,
                recipient=doubt.recipient,
                effective_time=timestamp(doubt.effective),
                doubt_position=doubt.position,
                revocation_position=doubt.revocation,
            )
            for doubt in view.doubts
        ],
        signatures=[
            exchange_pb2.DocumentSignature(
                attachment=each.attachment,
                form=each.form,
                outcome=each.outcome,
                reason=each.reason,
                signer=each.signer,
                signing_time=timestamp(each.signed_at) if each.signed_at else None,
                name=each.name,
                organisation=each.organisation,
                issuer=each.issuer,
                verdict_position=each.position,
                stamp=each.stamp,
                stamp_time=timestamp(each.stamped_at) if each.stamped_at else None,
                stamp_over=each.stamp_over,
                stamp_reason=each.stamp_reason,
                stamp_authority=each.stamp_authority,
                judged_by=each.judged_by,
                judge_time=timestamp(each.judged_at) if each.judged_at else None,
                agency=each.agency,
                status=each.status,
            )
            for each in view.signatures
        ],
    )


def list_inbox_response(
    rows: Sequence[tuple[NoticeRow, DeliveryRow, DocumentRow]], size: int
) -> exchange_service_pb2.ListInboxResponse:
    """A page of an inbox from one row more than the page holds."""
    return exchange_service_pb2.ListInboxResponse(
        items=[inbox_item(*row) for row in rows[:size]], more=len(rows) > size
    )


def list_outbox_response(
    rows: Sequence[tuple[NoticeRow, DocumentRow]], size: int
) -> exchange_service_pb2.ListOutboxResponse:
    """A page of an outbox from one row more than the page holds."""
    return exchange_service_pb2.ListOutboxResponse(
        items=[outbox_item(*row) for row in rows[:size]], more=len(rows) > size
    )


def agency(entry: AgencyEntry) -> registry_service_pb2.Agency:
    """A registered agency."""
    return registry_service_pb2.Agency(
        code=entry.code,
        name=entry.name,
        certificates=[_certificate(certificate) for certificate in entry.certificates],
        other_codes=entry.other_codes,
        suspended=entry.suspended,
        successor=entry.successor or "",
        via=entry.via,
    )


def directory_entry(listing: Listing) -> directory_service_pb2.DirectoryEntry:
    """An agency as everybody may see it."""
    entry = listing.entry
    return directory_service_pb2.DirectoryEntry(
        code=entry.code,
        name=entry.name,
        other_codes=entry.other_codes,
        suspended=entry.suspended,
        successor=listing.receiver if listing.receiver != entry.code else "",
        via=entry.via,
    )


def group(entry: GroupEntry) -> directory_service_pb2.Group:
    """A group of agencies."""
    return directory_service_pb2.Group(group=entry.group, name=entry.name, members=entry.members)


def _certificate(entry: CertificateEntry) -> registry_service_pb2.Certificate:
    return registry_service_pb2.Certificate(
        purpose=_PURPOSE_NUMBERS[entry.purpose],
        algorithm=_ALGORITHM_NUMBERS.get(entry.algorithm, trust_pb2.KEY_ALGORITHM_UNSPECIFIED),
        key_id=entry.key_id,
        digest=bytes.fromhex(entry.certificate),
        not_before_time=timestamp(entry.not_before),
        not_after_time=timestamp(entry.not_after),
        position=entry.position,
        revocation=_revocation(entry.revocation) if entry.revocation else None,
    )


def _revocation(revocation: Revocation) -> registry_service_pb2.CertificateRevocation:
    return registry_service_pb2.CertificateRevocation(
        position=revocation.position,
        effective_time=timestamp(revocation.effective),
        reason=revocation.reason,
    )


def instant_or_none(message: Timestamp, is_set: bool, field: str) -> datetime | None:
    """An instant that may be left out. Raises RequestMalformed."""
    if not is_set:
        return None
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise RequestMalformed(f"{field} is no instant", field=field) from error


def position_timestamp(found: PositionTimestamp) -> ledger_service_pb2.PositionTimestamp:
    """A timestamp that covers a position, with all that proves it."""
    return ledger_service_pb2.PositionTimestamp(
        size=found.obtained.size,
        proof=found.proof,
        token=_token(found.evidence.timestamp),
        renewals=[
            ledger_service_pb2.TimestampRenewal(
                message=renewal.message, token=_token(renewal.timestamp)
            )
            for renewal in found.evidence.renewals
        ],
        gen_time=timestamp(found.obtained.gen_time),
    )


def _token(held: TimestampToken) -> ledger_service_pb2.TimestampToken:
    return ledger_service_pb2.TimestampToken(
        authority=held.authority, token=held.token, certificates=held.certificates
    )


def timestamp_status(
    status: TimestampStatus,
) -> ledger_service_pb2.ListTimestampAuthoritiesResponse:
    """How it stands with all time-stamping authorities."""
    return ledger_service_pb2.ListTimestampAuthoritiesResponse(
        authorities=[_authority_status(each) for each in status.authorities],
        next_end_time=_if_any(status.next_end),
        renewal_failure=status.renewal_failure,
    )


def _authority_status(status: AuthorityStatus) -> ledger_service_pb2.TimestampAuthorityStatus:
    newest, waiting = status.newest, status.waiting
    return ledger_service_pb2.TimestampAuthorityStatus(
        name=status.name,
        newest_gen_time=_if_any(newest.gen_time if newest else None),
        newest_size=newest.size if newest else 0,
        newest_position=newest.position if newest else 0,
        newest_not_after_time=_if_any(newest.not_after if newest else None),
        waiting_since_time=_if_any(waiting.since if waiting else None),
        waiting_events=waiting.events if waiting else 0,
        failures=status.failures,
        last_failure=status.last_failure,
        next_attempt_time=timestamp(status.next_attempt),
    )


def _if_any(at: datetime | None) -> Timestamp | None:
    return None if at is None else timestamp(at)


def timestamp(at: datetime) -> Timestamp:
    """An instant."""
    message = Timestamp()
    message.FromDatetime(at)
    return message


def limits() -> exchange_service_pb2.GetLimitsResponse:
    """The limits this hub keeps to."""
    return exchange_service_pb2.GetLimitsResponse(
        inline_bytes_max=INLINE_BYTES_MAX,
        attachment_bytes_max=ATTACHMENT_BYTES_MAX,
        attachments_max=ATTACHMENTS_MAX,
        recipients_max=RECIPIENTS_MAX,
        part_bytes=PART_BYTES,
        chunk_bytes_max=CHUNK_BYTES_MAX,
        statement_bytes_max=PAYLOAD_BYTES_MAX,
        batch_max=BATCH_MAX,
        uploads_max=UPLOADS_PER_AGENCY_MAX,
        batch_bytes_max=BATCH_BYTES_MAX,
    )
