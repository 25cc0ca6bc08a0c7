"""Issuers are asked ahead, their answers kept sparingly, and believed beside their lists."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from adapters.memory.pki import MemoryOcspResponder
from hub.application.auditors import EnrolAuditor
from hub.application.certificates import ANSWERS_MAX, Suitability
from hub.application.intake import StalePolicy
from hub.application.ocsp_answers import KnownOfRevocation, NamedResponder, OcspAnswers
from hub.application.revocation import DoubtReview
from hub.errors import CertificateUnsuitable, KeyRevoked, LedgerMismatch, RevocationStale
from hub.evidence.crls import Listed
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
from tests.support.ocsp import answer, unsuccessful
from tests.support.ocsp import responder as certified
from tests.support.revocation import crl
from tests.support.timestamping import Holder, issue
from tests.unit.application.test_revocation_lists import Issuer
from tests.unit.application.test_revocation_lists import job_of as lists_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
sender, recipient = Party(SENDER), Party(RECIPIENT)
COMPROMISE = x509.ReasonFlags.key_compromise


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


def holder() -> Holder:
    return Holder(authority()._certificate, authority()._key)


def loaded(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)


class Responder:
    """Answers for the test run's authority, about whatever is asked."""

    def __init__(self, hub: MemoryHub) -> None:
        self.hub = hub
        self.lasting: timedelta | None = 4 * DAY
        self.revoked: dict[int, Any] = {}
        self.changes: dict[str, Any] = {}
        self.instead: Callable[[ocsp.OCSPRequest], bytes] | None = None
        self.port = MemoryOcspResponder(self.answer)

    def answer(self, request: bytes) -> bytes:
        asked = ocsp.load_der_ocsp_request(request)
        if self.instead is not None:
            return self.instead(asked)
        return self.said(asked)

    def said(self, asked: ocsp.OCSPRequest, **changes: Any) -> bytes:
        certificate = next(
            each for each in everybody(self.hub) if each.serial_number == asked.serial_number
        )
        options: dict[str, Any] = {
            "lasting": self.lasting,
            "since": self.revoked.get(asked.serial_number),
        }
        return answer(
            certificate,
            holder(),
            **{"published": self.hub.clock().replace(microsecond=0)}
            | options
            | self.changes
            | changes,
        )

    def revoke(self, der: bytes, since: Any) -> None:
        self.revoked[loaded(der).serial_number] = since


def everybody(hub: MemoryHub) -> list[x509.Certificate]:
    registry = hub.engine.registry
    agencies = [
        entry.certificate for each in registry.agencies.values() for entry in each.certificates
    ]
    held = [each.principals for each in registry.operators.values()]
    others = [digest for each in (*registry.auditors.values(), *held) for digest in each]
    found = [hub.log.evidence(bytes.fromhex(digest)) for digest in (*agencies, *others)]
    return [loaded(der) for der in found if der]


@pytest.fixture
def responder(hub: MemoryHub) -> Responder:
    return Responder(hub)


class NoLists:
    def listed(self, _: x509.Certificate) -> Listed | None:
        return None

    def knows(self, _: x509.Certificate) -> bool:
        return False


def job_of(
    hub: MemoryHub, responder: Responder, failures: list[str] | None = None, **options: Any
) -> OcspAnswers:
    def failed(name: str, error: Exception) -> None:
        if failures is None:
            raise error
        failures.append(str(error))

    named = {"issuers": frozenset([anchor()]), **options}
    lists = named.pop("lists", NoLists())
    job = OcspAnswers(
        [NamedResponder("ca.example", responder.port, **named)],
        authorities=[anchor()],
        every=HOUR,
        age_max=2 * DAY,
        lists=lists,
        log=hub.log,
        registry=lambda: hub.engine.registry,
        lane=hub.lane,
        offload=at_once,
        clock=hub.clock,
        randomness=hub.randomness,
        failed=failed,
    )
    job.load()
    return job


