"""The machine's clock is stepped back by an hour, under a hub that serves or between two starts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hub.application.mapper import read_leaf
from hub.bootstrap import jobs
from hub.v1 import exchange_pb2 as wire
from tests.e2e.conftest import MovedClock
from tests.e2e.test_life import agencies, first_lines, in_hours
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Y_TE,
    Founded,
    Running,
    collection,
    digest_of,
    raw_stub,
    refusal_of,
    report,
    serving,
    submission,
)
from tests.support.patience import PATIENCE_S

HOUR = timedelta(hours=1)


def times(hub: Running) -> list[datetime]:
    """Of every event, in the order of the log."""
    log = hub.core.log
    return [read_leaf(each.state).time for each in log.select_notifications(1, 10_000)]


async def health_turns(hub: Running, wanted: int) -> None:
    identity = hub.speaker(QUAN_1).transport
    async with raw_stub(identity, hub.port, health_pb2_grpc.HealthStub) as health:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if (await health.Check(health_pb2.HealthCheckRequest())).status == wanted:
                    return
                await asyncio.sleep(0.05)


async def test_a_clock_stepped_back_refuses_nobody_and_no_event_is_older_than_the_one_before(
    hub: Running, clock: MovedClock
):
    sender, recipient = hub.speaker(QUAN_1), hub.speaker(TAI_CHINH)
    async with (
        raw_stub(sender.transport, hub.port) as stub,
        raw_stub(recipient.transport, hub.port) as other,
    ):
        first = submission(sender, [TAI_CHINH], [b"content"])
        answer = await stub.SubmitDocument(first)
        before = times(hub)
        await health_turns(hub, health_pb2.HealthCheckResponse.SERVING)

        clock.ahead = -HOUR
        await health_turns(hub, health_pb2.HealthCheckResponse.NOT_SERVING)
        second = submission(sender, [TAI_CHINH], [b"content"])
        exchange = (await stub.SubmitDocument(second)).acceptance.exchange_id
        for message in (first, second):
            await other.CollectDocument(collection(recipient, digest_of(message.envelope)))
            await other.ReportStatus(report(recipient, digest_of(message.envelope)))

        # Ids have a time too: an earlier one than the hub's start would be swept as left over.
        assert int(exchange.replace("-", "")[:12], 16) >= int(hub.process._begun.timestamp() * 1000)
        assert UUID(exchange).version == 7
        assert await stub.SubmitDocument(first) == answer
        assert times(hub) == [*before, *[before[-1]] * 5]

        clock.ahead = timedelta()
        await health_turns(hub, health_pb2.HealthCheckResponse.SERVING)
        await stub.SubmitDocument(submission(sender, [TAI_CHINH]))
        assert times(hub)[-1] > before[-1]


@pytest.mark.parametrize(
    "database_kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.long)], indirect=True
)
async def test_a_hub_started_with_its_clock_an_hour_back_expires_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
    clock: MovedClock,
    founded: Founded,
):
    monkeypatch.setattr(jobs, "_EXPIRY_EVERY_S", 0.01)  # It looks all the time.
    async with serving(founded) as hub, agencies(hub) as (quan_1, *_):
        digest, _ = await quan_1.send(TAI_CHINH, Y_TE, expires_at=in_hours(1), contents=())
        clock.ahead = 2 * HOUR
        await first_lines(quan_1, 2)
        last = times(hub)[-1]

    clock.ahead = -HOUR
    async with serving(founded) as hub, agencies(hub) as (quan_1, tai_chinh, *_):
        await health_turns(hub, health_pb2.HealthCheckResponse.NOT_SERVING)
        assert (await refusal_of(tai_chinh.collect(digest))).reason == "CONTENT_WITHHELD"
        await tai_chinh.report(digest, "03")
        # What is sent now expires later than now, though the clock says otherwise.
        await quan_1.send(TAI_CHINH, expires_at=in_hours(3), contents=())
        lines = await first_lines(quan_1, 3)
        kinds = [line.kind for line in lines]
        assert kinds.count(wire.OUTBOX_ITEM_KIND_EXPIRED) == 2
        assert set(times(hub)[-2:]) == {last}
    assert datetime.now(UTC) < last
