"""Somebody with the hub's disk in hand changes one thing: it is found and named.

Each test works on a copy of one stopped hub with some three hundred events. What the tree
covers keeps the hub from starting; the rest is found by `fsck`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.bootstrap.assembly import running_hub
from hub.bootstrap.core import open_core
from hub.bootstrap.folder import DataFolder, StoreMissing
from hub.config import ConfigInvalid, Settings
from hub.errors import LedgerMismatch
from hub.proof.merkle import leaf_hash
from hub.proof.signatures import Algorithm
from hub.proof.tree import GrowingTree
from keys.custody import ContentCustody
from keys.file import KeyFileError, create_private_key
from keys.last_signed import LastSigned, Signed, SignerStoreError
from tests.e2e.test_bad_registry_input import der
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
UNREADABLE = (
    "the content of attachment 0 cannot be read: attachment 0 can no longer be read from the hub's "
    "disk:"
)


@dataclass(frozen=True)
class History:
    """A stopped hub, what it was some events earlier, and where its documents stand."""

    founded: Founded
    earlier: Path
    earlier_size: int
    size: int
    with_content: int
    enrolment: int

    def copy(self, to: Path) -> Path:
        shutil.copytree(self.founded.folder.root, to)
        return to


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    place = tmp_path_factory.mktemp("history")
    founded = found(place)
    asyncio.run(_fill(founded, 20))
    earlier = place / "earlier"
    shutil.copytree(founded.folder.root, earlier)
    asyncio.run(_fill(founded, 250))
    return History(
        founded=founded,
        earlier=earlier,
        earlier_size=_count(earlier),
        size=_count(founded.folder.root),
        with_content=_position_of(founded, "hub.Exchange.DocumentSubmitted"),
        enrolment=_position_of(founded, "hub.Agency.CertificateEnrolled"),
    )


async def _fill(founded: Founded, documents: int) -> None:
    async with serving(founded) as hub:
        sender, recipient = hub.speaker(TAI_CHINH), hub.speaker(QUAN_1)
        first = submission(sender, [QUAN_1, Y_TE], [CONTENT, CONTENT])
        digest = digest_of(first.envelope)
        async with raw_stub(sender.transport, hub.port) as stub:
            await stub.SubmitDocument(first)
            rest = [submission(sender, [QUAN_1]) for _ in range(documents)]
            await asyncio.gather(*(stub.SubmitDocument(message) for message in rest))
        async with raw_stub(recipient.transport, hub.port) as stub:
            await stub.CollectDocument(collection(recipient, digest))
            await stub.ReportStatus(report(recipient, digest, "01"))
            await stub.ReportStatus(report(recipient, digest, "06"))


def _count(root: Path) -> int:
    with closing(reading(DataFolder(root).database)) as database:
        count: int = database.execute("SELECT count(*) FROM events").fetchone()[0]
    return count


def _position_of(founded: Founded, topic: str) -> int:
    """The first event with this topic."""
    with closing(reading(founded.folder.database)) as database:
        ask = "SELECT min(position) FROM events WHERE topic = ?"
        position: int = database.execute(ask, [topic]).fetchone()[0]
    return position


# --- Changing one thing -----------------------------------------------------------------


@contextmanager
def changing(root: Path, *, triggers: bool = False) -> Iterator[sqlite3.Connection]:
    """The hub's database in the hands of somebody who drops its triggers first."""
    with closing(sqlite3.connect(DataFolder(root).database)) as database:
        if not triggers:
            names = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in names.fetchall():
                database.execute(f"DROP TRIGGER {name}")
        yield database
        database.commit()


def sql(statement: str, *parameters: Any) -> Callable[[Path, History], None]:
    """One statement, which must change something. Parameters may be taken from the history."""

    def change(root: Path, history: History) -> None:
        values = [value(history) if callable(value) else value for value in parameters]
        with changing(root) as database:
            assert database.execute(statement, values).rowcount > 0

    return change


def state_of(database: sqlite3.Connection, position: int) -> bytes:
    ask = "SELECT state FROM events WHERE position = ?"
    state: bytes = database.execute(ask, [position]).fetchone()[0]
    return state


def event_rewritten(root: Path, history: History) -> None:
    """Another sender, in an event that is otherwise perfectly well formed."""
    with changing(root) as database:
        state = state_of(database, history.with_content)
        other = state.replace(TAI_CHINH.encode(), b"H29.9.9")
        assert other != state
        _set_state(database, history.with_content, other)


def event_garbled(root: Path, history: History) -> None:
    with changing(root) as database:
        _set_state(database, 100, b"\x00" + state_of(database, 100)[1:])


