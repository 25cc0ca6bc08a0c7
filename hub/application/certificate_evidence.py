"""What is known of the certificate behind a statement: those above it, and revocation then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from hub.application.audit import OwnReceipts
from hub.application.lane import Receipts, Recorded
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.ports import EventLog, LogEntry
from hub.application.registry import Caller, Registry
from hub.domain.revocation_evidence import RevocationEvidence
from hub.errors import ContentLost, PositionUnknown
from hub.evidence.crls import issuers_of, name_digest

PIECE_BYTES_MAX = 1 << 20
# Lists and answers are looked through backwards, so many at once and in all. What the register
# knows of is found within as many as are kept in half a validity: a few hundred.
_AT_ONCE = 512
_LOOKED_THROUGH = 1 << 16


@dataclass(frozen=True, slots=True)
class CertificateEvidence:
    """Certificates above that of a statement (DER), and lists and answers, the newest then."""

    issuers: Sequence[bytes] = ()
    revocation: Sequence[Recorded] = ()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The newest list of an issuer, which goes by several names; or answer about a certificate."""

    kind: str
    names: tuple[str, ...]

    def is_named_in(self, state: bytes) -> bool:
        # Most entries are somebody else's: a look at the bytes spares reading them.
        return any(name.encode() in state for name in self.names)

    def fits(self, data: Mapping[str, Any]) -> bool:
        name = data["issuer"] if self.kind == "crl" else data["certificate"]
        return data["kind"] == self.kind and name in self.names


class KnownOfCertificates:
    """Given to whoever may have the statement's receipt; what issuers publish, to everyone."""

    def __init__(
        self,
        *,
        log: EventLog,
        own: OwnReceipts,
        receipts: Receipts,
        registry: Callable[[], Registry],
        offload: Offloader,
    ) -> None:
        self._log = log
        self._registry = registry
        self._own = own
        self._receipts = receipts
        self._offload = offload

    async def behind(self, caller: Caller, position: int) -> CertificateEvidence:
        """What was known of the certificate behind the statement at a position.

        Raises PositionUnknown, and ContentLost when a certificate is gone.
        """
        recorded = await self._own.receipt(caller, position)
        enrolment = read_event(recorded.receipt.leaf).data.get("enrolment")
        if enrolment is None:
            return CertificateEvidence()
        return await self._offload(lambda: self._known(enrolment, position))

    async def piece(self, position: int, offset: int) -> tuple[bytes, int]:
        """At most 1 MiB of a stored list or answer from an offset on, and its size.

        Raises PositionUnknown and ContentLost.
        """
        return await self._offload(lambda: self._piece(position, offset))

    def _known(self, enrolment: int, position: int) -> CertificateEvidence:
        (entry,) = self._log.entries(enrolment, 1)
        data = read_event(entry.state).data
        # Of an operator's certificate no chain is kept.
        issuers = [self._evidence(digest) for digest in data.get("issuers", ())]
        below = [der for der in issuers if not _is_its_own(der)]
        wanted = self._wanted([self._evidence(data["certificate"]), *below])
        return CertificateEvidence(issuers, [*self._newest(wanted, position)][::-1])

    def _wanted(self, certificates: Iterable[bytes]) -> set[_Wanted]:
        """What there may be of these (DER); nobody looks for what was never stored."""
        registry, wanted = self._registry(), set()
        for der in certificates:
            names, digest = issuers_of(der), hashlib.sha256(der).hexdigest()
            if any(name in registry.crls for name in names):
                wanted.add(_Wanted("crl", names))
            if digest in registry.answers:
                wanted.add(_Wanted("ocsp", (digest,)))
        return wanted

    def _newest(self, wanted: set[_Wanted], below: int) -> Iterator[Recorded]:
        """The newest of each below a position, the newest first."""
        for entry in self._backwards(below):
            if not wanted:
                return
            if not any(each.is_named_in(entry.state) for each in wanted):
                continue
            data = read_event(entry.state).data
            if found := {each for each in wanted if each.fits(data)}:
                wanted -= found
                yield self._receipts.receipt(entry.position)

    def _backwards(self, below: int) -> Iterator[LogEntry]:
        for _ in range(_LOOKED_THROUGH // _AT_ONCE):
            entries = self._log.revocation_evidence(below, _AT_ONCE)
            yield from entries
            if len(entries) < _AT_ONCE:
                return
            below = entries[-1].position

    def _piece(self, position: int, offset: int) -> tuple[bytes, int]:
        entries = self._log.entries(position, 1) if position < self._receipts.size else ()
        if not entries or entries[0].topic != RevocationEvidence.Created.TOPIC:
            raise PositionUnknown(
                "no evidence of revocation was stored there", position=str(position)
            )
        data = self._evidence(read_event(entries[0].state).data["evidence"])
        if offset > len(data):
            raise PositionUnknown("it does not go that far", size=str(len(data)))
        return data[offset : offset + PIECE_BYTES_MAX], len(data)

    def _evidence(self, digest: str) -> bytes:
        data = self._log.evidence(bytes.fromhex(digest))
        if data is None or hashlib.sha256(data).hexdigest() != digest:
            raise ContentLost(f"{digest} is missing from the evidence store")
        return data


def _is_its_own(der: bytes) -> bool:
    certificate = x509.load_der_x509_certificate(der)
    return name_digest(certificate.subject) == name_digest(certificate.issuer)
