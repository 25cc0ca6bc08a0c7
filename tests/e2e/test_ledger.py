"""Checks and exports beside a hub that goes on working, and its log over gRPC."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import grpc
import pytest

from hub.client import DocumentDraft, HubClient
from hub.client.ledger import LedgerClient, LogWatch
from hub.client.memory import CheckpointMemory
from hub.errors import PositionUnknown
from hub.proof.checkpoint import open_checkpoint
from hub.proof.merkle import leaf_hash, verify_inclusion
from hub.v1 import ledger_service_pb2 as calls
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tests.support.forks import run_forked
from tests.support.hubs import QUAN_1, TAI_CHINH, Founded, Running, raw_stub, refusal_of, serving
from tests.support.patience import PATIENCE_S

LETTER = DocumentDraft(
    number="125",
    notation="UBND-VP",
    type_name="Công văn",
    subject="V/v liên thông văn bản",
    issued_on=date(2026, 11, 22),
)


async def ledger(*arguments: object) -> tuple[int, str, str]:
    """A command typed on the hub's machine, while the hub goes on."""
    typed = ("--lang", "en", "ledger", *arguments)
    ended = await asyncio.to_thread(run_forked, "hub.cli.main", *typed, timeout=PATIENCE_S)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


async def keep_sending(hub: Running, stop: asyncio.Event) -> int:
    sent = 0
    async with HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as agency:
        while not stop.is_set():
            await agency.submit(LETTER, [], [TAI_CHINH])
            sent += 1
    return sent


async def test_fsck_and_export_work_beside_a_hub_that_accepts_documents(
    hub: Running, tmp_path: Path
):
    root, stop = hub.founded.folder.root, asyncio.Event()
    traffic = asyncio.create_task(keep_sending(hub, stop))
    checked, exported = [], []
    for _ in range(2):
        status, out, err = await ledger("fsck", root, "--json")
        assert status == 0, out + err
        checked.append(json.loads(out)["events"])
        status, out, err = await ledger("export", root, tmp_path / "export", "--json")
        assert status == 0, err
        exported.append(json.loads(out)["size"])
    stop.set()
    assert await traffic > 0
    assert checked == sorted(checked)
    assert exported[0] < exported[1] <= hub.core.receipts.size

    trust = hub.founded.folder.trusted_root
    status, out, _ = await ledger("verify-export", tmp_path / "export", "--trust", trust)
    assert (status, out) == (0, f"Everything agrees: {exported[1]} events.\n")


async def test_reading_commands_leave_the_stores_as_they_are(founded: Founded, tmp_path: Path):
    async with serving(founded):
        pass
    root = founded.folder.root
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    assert (await ledger("fsck", root))[0] == 0
    assert (await ledger("export", root, tmp_path / "export"))[0] == 0

    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    # SQLite keeps an empty log and its index beside a database somebody reads.
    added = {path.name for path in after.keys() - before.keys()}
    assert added <= {f"{name}.db-{end}" for name in ("hub", "document-keys", "last-signed")
                     for end in ("wal", "shm")}  # fmt: skip
    assert {path: data for path, data in before.items() if after.get(path) != data} == {}


async def test_fsck_beside_a_hub_finds_what_was_changed(hub: Running):
    path = hub.founded.folder.database
    with closing(sqlite3.connect(path)) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(
            "UPDATE events SET state = CAST(replace(CAST(state AS TEXT), 'H29', 'H30') AS BLOB) "
            "WHERE position = 5"
        )
        connection.commit()
    status, out, _ = await ledger("fsck", hub.founded.folder.root, "--json")
    assert status == 1
    assert json.loads(out)["findings"][0]["position"] == 5
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "UPDATE events SET state = CAST(replace(CAST(state AS TEXT), 'H30', 'H29') AS BLOB) "
            "WHERE position = 5"
        )
        connection.commit()