def events_swapped(root: Path, history: History) -> None:
    with changing(root) as database:
        one, other = state_of(database, 50), state_of(database, 60)
        _set_state(database, 50, other)
        _set_state(database, 60, one)


def rows_swapped(root: Path, history: History) -> None:
    """Whole rows this time, so that every column goes with its state."""
    with changing(root) as database:
        for before, after in ((50, -1), (60, 50), (-1, 60)):
            move = "UPDATE events SET position = ? WHERE position = ?"
            database.execute(move, [after, before])


def _set_state(database: sqlite3.Connection, position: int, state: bytes) -> None:
    database.execute("UPDATE events SET state = ? WHERE position = ?", [state, position])


def last_event_deleted(root: Path, history: History) -> None:
    sql("DELETE FROM events WHERE position = ?", history.size - 1)(root, history)


def end_of_the_log_deleted(root: Path, history: History) -> None:
    """The last event and everything that speaks of it, down to the checkpoint."""
    last = history.size - 1
    with changing(root) as database:
        database.execute("DELETE FROM events WHERE position = ?", [last])
        database.execute("DELETE FROM requests WHERE position = ?", [last])
        database.execute("DELETE FROM checkpoints WHERE size = ?", [history.size])
        database.execute("UPDATE head SET next_position = ?", [last])
        database.execute("UPDATE view_state SET position = ?", [last])


def byte_changed(table: str, column: str, where: str, at: int) -> Callable[[Path, History], None]:
    """One byte of a stored value, turned around."""

    def change(root: Path, history: History) -> None:
        with changing(root) as database:
            ask = f"SELECT {column} FROM {table} WHERE {where}"
            data = bytearray(database.execute(ask).fetchone()[0])
            data[at] ^= 1
            put = f"UPDATE {table} SET {column} = ? WHERE {where}"
            assert database.execute(put, [bytes(data)]).rowcount == 1

    return change


NEWEST = "size = (SELECT max(size) FROM checkpoints)"
MIDDLE = "size = (SELECT min(size) FROM checkpoints WHERE size > 50)"


def older_checkpoint_as_newest(root: Path, history: History) -> None:
    with changing(root) as database:
        ask = f"SELECT note FROM checkpoints WHERE {MIDDLE}"
        note = database.execute(ask).fetchone()[0]
        database.execute(f"UPDATE checkpoints SET note = ? WHERE {NEWEST}", [note])


def notes_swapped(root: Path, history: History) -> None:
    with changing(root) as database:
        ask = "SELECT size, note FROM checkpoints ORDER BY size LIMIT 2 OFFSET 1"
        (one, first), (other, second) = database.execute(ask).fetchall()
        for note, size in ((second, one), (first, other)):
            database.execute("UPDATE checkpoints SET note = ? WHERE size = ?", [note, size])


def event_and_tiles_rewritten(root: Path, history: History) -> None:
    """Event 100, and then every tile anew, so that only what was signed contradicts it."""
    with changing(root) as database:
        state = state_of(database, 100)
        _set_state(database, 100, state.replace(b'"nonce":"', b'"nonce":"A', 1))
        rows = database.execute("SELECT state FROM events ORDER BY position").fetchall()
        growing = GrowingTree(0, lambda level, number: b"")
        growing.append(leaf_hash(state) for (state,) in rows)
        for (level, number), data in growing.changed.items():
            put = "UPDATE tiles SET data = ? WHERE level = ? AND number = ?"
            assert database.execute(put, [data, level, number]).rowcount == 1


def sound_up_to(position: int) -> Callable[[History], int]:
    """The largest size that was signed before an event was covered."""

    def size(history: History) -> int:
        with closing(reading(history.founded.folder.database)) as database:
            ask = "SELECT max(size) FROM checkpoints WHERE size <= ?"
            found: int = database.execute(ask, [position]).fetchone()[0]
        return found

    return size


def restored(*tables: str) -> Callable[[Path, History], None]:
    """Some tables as they were in the older copy, the others as they are."""

    def restore(root: Path, history: History) -> None:
        with changing(root) as database:
            database.execute("ATTACH ? AS earlier", [str(DataFolder(history.earlier).database)])
            for table in tables:
                database.execute(f"DELETE FROM {table}")
                database.execute(f"INSERT INTO {table} SELECT * FROM earlier.{table}")

    return restore


def database_restored(root: Path, history: History) -> None:
    shutil.copy(DataFolder(history.earlier).database, DataFolder(root).database)