def stored(hub: MemoryHub) -> list[Any]:
    return [e.data for e in hub.events() if e.topic.endswith("RevocationEvidenceStored")]


# --- What is asked, and what is kept --------------------------------------------------------


def test_each_certificate_in_force_is_asked_about_once_an_hour(hub, responder):
    job = job_of(hub, responder)
    asked = len(everybody(hub))
    assert asked > 3
    for rounds in (1, 1, 2):
        run(job.round())
        run(job.round())
        assert len(responder.port.asked) == rounds * asked
        if rounds == 1:
            hub.clock.advance(HOUR / 2)
    check_whole(hub)


def test_good_news_about_a_signing_key_is_kept_and_about_a_connection_is_not(hub, responder):
    run(job_of(hub, responder).round())
    signing = {
        entry.certificate
        for each in hub.engine.registry.agencies.values()
        for entry in each.certificates
        if entry.purpose == "signing"
    }
    assert {each["certificate"] for each in stored(hub)} == signing
    first = stored(hub)[0]
    assert (first["kind"], first["status"], first["number"]) == ("ocsp", "good", "")
    assert hub.log.evidence(bytes.fromhex(first["evidence"])) is not None
    check_whole(hub)


def test_answers_that_say_the_same_are_kept_when_half_of_their_time_is_over(hub, responder):
    job, signing = job_of(hub, responder), len(hub.engine.registry.agencies)
    for _ in range(24):  # A day; half of `age_max`, which is less than half of four days.
        run(job.round())
        hub.clock.advance(HOUR)
    assert len(stored(hub)) == signing
    run(job.round())
    assert len(stored(hub)) == 2 * signing


def test_answers_of_short_life_are_kept_so_often_that_no_hour_is_without_proof(hub, responder):
    responder.lasting = 2 * HOUR
    job, signing = job_of(hub, responder), len(hub.engine.registry.agencies)
    for _ in range(4):
        run(job.round())
        hub.clock.advance(HOUR)
    assert len(stored(hub)) == 4 * signing


def test_a_certificate_that_was_enrolled_just_now_is_asked_about_at_once(hub, responder):
    job = job_of(hub, responder)
    run(job.round())
    before = len(responder.port.asked)
    hub.done(hub.enrolment(Party(SENDER, key_name="another")))
    run(job.round())
    assert len(responder.port.asked) == before + 1


def test_who_was_revoked_or_belongs_to_another_authority_is_not_asked_about(hub, responder):
    run(job_of(hub, responder, issuers=frozenset()).round())
    assert responder.port.asked == []


def test_a_question_holds_a_number_where_it_may(hub, responder):
    run(job_of(hub, responder).round())
    with_number = ocsp.load_der_ocsp_request(responder.port.asked[-1])
    run(job_of(hub, responder, nonce=False, named_by="sha256").round())
    without = ocsp.load_der_ocsp_request(responder.port.asked[-1])
    assert len(with_number.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce) == 32
    assert not list(without.extensions)
    assert (with_number.hash_algorithm.name, without.hash_algorithm.name) == ("sha1", "sha256")


# --- Revoked --------------------------------------------------------------------------------


def test_a_key_that_its_issuer_revoked_is_out_of_force_from_the_issuers_time_on(hub, responder):
    recorded = hub.submit(SENDER, sender.envelope())
    job = job_of(hub, responder)
    run(job.round())
    hub.clock.advance(2 * HOUR)
    responder.changes["reason"] = COMPROMISE
    responder.revoke(sender.certificate, START - HOUR)

    run(job.round())

    with pytest.raises(KeyRevoked):
        hub.submit(SENDER, sender.envelope())
    revoked = next(e for e in hub.events() if e.topic == "hub.Agency.CertificateRevoked")
    assert (revoked.data["by"], revoked.data["reason"]) == ("ocsp:ca.example", "key-compromise")
    assert stored(hub)[-1]["evidence"] == revoked.data["evidence"]
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
    hub.clock.advance(HOUR)
    before = len(responder.port.asked)
    run(job.round())
    assert len(responder.port.asked) == before + len(everybody(hub)) - 1
    check_whole(hub)


