"""Lists, searches and deadlines over the wire, and that nobody sees another's documents."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.calendar import vietnamese_working_day
from hub.client import DocumentDraft, DocumentFilter, HubClient, RegistryClient, SyncHubClient
from hub.client.answers import DeliveryState, RecallState
from hub.client.lists import LateRule
from hub.domain.working_days import WorkingDays
from hub.errors import RequestIdReused, RequestMalformed
from hub.proof.envelope import Priority
from hub.v1 import exchange_service_pb2 as calls
from hub.v1 import lists_pb2
from hub.v1 import registry_service_pb2 as registry_calls
from hub.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.support.hubs import (
    NOI_VU,
    QUAN_1,
    TAI_CHINH,
    Y_TE,
    on_both_databases,
    raw_stub,
    refusal_of,
    serving,
    submission,
)

pytestmark = on_both_databases
VIETNAM = timezone(timedelta(hours=7))
CALENDAR = WorkingDays(vietnamese_working_day, ZoneInfo("Asia/Ho_Chi_Minh"))


def draft(number: int, **changes: Any) -> DocumentDraft:
    members: dict[str, Any] = {
        "number": str(number),
        "notation": "UBND-VP",
        "type_name": "Công văn",
        "subject": "V/v triển khai liên thông văn bản",
        "issued_on": date(2026, 11, 20),
    }
    return DocumentDraft(**members | changes)


async def received(client: HubClient, **wanted: Any) -> list[str]:
    return [item.document.code async for item in client.received(DocumentFilter(**wanted))]


async def sent(client: HubClient, **wanted: Any) -> list[str]:
    return [item.document.code async for item in client.sent(DocumentFilter(**wanted))]


@pytest.fixture
async def three(hub) -> list[str]:
    """Three documents from Quận 1; their envelopes' digests."""
    digests = []
    async with HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as sender:
        for document, recipients in (
            (draft(1), [TAI_CHINH, Y_TE]),
            (
                draft(
                    2,
                    type_name="Quyết định",
                    type_code="QĐ",
                    subject="Về việc phê duyệt Đề án",
                    priority=Priority.FLASH,
                    due_on=date(2026, 12, 1),
                ),
                [TAI_CHINH],
            ),
            (draft(3, issued_on=date(2026, 11, 1)), [Y_TE]),
        ):
            accepted = await sender.submit(document, [], recipients)
            assert accepted.statement is not None
            digests.append(accepted.statement.digest.hex())
    return digests


async def test_both_sides_list_and_search_their_documents(hub, three):
    async with HubClient.open(hub.speaker(TAI_CHINH).profile(hub.port)) as recipient:
        await recipient.collect(three[0])
        await recipient.report_status(three[0], "03")
        assert await received(recipient) == ["2/UBND-VP", "1/UBND-VP"]
        assert await received(recipient, subject="de an PHE DUYET") == ["2/UBND-VP"]
        assert await received(recipient, subject="LIÊN thông") == ["1/UBND-VP"]
        assert await received(recipient, type="quyet dinh") == ["2/UBND-VP"]
        assert await received(recipient, type="qđ") == ["2/UBND-VP"]
        assert await received(recipient, states=[DeliveryState.ACCEPTED]) == ["1/UBND-VP"]
        assert await received(recipient, states=[DeliveryState.CONSIGNED]) == ["2/UBND-VP"]
        assert await received(recipient, priorities=[Priority.FLASH]) == ["2/UBND-VP"]
        assert await received(recipient, other_agency=Y_TE) == []
        assert await received(recipient, code="2/ubnd") == ["2/UBND-VP"]
        assert await received(recipient, recalled=True) == []
        items = [item async for item in recipient.received()]
    first = items[0]
    assert (first.state, first.recall, first.expired) == (
        DeliveryState.CONSIGNED, RecallState.NONE, False,
    )  # fmt: skip
    assert (first.document.type_code, first.document.priority) == ("QĐ", Priority.FLASH)
    assert (first.document.issued_on, first.document.due_on) == (
        date(2026, 11, 20), date(2026, 12, 1),
    )  # fmt: skip
    assert (first.document.sender, first.document.envelope_digest) == (QUAN_1, three[1])

    async with HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as sender:
        assert await sent(sender) == ["3/UBND-VP", "2/UBND-VP", "1/UBND-VP"]
        assert await sent(sender, other_agency=Y_TE) == ["3/UBND-VP", "1/UBND-VP"]
        assert await sent(sender, states=[DeliveryState.ACCEPTED]) == ["1/UBND-VP"]
        assert await sent(sender, issued_to=date(2026, 11, 19)) == ["3/UBND-VP"]
        assert await received(sender) == []
        *_, oldest = [item async for item in sender.sent()]
    assert oldest.recipient_count == 2
    assert {(tally.state, tally.count) for tally in oldest.deliveries} == {
        (DeliveryState.CONSIGNED, 1),
        (DeliveryState.ACCEPTED, 1),
    }


