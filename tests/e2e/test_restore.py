"""A hub lost its database, or got an old one back: what others kept brings it back, all or none.

Each test works on a copy of one stopped hub: what it was, what it is, an export of its log, and
what agencies kept.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub.bootstrap.assembly import running_hub
from hub.bootstrap.core import open_core
from hub.bootstrap.export import export_hub
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.restore import Restored, open_lost_core, restore_hub
from hub.cli.log_source import reading as reading_log
from hub.cli.main import main
from hub.config import Settings
from hub.errors import LedgerMismatch, Procedure, VerificationFailed
from hub.ledger import restore as ledger_restore
from hub.proof.dsse import SignedStatement
from hub.proof.evidence import ReceiptFile
from hub.proof.receipt import Receipt, verify_receipt
from hub.v1 import exchange_pb2 as wire
from hub.v1 import exchange_service_pb2 as calls
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Y_TE,
    Founded,
    collection,
    digest_of,
    findings_of,
    found,
    raw_stub,
    reading,
    report,
    serving,
    submission,
)

CONTENT = b"%PDF-1.7 " + bytes(range(256)) * 10
DATABASES = ("database", "document_keys")


@dataclass(frozen=True)
class History:
    """A stopped hub, what it was some events earlier, and what others have of it."""

    founded: Founded
    earlier: Path
    old_export: Path
    export: Path
    kept: Path
    sent: calls.SubmitDocumentRequest
    receipt: wire.Receipt

    def copy(self, to: Path) -> DataFolder:
        shutil.copytree(self.founded.folder.root, to)
        return DataFolder(to)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return make_history(tmp_path_factory.mktemp("history"))


def make_history(place: Path) -> History:
    """A hub that has been in use, stopped twice and exported each time."""
    founded, kept = found(place), place / "kept"
    kept.mkdir()
    for certificate in founded.folder.clients.glob("*/[st]*.pem"):
        if "key" not in certificate.name:
            shutil.copy(certificate, kept / f"{certificate.parent.name}-{certificate.name}")
    asyncio.run(_fill(founded, 20, kept))
    export_hub(founded.folder, place / "old-export")
    shutil.copytree(founded.folder.root, place / "earlier")
    sent, receipt = asyncio.run(_fill(founded, 260, kept))
    export_hub(founded.folder, place / "export")
    return History(
        founded, place / "earlier", place / "old-export", place / "export", kept, sent, receipt
    )


async def _fill(
    founded: Founded, documents: int, kept: Path
) -> tuple[calls.SubmitDocumentRequest, wire.Receipt]:
    """Documents and what is said about one; every agency keeps its receipts."""
    async with serving(founded) as hub:
        sender, recipient = hub.speaker(TAI_CHINH), hub.speaker(QUAN_1)
        first = submission(sender, [QUAN_1, Y_TE], [CONTENT])
        digest = digest_of(first.envelope)
        async with raw_stub(sender.transport, hub.port) as stub:
            receipt = (await stub.SubmitDocument(first)).acceptance.receipt
            keep(kept, first.envelope, receipt)
            rest = [submission(sender, [QUAN_1]) for _ in range(documents)]
            answers = await asyncio.gather(*(stub.SubmitDocument(message) for message in rest))
            for message, answer in zip(rest, answers, strict=True):
                keep(kept, message.envelope, answer.acceptance.receipt)
        async with raw_stub(recipient.transport, hub.port) as stub:
            collect = collection(recipient, digest)
            keep(kept, collect.collect, (await stub.CollectDocument(collect)).acceptance.receipt)
            for code in ("01", "06"):
                status = report(recipient, digest, code)
                keep(kept, status.status, (await stub.ReportStatus(status)).acceptance.receipt)
    return first, receipt


def keep(kept: Path, statement: wire.SignedStatement, receipt: wire.Receipt) -> None:
    """The receipt file that an agency's software writes."""
    said = SignedStatement(
        statement.payload_type, statement.payload, statement.key_id, statement.signature
    )
    file = ReceiptFile(Receipt(receipt.leaf, receipt.proof), said)
    (kept / f"{said.digest.hex()}.json").write_bytes(file.format())


# --- Losing things ----------------------------------------------------------------------


def lose(folder: DataFolder, *names: str) -> None:
    for name in names:
        path: Path = getattr(folder, name)
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()


