"""OCSP answers: what an issuer, or whom it sent, says of one certificate (RFC 6960)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from asn1crypto import ocsp as asn1
from asn1crypto.keys import PublicKeyInfo
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from pyhanko_certvalidator.sig_validate import DefaultSignatureValidator

from hub.errors import VerificationFailed
from hub.evidence.crls import REASONS, Listed
from hub.evidence.der import CERTIFICATES_MAX, UNREADABLE

ANSWER_BYTES_MAX = 64 * 1024
"""How large an answer may be: one about one certificate has two or three kilobytes."""

NONCE_BYTES = 32
"""How long the random number in a question is (RFC 9654 section 2.1)."""

CLOCK_SKEW = timedelta(minutes=5)
"""How far a responder's clock may be ahead: its answers are of the very moment they are asked."""

LASTING = timedelta(hours=1)
"""How long an answer counts that does not say when there is newer information."""

_HASHES: dict[str, type[hashes.HashAlgorithm]] = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}
_STRONG = frozenset({"sha256", "sha384", "sha512"})
_NAMED_BY = frozenset({"sha1", *_STRONG})
_RSA_BITS_MIN = 2048
_KNOWN_CRITICAL = frozenset(
    {x509.KeyUsage.oid, x509.ExtendedKeyUsage.oid, x509.BasicConstraints.oid}
)

Unrevoked = Callable[[x509.Certificate], bool]
"""Whether lists that count say that a responder's certificate was not taken back."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one certificate: the request in DER, and the number an answer repeats."""

    request: bytes
    nonce: bytes | None


@dataclass(frozen=True, slots=True)
class VerifiedAnswer:
    """What was said of one certificate, by whom it is to be believed.

    `revoked` is None where the certificate is good. The answer counts from `this_update` until
    `next_update`; where it names no such time, for one hour.
    """

    this_update: datetime
    next_update: datetime
    revoked: Listed | None

    @property
    def status(self) -> str:
        """`good` or `revoked`, as events have it."""
        return "good" if self.revoked is None else "revoked"


class NoAnswer(VerificationFailed):
    """The responder has nothing to say about this certificate: that tells nothing."""


class OfAnother(VerificationFailed):
    """The answer is about another certificate, or another issuer's."""


class ResponderBusy(NoAnswer):
    """The responder gives no answer now, to nobody."""


def build_question(
    certificate: x509.Certificate, issuer: x509.Certificate, *, named_by: str, nonce: bytes | None
) -> Question:
    """A question about a certificate, which is named by SHA-1 or SHA-256 (`sha1`, `sha256`).

    SHA-1 protects nothing here: who answers is known by a signature. Many responders know no
    other (RFC 5019 section 2.1.1).
    """
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, _HASHES[named_by]())
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return Question(builder.build().public_bytes(Encoding.DER), nonce)


def verify_answer(
    data: bytes,
    *,
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    at: datetime,
    nonce: bytes | None = None,
    require_nonce: bool = False,
    skew: timedelta = CLOCK_SKEW,
    unrevoked: Unrevoked = lambda _: False,
) -> VerifiedAnswer:
    """An answer (DER) about a certificate, to be believed at the moment `at`.

    1. It can be read and is an answer. 2. It is about this certificate of this issuer. 3. It
    repeats the question's nonce, or has none, unless one is required. 4. The issuer signed it
    with no weak algorithm, or a responder whom the issuer itself certified for that, and who is
    not to be doubted: either the issuer says that nobody need ask (id-pkix-ocsp-nocheck), or
    `unrevoked` does. 5. It is of that time. 6. It says good or revoked; `unknown` says nothing.

    Raises NoAnswer where there is none, and VerificationFailed(step="ocsp").
    """
    # (1) It can be read and is an answer.
    if len(data) > ANSWER_BYTES_MAX:
        raise _bad(f"it has more than {ANSWER_BYTES_MAX} bytes")
    try:
        answer = ocsp.load_der_ocsp_response(data)
        if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise _no_answer(answer.response_status)
        # Both readers must take it: what only one understands could mean two things.
        basic = asn1.OCSPResponse.load(data, strict=True).basic_ocsp_response
        _require_understood(answer, basic)
        # (2) It is about this certificate.
        said = _about(answer, certificate, issuer)
        # (3) The nonce.
        _require_nonce(answer, nonce, required=require_nonce)
        # (4) The issuer signed it, or a responder of the issuer's.
        _require_signed(answer, basic, issuer, at, unrevoked)
        revoked = _revocation(said, basic)
    except UNREADABLE as error:
        raise _bad("it cannot be read") from error
    # (5) It is of that time.
    next_update = said.next_update_utc or said.this_update_utc + LASTING
    if said.this_update_utc > at + skew:
        raise _bad("it is from the future")
    if next_update < at:
        raise _bad("it is out of date")
    # (6) It says good or revoked.
    if said.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        raise NoAnswer("the responder does not know the certificate", step="ocsp")
    return VerifiedAnswer(said.this_update_utc, next_update, revoked)


