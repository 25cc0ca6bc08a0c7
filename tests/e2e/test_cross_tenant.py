"""Another agency's identifiers answer exactly like unknown ones, on every call there is.

The table below has a row for every method of every service: a new method without one fails
here, until somebody has thought about what it gives away.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from hub.proof.leaf import parse_leaf
from hub.v1 import (
    audit_service_pb2,
    directory_service_pb2,
    exchange_service_pb2,
    ledger_service_pb2,
    registry_service_pb2,
)
from hub.v1 import exchange_service_pb2 as calls
from hub.v1 import ledger_service_pb2 as ledger_calls
from hub.v1.audit_service_pb2_grpc import AuditServiceStub
from hub.v1.directory_service_pb2_grpc import DirectoryServiceStub
from hub.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from hub.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.e2e.test_bad_input import require_told
from tests.support.hubs import (
    NOI_VU,
    QUAN_1,
    TAI_CHINH,
    Y_TE,
    Refusal,
    Running,
    Speaker,
    answering,
    collection,
    digest_of,
    envelope,
    raw_stub,
    recalling,
    refusal_of,
    refusal_of_stream,
    report,
    request_id_of,
    signed,
    submission,
)
from tests.support.uploads import begin_request, messages, refusal_of_upload, uploaded

STUBS = {
    "ExchangeService": (exchange_service_pb2, ExchangeServiceStub),
    "LedgerService": (ledger_service_pb2, LedgerServiceStub),
    "RegistryService": (registry_service_pb2, RegistryServiceStub),
    "DirectoryService": (directory_service_pb2, DirectoryServiceStub),
    "AuditService": (audit_service_pb2, AuditServiceStub),
}
UNKNOWN_UUID = str(uuid.UUID(int=1))
UNKNOWN_POSITION = 10**6
UNKNOWN_AGENCY = "H00.0"
# What Quận 1 uploaded, whole and in part; and what nobody has.
MIB = 1024**2
UPLOADED = bytes(range(256)) * (3 * MIB // 256) + b"theirs"
TAG = "a tag of theirs"
NOWHERE = UPLOADED[::-1]


@dataclass(frozen=True)
class Others:
    """What others did: a document of Quận 1 for Tài chính and Y tế, all said of it."""

    digest: bytes
    exchange_id: str
    request_ids: tuple[str, ...]
    positions: tuple[int, ...]
    # What Tài chính said, which is the business of nobody but Quận 1 and itself.
    said: tuple[int, ...]
    # A whole upload of Quận 1, and one of which 2 MiB are here.
    whole: str
    begun: str


# --- The table: two requests, one with another's identifier and one with an unknown one ---

Pairs = Callable[[Speaker, Others], list[tuple[Any, Any]]]


def by_digest(make: Callable[..., Any], *more: str) -> Pairs:
    """A statement about the others' envelope, and about none."""
    return lambda speaker, others: [
        (make(speaker, others.digest, *more), make(speaker, bytes(32), *more))
    ]


def by_exchange(kind: Callable[..., Any]) -> Pairs:
    return lambda _, others: [
        (kind(exchange_id=others.exchange_id), kind(exchange_id=UNKNOWN_UUID))
    ]


def by_position(kind: Callable[..., Any]) -> Pairs:
    return lambda _, others: [
        (kind(position=position), kind(position=UNKNOWN_POSITION)) for position in others.positions
    ]


def by_box(kind: Callable[..., Any]) -> Pairs:
    """The box of another agency, and of none."""
    return lambda _, others: [(kind(agency=QUAN_1), kind(agency=UNKNOWN_AGENCY))]


def related(speaker: Speaker, others: Others) -> list[tuple[Any, Any]]:
    """An update and a replacement of the others' document, and of none."""
    return [
        tuple(
            submission(speaker, [TAI_CHINH], [b"x"], action=action, relates_to=digest)
            for digest in (others.digest.hex(), "00" * 32)
        )
        for action in ("update", "replace")
    ]


def naming_uploads(speaker: Speaker, others: Others) -> list[tuple[Any, Any]]:
    """The others' uploads as the speaker's own content, and uploads that are nobody's."""
    statement = signed(speaker, envelope(speaker, [TAI_CHINH], [UPLOADED]))
    kind = calls.SubmitDocumentRequest
    return [
        (
            kind(envelope=statement, upload_ids=[theirs]),
            kind(envelope=statement, upload_ids=[UNKNOWN_UUID]),
        )
        for theirs in (others.whole, others.begun)
    ]


