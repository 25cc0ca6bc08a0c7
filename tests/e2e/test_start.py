"""What a start reads, and what is found while the hub already serves."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from hub.bootstrap import jobs
from hub.errors import LedgerMismatch
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Founded,
    Running,
    look_into,
    raw_stub,
    refusal_in,
    serving,
    submission,
    until,
)
from tests.support.patience import PATIENCE_S


async def send(hub: Running) -> None:
    sender = hub.speaker(QUAN_1)
    async with raw_stub(sender.transport, hub.port) as stub:
        await stub.SubmitDocument(submission(sender, [TAI_CHINH]))


def change_the_first_letter(founded: Founded) -> int:
    """Another digit in its nonce, behind the triggers; its position."""
    ask = "SELECT min(position) FROM events WHERE topic = 'hub.Exchange.DocumentSubmitted'"
    with look_into(founded.folder.root) as connection:
        position: int = connection.exec_driver_sql(ask).scalar_one()
    with closing(sqlite3.connect(founded.folder.database)) as database, database:
        database.execute("DROP TRIGGER events_refuse_update")
        (state,) = database.execute(
            "SELECT state FROM events WHERE position = ?", (position,)
        ).fetchone()
        at = state.index(b'"nonce":"') + 9
        other = b"A" if state[at : at + 1] != b"A" else b"B"
        changed = state[:at] + other + state[at + 1 :]
        database.execute("UPDATE events SET state = ? WHERE position = ?", (changed, position))
    return position


async def test_a_change_in_what_the_start_did_not_read_freezes_the_log_beside_the_work(
    founded: Founded, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIENTHONG_START_CHECK_EVENTS", "1")
    monkeypatch.setattr(jobs, "_RECHECK_EVERY_S", 0.05)
    async with serving(founded) as hub:
        await send(hub)
        await send(hub)
    async with serving(founded):
        assert founded.folder.verified.exists()  # Marked by the start: both letters.
    position = change_the_first_letter(founded)

    async with serving(founded, check=False) as hub:
        assert hub.core.engine.unread > position
        await until(lambda: hub.core.engine.frozen is not None)
        frozen = hub.core.engine.frozen
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await send(hub)
    assert frozen is not None
    assert frozen.position == position
    assert refusal_in(refused.value).reason == "LOG_FROZEN"

    # From now on no hub serves this, whatever the settings are.
    with pytest.raises(LedgerMismatch) as mismatch:
        async with serving(founded):
            pass
    assert mismatch.value.position == position


async def test_a_small_log_is_read_from_its_first_event_by_every_start(founded: Founded):
    async with serving(founded) as hub:
        await send(hub)
    async with serving(founded) as hub:
        assert hub.core.engine.unread == 0
    position = change_the_first_letter(founded)

    with pytest.raises(LedgerMismatch) as mismatch:
        async with serving(founded):
            pass
    assert mismatch.value.position == position


async def test_a_hub_that_reads_again_stops_when_it_is_told(
    founded: Founded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("LIENTHONG_START_CHECK_EVENTS", "1")
    async with serving(founded) as hub:
        await send(hub)
    async with asyncio.timeout(PATIENCE_S), serving(founded) as hub:
        assert hub.core.engine.unread > 0
