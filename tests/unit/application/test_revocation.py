"""A certificate revoked: in force at once, in the lane too; what it signed before is in doubt."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hub.application.auditors import EnrolAuditor
from hub.application.lane import CallersLane, OnBehalf
from hub.application.operators import RevokeOperator
from hub.application.registry import Role
from hub.application.revocation import DoubtReview, RevokeAuditor, RevokeCertificate
from hub.domain.delivery import DeliveryState
from hub.domain.values import format_time
from hub.errors import (
    AuditorUnknown,
    HubError,
    KeyRevoked,
    KeyTaken,
    PrincipalUnknown,
    RequestIdReused,
    RequestMalformed,
)
from hub.ledger.batch import load_registry
from hub.proof.leaf import parse_leaf
from tests.support.builders import (
    OPERATOR,
    OTHER,
    RECIPIENT,
    SECOND_OPERATOR,
    SENDER,
    START,
    MemoryHub,
    Party,
    at_once,
    check_whole,
    new_hub,
    new_request_id,
    run,
    transport_certificate,
)

HOUR = timedelta(hours=1)

sender, recipient, other = Party(SENDER), Party(RECIPIENT), Party(OTHER)


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


def revoke(party: Party, effective=None, reason: str = "key-compromise") -> RevokeCertificate:
    request_id = new_request_id()
    return RevokeCertificate(OPERATOR, request_id, party.code, party.key_id, reason, effective)


def review_of(hub: MemoryHub, lane=None) -> DoubtReview:
    return DoubtReview(
        log=hub.log,
        registry=lambda: hub.engine.registry,
        receipts=hub.receipts,
        lane=lane or hub.lane,
        offload=at_once,
    )


def refusal_of(hub: MemoryHub, command) -> Exception:
    before = hub.log.head()
    (outcome,) = hub.process(command)
    assert isinstance(outcome, HubError), outcome
    assert hub.log.head() == before, "a refusal leaves no trace"
    return outcome


def doubts(hub: MemoryHub) -> list[dict]:
    return [event.data for event in hub.events() if event.topic.endswith("SignatureInDoubt")]


# --- What is revoked ----------------------------------------------------------------------


def test_a_revoked_key_signs_nothing_more_and_others_of_the_agency_go_on(hub):
    second = Party(SENDER, key_name="second key")
    hub.enrol(second)
    hub.done(revoke(sender))

    with pytest.raises(KeyRevoked):
        hub.submit(SENDER, sender.envelope())
    hub.submit(SENDER, second.envelope())

    check_whole(hub)


def test_what_was_accepted_before_keeps_its_answer(hub):
    envelope = sender.envelope()
    first = hub.submit(SENDER, envelope)
    hub.done(revoke(sender))

    assert hub.submit(SENDER, envelope) == first


def test_a_revoked_key_is_never_enrolled_again(hub):
    hub.done(revoke(sender))

    assert isinstance(refusal_of(hub, hub.enrolment(sender)), KeyTaken)


def test_the_register_says_the_same_after_a_restart(hub):
    hub.done(revoke(sender, START))
    hub.clock.advance(HOUR)
    hub.done(revoke(recipient, START))

    restarted = hub.restarted()

    assert restarted.engine.registry == hub.engine.registry
    (entry,) = restarted.engine.registry.agencies[RECIPIENT].certificates
    assert entry.revocation is not None
    assert (entry.revocation.reason, entry.revocation.effective) == ("key-compromise", START)


def test_an_earlier_effective_time_is_recorded_and_a_later_one_refused(hub):
    hub.clock.advance(HOUR)
    hub.done(revoke(sender, START))

    assert isinstance(refusal_of(hub, revoke(sender)), KeyRevoked)
    assert isinstance(refusal_of(hub, revoke(sender, START)), KeyRevoked)
    hub.done(revoke(sender, START - HOUR))
    (entry,) = hub.engine.registry.agencies[SENDER].certificates
    assert entry.revocation is not None
    assert entry.revocation.effective == START - HOUR


@pytest.mark.parametrize(
    "command",
    [
        lambda hub: revoke(sender, reason="stolen"),
        lambda hub: revoke(sender, hub.clock() + HOUR),
    ],
    ids=["a reason that is none", "a time that has not come"],
)
def test_a_revocation_that_cannot_be_is_refused(hub, command):
    assert isinstance(refusal_of(hub, command(hub)), RequestMalformed)


def test_revoking_again_gets_the_first_answer(hub):
    command = revoke(sender)
    (first,) = hub.done(command)

    assert hub.done(command) == [first]


def test_a_transport_certificate_that_is_revoked_is_nobodys(hub):
    certificate = transport_certificate("client")
    hub.done(hub.enrolment(sender, purpose="transport", algorithm=None, certificate=certificate))
    digest, key_id = next(
        (entry.certificate, entry.key_id)
        for entry in hub.engine.registry.agencies[SENDER].certificates
        if entry.purpose == "transport"
    )
    assert hub.engine.registry.caller(digest) is not None

    command = RevokeCertificate(OPERATOR, new_request_id(), SENDER, key_id, "superseded", START)
    hub.clock.advance(HOUR)
    hub.done(command)

    assert hub.engine.registry.caller(digest) is None
    assert not hub.engine.registry.unreviewed, "it signs no statements"


def test_an_auditor_is_put_out_with_all_certificates(hub):
    for name in ("first", "second"):
        certificate = transport_certificate(name)
        command = EnrolAuditor(
            OPERATOR, new_request_id(), "thanh-tra-1", certificate, hub.suitability
        )
        hub.done(command)

    hub.done(RevokeAuditor(OPERATOR, new_request_id(), "thanh-tra-1", "left-office"))

    assert Role.AUDITOR not in {caller.role for caller in hub.engine.registry.callers.values()}
    again = RevokeAuditor(OPERATOR, new_request_id(), "thanh-tra-1", "left-office")
    assert isinstance(refusal_of(hub, again), AuditorUnknown)
    check_whole(hub)


def revocations(hub: MemoryHub) -> list[dict[str, object]]:
    found = [event for event in hub.events() if event.topic.endswith("PrincipalRevoked")]
    return [dict(event.data) for event in found]


def test_a_revocation_of_an_auditor_says_since_when_it_was_not_its_own(hub):
    certificate = transport_certificate("auditor")
    enrol = EnrolAuditor(OPERATOR, new_request_id(), "thanh-tra-1", certificate, hub.suitability)
    hub.done(enrol)
    since, late = hub.clock() - HOUR, hub.clock() + HOUR

    early = RevokeAuditor(OPERATOR, new_request_id(), "thanh-tra-1", "stolen", late)
    assert isinstance(refusal_of(hub, early), RequestMalformed)
    hub.done(RevokeAuditor(OPERATOR, new_request_id(), "thanh-tra-1", "stolen", since))

    assert [each["effective"] for each in revocations(hub)] == [format_time(since)]
    check_whole(hub)


def test_a_revocation_of_an_operator_says_since_when_it_was_not_its_own(hub):
    hub.let_in(SECOND_OPERATOR)
    since, late = hub.clock() - HOUR, hub.clock() + HOUR

    early = RevokeOperator(OPERATOR, new_request_id(), SECOND_OPERATOR, "stolen", late)
    assert isinstance(refusal_of(hub, early), RequestMalformed)
    revoked = RevokeOperator(OPERATOR, new_request_id(), SECOND_OPERATOR, "stolen", since)
    first = hub.done(revoked)
    assert hub.done(revoked) == first, "the same request has the same answer"
    other = replace(revoked, effective=since - HOUR)
    assert isinstance(refusal_of(hub, other), RequestIdReused)

    assert [each["effective"] for each in revocations(hub)] == [format_time(since)]
    check_whole(hub)


# --- Between a check and its commit -------------------------------------------------------


def test_a_statement_checked_before_a_revocation_and_committed_after_it_is_refused(hub):
    behind = hub.engine.registry
    hub.done(revoke(sender))
    # As a process that has not heard of it yet would check it.
    hub.exchanges._registry = lambda: behind

    with pytest.raises(KeyRevoked):
        hub.submit(SENDER, sender.envelope())

    check_whole(hub)


def test_a_revocation_of_another_process_is_seen_under_the_lock(hub):
    """The head has moved: the batch is not committed, and its repetition is judged anew."""
    theirs = MemoryHub(hub.stores)
    theirs.engine.load()
    hub.exchanges._registry = lambda registry=hub.engine.registry: registry
    theirs.done(revoke(sender))
    envelope = sender.envelope()

    with pytest.raises(HubError) as first:
        hub.submit(SENDER, envelope)
    with pytest.raises(KeyRevoked):
        hub.submit(SENDER, envelope)

    assert first.value.reason in {"UNAVAILABLE", "KEY_REVOKED"}
    assert "DocumentSubmitted" not in hub.topics()


def test_a_command_of_a_caller_who_was_put_out_while_it_waited_is_refused(hub):
    certificate = transport_certificate("auditor")
    enrol = EnrolAuditor(OPERATOR, new_request_id(), "thanh-tra-1", certificate, hub.suitability)
    hub.done(enrol)
    digest = next(iter(hub.engine.registry.auditors["thanh-tra-1"]))
    waiting = OnBehalf(revoke(sender), digest)
    hub.done(RevokeAuditor(OPERATOR, new_request_id(), "thanh-tra-1", "left-office"))

    assert isinstance(refusal_of(hub, waiting), PrincipalUnknown)
    with pytest.raises(PrincipalUnknown):
        run(CallersLane(hub.lane, lambda: digest).do(revoke(sender)))


# --- Doubt --------------------------------------------------------------------------------


def test_what_was_accepted_between_effective_time_and_revocation_is_in_doubt(hub):
    before = sender.envelope(RECIPIENT)
    hub.submit(SENDER, before)
    hub.clock.advance(HOUR)
    since = hub.clock()
    hub.clock.advance(HOUR)
    stolen = sender.envelope(RECIPIENT, OTHER)
    recorded = hub.submit(SENDER, stolen)
    collected = hub.collect(RECIPIENT, recipient.collect(before))
    recalled = hub.recall(SENDER, sender.recall(before))
    (revocation,) = hub.done(revoke(sender, since))

    assert run(review_of(hub).round()) == 2

    first, second = doubts(hub)
    assert (first["position"], second["position"]) == (recorded.position, recalled.position)
    assert {first["revocation"], second["revocation"]} == {revocation.position}
    assert [notice["agency"] for notice in first["notices"]] == [RECIPIENT, OTHER]
    assert collected.recorded.position not in {first["position"], second["position"]}
    reviewed = hub.events()[-1]
    assert reviewed.topic == "hub.Agency.RevocationReviewed"
    assert reviewed.data["in_doubt"] == 2
    check_whole(hub)
    assert run(review_of(hub).round()) == 0, "it is done once"


def test_what_a_recipient_signed_with_a_stolen_key_is_doubted_towards_the_sender(hub):
    envelope = sender.envelope(RECIPIENT, OTHER)
    opened = parse_leaf(hub.submit(SENDER, envelope).receipt.leaf)
    handed = hub.collect(RECIPIENT, recipient.collect(envelope)).recorded
    reported = hub.report(RECIPIENT, recipient.status(envelope, "03"))
    hub.clock.advance(HOUR)
    hub.done(revoke(recipient, START))
    run(review_of(hub).round())

    def seen(agency):
        view = run(hub.exchanges.exchange(agency, opened.id))
        return [(doubt.statement, doubt.recipient) for doubt in view.doubts]

    both = [(handed.position, RECIPIENT), (reported.position, RECIPIENT)]
    assert (seen(SENDER), seen(RECIPIENT), seen(OTHER)) == (both, both, [])
    kinds = [notice.kind.name for notice, _ in run(hub.exchanges.outbox(SENDER, 0, 10))]
    assert kinds == ["HANDED_OVER", "STATUS", "DELIVERY_IN_DOUBT", "DELIVERY_IN_DOUBT"]
    lines = [notice.kind.name for notice, *_ in run(hub.exchanges.inbox(RECIPIENT, 0, 10))]
    assert lines == ["DOCUMENT", "IN_DOUBT", "IN_DOUBT"]
    row = hub.views.delivery(opened.id, RECIPIENT)
    assert row is not None
    assert row.state is DeliveryState.ACCEPTED, "it stands"
    check_whole(hub)


def test_the_evidence_of_a_statement_in_doubt_holds_the_receipt_of_the_doubt(hub):
    recorded = hub.submit(SENDER, sender.envelope())
    assert run(hub.exchanges.statement(SENDER, recorded.position)).doubt is None
    hub.clock.advance(HOUR)
    hub.done(revoke(sender, START))
    run(review_of(hub).round())

    doubt = run(hub.exchanges.statement(SENDER, recorded.position)).doubt

    assert doubt is not None
    assert parse_leaf(doubt.receipt.leaf).data["position"] == recorded.position


def test_a_revocation_that_takes_effect_now_puts_nothing_in_doubt(hub):
    hub.submit(SENDER, sender.envelope())
    hub.done(revoke(sender))

    assert run(review_of(hub).round()) == 0
    assert "RevocationReviewed" not in hub.topics()


class _Interrupted(Exception):
    pass


class _LaneThatStops:
    """A lane that does so many commands, and then the process is gone."""

    def __init__(self, lane, commands: int) -> None:
        self._lane, self._left = lane, commands

    async def do(self, command):
        if not self._left:
            raise _Interrupted
        self._left -= 1
        return await self._lane.do(command)


@pytest.mark.parametrize("done", range(3))
def test_a_review_that_was_cut_off_is_taken_up_by_the_next_start_and_doubles_nothing(hub, done):
    for _ in range(70):  # Two pieces.
        hub.submit(SENDER, sender.envelope())
    hub.clock.advance(HOUR)
    hub.done(revoke(sender, START))
    with pytest.raises(_Interrupted):
        run(review_of(hub, _LaneThatStops(hub.lane, done)).round())

    restarted = hub.restarted()
    run(review_of(restarted).round())

    positions = [doubt["position"] for doubt in doubts(restarted)]
    assert len(positions) == len(set(positions)) == 70
    assert restarted.topics().count("RevocationReviewed") == 1
    check_whole(restarted)


def test_naming_an_earlier_time_later_adds_only_what_was_not_in_doubt(hub):
    first = hub.submit(SENDER, sender.envelope())
    hub.clock.advance(HOUR)
    second = hub.submit(SENDER, sender.envelope())
    hub.clock.advance(HOUR)
    hub.done(revoke(sender, START + HOUR))
    run(review_of(hub).round())
    hub.done(revoke(sender, START - HOUR))
    run(review_of(hub).round())

    assert [doubt["position"] for doubt in doubts(hub)] == [second.position, first.position]


def test_a_signature_is_judged_by_the_register_at_its_position(hub):
    recorded = hub.submit(SENDER, sender.envelope())
    hub.done(revoke(sender, START - HOUR))

    then = load_registry(hub.log, before=recorded.position)

    assert then.signing_key(SENDER, sender.key_id, START).position < recorded.position
    with pytest.raises(KeyRevoked):
        load_registry(hub.log).signing_key(SENDER, sender.key_id, START)


def test_fsck_finds_a_statement_that_was_recorded_after_its_key_was_revoked(hub, monkeypatch):
    monkeypatch.setattr("hub.application.registry.Registry._with_revocation", lambda self, *_: self)
    hub.done(revoke(sender))
    hub.submit(SENDER, sender.envelope())

    (finding,) = hub.findings()
    assert "revoked before" in finding.what
