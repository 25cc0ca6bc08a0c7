"""What goes over the axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from hub.application.ports.views import RelayRow
from hub.domain.relay import Direction, RelayKind, RelayState

Place = tuple[int, UUID]
"""Where a package stands in lists: its position, then its id."""


@dataclass(frozen=True, slots=True)
class RelayTally:
    """How many packages stand alike, and since when the oldest of them does."""

    direction: Direction
    kind: RelayKind
    state: RelayState
    count: int
    oldest: datetime


class RelayList(Protocol):
    """The views once more, for what goes over the axis. Untrusted and disposable, like Views."""

    def due(self, at: datetime, after: Place | None, limit: int) -> Sequence[RelayRow]:
        """Outgoing packages that may be made or sent now, by their place, beyond one."""
        ...

    def known(self, axis_id: str) -> RelayRow | None:
        """The package that came under this id of the axis."""
        ...

    def called(self, document_key: bytes) -> Sequence[RelayRow]:
        """Documents that came and that their sender calls so; at most 100."""
        ...

    def sent_since(self, since: datetime, after: Place | None, limit: int) -> Sequence[RelayRow]:
        """Outgoing packages the axis took at `since` or later, by their place, beyond one."""
        ...

    def listed(
        self,
        state: RelayState | None,
        direction: Direction | None,
        after: Place | None,
        limit: int,
    ) -> Sequence[RelayRow]:
        """Packages by their place, beyond one; where no state is given, all that are not over."""
        ...

    def tallies(self) -> Sequence[RelayTally]:
        """All packages, counted."""
        ...

    def oldest_unanswered(self) -> datetime | None:
        """When the oldest document was sent of which a recipient has said nothing yet."""
        ...
