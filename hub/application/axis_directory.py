"""Who is on the axis: its list of organisations, held against the register, changes recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

from hub.application.axis import AxisAgency, AxisGateway
from hub.application.lane import Lane
from hub.application.registry import AgencyEntry, Registry
from hub.application.relay_commands import SynchroniseDirectory
from hub.domain.axis_link import ListedOnAxis
from hub.proof.statements import AGENCY_CODE

_NAME_CHARS_MAX = 200
# A fact is one leaf of at most 65,535 bytes.
_CHANGES_BYTES_MAX = 48 * 1024
_OTHER_CODES_MAX = 4

Told = Callable[[str], None]
"""Hears what was found out about the list as a whole."""


class AxisDirectory:
    """Keeps the register up to the axis's list. What is on this hub it never touches."""

    def __init__(
        self,
        *,
        gateway: AxisGateway,
        lane: Lane,
        registry: Callable[[], Registry],
        system_id: str,
        told: Told,
        otherwise: Callable[[], Sequence[AxisAgency]] | None = None,
    ) -> None:
        """`otherwise` gives the list where the axis itself gives none."""
        self._gateway = gateway
        self._lane = lane
        self._registry = registry
        self._system_id = system_id
        self._told = told
        self._otherwise = otherwise

    async def round(self) -> int:
        """Ask for the list and record what changed; how many organisations it was.

        A list that is empty, or from which more than half of what we knew is gone, is taken for a
        mistake: it changes nothing, and is told. Raises AxisError.
        """
        listed = await self._gateway.agencies()
        if listed is None and self._otherwise is not None:
            listed = self._otherwise()
        if listed is None:
            self._told("this axis does not list its organisations")
            return 0
        changes = list(self._changes(listed))
        known = [entry for entry in self._registry().agencies.values() if _is_there(entry)]
        gone = sum(1 for change in changes if change.get("deleted"))
        if not listed or gone * 2 > max(len(known), 2):
            self._told(f"the axis's list lacks {gone} of {len(known)} organisations: not believed")
            return 0
        for some in _chunks(changes):
            await self._lane.do(SynchroniseDirectory(some, len(listed)))
        return len(changes)

    def _changes(self, listed: Sequence[AxisAgency]) -> Iterator[ListedOnAxis]:
        registry = self._registry()
        wanted = {each.code: each for each in listed if self._is_theirs(each, registry)}
        by_id = {
            each.axis_id: each for each in wanted.values() if each.axis_id and not each.deleted
        }
        for each in wanted.values():
            change = _as_listed(each)
            if each.deleted:
                change["deleted"] = True
            if _differs(change, registry.agencies.get(each.code)):
                yield change
        for entry in registry.agencies.values():
            if _is_there(entry) and entry.code not in wanted:
                yield _as_gone(entry, by_id.get(entry.axis_id))

    def _is_theirs(self, each: AxisAgency, registry: Registry) -> bool:
        """Whether it is somebody else's, and can be written to at all."""
        return (
            AGENCY_CODE.fullmatch(each.code) is not None
            and each.is_agency is not False
            and each.center_code != self._system_id
            and registry.taken_by(each.code) is None
        )


def _is_there(entry: AgencyEntry) -> bool:
    return bool(entry.via) and not entry.suspended


def _as_listed(each: AxisAgency) -> ListedOnAxis:
    others = [each.old_code] if each.old_code and each.old_code != each.code else []
    return ListedOnAxis(
        code=each.code,
        name=_line(each.name)[:_NAME_CHARS_MAX] or each.code,
        other_codes=[code for code in others if AGENCY_CODE.fullmatch(code)][:_OTHER_CODES_MAX],
        axis_id=each.axis_id[:100],
    )


def _as_gone(entry: AgencyEntry, now: AxisAgency | None) -> ListedOnAxis:
    """No longer listed; where its id is listed under another code, that one took its place."""
    gone = ListedOnAxis(
        code=entry.code,
        name=entry.name,
        other_codes=[],
        axis_id=entry.axis_id,
        deleted=True,
    )
    if now is not None and now.code != entry.code:
        gone["successor"] = now.code
    return gone


def _differs(change: ListedOnAxis, known: AgencyEntry | None) -> bool:
    if known is None:
        return not change.get("deleted", False)
    return (
        known.name != change["name"]
        or known.axis_id != change["axis_id"]
        or known.suspended is not change.get("deleted", False)
        or not set(known.other_codes) <= set(change["other_codes"])
        or (known.successor is not None and not change.get("deleted", False))
    )


def _line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _chunks(changes: Iterable[ListedOnAxis]) -> Iterator[list[ListedOnAxis]]:
    some: list[ListedOnAxis] = []
    size = 0
    for change in changes:
        length = len(json.dumps(change, ensure_ascii=False).encode()) + 1
        if some and size + length > _CHANGES_BYTES_MAX:
            yield some
            some, size = [], 0
        some.append(change)
        size += length
    if some:
        yield some
