"""Which OCSP answers are believed, and of whom."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from asn1crypto import ocsp as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from hub.errors import VerificationFailed
from hub.evidence.chains import EvidenceMissing, Revocation, Usage, verify_chain
from hub.evidence.ocsp import (
    ANSWER_BYTES_MAX,
    CLOCK_SKEW,
    LASTING,
    NoAnswer,
    VerifiedAnswer,
    build_question,
    verify_answer,
)
from tests.support.certomancer_pki import Pki
from tests.support.ocsp import answer, responder, unsuccessful
from tests.support.revocation import crl
from tests.support.timestamping import DAY, Holder, issue

NOW = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NONCE = bytes(range(32))
COMPROMISE = x509.ReasonFlags.key_compromise


@cache
def authority() -> Holder:
    return issue("ca", NOW - 900 * DAY, NOW + 900 * DAY, ca=True)


@cache
def signer() -> Holder:
    return issue("so-noi-vu", NOW - 10 * DAY, NOW + 100 * DAY, by=authority())


@cache
def delegate() -> Holder:
    return responder(authority(), NOW)


def said(published: datetime = NOW, **options: Any) -> bytes:
    about = options.pop("about", signer())
    return answer(about.certificate, options.pop("issuer", authority()), published, **options)


def verify(data: bytes, at: datetime = NOW, **options: Any) -> VerifiedAnswer:
    return verify_answer(
        data,
        certificate=signer().certificate,
        issuer=authority().certificate,
        at=at,
        **options,
    )


def test_good_and_revoked_with_the_issuers_time_and_reason():
    good = verify(said())
    assert (good.status, good.revoked) == ("good", None)
    assert (good.this_update, good.next_update) == (NOW, NOW + DAY)

    revoked = verify(said(since=NOW - DAY, reason=COMPROMISE))
    assert revoked.status == "revoked"
    assert revoked.revoked is not None
    assert (revoked.revoked.effective, revoked.revoked.reason) == (NOW - DAY, "key-compromise")

    unsaid = verify(said(since=NOW - DAY)).revoked
    assert unsaid is not None
    assert unsaid.reason == "unspecified"


@pytest.mark.parametrize("named_by", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384()])
@pytest.mark.parametrize("by_name", [True, False])
def test_however_certificate_and_responder_are_named(named_by, by_name):
    for by in (None, delegate()):
        assert verify(said(named_by=named_by, by_name=by_name, by=by)).status == "good"


def test_an_invalidity_date_counts_where_it_is_earlier():
    data = asn1.OCSPResponse.load(said(since=NOW - DAY))
    basic = data["response_bytes"]["response"].parsed
    single = basic["tbs_response_data"]["responses"][0]
    date = {"extn_id": "invalidity_date", "extn_value": NOW - 3 * DAY}
    single["single_extensions"] = [date]
    signed = authority().key.sign(basic["tbs_response_data"].dump(), ec.ECDSA(hashes.SHA256()))
    basic["signature"] = signed
    revoked = verify(_wrapped(basic)).revoked
    assert revoked is not None
    assert revoked.effective == NOW - 3 * DAY


def _wrapped(basic: asn1.BasicOCSPResponse) -> bytes:
    response = {"response_type": "basic_ocsp_response", "response": basic}
    der: bytes = asn1.OCSPResponse(
        {"response_status": "successful", "response_bytes": response}
    ).dump()
    return der


# --- Whom to believe ------------------------------------------------------------------------


def test_an_answer_is_believed_from_the_issuer_and_from_whom_it_certified():
    assert verify(said(by=delegate())).status == "good"


STRANGER = issue("ca", NOW - 900 * DAY, NOW + 900 * DAY, ca=True)


@pytest.mark.parametrize(
    ("by", "why"),
    [
        (lambda: STRANGER, "another than"),
        (lambda: responder(STRANGER, NOW), "another than"),
        (signer, "not made for it"),
        (lambda: responder(authority(), NOW, usages=()), "not made for it"),
        (
            lambda: responder(authority(), NOW, usages=(ExtendedKeyUsageOID.TIME_STAMPING,)),
            "not made for it",
        ),
        (lambda: responder(authority(), NOW, lasting=-SECOND), "not in force"),
        (lambda: responder(authority(), NOW, no_check=False), "nothing tells"),
        (
            lambda: responder(authority(), NOW, key=rsa.generate_private_key(65537, 1024)),
            "weak key",
        ),
    ],
    ids=[
        "a stranger of the same name",
        "a stranger's responder",
        "another certificate of the issuer",
        "no usage",
        "another usage",
        "ended",
        "not beyond doubt",
        "a weak key",
    ],
)
def test_an_answer_of_another_is_refused(by, why):
    with pytest.raises(VerificationFailed, match=why):
        verify(said(by=by()))


def test_a_stranger_that_brings_no_certificate_along_is_refused():
    # By its name it is the issuer.
    basic = asn1.OCSPResponse.load(said(by=STRANGER, by_name=True)).basic_ocsp_response
    basic["certs"] = None
    with pytest.raises(VerificationFailed, match="neither"):
        verify(_wrapped(basic))


def test_a_responder_that_may_be_revoked_is_believed_when_a_list_clears_it():
    doubtful = responder(authority(), NOW, no_check=False)
    asked = []

    def unrevoked(certificate: x509.Certificate) -> bool:
        asked.append(certificate)
        return True

    assert verify(said(by=doubtful), unrevoked=unrevoked).status == "good"
    assert asked == [doubtful.certificate]


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "delegated rsa"])
def test_answers_are_signed_with_keys_of_every_kind(kind):
    key = (
        ed25519.Ed25519PrivateKey.generate()
        if kind == "ed25519"
        else rsa.generate_private_key(65537, 2048)
    )
    by = responder(authority(), NOW, key=key)
    # Ed25519 has SHA-512 within it; the closed list takes it here too.
    assert verify(said(by=by)).status == "good"


def test_an_answer_signed_with_sha1_is_refused():
    basic = asn1.OCSPResponse.load(said()).basic_ocsp_response
    basic["signature_algorithm"] = {"algorithm": "sha1_ecdsa"}
    with pytest.raises(VerificationFailed, match="weak algorithm"):
        verify(_wrapped(basic))


# --- About what, and when -------------------------------------------------------------------


def test_an_answer_about_another_certificate_or_another_issuer_is_refused():
    other = issue("so-y-te", NOW - DAY, NOW + DAY, by=authority())
    with pytest.raises(VerificationFailed, match="another certificate"):
        verify(said(about=other))
    # The same serial number, of another authority with the same name.
    with pytest.raises(VerificationFailed, match="another certificate"):
        verify(said(issuer=STRANGER, by=delegate()))


@pytest.mark.parametrize(
    ("published", "lasting", "why"),
    [
        (NOW + CLOCK_SKEW + SECOND, DAY, "future"),
        (NOW - DAY - SECOND, DAY, "out of date"),
        (NOW - LASTING - SECOND, None, "out of date"),
    ],
)
def test_an_answer_of_another_time_is_refused(published, lasting, why):
    with pytest.raises(VerificationFailed, match=why):
        verify(said(published, lasting=lasting))


def test_the_ends_of_its_window_belong_to_it_and_without_an_end_it_counts_for_an_hour():
    assert verify(said(NOW - DAY)).next_update == NOW
    assert verify(said(NOW + CLOCK_SKEW)).this_update == NOW + CLOCK_SKEW
    assert verify(said(NOW - LASTING, lasting=None)).next_update == NOW


def test_an_answer_of_an_authority_that_has_ended_is_refused():
    with pytest.raises(VerificationFailed, match="issuer's certificate"):
        verify(said(NOW + 901 * DAY), at=NOW + 901 * DAY)


def test_unknown_tells_nothing():
    with pytest.raises(NoAnswer, match="does not know"):
        verify(said(status=ocsp.OCSPCertStatus.UNKNOWN))


@pytest.mark.parametrize(
    "status", [each for each in ocsp.OCSPResponseStatus if each.name != "SUCCESSFUL"]
)
def test_try_later_and_its_like_are_no_answer(status):
    with pytest.raises(NoAnswer, match="gives no answer"):
        verify(unsuccessful(status))


# --- The number that is asked for -----------------------------------------------------------


def test_the_nonce_is_repeated_or_left_out_and_never_another():
    assert verify(said(nonce=NONCE), nonce=NONCE).status == "good"
    assert verify(said(), nonce=NONCE).status == "good"
    assert verify(said(nonce=NONCE)).status == "good"
    with pytest.raises(VerificationFailed, match="another question"):
        verify(said(nonce=NONCE[::-1]), nonce=NONCE)
    with pytest.raises(VerificationFailed, match="does not repeat"):
        verify(said(), nonce=NONCE, require_nonce=True)


@pytest.mark.parametrize("named_by", ["sha1", "sha256"])
def test_a_question_names_the_certificate_and_carries_the_number(named_by):
    question = build_question(
        signer().certificate, authority().certificate, named_by=named_by, nonce=NONCE
    )
    asked = ocsp.load_der_ocsp_request(question.request)
    assert asked.serial_number == signer().certificate.serial_number
    assert asked.hash_algorithm.name == named_by
    assert asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == NONCE
    plain = build_question(
        signer().certificate, authority().certificate, named_by=named_by, nonce=None
    )
    assert not list(ocsp.load_der_ocsp_request(plain.request).extensions)


# --- Garbage --------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"garbage", bytes(ANSWER_BYTES_MAX + 1), b"\x30\x80" * 99])
def test_what_is_no_answer_is_refused(data):
    with pytest.raises(VerificationFailed):
        verify(data)


def test_a_critical_extension_that_nobody_knows_is_refused():
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert verify(said(extensions=[(strange, False)])).status == "good"
    with pytest.raises(VerificationFailed, match="critical"):
        verify(said(extensions=[(strange, True)]))


def test_no_changed_byte_of_an_answer_is_believed():
    whole = said(by=delegate(), nonce=NONCE)
    random_ = random.Random(20261122)
    believed = 0
    for at in random_.sample(range(len(whole)), 120):
        changed = bytearray(whole)
        changed[at] ^= 1 << random_.randrange(8)
        try:
            verify(bytes(changed), nonce=NONCE)
        except VerificationFailed:
            continue
        # The certificates beside it are unsigned, but each proves itself.
        believed += 1
    assert believed == 0


# --- Beside lists ---------------------------------------------------------------------------


def chain(*answers: bytes, lists: tuple[bytes, ...] = (), at: datetime = NOW) -> Any:
    return verify_chain(
        signer().der,
        usage=Usage.DOCUMENT_SIGNING,
        at=at,
        anchors=[authority().der],
        revocation=Revocation(lists, answers),
    )


def listed(*revoked: Any, published: datetime = NOW - DAY) -> bytes:
    return crl(authority().certificate, authority().key, published, revoked, lasting=30 * DAY)


def test_a_certificate_that_names_no_responder_is_judged_by_an_answer():
    assert chain(said()).revocation_checked
    with pytest.raises(VerificationFailed, match="was revoked at 2026-11-22"):
        chain(said(since=NOW - DAY))


def test_of_list_and_answer_the_one_that_says_revoked_counts():
    taken_back = (signer().der, NOW - 2 * DAY, None)
    with pytest.raises(VerificationFailed, match="was revoked"):
        chain(said(), lists=(listed(taken_back),))
    with pytest.raises(VerificationFailed, match="was revoked"):
        chain(said(since=NOW - DAY), lists=(listed(),))
    assert chain(said(), lists=(listed(),)).revocation_checked


def test_an_answer_of_another_time_or_of_a_stranger_proves_nothing_and_a_list_still_may():
    for useless in (said(NOW + SECOND), said(NOW - 9 * DAY), said(by=STRANGER)):
        with pytest.raises(EvidenceMissing):
            chain(useless)
        assert chain(useless, lists=(listed(),)).revocation_checked


def test_what_an_answer_says_was_revoked_later_is_not_revoked_then():
    with pytest.raises(EvidenceMissing):
        chain(said(NOW, since=NOW + DAY))


def test_a_responder_that_may_be_revoked_counts_offline_when_a_list_of_the_time_clears_it():
    doubtful = responder(authority(), NOW, no_check=False)
    theirs = said(by=doubtful, since=NOW - DAY)
    gone = (doubtful.der, NOW - 2 * DAY, None)
    with pytest.raises(EvidenceMissing):
        chain(theirs)
    with pytest.raises(VerificationFailed, match="was revoked"):
        chain(theirs, lists=(listed(),))
    # What a responder says that was itself taken back is nothing; the list clears the signer.
    assert chain(theirs, lists=(listed(gone),)).revocation_checked


# --- Somebody else's responder --------------------------------------------------------------


def test_certomancers_responder_is_understood_as_of_any_date(tmp_path):
    pki = Pki(tmp_path)
    middle = x509.load_der_x509_certificate(pki.certificate("middle"))
    stolen = x509.load_der_x509_certificate(pki.certificate("stolen"))
    before, after = datetime(2020, 11, 30, tzinfo=UTC), datetime(2020, 12, 2, tzinfo=UTC)

    def verdict(at: datetime) -> VerifiedAnswer:
        return verify_answer(pki.answer("stolen", at), certificate=stolen, issuer=middle, at=at)

    assert verdict(before).status == "good"
    revoked = verdict(after).revoked
    assert revoked is not None
    assert revoked.effective == datetime(2020, 12, 1, tzinfo=UTC)
    assert revoked.reason == "key-compromise"
