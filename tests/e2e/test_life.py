"""The whole life of a document over the wire: replaced, recalled, expired, and told of once."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from hub.bootstrap import jobs
from hub.proof.receipt import Receipt, verify_receipt
from hub.proof.statements import Collect, Envelope, Recall, RecallAnswer, Status
from hub.v1 import exchange_pb2 as wire
from hub.v1 import exchange_service_pb2 as calls
from hub.v1 import registry_service_pb2 as registry_calls
from hub.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.e2e.test_bad_input import require_told
from tests.support.hubs import (
    NOI_VU,
    QUAN_1,
    TAI_CHINH,
    VIETNAM,
    Y_TE,
    Running,
    answering,
    collect,
    collection,
    digest_of,
    envelope,
    on_both_databases,
    raw_stub,
    recall,
    recall_answer,
    recalling,
    refusal_of,
    refusal_of_stream,
    report,
    serving,
    signed,
    status,
    submission,
)
from tests.support.patience import PATIENCE_S

pytestmark = on_both_databases
CONTENT = b"%PDF-1.7 " + bytes(range(256)) * 100
DOCUMENT = wire.INBOX_ITEM_KIND_DOCUMENT
RECALL = wire.INBOX_ITEM_KIND_RECALL
UPDATED = wire.INBOX_ITEM_KIND_UPDATED
REPLACED = wire.INBOX_ITEM_KIND_REPLACED
EXPIRED = wire.INBOX_ITEM_KIND_EXPIRED


# --- Who speaks -------------------------------------------------------------------------


class Agency:
    """A speaker with a connection."""

    def __init__(self, hub: Running, code: str, stub: Any) -> None:
        self.speaker = hub.speaker(code)
        self.code = code
        self.stub = stub

    async def send(
        self, *to: str, contents: Sequence[bytes] = (CONTENT,), **more: Any
    ) -> tuple[bytes, str]:
        """The envelope's digest and the exchange."""
        message = submission(self.speaker, to, contents, **more)
        answer = await self.stub.SubmitDocument(message)
        return digest_of(message.envelope), answer.acceptance.exchange_id

    def submit(self, *to: str, **more: Any) -> Any:
        return self.stub.SubmitDocument(submission(self.speaker, to, [CONTENT], **more))

    def collect(self, digest: bytes) -> Any:
        return self.stub.CollectDocument(collection(self.speaker, digest))

    def report(self, digest: bytes, code: str) -> Any:
        return self.stub.ReportStatus(report(self.speaker, digest, code))

    def recall(self, digest: bytes) -> Any:
        return self.stub.RequestRecall(recalling(self.speaker, digest))

    def answer(self, digest: bytes, code: str) -> Any:
        return self.stub.AnswerRecall(answering(self.speaker, digest, code))

    def download(self, exchange_id: str) -> Any:
        return self.stub.DownloadAttachment(
            calls.DownloadAttachmentRequest(exchange_id=exchange_id)
        )

    async def content(self, exchange_id: str) -> bytes:
        return b"".join([part.data async for part in self.download(exchange_id)])

    async def inbox(self) -> list[wire.InboxItem]:
        items = (await self.stub.ListInbox(calls.ListInboxRequest(page_size=1000))).items
        assert [item.inbox_seq for item in items] == list(range(1, len(items) + 1))
        return list(items)

    async def outbox(self) -> list[wire.OutboxItem]:
        items = (await self.stub.ListOutbox(calls.ListOutboxRequest(page_size=1000))).items
        assert [item.outbox_seq for item in items] == list(range(1, len(items) + 1))
        return list(items)

    async def exchange(self, exchange_id: str) -> wire.Exchange:
        request = calls.GetExchangeRequest(exchange_id=exchange_id)
        return (await self.stub.GetExchange(request)).exchange


@asynccontextmanager
async def agencies(hub: Running) -> AsyncIterator[tuple[Agency, ...]]:
    """Quận 1, Tài chính, Y tế, Nội vụ."""
    async with AsyncExitStack() as stack:
        yield tuple(
            [
                Agency(
                    hub,
                    code,
                    await stack.enter_async_context(
                        raw_stub(hub.speaker(code).transport, hub.port)
                    ),
                )
                for code in (QUAN_1, TAI_CHINH, Y_TE, NOI_VU)
            ]
        )


