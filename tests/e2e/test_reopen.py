"""A log that cannot go on is reopened: by two operators, under another origin, nothing forged.

Each test works on a copy of one stopped hub. Procedure R7 of the operations guide is played
through by its commands.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from adapters.storage.tree import TreeStore
from hub.application.reopening import REOPENING
from hub.bootstrap import reopen as reopening
from hub.bootstrap.assembly import running_hub
from hub.bootstrap.core import open_core
from hub.bootstrap.export import export_hub
from hub.bootstrap.folder import DataFolder
from hub.cli.log_source import reading as reading_log
from hub.cli.main import main
from hub.client.client import HubClient
from hub.client.errors import AnotherLog, StateDamaged
from hub.config import Settings
from hub.errors import (
    AgencyMismatch,
    HubError,
    LedgerMismatch,
    NumberUnknown,
    SecondOperatorNeeded,
    SignatureInvalid,
    StatementMalformed,
    VerificationFailed,
)
from hub.proof.dsse import SignedStatement
from hub.proof.leaf import parse_leaf
from hub.proof.receipt import Receipt, parse_tlog_proof, verify_receipt
from hub.proof.reopening import parse_signed
from hub.proof.succession import read_trusted_root
from hub.proof.tiles import open_log
from hub.proof.trust import ConsistencyNeeded
from keys.last_signed import LastSigned
from tests.e2e.test_restore import (
    History,
    lose,
    make_history,
    put_back_yesterdays,
    rows,
)
from tests.support.hubs import (
    ORIGIN,
    QUAN_1,
    TAI_CHINH,
    Founded,
    findings_of,
    raw_stub,
    serving,
    submission,
)

NEW = "lienthong.test/log2"
OPERATORS = ("operator", "operator-2")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return make_history(tmp_path_factory.mktemp("history"))


# --- Going through the procedure --------------------------------------------------------


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Type = Callable[..., Said]


@pytest.fixture
def lienthong(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    monkeypatch.setenv("LIENTHONG_LANG", "en")

    def call(*arguments: object) -> Said:
        capsys.readouterr()
        status = main(["ledger", *map(str, arguments)])
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return call


@dataclass(frozen=True)
class Reopening:
    """Procedure R7 over one folder, step by step."""

    folder: DataFolder
    type_: Type

    @property
    def place(self) -> Path:
        return self.folder.root.parent

    def plan(self, *options: object, reason: str = "events-lost") -> Said:
        return self.type_(
            "plan-reopening", self.folder.root, "--origin", NEW, "--reason", reason,
            "--basis", "QĐ 45/QĐ-STTTT", "--out", self.place / "plan.json", *options, "--json",
        )  # fmt: skip

    def sign(self, file: str, operator: str, out: str, *, name: str | None = None) -> None:
        key = self.folder.clients / operator / "transport.key.pem"
        said = self.type_(
            "sign-reopening", self.place / file, "--operator", name or operator,
            "--key", key, "--out", self.place / out,
        )  # fmt: skip
        assert said.status == 0, said.err

    def sign_twice(self) -> None:
        self.sign("plan.json", OPERATORS[0], "order.json")
        self.sign("order.json", OPERATORS[1], "approval.json")

    def reopen(self) -> Said:
        return self.type_(
            "reopen", self.folder.root, "--order", self.place / "order.json",
            "--approval", self.place / "approval.json", "--json",
        )  # fmt: skip

    def all_of_it(self, *options: object, reason: str = "events-lost") -> dict[str, Any]:
        said = self.plan(*options, reason=reason)
        assert said.status == 0, said.err
        self.sign_twice()
        done = self.reopen()
        assert done.status == 0, done.err
        plan: dict[str, Any] = said.json
        return plan


@pytest.fixture
def hub(history: History, tmp_path: Path, lienthong: Type) -> Reopening:
    return Reopening(history.copy(tmp_path / "hub"), lienthong)


def size_of(folder: DataFolder) -> int:
    size: int = rows(folder, "SELECT next_position FROM head")[0][0]
    return size


def states(folder: DataFolder, below: int) -> list[Any]:
    return rows(folder, f"SELECT * FROM events WHERE position < {below} ORDER BY position")


def event_at(folder: DataFolder, position: int) -> Any:
    ((state,),) = rows(folder, f"SELECT state FROM events WHERE position = {position}")
    return parse_leaf(state)


async def start(folder: DataFolder) -> None:
    with open_core(folder, Settings.load(folder.root)) as core:
        async with running_hub(core):
            pass


# --- What becomes of the log ------------------------------------------------------------


def test_procedure_r7_step_by_step(history, hub):
    """Events are lost for good: the newest export is old, and nobody kept anything."""
    folder = hub.folder
    signed = size_of(folder)
    lose(folder, "database")

    plan = hub.all_of_it("--from-export", history.old_export, "--kept", certificates(history, hub))

    kept = plan["kept_size"]
    assert (plan["last_size"], plan["lost"]) == (signed, signed - kept)
    assert states(folder, kept) == states(history.founded.folder, kept)
    reopened = event_at(folder, kept)
    assert reopened.topic == "hub.Log.LogReopened"
    assert reopened.data["old_origin"] == ORIGIN
    assert (reopened.data["kept_size"], reopened.data["last_size"]) == (kept, signed)
    words = [event_at(folder, kept + n) for n in (1, 2)]
    assert [word.data["by"] for word in words] == list(OPERATORS)
    assert {word.data["action"] for word in words} == {REOPENING}
    topics = [event_at(folder, kept + n).topic.rpartition(".")[2] for n in (3, 4, 5)]
    assert topics == ["HubKeyRetired", "HubKeyAnnounced", "HubKeyActivated"]
    assert hub.type_("fsck", folder.root).status == 1
    missing = {finding.what.partition(": ")[2] for finding in findings_of(folder.root)}
    assert missing == {"its payload is missing"}
    asyncio.run(start(folder))


def certificates(history: History, hub: Reopening) -> Path:
    kept = hub.place / "certificates"
    kept.mkdir()
    for path in history.kept.glob("*.pem"):
        shutil.copy(path, kept)
    return kept


def test_what_agencies_kept_leaves_nothing_lost(history, hub):
    """Every receipt of the time that is lost turned up: whole stretches are proven again."""
    folder = hub.folder
    signed = size_of(folder)
    put_back_yesterdays(folder, history, "database")

    plan = hub.all_of_it("--kept", history.kept)

    assert (plan["kept_size"], plan["lost"]) == (signed, 0)
    assert states(folder, signed) == states(history.founded.folder, signed)
    assert findings_of(folder.root) == []
    asyncio.run(start(folder))


def test_a_stretch_with_a_gap_is_not_filled(history, hub, tmp_path):
    folder = hub.folder
    put_back_yesterdays(folder, history, "database")
    before = size_of(folder)
    kept = tmp_path / "some"
    shutil.copytree(history.kept, kept)
    first_after = min(
        (path for path in kept.glob("*.json") if position_in(path) >= before), key=position_in
    )
    first_after.unlink()

    plan = hub.all_of_it("--kept", kept)

    assert plan["kept_size"] == before
    assert plan["last_size"] > before


def position_in(path: Path) -> int:
    return parse_tlog_proof(json.loads(path.read_text())["proof"].encode()).index


@pytest.mark.parametrize("reason", ["log-key-lost", "log-key-compromised"])
def test_a_lost_or_stolen_key_costs_no_event(history, hub, reason):
    folder = hub.folder
    signed = size_of(folder)
    if reason == "log-key-lost":
        shutil.rmtree(folder.log_key.parent)

    plan = hub.all_of_it(reason=reason)

    assert (plan["kept_size"], plan["lost"]) == (signed, 0)
    ended = event_at(folder, signed + 3).topic.rpartition(".")[2]
    assert ended == ("HubKeyCompromised" if "compromised" in reason else "HubKeyRetired")
    assert findings_of(folder.root) == []
    asyncio.run(start(folder))


def test_a_log_is_reopened_twice(history, hub):
    hub.all_of_it()
    folder, first = hub.folder, NEW
    again = replace(hub, type_=lambda *words: hub.type_(*(each_new(word) for word in words)))

    def each_new(word: object) -> object:
        return "lienthong.test/log3" if word == first else word

    again.all_of_it()

    assert findings_of(folder.root) == []
    root = read_trusted_root(folder.trusted_root.read_bytes())
    assert [log.origin for log in root.logs] == [ORIGIN, NEW, "lienthong.test/log3"]
    assert [log.keys[0].closed is None for log in root.logs] == [False, False, True]


# --- Old receipts -----------------------------------------------------------------------


def test_an_old_receipt_is_shown_by_the_new_log(history, hub, tmp_path):
    hub.all_of_it()
    folder = hub.folder
    export_hub(folder, tmp_path / "export")
    trust = read_trusted_root(folder.trusted_root.read_bytes())
    old = Receipt(history.receipt.leaf, history.receipt.proof)
    proof = parse_tlog_proof(old.proof)

    # By itself it is not refuted, and not proven: the key that signed it has been closed.
    with pytest.raises(ConsistencyNeeded):
        verify_receipt(old, trust)
    # The new log has the same leaf at the same place, below the same root.
    with reading_log(str(tmp_path / "export")) as read:
        log = open_log(read, trust)
        assert log.checkpoint.origin == NEW
        assert log.entry(proof.index) == old.leaf
        assert log.root(closing_of(trust).size) == closing_of(trust).root


def test_an_auditor_verifies_an_old_receipt_with_the_new_log(history, hub, tmp_path, lienthong):
    hub.all_of_it()
    export_hub(hub.folder, tmp_path / "export")
    file = tmp_path / "old.json"
    shutil.copy(min(history.kept.glob("*.json"), key=position_in), file)
    trust = ("--trust", hub.folder.trusted_root)

    alone = main(["verify", str(file), *map(str, trust)])
    with_log = main(["verify", str(file), *map(str, trust), "--log", str(tmp_path / "export")])

    assert (alone, with_log) == (2, 0)


def closing_of(trust: Any) -> Any:
    return next(log for log in trust.logs if log.origin == ORIGIN).keys[0].closed


def test_a_receipt_of_the_last_tree_is_proven_by_the_closing(history, hub):
    lose(hub.folder, "database")
    hub.all_of_it("--from-export", history.old_export, "--kept", certificates(history, hub))
    trust = read_trusted_root(hub.folder.trusted_root.read_bytes())
    newest = max(history.kept.glob("*.json"), key=position_in)
    file = json.loads(newest.read_text())

    # Lost to the hub, not to the agency.
    verify_receipt(receipt_in(file), trust)


def receipt_in(file: Any) -> Receipt:
    return Receipt(base64.b64decode(file["leaf"]), file["proof"].encode())


def test_the_old_key_signs_nothing_more(history, hub):
    """A thief goes on signing: what is larger than the closing tree is refused."""
    stolen = hub.place / "stolen"
    shutil.copytree(hub.folder.root, stolen)
    hub.all_of_it(reason="log-key-compromised")
    trust = read_trusted_root(hub.folder.trusted_root.read_bytes())

    async def forge() -> Receipt:
        thief = Founded(DataFolder(stolen))
        async with serving(thief) as running:
            speaker = running.speaker(TAI_CHINH)
            async with raw_stub(speaker.transport, running.port) as stub:
                answer = await stub.SubmitDocument(submission(speaker, [QUAN_1]))
                receipt = answer.acceptance.receipt
                return Receipt(receipt.leaf, receipt.proof)

    with pytest.raises(VerificationFailed, match="was closed"):
        verify_receipt(asyncio.run(forge()), trust)


# --- What is refused --------------------------------------------------------------------


def refused(hub: Reopening, kind: type[Exception]) -> str:
    before = rows(hub.folder, "SELECT * FROM head")
    ordered, approved = (
        reopening_file(hub.place / name) for name in ("order.json", "approval.json")
    )
    settings = Settings.load(hub.folder.root)
    with pytest.raises(kind) as failure:
        reopening.reopen_hub(hub.folder, settings, ordered, approved)
    assert rows(hub.folder, "SELECT * FROM head") == before
    assert Settings.load(hub.folder.root).origin == ORIGIN
    asyncio.run(start(hub.folder))
    return str(failure.value)


def reopening_file(path: Path) -> SignedStatement:
    return parse_signed(path.read_bytes())


def test_one_operator_alone_reopens_nothing(hub):
    hub.plan()
    hub.sign("plan.json", "operator", "order.json")
    hub.sign("order.json", "operator", "approval.json")
    refused(hub, SecondOperatorNeeded)


def test_an_operator_cannot_sign_for_another(hub):
    hub.plan()
    hub.sign("plan.json", "operator", "order.json")
    hub.sign("order.json", "operator", "approval.json", name="operator-2")
    refused(hub, HubError)


def test_an_agency_is_no_operator(hub):
    hub.plan()
    hub.sign("plan.json", "operator", "order.json")
    hub.sign("order.json", "so-tai-chinh", "approval.json", name=TAI_CHINH)
    refused(hub, AgencyMismatch)


def test_an_approval_is_of_one_order(hub):
    hub.plan()
    hub.sign_twice()
    hub.sign("plan.json", "operator", "order.json")
    refused(hub, StatementMalformed)


@pytest.mark.parametrize("name", ["order.json", "approval.json"])
def test_a_changed_statement_is_refused(hub, name):
    hub.plan()
    hub.sign_twice()
    path = hub.place / name
    file = json.loads(path.read_text())
    signature = bytearray(base64.b64decode(file["signature"]))
    signature[10] ^= 1
    file["signature"] = base64.b64encode(signature).decode()
    path.write_text(json.dumps(file))
    refused(hub, (SignatureInvalid, VerificationFailed))


def test_an_order_for_a_tree_that_has_grown_since_is_refused(hub):
    hub.plan()
    hub.sign_twice()

    async def go_on() -> None:
        async with serving(Founded(hub.folder)) as running:
            speaker = running.speaker(TAI_CHINH)
            async with raw_stub(speaker.transport, running.port) as stub:
                await stub.SubmitDocument(submission(speaker, [QUAN_1]))

    asyncio.run(go_on())
    assert "plan and sign it anew" in refused(hub, LedgerMismatch)


def test_two_signed_histories_are_for_an_auditor(history, hub, tmp_path):
    forked = Founded(DataFolder(tmp_path / "forked"))
    shutil.copytree(history.earlier, forked.folder.root)

    async def another_history() -> None:
        async with serving(forked) as running:
            speaker = running.speaker(TAI_CHINH)
            async with raw_stub(speaker.transport, running.port) as stub:
                for _ in range(3):
                    await stub.SubmitDocument(submission(speaker, [QUAN_1]))

    asyncio.run(another_history())
    export_hub(forked.folder, tmp_path / "fork")

    said = hub.plan("--from-export", tmp_path / "fork")

    assert said.status == 1
    assert "[LEDGER_MISMATCH]" in said.err


def test_an_origin_is_never_used_again(hub):
    said = hub.type_(
        "plan-reopening", hub.folder.root, "--origin", ORIGIN, "--reason", "x", "--basis", "y",
        "--out", hub.place / "plan.json",
    )  # fmt: skip
    assert said.status == 1
    assert "[CONFIG_INVALID]" in said.err


def test_a_plan_changes_nothing_that_is_signed(hub):
    before = rows(hub.folder, "SELECT * FROM checkpoints")
    first = hub.plan().json

    assert hub.plan().json == first
    assert rows(hub.folder, "SELECT * FROM checkpoints") == before
    asyncio.run(start(hub.folder))


def test_a_changed_checkpoint_of_the_former_log_is_named(hub):
    hub.all_of_it()
    with closing(sqlite3.connect(hub.folder.database)) as database:
        database.execute("DROP TRIGGER former_checkpoints_refuse_update")
        put = "UPDATE former_checkpoints SET note = CAST(replace(note, ?, ?) AS BLOB)"
        assert database.execute(put, [f"{ORIGIN}\n", f"{ORIGIN}x\n"]).rowcount > 1
        database.commit()

    said = [finding.what for finding in findings_of(hub.folder.root)]

    assert said
    assert all(f"of the former log {ORIGIN} is not of this tree" in what for what in said)


def test_the_database_keeps_former_and_new_checkpoints(hub):
    hub.all_of_it()
    with closing(sqlite3.connect(hub.folder.database)) as database:
        for statement in (
            "DELETE FROM former_checkpoints",
            "UPDATE former_checkpoints SET note = x'00'",
            "DELETE FROM checkpoints",
            "DELETE FROM published",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                database.execute(statement)


# --- Broken off anywhere ----------------------------------------------------------------

STEPS: Sequence[tuple[Any, str]] = [
    (LastSigned, "create"),
    (LastSigned, "advance"),
    (reopening, "_exchange_signers"),
    (reopening, "_change_origin"),
    (TreeStore, "close"),
    (TreeStore, "publish"),
    (reopening, "_is_recorded"),
    (reopening, "_publish_trust"),
]


@pytest.mark.parametrize("kept", [False, True], ids=["lost", "kept"])
@pytest.mark.parametrize(("where", "step"), STEPS, ids=[step for _, step in STEPS])
def test_a_reopening_that_was_broken_off_goes_on(history, hub, where, step, kept):
    hub.plan()
    hub.sign_twice()
    with breaking(where, step, kept=kept), pytest.raises(OSError, match="on purpose"):
        hub.reopen()

    done = hub.reopen()

    assert done.status == 0, done.err
    assert findings_of(hub.folder.root) == []
    topics = [topic for (topic,) in rows(hub.folder, "SELECT topic FROM events")]
    assert topics.count("hub.Log.LogReopened") == 1
    assert Settings.load(hub.folder.root).origin == NEW
    root = read_trusted_root(hub.folder.trusted_root.read_bytes())
    assert [log.origin for log in root.logs] == [ORIGIN, NEW]
    asyncio.run(start(hub.folder))


@pytest.mark.parametrize("step", ["_change_origin", "close"])
def test_between_the_steps_no_hub_starts(hub, step):
    hub.plan()
    hub.sign_twice()
    where = reopening if step.startswith("_") else TreeStore
    with breaking(where, step, kept=False), pytest.raises(OSError, match="on purpose"):
        hub.reopen()

    with pytest.raises(LedgerMismatch):
        asyncio.run(start(hub.folder))


@contextmanager
def breaking(where: Any, step: str, *, kept: bool) -> Iterator[None]:
    whole = getattr(where, step)

    def broken(*arguments: Any, **options: Any) -> Any:
        if kept:
            whole(*arguments, **options)
        raise OSError("broken on purpose")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, step, broken)
        yield


# --- The agencies -----------------------------------------------------------------------


async def test_an_agency_that_was_told_nothing_stops_and_one_that_was_goes_on(history, hub):
    folder = hub.folder
    founded = Founded(folder)
    put_back_yesterdays(folder, history, "database")
    await asyncio.to_thread(hub.all_of_it, "--kept", certificates(history, hub))
    async with serving(founded, check=False) as running:
        old = running.speaker(QUAN_1).profile(running.port)
        async with HubClient.open(old) as client:
            with pytest.raises(AnotherLog, match=NEW):
                await client.checkpoint()
        told = replace(old, hub=NEW, trusted_root=folder.trusted_root)
        with pytest.raises(StateDamaged):
            async with HubClient.open(told):
                pass
        fresh = replace(told, state=hub.place / "state")
        async with HubClient.open(fresh) as client:
            await client.checkpoint()
            items = [item async for item in client.inbox(0)]
            with pytest.raises(NumberUnknown):
                assert [item async for item in client.inbox(10_000)] == []
            assert [item.inbox_seq for item in items] == list(range(1, len(items) + 1))


async def test_a_statement_for_the_old_log_is_refused(history, hub):
    await asyncio.to_thread(hub.all_of_it)
    founded = Founded(hub.folder)
    async with serving(founded) as running:
        speaker = running.speaker(TAI_CHINH)
        async with raw_stub(speaker.transport, running.port) as stub:
            with pytest.raises(Exception, match="made for another hub"):
                await stub.SubmitDocument(submission(speaker, [QUAN_1]))
            fresh = replace(speaker, hub=NEW)
            answer = await stub.SubmitDocument(submission(fresh, [QUAN_1]))
            proof = parse_tlog_proof(answer.acceptance.receipt.proof)
            assert proof.checkpoint.startswith(NEW.encode())
