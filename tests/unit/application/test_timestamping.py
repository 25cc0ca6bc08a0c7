"""Timestamps are got on time, verified before they are kept, and never in anybody's way."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from adapters.memory.faults import Fault
from hub.application.registry import Caller, Role
from hub.application.timestamping import RENEWAL_EVERY
from hub.errors import PositionUnknown, RoleNotPermitted
from hub.evidence.renewals import parse_renewal
from hub.evidence.timestamps import verify_timestamp
from hub.proof.leaf import Event
from hub.proof.receipt import Receipt, parse_tlog_proof, verify_receipt
from tests.support.builders import SENDER, START, check_whole, run
from tests.support.stamped import Stamped, ending, lasting
from tests.support.timestamping import DAY, OTHER_POLICY, Authority, answer_with, rejection

HOUR = timedelta(hours=1)


# --- On schedule ------------------------------------------------------------------------------


def test_the_first_round_stamps_the_newest_checkpoint_and_records_it_in_the_log():
    stamped = Stamped()
    size = stamped.hub.receipts.size

    stamped.round()

    (event,) = stamped.obtained()
    assert (event.data["authority"], event.data["size"]) == ("tsa-0", size)
    assert event.data["gen_time"] == "2026-11-23T01:30:00.000000Z"
    for digest in (event.data["token"], *event.data["certificates"]):
        assert stamped.hub.log.evidence(bytes.fromhex(digest))
    # The fact is itself in the tree, and covered by the next checkpoint.
    assert stamped.hub.receipts.size == size + 1
    check_whole(stamped.hub)


def test_what_was_recorded_proves_the_time_to_somebody_who_trusts_only_the_root():
    stamped = Stamped()
    position = stamped.hub.receipts.size - 3
    stamped.round()

    (found,) = run(stamped.timestamps.covering(position))

    proof = parse_tlog_proof(found.proof)
    assert (proof.index, proof.checkpoint) == (position, found.evidence.checkpoint)
    leaf = stamped.hub.receipts.receipt(position).receipt.leaf
    verify_receipt(Receipt(leaf, found.proof), stamped.trust)
    proven = verify_timestamp(found.evidence, stamped.trust, at=START + DAY)
    assert proven.time == START


def test_a_timestamp_alone_makes_no_other_one_due():
    stamped = Stamped(lasting(), lasting())
    stamped.round()
    for _ in range(5):
        stamped.round(after=HOUR)

    assert len(stamped.obtained()) == 2
    assert [each.waiting for each in stamped.status.authorities] == [None, None]


def test_each_authority_is_asked_once_an_hour_while_there_is_work():
    stamped = Stamped()
    for _ in range(6 * 3):
        stamped.work()
        stamped.round(after=HOUR / 6)

    assert len(stamped.obtained()) == 3


def test_after_a_quiet_night_the_first_event_is_stamped_at_once():
    stamped = Stamped()
    stamped.round()
    stamped.round(after=9 * HOUR)
    stamped.work()

    stamped.round(after=timedelta(seconds=5))

    assert len(stamped.obtained()) == 2


def test_a_restart_keeps_to_the_schedule():
    stamped = Stamped()
    stamped.round()
    stamped.work()
    stamped.start()

    stamped.round(after=HOUR / 2)
    assert len(stamped.obtained()) == 1
    stamped.round(after=HOUR / 2)
    assert len(stamped.obtained()) == 2


def test_the_policy_of_the_settings_is_asked_for():
    stamped = Stamped(policy=OTHER_POLICY)
    stamped.round()
    assert len(stamped.obtained()) == 1

    stamped.answer = lambda n, request: stamped.authorities[n].answer(
        request, stamped.hub.clock(), policy="1.2.3"
    )
    stamped.work()
    stamped.round(after=HOUR)
    assert stamped.failures == [("tsa-0", "the token is under another policy")]


# --- What is refused leaves nothing -----------------------------------------------------------


def spoiled(**changes: Any) -> Callable[[Stamped], Callable[[int, bytes], bytes]]:
    return lambda stamped: (
        lambda n, request: stamped.authorities[n].answer(request, stamped.hub.clock(), **changes)
    )


def by(make: Callable[[], Authority]) -> Callable[[Stamped], Callable[[int, bytes], bytes]]:
    return lambda stamped: lambda n, request: make().answer(request, stamped.hub.clock())


def answering(answer: bytes) -> Callable[[Stamped], Callable[[int, bytes], bytes]]:
    return lambda stamped: lambda n, request: answer


def with_modifications(stamped: Stamped) -> Callable[[int, bytes], bytes]:
    token = stamped.authorities[0].stamp(b"anything", START)
    return lambda n, request: answer_with(token, "granted_with_mods")


def of_another_time(by: timedelta) -> Callable[[Stamped], Callable[[int, bytes], bytes]]:
    return lambda stamped: (
        lambda n, request: stamped.authorities[n].answer(request, stamped.hub.clock() + by)
    )


REFUSED = {
    "another nonce": (spoiled(nonce=7), "another request"),
    "no nonce": (spoiled(nonce=None), "another request"),
    "another imprint": (
        spoiled(
            message_imprint={
                "hash_algorithm": {"algorithm": "sha256"},
                "hashed_message": bytes(32),
            }
        ),
        "something else",
    ),
    "another chain": (by(lasting), "chain"),
    "expired": (by(lambda: ending(0)), "chain"),
    "granted with modifications": (with_modifications, "granted_with_mods"),
    "rejection": (answering(rejection()), "rejection"),
    "garbage": (answering(b"garbage"), "cannot be read"),
    "nothing": (answering(b""), "cannot be read"),
    "a huge answer": (answering(bytes(100_000)), "more than"),
    "a clock that is fast": (of_another_time(timedelta(minutes=11)), "differ"),
    "a clock that is slow": (of_another_time(-timedelta(minutes=11)), "differ"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_answer_that_does_not_hold_leaves_nothing(kind: str):
    make, why = REFUSED[kind]
    stamped = Stamped()
    before = stamped.hub.events()
    stamped.answer = make(stamped)

    stamped.round()

    assert stamped.hub.events() == before
    ((name, failure),) = stamped.failures
    assert name == "tsa-0"
    assert why in failure
    (status,) = stamped.status.authorities
    assert (status.failures, status.last_failure) == (1, failure)
    check_whole(stamped.hub)


# --- Gone for days ------------------------------------------------------------------------------


def test_with_every_authority_gone_for_days_documents_go_on_and_the_backlog_is_seen():
    stamped = Stamped(lasting(), lasting())
    stamped.round()
    stamped.work()
    since = stamped.hub.clock()
    for port in stamped.ports:
        port.is_gone = True

    for _ in range(3 * 24):
        stamped.round(after=HOUR)
        stamped.work()

    status = stamped.status
    assert [each.waiting.since for each in status.authorities if each.waiting] == [since, since]
    # The other authority's timestamp is among what the newest token of the first leaves out.
    assert [each.waiting.events for each in status.authorities if each.waiting] == [75, 74]
    assert all(each.failures > 10 for each in status.authorities)
    assert all(each.last_failure for each in status.authorities)
    assert stamped.hub.receipts.size == len(stamped.hub.events())

    for port in stamped.ports:
        port.is_gone = False
    stamped.round(after=2 * HOUR)

    assert [each.waiting for each in stamped.status.authorities] == [None, None]
    assert [each.failures for each in stamped.status.authorities] == [0, 0]
    assert len(stamped.obtained()) == 4
    check_whole(stamped.hub)


def test_an_authority_that_is_gone_does_not_hold_up_the_other():
    stamped = Stamped(lasting(), lasting())
    stamped.ports[0].is_gone = True

    stamped.round()

    assert [event.data["authority"] for event in stamped.obtained()] == ["tsa-1"]


def test_an_authority_that_is_gone_is_asked_less_and_less():
    stamped = Stamped()
    stamped.ports[0].is_gone = True
    minutes = timedelta(minutes=1)
    for _ in range(120):
        stamped.round(after=minutes / 4)
    in_the_first_half_hour = stamped.ports[0].asked
    for _ in range(24 * 60):
        stamped.round(after=minutes)

    assert 5 <= in_the_first_half_hour <= 9
    assert stamped.ports[0].asked - in_the_first_half_hour <= 49
    assert stamped.ports[0].asked - in_the_first_half_hour >= 16


@pytest.mark.parametrize("fault", Fault)
def test_a_commit_that_fails_is_found_out_by_the_next_round(fault: Fault):
    stamped = Stamped()
    stamped.hub.break_next("log.commit", fault)
    stamped.round()
    assert len(stamped.failures) == 1
    assert stamped.hub.engine.behind

    # Any batch brings storage and tree together again.
    stamped.work()
    stamped.round(after=2 * HOUR)

    kept = fault is Fault.KEPT
    assert len(stamped.obtained()) == 1 + kept
    check_whole(stamped.hub)


# --- Renewal ------------------------------------------------------------------------------------


def renewals(stamped: Stamped) -> list[Event]:
    return [event for event in stamped.obtained() if event.data["renews"]]


def stamp_often(stamped: Stamped, times: int) -> None:
    for _ in range(times):
        stamped.work()
        stamped.round(after=HOUR)


def test_tokens_are_renewed_long_before_their_certificate_ends():
    stamped = Stamped(ending(days=300), lasting())
    stamp_often(stamped, 5)
    stamped.round(after=200 * DAY)
    assert renewals(stamped) == []

    stamped.round(after=10 * DAY)

    (renewal,) = renewals(stamped)
    assert renewal.data["authority"] == "tsa-1"
    assert len(renewal.data["renews"]) == len(stamped.obtained()) - 1
    assert stamped.status.next_end == START + 2000 * DAY
    message = stamped.hub.log.evidence(bytes.fromhex(renewal.data["message"]))
    assert message is not None
    assert [each.token.hex() for each in parse_renewal(message).renewed] == [
        event.data["token"] for event in stamped.obtained()[:-1]
    ]
    check_whole(stamped.hub)


def test_a_renewed_timestamp_holds_when_its_own_certificate_is_long_gone():
    stamped = Stamped(ending(days=300), lasting())
    stamp_often(stamped, 2)
    stamped.round(after=250 * DAY)

    found = run(stamped.timestamps.covering(3))

    (first,) = (each.evidence for each in found if each.obtained.authority == "tsa-0")
    assert len(first.renewals) == 1
    proven = verify_timestamp(first, stamped.trust, at=START + 1500 * DAY)
    assert proven.authority == "tsa-0"
    assert proven.time < START + DAY


def test_the_same_authority_renews_as_soon_as_it_has_its_next_certificate():
    stamped = Stamped(ending(days=300))
    stamp_often(stamped, 3)
    stamped.round(after=250 * DAY)
    assert renewals(stamped) == []
    assert "outlasts" in stamped.status.renewal_failure

    old = stamped.authorities[0]
    stamped.authorities[0] = old.renewed(START + 200 * DAY, START + 900 * DAY)
    stamped.work()
    stamped.round(after=DAY)
    stamped.round(after=DAY)

    (renewal,) = renewals(stamped)
    assert len(renewal.data["renews"]) == 4
    assert stamped.status.renewal_failure == ""
    assert stamped.status.next_end == START + 900 * DAY


def test_many_tokens_are_renewed_in_portions_and_each_one_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hub.application.timestamp_book.RENEWED_MAX", 4)
    stamped = Stamped(ending(days=300), lasting())
    stamp_often(stamped, 30)
    before = [event.data["token"] for event in stamped.obtained()]

    stamped.hub.clock.advance(250 * DAY)
    for _ in range(5):
        stamped.round()

    renewed = [position for event in renewals(stamped) for position in event.data["renews"]]
    assert len(renewed) == len(set(renewed))
    assert len(renewed) >= len(before)
    assert stamped.status.next_end == START + 2000 * DAY
    count = len(renewals(stamped))
    for _ in range(5):
        stamped.round(after=RENEWAL_EVERY)
    assert len(renewals(stamped)) == count
    check_whole(stamped.hub)


def test_a_restart_in_the_middle_of_renewing_goes_on_where_it_was(monkeypatch: Any):
    monkeypatch.setattr("hub.application.timestamp_book.RENEWED_MAX", 4)
    stamped = Stamped(ending(days=300), lasting())
    stamp_often(stamped, 30)
    stamped.round(after=250 * DAY)
    stamped.start()
    for _ in range(5):
        stamped.round()

    renewed = [position for event in renewals(stamped) for position in event.data["renews"]]
    assert len(renewed) == len(set(renewed))
    assert stamped.status.next_end == START + 2000 * DAY


def test_a_renewal_that_would_not_last_longer_is_not_kept():
    stamped = Stamped(ending(days=300), lasting())
    stamp_often(stamped, 1)
    # It answers with a certificate that ends as soon as the others: its newest token lied.
    lasting_once = stamped.authorities[1]
    stamped.authorities[1] = lasting_once.renewed(START + DAY, START + 300 * DAY)

    stamped.round(after=250 * DAY)

    assert renewals(stamped) == []
    assert stamped.failures[-1][0] == "renewal"
    assert "ends before" in stamped.status.renewal_failure


def test_renewing_fails_over_to_another_authority():
    stamped = Stamped(ending(days=300), ending(days=1500), lasting())
    stamp_often(stamped, 1)
    stamped.ports[2].is_gone = True
    stamped.hub.clock.advance(250 * DAY)

    stamped.round()
    stamped.round(after=HOUR)

    (renewal,) = renewals(stamped)
    assert renewal.data["authority"] == "tsa-1"


# --- Who may ask ----------------------------------------------------------------------------------


def test_agencies_see_timestamps_but_not_how_the_job_stands():
    stamped = Stamped()
    with pytest.raises(RoleNotPermitted):
        run(stamped.timestamps.status(Caller(Role.AGENCY, SENDER)))
    assert run(stamped.timestamps.status(Caller(Role.AUDITOR, "thanh-tra"))).authorities


def test_before_the_first_answer_a_position_has_no_timestamps():
    stamped = Stamped()
    assert run(stamped.timestamps.covering(0)) == []
    with pytest.raises(PositionUnknown):
        run(stamped.timestamps.covering(10_000))


def test_of_each_authority_the_first_timestamp_that_covers_it_is_found():
    stamped = Stamped(lasting(), lasting())
    stamp_often(stamped, 4)
    sizes: Sequence[int] = [event.data["size"] for event in stamped.obtained()]

    found = run(stamped.timestamps.covering(sizes[3]))

    assert [(each.obtained.authority, each.obtained.size) for each in found] == [
        ("tsa-0", sizes[4]),
        ("tsa-1", sizes[5]),
    ]
