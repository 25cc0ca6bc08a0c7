"""Who may do what, and by which calendar, as the registry events say it up to one position."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import NAMESPACE_OID, UUID, uuid5

from hub.application.key_ring import KeyRing
from hub.application.mapper import read_event
from hub.application.ports import LogEntry
from hub.domain.agency import Agency
from hub.domain.axis_link import AxisLink, ListedOnAxis
from hub.domain.catalogue import REGISTRY_TOPICS
from hub.domain.exchange import AXIS
from hub.domain.group import Group
from hub.domain.log import Log
from hub.domain.principal import Principal
from hub.domain.revocation_evidence import RevocationEvidence
from hub.domain.values import format_time, parse_time
from hub.errors import (
    KeyExpired,
    KeyNotYetValid,
    KeyRevoked,
    KeyTaken,
    KeyUnknown,
    LedgerMismatch,
    VerificationFailed,
)
from hub.evidence.crls import issuers_of
from hub.proof.leaf import Event
from hub.proof.signatures import Algorithm, PublicKey, algorithm_of

Evidence = Callable[[bytes], bytes | None]
"""What lies in the evidence store under a digest."""

# Whom and what an event of revocation evidence is about, in its one spelling.
_ABOUT = re.compile(
    rb'\{"data":\{"certificate":"([^"]*)","evidence":"[^"]*","issuer":"([^"]*)","kind":"([^"]*)"'
)

K = TypeVar("K")
V = TypeVar("V")


class Role(StrEnum):
    """What a caller is to the hub; each service serves one or all of them."""

    AGENCY = "agency"
    AUDITOR = "auditor"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated principal: an agency by its code, others by their name."""

    role: Role
    name: str


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """A signing key in force for an agency. `position` is that of its enrolment.

    `issuers` name who issued its certificate, as `hub.evidence.crls.issuers_of` does.
    """

    public_key: PublicKey
    not_before: datetime
    not_after: datetime
    position: int
    certificate: str
    issuers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certificate put out of force at a position; `effective` is from when on it is in doubt."""

    agency: str
    key_id: str
    reason: str
    effective: datetime
    recorded_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class StoredCrl:
    """The newest revocation list of an issuer; `evidence` is its digest in hexadecimal."""

    evidence: str
    this_update: datetime
    recorded_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The newest OCSP answer about a certificate that is kept; `evidence` is its digest."""

    source: str
    evidence: str
    status: str
    this_update: datetime
    next_update: datetime
    recorded_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class OperatorEntry:
    """An operator in force. `principals` are its certificates, by SHA-256 in hexadecimal.

    `line` is whom it owes its place to: the first operator, and the first one that another
    let in, each begin one; whoever is let in later stands in the line of who did it. Two
    operators of one line count as one where two are needed (docs/decisions/0020).
    """

    name: str
    line: str
    principals: Mapping[str, UUID]


@dataclass(frozen=True, slots=True)
class CertificateEntry:
    """One certificate of an agency, as lists show it."""

    purpose: str
    algorithm: str
    key_id: str
    certificate: str
    not_before: datetime
    not_after: datetime
    position: int
    revocation: Revocation | None = None


@dataclass(frozen=True, slots=True)
class AgencyEntry:
    """An agency, as lists show it. `code` is its primary code, `successor` that of another.

    `via` says how documents get there: `axis` where the agency is not on this hub, and `axis_id`
    is then the axis's id of it; `suspended` means that the axis no longer has it.
    """

    agency_id: UUID
    code: str
    name: str
    position: int
    certificates: tuple[CertificateEntry, ...] = ()
    other_codes: tuple[str, ...] = ()
    suspended: bool = False
    successor: str | None = None
    via: str = ""
    axis_id: str = ""


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """A named list of agencies, by primary code; one without members is no more."""

    group_id: UUID
    group: str
    name: str
    members: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    """The last correction of one day: whether it is a working day, and on what basis."""

    day: date
    working: bool
    basis: str
    by: str
    position: int