def documents(speaker: Speaker, others: Others) -> list[tuple[Any, Any]]:
    return related(speaker, others) + naming_uploads(speaker, others)


def submissions(speaker: Speaker, others: Others) -> list[tuple[Any, Any]]:
    batch = calls.SubmitDocumentsRequest
    return [
        (batch(documents=[theirs]), batch(documents=[unknown]))
        for theirs, unknown in documents(speaker, others)
    ]


def streams(_: Speaker, others: Others) -> list[tuple[Any, Any]]:
    """The beginning of a stream, at the offset that is stored and at others."""

    def start(upload_id: str, offset: int) -> calls.UploadContentRequest:
        place = calls.UploadStart(upload_id=upload_id, offset=offset)
        return calls.UploadContentRequest(start=place)

    return [
        (start(theirs, offset), start(UNKNOWN_UUID, offset))
        for theirs in (others.whole, others.begun)
        for offset in (0, 2 * MIB, len(UPLOADED), 2**40)
    ]


def request_ids(_: Speaker, others: Others) -> list[tuple[Any, Any]]:
    kind = calls.GetSubmissionRequest
    return [
        (kind(request_id=request_id), kind(request_id=UNKNOWN_UUID))
        for request_id in others.request_ids
    ]


NO_IDENTIFIER = "it takes no identifier: only public sizes"
OWN_CERTIFICATE = "it takes only what the caller signs about its own; see the tests of renewals"
OWN_CONTENT = "it takes only what the caller says of its own content; see the test of it"
PUBLIC = "it tells every principal what the directory of agencies holds, and nothing else"
HASHES_ONLY = "it takes any position, and answers with hashes and outside signatures over them"
HASHES = "it tells every principal hashes and signed sizes, and nothing of what they stand for"
EDITIONS = "it takes the number of an edition, and answers with what everybody is to have"
PUBLISHED = "it takes any position, and answers with nothing but what an issuer publishes"
OPERATORS_ONLY = "no agency gets any answer but ROLE_NOT_PERMITTED"
AUDITORS_ONLY = "neither agency nor operator gets any answer but ROLE_NOT_PERMITTED"