async def test_a_program_without_an_event_loop_lists_too(hub, three):
    def listed() -> tuple[list[str], list[str]]:
        with SyncHubClient(hub.speaker(TAI_CHINH).profile(hub.port)) as client:
            flash = DocumentFilter(priorities=[Priority.FLASH])
            found = [item.document.code for item in client.received(flash)]
            return found, [item.document.code for item in client.sent()]

    # Off the loop, on which the hub serves.
    assert await asyncio.to_thread(listed) == (["2/UBND-VP"], [])


async def test_nobody_lists_what_concerns_others_only(hub, three):
    async with HubClient.open(hub.speaker(NOI_VU).profile(hub.port)) as stranger:
        assert await received(stranger) == []
        assert await sent(stranger) == []
        assert await received(stranger, other_agency=QUAN_1, subject="liên thông") == []
        assert await sent(stranger, other_agency=TAI_CHINH) == []
    async with HubClient.open(hub.speaker(Y_TE).profile(hub.port)) as other:
        assert await received(other) == ["3/UBND-VP", "1/UBND-VP"]
        assert await received(other, code="2/") == []


async def pages(stub: Any, size: int, **wanted: Any) -> list[str]:
    codes: list[str] = []
    token = ""
    while True:
        request = calls.ListReceivedRequest(
            filter=lists_pb2.DocumentFilter(**wanted), page_size=size, page_token=token
        )
        page = await stub.ListReceived(request)
        assert len(page.documents) <= size
        codes += [item.document.code for item in page.documents]
        token = page.next_page_token
        if not token:
            return codes


async def test_a_token_goes_on_where_it_was_and_is_good_for_nothing_else(hub):
    sender, recipient = hub.speaker(QUAN_1), hub.speaker(TAI_CHINH)
    async with (
        raw_stub(sender.transport, hub.port) as from_sender,
        raw_stub(recipient.transport, hub.port) as from_recipient,
    ):
        for _ in range(5):
            await from_sender.SubmitDocument(submission(sender, [TAI_CHINH]))
        assert await pages(from_recipient, 2) == ["125/UBND-VP"] * 5

        first = await from_recipient.ListReceived(calls.ListReceivedRequest(page_size=2))
        token = first.next_page_token
        await from_sender.SubmitDocument(submission(sender, [TAI_CHINH]))
        second = await from_recipient.ListReceived(
            calls.ListReceivedRequest(page_size=3, page_token=token)
        )
        numbers = [item.inbox_seq for page in (first, second) for item in page.documents]
        assert numbers == [5, 4, 3, 2, 1]

        other_filter = lists_pb2.DocumentFilter(subject="liên")
        for call in (
            from_sender.ListReceived(calls.ListReceivedRequest(page_token=token)),
            from_recipient.ListSent(calls.ListSentRequest(page_token=token)),
            from_recipient.ListReceived(
                calls.ListReceivedRequest(filter=other_filter, page_token=token)
            ),
            from_recipient.ListReceived(calls.ListReceivedRequest(page_token=token[:-4])),
            from_recipient.ListReceived(calls.ListReceivedRequest(page_token="////" + token[4:])),
            from_recipient.ListReceived(calls.ListReceivedRequest(page_token="x")),
            from_recipient.ListReceived(calls.ListReceivedRequest(page_token="…")),
        ):
            refusal = await refusal_of(call)
            assert (refusal.reason, refusal.metadata["field"]) == (
                "REQUEST_MALFORMED", "page_token",
            )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"states": [99]}, "filter.states"),
        ({"states": [0]}, "filter.states"),
        ({"priorities": [0]}, "filter.priorities"),
        ({"issued_from": "22/11/2026"}, "filter.issued_from"),
        ({"issued_to": "2026-11-31"}, "filter.issued_to"),
        ({"issued_to": "20261122"}, "filter.issued_to"),
        ({"subject": "?!"}, "filter.subject"),
        ({"subject": " ".join(map(str, range(21)))}, "filter.subject"),
        ({"subject": "x" * 501}, "filter.subject"),
        ({"type": "x" * 101}, "filter.type"),
        ({"code": "a\x00"}, "filter.code"),
        ({"other_agency": "H" * 36}, "filter.other_agency"),
        ({"accepted_from_time": {"seconds": 2**60}}, "filter.accepted_from_time"),
    ],
)
async def test_a_filter_that_cannot_be_is_refused_by_its_field(hub, wanted, field):
    stated = lists_pb2.DocumentFilter(**wanted)
    async with raw_stub(hub.speaker(TAI_CHINH).transport, hub.port) as stub:
        for call in (
            stub.ListReceived(calls.ListReceivedRequest(filter=stated)),
            stub.ListSent(calls.ListSentRequest(filter=stated)),
        ):
            refusal = await refusal_of(call)
            assert (refusal.reason, refusal.metadata["field"]) == ("REQUEST_MALFORMED", field)


