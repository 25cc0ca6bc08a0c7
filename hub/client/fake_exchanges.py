"""The rules of the exchange service in memory, over a fake log; without any network."""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from hub.client import fake_lists
from hub.client.answers import statement_of, to_wire
from hub.client.fake_log import FakeLog
from hub.client.fake_uploads import LIMITS, FakeUploads
from hub.errors import (
    AgencyMismatch,
    AgencyUnknown,
    ContentMissing,
    ContentWithheld,
    DigestMismatch,
    ExchangeUnknown,
    KeyUnknown,
    NotAParty,
    NotCollected,
    NumberUnknown,
    PositionUnknown,
    RecallAskedAlready,
    RecallNotOpen,
    RecipientUnknown,
    RequestIdReused,
    RequestMalformed,
    RequestUnknown,
    SecretDocument,
    SignatureInvalid,
    StatementMalformed,
    TooLarge,
    VerificationFailed,
    WrongHub,
)
from hub.proof.dsse import SignedStatement
from hub.proof.envelope import Action
from hub.proof.evidence import ENROLMENT_TOPIC
from hub.proof.facts import TAKEN
from hub.proof.fields import MalformedField
from hub.proof.leaf import NONCE_BYTES, Event, encode_leaf
from hub.proof.signatures import PublicKey
from hub.proof.statements import (
    PAYLOAD_BYTES_MAX,
    Collect,
    Envelope,
    Recall,
    RecallAnswer,
    Statement,
    Status,
    read_statement,
)
from hub.proof.strict import encode_base64
from hub.v1 import exchange_pb2 as wire
from hub.v1 import exchange_service_pb2 as calls

A = TypeVar("A", bound=Message)
M = TypeVar("M")
S = TypeVar("S", bound=Envelope | Collect | Status | Recall | RecallAnswer)

_AXIS = "axis"
_PIECE_BYTES = 64 * 1024
_STATES = {
    "01": wire.DELIVERY_STATE_ARRIVED,
    "02": wire.DELIVERY_STATE_REFUSED,
    "03": wire.DELIVERY_STATE_ACCEPTED,
    "04": wire.DELIVERY_STATE_ASSIGNED,
    "05": wire.DELIVERY_STATE_PROCESSING,
    "06": wire.DELIVERY_STATE_FINISHED,
}


@dataclass(slots=True)
class FakeKey:
    """An enrolled signing key, its certificate and the position of its enrolment."""

    public: PublicKey
    certificate: bytes
    position: int


