"""A hub in the test's own process, so that a vendor's tests run without ours.

It speaks the real contract over mutual TLS on loopback and keeps a real little log, so
receipts verify and the client under test is the client as shipped. It forgets everything
when it stops, and a test can make it fail, lie and fall silent.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, cast

import grpc
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from hub.client.answers import statement_of
from hub.client.errors import ERROR_DOMAIN, ERROR_INFO_URL, RETRY_INFO_URL, STATUS_DETAILS_KEY
from hub.client.fake_log import FakeLog
from hub.client.fake_pki import FakeAuthority, key_pem, new_key
from hub.client.profile import ClientProfile
from hub.errors import (
    ActionUnsupported,
    AgencyMismatch,
    ContentMissing,
    DigestMismatch,
    ExchangeUnknown,
    HubError,
    KeyUnknown,
    NotAParty,
    NotCollected,
    PositionUnknown,
    PrincipalUnknown,
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
    hub_errors,
)
from hub.proof.dsse import SignedStatement
from hub.proof.envelope import Action
from hub.proof.evidence import ENROLMENT_TOPIC
from hub.proof.fields import MalformedField
from hub.proof.leaf import NONCE_BYTES, Event, encode_leaf
from hub.proof.signatures import Algorithm, PublicKey
from hub.proof.statements import (
    PAYLOAD_BYTES_MAX,
    Collect,
    Envelope,
    Statement,
    Status,
    read_statement,
)
from hub.proof.strict import encode_base64
from hub.v1 import exchange_pb2 as wire
from hub.v1 import exchange_service_pb2 as calls
from hub.v1 import ledger_service_pb2 as ledger_calls
from hub.v1.exchange_service_pb2_grpc import (
    ExchangeServiceServicer,
    add_ExchangeServiceServicer_to_server,
)
from hub.v1.ledger_service_pb2_grpc import (
    LedgerServiceServicer,
    add_LedgerServiceServicer_to_server,
)
from hub.v1.status_details_pb2 import ErrorInfo, RetryInfo, StatusDetails

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
S = TypeVar("S", bound=Envelope | Collect | Status)

ORIGIN = "fake-hub.test/log"

_PIECE_BYTES = 64 * 1024
_CONTENTS_BYTES_MAX = 3 * 1024**2
_STATES = {
    "01": wire.DELIVERY_STATE_ARRIVED,
    "02": wire.DELIVERY_STATE_REFUSED,
    "03": wire.DELIVERY_STATE_ACCEPTED,
    "04": wire.DELIVERY_STATE_ASSIGNED,
    "05": wire.DELIVERY_STATE_PROCESSING,
    "06": wire.DELIVERY_STATE_FINISHED,
}


@dataclass(slots=True)
class _Key:
    """An enrolled signing key, its certificate and the position of its enrolment."""

    public: PublicKey
    certificate: bytes
    position: int


@dataclass(slots=True)
class _Agency:
    code: str
    keys: dict[str, _Key] = field(default_factory=dict)
    inbox: list[_Exchange] = field(default_factory=list)


@dataclass(slots=True)
class _Exchange:
    exchange_id: str
    envelope: Envelope
    signed: SignedStatement
    sender: _Agency
    contents: tuple[bytes, ...]
    position: int
    at: datetime
    deliveries: dict[str, wire.Delivery]


@dataclass(frozen=True, slots=True)
class _Fault:
    """A failure that waits for its call; streams meet it after so many messages."""

    failure: str | grpc.StatusCode
    kept: bool
    after: int
    retry_after_s: float | None

    def strike(self, context: grpc.ServicerContext) -> NoReturn:
        """Fail the call."""
        if isinstance(self.failure, grpc.StatusCode):
            context.abort(self.failure, "a failure injected by the test")
        error = hub_errors()[self.failure]("a refusal injected by the test")
        _refuse(context, error, self.retry_after_s)


class FakeHub:
    """A hub for tests: `with FakeHub(folder) as fake`, then `fake.enrol("H29.3")`.

    `folder` takes the profiles, keys and certificates it makes up. Works in tests with and
    without an event loop. `received` holds every request, by method name, as it came.
    """

    def __init__(self, folder: Path, *, origin: str = ORIGIN) -> None:
        self.log = FakeLog(origin)
        self.received: dict[str, list[Message]] = defaultdict(list)
        self._folder = folder
        self._authority = FakeAuthority()
        self._agencies: dict[str, _Agency] = {}
        self._exchanges: dict[str, _Exchange] = {}
        self._answers: dict[tuple[str, str], tuple[bytes, Message]] = {}
        self._faults: dict[str, list[_Fault]] = defaultdict(list)
        self._changes: dict[str, list[Callable[[Any], Any]]] = defaultdict(list)
        self._news = threading.Condition(threading.RLock())
        self._running = True
        self._server = grpc.server(ThreadPoolExecutor(max_workers=16, thread_name_prefix="fake"))
        add_ExchangeServiceServicer_to_server(_ExchangeServicer(self), self._server)
        add_LedgerServiceServicer_to_server(_LedgerServicer(self), self._server)
        self._target = f"127.0.0.1:{self._listen()}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._news:
            self._running = False
            self._news.notify_all()
        self._server.stop(None).wait()

    # --- What a test arranges -----------------------------------------------------------

    def enrol(self, code: str, *, algorithm: Algorithm = Algorithm.ED25519) -> ClientProfile:
        """Register an agency with a new key; return its profile.

        The same profile stands in `<folder>/<code>/profile.toml`.
        """
        folder = self._folder / code
        folder.mkdir(parents=True)
        signing, transport = new_key(algorithm), new_key(Algorithm.ECDSA_P256_SHA256)
        certificate = self._authority.issue(code, signing).public_bytes(Encoding.DER)
        with self._news:
            agency = self._agencies.setdefault(code, _Agency(code))
            key = PublicKey.of(signing.public_key(), algorithm)
            position = self._record_enrolment(code, key, certificate)
            agency.keys[key.key_id] = _Key(key, certificate, position)
        files = {
            "ca.pem": self._authority.pem,
            "transport.pem": self._authority.issue(code, transport).public_bytes(Encoding.PEM),
            "transport-key.pem": key_pem(transport),
            "signing-key.pem": key_pem(signing),
            "trusted_root.json": self.log.trusted_root().format(),
            "profile.toml": self._profile_text(code, algorithm).encode(),
        }
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return ClientProfile.load(folder / "profile.toml")

    def fail_next(
        self,
        method: str,
        failure: str | grpc.StatusCode,
        *,
        kept: bool = False,
        after: int = 0,
        retry_after_s: float | None = None,
    ) -> None:
        """Let the next call of a method fail; call it again for the one after.

        `failure` is a reason of the contract, such as "OVERLOADED", or a plain gRPC status.
        With `kept` the call does its work first and only the answer is lost. A stream fails
        after `after` messages.
        """
        self._faults[method].append(_Fault(failure, kept, after, retry_after_s))

    def answer_next(self, method: str, change: Callable[[Any], Any]) -> None:
        """Let the hub lie: `change(response)` alters or replaces the next response.

        For streams it is applied to the next message.
        """
        self._changes[method].append(change)

    # --- What the servicers do ----------------------------------------------------------

    def unary(
        self,
        request: Q,
        context: grpc.ServicerContext,
        method: str,
        handle: Callable[[_Agency, Q], A],
    ) -> A:
        """Serve one call: its fault, the caller's identity, the work, the test's change."""
        fault = self._begin(method, request)
        if fault and not fault.kept:
            fault.strike(context)
        try:
            with self._news:
                response = handle(self._caller(context), request)
        except HubError as error:
            _refuse(context, error, None)
        if fault:
            fault.strike(context)
        return self._changed(method, response)

    def stream(
        self,
        request: Q,
        context: grpc.ServicerContext,
        method: str,
        messages: Callable[[_Agency, Q, grpc.ServicerContext], Iterator[A]],
    ) -> Iterator[A]:
        """Serve one stream likewise."""
        fault = self._begin(method, request)
        left = fault.after if fault else 0
        if fault and left == 0:
            fault.strike(context)
        try:
            for message in messages(self._caller(context), request, context):
                if fault and left == 0:
                    fault.strike(context)
                left -= 1
                yield self._changed(method, message)
        except HubError as error:
            _refuse(context, error, None)
        if fault:
            fault.strike(context)

    def submit(
        self, caller: _Agency, request: calls.SubmitDocumentRequest
    ) -> calls.SubmitDocumentResponse:
        """Accept a document, by the order of checks the real hub follows."""

        def accept(signed: SignedStatement, envelope: Envelope, key: _Key) -> wire.Acceptance:
            self._check_contents(envelope, request.contents)
            self._check_rules(envelope)
            return self._open_exchange(caller, signed, envelope, key, tuple(request.contents))

        return self._answer(
            caller,
            request.envelope,
            Envelope,
            lambda *found: calls.SubmitDocumentResponse(acceptance=accept(*found)),
        )

    def collect(
        self, caller: _Agency, request: calls.CollectDocumentRequest
    ) -> calls.CollectDocumentResponse:
        """Hand a document over."""

        def hand_over(
            signed: SignedStatement, statement: Collect, key: _Key
        ) -> calls.CollectDocumentResponse:
            exchange = self._received_exchange(caller, statement.envelope_digest)
            data = self._said(caller, exchange, signed, statement, key)
            acceptance = self._accept("hub.Delivery.DocumentHandedOver", exchange, data)
            delivery = exchange.deliveries[caller.code]
            delivery.state = max(delivery.state, wire.DELIVERY_STATE_COLLECTED)
            return calls.CollectDocumentResponse(
                acceptance=acceptance, document=self._document(exchange)
            )

        return self._answer(caller, request.collect, Collect, hand_over)

    def report(
        self, caller: _Agency, request: calls.ReportStatusRequest
    ) -> calls.ReportStatusResponse:
        """Record a status."""

        def record(
            signed: SignedStatement, statement: Status, key: _Key
        ) -> calls.ReportStatusResponse:
            exchange = self._received_exchange(caller, statement.envelope_digest)
            data = self._said(caller, exchange, signed, statement, key) | {"code": statement.code}
            acceptance = self._accept("hub.Delivery.StatusReported", exchange, data)
            delivery = exchange.deliveries[caller.code]
            delivery.state = max(delivery.state, _STATES[statement.code])
            return calls.ReportStatusResponse(acceptance=acceptance)

        return self._answer(caller, request.status, Status, record)

    def submission(
        self, caller: _Agency, request: calls.GetSubmissionRequest
    ) -> calls.GetSubmissionResponse:
        """The answer a statement got."""
        found = self._answers.get((caller.code, request.request_id))
        if found is None:
            raise RequestUnknown("no accepted statement under this request id")
        return calls.GetSubmissionResponse(acceptance=cast("Any", found[1]).acceptance)

    def exchange(
        self, caller: _Agency, request: calls.GetExchangeRequest
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
            )
        )

    def inbox(self, caller: _Agency, request: calls.ListInboxRequest) -> calls.ListInboxResponse:
        """One page of the inbox."""
        size = min(request.page_size or 100, 1000)
        items = [_item(caller, seq) for seq in range(request.after + 1, len(caller.inbox) + 1)]
        return calls.ListInboxResponse(items=items[:size], more=len(items) > size)

    def watch(
        self, caller: _Agency, request: calls.WatchInboxRequest, context: grpc.ServicerContext
    ) -> Iterator[calls.WatchInboxResponse]:
        """The inbox as it grows."""
        after = request.after
        while context.is_active() and self._running:
            with self._news:
                if len(caller.inbox) <= after:
                    # A limit, because nothing wakes the thread of a caller that hung up.
                    self._news.wait(0.2)
                    continue
                after += 1
                item = _item(caller, after)
            yield calls.WatchInboxResponse(item=item)

    def content(
        self, caller: _Agency, request: calls.DownloadAttachmentRequest, _: grpc.ServicerContext
    ) -> Iterator[calls.DownloadAttachmentResponse]:
        """One attachment, in pieces of 64 KiB."""
        exchange = self._exchanges.get(request.exchange_id)
        if exchange is None or caller.code not in exchange.deliveries:
            raise ExchangeUnknown("no such exchange")
        if exchange.deliveries[caller.code].state < wire.DELIVERY_STATE_COLLECTED:
            raise NotCollected("sign a collect statement first")
        if request.attachment_index >= len(exchange.contents):
            raise RequestMalformed("no such attachment")
        content = exchange.contents[request.attachment_index]
        if request.offset > len(content):
            raise RequestMalformed("an offset beyond the end")
        for first in range(request.offset, len(content), _PIECE_BYTES):
            piece = content[first : first + _PIECE_BYTES]
            yield calls.DownloadAttachmentResponse(data=piece)

    def consistency(
        self, _: _Agency, request: ledger_calls.GetConsistencyProofRequest
    ) -> ledger_calls.GetConsistencyProofResponse:
        """The proof between two tree sizes."""
        if not 0 < request.old_size <= request.new_size <= self.log.size:
            raise PositionUnknown("no such tree sizes")
        hashes = self.log.consistency(request.old_size, request.new_size)
        return ledger_calls.GetConsistencyProofResponse(hashes=hashes)

    def receipt(
        self, _: _Agency, request: ledger_calls.GetReceiptRequest
    ) -> ledger_calls.GetReceiptResponse:
        """The receipt of one event."""
        if request.position >= self.log.size:
            raise PositionUnknown("no such position")
        return ledger_calls.GetReceiptResponse(receipt=self._receipt(request.position))

    # --- Statements ---------------------------------------------------------------------

    def _answer(
        self,
        caller: _Agency,
        message: wire.SignedStatement,
        kind: type[S],
        accept: Callable[[SignedStatement, S, _Key], A],
    ) -> A:
        """Check a statement in the hub's order, and answer it as it was answered before."""
        # (1) Size, form, origin, claimed agency.
        signed = statement_of(message)
        statement = self._read(signed, kind)
        self._check_header(statement, caller)
        # (2) Already answered? Only acceptance binds a request id.
        request = (caller.code, statement.header.request_id)
        if request in self._answers:
            digest, answer = self._answers[request]
            if digest != signed.digest:
                raise RequestIdReused(
                    "this request id carried another statement", first_digest=digest.hex()
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
        response = accept(signed, statement, key)
        self._answers[request] = (signed.digest, response)
        return response

    def _read(self, signed: SignedStatement, kind: type[S]) -> S:
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

    def _check_header(self, statement: Statement, caller: _Agency) -> None:
        if statement.header.hub != self.log.origin:
            raise WrongHub("made for another hub", hub=self.log.origin)
        if statement.header.agency != caller.code:
            raise AgencyMismatch("the statement speaks for another agency")

    def _check_contents(self, envelope: Envelope, contents: Any) -> None:
        attachments = envelope.document.attachments
        if sum(len(content) for content in contents) > _CONTENTS_BYTES_MAX:
            raise TooLarge("too much content", limit=str(_CONTENTS_BYTES_MAX))
        if len(contents) != len(attachments):
            raise ContentMissing("the envelope names content that was not sent along")
        for attachment, content in zip(attachments, contents, strict=True):
            actual = hashlib.sha256(content).hexdigest()
            if (actual, len(content)) != (attachment.sha256, attachment.size):
                raise DigestMismatch(f"{attachment.name} hashes to {actual}")

    def _check_rules(self, envelope: Envelope) -> None:
        unknown = [code for code in envelope.recipients if code not in self._agencies]
        if unknown:
            raise RecipientUnknown(
                f"not registered: {', '.join(unknown)}", recipients=",".join(unknown)
            )
        if envelope.document.secrecy != "none":
            raise SecretDocument("documents marked as state secrets are not exchanged here")
        if envelope.action is not Action.NEW:
            raise ActionUnsupported("this fake hub takes new documents only")

    def _open_exchange(
        self,
        caller: _Agency,
        signed: SignedStatement,
        envelope: Envelope,
        key: _Key,
        contents: tuple[bytes, ...],
    ) -> wire.Acceptance:
        at, exchange_id = datetime.now(UTC), uuid.uuid4()
        recipients = [self._agencies[code] for code in envelope.recipients]
        position = self._record(
            "hub.Exchange.DocumentSubmitted",
            {
                "action": envelope.action.value,
                "attachments": [
                    {"sha256": item.sha256, "size": item.size}
                    for item in envelope.document.attachments
                ],
                "enrolment": key.position,
                "expires_at": envelope.expires_at and envelope.expires_at.isoformat(),
                "recipients": [
                    {"agency": agency.code, "inbox_seq": len(agency.inbox) + 1}
                    for agency in recipients
                ],
                "relates_to": envelope.relates_to,
                "request_id": envelope.header.request_id,
                "sender": caller.code,
                "statement": _statement_record(signed, key),
                "warnings": [],
            },
            at=at,
            aggregate=exchange_id,
        )
        exchange = _Exchange(
            str(exchange_id), envelope, signed, caller, contents, position, at, deliveries={}
        )
        for agency in recipients:
            exchange.deliveries[agency.code] = wire.Delivery(
                recipient=agency.code,
                state=wire.DELIVERY_STATE_CONSIGNED,
                update_time=_timestamp(at),
                position=position,
            )
            agency.inbox.append(exchange)
        self._exchanges[exchange.exchange_id] = exchange
        self._news.notify_all()
        return self._acceptance(exchange, position)

    def _received_exchange(self, caller: _Agency, digest: str) -> _Exchange:
        for exchange in self._exchanges.values():
            if exchange.signed.digest.hex() == digest:
                if caller.code in exchange.deliveries:
                    return exchange
                if exchange.sender is caller:
                    raise NotAParty("only a recipient can say this")
        raise ExchangeUnknown("no such exchange")

    def _said(
        self,
        caller: _Agency,
        exchange: _Exchange,
        signed: SignedStatement,
        statement: Collect | Status,
        key: _Key,
    ) -> dict[str, Any]:
        return {
            "agency": caller.code,
            "enrolment": key.position,
            "envelope_digest": statement.envelope_digest,
            "exchange": exchange.exchange_id,
            "request_id": statement.header.request_id,
            "statement": _statement_record(signed, key),
            "warnings": [],
        }

    def _accept(self, topic: str, exchange: _Exchange, data: dict[str, Any]) -> wire.Acceptance:
        at = datetime.now(UTC)
        position = self._record(topic, data, at=at)
        delivery = exchange.deliveries[data["agency"]]
        delivery.update_time.CopyFrom(_timestamp(at))
        delivery.position = position
        return self._acceptance(exchange, position)

    def _acceptance(self, exchange: _Exchange, position: int) -> wire.Acceptance:
        return wire.Acceptance(
            exchange_id=exchange.exchange_id, receipt=self._receipt(position), warnings=[]
        )

    def _document(self, exchange: _Exchange) -> wire.Document:
        key = exchange.sender.keys[exchange.signed.key_id]
        return wire.Document(
            exchange_id=exchange.exchange_id,
            envelope=wire.SignedStatement(
                payload_type=exchange.signed.payload_type,
                payload=exchange.signed.payload,
                key_id=exchange.signed.key_id,
                signature=exchange.signed.signature,
            ),
            submission=self._receipt(exchange.position),
            sender_enrolment=wire.Enrolment(
                receipt=self._receipt(key.position), certificate=key.certificate
            ),
        )

    # --- The log ------------------------------------------------------------------------

    def _record(
        self,
        topic: str,
        data: dict[str, Any],
        *,
        at: datetime,
        aggregate: uuid.UUID | None = None,
    ) -> int:
        event = Event(
            topic=topic,
            schema=1,
            id=aggregate or uuid.uuid4(),
            version=1,
            time=at,
            nonce=secrets.token_bytes(NONCE_BYTES),
            data=data,
        )
        return self.log.append(encode_leaf(event))

    def _record_enrolment(self, code: str, key: PublicKey, certificate: bytes) -> int:
        at = datetime.now(UTC)
        data = {
            "agency": code,
            "algorithm": key.algorithm.value,
            "by": "fake-operator",
            "certificate": hashlib.sha256(certificate).hexdigest(),
            "key_id": key.key_id,
            "not_after": _time_text(at + timedelta(days=1)),
            "not_before": _time_text(at - timedelta(days=1)),
            "purpose": "signing",
            "request_id": str(uuid.uuid4()),
        }
        return self._record(ENROLMENT_TOPIC, data, at=at)

    def _receipt(self, position: int) -> wire.Receipt:
        receipt = self.log.receipt(position)
        return wire.Receipt(leaf=receipt.leaf, proof=receipt.proof, position=position)

    # --- The edge -----------------------------------------------------------------------

    def _begin(self, method: str, request: Message) -> _Fault | None:
        with self._news:
            self.received[method].append(request)
            waiting = self._faults[method]
            return waiting.pop(0) if waiting else None

    def _caller(self, context: grpc.ServicerContext) -> _Agency:
        identity: dict[str, Any] = dict(context.auth_context())
        names: list[bytes] = identity.get("x509_common_name", [])
        agency = self._agencies.get(names[0].decode()) if names else None
        if agency is None:
            raise PrincipalUnknown("the certificate is enrolled for nobody")
        return agency

    def _changed(self, method: str, response: A) -> A:
        with self._news:
            waiting = self._changes[method]
            change = waiting.pop(0) if waiting else None
        if change is None:
            return response
        # A copy: what was recorded stays as it is, or a repeated answer would change too.
        copy = type(response)()
        copy.CopyFrom(response)
        return cast("A", change(copy) or copy)

    def _listen(self) -> int:
        key = new_key(Algorithm.ECDSA_P256_SHA256)
        certificate = self._authority.issue("localhost", key).public_bytes(Encoding.PEM)
        credentials = grpc.ssl_server_credentials(
            [(key_pem(key), certificate)], self._authority.pem, require_client_auth=True
        )
        return self._server.add_secure_port("127.0.0.1:0", credentials)

    def _profile_text(self, code: str, algorithm: Algorithm) -> str:
        return "\n".join(
            [
                f'target = "{self._target}"',
                f'hub = "{self.log.origin}"',
                f'agency = "{code}"',
                'ca = "ca.pem"',
                'transport_certificate = "transport.pem"',
                'transport_key = "transport-key.pem"',
                'signing_key = "signing-key.pem"',
                f'signing_algorithm = "{algorithm.value}"',
                'trusted_root = "trusted_root.json"',
                'state = "state"',
                "",
            ]
        )


class _ExchangeServicer(ExchangeServiceServicer):
    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub

    def SubmitDocument(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "SubmitDocument", self._hub.submit)

    def GetSubmission(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "GetSubmission", self._hub.submission)

    def GetExchange(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "GetExchange", self._hub.exchange)

    def ListInbox(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "ListInbox", self._hub.inbox)

    def WatchInbox(self, request: Any, context: Any) -> Any:
        return self._hub.stream(request, context, "WatchInbox", self._hub.watch)

    def CollectDocument(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "CollectDocument", self._hub.collect)

    def DownloadAttachment(self, request: Any, context: Any) -> Any:
        return self._hub.stream(request, context, "DownloadAttachment", self._hub.content)

    def ReportStatus(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "ReportStatus", self._hub.report)


class _LedgerServicer(LedgerServiceServicer):
    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub

    def GetCheckpoint(self, request: Any, context: Any) -> Any:
        def newest(_: _Agency, __: Any) -> ledger_calls.GetCheckpointResponse:
            return ledger_calls.GetCheckpointResponse(checkpoint=self._hub.log.checkpoint())

        return self._hub.unary(request, context, "GetCheckpoint", newest)

    def GetConsistencyProof(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "GetConsistencyProof", self._hub.consistency)

    def GetReceipt(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "GetReceipt", self._hub.receipt)


def _refuse(
    context: grpc.ServicerContext, error: HubError, retry_after_s: float | None
) -> NoReturn:
    """End a call as the real hub does: a status, with the reason in the trailing metadata."""
    code = _CODES.get(error.reason, grpc.StatusCode.INVALID_ARGUMENT)
    info = ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata)
    details = [AnyMessage(type_url=ERROR_INFO_URL, value=info.SerializeToString())]
    if retry_after_s is not None:
        delay = Duration()
        delay.FromTimedelta(timedelta(seconds=retry_after_s))
        retry = RetryInfo(retry_delay=delay)
        details.append(AnyMessage(type_url=RETRY_INFO_URL, value=retry.SerializeToString()))
    status = StatusDetails(code=code.value[0], message=error.message, details=details)
    context.set_trailing_metadata(((STATUS_DETAILS_KEY, status.SerializeToString()),))
    context.abort(code, error.message)