def put_back_yesterdays(folder: DataFolder, history: History, *names: str) -> None:
    lose(folder, *names)
    for name in names:
        shutil.copy(getattr(DataFolder(history.earlier), name), getattr(folder, name))


def restored(folder: DataFolder, export: Path | None, kept: Path | None) -> Restored:
    with open_lost_core(folder, Settings.load(folder.root)) as core:
        if export is None:
            return restore_hub(core, export=None, kept=kept)
        with reading_log(str(export)) as read:
            return restore_hub(core, export=read, kept=kept)


def refusal(folder: DataFolder, export: Path) -> LedgerMismatch:
    with pytest.raises(LedgerMismatch) as refused:
        restored(folder, export, None)
    return refused.value


def rows(folder: DataFolder, statement: str) -> list[tuple[Any, ...]]:
    with closing(reading(folder.database)) as database:
        return database.execute(statement).fetchall()


EVERYTHING = (
    "SELECT * FROM events ORDER BY position",
    "SELECT * FROM head",
    "SELECT * FROM tiles ORDER BY level, number",
    "SELECT * FROM inbox_heads ORDER BY agency",
    "SELECT * FROM outbox_heads ORDER BY agency",
    "SELECT * FROM requests WHERE caller NOT LIKE 'operator:%' ORDER BY position",
    "SELECT request_id, caller, position, exchange_id FROM requests ORDER BY position, request_id",
    "SELECT * FROM view_documents ORDER BY position",
    "SELECT * FROM view_deliveries ORDER BY exchange_id, recipient",
    "SELECT * FROM view_notices ORDER BY outbox, agency, seq",
    "SELECT * FROM view_state",
    "SELECT max(size), note FROM checkpoints",
)


def require_same(folder: DataFolder, history: History) -> None:
    """All that agencies can see, and all that is proven, is as it was."""
    for statement in EVERYTHING:
        assert rows(folder, statement) == rows(history.founded.folder, statement), statement


# --- Getting them back ------------------------------------------------------------------


def test_a_lost_database_is_filled_again_from_an_export_and_what_agencies_kept(history, tmp_path):
    folder = history.copy(tmp_path / "hub")
    lose(folder, "database")
    size = len(rows(history.founded.folder, "SELECT 1 FROM events"))

    done = restored(folder, history.export, history.kept)

    assert (done.events, done.size) == (size, size)
    require_same(folder, history)
    assert findings_of(folder.root) == []


def test_a_hub_that_was_restored_answers_as_before(history, tmp_path):
    folder = history.copy(tmp_path / "hub")
    put_back_yesterdays(folder, history, "database")

    restored(folder, history.export, history.kept)

    assert findings_of(folder.root) == []
    founded = Founded(folder)
    recipient = founded.speakers[QUAN_1]

    async def use() -> None:
        async with serving(founded) as hub:
            async with raw_stub(hub.speaker(TAI_CHINH).transport, hub.port) as stub:
                again = (await stub.SubmitDocument(history.sent)).acceptance.receipt
                assert again.leaf == history.receipt.leaf
                for each in (history.receipt, again):
                    verify_receipt(Receipt(each.leaf, each.proof), founded.trust)
                await stub.SubmitDocument(submission(hub.speaker(TAI_CHINH), [QUAN_1]))
            async with raw_stub(recipient.transport, hub.port) as stub:
                page = await stub.ListInbox(calls.ListInboxRequest(after=280, page_size=10))
                numbers = [item.inbox_seq for item in page.items]
                assert numbers == [281, 282, 283]
                subjects = [item.subject for item in page.items]
                assert all(subjects)

    asyncio.run(use())


def test_without_what_agencies_kept_the_words_are_missing_and_named(history, tmp_path):
    folder = history.copy(tmp_path / "hub")
    put_back_yesterdays(folder, history, "database")
    missing = len(rows(history.founded.folder, "SELECT 1 FROM payloads"))
    missing -= len(rows(DataFolder(history.earlier), "SELECT 1 FROM payloads"))

    restored(folder, history.export, None)

    said = [finding.what for finding in findings_of(folder.root)]
    assert len(said) == missing
    assert all("its payload is missing" in what for what in said)
    # It starts all the same; and the words may still come back later.
    asyncio.run(start(folder))
    assert restored(folder, None, history.kept).taken_back == missing
    assert findings_of(folder.root) == []
    require_same(folder, history)


