"""Who can be written to, by the hub's word: agencies by code or name, and groups of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from hub.client.errors import UnexpectedAnswer
from hub.client.line import Line
from hub.errors import RequestMalformed
from hub.v1 import directory_service_pb2 as calls

PAGE_SIZE = 100
GROUP_PAGE_SIZE = 20


@dataclass(frozen=True, slots=True)
class ListedAgency:
    """An agency of the directory. `successor` gets what is addressed to it; None: itself.

    `via` is `axis` for one behind the national document axis: what comes from it nobody signed.
    """

    code: str
    name: str
    other_codes: tuple[str, ...]
    suspended: bool
    successor: str | None
    via: str = ""

    @property
    def receiver(self) -> str:
        """The primary code of the agency whose inbox a document to this one goes to."""
        return self.successor or self.code

    @classmethod
    def of(cls, entry: calls.DirectoryEntry) -> ListedAgency:
        """The agency in a message of the hub."""
        return cls(
            code=entry.code,
            name=entry.name,
            other_codes=tuple(entry.other_codes),
            suspended=entry.suspended,
            successor=entry.successor or None,
            via=entry.via,
        )


@dataclass(frozen=True, slots=True)
class ListedGroup:
    """A named list of agencies, by primary code."""

    group: str
    name: str
    members: tuple[str, ...]


class Directory:
    """The hub's directory, over a client's line. Errors as with `HubClient`."""

    def __init__(self, line: Line, agency: str | None = None) -> None:
        """`agency` is the client's own, which `expand` leaves out of groups."""
        self._line = line
        self._agency = agency

    async def search(self, query: str = "") -> AsyncIterator[ListedAgency]:
        """Agencies with every word of `query` in name or codes, by rising code, page by page.

        Upper case does not matter, nor do Vietnamese diacritics. Nothing asked for is
        everybody.
        """
        token = ""
        while True:
            request = calls.SearchAgenciesRequest(
                query=query, page_size=PAGE_SIZE, page_token=token
            )
            page = await self._line.call(self._line.directory.SearchAgencies, request)
            for entry in page.agencies:
                yield ListedAgency.of(entry)
            if not page.next_page_token:
                return
            token = _further(token, page.next_page_token)

    async def agency(self, code: str) -> ListedAgency:
        """The agency that has a code, as its primary one or another. Raises AgencyUnknown."""
        request = calls.GetAgencyRequest(code=code)
        response = await self._line.call(self._line.directory.GetAgency, request)
        return ListedAgency.of(response.agency)

    async def groups(self) -> AsyncIterator[ListedGroup]:
        """Every group by rising code word, page by page."""
        token = ""
        while True:
            request = calls.ListGroupsRequest(page_size=GROUP_PAGE_SIZE, page_token=token)
            page = await self._line.call(self._line.directory.ListGroups, request)
            for group in page.groups:
                yield ListedGroup(group.group, group.name, tuple(group.members))
            if not page.next_page_token:
                return
            token = _further(token, page.next_page_token)

    async def expand(self, codes: Sequence[str], groups: Sequence[str]) -> list[str]:
        """Recipients for an envelope: these codes as they are, then the groups' members.

        An envelope lists everybody it goes to; what a group meant on that day is then signed
        and needs no proof. Nobody is listed twice, whatever code it was named by, and the
        client's own agency is left out of groups. Raises RequestMalformed for a group that
        there is not, AgencyUnknown for a code.
        """
        if not groups:
            return list(codes)
        members = await self._members(groups)
        named = {(await self.agency(code)).receiver for code in codes}
        if self._agency is not None:
            named.add((await self.agency(self._agency)).receiver)
        return [*codes, *(member for member in members if member not in named)]

    async def _members(self, groups: Sequence[str]) -> list[str]:
        wanted = {
            group.group: group.members async for group in self.groups() if group.group in groups
        }
        for group in groups:
            if group not in wanted:
                raise RequestMalformed(f"the hub keeps no group called {group}", field="group")
        # A dictionary keeps the order in which the members were first named.
        return list(dict.fromkeys(member for group in groups for member in wanted[group]))


def _further(token: str, following: str) -> str:
    if following == token:
        raise UnexpectedAnswer("a page of the directory that leads to itself")
    return following
