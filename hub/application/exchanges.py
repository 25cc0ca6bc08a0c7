"""Submit a document, collect it, report what became of it, take it back."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from hub.application import intake
from hub.application.commands import (
    AskAgain,
    RecallDocument,
    SpeakAsRecipient,
    Spoken,
    SubmitDocument,
    unknown_exchange,
)
from hub.application.doubts import Doubt, doubts_of
from hub.application.lane import Lane, Receipts, Recorded
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.parties import exchange_of, parties_of
from hub.application.ports import (
    AcceptedRequest,
    Clock,
    ContentStore,
    DeliveryRow,
    DocumentRow,
    EventLog,
    NoticeRow,
    Randomness,
    RelayRow,
    RequestKey,
    Views,
)
from hub.application.refusals import RefusalRecorder
from hub.application.registry import Registry
from hub.application.seen_signatures import SeenSignature, signatures_of
from hub.application.standing import addressees_of, delivery_meant, require_may_send
from hub.application.submissions import Submissions
from hub.application.uploads import Uploads
from hub.application.vault import Vault
from hub.application.verdicts import NO_DEMANDS, Demands
from hub.domain.catalogue import ERASURE_TOPICS
from hub.domain.delivery import RecallState
from hub.domain.exchange import AXIS, OPENING_TOPICS, Exchange, erased
from hub.domain.relay import RelayKind, relay_id
from hub.domain.values import uuid7
from hub.errors import (
    AgencyUnknown,
    ContentLost,
    ContentWithheld,
    HubError,
    NotAParty,
    NotCollected,
    NumberUnknown,
    PositionUnknown,
    RequestIdReused,
    RequestMalformed,
    RequestUnknown,
)
from hub.proof.dsse import SignedStatement
from hub.proof.leaf import Event
from hub.proof.statements import Collect, Envelope, Recall, RecallAnswer, Status


@dataclass(frozen=True, slots=True)
class Evidence:
    """A signed statement with all that is needed to check it offline.

    `enrolment` is None, and there is no certificate, for the envelope that the hub made of a
    package of the axis: nobody signed it. `doubt` is there where its signature is in doubt, and
    proves that the hub said so.
    """

    statement: SignedStatement
    recorded: Recorded
    enrolment: Recorded | None
    certificate: bytes
    doubt: Recorded | None = None


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A document as its recipient takes delivery: the handover's receipt, and the envelope."""

    exchange_id: UUID
    recorded: Recorded
    envelope: Evidence


@dataclass(frozen=True, slots=True)
class ExchangeView:
    """An exchange as one of its parties may see it.

    `relays` are the packages by which it goes over the axis, by recipient.
    """

    document: DocumentRow
    deliveries: Sequence[DeliveryRow]
    doubts: Sequence[Doubt] = ()
    signatures: Sequence[SeenSignature] = ()
    relays: Mapping[str, RelayRow] = field(default_factory=dict)


# --- The use cases ----------------------------------------------------------------