def signer_rolled_back(root: Path, history: History) -> None:
    shutil.copy(DataFolder(history.earlier).last_signed, DataFolder(root).last_signed)


def signer_of_another_hub(root: Path, history: History) -> None:
    memory = DataFolder(root).last_signed
    memory.unlink()
    created = LastSigned.create(memory)
    created.advance(None, Signed("lienthong.other/log", 20, bytes(32)))
    created.close()


def checkpoint_size(history: History, number: int) -> int:
    """Of the checkpoint with this number; -1 is the last but one."""
    with closing(reading(history.founded.folder.database)) as database:
        rows = database.execute("SELECT size FROM checkpoints ORDER BY size").fetchall()
    size: int = rows[number - 1][0]
    return size


def signer_forgot(root: Path, history: History) -> None:
    with closing(sqlite3.connect(DataFolder(root).last_signed)) as memory:
        assert memory.execute("DELETE FROM last_signed").rowcount == 1
        memory.commit()


def signer_remembers_another_tree(root: Path, history: History) -> None:
    with closing(sqlite3.connect(DataFolder(root).last_signed)) as memory:
        memory.execute("UPDATE last_signed SET root = ?", [bytes(32)])
        memory.commit()


def log_key_replaced(root: Path, history: History) -> None:
    path = DataFolder(root).log_key
    path.unlink()
    create_private_key(path, Ed25519PrivateKey.generate())


def certificate_replaced(root: Path, history: History) -> None:
    """With one of the same authority, whose key the attacker has."""
    issued = history.founded.authority.issue_signing("attacker", Algorithm.ECDSA_P256_SHA256)
    with changing(root) as database:
        event = json.loads(state_of(database, history.enrolment))
        put = "UPDATE evidence SET data = ? WHERE digest = ?"
        digest = bytes.fromhex(event["data"]["certificate"])
        assert database.execute(put, [der(issued.certificate_pem), digest]).rowcount == 1


def content_file(root: Path) -> Path:
    return next(path for path in sorted(DataFolder(root).content.rglob("*")) if path.is_file())


def content_changed(root: Path, history: History) -> None:
    path = content_file(root)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def content_cut(root: Path, history: History) -> None:
    path = content_file(root)
    os.truncate(path, path.stat().st_size - 1)


def content_removed(root: Path, history: History) -> None:
    content_file(root).unlink()


def attachment_folder(root: Path, index: int = 0) -> Path:
    return content_file(root).parents[1] / str(index)


def content_key_removed(root: Path, history: History) -> None:
    (attachment_folder(root) / "key").unlink()


def content_key_changed(root: Path, history: History) -> None:
    path = attachment_folder(root) / "key"
    path.write_bytes(bytes(60))


def content_key_cut(root: Path, history: History) -> None:
    os.truncate(attachment_folder(root) / "key", 59)


def attachment_removed(root: Path, history: History) -> None:
    shutil.rmtree(attachment_folder(root))


def swapped(name: str) -> Callable[[Path, History], None]:
    """The same file of two attachments that are the same to the byte, or both whole."""

    def swap(root: Path, history: History) -> None:
        first, second = attachment_folder(root, 0) / name, attachment_folder(root, 1) / name
        aside = first.parents[1] / "aside"
        first.rename(aside)
        second.rename(first)
        aside.rename(second)

    return swap


def content_of_another_exchange(root: Path, history: History) -> None:
    """The same content, parts and key together, as it lies in another exchange."""
    mine = content_file(root).parents[1]
    others = {
        path.parents[1]
        for path in DataFolder(root).content.rglob("key")
        if mine not in path.parents
    }
    shutil.copytree(others.pop(), mine, dirs_exist_ok=True)


def content_restored(root: Path, history: History) -> None:
    content = DataFolder(root).content
    shutil.rmtree(content)
    shutil.copytree(DataFolder(history.earlier).content, content)


@contextmanager
def changing_keys(root: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(DataFolder(root).document_keys)) as keys:
        yield keys
        keys.commit()


def document_key_changed(root: Path, history: History) -> None:
    with changing_keys(root) as keys:
        put = "UPDATE document_keys SET wrapped = zeroblob(length(wrapped))"
        assert keys.execute(put).rowcount > 1


def document_key_cut(root: Path, history: History) -> None:
    with changing_keys(root) as keys:
        put = "UPDATE document_keys SET wrapped = substr(wrapped, 1, 10)"
        assert keys.execute(put).rowcount > 1


