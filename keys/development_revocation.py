"""What a development authority took back, and how it says so. NOT FOR PRODUCTION."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from keys.file import KeyFileError

_NOTES_BYTES_MAX = 1 << 20
REASONS = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "affiliation-changed": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessation-of-operation": x509.ReasonFlags.cessation_of_operation,
    "privilege-withdrawn": x509.ReasonFlags.privilege_withdrawn,
}
"""The words for why, as RFC 5280 section 5.3.1 has them; a hold is not for rehearsals."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that was taken back: why, and since when."""

    serial: int
    reason: str
    since: datetime


class RevokedCertificates:
    """The notes about them, a JSON file of at most 1 MiB; for one process at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> list[Revoked]:
        """All of them, in the order they were noted. Raises KeyFileError."""
        try:
            if self._path.stat().st_size > _NOTES_BYTES_MAX:
                raise KeyFileError(f"{self._path}: larger than {_NOTES_BYTES_MAX} bytes")
            notes = json.loads(self._path.read_bytes())
            return [
                Revoked(int(note["serial"]), note["reason"], datetime.fromisoformat(note["since"]))
                for note in notes
            ]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeyFileError(f"{self._path}: cannot be read") from error

    def add(self, revoked: Revoked) -> None:
        """Note one; of one that is noted already, the earlier time stays.

        Raises ValueError for a reason that is no word of these, KeyFileError.
        """
        if revoked.reason not in REASONS:
            raise ValueError(f"the reason must be one of: {', '.join(REASONS)}")
        known = {each.serial: each for each in self.all()}
        earlier = known.get(revoked.serial)
        if earlier is None or revoked.since < earlier.since:
            known[revoked.serial] = revoked
        notes = [
            {"serial": str(each.serial), "reason": each.reason, "since": each.since.isoformat()}
            for each in known.values()
        ]
        draft = self._path.with_suffix(".new")
        try:
            draft.write_text(json.dumps(notes, indent=2) + "\n")
            os.replace(draft, self._path)
        except OSError as error:
            raise KeyFileError(f"{self._path}: cannot be written") from error


def revocation_list(
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    revoked: Sequence[Revoked],
    *,
    at: datetime,
    lasting: timedelta,
) -> bytes:
    """A complete list (RFC 5280 section 5) in DER; its number counts seconds."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(at)
        .next_update(at + lasting)
        .add_extension(x509.CRLNumber(int(at.timestamp())), critical=False)
        .add_extension(_key_identifier(key), critical=False)
    )
    for each in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(each.serial)
            .revocation_date(each.since)
            .add_extension(x509.CRLReason(REASONS[each.reason]), critical=False)
            .build()
        )
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def ocsp_answer(
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    request: bytes,
    revoked: Sequence[Revoked],
    *,
    at: datetime,
    lasting: timedelta,
) -> bytes:
    """An answer (RFC 6960) in DER about the one certificate asked for, with the nonce repeated."""
    asked = ocsp.load_der_ocsp_request(request)
    found = next((each for each in revoked if each.serial == asked.serial_number), None)
    builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
        issuer_name_hash=asked.issuer_name_hash,
        issuer_key_hash=asked.issuer_key_hash,
        serial_number=asked.serial_number,
        algorithm=asked.hash_algorithm,
        cert_status=ocsp.OCSPCertStatus.REVOKED if found else ocsp.OCSPCertStatus.GOOD,
        this_update=at,
        next_update=at + lasting,
        revocation_time=found.since if found else None,
        revocation_reason=REASONS[found.reason] if found else None,
    )
    with suppress(x509.ExtensionNotFound):
        nonce = asked.extensions.get_extension_for_class(x509.OCSPNonce).value
        builder = builder.add_extension(nonce, critical=False)
    answer = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer).sign(key, SHA256())
    return answer.public_bytes(Encoding.DER)


def _key_identifier(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject)
