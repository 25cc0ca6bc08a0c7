"""What a hub knows of the certificate behind a statement, for whoever judges it later."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hub.client.answers import receipt_of
from hub.client.line import Line
from hub.errors import VerificationFailed
from hub.proof.bundle import CERTIFICATES_MAX, STORED_BYTES_MAX, StoredEvidence
from hub.proof.leaf import parse_leaf
from hub.proof.receipt import Receipt, VerifiedReceipt
from hub.proof.strict import JsonObject
from hub.v1 import ledger_service_pb2 as calls

REVOCATION_TOPIC = "hub.Log.RevocationEvidenceStored"


@dataclass(frozen=True, slots=True)
class HeldEvidence:
    """Certificates above that of a statement, and what issuers said of revocation by then.

    The certificates are the hub's word: a verifier believes what leads to its own authorities.
    """

    issuers: tuple[bytes, ...] = ()
    revocation: tuple[StoredEvidence, ...] = ()


class CertificateEvidence:
    """Asks for it, and fetches each list once, 16 MiB in all; what is beyond is left out."""

    def __init__(self, line: Line, verify: Callable[[Receipt], Awaitable[VerifiedReceipt]]) -> None:
        self._line = line
        self._verify = verify
        self._lists: dict[int, StoredEvidence] = {}
        self._bytes = 0

    async def behind(self, position: int) -> HeldEvidence:
        """What is known of the certificate behind the statement recorded at a position.

        Raises PositionUnknown, ContentLost, and VerificationFailed for what does not hold.
        """
        request = calls.GetCertificateEvidenceRequest(position=position)
        response = await self._line.call(self._line.ledger.GetCertificateEvidence, request)
        if max(len(response.issuers), len(response.revocation)) > CERTIFICATES_MAX:
            raise VerificationFailed("more about a certificate than there can be", step="bundle")
        stored = [await self._stored(receipt_of(each)) for each in response.revocation]
        return HeldEvidence(tuple(response.issuers), tuple(each for each in stored if each))

    async def _stored(self, receipt: Receipt) -> StoredEvidence | None:
        fact = await self._verify(receipt)
        if fact.event.topic != REVOCATION_TOPIC:
            raise VerificationFailed("the receipt is not that of a revocation list", step="fact")
        held = self._lists.get(fact.position)
        if held is None:
            data = await self._read(fact.position)
            if data is None:
                return None
            held = self._lists[fact.position] = StoredEvidence(receipt, data)
            if hashlib.sha256(data).hexdigest() != _digest_in(receipt):
                raise VerificationFailed("another list than the one recorded", step="fact")
        return held

    async def _read(self, position: int) -> bytes | None:
        """The whole of it; None where it is too large to take along."""
        data = bytearray()
        while True:
            request = calls.ReadRevocationEvidenceRequest(position=position, offset=len(data))
            piece = await self._line.call(self._line.ledger.ReadRevocationEvidence, request)
            if self._bytes + piece.size > STORED_BYTES_MAX:
                return None
            data += piece.data
            if len(data) >= piece.size or not piece.data:
                self._bytes += len(data)
                return bytes(data)


def _digest_in(receipt: Receipt) -> str:
    event = parse_leaf(receipt.leaf)
    return JsonObject(dict(event.data), "the event", "fact").text("evidence")