def test_words_come_back_even_when_their_keys_are_lost_but_content_does_not(history, tmp_path):
    folder = history.copy(tmp_path / "hub")
    put_back_yesterdays(folder, history, *DATABASES)

    restored(folder, history.export, history.kept)

    said = [finding.what for finding in findings_of(folder.root)]
    assert len(said) == 1
    assert "the content of attachment 0 cannot be read" in said[0]
    require_same(folder, history)


def test_restoring_what_is_whole_changes_nothing(history, tmp_path):
    folder = history.copy(tmp_path / "hub")

    for _ in range(2):
        assert restored(folder, history.export, history.kept).events == 0

    require_same(folder, history)
    assert findings_of(folder.root) == []


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("step", ["commit", "keep_tiles", "publish"])
def test_a_restore_that_was_broken_off_goes_on(history, tmp_path, monkeypatch, step, after):
    folder = history.copy(tmp_path / "hub")
    put_back_yesterdays(folder, history, "database")
    with breaking(step, after), pytest.raises(OSError, match="on purpose"):
        restored(folder, history.export, history.kept)

    # Once every event is there, the start itself does what is left.
    if step == "keep_tiles" or (step, after) == ("commit", 0):
        with pytest.raises(LedgerMismatch, match="the signer has signed"):
            asyncio.run(start(folder))
    restored(folder, history.export, history.kept)

    require_same(folder, history)
    assert findings_of(folder.root) == []