# --- Over gRPC -----------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["agency", "operator"])
async def test_anyone_enrolled_can_hold_the_log_to_its_word(hub: Running, who: str):
    founded = hub.founded
    profile = {
        "agency": hub.speaker(QUAN_1).profile(hub.port),
        "operator": founded.operator_profile(hub.port),
    }[who]
    await keep_sending(hub, stop_after(3))
    async with LedgerClient.open(profile) as client:
        newest = founded.trust.open_checkpoint(await client.checkpoint()).checkpoint
        notes = [note async for note in client.checkpoints()]
        assert notes == [note for _, note in hub.core.store.checkpoints()]
        key, origin = hub.core.signer.verifier_key, newest.origin
        sizes = [open_checkpoint(n, log_keys=[key], origin=origin).size for n in notes]
        assert sizes == sorted(set(sizes))
        assert sizes[-1] == newest.size
        assert [n async for n in client.checkpoints(after=sizes[1])] == notes[2:]

        for position in range(newest.size):
            proof = await client.inclusion(position, newest.size)
            (entry,) = hub.core.log.entries(position, 1)
            verify_inclusion(
                leaf=leaf_hash(entry.state),
                index=position,
                size=newest.size,
                proof=proof,
                root=newest.root,
            )
        hashes = await client.tile(0, 0)
        entries = hub.core.log.entries(0, newest.size)
        assert hashes == b"".join(leaf_hash(entry.state) for entry in entries)


def stop_after(turns: int) -> Any:
    class Stop:
        left = turns

        def is_set(self) -> bool:
            self.left -= 1
            return self.left < 0

    return Stop()


async def test_what_lies_beyond_the_log_is_unknown(hub: Running):
    size = hub.core.receipts.size
    async with LedgerClient.open(hub.founded.operator_profile(hub.port)) as client:
        for position, tree in ((size, size), (0, size + 1), (5, 5), (0, 0), (2**64 - 1, 2**64 - 1)):
            with pytest.raises(PositionUnknown):
                await client.inclusion(position, tree)
        for level, number in ((0, 1), (1, 0), (0, 2**64 - 1), (2**32 - 1, 0), (7, 7)):
            with pytest.raises(PositionUnknown):
                await client.tile(level, number)
        assert [note async for note in client.checkpoints(after=size)] == []
        assert [note async for note in client.checkpoints(after=2**64 - 1)] == []


async def test_checkpoints_come_in_pages(hub: Running):
    await keep_sending(hub, stop_after(3))
    async with raw_stub(hub.founded.operator, hub.port, LedgerServiceStub) as stub:
        first = await stub.ListCheckpoints(calls.ListCheckpointsRequest(page_size=2))
        assert (len(first.checkpoints), first.more) == (2, True)
        after = first.checkpoints[-1].size
        rest = await stub.ListCheckpoints(calls.ListCheckpointsRequest(after=after))
        assert rest.more is False
        sizes = [each.size for page in (first, rest) for each in page.checkpoints]
        assert sizes == [size for size, _ in hub.core.store.checkpoints()]
        refusal = await refusal_of(stub.ListCheckpoints(calls.ListCheckpointsRequest(page_size=-1)))
        assert (refusal.status, refusal.reason) == ("INVALID_ARGUMENT", "REQUEST_MALFORMED")


async def test_a_hub_is_watched_over_grpc(hub: Running, tmp_path: Path):
    trust = hub.founded.trust
    memory = CheckpointMemory(tmp_path)
    async with LedgerClient.open(hub.speaker(QUAN_1).profile(hub.port)) as client:
        watch = LogWatch(trust, trust.logs[0].origin, memory, client.consistency)
        before = await watch.see(await client.checkpoint())
        await keep_sending(hub, stop_after(2))
        after = await watch.see(await client.checkpoint())
    assert after.size > before.size
    largest = memory.largest(after.origin)
    assert largest is not None
    assert largest[0] == after


async def test_no_certificate_no_log(hub: Running):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{hub.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await LedgerServiceStub(channel).GetCheckpoint(calls.GetCheckpointRequest(), timeout=5)