def _require_understood(answer: ocsp.OCSPResponse, basic: asn1.BasicOCSPResponse) -> None:
    strange = any(
        each.critical and not isinstance(each.value, x509.OCSPNonce) for each in answer.extensions
    )
    for single in basic["tbs_response_data"]["responses"]:
        strange = strange or any(
            each["critical"].native for each in single["single_extensions"] or ()
        )
    if strange:
        raise _bad("it has a critical extension that is unknown here")


def _about(
    answer: ocsp.OCSPResponse, certificate: x509.Certificate, issuer: x509.Certificate
) -> ocsp.OCSPSingleResponse:
    """What it says of the certificate; the worst, should it say several things."""
    found = [each for each in answer.responses if _names(each, certificate, issuer)]
    if not found:
        raise OfAnother(str(_bad("it is about another certificate")), step="ocsp")
    statuses = ocsp.OCSPCertStatus
    worst = (statuses.REVOKED, statuses.UNKNOWN, statuses.GOOD)
    return min(found, key=lambda each: worst.index(each.certificate_status))


def _names(
    said: ocsp.OCSPSingleResponse, certificate: x509.Certificate, issuer: x509.Certificate
) -> bool:
    name = said.hash_algorithm.name
    if said.serial_number != certificate.serial_number or name not in _NAMED_BY:
        return False
    by_name = hashlib.new(name, issuer.subject.public_bytes()).digest()
    by_key = hashlib.new(name, _key_bits(issuer)).digest()
    return said.issuer_name_hash == by_name and said.issuer_key_hash == by_key


def _require_nonce(answer: ocsp.OCSPResponse, nonce: bytes | None, *, required: bool) -> None:
    try:
        repeated = answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        if required:
            raise _bad("it does not repeat the number of the question") from None
        return
    if nonce is not None and repeated != nonce:
        raise _bad("it answers another question")


def _revocation(said: ocsp.OCSPSingleResponse, basic: asn1.BasicOCSPResponse) -> Listed | None:
    if said.certificate_status is not ocsp.OCSPCertStatus.REVOKED:
        return None
    since = said.revocation_time_utc
    if since is None:
        raise _bad("it does not say since when the certificate is revoked")
    # The issuer may know that the key was stolen before it was told (RFC 6960, 4.4.5).
    since = min((since, *_invalid_from(said, basic)))
    reason = said.revocation_reason
    return Listed(since, REASONS.get(reason, "unspecified") if reason else "unspecified")


def _invalid_from(
    said: ocsp.OCSPSingleResponse, basic: asn1.BasicOCSPResponse
) -> Iterator[datetime]:
    for single in basic["tbs_response_data"]["responses"]:
        if single["cert_id"]["serial_number"].native != said.serial_number:
            continue
        for extension in single["single_extensions"] or ():
            if extension["extn_id"].native == "invalidity_date":
                yield extension["extn_value"].parsed.native


# --- Who signed -----------------------------------------------------------------------------