@pytest.fixture
async def four(hub: Running) -> AsyncIterator[tuple[Agency, ...]]:
    async with agencies(hub) as four:
        yield four


# --- Update and replace -----------------------------------------------------------------


@pytest.mark.parametrize(("action", "kind"), [("update", UPDATED), ("replace", REPLACED)])
async def test_the_old_document_is_marked_in_the_inbox_of_everyone_who_has_it(four, action, kind):
    quan_1, tai_chinh, y_te, noi_vu = four
    old, old_id = await quan_1.send(TAI_CHINH, Y_TE)
    _, new_id = await quan_1.send(Y_TE, NOI_VU, action=action, relates_to=old.hex())
    replaced_by = new_id if action == "replace" else ""

    for agency, kinds in ((tai_chinh, [DOCUMENT, kind]), (y_te, [DOCUMENT, DOCUMENT, kind])):
        items = await agency.inbox()
        assert [item.kind for item in items] == kinds
        assert (items[-1].exchange_id, items[-1].by_exchange) == (old_id, new_id)
        assert {item.replaced_by for item in items if item.exchange_id == old_id} == {replaced_by}
        assert items[-1].envelope_digest == old
        assert (await agency.exchange(old_id)).replaced_by == replaced_by
    (only,) = await noi_vu.inbox()
    assert (only.kind, only.exchange_id, only.by_exchange) == (DOCUMENT, new_id, "")
    # Both can be collected: what no longer counts is still what was sent.
    await tai_chinh.collect(old)
    assert await tai_chinh.content(old_id) == CONTENT


@pytest.mark.parametrize("action", ["update", "replace"])
async def test_what_is_not_an_own_document_cannot_be_updated_or_replaced(hub, four, action):
    quan_1, tai_chinh, _, noi_vu = four
    own, _ = await quan_1.send(TAI_CHINH)
    foreign, _ = await noi_vu.send(QUAN_1)
    strange, _ = await noi_vu.send(TAI_CHINH)
    said = status(tai_chinh.speaker, own)
    statement = signed(tai_chinh.speaker, said, Status.MEDIA_TYPE)
    await tai_chinh.stub.ReportStatus(calls.ReportStatusRequest(status=statement))
    recalled = recalling(quan_1.speaker, own)
    await quan_1.stub.RequestRecall(recalled)
    before = hub.trace()

    refusals = [
        await refusal_of(quan_1.submit(TAI_CHINH, action=action, relates_to=digest.hex()))
        for digest in (
            bytes(32),
            foreign,
            strange,
            digest_of(statement),
            digest_of(recalled.recall),
        )
    ]

    require_told(refusals[0], "EXCHANGE_UNKNOWN")
    assert refusals == [refusals[0]] * 5
    assert hub.trace() == before


# --- Recall -----------------------------------------------------------------------------


