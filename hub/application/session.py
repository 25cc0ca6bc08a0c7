"""One batch being decided: what its commands read, and what they add, until it is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from hub.application.certificates import SuitableCertificate
from hub.application.history import History
from hub.application.mapper import ClosedMapper, read_event
from hub.application.ports import (
    AcceptedRequest,
    Commit,
    EventLog,
    NewRequest,
    Randomness,
    RequestKey,
    SealedPayload,
)
from hub.application.registry import Registry
from hub.domain.aggregate import Aggregate
from hub.domain.catalogue import REGISTRY_TOPICS
from hub.domain.values import uuid7
from hub.proof.leaf import Event


@dataclass(slots=True)
class _Additions:
    """What has been decided so far; cut back when a command is refused."""

    events: list[StoredEvent] = field(default_factory=list)
    requests: list[NewRequest] = field(default_factory=list)
    payloads: list[SealedPayload] = field(default_factory=list)
    evidence: dict[bytes, bytes] = field(default_factory=dict)
    document_keys: dict[UUID, bytes] = field(default_factory=dict)
    inbox_heads: dict[str, int] = field(default_factory=dict)
    outbox_heads: dict[str, int] = field(default_factory=dict)
    touched: dict[UUID, Aggregate] = field(default_factory=dict)


class Session:
    """The unit of work of the writing lane, used by its one thread.

    Commands of a batch see what earlier commands of the batch decided. A refused command
    leaves nothing behind.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        history: History,
        mapper: ClosedMapper,
        registry: Registry,
        randomness: Randomness,
        next_position: int,
        at: datetime,
    ) -> None:
        self.registry = registry
        self.at = at
        self._log = log
        self._history = history
        self._mapper = mapper
        self._randomness = randomness
        self._first_position = next_position
        self._registry_offset: int | None = None
        self._added = _Additions()
        self._current = _Additions()
        self._current_registry = registry

    # --- what commands read -------------------------------------------------------

    @property
    def history(self) -> History:
        """Aggregates as of this point of the batch."""
        return self._history

    def request_of(self, envelope_digest: bytes) -> AcceptedRequest | None:
        """The accepted statement with this digest, committed before this batch."""
        return self._log.request_of(envelope_digest)

    def fact(self, position: int) -> Event:
        """A fact that was committed before this batch."""
        (entry,) = self._log.entries(position, 1)
        return read_event(entry.state)

    # --- what commands add --------------------------------------------------------

    @property
    def next_position(self) -> int:
        """The position of the next fact that is recorded."""
        return self._first_position + len(self._added.events) + len(self._current.events)

    def new_id(self) -> UUID:
        """An aggregate id in order of time."""
        return uuid7(self.at, self._randomness(10))

    def next_inbox_seqs(self, agencies: Sequence[str]) -> list[int]:
        """The next gapless number of each agency's inbox."""
        heads, before = self._current.inbox_heads, self._added.inbox_heads
        missing = [each for each in agencies if each not in heads and each not in before]
        stored = self._log.inbox_heads(missing) if missing else {}
        for each in agencies:
            heads[each] = heads.get(each, before.get(each, stored.get(each, 0))) + 1
        return [heads[each] for each in agencies]

    def next_outbox_seq(self, agency: str) -> int:
        """The next gapless number of an agency's outbox."""
        last = self._current.outbox_heads.get(agency, self._added.outbox_heads.get(agency))
        if last is None:
            last = self._log.outbox_heads([agency]).get(agency, 0)
        self._current.outbox_heads[agency] = last + 1
        return last + 1

    def add_payload(self, payload: SealedPayload) -> None:
        """Keep a statement's payload."""
        self._current.payloads.append(payload)

    def add_evidence(self, digest: bytes, data: bytes) -> None:
        """Keep a certificate or the like for good."""
        self._current.evidence[digest] = data

    def add_certificate(self, certificate: SuitableCertificate) -> None:
        """Keep a certificate and those above it for good."""
        self._current.evidence.update(certificate.evidence)

    def add_document_key(self, exchange_id: UUID, key: bytes) -> None:
        """Keep the key of a new exchange."""
        self._current.document_keys[exchange_id] = key

    def record(
        self,
        aggregate: Aggregate,
        request: RequestKey | None = None,
        exchange_id: UUID | None = None,
    ) -> None:
        """Add an aggregate's new facts; the first of them answers `request`."""
        offset = len(self._added.events) + len(self._current.events)
        if request is not None:
            self._current.requests.append(
                NewRequest(request.caller, request.request_id, request.digest, offset, exchange_id)
            )
        for domain_event in aggregate.collect_events():
            stored = self._mapper.to_stored_event(domain_event)
            self._current.events.append(stored)
            self._note_registry_change(stored, offset)
            offset += 1
        self._current.touched[aggregate.id] = aggregate
        self._history.keep(aggregate)

    def _note_registry_change(self, stored: StoredEvent, offset: int) -> None:
        if stored.topic not in REGISTRY_TOPICS:
            return
        self._current_registry = self._current_registry.advanced(
            read_event(stored.state), self._first_position + offset, self._evidence
        )

    def _evidence(self, digest: bytes) -> bytes | None:
        return (
            self._current.evidence.get(digest)
            or self._added.evidence.get(digest)
            or self._log.evidence(digest)
        )

    # --- what the lane does with it -----------------------------------------------

    def accept(self) -> int:
        """Keep what the current command added; the position of its first event."""
        position = self._first_position + len(self._added.events)
        if self._current_registry is not self.registry:
            self.registry = self._current_registry
            self._registry_offset = self.registry.version - self._first_position
        self._added.events += self._current.events
        self._added.requests += self._current.requests
        self._added.payloads += self._current.payloads
        self._added.evidence |= self._current.evidence
        self._added.document_keys |= self._current.document_keys
        self._added.inbox_heads |= self._current.inbox_heads
        self._added.outbox_heads |= self._current.outbox_heads
        self._added.touched |= self._current.touched
        self._current = _Additions()
        return position

    def reject(self) -> None:
        """Drop what the current command added, and every aggregate it may have changed."""
        for aggregate_id in self._current.touched:
            self._history.drop(aggregate_id)
        self._current = _Additions()
        self._current_registry = self.registry

    @property
    def document_keys(self) -> Mapping[UUID, bytes]:
        """The keys of the new exchanges."""
        return self._added.document_keys

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self._added.events

    def commit(self) -> Commit:
        """All that the accepted commands added."""
        return Commit(
            expected_head=self._first_position,
            events=self._added.events,
            registry_offset=self._registry_offset,
            requests=self._added.requests,
            payloads=self._added.payloads,
            evidence=self._added.evidence,
            inbox_heads=self._added.inbox_heads,
            outbox_heads=self._added.outbox_heads,
        )
