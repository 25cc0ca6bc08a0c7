"""Refusals are recorded where they are evidence, and never grow the log without bound."""

from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.memory.faults import Fault
from hub.application.refusals import RECORDED_REASONS, REFUSALS_PER_MINUTE_MAX
from hub.errors import HubError, hub_errors
from tests.support.builders import (
    OTHER,
    RECIPIENT,
    SENDER,
    MemoryHub,
    Party,
    check_whole,
    new_hub,
    request_id_of,
)

sender, other = Party(SENDER), Party(OTHER)


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


def refuse(hub: MemoryHub, party: Party = sender, times: int = 1) -> list[str]:
    reasons = []
    for _ in range(times):
        with pytest.raises(HubError) as refusal:
            hub.submit(party.code, party.envelope("H-NOBODY"))
        reasons.append(refusal.value.reason)
    return reasons


def recorded(hub: MemoryHub, agency: str = SENDER) -> int:
    return sum(
        event.topic.endswith("SubmissionRefused") and event.data["agency"] == agency
        for event in hub.events()
    )


def test_a_refusal_names_who_what_and_why(hub):
    envelope = sender.envelope("H-NOBODY")
    with pytest.raises(HubError):
        hub.submit(SENDER, envelope)

    event = hub.events()[-1]

    assert event.topic == "hub.Agency.SubmissionRefused"
    assert event.data == {
        "agency": SENDER,
        "reason": "RECIPIENT_UNKNOWN",
        "payload_type": envelope.payload_type,
        "digest": envelope.digest.hex(),
    }
    check_whole(hub)


def test_only_so_many_a_minute_are_recorded_for_each_agency(hub):
    assert refuse(hub, times=15) == ["RECIPIENT_UNKNOWN"] * 15
    assert recorded(hub) == REFUSALS_PER_MINUTE_MAX

    refuse(hub, other)
    assert recorded(hub, OTHER) == 1
    hub.clock.advance(timedelta(seconds=59))
    refuse(hub)
    assert recorded(hub) == REFUSALS_PER_MINUTE_MAX
    hub.clock.advance(timedelta(seconds=1))
    refuse(hub, times=15)
    assert recorded(hub) == 2 * REFUSALS_PER_MINUTE_MAX
    check_whole(hub)


def test_a_million_attempts_do_not_make_the_limit_slow_to_ask(hub):
    refuse(hub, times=30)

    (recent,) = hub.exchanges._refusals._recent.values()
    assert len(recent) == REFUSALS_PER_MINUTE_MAX


def test_the_reasons_that_are_recorded_are_a_closed_list():
    assert hub_errors().keys() > RECORDED_REASONS
    assert sorted(RECORDED_REASONS) == [
        "AGENCY_SUCCEEDED",
        "AGENCY_SUSPENDED",
        "CONTENT_MISSING",
        "DIGEST_MISMATCH",
        "KEY_EXPIRED",
        "KEY_NOT_YET_VALID",
        "KEY_REVOKED",
        "KEY_UNKNOWN",
        "RECIPIENT_UNKNOWN",
        "SECRET_DOCUMENT",
        "SIGNATURE_INVALID",
    ]


def test_what_proves_nothing_about_its_sender_is_not_recorded(hub):
    for envelope in (
        sender.envelope(hub="elsewhere.example/log"),
        sender.envelope(agency=OTHER),
        sender.envelope(nonce="short"),
        replace(sender.envelope(), payload=b"{}"),
    ):
        with pytest.raises(HubError):
            hub.submit(SENDER, envelope)
    hub.submit(SENDER, first := sender.envelope())
    with pytest.raises(HubError, match="already carried"):
        hub.submit(SENDER, sender.envelope(request_id=request_id_of(first)))

    assert recorded(hub) == 0


def test_statements_of_recipients_are_refused_without_a_record(hub):
    with pytest.raises(HubError):
        hub.report(RECIPIENT, Party(RECIPIENT, key_name="x").status(sender.envelope(), "01"))

    assert len(hub.events()) == 10


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("write", ["log.commit", "signer.sign", "tree.publish"])
def test_a_refusal_stands_though_its_record_cannot_be_written(hub, write, fault):
    hub.break_next(write, fault)

    assert refuse(hub) == ["RECIPIENT_UNKNOWN"]

    assert [agency for agency, _ in hub.unrecorded] == [SENDER]
    hub.process()
    check_whole(hub)