TABLE: dict[str, Pairs | str] = {
    "ExchangeService.SubmitDocument": documents,
    "ExchangeService.SubmitDocuments": submissions,
    "ExchangeService.GetSubmission": request_ids,
    "ExchangeService.GetExchange": by_exchange(calls.GetExchangeRequest),
    "ExchangeService.ListInbox": by_box(calls.ListInboxRequest),
    "ExchangeService.WatchInbox": by_box(calls.WatchInboxRequest),
    "ExchangeService.CollectDocument": by_digest(collection),
    "ExchangeService.DownloadAttachment": by_exchange(calls.DownloadAttachmentRequest),
    "ExchangeService.ReportStatus": by_digest(report, "01"),
    "ExchangeService.RequestRecall": by_digest(recalling),
    "ExchangeService.AnswerRecall": by_digest(answering, "15"),
    "ExchangeService.ListOutbox": by_box(calls.ListOutboxRequest),
    "ExchangeService.WatchOutbox": by_box(calls.WatchOutboxRequest),
    "ExchangeService.GetStatement": by_position(calls.GetStatementRequest),
    "ExchangeService.ListFacts": by_exchange(calls.ListFactsRequest),
    "ExchangeService.RenewCertificate": OWN_CERTIFICATE,
    "ExchangeService.ListReceived": by_box(calls.ListReceivedRequest),
    "ExchangeService.ListSent": by_box(calls.ListSentRequest),
    "ExchangeService.GetLimits": NO_IDENTIFIER,
    "ExchangeService.BeginUpload": OWN_CONTENT,
    "ExchangeService.UploadContent": streams,
    "LedgerService.GetCheckpoint": NO_IDENTIFIER,
    "LedgerService.GetConsistencyProof": NO_IDENTIFIER,
    "LedgerService.ListCheckpoints": HASHES,
    "LedgerService.GetInclusionProof": HASHES,
    "LedgerService.GetTile": HASHES,
    "LedgerService.GetReceipt": by_position(ledger_calls.GetReceiptRequest),
    "LedgerService.GetTimestamps": HASHES_ONLY,
    "LedgerService.GetCertificateEvidence": by_position(ledger_calls.GetCertificateEvidenceRequest),
    "LedgerService.ReadRevocationEvidence": PUBLISHED,
    "LedgerService.ListTrustedRoots": EDITIONS,
    "LedgerService.ListTimestampAuthorities": OPERATORS_ONLY,
    "RegistryService.RegisterAgency": OPERATORS_ONLY,
    "RegistryService.EnrolCertificate": OPERATORS_ONLY,
    "RegistryService.ListAgencies": OPERATORS_ONLY,
    "RegistryService.RenameAgency": OPERATORS_ONLY,
    "RegistryService.SuspendAgency": OPERATORS_ONLY,
    "RegistryService.ReinstateAgency": OPERATORS_ONLY,
    "RegistryService.SucceedAgency": OPERATORS_ONLY,
    "RegistryService.SetGroup": OPERATORS_ONLY,
    "RegistryService.CorrectCalendar": OPERATORS_ONLY,
    "RegistryService.ListCalendarCorrections": OPERATORS_ONLY,
    "RegistryService.EnrolOperator": OPERATORS_ONLY,
    "RegistryService.RevokeOperator": OPERATORS_ONLY,
    "RegistryService.ListOperators": OPERATORS_ONLY,
    "RegistryService.OrderErasure": OPERATORS_ONLY,
    "RegistryService.ApproveOrder": OPERATORS_ONLY,
    "RegistryService.ListHubKeys": OPERATORS_ONLY,
    "RegistryService.AnnounceHubKey": OPERATORS_ONLY,
    "RegistryService.OrderKeyAction": OPERATORS_ONLY,
    "RegistryService.RetireHubKey": OPERATORS_ONLY,
    "RegistryService.FreezeLog": OPERATORS_ONLY,
    "RegistryService.PlanHubKeys": OPERATORS_ONLY,
    "RegistryService.DraftTrustedRoot": OPERATORS_ONLY,
    "RegistryService.PublishTrustedRoot": OPERATORS_ONLY,
    "RegistryService.GetAxisStatus": OPERATORS_ONLY,
    "RegistryService.ListRelays": OPERATORS_ONLY,
    "RegistryService.ParkRelay": OPERATORS_ONLY,
    "RegistryService.ResumeRelay": OPERATORS_ONLY,
    "RegistryService.ReconcileAxis": OPERATORS_ONLY,
    "RegistryService.ListOrders": OPERATORS_ONLY,
    "RegistryService.PlanRetention": OPERATORS_ONLY,
    "RegistryService.EnrolAuditor": OPERATORS_ONLY,
    "RegistryService.RevokeCertificate": OPERATORS_ONLY,
    "RegistryService.RevokeAuditor": OPERATORS_ONLY,
    "AuditService.StreamEvents": AUDITORS_ONLY,
    "AuditService.ReadStatements": AUDITORS_ONLY,
    "AuditService.ReadAttachment": AUDITORS_ONLY,
    "AuditService.ExportDocument": AUDITORS_ONLY,
    "AuditService.GetStatistics": AUDITORS_ONLY,
    "DirectoryService.SearchAgencies": PUBLIC,
    "DirectoryService.GetAgency": PUBLIC,
    "DirectoryService.ListGroups": PUBLIC,
}
METHODS = {
    f"{name}.{method.name}": method
    for name, (module, _) in STUBS.items()
    for method in module.DESCRIPTOR.services_by_name[name].methods
}
WITH_IDENTIFIER = sorted(name for name, row in TABLE.items() if not isinstance(row, str))


def test_every_method_has_a_row_and_no_row_is_left_over():
    assert set(TABLE) == set(METHODS)


def test_every_service_is_in_the_table():
    """All generated modules with a service are looked at."""
    folder = Path(exchange_service_pb2.__file__).parent
    generated = {f"hub.v1.{path.stem}" for path in folder.glob("*_pb2.py")}
    modules = [import_module(name) for name in sorted(generated)]
    services = {name for module in modules for name in module.DESCRIPTOR.services_by_name}
    assert services == set(STUBS)


@pytest.mark.parametrize("name", sorted(n for n, row in TABLE.items() if row == NO_IDENTIFIER))
def test_a_method_without_identifiers_takes_numbers_only(name):
    fields = METHODS[name].input_type.fields
    assert {field.name for field in fields} <= {"old_size", "new_size"}


# --- What others did --------------------------------------------------------------------


