"""What is known of the certificate behind a statement: those above it, and revocation then."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509

from hub.application.audit import OwnReceipts
from hub.application.lane import Receipts, Recorded
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.ports import EventLog
from hub.application.registry import Caller
from hub.domain.revocation_evidence import RevocationEvidence
from hub.errors import ContentLost, PositionUnknown
from hub.evidence.crls import issuers_of, name_digest

PIECE_BYTES_MAX = 1 << 20
# How many stored lists are looked through; each issuer's newest lies among the last of them.
_LOOKED_THROUGH = 512


@dataclass(frozen=True, slots=True)
class CertificateEvidence:
    """Certificates above that of a statement (DER), and the lists that were the newest then."""

    issuers: Sequence[bytes] = ()
    revocation: Sequence[Recorded] = ()


class KnownOfCertificates:
    """Given to whoever may have the statement's receipt; what issuers publish, to everyone."""

    def __init__(
        self, *, log: EventLog, own: OwnReceipts, receipts: Receipts, offload: Offloader
    ) -> None:
        self._log = log
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
        """At most 1 MiB of a stored list from an offset on, and its size.

        Raises PositionUnknown and ContentLost.
        """
        return await self._offload(lambda: self._piece(position, offset))

    def _known(self, enrolment: int, position: int) -> CertificateEvidence:
        (entry,) = self._log.entries(enrolment, 1)
        data = read_event(entry.state).data
        # Of an operator's certificate no chain is kept.
        issuers = [self._evidence(digest) for digest in data.get("issuers", ())]
        below = [der for der in issuers if not _is_its_own(der)]
        names = {issuers_of(der) for der in (self._evidence(data["certificate"]), *below)}
        return CertificateEvidence(issuers, [*self._newest(names, position)][::-1])

    def _newest(self, names: Iterable[tuple[str, ...]], below: int) -> Iterator[Recorded]:
        """The newest list of each issuer below a position, the newest first.

        An issuer goes by several names (`issuers_of`).
        """
        waiting = set(names)
        for entry in self._log.revocation_evidence(below, _LOOKED_THROUGH):
            if not waiting:
                return
            issuer = read_event(entry.state).data["issuer"]
            if of_it := {each for each in waiting if issuer in each}:
                waiting -= of_it
                yield self._receipts.receipt(entry.position)

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
