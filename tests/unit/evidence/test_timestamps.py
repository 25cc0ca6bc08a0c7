"""A timestamp proves a time for as long as somebody vouches for it, and says so step by step."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from hub.errors import VerificationFailed
from hub.evidence.chains import EvidenceMissing
from hub.evidence.renewals import RENEWED_MAX, RenewalMessage, Renewed, parse_renewal
from hub.evidence.timestamps import (
    RENEWALS_MAX,
    Renewal,
    TimestampEvidence,
    TimestampToken,
    examine_timestamp,
    verify_timestamp,
)
from hub.proof.findings import Verdict
from hub.proof.timestamp_authority import TimestampAuthority
from hub.proof.trust import TrustedRoot
from tests.support.timestamping import DAY, Authority

NOW = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
ORIGIN = "lienthong.example/2026"
NOTE = b"lienthong.example/2026\n9\nroot\n\n- signatures\n"


@cache
def first() -> Authority:
    return Authority.make(NOW - DAY, NOW + 300 * DAY)


@cache
def later() -> Authority:
    """The same authority's next certificate."""
    return first().renewed(NOW + 200 * DAY, NOW + 900 * DAY)


def trust(**window: Any) -> TrustedRoot:
    listed = TimestampAuthority("tsa", (first().root.der,), NOW - DAY)
    return TrustedRoot(1, (), timestamp_authorities=(replace(listed, **window),))


def held(authority: Authority, message: bytes, at: datetime, name: str = "tsa") -> TimestampToken:
    return TimestampToken(name, authority.stamp(message, at))


@cache
def stamped() -> TimestampEvidence:
    return TimestampEvidence(NOTE, held(first(), NOTE, NOW))


def renewal(of: TimestampToken, message: bytes, by: Authority, at: datetime) -> Renewal:
    renewed = (Renewed(bytes(32), bytes(32)), Renewed.of(message, of.token))
    listed = RenewalMessage(ORIGIN, renewed).format()
    return Renewal(held(by, listed, at), listed)


@cache
def renewed() -> TimestampEvidence:
    one = renewal(stamped().timestamp, NOTE, later(), NOW + 250 * DAY)
    return replace(stamped(), renewals=(one,))


def test_a_timestamp_proves_when_the_checkpoint_existed():
    proven = verify_timestamp(stamped(), trust(), at=NOW + DAY)

    assert (proven.time, proven.authority) == (NOW, "tsa")
    assert proven.good_until == NOW + 300 * DAY


def test_a_renewal_carries_it_over_the_end_of_its_certificate():
    at = NOW + 500 * DAY
    with pytest.raises(EvidenceMissing, match="no later renewal"):
        verify_timestamp(stamped(), trust(), at=at)

    proven = verify_timestamp(renewed(), trust(), at=at)

    assert (proven.time, proven.good_until) == (NOW, NOW + 900 * DAY)


def test_renewals_are_renewed():
    last = first().renewed(NOW + 800 * DAY, NOW + 990 * DAY)
    (one,) = renewed().renewals
    two = renewal(one.timestamp, one.message, last, NOW + 850 * DAY)

    twice = replace(renewed(), renewals=(one, two))

    assert verify_timestamp(twice, trust(), at=NOW + 950 * DAY).time == NOW
    with pytest.raises(VerificationFailed, match="another timestamp"):
        verify_timestamp(replace(twice, renewals=(two,)), trust(), at=NOW)


@pytest.mark.parametrize("days", [-1, 301])
def test_a_renewal_that_came_too_late_or_too_early_is_none(days: int):
    by = first().renewed(NOW - 2 * DAY, NOW + 900 * DAY)
    wrong = renewal(stamped().timestamp, NOTE, by, NOW + days * DAY)
    listed = trust(not_before=NOW - 9 * DAY)
    with pytest.raises(VerificationFailed, match="in force"):
        verify_timestamp(replace(stamped(), renewals=(wrong,)), listed, at=NOW + 400 * DAY)


def test_a_renewal_of_the_same_checkpoint_by_another_token_is_none():
    other = renewal(held(first(), NOTE, NOW), NOTE, later(), NOW + 250 * DAY)
    with pytest.raises(VerificationFailed, match="another timestamp"):
        verify_timestamp(replace(stamped(), renewals=(other,)), trust(), at=NOW)


def test_another_checkpoint_is_refused():
    with pytest.raises(VerificationFailed, match="something else"):
        verify_timestamp(replace(stamped(), checkpoint=NOTE + b"\n"), trust(), at=NOW)


def test_whom_the_trusted_root_does_not_list_is_not_checked():
    with pytest.raises(EvidenceMissing, match="does not list"):
        verify_timestamp(stamped(), TrustedRoot(1, ()), at=NOW)


