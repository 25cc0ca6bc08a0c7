"""Whether a certificate may be enrolled: by whom it was issued, and for what it is made.

The chain is judged by `hub.evidence`; whether an issuer took it back, by the lists that were
fetched ahead. Nothing is fetched here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from hub.errors import CertificateUnsuitable, VerificationFailed
from hub.evidence.chains import Usage, VerifiedChain, verify_chain
from hub.evidence.crls import Listed, name_digest
from hub.evidence.ocsp import OfAnother, VerifiedAnswer, verify_answer
from hub.proof.signatures import Algorithm, PublicKey

CERTIFICATE_BYTES_MAX = 16 * 1024
ANSWERS_MAX = 4


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An OCSP answer that was handed in: it says of a certificate (DER) that it is good."""

    certificate: bytes = field(repr=False)
    data: bytes = field(repr=False)
    answer: VerifiedAnswer


@dataclass(frozen=True, slots=True)
class SuitableCertificate:
    """A certificate that may be enrolled; `not_after` is when it or an authority above it ends.

    `issuers` are those above it up to the anchor (DER), its own issuer first, `answers` what
    was handed in with it.
    """

    der: bytes
    digest: bytes
    key_id: str
    not_before: datetime
    not_after: datetime
    issuers: tuple[bytes, ...] = ()
    answers: tuple[GivenAnswer, ...] = ()

    @property
    def evidence(self) -> Mapping[bytes, bytes]:
        """It and those above it, by digest: what is kept for good."""
        return {hashlib.sha256(der).digest(): der for der in (self.der, *self.issuers)}

    @property
    def issuer_digests(self) -> list[str]:
        """Those above it, as an event names them."""
        return [hashlib.sha256(der).hexdigest() for der in self.issuers]


class Suitability:
    """Judges certificates against the authorities configured for each purpose.

    An authority whose issuer is configured too only leads to it; all others are trust anchors.
    `listed` is what the newest revocation lists and OCSP answers say of a certificate, `cleared`
    whether the lists clear a responder's.
    """

    def __init__(
        self,
        signing: Sequence[bytes],
        transport: Sequence[bytes],
        listed: Callable[[x509.Certificate], Listed | None] = lambda _: None,
        cleared: Callable[[x509.Certificate], bool] = lambda _: False,
    ) -> None:
        self._authorities = {
            "signing": divided(signing),
            "transport": divided(transport),
        }
        self._listed = listed
        self._cleared = cleared

    def require(
        self,
        der: bytes,
        purpose: str,
        algorithm: Algorithm | None,
        at: datetime,
        answers: Sequence[bytes] = (),
    ) -> SuitableCertificate:
        """The certificate, if it may be enrolled for `purpose`; else CertificateUnsuitable.

        `answers` are OCSP answers (DER) that came with it: each must hold and say good of it,
        or of one above it. A signing certificate may begin in the future: until then its
        statements are refused with KEY_NOT_YET_VALID.
        """
        certificate = _load(der)
        if certificate.not_valid_after_utc <= at:
            raise CertificateUnsuitable("the certificate's validity has ended")
        if isinstance(certificate.signature_hash_algorithm, SHA1):
            raise CertificateUnsuitable("a certificate signed with SHA-1 is not accepted")
        _require_usage(certificate, purpose)
        chain = self._chain(der, purpose, max(at, certificate.not_valid_before_utc))
        self._require_not_listed(chain)
        if purpose == "signing":
            _require_key(der, algorithm)
        return SuitableCertificate(
            der=der,
            digest=hashlib.sha256(der).digest(),
            key_id=_key_id(certificate),
            not_before=certificate.not_valid_before_utc,
            not_after=chain.not_after,
            issuers=chain.certificates[1:],
            answers=self._given(answers, chain, at),
        )

    def _chain(self, der: bytes, purpose: str, at: datetime) -> VerifiedChain:
        anchors, others = self._authorities[purpose]
        usage = Usage.DOCUMENT_SIGNING if purpose == "signing" else Usage.CONNECTION
        try:
            return verify_chain(der, usage=usage, at=at, anchors=anchors, others=others)
        except VerificationFailed as error:
            raise CertificateUnsuitable(
                f"the certificate was not issued by a trust anchor of this hub: {error}"
            ) from error

    def _require_not_listed(self, chain: VerifiedChain) -> None:
        for der in chain.certificates:
            if found := self._listed(x509.load_der_x509_certificate(der)):
                raise CertificateUnsuitable(
                    f"its issuer revoked the certificate, or one above it: {found.reason}"
                )

    def _given(
        self, answers: Sequence[bytes], chain: VerifiedChain, at: datetime
    ) -> tuple[GivenAnswer, ...]:
        if len(answers) > ANSWERS_MAX:
            raise CertificateUnsuitable(f"at most {ANSWERS_MAX} OCSP answers go with a certificate")
        return tuple(self._good(data, chain, at) for data in answers)

    def _good(self, data: bytes, chain: VerifiedChain, at: datetime) -> GivenAnswer:
        why = "an OCSP answer is about none of the chain's certificates"
        for der, issuer in pairwise(chain.certificates):
            certificate = x509.load_der_x509_certificate(der)
            try:
                answer = verify_answer(
                    data,
                    certificate=certificate,
                    issuer=x509.load_der_x509_certificate(issuer),
                    at=at,
                    unrevoked=self._cleared,
                )
            except OfAnother:
                continue
            except VerificationFailed as error:
                raise CertificateUnsuitable(str(error)) from error
            if answer.revoked is None:
                return GivenAnswer(der, data, answer)
            why = f"its issuer revoked the certificate, or one above it: {answer.revoked.reason}"
            break
        raise CertificateUnsuitable(why)


def divided(authorities: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The trust anchors, and those that only lead to one of them."""
    loaded = [(der, x509.load_der_x509_certificate(der)) for der in authorities]
    subjects = {name_digest(each.subject) for _, each in loaded}
    between = [
        der
        for der, each in loaded
        if each.issuer != each.subject and name_digest(each.issuer) in subjects
    ]
    return [der for der in authorities if der not in between], between


def _load(der: bytes) -> x509.Certificate:
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise CertificateUnsuitable(f"a certificate has at most {CERTIFICATE_BYTES_MAX} bytes")
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise CertificateUnsuitable("this is no X.509 certificate in DER") from error


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
