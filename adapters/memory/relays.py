"""What goes over the axis, over the views in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from adapters.memory.views import MemoryViews
from hub.application.ports import DeliveryRow, Place, RelayRow, RelayTally
from hub.domain.delivery import DeliveryState
from hub.domain.relay import Direction, RelayKind, RelayState

_OPEN = (RelayState.WAITING, RelayState.QUEUED, RelayState.FAILED)
_OVER = (RelayState.SENT, RelayState.TAKEN, RelayState.SPLIT, RelayState.ERASED)


class MemoryRelayList:
    """The port RelayList."""

    def __init__(self, views: MemoryViews) -> None:
        self._views = views

    def due(self, at: datetime, after: Place | None, limit: int) -> Sequence[RelayRow]:
        """Outgoing packages that may be made or sent now, by their place, beyond one."""
        found = [
            row
            for row in self._rows()
            if row.direction is Direction.OUT
            and row.state in _OPEN
            and _is_beyond(row, after)
            and (row.again_at is None or row.again_at <= at)
        ]
        return found[:limit]

    def known(self, axis_id: str) -> RelayRow | None:
        """The package that came under this id of the axis."""
        found = [
            row for row in self._rows() if row.axis_id == axis_id and row.direction is Direction.IN
        ]
        return found[0] if found else None

    def called(self, document_key: bytes) -> Sequence[RelayRow]:
        """Documents that came and that their sender calls so."""
        return [row for row in self._rows() if row.document_key == document_key]

    def sent_since(self, since: datetime, after: Place | None, limit: int) -> Sequence[RelayRow]:
        """Outgoing packages the axis took at `since` or later, by their place, beyond one."""
        found = [
            row
            for row in self._rows()
            if row.state is RelayState.SENT and _is_beyond(row, after) and row.updated_at >= since
        ]
        return found[:limit]

    def listed(
        self,
        state: RelayState | None,
        direction: Direction | None,
        after: Place | None,
        limit: int,
    ) -> Sequence[RelayRow]:
        """Packages by their place, beyond one; where no state is given, all that are not over."""
        found = [
            row
            for row in self._rows()
            if _is_beyond(row, after)
            and direction in (None, row.direction)
            and (row.state not in _OVER if state is None else row.state is state)
        ]
        return found[:limit]

    def tallies(self) -> Sequence[RelayTally]:
        """All packages, counted."""
        alike: dict[tuple[Direction, RelayKind, RelayState], list[datetime]] = defaultdict(list)
        for row in self._rows():
            alike[row.direction, row.kind, row.state].append(row.since)
        order = sorted(alike, key=lambda key: (key[0] is Direction.IN, key[1].value, key[2]))
        return [RelayTally(*key, len(alike[key]), min(alike[key])) for key in order]

    def oldest_unanswered(self) -> datetime | None:
        """When the oldest document was sent of which a recipient has said nothing yet."""
        waiting = {
            row.exchange_id
            for row in self._views.rows()
            if isinstance(row, DeliveryRow) and row.state is DeliveryState.CONSIGNED
        }
        found = [
            row.updated_at
            for row in self._rows()
            if row.state is RelayState.SENT
            and row.kind is RelayKind.DOCUMENT
            and row.exchange_id in waiting
        ]
        return min(found, default=None)

    def _rows(self) -> list[RelayRow]:
        found = [row for row in self._views.rows() if isinstance(row, RelayRow)]
        return sorted(found, key=lambda row: (row.position, row.relay_id))


def _is_beyond(row: RelayRow, after: Place | None) -> bool:
    return after is None or (row.position, row.relay_id) > after