@dataclass(slots=True)
class FakeAgency:
    """A registered agency with its keys, and all that was ever put into its two boxes."""

    code: str
    keys: dict[str, FakeKey] = field(default_factory=dict)
    inbox: list[_Notice] = field(default_factory=list)
    outbox: list[wire.OutboxItem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Notice:
    """A line of an inbox: what happened to which document, recorded where."""

    kind: wire.InboxItemKind.ValueType
    exchange: FakeExchange
    position: int
    by_exchange: str = ""


@dataclass(slots=True)
class FakeExchange:
    """A document on its way, its content, and where it is at each recipient."""

    exchange_id: str
    envelope: Envelope
    signed: SignedStatement
    sender: FakeAgency
    contents: tuple[bytes, ...]
    position: int
    at: datetime
    deliveries: dict[str, wire.Delivery]
    collected: set[str] = field(default_factory=set)
    recalled: bool = False
    replaced_by: str = ""

    @property
    def origin(self) -> str:
        """`axis` where nobody signed the envelope, because it came over the national axis."""
        return "" if self.signed.key_id else _AXIS

    @property
    def digest(self) -> str:
        """The envelope's name in statements."""
        return self.signed.digest.hex()


@dataclass(frozen=True, slots=True)
class _Said:
    """A statement that passed its checks: its caller, its bytes, its key.

    No key of one that the hub made of what came over the national axis.
    """

    caller: FakeAgency
    signed: SignedStatement
    key: FakeKey | None

    def facts(self, statement: Statement) -> dict[str, Any]:
        """What every event records of the statement behind it."""
        if self.key is None:
            raise AssertionError("nobody signed this")
        return {
            "enrolment": self.key.position,
            "request_id": statement.header.request_id,
            "statement": {
                "algorithm": self.key.public.algorithm.value,
                "digest": self.signed.digest.hex(),
                "key_id": self.signed.key_id,
                "payload_type": self.signed.payload_type,
                "signature": encode_base64(self.signed.signature),
            },
            "warnings": [],
        }


class FakeExchanges:
    """What agencies sent each other. Its caller sees to it that one thread at a time is here.

    Every method that a caller of the hub reaches takes that caller and the request, and
    raises the refusals of the real hub.
    """

    def __init__(self, log: FakeLog, uploads: FakeUploads) -> None:
        self.agencies: dict[str, FakeAgency] = {}
        self._log = log
        self._uploads = uploads
        self._exchanges: dict[str, FakeExchange] = {}
        self._answers: dict[tuple[str, str], tuple[SignedStatement, Message]] = {}
        # By position: who signed what, and whom it concerns.
        self._statements: dict[int, tuple[_Said, frozenset[str]]] = {}
        self._versions: Counter[uuid.UUID] = Counter()
        self._recorded: list[tuple[int, Event]] = []

    # --- What is said -------------------------------------------------------------------

    def submit(
        self, caller: FakeAgency, request: calls.SubmitDocumentRequest
    ) -> calls.SubmitDocumentResponse:
        """Accept a document, by the order of checks the real hub follows."""

        def accept(said: _Said, envelope: Envelope) -> calls.SubmitDocumentResponse:
            contents = self._uploads.contents_of(caller.code, request)
            _require_contents(envelope, contents, inline=request.contents)
            self._require_allowed(envelope)
            older = None
            if envelope.relates_to is not None:
                older = self._own_exchange(caller, envelope.relates_to)
            self._uploads.spend(request)
            opened = self._open(said, envelope, tuple(contents))
            if older is not None:
                self._supersede(older, opened)
            return calls.SubmitDocumentResponse(
                acceptance=self._acceptance(opened, opened.position)
            )

        return self._answer(caller, request.envelope, Envelope, accept)

    def take(self, drafted: bytes, contents: tuple[bytes, ...]) -> str:
        """A document came over the national axis: the hub makes its envelope, nobody signs it."""
        package = secrets.token_bytes(32).hex()
        axis = {"id": str(uuid.uuid4()), "package": package, "package_bytes": 1}
        payload = json.dumps({**json.loads(drafted), "origin": _AXIS, "axis": axis}).encode()
        signed = SignedStatement(Envelope.MEDIA_TYPE, payload, "", b"")
        envelope = cast(Envelope, read_statement(signed))
        self._require_allowed(envelope)
        exchange_id = uuid.uuid4()
        facts = {
            "axis_id": axis["id"],
            "exchange": str(exchange_id),
            "origin": _AXIS,
            "package": package,
            "package_bytes": 1,
            "request_id": envelope.header.request_id,
            "signed": False,
            "statement": {"digest": signed.digest.hex(), "payload_type": signed.payload_type},
            "warnings": [],
        }
        stranger = FakeAgency(envelope.header.agency)
        opened = self._opened(TAKEN, exchange_id, facts, (stranger, signed, envelope), contents)
        self._keep(opened.position, _Said(stranger, signed, None), opened.deliveries)
        return opened.exchange_id

    def collect(
        self, caller: FakeAgency, request: calls.CollectDocumentRequest
    ) -> calls.CollectDocumentResponse:
        """Hand a document over."""

        def hand_over(said: _Said, statement: Collect) -> calls.CollectDocumentResponse:
            exchange = self._received_exchange(caller, statement.envelope_digest)
            _require_released(exchange, caller)
            topic, kind = "DocumentHandedOver", wire.OUTBOX_ITEM_KIND_HANDED_OVER
            acceptance = self._record_delivery(topic, exchange, said, statement, kind)
            exchange.collected.add(caller.code)
            self._advance(exchange, caller, wire.DELIVERY_STATE_COLLECTED, acceptance)
            return calls.CollectDocumentResponse(
                acceptance=acceptance, document=self._document(exchange)
            )

        return self._answer(caller, request.collect, Collect, hand_over)

    def report(
        self, caller: FakeAgency, request: calls.ReportStatusRequest
    ) -> calls.ReportStatusResponse:
        """Record a status."""

        def record(said: _Said, statement: Status) -> calls.ReportStatusResponse:
            exchange = self._received_exchange(caller, statement.envelope_digest)
            topic, kind = "StatusReported", wire.OUTBOX_ITEM_KIND_STATUS
            acceptance = self._record_delivery(topic, exchange, said, statement, kind)
            self._advance(exchange, caller, _STATES[statement.code], acceptance)
            return calls.ReportStatusResponse(acceptance=acceptance)

        return self._answer(caller, request.status, Status, record)

    def recall(
        self, caller: FakeAgency, request: calls.RequestRecallRequest
    ) -> calls.RequestRecallResponse:
        """Ask every recipient for a document."""

        def record(said: _Said, statement: Recall) -> calls.RequestRecallResponse:
            exchange = self._known_exchange(caller, statement.envelope_digest)
            if exchange.sender is not caller:
                raise NotAParty("only the sender can recall a document")
            if exchange.recalled:
                raise RecallAskedAlready("this document was recalled already")
            recipients = self._recipients(exchange)
            facts = said.facts(statement) | {
                "envelope_digest": statement.envelope_digest,
                "notices": _numbered(recipients),
                "sender": caller.code,
            }
            position = self.record(
                "hub.Exchange.RecallRequested", facts, aggregate=uuid.UUID(exchange.exchange_id)
            )
            self._keep(position, said, exchange.deliveries)
            exchange.recalled = True
            for recipient in recipients:
                exchange.deliveries[recipient.code].recall = wire.RECALL_STATE_ASKED
                recipient.inbox.append(_Notice(wire.INBOX_ITEM_KIND_RECALL, exchange, position))
            return calls.RequestRecallResponse(acceptance=self._acceptance(exchange, position))

        return self._answer(caller, request.recall, Recall, record)

    def answer_recall(
        self, caller: FakeAgency, request: calls.AnswerRecallRequest
    ) -> calls.AnswerRecallResponse:
        """Record a recipient's answer to a recall."""

        def record(said: _Said, statement: RecallAnswer) -> calls.AnswerRecallResponse:
            exchange = self._received_exchange(caller, statement.envelope_digest)
            delivery = exchange.deliveries[caller.code]
            if delivery.recall != wire.RECALL_STATE_ASKED:
                raise RecallNotOpen("there is no open recall of this document to answer")
            topic, kind = "RecallAnswered", wire.OUTBOX_ITEM_KIND_RECALL_ANSWER
            acceptance = self._record_delivery(topic, exchange, said, statement, kind)
            agreed = statement.code == "15"
            delivery.recall = wire.RECALL_STATE_AGREED if agreed else wire.RECALL_STATE_REFUSED
            return calls.AnswerRecallResponse(acceptance=acceptance)

        return self._answer(caller, request.answer, RecallAnswer, record)

    def expire(self, exchange_id: str) -> None:
        """Let a document's time run out wherever it has not been collected."""
        exchange = self._exchanges[exchange_id]
        at = datetime.now(UTC)
        for recipient in self._recipients(exchange):
            delivery = exchange.deliveries[recipient.code]
            if recipient.code in exchange.collected or delivery.expired:
                continue
            facts = {
                "agency": recipient.code,
                "envelope_digest": exchange.digest,
                "exchange": exchange_id,
                "expires_at": (exchange.envelope.expires_at or at).isoformat(),
                "inbox_seq": len(recipient.inbox) + 1,
                "outbox_seq": len(exchange.sender.outbox) + 1,
                "sender": exchange.sender.code,
            }
            position = self.record(
                "hub.Delivery.DeliveryExpired",
                facts,
                at=at,
                aggregate=_delivery_id(exchange, recipient),
            )
            delivery.expired = True
            recipient.inbox.append(_Notice(wire.INBOX_ITEM_KIND_EXPIRED, exchange, position))
            kind = wire.OUTBOX_ITEM_KIND_EXPIRED
            self._tell_sender(exchange, recipient, kind, code="", at=at, position=position)

    # --- What is asked ------------------------------------------------------------------

    def submission(
        self, caller: FakeAgency, request: calls.GetSubmissionRequest
    ) -> calls.GetSubmissionResponse:
        """The answer a statement got."""
        found = self._answers.get((caller.code, request.request_id))
        if found is None:
            raise RequestUnknown("no accepted statement under this request id")
        return calls.GetSubmissionResponse(acceptance=cast("Any", found[1]).acceptance)

    def exchange(
        self, caller: FakeAgency, request: calls.GetExchangeRequest
    ) -> calls.GetExchangeResponse:
        """What the caller may know of an exchange."""
        found = self._exchanges.get(request.exchange_id)
        if found is None or not (found.sender is caller or caller.code in found.deliveries):
            raise ExchangeUnknown("no such exchange")
        seen = [
            delivery
            for code, delivery in found.deliveries.items()
            if found.sender is caller or code == caller.code
        ]
        return calls.GetExchangeResponse(
            exchange=wire.Exchange(
                exchange_id=found.exchange_id,
                sender=found.sender.code,
                envelope_digest=found.signed.digest,
                accept_time=_timestamp(found.at),
                position=found.position,
                deliveries=seen,
                replaced_by=found.replaced_by,
            )
        )

    def inbox(self, caller: FakeAgency, request: calls.ListInboxRequest) -> calls.ListInboxResponse:
        """One page of the inbox."""
        require_own_box(caller, request.agency)
        require_given(caller.inbox, request.after)
        lines, more = _page(caller.inbox, request.after, request.page_size)
        items = [_inbox_item(caller, seq, notice) for seq, notice in lines]
        return calls.ListInboxResponse(items=items, more=more)

    def outbox(
        self, caller: FakeAgency, request: calls.ListOutboxRequest
    ) -> calls.ListOutboxResponse:
        """One page of the outbox."""
        require_own_box(caller, request.agency)
        require_given(caller.outbox, request.after)
        lines, more = _page(caller.outbox, request.after, request.page_size)
        return calls.ListOutboxResponse(items=[item for _, item in lines], more=more)

    def received(
        self, caller: FakeAgency, request: calls.ListReceivedRequest
    ) -> calls.ListReceivedResponse:
        """One page of the documents received."""
        require_own_box(caller, request.agency)
        documents = [
            (seq, notice.exchange)
            for seq, notice in enumerate(caller.inbox, start=1)
            if notice.kind == wire.INBOX_ITEM_KIND_DOCUMENT
        ]
        return fake_lists.received(caller.code, documents, request)

    def sent(self, caller: FakeAgency, request: calls.ListSentRequest) -> calls.ListSentResponse:
        """One page of the documents sent."""
        require_own_box(caller, request.agency)
        own = [exchange for exchange in self._exchanges.values() if exchange.sender is caller]
        return fake_lists.sent(own, request)

    def inbox_news(self, caller: FakeAgency, after: int) -> calls.WatchInboxResponse | None:
        """The line of the inbox after that number, if there is one."""
        require_given(caller.inbox, after)
        if len(caller.inbox) <= after:
            return None
        item = _inbox_item(caller, after + 1, caller.inbox[after])
        return calls.WatchInboxResponse(item=item)

    def outbox_news(self, caller: FakeAgency, after: int) -> calls.WatchOutboxResponse | None:
        """The line of the outbox after that number, if there is one."""
        require_given(caller.outbox, after)
        if len(caller.outbox) <= after:
            return None
        return calls.WatchOutboxResponse(item=caller.outbox[after])

    def statement(
        self, caller: FakeAgency, request: calls.GetStatementRequest
    ) -> calls.GetStatementResponse:
        """A statement with its proofs."""
        said, parties = self._statements.get(request.position, (None, frozenset()))
        if said is None or caller.code not in parties:
            raise PositionUnknown("no such position in the log")
        exchange = self._opened_at(request.position)
        if exchange is not None and exchange.sender is not caller:
            _require_collected(exchange, caller)
        return calls.GetStatementResponse(
            evidence=wire.StatementEvidence(
                statement=to_wire(said.signed),
                receipt=self.receipt(request.position),
                enrolment=None if said.key is None else self._enrolment(said.key),
            )
        )

    def facts(self, caller: FakeAgency, request: calls.ListFactsRequest) -> calls.ListFactsResponse:
        """One page of where the facts about a document stand."""
        exchange = self._exchanges.get(request.exchange_id)
        if exchange is None or not (
            exchange.sender is caller or caller.code in exchange.deliveries
        ):
            raise ExchangeUnknown("no such exchange")
        found = [
            position
            for position, event in self._recorded
            if position > request.after
            and _is_about(event, exchange)
            and caller.code in _named_in(event)
        ]
        size = min(request.page_size or 100, 1000)
        return calls.ListFactsResponse(positions=found[:size], more=len(found) > size)

    def content(
        self, caller: FakeAgency, request: calls.DownloadAttachmentRequest
    ) -> Iterator[calls.DownloadAttachmentResponse]:
        """One attachment, in pieces of 64 KiB."""
        exchange = self._exchanges.get(request.exchange_id)
        if exchange is None or not (
            exchange.sender is caller or caller.code in exchange.deliveries
        ):
            raise ExchangeUnknown("no such exchange")
        if caller.code not in exchange.deliveries:
            raise NotAParty("content is released to recipients")
        _require_collected(exchange, caller)
        if request.attachment_index >= len(exchange.contents):
            raise RequestMalformed("no such attachment")
        content = exchange.contents[request.attachment_index]
        if request.offset > len(content):
            raise RequestMalformed("an offset beyond the end")
        for first in range(request.offset, len(content), _PIECE_BYTES):
            piece = content[first : first + _PIECE_BYTES]
            yield calls.DownloadAttachmentResponse(data=piece)

    # --- The checks on a statement ------------------------------------------------------

    def _answer(
        self,
        caller: FakeAgency,
        message: wire.SignedStatement,
        kind: type[S],
        accept: Callable[[_Said, S], A],
    ) -> A:
        """Check a statement in the hub's order, and answer it as it was answered before."""
        # (1) Size, form, origin, claimed agency.
        signed = statement_of(message)
        statement = _read(signed, kind)
        if statement.header.hub != self._log.origin:
            raise WrongHub("made for another hub", hub=self._log.origin)
        if statement.header.agency != caller.code:
            raise AgencyMismatch("the statement speaks for another agency")
        # (2) Already answered? Only acceptance binds a request id.
        request = (caller.code, statement.header.request_id)
        if request in self._answers:
            first, answer = self._answers[request]
            if (first.digest, first.payload_type) != (signed.digest, signed.payload_type):
                raise RequestIdReused(
                    "this request id carried another statement", first_digest=first.digest.hex()
                )
            return cast("A", answer)
        # (3) Key and signature.
        key = caller.keys.get(signed.key_id)
        if key is None:
            raise KeyUnknown("no such key is enrolled for this agency")
        try:
            key.public.verify(signed.pae, signed.signature)
        except VerificationFailed as failure:
            raise SignatureInvalid(str(failure)) from failure
        # (4) What the kind of statement asks for.
        response = accept(_Said(caller, signed, key), statement)
        self._answers[request] = (signed, response)
        return response

    def _require_allowed(self, envelope: Envelope) -> None:
        unknown = [code for code in envelope.recipients if code not in self.agencies]
        if unknown:
            raise RecipientUnknown(
                f"not registered: {', '.join(unknown)}", recipients=",".join(unknown)
            )
        if envelope.document.secrecy != "none":
            raise SecretDocument("documents marked as state secrets are not exchanged here")

    def _known_exchange(self, caller: FakeAgency, digest: str) -> FakeExchange:
        for exchange in self._exchanges.values():
            if exchange.digest == digest and (
                exchange.sender is caller or caller.code in exchange.deliveries
            ):
                return exchange
        raise ExchangeUnknown("no such exchange")

    def _own_exchange(self, caller: FakeAgency, digest: str) -> FakeExchange:
        exchange = self._known_exchange(caller, digest)
        if exchange.sender is not caller:
            raise ExchangeUnknown("no such exchange")
        return exchange

    def _received_exchange(self, caller: FakeAgency, digest: str) -> FakeExchange:
        exchange = self._known_exchange(caller, digest)
        if caller.code not in exchange.deliveries:
            raise NotAParty("only a recipient can say this")
        return exchange

    # --- What is recorded ---------------------------------------------------------------

    def _open(self, said: _Said, envelope: Envelope, contents: tuple[bytes, ...]) -> FakeExchange:
        facts, come = said.facts(envelope), (said.caller, said.signed, envelope)
        topic = "hub.Exchange.DocumentSubmitted"
        exchange = self._opened(topic, uuid.uuid4(), facts, come, contents)
        self._keep(exchange.position, said, exchange.deliveries)
        return exchange

    def _opened(
        self,
        topic: str,
        exchange_id: uuid.UUID,
        facts: dict[str, Any],
        come: tuple[FakeAgency, SignedStatement, Envelope],
        contents: tuple[bytes, ...],
    ) -> FakeExchange:
        at, (sender, signed, envelope) = datetime.now(UTC), come
        recipients = [self.agencies[code] for code in envelope.recipients]
        facts = facts | {
            "action": envelope.action.value,
            "attachments": [
                {"sha256": item.sha256, "size": item.size} for item in envelope.document.attachments
            ],
            "expires_at": envelope.expires_at and envelope.expires_at.isoformat(),
            "recipients": _numbered(recipients),
            "relates_to": envelope.relates_to,
            "sender": sender.code,
        }
        position = self.record(topic, facts, at=at, aggregate=exchange_id)
        deliveries = {
            agency.code: wire.Delivery(
                recipient=agency.code,
                state=wire.DELIVERY_STATE_CONSIGNED,
                update_time=_timestamp(at),
                position=position,
            )
            for agency in recipients
        }
        exchange = FakeExchange(
            str(exchange_id), envelope, signed, sender, contents, position, at, deliveries
        )
        self._exchanges[exchange.exchange_id] = exchange
        for agency in recipients:
            agency.inbox.append(_Notice(wire.INBOX_ITEM_KIND_DOCUMENT, exchange, position))
        return exchange

    def _supersede(self, older: FakeExchange, newer: FakeExchange) -> None:
        replaces = newer.envelope.action is Action.REPLACE
        recipients = self._recipients(older)
        position = self.record(
            f"hub.Exchange.{'DocumentReplaced' if replaces else 'DocumentUpdated'}",
            {
                "by_digest": newer.digest,
                "by_exchange": newer.exchange_id,
                "notices": _numbered(recipients),
                "sender": older.sender.code,
            },
            aggregate=uuid.UUID(older.exchange_id),
        )
        kind = wire.INBOX_ITEM_KIND_REPLACED if replaces else wire.INBOX_ITEM_KIND_UPDATED
        if replaces:
            older.replaced_by = newer.exchange_id
        for recipient in recipients:
            recipient.inbox.append(_Notice(kind, older, position, newer.exchange_id))

    def _record_delivery(
        self,
        topic: str,
        exchange: FakeExchange,
        said: _Said,
        statement: Collect | Status | RecallAnswer,
        kind: wire.OutboxItemKind.ValueType,
    ) -> wire.Acceptance:
        """Record what a recipient said, and tell the sender."""
        at, caller = datetime.now(UTC), said.caller
        facts = said.facts(statement) | {
            "agency": caller.code,
            "envelope_digest": statement.envelope_digest,
            "exchange": exchange.exchange_id,
            "outbox_seq": len(exchange.sender.outbox) + 1,
            "sender": exchange.sender.code,
        }
        code = "" if isinstance(statement, Collect) else statement.code
        if code:
            facts["code"] = code
        position = self.record(
            f"hub.Delivery.{topic}", facts, at=at, aggregate=_delivery_id(exchange, caller)
        )
        self._keep(position, said, [exchange.sender.code])
        self._tell_sender(exchange, caller, kind, code=code, at=at, position=position)
        return self._acceptance(exchange, position)

    def _tell_sender(
        self,
        exchange: FakeExchange,
        recipient: FakeAgency,
        kind: wire.OutboxItemKind.ValueType,
        *,
        code: str,
        at: datetime,
        position: int,
    ) -> None:
        outbox = exchange.sender.outbox
        outbox.append(
            wire.OutboxItem(
                outbox_seq=len(outbox) + 1,
                exchange_id=exchange.exchange_id,
                envelope_digest=exchange.signed.digest,
                recipient=recipient.code,
                kind=kind,
                code=code,
                record_time=_timestamp(at),
                position=position,
                document_code=exchange.envelope.document.code,
                subject=exchange.envelope.document.subject,
            )
        )

    def _advance(
        self,
        exchange: FakeExchange,
        recipient: FakeAgency,
        state: wire.DeliveryState.ValueType,
        acceptance: wire.Acceptance,
    ) -> None:
        """A delivery goes on, never back."""
        delivery = exchange.deliveries[recipient.code]
        if state > delivery.state:
            delivery.state = state
            delivery.position = acceptance.receipt.position
            delivery.update_time.CopyFrom(exchange.sender.outbox[-1].record_time)

    def _opened_at(self, position: int) -> FakeExchange | None:
        """The exchange that was opened by the fact at a position."""
        opened = (one for one in self._exchanges.values() if one.position == position)
        return next(opened, None)

    def _keep(self, position: int, said: _Said, others: Iterable[str]) -> None:
        self._statements[position] = (said, frozenset({said.caller.code, *others}))

    def _recipients(self, exchange: FakeExchange) -> list[FakeAgency]:
        return [self.agencies[code] for code in exchange.deliveries]

    def _acceptance(self, exchange: FakeExchange, position: int) -> wire.Acceptance:
        return wire.Acceptance(
            exchange_id=exchange.exchange_id, receipt=self.receipt(position), warnings=[]
        )

    def _document(self, exchange: FakeExchange) -> wire.Document:
        return wire.Document(
            exchange_id=exchange.exchange_id,
            envelope=to_wire(exchange.signed),
            submission=self.receipt(exchange.position),
            sender_enrolment=None if exchange.origin else self._enrolment(_key_behind(exchange)),
        )

    def _enrolment(self, key: FakeKey) -> wire.Enrolment:
        return wire.Enrolment(receipt=self.receipt(key.position), certificate=key.certificate)

    # --- The log ------------------------------------------------------------------------

    def enrol(self, code: str, public: PublicKey, certificate: bytes) -> None:
        """Register an agency if it is new, and enrol a signing key for it."""
        at = datetime.now(UTC)
        data = {
            "agency": code,
            "algorithm": public.algorithm.value,
            "by": "fake-operator",
            "certificate": hashlib.sha256(certificate).hexdigest(),
            "key_id": public.key_id,
            "not_after": _time_text(at + timedelta(days=1)),
            "not_before": _time_text(at - timedelta(days=1)),
            "purpose": "signing",
            "request_id": str(uuid.uuid4()),
        }
        position = self.record(ENROLMENT_TOPIC, data, at=at)
        agency = self.agencies.setdefault(code, FakeAgency(code))
        agency.keys[public.key_id] = FakeKey(public, certificate, position)

    def record(
        self,
        topic: str,
        data: dict[str, Any],
        *,
        at: datetime | None = None,
        aggregate: uuid.UUID | None = None,
    ) -> int:
        """Put an event into the log; return its position."""
        aggregate = aggregate or uuid.uuid4()
        self._versions[aggregate] += 1
        event = Event(
            topic=topic,
            schema=1,
            id=aggregate,
            version=self._versions[aggregate],
            time=at or datetime.now(UTC),
            nonce=secrets.token_bytes(NONCE_BYTES),
            data=data,
        )
        position = self._log.append(encode_leaf(event))
        self._recorded.append((position, event))
        return position

    def receipt(self, position: int) -> wire.Receipt:
        """The receipt of an event, under a checkpoint over all there is now."""
        receipt = self._log.receipt(position)
        return wire.Receipt(leaf=receipt.leaf, proof=receipt.proof, position=position)


def _read(signed: SignedStatement, kind: type[S]) -> S:
    if len(signed.payload) > PAYLOAD_BYTES_MAX:
        raise TooLarge("the payload is too large", limit=str(PAYLOAD_BYTES_MAX))
    try:
        statement = read_statement(signed)
    except MalformedField as failure:
        raise StatementMalformed(str(failure), field=failure.field) from failure
    except VerificationFailed as failure:
        raise StatementMalformed(str(failure)) from failure
    if not isinstance(statement, kind):
        raise StatementMalformed("this call takes another payload type")
    return statement


def _require_contents(
    envelope: Envelope, contents: Sequence[bytes], inline: Sequence[bytes]
) -> None:
    attachments = envelope.document.attachments
    if sum(len(content) for content in inline) > LIMITS.inline_bytes_max:
        raise TooLarge("too much content", limit=str(LIMITS.inline_bytes_max))
    if len(contents) != len(attachments):
        raise ContentMissing("the envelope names content that was not sent along")
    for attachment, content in zip(attachments, contents, strict=True):
        actual = hashlib.sha256(content).hexdigest()
        if (actual, len(content)) != (attachment.sha256, attachment.size):
            raise DigestMismatch(f"{attachment.name} hashes to {actual}")


def _require_released(exchange: FakeExchange, recipient: FakeAgency) -> None:
    """What was recalled or has expired is withheld, unless it was collected before."""
    delivery = exchange.deliveries[recipient.code]
    if delivery.recall == wire.RECALL_STATE_AGREED:
        raise ContentWithheld("this agency agreed to the recall of the document")
    if recipient.code in exchange.collected:
        return
    if delivery.expired:
        raise ContentWithheld("the document expired before it was collected")
    if exchange.recalled and delivery.recall != wire.RECALL_STATE_REFUSED:
        raise ContentWithheld("the sender has recalled this document; answer with 15 or 16")


def _require_collected(exchange: FakeExchange, recipient: FakeAgency) -> None:
    """Content and envelope are released against a collect statement, unless taken back since."""
    if recipient.code not in exchange.collected:
        raise NotCollected("sign a collect statement first")
    if exchange.deliveries[recipient.code].recall == wire.RECALL_STATE_AGREED:
        raise ContentWithheld("this agency agreed to the recall of the document")


def _numbered(agencies: Sequence[FakeAgency]) -> list[dict[str, Any]]:
    return [{"agency": agency.code, "inbox_seq": len(agency.inbox) + 1} for agency in agencies]


def _delivery_id(exchange: FakeExchange, recipient: FakeAgency) -> uuid.UUID:
    return uuid.uuid5(uuid.UUID(exchange.exchange_id), recipient.code)


def _is_about(event: Event, exchange: FakeExchange) -> bool:
    return exchange.exchange_id in (str(event.id), event.data.get("exchange"))


def _named_in(event: Event) -> set[str]:
    data = event.data
    numbered = (*data.get("recipients", ()), *data.get("notices", ()))
    return {data["sender"], data.get("agency", ""), *(one["agency"] for one in numbered)}


def require_own_box(caller: FakeAgency, agency: str) -> None:
    """Nobody has a successor here, so nobody reads another's box. Raises AgencyUnknown."""
    if agency not in ("", caller.code):
        raise AgencyUnknown("no such agency among those whose boxes you may read", code=agency)


def _page(lines: Sequence[M], after: int, page_size: int) -> tuple[list[tuple[int, M]], bool]:
    """The lines after a number, each with its own, and whether there are more."""
    size = min(page_size or 100, 1000)
    found = list(enumerate(lines, start=1))[after:]
    return found[:size], len(found) > size


def require_given(box: Sequence[object], after: int) -> None:
    """Refuse a number that no line of a box ever had."""
    if after > len(box):
        raise NumberUnknown(f"the last number of this box is {len(box)}", last=str(len(box)))


def _inbox_item(agency: FakeAgency, seq: int, notice: _Notice) -> wire.InboxItem:
    exchange = notice.exchange
    document, delivery = exchange.envelope.document, exchange.deliveries[agency.code]
    cancelled = delivery.recall == wire.RECALL_STATE_AGREED
    return wire.InboxItem(
        inbox_seq=seq,
        exchange_id=exchange.exchange_id,
        sender=exchange.sender.code,
        envelope_digest=exchange.signed.digest,
        accept_time=_timestamp(exchange.at),
        position=notice.position,
        state=delivery.state,
        code=document.code,
        type_name=document.type_name,
        subject="" if cancelled else document.subject,
        attachment_count=len(document.attachments),
        attachment_bytes=sum(item.size for item in document.attachments),
        kind=notice.kind,
        recall=delivery.recall,
        by_exchange=notice.by_exchange,
        replaced_by=exchange.replaced_by,
        expired=delivery.expired,
        origin=exchange.origin,
    )


def _key_behind(exchange: FakeExchange) -> FakeKey:
    return exchange.sender.keys[exchange.signed.key_id]


def _timestamp(at: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    return timestamp


def _time_text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
