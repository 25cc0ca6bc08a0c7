"""Whether a certificate may be enrolled: by whom it was issued, and for what it is made.

Chains longer than one step, revocation and policies are for `adapters/pki`; here stands
what can be said without them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from hub.errors import CertificateUnsuitable, VerificationFailed
from hub.proof.signatures import Algorithm, PublicKey

CERTIFICATE_BYTES_MAX = 16 * 1024


@dataclass(frozen=True, slots=True)
class SuitableCertificate:
    """A certificate that may be enrolled."""

    der: bytes
    digest: bytes
    key_id: str
    not_before: datetime
    not_after: datetime


class Suitability:
    """Judges certificates against the trust anchors configured for each purpose."""

    def __init__(self, signing: Sequence[bytes], transport: Sequence[bytes]) -> None:
        self._anchors = {
            "signing": [x509.load_der_x509_certificate(der) for der in signing],
            "transport": [x509.load_der_x509_certificate(der) for der in transport],
        }

    def require(
        self, der: bytes, purpose: str, algorithm: Algorithm | None, at: datetime
    ) -> SuitableCertificate:
        """The certificate, if it may be enrolled for `purpose`; else CertificateUnsuitable.

        A signing certificate may begin in the future: until then its statements are refused
        with KEY_NOT_YET_VALID.
        """
        certificate = _load(der)
        if certificate.not_valid_after_utc <= at:
            raise CertificateUnsuitable("the certificate's validity has ended")
        _require_issuer(certificate, self._anchors[purpose])
        _require_usage(certificate, purpose)
        if purpose == "signing":
            _require_key(der, algorithm)
        return SuitableCertificate(
            der=der,
            digest=hashlib.sha256(der).digest(),
            key_id=_key_id(certificate),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )


def _load(der: bytes) -> x509.Certificate:
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise CertificateUnsuitable(f"a certificate has at most {CERTIFICATE_BYTES_MAX} bytes")
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise CertificateUnsuitable("this is no X.509 certificate in DER") from error


def _require_issuer(certificate: x509.Certificate, anchors: Sequence[x509.Certificate]) -> None:
    if isinstance(certificate.signature_hash_algorithm, SHA1):
        raise CertificateUnsuitable("a certificate signed with SHA-1 is not accepted")
    for anchor in anchors:
        try:
            certificate.verify_directly_issued_by(anchor)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        return
    raise CertificateUnsuitable("the certificate was not issued by a trust anchor of this hub")


def _require_usage(certificate: x509.Certificate, purpose: str) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        may_sign = usage.digital_signature or usage.content_commitment
        suits = (
            may_sign
            and not _is_authority(certificate)
            and _extended_usage_suits(certificate, purpose)
        )
    except x509.ExtensionNotFound:
        raise CertificateUnsuitable("the certificate does not state its key usage") from None
    except ValueError as error:
        raise CertificateUnsuitable(f"unreadable extensions: {error}") from error
    if not suits:
        raise CertificateUnsuitable(f"the certificate is not made for {purpose}")


def _extended_usage_suits(certificate: x509.Certificate, purpose: str) -> bool:
    """A certificate without extended key usage suits both (RFC 5280, 4.2.1.12)."""
    try:
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return True
    if purpose == "transport":
        return ExtendedKeyUsageOID.CLIENT_AUTH in usages
    return bool(usages - {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH})


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _require_key(der: bytes, algorithm: Algorithm | None) -> None:
    if algorithm is None:
        raise CertificateUnsuitable("state the algorithm a signing certificate signs with")
    try:
        PublicKey.from_certificate(der, algorithm)
    except VerificationFailed as error:
        raise CertificateUnsuitable(str(error)) from error


def _key_id(certificate: x509.Certificate) -> str:
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()
