"""Chains and revocation of a past day, by an authority that nobody here wrote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from hub.errors import VerificationFailed
from hub.evidence.chains import EvidenceMissing, Revocation, Usage, verify_chain
from hub.evidence.crls import verify_crl
from tests.support.certomancer_pki import Pki

STOLEN = datetime(2020, 12, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(Path(tmp_path_factory.mktemp("pki")))


def judge(pki: Pki, name: str, at: datetime, revocation: Revocation) -> None:
    verify_chain(
        pki.certificate(name),
        usage=Usage.DOCUMENT_SIGNING,
        at=at,
        anchors=[pki.certificate("root")],
        others=[pki.certificate("middle")],
        revocation=revocation,
    )


def test_lists_of_the_day_decide_by_the_day(pki):
    for at in (STOLEN - 5 * DAY, STOLEN + 5 * DAY):
        judge(pki, "signer", at, Revocation(crls=tuple(pki.lists(at))))
    before = STOLEN - 5 * DAY
    judge(pki, "stolen", before, Revocation(crls=tuple(pki.lists(before))))
    after = STOLEN + 5 * DAY
    with pytest.raises(VerificationFailed, match="revoked at 2020-12-01"):
        judge(pki, "stolen", after, Revocation(crls=tuple(pki.lists(after))))


def test_a_list_of_another_day_decides_nothing(pki):
    at = STOLEN + 30 * DAY
    of_then = pki.lists(at, "root")
    for other in (at - 10 * DAY, at + 10 * DAY):
        held = Revocation(crls=(*of_then, *pki.lists(other, "middle")))
        with pytest.raises(EvidenceMissing):
            judge(pki, "signer", at, held)


def test_answers_of_a_responder_decide_as_lists_do(pki):
    for at, stolen_is_good in ((STOLEN - 5 * DAY, True), (STOLEN + 5 * DAY, False)):
        root = tuple(pki.lists(at, "root"))
        judge(pki, "signer", at, Revocation(root, (pki.answer("signer", at),)))
        held = Revocation(root, (pki.answer("stolen", at),))
        if stolen_is_good:
            judge(pki, "stolen", at, held)
            continue
        with pytest.raises(VerificationFailed, match="revoked"):
            judge(pki, "stolen", at, held)


def test_an_answer_about_another_certificate_decides_nothing(pki):
    at = STOLEN + 5 * DAY
    held = Revocation(tuple(pki.lists(at, "root")), (pki.answer("stolen", at),))
    with pytest.raises(EvidenceMissing):
        judge(pki, "signer", at, held)


def test_the_job_takes_such_a_list_and_reads_since_when_and_why(pki):
    at = STOLEN + 5 * DAY
    (data,) = pki.lists(at, "middle")
    authorities = [pki.certificate("middle")]
    crl = verify_crl(data, authorities=authorities, at=at)
    found = crl.listed(x509.load_der_x509_certificate(pki.certificate("stolen")))
    assert found is not None
    assert (found.effective, found.reason) == (STOLEN, "key-compromise")
    assert crl.listed(x509.load_der_x509_certificate(pki.certificate("signer"))) is None
    for strangers in ([], [pki.certificate("root")]):
        with pytest.raises(VerificationFailed, match="no authority"):
            verify_crl(data, authorities=strangers, at=at)
