"""The job that fetches revocation lists ahead, and takes out of force whom they list.

No call waits for it: what is asked on the request path is only how old the newest list is, and
that stands in the register.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from uuid import UUID

from cryptography import x509

from hub.application.lane import Lane, NothingRecorded
from hub.application.offload import Offloader
from hub.application.ports import Clock, CrlSource, EventLog, RequestKey
from hub.application.registry import Registry
from hub.application.revocation import revoke_heirs
from hub.application.session import Session
from hub.domain.revocation_evidence import RevocationEvidence
from hub.domain.values import format_time
from hub.errors import LedgerMismatch, VerificationFailed
from hub.evidence.crls import Listed, VerifiedCrl, verify_crl

_FIRST_DELAY = timedelta(seconds=30)
_AT_ONCE = 64
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class NamedSource:
    """Where a list comes from, by the operator's name for it."""

    name: str
    port: CrlSource


@dataclass(frozen=True, slots=True)
class StoreCrl:
    """Record that a list was fetched and verified."""

    source: str
    data: bytes = field(repr=False)
    crl: VerifiedCrl = field(repr=False)

    @property
    def request(self) -> RequestKey | None:
        """None: the register knows the newest list of each issuer."""
        return None

    def decide(self, session: Session) -> None:
        """Record `RevocationEvidenceStored`, unless this list or a newer one is there."""
        digest = hashlib.sha256(self.data).digest()
        known = session.registry.crls.get(self.crl.issuer)
        if known is not None:
            if known.evidence == digest.hex():
                raise NothingRecorded("this list is stored already")
            if known.this_update > self.crl.this_update:
                raise NothingRecorded("a newer list is stored already")
        session.add_evidence(digest, self.data)
        session.record(
            RevocationEvidence.store(
                evidence_id=session.new_id(),
                at=session.at,
                source=self.source,
                kind="crl",
                issuer=self.crl.issuer,
                evidence=digest.hex(),
                number=self.crl.number,
                certificate="",
                status="",
                this_update=format_time(self.crl.this_update),
                next_update=format_time(self.crl.next_update),
            )
        )


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A certificate of an agency that a list names."""

    code: str
    key_id: str
    listed: Listed


@dataclass(frozen=True, slots=True)
class RevokeListed:
    """Take certificates of agencies out of force because their issuer did; a bounded number.

    `by` is `crl:` or `ocsp:`, and the operator's name for who told.
    """

    by: str
    evidence: str
    keys: Sequence[ListedKey]

    @property
    def request(self) -> RequestKey | None:
        """None: what is revoked already stays so."""
        return None

    def decide(self, session: Session) -> None:
        """Record `CertificateRevoked` for each that is not, or not from as early on."""
        recorded = False
        for key in self.keys:
            agency = session.history.agency(session.registry.agencies[key.code].agency_id)
            # An issuer may name a time to come; a revocation that is known takes effect now.
            effective = min(key.listed.effective, session.at)
            known = agency.revoked.get(key.key_id)
            if known is not None and known <= format_time(effective):
                continue
            agency.revoke(
                at=session.at,
                key_id=key.key_id,
                reason=key.listed.reason,
                effective=effective,
                evidence=self.evidence,
                by=self.by,
                request_id="",
            )
            revoke_heirs(agency, session.at, key.key_id, effective, self.by)
            session.record(agency)
            recorded = True
        if not recorded:
            raise NothingRecorded("all of them are revoked already")


@dataclass(frozen=True, slots=True)
class ListedPrincipal:
    """A certificate of an auditor or operator that a list names."""

    principal_id: UUID
    certificate: str
    listed: Listed


@dataclass(frozen=True, slots=True)
class PutOutListed:
    """Put auditors and operators out because their issuer took their certificates back.

    But never the last operator: somebody must be left to let another one in.
    """

    by: str
    principals: Sequence[ListedPrincipal]

    @property
    def request(self) -> RequestKey | None:
        """None: who is out stays so."""
        return None

    def decide(self, session: Session) -> None:
        """Record `PrincipalRevoked` for each that is still in force."""
        recorded = False
        left = {
            certificate
            for entry in session.registry.operators.values()
            for certificate in entry.principals
        }
        for each in self.principals:
            if session.registry.caller(each.certificate) is None or left == {each.certificate}:
                continue
            left.discard(each.certificate)
            principal = session.history.principal(each.principal_id)
            principal.revoke(
                at=session.at,
                reason=each.listed.reason,
                effective=min(each.listed.effective, session.at),
                by=self.by,
                request_id="",
            )
            session.record(principal)
            recorded = True
        if not recorded:
            raise NothingRecorded("all of them are out already")


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How it stands with one source: `failures` in a row, and when it is asked next."""

    name: str
    failures: int
    last_failure: str
    next_attempt: datetime


