"""What was destroyed stands nowhere in the files, however the rows around it have moved.

SQLite zeroes what it frees, but copies of rows that it moved between pages stay behind in
pages that are still in use. With rows kept by their ids, some in a thousand of what was
erased could be read from the file afterwards. These tests play long random lives, and look.
"""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from adapters.storage.document_keys import DocumentKeys
from adapters.storage.engine import Database
from adapters.storage.views import Views
from hub.application.ports import DocumentRow, ViewChanges
from hub.domain.values import uuid7
from tests.support.databases import new_database

START = datetime(2026, 1, 1, tzinfo=UTC)
SEEDS = pytest.mark.parametrize("seed", range(3))


# Every key here begins like this, and every word looks like that: so one pass over a file finds
# them all, wherever they begin.
KEY = b"a key of a document: "
KEYS = re.compile(b"(?=(%s.{19}))" % KEY, re.DOTALL)
MARKS = re.compile(rb"(?=((?:code|kind|subject)\d{6}x))")


def bytes_of(path: Path) -> bytes:
    """The database with its write-ahead log, as a thief would read it."""
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))


def new_key(drawn: random.Random) -> bytes:
    """Forty bytes that no other key has."""
    return KEY + drawn.randbytes(19)


def keys_in(path: Path) -> set[bytes]:
    """Every key that can be read from the file, whole."""
    return set(KEYS.findall(bytes_of(path)))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(new_database(tmp_path / "one.db"))
    yield database
    database.close()


@SEEDS
def test_no_destroyed_key_is_left_in_the_file(tmp_path, seed):
    drawn = random.Random(seed)
    database = Database(f"sqlite:///{tmp_path}/keys.db")
    keys = DocumentKeys(database)
    alive: dict[UUID, bytes] = {}
    destroyed: list[bytes] = []
    for second in range(250):
        # Ids are made before the writing lane, so they come out of their order.
        at = START + timedelta(seconds=second - drawn.randrange(30))
        new = {uuid7(at, drawn.randbytes(10)): new_key(drawn) for _ in range(drawn.randrange(40))}
        keys.add(new)
        alive |= new
        ids = drawn.sample(sorted(alive), min(len(alive), drawn.randrange(12)))
        destroyed += [alive.pop(exchange_id) for exchange_id in ids]
        keys.discard(ids)
    database.close()

    found = keys_in(tmp_path / "keys.db")
    assert [key.hex() for key in destroyed if key in found] == []
    assert found >= set(alive.values())
    database = Database(f"sqlite:///{tmp_path}/keys.db")
    keys = DocumentKeys(database)
    assert all(keys.get(exchange_id) == key for exchange_id, key in alive.items())
    database.close()


def test_a_file_of_the_older_form_keeps_its_keys_and_loses_its_remnants(tmp_path):
    path, drawn = tmp_path / "keys.db", random.Random(1)
    kept = {UUID(bytes=drawn.randbytes(16)): new_key(drawn) for _ in range(2000)}
    gone = {UUID(bytes=drawn.randbytes(16)): new_key(drawn) for _ in range(2000)}
    with closing(sqlite3.connect(path)) as older:
        older.execute("PRAGMA secure_delete = OFF")
        older.execute(
            "CREATE TABLE document_keys (exchange_id BLOB NOT NULL PRIMARY KEY,"
            " wrapped BLOB NOT NULL) WITHOUT ROWID"
        )
        both = [(each.bytes, key) for each, key in {**kept, **gone}.items()]
        older.executemany("INSERT INTO document_keys VALUES (?, ?)", both)
        ids = [(each.bytes,) for each in gone]
        older.executemany("DELETE FROM document_keys WHERE exchange_id = ?", ids)
        older.commit()
    assert keys_in(path) & set(gone.values())

    for _ in range(2):
        database = Database(f"sqlite:///{path}")
        keys = DocumentKeys(database)
        assert {each: keys.get(each) for each in kept} == kept
        assert all(keys.get(each) is None for each in gone)
        database.close()

    assert not keys_in(path) & set(gone.values())


@SEEDS
def test_no_erased_word_is_left_in_the_file(database, seed):
    drawn = random.Random(seed)
    views = Views(database)
    documents: list[DocumentRow] = []
    erased: set[int] = set()

    def apply(rows: list[DocumentRow]) -> None:
        start = views.position()
        end = max([start, *(row.position + 1 for row in rows)])
        views.apply(ViewChanges(rows, [], []), start=start, end=end)

    for _ in range(120):
        start = views.position()
        new = [document(drawn, start + n) for n in range(drawn.randrange(1, 40))]
        apply(new)
        documents += new
        changed = []
        for number in drawn.sample(range(len(documents)), min(len(documents), drawn.randrange(25))):
            row = documents[number]
            if drawn.random() < 0.6:
                erased.add(row.position)
                row = replace(row, code="", type_name="", subject="", erased=True)
            else:
                row = replace(row, replaced_by=UUID(int=number + 1))
            documents[number] = row
            changed.append(row)
        apply(changed)
    database.forget()

    found = set(MARKS.findall(bytes_of(database.path)))
    words = {position: marks(position) for position in erased}
    assert [mark for marked in words.values() for mark in marked if mark in found] == []
    by_id = {row.exchange_id: row for row in documents}
    assert {row.exchange_id: row for row in views.rows()} == by_id
    for row in documents:
        assert views.document(row.exchange_id) == row
        assert all((mark in found) is not row.erased for mark in marks(row.position))


def marks(position: int) -> list[bytes]:
    return [f"{part}{position:06d}x".encode() for part in ("code", "kind", "subject")]


def document(drawn: random.Random, position: int) -> DocumentRow:
    code, kind, subject = (mark.decode() for mark in marks(position))
    at = START + timedelta(seconds=position)
    return DocumentRow(
        exchange_id=uuid7(at - timedelta(seconds=drawn.randrange(30)), drawn.randbytes(10)),
        sender="H29.1.1",
        envelope_digest=drawn.randbytes(32),
        position=position,
        accepted_at=at,
        code=code,
        type_name=kind,
        subject=f"{subject} {'ư' * drawn.randrange(450)}",
        attachment_count=1,
        attachment_bytes=2,
        replaced_by=None,
    )