@contextmanager
def breaking(step: str, after: int) -> Iterator[None]:
    """The second call of a write fails, before it (0) or after it (1) was done."""
    store = {"commit": "log", "keep_tiles": "store", "publish": "store"}[step]
    refill = ledger_restore.refill

    def refill_and_break(log: Any, tree: Any, *rest: Any, **options: Any) -> Any:
        target = {"log": log, "store": tree}[store]
        whole, count = getattr(target, step), 0

        def broken(*arguments: Any) -> None:
            nonlocal count
            count += 1
            last = count == (1 if step == "publish" else 2)
            if not last or after:
                whole(*arguments)
            if last:
                raise OSError("broken on purpose")

        setattr(target, step, broken)
        return refill(log, tree, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hub.bootstrap.restore.refill", refill_and_break)
        yield


# --- What is refused --------------------------------------------------------------------


def test_an_older_export_is_refused_and_names_what_it_lacks(history, tmp_path):
    folder = history.copy(tmp_path / "hub")
    put_back_yesterdays(folder, history, "database")
    before = rows(folder, "SELECT * FROM head")

    refused = refusal(folder, history.old_export)

    assert refused.procedure is Procedure.REOPEN
    assert refused.position == before[0][1]
    assert "take a newer export" in str(refused)
    assert rows(folder, "SELECT * FROM head") == before


def test_an_export_that_is_newer_than_the_signers_memory_is_refused(history, tmp_path):
    folder = history.copy(tmp_path / "hub")
    put_back_yesterdays(folder, history, "database", "last_signed")

    refused = refusal(folder, history.export)

    assert refused.procedure is Procedure.SIGNER_BEHIND
    assert refused.position == rows(folder, "SELECT next_position FROM head")[0][0]


def test_an_export_of_another_history_is_refused(history, tmp_path):
    """Signed by the same key, as only somebody with the signer could: it is kept, not used."""
    forked = Founded(DataFolder(tmp_path / "forked"))
    shutil.copytree(history.earlier, forked.folder.root)
    kept = tmp_path / "kept"
    kept.mkdir()
    asyncio.run(_fill(forked, 270, kept))
    export_hub(forked.folder, tmp_path / "fork")
    folder = history.copy(tmp_path / "hub")
    put_back_yesterdays(folder, history, "database")

    refused = refusal(folder, tmp_path / "fork")

    assert "not of the tree that was signed" in str(refused)
    assert refused.procedure is Procedure.CHANGED


def test_an_export_of_another_hub_is_refused(history, tmp_path):
    stranger = found(tmp_path / "stranger")
    export_hub(stranger.folder, tmp_path / "export")
    folder = history.copy(tmp_path / "hub")

    with pytest.raises(VerificationFailed, match="signed"):
        restored(folder, tmp_path / "export", None)


@pytest.mark.parametrize("path", ["tile/entries/000", "tile/entries/001.p/*", "tile/0/000"])
def test_an_export_that_was_changed_is_refused_before_any_of_it_is_used(history, tmp_path, path):
    folder = history.copy(tmp_path / "hub")
    put_back_yesterdays(folder, history, "database")
    shutil.copytree(history.export, tmp_path / "export")
    (changed,) = (tmp_path / "export").glob(path)
    data = bytearray(changed.read_bytes())
    data[-40] ^= 1
    changed.write_bytes(data)
    size = rows(folder, "SELECT next_position FROM head")[0][0]

    with pytest.raises(VerificationFailed):
        restored(folder, tmp_path / "export", None)

    # The bundle before the changed one is good, and may be there.
    assert rows(folder, "SELECT next_position FROM head")[0][0] in {size, 256}
    restored(folder, history.export, history.kept)
    require_same(folder, history)


def test_a_database_that_was_changed_is_not_filled_up(history, tmp_path):
    folder = history.copy(tmp_path / "hub")
    put_back_yesterdays(folder, history, "database")
    with closing(sqlite3.connect(folder.database)) as database:
        database.execute("DROP TRIGGER events_refuse_update")
        ask = "UPDATE events SET state = CAST(replace(state, ?, ?) AS BLOB) WHERE position = 5"
        assert database.execute(ask, ['"by":"', '"by":"x']).rowcount == 1
        database.commit()

    refused = refusal(folder, history.export)

    assert refused.position == 5
    # Procedure R3: put it away, and restore into a new one.
    lose(folder, "database")
    restored(folder, history.export, history.kept)
    require_same(folder, history)


def test_without_the_signers_memory_nothing_is_restored(history, tmp_path):
    folder = history.copy(tmp_path / "hub")
    lose(folder, "database")
    with closing(sqlite3.connect(folder.last_signed)) as memory:
        memory.execute("DELETE FROM last_signed")
        memory.commit()

    assert refusal(folder, history.export).procedure is Procedure.SIGNER_BEHIND


def test_a_folder_of_anything_gives_back_nothing(history, tmp_path):
    folder = history.copy(tmp_path / "hub")
    put_back_yesterdays(folder, history, "database")
    junk = tmp_path / "junk"
    junk.mkdir()
    for name in ("a.json", "b.pem", "c.der", "d.txt"):
        (junk / name).write_bytes(b"[" * 100_000)

    assert restored(folder, history.export, junk).taken_back == 0


async def start(folder: DataFolder) -> None:
    with open_core(folder, Settings.load(folder.root)) as core:
        async with running_hub(core):
            pass


# --- The command ------------------------------------------------------------------------


@pytest.fixture
def lienthong(capsys, monkeypatch) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setenv("LIENTHONG_LANG", "en")

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(list(map(str, arguments)))
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def test_procedure_r6_step_by_step(history, tmp_path, lienthong):
    folder = history.copy(tmp_path / "hub")
    put_back_yesterdays(folder, history, "database")
    # 1. What is wrong, and what to do.
    status, out, _ = lienthong("ledger", "fsck", folder.root)
    assert status == 1
    assert "fewer are stored" in out
    # 2. The export is whole, and of this log.
    export, trust = history.export, history.founded.folder.trusted_root
    assert lienthong("ledger", "verify-export", export, "--trust", trust)[0] == 0
    # 3. Restore.
    status, out, _ = lienthong(
        "ledger", "restore", folder.root, "--from-export", export, "--kept", history.kept, "--json"
    )
    assert status == 0
    assert json.loads(out)["findings"] == []
    # 4. It is whole.
    assert lienthong("ledger", "fsck", folder.root)[0] == 0
    asyncio.run(start(folder))


def test_the_command_says_which_procedure_comes_next(history, tmp_path, lienthong):
    folder = history.copy(tmp_path / "hub")
    put_back_yesterdays(folder, history, "database")

    status, _, err = lienthong(
        "ledger", "restore", folder.root, "--from-export", history.old_export
    )

    assert status == 1
    assert "Procedure R7 of docs/operations.md: reopen the log" in err


def test_lists_that_differ_are_made_anew(history, tmp_path, lienthong):
    """Procedure R3, step 5."""
    folder = history.copy(tmp_path / "hub")
    with closing(sqlite3.connect(folder.database)) as database:
        database.execute("UPDATE view_state SET position = position - 5")
        database.execute("UPDATE view_documents SET accepted_at_us = 1")
        database.commit()
    assert lienthong("ledger", "fsck", folder.root)[0] == 1

    assert lienthong("ledger", "restore", folder.root)[0] == 0

    require_same(folder, history)
