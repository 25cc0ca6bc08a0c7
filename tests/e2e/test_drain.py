"""A hub that is told to stop lets go of its callers in good order: nobody is lost, or misled."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hub.v1 import exchange_service_pb2 as calls
from hub.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from tests.support.forks import Forked
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Y_TE,
    Founded,
    Running,
    Speaker,
    check_hub_is_whole,
    look_into,
    on_both_databases,
    raw_channel,
    raw_stub,
    refusal_in,
    request_id_of,
    serving,
    submission,
    until,
)
from tests.support.patience import PATIENCE_S

AT_ONCE = 8
ENOUGH = 40


class Served:
    """`lienthong serve`, as somebody types it, on a port that it chooses."""

    def __init__(self, founded: Founded, **settings: str) -> None:
        environment = {**os.environ, "LIENTHONG_LISTEN": "127.0.0.1:0", **settings}
        self._process = Forked(
            "hub.cli.main", "--lang", "en", "serve", founded.folder.root, env=environment
        )
        self._heard = asyncio.create_task(asyncio.to_thread(self._said))

    def _said(self) -> str:
        assert self._process.stderr is not None
        return str(self._process.stderr.read())

    async def port(self) -> int:
        """Waits until it listens."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = await asyncio.to_thread(self._process.stdout.readline)
        found = re.search(r":(\d+) as ", line)
        assert found, line
        return int(found[1])

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> tuple[int, str]:
        """Its exit status, and its log."""
        status = await asyncio.to_thread(self._process.wait, PATIENCE_S)
        return status, await self._heard

    async def end(self) -> None:
        self._process.kill()
        await asyncio.to_thread(self._process.wait, PATIENCE_S)
        await self._heard
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


@asynccontextmanager
async def served(founded: Founded, **settings: str) -> AsyncIterator[Served]:
    hub = Served(founded, **settings)
    try:
        yield hub
    finally:
        await hub.end()


@dataclass
class Load:
    """Senders, each of which sends until its first failure; and how each call ended."""

    acknowledged: list[str] = field(default_factory=list)
    failures: list[grpc.aio.AioRpcError] = field(default_factory=list)

    async def send(self, stub: ExchangeServiceStub, sender: Speaker, size: int) -> None:
        while not self.failures or len(self.failures) < AT_ONCE:
            message = submission(sender, [TAI_CHINH, Y_TE], [os.urandom(size)])
            try:
                await stub.SubmitDocument(message)
            except grpc.aio.AioRpcError as error:
                self.failures.append(error)
                return
            self.acknowledged.append(request_id_of(message.envelope))


@on_both_databases
async def test_told_to_stop_under_load_it_loses_nothing_and_misleads_nobody(founded: Founded):
    load = Load()
    sender, recipient = founded.speakers[QUAN_1], founded.speakers[TAI_CHINH]
    # Whatever the machine is busy with, what was begun is finished.
    async with served(founded, LIENTHONG_DRAIN_S=str(PATIENCE_S)) as hub:
        port = await hub.port()
        async with (
            raw_stub(sender.transport, port) as stub,
            raw_stub(recipient.transport, port) as watching,
        ):
            watch = asyncio.create_task(last_of(watching.WatchInbox(calls.WatchInboxRequest())))
            senders = [
                asyncio.create_task(load.send(stub, sender, 1 << (8 + n))) for n in range(AT_ONCE)
            ]
            await until(lambda: len(load.acknowledged) >= ENOUGH)
            hub.tell(signal.SIGTERM)
            status, log = await hub.ended()
            await asyncio.wait_for(asyncio.gather(*senders), PATIENCE_S)
            ended = await asyncio.wait_for(watch, PATIENCE_S)

    assert status == 0, log
    assert {error.code().name for error in load.failures} == {"UNAVAILABLE"}
    assert (ended.status, ended.reason) == ("UNAVAILABLE", "UNAVAILABLE")
    assert '"level": "error"' not in log
    with look_into(founded.folder.root) as database:
        kept = set(database.exec_driver_sql("SELECT request_id FROM requests").scalars())
    assert set(load.acknowledged) <= kept
    check_hub_is_whole(founded.folder.root)


async def last_of(stream: grpc.aio.UnaryStreamCall) -> object:
    """What a stream ends with."""
    try:
        async for _ in stream:
            pass
    except grpc.aio.AioRpcError as error:
        return refusal_in(error)
    raise AssertionError("the stream ended as if there were no more")


@pytest.fixture
def noticing(founded: Founded) -> Founded:
    settings = founded.folder.settings
    settings.write_text(
        'stop_notice_s = 5\nmetrics_listen = "127.0.0.1:0"\n' + settings.read_text()
    )
    return founded


async def test_it_says_that_it_is_not_ready_while_it_still_serves(noticing: Founded):
    sender = noticing.speakers[QUAN_1]
    async with (
        serving(noticing) as hub,
        raw_channel(sender.transport, hub.port) as channel,
        httpx2.AsyncClient(timeout=PATIENCE_S) as client,
    ):
        stub = ExchangeServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        asked = health_pb2.HealthCheckRequest()
        assert (await health.Check(asked)).status == health_pb2.HealthCheckResponse.SERVING

        stopping = asyncio.create_task(hub.process.stop())
        await asyncio.sleep(0)
        not_ready = (await health.Check(asked)).status
        await stub.SubmitDocument(submission(sender, [TAI_CHINH], [b"late"]))
        url = f"http://127.0.0.1:{hub.process.operating.port}"
        page, live = await client.get(f"{url}/ready"), await client.get(f"{url}/live")
        await stopping

    assert not_ready == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (page.status_code, page.json()["failing"]) == (503, ["stopping"])
    assert live.status_code == 200


@pytest.fixture
def impatient(founded: Founded) -> Founded:
    settings = founded.folder.settings
    settings.write_text("drain_s = 0.2\n" + settings.read_text())
    return founded


async def test_what_does_not_finish_in_time_is_told_to_come_again(impatient: Founded):
    sender = impatient.speakers[QUAN_1]
    async with serving(impatient) as hub, raw_stub(sender.transport, hub.port) as stub:
        release = hold_the_lane(hub)
        call = asyncio.ensure_future(
            stub.SubmitDocument(submission(sender, [TAI_CHINH], [b"slow"]))
        )
        await until(lambda: len(hub.process.server._running) == 1)
        stopping = asyncio.create_task(hub.process.stop())
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        release()
        await stopping
    assert refusal_in(failed.value).reason == "UNAVAILABLE"


def hold_the_lane(hub: Running):
    """Nothing is decided until what this returns is called."""
    import threading

    free, lane = threading.Event(), hub.process._lane
    lane._thread.submit(free.wait)
    return free.set
