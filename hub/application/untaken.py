"""What waits at the axis and is not here, by the time we saw it first: on its way, or lost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.application.axis import MessageKind
from hub.domain.values import format_time, parse_time

_KEY = "untaken"
# Oldest first: beyond this, what is new is forgotten, and seen again.
_TOLD_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Untaken:
    """A package that the axis lists and we do not know; `since` is when we saw it there first."""

    kind: MessageKind
    axis_id: str
    since: datetime


class Noticed:
    """Remembers by our own looks, not by the axis's word, since when each package has waited.

    Looks may be far apart, and by several processes: each comparison's report says what it knew,
    and the next one goes on from there.
    """

    def __init__(self, grace: timedelta) -> None:
        """`grace` is how long a package may wait before it counts as lost."""
        self._grace = grace
        self._since: dict[MessageKind, dict[str, datetime]] = {kind: {} for kind in MessageKind}

    def recall(self, report: bytes) -> None:
        """Take up what the report of an earlier comparison says. Reports of before say nothing."""
        for said in json.loads(report).get(_KEY, ()):
            known = self._since[MessageKind(said["kind"])]
            since = parse_time(said["since"])
            known[said["axis_id"]] = min(since, known.get(said["axis_id"], since))

    def note(self, kind: MessageKind, axis_ids: Iterable[str], at: datetime) -> None:
        """These wait, and no others of this kind. What was seen in the future is seen now."""
        known = self._since[kind]
        self._since[kind] = {each: min(at, known.get(each, at)) for each in axis_ids}

    def all(self) -> Sequence[Untaken]:
        """What waits, the oldest first."""
        found = (
            Untaken(kind, axis_id, since)
            for kind, known in self._since.items()
            for axis_id, since in known.items()
        )
        return sorted(found, key=lambda each: (each.since, each.axis_id))

    def lost(self, at: datetime) -> Sequence[Untaken]:
        """What has waited for as long as nothing may that is on its way."""
        return [each for each in self.all() if at - each.since >= self._grace]

    def said(self) -> dict[str, object]:
        """What `recall` reads, as a member of the report."""
        return {
            _KEY: [
                {
                    "kind": each.kind.value,
                    "axis_id": each.axis_id,
                    "since": format_time(each.since),
                }
                for each in self.all()[:_TOLD_MAX]
            ]
        }