async def test_a_recalled_document_is_withheld_then_cancelled_here_and_released_there(hub, four):
    quan_1, tai_chinh, y_te, _ = four
    digest, exchange_id = await quan_1.send(TAI_CHINH, Y_TE)
    await y_te.collect(digest)

    answer = await quan_1.recall(digest)
    verified = verify_receipt(
        Receipt(answer.acceptance.receipt.leaf, answer.acceptance.receipt.proof),
        hub.founded.trust,
    )
    assert verified.event.topic == "hub.Exchange.RecallRequested"
    assert answer.acceptance.exchange_id == exchange_id

    # Asked: who did not collect it gets nothing, and may say what it likes.
    for agency in (tai_chinh, y_te):
        items = await agency.inbox()
        assert [item.kind for item in items] == [DOCUMENT, RECALL]
        assert {item.recall for item in items} == {wire.RECALL_STATE_ASKED}
    require_told(await refusal_of(tai_chinh.collect(digest)), "CONTENT_WITHHELD")
    require_told(await refusal_of_stream(tai_chinh.download(exchange_id)), "NOT_COLLECTED")
    await tai_chinh.report(digest, "01")
    assert await y_te.content(exchange_id) == CONTENT

    # 15: no content any more, no words; the numbers stay where they were.
    before = await y_te.inbox()
    await y_te.answer(digest, "15")
    require_told(await refusal_of_stream(y_te.download(exchange_id)), "CONTENT_WITHHELD")
    require_told(await refusal_of(y_te.collect(digest)), "CONTENT_WITHHELD")
    after = await y_te.inbox()
    assert before[0].subject
    assert [item.subject for item in after] == ["", ""]
    for item in after:
        assert item.recall == wire.RECALL_STATE_AGREED
    for old, new in zip(before, after, strict=True):
        for name in ("inbox_seq", "exchange_id", "position", "kind", "envelope_digest"):
            assert getattr(old, name) == getattr(new, name)

    # 16: released again.
    await tai_chinh.answer(digest, "16")
    await tai_chinh.collect(digest)
    assert await tai_chinh.content(exchange_id) == CONTENT
    assert (await tai_chinh.inbox())[0].subject == before[0].subject

    told = [(item.recipient, item.code) for item in await quan_1.outbox() if item.code]
    assert told == [(TAI_CHINH, "01"), (Y_TE, "15"), (TAI_CHINH, "16")]
    deliveries = (await quan_1.exchange(exchange_id)).deliveries
    assert {row.recipient: row.recall for row in deliveries} == {
        TAI_CHINH: wire.RECALL_STATE_REFUSED,
        Y_TE: wire.RECALL_STATE_AGREED,
    }


async def test_what_the_rules_of_recall_do_not_allow(hub, four):
    quan_1, tai_chinh, _, noi_vu = four
    digest, _ = await quan_1.send(TAI_CHINH)

    require_told(await refusal_of(tai_chinh.answer(digest, "15")), "RECALL_NOT_OPEN")
    require_told(await refusal_of(tai_chinh.recall(digest)), "NOT_A_PARTY")
    require_told(await refusal_of(noi_vu.recall(digest)), "EXCHANGE_UNKNOWN")
    require_told(await refusal_of(quan_1.answer(digest, "15")), "NOT_A_PARTY")
    require_told(await refusal_of(noi_vu.answer(digest, "15")), "EXCHANGE_UNKNOWN")
    # A document that is finished can be recalled, once.
    await tai_chinh.collect(digest)
    await tai_chinh.report(digest, "06")
    await quan_1.recall(digest)
    require_told(await refusal_of(quan_1.recall(digest)), "RECALL_ASKED_ALREADY")
    await tai_chinh.answer(digest, "16")
    require_told(await refusal_of(tai_chinh.answer(digest, "15")), "RECALL_NOT_OPEN")
    require_told(await refusal_of(quan_1.recall(digest)), "RECALL_ASKED_ALREADY")
    assert hub.trace().refusals == ()


async def test_a_recall_and_its_answer_sent_again_get_the_same_receipts(founded, clock):
    async with serving(founded) as hub, agencies(hub) as (quan_1, tai_chinh, *_):
        digest, _ = await quan_1.send(TAI_CHINH)
        asked, answered = recalling(quan_1.speaker, digest), answering(tai_chinh.speaker, digest)
        first = await quan_1.stub.RequestRecall(asked), await tai_chinh.stub.AnswerRecall(answered)
        assert await quan_1.stub.RequestRecall(asked) == first[0]
    async with serving(founded) as hub, agencies(hub) as (quan_1, tai_chinh, *_):
        assert await quan_1.stub.RequestRecall(asked) == first[0]
        assert await tai_chinh.stub.AnswerRecall(answered) == first[1]


# --- Expiry -----------------------------------------------------------------------------


def in_hours(hours: int) -> str:
    return (datetime.now(VIETNAM) + timedelta(hours=hours)).isoformat(timespec="seconds")


@pytest.fixture
def eager(monkeypatch) -> None:
    """The expiry job looks all the time."""
    monkeypatch.setattr(jobs, "_EXPIRY_EVERY_S", 0.01)


