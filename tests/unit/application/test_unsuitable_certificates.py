"""Certificates that are enrolled for nobody: each is refused with a reason, and leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hub.application.certificates import Suitability
from hub.errors import CertificateUnsuitable, HubError, KeyNotYetValid
from hub.evidence.crls import Listed, verify_crl
from hub.proof.signatures import Algorithm
from tests.support.builders import (
    SENDER,
    START,
    MemoryHub,
    Party,
    check_whole,
    new_hub,
)
from tests.support.revocation import crl
from tests.support.timestamping import Holder, issue

DAY = timedelta(days=1)
BEGIN, END = START - DAY, START + 100 * DAY
sender = Party(SENDER)


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def under(name: x509.Name) -> x509.NameConstraints:
    """Only what begins with this name."""
    return x509.NameConstraints([x509.DirectoryName(name)], None)


ROOT = issue("root", START - 900 * DAY, START + 900 * DAY, ca=True)
SHORT = issue("short root", START - 900 * DAY, START + 900 * DAY, ca=True, path_length=0)
BELOW = issue("below", START - 800 * DAY, START + 800 * DAY, by=SHORT, ca=True)
NARROW = issue(
    "narrow",
    START - 800 * DAY,
    START + 800 * DAY,
    by=ROOT,
    ca=True,
    extensions=[(under(named("UBND Quận 1")), True)],
)
STRICT = issue(
    "strict root",
    START - 900 * DAY,
    START + 900 * DAY,
    ca=True,
    extensions=[(under(named("UBND Quận 1")), True)],
)
STRANGER = issue("stranger", START - 900 * DAY, START + 900 * DAY, ca=True)
AUTHORITIES = [each.der for each in (ROOT, SHORT, BELOW, NARROW, STRICT)]


def leaf(by: Holder = ROOT, name: str = "UBND Quận 2", **changes: object) -> bytes:
    options = {"not_before": BEGIN, "not_after": END} | changes
    return issue(name, by=by, **options).der  # type: ignore[arg-type]


def with_sha_1() -> bytes:
    """A signer's certificate that its issuer signed over SHA-1; no library makes one today."""
    by = rsa.generate_private_key(65537, 2048)
    issuer = issue("sha-1", START - 900 * DAY, START + 900 * DAY, ca=True, key=by)
    made = asn1.Certificate.load(leaf(issuer))
    for algorithm in (made["signature_algorithm"], made["tbs_certificate"]["signature"]):
        algorithm["algorithm"] = "sha1_rsa"
    signed = by.sign(made["tbs_certificate"].dump(force=True), padding.PKCS1v15(), SHA1())
    made["signature_value"] = signed
    return bytes(made.dump(force=True))


def small_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)


BAD: dict[str, Callable[[], bytes]] = {
    "an unknown authority's": lambda: leaf(STRANGER),
    "expired": lambda: leaf(not_before=BEGIN - 10 * DAY, not_after=BEGIN),
    "of an authority that has ended": lambda: leaf(
        issue("ended", START - 900 * DAY, START - DAY, by=ROOT, ca=True)
    ),
    "for servers only": lambda: leaf(usages=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    "an authority's": lambda: leaf(ca=True),
    "without key usage": lambda: leaf(key_usage=False),
    "RSA with 1024 bits": lambda: leaf(key=small_key()),
    "signed with SHA-1": with_sha_1,
    "longer than its root allows": lambda: leaf(BELOW),
    "outside its authority's names": lambda: leaf(NARROW),
    "outside its root's names": lambda: leaf(STRICT),
    "issued by a signer": lambda: leaf(issue("signer", BEGIN, END, by=ROOT)),
}


def suitability(hub: MemoryHub, **changes: object) -> Suitability:
    return Suitability(AUTHORITIES, AUTHORITIES, **changes)  # type: ignore[arg-type]


def everything(hub: MemoryHub) -> tuple[int, int, object]:
    tables = hub.log._tables
    return len(tables.entries), len(tables.evidence), hub.engine.registry


def refused(hub: MemoryHub, certificate: bytes, **changes: object) -> HubError:
    rsa_key = isinstance(x509.load_der_x509_certificate(certificate).public_key(), rsa.RSAPublicKey)
    algorithm = Algorithm.RSA_PSS_SHA256 if rsa_key else Algorithm.ECDSA_P256_SHA256
    members = {"suitability": suitability(hub), "algorithm": algorithm} | changes
    before = everything(hub)
    (refusal,) = hub.process(hub.enrolment(sender, certificate=certificate, **members))
    assert everything(hub) == before
    check_whole(hub)
    assert isinstance(refusal, HubError)
    return refusal


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


@pytest.mark.parametrize("name", BAD)
def test_it_is_refused_and_leaves_nothing_behind(hub, name):
    refusal = refused(hub, BAD[name]())
    assert type(refusal) is CertificateUnsuitable


def test_a_good_one_beside_them_is_taken(hub):
    for der in (leaf(), leaf(NARROW, name="UBND Quận 1"), leaf(STRICT, name="UBND Quận 1")):
        hub.done(
            hub.enrolment(
                sender,
                certificate=der,
                algorithm=Algorithm.ECDSA_P256_SHA256,
                suitability=suitability(hub),
            )
        )


def test_one_that_its_issuer_revoked_is_refused(hub):
    der = leaf()
    data = crl(ROOT.certificate, ROOT.key, START, [(der, START - DAY, None)])
    listed = verify_crl(data, authorities=AUTHORITIES, at=START)

    refusal = refused(hub, der, suitability=suitability(hub, listed=listed.listed))
    assert type(refusal) is CertificateUnsuitable
    assert "revoked" in str(refusal)


def test_one_under_an_authority_that_was_revoked_is_refused(hub):
    middle = issue("middle", START - 800 * DAY, START + 800 * DAY, by=ROOT, ca=True)
    gone = {middle.certificate.serial_number: Listed(START - DAY, "ca-compromise")}
    authorities = [ROOT.der, middle.der]
    judged = Suitability(authorities, authorities, lambda each: gone.get(each.serial_number))
    refusal = refused(hub, leaf(middle), suitability=judged)
    assert "ca-compromise" in str(refusal)


def test_one_that_is_not_valid_yet_is_enrolled_and_signs_nothing_until_then(hub):
    early = Party(SENDER, key_name="next year", not_before=START + 10 * DAY)
    hub.done(hub.enrolment(early))
    with pytest.raises(KeyNotYetValid):
        hub.submit(SENDER, early.envelope())

    assert hub.topics()[-1] == "SubmissionRefused"
    check_whole(hub)
    hub.clock.advance(11 * DAY)
    hub.submit(SENDER, early.envelope())
