"""Which documents need not be kept any longer: policies by kind, from the hub's acceptance on.

A policy erases nothing: what it finds is ordered by one operator and approved by another, as
every erasure is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hub.application.offload import Offloader
from hub.application.ports import Clock, DocumentRow, Retained, RetentionList
from hub.domain.folding import fold


@dataclass(frozen=True, slots=True)
class Due:
    """A document past its time: the kind as the policy names it, and its years."""

    document: DocumentRow
    kind: str
    years: int


@dataclass(frozen=True, slots=True)
class DuePage:
    """Some of what is past its time. `next_after` is None on the last page."""

    documents: Sequence[Due]
    next_after: UUID | None


class Retention:
    """What the policies say. Reads only."""

    def __init__(
        self,
        *,
        years: Mapping[str, int],
        lists: RetentionList,
        offload: Offloader,
        clock: Clock,
    ) -> None:
        """`years` is how long documents of a kind (its name or its code) are kept."""
        self._years = dict(years)
        self._lists = lists
        self._offload = offload
        self._clock = clock

    async def due(self, after: UUID | None, limit: int) -> DuePage:
        """Documents past their time, in the order they were accepted; those after one.

        A kind that no policy names is kept for ever. Where the name of a kind and its code
        have policies of their own, the longer one holds.
        """
        at = self._clock()
        policies = [
            Retained(fold(kind), years_before(at, years)) for kind, years in self._years.items()
        ]
        if not policies:
            return DuePage([], None)
        rows, next_after = await self._offload(lambda: self._lists.due(policies, at, after, limit))
        return DuePage([self._due(row) for row in rows], next_after)

    def _due(self, row: DocumentRow) -> Due:
        own = {fold(row.type_name), fold(row.type_code)}
        kind = max((kind for kind in self._years if fold(kind) in own), key=self._years.__getitem__)
        return Due(row, kind, self._years[kind])


def years_before(at: datetime, years: int) -> datetime:
    """The same day so many years earlier; of 29 February, the 28th where there is none."""
    try:
        return at.replace(year=at.year - years)
    except ValueError:
        return at.replace(year=at.year - years, day=28)