async def first_lines(agency: Agency, count: int) -> list[wire.OutboxItem]:
    """So many lines of an outbox, waited for."""
    stream = agency.stub.WatchOutbox(calls.WatchOutboxRequest(), timeout=PATIENCE_S)
    lines = [(await stream.read()).item for _ in range(count)]
    stream.cancel()
    return lines


async def test_only_what_was_not_collected_in_time_expires(eager, clock, hub, four):
    quan_1, tai_chinh, y_te, _ = four
    digest, exchange_id = await quan_1.send(TAI_CHINH, Y_TE, expires_at=in_hours(1))
    await y_te.collect(digest)
    assert len(await quan_1.outbox()) == 1

    clock.ahead = timedelta(hours=2)
    collected, expired = await first_lines(quan_1, 2)

    assert (collected.kind, collected.recipient) == (wire.OUTBOX_ITEM_KIND_HANDED_OVER, Y_TE)
    assert (expired.kind, expired.recipient) == (wire.OUTBOX_ITEM_KIND_EXPIRED, TAI_CHINH)
    assert [(item.kind, item.expired) for item in await tai_chinh.inbox()] == [
        (DOCUMENT, True),
        (EXPIRED, True),
    ]
    assert [(item.kind, item.expired) for item in await y_te.inbox()] == [(DOCUMENT, False)]
    require_told(await refusal_of(tai_chinh.collect(digest)), "CONTENT_WITHHELD")
    assert await y_te.content(exchange_id) == CONTENT
    await tai_chinh.report(digest, "03")
    deliveries = (await quan_1.exchange(exchange_id)).deliveries
    assert {row.recipient: row.expired for row in deliveries} == {TAI_CHINH: True, Y_TE: False}


async def test_each_side_hears_of_an_expiry_once_over_rounds_and_restarts(eager, clock, founded):
    async with serving(founded) as hub, agencies(hub) as (quan_1, *_):
        for _ in range(5):
            await quan_1.send(TAI_CHINH, Y_TE, expires_at=in_hours(1), contents=())
        clock.ahead = timedelta(hours=2)
        # It stops in the middle of the work, or when it has just been done.
        await first_lines(quan_1, 3)
    for _ in range(2):
        async with serving(founded) as hub, agencies(hub) as (quan_1, tai_chinh, y_te, _):
            lines = await first_lines(quan_1, 10)
            # Rounds go by; a statement afterwards is the eleventh line, and not a twelfth.
            outbox = await quan_1.outbox()
            for agency in (tai_chinh, y_te):
                kinds = [item.kind for item in await agency.inbox()]
                assert kinds == [DOCUMENT] * 5 + [EXPIRED] * 5
    told = [(line.exchange_id, line.recipient) for line in lines]
    assert len(set(told)) == 10
    assert outbox == lines
    assert {line.kind for line in lines} == {wire.OUTBOX_ITEM_KIND_EXPIRED}


# --- The outbox as a cursor -------------------------------------------------------------


async def test_both_boxes_read_through_cuts_miss_and_double_nothing(hub):
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    chance = random.Random(seed)
    documents = 12
    in_lines = documents * 2
    out_lines = documents * 2 * 3
    inbox: list[Any] = []
    outbox: list[Any] = []

    async def watch(code: str, seen: list[Any], wanted: int, method: str) -> None:
        speaker = hub.speaker(code)
        while len(seen) < wanted:
            async with raw_stub(speaker.transport, hub.port) as stub:
                request = getattr(calls, f"{method}Request")(after=len(seen))
                stream = getattr(stub, method)(request, timeout=PATIENCE_S)
                for _ in range(chance.randint(0, 5)):
                    if len(seen) < wanted:
                        seen.append((await stream.read()).item)
                stream.cancel()

    async def work() -> None:
        async with agencies(hub) as (quan_1, tai_chinh, y_te, _):
            for _ in range(documents):
                digest, _ = await quan_1.send(TAI_CHINH, Y_TE, contents=())
                await asyncio.gather(
                    *(each.report(digest, "01") for each in (tai_chinh, y_te)),
                    *(each.collect(digest) for each in (tai_chinh, y_te)),
                )
                await quan_1.recall(digest)
                await asyncio.gather(
                    tai_chinh.answer(digest, "16"),
                    y_te.answer(digest, "15"),
                )

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(
            watch(QUAN_1, outbox, out_lines, "WatchOutbox"),
            watch(TAI_CHINH, inbox, in_lines, "WatchInbox"),
            work(),
        )

    assert [item.outbox_seq for item in outbox] == list(range(1, out_lines + 1))
    assert [item.inbox_seq for item in inbox] == list(range(1, in_lines + 1))
    assert len({item.position for item in outbox}) == out_lines
    assert len({item.position for item in inbox}) == in_lines
    async with agencies(hub) as (quan_1, tai_chinh, y_te, _):
        assert await quan_1.outbox() == outbox
        assert [item.position for item in await tai_chinh.inbox()] == [i.position for i in inbox]
        assert await tai_chinh.outbox() == await y_te.outbox() == []