@dataclass(frozen=True, slots=True)
class Registry:
    """The register at one position. Never changed: each registry event makes a new one.

    `agencies` is by primary code; `other_codes` leads from every other code to the primary
    one, `predecessors` from an agency to those that it took over directly. `keys` are those
    of agencies by their code, and of operators by `operator:` and their name; they and the
    `callers` are those in force, `revoked` the keys that no longer are. `unreviewed` are the
    revocations, by position, whose statements in doubt are not all recorded as such.
    `auditors` and `operators` are those in force, `operator_lines` the line of every operator
    there ever was. `crls` has the newest revocation list of each issuer, `answers` the newest
    OCSP answer about each certificate, by the digest of that. `frozen` says why an
    operator stopped the log, and is empty while it goes on. `trusted_roots` are the digests of
    the editions that were published here, in hexadecimal, by their numbers.
    """

    version: int = -1
    agencies: Mapping[str, AgencyEntry] = field(default_factory=dict)
    callers: Mapping[str, Caller] = field(default_factory=dict)
    keys: Mapping[tuple[str, str], EnrolledKey] = field(default_factory=dict)
    key_owners: Mapping[str, str] = field(default_factory=dict)
    other_codes: Mapping[str, str] = field(default_factory=dict)
    predecessors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, GroupEntry] = field(default_factory=dict)
    calendar: Mapping[date, CalendarEntry] = field(default_factory=dict)
    revoked: Mapping[tuple[str, str], Revocation] = field(default_factory=dict)
    unreviewed: Mapping[int, Revocation] = field(default_factory=dict)
    auditors: Mapping[str, Mapping[str, UUID]] = field(default_factory=dict)
    crls: Mapping[str, StoredCrl] = field(default_factory=dict)
    answers: Mapping[str, StoredAnswer] = field(default_factory=dict)
    operators: Mapping[str, OperatorEntry] = field(default_factory=dict)
    operator_lines: Mapping[str, str] = field(default_factory=dict)
    hub_keys: KeyRing = field(default_factory=KeyRing)
    frozen: str = ""
    trusted_roots: Mapping[int, str] = field(default_factory=dict)

    def require_new_key(self, key_id: str) -> None:
        """Refuse a key that anybody ever enrolled, for whatever purpose. Raises KeyTaken."""
        if owner := self.key_owners.get(key_id):
            raise KeyTaken(
                f"this key is enrolled already, for {owner}; make a new key for each purpose",
                key_id=key_id,
            )

    def caller(self, certificate: str) -> Caller | None:
        """Who holds the transport certificate with this SHA-256 (hexadecimal)."""
        return self.callers.get(certificate)

    def owner(self, code: str) -> AgencyEntry | None:
        """The agency that has this code, as its primary one or another."""
        return self.agencies.get(self.other_codes.get(code, code))

    def receiver(self, code: str) -> AgencyEntry | None:
        """The agency that gets what is addressed to this code: its owner, or who took over."""
        agency = self.owner(code)
        seen: set[str] = set()
        # The axis says who succeeds whom there, and may say it in a ring.
        while agency is not None and agency.successor is not None and agency.code not in seen:
            seen.add(agency.code)
            agency = self.agencies.get(agency.successor)
        return agency

    def taken_by(self, code: str) -> AgencyEntry | None:
        """The agency of this hub that has this code; one behind the axis keeps nobody out."""
        agency = self.owner(code)
        return None if agency is None or agency.via else agency

    def represented(self, agency: str) -> frozenset[str]:
        """The primary codes of all an agency speaks for: itself, and all it succeeded."""
        found: set[str] = set()
        waiting = [agency]
        while waiting:
            code = waiting.pop()
            if code not in found:
                found.add(code)
                waiting += self.predecessors.get(code, ())
        return frozenset(found)

    def signing_key(self, agency: str, key_id: str, at: datetime) -> EnrolledKey:
        """The key an agency signs with now; refuses unknown, revoked, early and expired ones."""
        key = self.keys.get((agency, key_id))
        if revocation := self.revoked.get((agency, key_id)):
            raise KeyRevoked(
                "the certificate of this key was revoked; sign with another that is enrolled",
                key_id=key_id,
                effective=format_time(revocation.effective),
            )
        if key is None:
            raise KeyUnknown(
                f"no certificate with this key is enrolled for {agency}; enrol it first",
                agency=agency,
                key_id=key_id[:64],
            )
        if at < key.not_before:
            raise KeyNotYetValid(
                "the certificate's validity has not begun", not_before=key.not_before.isoformat()
            )
        if at > key.not_after:
            raise KeyExpired(
                "the certificate's validity has ended; enrol a new one",
                not_after=key.not_after.isoformat(),
            )
        return key

    def advanced(self, event: Event, position: int, evidence: Evidence) -> Registry:
        """This register after one more event; the same for events that do not concern it."""
        if event.topic not in REGISTRY_TOPICS:
            return self
        newer = replace(self, version=position)
        match event.topic:
            case Principal.Created.TOPIC:
                return newer._with_principal(event, position, evidence)
            case Principal.PrincipalRevoked.TOPIC:
                return newer._without_principal(event.data)
            case Agency.Created.TOPIC:
                return newer._with_agency(event, position)
            case Agency.CertificateEnrolled.TOPIC:
                return newer._with_certificate(event.data, position, evidence)
            case Agency.CertificateRevoked.TOPIC | Agency.RevocationReviewed.TOPIC:
                return newer._with_revocation(event, position)
            case Agency.AgencyRenamed.TOPIC:
                return newer._with_names(event.data)
            case Agency.AgencySuspended.TOPIC | Agency.AgencyReinstated.TOPIC:
                suspended = event.topic == Agency.AgencySuspended.TOPIC
                return newer._with_changed(event.data["agency"], suspended=suspended)
            case Agency.AgencySucceededBy.TOPIC:
                return newer._with_successor(event.data)
            case Group.GroupChanged.TOPIC:
                return newer._with_group(event, position)
        return newer._with_matter_of_the_log(event, position)

    def _with_principal(self, event: Event, position: int, evidence: Evidence) -> Registry:
        data = event.data
        caller = Caller(Role(data["role"]), data["name"])
        newer = replace(
            self,
            callers={**self.callers, data["certificate"]: caller},
            key_owners={**self.key_owners, data["key_id"]: data["name"]},
        )
        if caller.role is Role.AUDITOR:
            known = {**self.auditors.get(caller.name, {}), data["certificate"]: event.id}
            return replace(newer, auditors={**self.auditors, caller.name: known})
        return newer._with_operator(event)._with_operator_key(data, position, evidence)

    def _with_operator(self, event: Event) -> Registry:
        name, by = event.data["name"], event.data["by"]
        lines = self.operator_lines
        # The second operator there ever is begins a line: else there could be no two.
        line = lines.get(name) or (lines[by] if len(set(lines.values())) > 1 else name)
        known = self.operators.get(name)
        principals = {**(known.principals if known else {}), event.data["certificate"]: event.id}
        return replace(
            self,
            operators={**self.operators, name: OperatorEntry(name, line, principals)},
            operator_lines={**lines, name: line},
        )

    def _with_operator_key(
        self,
        data: Mapping[str, Any],
        position: int,
        evidence: Evidence,
    ) -> Registry:
        der = _certificate(data["certificate"], position, evidence)
        try:
            # A certificate for the connection says no algorithm; a key has its one here.
            public_key = PublicKey.from_certificate(der, algorithm_of(der))
        except VerificationFailed:
            return self  # Good for the connection, and for nothing that is signed.
        key = EnrolledKey(
            public_key=public_key,
            not_before=parse_time(data["not_before"]),
            not_after=parse_time(data["not_after"]),
            position=position,
            certificate=data["certificate"],
        )
        owner = operator_key_owner(data["name"])
        return replace(self, keys={**self.keys, (owner, data["key_id"]): key})

    def _without_principal(self, data: Mapping[str, Any]) -> Registry:
        name, certificate = data["name"], data["certificate"]
        newer = replace(self, callers=_without(self.callers, certificate))
        if data["role"] == Role.AUDITOR.value:
            left = _without(self.auditors[name], certificate)
            auditors = {**self.auditors, name: left} if left else _without(self.auditors, name)
            return replace(newer, auditors=auditors)
        operator = self.operators[name]
        principals = _without(operator.principals, certificate)
        operators = _without(self.operators, name)
        if principals:
            operators[name] = replace(operator, principals=principals)
        keys = {place: key for place, key in self.keys.items() if key.certificate != certificate}
        return replace(newer, operators=operators, keys=keys)

    def _with_agency(self, event: Event, position: int) -> Registry:
        code = event.data["code"]
        others = tuple(event.data["other_codes"])
        entry = AgencyEntry(event.id, code, event.data["name"], position, other_codes=others)
        newer = self._without_axis_codes([code, *others])
        return replace(
            newer,
            agencies={**newer.agencies, code: entry},
            other_codes={**newer.other_codes, **dict.fromkeys(others, code)},
        )

    def _without_axis_codes(self, codes: Sequence[str]) -> Registry:
        """The register where nobody behind the axis has these codes: they are on the hub now."""
        agencies, other_codes = dict(self.agencies), dict(self.other_codes)
        for code in codes:
            owner = self.owner(code)
            if owner is not None and owner.via:
                agencies.pop(owner.code, None)
                for other in owner.other_codes:
                    other_codes.pop(other, None)
        return replace(self, agencies=agencies, other_codes=other_codes)

    def _with_axis(self, changes: Sequence[ListedOnAxis], position: int) -> Registry:
        """The register after the axis's list changed; what is on this hub stays as it is."""
        agencies, other_codes = dict(self.agencies), dict(self.other_codes)
        for change in changes:
            code = change["code"]
            known = agencies.get(code)
            if (known is not None and not known.via) or other_codes.get(code, code) != code:
                continue
            if known is not None:
                for other in known.other_codes:
                    other_codes.pop(other, None)
            free = tuple(
                each
                for each in change["other_codes"]
                if each not in agencies and each not in other_codes
            )
            other_codes.update(dict.fromkeys(free, code))
            agencies[code] = AgencyEntry(
                uuid5(NAMESPACE_OID, f"axis:{code}"),
                code,
                change["name"],
                position,
                other_codes=free,
                suspended=change.get("deleted", False),
                successor=change.get("successor"),
                via=AXIS,
                axis_id=change["axis_id"],
            )
        return replace(self, agencies=agencies, other_codes=other_codes)

    def _with_changed(self, code: str, **changes: Any) -> Registry:
        agency = replace(self.agencies[code], **changes)
        return replace(self, agencies={**self.agencies, code: agency})

    def _with_names(self, data: Mapping[str, Any]) -> Registry:
        code, others = data["agency"], tuple(data["other_codes"])
        kept = {other: owner for other, owner in self.other_codes.items() if owner != code}
        newer = replace(self, other_codes=kept | dict.fromkeys(others, code))
        return newer._with_changed(code, name=data["name"], other_codes=others)

    def _with_successor(self, data: Mapping[str, Any]) -> Registry:
        code, successor = data["agency"], data["successor"]
        taken_over = (*self.predecessors.get(successor, ()), code)
        newer = replace(self, predecessors={**self.predecessors, successor: taken_over})
        return newer._with_changed(code, successor=successor)

    def _with_group(self, event: Event, position: int) -> Registry:
        data = event.data
        group, members = data["group"], tuple(data["members"])
        entry = GroupEntry(event.id, group, data["name"], members, position)
        return replace(self, groups={**self.groups, group: entry})

    def _with_certificate(
        self, data: Mapping[str, Any], position: int, evidence: Evidence
    ) -> Registry:
        code = data["agency"]
        entry = CertificateEntry(
            purpose=data["purpose"],
            algorithm=data["algorithm"],
            key_id=data["key_id"],
            certificate=data["certificate"],
            not_before=parse_time(data["not_before"]),
            not_after=parse_time(data["not_after"]),
            position=position,
        )
        agency = self.agencies[code]
        agency = replace(agency, certificates=(*agency.certificates, entry))
        newer = replace(
            self,
            agencies={**self.agencies, code: agency},
            key_owners={**self.key_owners, entry.key_id: code},
        )
        if entry.purpose == "transport":
            caller = Caller(Role.AGENCY, code)
            return replace(newer, callers={**newer.callers, entry.certificate: caller})
        key = _enrolled_key(entry, evidence)
        return replace(newer, keys={**newer.keys, (code, entry.key_id): key})

    def _with_revocation(self, event: Event, position: int) -> Registry:
        """Without the certificate among those in force; its key's owner stays known."""
        data = event.data
        if event.topic == Agency.RevocationReviewed.TOPIC:
            return replace(self, unreviewed=_without(self.unreviewed, data["revocation"]))
        revocation = Revocation(
            agency=data["agency"],
            key_id=data["key_id"],
            reason=data["reason"],
            effective=parse_time(data["effective"]),
            recorded_at=event.time,
            position=position,
        )
        place = (revocation.agency, revocation.key_id)
        agency = self.agencies[revocation.agency]
        certificates = tuple(
            replace(entry, revocation=revocation) if entry.key_id == revocation.key_id else entry
            for entry in agency.certificates
        )
        newer = replace(
            self._with_changed(revocation.agency, certificates=certificates),
            callers=_without(self.callers, data["certificate"]),
        )
        if data["purpose"] == "transport":
            return newer
        newer = replace(
            newer,
            keys=_without(self.keys, place),
            revoked={**self.revoked, place: revocation},
        )
        if revocation.effective >= event.time:
            return newer  # Nothing can lie in between.
        return replace(newer, unreviewed={**self.unreviewed, position: revocation})

    def _with_matter_of_the_log(self, event: Event, position: int) -> Registry:
        match event.topic:
            case Log.CalendarCorrected.TOPIC:
                return self._with_correction(event.data, position)
            case RevocationEvidence.Created.TOPIC:
                return self._with_revocation_evidence(event, position)
            case Log.LogFrozen.TOPIC:
                return replace(self, frozen=event.data["reason"])
            case Log.LogThawed.TOPIC:
                return replace(self, frozen="")
            case Log.TrustedRootPublished.TOPIC:
                return self._with_trusted_root(event.data)
            case AxisLink.DirectorySynchronised.TOPIC:
                return self._with_axis(event.data["changes"], position)
        return replace(self, hub_keys=self.hub_keys.advanced(event, position))

    def _with_revocation_evidence(self, event: Event, position: int) -> Registry:
        data, evidence = event.data, event.data["evidence"]
        this_update = parse_time(data["this_update"])
        if data["kind"] == "crl":
            crl = StoredCrl(evidence, this_update, event.time, position)
            return replace(self, crls={**self.crls, data["issuer"]: crl})
        answer = StoredAnswer(
            source=data["source"],
            evidence=evidence,
            status=data["status"],
            this_update=this_update,
            next_update=parse_time(data["next_update"]),
            recorded_at=event.time,
            position=position,
        )
        return replace(self, answers={**self.answers, data["certificate"]: answer})

    def _with_trusted_root(self, data: Mapping[str, Any]) -> Registry:
        roots = {**self.trusted_roots, data["edition"]: data["digest"]}
        return replace(self, trusted_roots=roots)

    def _with_correction(self, data: Mapping[str, Any], position: int) -> Registry:
        day = date.fromisoformat(data["day"])
        entry = CalendarEntry(day, data["working"], data["basis"], data["by"], position)
        return replace(self, calendar={**self.calendar, day: entry})


