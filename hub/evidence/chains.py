"""Whether a certificate led to a trusted authority at a moment of the past.

Everything is handed in: nothing is ever fetched. The addresses in a certificate are its
holder's words, and following them would let a stranger choose whom the verifier calls.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any, TypeVar

from asn1crypto import crl
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.authority import (
    CertTrustAnchor,
    TrustQualifiers,
    derive_quals_from_cert,
)
from pyhanko_certvalidator.errors import (
    CRLNoMatchesError,
    CRLValidationError,
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
from pyhanko_certvalidator.revinfo import validate_crl

from hub.errors import VerificationFailed
from hub.evidence.crls import verify_crl
from hub.evidence.der import (
    CERTIFICATES_MAX,
    UNREADABLE,
    bad_chain,
    load_certificate,
    reading,
)
from hub.evidence.ocsp import verify_answer

REVOCATION_BYTES_MAX = 32 << 20
"""How many bytes CRLs and OCSP answers may have together: a large authority's CRL has some."""

_TLS = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}

T = TypeVar("T")
_ExtensionT = TypeVar("_ExtensionT", bound=x509.ExtensionType)


class EvidenceMissing(VerificationFailed):
    """Nothing speaks against it, but what would prove it is not there.

    A caller that needs proof treats this as any other failure; one that reports may say
    that it was not checked.
    """


class WrongUsage(VerificationFailed):
    """The certificate is made for something else than it was used for."""


class Usage(StrEnum):
    """What a certificate was used for, which decides what must stand in it."""

    DOCUMENT_SIGNING = "signing documents"
    TIMESTAMPING = "time-stamping"
    CONNECTION = "connections"


