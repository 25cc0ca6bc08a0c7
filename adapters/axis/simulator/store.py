"""What the simulated axis remembers: organisations, packages, and one id for each receiver."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from adapters.axis.edxml.names import TIMESTAMP_FORMAT

_SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
  system_id TEXT PRIMARY KEY, secrets TEXT NOT NULL, is_locked INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS agency (
  id INTEGER PRIMARY KEY, code TEXT UNIQUE NOT NULL, system_id TEXT NOT NULL, pid TEXT NOT NULL,
  name TEXT NOT NULL, mail TEXT NOT NULL, old_code TEXT NOT NULL,
  deleted INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL DEFAULT 1,
  modified_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS package (
  id TEXT PRIMARY KEY, sender TEXT NOT NULL, kind TEXT NOT NULL, file TEXT NOT NULL,
  title TEXT NOT NULL, notation TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS delivery (
  id TEXT PRIMARY KEY, package TEXT NOT NULL REFERENCES package, recipient TEXT NOT NULL,
  state TEXT NOT NULL, state_text TEXT NOT NULL DEFAULT '', at TEXT NOT NULL,
  updated_at TEXT NOT NULL, number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS request (signature TEXT PRIMARY KEY, package TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS delivery_of ON delivery (recipient, number);
"""

INITIAL, PROCESSING, DONE, FAIL = "initial", "processing", "done", "fail"
STATES = (INITIAL, PROCESSING, DONE, FAIL)


