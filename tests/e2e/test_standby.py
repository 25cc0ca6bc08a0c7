"""Two hubs on one PostgreSQL: one serves, the other takes over when that one is gone."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import grpc.aio
import pytest

from hub.bootstrap.folder import DataFolder
from tests.support.forks import Forked
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Founded,
    check_hub_is_whole,
    raw_stub,
    submission,
    trace,
    until,
)
from tests.support.patience import PATIENCE_S

SHARED = ("content", "signer", "keys")


@pytest.fixture
def database_kind() -> str:
    return "postgres"


class Served:
    """`lienthong serve` as somebody types it, on a port that it chooses."""

    def __init__(self, root: Path, *options: str) -> None:
        self._process = Forked(
            "hub.cli.main", "--lang", "en", "serve", root, *options,
            env={**os.environ, "LIENTHONG_LISTEN": "127.0.0.1:0"},
        )  # fmt: skip

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
        """Its exit status and what it said on stderr."""
        _, err = await asyncio.to_thread(self._process.communicate, timeout=PATIENCE_S)
        return self._process.wait(), err

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


@pytest.fixture
def other(founded: Founded, tmp_path: Path) -> Founded:
    """Another hub's folder for the same log: what two machines would share, it shares."""
    root = tmp_path / "other"
    shutil.copytree(founded.folder.root, root)
    for name in SHARED:
        shutil.rmtree(root / name)
        (root / name).symlink_to(founded.folder.root / name)
    return Founded(DataFolder(root))


@pytest.fixture
def hubs(founded: Founded, other: Founded) -> Iterator[tuple[Served, Served]]:
    one = Served(founded.folder.root)
    two = None
    try:
        # The second waits only if the first was first.
        give_up = time.monotonic() + PATIENCE_S
        while not trace_of_leader(founded) and time.monotonic() < give_up:
            time.sleep(0.05)
        two = Served(other.folder.root, "--standby")
        yield one, two
    finally:
        for hub in (one, two):
            if hub is not None:
                hub.end()


def trace_of_leader(founded: Founded) -> bool:
    from tests.support.hubs import look_into

    with look_into(founded.folder.root) as connection:
        ask = "SELECT count(*) FROM leadership WHERE beat_at IS NOT NULL"
        return bool(connection.exec_driver_sql(ask).scalar_one())


async def test_a_hub_that_was_killed_is_followed_within_seconds_and_no_promise_is_lost(
    founded: Founded, other: Founded, hubs: tuple[Served, Served]
):
    one, two = hubs
    sender = founded.speakers[QUAN_1]
    message = submission(sender, [TAI_CHINH], [b"content"])
    async with raw_stub(sender.transport, await one.port()) as stub:
        answer = await stub.SubmitDocument(message)
    before = trace(founded.folder.root)
    one.tell(signal.SIGKILL)

    async with raw_stub(sender.transport, await two.port()) as stub:
        assert await stub.SubmitDocument(message) == answer
        assert trace(founded.folder.root) == before
        await stub.SubmitDocument(submission(sender, [TAI_CHINH], [b"more"]))
    two.tell(signal.SIGTERM)
    assert (await two.ended())[0] == 0
    check_hub_is_whole(other.folder.root)


async def test_a_hub_that_stood_still_ends_and_writes_nothing_more(
    founded: Founded, other: Founded, hubs: tuple[Served, Served]
):
    one, two = hubs
    sender = founded.speakers[QUAN_1]
    async with raw_stub(sender.transport, await one.port()) as old:
        await old.SubmitDocument(submission(sender, [TAI_CHINH]))
        one.tell(signal.SIGSTOP)
        async with raw_stub(sender.transport, await two.port()) as stub:
            late = submission(sender, [TAI_CHINH], [b"late"])
            asked = asyncio.ensure_future(old.SubmitDocument(late, timeout=PATIENCE_S))
            await stub.SubmitDocument(submission(sender, [TAI_CHINH]))
            one.tell(signal.SIGCONT)
            status, said = await one.ended()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await asked
            # What the old one could not keep, the new one takes.
            await stub.SubmitDocument(late)
    assert (status, "DEPOSED" in said) == (1, True)
    assert refused.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    two.tell(signal.SIGTERM)
    assert (await two.ended())[0] == 0
    check_hub_is_whole(other.folder.root)


async def test_a_hub_that_is_told_to_stop_is_followed_at_once(
    founded: Founded, hubs: tuple[Served, Served]
):
    one, two = hubs
    await one.port()
    one.tell(signal.SIGTERM)
    assert (await one.ended())[0] == 0
    sender = founded.speakers[QUAN_1]
    async with raw_stub(sender.transport, await two.port()) as stub:
        await stub.SubmitDocument(submission(sender, [TAI_CHINH]))


async def test_a_hub_that_waits_and_is_told_to_stop_ends_at_once_and_well(
    other: Founded, hubs: tuple[Served, Served]
):
    one, two = hubs
    await one.port()

    # It has its folder to itself, and waits for the database.
    lock = other.folder.root / "lock"
    held = f":{lock.stat().st_ino} "
    await until(lambda: held in Path("/proc/locks").read_text())
    two.tell(signal.SIGTERM)
    status, log = await two.ended()
    assert status == 0, log
