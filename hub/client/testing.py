"""A hub in the test's own process, so that a vendor's tests run without ours.

It speaks the real contract over mutual TLS on loopback and keeps a real little log, so
receipts verify and the client under test is the client as shipped. It forgets everything
when it stops, and a test can make it fail, lie and fall silent.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, cast

import grpc
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from hub.client.drafting import AttachmentDraft, DocumentDraft, Drafting, Submission
from hub.client.errors import ERROR_DOMAIN, ERROR_INFO_URL, RETRY_INFO_URL, STATUS_DETAILS_KEY
from hub.client.fake_exchanges import FakeAgency, FakeExchanges, require_own_box
from hub.client.fake_log import FakeLog
from hub.client.fake_pki import FakeAuthority, key_pem, new_key
from hub.client.fake_uploads import LIMITS, FakeUploads
from hub.client.profile import ClientProfile
from hub.errors import (
    HubError,
    PositionUnknown,
    PrincipalUnknown,
    RoleNotPermitted,
    TooLarge,
    hub_errors,
)
from hub.proof.signatures import Algorithm, PublicKey
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

ORIGIN = "fake-hub.test/log"

# As the real hub: a batch is a message of at most so many bytes.
_RECEIVE_BYTES_MAX = 16 * 1024**2


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
        _refuse(context, self.status())

    def status(self) -> StatusDetails:
        """The failure as one document of a batch meets it."""
        if isinstance(self.failure, grpc.StatusCode):
            return StatusDetails(code=self.failure.value[0], message="injected by the test")
        error = hub_errors()[self.failure]("a refusal injected by the test")
        return _status(error, self.retry_after_s)


class FakeHub:
    """A hub for tests: `with FakeHub(folder) as fake`, then `fake.enrol("H29.3")`.

    `folder` takes the profiles, keys and certificates it makes up. Works in tests with and
    without an event loop. `received` holds every request, by method name, as it came.
    """

    def __init__(self, folder: Path, *, origin: str = ORIGIN) -> None:
        self.log = FakeLog(origin)
        self.uploads = FakeUploads()
        self.received: dict[str, list[Message]] = defaultdict(list)
        self._folder = folder
        self._authority = FakeAuthority()
        self._exchanges = FakeExchanges(self.log, self.uploads)
        self._faults: dict[str, list[_Fault]] = defaultdict(list)
        self._changes: dict[str, list[Callable[[Any], Any]]] = defaultdict(list)
        self._news = threading.Condition(threading.RLock())
        self._running = True
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=16, thread_name_prefix="fake"),
            options=[("grpc.max_receive_message_length", _RECEIVE_BYTES_MAX)],
        )
        servicer = _ExchangeServicer(self, self._exchanges)
        add_ExchangeServiceServicer_to_server(servicer, self._server)
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
            public = PublicKey.of(signing.public_key(), algorithm)
            self._exchanges.enrol(code, public, certificate)
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

    def arrive_over_axis(
        self,
        sender: str,
        recipients: Sequence[str],
        document: DocumentDraft,
        attachments: Sequence[AttachmentDraft] = (),
    ) -> str:
        """Let a document come in over the national axis; the id of its exchange.

        As the real hub has it: an envelope that the hub made and nobody signed, so that
        `sender_proven` is False. `sender` need not be enrolled. What becomes of it there, the
        fake hub tells nobody. Raises RecipientUnknown, and TooLarge for files beyond 3 MiB.
        """
        submission = Submission(document, attachments, recipients)
        draft = Drafting(self.log.origin, sender).envelope(submission)
        contents = tuple(each for each in draft.contents if isinstance(each, bytes))
        if len(contents) < len(draft.contents):
            raise TooLarge("attachments of this call have at most 3 MiB each")
        with self._news:
            taken = self._exchanges.take(draft.payload, contents)
            self._news.notify_all()
        return taken

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
        after `after` messages. A failure of "SubmitDocument" meets the next document, alone or
        in a batch.
        """
        self._faults[method].append(_Fault(failure, kept, after, retry_after_s))

    def answer_next(self, method: str, change: Callable[[Any], Any]) -> None:
        """Let the hub lie: `change(response)` alters or replaces the next response.

        For streams it is applied to the next message.
        """
        self._changes[method].append(change)

    def expire(self, exchange_id: str) -> None:
        """Let a document's time run out wherever it has not been collected.

        The fake hub never does so by itself, whatever `expires_at` says.
        """
        with self._news:
            self._exchanges.expire(exchange_id)
            self._news.notify_all()

    # --- What the servicers do ----------------------------------------------------------

    def unary(
        self,
        request: Q,
        context: grpc.ServicerContext,
        method: str,
        handle: Callable[[FakeAgency, Q], A],
    ) -> A:
        """Serve one call: its fault, the caller's identity, the work, the test's change."""
        fault = self._begin(method, request)
        if fault and not fault.kept:
            fault.strike(context)
        try:
            with self._news:
                response = handle(self._caller(context), request)
                self._news.notify_all()
        except HubError as error:
            _refuse(context, _status(error))
        if fault:
            fault.strike(context)
        return self._changed(method, response)

    def stream(
        self,
        request: Q,
        context: grpc.ServicerContext,
        method: str,
        messages: Callable[[FakeAgency, Q], Iterator[A]],
    ) -> Iterator[A]:
        """Serve one stream likewise."""
        fault = self._begin(method, request)
        left = fault.after if fault else 0
        if fault and left == 0:
            fault.strike(context)
        try:
            for message in messages(self._caller(context), request):
                if fault and left == 0:
                    fault.strike(context)
                left -= 1
                yield self._changed(method, message)
        except HubError as error:
            _refuse(context, _status(error))
        if fault:
            fault.strike(context)

    def submit_all(
        self, caller: FakeAgency, request: calls.SubmitDocumentsRequest
    ) -> calls.SubmitDocumentsResponse:
        """Accept or refuse each document of a batch by itself."""
        if len(request.documents) > LIMITS.batch_max:
            raise TooLarge("too many documents in one batch", limit=str(LIMITS.batch_max))
        results = [self._submit_one(caller, document) for document in request.documents]
        return calls.SubmitDocumentsResponse(results=results)

    def follow(
        self,
        caller: FakeAgency,
        after: int,
        context: grpc.ServicerContext,
        news: Callable[[FakeAgency, int], A | None],
    ) -> Iterator[A]:
        """A box as it grows; `news(caller, n)` is the line after number n."""
        while context.is_active() and self._running:
            with self._news:
                line = news(caller, after)
                if line is None:
                    # A limit, because nothing wakes the thread of a caller that hung up.
                    self._news.wait(0.2)
                    continue
            after += 1
            yield line

    def consistency(
        self, _: FakeAgency, request: ledger_calls.GetConsistencyProofRequest
    ) -> ledger_calls.GetConsistencyProofResponse:
        """The proof between two tree sizes."""
        if not 0 < request.old_size <= request.new_size <= self.log.size:
            raise PositionUnknown("no such tree sizes")
        hashes = self.log.consistency(request.old_size, request.new_size)
        return ledger_calls.GetConsistencyProofResponse(hashes=hashes)

    def checkpoints(
        self, _: FakeAgency, request: ledger_calls.ListCheckpointsRequest
    ) -> ledger_calls.ListCheckpointsResponse:
        """A page of checkpoints; here every size has one."""
        end = min(self.log.size, request.after + (request.page_size or 100))
        return ledger_calls.ListCheckpointsResponse(
            checkpoints=[
                ledger_calls.SizedCheckpoint(size=size, checkpoint=self.log.checkpoint(size))
                for size in range(request.after + 1, end + 1)
            ],
            more=end < self.log.size,
        )

    def inclusion(
        self, _: FakeAgency, request: ledger_calls.GetInclusionProofRequest
    ) -> ledger_calls.GetInclusionProofResponse:
        """The proof of one position."""
        if not request.position < request.size <= self.log.size:
            raise PositionUnknown("no such position or size")
        hashes = self.log.inclusion(request.position, request.size)
        return ledger_calls.GetInclusionProofResponse(hashes=hashes)

    def tile(
        self, _: FakeAgency, request: ledger_calls.GetTileRequest
    ) -> ledger_calls.GetTileResponse:
        """The hashes of one tile."""
        hashes = self.log.tile(request.level, request.number)
        if not hashes:
            raise PositionUnknown("no such tile")
        return ledger_calls.GetTileResponse(hashes=hashes)

    def receipt(
        self, _: FakeAgency, request: ledger_calls.GetReceiptRequest
    ) -> ledger_calls.GetReceiptResponse:
        """The receipt of one event."""
        if request.position >= self.log.size:
            raise PositionUnknown("no such position")
        receipt = self._exchanges.receipt(request.position)
        return ledger_calls.GetReceiptResponse(receipt=receipt)

    # --- The edge -----------------------------------------------------------------------

    def _submit_one(
        self, caller: FakeAgency, document: calls.SubmitDocumentRequest
    ) -> calls.SubmitResult:
        fault = self._next_fault("SubmitDocument")
        if fault and not fault.kept:
            return calls.SubmitResult(error=fault.status())
        try:
            response = self._exchanges.submit(caller, document)
        except HubError as error:
            return calls.SubmitResult(error=_status(error))
        if fault:
            return calls.SubmitResult(error=fault.status())
        return calls.SubmitResult(acceptance=response.acceptance)

    def _begin(self, method: str, request: Message) -> _Fault | None:
        with self._news:
            self.received[method].append(request)
            return self._next_fault(method)

    def _next_fault(self, method: str) -> _Fault | None:
        waiting = self._faults[method]
        return waiting.pop(0) if waiting else None

    def _caller(self, context: grpc.ServicerContext) -> FakeAgency:
        identity: dict[str, Any] = dict(context.auth_context())
        names: list[bytes] = identity.get("x509_common_name", [])
        agency = self._exchanges.agencies.get(names[0].decode()) if names else None
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
    def __init__(self, hub: FakeHub, rules: FakeExchanges) -> None:
        self._hub = hub
        self._rules = rules

    def SubmitDocument(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "SubmitDocument", self._rules.submit)

    def SubmitDocuments(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "SubmitDocuments", self._hub.submit_all)

    def GetSubmission(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "GetSubmission", self._rules.submission)

    def GetExchange(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "GetExchange", self._rules.exchange)

    def ListInbox(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "ListInbox", self._rules.inbox)

    def CollectDocument(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "CollectDocument", self._rules.collect)

    def ReportStatus(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "ReportStatus", self._rules.report)

    def RequestRecall(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "RequestRecall", self._rules.recall)

    def AnswerRecall(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "AnswerRecall", self._rules.answer_recall)

    def ListOutbox(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "ListOutbox", self._rules.outbox)

    def RenewCertificate(self, request: Any, context: Any) -> Any:
        # A double has agencies, and no authorities that could have issued a certificate.
        return super().RenewCertificate(request, context)

    def ListReceived(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "ListReceived", self._rules.received)

    def ListSent(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "ListSent", self._rules.sent)

    def GetStatement(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "GetStatement", self._rules.statement)

    def ListFacts(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "ListFacts", self._rules.facts)

    def WatchInbox(self, request: Any, context: Any) -> Any:
        def lines(caller: FakeAgency, _: Any) -> Any:
            require_own_box(caller, request.agency)
            return self._hub.follow(caller, request.after, context, self._rules.inbox_news)

        return self._hub.stream(request, context, "WatchInbox", lines)

    def WatchOutbox(self, request: Any, context: Any) -> Any:
        def lines(caller: FakeAgency, _: Any) -> Any:
            require_own_box(caller, request.agency)
            return self._hub.follow(caller, request.after, context, self._rules.outbox_news)

        return self._hub.stream(request, context, "WatchOutbox", lines)

    def DownloadAttachment(self, request: Any, context: Any) -> Any:
        return self._hub.stream(request, context, "DownloadAttachment", self._rules.content)

    def GetLimits(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "GetLimits", lambda _, __: LIMITS)

    def BeginUpload(self, request: Any, context: Any) -> Any:
        def begin(caller: FakeAgency, request: Any) -> calls.BeginUploadResponse:
            return self._hub.uploads.begin(caller.code, request)

        return self._hub.unary(request, context, "BeginUpload", begin)

    def UploadContent(self, request_iterator: Any, context: Any) -> Any:
        """`FakeHub.received` holds the first message only, which says where the rest belongs."""

        def take(caller: FakeAgency, first: Any) -> calls.UploadContentResponse:
            return self._hub.uploads.take(caller.code, first.start, request_iterator)

        first = next(request_iterator, calls.UploadContentRequest())
        return self._hub.unary(first, context, "UploadContent", take)


