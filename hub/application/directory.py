"""Who can be written to: agencies by code or name, and groups of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hub.application.agencies import operator_request, require_name
from hub.application.lane import Lane, Recorded
from hub.application.ports import RequestKey
from hub.application.registry import AgencyEntry, GroupEntry, Registry
from hub.application.session import Session
from hub.domain.group import MEMBERS_MAX, Group
from hub.errors import AgencyUnknown, RequestMalformed, TooLarge

_QUERY_CHARS_MAX = 200
_NAMES_SHOWN_MAX = 20
_GROUP = re.compile(r"(?=.{1,40}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Listing:
    """An agency as everybody may see it.

    `receiver` is the primary code of the agency that gets what is addressed to it: its own,
    or that at the end of the chain of successions.
    """

    entry: AgencyEntry
    receiver: str


@dataclass(frozen=True, slots=True)
class SetGroup:
    """Give a group its name and members, all of them."""

    operator: str
    request_id: str
    group: str
    name: str
    members: tuple[str, ...]

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and to all that the group becomes."""
        parts = ("group", self.group, self.name, *self.members)
        return operator_request(self.operator, self.request_id, *parts)

    def decide(self, session: Session) -> None:
        """Record `GroupChanged`."""
        members = _primary_codes(self.members, session.registry)
        known = session.registry.groups.get(self.group)
        group_id = known.group_id if known else session.new_id()
        group: Group = session.history.group(group_id, session.at)
        group.change(
            at=session.at,
            group=self.group,
            name=self.name,
            members=members,
            by=self.operator,
            request_id=self.request_id,
        )
        session.record(group, self.request)


def _primary_codes(codes: Sequence[str], registry: Registry) -> list[str]:
    owners = {code: registry.owner(code) for code in codes}
    unknown = [code for code, owner in owners.items() if owner is None]
    if unknown:
        shown = ", ".join(unknown[:_NAMES_SHOWN_MAX])
        raise AgencyUnknown(
            f"not registered at this hub: {shown}", codes=shown, count=str(len(unknown))
        )
    primary = [owner.code for code in codes if (owner := owners[code]) is not None]
    if len(set(primary)) != len(primary):
        raise RequestMalformed("members names an agency twice", field="members")
    return primary


class Directory:
    """What any principal may ask about who takes part, and what an operator may group."""

    def __init__(self, lane: Lane, registry: Callable[[], Registry]) -> None:
        self._lane = lane
        self._registry = registry

    def search(self, query: str, *, after: str, limit: int) -> Sequence[Listing]:
        """Agencies by rising primary code, those after a code, that every word is found in.

        Raises RequestMalformed for a query of more than 200 characters.
        """
        if len(query) > _QUERY_CHARS_MAX:
            raise RequestMalformed(
                f"query has at most {_QUERY_CHARS_MAX} characters", field="query"
            )
        registry, words = self._registry(), folded(query).split()
        found: list[Listing] = []
        for code in sorted(code for code in registry.agencies if code > after):
            if len(found) == limit:
                break
            entry = registry.agencies[code]
            if _matches(entry, words):
                found.append(_listing(entry, registry))
        return found

    def agency(self, code: str) -> Listing:
        """The agency that has a code, as its primary one or another. Raises AgencyUnknown."""
        registry = self._registry()
        entry = registry.owner(code)
        if entry is None:
            raise AgencyUnknown(f"no agency with the code {code}", code=code)
        return _listing(entry, registry)

    def groups(self, *, after: str, limit: int) -> Sequence[GroupEntry]:
        """Groups by rising code word, those after a word.

        In the place of a member that was taken over stands its successor, each agency once:
        an envelope may not name one agency by two codes.
        """
        registry = self._registry()
        words = sorted(
            word for word, entry in registry.groups.items() if word > after and entry.members
        )
        return [_current(registry.groups[word], registry) for word in words[:limit]]

    async def set_group(
        self, operator: str, request_id: str, *, group: str, name: str, members: Sequence[str]
    ) -> Recorded:
        """Set a group; the receipt of `GroupChanged`.

        Raises RequestMalformed, TooLarge and AgencyUnknown.
        """
        if not _GROUP.fullmatch(group):
            raise RequestMalformed(
                "group must be one code word: small letters, digits and hyphens, at most 40",
                field="group",
            )
        require_name(name)
        if len(members) > MEMBERS_MAX:  # Before the lane: a million codes are not for it.
            raise TooLarge(f"a group has at most {MEMBERS_MAX} members", limit=str(MEMBERS_MAX))
        return await self._lane.do(SetGroup(operator, request_id, group, name, tuple(members)))


def _listing(entry: AgencyEntry, registry: Registry) -> Listing:
    receiver = registry.receiver(entry.code)
    return Listing(entry, receiver.code if receiver else entry.code)


def _current(entry: GroupEntry, registry: Registry) -> GroupEntry:
    receivers = [registry.receiver(member) for member in entry.members]
    members = dict.fromkeys(receiver.code for receiver in receivers if receiver is not None)
    return GroupEntry(entry.group_id, entry.group, entry.name, tuple(members), entry.position)


def _matches(entry: AgencyEntry, words: Sequence[str]) -> bool:
    texts = [_folded_once(text) for text in (entry.name, entry.code, *entry.other_codes)]
    return all(any(word in text for text in texts) for word in words)


def folded(text: str) -> str:
    """Text as it is searched: no diacritics, no upper case, đ as d.

    Folding both sides also makes one of `hòa` and `hoà`, and of composed and decomposed signs.
    """
    decomposed = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))


@lru_cache(maxsize=1 << 16)
def _folded_once(text: str) -> str:
    """For names and codes of the register only: what callers ask for must not push them out."""
    return folded(text)
