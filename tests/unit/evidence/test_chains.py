"""A certificate is judged as of a moment, by evidence that is handed in, and by that alone."""

import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from hub.errors import VerificationFailed
from hub.evidence.chains import EvidenceMissing, Revocation, Usage, verify_chain
from tests.support.timestamping import DAY, Holder, issue

NOW = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")


@cache
def root() -> Holder:
    return issue("root", NOW - 900 * DAY, NOW + 900 * DAY, ca=True)


@cache
def middle() -> Holder:
    return issue("ca", NOW - 800 * DAY, NOW + 800 * DAY, by=root(), ca=True)


@cache
def signer() -> Holder:
    return issue("so-tai-chinh", NOW - 100 * DAY, NOW + 100 * DAY, by=middle())


def verify(certificate: bytes | None = None, **options: Any) -> Any:
    return verify_chain(
        certificate or signer().der,
        **{
            "usage": Usage.DOCUMENT_SIGNING,
            "at": NOW,
            "anchors": [root().der],
            "others": [middle().der],
        }
        | options,
    )


def crl(
    issuer: Holder, published: datetime, *, revoked: Holder | None = None, since: datetime = NOW
) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(published)
        .next_update(published + 30 * DAY)
    )
    if revoked is not None:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(revoked.certificate.serial_number)
            .revocation_date(since)
            .build()
        )
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def of_that_day(**changes: Any) -> Revocation:
    return Revocation(crls=(crl(root(), NOW - DAY), crl(middle(), NOW - DAY, **changes)))


def test_a_chain_is_found_over_what_lies_between():
    chain = verify()

    assert chain.certificates == (signer().der, middle().der, root().der)
    assert chain.not_after == NOW + 100 * DAY
    assert not chain.revocation_checked


@pytest.mark.parametrize("at", [NOW - 101 * DAY, NOW + 101 * DAY])
def test_a_moment_outside_its_validity_is_refused(at: datetime):
    with pytest.raises(VerificationFailed, match="in force"):
        verify(at=at)


def test_a_moment_long_past_is_judged_as_of_then():
    assert verify(at=NOW - 99 * DAY).certificates[0] == signer().der


def test_without_what_lies_between_no_chain_is_found():
    with pytest.raises(VerificationFailed, match="no chain"):
        verify(others=[])


def test_another_authority_of_the_same_name_is_not_believed():
    other = issue("root", NOW - 900 * DAY, NOW + 900 * DAY, ca=True)
    with pytest.raises(VerificationFailed, match="chain"):
        verify(anchors=[other.der])


def test_a_certificate_issued_by_a_signer_is_refused():
    forged = issue("so-y-te", NOW - DAY, NOW + DAY, by=signer())
    with pytest.raises(VerificationFailed):
        verify(forged.der, others=[middle().der, signer().der])


@pytest.mark.parametrize(
    "options",
    [
        {"key_usage": False},
        {"ca": True},
        {"usages": (ExtendedKeyUsageOID.CLIENT_AUTH,)},
        {"usages": (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)},
    ],
)
def test_a_certificate_that_is_not_for_documents_is_refused(options: dict[str, Any]):
    other = issue("so-y-te", NOW - DAY, NOW + DAY, by=middle(), **options)
    with pytest.raises(VerificationFailed, match="certificate is"):
        verify(other.der)


@pytest.mark.parametrize(
    "usages", [(DOCUMENT_SIGNING,), (ExtendedKeyUsageOID.CLIENT_AUTH, DOCUMENT_SIGNING)]
)
def test_document_signing_is_not_judged_by_the_rules_of_tls(usages: Any):
    other = issue("so-y-te", NOW - DAY, NOW + DAY, by=middle(), usages=usages)
    assert verify(other.der).certificates[0] == other.der


# --- Revocation -----------------------------------------------------------------------------


def test_lists_of_that_day_show_that_nothing_was_revoked():
    assert verify(revocation=of_that_day()).revocation_checked


def test_what_was_revoked_before_is_refused_with_the_date():
    with pytest.raises(VerificationFailed, match="2026-11-21") as refused:
        verify(revocation=of_that_day(revoked=signer(), since=NOW - 2 * DAY))
    assert not isinstance(refused.value, EvidenceMissing)


def test_what_was_revoked_later_was_good_then():
    evidence = Revocation(
        crls=(
            crl(root(), NOW - DAY),
            crl(middle(), NOW - DAY),
            crl(middle(), NOW + 5 * DAY, revoked=signer(), since=NOW + 3 * DAY),
        )
    )
    assert verify(revocation=evidence).revocation_checked


def test_a_revoked_authority_takes_its_certificates_with_it():
    lists = (
        crl(root(), NOW - DAY, revoked=middle(), since=NOW - 2 * DAY),
        crl(middle(), NOW - DAY),
    )
    with pytest.raises(VerificationFailed, match="revoked"):
        verify(revocation=Revocation(crls=lists))