def document_keys_swapped(root: Path, history: History) -> None:
    with changing_keys(root) as keys:
        rows = keys.execute("SELECT exchange_id, wrapped FROM document_keys LIMIT 2").fetchall()
        (one, first), (other, second) = rows
        for key, exchange in ((second, one), (first, other)):
            put = "UPDATE document_keys SET wrapped = ? WHERE exchange_id = ?"
            keys.execute(put, [key, exchange])


def document_keys_restored(root: Path, history: History) -> None:
    shutil.copy(DataFolder(history.earlier).document_keys, DataFolder(root).document_keys)


def document_key_removed(root: Path, history: History) -> None:
    with closing(sqlite3.connect(DataFolder(root).document_keys)) as keys:
        assert keys.execute("DELETE FROM document_keys").rowcount > 1
        keys.commit()


# --- What keeps the hub from starting ---------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What `fsck` says, and at which position the start stops; `at` may be a function."""

    change: Callable[[Path, History], None]
    says: str
    at: Any = None


def the(name: str) -> Callable[[History], int]:
    return lambda history: getattr(history, name)


LEDGER = {
    "an event rewritten": Found(event_rewritten, "was changed", the("with_content")),
    "an event garbled": Found(event_garbled, "event 100 cannot be read", 100),
    "two events' bytes swapped": Found(events_swapped, "event 50 was changed", 50),
    "two events' rows swapped": Found(rows_swapped, "event 50 was changed", 50),
    "an event's topic": Found(
        sql("UPDATE events SET topic = 'hub.Agency.AgencyRegistered' WHERE position = 70"),
        "event 70: the columns",
        70,
    ),
    "an event's aggregate": Found(
        sql("UPDATE events SET aggregate_id = zeroblob(16) WHERE position = 70"),
        "event 70: the columns",
        70,
    ),
    "an event's version": Found(
        sql("UPDATE events SET version = 9 WHERE position = 70"), "event 70: the columns", 70
    ),
    "an enrolment hidden from the register": Found(
        sql("UPDATE events SET registry = 0 WHERE position = ?", the("enrolment")),
        "it is hidden from the register",
        the("enrolment"),
    ),
    "an event beyond the head": Found(
        sql(
            "INSERT INTO events SELECT ?, zeroblob(16), 1, topic, registry, state"
            " FROM events WHERE position = 60",
            the("size"),
        ),
        "stands beyond the head",
        the("size"),
    ),
    "the last event deleted": Found(
        last_event_deleted, "is missing", lambda history: history.size - 1
    ),
    "an event cut off": Found(
        sql("UPDATE events SET state = substr(state, 1, 90) WHERE position = 90"),
        "event 90 cannot be read",
        90,
    ),
    "an event and all tiles rewritten": Found(
        event_and_tiles_rewritten, "was changed, removed", sound_up_to(100)
    ),
    "the end of the log deleted": Found(
        end_of_the_log_deleted, "fewer are stored", lambda history: history.size - 1
    ),
    "an event in the middle deleted": Found(
        sql("DELETE FROM events WHERE position = 80"), "event 80 is missing", 80
    ),
    "the first event deleted": Found(
        sql("DELETE FROM events WHERE position = 0"), "event 0 is missing", 0
    ),
    "the head moved on": Found(
        sql("UPDATE head SET next_position = next_position + 1"), "is missing", the("size")
    ),
    "a leaf in a full tile": Found(
        byte_changed("tiles", "data", "level = 0 AND number = 0", 32 * 90), "event 90", 90
    ),
    "a leaf in the last tile": Found(
        byte_changed("tiles", "data", "level = 0 AND number = 1", 32 * 3), "event 259", 259
    ),
    "a hash above the leaves": Found(
        byte_changed("tiles", "data", "level = 1 AND number = 0", 5), "tile 1/0", 0
    ),
    "a tile above the leaves deleted": Found(
        sql("DELETE FROM tiles WHERE level = 1"), "tile 1/0 is missing", 0
    ),
    "a tile cut off": Found(
        sql("UPDATE tiles SET data = substr(data, 1, length(data) - 32) WHERE number = 1"),
        "tile 0/1 is not what the events make it",
        lambda history: history.size - 1,
    ),
    "two tiles swapped": Found(
        sql(
            "UPDATE tiles SET data = (SELECT data FROM tiles AS other WHERE other.level = 0"
            " AND other.number = 1 - tiles.number) WHERE level = 0"
        ),
        "event 0 was changed",
        0,
    ),
    "the tiles restored from an older copy": Found(
        restored("tiles"), "tile 0/0 is not what the events make it", the("earlier_size")
    ),
    "the newest checkpoints deleted": Found(
        sql("DELETE FROM checkpoints WHERE size > (SELECT size FROM checkpoints LIMIT 1 OFFSET 2)"),
        "was published and is missing",
        lambda history: checkpoint_size(history, 3),
    ),
    "the newest checkpoint deleted": Found(
        sql(f"DELETE FROM checkpoints WHERE {NEWEST}"),
        "was published and is missing",
        lambda history: checkpoint_size(history, -1),
    ),
    "all checkpoints deleted": Found(
        sql("DELETE FROM checkpoints"), "was published and is missing", 0
    ),
    "the checkpoints restored from an older copy": Found(
        restored("checkpoints"),
        "was published and is missing",
        the("earlier_size"),
    ),
    "the newest checkpoint cut off": Found(
        sql(f"UPDATE checkpoints SET note = substr(note, 1, 60) WHERE {NEWEST}"),
        "is not signed by the log",
    ),
    "a tile deleted": Found(
        sql("DELETE FROM tiles WHERE level = 0 AND number = 0"), "tile 0/0 is missing", 0
    ),
    "the newest checkpoint's root": Found(
        byte_changed("checkpoints", "note", NEWEST, 40), "is not signed by the log"
    ),
    "the newest checkpoint's signature": Found(
        byte_changed("checkpoints", "note", NEWEST, -10), "is not signed by the log"
    ),
    "an older checkpoint in its place": Found(older_checkpoint_as_newest, "is another's"),
    "the signer's memory rolled back": Found(
        signer_rolled_back, "memory was restored from an older copy", the("earlier_size")
    ),
    "the signer's memory of another log": Found(
        signer_of_another_hub, "the signer remembers size", lambda history: 20
    ),
    "the signer's memory emptied": Found(signer_forgot, "its memory was lost", 0),
    "the signer's memory of another tree": Found(
        signer_remembers_another_tree,
        "do not hash to the root",
        lambda history: history.size - 1,
    ),
    "the log key replaced": Found(log_key_replaced, "is not signed by the log"),
    "the database restored from an older copy": Found(
        database_restored, "the database was restored from an older copy", the("earlier_size")
    ),
    "an agency's certificate replaced": Found(
        certificate_replaced, "its certificate is missing", the("enrolment")
    ),
    "an agency's certificate deleted": Found(
        # Of all that are missing, the first operator's comes first.
        sql("DELETE FROM evidence"),
        "its certificate is missing",
        3,
    ),
}


