"""Lists are fetched ahead, kept as evidence, and take out of force whom they name."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509

from adapters.memory.pki import MemoryCrlSource
from hub.application.auditors import EnrolAuditor
from hub.application.certificates import Suitability
from hub.application.intake import StalePolicy
from hub.application.operators import EnrolOperator
from hub.application.revocation import DoubtReview
from hub.application.revocation_lists import NamedSource, RevocationLists
from hub.domain.values import format_time
from hub.errors import CertificateUnsuitable, KeyRevoked, LedgerMismatch, RevocationStale
from hub.proof.signatures import Algorithm
from tests.support.builders import (
    OPERATOR,
    RECIPIENT,
    SENDER,
    START,
    MemoryHub,
    Party,
    anchor,
    at_once,
    authority,
    check_whole,
    new_hub,
    new_request_id,
    run,
    transport_certificate,
)
from tests.support.revocation import Entry, crl
from tests.support.timestamping import issue

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
sender, recipient = Party(SENDER), Party(RECIPIENT)
COMPROMISE = x509.ReasonFlags.key_compromise


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


class Issuer:
    """Publishes a list of the test run's authority."""

    def __init__(self) -> None:
        self.published = START
        self.revoked: list[Entry] = []
        self.source = MemoryCrlSource(self.list)
        self._signed: dict[datetime, bytes] = {}

    def list(self) -> bytes:
        ca = authority()
        if self.published not in self._signed:
            signed = crl(ca._certificate, ca._key, self.published, self.revoked)
            self._signed[self.published] = signed
        return self._signed[self.published]

    def revoke(self, party: Party, since: datetime) -> None:
        self.revoked.append((party.certificate, since, COMPROMISE))
        self.published += HOUR


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def job_of(hub: MemoryHub, issuer: Issuer, failures: list | None = None) -> RevocationLists:
    def failed(name: str, error: Exception) -> None:
        if failures is None:
            raise error
        failures.append(str(error))

    job = RevocationLists(
        [NamedSource("ca.example", issuer.source)],
        authorities=[anchor()],
        every=HOUR,
        log=hub.log,
        registry=lambda: hub.engine.registry,
        lane=hub.lane,
        offload=at_once,
        clock=hub.clock,
        failed=failed,
    )
    job.load()
    return job


def test_a_list_is_kept_as_evidence_once(hub, issuer):
    job = job_of(hub, issuer)
    for _ in range(3):
        run(job.round())
        hub.clock.advance(HOUR)

    assert hub.topics().count("RevocationEvidenceStored") == 1
    assert issuer.source.asked == 3
    event = hub.events()[-1]
    assert hub.log.evidence(bytes.fromhex(event.data["evidence"])) == issuer.list()
    check_whole(hub)


def test_a_key_that_its_issuer_revoked_is_out_of_force_from_the_issuers_time_on(hub, issuer):
    recorded = hub.submit(SENDER, sender.envelope())
    job = job_of(hub, issuer)
    hub.clock.advance(2 * HOUR)
    issuer.revoke(sender, START - HOUR)

    run(job.round())

    with pytest.raises(KeyRevoked):
        hub.submit(SENDER, sender.envelope())
    (entry,) = hub.engine.registry.agencies[SENDER].certificates
    assert entry.revocation is not None
    assert entry.revocation.effective == START - HOUR
    revoked = next(e for e in hub.events() if e.topic == "hub.Agency.CertificateRevoked")
    assert (revoked.data["by"], revoked.data["reason"]) == ("crl:ca.example", "key-compromise")
    assert hub.log.evidence(bytes.fromhex(revoked.data["evidence"])) == issuer.list()
    review = DoubtReview(
        log=hub.log,
        registry=lambda: hub.engine.registry,
        receipts=hub.receipts,
        lane=hub.lane,
        offload=at_once,
    )
    assert run(review.round()) == 1
    doubt = next(e for e in hub.events() if e.topic == "hub.Exchange.SignatureInDoubt")
    assert doubt.data["position"] == recorded.position
    check_whole(hub)


def test_auditors_and_operators_that_are_listed_are_out_but_never_the_last_operator(hub, issuer):
    auditor, second = transport_certificate("thanh-tra-1"), transport_certificate("operator-2")
    first = transport_certificate(OPERATOR)
    asked = (OPERATOR, new_request_id())
    hub.done(EnrolAuditor(*asked, "thanh-tra-1", auditor, hub.suitability))
    hub.done(EnrolOperator(OPERATOR, new_request_id(), "operator-2", second, hub.suitability))
    job = job_of(hub, issuer)
    hub.clock.advance(2 * HOUR)
    for certificate in (auditor, second, first):
        issuer.revoked.append((certificate, START - HOUR, COMPROMISE))

    run(job.round())
    hub.clock.advance(HOUR)
    run(job.round())

    revoked = [e.data for e in hub.events() if e.topic.endswith("PrincipalRevoked")]
    assert {each["name"] for each in revoked} < {"thanh-tra-1", "operator-2", OPERATOR}
    assert [each["effective"] for each in revoked] == [format_time(START - HOUR)] * 2
    assert not hub.engine.registry.auditors
    assert len(hub.engine.registry.operators) == 1
    check_whole(hub)


def test_a_revocation_to_come_takes_effect_now(hub, issuer):
    hub.clock.advance(2 * HOUR)
    issuer.revoke(sender, START + 30 * DAY)

    run(job_of(hub, issuer).round())

    (entry,) = hub.engine.registry.agencies[SENDER].certificates
    assert entry.revocation is not None
    assert entry.revocation.effective == hub.clock()


