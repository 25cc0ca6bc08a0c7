"""Put certificates out of force, and find what was signed with them when it no longer counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import ClassVar
from uuid import UUID

from hub.application.agencies import operator_request
from hub.application.agency_changes import agency_of
from hub.application.lane import Lane, NothingRecorded, Receipts, Recorded
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.ports import EventLog, LogEntry, RequestKey
from hub.application.principals import revoke_principals
from hub.application.registry import Registry, Revocation
from hub.application.session import Session
from hub.domain.agency import Agency
from hub.domain.delivery import Delivery
from hub.domain.exchange import Consignment, Exchange
from hub.domain.values import format_time
from hub.errors import AuditorUnknown, RequestMalformed
from hub.proof.statements import CODE_WORD

# How many events are read, and how many doubts recorded, in one piece.
_ENTRIES_AT_ONCE = 1024
_DOUBTS_AT_ONCE = 64
_SPOKEN = frozenset(
    kind.TOPIC
    for kind in (
        Exchange.Created,
        Exchange.RecallRequested,
        Delivery.DocumentHandedOver,
        Delivery.StatusReported,
        Delivery.RecallAnswered,
    )
)


@dataclass(frozen=True, slots=True)
class RevokeCertificate:
    """Put a certificate of an agency out of force. `effective` None is now."""

    while_frozen: ClassVar = True

    operator: str
    request_id: str
    code: str
    key_id: str
    reason: str
    effective: datetime | None

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and to what is revoked, why and from when on."""
        effective = format_time(self.effective) if self.effective else ""
        parts = ("revoke", self.code, self.key_id, self.reason, effective)
        return operator_request(self.operator, self.request_id, *parts)

    def decide(self, session: Session) -> None:
        """Record `CertificateRevoked`, also for what the key renewed since the effective time."""
        agency = agency_of(session, self.code)
        effective = self.effective or session.at
        agency.revoke(
            at=session.at,
            key_id=self.key_id,
            reason=self.reason,
            effective=effective,
            evidence="",
            by=self.operator,
            request_id=self.request_id,
        )
        revoke_heirs(agency, session.at, self.key_id, effective, self.operator)
        session.record(agency, self.request)


def revoke_heirs(agency: Agency, at: datetime, key_id: str, since: datetime, by: str) -> None:
    """Revoke what a key vouched for in renewals when it no longer counted: a thief may have.

    Nothing where it counted until now: that is how a key is given up after a renewal.
    """
    if since >= at:
        return
    for heir in agency.heirs(key_id, since):
        agency.revoke(
            at=at,
            key_id=heir,
            reason="privilege-withdrawn",
            effective=since,
            evidence="",
            by=by,
            # The revocation of the key itself answers; this happens with it.
            request_id="",
        )


@dataclass(frozen=True, slots=True)
class RevokeAuditor:
    """Put an auditor out, with all of its certificates. `effective` None is now."""

    while_frozen: ClassVar = True

    operator: str
    request_id: str
    name: str
    reason: str
    effective: datetime | None = None

    @property
    def request(self) -> RequestKey:
        """Bound to the operator, the auditor, the reason and the time that is named."""
        since = (format_time(self.effective),) if self.effective else ()
        parts = ("revoke-auditor", self.name, self.reason, *since)
        return operator_request(self.operator, self.request_id, *parts)

    def decide(self, session: Session) -> None:
        """Record `PrincipalRevoked` for each certificate; the first answers the request."""
        principals = session.registry.auditors.get(self.name)
        if not principals:
            raise AuditorUnknown(f"no auditor called {self.name} is in force", name=self.name)
        revoke_principals(
            session,
            principals.values(),
            reason=self.reason,
            effective=self.effective or session.at,
            by=self.operator,
            request=self.request,
        )


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A recorded statement that was signed with a revoked key after its effective time.

    `recipient` is whose statement it is; empty where it is the sender's.
    """

    position: int
    exchange_id: UUID
    recipient: str


@dataclass(frozen=True, slots=True)
class RecordDoubts:
    """Record that signatures are in doubt, a bounded number. Asked for by the hub's own job."""

    revocation: Revocation
    found: Sequence[Doubtful]

    @property
    def request(self) -> RequestKey | None:
        """None: what is in doubt already stays so, and nothing is recorded twice."""
        return None

    def decide(self, session: Session) -> None:
        """Record `SignatureInDoubt` for each that has none yet."""
        recorded = False
        for doubtful in self.found:
            exchange = session.history.exchange(doubtful.exchange_id)
            if doubtful.position in exchange.in_doubt:
                continue
            concerned = [doubtful.recipient] if doubtful.recipient else exchange.recipients
            exchange.doubt(
                at=session.at,
                position=doubtful.position,
                recipient=doubtful.recipient,
                signer=self.revocation.agency,
                key_id=self.revocation.key_id,
                revocation=self.revocation.position,
                effective=format_time(self.revocation.effective),
                notices=_numbered(session, concerned),
                outbox_seq=session.next_outbox_seq(exchange.sender),
            )
            session.record(exchange)
            recorded = True
        if not recorded:
            raise NothingRecorded("all of them are in doubt already")