@pytest.mark.parametrize("name", LEDGER, ids=lambda name: name.replace(" ", "-"))
def test_a_hub_with_this_changed_is_named_by_fsck_and_does_not_start(history, tmp_path, name):
    root = history.copy(tmp_path / "hub")
    tampered = LEDGER[name]
    tampered.change(root, history)
    before = digests(root)

    said = [finding.what for finding in findings_of(root)]
    refused = refusal_to_start(root, LedgerMismatch)

    assert any(tampered.says in what for what in said), said
    assert refused.position == (tampered.at(history) if callable(tampered.at) else tampered.at)
    assert digests(root) == before


@pytest.mark.parametrize("damage", ["missing", "emptied", "another file"])
def test_without_the_signers_memory_neither_fsck_nor_the_start_gets_anywhere(
    history, tmp_path, damage
):
    root = history.copy(tmp_path / "hub")
    memory = DataFolder(root).last_signed
    memory.unlink()
    if damage != "missing":
        memory.touch(mode=0o600)
    if damage == "another file":
        shutil.copy(DataFolder(root).document_keys, memory)
    before = digests(root)

    for attempt in (lambda: findings_of(root), lambda: asyncio.run(start(root))):
        with pytest.raises(SignerStoreError, match="last-signed"):
            attempt()

    assert digests(root) == before


def _unlinked(name: str) -> Callable[[DataFolder, History], None]:
    return lambda folder, history: getattr(folder, name).unlink()


def _cut(name: str, left: int) -> Callable[[DataFolder, History], None]:
    return lambda folder, history: os.truncate(getattr(folder, name), left)


def _overwritten(name: str, data: bytes) -> Callable[[DataFolder, History], None]:
    def write(folder: DataFolder, history: History) -> None:
        path = getattr(folder, name)
        with path.open("r+b") as file:
            file.write(data)

    return write


def _unmounted(folder: DataFolder, history: History) -> None:
    """What is left where a disk with the content should be mounted."""
    shutil.rmtree(folder.content)
    folder.content.mkdir()


def _without_content(folder: DataFolder, history: History) -> None:
    shutil.rmtree(folder.content)