@pytest.mark.parametrize("window", [{"not_before": NOW + DAY}, {"not_after": NOW - DAY}])
def test_a_time_outside_the_window_is_refused(window: dict[str, Any]):
    with pytest.raises(VerificationFailed, match="trusted") as refused:
        verify_timestamp(stamped(), trust(**window), at=NOW)
    assert not isinstance(refused.value, EvidenceMissing)


def test_the_ends_of_the_window_belong_to_it():
    assert verify_timestamp(stamped(), trust(not_before=NOW, not_after=NOW), at=NOW).time == NOW


def test_an_authority_is_held_against_its_own_root_only():
    other = Authority.make(NOW - DAY, NOW + DAY, name="other")
    roots = (
        TimestampAuthority("tsa", (first().root.der,), NOW - DAY),
        TimestampAuthority("other", (other.root.der,), NOW - DAY),
    )
    listed = TrustedRoot(1, (), timestamp_authorities=roots)
    claimed = replace(stamped(), timestamp=held(other, NOTE, NOW, name="tsa"))
    with pytest.raises(VerificationFailed, match="chain"):
        verify_timestamp(claimed, listed, at=NOW)


def test_what_the_evidence_brings_along_anchors_nothing():
    stranger = Authority.make(NOW - DAY, NOW + DAY)
    brought = replace(held(stranger, NOTE, NOW), certificates=(stranger.root.der,))
    with pytest.raises(VerificationFailed, match="chain"):
        verify_timestamp(replace(stamped(), timestamp=brought), trust(), at=NOW)


def test_endless_renewals_are_not_followed():
    many = replace(stamped(), renewals=renewed().renewals * (RENEWALS_MAX + 1))
    with pytest.raises(VerificationFailed, match="64"):
        verify_timestamp(many, trust(), at=NOW)


# --- In steps -------------------------------------------------------------------------------


def test_the_steps_of_a_renewed_timestamp_are_told_in_order():
    findings = examine_timestamp(renewed(), trust(), at=NOW + 500 * DAY, first_step=9)

    assert [(each.step, each.verdict) for each in findings.items] == [
        (9, Verdict.PROVEN),
        (10, Verdict.PROVEN),
        (11, Verdict.PROVEN),
    ]
    assert "2026-11-23 01:30:00 UTC" in findings.items[0].text


def test_what_ended_unrenewed_is_not_checked_and_not_refuted():
    findings = examine_timestamp(stamped(), trust(), at=NOW + 500 * DAY)

    assert [each.verdict for each in findings.items] == [Verdict.PROVEN, Verdict.NOT_CHECKED]


def test_a_refuted_step_is_the_last():
    spoiled = replace(stamped(), checkpoint=b"another")
    findings = examine_timestamp(spoiled, trust(), at=NOW)

    (only,) = findings.items
    assert only.verdict is Verdict.REFUTED
    assert only.text == "The token is over something else."


# --- The bytes of a renewal -----------------------------------------------------------------


def test_a_renewal_is_written_as_the_specification_says():
    message = RenewalMessage(ORIGIN, (Renewed(b"\x01" * 32, b"\x02" * 32),))
    assert message.format() == (
        b"lienthong.timestamp-renewal.v1\n"
        b"lienthong.example/2026\n" + b"01" * 32 + b" " + b"02" * 32 + b"\n"
    )


def test_the_longest_renewal_can_be_read():
    lines = tuple(Renewed(n.to_bytes(32, "big"), bytes(32)) for n in range(RENEWED_MAX))
    message = RenewalMessage(ORIGIN, lines)
    assert parse_renewal(message.format()) == message
    with pytest.raises(ValueError, match="256"):
        RenewalMessage(ORIGIN, (*lines, lines[0])).format()


LINE = "0" * 64 + " " + "1" * 64


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lienthong.timestamp-renewal.v1\n",
        f"lienthong.timestamp-renewal.v1\n{ORIGIN}\n",
        f"lienthong.timestamp-renewal.v2\n{ORIGIN}\n{LINE}\n",
        f"lienthong.timestamp-renewal.v1\n\n{LINE}\n",
        f"lienthong.timestamp-renewal.v1\n{ORIGIN}\n{LINE}",
        f"lienthong.timestamp-renewal.v1\n{ORIGIN}\n{LINE}\n\n",
        f"lienthong.timestamp-renewal.v1\n{ORIGIN}\n{LINE} \n",
        f"lienthong.timestamp-renewal.v1\n{ORIGIN}\n{LINE.replace('1', 'A')}\n",
        f"lienthong.timestamp-renewal.v1\r\n{ORIGIN}\r\n{LINE}\r\n",
        "x" * 70_000,
    ],
)
def test_any_other_spelling_of_a_renewal_is_refused(text: str):
    with pytest.raises(VerificationFailed) as refused:
        parse_renewal(text.encode())
    assert refused.value.step == "renewal"


def test_a_renewal_that_is_not_text_is_refused():
    with pytest.raises(VerificationFailed):
        parse_renewal(b"\xff\xfe")