def test_an_auditor_whose_certificate_its_issuer_revoked_is_out(hub, responder):
    auditor = transport_certificate("thanh-tra-1")
    hub.done(EnrolAuditor(OPERATOR, new_request_id(), "thanh-tra-1", auditor, hub.suitability))
    hub.clock.advance(HOUR)
    responder.revoke(auditor, START)
    run(job_of(hub, responder).round())
    assert not hub.engine.registry.auditors
    revoked = next(e for e in hub.events() if e.topic.endswith("PrincipalRevoked"))
    assert revoked.data["by"] == "ocsp:ca.example"
    assert len(stored(hub)) == len(hub.engine.registry.agencies) + 1
    check_whole(hub)


def test_the_last_operator_stays_whatever_anybody_says(hub, responder):
    hub.clock.advance(HOUR)
    responder.revoke(transport_certificate(OPERATOR), START)
    job = job_of(hub, responder)
    for _ in range(3):
        run(job.round())
        hub.clock.advance(HOUR)
    assert list(hub.engine.registry.operators) == [OPERATOR]
    assert [each["status"] for each in stored(hub)].count("revoked") == 1


def test_what_was_cut_off_between_answer_and_revocation_is_finished_without_asking(hub, responder):
    hub.clock.advance(2 * HOUR)
    responder.revoke(sender.certificate, START)
    whole = hub.lane

    class Stops:
        async def do(self, command: Any) -> Any:
            if type(command).__name__ == "RevokeListed":
                raise ConnectionError("the process is gone")
            return await whole.do(command)

    failures: list[str] = []
    job = job_of(hub, responder, failures)
    job._lane = Stops()
    run(job.round())
    assert failures == ["the process is gone"]
    assert not hub.engine.registry.revoked

    restarted = hub.restarted()
    responder.port.is_gone = True
    run(job_of(restarted, responder, []).round())

    assert (SENDER, sender.key_id) in restarted.engine.registry.revoked
    check_whole(restarted)


# --- Lists beside it ------------------------------------------------------------------------


def test_a_list_that_says_revoked_wins_over_an_answer_that_says_good(hub, responder):
    issuer = Issuer()
    hub.clock.advance(2 * HOUR)
    issuer.revoke(sender, START)
    run(job_of(hub, responder).round())
    lists = lists_of(hub, issuer)
    run(lists.round())
    hub.clock.advance(2 * HOUR)
    run(job_of(hub, responder).round())
    with pytest.raises(KeyRevoked):
        hub.submit(SENDER, sender.envelope())


def test_an_answer_that_says_revoked_wins_over_a_newer_list_that_does_not(hub, responder):
    issuer = Issuer()
    hub.clock.advance(2 * HOUR)
    responder.revoke(sender.certificate, START)
    answers, lists = job_of(hub, responder), lists_of(hub, issuer)
    run(answers.round())
    issuer.published = hub.clock()
    run(lists.round())
    with pytest.raises(KeyRevoked):
        hub.submit(SENDER, sender.envelope())
    known = KnownOfRevocation(lists, answers)
    found = known.listed(loaded(sender.certificate))
    assert found is not None
    assert found.effective == START
    assert known.listed(loaded(recipient.certificate)) is None
    assert known.knows(loaded(recipient.certificate))