@pytest.mark.parametrize(
    "lists",
    [
        lambda: (),
        lambda: (crl(root(), NOW - DAY),),
        lambda: (crl(middle(), NOW - DAY),),
        lambda: (crl(root(), NOW - DAY), crl(middle(), NOW - 90 * DAY)),
        lambda: (crl(root(), NOW + DAY), crl(middle(), NOW + DAY)),
        lambda: (crl(root(), NOW - DAY), crl(signer(), NOW - DAY)),
    ],
    ids=["none", "only the root's", "only the authority's", "stale", "too late", "a stranger's"],
)
def test_evidence_that_does_not_tell_is_missing_and_not_good(lists: Any):
    with pytest.raises(EvidenceMissing):
        verify(revocation=Revocation(crls=lists()))


@cache
def with_responder() -> Holder:
    """A certificate that says where OCSP is answered: without it no answer is looked at."""
    plain = issue("so-noi-vu", NOW - DAY, NOW + DAY, by=middle())
    where = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                x509.oid.AuthorityInformationAccessOID.OCSP,
                x509.UniformResourceIdentifier("http://ocsp.invalid"),
            )
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(plain.certificate.subject)
        .issuer_name(plain.certificate.issuer)
        .public_key(plain.certificate.public_key())
        .serial_number(plain.certificate.serial_number)
        .not_valid_before(NOW - 10 * DAY)
        .not_valid_after(NOW + 10 * DAY)
    )
    for extension in plain.certificate.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    signed = builder.add_extension(where, critical=False).sign(middle().key, hashes.SHA256())
    return Holder(signed, plain.key)


def ocsp_answer(status: ocsp.OCSPCertStatus, since: datetime | None) -> bytes:
    answer = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=with_responder().certificate,
            issuer=middle().certificate,
            algorithm=hashes.SHA256(),
            cert_status=status,
            this_update=NOW - timedelta(hours=1),
            next_update=NOW + DAY,
            revocation_time=since,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, middle().certificate)
        .certificates([middle().certificate])
        .sign(middle().key, hashes.SHA256())
    )
    return answer.public_bytes(Encoding.DER)


def test_an_ocsp_answer_tells_as_well():
    lists = (crl(root(), NOW - DAY),)
    good = ocsp_answer(ocsp.OCSPCertStatus.GOOD, None)
    evidence = Revocation(crls=lists, ocsp_answers=(good,))
    assert verify(with_responder().der, revocation=evidence).revocation_checked

    revoked = ocsp_answer(ocsp.OCSPCertStatus.REVOKED, NOW - 2 * DAY)
    with pytest.raises(VerificationFailed, match="revoked"):
        verify(with_responder().der, revocation=Revocation(crls=lists, ocsp_answers=(revoked,)))


@pytest.mark.parametrize(
    "options",
    [
        {"anchors": [b"garbage"]},
        {"others": [b"\x30\x80" * 100]},
        {"revocation": Revocation(crls=(b"garbage",))},
        {"revocation": Revocation(ocsp_answers=(b"",))},
        {"anchors": [b"0" * 20_000]},
        {"revocation": Revocation(crls=(bytes(33 << 20),))},
    ],
)
def test_what_cannot_be_read_is_refused(options: dict[str, Any]):
    with pytest.raises(VerificationFailed):
        verify(**options)


def test_a_crowd_of_certificates_is_refused():
    with pytest.raises(VerificationFailed, match="64"):
        verify(others=[middle().der] * 64)


def test_a_certificate_of_garbage_is_refused():
    with pytest.raises(VerificationFailed, match="cannot be read"):
        verify(b"garbage")


def test_a_certificate_signed_with_sha1_is_refused(tmp_path: Path):
    (tmp_path / "ca.pem").write_bytes(middle().pem)
    (tmp_path / "ca.key.pem").write_bytes(middle().key_pem)
    (tmp_path / "signer.key.pem").write_bytes(signer().key_pem)
    (tmp_path / "ext").write_text("keyUsage=critical,digitalSignature")
    # No library here makes such a certificate any more.
    request = "req -new -key signer.key.pem -subj /CN=old -out csr"
    certificate = (
        "x509 -req -sha1 -in csr -CA ca.pem -CAkey ca.key.pem -set_serial 7 -days 1 -extfile ext"
        " -outform DER -out old.der"
    )
    for words in (request, certificate):
        subprocess.run(["openssl", *words.split()], cwd=tmp_path, check=True, capture_output=True)

    with pytest.raises(VerificationFailed, match="does not hold"):
        verify((tmp_path / "old.der").read_bytes(), at=datetime.now(UTC))
