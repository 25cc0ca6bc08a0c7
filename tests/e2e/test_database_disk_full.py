"""The disk of the database's own server is full: refusals say so, and room makes it good."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc.aio
import pytest
import sqlalchemy as sa

from hub.bootstrap.founding import Stores
from hub.v1 import exchange_service_pb2 as calls
from tests.e2e.test_kill import until_answered
from tests.support import postgres
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Founded,
    HubProcess,
    check_hub_is_whole,
    found,
    raw_stub,
    refusal_in,
    submission,
    trace,
)
from tests.support.patience import PATIENCE_S
from tests.support.postgres import Server

KIB = 1024
REFUSALS = {"UNAVAILABLE", "RECEIPT_DELAYED"}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Server, Path, Founded]]:
    """A server on a small disk, that disk, and a hub whose events and keys lie there."""
    try:
        with postgres.serving_from_a_small_disk(100) as (server, disk):
            urls = [server.url(server.create()) for _ in range(2)]
            yield server, disk, found(tmp_path, stores=Stores(*urls))
    except postgres.Unavailable as reason:
        pytest.skip(str(reason))


def fill(disk: Path, left: int) -> Path:
    """Take all room but so many bytes, whatever the server takes meanwhile."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(bytes(64 * KIB)):
                pass
        file.truncate(max(0, file.tell() - left))
    return ballast


async def until_full(stub, requests: list, answered: list) -> list[str]:
    """Submit until enough was refused; why."""
    refusals: list[str] = []
    for each in requests:
        try:
            answered.append((each, await stub.SubmitDocument(each, timeout=PATIENCE_S)))
        except grpc.aio.AioRpcError as error:
            refusals.append(refusal_in(error).reason)
        if len(refusals) == 3:
            break
    return refusals


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(0, id="nothing-left"),
        *(
            pytest.param(kib * KIB, id=f"{kib}-KiB-left", marks=pytest.mark.long)
            for kib in (8, 40, 200, 1000)
        ),
    ],
)
async def test_a_server_without_room_for_rows_costs_no_promise(
    small: tuple[Server, Path, Founded], left: int
):
    server, disk, founded = small
    sender = founded.speakers[QUAN_1]
    requests = [submission(sender, [TAI_CHINH], [os.urandom(3000)]) for _ in range(300)]
    async with HubProcess(founded) as process:
        async with raw_stub(sender.transport, process.port) as stub:
            answered = [(each, await stub.SubmitDocument(each)) for each in requests[:4]]
            ballast = fill(disk, left)
            refusals = await until_full(stub, requests[4:], answered)
            assert refusals
            assert set(refusals) <= REFUSALS
            # What needs no room is served.
            assert await stub.SubmitDocument(requests[0]) == answered[0][1]
            await stub.ListOutbox(calls.ListOutboxRequest())
            ballast.unlink()
            count = len(answered) + len(refusals)
            await all_is_answered(stub, requests[:count], answered)
        assert server.lives
        assert await process.terminate() == 0
    assert trace(founded.folder.root).inbox_heads == ((TAI_CHINH, count),)
    check_hub_is_whole(founded.folder.root)


async def test_a_server_that_ends_because_its_log_finds_no_room_costs_no_promise(
    small: tuple[Server, Path, Founded],
):
    server, disk, founded = small
    sender = founded.speakers[QUAN_1]
    requests = [submission(sender, [TAI_CHINH], [os.urandom(3000)]) for _ in range(300)]
    async with HubProcess(founded) as process:
        async with raw_stub(sender.transport, process.port) as stub:
            answered = [(each, await stub.SubmitDocument(each)) for each in requests[:4]]
            ballast = fill(disk, 64 * KIB)
            submitting = asyncio.ensure_future(until_full(stub, requests[4:], answered))
            await asyncio.to_thread(write_log_until_it_ends, server)
            refusals = await submitting
            assert refusals
            assert set(refusals) <= REFUSALS
            ballast.unlink()
            await asyncio.to_thread(server.start)
            count = len(answered) + len(refusals)
            await all_is_answered(stub, requests[:count], answered)
        assert await process.terminate() == 0
    assert trace(founded.folder.root).inbox_heads == ((TAI_CHINH, count),)
    check_hub_is_whole(founded.folder.root)


def write_log_until_it_ends(server: Server) -> None:
    """As whoever else uses the server does: what cannot be logged is the server's end."""
    give_up = time.monotonic() + PATIENCE_S
    while server.lives:
        assert time.monotonic() < give_up, "its log finds room for ever"
        with suppress(sa.exc.OperationalError):
            server.execute(
                "SELECT pg_logical_emit_message(true, '', repeat('x', 200000))",
                "SELECT pg_switch_wal()",
            )


async def all_is_answered(stub, asked: list, answered: list) -> None:
    """Every request has one answer, and those that had one before have the same."""
    answers = await asyncio.gather(*(until_answered(stub.SubmitDocument, each) for each in asked))
    given = dict(zip(map(id, asked), answers, strict=True))
    assert all(given[id(request)] == answer for request, answer in answered)