async def test_signs_that_mean_something_to_a_database_mean_nothing_here(hub, three):
    async with HubClient.open(hub.speaker(TAI_CHINH).profile(hub.port)) as recipient:
        for code in ("%", "_", "'", "\\", "1%"):
            assert await received(recipient, code=code) == []
        assert await received(recipient, subject="liên' OR 1=1 --") == []
        assert await received(recipient, other_agency="%") == []


# --- Deadlines --------------------------------------------------------------------------


async def test_what_is_not_collected_or_answered_in_time_shows_as_late(clock, founded):
    due_on = (datetime.now(VIETNAM) + timedelta(days=20)).date()
    async with serving(founded) as hub:
        profile = hub.speaker(QUAN_1).profile(hub.port)
        async with (
            HubClient.open(profile) as sender,
            HubClient.open(hub.speaker(TAI_CHINH).profile(hub.port)) as recipient,
        ):
            accepted = await sender.submit(draft(1, due_on=due_on), [], [TAI_CHINH, Y_TE])
            assert accepted.statement is not None
            digest = accepted.statement.digest.hex()
            assert [item.late async for item in recipient.received()] == [()]
            assert await received(recipient, overdue_only=True) == []

            clock.ahead = timedelta(days=15)
            ((late,),) = [item.late async for item in recipient.received()]
            (item,) = [item async for item in recipient.received()]
            end = CALENDAR.end_of_working_day(item.document.accepted_at)
            assert (late.rule, late.since, late.recipients) == (LateRule.NOT_COLLECTED, end, 1)
            assert await received(recipient, overdue_only=True) == ["1/UBND-VP"]
            ((late,),) = [item.late async for item in sender.sent()]
            assert (late.rule, late.recipients) == (LateRule.NOT_COLLECTED, 2)

            await recipient.collect(digest)
            assert await received(recipient, overdue_only=True) == []
            assert await sent(sender, overdue_only=True) == ["1/UBND-VP"]

            clock.ahead = timedelta(days=40)
            ((late,),) = [item.late async for item in recipient.received()]
            end = CALENDAR.end_of_due_day(due_on)
            assert (late.rule, late.since) == (LateRule.NOT_ANSWERED, end)
            (item,) = [item async for item in sender.sent()]
            assert {(each.rule, each.recipients) for each in item.late} == {
                (LateRule.NOT_COLLECTED, 1),
                (LateRule.NOT_ANSWERED, 2),
            }

            await recipient.report_status(digest, "06")
            assert [item.late async for item in recipient.received()] == [()]
            assert await received(recipient, overdue_only=True) == []


