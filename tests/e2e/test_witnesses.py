"""A hub and witnesses that other people run: cosigned while it grows, exposed when it does not."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import structlog

from adapters.witness.client import HttpWitness
from hub.application.witnessing import WitnessState
from hub.bootstrap import witnesses as job
from hub.bootstrap.core import open_core
from hub.bootstrap.folder import DataFolder
from hub.client import HubClient
from hub.client.errors import ForkDetected
from hub.config import Settings
from hub.errors import VerificationFailed
from hub.proof.checkpoint import Checkpoint
from hub.proof.evidence import ReceiptFile, parse_receipt_file
from hub.proof.leaf import parse_leaf
from hub.proof.merkle import leaf_hash, root_of, verify_consistency
from hub.proof.note import Note, NoteSignature, VerifierKey, format_note
from hub.proof.policy import parse_policy
from hub.proof.receipt import parse_tlog_proof, verify_receipt
from hub.v1 import ledger_service_pb2 as ledger_calls
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from keys.file import load_ed25519_key
from tests.e2e.test_exchange import LETTER
from tests.support.hubs import (
    ORIGIN,
    QUAN_1,
    ROOT,
    TAI_CHINH,
    Founded,
    Running,
    check_hub_is_whole,
    raw_stub,
    serving,
    submission,
    until,
)
from tests.support.witnesses import Served, names_on, served_witness

W1, W2 = "witness.example/w1", "witness.example/w2"


def log_key(founded: Founded) -> VerifierKey:
    (log,) = founded.trust.logs
    return log.keys[0].key


def configure(founded: Founded, *settings: dict[str, str]) -> None:
    """Name these witnesses in the hub's settings, and no others."""
    path = founded.folder.settings
    kept = path.read_text().partition("witness_every_s")[0]
    tables = "".join(f'[[witnesses]]\nvkey = "{s["vkey"]}"\nurl = "{s["url"]}"\n' for s in settings)
    path.write_text(f"{kept}witness_every_s = 0.05\n{tables}")


@asynccontextmanager
async def witnessed(founded: Founded, folder: Path, *names: str) -> AsyncIterator[list[Served]]:
    """Witnesses of these names that watch the hub's log, configured in it."""
    async with AsyncExitStack() as stack:
        served = [
            await stack.enter_async_context(
                served_witness(folder / name.replace("/", "-"), name, [log_key(founded)])
            )
            for name in names
        ]
        configure(founded, *(witness.setting for witness in served))
        yield served


def policy_of(served: Iterable[Served], quorum: str = "all") -> str:
    named = {f"W{number}": witness for number, witness in enumerate(served)}
    lines = [f"witness {name} {witness.key.format()}\n" for name, witness in named.items()]
    return f"{''.join(lines)}group q {quorum} {' '.join(named)}\nquorum q\n"


async def cosigned_by_all(hub: Running) -> None:
    await until(
        lambda: all(s.behind == 0 and s.cosigned_size for s in hub.process.witnesses.status())
    )


async def send(hub: Running, count: int = 1) -> None:
    sender = hub.speaker(TAI_CHINH)
    async with raw_stub(sender.transport, hub.port) as stub:
        await asyncio.gather(
            *(stub.SubmitDocument(submission(sender, [QUAN_1])) for _ in range(count))
        )


