"""What the hub learns of the national axis: who is on it, and whether the books agree."""

from __future__ import annotations

from datetime import datetime
from typing import NotRequired, Self, TypedDict
from uuid import UUID

from hub.domain.aggregate import Aggregate, derived_id


class ListedOnAxis(TypedDict):
    """An organisation as the axis lists it from here on.

    `code` is the one it is written to by. `other_codes` are its codes in other systems. `deleted`
    is there where it is no longer on the axis, `successor` where another code took its place.
    """

    code: str
    name: str
    other_codes: list[str]
    axis_id: str
    deleted: NotRequired[bool]
    successor: NotRequired[str]


class AxisLink(Aggregate):
    """The connection of this log to the axis.

    No Created event, and each event stands by itself: nothing is decided by earlier ones, so that
    years of them need not be read.
    """

    INITIAL_VERSION = 1

    class DirectorySynchronised(Aggregate.Event):
        """The axis's list of organisations changed: these stand there now as they stand here.

        A long change makes several events. `listed` is how many there are on the axis in all.
        """

        TOPIC = "hub.Relay.DirectorySynchronised"
        changes: list[ListedOnAxis]
        listed: int

    class ReconciliationMade(Aggregate.Event):
        """Our ledger was held against the axis's lists.

        `report` is the digest of the report in the evidence store: which packages differ, and
        how. `compared` packages were looked at, `differences` did not agree; `by` is the operator
        who asked for it, or empty.
        """

        TOPIC = "hub.Relay.ReconciliationMade"
        report: str
        compared: int
        differences: int
        waiting: int
        unsent: int
        unanswered: int
        by: str
        request_id: str

    @classmethod
    def begin(cls, link: UUID, at: datetime) -> Self:
        """One fact about the axis; each has an id of its own."""
        self = cls.__new__(cls)
        self.__base_init__(derived_id(link, b"axis-link"), 0, at)
        return self

    def synchronise(self, *, at: datetime, changes: list[ListedOnAxis], listed: int) -> None:
        """Record how the list of organisations changed."""
        self.trigger_event(self.DirectorySynchronised, timestamp=at, changes=changes, listed=listed)

    def reconcile(self, *, at: datetime, **facts: object) -> None:
        """Record that the books were compared."""
        self.trigger_event(self.ReconciliationMade, timestamp=at, **facts)
