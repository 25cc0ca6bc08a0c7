"""Whether a certificate led to a trusted authority at a moment of the past.

Everything is handed in: nothing is ever fetched. The addresses in a certificate are its
holder's words, and following them would let a stranger choose whom the verifier calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from asn1crypto import crl, ocsp
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.authority import (
    CertTrustAnchor,
    TrustQualifiers,
    derive_quals_from_cert,
)
from pyhanko_certvalidator.errors import (
    ExpiredError,
    InsufficientRevinfoError,
    NotYetValidError,
    PathBuildingError,
    PathError,
    RevokedError,
    ValidationError,
)
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import PKIXValidationParams

from hub.errors import VerificationFailed

CERTIFICATE_BYTES_MAX = 16 * 1024
CERTIFICATES_MAX = 64
REVOCATION_BYTES_MAX = 32 << 20
"""How many bytes CRLs and OCSP answers may have together: a large authority's CRL has some."""

UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What parsers of DER raise for hostile bytes; none of it is meant for a person."""

_TLS = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}

_ExtensionT = TypeVar("_ExtensionT", bound=x509.ExtensionType)


class EvidenceMissing(VerificationFailed):
    """Nothing speaks against it, but what would prove it is not there.

    A caller that needs proof treats this as any other failure; one that reports may say
    that it was not checked.
    """


class Usage(StrEnum):
    """What a certificate was used for, which decides what must stand in it."""

    DOCUMENT_SIGNING = "signing documents"
    TIMESTAMPING = "time-stamping"
    CONNECTION = "connections"


@dataclass(frozen=True, slots=True)
class Revocation:
    """What issuers said about revocation, in DER: CRLs and OCSP answers.

    Only what was said before the moment in question counts: for what was accepted, keep the
    evidence of that day. A certificate that names no OCSP responder (no AIA) can only be
    judged by CRLs; the validator passes over OCSP answers about it.
    """

    crls: tuple[bytes, ...] = ()
    ocsp_answers: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """A chain that held at the moment asked for: the certificate first, the anchor last.

    `not_after` is the first end among its certificates. `revocation_checked` says whether
    revocation was looked at for every certificate below the anchor.
    """

    certificates: tuple[bytes, ...]
    not_after: datetime
    revocation_checked: bool


def verify_chain(
    certificate: bytes,
    *,
    usage: Usage,
    at: datetime,
    anchors: Sequence[bytes],
    others: Sequence[bytes] = (),
    revocation: Revocation | None = None,
) -> VerifiedChain:
    """The chain from a certificate to one of the anchors, as of the moment `at`; all in DER.

    1. Everything can be read. 2. The certificate is made for its usage. 3. A chain of
    certificates leads to an anchor, over `others` where needed, each in force at `at`,
    signed with no weak algorithm (RFC 5280 section 6). 4. If `revocation` is given, then for
    each certificate below the anchor it says that it was not revoked at `at`; with None,
    revocation is not looked at and the result says so.

    Raises VerificationFailed(step="chain"), and EvidenceMissing where revocation is demanded
    but nothing in the evidence tells.
    """
    # (1) Everything can be read.
    leaf = load_certificate(certificate)
    if len(anchors) + len(others) > CERTIFICATES_MAX:
        raise _bad(f"more than {CERTIFICATES_MAX} certificates")
    context = _context(at, anchors, others, revocation)
    # (2) The certificate is made for its usage.
    with _reading("the certificate's extensions"):
        _require_usage(x509.load_der_x509_certificate(certificate), usage)
    # (3) and (4) A chain leads to an anchor, and nothing in it was revoked.
    with _failing():
        path = _at_once(CertificateValidator(leaf, validation_context=context))
    certificates = list(path.iter_certs(include_root=True))[::-1]
    return VerifiedChain(
        certificates=tuple(each.dump() for each in certificates),
        not_after=min(each.not_valid_after for each in certificates),
        revocation_checked=revocation is not None,
    )


def load_certificate(der: bytes) -> asn1.Certificate:
    """A certificate for those libraries that read `asn1crypto`'s kind.

    Raises VerificationFailed(step="chain").
    """
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise _bad(f"a certificate has more than {CERTIFICATE_BYTES_MAX} bytes")
    with _reading("a certificate"):
        certificate = asn1.Certificate.load(der, strict=True)
        certificate.native  # noqa: B018  # asn1crypto reads lazily: now, or in the middle.
        # RFC 5280 section 4.1.2.2; the other reader only warns of it.
        if certificate.serial_number <= 0:
            raise _bad("a certificate has no positive serial number")
        # Both readers must take it: what only one understands could mean two things.
        x509.load_der_x509_certificate(der)
        return certificate


def anchors_among(certificates: Sequence[bytes]) -> list[bytes]:
    """Those that issued themselves; the others of a list only help to reach one of them."""
    loaded = [(der, load_certificate(der)) for der in certificates]
    return [der for der, certificate in loaded if certificate.issuer == certificate.subject]


def _at_once(validator: CertificateValidator) -> ValidationPath:
    """Run a validation that waits for nothing, since nothing is fetched: no event loop needed."""
    validation = validator.async_validate_path()
    try:
        validation.send(None)
    except StopIteration as done:
        path: ValidationPath = done.value
        return path
    finally:
        validation.close()
    raise RuntimeError("the validator waited for something, though it may not fetch anything")


def _context(
    at: datetime,
    anchors: Sequence[bytes],
    others: Sequence[bytes],
    revocation: Revocation | None,
) -> ValidationContext:
    # Without anchors the library would fall back on the operating system's own.
    if not anchors:
        raise _bad("there is no authority to trust")
    held = revocation or Revocation()
    if sum(map(len, (*held.crls, *held.ocsp_answers))) > REVOCATION_BYTES_MAX:
        raise _bad(f"the revocation evidence has more than {REVOCATION_BYTES_MAX} bytes")
    roots = [_anchor(load_certificate(anchor)) for anchor in anchors]
    between = [load_certificate(other) for other in others]
    with _reading("the revocation evidence"):
        return ValidationContext(
            trust_roots=roots,
            other_certs=between,
            moment=at,
            crls=[crl.CertificateList.load(each, strict=True) for each in held.crls],
            ocsps=[ocsp.OCSPResponse.load(each, strict=True) for each in held.ocsp_answers],
            # The library's default lets everything pass that cannot be found out.
            revocation_mode="none" if revocation is None else "require",
            allow_fetching=False,
            time_tolerance=timedelta(0),
        )


def _anchor(certificate: asn1.Certificate) -> CertTrustAnchor:
    """An authority that is trusted no further than it says of itself (RFC 5937).

    By RFC 5280 section 6.1 its own constraints would not count. Its policies do not: few
    agencies' certificates name any.
    """
    said = derive_quals_from_cert(certificate)
    names = said.standard_parameters
    quals = TrustQualifiers(
        max_path_length=said.max_path_length,
        standard_parameters=names
        and PKIXValidationParams(
            initial_permitted_subtrees=names.initial_permitted_subtrees,
            initial_excluded_subtrees=names.initial_excluded_subtrees,
        ),
    )
    return CertTrustAnchor(certificate, quals=quals)


def _require_usage(certificate: x509.Certificate, usage: Usage) -> None:
    """Step 2: signing by RFC 5280 section 4.2.1.3, time-stamping by RFC 3161 2.3.

    A client's connection by RFC 5280 section 4.2.1.12.
    """
    extended = _extension(certificate, x509.ExtendedKeyUsage)
    if usage is Usage.TIMESTAMPING:
        only = {ExtendedKeyUsageOID.TIME_STAMPING}
        if extended is None or not extended.critical or set(extended.value) != only:
            raise _bad("the certificate is not made for time-stamping and nothing else")
        return
    basic = _extension(certificate, x509.BasicConstraints)
    if basic is not None and basic.value.ca:
        raise _bad("the certificate is an authority's, not a signer's")
    keys = _extension(certificate, x509.KeyUsage)
    if keys is None or not (keys.value.digital_signature or keys.value.content_commitment):
        raise _bad("the certificate is not made for signing")
    if usage is Usage.CONNECTION:
        if extended is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in extended.value:
            raise _bad("the certificate is not made for connections")
        return
    # Signing documents has no extended usage that all authorities agree on; a certificate
    # that names only TLS is none all the same.
    if extended is not None and not set(extended.value) - _TLS:
        raise _bad("the certificate is made for connections, not for signing documents")


def _extension(
    certificate: x509.Certificate, kind: type[_ExtensionT]
) -> x509.Extension[_ExtensionT] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turn whatever a parser trips over into a failed verification."""
    try:
        yield
    except UNREADABLE as error:
        raise _bad(f"{what} cannot be read") from error


@contextmanager
def _failing() -> Iterator[None]:
    """Turn the validator's refusals into ours; its own words are long and partly a stranger's."""
    try:
        yield
    except RevokedError as error:
        when = error.revocation_dt.astimezone(UTC)
        raise _bad(f"a certificate of the chain was revoked at {when:%Y-%m-%d %H:%M:%S} UTC") from (
            error
        )
    except InsufficientRevinfoError as error:
        raise EvidenceMissing(
            "no CRL or OCSP answer of that time tells whether the chain was revoked", step="chain"
        ) from error
    except (ExpiredError, NotYetValidError) as error:
        raise _bad("a certificate of the chain was not in force at that time") from error
    except PathBuildingError as error:
        raise _bad("no chain leads from the certificate to a trusted authority") from error
    except (ValidationError, PathError) as error:
        raise _bad("the certificate's chain does not hold") from error
    except UNREADABLE as error:
        raise _bad("the chain or its revocation evidence cannot be read") from error


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(why, step="chain")
