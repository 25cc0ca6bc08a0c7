"""A key of the hub itself: announced, active, then retired or compromised."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from eventsourcing.domain import event

from hub.domain.aggregate import Aggregate


class HubKey(Aggregate):
    """The life of one key that signs checkpoints."""

    TOPIC = "hub.HubKey"

    class Created(Aggregate.Created):
        """The key exists and will be used. `verifier_key` is a C2SP signed-note key."""

        TOPIC = "hub.HubKey.HubKeyAnnounced"
        purpose: str
        verifier_key: str
        by: str

    class HubKeyActivated(Aggregate.Event):
        """From here on the key signs."""

        TOPIC = "hub.HubKey.HubKeyActivated"
        verifier_key: str
        by: str

    class HubKeyRetired(Aggregate.Event):
        """The key signs nothing any more; what it signed stays good up to `size`."""

        TOPIC = "hub.HubKey.HubKeyRetired"
        verifier_key: str
        size: int
        by: str

    class HubKeyCompromised(Aggregate.Event):
        """Others may have had the key; what it signed counts only up to `size`, if consistent."""

        TOPIC = "hub.HubKey.HubKeyCompromised"
        verifier_key: str
        size: int
        by: str

    @classmethod
    def announce(
        cls, *, key_id: UUID, at: datetime, purpose: str, verifier_key: str, by: str
    ) -> Self:
        """Make a key known before it is used."""
        return cls._create(
            cls.Created,
            id=key_id,
            timestamp=at,
            purpose=purpose,
            verifier_key=verifier_key,
            by=by,
        )

    def __init__(self, verifier_key: str) -> None:
        self.verifier_key = verifier_key
        self.active = False

    def activate(self, *, at: datetime, by: str) -> None:
        """Begin to sign with the key."""
        self.trigger_event(
            self.HubKeyActivated, timestamp=at, verifier_key=self.verifier_key, by=by
        )

    def close(self, *, at: datetime, compromised: bool, size: int, by: str) -> None:
        """End the key with the last tree that it may have signed."""
        self.trigger_event(
            self.HubKeyCompromised if compromised else self.HubKeyRetired,
            timestamp=at,
            verifier_key=self.verifier_key,
            size=size,
            by=by,
        )

    @event(HubKeyRetired)
    def _apply_retired(self) -> None:
        self.active = False

    @event(HubKeyCompromised)
    def _apply_compromised(self) -> None:
        self.active = False

    @event(HubKeyActivated)
    def _apply_activated(self) -> None:
        self.active = True