@pytest.fixture
async def others(hub: Running) -> Others:
    sender, recipient = hub.speaker(QUAN_1), hub.speaker(TAI_CHINH)
    sent = submission(sender, [TAI_CHINH, Y_TE], [b"content"])
    digest = digest_of(sent.envelope)
    recall, answer = recalling(sender, digest), answering(recipient, digest, "16")
    status, collect = report(recipient, digest), collection(recipient, digest)
    async with (
        raw_stub(sender.transport, hub.port) as sending,
        raw_stub(recipient.transport, hub.port) as receiving,
    ):
        answers = [
            await sending.SubmitDocument(sent),
            await receiving.ReportStatus(status),
            await receiving.CollectDocument(collect),
            await sending.RequestRecall(recall),
            await receiving.AnswerRecall(answer),
        ]
        whole = await uploaded(sending, UPLOADED, TAG)
        begun = await sending.BeginUpload(begin_request(UPLOADED, TAG + " too"))
        part = await sending.UploadContent(messages(begun.upload_id, UPLOADED[: 2 * MIB]))
        assert part.offset == 2 * MIB
    statements = (sent.envelope, status.status, collect.collect, recall.recall, answer.answer)
    positions = tuple(each.acceptance.receipt.position for each in answers)
    return Others(
        digest,
        answers[0].acceptance.exchange_id,
        tuple(map(request_id_of, statements)),
        positions,
        (positions[1], positions[2], positions[4]),
        whole,
        begun.upload_id,
    )


@pytest.fixture
async def ask(hub: Running) -> AsyncIterator[Callable[[str, str, Any], Awaitable[Any]]]:
    """Ask as an agency: the refusal, or the answer of a batch."""
    async with AsyncExitStack() as stack:

        async def asked(code: str, name: str, request: Any) -> Any:
            service, _, method = name.partition(".")
            speaker = hub.speaker(code)
            stub = await stack.enter_async_context(
                raw_stub(speaker.transport, hub.port, STUBS[service][1])
            )
            if METHODS[name].client_streaming:
                return await refusal_of_upload(speaker.transport, hub.port, [request])
            call = getattr(stub, method)(request)
            if METHODS[name].server_streaming:
                return await refusal_of_stream(call)
            if method == "SubmitDocuments":
                return await call
            return await refusal_of(call)

        yield asked


def unnamed(refusal: Any, request: Any) -> Any:
    """The refusal without the number the caller itself asked about."""
    if not isinstance(refusal, Refusal) or "position" not in refusal.metadata:
        return refusal
    assert refusal.metadata["position"] == str(request.position)
    metadata = {name: value for name, value in refusal.metadata.items() if name != "position"}
    return replace(refusal, metadata=metadata, details=None)


def unnamed_agency(refusal: Any, request: Any) -> Any:
    """The same for the code of an agency."""
    if not isinstance(refusal, Refusal) or "code" not in refusal.metadata:
        return refusal
    assert refusal.metadata["code"] == request.agency
    metadata = {name: value for name, value in refusal.metadata.items() if name != "code"}
    return replace(refusal, metadata=metadata, details=None)


def unnamed_request(refusal: Any, request: Any) -> Any:
    """The same for a request id."""
    if not isinstance(refusal, Refusal) or "request_id" not in refusal.metadata:
        return refusal
    assert refusal.metadata["request_id"] == request.request_id
    metadata = {name: value for name, value in refusal.metadata.items() if name != "request_id"}
    return replace(refusal, metadata=metadata, details=None)


@pytest.mark.parametrize("name", WITH_IDENTIFIER)
async def test_anothers_identifier_answers_like_an_unknown_one(hub, others, ask, name):
    row = TABLE[name]
    assert callable(row)
    before = hub.trace()

    for theirs, unknown in row(hub.speaker(NOI_VU), others):
        told = [
            unnamed_agency(
                unnamed_request(unnamed(await ask(NOI_VU, name, request), request), request),
                request,
            )
            for request in (theirs, unknown)
        ]
        assert told[0] == told[1]
        if isinstance(told[0], Refusal):
            assert told[0].status == "NOT_FOUND"

    assert hub.trace() == before


@pytest.mark.parametrize("tag", [TAG, TAG + " too", ""])
async def test_anothers_content_is_uploaded_from_the_beginning_like_content_nobody_has(
    hub, others, tag
):
    async with raw_stub(hub.speaker(NOI_VU).transport, hub.port) as stub:
        answers = [
            await stub.BeginUpload(begin_request(content, tag)) for content in (UPLOADED, NOWHERE)
        ]
    assert [answer.offset for answer in answers] == [0, 0]
    named = {answer.upload_id for answer in answers} | {others.whole, others.begun}
    assert len(named) == 4
    # And the owner's stay what they were.
    async with raw_stub(hub.speaker(QUAN_1).transport, hub.port) as stub:
        whole = await stub.BeginUpload(begin_request(UPLOADED, TAG))
        begun = await stub.BeginUpload(begin_request(UPLOADED, TAG + " too"))
    assert (whole.upload_id, whole.offset) == (others.whole, len(UPLOADED))
    assert (begun.upload_id, begun.offset) == (others.begun, 2 * MIB)