def _keys_swapped(folder: DataFolder, history: History) -> None:
    """Two files of secrets, each in the other's place."""
    aside = folder.root / "aside"
    folder.log_key.rename(aside)
    folder.content_key.rename(folder.log_key)
    aside.rename(folder.content_key)


# What becomes of whole files, and the error that names each.
FILES = {
    "the database removed": (_unlinked("database"), ConfigInvalid, "hub.db is missing"),
    "the database emptied": (_cut("database", 0), ConfigInvalid, "hub.db is missing"),
    "the database cut off": (_cut("database", 100_000), (OSError, LedgerMismatch), None),
    "the database overwritten": (_overwritten("database", bytes(100)), OSError, None),
    "the log key removed": (_unlinked("log_key"), KeyFileError, "log-key"),
    "the log key cut off": (_cut("log_key", 60), KeyFileError, "log-key"),
    "the log key garbled": (_overwritten("log_key", b"x" * 40), KeyFileError, "log-key"),
    "the content key removed": (_unlinked("content_key"), KeyFileError, "content-key"),
    "the content key cut off": (_cut("content_key", 20), KeyFileError, "content-key"),
    "two keys swapped": (_keys_swapped, KeyFileError, "log-key|content-key"),
    "the document keys removed": (_unlinked("document_keys"), StoreMissing, "document-keys"),
    "the document keys overwritten": (_overwritten("document_keys", b"x" * 99), OSError, None),
    "the signer's memory cut off": (_cut("last_signed", 5000), SignerStoreError, "signer's store"),
    "the signer's memory garbled": (
        _overwritten("last_signed", bytes(100)), SignerStoreError, "signer's store",
    ),
    "the content folder not mounted": (_unmounted, StoreMissing, "attachments"),
    "the content folder removed": (_without_content, StoreMissing, "attachments"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES, ids=lambda name: name.replace(" ", "-"))
def test_a_hub_with_a_file_missing_or_broken_does_not_start(history, tmp_path, name):
    root = history.copy(tmp_path / "hub")
    change, error, says = FILES[name]
    change(DataFolder(root), history)
    before = digests(root)

    with pytest.raises(error, match=says):
        asyncio.run(start(root))

    assert digests(root) == before


def test_another_content_key_is_found_by_fsck(history, tmp_path):
    root = history.copy(tmp_path / "hub")
    path = DataFolder(root).content_key
    path.unlink()
    ContentCustody.create(path)

    said = [finding.what for finding in findings_of(root)]

    assert any("its payload cannot be opened" in what for what in said), said


def test_content_that_is_really_lost_is_begun_anew_by_hand(history, tmp_path):
    """Procedure R5 of the operations guide."""
    root = history.copy(tmp_path / "hub")
    shutil.rmtree(DataFolder(root).content)
    (DataFolder(root).content / "uploads").mkdir(parents=True)

    asyncio.run(start(root))

    said = [finding.what for finding in findings_of(root)]
    assert said
    assert all(UNREADABLE in what or "attachment 1" in what for what in said), said


def test_the_untampered_hub_starts_and_is_whole(history, tmp_path):
    root = history.copy(tmp_path / "hub")

    asyncio.run(start(root))

    assert findings_of(root) == []


async def start(root: Path) -> None:
    with open_core(DataFolder(root), Settings.load(root)) as core:
        async with running_hub(core):
            pass


def refusal_to_start(root: Path, kind: type[LedgerMismatch]) -> LedgerMismatch:
    with pytest.raises(kind) as refused:
        asyncio.run(start(root))
    return refused.value


def digests(root: Path) -> dict[str, str]:
    """Every file of a hub, but for what opening a database leaves beside it."""
    passing = (".db-wal", ".db-shm")
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.name != "lock" and not path.name.endswith(passing)
    }


# --- What only fsck can see -------------------------------------------------------------

