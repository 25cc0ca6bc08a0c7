"""A new certificate put into force by the agency itself, and the proof that it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hub.errors import CertificateUnsuitable, VerificationFailed
from hub.proof.dsse import SignedStatement
from hub.proof.evidence import ENROLMENT_TOPIC, ReceiptFile
from hub.proof.leaf import Event
from hub.proof.receipt import Receipt, VerifiedReceipt
from hub.proof.strict import JsonObject


@dataclass(frozen=True, slots=True)
class Renewed:
    """A certificate of ours that is in force, with the receipt that was verified on arrival."""

    receipt: Receipt
    fact: VerifiedReceipt
    key_id: str

    def evidence(self) -> bytes:
        """The receipt file, which `python -m hub.proof` checks without the hub."""
        return ReceiptFile(self.receipt).format()


def der_of(certificate: bytes) -> bytes:
    """A certificate in DER, from PEM or DER. Raises CertificateUnsuitable."""
    if not certificate.lstrip().startswith(b"-----BEGIN"):
        return certificate
    try:
        return x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
    except ValueError as error:
        raise CertificateUnsuitable("the certificate is not X.509 in PEM") from error


def require_renewed(
    event: Event, renewal: SignedStatement, key_id: str, certificate: bytes
) -> None:
    """Check that an event enrols this certificate and key, by this renewal of ours.

    Raises VerificationFailed(step="fact").
    """
    if event.topic != ENROLMENT_TOPIC:
        raise VerificationFailed("the recorded fact is of another kind", step="fact")
    data = JsonObject(dict(event.data), "the event", "fact")
    held = {
        "certificate": hashlib.sha256(certificate).hexdigest(),
        "key_id": key_id,
    }
    for name, value in held.items():
        if data.text(name) != value:
            raise VerificationFailed(f"the recorded fact has another {name}", step="fact")
    if data.child("renewal").text("digest") != renewal.digest.hex():
        raise VerificationFailed("the recorded fact has another renewal", step="fact")