@dataclass(frozen=True, slots=True)
class CloseReview:
    """Record that all statements in doubt for a revocation are known."""

    revocation: Revocation
    in_doubt: int

    @property
    def request(self) -> RequestKey | None:
        """None: the register says whether it is still to be done."""
        return None

    def decide(self, session: Session) -> None:
        """Record `RevocationReviewed`."""
        position = self.revocation.position
        if position not in session.registry.unreviewed:
            raise NothingRecorded("the revocation is reviewed already")
        agency = agency_of(session, self.revocation.agency)
        agency.review(
            at=session.at,
            key_id=self.revocation.key_id,
            revocation=position,
            in_doubt=self.in_doubt,
        )
        session.record(agency)


def _numbered(session: Session, agencies: Sequence[str]) -> list[Consignment]:
    numbers = session.next_inbox_seqs(agencies)
    return [
        Consignment(agency=agency, inbox_seq=number)
        for agency, number in zip(agencies, numbers, strict=True)
    ]


class Revocations:
    """What an operator may do about certificates that no longer count. All of it is recorded."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def revoke(
        self,
        operator: str,
        request_id: str,
        *,
        code: str,
        key_id: str,
        reason: str,
        effective: datetime | None,
    ) -> Recorded:
        """Revoke a certificate, in force when this returns; the receipt of `CertificateRevoked`.

        Raises AgencyUnknown, KeyUnknown, KeyRevoked and RequestMalformed.
        """
        command = RevokeCertificate(operator, request_id, code, key_id, reason, effective)
        return await self._lane.do(command)

    async def revoke_auditor(
        self,
        operator: str,
        request_id: str,
        *,
        name: str,
        reason: str,
        effective: datetime | None = None,
    ) -> Recorded:
        """Put an auditor out at once; the receipt of `PrincipalRevoked`.

        Raises RequestMalformed and AuditorUnknown.
        """
        if not CODE_WORD.fullmatch(reason):
            raise RequestMalformed(
                "reason must be one code word: small letters, digits and hyphens, at most 40",
                field="reason",
            )
        return await self._lane.do(RevokeAuditor(operator, request_id, name, reason, effective))


class DoubtReview:
    """The job that finds, after a revocation, what its effective time puts in doubt.

    The register says which revocations are to be reviewed, so a hub that stops in the middle
    takes the review up again, from its beginning: what is in doubt already stays as it is.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        registry: Callable[[], Registry],
        receipts: Receipts,
        lane: Lane,
        offload: Offloader,
    ) -> None:
        self._log = log
        self._registry = registry
        self._receipts = receipts
        self._lane = lane
        self._offload = offload

    async def round(self) -> int:
        """Review every revocation that a checkpoint covers; how many statements are in doubt."""
        found = 0
        for position, revocation in sorted(self._registry().unreviewed.items()):
            if position < self._receipts.size:
                found += await self._review(revocation)
        return found

    async def _review(self, revocation: Revocation) -> int:
        start = await self._offload(lambda: self._beginning(revocation))
        count = 0
        while start < revocation.position:
            entries = await self._offload(partial(self._entries, start, revocation))
            found = [each for entry in entries for each in _doubtful(entry, revocation)]
            for first in range(0, len(found), _DOUBTS_AT_ONCE):
                await self._do(RecordDoubts(revocation, found[first : first + _DOUBTS_AT_ONCE]))
            count += len(found)
            start += len(entries)
        await self._do(CloseReview(revocation, count))
        return count

    async def _do(self, command: RecordDoubts | CloseReview) -> None:
        with suppress(NothingRecorded):  # An earlier round that was cut off has done it.
            await self._lane.do(command)

    def _entries(self, start: int, revocation: Revocation) -> Sequence[LogEntry]:
        limit = min(_ENTRIES_AT_ONCE, revocation.position - start)
        entries = self._log.entries(start, limit)
        if not entries:
            raise LookupError(f"event {start} is missing")
        return entries

    def _beginning(self, revocation: Revocation) -> int:
        """The first position that is not before the effective time, nor the enrolment."""
        certificates = self._registry().agencies[revocation.agency].certificates
        low = next(each.position for each in certificates if each.key_id == revocation.key_id)
        high = revocation.position
        # Event times never fall, so the log is its own index over them.
        while low < high:
            middle = (low + high) // 2
            (entry,) = self._log.entries(middle, 1)
            if read_event(entry.state).time < revocation.effective:
                low = middle + 1
            else:
                high = middle
        return low


def _doubtful(entry: LogEntry, revocation: Revocation) -> Iterator[Doubtful]:
    # Most entries are somebody else's: a look at the bytes spares reading them.
    if entry.topic not in _SPOKEN or revocation.key_id.encode() not in entry.state:
        return
    event = read_event(entry.state)
    if event.data.get("statement", {}).get("key_id") != revocation.key_id:
        return
    if "exchange" in event.data:
        yield Doubtful(entry.position, UUID(event.data["exchange"]), event.data["agency"])
    else:
        yield Doubtful(entry.position, event.id, "")