def _require_signed(
    answer: ocsp.OCSPResponse,
    basic: asn1.BasicOCSPResponse,
    issuer: x509.Certificate,
    at: datetime,
    unrevoked: Unrevoked,
) -> None:
    if not _in_force(issuer, at):
        raise _bad("its issuer's certificate is not in force")
    if len(answer.certificates) > CERTIFICATES_MAX:
        raise _bad(f"it has more than {CERTIFICATES_MAX} certificates")
    if _is_responder(answer, issuer) and _signed(answer, basic, issuer):
        return
    for responder in answer.certificates:
        if _is_responder(answer, responder) and _signed(answer, basic, responder):
            _require_delegated(responder, issuer, at, unrevoked)
            return
    raise _bad("neither the certificate's issuer nor a responder of it signed it")


def _is_responder(answer: ocsp.OCSPResponse, candidate: x509.Certificate) -> bool:
    if answer.responder_name is not None:
        return candidate.subject == answer.responder_name
    # RFC 6960 section 4.2.1: always SHA-1, of the key's bits alone.
    return hashlib.sha1(_key_bits(candidate), usedforsecurity=False).digest() == (
        answer.responder_key_hash
    )


def _signed(
    answer: ocsp.OCSPResponse, basic: asn1.BasicOCSPResponse, responder: x509.Certificate
) -> bool:
    algorithm = basic["signature_algorithm"]
    key = responder.public_key()
    if algorithm.hash_algo not in _STRONG:
        raise _bad("it is signed with a weak algorithm")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _RSA_BITS_MIN:
        raise _bad("it is signed with a weak key")
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        DefaultSignatureValidator().validate_signature(
            signature=answer.signature,
            signed_data=answer.tbs_response_bytes,
            public_key_info=PublicKeyInfo.load(spki),
            signature_algorithm=algorithm,
        )
    except InvalidSignature:
        return False
    return True


def _require_delegated(
    responder: x509.Certificate, issuer: x509.Certificate, at: datetime, unrevoked: Unrevoked
) -> None:
    """RFC 6960 section 4.2.2.2: certified by the very issuer, and for this."""
    try:
        responder.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise _bad("another than the certificate's issuer certified its responder") from error
    hash_algorithm = responder.signature_hash_algorithm
    if hash_algorithm is not None and hash_algorithm.name not in _STRONG:
        raise _bad("its responder's certificate is signed with a weak algorithm")
    if not _in_force(responder, at):
        raise _bad("its responder's certificate is not in force")
    if not _is_made_for_it(responder):
        raise _bad("its responder's certificate is not made for it")
    if not _need_not_be_asked_for(responder) and not unrevoked(responder):
        raise _bad("nothing tells whether its responder's certificate was revoked")


def _is_made_for_it(responder: x509.Certificate) -> bool:
    usage = False
    for extension in responder.extensions:
        if extension.critical and extension.oid not in _KNOWN_CRITICAL:
            return False
        match extension.value:
            case x509.KeyUsage() as keys:
                if not (keys.digital_signature or keys.content_commitment):
                    return False
            case x509.ExtendedKeyUsage() as usages:
                usage = ExtendedKeyUsageOID.OCSP_SIGNING in usages
    return usage


def _need_not_be_asked_for(responder: x509.Certificate) -> bool:
    """Whether the issuer says that it takes it back by letting it end (RFC 6960, 4.2.2.2.1)."""
    try:
        responder.extensions.get_extension_for_class(x509.OCSPNoCheck)
    except x509.ExtensionNotFound:
        return False
    return True


def _in_force(certificate: x509.Certificate, at: datetime) -> bool:
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc


def _key_bits(certificate: x509.Certificate) -> bytes:
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return bytes(PublicKeyInfo.load(spki)["public_key"])


def _no_answer(status: ocsp.OCSPResponseStatus) -> NoAnswer:
    kinds = ocsp.OCSPResponseStatus
    kind = ResponderBusy if status in {kinds.TRY_LATER, kinds.INTERNAL_ERROR} else NoAnswer
    word = status.name.lower().replace("_", "-")
    return kind(f"the responder gives no answer: {word}", step="ocsp")


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(f"the OCSP answer does not hold: {why}", step="ocsp")