@dataclass(frozen=True, slots=True)
class Package:
    """A package as it was taken in. `title` and `notation` are what lists show."""

    id: str
    sender: str
    kind: str
    file: Path
    title: str
    notation: str
    at: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A package at one receiver, under an id of its own."""

    id: str
    package: Package
    recipient: str
    state: str
    state_text: str
    at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Agency:
    """An organisation in the directory; `code` by QĐ 20/2020, `old_code` by QCVN 102:2016."""

    id: int
    code: str
    system_id: str
    pid: str
    name: str
    mail: str
    old_code: str
    deleted: bool
    version: int
    modified_at: str


class Store:
    """One SQLite file and a folder of packages; safe to use from several threads."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self._packages = folder / "packages"
        self._packages.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._lock = threading.RLock()
        self._database = sqlite3.connect(folder / "axis.db", check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        with self._transaction():
            self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # --- Organisations ---------------------------------------------------------------

    def enrol(self, system_id: str, secrets: Sequence[str], codes: Sequence[str] = ()) -> None:
        """Let somebody in, with one or more valid secrets, for these organisations or its own."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO account (system_id, secrets) VALUES (?, ?) "
                "ON CONFLICT (system_id) DO UPDATE SET secrets = excluded.secrets",
                (system_id, json.dumps(list(secrets))),
            )
        for code in codes or (system_id,):
            self.register(system_id, code)

    def lock(self, system_id: str, *, is_locked: bool = True) -> None:
        """Lock an account, or let it in again."""
        with self._transaction() as database:
            database.execute(
                "UPDATE account SET is_locked = ? WHERE system_id = ?", (is_locked, system_id)
            )

    def secrets(self, system_id: str) -> list[str]:
        """The secrets that are valid for an account; none for an unknown one."""
        row = self._one("SELECT secrets FROM account WHERE system_id = ?", system_id)
        return [] if row is None else list(json.loads(row["secrets"]))

    def is_locked(self, code: str) -> bool:
        """Whether the account of an organisation is locked."""
        row = self._one(
            "SELECT is_locked FROM account JOIN agency USING (system_id) WHERE code = ?", code
        )
        return row is not None and bool(row["is_locked"])

    def register(
        self,
        system_id: str,
        code: str,
        *,
        name: str = "",
        mail: str = "",
        pid: str = "",
        old_code: str = "",
    ) -> None:
        """Put an organisation into the directory, or back into it."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO agency (code, system_id, pid, name, mail, old_code, modified_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (code) DO UPDATE SET deleted = 0, "
                "version = version + deleted, modified_at = excluded.modified_at",
                (code, system_id, pid, name or code, mail, old_code, self._now()),
            )

    def delete(self, system_id: str, code: str) -> bool:
        """Take an organisation out of the directory; the list for synchronising keeps it."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE agency SET deleted = 1, version = version + 1, modified_at = ? "
                "WHERE code = ? AND system_id = ? AND deleted = 0",
                (self._now(), code, system_id),
            )
            return changed.rowcount == 1

    def agencies(self) -> list[Agency]:
        """The directory, those deleted included."""
        rows = self._all("SELECT * FROM agency ORDER BY id")
        return [Agency(**{**dict(row), "deleted": bool(row["deleted"])}) for row in rows]

    def codes(self, system_id: str) -> list[str]:
        """The organisations of an account."""
        rows = self._all(
            "SELECT code FROM agency WHERE system_id = ? AND deleted = 0 ORDER BY id", system_id
        )
        return [row["code"] for row in rows]

    # --- Packages --------------------------------------------------------------------

    def new_file(self) -> Path:
        """Where a package may be written before anybody knows of it."""
        return self._packages / f"{uuid4()}.edxml"

    def known(self, signature: str) -> str | None:
        """The id that a request of this signature got before."""
        row = self._one("SELECT package FROM request WHERE signature = ?", signature)
        return None if row is None else str(row["package"])

    def take(
        self, package: Package, recipients: Sequence[str], signature: str, *, copies: int = 1
    ) -> str:
        """Take a package in, and give each receiver an id for it, or several."""
        now = self._now()
        with self._transaction() as database:
            database.execute(
                "INSERT INTO package VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    package.id, package.sender, package.kind, str(package.file),
                    package.title, package.notation, now,
                ),
            )  # fmt: skip
            for recipient in recipients:
                for _copy in range(copies):
                    database.execute(
                        "INSERT INTO delivery "
                        "SELECT ?, ?, ?, ?, '', ?, ?, COALESCE(MAX(number), 0) + 1 FROM delivery",
                        (str(uuid4()), package.id, recipient, INITIAL, now, now),
                    )
            database.execute(
                "INSERT OR REPLACE INTO request VALUES (?, ?)", (signature, package.id)
            )
        return package.id

    def waiting(self, system_id: str, kind: str) -> list[Delivery]:
        """What an account has not yet marked as done or failed, oldest first."""
        return self._deliveries(
            "recipient IN (SELECT code FROM agency WHERE system_id = ?) AND kind = ? "
            "AND state IN (?, ?)",
            system_id, kind, INITIAL, PROCESSING,
        )  # fmt: skip

    def delivery(self, system_id: str, axis_id: str) -> Delivery | None:
        """A delivery to an account, under its own id."""
        found = self._deliveries(
            "delivery.id = ? AND recipient IN (SELECT code FROM agency WHERE system_id = ?)",
            axis_id, system_id,
        )  # fmt: skip
        return found[0] if found else None

    def sent(self, system_id: str, package_id: str) -> list[Delivery]:
        """How a package of an account stands at its receivers."""
        return self._deliveries(
            "package.id = ? AND sender IN (SELECT code FROM agency WHERE system_id = ?)",
            package_id, system_id,
        )  # fmt: skip

    def sent_as(self, package_id: str) -> list[Delivery]:
        """How a package stands at its receivers, whoever sent it."""
        return self._deliveries("package.id = ?", package_id)

    def every_delivery(self) -> list[Delivery]:
        """Everything that was ever delivered, oldest first."""
        return self._deliveries("1")

    def mark(self, axis_id: str, state: str, text: str) -> None:
        """Note how a receiver stands with a delivery."""
        with self._transaction() as database:
            database.execute(
                "UPDATE delivery SET state = ?, state_text = ?, updated_at = ? WHERE id = ?",
                (state, text, self._now(), axis_id),
            )

    def _deliveries(self, condition: str, *values: Any) -> list[Delivery]:
        # The condition is one of a few in this file; whatever comes from outside is bound.
        rows = self._all(
            "SELECT delivery.*, sender, kind, file, title, notation, package.at AS sent_at "
            "FROM delivery JOIN package ON package.id = delivery.package "
            "WHERE " + condition + " ORDER BY number",
            *values,
        )
        return [_delivery(row) for row in rows]

    def _one(self, query: str, *values: Any) -> Any:
        with self._lock:
            return self._database.execute(query, values).fetchone()

    def _all(self, query: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._database:
            yield self._database

    def _now(self) -> str:
        return self._clock().strftime(TIMESTAMP_FORMAT)


def _delivery(row: Any) -> Delivery:
    package = Package(
        id=row["package"],
        sender=row["sender"],
        kind=row["kind"],
        file=Path(row["file"]),
        title=row["title"],
        notation=row["notation"],
        at=row["sent_at"],
    )
    return Delivery(
        id=row["id"],
        package=package,
        recipient=row["recipient"],
        state=row["state"],
        state_text=row["state_text"],
        at=row["at"],
        updated_at=row["updated_at"],
    )
