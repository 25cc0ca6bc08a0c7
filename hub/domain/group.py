"""A named list of agencies, kept by the hub so that senders need not keep their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

from eventsourcing.domain import event

from hub.domain.aggregate import Aggregate
from hub.errors import TooLarge

# As many as an envelope may name.
MEMBERS_MAX = 1000


class Group(Aggregate):
    """A group of agencies. It decides nothing: a sender expands it and signs the members.

    No TOPIC here and no Created event, as for deliveries: the first change makes the group,
    and one without members is no more.
    """

    INITIAL_VERSION = 1

    class GroupChanged(Aggregate.Event):
        """The group has this name and these members from here on, all of them, by code."""

        TOPIC = "hub.Group.GroupChanged"
        group: str
        name: str
        members: list[str]
        by: str
        request_id: str

    @classmethod
    def begin(cls, group_id: UUID, at: datetime) -> Self:
        """A group about which nothing has been said."""
        group = cls.__new__(cls)
        group.__base_init__(group_id, 0, at)
        group.members = []
        return group

    members: list[str]

    def change(
        self,
        *,
        at: datetime,
        group: str,
        name: str,
        members: Sequence[str],
        by: str,
        request_id: str,
    ) -> None:
        """Give it a name and members. Raises TooLarge."""
        if len(members) > MEMBERS_MAX:
            raise TooLarge(f"a group has at most {MEMBERS_MAX} members", limit=str(MEMBERS_MAX))
        self.trigger_event(
            self.GroupChanged,
            timestamp=at,
            group=group,
            name=name,
            members=list(members),
            by=by,
            request_id=request_id,
        )

    @event(GroupChanged)
    def _apply_changed(self, members: list[str]) -> None:
        self.members = members