_CODES = {
    "AGENCY_MISMATCH": grpc.StatusCode.PERMISSION_DENIED,
    "CONTENT_LOST": grpc.StatusCode.DATA_LOSS,
    "EXCHANGE_UNKNOWN": grpc.StatusCode.NOT_FOUND,
    "KEY_EXPIRED": grpc.StatusCode.PERMISSION_DENIED,
    "KEY_NOT_YET_VALID": grpc.StatusCode.PERMISSION_DENIED,
    "KEY_UNKNOWN": grpc.StatusCode.PERMISSION_DENIED,
    "LOG_FROZEN": grpc.StatusCode.FAILED_PRECONDITION,
    "NOT_A_PARTY": grpc.StatusCode.PERMISSION_DENIED,
    "NOT_COLLECTED": grpc.StatusCode.FAILED_PRECONDITION,
    "OVERLOADED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "POSITION_UNKNOWN": grpc.StatusCode.NOT_FOUND,
    "PRINCIPAL_UNKNOWN": grpc.StatusCode.UNAUTHENTICATED,
    "RECEIPT_DELAYED": grpc.StatusCode.UNAVAILABLE,
    "REQUEST_ID_REUSED": grpc.StatusCode.ALREADY_EXISTS,
    "REQUEST_UNKNOWN": grpc.StatusCode.NOT_FOUND,
    "ROLE_NOT_PERMITTED": grpc.StatusCode.PERMISSION_DENIED,
    "SIGNATURE_INVALID": grpc.StatusCode.PERMISSION_DENIED,
    "UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
}


def _statement_record(signed: SignedStatement, key: _Key) -> dict[str, str]:
    return {
        "algorithm": key.public.algorithm.value,
        "digest": signed.digest.hex(),
        "key_id": signed.key_id,
        "payload_type": signed.payload_type,
        "signature": encode_base64(signed.signature),
    }


def _item(agency: _Agency, seq: int) -> wire.InboxItem:
    exchange = agency.inbox[seq - 1]
    document = exchange.envelope.document
    return wire.InboxItem(
        inbox_seq=seq,
        exchange_id=exchange.exchange_id,
        sender=exchange.sender.code,
        envelope_digest=exchange.signed.digest,
        accept_time=_timestamp(exchange.at),
        position=exchange.position,
        state=exchange.deliveries[agency.code].state,
        code=document.code,
        type_name=document.type_name,
        subject=document.subject,
        attachment_count=len(document.attachments),
        attachment_bytes=sum(item.size for item in document.attachments),
    )


def _timestamp(at: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    return timestamp


def _time_text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