@dataclass(frozen=True, slots=True)
class Revocation:
    """What issuers said about revocation, in DER: CRLs and OCSP answers.

    Only what was said before the moment in question counts: for what was accepted, keep the
    evidence of that day. Where CRLs and OCSP answers say different things of a certificate, it
    was revoked.
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
    _require_readable(revocation or Revocation())
    if len(anchors) + len(others) > CERTIFICATES_MAX:
        raise bad_chain(f"more than {CERTIFICATES_MAX} certificates")
    # Answers are judged one certificate at a time, once there is a chain.
    at_once = revocation if revocation is None or not revocation.ocsp_answers else None
    context = _context(at, anchors, others, at_once)
    # (2) The certificate is made for its usage.
    with reading("the certificate's extensions"):
        _require_usage(x509.load_der_x509_certificate(certificate), usage)
    # (3) and (4) A chain leads to an anchor, and nothing in it was revoked.
    with _failing():
        path = _at_once(
            CertificateValidator(leaf, validation_context=context).async_validate_path()
        )
    certificates = list(path.iter_certs(include_root=True))[::-1]
    if revocation is not None and revocation.ocsp_answers:
        _require_unrevoked(path, certificates, revocation, at)
    return VerifiedChain(
        certificates=tuple(each.dump() for each in certificates),
        not_after=min(each.not_valid_after for each in certificates),
        revocation_checked=revocation is not None,
    )


def anchors_among(certificates: Sequence[bytes]) -> list[bytes]:
    """Those that issued themselves; the others of a list only help to reach one of them."""
    loaded = [(der, load_certificate(der)) for der in certificates]
    return [der for der, certificate in loaded if certificate.issuer == certificate.subject]


def _at_once(validation: Coroutine[Any, Any, T]) -> T:
    """Run a validation that waits for nothing, since nothing is fetched: no event loop needed."""
    try:
        validation.send(None)
    except StopIteration as done:
        found: T = done.value
        return found
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
        raise bad_chain("there is no authority to trust")
    held = revocation or Revocation()
    roots = [_anchor(load_certificate(anchor)) for anchor in anchors]
    between = [load_certificate(other) for other in others]
    with reading("the revocation evidence"):
        return ValidationContext(
            trust_roots=roots,
            other_certs=between,
            moment=at,
            crls=[crl.CertificateList.load(each, strict=True) for each in held.crls],
            # The library's default lets everything pass that cannot be found out.
            revocation_mode="none" if revocation is None else "require",
            allow_fetching=False,
            time_tolerance=timedelta(0),
        )


def _require_readable(held: Revocation) -> None:
    if sum(map(len, (*held.crls, *held.ocsp_answers))) > REVOCATION_BYTES_MAX:
        raise bad_chain(f"the revocation evidence has more than {REVOCATION_BYTES_MAX} bytes")
    with reading("the revocation evidence"):
        for each in held.ocsp_answers:
            ocsp.load_der_ocsp_response(each)


def _require_unrevoked(
    path: ValidationPath, chain: Sequence[asn1.Certificate], held: Revocation, at: datetime
) -> None:
    """Step 4 with OCSP answers: from the anchor down, whoever says revoked is believed first.

    The library would look at answers only where the certificate names a responder, and at no
    list once an answer says good.
    """
    lists = _context(at, [chain[-1].dump()], [each.dump() for each in chain[1:-1]], held)
    for certificate, issuer in [*pairwise(chain)][::-1]:
        by_answer = _answered(certificate, issuer, held, at)
        by_list = _listed(certificate, path, lists)
        if not (by_answer or by_list):
            raise _missing()


def _answered(
    certificate: asn1.Certificate, issuer: asn1.Certificate, held: Revocation, at: datetime
) -> bool:
    """Whether an OCSP answer says good; VerificationFailed where one says revoked."""
    about, by = (x509.load_der_x509_certificate(each.dump()) for each in (certificate, issuer))

    def unrevoked(responder: x509.Certificate) -> bool:
        return _is_off_the_lists(responder, issuer.dump(), held.crls, at)

    good = False
    for data in held.ocsp_answers:
        try:
            answer = verify_answer(
                data, certificate=about, issuer=by, at=at, skew=timedelta(0), unrevoked=unrevoked
            )
        except VerificationFailed:
            continue  # About another certificate, of another time, or not to be believed.
        if answer.revoked is not None and answer.revoked.effective <= at:
            raise _revoked(answer.revoked.effective)
        good = good or answer.revoked is None
    return good


def _is_off_the_lists(
    certificate: x509.Certificate, issuer: bytes, crls: Sequence[bytes], at: datetime
) -> bool:
    told = False
    for data in crls:
        try:
            found = verify_crl(data, authorities=[issuer], at=at)
        except VerificationFailed:
            continue
        if found.is_about(certificate) and at <= found.next_update:
            told = True
            if found.listed(certificate) is not None:
                return False
    return told


def _listed(certificate: asn1.Certificate, path: ValidationPath, lists: ValidationContext) -> bool:
    """Whether a list says that the certificate was not revoked."""
    with _failing():
        try:
            _at_once(validate_crl.verify_crl(certificate, path, lists))
        except (CRLNoMatchesError, CRLValidationError):
            return False
    return True


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
            raise _unfit("the certificate is not made for time-stamping and nothing else")
        return
    basic = _extension(certificate, x509.BasicConstraints)
    if basic is not None and basic.value.ca:
        raise _unfit("the certificate is an authority's, not a signer's")
    keys = _extension(certificate, x509.KeyUsage)
    if keys is None or not (keys.value.digital_signature or keys.value.content_commitment):
        raise _unfit("the certificate is not made for signing")
    if usage is Usage.CONNECTION:
        if extended is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in extended.value:
            raise _unfit("the certificate is not made for connections")
        return
    # Signing documents has no extended usage that all authorities agree on; a certificate
    # that names only TLS is none all the same.
    if extended is not None and not set(extended.value) - _TLS:
        raise _unfit("the certificate is made for connections, not for signing documents")


def _unfit(why: str) -> WrongUsage:
    return WrongUsage(why, step="chain")


def _extension(
    certificate: x509.Certificate, kind: type[_ExtensionT]
) -> x509.Extension[_ExtensionT] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _revoked(since: datetime) -> VerificationFailed:
    when = since.astimezone(UTC)
    return bad_chain(f"a certificate of the chain was revoked at {when:%Y-%m-%d %H:%M:%S} UTC")


def _missing() -> EvidenceMissing:
    return EvidenceMissing(
        "no CRL or OCSP answer of that time tells whether the chain was revoked", step="chain"
    )


@contextmanager
def _failing() -> Iterator[None]:
    """Turn the validator's refusals into ours; its own words are long and partly a stranger's."""
    try:
        yield
    except RevokedError as error:
        raise _revoked(error.revocation_dt) from error
    except InsufficientRevinfoError as error:
        raise _missing() from error
    except (ExpiredError, NotYetValidError) as error:
        raise bad_chain("a certificate of the chain was not in force at that time") from error
    except PathBuildingError as error:
        raise bad_chain("no chain leads from the certificate to a trusted authority") from error
    except (ValidationError, PathError) as error:
        raise bad_chain("the certificate's chain does not hold") from error
    except UNREADABLE as error:
        raise bad_chain("the chain or its revocation evidence cannot be read") from error
