"""Years of documents, written straight into the tables of a hub that nobody serves.

What is there in the end is what the hub itself would have written of documents from one agency to
one other: an event each, the tree over them under signed checkpoints (32,768 events each), and the
rows of the lists. All but the newest 1,000 documents are shown as finished. What nobody reads who
pages through an inbox or starts a hub is left out: payloads, document keys, request ids, and the
events that would say that documents were collected; digests and nonces are random, and no agency
signed. So `fsck` and a rebuild would find much to say about such a hub.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database
from adapters.storage.plain import OnServer
from adapters.storage.views import microseconds
from hub.application.mapper import ClosedMapper
from hub.application.ports import Commit
from hub.bootstrap.core import Core
from hub.bootstrap.upgrade import database_url
from hub.domain.delivery import DeliveryState
from hub.domain.revocation_evidence import RevocationEvidence
from hub.domain.values import format_time, uuid7
from hub.proof.canonical import encode_canonical
from hub.proof.strict import encode_base64

_AT_ONCE = 32_768
_A_STATEMENT = 1_024  # Rows; one PostgreSQL that was tried ended over thirty thousand.
_WAITING = 1_000
_CERTIFICATES = 2 * 222  # Of the agencies of the city, one to sign and one to connect.
_Row = tuple[Any, ...]
_VIEWS = (
    schema.view_documents,
    schema.view_words,
    schema.view_deliveries,
    schema.view_notices,
)
_INSERTS = {table: sa.insert(table) for table in (schema.events, *_VIEWS)}


def fill(core: Core, documents: int) -> None:
    """More documents like the newest one of a loaded core, which must be a submission."""
    database = Database(database_url(core.folder, core.settings))
    with closing(database):
        sample = _Sample.newest(database)
        for begin in range(0, documents, _AT_ONCE):
            count = min(_AT_ONCE, documents - begin)
            # The newest ones wait to be collected.
            made = [
                sample.copy(number, waits=number >= documents - _WAITING)
                for number in range(begin, begin + count)
            ]
            with database.writing() as connection:
                for start in range(0, count, _A_STATEMENT):
                    some = made[start : start + _A_STATEMENT]
                    for number, insert in enumerate(_INSERTS.values()):
                        OnServer(connection).insert(insert, [rows[number] for rows in some])
                _move(connection, sample, begin + count)
            # The sequencer's part: read back, hash, grow the tree, sign.
            core.engine.process([])
    core.known.note(core.receipts.size)


@dataclass(frozen=True)
class _Sample:
    """A document as it stands in the tables, and as many more of its kind as are wanted."""

    position: int
    members: Mapping[str, Any]
    at: datetime
    seq: int
    recipient: str
    rows: Sequence[tuple[Sequence[str], _Row]]

    @classmethod
    def newest(cls, database: Database) -> Self:
        with database.reading() as connection:
            newest = sa.select(schema.events).order_by(schema.events.c.position.desc()).limit(1)
            event = connection.execute(newest).one()
            members = json.loads(event.state)
            (consignment,) = members["data"]["recipients"]
            rows = [
                (table.columns.keys(), _row(connection, table, event.position))
                for table in (schema.events, *_VIEWS)
            ]
        return cls(
            position=event.position,
            members=members,
            at=datetime.fromisoformat(members["time"]),
            seq=consignment["inbox_seq"],
            recipient=consignment["agency"],
            rows=rows,
        )

    def copy(self, number: int, *, waits: bool) -> list[_Row]:
        """The rows of one more document, one for each table."""
        position, seq = self.position + 1 + number, self.seq + 1 + number
        at = self.at + timedelta(microseconds=1 + number)
        exchange_id = uuid7(at, number.to_bytes(10, "big"))
        digest = os.urandom(32)
        state = DeliveryState.CONSIGNED if waits else DeliveryState.FINISHED
        values = {
            "aggregate_id": exchange_id.bytes,
            "exchange_id": exchange_id.bytes,
            "position": position,
            "inbox_seq": seq,
            "seq": seq,
            "envelope_digest": digest,
            "accepted_at_us": microseconds(at),
            "updated_at_us": microseconds(at),
            "recorded_at_us": microseconds(at),
            "state": int(state),
            "collected": not waits,
        }
        leaf = self._leaf(str(exchange_id), digest, seq, at)
        of_events, *of_views = self.rows
        return [
            _changed(of_events, values | {"state": leaf}),
            *(_changed(each, values) for each in of_views),
        ]

    def _leaf(self, exchange_id: str, digest: bytes, seq: int, at: datetime) -> bytes:
        data = self.members["data"]
        return encode_canonical(
            {
                **self.members,
                "id": exchange_id,
                "nonce": encode_base64(os.urandom(16)),
                "time": format_time(at),
                "data": {
                    **data,
                    "recipients": [{"agency": self.recipient, "inbox_seq": seq}],
                    "statement": {**data["statement"], "digest": digest.hex()},
                },
            }
        )


def _row(connection: sa.Connection, table: sa.Table, position: int) -> _Row:
    # As the driver gives it, which is how it takes it.
    statement = f"SELECT * FROM {table.name} WHERE position = {position:d}"
    (row,) = connection.exec_driver_sql(statement).cursor.fetchall()
    return tuple(row)


def _changed(row: tuple[Sequence[str], _Row], values: Mapping[str, Any]) -> _Row:
    names, old = row
    return tuple(values.get(name, value) for name, value in zip(names, old, strict=True))


def _move(connection: sa.Connection, sample: _Sample, count: int) -> None:
    """All that says how far the log, the lists and the inbox go."""
    end = sample.position + 1 + count
    connection.execute(sa.update(schema.head).values(next_position=end))
    connection.execute(sa.update(schema.view_state).values(position=end))
    connection.execute(
        sa.update(schema.inbox_heads)
        .where(schema.inbox_heads.c.agency == sample.recipient)
        .values(last_seq=sample.seq + count)
    )


def store_answers(core: Core, count: int) -> None:
    """So many OCSP answers about the same certificates, as years of them would be stored.

    Nobody's certificate is among them, and no issuer has signed them.
    """
    mapper = ClosedMapper(os.urandom)
    for begin in range(0, count, _AT_ONCE):
        numbers = range(begin, min(begin + _AT_ONCE, count))
        data = [b"an answer, number %d" % number for number in numbers]
        head, at = core.log.head().next_position, core.engine.last_time
        events = [
            mapper.to_stored_event(_stored(number, each, at))
            for number, each in zip(numbers, data, strict=True)
        ]
        core.log.commit(
            Commit(
                expected_head=head,
                events=events,
                registry_offset=len(events) - 1,
                requests=(),
                payloads=(),
                evidence={hashlib.sha256(each).digest(): each for each in data},
                inbox_heads={},
                outbox_heads={},
            )
        )
        core.engine.load()


def _stored(number: int, data: bytes, at: datetime) -> Any:
    evidence = RevocationEvidence.store(
        evidence_id=uuid7(at, os.urandom(10)),
        at=at,
        source="bench",
        kind="ocsp",
        issuer="",
        evidence=hashlib.sha256(data).hexdigest(),
        number="",
        certificate=f"{number % _CERTIFICATES:064x}",
        status="good",
        this_update=format_time(at),
        next_update=format_time(at + timedelta(days=7)),
    )
    (event,) = evidence.collect_events()
    return event