BESIDE = {
    "a request bound to another payload": (
        sql("UPDATE requests SET digest = zeroblob(32) WHERE position = 60"),
        "event 60: its request row",
    ),
    "a request bound to another event": (
        sql("UPDATE requests SET position = 61 WHERE position = 60"),
        "event 60: its request row",
    ),
    "a request deleted": (
        sql("DELETE FROM requests WHERE position = 60"),
        "event 60: its request row",
    ),
    "a request slipped in": (
        sql("INSERT INTO requests VALUES ('x', ?, zeroblob(32), 60, NULL)", QUAN_1),
        "1 request rows more",
    ),
    "an inbox counter set forward": (
        sql("UPDATE inbox_heads SET last_seq = last_seq + 1 WHERE agency = ?", QUAN_1),
        f"the inbox counter of {QUAN_1}",
    ),
    "an inbox counter set back": (
        sql("UPDATE inbox_heads SET last_seq = last_seq - 1 WHERE agency = ?", QUAN_1),
        f"the inbox counter of {QUAN_1}",
    ),
    "an inbox counter deleted": (
        sql("DELETE FROM inbox_heads WHERE agency = ?", QUAN_1),
        f"the inbox counter of {QUAN_1}",
    ),
    "an outbox counter set forward": (
        sql("UPDATE outbox_heads SET last_seq = last_seq + 1 WHERE agency = ?", TAI_CHINH),
        f"the outbox counter of {TAI_CHINH}",
    ),
    "an outbox counter set back": (
        sql("UPDATE outbox_heads SET last_seq = last_seq - 1 WHERE agency = ?", TAI_CHINH),
        f"the outbox counter of {TAI_CHINH}",
    ),
    "an outbox counter deleted": (
        sql("DELETE FROM outbox_heads WHERE agency = ?", TAI_CHINH),
        f"the outbox counter of {TAI_CHINH}",
    ),
    "a payload changed": (
        byte_changed("payloads", "sealed", "rowid = 1", 100),
        "its payload cannot be opened",
    ),
    "a payload deleted": (
        sql("DELETE FROM payloads WHERE rowid = 1"),
        "its payload is missing",
    ),
    "two payloads swapped": (
        sql(
            "UPDATE payloads SET sealed = (SELECT sealed FROM payloads WHERE rowid = 2)"
            " WHERE rowid = 1"
        ),
        "its payload cannot be opened",
    ),
    "a request restored away": (restored("requests"), "its request row"),
    "an inbox counter restored": (
        restored("inbox_heads"),
        f"the inbox counter of {QUAN_1}",
    ),
    "an outbox counter restored": (
        restored("outbox_heads"),
        f"the outbox counter of {TAI_CHINH}",
    ),
    "a payload cut off": (
        sql("UPDATE payloads SET sealed = substr(sealed, 1, 40) WHERE rowid = 1"),
        "its payload cannot be opened",
    ),
    "the payloads restored from an older copy": (restored("payloads"), "its payload is missing"),
    "an older checkpoint deleted": (
        sql(f"DELETE FROM checkpoints WHERE {MIDDLE}"),
        "was published and is missing",
    ),
    "the oldest checkpoint deleted": (
        sql("DELETE FROM checkpoints WHERE size = (SELECT min(size) FROM checkpoints)"),
        "was published and is missing",
    ),
    "an older checkpoint cut off": (
        sql(f"UPDATE checkpoints SET note = substr(note, 1, 60) WHERE {MIDDLE}"),
        "is not signed by the log",
    ),
    "two older checkpoints swapped": (notes_swapped, "is another's"),
    "an older checkpoint changed": (
        byte_changed("checkpoints", "note", MIDDLE, 40),
        "is not signed by the log",
    ),
    "a delivery's state in the lists": (
        sql("UPDATE view_deliveries SET state = 8 WHERE inbox_seq = 2"),
        "the lists differ",
    ),
    "a subject in the lists": (
        sql("UPDATE view_words SET subject = 'x' WHERE position = 60"),
        "the lists differ",
    ),
    "a delivery deleted from the lists": (
        sql("DELETE FROM view_deliveries WHERE inbox_seq = 2"),
        "the lists differ",
    ),
    "a line deleted from an inbox": (
        sql("DELETE FROM view_notices WHERE outbox = 0 AND seq = 2"),
        "the lists differ",
    ),
    "a line deleted from an outbox": (
        sql("DELETE FROM view_notices WHERE outbox = 1 AND seq = 2"),
        "the lists differ",
    ),
    "a line of an outbox that says something else": (
        sql("UPDATE view_notices SET code = '06' WHERE outbox = 1 AND seq = 2"),
        "the lists differ",
    ),
    "two subjects in the lists swapped": (
        sql(
            "UPDATE view_documents SET envelope_digest = (SELECT envelope_digest FROM"
            " view_documents AS other WHERE other.position <> view_documents.position LIMIT 1)"
        ),
        "the lists differ",
    ),
    "a subject in the lists cut off": (
        sql("UPDATE view_words SET subject = substr(subject, 1, 3) WHERE position = 60"),
        "the lists differ",
    ),
    "the lists restored from an older copy": (
        restored("view_notices", "view_deliveries", "view_documents"),
        "the lists differ",
    ),
    "the lists set back": (
        sql("UPDATE view_state SET position = position - 1"),
        "the lists differ",
    ),
    "the lists ahead of the log": (
        sql("UPDATE view_state SET position = position + 1"),
        "the lists are ahead of the log",
    ),
    "content restored from an older copy": (
        content_restored,
        f"{UNREADABLE} its key is missing",
    ),
    "content changed": (content_changed, f"{UNREADABLE} part 0 was changed"),
    "content cut off": (content_cut, f"{UNREADABLE} part 0 was cut off"),
    "content removed": (content_removed, f"{UNREADABLE} part 0 is missing"),
    "the key of content removed": (content_key_removed, f"{UNREADABLE} its key is missing"),
    "the key of content changed": (content_key_changed, f"{UNREADABLE} its key was changed"),
    "the key of content cut off": (content_key_cut, f"{UNREADABLE} its key was cut off"),
    "an attachment removed": (attachment_removed, f"{UNREADABLE} its key is missing"),
    "the keys of two attachments swapped": (
        swapped("key"),
        f"{UNREADABLE} its key was changed, or belongs somewhere else",
    ),
    "the parts of two attachments swapped": (
        swapped("00000000"),
        f"{UNREADABLE} part 0 was changed, or belongs somewhere else",
    ),
    "two attachments swapped": (
        swapped("."),
        f"{UNREADABLE} its key was changed, or belongs somewhere else",
    ),
    "content of another exchange": (
        content_of_another_exchange,
        f"{UNREADABLE} its key was changed, or belongs somewhere else",
    ),
    "the keys of documents removed": (document_key_removed, "its payload cannot be opened"),
    "the keys of documents changed": (document_key_changed, "its payload cannot be opened"),
    "the keys of documents cut off": (document_key_cut, "its payload cannot be opened"),
    "the keys of two documents swapped": (document_keys_swapped, "its payload cannot be opened"),
    "the keys of documents restored from an older copy": (
        document_keys_restored,
        "its payload cannot be opened",
    ),
}