class _LedgerServicer(LedgerServiceServicer):
    def ListTrustedRoots(
        self, request: ledger_calls.ListTrustedRootsRequest, context: Any
    ) -> ledger_calls.ListTrustedRootsResponse:
        return ledger_calls.ListTrustedRootsResponse()

    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub

    def GetCheckpoint(self, request: Any, context: Any) -> Any:
        def newest(_: FakeAgency, __: Any) -> ledger_calls.GetCheckpointResponse:
            return ledger_calls.GetCheckpointResponse(checkpoint=self._hub.log.checkpoint())

        return self._hub.unary(request, context, "GetCheckpoint", newest)

    def GetConsistencyProof(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "GetConsistencyProof", self._hub.consistency)

    def ListCheckpoints(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "ListCheckpoints", self._hub.checkpoints)

    def GetInclusionProof(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "GetInclusionProof", self._hub.inclusion)

    def GetTile(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "GetTile", self._hub.tile)

    def GetReceipt(self, request: Any, context: Any) -> Any:
        return self._hub.unary(request, context, "GetReceipt", self._hub.receipt)

    def GetTimestamps(self, request: Any, context: Any) -> Any:
        def none(_: FakeAgency, __: Any) -> ledger_calls.GetTimestampsResponse:
            return ledger_calls.GetTimestampsResponse()

        return self._hub.unary(request, context, "GetTimestamps", none)

    def GetCertificateEvidence(self, request: Any, context: Any) -> Any:
        def none(_: FakeAgency, __: Any) -> ledger_calls.GetCertificateEvidenceResponse:
            return ledger_calls.GetCertificateEvidenceResponse()

        return self._hub.unary(request, context, "GetCertificateEvidence", none)

    def ReadRevocationEvidence(self, request: Any, context: Any) -> Any:
        def unknown(_: FakeAgency, __: Any) -> NoReturn:
            raise PositionUnknown("no evidence of revocation was stored there")

        return self._hub.unary(request, context, "ReadRevocationEvidence", unknown)

    def ListTimestampAuthorities(self, request: Any, context: Any) -> Any:
        def refused(_: FakeAgency, __: Any) -> NoReturn:
            raise RoleNotPermitted("an agency may not ask how the hub's timestamps stand")

        return self._hub.unary(request, context, "ListTimestampAuthorities", refused)


