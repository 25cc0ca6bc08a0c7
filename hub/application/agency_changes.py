"""What becomes of an agency after it was registered: new names, suspension, a successor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hub.application.agencies import operator_request, require_code, require_free, require_name
from hub.application.lane import Lane, Recorded
from hub.application.ports import RequestKey
from hub.application.registry import Registry
from hub.application.session import Session
from hub.domain.agency import Agency
from hub.errors import AgencyUnknown, RequestMalformed

_REASON = re.compile(r"(?=.{1,40}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class RenameAgency:
    """Give an agency another public name, or other codes; its primary code stays."""

    operator: str
    request_id: str
    code: str
    name: str
    add_codes: tuple[str, ...]
    remove_codes: tuple[str, ...]

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and to what changes."""
        # The numbers say where one list ends: ["a"], ["b"] must not pass for ["a", "b"], [].
        counts = f"{len(self.add_codes)} {len(self.remove_codes)}"
        parts = (self.code, self.name, counts, *self.add_codes, *self.remove_codes)
        return operator_request(self.operator, self.request_id, "rename", *parts)

    def decide(self, session: Session) -> None:
        """Record `AgencyRenamed`."""
        agency = agency_of(session, self.code)
        require_free(session.registry, self.add_codes)
        agency.rename(
            at=session.at,
            name=self.name,
            add_codes=self.add_codes,
            remove_codes=self.remove_codes,
            by=self.operator,
            request_id=self.request_id,
        )
        session.record(agency, self.request)


@dataclass(frozen=True, slots=True)
class SuspendAgency:
    """Keep an agency from sending and from being sent to."""

    operator: str
    request_id: str
    code: str
    reason: str

    @property
    def request(self) -> RequestKey:
        """Bound to the operator, the agency and the reason."""
        return operator_request(self.operator, self.request_id, "suspend", self.code, self.reason)

    def decide(self, session: Session) -> None:
        """Record `AgencySuspended`."""
        agency = agency_of(session, self.code)
        agency.suspend(
            at=session.at, reason=self.reason, by=self.operator, request_id=self.request_id
        )
        session.record(agency, self.request)


@dataclass(frozen=True, slots=True)
class ReinstateAgency:
    """End an agency's suspension."""

    operator: str
    request_id: str
    code: str

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and the agency."""
        return operator_request(self.operator, self.request_id, "reinstate", self.code)

    def decide(self, session: Session) -> None:
        """Record `AgencyReinstated`."""
        agency = agency_of(session, self.code)
        agency.reinstate(at=session.at, by=self.operator, request_id=self.request_id)
        session.record(agency, self.request)


@dataclass(frozen=True, slots=True)
class SucceedAgency:
    """Hand all that an agency has over to another, for good."""

    operator: str
    request_id: str
    code: str
    successor: str

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and both agencies."""
        parts = ("succeed", self.code, self.successor)
        return operator_request(self.operator, self.request_id, *parts)

    def decide(self, session: Session) -> None:
        """Record `AgencySucceededBy`."""
        agency = agency_of(session, self.code)
        agency.succeed(
            at=session.at,
            successor=agency_of(session, self.successor),
            by=self.operator,
            request_id=self.request_id,
        )
        session.record(agency, self.request)


def agency_of(session: Session, code: str) -> Agency:
    """The agency with this primary code; AgencyUnknown for any other."""
    require_primary(session.registry, code)
    return session.history.agency(session.registry.agencies[code].agency_id)


def require_primary(registry: Registry, code: str) -> None:
    """Refuse a code that is not an agency's primary one.

    Operators name agencies by the code that events will name them by, so that a receipt
    says what was asked for word by word.
    """
    owner = registry.owner(code)
    if owner is not None and owner.via:
        raise AgencyUnknown(
            f"{owner.code} is behind the national axis, which alone says what it is", code=code
        )
    if code in registry.agencies:
        return
    if owner is not None:
        raise AgencyUnknown(
            f"{code} is another code of {owner.code}; name it by its primary code", code=code
        )
    raise AgencyUnknown(f"no agency with the code {code}; register it first", code=code)


class AgencyChanges:
    """What an operator may do with a registered agency. All of it is recorded."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def rename(
        self,
        operator: str,
        request_id: str,
        *,
        code: str,
        name: str,
        add_codes: Sequence[str],
        remove_codes: Sequence[str],
    ) -> Recorded:
        """Change name and other codes; the receipt of `AgencyRenamed`.

        An empty name stays as it is. Raises RequestMalformed, also where nothing would
        change, AgencyUnknown, AgencyExists and TooLarge.
        """
        if not (name or add_codes or remove_codes):
            raise RequestMalformed("nothing would change: give a name or codes", field="name")
        if name:
            require_name(name)
        for code_to_add in add_codes:
            require_code(code_to_add, "add_codes")
        command = RenameAgency(
            operator, request_id, code, name, tuple(add_codes), tuple(remove_codes)
        )
        return await self._lane.do(command)

    async def suspend(self, operator: str, request_id: str, *, code: str, reason: str) -> Recorded:
        """Suspend an agency; the receipt of `AgencySuspended`.

        Raises RequestMalformed, AgencyUnknown and AgencySuspended.
        """
        if not _REASON.fullmatch(reason):
            raise RequestMalformed(
                "reason must be one code word: small letters, digits and hyphens, at most 40",
                field="reason",
            )
        return await self._lane.do(SuspendAgency(operator, request_id, code, reason))

    async def reinstate(self, operator: str, request_id: str, *, code: str) -> Recorded:
        """Reinstate an agency; the receipt of `AgencyReinstated`.

        Raises AgencyUnknown and AgencyNotSuspended.
        """
        return await self._lane.do(ReinstateAgency(operator, request_id, code))

    async def succeed(
        self, operator: str, request_id: str, *, code: str, successor: str
    ) -> Recorded:
        """Hand an agency over to its successor; the receipt of `AgencySucceededBy`.

        Raises RequestMalformed, AgencyUnknown and AgencySucceeded.
        """
        return await self._lane.do(SucceedAgency(operator, request_id, code, successor))