class RevocationLists:
    """Fetches, verifies, stores, revokes; and knows what the newest lists say.

    One round at a time. What a source does wrong is told to `failed`, and never raises.
    """

    def __init__(
        self,
        sources: Sequence[NamedSource],
        *,
        authorities: Sequence[bytes],
        every: timedelta,
        log: EventLog,
        registry: Callable[[], Registry],
        lane: Lane,
        offload: Offloader,
        clock: Clock,
        failed: Callable[[str, Exception], None],
    ) -> None:
        """`authorities` are the certificates (DER) whose lists are believed."""
        self._sources = tuple(sources)
        self._authorities = tuple(authorities)
        self._every = every
        self._log = log
        self._registry = registry
        self._lane = lane
        self._offload = offload
        self._clock = clock
        self._failed = failed
        self._newest: dict[str, VerifiedCrl] = {}
        self._status = {
            source.name: SourceStatus(source.name, 0, "", _NEVER) for source in self._sources
        }

    @property
    def status(self) -> Sequence[SourceStatus]:
        """Every source."""
        return tuple(self._status.values())

    def load(self) -> None:
        """Take up the newest lists that are stored. Raises LedgerMismatch for a changed one."""
        for issuer, stored in self._registry().crls.items():
            data = self._log.evidence(bytes.fromhex(stored.evidence))
            if data is None or hashlib.sha256(data).hexdigest() != stored.evidence:
                raise LedgerMismatch(
                    f"the revocation list {stored.evidence} is missing from the evidence store, or"
                    " another lies there",
                    position=stored.position,
                )
            # It was verified when it came; its issuer may have left the configuration since.
            with suppress(VerificationFailed):
                self._newest[issuer] = verify_crl(
                    data, authorities=self._authorities, at=stored.recorded_at
                )

    def listed(self, certificate: x509.Certificate) -> Listed | None:
        """What the newest list of its issuer says of a certificate, as far as one is known."""
        for crl in self._newest.values():
            if found := crl.listed(certificate):
                return found
        return None

    def knows(self, certificate: x509.Certificate) -> bool:
        """Whether there is a list of a certificate's issuer."""
        return any(crl.is_about(certificate) for crl in self._newest.values())

    async def round(self) -> None:
        """Ask every source whose time has come, one after the other."""
        for source in self._sources:
            if self._clock() < self._status[source.name].next_attempt:
                continue
            try:
                await self._fetch(source)
            except Exception as error:
                self._note_failure(source.name, error)
                self._failed(source.name, error)
            else:
                at = self._clock() + self._every
                self._status[source.name] = SourceStatus(source.name, 0, "", at)

    async def _fetch(self, source: NamedSource) -> None:
        data = await source.port.fetch()
        at = self._clock()
        crl = await self._offload(lambda: verify_crl(data, authorities=self._authorities, at=at))
        newest = self._newest.get(crl.issuer)
        # An old list sent again would hide what was revoked since.
        if newest is not None and crl.this_update < newest.this_update:
            raise VerificationFailed("the list is older than the one that is known", step="crl")
        with suppress(NothingRecorded):
            await self._lane.do(StoreCrl(source.name, data, crl))
        self._newest[crl.issuer] = crl
        # Looked for also where the list is known: a stop in the middle leaves nothing undone.
        keys = await self._offload(lambda: list(self._listed_keys(crl)))
        evidence, by = hashlib.sha256(data).hexdigest(), f"crl:{source.name}"
        for first in range(0, len(keys), _AT_ONCE):
            some = keys[first : first + _AT_ONCE]
            with suppress(NothingRecorded):
                await self._lane.do(RevokeListed(by, evidence, some))
        principals = await self._offload(lambda: list(self._listed_principals(crl)))
        if principals:
            with suppress(NothingRecorded):
                await self._lane.do(PutOutListed(by, principals))

    def _listed_keys(self, crl: VerifiedCrl) -> Iterator[ListedKey]:
        for agency in self._registry().agencies.values():
            for entry in agency.certificates:
                der = self._log.evidence(bytes.fromhex(entry.certificate))
                if der is None:
                    continue  # Fsck says so; a missing certificate signs nothing new.
                listed = crl.listed(x509.load_der_x509_certificate(der))
                if listed is None:
                    continue
                if entry.revocation and entry.revocation.effective <= listed.effective:
                    continue
                yield ListedKey(agency.code, entry.key_id, listed)

    def _listed_principals(self, crl: VerifiedCrl) -> Iterator[ListedPrincipal]:
        registry = self._registry()
        held = [entry.principals for entry in registry.operators.values()]
        for certificate, principal_id in chain.from_iterable(
            principals.items() for principals in (*registry.auditors.values(), *held)
        ):
            der = self._log.evidence(bytes.fromhex(certificate))
            listed = crl.listed(x509.load_der_x509_certificate(der)) if der else None
            if listed is not None:
                yield ListedPrincipal(principal_id, certificate, listed)

    def _note_failure(self, name: str, error: Exception) -> None:
        failures = self._status[name].failures + 1
        delay = min(_FIRST_DELAY * 2 ** min(failures - 1, 16), self._every)
        why = str(error) or type(error).__name__
        self._status[name] = SourceStatus(name, failures, why, self._clock() + delay)