async def test_an_outbox_is_read_in_pages_without_gap_or_double(four):
    quan_1, tai_chinh, _, _ = four
    digest, _ = await quan_1.send(TAI_CHINH)
    for number in range(13):
        await tai_chinh.report(digest, f"0{number % 4 + 3}")

    numbers, more = [], True
    while more:
        request = calls.ListOutboxRequest(after=numbers[-1] if numbers else 0, page_size=5)
        page = await quan_1.stub.ListOutbox(request)
        numbers += [item.outbox_seq for item in page.items]
        more = page.more

    assert numbers == list(range(1, 14))
    at_the_end = await quan_1.stub.ListOutbox(calls.ListOutboxRequest(after=13))
    assert (list(at_the_end.items), at_the_end.more) == ([], False)
    # Numbers of a log that has ended, or of nobody: else news would be missed in silence.
    for after in (14, 2**64 - 1):
        beyond = calls.ListOutboxRequest(after=after)
        require_told(await refusal_of(quan_1.stub.ListOutbox(beyond)), "NUMBER_UNKNOWN")
    bad = calls.ListOutboxRequest(page_size=-1)
    require_told(await refusal_of(quan_1.stub.ListOutbox(bad)), "REQUEST_MALFORMED")


async def test_open_watches_end_when_the_hub_stops(founded, clock):
    async with AsyncExitStack() as stack:
        async with serving(founded) as hub:
            stub = await stack.enter_async_context(
                raw_stub(hub.speaker(QUAN_1).transport, hub.port)
            )
            streams = [
                stub.WatchOutbox(calls.WatchOutboxRequest(), timeout=PATIENCE_S),
                stub.WatchInbox(calls.WatchInboxRequest(), timeout=PATIENCE_S),
            ]
            reading = [asyncio.ensure_future(stream.read()) for stream in streams]
            await stub.ListOutbox(calls.ListOutboxRequest())
        for read in reading:
            (ended,) = await asyncio.gather(read, return_exceptions=True)
            assert ended is grpc.aio.EOF or isinstance(ended, grpc.aio.AioRpcError)


# --- Statements with their proofs -------------------------------------------------------


async def test_a_statement_is_given_to_its_parties_with_all_that_proves_it(hub, four):
    quan_1, tai_chinh, y_te, noi_vu = four
    digest, _ = await quan_1.send(TAI_CHINH, Y_TE)
    await quan_1.recall(digest)
    said = answering(tai_chinh.speaker, digest, "16")
    answered = await tai_chinh.stub.AnswerRecall(said)
    position = answered.acceptance.receipt.position
    request = calls.GetStatementRequest(position=position)

    for agency in (quan_1, tai_chinh):
        evidence = (await agency.stub.GetStatement(request)).evidence
        assert evidence.statement == said.answer
        assert evidence.receipt == answered.acceptance.receipt
        enrolled = verify_receipt(
            Receipt(evidence.enrolment.receipt.leaf, evidence.enrolment.receipt.proof),
            hub.founded.trust,
        )
        assert enrolled.event.data["agency"] == TAI_CHINH
        assert json.loads(evidence.statement.payload)["reason"] == "văn bản đã được xử lý"
    unknown = await refusal_of(noi_vu.stub.GetStatement(calls.GetStatementRequest(position=10**6)))
    require_told(unknown, "POSITION_UNKNOWN")
    for agency in (y_te, noi_vu):
        refusal = await refusal_of(agency.stub.GetStatement(request))
        assert (refusal.reason, refusal.message) == (unknown.reason, unknown.message)


