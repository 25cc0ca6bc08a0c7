"""Certificate revocation lists: what an issuer says of the certificates it takes back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from hub.errors import VerificationFailed
from hub.evidence.der import CERTIFICATES_MAX, UNREADABLE, load_certificate

CRL_BYTES_MAX = 16 << 20
"""How large a list may be: a national authority's has some megabytes."""

_STRONG = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_KNOWN_CRITICAL = frozenset({x509.IssuingDistributionPoint.oid, x509.CRLNumber.oid})
REASONS = {
    x509.ReasonFlags.key_compromise: "key-compromise",
    x509.ReasonFlags.ca_compromise: "ca-compromise",
    x509.ReasonFlags.affiliation_changed: "affiliation-changed",
    x509.ReasonFlags.superseded: "superseded",
    x509.ReasonFlags.cessation_of_operation: "cessation-of-operation",
    x509.ReasonFlags.certificate_hold: "certificate-hold",
    x509.ReasonFlags.privilege_withdrawn: "privilege-withdrawn",
    x509.ReasonFlags.aa_compromise: "aa-compromise",
}


_Extension = TypeVar("_Extension", x509.CRLReason, x509.InvalidityDate)


@dataclass(frozen=True, slots=True)
class Listed:
    """That an issuer took a certificate back: since when, and why (RFC 5280 section 5.3.1)."""

    effective: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class VerifiedCrl:
    """A list that its issuer signed. `issuer` is among `issuers_of` what it is about."""

    issuer: str
    number: str
    this_update: datetime
    next_update: datetime
    _list: x509.CertificateRevocationList = field(repr=False)

    def is_about(self, certificate: x509.Certificate) -> bool:
        """Whether it is from a certificate's issuer: by name, and by key where both name one."""
        if certificate.issuer != self._list.issuer:
            return False
        theirs, ours = _key_named_in(certificate), _key_named_in(self._list)
        return theirs == ours or theirs is None or ours is None

    def listed(self, certificate: x509.Certificate) -> Listed | None:
        """What it says of a certificate; None where it does not list it, or is not about it."""
        if not self.is_about(certificate):
            return None
        entry = self._list.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is None:
            return None
        reason = _extension(entry, x509.CRLReason)
        if reason is not None and reason.reason is x509.ReasonFlags.remove_from_crl:
            return None
        invalid = _extension(entry, x509.InvalidityDate)
        since = entry.revocation_date_utc
        # The issuer may know that the key was stolen before it was told (RFC 5280, 5.3.2).
        if invalid is not None:
            since = min(since, invalid.invalidity_date_utc)
        return Listed(since, REASONS.get(reason.reason, "unspecified") if reason else "unspecified")


def issuers_of(certificate: bytes) -> tuple[str, ...]:
    """Who issued a certificate (DER): by name and key where it names that, then by name alone.

    Each is SHA-256 in hexadecimal, of the name in DER and the key's identifier behind it: an
    authority that changes its key keeps its name, and has two lists for a time.
    """
    load_certificate(certificate)
    loaded = x509.load_der_x509_certificate(certificate)
    key = _key_named_in(loaded)
    by_name = name_digest(loaded.issuer)
    return (by_name,) if key is None else (_digest(loaded.issuer, key), by_name)


def name_digest(name: x509.Name) -> str:
    """SHA-256 of a name in DER, in hexadecimal."""
    return _digest(name, b"")


def _digest(name: x509.Name, key: bytes) -> str:
    return hashlib.sha256(name.public_bytes() + key).hexdigest()


def _key_named_in(signed: x509.Certificate | x509.CertificateRevocationList) -> bytes | None:
    """The issuer's key by its identifier (RFC 5280 section 4.2.1.1), where it is named so."""
    try:
        extension = signed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return extension.value.key_identifier


def verify_crl(data: bytes, *, authorities: Sequence[bytes], at: datetime) -> VerifiedCrl:
    """A list (DER) as its issuer signed it, to be believed at the moment `at`.

    1. It can be read and is complete: no delta, none for other issuers or for some reasons only.
    2. One of the authorities (DER) of its issuer's name, in force and made for it, signed it with
    no weak algorithm. 3. It is not from the future and names its next update. How old it may be
    is the caller's to say. Raises VerificationFailed(step="crl").
    """
    # (1) It can be read and is complete.
    if len(data) > CRL_BYTES_MAX:
        raise _bad(f"it has more than {CRL_BYTES_MAX} bytes")
    if len(authorities) > CERTIFICATES_MAX:
        raise _bad(f"there are more than {CERTIFICATES_MAX} authorities")
    try:
        crl = x509.load_der_x509_crl(data)
        number = _require_complete(crl)
        # (2) One of the authorities signed it.
        _require_signed(crl, authorities, at)
    except UNREADABLE as error:
        raise _bad("it cannot be read") from error
    # (3) It is not from the future and names its next update.
    if crl.last_update_utc > at:
        raise _bad("it is from the future")
    if crl.next_update_utc is None:
        raise _bad("it does not say when the next one comes")
    issuer = _digest(crl.issuer, _key_named_in(crl) or b"")
    return VerifiedCrl(issuer, number, crl.last_update_utc, crl.next_update_utc, crl)


def _require_complete(crl: x509.CertificateRevocationList) -> str:
    number = ""
    for extension in crl.extensions:
        if extension.critical and extension.oid not in _KNOWN_CRITICAL:
            raise _bad("it has a critical extension that is unknown here")
        match extension.value:
            case x509.DeltaCRLIndicator():
                raise _bad("it is a delta list")
            case x509.IssuingDistributionPoint() as point:
                if point.indirect_crl or point.only_some_reasons or point.only_contains_ca_certs:
                    raise _bad("it is about a part of its issuer's certificates only")
            case x509.CRLNumber(crl_number=value):
                number = str(value)
    return number


def _require_signed(
    crl: x509.CertificateRevocationList, authorities: Sequence[bytes], at: datetime
) -> None:
    if not isinstance(crl.signature_hash_algorithm, (*_STRONG, type(None))):
        raise _bad("it is signed with a weak algorithm")
    for der in authorities:
        authority = x509.load_der_x509_certificate(der)
        if authority.subject != crl.issuer or not _may_sign_lists(authority):
            continue
        if not _goes_by(authority, _key_named_in(crl)):
            continue
        if not authority.not_valid_before_utc <= at <= authority.not_valid_after_utc:
            continue
        try:
            # An authority's key has signed certificates: it is of a kind that signs.
            signed = crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
        except UnsupportedAlgorithm:
            continue
        if signed:
            return
    raise _bad("no authority of this hub signed it")


def _goes_by(authority: x509.Certificate, key: bytes | None) -> bool:
    """Whether a list that names this key may be the authority's.

    Else its former key, which may be stolen, could sign what looks like the newer key's list.
    """
    try:
        own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return True
    return key is None or key == own.key_identifier


def _may_sign_lists(authority: x509.Certificate) -> bool:
    """RFC 5280 section 4.2.1.3: where key usage is stated, it must allow signing lists."""
    try:
        return authority.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _extension(entry: x509.RevokedCertificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return entry.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(f"the revocation list does not hold: {why}", step="crl")