def test_what_was_cut_off_between_list_and_revocation_is_finished_by_the_next_round(hub, issuer):
    hub.clock.advance(2 * HOUR)
    issuer.revoke(sender, START)
    issuer.revoke(recipient, START)
    hub.clock.advance(HOUR)
    whole = hub.lane

    class Stops:
        left = 1

        async def do(self, command):
            if not self.left:
                raise ConnectionError("the process is gone")
            self.left -= 1
            return await whole.do(command)

    failures: list[str] = []
    job = job_of(hub, issuer, failures)
    job._lane = Stops()
    run(job.round())
    assert failures == ["the process is gone"]

    restarted = hub.restarted()
    run(job_of(restarted, issuer).round())

    assert restarted.topics().count("RevocationEvidenceStored") == 1
    assert restarted.topics().count("CertificateRevoked") == 2
    check_whole(restarted)


def test_an_older_list_sent_again_is_refused_also_after_a_restart(hub, issuer):
    old = issuer.list()
    hub.clock.advance(2 * HOUR)
    issuer.published += HOUR
    run(job_of(hub, issuer).round())

    issuer.source._answer = lambda: old
    failures: list[str] = []
    run(job_of(hub.restarted(), issuer, failures).round())

    assert failures == ["the list is older than the one that is known"]


def test_a_list_of_a_stranger_and_a_source_that_is_gone_are_told_and_tried_again(hub, issuer):
    stranger = issue("stranger", START - DAY, START + DAY, ca=True)
    issuer.source._answer = lambda: crl(stranger.certificate, stranger.key, START)
    failures: list[str] = []
    job = job_of(hub, issuer, failures)

    run(job.round())
    run(job.round())
    hub.clock.advance(HOUR)
    issuer.source.is_gone = True
    run(job.round())

    assert len(failures) == 2, "not asked again before its time"
    assert "no authority" in failures[0]
    (status,) = job.status
    assert status.failures == 2
    assert "RevocationEvidenceStored" not in hub.topics()


def test_a_certificate_that_is_listed_is_not_enrolled(hub, issuer):
    fresh = Party(SENDER, key_name="revoked before it came")
    issuer.revoked.append((fresh.certificate, START, COMPROMISE))
    job = job_of(hub, issuer)
    run(job.round())
    suitability = Suitability([anchor()], [anchor()], job.listed)

    (refusal,) = hub.process(hub.enrolment(fresh, suitability=suitability))

    assert isinstance(refusal, CertificateUnsuitable)
    assert "revoked" in str(refusal)


def test_a_changed_list_in_the_store_is_noticed_at_the_start_and_by_fsck(hub, issuer):
    run(job_of(hub, issuer).round())
    (stored,) = hub.engine.registry.crls.values()
    hub.log._tables.evidence[bytes.fromhex(stored.evidence)] = b"another"

    with pytest.raises(LedgerMismatch, match="revocation list"):
        job_of(hub, issuer)
    (finding,) = hub.findings()
    assert stored.evidence in finding.what


# --- How old a list may be ----------------------------------------------------------------


def test_beyond_its_age_a_list_brings_a_warning_or_a_refusal(hub, issuer):
    run(job_of(hub, issuer).round())
    hub.clock.advance(2 * DAY)
    fresh = hub.submit(SENDER, sender.envelope())
    hub.clock.advance(timedelta(seconds=1))
    warned = hub.submit(SENDER, sender.envelope())
    hub.exchanges._policy = StalePolicy(2 * DAY, refuses=True)

    with pytest.raises(RevocationStale):
        hub.submit(SENDER, sender.envelope())

    facts = {
        event.data["request_id"]: event for event in hub.events() if "request_id" in event.data
    }
    warnings = [
        facts[event.data["request_id"]].data["warnings"]
        for event in hub.events()
        if event.topic == "hub.Exchange.DocumentSubmitted"
    ]
    assert fresh.position < warned.position
    assert [("REVOCATION_STALE" in each) for each in warnings] == [False, True]


def test_nobody_is_judged_by_a_list_that_was_never_there(hub):
    hub.exchanges._policy = StalePolicy(DAY, refuses=True)
    hub.clock.advance(30 * DAY)

    hub.submit(SENDER, sender.envelope())


# --- Chains -------------------------------------------------------------------------------

ROOT = issue("root of chains", START - 900 * DAY, START + 900 * DAY, ca=True)
MIDDLE = issue("middle", START - 800 * DAY, START + 20 * DAY, by=ROOT, ca=True)
LEAF = issue("leaf", START - DAY, START + 100 * DAY, by=MIDDLE)


def require(*authorities: bytes, at: datetime = START):
    suitability = Suitability(authorities, authorities)
    return suitability.require(LEAF.der, "signing", Algorithm.ECDSA_P256_SHA256, at)


def test_a_chain_leads_over_configured_authorities_and_ends_with_the_first_of_them():
    assert require(ROOT.der, MIDDLE.der).not_after == START + 20 * DAY


def test_an_authority_in_the_middle_may_be_the_anchor_itself():
    assert require(MIDDLE.der).not_before == START - DAY


@pytest.mark.parametrize(
    ("authorities", "at"),
    [((ROOT.der,), START), ((ROOT.der, MIDDLE.der), START + 21 * DAY)],
    ids=["a step is missing", "a step has ended"],
)
def test_a_chain_that_does_not_hold_is_refused(authorities, at):
    with pytest.raises(CertificateUnsuitable):
        require(*authorities, at=at)