def verify(trust: Path, policy: str, receipt: bytes, folder: Path) -> tuple[int, str]:
    """The auditor's tool in a process of its own, with no hub anywhere."""
    (folder / "policy").write_text(policy)
    (folder / "x.receipt.json").write_bytes(receipt)
    options = ["--trust", str(trust), "--policy", str(folder / "policy")]
    ended = subprocess.run(
        [sys.executable, "-m", "hub.proof", *options, str(folder / "x.receipt.json")],
        cwd=ROOT, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout


# --- Cosigned, and verified with the hub switched off ------------------------------------


async def test_a_receipt_cosigned_by_two_of_two_is_proven_offline(founded, tmp_path):
    async with witnessed(founded, tmp_path, W1, W2) as served, serving(founded) as hub:
        profile = hub.speaker(TAI_CHINH).profile(hub.port)
        async with HubClient.open(profile) as client:
            sent = await client.submit(LETTER, [], [QUAN_1])
            await cosigned_by_all(hub)
            plain = await client.statement(sent.position)
            cosigned = await client.statement(sent.position, cosigned=True)
        async with raw_stub(hub.speaker(TAI_CHINH).transport, hub.port, LedgerServiceStub) as s:
            request = ledger_calls.GetReceiptRequest(position=sent.position, cosigned=True)
            one = (await s.GetReceipt(request)).receipt
            request.cosigned = False
            first = (await s.GetReceipt(request)).receipt
    # The answer of then is the answer for ever.
    assert plain.receipt == sent.receipt
    assert (first.leaf, first.proof) == (sent.receipt.leaf, sent.receipt.proof)
    assert plain.cosigners == ()
    assert set(cosigned.cosigners) == {W1, W2}
    assert names_on(parse_tlog_proof(one.proof).checkpoint)[0] == ORIGIN

    trust, both = founded.folder.trusted_root, policy_of(served)
    fact = ReceiptFile(cosigned.receipt).format()
    status, said = verify(trust, both, fact, tmp_path)
    assert status == 0
    assert f"cosigned by {W1}, {W2}; the policy asks for no more" in said
    # With the statement, its key and its enrolment: only what needs a CA or the log is left open.
    status, said = verify(trust, both, cosigned.evidence(), tmp_path)
    assert (status, said.count("PROVEN"), said.count("NOT CHECKED")) == (2, 6, 3)
    # The first receipt is as good as ever, but nobody has cosigned it.
    status, said = verify(trust, both, plain.evidence(), tmp_path)
    assert status == 1
    assert "cosigned by none of them" in said
    # And what the receipt brings along never counts: another policy, other witnesses.
    others = [replace(w, key=VerifierKey(w.key.name, w.key.key_type, bytes(31) + b"x"))
              for w in served]  # fmt: skip
    assert verify(trust, policy_of(others), fact, tmp_path)[0] == 1
    assert verify(trust, policy_of([*served, others[0]], "2"), fact, tmp_path)[0] == 0
    assert verify(trust, policy_of([*served, others[0]]), fact, tmp_path)[0] == 1


async def test_the_set_of_witnesses_is_recorded_when_it_changes_and_only_then(founded, tmp_path):
    async def set_in_log() -> list[list[str]]:
        async with serving(founded) as hub:
            await until(lambda: hub.process.witnesses.recorded)
            entries = hub.core.log.entries(0, 1000)
        changed = [e for e in entries if e.topic == "hub.Log.WitnessSetChanged"]
        return [parse_leaf(entry.state).data["witnesses"] for entry in changed]

    assert await set_in_log() == []
    async with witnessed(founded, tmp_path, W1, W2) as served:
        both = sorted(witness.key.format() for witness in served)
        assert await set_in_log() == [both]
        assert await set_in_log() == [both]
        configure(founded, served[0].setting)
        assert await set_in_log() == [both, [served[0].key.format()]]
    configure(founded)
    assert await set_in_log() == [both, [served[0].key.format()], []]


# --- A witness that is a black hole ------------------------------------------------------


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """Takes every connection and never says a word; its port."""
    taken: list[asyncio.StreamWriter] = []

    async def swallow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in taken:
            writer.transport.abort()


async def test_traffic_goes_on_beside_a_black_hole_and_the_backlog_drains(
    founded, tmp_path, monkeypatch
):
    monkeypatch.setattr(job, "HttpWitness", partial(HttpWitness, deadline_s=0.2))
    folder = tmp_path / "hole"
    async with served_witness(folder, W2, [log_key(founded)]) as later:
        vkey = later.key.format()
    async with AsyncExitStack() as stack:
        (there,) = await stack.enter_async_context(witnessed(founded, tmp_path, W1))
        hole = AsyncExitStack()
        port = await hole.enter_async_context(black_hole())
        configure(founded, there.setting, {"vkey": vkey, "url": f"http://127.0.0.1:{port}"})
        hub = await stack.enter_async_context(serving(founded))
        status = hub.process.witnesses.status
        for _ in range(5):
            await send(hub, 4)
        await until(lambda: status()[1].state is WitnessState.AWAY)
        await until(lambda: status()[0].behind == 0)
        away = status()[1]
        assert away.behind == hub.core.receipts.size
        assert (away.cosigned_size, away.is_alarming) == (0, False)
        assert await hub.process.operating.look()
        await send(hub, 4)

        await hole.aclose()
        listen = f"127.0.0.1:{port}"
        await stack.enter_async_context(
            served_witness(folder, W2, [log_key(founded)], listen=listen)
        )

        await cosigned_by_all(hub)
        newest = hub.core.receipts.size
        await until(lambda: len(hub.core.cosignatures.of(newest)) == 2)


# --- An attacker with everything but the world outside -----------------------------------


def rewrite_and_sign_again(folder: DataFolder) -> None:
    """Rewrite event 5 with database, log key and `last_signed` in hand, and sign everything anew.

    Every checkpoint there was is made again over the new history; nothing on this machine
    contradicts it.
    """
    key = load_ed25519_key(folder.log_key)
    with closing(sqlite3.connect(folder.database)) as database:
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in triggers.fetchall():
            database.execute(f"DROP TRIGGER {name}")
        ask = "SELECT state FROM events WHERE position = 5"
        (state,) = database.execute(ask).fetchone()
        # An enrolment: the attacker lets a key live ten years longer than it was given.
        event = json.loads(state)
        assert event["topic"] == "hub.Agency.CertificateEnrolled"
        until_then = event["data"]["not_after"]
        longer = f"{int(until_then[:4]) + 10}{until_then[4:]}"
        forged = state.replace(until_then.encode(), longer.encode())
        database.execute("UPDATE events SET state = ? WHERE position = 5", [forged])
        rows = database.execute("SELECT state FROM events ORDER BY position")
        hashes = [leaf_hash(row[0]) for row in rows]
        sizes = [row[0] for row in database.execute("SELECT size FROM checkpoints")]
        for table in ("cosignatures", "checkpoints", "published", "tiles"):
            database.execute(f"DELETE FROM {table}")
        database.commit()
    with closing(sqlite3.connect(folder.last_signed)) as memory:
        memory.execute("UPDATE last_signed SET size = 1, root = ?", [hashes[0]])
        memory.commit()
    with open_core(folder, Settings.load(folder.root)) as core:
        core.engine.load()
        log = core.signer.verifier_key
    with closing(sqlite3.connect(folder.database)) as database:
        for size in sizes:
            body = Checkpoint(ORIGIN, size, root_of(hashes[:size])).body
            line = NoteSignature(log.name, log.key_id, key.sign(body))
            put = "INSERT OR IGNORE INTO checkpoints VALUES (?, ?)"
            database.execute(put, [size, format_note(Note(body, (line,)))])
            database.execute("INSERT OR IGNORE INTO published VALUES (?)", [size])
        database.commit()


@pytest.fixture
async def rewritten(founded, tmp_path):
    """A hub whose history was rewritten, what a party and a witness kept from before."""
    async with witnessed(founded, tmp_path, W1) as served, serving(founded) as hub:
        speaker = hub.speaker(TAI_CHINH)
        async with HubClient.open(speaker.profile(hub.port)) as client:
            sent = await client.submit(LETTER, [], [QUAN_1])
            await send(hub, 5)
            await cosigned_by_all(hub)
            cosigned = await client.statement(sent.position, cosigned=True)
    rewrite_and_sign_again(founded.folder)
    # On the machine itself, nothing is left to be found.
    check_hub_is_whole(founded.folder.root)
    return founded, sent, cosigned, served[0], tmp_path


async def test_one_kept_receipt_exposes_a_history_that_was_rewritten(rewritten):
    founded, sent, _cosigned, _witness, _folder = rewritten
    configure(founded)
    kept = parse_receipt_file(sent.receipt_file.read_bytes()).receipt
    async with serving(founded) as hub:
        speaker = hub.speaker(TAI_CHINH)
        # The client that was there meets a fork the moment it asks for anything.
        async with HubClient.open(speaker.profile(hub.port)) as client:
            with pytest.raises(ForkDetected):
                await client.checkpoint()
        # A receipt in a drawer does as well: the log has signed two trees of one size.
        async with raw_stub(speaker.transport, hub.port, LedgerServiceStub) as stub:
            request = ledger_calls.GetReceiptRequest(position=sent.position)
            shown = (await stub.GetReceipt(request)).receipt
    ours = verify_receipt(kept, founded.trust)
    theirs = verify_receipt(replace(kept, proof=shown.proof, leaf=shown.leaf), founded.trust)
    assert (ours.position, ours.event) == (theirs.position, theirs.event)
    assert ours.checkpoint.size == theirs.checkpoint.size
    assert ours.checkpoint.root != theirs.checkpoint.root


@pytest.mark.parametrize("later", [0, 3])
async def test_one_witness_exposes_a_history_that_was_rewritten(rewritten, later: int):
    founded, _sent, cosigned, witness, folder = rewritten
    policy = parse_policy(policy_of([witness]).encode())
    seen = verify_receipt(cosigned.receipt, replace(founded.trust, policy=policy)).checkpoint
    if later:  # The rewritten log grows before the witness is asked.
        configure(founded)
        async with serving(founded) as hub:
            await send(hub, later)
    with structlog.testing.capture_logs() as logged:
        async with witnessed(founded, folder, W1) as (served,), serving(founded) as hub:
            status = hub.process.witnesses.status
            await until(lambda: status()[0].failures)
            assert (status()[0].state, status()[0].is_alarming) == (WitnessState.FORKED, True)
            note = hub.core.receipts.checkpoint()
            shown = founded.trust.open_checkpoint(note).checkpoint
            proof = hub.core.receipts.consistency(seen.size, shown.size)
            remembered = served.state.last(ORIGIN, [log_key(founded)])
    # The witness refuses the rewritten log, and the hub says so as loudly as it can.
    assert {answer.status for answer in served.answers} == {409, 422 if later else 409}
    assert any(answer.alarm for answer in served.answers)
    assert "critical" in {line["log_level"] for line in logged}
    # Nothing of the new history is cosigned ...
    with pytest.raises(VerificationFailed, match="quorum"):
        replace(founded.trust, policy=policy).open_checkpoint(note)
    # ... and what was cosigned before contradicts it: in a receipt, and at the witness.
    assert remembered.size >= seen.size
    with pytest.raises(VerificationFailed):
        verify_consistency(
            old_size=seen.size, old_root=seen.root,
            new_size=shown.size, new_root=shown.root, proof=proof,
        )  # fmt: skip
    contradictions = list((folder / W1.replace("/", "-")).glob("*.contradiction"))
    assert len(contradictions) == (0 if later else 1)
