"""Signatures that documents carry in themselves: PAdES in a PDF, CMS beside any file.

Everything is handed in and nothing is fetched. What is examined is a stranger's, and so large
a format that it is done in a process of its own (`hub.evidence.examiner`).
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from asn1crypto import cms
from cryptography import x509
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_detached_cms, async_validate_pdf_signature
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import (
    PdfSignatureStatus,
    SignatureCoverageLevel,
    StandardCMSSignatureStatus,
)
from pyhanko_certvalidator import ValidationContext

from hub.errors import VerificationFailed
from hub.evidence.chains import Usage, verify_chain
from hub.evidence.der import (
    CERTIFICATE_BYTES_MAX,
    CERTIFICATES_MAX,
    UNREADABLE,
    load_certificate,
)
from hub.evidence.found import Authorities, FoundSignature, Outcome, Signer, Stamp
from hub.evidence.stamps import (
    DOCUMENT,
    SIGNATURE,
    TOKENS_MAX,
    Proof,
    examine_token,
    proven,
    stamped,
    tokens_of,
)

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
    signing documents and led to an anchor at `at`. Each with what the timestamps over it prove.
    """
    try:
        reader = PdfFileReader(io.BytesIO(data), strict=False)
        return list(_signatures(reader, data, authorities, at))
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
    alone["signer_infos"] = [_unstamped(info)]
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
    stamps = _over_signature(info, authorities, [Proof(at)])
    return stamped(found, stamps, at, _as_of(found, certificates, authorities))


def _signatures(
    reader: PdfFileReader, data: bytes, authorities: Authorities, at: datetime
) -> Iterator[FoundSignature]:
    if reader.encrypted:
        yield FoundSignature("pdf", Outcome.UNKNOWN, "encrypted")
        return
    embedded = reader.embedded_regular_signatures
    later = _over_document(reader, data, authorities, at) if embedded else []
    for number, signature in enumerate(embedded):
        if number == SIGNATURES_MAX:
            yield FoundSignature("pdf", Outcome.UNKNOWN, "too-many")
            return
        yield _embedded(signature, later, authorities, at)


def _embedded(
    signature: EmbeddedPdfSignature,
    later: Sequence[_OverDocument],
    authorities: Authorities,
    at: datetime,
) -> FoundSignature:
    info = signature.signer_info
    try:
        signature.signer_info = _unstamped(info)
        status = asyncio.run(
            async_validate_pdf_signature(
                signature,
                signer_validation_context=_context(authorities, at),
                key_usage_settings=_OUR_USAGE,
            )
        )
        end = sum([*map(int, signature.byte_range)][-2:])
    except Exception:
        return FoundSignature("pdf", Outcome.UNKNOWN, "unreadable")
    certificates = [each.dump() for each in signature.other_embedded_certs]
    found = _covering(_judged("pdf", status, certificates, authorities, at), status)
    over = [each.stamp for each in later if each.begins >= end]
    proofs = [Proof(at), proven(over, Proof(at))]
    own = _over_signature(info, authorities, proofs)
    # Of those over the file only the valid ones are about this signature.
    over = [each for each in over if each.outcome is Outcome.VALID]
    return stamped(found, [*own, *over], at, _as_of(found, certificates, authorities))


def _covering(found: FoundSignature, status: PdfSignatureStatus) -> FoundSignature:
    """A signature in a PDF, in the light of what it covers."""
    if found.outcome is Outcome.INVALID:
        return found
    coverage = status.coverage or SignatureCoverageLevel.UNCLEAR
    if coverage.value < SignatureCoverageLevel.ENTIRE_REVISION.value:
        return _as(found, Outcome.INVALID, "not-whole")
    # What was added after it is only what its signer allowed, such as another signature.
    if not status.docmdp_ok:
        return _as(found, Outcome.INVALID, "changed")
    return found


@dataclass(frozen=True, slots=True)
class _OverDocument:
    """A timestamp over the first `begins` bytes of a file, and what follows behind itself."""

    begins: int
    stamp: Stamp


def _over_document(
    reader: PdfFileReader, data: bytes, authorities: Authorities, at: datetime
) -> list[_OverDocument]:
    """The document timestamps (PAdES-LTA, ETSI EN 319 142-1, 5.5), the last first.

    Each is a proof for those that it covers.
    """
    found: list[_OverDocument] = []
    for each in reader.embedded_timestamp_signatures[: -TOKENS_MAX - 1 : -1]:
        first, begins, again, length = map(int, each.byte_range)
        if first != 0 or not 0 < begins < again <= again + length <= len(data):
            continue
        covering = [one.stamp for one in found if one.begins >= again + length]
        proofs = [Proof(at), proven(covering, Proof(at))]
        with suppress(Exception):  # One that cannot be read covers nothing, and harms nothing.
            token = cms.ContentInfo.load(each.pkcs7_content).dump()
            message = data[:begins] + data[again : again + length]
            stamp = examine_token(token, message, authorities, proofs, DOCUMENT)
            found.append(_OverDocument(begins, stamp))
    return found


def _unstamped(info: cms.SignerInfo) -> cms.SignerInfo:
    """Without what nobody signed: the library would trip over a timestamp that is none."""
    bare = info.copy()
    del bare["unsigned_attrs"]
    return bare


def _over_signature(
    info: cms.SignerInfo, authorities: Authorities, proofs: Sequence[Proof]
) -> list[Stamp]:
    """The timestamps over one signature (PAdES-T, CAdES-T; ETSI EN 319 122-1, 5.3)."""
    try:
        signature = info["signature"].native
        return [
            examine_token(token, signature, authorities, proofs, SIGNATURE)
            for token in tokens_of(info)
        ]
    except Exception:  # A token that cannot be read harms nothing.
        return [Stamp(SIGNATURE, Outcome.UNKNOWN, "unreadable")]


def _as_of(
    found: FoundSignature, certificates: Sequence[bytes], authorities: Authorities
) -> Callable[[datetime], FoundSignature]:
    """What is to be said of a signature at another moment: no time mends one that is broken."""
    if found.outcome is Outcome.INVALID:
        return lambda _: found
    return partial(chained, found, certificates, authorities)


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
    return chained(found, certificates, authorities, at)


def chained(
    found: FoundSignature, certificates: Sequence[bytes], authorities: Authorities, at: datetime
) -> FoundSignature:
    """A signature that holds, in the light of whose it is: whether its chain led to an anchor.

    `certificates` are those that came along. None of them is an anchor.
    """
    der = found.chain[0]
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
        return _as(found, Outcome.UNKNOWN, _why_no_chain(der, at), (der,))
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
