"""A log copied into another database is the same log there, however often it was broken off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.storage import move, schema
from adapters.storage.cosignatures import CosignatureStore
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.migrate import migrate
from adapters.storage.move import copy_head, copy_log, is_begun, require_same
from adapters.storage.tree import TreeStore
from hub.application.ports import Head, SealedPayload
from hub.errors import LedgerMismatch
from hub.proof.note import NoteSignature
from tests.support.commits import REGISTRY_TOPIC, digest_of, new_commit, new_event, new_request

COPIED = [
    each
    for each in schema.metadata.sorted_tables
    if not each.name.startswith("view_") and each is not schema.leadership
]


def nothing(_done: int, _total: int) -> None:
    pass


def fill(database: Database, start: int, count: int) -> None:
    """So many events more, with everything that is written beside them, and a checkpoint."""
    events = [new_event(topic=REGISTRY_TOPIC), *(new_event() for _ in range(count - 1))]
    EventRecorder(database).commit(
        new_commit(
            start,
            events,
            requests=[new_request(f"{start}-{n}", offset=n) for n in range(count)],
            payloads=[
                SealedPayload(digest_of(f"{start}-{n}"), event.originator_id, b"sealed \x00")
                for n, event in enumerate(events)
            ],
            evidence=[b"certificate %d" % start],
            inbox_heads={"H02": start + 1, "Đ": start + 1},
            outbox_heads={"H01": start + 1},
        )
    )
    size = start + count
    tiles = {(0, 0): b"".join(digest_of(str(n)) for n in range(size))}
    TreeStore(database).publish(tiles, size, b"note %d" % size)
    CosignatureStore(database).add(size, NoteSignature("w", b"key1", b"signature"))


def everything(database: Database) -> dict[str, list[sa.Row]]:
    with database.reading() as connection:
        return {
            table.name: connection.execute(
                sa.select(table).order_by(*table.primary_key.columns)
            ).all()
            for table in COPIED
        }


@pytest.fixture
def source(sqlite_url: str) -> Iterator[Database]:
    with closing(Database(sqlite_url)) as database:
        fill(database, 0, 9)
        yield database


@pytest.fixture(params=["postgres", "sqlite"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/new.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    else:
        migrate(url)
    with closing(Database(url)) as database:
        yield database


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(move, "_ROWS", 4)


def moved(source: Database, target: Database) -> int:
    rows = copy_log(source, target, nothing)
    require_same(source, target, nothing)
    return rows


def test_everything_is_there_and_the_head_comes_last(source: Database, target: Database):
    moved(source, target)
    assert EventRecorder(target).head() == Head(0, -1)
    assert not is_begun(target)

    copy_head(source, target)

    assert is_begun(target)
    assert everything(target) == everything(source)


def test_it_works_in_the_other_direction_too(source: Database, target: Database, tmp_path: Path):
    moved(source, target)
    copy_head(source, target)
    migrate(f"sqlite:///{tmp_path}/back.db")
    with closing(Database(f"sqlite:///{tmp_path}/back.db")) as back:
        moved(target, back)
        copy_head(target, back)
        assert everything(back) == everything(source)


@pytest.mark.parametrize("after", range(1, 14))
def test_broken_off_anywhere_it_goes_on(
    source: Database, target: Database, monkeypatch: pytest.MonkeyPatch, after: int
):
    insert, left = move._insert, [after]

    def breaking(*arguments: object) -> None:
        if not left[0]:
            raise OSError("the network is gone")
        left[0] -= 1
        insert(*arguments)

    monkeypatch.setattr(move, "_insert", breaking)
    with pytest.raises(OSError, match="network"):
        copy_log(source, target, nothing)
    assert EventRecorder(target).head().next_position == 0
    monkeypatch.setattr(move, "_insert", insert)

    moved(source, target)

    assert moved(source, target) == 0


def test_what_the_hub_did_in_between_comes_along(source: Database, target: Database):
    moved(source, target)
    fill(source, 9, 5)

    moved(source, target)
    copy_head(source, target)

    assert everything(target) == everything(source)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM payloads WHERE digest = (SELECT min(digest) FROM payloads)",
        "INSERT INTO inbox_heads VALUES ('H99', 1)",
        "INSERT INTO evidence (digest, data) SELECT max(digest), max(digest) FROM payloads",
    ],
)
def test_a_row_that_is_not_the_same_is_refused(source: Database, target: Database, statement: str):
    moved(source, target)
    changed = source if statement.startswith("DELETE") else target
    with changed.writing() as connection:
        connection.exec_driver_sql(statement)

    with pytest.raises(LedgerMismatch, match="make the new one empty"):
        moved(source, target)