class Exchanges:
    """What an agency may ask of the hub. Every method acts for one authenticated agency."""

    def __init__(
        self,
        *,
        origin: str,
        log: EventLog,
        lane: Lane,
        receipts: Receipts,
        registry: Callable[[], Registry],
        views: Views,
        content: ContentStore,
        uploads: Uploads,
        vault: Vault,
        refusals: RefusalRecorder,
        offload: Offloader,
        clock: Clock,
        randomness: Randomness,
        policy: intake.StalePolicy = intake.WARNING_ONLY,
        demands: Demands = NO_DEMANDS,
    ) -> None:
        self._policy = policy
        self._demands = demands
        self._origin = origin
        self._log = log
        self._lane = lane
        self._receipts = receipts
        self._registry = registry
        self._views = views
        self._content = content
        self._uploads = uploads
        self._submissions = Submissions(
            lane=lane,
            content=content,
            uploads=uploads,
            offload=offload,
            clock=clock,
            demands=demands,
        )
        self._vault = vault
        self._refusals = refusals
        self._offload = offload
        self._clock = clock
        self._randomness = randomness

    async def submit(
        self,
        agency: str,
        signed: SignedStatement,
        contents: Sequence[bytes],
        upload_ids: Sequence[UUID | None] = (),
    ) -> Recorded:
        """Accept a document for all its recipients; the receipt of `DocumentSubmitted`.

        `upload_ids` is empty, or has an entry for each attachment: None for one whose content
        is the next of `contents`.
        """
        envelope = intake.read(signed, Envelope, agency=agency, origin=self._origin)
        request_id = envelope.header.request_id
        has_content = bool(contents or upload_ids)
        if has_content and (answered := await self._answered(agency, request_id, signed)):
            return answered  # The lane would find it too, but only after the content was stored.
        try:
            spoken = self._judge(agency, signed)
            uploads = await self._uploads.named(agency, upload_ids)
            named = [None if upload is None else upload.about for upload in uploads]
            intake.require_content(envelope, contents, named)
            require_may_send(agency, self._registry())
            addressees = addressees_of(envelope, self._registry())
            intake.require_allowed(envelope, addressees)
            demanded = self._demands.of(envelope, [each.agency for each in addressees])
            if envelope.relates_to is not None:
                await self._require_own(agency, envelope.relates_to)
        except HubError as refusal:
            if answered := await self._answered(agency, request_id, signed):
                return answered
            await self._refusals.note(agency, signed, refusal)
            raise
        exchange_id = uuid7(self._clock(), self._randomness(10))
        key = self._vault.new_key()
        command = SubmitDocument(spoken, envelope, exchange_id, key, self._vault, demanded)
        if has_content:
            recorded = await self._submissions.submit(command, contents, uploads)
        else:
            recorded = await self._lane.do(command)
        return same_kind(recorded, signed)

    async def begin_upload(
        self, agency: str, size: int, sha256: bytes, tag: str
    ) -> tuple[UUID, int]:
        """The agency's upload of this content, and how much is stored; see `Uploads.begin`."""
        require_may_send(agency, self._registry())
        return await self._uploads.begin(agency, size, sha256, tag)

    async def collect(self, agency: str, signed: SignedStatement) -> HandedOver:
        """Hand a document over against its recipient's signature."""
        statement = intake.read(signed, Collect, agency=agency, origin=self._origin)
        request_id = statement.header.request_id
        recorded = await self._answered(agency, request_id, signed)
        if recorded is None:
            spoken = self._judge(agency, signed)
            opened = await self._received(statement)
            await self._require_readable(opened)
            recorded = same_kind(
                await self._lane.do(
                    SpeakAsRecipient(spoken, statement, opened.event.id, self._vault)
                ),
                signed,
            )
        return await self._offload(lambda: self._handed_over(recorded))

    async def report_status(self, agency: str, signed: SignedStatement) -> Recorded:
        """Record what has become of a document at its recipient."""
        statement = intake.read(signed, Status, agency=agency, origin=self._origin)
        return await self._speak_as_recipient(agency, signed, statement)

    async def answer_recall(self, agency: str, signed: SignedStatement) -> Recorded:
        """Record a recipient's answer to a recall."""
        statement = intake.read(signed, RecallAnswer, agency=agency, origin=self._origin)
        return await self._speak_as_recipient(agency, signed, statement)

    async def recall(self, agency: str, signed: SignedStatement) -> Recorded:
        """Record that a sender asks for its document back."""
        statement = intake.read(signed, Recall, agency=agency, origin=self._origin)
        if answered := await self._answered(agency, statement.header.request_id, signed):
            return answered
        spoken = self._judge(agency, signed)
        require_may_send(agency, self._registry())
        opened = await self._concerning(agency, statement.envelope_digest)
        if opened.event.data["sender"] not in self._represented(agency):
            raise NotAParty(
                "only the sender can recall a document", envelope_digest=statement.envelope_digest
            )
        recorded = await self._lane.do(RecallDocument(spoken, statement, self._vault))
        return same_kind(recorded, signed)

    async def submission(self, agency: str, request_id: str) -> Recorded:
        """The answer that an accepted statement of this agency got."""
        found = await self._offload(lambda: self._log.requests([(agency, request_id)]))
        if not found:
            raise RequestUnknown(
                "this agency has no accepted statement under this request id",
                request_id=request_id[:36],
            )
        accepted = found[agency, request_id]
        if accepted.exchange_id is None:
            raise RequestUnknown(
                "this request was no statement about a document; repeat the very same call",
                request_id=request_id[:36],
            )
        return await self._offload(lambda: self._receipts.receipt(accepted.position))

    async def exchange(self, agency: str, exchange_id: UUID) -> ExchangeView:
        """What the sender sees of all recipients, and a recipient of itself."""
        document = await self._offload(lambda: self._views.document(exchange_id))
        deliveries = await self._offload(lambda: self._views.deliveries(exchange_id))
        if document is None:
            raise unknown_exchange()
        mine = self._represented(agency)
        if document.sender not in mine:
            deliveries = [row for row in deliveries if row.recipient in mine]
        if not deliveries:
            raise unknown_exchange()
        size = self._receipts.size
        doubts = await self._offload(lambda: doubts_of(self._log, exchange_id, size))
        if document.sender not in mine:
            doubts = [doubt for doubt in doubts if doubt.recipient in {"", *mine}]
        # Who signed is part of the content, which is released against a signature only.
        named = document.sender in mine or any(row.collected for row in deliveries)
        signatures = await self._offload(
            lambda: signatures_of(
                self._log, self._vault, exchange_id, size, named=named, readers=mine
            )
        )
        relays = await self._offload(lambda: self._relays_of(exchange_id))
        return ExchangeView(document, deliveries, doubts, signatures, relays)

    def _relays_of(self, exchange_id: UUID) -> Mapping[str, RelayRow]:
        whole = self._views.relay(relay_id(exchange_id, RelayKind.DOCUMENT))
        if whole is None:
            return {}
        opened = read_event(self._log.select_events(exchange_id)[0].state)
        theirs = [each["agency"] for each in opened.data["recipients"] if each.get("via") == AXIS]
        found = dict.fromkeys(theirs, whole)
        for row in self._views.relays_of(exchange_id):
            if row.kind is RelayKind.DOCUMENT and row.agency in found:
                found[row.agency] = row
        return found

    def box(self, agency: str, whose: str) -> str:
        """Whose inbox or outbox is meant: empty its own, else one it may read, by any code.

        Raises AgencyUnknown for another agency's as for nobody's.
        """
        owner = self._registry().owner(whose or agency)
        if owner is None or owner.code not in self._represented(agency):
            raise AgencyUnknown("no such agency among those whose boxes you may read", code=whose)
        return owner.code

    async def inbox(
        self, agency: str, after: int, limit: int
    ) -> Sequence[tuple[NoticeRow, DeliveryRow, DocumentRow]]:
        """An agency's inbox by rising number.

        Raises NumberUnknown beyond its last one: such a number was given by a log that this
        one only goes on from, or by nobody.
        """
        rows = await self._offload(lambda: self._views.inbox(agency, after, limit))
        if not rows:
            await self._offload(lambda: _require_given(self._log.inbox_heads, agency, after))
        return rows

    async def outbox(
        self, agency: str, after: int, limit: int
    ) -> Sequence[tuple[NoticeRow, DocumentRow]]:
        """What became of an agency's own documents, by rising number; else as `inbox`."""
        rows = await self._offload(lambda: self._views.outbox(agency, after, limit))
        if not rows:
            await self._offload(lambda: _require_given(self._log.outbox_heads, agency, after))
        return rows

    async def statement(self, agency: str, position: int, *, cosigned: bool = False) -> Evidence:
        """The statement that an event records, for the sender and the recipient concerned.

        If `cosigned`, its receipts lie under one checkpoint that witnesses cosigned, if any did.
        Raises PositionUnknown for any other event, PayloadErased when it was erased, and for a
        recipient NotCollected or ContentWithheld where an envelope is not released to it.
        """
        return await self._offload(lambda: self._statement(agency, position, cosigned))

    async def attachment(
        self, agency: str, exchange_id: UUID, index: int, offset: int
    ) -> AsyncIterator[bytes]:
        """One attachment of a collected document, from `offset` to its end."""
        view = await self.exchange(agency, exchange_id)
        mine = self._represented(agency)
        _require_released([row for row in view.deliveries if row.recipient in mine], exchange_id)
        await self._offload(lambda: require_kept(self._log, exchange_id))
        opened = await self._offload(lambda: self._opened_by_id(exchange_id))
        attachments = opened.event.data["attachments"]
        if index >= len(attachments) or offset > attachments[index]["size"]:
            raise RequestMalformed("no such attachment, or an offset beyond its end")
        key = await self._offload(lambda: self._vault.key_of(exchange_id))
        parts = self._content.read(exchange_id, index, attachments[index]["size"], key, offset)
        try:
            while (part := await self._offload(lambda: next(parts, None))) is not None:
                yield part
        except ContentLost:
            # It may have been erased while it was read.
            await self._offload(lambda: require_kept(self._log, exchange_id))
            raise

    # --- steps shared by the use cases --------------------------------------------

    def _represented(self, agency: str) -> frozenset[str]:
        """Itself, and all the agencies it succeeded."""
        return self._registry().represented(agency)

    def _judge(self, agency: str, signed: SignedStatement) -> Spoken:
        registry = self._registry()
        judged = intake.judge(
            signed, agency=agency, registry=registry, at=self._clock(), policy=self._policy
        )
        return Spoken(agency, signed, judged, registry.version, self._policy)

    async def _answered(
        self, agency: str, request_id: str, signed: SignedStatement
    ) -> Recorded | None:
        """Step 5 of the checks: the first answer again, whatever has changed since.

        The lane asks it again, and for all; here it is asked where its answer must come
        before a refusal, or spares work.
        """
        found = await self._offload(lambda: self._log.requests([(agency, request_id)]))
        if not found:
            return None
        accepted = found[agency, request_id]
        require_same(accepted, signed.digest)
        if accepted.position >= self._receipts.size:
            # Recorded, but its checkpoint is not published: only the lane knows when it is.
            key = RequestKey(agency, request_id, signed.digest)
            return same_kind(await self._lane.do(AskAgain(key)), signed)
        recorded = await self._offload(lambda: self._receipts.receipt(accepted.position))
        return same_kind(recorded, signed)

    async def _speak_as_recipient(
        self, agency: str, signed: SignedStatement, statement: Status | RecallAnswer
    ) -> Recorded:
        if answered := await self._answered(agency, statement.header.request_id, signed):
            return answered
        spoken = self._judge(agency, signed)
        opened = await self._received(statement)
        command = SpeakAsRecipient(spoken, statement, opened.event.id, self._vault)
        return same_kind(await self._lane.do(command), signed)

    async def _require_own(self, agency: str, envelope_digest: str) -> None:
        """Only the sender's own documents are updated or replaced; checked before content."""
        opened = await self._concerning(agency, envelope_digest)
        if opened.event.data["sender"] not in self._represented(agency):
            raise unknown_exchange()

    async def _concerning(self, agency: str, envelope_digest: str) -> _Opened:
        """The exchange an envelope opened, if the agency, or one it succeeded, takes part."""
        opened = await self._offload(lambda: self._opened_by_digest(bytes.fromhex(envelope_digest)))
        if opened is None or opened.parties.isdisjoint(self._represented(agency)):
            raise unknown_exchange()
        return opened

    async def _received(self, statement: Collect | Status | RecallAnswer) -> _Opened:
        """The exchange a statement is about, if its speaker can speak for a recipient."""
        opened = await self._concerning(statement.header.agency, statement.envelope_digest)
        delivery_meant(statement, opened.recipients, self._registry())
        return opened

    async def _require_readable(self, opened: _Opened) -> None:
        """Nothing is marked as handed over that cannot be handed over."""
        await self._offload(lambda: require_kept(self._log, opened.event.id))
        sizes = [attachment["size"] for attachment in opened.event.data["attachments"]]
        await self._offload(lambda: self._content.check(opened.event.id, sizes))
        await self._offload(lambda: self._envelope(opened.event))

    def _opened_by_digest(self, digest: bytes) -> _Opened | None:
        accepted = self._log.request_of(digest)
        if accepted is None or accepted.position >= self._receipts.size:
            return None
        recorded = self._receipts.receipt(accepted.position)
        event = read_event(recorded.receipt.leaf)
        return _Opened(event, recorded) if event.topic in OPENING_TOPICS else None

    def _opened_by_id(self, exchange_id: UUID) -> _Opened:
        document = self._views.document(exchange_id)
        opened = None if document is None else self._opened_by_digest(document.envelope_digest)
        if opened is None:
            raise unknown_exchange()
        return opened

    def _handed_over(self, recorded: Recorded) -> HandedOver:
        facts = read_event(recorded.receipt.leaf)
        opened = self._opened_by_digest(bytes.fromhex(facts.data["envelope_digest"]))
        if opened is None:
            raise unknown_exchange()
        return HandedOver(opened.event.id, recorded, self._evidence(opened.recorded))

    def _statement(self, agency: str, position: int, cosigned: bool) -> Evidence:
        recorded = self._receipts.receipt(position)
        event = read_event(recorded.receipt.leaf)
        mine = self._represented(agency)
        if "statement" not in event.data or parties_of(event).isdisjoint(mine):
            raise PositionUnknown("no such position in the log", position=str(position))
        if event.topic in OPENING_TOPICS and event.data["sender"] not in mine:
            # The envelope is the document too: nobody reads it here and denies it.
            rows = self._views.deliveries(event.id)
            _require_released([row for row in rows if row.recipient in mine], event.id)
        return self._evidence(recorded, cosigned)

    def _evidence(self, recorded: Recorded, cosigned: bool = False) -> Evidence:
        return evidence_of(recorded, self._receipts, self._log, self._vault, cosigned=cosigned)

    def _envelope(self, event: Event) -> SignedStatement:
        return statement_of(event, self._log, self._vault)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A `DocumentSubmitted`, or `AxisDocumentTaken`, that a checkpoint covers."""

    event: Event
    recorded: Recorded

    @property
    def recipients(self) -> list[str]:
        return [consignment["agency"] for consignment in self.event.data["recipients"]]

    @property
    def parties(self) -> frozenset[str]:
        return frozenset([self.event.data["sender"], *self.recipients])


def evidence_of(
    recorded: Recorded,
    receipts: Receipts,
    log: EventLog,
    vault: Vault,
    *,
    cosigned: bool = False,
) -> Evidence:
    """The signed statement that an event records, with the enrolment of its author's key.

    If `cosigned`, both under checkpoints with the witnesses' cosignatures. Raises ContentLost
    when the payload, its key or the certificate is gone.
    """
    event = read_event(recorded.receipt.leaf)
    if event.topic == Exchange.AxisDocumentTaken.TOPIC:
        shown = receipts.cosigned(recorded.position) if cosigned else recorded
        return Evidence(statement_of(event, log, vault), shown, None, b"", None)
    relied_on, exchange_id = event.data["enrolment"], exchange_of(event)
    if cosigned:
        recorded = receipts.cosigned(recorded.position)
        enrolment = receipts.cosigned(relied_on, beyond=recorded.position)
    else:
        enrolment = receipts.receipt(relied_on)
    digest = read_event(enrolment.receipt.leaf).data["certificate"]
    certificate = log.evidence(bytes.fromhex(digest))
    if certificate is None:
        raise ContentLost("the author's certificate is missing from the evidence store")
    doubts = doubts_of(log, exchange_id, receipts.size) if exchange_id else ()
    position = next((each.position for each in doubts if each.statement == recorded.position), None)
    return Evidence(
        statement_of(event, log, vault),
        recorded,
        enrolment,
        certificate,
        None if position is None else receipts.receipt(position),
    )


def statement_of(event: Event, log: EventLog, vault: Vault) -> SignedStatement:
    """The signed statement that an event records, its payload unsealed.

    Raises PayloadErased when it was erased by law, ContentLost when the payload or its key
    is gone for another reason.
    """
    if (exchange_id := exchange_of(event)) is not None:
        require_kept(log, exchange_id)
    record = event.data["statement"]
    payload = log.payload(bytes.fromhex(record["digest"]))
    if payload is None:
        raise ContentLost("the statement's payload is no longer in the hub's store")
    return SignedStatement(
        payload_type=record["payload_type"],
        payload=vault.open_payload(payload),
        # The envelope of a document from the axis has neither.
        key_id=record.get("key_id", ""),
        signature=base64.b64decode(record.get("signature", "")),
    )


def require_kept(log: EventLog, exchange_id: UUID) -> None:
    """Refuse what would need the words or content of a document that was erased by law."""
    if _is_erased(log.select_events(exchange_id)):
        raise erased(exchange_id)


def is_kept(log: EventLog, exchange_id: UUID) -> bool:
    """Whether a document was recorded, and not erased by law since."""
    history = log.select_events(exchange_id)
    return bool(history) and not _is_erased(history)


def _is_erased(history: Sequence[StoredEvent]) -> bool:
    return any(stored.topic in ERASURE_TOPICS for stored in history)


def _require_released(rows: Sequence[DeliveryRow], exchange_id: UUID) -> None:
    """Refuse content unless one of these deliveries was collected and not taken back."""
    if not rows:
        raise NotAParty("content is released to recipients", exchange_id=str(exchange_id))
    collected = [row for row in rows if row.collected]
    if not collected:
        raise NotCollected(
            "content is released against a signed collect statement; send one first",
            exchange_id=str(exchange_id),
        )
    if all(row.recall is RecallState.AGREED for row in collected):
        raise ContentWithheld("this agency agreed to the recall of the document")


def require_same(accepted: AcceptedRequest, digest: bytes) -> None:
    """Refuse a request id that is bound to another payload."""
    if accepted.digest != digest:
        raise RequestIdReused(
            "this request id already carried another statement; use a new one",
            request_id=accepted.request_id,
            first_digest=accepted.digest.hex(),
        )


def same_kind(recorded: Recorded, signed: SignedStatement) -> Recorded:
    """Refuse to answer one kind of statement with the acceptance of another.

    Unknown fields are kept, so the same bytes may read as a status and as a collect
    statement; but what was signed as the one never released what takes the other.
    """
    data = read_event(recorded.receipt.leaf).data
    record = data.get("statement") or data["renewal"]
    if record["payload_type"] != signed.payload_type:
        raise RequestIdReused(
            "this request id already carried the same bytes as another kind of statement",
            first_digest=record["digest"],
        )
    return recorded


def _require_given(
    heads: Callable[[Sequence[str]], Mapping[str, int]], agency: str, after: int
) -> None:
    last = heads([agency]).get(agency, 0)
    if after > last:
        raise NumberUnknown(
            f"the last number of this box is {last}: read on after it; a larger one was given by "
            "a log that has ended",
            last=str(last),
        )