@pytest.mark.parametrize("name", BESIDE, ids=lambda name: name.replace(" ", "-"))
def test_fsck_names_what_is_wrong_beside_the_log(history, tmp_path, name):
    root = history.copy(tmp_path / "hub")
    change, says = BESIDE[name]
    change(root, history)
    before = digests(root)

    said = [finding.what for finding in findings_of(root)]

    assert any(says in what for what in said), said
    assert digests(root) == before


def test_lists_that_are_ahead_of_the_log_are_made_anew_by_the_next_start(history, tmp_path):
    root = history.copy(tmp_path / "hub")
    sql("UPDATE view_state SET position = position + 1")(root, history)

    asyncio.run(start(root))

    assert findings_of(root) == []


# --- What the database itself refuses ---------------------------------------------------

REFUSED = (
    "UPDATE events SET state = x'00' WHERE position = 5",
    "UPDATE events SET topic = 'x' WHERE position = 5",
    "UPDATE events SET registry = 0 WHERE position = 5",
    "DELETE FROM events WHERE position = 5",
    "INSERT OR REPLACE INTO events SELECT position, aggregate_id, version, topic, registry, x'00'"
    " FROM events WHERE position = 5",
    "UPDATE requests SET digest = zeroblob(32)",
    "DELETE FROM requests",
    "UPDATE evidence SET data = x'00'",
    "DELETE FROM evidence",
    "UPDATE checkpoints SET note = x'00'",
    "DELETE FROM checkpoints",
    "DELETE FROM published",
    "UPDATE published SET size = size + 1",
    "DELETE FROM head",
    "UPDATE head SET next_position = next_position - 1",
    "UPDATE head SET registry_version = registry_version - 1",
    "DELETE FROM tiles",
    "UPDATE tiles SET data = zeroblob(length(data))",
    "UPDATE tiles SET data = substr(data, 1, 32)",
    "DELETE FROM inbox_heads",
    "UPDATE inbox_heads SET last_seq = last_seq - 1",
    "UPDATE inbox_heads SET agency = 'X.1'",
    "DELETE FROM outbox_heads",
    "UPDATE outbox_heads SET last_seq = last_seq - 1",
    "UPDATE outbox_heads SET agency = 'X.1'",
)


@pytest.mark.parametrize("statement", REFUSED)
def test_the_database_refuses_to_unwrite_what_was_written(history, tmp_path, statement):
    root = history.copy(tmp_path / "hub")

    with changing(root, triggers=True) as database:
        database.execute("PRAGMA recursive_triggers = ON")
        with pytest.raises(sqlite3.IntegrityError):
            database.execute(statement)

    assert findings_of(root) == []
