"""Nothing is shown before it is recorded who reads it for which case, and covered."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from adapters.memory.faults import Fault
from hub.application.case_reading import Access, Lost, Piece
from hub.application.exchanges import Evidence
from hub.application.lane import Recorded
from hub.errors import (
    CaseReferenceMissing,
    ExchangeUnknown,
    HubError,
    LogFrozen,
    RequestIdReused,
    RequestMalformed,
    Unavailable,
)
from hub.ledger.batch import BatchEngine
from hub.proof.leaf import parse_leaf
from hub.proof.receipt import verify_receipt
from tests.support.audited import reading_of
from tests.support.builders import (
    OTHER,
    RECIPIENT,
    SENDER,
    MemoryHub,
    Party,
    check_whole,
    new_hub,
    new_request_id,
    run,
)

CASE = "15/KL-TTTP"
CONTENTS = [b"%PDF-1.7 one", b"", b"two" * 1000]
sender, recipient = Party(SENDER), Party(RECIPIENT)


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


@pytest.fixture
def exchange_id(hub: MemoryHub) -> UUID:
    envelope = sender.envelope(RECIPIENT, OTHER, contents=CONTENTS)
    recorded = hub.submit(SENDER, envelope, CONTENTS)
    hub.collect(RECIPIENT, recipient.collect(envelope))
    hub.report(RECIPIENT, recipient.status(envelope, "02"))
    return parse_leaf(recorded.receipt.leaf).id


def access(exchange_id: UUID, **changes: Any) -> Access:
    facts = {"auditor": "thanh-tra-1", "request_id": new_request_id(), "case": CASE}
    return Access(**facts | changes, exchange_id=exchange_id)


def shown(work: Any) -> list[Any]:
    async def whole() -> list[Any]:
        return [part async for part in work]

    return run(whole())


READINGS = {
    "statements": lambda reading, asked: reading.statements(asked),
    "attachment": lambda reading, asked: reading.attachment(asked, 0, 0),
    "export": lambda reading, asked: reading.export(asked, 0, 0),
}
EACH = pytest.mark.parametrize("read", READINGS.values(), ids=READINGS)


@EACH
def test_the_record_comes_first_and_is_covered_by_a_checkpoint(hub, exchange_id, read):
    before = hub.receipts.size
    asked = access(exchange_id)

    first, *rest = shown(read(reading_of(hub), asked))

    assert isinstance(first, Recorded)
    fact = verify_receipt(first.receipt, hub.trust)
    assert fact.position == before
    assert fact.event.data["exchange"] == str(exchange_id)
    assert (fact.event.data["by"], fact.event.data["case"]) == ("thanh-tra-1", CASE)
    assert rest
    check_whole(hub)


def test_each_record_says_what_was_read(hub, exchange_id):
    for read in READINGS.values():
        shown(read(reading_of(hub), access(exchange_id)))
    records = [e for e in hub.events() if e.topic.startswith("hub.Log.Audit")]
    assert [(e.topic.split(".")[2], e.version) for e in records] == [
        ("AuditAccessMade", 1), ("AuditAccessMade", 2), ("AuditExportMade", 3),
    ]  # fmt: skip
    assert [(e.data.get("read"), e.data.get("attachment")) for e in records] == [
        ("statements", -1), ("attachment", 0), (None, None),
    ]  # fmt: skip
    assert records[2].data["attachments"] == 3


@EACH
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("where", ["log.commit", "signer.sign", "tree.publish"])
def test_when_the_record_fails_nothing_is_shown(hub, exchange_id, read, fault, where):
    asked = access(exchange_id)
    seen: list[Any] = []
    hub.break_next(where, fault)

    async def until_it_fails() -> None:
        async for part in read(reading_of(hub), asked):
            seen.append(part)

    with pytest.raises(HubError):
        run(until_it_fails())
    assert seen == []
    # The same request again is the same access, whatever was kept of the first.
    first, *_rest = shown(read(reading_of(hub), asked))
    records = [e for e in hub.events() if e.data.get("request_id") == asked.request_id]
    assert [e.topic for e in records] == [parse_leaf(first.receipt.leaf).topic]
    check_whole(hub)


@EACH
def test_a_frozen_log_shows_nothing(hub, exchange_id, read, monkeypatch):
    frozen = LogFrozen("frozen")
    monkeypatch.setattr(BatchEngine, "_not_ready", lambda self: frozen)
    with pytest.raises(LogFrozen):
        shown(read(reading_of(hub), access(exchange_id)))


@EACH
@pytest.mark.parametrize("case", ["", " ", "\t\n"])
def test_without_a_case_nothing_is_shown_or_recorded(hub, exchange_id, read, case):
    before = hub.receipts.size
    with pytest.raises(CaseReferenceMissing) as refusal:
        shown(read(reading_of(hub), access(exchange_id, case=case)))
    assert refusal.value.metadata == {"field": "case_reference"}
    assert hub.log.head().next_position == before


@pytest.mark.parametrize(
    "case",
    ["two words", "x" * 65, "-15", "a\x00b", "a\nb", "Đ\u0302\u0301", "15;--", "\u202e15", "/1"],
)
def test_what_is_no_file_number_is_refused(hub, exchange_id, case):
    with pytest.raises(RequestMalformed):
        shown(reading_of(hub).statements(access(exchange_id, case=case)))


@pytest.mark.parametrize("case", ["15", "15/QĐ-TTr", "x" * 64, "2026:KN_07.b"])
def test_file_numbers_are_taken_as_they_are(hub, exchange_id, case):
    first, *_ = shown(reading_of(hub).statements(access(exchange_id, case=case)))
    assert parse_leaf(first.receipt.leaf).data["case"] == case


@EACH
def test_the_same_request_is_the_same_access_and_no_other(hub, exchange_id, read):
    asked = access(exchange_id)
    first = shown(read(reading_of(hub), asked))
    assert shown(read(reading_of(hub), asked)) == first
    size = hub.receipts.size
    for other in (access(exchange_id, request_id=asked.request_id, case="99"),):
        with pytest.raises(RequestIdReused):
            shown(read(reading_of(hub), other))
    assert hub.receipts.size == size
    # Another auditor has request ids of its own.
    another = access(exchange_id, request_id=asked.request_id, auditor="thanh-tra-2")
    shown(read(reading_of(hub), another))
    assert hub.receipts.size == size + 1


def test_one_request_does_not_open_what_another_kind_of_reading_shows(hub, exchange_id):
    asked = access(exchange_id)
    shown(reading_of(hub).statements(asked))
    for work in (
        reading_of(hub).attachment(asked, 0, 0),
        reading_of(hub).attachment(asked, 1, 0),
        reading_of(hub).export(asked, 0, 0),
    ):
        with pytest.raises(RequestIdReused):
            shown(work)


def test_every_statement_is_shown_in_order_with_its_proofs(hub, exchange_id):
    _record, *said = shown(reading_of(hub).statements(access(exchange_id)))
    assert all(isinstance(one, Evidence) for one in said)
    kinds = [one.statement.payload_type.split(".")[2] for one in said]
    assert kinds == ["envelope", "collect", "status"]
    positions = [one.recorded.position for one in said]
    assert positions == sorted(positions)


def test_a_statement_that_is_gone_is_named_and_the_others_are_shown(hub, exchange_id):
    _record, envelope, *_rest = shown(reading_of(hub).statements(access(exchange_id)))
    del hub.log._tables.payloads[envelope.statement.digest]
    _record, lost, *rest = shown(reading_of(hub).statements(access(exchange_id)))
    assert lost == Lost(envelope.recorded.position, "CONTENT_LOST")
    assert len(rest) == 2


def test_content_resumes_at_a_byte(hub, exchange_id):
    asked = access(exchange_id)
    for offset in (0, 1, 2999, 3000):
        record, *pieces = shown(reading_of(hub).attachment(asked, 2, offset))
        assert b"".join(piece.data for piece in pieces) == CONTENTS[2][offset:]
        assert not pieces or pieces[0].offset == offset
    assert hub.topics()[-1] == "AuditAccessMade"
    assert hub.topics().count("AuditAccessMade") == 1
    assert parse_leaf(record.receipt.leaf).data["attachment"] == 2


@pytest.mark.parametrize(("index", "offset"), [(3, 0), (0, 13), (2**31, 0), (0, 2**62)])
def test_a_place_that_no_attachment_has_is_refused_before_anything_is_recorded(
    hub, exchange_id, index, offset
):
    before = hub.receipts.size
    with pytest.raises(RequestMalformed):
        shown(reading_of(hub).attachment(access(exchange_id), index, offset))
    if (index, offset) != (3, 0):
        with pytest.raises(RequestMalformed):
            shown(reading_of(hub).export(access(exchange_id), index, offset))
    assert hub.receipts.size == before


def test_an_export_holds_everything_and_goes_on_anywhere(hub, exchange_id):
    asked = access(exchange_id)
    for index, offset in ((0, 0), (0, 5), (1, 0), (2, 1234), (3, 0)):
        _record, *parts = shown(reading_of(hub).export(asked, index, offset))
        assert sum(isinstance(part, Evidence) for part in parts) == 3
        contents = [b""] * 3
        for piece in parts:
            if isinstance(piece, Piece):
                contents[piece.attachment] += piece.data
        expected = [b"" if n < index else content for n, content in enumerate(CONTENTS)]
        if index < 3:
            expected[index] = expected[index][offset:]
        assert contents == expected
    assert hub.topics().count("AuditExportMade") == 1


@EACH
def test_a_document_that_is_not_there_is_unknown(hub, exchange_id, read):
    agency_id = next(e.id for e in hub.events() if e.topic == "hub.Agency.AgencyRegistered")
    for unknown in (UUID(int=1), agency_id):
        with pytest.raises(ExchangeUnknown):
            shown(read(reading_of(hub), access(unknown)))


def test_a_document_no_checkpoint_covers_is_unknown(hub, exchange_id):
    hub.break_next("tree.publish", Fault.LOST)
    with pytest.raises(HubError):
        hub.submit(SENDER, sender.envelope(RECIPIENT))
    newest = hub.events()[-1]
    assert newest.topic == "hub.Exchange.DocumentSubmitted"
    with pytest.raises(ExchangeUnknown):
        shown(reading_of(hub).statements(access(newest.id)))


def test_the_lane_is_asked_before_anything_is_unsealed(hub, exchange_id):
    """While the record waits for its checkpoint, no key is opened."""
    waiting: asyncio.Event
    opened: list[UUID] = []

    class SlowLane:
        async def do(self, command: Any) -> Recorded:
            await waiting.wait()
            raise Unavailable("the hub is stopping")

    vault = hub.vault
    original = vault.key_of
    vault.key_of = lambda exchange: opened.append(exchange) or original(exchange)  # type: ignore[method-assign]

    async def ask() -> None:
        nonlocal waiting
        waiting = asyncio.Event()
        reading = reading_of(hub, SlowLane())
        task = asyncio.create_task(anext(reading.attachment(access(exchange_id), 0, 0)))
        await asyncio.sleep(0)
        assert not task.done()
        waiting.set()
        with pytest.raises(Unavailable):
            await task

    asyncio.run(ask())
    assert opened == []
