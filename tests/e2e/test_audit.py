"""An auditor over the wire: replay over a crash, documents for a case, hostile values."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from hub.auditor.client import AuditClient, Case, Period
from hub.auditor.export import export_document
from hub.auditor.ranges import Wanted
from hub.client.profile import ClientProfile
from hub.errors import CaseReferenceMissing, RoleNotPermitted
from hub.proof.receipt import Receipt, verify_receipt
from hub.v1 import audit_service_pb2 as calls
from hub.v1 import exchange_service_pb2
from hub.v1.audit_service_pb2_grpc import AuditServiceStub
from hub.v1.ledger_service_pb2 import GetReceiptRequest
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tests.e2e.test_bad_input import require_told
from tests.support.auditors import Auditor, enrol_auditor
from tests.support.hubs import (
    PATIENT,
    QUAN_1,
    TAI_CHINH,
    Y_TE,
    Founded,
    HubProcess,
    Running,
    check_hub_is_whole,
    collection,
    digest_of,
    raw_stub,
    refusal_of_stream,
    report,
    submission,
)

METHODS = calls.DESCRIPTOR.services_by_name["AuditService"].methods_by_name
CASE = "15/KL-TTTP"
CONTENTS = [b"%PDF-1.7 " + bytes(range(256)) * 3000, b"", b"an annex"]


@pytest.fixture
async def auditor(hub: Running) -> Auditor:
    return await enrol_auditor(hub.founded, hub.port)


@pytest.fixture
async def exchange(hub: Running) -> str:
    """A document that one recipient has collected and finished, and the other has not."""
    sender, recipient = hub.speaker(QUAN_1), hub.speaker(TAI_CHINH)
    sent = submission(sender, [TAI_CHINH, Y_TE], CONTENTS)
    digest = digest_of(sent.envelope)
    async with (
        raw_stub(sender.transport, hub.port) as sending,
        raw_stub(recipient.transport, hub.port) as receiving,
    ):
        answer = await sending.SubmitDocument(sent)
        await receiving.CollectDocument(collection(recipient, digest))
        await receiving.ReportStatus(report(recipient, digest, "06"))
    exchange_id: str = answer.acceptance.exchange_id
    return exchange_id


async def test_an_auditor_sees_all_that_is_covered_and_reads_for_a_case(
    hub: Running, auditor: Auditor, exchange: str, tmp_path: Path
):
    async with auditor.client(hub.port) as client:
        positions = [logged.position async for logged in client.events(Wanted())]
        assert positions == list(range(hub.trace().events))

        read = await client.read_statements(Case.of(CASE), exchange)
        assert [said.payload.MEDIA_TYPE.split(".")[2] for said in read.said.values()] == [
            "envelope", "collect", "status",
        ]  # fmt: skip
        record, *pieces = [p async for p in client.read_attachment(Case.of(CASE), exchange, 0, 5)]
        assert record.fact.event.data["attachment"] == 0
        assert b"".join(piece.data for piece in pieces) == CONTENTS[0][5:]

        exported = await export_document(client, Case.of(CASE), exchange, tmp_path / "out")
        assert [path.read_bytes() for path in exported.files] == CONTENTS
        assert json.loads((tmp_path / "out" / "export.json").read_text())["lost"] == {}

        story = [logged.event.topic.split(".")[2] for logged in await client.story(exchange)]
        assert story == [
            "DocumentSubmitted", "DocumentHandedOver", "StatusReported", "AuditAccessMade",
            "AuditAccessMade", "AuditExportMade",
        ]  # fmt: skip
        counted = await client.statistics(Period.YEAR)
        assert {(row.agency, row.sent, row.received, row.answered) for row in counted.rows} == {
            (QUAN_1, 1, 0, 0), (TAI_CHINH, 0, 1, 1), (Y_TE, 0, 1, 0),
        }  # fmt: skip


async def test_without_a_case_the_sdk_hears_why(hub: Running, auditor: Auditor, exchange: str):
    before = hub.trace()
    async with auditor.client(hub.port) as client:
        with pytest.raises(CaseReferenceMissing):
            await client.read_statements(Case.of(""), exchange)
    assert hub.trace() == before


async def test_the_record_is_the_first_message_and_its_receipt_holds(
    hub: Running, auditor: Auditor, exchange: str
):
    request = calls.ExportDocumentRequest(
        request_id=str(uuid.uuid4()), case_reference=CASE, exchange_id=exchange
    )
    async with raw_stub(auditor.transport, hub.port, AuditServiceStub) as stub:
        kinds = [part.WhichOneof("part") async for part in stub.ExportDocument(request)]
        first = await anext(aiter(stub.ExportDocument(request)))
    assert kinds[:4] == ["access", "evidence", "evidence", "evidence"]
    assert set(kinds[4:]) == {"piece"}
    fact = verify_receipt(Receipt(first.access.leaf, first.access.proof), hub.founded.trust)
    assert fact.event.topic == "hub.Log.AuditExportMade"


async def test_an_auditor_holds_any_receipt_and_may_write_nothing(
    hub: Running, auditor: Auditor, exchange: str
):
    async with raw_stub(auditor.transport, hub.port, LedgerServiceStub) as ledger:
        for position in range(hub.trace().events):
            answer = await ledger.GetReceipt(GetReceiptRequest(position=position))
            receipt = Receipt(answer.receipt.leaf, answer.receipt.proof)
            assert verify_receipt(receipt, hub.founded.trust).position == position
    before = hub.trace()
    async with raw_stub(auditor.transport, hub.port) as exchanges:
        stream = exchanges.WatchInbox(exchange_service_pb2.WatchInboxRequest())
        require_told(await refusal_of_stream(stream), "ROLE_NOT_PERMITTED")
    assert hub.trace() == before


@pytest.mark.parametrize(
    "method", sorted(calls.DESCRIPTOR.services_by_name["AuditService"].methods_by_name)
)
async def test_neither_agency_nor_operator_gets_any_answer(hub: Running, method: str):
    request = METHODS[method].input_type._concrete_class()
    for identity in (hub.speaker(QUAN_1).transport, hub.founded.operator):
        async with raw_stub(identity, hub.port, AuditServiceStub) as stub:
            refusal = await refusal_of_stream(getattr(stub, method)(request))
            require_told(refusal, "ROLE_NOT_PERMITTED")


async def test_an_operators_profile_is_told_apart_and_not_spoiled(hub: Running):
    profile: ClientProfile = hub.founded.operator_profile(hub.port)
    async with AuditClient.open(profile) as client:
        with pytest.raises(RoleNotPermitted):
            await client.statistics(Period.DAY)
    await enrol_auditor(hub.founded, hub.port)  # The same folder still is the operator's.


# --- Hostile values ---------------------------------------------------------------------

Ask = Callable[[str, Any], Awaitable[Any]]
UNKNOWN = str(uuid.UUID(int=1))
READ = {"request_id": UNKNOWN, "case_reference": CASE, "exchange_id": UNKNOWN}

HOSTILE: list[tuple[str, Any, str]] = [
    ("StreamEvents", {"start": 2**64 - 1}, "POSITION_UNKNOWN"),
    ("StreamEvents", {"end": 2**64 - 1}, "POSITION_UNKNOWN"),
    ("StreamEvents", {"start": 5, "end": 4}, "REQUEST_MALFORMED"),
    ("StreamEvents", {"agency": "../../etc"}, "REQUEST_MALFORMED"),
    ("StreamEvents", {"agency": "H" * 100_000}, "REQUEST_MALFORMED"),
    ("StreamEvents", {"exchange_id": "1"}, "REQUEST_MALFORMED"),
    ("StreamEvents", {"exchange_id": UNKNOWN}, "EXCHANGE_UNKNOWN"),
    ("StreamEvents", {"topics": ["hub.Log.Nonsense"]}, "REQUEST_MALFORMED"),
    ("StreamEvents", {"topics": ["x" * 1_000_000]}, "REQUEST_MALFORMED"),
    ("StreamEvents", {"topics": [str(n) for n in range(10_000)]}, "REQUEST_MALFORMED"),
    ("StreamEvents", {"start_time": Timestamp(seconds=2**62)}, "REQUEST_MALFORMED"),
    ("StreamEvents", {"end_time": Timestamp(nanos=-(2**31))}, "REQUEST_MALFORMED"),
    ("ReadStatements", READ | {"case_reference": ""}, "CASE_REFERENCE_MISSING"),
    ("ReadStatements", READ | {"case_reference": " \n"}, "CASE_REFERENCE_MISSING"),
    ("ReadStatements", READ | {"case_reference": "x" * 10_000_000}, "REQUEST_MALFORMED"),
    ("ReadStatements", READ | {"case_reference": "Nguyễn Văn A"}, "REQUEST_MALFORMED"),
    ("ReadStatements", READ | {"request_id": "1"}, "REQUEST_MALFORMED"),
    ("ReadStatements", READ | {"exchange_id": ""}, "REQUEST_MALFORMED"),
    ("ReadStatements", READ, "EXCHANGE_UNKNOWN"),
    ("ReadAttachment", READ | {"case_reference": ""}, "CASE_REFERENCE_MISSING"),
    ("ReadAttachment", READ | {"attachment_index": 2**32 - 1}, "EXCHANGE_UNKNOWN"),
    ("ExportDocument", READ | {"case_reference": ""}, "CASE_REFERENCE_MISSING"),
    ("GetStatistics", {}, "REQUEST_MALFORMED"),
    ("GetStatistics", {"period": 99}, "REQUEST_MALFORMED"),
    ("GetStatistics", {"period": 1, "agency": "' OR 1=1"}, "REQUEST_MALFORMED"),
    (
        "GetStatistics",
        {"period": 1, "start_time": Timestamp(seconds=-(2**62))},
        "REQUEST_MALFORMED",
    ),
]


@pytest.mark.parametrize(("method", "fields", "reason"), HOSTILE)
async def test_hostile_values_are_refused_and_leave_nothing(
    hub: Running, auditor: Auditor, method: str, fields: dict[str, Any], reason: str
):
    before = hub.trace()
    request = getattr(calls, f"{method}Request")(**fields)
    async with raw_stub(auditor.transport, hub.port, AuditServiceStub) as stub:
        require_told(await refusal_of_stream(getattr(stub, method)(request)), reason)
    assert hub.trace() == before


async def test_a_place_beyond_an_attachment_is_refused(
    hub: Running, auditor: Auditor, exchange: str
):
    before = hub.trace()
    read = READ | {"exchange_id": exchange}
    async with raw_stub(auditor.transport, hub.port, AuditServiceStub) as stub:
        for place in (
            {"attachment_index": 3},
            {"offset": 2**64 - 1},
            {"attachment_index": 2**32 - 1},
        ):
            request = calls.ReadAttachmentRequest(**read, **place)
            require_told(await refusal_of_stream(stub.ReadAttachment(request)), "REQUEST_MALFORMED")
    assert hub.trace() == before


# --- A crash in between -----------------------------------------------------------------


async def test_a_replay_goes_on_over_a_crash_and_misses_and_doubles_nothing(founded: Founded):
    async with HubProcess(founded) as hub:
        auditor = await enrol_auditor(founded, hub.port)
        sender = founded.speakers[QUAN_1]
        async with raw_stub(sender.transport, hub.port) as sending:
            for _ in range(4):
                batch = [submission(sender, [TAI_CHINH]) for _ in range(100)]
                request = exchange_service_pb2.SubmitDocumentsRequest(documents=batch)
                answer = await sending.SubmitDocuments(request)
                assert all(result.HasField("acceptance") for result in answer.results)
        positions, leaves = [], set()
        async with auditor.client(hub.port, PATIENT) as client:
            async for logged in client.events(Wanted()):
                positions.append(logged.position)
                leaves.add(logged.leaf)
                if logged.position in {3, 300}:
                    hub.kill()
                    await hub.start()
        assert positions == list(range(len(positions)))
        assert len(leaves) == len(positions) > 400
        assert await hub.terminate() == 0
    check_hub_is_whole(founded.folder.root)


async def test_an_auditor_that_leaves_early_leaves_no_work_behind(hub: Running, auditor: Auditor):
    """The hub reads a stretch when the one before was taken: it does not run ahead."""
    async with raw_stub(auditor.transport, hub.port, AuditServiceStub) as stub:
        stream = stub.StreamEvents(calls.StreamEventsRequest())
        first = await stream.read()
        assert first.HasField("header")
        assert not first.events
        assert stream.cancel()
