"""The development authority takes certificates back, and says so as real ones do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from hub.errors import VerificationFailed
from hub.evidence.chains import Revocation, Usage, verify_chain
from hub.evidence.crls import verify_crl
from hub.proof.signatures import Algorithm
from keys.development_ca import DevelopmentCA
from keys.file import KeyFileError

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def ca(tmp_path: Path) -> DevelopmentCA:
    return DevelopmentCA.create(tmp_path / "ca", lambda: NOW)


def certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def der(pem: bytes) -> bytes:
    return certificate(pem).public_bytes(Encoding.DER)


def signing(ca: DevelopmentCA, name: str = "UBND") -> bytes:
    return ca.issue_signing(name, Algorithm.ECDSA_P256_SHA256).certificate_pem


def listed(ca: DevelopmentCA, pem: bytes) -> object:
    crl = verify_crl(ca.revocation_list(), authorities=[der(ca.certificate_pem)], at=NOW)
    return crl.listed(certificate(pem))


def test_the_list_names_what_was_taken_back_since_when_and_why_and_nothing_else(ca):
    stolen, kept = signing(ca), signing(ca)
    ca.revoke(stolen, "key-compromise", NOW - HOUR)

    found = listed(ca, stolen)
    assert found is not None
    assert (found.effective, found.reason) == (NOW - HOUR, "key-compromise")
    assert listed(ca, kept) is None


def test_another_process_knows_it_too(ca, tmp_path):
    stolen = signing(ca)
    ca.revoke(stolen, "superseded")
    assert listed(DevelopmentCA.open(tmp_path / "ca", lambda: NOW), stolen) is not None


def test_of_two_times_the_earlier_stays(ca):
    stolen = signing(ca)
    for hours in (2, 3, 1):
        ca.revoke(stolen, "key-compromise", NOW - hours * HOUR)
    found = listed(ca, stolen)
    assert found is not None
    assert found.effective == NOW - 3 * HOUR


def test_what_is_not_its_own_or_for_no_reason_is_refused(ca, tmp_path):
    other = DevelopmentCA.create(tmp_path / "other", lambda: NOW)
    with pytest.raises(ValueError, match="reason"):
        ca.revoke(signing(ca), "bored")
    with pytest.raises(ValueError, match="another authority"):
        ca.revoke(signing(other), "superseded")
    with pytest.raises(ValueError, match="PEM"):
        ca.revoke(b"no certificate", "superseded")
    assert not (tmp_path / "ca" / "development-ca.revoked.json").exists()


def test_notes_that_cannot_be_read_are_an_error_and_not_an_empty_list(ca, tmp_path):
    (tmp_path / "ca" / "development-ca.revoked.json").write_text("[{}]")
    with pytest.raises(KeyFileError):
        ca.revocation_list()


def asking(ca: DevelopmentCA, pem: bytes) -> bytes:
    issuer = certificate(ca.certificate_pem)
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate(pem), issuer, SHA256())
    return builder.build().public_bytes(Encoding.DER)


def test_it_answers_whether_a_certificate_is_good(ca):
    stolen, kept = signing(ca), signing(ca)
    ca.revoke(stolen, "key-compromise", NOW - HOUR)

    bad = ocsp.load_der_ocsp_response(ca.ocsp_answer(asking(ca, stolen)))
    good = ocsp.load_der_ocsp_response(ca.ocsp_answer(asking(ca, kept)))

    assert bad.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert bad.revocation_time_utc == NOW - HOUR
    assert good.certificate_status is ocsp.OCSPCertStatus.GOOD
    with pytest.raises(ValueError, match="parsing"):
        ca.ocsp_answer(b"no request")


def test_its_chain_is_judged_with_its_list(ca):
    stolen, kept = signing(ca), signing(ca)
    ca.revoke(stolen, "key-compromise", NOW - HOUR)
    known = Revocation(crls=(ca.revocation_list(),))
    anchors = [der(ca.certificate_pem)]

    def judge(pem: bytes) -> None:
        verify_chain(
            der(pem),
            usage=Usage.DOCUMENT_SIGNING,
            at=NOW,
            anchors=anchors,
            revocation=known,
        )

    judge(kept)
    with pytest.raises(VerificationFailed, match="revoked"):
        judge(stolen)
