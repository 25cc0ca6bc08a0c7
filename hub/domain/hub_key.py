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

    @event(HubKeyActivated)
    def _apply_activated(self) -> None:
        self.active = True
