"""Thousands of idle connections, and streams that nobody reads: the hub answers all others."""

from __future__ import annotations

import asyncio
import re
import resource
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from hub.v1 import exchange_service_pb2 as calls
from hub.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Founded,
    HubProcess,
    Identity,
    Refusal,
    check_hub_is_whole,
    raw_stub,
    refusal_in,
    refusal_of,
    refusal_of_stream,
    serving,
    submission,
    until,
)
from tests.support.patience import PATIENCE_S

KIB_PER_CONNECTION_MAX = 256
MIB_PER_READER_MAX = 4
LONG_INBOX = 700
# The connection preface of HTTP/2, and an empty SETTINGS frame (RFC 9113, 3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def memory_kib(pid: int) -> int:
    """What of a process lies in memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


class Idle:
    """Connections that greet, and then say and read nothing."""

    def __init__(self, identity: Identity, folder: Path, port: int) -> None:
        for name, data in (("cert.pem", identity.certificate), ("key.pem", identity.key)):
            (folder / name).write_bytes(data or b"")
        self._tls = ssl.create_default_context(cadata=identity.ca.decode())
        self._tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self._tls.set_alpn_protocols(["h2"])
        self._port = port
        self._open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def open(self, count: int) -> int:
        """So many more; how many the hub greets."""
        greeted = 0
        for start in range(0, count, 50):
            some = range(min(50, count - start))
            greeted += sum(await asyncio.gather(*(self._one() for _ in some)))
        return greeted

    async def _one(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._tls)
        except OSError:
            return False
        self._open.append((reader, writer))
        try:
            writer.write(PREFACE)
            await reader.readexactly(9)
        except (OSError, asyncio.IncompleteReadError):
            return False
        return True

    def close(self) -> None:
        for _, writer in self._open:
            writer.transport.abort()


@asynccontextmanager
async def idle(founded: Founded, tmp_path: Path, port: int) -> AsyncIterator[Idle]:
    connections = Idle(founded.speakers[QUAN_1].transport, tmp_path, port)
    try:
        yield connections
    finally:
        connections.close()
        await asyncio.sleep(0)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.long)])
async def test_a_hub_with_all_the_connections_it_may_have_serves_those_and_no_more(
    founded: Founded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < count + 1000:
        pytest.skip(f"{count} connections need more open files than {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 1000), hard))
    monkeypatch.setenv("LIENTHONG_CONNECTIONS_MAX", str(count + 10))
    sender, recipient = founded.speakers[QUAN_1], founded.speakers[TAI_CHINH]
    async with (
        HubProcess(founded) as process,
        raw_stub(sender.transport, process.port) as stub,
        raw_stub(recipient.transport, process.port) as other,
        idle(founded, tmp_path, process.port) as connections,
    ):
        await stub.SubmitDocument(submission(sender, [TAI_CHINH], [b"content"]))
        await other.GetLimits(calls.GetLimitsRequest())
        before = memory_kib(process.pid)

        assert await connections.open(count) == count
        grown = memory_kib(process.pid) - before
        assert grown < count * KIB_PER_CONNECTION_MAX, f"{grown // count} KiB a connection"
        await stub.SubmitDocument(submission(sender, [TAI_CHINH], [b"content"]))
        assert len((await other.ListInbox(calls.ListInboxRequest())).items) == 2

        # Beyond what is allowed: some still fit, and all others are closed.
        assert await connections.open(60) < 60
        message = submission(sender, [TAI_CHINH], [b"content"])
        async with raw_stub(sender.transport, process.port) as late:
            assert (await refusal_of(late.SubmitDocument(message))).status == "UNAVAILABLE"
        answer = await stub.SubmitDocument(message)

        connections.close()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with raw_stub(sender.transport, process.port) as late:
                    try:
                        assert await late.SubmitDocument(message) == answer
                        break
                    except grpc.aio.AioRpcError as error:
                        refused = refusal_in(error)
                    assert refused.status == "UNAVAILABLE"
                    await asyncio.sleep(0.05)
        assert await process.terminate() == 0
    check_hub_is_whole(founded.folder.root)


@pytest.mark.parametrize("readers", [8, pytest.param(100, marks=pytest.mark.long)])
async def test_streams_that_nobody_reads_are_ended_and_hold_up_nobody(
    founded: Founded, monkeypatch: pytest.MonkeyPatch, readers: int
):
    """A reader that never reads; the inbox is longer than what a connection takes unread."""
    monkeypatch.setenv("LIENTHONG_READER_STALL_S", "0.5")
    sender, recipient = founded.speakers[QUAN_1], founded.speakers[TAI_CHINH]
    async with (
        HubProcess(founded) as process,
        raw_stub(sender.transport, process.port) as stub,
        raw_stub(recipient.transport, process.port) as quick,
        AsyncExitStack() as stack,
    ):
        for _ in range(LONG_INBOX // 100):
            documents = [submission(sender, [TAI_CHINH]) for _ in range(100)]
            await stub.SubmitDocuments(calls.SubmitDocumentsRequest(documents=documents))
        watching = quick.WatchInbox(calls.WatchInboxRequest(after=LONG_INBOX))
        before = memory_kib(process.pid)
        slow = []
        for _ in range(readers):
            channel = await stack.enter_async_context(one_window(recipient.transport, process.port))
            slow.append(ExchangeServiceStub(channel).WatchInbox(calls.WatchInboxRequest()))
            assert (await slow[-1].read()).item.inbox_seq == 1
        # The others go on, and hear of what comes.
        for number in range(1, 4):
            await stub.SubmitDocument(submission(sender, [TAI_CHINH]))
            assert (await watching.read()).item.inbox_seq == LONG_INBOX + number
        await until(lambda: ended(process) >= readers)
        assert memory_kib(process.pid) - before < readers * MIB_PER_READER_MAX * 1024

        for each in slow:
            seen, refusal = await read_to_the_end(each)
            assert seen == list(range(2, 2 + len(seen)))
            assert len(seen) < LONG_INBOX
            assert (refusal.status, refusal.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        # It goes on where it was, and misses nothing.
        after = calls.WatchInboxRequest(after=seen[-1])
        assert (await quick.WatchInbox(after).read()).item.inbox_seq == seen[-1] + 1
        await stub.SubmitDocument(submission(sender, [TAI_CHINH]))
        assert (await watching.read()).item.inbox_seq == LONG_INBOX + 4
        assert await process.terminate() == 0
    check_hub_is_whole(founded.folder.root)


@asynccontextmanager
async def one_window(identity: Identity, port: int) -> AsyncIterator[grpc.aio.Channel]:
    """A channel that takes as little as it may before somebody reads (RFC 9113, 5.2)."""
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 16 * 1024),
    ]
    target = f"127.0.0.1:{port}"
    async with grpc.aio.secure_channel(target, identity.credentials(), options) as channel:
        yield channel


def ended(process: HubProcess) -> int:
    """How many streams the hub says it has ended."""
    logs = process.founded.folder.root.parent.glob("port-*.log")
    return sum(log.read_text().count("a stream was not read") for log in logs)


async def read_to_the_end(stream: Any) -> tuple[list[int], Refusal]:
    seen: list[int] = []
    try:
        while (response := await stream.read()) is not grpc.aio.EOF:
            seen.append(response.item.inbox_seq)
    except grpc.aio.AioRpcError as error:
        return seen, refusal_in(error)
    raise AssertionError("it ended without a word")


async def test_one_caller_holds_only_so_many_streams_open(
    founded: Founded, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIENTHONG_CALLS_PER_CALLER", "3")
    busy, other = founded.speakers[QUAN_1], founded.speakers[TAI_CHINH]
    async with (
        serving(founded) as hub,
        raw_stub(busy.transport, hub.port) as stub,
        raw_stub(other.transport, hub.port) as theirs,
    ):
        await theirs.SubmitDocument(submission(other, [QUAN_1]))
        streams = [stub.WatchInbox(calls.WatchInboxRequest()) for _ in range(3)]
        for each in streams:
            assert (await each.read()).item.inbox_seq == 1

        for refused in (
            await refusal_of_stream(stub.WatchOutbox(calls.WatchOutboxRequest())),
            await refusal_of(stub.SubmitDocument(submission(busy, [TAI_CHINH]))),
        ):
            assert (refused.status, refused.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
            assert refused.metadata == {"retry_after_ms": "1000"}
        await theirs.SubmitDocument(submission(other, [QUAN_1]))

        streams[0].cancel()
        message = submission(busy, [TAI_CHINH])
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await stub.SubmitDocument(message)
                    break
                except grpc.aio.AioRpcError as error:
                    refused = refusal_in(error)
                assert refused.reason == "OVERLOADED"