@pytest.mark.parametrize(
    ("list_age", "answer_age", "stale"),
    [(3, None, True), (None, 3, True), (3, 1, False), (1, 3, False), (3, 3, True)],
)
def test_the_newer_of_list_and_answer_says_how_old_our_knowledge_is(
    hub, responder, list_age, answer_age, stale
):
    hub.clock.advance(5 * DAY)
    responder.lasting = 9 * DAY
    now = hub.clock()
    if list_age is not None:
        issuer = Issuer()
        issuer.published = now - list_age * DAY
        run(lists_of(hub, issuer).round())
    if answer_age is not None:
        responder.changes["published"] = (now - answer_age * DAY).replace(microsecond=0)
        run(job_of(hub, responder).round())
    hub.clock.advance(HOUR)
    hub.exchanges._policy = StalePolicy(2 * DAY, refuses=True)

    if stale:
        with pytest.raises(RevocationStale):
            hub.submit(SENDER, sender.envelope())
    else:
        hub.submit(SENDER, sender.envelope())


def test_nobody_is_judged_by_an_answer_that_never_came(hub, responder):
    responder.instead = lambda _: unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED)
    run(job_of(hub, responder, []).round())
    hub.exchanges._policy = StalePolicy(DAY, refuses=True)
    hub.clock.advance(30 * DAY)
    hub.submit(SENDER, sender.envelope())


# --- What a responder does wrong ------------------------------------------------------------


STRANGER = issue("stranger", START - DAY, START + 300 * DAY, ca=True)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"by": STRANGER}, "another than"),
        ({"status": ocsp.OCSPCertStatus.UNKNOWN}, "does not know"),
        ({"nonce": bytes(32)}, "another question"),
        ({"published": START + 30 * DAY}, "future"),
        ({"published": START - 30 * DAY}, "out of date"),
    ],
)
def test_a_wrong_answer_is_told_once_a_round_and_asked_for_again(hub, responder, wrong, why):
    responder.changes = wrong
    failures: list[str] = []
    job = job_of(hub, responder, failures)
    everyone = len(everybody(hub))
    for _ in range(3):
        run(job.round())
    assert len(failures) == 1
    assert why in failures[0]
    hub.clock.advance(timedelta(seconds=30))
    run(job.round())
    hub.clock.advance(timedelta(seconds=30))
    run(job.round())
    assert len(responder.port.asked) == 2 * everyone, "later and later"
    assert stored(hub) == []
    responder.changes = {}
    hub.clock.advance(HOUR)
    run(job.round())
    assert len(stored(hub)) == len(hub.engine.registry.agencies)


@pytest.mark.parametrize("instead", [b"", b"garbage", bytes(65_537)])
def test_garbage_is_told_and_stored_nowhere(hub, responder, instead):
    responder.instead = lambda _: instead
    failures: list[str] = []
    run(job_of(hub, responder, failures).round())
    assert len(failures) == 1
    assert stored(hub) == []


def test_a_responder_that_is_gone_or_busy_is_left_alone_for_a_while(hub, responder):
    failures: list[str] = []
    job = job_of(hub, responder, failures)
    responder.port.is_gone = True
    run(job.round())
    run(job.round())
    assert (len(responder.port.asked), failures) == (1, ["no connection"])
    responder.port.is_gone = False
    responder.instead = lambda _: unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    hub.clock.advance(timedelta(seconds=30))
    run(job.round())
    assert len(responder.port.asked) == 2
    assert "try-later" in failures[1]
    (status,) = job.status
    assert status.failures == 2
    assert status.next_attempt == hub.clock() + timedelta(seconds=60)


def test_an_older_answer_sent_again_is_refused_also_after_a_restart(hub, responder):
    hub.clock.advance(HOUR)
    run(job_of(hub, responder).round())
    responder.changes["published"] = START
    hub.clock.advance(HOUR)
    failures: list[str] = []
    restarted = hub.restarted()
    responder.hub = restarted
    run(job_of(restarted, responder, failures).round())
    assert failures == ["the answer is older than the one that is known"]


