"""Several hubs on one PostgreSQL serve at once: any accepts and reads, one of them leads."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import grpc.aio
import pytest

from hub.bootstrap.founding import Stores
from hub.client.registry import RegistryClient
from hub.v1 import exchange_service_pb2 as calls
from tests.e2e.test_kill import until_answered
from tests.e2e.test_revocation import transport_key_of
from tests.support import postgres
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Founded,
    collection,
    digest_of,
    found,
    look_into,
    raw_stub,
    recalling,
    refusal_in,
    refusal_of,
    refusal_of_stream,
    submission,
    trace,
)
from tests.support.postgres import Server
from tests.support.several import Several, several
from tests.support.several_load import Interrupt, ended_well, load_and


@pytest.fixture
def database_kind() -> str:
    return "postgres"


@pytest.fixture
async def two(founded: Founded) -> AsyncIterator[Several]:
    async with several(founded, 2) as hubs:
        yield hubs


async def test_a_document_accepted_by_one_hub_is_read_at_the_other(two: Several):
    founded = two.founded
    sender, recipient = founded.speakers[QUAN_1], founded.speakers[TAI_CHINH]
    for at, other in ((two[0], two[1]), (two[1], two[0])):
        message = submission(sender, [TAI_CHINH], [b"content"])
        async with raw_stub(sender.transport, at.port) as stub:
            answer = await stub.SubmitDocument(message)
        async with raw_stub(sender.transport, other.port) as stub:
            assert await stub.SubmitDocument(message) == answer
        async with raw_stub(recipient.transport, other.port) as stub:
            items = (await stub.ListInbox(calls.ListInboxRequest())).items
        assert items[-1].exchange_id == answer.acceptance.exchange_id
    assert trace(founded.folder.root).inbox_items == 2
    await ended_well(two)


async def test_one_request_at_both_hubs_at_once_is_one_event_with_one_receipt(two: Several):
    sender = two.founded.speakers[QUAN_1]
    async with (
        raw_stub(sender.transport, two[0].port) as one,
        raw_stub(sender.transport, two[1].port) as other,
    ):
        for contents in ([], [b"content"], [], [b"more", b"and more"]):
            before = trace(two.founded.folder.root)
            message = submission(sender, [TAI_CHINH], contents)
            asked = [stub.SubmitDocument(message) for stub in (one, other, one, other)]
            first, *others = await asyncio.gather(*asked)
            assert others == [first] * 3
            after = trace(two.founded.folder.root)
            assert (after.events, after.requests) == (before.events + 1, before.requests + 1)
    await ended_well(two)


async def test_two_hubs_that_decide_about_one_document_at_once_decide_in_turn(two: Several):
    sender, recipient = (two.founded.speakers[code] for code in (QUAN_1, TAI_CHINH))
    async with (
        raw_stub(sender.transport, two[0].port) as at_one,
        raw_stub(recipient.transport, two[1].port) as at_other,
    ):
        for _ in range(5):
            message = submission(sender, [TAI_CHINH], [b"content"])
            await at_one.SubmitDocument(message)
            digest = digest_of(message.envelope)
            # A document that is recalled is not handed over any more.
            taken, _ = await asyncio.gather(
                at_other.CollectDocument(collection(recipient, digest)),
                at_one.RequestRecall(recalling(sender, digest)),
                return_exceptions=True,
            )
            if isinstance(taken, grpc.aio.AioRpcError):
                assert refusal_in(taken).reason == "CONTENT_WITHHELD"
            events = topics_of(two, digest)
            recalled = events.index("hub.Exchange.RecallRequested")
            assert "hub.Delivery.DocumentHandedOver" not in events[recalled:]
    await ended_well(two)


def topics_of(hubs: Several, digest: bytes) -> list[str]:
    """What was recorded of a document, in the order of the log."""
    with look_into(hubs.founded.folder.root) as database:
        rows = database.exec_driver_sql("SELECT topic, state FROM events ORDER BY position")
        return [topic for topic, state in rows if digest.hex().encode() in bytes(state)]


async def test_who_is_revoked_at_one_hub_is_refused_by_the_other_from_the_next_call_on(
    two: Several,
):
    founded = two.founded
    speaker = founded.speakers[TAI_CHINH]
    async with (
        raw_stub(speaker.transport, two[1].port) as stub,
        RegistryClient.open(founded.operator_profile(two[0].port)) as operator,
    ):
        watching = stub.WatchInbox(calls.WatchInboxRequest())
        await stub.ListInbox(calls.ListInboxRequest())
        key_id = await transport_key_of(operator, TAI_CHINH)
        await operator.revoke_certificate(TAI_CHINH, key_id, "key-compromise")

        refused = await refusal_of(stub.ListInbox(calls.ListInboxRequest()))
        assert refused.reason == "PRINCIPAL_UNKNOWN"
        message = submission(speaker, [QUAN_1])
        assert (await refusal_of(stub.SubmitDocument(message))).reason == "PRINCIPAL_UNKNOWN"
        # The next message of an open stream is refused as the next call is.
        sender = founded.speakers[QUAN_1]
        async with raw_stub(sender.transport, two[0].port) as other:
            await other.SubmitDocument(submission(sender, [TAI_CHINH]))
        assert (await refusal_of_stream(watching)).reason == "PRINCIPAL_UNKNOWN"
    await ended_well(two)


async def test_a_leader_that_is_killed_is_followed_by_a_hub_that_goes_on_serving(two: Several):
    sender = two.founded.speakers[QUAN_1]
    epoch = two.epoch()
    async with raw_stub(sender.transport, two[1].port) as stub:
        await stub.SubmitDocument(submission(sender, [TAI_CHINH], [b"before"]))
        two[0].kill()
        # Asked while nobody leads: recorded at once, and answered when somebody does.
        message = submission(sender, [TAI_CHINH], [b"between"])
        asked = asyncio.ensure_future(until_answered(stub.SubmitDocument, message))
        await two.until(lambda: topics_of(two, digest_of(message.envelope)) != [])
        assert not asked.done()
        await two.lease_runs_out()
        answer = await asked
        assert two.epoch() == epoch + 1
        await two[0].start()
        async with raw_stub(sender.transport, two[0].port) as again:
            assert await again.SubmitDocument(message) == answer
    await ended_well(two)


async def test_a_leader_that_stood_still_signs_nothing_more_and_ends(two: Several):
    sender = two.founded.speakers[QUAN_1]
    epoch = two.epoch()
    async with (
        raw_stub(sender.transport, two[0].port) as old,
        raw_stub(sender.transport, two[1].port) as stub,
    ):
        await old.SubmitDocument(submission(sender, [TAI_CHINH]))
        two[0].stand_still()
        late = submission(sender, [TAI_CHINH], [b"late"])
        asked = asyncio.ensure_future(old.SubmitDocument(late, timeout=60))
        await two.lease_runs_out()
        await until_answered(stub.SubmitDocument, submission(sender, [TAI_CHINH]))
        await two.until_led_anew(epoch)
        two[0].go_on()
        answer = await until_answered(stub.SubmitDocument, late)
        # Whatever the old one could still do of it, it promised nothing else.
        with suppress(grpc.aio.AioRpcError):
            assert await asked == answer
        assert await two[0].ended() != 0
        await two[0].start()
        async with raw_stub(sender.transport, two[0].port) as again:
            assert await again.SubmitDocument(late) == answer
    assert two.epoch() == epoch + 1
    await ended_well(two)


async def kill_one(hubs: Several, chance: random.Random) -> None:
    """Or tell it to stop: what it has begun, it finishes."""
    hub, leader = chance.choice(hubs.hubs), hubs.leader()
    if chance.random() < 0.3:
        assert await hub.terminate() == 0
    else:
        hub.kill()
        if hub is leader and chance.random() < 0.5:
            await hubs.lease_runs_out()  # Another leads; or the same again, once it is back.
    await asyncio.sleep(chance.uniform(0.0, 2.0))
    await hub.start()


@pytest.mark.early
async def test_hubs_killed_under_load_keep_every_promise(two: Several):
    await load_and(two, kill_one, rounds=2)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_three_hubs_killed_under_load_keep_every_promise(founded: Founded):
    async with several(founded, 3) as hubs:
        await load_and(hubs, kill_one, rounds=25)


async def stop_the_leader(hubs: Several, chance: random.Random) -> None:
    """Longer than a hub may lead without a sign."""
    leader, epoch = hubs.leader(), hubs.epoch()
    leader.stand_still()
    await hubs.lease_runs_out()
    await hubs.until_led_anew(epoch)
    await asyncio.sleep(chance.uniform(0.0, 2.0))
    leader.go_on()
    assert await leader.ended() != 0
    await leader.start()


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_leaders_that_stand_still_under_load_cost_no_promise(founded: Founded):
    async with several(founded, 3) as hubs:
        await load_and(hubs, stop_the_leader, rounds=6)


@pytest.fixture
def own_server() -> Iterator[Server]:
    """One that this test alone kills."""
    try:
        with postgres.serving() as server:
            yield server
    except postgres.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
async def on_own_server(own_server: Server, tmp_path: Path) -> AsyncIterator[Several]:
    urls = [own_server.url(own_server.create()) for _ in range(2)]
    async with several(found(tmp_path, stores=Stores(*urls)), 2) as hubs:
        yield hubs


def dying(server: Server) -> Interrupt:
    async def server_dies(hubs: Several, chance: random.Random) -> None:
        server.stop(signal.SIGKILL)
        await asyncio.sleep(chance.uniform(0.0, 0.5))
        await asyncio.to_thread(server.start)

    return server_dies


@pytest.mark.early
async def test_a_server_that_is_killed_under_load_costs_no_promise_of_two_hubs(
    own_server: Server, on_own_server: Several
):
    await load_and(on_own_server, dying(own_server), rounds=1)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_server_that_is_killed_again_and_again_costs_no_promise_of_two_hubs(
    own_server: Server, on_own_server: Several
):
    await load_and(on_own_server, dying(own_server), rounds=8)
