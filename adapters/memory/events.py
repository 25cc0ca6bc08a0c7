"""The event log in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from threading import Lock
from uuid import UUID

from eventsourcing.persistence import IntegrityError, StoredEvent

from adapters.memory.faults import FaultSwitch, breakable
from hub.application.ports import (
    AcceptedRequest,
    Appending,
    Commit,
    Erasure,
    Head,
    HeadMoved,
    LogEntry,
    SealedPayload,
)
from hub.domain.axis_link import AxisLink
from hub.domain.catalogue import ERASURE_TOPICS, REGISTRY_TOPICS
from hub.domain.exchange import Exchange
from hub.domain.revocation_evidence import RevocationEvidence
from hub.domain.timestamp import Timestamp

_DIGEST_BYTES = 32


@dataclass(slots=True)
class _Tables:
    entries: list[LogEntry] = field(default_factory=list)
    by_aggregate: dict[UUID, list[LogEntry]] = field(default_factory=dict)
    requests: dict[tuple[str, str], AcceptedRequest] = field(default_factory=dict)
    payloads: dict[bytes, SealedPayload] = field(default_factory=dict)
    evidence: dict[bytes, bytes] = field(default_factory=dict)
    inbox_heads: dict[str, int] = field(default_factory=dict)
    outbox_heads: dict[str, int] = field(default_factory=dict)
    erased_below: int = 0


@dataclass(frozen=True, slots=True)
class _End:
    head: Head
    append: Callable[[Commit], None]


class MemoryEventLog:
    """The port EventLog.

    Stricter than the database: the versions of an aggregate follow one another, the
    numbers of a box rise, digests have 32 bytes, evidence hashes to its digest.
    """

    def __init__(self) -> None:
        self._tables = _Tables()
        self._registry_version = -1
        self._end = Lock()
        self.faults = FaultSwitch(self)

    @breakable
    def head(self) -> Head:
        """Where the log ends now."""
        return Head(len(self._tables.entries), self._registry_version)

    @breakable
    def commit(self, commit: Commit) -> None:
        """Write everything or nothing.

        Raises HeadMoved; IntegrityError for what is there already; ValueError for a commit
        that contradicts itself.
        """
        first = len(self._tables.entries)
        if commit.expected_head != first:
            raise HeadMoved(f"the log ends at {first}, not at {commit.expected_head}")
        entries = [_entry(first + offset, event) for offset, event in enumerate(commit.events)]
        # All checks first: what follows them cannot fail in the middle.
        _require_registry_offset(commit, entries)
        self._require_new_versions(entries)
        requests = self._new_requests(commit, first)
        payloads = self._new_payloads(commit.payloads)
        _require_digests(commit)
        _require_rising(self._tables.inbox_heads, commit.inbox_heads)
        _require_rising(self._tables.outbox_heads, commit.outbox_heads)

        self._tables.entries += entries
        for entry in entries:
            self._tables.by_aggregate.setdefault(entry.aggregate_id, []).append(entry)
        self._tables.requests |= requests
        self._tables.payloads |= payloads
        self._tables.evidence |= {key: bytes(data) for key, data in commit.evidence.items()}
        self._tables.inbox_heads |= commit.inbox_heads
        self._tables.outbox_heads |= commit.outbox_heads
        if commit.registry_offset is not None:
            self._registry_version = first + commit.registry_offset

    @contextmanager
    def appending(self) -> Iterator[Appending]:
        """Hold the end of the log: what is appended is written when the block is left."""
        with self._end:
            taken: list[Commit] = []
            yield _End(self.head(), taken.append)
            for commit in taken:
                self.commit(commit)

    @breakable
    def entries(self, start: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` entries from position `start` on, in order."""
        if start < 0 or limit < 0:
            raise ValueError("positions and limits are not negative")
        return self._tables.entries[start : start + limit]

    @breakable
    def registry_entries(self, after: int = -1, topics: Collection[str] = ()) -> Iterator[LogEntry]:
        """All events above `after` that decide who may do what, in order."""
        above = self._tables.entries[after + 1 :]
        wanted = REGISTRY_TOPICS.intersection(topics) if topics else REGISTRY_TOPICS
        return iter([entry for entry in above if entry.topic in wanted])

    @breakable
    def timestamps(self, start: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `TimestampObtained` from position `start` on, in order."""
        if start < 0 or limit < 0:
            raise ValueError("positions and limits are not negative")
        found = (
            each for each in self._tables.entries[start:] if each.topic == Timestamp.Created.TOPIC
        )
        return list(islice(found, limit))

    @breakable
    def verdicts(self, below: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `SignatureVerdictMade` below a position, the newest first."""
        return self._newest_first(Exchange.SignatureVerdictMade.TOPIC, below, limit)

    @breakable
    def reconciliations(self, below: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `ReconciliationMade` below a position, the newest first."""
        return self._newest_first(AxisLink.ReconciliationMade.TOPIC, below, limit)

    @breakable
    def revocation_evidence(self, below: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `RevocationEvidenceStored` below a position, the newest first."""
        return self._newest_first(RevocationEvidence.Created.TOPIC, below, limit)

    def _newest_first(self, topic: str, below: int, limit: int) -> Sequence[LogEntry]:
        if below < 0 or limit < 0:
            raise ValueError("positions and limits are not negative")
        found = (each for each in reversed(self._tables.entries[:below]) if each.topic == topic)
        return list(islice(found, limit))

    @breakable
    def entries_of(
        self, aggregate_ids: Sequence[UUID], start: int, limit: int
    ) -> Sequence[LogEntry]:
        """At most `limit` entries of these aggregates from position `start` on, in order."""
        if start < 0 or limit < 0:
            raise ValueError("positions and limits are not negative")
        histories = (self._tables.by_aggregate.get(each, []) for each in set(aggregate_ids))
        found = [entry for history in histories for entry in history if entry.position >= start]
        return sorted(found, key=lambda entry: entry.position)[:limit]

    @breakable
    def select_events(self, originator_id: UUID) -> Sequence[StoredEvent]:
        """The history of one aggregate, oldest first."""
        history = self._tables.by_aggregate.get(originator_id, [])
        return [
            StoredEvent(entry.aggregate_id, entry.version, entry.topic, entry.state)
            for entry in history
        ]

    @breakable
    def requests(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], AcceptedRequest]:
        """Those of the (caller, request id) pairs that were accepted."""
        known = self._tables.requests
        return {key: known[key] for key in keys if key in known}

    @breakable
    def request_of(self, digest: bytes) -> AcceptedRequest | None:
        """The accepted request whose payload has this digest; the first, if there are two."""
        found = (each for each in self._tables.requests.values() if each.digest == digest)
        return min(found, key=lambda request: request.position, default=None)

    @breakable
    def request_count(self) -> int:
        """How many requests were ever accepted."""
        return len(self._tables.requests)

    @breakable
    def payload(self, digest: bytes) -> SealedPayload | None:
        """A payload, sealed; None when it was erased or never was."""
        return self._tables.payloads.get(digest)

    @breakable
    def payloads(self, digests: Sequence[bytes]) -> dict[bytes, SealedPayload]:
        """Those of the payloads that are there, by digest."""
        known = self._tables.payloads
        return {digest: known[digest] for digest in digests if digest in known}

    @breakable
    def evidence(self, digest: bytes) -> bytes | None:
        """A certificate or the like by its SHA-256."""
        return self._tables.evidence.get(digest)

    @breakable
    def inbox_heads(self, agencies: Sequence[str]) -> dict[str, int]:
        """The last inbox number given to each agency; absent means none yet."""
        return _some(self._tables.inbox_heads, agencies)

    @breakable
    def outbox_heads(self, agencies: Sequence[str]) -> dict[str, int]:
        """The last outbox number given to each agency; absent means none yet."""
        return _some(self._tables.outbox_heads, agencies)

    @breakable
    def erasures(self, start: int, limit: int) -> Sequence[Erasure]:
        """At most `limit` documents erased at position `start` or later, in order."""
        return [
            Erasure(entry.position, entry.aggregate_id)
            for entry in self._tables.entries[start:]
            if entry.topic in ERASURE_TOPICS
        ][:limit]

    @breakable
    def erased_below(self) -> int:
        """Every erasure at a lower position has been carried out here."""
        return self._tables.erased_below

    @breakable
    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """Destroy the payloads of these exchanges, then remember `below`."""
        kept = self._tables.payloads.items()
        self._tables.payloads = {
            digest: payload for digest, payload in kept if payload.exchange_id not in exchange_ids
        }
        self._tables.erased_below = below

    def _require_new_versions(self, entries: Sequence[LogEntry]) -> None:
        newest: dict[UUID, int] = {}
        for entry in entries:
            known = self._tables.by_aggregate.get(entry.aggregate_id)
            last = newest.get(entry.aggregate_id, known[-1].version if known else None)
            if last is not None and entry.version <= last:
                raise IntegrityError("another event has this version of its aggregate")
            if last is not None and entry.version != last + 1:
                raise ValueError(f"version {entry.version} of an aggregate follows {last}")
            newest[entry.aggregate_id] = entry.version

    def _new_requests(self, commit: Commit, first: int) -> dict[tuple[str, str], AcceptedRequest]:
        new: dict[tuple[str, str], AcceptedRequest] = {}
        for request in commit.requests:
            key = (request.caller, request.request_id)
            if key in self._tables.requests or key in new:
                raise IntegrityError("this caller's request id was accepted before")
            if not 0 <= request.offset < len(commit.events):
                raise ValueError("a request names an event that is not in its commit")
            position = first + request.offset
            new[key] = AcceptedRequest(*key, request.digest, position, request.exchange_id)
        return new

    def _new_payloads(self, payloads: Sequence[SealedPayload]) -> dict[bytes, SealedPayload]:
        new = {payload.digest: payload for payload in payloads}
        if len(new) < len(payloads) or new.keys() & self._tables.payloads.keys():
            raise IntegrityError("this payload was stored before")
        return new


def _entry(position: int, event: StoredEvent) -> LogEntry:
    if not isinstance(event.originator_id, UUID):
        raise TypeError("an aggregate id is a UUID")
    aggregate, version = event.originator_id.bytes, event.originator_version
    return LogEntry(position, aggregate, version, event.topic, bytes(event.state))


def _require_registry_offset(commit: Commit, entries: Sequence[LogEntry]) -> None:
    offsets = [n for n, entry in enumerate(entries) if entry.topic in REGISTRY_TOPICS]
    if commit.registry_offset != max(offsets, default=None):
        raise ValueError("registry_offset is not that of the last registry event")


def _require_digests(commit: Commit) -> None:
    digests = [request.digest for request in commit.requests]
    digests += [payload.digest for payload in commit.payloads]
    if any(len(digest) != _DIGEST_BYTES for digest in digests):
        raise ValueError("a digest has 32 bytes")
    if any(sha256(data).digest() != digest for digest, data in commit.evidence.items()):
        raise ValueError("a piece of evidence does not hash to its digest")


def _require_rising(known: Mapping[str, int], moved: Mapping[str, int]) -> None:
    if any(last_seq <= known.get(agency, 0) for agency, last_seq in moved.items()):
        raise IntegrityError("a number was given before")


def _some(heads: Mapping[str, int], agencies: Sequence[str]) -> dict[str, int]:
    return {agency: heads[agency] for agency in agencies if agency in heads}