def _status(error: HubError, retry_after_s: float | None = None) -> StatusDetails:
    """A refusal as the real hub words it: a status with its reason."""
    code = _CODES.get(error.reason, grpc.StatusCode.INVALID_ARGUMENT)
    info = ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata)
    details = [AnyMessage(type_url=ERROR_INFO_URL, value=info.SerializeToString())]
    if retry_after_s is not None:
        delay = Duration()
        delay.FromTimedelta(timedelta(seconds=retry_after_s))
        retry = RetryInfo(retry_delay=delay)
        details.append(AnyMessage(type_url=RETRY_INFO_URL, value=retry.SerializeToString()))
    return StatusDetails(code=code.value[0], message=error.message, details=details)


def _refuse(context: grpc.ServicerContext, status: StatusDetails) -> NoReturn:
    """End a call with a refusal, which travels in the trailing metadata."""
    context.set_trailing_metadata(((STATUS_DETAILS_KEY, status.SerializeToString()),))
    context.abort(_STATUS_CODES[status.code], status.message)


_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
_CODES = {
    "AGENCY_MISMATCH": grpc.StatusCode.PERMISSION_DENIED,
    "AGENCY_SUSPENDED": grpc.StatusCode.FAILED_PRECONDITION,
    "CONTENT_LOST": grpc.StatusCode.DATA_LOSS,
    "CONTENT_WITHHELD": grpc.StatusCode.FAILED_PRECONDITION,
    "EXCHANGE_UNKNOWN": grpc.StatusCode.NOT_FOUND,
    "KEY_EXPIRED": grpc.StatusCode.PERMISSION_DENIED,
    "KEY_NOT_YET_VALID": grpc.StatusCode.PERMISSION_DENIED,
    "KEY_UNKNOWN": grpc.StatusCode.PERMISSION_DENIED,
    "LOG_FROZEN": grpc.StatusCode.FAILED_PRECONDITION,
    "NOT_A_PARTY": grpc.StatusCode.PERMISSION_DENIED,
    "NOT_COLLECTED": grpc.StatusCode.FAILED_PRECONDITION,
    "OVERLOADED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "NUMBER_UNKNOWN": grpc.StatusCode.OUT_OF_RANGE,
    "POSITION_UNKNOWN": grpc.StatusCode.NOT_FOUND,
    "PRINCIPAL_UNKNOWN": grpc.StatusCode.UNAUTHENTICATED,
    "RECALL_ASKED_ALREADY": grpc.StatusCode.FAILED_PRECONDITION,
    "RECALL_NOT_OPEN": grpc.StatusCode.FAILED_PRECONDITION,
    "RECEIPT_DELAYED": grpc.StatusCode.UNAVAILABLE,
    "REQUEST_ID_REUSED": grpc.StatusCode.ALREADY_EXISTS,
    "REQUEST_UNKNOWN": grpc.StatusCode.NOT_FOUND,
    "ROLE_NOT_PERMITTED": grpc.StatusCode.PERMISSION_DENIED,
    "SIGNATURE_INVALID": grpc.StatusCode.PERMISSION_DENIED,
    "UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "UPLOAD_UNKNOWN": grpc.StatusCode.NOT_FOUND,
}