# --- Many documents in one message ------------------------------------------------------


def reason_in(result: calls.SubmitResult) -> str:
    error = status_pb2.Status.FromString(result.error.SerializeToString())
    info = error_details_pb2.ErrorInfo()
    assert error.details[0].Unpack(info)
    assert error.message
    return info.reason


async def test_each_document_of_a_batch_has_its_own_answer_in_its_place(hub, four):
    quan_1 = four[0]
    good = [submission(quan_1.speaker, [TAI_CHINH], [b"%d" % n]) for n in range(6)]
    forged = submission(quan_1.speaker, [TAI_CHINH])
    forged.envelope.signature = bytes(64)
    unknown = submission(quan_1.speaker, ["X.1"])
    missing = calls.SubmitDocumentRequest(
        envelope=submission(quan_1.speaker, [TAI_CHINH], [b"missing"]).envelope
    )
    documents = [
        good[0],
        forged,
        good[1],
        calls.SubmitDocumentRequest(),
        good[2],
        unknown,
        good[3],
        missing,
        good[4],
        good[5],
        good[0],
    ]
    alone = await quan_1.stub.SubmitDocument(good[4])

    answer = await quan_1.stub.SubmitDocuments(calls.SubmitDocumentsRequest(documents=documents))

    results = list(answer.results)
    assert [result.WhichOneof("result") for result in results] == [
        "error" if document in (forged, unknown, missing, documents[3]) else "acceptance"
        for document in documents
    ]
    assert [reason_in(results[n]) for n in (1, 3, 5, 7)] == [
        "SIGNATURE_INVALID",
        "STATEMENT_MALFORMED",
        "RECIPIENT_UNKNOWN",
        "CONTENT_MISSING",
    ]
    for n in (0, 2, 4, 6, 8, 9, 10):
        receipt = results[n].acceptance.receipt
        event = verify_receipt(Receipt(receipt.leaf, receipt.proof), hub.founded.trust).event
        digest = digest_of(documents[n].envelope).hex()
        assert event.data["statement"]["digest"] == digest, "in the order they came"
    assert results[0] == results[10]
    assert results[8].acceptance == alone.acceptance
    assert len(await four[1].inbox()) == 6
    again = await quan_1.stub.SubmitDocuments(calls.SubmitDocumentsRequest(documents=documents))
    accepted = [n for n, result in enumerate(results) if result.HasField("acceptance")]
    assert [again.results[n] for n in accepted] == [results[n] for n in accepted]


async def test_a_batch_has_at_most_a_hundred_documents(hub, four):
    quan_1 = four[0]
    hundred = [submission(quan_1.speaker, [TAI_CHINH]) for _ in range(100)]
    before = hub.trace()

    too_many = calls.SubmitDocumentsRequest(documents=[*hundred, hundred[0]])
    refusal = await refusal_of(quan_1.stub.SubmitDocuments(too_many))
    require_told(refusal, "TOO_LARGE")
    assert refusal.metadata["limit"] == "100"
    assert hub.trace() == before

    answer = await quan_1.stub.SubmitDocuments(calls.SubmitDocumentsRequest(documents=hundred))
    positions = [result.acceptance.receipt.position for result in answer.results]
    assert sorted(positions) == list(range(before.events, before.events + 100))
    nothing = await quan_1.stub.SubmitDocuments(calls.SubmitDocumentsRequest())
    assert list(nothing.results) == []


# --- Too fast ---------------------------------------------------------------------------


