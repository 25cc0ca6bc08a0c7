"""A rebuild finds and names whatever was done to the lists, and says when events are in doubt."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.storage.schema import view_tables
from hub.application.session import Session
from hub.bootstrap.core import open_core
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.rebuild import Rebuilt, rebuild
from hub.client import RegistryClient
from hub.config import Settings
from hub.domain.relay import Direction, Relay, RelayKind, arrival_id
from hub.domain.values import sha256_hex, uuid7
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Y_TE,
    Founded,
    collection,
    digest_of,
    found,
    raw_stub,
    recalling,
    report,
    serving,
    submission,
)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Founded:
    founded = found(tmp_path_factory.mktemp("rebuild"))
    asyncio.run(_work(founded))
    return founded


@dataclass(frozen=True, slots=True)
class _ParkArrival:
    """A package came over the axis that nobody could take: a row like any other."""

    number: int

    @property
    def request(self) -> None:
        return None

    def decide(self, session: Session) -> None:
        exchange = uuid7(session.at, bytes([self.number]) * 10)
        relay = Relay.begin(arrival_id(exchange), session.at)
        relay.park(
            at=session.at,
            exchange=exchange,
            sender="G12.18",
            direction=Direction.IN,
            kind=RelayKind.DOCUMENT,
            reason="AXIS_PACKAGE_MALFORMED",
            code="",
            package=sha256_hex(bytes([self.number])),
            package_bytes=12960,
        )
        session.record(relay)


def _park_arrivals(founded: Founded) -> None:
    root = founded.folder.root
    with open_core(DataFolder(root), Settings.load(root)) as core:
        core.engine.load()
        outcomes = core.engine.process([_ParkArrival(1), _ParkArrival(2)])
        assert not [each for each in outcomes if isinstance(each, Exception)], outcomes


async def _work(founded: Founded) -> None:
    _park_arrivals(founded)
    async with serving(founded) as hub:
        sender, recipient = hub.speaker(QUAN_1), hub.speaker(TAI_CHINH)
        async with (
            raw_stub(sender.transport, hub.port) as sending,
            raw_stub(recipient.transport, hub.port) as receiving,
        ):
            for _ in range(3):
                sent = submission(sender, [TAI_CHINH, Y_TE], [b"content"])
                digest = digest_of(sent.envelope)
                await sending.SubmitDocument(sent)
                await receiving.CollectDocument(collection(recipient, digest))
                await receiving.ReportStatus(report(recipient, digest, "03"))
            await sending.RequestRecall(recalling(sender, digest))
        async with RegistryClient.open(founded.operator_profile(hub.port)) as registry:
            for _ in range(2):
                await registry.orders.order_erasure(
                    "operator", digest.hex(), reason="retention", basis="Luật Lưu trữ"
                )


@pytest.fixture
def root(stopped: Founded, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped.folder.root, tmp_path / "hub"))


def rebuilt(root: Path) -> Rebuilt:
    before = {path: path.read_bytes() for path in root.rglob("*.db")}
    seen: list[tuple[int, int]] = []
    with open_core(DataFolder(root), Settings.load(root)) as core:
        found = rebuild(core, progress=lambda done, total: seen.append((done, total)))
    assert {path: path.read_bytes() for path in root.rglob("*.db")} == before
    if not found.wrong_events:
        assert seen[-1] == (found.position, found.position)
    return found


def test_what_nobody_touched_is_the_same(root: Path):
    found = rebuilt(root)
    assert found.same
    assert [table.table for table in found.tables] == [table.name for table in view_tables()]
    rows = {table.table: table.live.rows for table in found.tables}
    assert rows["view_state"] == 1
    assert (rows["view_documents"], rows["view_deliveries"]) == (3, 6)
    assert rows["view_notices"] == 14
    assert found.position == found.covered


COLUMNS = [
    (table.name, column.name)
    for table in view_tables()
    for column in table.columns
    if not column.primary_key and not column.computed and table.name != "view_state"
]


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=".".join)
def test_every_changed_cell_is_found_and_its_row_named(root: Path, table: str, column: str):
    key = next(one for one in view_tables() if one.name == table).primary_key.columns.keys()
    order = ", ".join(key)
    with closing(sqlite3.connect(root / "hub.db")) as database:
        # Not the first row, which could be named by chance.
        *values, old = database.execute(
            f"SELECT {order}, {column} FROM {table} ORDER BY {order} LIMIT 1 OFFSET 1"
        ).fetchone()
    named = dict(zip(key, values, strict=True))
    where = " AND ".join(f"{name} = {_literal(value)}" for name, value in named.items())
    _update(root, f"UPDATE {table} SET {column} = {_another(column, old)} WHERE {where}")

    found = rebuilt(root)

    assert not found.same
    (different,) = [one for one in found.tables if not one.same]
    assert (different.table, different.how, different.column) == (table, "changed", column)
    assert different.first_difference == {name: _shown(name, named[name]) for name in named}


def _another(column: str, old: object) -> str:
    """A value that the column does not hold."""
    if isinstance(old, bytes) or column in {"replaced_by", "by_exchange"}:
        return f"x'{'ab' * ((len(old) or 32) if isinstance(old, bytes) else 16)}'"
    if column == "incoming":
        return "0" if old else "1"
    if column in {"issued_on", "due_on", "answer_by"}:
        return "'2001-01-01'"
    return {int: "7777", str: "'another'"}.get(type(old), "1")


def _literal(value: object) -> str:
    return f"x'{value.hex()}'" if isinstance(value, bytes) else repr(value)


def _shown(name: str, value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return str(bool(value)) if name == "outbox" else str(value)


def _update(root: Path, statement: str) -> None:
    with closing(sqlite3.connect(root / "hub.db", isolation_level=None)) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("PRAGMA ignore_check_constraints = ON")
        assert database.execute(statement).rowcount == 1
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_row_that_is_missing_and_one_too_many_are_named(root: Path):
    _update(root, "DELETE FROM view_notices WHERE agency = 'H29.2.7' AND seq = 2 AND outbox = 0")
    (different,) = [one for one in rebuilt(root).tables if not one.same]
    assert different.how == "missing"
    assert different.first_difference == {"outbox": "False", "agency": "H29.2.7", "seq": "2"}

    _update(
        root,
        "INSERT INTO view_notices SELECT outbox, 'H00', 1, kind, exchange_id, recipient, code,"
        " by_exchange, position, recorded_at_us FROM view_notices"
        " WHERE agency = 'H29.2.7' AND seq = 3 AND outbox = 0",
    )
    (different,) = [one for one in rebuilt(root).tables if not one.same]
    assert different.how == "surplus"
    assert different.first_difference == {"outbox": "False", "agency": "H00", "seq": "1"}


def test_lists_that_are_behind_the_log_are_told_so(root: Path):
    with open_core(DataFolder(root), Settings.load(root)) as core:
        core.views.clear()
    found = rebuilt(root)
    assert all(table.same for table in found.tables)
    assert (found.position, found.same) == (0, False)
    assert found.covered > 20


def test_lists_that_pretend_to_hold_more_than_is_signed_are_told_so(root: Path):
    _update(root, "UPDATE view_state SET position = position + 5")
    found = rebuilt(root)
    assert not found.same
    assert found.wrong_events


def test_events_that_were_changed_prove_nothing(root: Path):
    _past_the_triggers(
        root,
        """UPDATE events SET state = CAST(
        replace(CAST(state AS TEXT), '"by":"operator"', '"by":"operat0r"') AS BLOB
        ) WHERE position = 4""",
    )
    found = rebuilt(root)
    assert found.wrong_events == "the events do not hash to the root of the newest checkpoint"
    assert not found.same


def test_an_event_that_is_missing_is_named(root: Path):
    _past_the_triggers(root, "DELETE FROM events WHERE position = 4")
    found = rebuilt(root)
    assert not found.same
    assert found.wrong_events == "event 4 is missing"


def _past_the_triggers(root: Path, statement: str) -> None:
    guards = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'"
    with closing(sqlite3.connect(root / "hub.db", isolation_level=None)) as database:
        for (name,) in database.execute(guards).fetchall():
            database.execute(f"DROP TRIGGER {name}")
    _update(root, statement)
