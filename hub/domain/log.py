"""The log itself: its first fact says which log it is."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from hub.domain.aggregate import Aggregate


class Log(Aggregate):
    """The transparency log of one hub."""

    TOPIC = "hub.Log"

    class Created(Aggregate.Created):
        """The log was opened under an origin, the name every statement and checkpoint carries."""

        TOPIC = "hub.Log.LogOpened"
        origin: str

    @classmethod
    def open(cls, *, log_id: UUID, at: datetime, origin: str) -> Self:
        """Open the log; always the event at position 0."""
        return cls._create(cls.Created, id=log_id, timestamp=at, origin=origin)

    def __init__(self, origin: str) -> None:
        self.origin = origin