async def test_naming_the_digest_of_anothers_content_is_not_having_it(hub, others, ask):
    speaker = hub.speaker(NOI_VU)
    refusals = [
        await ask(
            NOI_VU,
            "ExchangeService.SubmitDocument",
            calls.SubmitDocumentRequest(
                envelope=signed(speaker, envelope(speaker, [TAI_CHINH], [content]))
            ),
        )
        for content in (UPLOADED, b"content", NOWHERE)
    ]
    assert refusals[0].reason == "CONTENT_MISSING"
    assert refusals[0] == refusals[1] == refusals[2]


@pytest.mark.parametrize(
    "name", sorted(n for n, row in TABLE.items() if row in {OPERATORS_ONLY, AUDITORS_ONLY})
)
async def test_an_agency_gets_nothing_of_what_is_the_operators_or_auditors(hub, ask, name):
    request = METHODS[name].input_type._concrete_class()

    require_told(await ask(NOI_VU, name, request), "ROLE_NOT_PERMITTED")


@pytest.mark.parametrize("name", ["ExchangeService.GetStatement", "LedgerService.GetReceipt"])
async def test_what_one_recipient_said_is_no_business_of_another(others, ask, name):
    kind = METHODS[name].input_type._concrete_class
    unknown = kind(position=UNKNOWN_POSITION)
    expected = unnamed(await ask(Y_TE, name, unknown), unknown)
    require_told(expected, "POSITION_UNKNOWN")

    for position in others.said:
        request = kind(position=position)
        assert unnamed(await ask(Y_TE, name, request), request) == expected


async def test_no_box_of_a_stranger_holds_a_line_of_it(hub, others):
    async with raw_stub(hub.speaker(NOI_VU).transport, hub.port) as stub:
        inbox = await stub.ListInbox(calls.ListInboxRequest())
        outbox = await stub.ListOutbox(calls.ListOutboxRequest())
        assert (list(inbox.items), list(outbox.items)) == ([], [])
        for after in (1, 2**64 - 1):
            for refused in (
                stub.ListInbox(calls.ListInboxRequest(after=after)),
                stub.ListOutbox(calls.ListOutboxRequest(after=after)),
            ):
                assert (await refusal_of(refused)).metadata["last"] == "0"
        for stream in (
            stub.WatchInbox(calls.WatchInboxRequest(), timeout=0.3),
            stub.WatchOutbox(calls.WatchOutboxRequest(), timeout=0.3),
        ):
            refusal = await refusal_of_stream(stream)
            assert refusal.status == "DEADLINE_EXCEEDED"


async def test_identifiers_guessed_one_after_the_other_yield_nothing(hub, others):
    """Every position, and every number near the exchange's, as a stranger would try them."""
    near = uuid.UUID(others.exchange_id).int
    async with (
        raw_stub(hub.speaker(NOI_VU).transport, hub.port) as stub,
        raw_stub(hub.speaker(NOI_VU).transport, hub.port, LedgerServiceStub) as ledger,
    ):
        guesses = [uuid.UUID(int=near + offset) for offset in range(-3, 4)]
        refusals = await asyncio.gather(
            *(
                refusal_of(stub.GetExchange(calls.GetExchangeRequest(exchange_id=str(guess))))
                for guess in guesses
            )
        )
        assert set(map(repr, refusals)) == {repr(refusals[0])}
        for position in range(hub.trace().events):
            request = calls.GetStatementRequest(position=position)
            require_told(await refusal_of(stub.GetStatement(request)), "POSITION_UNKNOWN")
            try:
                answer = await ledger.GetReceipt(ledger_calls.GetReceiptRequest(position=position))
            except Exception:
                continue
            event = parse_leaf(answer.receipt.leaf)
            if event.topic.startswith(("hub.Log.LogOpened", "hub.HubKey.")):
                continue  # About the log and its keys: for everyone.
            data = event.data
            assert NOI_VU in (data.get("agency"), data.get("code"))
