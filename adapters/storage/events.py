"""The append-only table of events on SQLAlchemy Core, with the rows written beside them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from threading import Event, Lock
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    ListenNotifySubscription,
    Notification,
    StoredEvent,
)

from adapters.storage import schema
from adapters.storage.engine import (
    APPENDED,
    Database,
    portions,
    upsert,
)
from adapters.storage.plain import OnServer, Plain
from hub.application.ports import (
    AcceptedRequest,
    Appending,
    Commit,
    Erasure,
    Head,
    HeadMoved,
    LogEntry,
    LogStopped,
    NewRequest,
    SealedPayload,
)
from hub.domain.catalogue import REGISTRY_TOPICS

_events = schema.events.c
_requests = schema.requests.c

_ENTRY = (_events.position, _events.aggregate_id, _events.version, _events.topic, _events.state)
_REQUEST = (
    _requests.caller,
    _requests.request_id,
    _requests.digest,
    _requests.position,
    _requests.exchange_id,
)

# Rows read in one piece while walking through the registry.
_PAGE = 1000


class EventRecorder(ApplicationRecorder):
    """The port EventLog, and the recorder the event-sourcing library asks for.

    A position is taken from the head row, which is locked, read and moved in the same
    transaction: so positions have no gaps, and whoever follows them misses nothing. The
    library's notification id is position + 1. All writers are serialised; what makes it
    fast is that one commit takes many events, in a fixed number of statements.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: set[Event] = set()
        self._listeners_lock = Lock()

    # --- writing ------------------------------------------------------------------

    def commit(self, commit: Commit) -> None:
        """Write everything or nothing; durable on return.

        Raises HeadMoved when the log does not end at `expected_head`; IntegrityError (a
        RecordConflictError) when a version of an aggregate, a request or a payload is there
        already; ValueError for a commit that contradicts itself; OSError when the database
        fails, and then it may or may not have been kept.
        """
        with self._database.changing() as plain:
            self._write(plain, commit)
        self._wake_listeners()

    @contextmanager
    def appending(self) -> Iterator[Appending]:
        """Keep every other hub from appending until the block ends, which commits.

        Raises LogStopped when a hub found a contradiction, and what `commit` raises.
        """
        with self._database.changing(by_any=True) as plain:
            for (frozen,) in plain.rows(_FROZEN):
                if frozen is not None:
                    raise LogStopped(f"a hub has stopped the log: {frozen}")
            yield _End(_read_head(plain, lock=True), partial(self._write, plain))
        self._wake_listeners()

    def _write(self, plain: Plain, commit: Commit) -> None:
        _require_consistent(commit)
        first = _append(plain, commit.events, expected_head=commit.expected_head)
        _insert_requests(plain, commit.requests, first)
        _insert_payloads(plain, commit.payloads)
        plain.insert(_INSERT_EVIDENCE, list(commit.evidence.items()))
        _move_heads(plain, _MOVE_INBOX_HEADS, commit.inbox_heads)
        _move_heads(plain, _MOVE_OUTBOX_HEADS, commit.outbox_heads)
        self._database.tell(plain, APPENDED)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append events wherever the log ends; their notification ids.

        Raises IntegrityError when a version of an aggregate is there already.
        """
        if kwargs:
            raise TypeError(f"cannot record {', '.join(kwargs)} together with events")
        with self._database.changing() as plain:
            first = _append(plain, stored_events, expected_head=None)
        self._wake_listeners()
        return list(range(first + 1, first + 1 + len(stored_events)))

    # --- the log in its order -----------------------------------------------------

    def head(self) -> Head:
        """Where the log ends now."""
        with self._database.asking() as plain:
            return _read_head(plain)

    def entries(self, start: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` entries from position `start` on, in order."""
        with self._database.asking() as plain:
            rows = plain.rows(_ENTRIES, {"start": start, "limit": limit})
        return list(map(_log_entry, rows))

    def registry_entries(self, after: int = -1, topics: Collection[str] = ()) -> Iterator[LogEntry]:
        """All events above `after` that decide who may do what, in order.

        Read page by page: it follows the log as it grows, and holds no snapshot meanwhile.
        """
        statement = sa.select(*_ENTRY).where(sa.text(schema.IS_REGISTRY)).order_by(_events.position)
        if topics:
            statement = statement.where(_events.topic.in_(topics))
        while True:
            page = self._log_entries(statement.where(_events.position > after).limit(_PAGE))
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].position

    def timestamps(self, start: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `TimestampObtained` from position `start` on, in order."""
        return self._log_entries(
            sa.select(*_ENTRY)
            # The very words of the index: it holds nothing but these.
            .where(sa.text(schema.IS_TIMESTAMP), _events.position >= start)
            .order_by(_events.position)
            .limit(limit)
        )

    def verdicts(self, below: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `SignatureVerdictMade` below a position, the newest first."""
        return self._newest_first(schema.IS_VERDICT, below, limit)

    def reconciliations(self, below: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `ReconciliationMade` below a position, the newest first."""
        return self._newest_first(schema.IS_RECONCILIATION, below, limit)

    def revocation_evidence(self, below: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `RevocationEvidenceStored` below a position, the newest first."""
        return self._newest_first(schema.IS_REVOCATION_EVIDENCE, below, limit)

    def _newest_first(self, kind: str, below: int, limit: int) -> Sequence[LogEntry]:
        return self._log_entries(
            sa.select(*_ENTRY)
            .where(sa.text(kind), _events.position < below)
            .order_by(_events.position.desc())
            .limit(limit)
        )

    def entries_of(
        self, aggregate_ids: Sequence[UUID], start: int, limit: int
    ) -> Sequence[LogEntry]:
        """At most `limit` entries of these aggregates from position `start` on, in order.

        One query along the index for each 400 of them; each keeps no more than `limit` rows.
        """
        # The plus keeps SQLite from walking the whole log by position to spare itself a sort.
        position: sa.ColumnClause[int] = sa.literal_column("+position")
        found: list[LogEntry] = []
        for some in portions(sorted({each.bytes for each in aggregate_ids})):
            found += self._log_entries(
                sa.select(*_ENTRY)
                .where(_events.aggregate_id.in_(some), position >= start)
                .order_by(position)
                .limit(limit)
            )
            found = sorted(found, key=lambda entry: entry.position)[:limit]
        return found

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """The log as the library sees it: ids count from 1."""
        statement = sa.select(*_ENTRY).order_by(_events.position).limit(limit)
        if start is not None:
            first = start - 1 if inclusive_of_start else start
            statement = statement.where(_events.position >= first)
        if stop is not None:
            statement = statement.where(_events.position < stop)
        if topics:
            statement = statement.where(_events.topic.in_(topics))
        with self._database.reading() as connection:
            return [
                Notification(UUID(bytes=aggregate_id), version, topic, state, position + 1)
                for position, aggregate_id, version, topic, state in connection.execute(statement)
            ]

    def max_notification_id(self) -> int | None:
        """The newest notification id; None when the log is empty."""
        return self.head().next_position or None

    # --- by aggregate -------------------------------------------------------------

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The history of one aggregate, oldest first unless `desc`; versions in (gt, lte]."""
        aggregate_id = _require_uuid(originator_id)
        order = _events.version.desc() if desc else _events.version
        statement = (
            sa.select(_events.version, _events.topic, _events.state)
            .where(_events.aggregate_id == aggregate_id.bytes)
            .order_by(order)
            .limit(limit)
        )
        if gt is not None:
            statement = statement.where(_events.version > gt)
        if lte is not None:
            statement = statement.where(_events.version <= lte)
        with self._database.reading() as connection:
            rows = connection.execute(statement).all()
        return [StoredEvent(aggregate_id, version, topic, state) for version, topic, state in rows]

    # --- what was written beside the events ---------------------------------------

    def requests(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], AcceptedRequest]:
        """Those of the (caller, request id) pairs that were accepted."""
        wanted = set(keys)
        found: dict[tuple[str, str], AcceptedRequest] = {}
        with self._database.asking() as plain:
            for some in portions([request_id for _caller, request_id in keys]):
                for request in map(_accepted_request, plain.rows(_REQUESTS, {"ids": some})):
                    # Another caller may have used the same id.
                    if (key := (request.caller, request.request_id)) in wanted:
                        found[key] = request
        return found

    def request_of(self, digest: bytes) -> AcceptedRequest | None:
        """The accepted request whose payload has this digest; the first, if there are two."""
        statement = (
            sa.select(*_REQUEST)
            .where(_requests.digest == digest)
            .order_by(_requests.position)
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else _accepted_request(row)

    def request_count(self) -> int:
        """How many requests were ever accepted; counts them one by one."""
        with self._database.reading() as connection:
            count: int = connection.execute(
                sa.select(sa.func.count()).select_from(schema.requests)
            ).scalar_one()
        return count

    def payload(self, digest: bytes) -> SealedPayload | None:
        """A payload, sealed; None when it was erased or never was."""
        columns = schema.payloads.c
        statement = sa.select(columns.exchange_id, columns.sealed).where(columns.digest == digest)
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else SealedPayload(digest, UUID(bytes=row[0]), row[1])

    def payloads(self, digests: Sequence[bytes]) -> dict[bytes, SealedPayload]:
        """Those of the payloads that are there, by digest; one query for each 400."""
        found: dict[bytes, SealedPayload] = {}
        with self._database.asking() as plain:
            for some in portions(digests):
                for digest, exchange_id, sealed in plain.rows(_PAYLOADS, {"ids": some}):
                    found[digest] = SealedPayload(digest, UUID(bytes=exchange_id), sealed)
        return found

    def evidence(self, digest: bytes) -> bytes | None:
        """A certificate or the like by its SHA-256."""
        columns = schema.evidence.c
        with self._database.reading() as connection:
            return connection.scalar(sa.select(columns.data).where(columns.digest == digest))

    def inbox_heads(self, agencies: Sequence[str]) -> dict[str, int]:
        """The last inbox number given to each agency; absent means none yet."""
        return self._box_heads(_INBOX_HEADS, agencies)

    def outbox_heads(self, agencies: Sequence[str]) -> dict[str, int]:
        """The last outbox number given to each agency; absent means none yet."""
        return self._box_heads(_OUTBOX_HEADS, agencies)

    # --- what is erased by law ----------------------------------------------------

    def erasures(self, start: int, limit: int) -> Sequence[Erasure]:
        """At most `limit` documents erased at position `start` or later, in order.

        By an index that holds nothing else.
        """
        statement = (
            sa.select(_events.position, _events.aggregate_id)
            .where(sa.text(schema.IS_ERASURE), _events.position >= start)
            .order_by(_events.position)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [
                Erasure(position, UUID(bytes=aggregate_id))
                for position, aggregate_id in connection.execute(statement)
            ]

    def erased_below(self) -> int:
        """Every erasure at a lower position has been carried out in this database."""
        with self._database.reading() as connection:
            below: int = connection.execute(sa.select(schema.erasure_state.c.below)).scalar_one()
        return below

    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """Destroy the payloads of these exchanges, and every trace of words from the files.

        What rows of the views no longer say is overwritten in the database (`secure_delete`),
        but stands in the write-ahead log until that is emptied. On PostgreSQL traces stay for
        a while, see docs/decisions/0032. Raises OSError when it could not be: repeat it.
        """
        with self._database.writing() as connection:
            for some in portions([each.bytes for each in exchange_ids]):
                columns = schema.payloads.c
                connection.execute(sa.delete(schema.payloads).where(columns.exchange_id.in_(some)))
        self._database.forget(schema.payloads, schema.view_words)
        # Only now: a mark that came first would say so of a log that was never emptied.
        with self._database.writing() as connection:
            connection.execute(sa.update(schema.erasure_state).values(below=below))

    # --- following the log --------------------------------------------------------

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> EventSubscription:
        """All notifications with an id above `gt`, and then new ones as they are recorded.

        Wakes up for what this process records; another process's events come along then.
        """
        return EventSubscription(self, gt=gt, topics=topics)

    def listen(self, listener: Event) -> None:
        """Set `listener` after each commit."""
        with self._listeners_lock:
            self._listeners.add(listener)

    def unlisten(self, listener: Event) -> None:
        """Leave `listener` alone from now on."""
        with self._listeners_lock:
            self._listeners.discard(listener)

    def _wake_listeners(self) -> None:
        with self._listeners_lock:
            for listener in self._listeners:
                listener.set()

    def _box_heads(self, statement: sa.Select[Any], agencies: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        with self._database.asking() as plain:
            for some in portions(agencies):
                found.update(plain.rows(statement, {"ids": some}))
        return found

    def _log_entries(self, statement: sa.Select[Any]) -> list[LogEntry]:
        with self._database.reading() as connection:
            return list(map(_log_entry, OnServer(connection).rows(statement)))


# What `LogEntry._make` does, without a call of Python's for each of millions.
_log_entry: Callable[[tuple[Any, ...]], LogEntry] = partial(tuple.__new__, LogEntry)


@dataclass(frozen=True, slots=True)
class _End:
    """The port Appending."""

    head: Head
    append: Callable[[Commit], None]


class EventSubscription(ListenNotifySubscription[EventRecorder]):
    """Follows the log from a notification id on; a context manager, since it has a thread."""

    def __init__(
        self, recorder: EventRecorder, gt: int | None = None, topics: Sequence[str] = ()
    ) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        recorder.listen(self._has_been_notified)
        # What was recorded between the first look and `listen` would else wait for the next.
        self._has_been_notified.set()

    def stop(self) -> None:
        """End the iteration."""
        super().stop()
        self._recorder.unlisten(self._has_been_notified)


# --- The statements of a batch, each one whatever the number of rows ------------------------
#
# Made once: to put one together takes SQLAlchemy longer than to run it.


def _any_of(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    return column.in_(sa.bindparam("ids", expanding=True))


_ENTRIES = (
    sa.select(*_ENTRY)
    .where(_events.position >= sa.bindparam("start"))
    .order_by(_events.position)
    .limit(sa.bindparam("limit"))
)
_REQUESTS = sa.select(*_REQUEST).where(_any_of(_requests.request_id))
_PAYLOADS = sa.select(
    schema.payloads.c.digest, schema.payloads.c.exchange_id, schema.payloads.c.sealed
).where(_any_of(schema.payloads.c.digest))
_INBOX_HEADS, _OUTBOX_HEADS = (
    sa.select(table.c.agency, table.c.last_seq).where(_any_of(table.c.agency))
    for table in (schema.inbox_heads, schema.outbox_heads)
)
# The lock says nothing on SQLite, where the transaction already holds the only write lock.
_READ_HEAD = sa.select(schema.head.c.next_position, schema.head.c.registry_version)
_FROZEN = sa.select(schema.leadership.c.frozen)
_READ_AND_LOCK_HEAD = _READ_HEAD.with_for_update()
_MOVE_HEAD = sa.update(schema.head).values(
    next_position=sa.bindparam("next"), registry_version=sa.bindparam("registry")
)


def _moving(heads: sa.Table) -> sa.Insert:
    insert = upsert(heads)
    return insert.on_conflict_do_update(
        index_elements=["agency"], set_={"last_seq": insert.excluded.last_seq}
    )


_INSERT_EVENTS = sa.insert(schema.events)
_INSERT_REQUESTS = sa.insert(schema.requests)
_INSERT_PAYLOADS = sa.insert(schema.payloads)
# Two keys may have one issuer: what is there already is the same, by its digest.
_INSERT_EVIDENCE = upsert(schema.evidence).on_conflict_do_nothing()
_MOVE_INBOX_HEADS = _moving(schema.inbox_heads)
_MOVE_OUTBOX_HEADS = _moving(schema.outbox_heads)


def _append(plain: Plain, events: Sequence[StoredEvent], *, expected_head: int | None) -> int:
    """Append events at the head of the log, and move it; the first position."""
    head = _read_head(plain, lock=True)
    first = head.next_position
    if expected_head not in {None, first}:
        raise HeadMoved(f"the log ends at {first}, not at {expected_head}")
    rows = [
        (
            position,
            _require_uuid(event.originator_id).bytes,
            event.originator_version,
            event.topic,
            event.topic in REGISTRY_TOPICS,
            event.state,
        )
        for position, event in enumerate(events, first)
    ]
    if rows:
        with _conflict("another event has this version of its aggregate"):
            plain.insert(_INSERT_EVENTS, rows)
        offset = _last_registry_offset(events)
        registry = head.registry_version if offset is None else first + offset
        plain.change(_MOVE_HEAD, {"next": first + len(rows), "registry": registry})
    return first


def _read_head(plain: Plain, *, lock: bool = False) -> Head:
    (row,) = plain.rows(_READ_AND_LOCK_HEAD if lock else _READ_HEAD)
    return Head(*row)


def _insert_requests(plain: Plain, requests: Sequence[NewRequest], first: int) -> None:
    rows = [
        (
            request.request_id,
            request.caller,
            request.digest,
            first + request.offset,
            None if request.exchange_id is None else request.exchange_id.bytes,
        )
        for request in requests
    ]
    with _conflict("this caller's request id was accepted before"):
        plain.insert(_INSERT_REQUESTS, rows)


def _insert_payloads(plain: Plain, payloads: Sequence[SealedPayload]) -> None:
    rows = [(payload.digest, payload.exchange_id.bytes, payload.sealed) for payload in payloads]
    with _conflict("this payload was stored before"):
        plain.insert(_INSERT_PAYLOADS, rows)


def _move_heads(plain: Plain, statement: sa.Insert, heads: Mapping[str, int]) -> None:
    # Which box it was, the trigger's own message says.
    with _conflict("a number was given before"):
        plain.insert(statement, list(heads.items()))


@contextmanager
def _conflict(message: str) -> Iterator[None]:
    try:
        yield
    except sa.exc.IntegrityError as error:
        raise IntegrityError(f"{message} ({error.orig})") from error


def _require_consistent(commit: Commit) -> None:
    """Refuse a commit whose parts say different things; it would be wrong for ever."""
    if commit.registry_offset != _last_registry_offset(commit.events):
        raise ValueError("registry_offset is not that of the last registry event")
    if not all(0 <= request.offset < len(commit.events) for request in commit.requests):
        raise ValueError("a request names an event that is not in its commit")
    if any(sha256(data).digest() != digest for digest, data in commit.evidence.items()):
        raise ValueError("a piece of evidence does not hash to its digest")


def _last_registry_offset(events: Sequence[StoredEvent]) -> int | None:
    offsets = (n for n in reversed(range(len(events))) if events[n].topic in REGISTRY_TOPICS)
    return next(offsets, None)


def _accepted_request(row: Iterable[Any]) -> AcceptedRequest:
    caller, request_id, digest, position, exchange_id = row
    exchange = None if exchange_id is None else UUID(bytes=exchange_id)
    return AcceptedRequest(caller, request_id, digest, position, exchange)


def _require_uuid(originator_id: UUID | str) -> UUID:
    if not isinstance(originator_id, UUID):
        raise TypeError("an aggregate id is a UUID")
    return originator_id