def register_after(registry: Registry, entries: Iterable[LogEntry], evidence: Evidence) -> Registry:
    """A register after more of its events, which are in order.

    Of what issuers said about one certificate, or in one list, only the newest is read: it
    replaces what came before, and of a year of answers there are a hundred thousand.
    """
    newest: dict[Hashable, LogEntry] = {}
    for entry in entries:
        if entry.topic == RevocationEvidence.Created.TOPIC:
            newest[_about(entry)] = entry
        else:
            registry = registry.advanced(read_event(entry.state), entry.position, evidence)
    version = registry.version
    for entry in sorted(newest.values()):
        registry = registry.advanced(read_event(entry.state), entry.position, evidence)
    return replace(registry, version=max(version, registry.version))


def _about(entry: LogEntry) -> Hashable:
    found = _ABOUT.match(entry.state)
    return found.groups() if found else entry.position


def _without(entries: Mapping[K, V], key: K) -> dict[K, V]:
    return {each: value for each, value in entries.items() if each != key}


def operator_key_owner(name: str) -> str:
    """Under whom the register keeps the keys of an operator; no agency's code is like it."""
    return f"operator:{name}"


def _enrolled_key(entry: CertificateEntry, evidence: Evidence) -> EnrolledKey:
    der = _certificate(entry.certificate, entry.position, evidence)
    return EnrolledKey(
        public_key=PublicKey.from_certificate(der, Algorithm(entry.algorithm)),
        not_before=entry.not_before,
        not_after=entry.not_after,
        position=entry.position,
        certificate=entry.certificate,
        issuers=issuers_of(der),
    )


def _certificate(digest: str, position: int, evidence: Evidence) -> bytes:
    der = evidence(bytes.fromhex(digest))
    # The store is untrusted: another certificate in this place would let its owner sign for
    # the agency.
    if der is None or hashlib.sha256(der).hexdigest() != digest:
        raise LedgerMismatch(
            f"the certificate {digest} is missing from the evidence store, or another lies there",
            position=position,
        )
    return der
