"""An agency puts a new certificate into force by itself: with the old key, holding the new one."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest

from hub.application.renewal import Renewals
from hub.application.revocation import RevokeCertificate
from hub.client.signing import KeySigner, sign_statement
from hub.errors import (
    AgencyMismatch,
    CertificateUnsuitable,
    HubError,
    KeyExpired,
    KeyRevoked,
    KeyTaken,
    KeyUnknown,
    PossessionUnproven,
    RequestIdReused,
    RequestUnknown,
    SignatureInvalid,
    StatementMalformed,
)
from hub.proof.dsse import SignedStatement
from hub.proof.leaf import parse_leaf
from hub.proof.signatures import Algorithm
from hub.proof.statements import Possession, Renewal
from tests.support.builders import (
    OPERATOR,
    ORIGIN,
    RECIPIENT,
    SENDER,
    START,
    MemoryHub,
    Party,
    authority,
    check_whole,
    der,
    new_hub,
    new_request_id,
    request_id_of,
    run,
)

HOUR = timedelta(hours=1)
sender, recipient = Party(SENDER), Party(RECIPIENT)
fresh = Party(SENDER, Algorithm.ECDSA_P256_SHA256, key_name="the new key")


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


def renewal(by: Party = sender, to: Party = fresh, **changes: Any) -> SignedStatement:
    members = {
        "purpose": "signing",
        "algorithm": to.algorithm.value,
        "certificate": base64.b64encode(to.certificate).decode(),
    }
    return by.say(Renewal.MEDIA_TYPE, **members | changes)


def possession(of: SignedStatement, by: Party = fresh, **changes: Any) -> SignedStatement:
    members = {"renewal_digest": of.digest.hex()}
    return by.say(Possession.MEDIA_TYPE, **members | changes)


def renew(hub: MemoryHub, signed: SignedStatement, proof: SignedStatement, agency: str = SENDER):
    renewals = Renewals(origin=ORIGIN, lane=hub.lane, suitability=hub.suitability)
    return run(renewals.renew(agency, signed, proof))


def refused(hub: MemoryHub, signed: SignedStatement, proof: SignedStatement) -> HubError:
    before = hub.log.head()
    with pytest.raises(HubError) as refusal:
        renew(hub, signed, proof)
    assert hub.log.head() == before, "a refusal leaves no trace"
    return refusal.value


def test_the_new_key_signs_and_the_old_one_goes_on(hub):
    signed = renewal()
    recorded, key_id = renew(hub, signed, possession(signed))

    hub.submit(SENDER, fresh.envelope())
    hub.submit(SENDER, sender.envelope())

    event = parse_leaf(recorded.receipt.leaf)
    assert (event.topic, event.data["by"]) == ("hub.Agency.CertificateEnrolled", SENDER)
    assert key_id == fresh.key_id == event.data["possession"]["key_id"]
    assert event.data["renewal"]["key_id"] == sender.key_id
    for name in ("renewal", "possession"):
        assert hub.log.evidence(bytes.fromhex(event.data[name]["digest"])) is not None
    check_whole(hub)
    check_whole(hub.restarted())


def test_three_renewals_in_a_row_lose_no_document(hub):
    by = sender
    for number in range(3):
        to = Party(SENDER, key_name=f"key {number}")
        hub.submit(SENDER, by.envelope())
        signed = renewal(by, to)
        renew(hub, signed, possession(signed, to))
        hub.submit(SENDER, to.envelope())
        revoke = RevokeCertificate(
            OPERATOR, new_request_id(), SENDER, by.key_id, "superseded", None
        )
        hub.done(revoke)
        by = to
    hub.submit(SENDER, by.envelope())

    assert hub.topics().count("CertificateRevoked") == 3
    check_whole(hub)


def test_the_same_renewal_gets_the_same_answer_also_when_the_old_key_is_gone(hub):
    signed = renewal()
    first = renew(hub, signed, possession(signed))
    hub.done(
        RevokeCertificate(OPERATOR, new_request_id(), SENDER, sender.key_id, "superseded", None)
    )

    assert renew(hub, signed, possession(signed)) == first


def test_a_transport_certificate_is_renewed_by_a_signing_key(hub):
    issued = authority().issue_client("renewed connection")
    key = KeySigner.from_pem(issued.private_key_pem, Algorithm.ECDSA_P256_SHA256)
    certificate = base64.b64encode(der(issued.certificate_pem)).decode()
    signed = renewal(purpose="transport", certificate=certificate)
    proof = sign_statement(key, Possession.MEDIA_TYPE, possession(signed).payload)

    recorded, _ = renew(hub, signed, proof)

    data = parse_leaf(recorded.receipt.leaf).data
    assert (data["purpose"], data["algorithm"]) == ("transport", "")
    assert hub.engine.registry.caller(data["certificate"]).name == SENDER
    check_whole(hub)


# --- What is refused ----------------------------------------------------------------------


def test_a_renewal_by_a_key_that_does_not_count_is_refused(hub):
    stranger = Party(SENDER, key_name="never enrolled")
    expired = Party(SENDER, key_name="expired", not_after=START + HOUR)
    hub.enrol(expired)
    hub.clock.advance(2 * HOUR)
    for by, kind in ((stranger, KeyUnknown), (expired, KeyExpired)):
        signed = renewal(by)
        assert isinstance(refused(hub, signed, possession(signed)), kind)
    hub.done(
        RevokeCertificate(OPERATOR, new_request_id(), SENDER, sender.key_id, "superseded", None)
    )
    signed = renewal()
    assert isinstance(refused(hub, signed, possession(signed)), KeyRevoked)


def test_a_new_key_cannot_vouch_for_itself(hub):
    signed = renewal(by=fresh)
    assert isinstance(refused(hub, signed, possession(signed)), KeyUnknown)


def test_possession_is_proven_by_the_new_key_and_nothing_else(hub):
    signed = renewal()
    other = Party(SENDER, Algorithm.ECDSA_P256_SHA256, key_name="another key")
    bent = possession(signed)
    bent = SignedStatement(
        bent.payload_type, bent.payload, bent.key_id, possession(signed).signature[:-1] + b"\0"
    )

    assert isinstance(refused(hub, signed, possession(signed, sender)), PossessionUnproven)
    assert isinstance(refused(hub, signed, possession(signed, other)), PossessionUnproven)
    assert isinstance(refused(hub, signed, bent), PossessionUnproven)
    about_another = possession(renewal())
    assert isinstance(refused(hub, signed, about_another), StatementMalformed)


def test_one_agency_cannot_renew_for_another(hub):
    signed = renewal(recipient)
    assert isinstance(refused(hub, signed, possession(signed)), AgencyMismatch)
    assert isinstance(
        refused(hub, renewal(recipient, agency=SENDER), possession(renewal(recipient))),
        (KeyUnknown, StatementMalformed),
    )


def test_a_key_that_is_enrolled_for_another_is_taken(hub):
    taken = Party(SENDER, key_name=RECIPIENT)
    signed = renewal(to=taken)
    assert isinstance(refused(hub, signed, possession(signed, taken)), KeyTaken)


def test_a_bent_renewal_is_refused(hub):
    signed = renewal()
    bent = SignedStatement(
        signed.payload_type, signed.payload, signed.key_id, bytes(len(signed.signature))
    )
    assert isinstance(refused(hub, bent, possession(bent)), SignatureInvalid)


def test_what_is_no_certificate_is_refused(hub):
    signed = renewal(certificate=base64.b64encode(b"no certificate").decode())
    assert isinstance(refused(hub, signed, possession(signed)), CertificateUnsuitable)


def test_a_renewals_request_id_is_no_documents(hub):
    signed = renewal()
    renew(hub, signed, possession(signed))
    request_id = request_id_of(signed)

    with pytest.raises(RequestUnknown):
        run(hub.exchanges.submission(SENDER, request_id))
    with pytest.raises(RequestIdReused):
        hub.submit(SENDER, sender.envelope(request_id=request_id))


# --- A stolen key -------------------------------------------------------------------------


def test_what_a_stolen_key_vouched_for_falls_with_it_and_what_came_before_does_not(hub):
    before = Party(SENDER, key_name="renewed in time")
    signed = renewal(to=before)
    renew(hub, signed, possession(signed, before))
    hub.clock.advance(HOUR)
    since = hub.clock()
    hub.clock.advance(HOUR)
    thiefs = Party(SENDER, key_name="the thief's")
    heir = Party(SENDER, key_name="the thief's second")
    for by, to in ((sender, thiefs), (thiefs, heir)):
        signed = renewal(by, to)
        renew(hub, signed, possession(signed, to))

    revoke = RevokeCertificate(
        OPERATOR, new_request_id(), SENDER, sender.key_id, "key-compromise", since
    )
    hub.done(revoke)

    for party in (sender, thiefs, heir):
        with pytest.raises(KeyRevoked):
            hub.submit(SENDER, party.envelope())
    hub.submit(SENDER, before.envelope())
    assert hub.topics().count("CertificateRevoked") == 3
    check_whole(hub)
