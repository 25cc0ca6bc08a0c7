"""A key of the hub itself: announced, active, then retired or compromised."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import event

from hub.domain.aggregate import Aggregate


class HubKey(Aggregate):
    """The life of one key that signs checkpoints."""

    TOPIC = "hub.HubKey"

    class Created(Aggregate.Created):
        """The key exists and will be used. `verifier_key` is a C2SP signed-note key.

        `request_id` is the operator's; empty for a key that nobody asked for by itself.
        """

        TOPIC = "hub.HubKey.HubKeyAnnounced"
        class_version = 2
        purpose: str
        verifier_key: str
        by: str
        request_id: str

        @staticmethod
        def upcast_v1_v2(data: Mapping[str, Any]) -> Mapping[str, Any]:
            """Keys came with a new or reopened log, before operators could ask for one."""
            return {**data, "request_id": ""}

    class HubKeyActivated(Aggregate.Event):
        """From here on the key signs."""

        TOPIC = "hub.HubKey.HubKeyActivated"
        verifier_key: str
        by: str

    class HubKeyRetired(Aggregate.Event):
        """The key signs nothing any more; what it signed stays good up to `size`.

        `size` is this event's own position: no tree that holds its end was signed by it. In a
        log that was reopened it is the last size that the old key is known to have signed.
        """

        TOPIC = "hub.HubKey.HubKeyRetired"
        class_version = 2
        verifier_key: str
        size: int
        by: str
        request_id: str

        @staticmethod
        def upcast_v1_v2(data: Mapping[str, Any]) -> Mapping[str, Any]:
            """Keys ended with their log only."""
            return {**data, "request_id": ""}

    class HubKeyCompromised(Aggregate.Event):
        """Others may have had the key; what it signed counts only up to `size`, if consistent."""

        TOPIC = "hub.HubKey.HubKeyCompromised"
        verifier_key: str
        size: int
        by: str

    @classmethod
    def announce(
        cls,
        *,
        key_id: UUID,
        at: datetime,
        purpose: str,
        verifier_key: str,
        by: str,
        request_id: str = "",
    ) -> Self:
        """Make a key known before it is used."""
        return cls._create(
            cls.Created,
            id=key_id,
            timestamp=at,
            purpose=purpose,
            verifier_key=verifier_key,
            by=by,
            request_id=request_id,
        )

    def __init__(self, verifier_key: str) -> None:
        self.verifier_key = verifier_key
        self.active = False
        self.closed = False

    def activate(self, *, at: datetime, by: str) -> None:
        """Begin to sign with the key."""
        self.trigger_event(
            self.HubKeyActivated, timestamp=at, verifier_key=self.verifier_key, by=by
        )

    def close(
        self, *, at: datetime, compromised: bool, size: int, by: str, request_id: str = ""
    ) -> None:
        """End the key with the last tree that it may have signed."""
        facts = {"verifier_key": self.verifier_key, "size": size, "by": by}
        if compromised:
            self.trigger_event(self.HubKeyCompromised, timestamp=at, **facts)
        else:
            self.trigger_event(self.HubKeyRetired, timestamp=at, request_id=request_id, **facts)

    @event(HubKeyRetired)
    def _apply_retired(self) -> None:
        self.active, self.closed = False, True

    @event(HubKeyCompromised)
    def _apply_compromised(self) -> None:
        self.active, self.closed = False, True

    @event(HubKeyActivated)
    def _apply_activated(self) -> None:
        self.active = True