async def test_who_sends_too_fast_is_told_when_to_come_back_and_others_are_served(
    founded, clock, monkeypatch
):
    monkeypatch.setenv("LIENTHONG_RATE_PER_AGENCY", "0.01")
    monkeypatch.setenv("LIENTHONG_BURST_PER_AGENCY", "2")
    async with serving(founded) as hub, agencies(hub) as (quan_1, tai_chinh, *_):
        sent = submission(quan_1.speaker, [TAI_CHINH], [CONTENT])
        first = await quan_1.stub.SubmitDocument(sent)
        await quan_1.send(TAI_CHINH)
        before = hub.trace()

        refusal = await refusal_of(quan_1.submit(TAI_CHINH))

        require_told(refusal, "OVERLOADED")
        assert refusal.details is not None
        retry = error_details_pb2.RetryInfo()
        details = status_pb2.Status.FromString(refusal.details).details
        assert [detail.Unpack(retry) for detail in details].count(True) == 1
        told_ms = int(refusal.metadata["retry_after_ms"])
        assert 0 < retry.retry_delay.ToMilliseconds() == told_ms <= 100_000
        # Nothing was taken in: no event, no content. What was accepted is answered still.
        assert hub.trace() == before
        assert await quan_1.stub.SubmitDocument(sent) == first
        assert len(await quan_1.inbox()) == 0
        await tai_chinh.send(QUAN_1)
        batch = calls.SubmitDocumentsRequest(
            documents=[submission(quan_1.speaker, [TAI_CHINH]), sent]
        )
        results = (await quan_1.stub.SubmitDocuments(batch)).results
        assert reason_in(results[0]) == "OVERLOADED"
        assert results[1].acceptance == first.acceptance


# --- A wrong clock ----------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_callers_clock_an_hour_off_is_warned_of_and_nothing_else(hub, four, hours):
    quan_1, tai_chinh, _, _ = four
    wrong = {"created_at": in_hours(hours)}
    sender, recipient = quan_1.speaker, tai_chinh.speaker

    statement = signed(sender, {**envelope(sender, [TAI_CHINH]), **wrong}, Envelope.MEDIA_TYPE)
    digest = digest_of(statement)
    answers = [await quan_1.stub.SubmitDocument(calls.SubmitDocumentRequest(envelope=statement))]
    said = signed(recipient, collect(recipient, digest) | wrong, Collect.MEDIA_TYPE)
    collected = await tai_chinh.stub.CollectDocument(calls.CollectDocumentRequest(collect=said))
    said = signed(recipient, status(recipient, digest) | wrong, Status.MEDIA_TYPE)
    reported = await tai_chinh.stub.ReportStatus(calls.ReportStatusRequest(status=said))
    said = signed(sender, recall(sender, digest) | wrong, Recall.MEDIA_TYPE)
    recalled = await quan_1.stub.RequestRecall(calls.RequestRecallRequest(recall=said))
    said = signed(recipient, recall_answer(recipient, digest) | wrong, RecallAnswer.MEDIA_TYPE)
    answered = await tai_chinh.stub.AnswerRecall(calls.AnswerRecallRequest(answer=said))

    times = []
    for answer in [*answers, collected, reported, recalled, answered]:
        (warning,) = answer.acceptance.warnings
        assert warning.code == "CLOCK_SKEW"
        assert warning.message
        event = json.loads(answer.acceptance.receipt.leaf)
        assert event["data"]["warnings"] == ["CLOCK_SKEW"]
        times.append(datetime.fromisoformat(event["time"]))
    assert times == sorted(times)
    assert abs(times[0] - datetime.now(VIETNAM)) < timedelta(minutes=30), "the hub's own clock"
    right = await quan_1.submit(TAI_CHINH)
    assert list(right.acceptance.warnings) == []


# --- Nobody else's business -------------------------------------------------------------


async def test_an_operator_has_no_boxes_and_an_agency_no_registry(hub, four):
    async with raw_stub(hub.founded.operator, hub.port) as stub:
        for method in ("ListOutbox", "ListInbox", "SubmitDocuments", "RequestRecall"):
            refusal = await refusal_of(getattr(stub, method)(getattr(calls, f"{method}Request")()))
            require_told(refusal, "ROLE_NOT_PERMITTED")
    async with raw_stub(four[0].speaker.transport, hub.port, RegistryServiceStub) as stub:
        refusal = await refusal_of(stub.ListAgencies(registry_calls.ListAgenciesRequest()))
        require_told(refusal, "ROLE_NOT_PERMITTED")
