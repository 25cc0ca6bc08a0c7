"""Signatures that documents carry in themselves: PAdES in a PDF, CMS beside any file.

Everything is handed in and nothing is fetched. What is examined is a stranger's, and so large
a format that it is done in a process of its own (`hub.evidence.examiner`).
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from asn1crypto import cms
from cryptography import x509
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_detached_cms, async_validate_pdf_signature
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import SignatureCoverageLevel, StandardCMSSignatureStatus
from pyhanko_certvalidator import ValidationContext

from hub.errors import VerificationFailed
from hub.evidence.chains import Usage, verify_chain
from hub.evidence.der import (
    CERTIFICATE_BYTES_MAX,
    CERTIFICATES_MAX,
    UNREADABLE,
    load_certificate,
)
from hub.evidence.found import Authorities, FoundSignature, Outcome, Signer
from hub.evidence.tokens import parse_token, verify_token

SIGNATURES_MAX = 32
"""How many signatures of one file are looked at."""

CMS_BYTES_MAX = 1 << 20
_NAME_CHARS_MAX = 200
_STRONG = frozenset({"sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512"})
# How numbers of persons and of organisations begin in Vietnamese certificates, and in those
# of ETSI EN 319 412-1 section 5.1.
_PERSONS = ("CCCD", "CMND", "CMTND", "HC:", "PAS", "IDC", "PNO")
_AGENCIES = ("MST", "MQHNS", "MNS", "QD:", "VAT", "NTR", "GOV")
_OUR_USAGE = KeyUsageConstraints(
    key_usage={"digital_signature", "non_repudiation"}, match_all_key_usages=False
)


def examine_pdf(data: bytes, authorities: Authorities, at: datetime) -> list[FoundSignature]:
    """Every signature in a PDF, as of the moment `at`; none for one that carries none.

    1. The bytes it covers are unchanged, and signed with no weak digest. 2. It covers the file,
    and what was added later is allowed (ISO 32000-2, 12.8.2.2). 3. Its certificate is for
    signing documents and led to an anchor at `at`.
    """
    try:
        return list(_signatures(PdfFileReader(io.BytesIO(data), strict=False), authorities, at))
    except Exception:
        return [FoundSignature("pdf", Outcome.UNKNOWN, "unreadable")]


def examine_cms(
    signature: bytes, content: bytes, authorities: Authorities, at: datetime
) -> list[FoundSignature]:
    """The detached CMS signatures (RFC 5652) of a content, of each signer one; as `examine_pdf`."""
    try:
        if len(signature) > CMS_BYTES_MAX:
            return [FoundSignature("cms", Outcome.UNKNOWN, "too-large")]
        info = cms.ContentInfo.load(signature, strict=True)
        if info["content_type"].native != "signed_data":
            return [FoundSignature("cms", Outcome.UNKNOWN, "unreadable")]
        signed = info["content"]
        infos = list(signed["signer_infos"])
        found = [
            _detached(signed, info, content, authorities, at) for info in infos[:SIGNATURES_MAX]
        ]
        if len(infos) > SIGNATURES_MAX or not infos:
            found.append(
                FoundSignature("cms", Outcome.UNKNOWN, "too-many" if infos else "unreadable")
            )
        return found
    except Exception:
        return [FoundSignature("cms", Outcome.UNKNOWN, "unreadable")]


def _detached(
    signed: cms.SignedData,
    info: cms.SignerInfo,
    content: bytes,
    authorities: Authorities,
    at: datetime,
) -> FoundSignature:
    """That of one signer, as if it had signed alone: each signs for itself (RFC 5652, 5.1)."""
    alone = signed.copy()
    alone["signer_infos"] = [info]
    try:
        status = asyncio.run(
            async_validate_detached_cms(
                content,
                alone,
                signer_validation_context=_context(authorities, at),
                key_usage_settings=_OUR_USAGE,
            )
        )
        certificates = [each.chosen.dump() for each in signed["certificates"] or ()]
        found = _judged("cms", status, certificates, authorities, at)
    except Exception:
        return FoundSignature("cms", Outcome.UNKNOWN, "unreadable")
    return _stamped(found, info, authorities)


def _signatures(
    reader: PdfFileReader, authorities: Authorities, at: datetime
) -> Iterator[FoundSignature]:
    if reader.encrypted:
        yield FoundSignature("pdf", Outcome.UNKNOWN, "encrypted")
        return
    embedded = reader.embedded_regular_signatures
    for number, signature in enumerate(embedded):
        if number == SIGNATURES_MAX:
            yield FoundSignature("pdf", Outcome.UNKNOWN, "too-many")
            return
        yield _embedded(signature, authorities, at)


def _embedded(
    signature: EmbeddedPdfSignature, authorities: Authorities, at: datetime
) -> FoundSignature:
    try:
        status = asyncio.run(
            async_validate_pdf_signature(
                signature,
                signer_validation_context=_context(authorities, at),
                key_usage_settings=_OUR_USAGE,
            )
        )
    except Exception:
        return FoundSignature("pdf", Outcome.UNKNOWN, "unreadable")
    certificates = [each.dump() for each in signature.other_embedded_certs]
    found = _judged("pdf", status, certificates, authorities, at)
    found = _stamped(found, signature.signer_info, authorities)
    if found.outcome is Outcome.INVALID:
        return found
    coverage = status.coverage or SignatureCoverageLevel.UNCLEAR
    if coverage.value < SignatureCoverageLevel.ENTIRE_REVISION.value:
        return _as(found, Outcome.INVALID, "not-whole")
    # What was added after it is only what its signer allowed, such as another signature.
    if not status.docmdp_ok:
        return _as(found, Outcome.INVALID, "changed")
    return found


def _stamped(
    found: FoundSignature, info: cms.SignerInfo, authorities: Authorities
) -> FoundSignature:
    """With what became of the timestamp over the signature (PAdES-T, ETSI EN 319 142-1, 5.4).

    It proves that the signature existed at that time. Nothing else is judged by it here.
    """
    tokens = [
        value.dump()
        for attribute in info["unsigned_attrs"] or ()
        if attribute["type"].native == "signature_time_stamp_token"
        for value in attribute["values"]
    ]
    if not tokens:
        return found
    stamped_at = None
    try:
        stamped_at = parse_token(tokens[0]).gen_time
        verify_token(
            tokens[0],
            info["signature"].native,
            anchors=(*authorities.stampers, *authorities.anchors),
            others=authorities.others,
        )
    except VerificationFailed as failure:
        # A chain that leads nowhere, or another digest than ours, speaks neither way.
        speaks = failure.step in {"imprint", "signature"}
        outcome = Outcome.INVALID if speaks else Outcome.UNKNOWN
        return replace(found, stamp=outcome.value, stamped_at=stamped_at)
    return replace(found, stamp=Outcome.VALID.value, stamped_at=stamped_at)


def _judged(
    form: str,
    status: StandardCMSSignatureStatus,
    certificates: Sequence[bytes],
    authorities: Authorities,
    at: datetime,
) -> FoundSignature:
    der = status.signing_cert.dump()
    found = _about(form, der, status)
    if not status.intact:
        return _as(found, Outcome.INVALID, "changed")
    if not status.valid:
        return _as(found, Outcome.INVALID, "broken")
    if status.md_algorithm not in _STRONG:
        return _as(found, Outcome.INVALID, "weak")
    return chained(found, der, certificates, authorities, at)


def chained(
    found: FoundSignature,
    der: bytes,
    certificates: Sequence[bytes],
    authorities: Authorities,
    at: datetime,
) -> FoundSignature:
    """A signature that holds, in the light of whose it is: whether its chain led to an anchor.

    `certificates` are those that came along. None of them is an anchor.
    """
    if len(certificates) > CERTIFICATES_MAX - len(authorities.anchors) - len(authorities.others):
        return _as(found, Outcome.UNKNOWN, "too-many")
    others = (*authorities.others, *(each for each in certificates if each != der))
    try:
        chain = verify_chain(
            der,
            usage=Usage.DOCUMENT_SIGNING,
            at=at,
            anchors=authorities.anchors,
            others=others,
        )
    except VerificationFailed:
        return _as(found, Outcome.UNKNOWN, _why_no_chain(der, at))
    return _as(found, Outcome.VALID, "", chain.certificates)


def _why_no_chain(der: bytes, at: datetime) -> str:
    certificate = x509.load_der_x509_certificate(der)
    if certificate.not_valid_after_utc < at:
        return "ended"
    if certificate.not_valid_before_utc > at:
        return "not-yet-valid"
    return "untrusted"


def _about(form: str, der: bytes, status: StandardCMSSignatureStatus) -> FoundSignature:
    return about(FoundSignature(form, Outcome.UNKNOWN, signed_at=status.signer_reported_dt), der)


def about(found: FoundSignature, der: bytes) -> FoundSignature:
    """A signature with whose it is, by the word of its certificate."""
    name, organisation, signer = subject_of(der)
    return replace(
        found,
        signer=signer,
        name=name,
        organisation=organisation,
        issuer=_issuer_of(der),
        chain=(der,),
    )


def _issuer_of(der: bytes) -> str:
    try:
        issuer = x509.load_der_x509_certificate(der).issuer
    except UNREADABLE:
        return ""
    return _first(issuer, NameOID.COMMON_NAME) or _first(issuer, NameOID.ORGANIZATION_NAME)


def subject_of(der: bytes) -> tuple[str, str, Signer]:
    """Name and organisation in a certificate, and whether that is a person or an agency.

    By the kinds of number that Vietnamese authorities write into the subject; where there is
    none, a name that is the organisation's own is an agency's, and one with a given name or
    a surname a person's. It is shown, and decides where somebody demands the one or the other.
    """
    if len(der) > CERTIFICATE_BYTES_MAX:
        return "", "", Signer.UNKNOWN
    try:
        subject = x509.load_der_x509_certificate(der).subject
    except UNREADABLE:
        return "", "", Signer.UNKNOWN
    name, organisation = (
        _first(subject, NameOID.COMMON_NAME),
        _first(subject, NameOID.ORGANIZATION_NAME),
    )
    numbers = [
        _first(subject, oid).upper()
        for oid in (NameOID.USER_ID, NameOID.SERIAL_NUMBER, NameOID.ORGANIZATION_IDENTIFIER)
    ]
    personal = _first(subject, NameOID.GIVEN_NAME) or _first(subject, NameOID.SURNAME)
    if personal or any(number.startswith(_PERSONS) for number in numbers):
        return name, organisation, Signer.PERSON
    if any(number.startswith(_AGENCIES) for number in numbers) or (name and name == organisation):
        return name, organisation, Signer.AGENCY
    return name, organisation, Signer.UNKNOWN


def _first(subject: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = subject.get_attributes_for_oid(oid)
    value = found[0].value if found else ""
    return value[:_NAME_CHARS_MAX] if isinstance(value, str) else ""


def _context(authorities: Authorities, at: datetime) -> ValidationContext:
    # Its own judgement of the chain is not used; without anchors it would ask the system's.
    return ValidationContext(
        trust_roots=[load_certificate(each) for each in authorities.anchors],
        moment=at,
        allow_fetching=False,
        revocation_mode="none",
    )


def _as(
    found: FoundSignature, outcome: Outcome, reason: str, chain: Sequence[bytes] = ()
) -> FoundSignature:
    changes: dict[str, Any] = {"chain": tuple(chain)} if chain else {}
    return replace(found, outcome=outcome, reason=reason, **changes)
