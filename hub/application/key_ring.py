"""The hub's own keys, as their events say it up to one position: which of them sign a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hub.application.mapper import read_event
from hub.application.ports import LogEntry
from hub.domain.hub_key import HubKey
from hub.errors import LedgerMismatch, VerificationFailed
from hub.proof.leaf import Event
from hub.proof.note import VerifierKey


class KeyState(StrEnum):
    """Where a key is in its life; the last two are ends."""

    ANNOUNCED = "announced"
    ACTIVE = "active"
    RETIRED = "retired"
    COMPROMISED = "compromised"

    @property
    def is_end(self) -> bool:
        """Whether nothing can happen to the key any more."""
        return self in (KeyState.RETIRED, KeyState.COMPROMISED)


@dataclass(frozen=True, slots=True)
class RingKey:
    """One key's life so far: positions of its events, None where they have not come.

    The trees it signs are those of more than `activated` events and, once it is `closed`, of
    at most `size`: its closing size. `since` is when it came into its state.
    """

    key: VerifierKey
    key_id: UUID
    announced: int
    activated: int | None
    closed: int | None
    size: int | None
    state: KeyState
    since: datetime


KEY_TOPICS = frozenset(
    event_class.TOPIC
    for event_class in (
        HubKey.Created,
        HubKey.HubKeyActivated,
        HubKey.HubKeyRetired,
        HubKey.HubKeyCompromised,
    )
)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys there ever were, by their verifier keys, in the order they were announced."""

    keys: Mapping[str, RingKey] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[LogEntry]) -> KeyRing:
        """What these events make, which are in order; others than of keys are passed over."""
        return cls().advanced_by(entries)

    def advanced_by(self, entries: Iterable[LogEntry]) -> KeyRing:
        """This ring after more events."""
        ring = self
        for entry in entries:
            if entry.topic in KEY_TOPICS:
                ring = ring.advanced(read_event(entry.state), entry.position)
        return ring

    def advanced(self, event: Event, position: int) -> KeyRing:
        """This ring after one more event; the same for events that do not concern it."""
        if event.topic not in KEY_TOPICS:
            return self
        vkey = event.data["verifier_key"]
        if event.topic == HubKey.Created.TOPIC:
            entry = _announced(event, position)
        else:
            entry = _changed(self.keys[vkey], event, position)
        return KeyRing({**self.keys, vkey: entry})

    def signing(self, origin: str) -> tuple[VerifierKey, ...]:
        """The keys that sign a tree of the log `origin` with these events, the oldest first."""
        active = sorted(self.active(origin), key=lambda entry: entry.activated or 0)
        return tuple(entry.key for entry in active)

    def active(self, origin: str) -> Iterator[RingKey]:
        """Those that sign now."""
        return (each for each in self.of_log(origin) if each.state is KeyState.ACTIVE)

    def of_log(self, origin: str) -> Iterator[RingKey]:
        """Those named like a log: a log that was reopened has others of its former names."""
        return (entry for entry in self.keys.values() if entry.key.name == origin)


def _announced(event: Event, position: int) -> RingKey:
    try:
        key = VerifierKey.parse(event.data["verifier_key"])
    except VerificationFailed as failure:
        raise LedgerMismatch(f"event {position}: {failure}", position=position) from failure
    return RingKey(key, event.id, position, None, None, None, KeyState.ANNOUNCED, event.time)


def _changed(entry: RingKey, event: Event, position: int) -> RingKey:
    if event.topic == HubKey.HubKeyActivated.TOPIC:
        return replace(entry, activated=position, state=KeyState.ACTIVE, since=event.time)
    retired = event.topic == HubKey.HubKeyRetired.TOPIC
    return replace(
        entry,
        closed=position,
        size=event.data["size"],
        state=KeyState.RETIRED if retired else KeyState.COMPROMISED,
        since=event.time,
    )