def test_a_changed_answer_in_the_store_is_noticed_at_the_start_and_by_fsck(hub, responder):
    run(job_of(hub, responder).round())
    first = next(iter(hub.engine.registry.answers.values()))
    hub.log._tables.evidence[bytes.fromhex(first.evidence)] = b"another"
    with pytest.raises(LedgerMismatch, match="OCSP answer"):
        job_of(hub, responder)
    (finding,) = hub.findings()
    assert first.evidence in finding.what


# --- Handed in with a certificate -----------------------------------------------------------


def given(party: Party, hub: MemoryHub, **changes: Any) -> bytes:
    return answer(
        loaded(party.certificate),
        holder(),
        **{"published": hub.clock().replace(microsecond=0)} | changes,
    )


def test_an_answer_that_comes_with_a_certificate_is_kept_behind_its_enrolment(hub):
    fresh = Party(SENDER, key_name="new")
    data = given(fresh, hub)

    hub.done(hub.enrolment(fresh, answers=(data,)))

    enrolled, kept = hub.events()[-2:]
    assert enrolled.topic == "hub.Agency.CertificateEnrolled"
    assert (kept.data["source"], kept.data["status"]) == ("given", "good")
    assert kept.data["certificate"] == enrolled.data["certificate"]
    assert hub.log.evidence(bytes.fromhex(kept.data["evidence"])) == data
    check_whole(hub)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"since": START}, "revoked"),
        ({"by": STRANGER}, "another than"),
        ({"published": START - 30 * DAY}, "out of date"),
        ({"status": ocsp.OCSPCertStatus.UNKNOWN}, "does not know"),
    ],
)
def test_with_an_answer_that_does_not_hold_nothing_is_enrolled(hub, changes, why):
    fresh = Party(SENDER, key_name="new")
    before = len(hub.events())
    (refusal,) = hub.process(hub.enrolment(fresh, answers=(given(fresh, hub, **changes),)))
    assert isinstance(refusal, CertificateUnsuitable)
    assert why in str(refusal)
    assert len(hub.events()) == before


def test_an_answer_about_another_certificate_and_a_crowd_of_answers_are_refused(hub):
    fresh = Party(SENDER, key_name="new")
    for answers in ((given(sender, hub),), (given(fresh, hub),) * (ANSWERS_MAX + 1)):
        (refusal,) = hub.process(hub.enrolment(fresh, answers=answers))
        assert isinstance(refusal, CertificateUnsuitable)


def test_a_certificate_of_which_an_answer_said_revoked_is_not_enrolled(hub, responder):
    auditor = transport_certificate("thanh-tra-1")
    hub.done(EnrolAuditor(OPERATOR, new_request_id(), "thanh-tra-1", auditor, hub.suitability))
    hub.clock.advance(HOUR)
    responder.revoke(auditor, START)
    job = job_of(hub, responder)
    run(job.round())
    suitability = Suitability([anchor()], [anchor()], job.listed)
    with pytest.raises(CertificateUnsuitable, match="revoked"):
        suitability.require(auditor, "transport", None, hub.clock())


# --- A responder that may itself be revoked -------------------------------------------------


def test_a_responder_without_no_check_is_believed_as_far_as_a_list_clears_it(hub, responder):
    doubtful = certified(holder(), START, no_check=False)
    responder.changes["by"] = doubtful
    failures: list[str] = []
    run(job_of(hub, responder, failures).round())
    assert "nothing tells" in failures[0]

    issuer = Issuer()
    lists = lists_of(hub, issuer)
    run(lists.round())
    run(job_of(hub, responder, lists=lists).round())
    assert stored(hub)[-1]["kind"] == "ocsp"

    hub.clock.advance(HOUR)
    signed = crl(
        authority()._certificate, authority()._key, hub.clock(), [(doubtful.der, START, None)]
    )
    issuer.source._answer = lambda: signed
    run(lists.round())
    before = len(stored(hub))
    run(job_of(hub, responder, failures, lists=lists).round())
    assert "nothing tells" in failures[1]
    assert len(stored(hub)) == before