async def test_a_corrected_day_counts_from_the_next_call_on_and_after_a_restart(clock, founded):
    today = datetime.now(VIETNAM).date()
    days = [today + timedelta(days=n) for n in range(12)]
    async with (
        serving(founded) as hub,
        HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as sender,
        HubClient.open(hub.speaker(TAI_CHINH).profile(hub.port)) as recipient,
        RegistryClient.open(founded.operator_profile(hub.port)) as registry,
    ):
        await sender.submit(draft(1), [], [TAI_CHINH])
        clock.ahead = timedelta(days=10)
        assert await received(recipient, overdue_only=True) == ["1/UBND-VP"]

        for day in days:
            await registry.correct_calendar(day, working=False, basis="QĐ 1/QĐ-TTg")

        assert await received(recipient, overdue_only=True) == []
        assert [item.late async for item in recipient.received()] == [()]
    async with (
        serving(founded) as hub,
        HubClient.open(hub.speaker(TAI_CHINH).profile(hub.port)) as recipient,
        RegistryClient.open(founded.operator_profile(hub.port)) as registry,
    ):
        assert await received(recipient, overdue_only=True) == []
        found = [entry async for entry in registry.list_calendar_corrections()]
        assert [(entry.day, entry.working) for entry in found] == [(day, False) for day in days]
        assert {(entry.basis, entry.by) for entry in found} == {("QĐ 1/QĐ-TTg", "operator")}

        await registry.correct_calendar(days[1], working=True, basis="QĐ 2/QĐ-TTg")
        await registry.correct_calendar(days[2], working=True, basis="QĐ 2/QĐ-TTg")
        assert await received(recipient, overdue_only=True) == ["1/UBND-VP"]


async def test_a_correction_is_recorded_once_for_a_request(hub):
    day, once = date(2026, 1, 10), "6f2a5c1e-0000-4000-8000-00000000000a"
    async with RegistryClient.open(hub.founded.operator_profile(hub.port)) as registry:
        first = await registry.correct_calendar(day, working=True, basis="QĐ", request_id=once)
        again = await registry.correct_calendar(day, working=True, basis="QĐ", request_id=once)
        assert again == first
        assert first.fact.event.data["day"] == "2026-01-10"
        with pytest.raises(RequestIdReused):
            await registry.correct_calendar(day, working=False, basis="QĐ", request_id=once)
        for wrong in ({"basis": ""}, {"basis": "x" * 201}, {"basis": "a\nb"}):
            with pytest.raises(RequestMalformed):
                await registry.correct_calendar(day, working=True, **wrong)
        with pytest.raises(RequestMalformed):
            await registry.correct_calendar(date(1999, 12, 31), working=True, basis="QĐ")


async def test_only_an_operator_keeps_the_calendar(hub):
    request = registry_calls.CorrectCalendarRequest(
        request_id="6f2a5c1e-0000-4000-8000-00000000000b", day="2026-01-10", basis="QĐ"
    )
    agency = hub.speaker(QUAN_1).transport
    async with raw_stub(agency, hub.port, RegistryServiceStub) as stub:
        assert (await refusal_of(stub.CorrectCalendar(request))).reason == "ROLE_NOT_PERMITTED"
        asked = registry_calls.ListCalendarCorrectionsRequest()
        refusal = await refusal_of(stub.ListCalendarCorrections(asked))
        assert refusal.reason == "ROLE_NOT_PERMITTED"


@pytest.mark.parametrize("day", ["", "2026-02-30", "10/01/2026", "20260110"])
async def test_a_day_is_an_iso_date(hub, day):
    request = registry_calls.CorrectCalendarRequest(
        request_id="6f2a5c1e-0000-4000-8000-00000000000c", day=day, basis="QĐ"
    )
    async with raw_stub(hub.founded.operator, hub.port, RegistryServiceStub) as stub:
        refusal = await refusal_of(stub.CorrectCalendar(request))
        assert (refusal.reason, refusal.metadata["field"]) == ("REQUEST_MALFORMED", "day")
        token = registry_calls.ListCalendarCorrectionsRequest(page_token="next")
        refusal = await refusal_of(stub.ListCalendarCorrections(token))
        assert (refusal.reason, refusal.metadata["field"]) == ("REQUEST_MALFORMED", "page_token")
