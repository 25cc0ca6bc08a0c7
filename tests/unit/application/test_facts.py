"""Where the facts about a document stand, as far as they concern whoever asks."""

from __future__ import annotations

from uuid import uuid4

import pytest

from hub.application.audit import is_about_keys
from hub.application.facts import Facts
from hub.application.registry import Caller, Role
from hub.auditor.bundling import OF_THE_KEYS
from hub.domain.catalogue import EVENTS
from hub.errors import ExchangeUnknown, PositionUnknown
from hub.proof.leaf import parse_leaf
from tests.support.agencies import succeed
from tests.support.builders import OTHER, RECIPIENT, SENDER, MemoryHub, Party, at_once, new_hub, run


@pytest.fixture
def hub() -> MemoryHub:
    """Two documents from one sender; the first to two, one of which collects and reports."""
    hub = new_hub()
    sender, recipient = Party(SENDER), Party(RECIPIENT)
    envelope = sender.envelope(RECIPIENT, OTHER)
    hub.submit(SENDER, envelope)
    hub.submit(SENDER, sender.envelope(OTHER))
    hub.collect(RECIPIENT, recipient.collect(envelope))
    hub.report(RECIPIENT, recipient.status(envelope, "01"))
    hub.recall(SENDER, sender.recall(envelope))
    return hub


def facts_of(hub: MemoryHub) -> Facts:
    return Facts(
        log=hub.log,
        views=hub.stores.views,
        receipts=hub.receipts,
        registry=lambda: hub.engine.registry,
        offload=at_once,
    )


def exchange_in(hub: MemoryHub, nth: int = 0):
    submitted = [
        entry.aggregate_id
        for entry in hub.log.entries(0, 100)
        if entry.topic == "hub.Exchange.DocumentSubmitted"
    ]
    return submitted[nth]


def positions(hub: MemoryHub, agency: str, *, after: int = 0, limit: int = 100, nth: int = 0):
    asked = facts_of(hub).of_exchange(agency, exchange_in(hub, nth), after=after, limit=limit)
    return run(asked)


def topics(hub: MemoryHub, found: list[int]) -> list[str]:
    return [
        parse_leaf(hub.log.entries(position, 1)[0].state).topic.split(".")[-1] for position in found
    ]


def test_a_sender_sees_all_and_a_recipient_its_own(hub):
    story = ["DocumentSubmitted", "DocumentHandedOver", "StatusReported", "RecallRequested"]
    assert topics(hub, positions(hub, SENDER)) == story
    assert topics(hub, positions(hub, RECIPIENT)) == story
    assert topics(hub, positions(hub, OTHER)) == ["DocumentSubmitted", "RecallRequested"]


def test_nothing_of_another_document_is_among_them(hub):
    assert topics(hub, positions(hub, SENDER, nth=1)) == ["DocumentSubmitted"]
    with pytest.raises(ExchangeUnknown):
        positions(hub, RECIPIENT, nth=1)


def test_pages_go_on_where_the_last_one_ended(hub):
    whole = positions(hub, SENDER)
    first = positions(hub, SENDER, limit=2)
    assert first == whole[:2]
    assert positions(hub, SENDER, after=first[-1], limit=2) == whole[2:]
    assert positions(hub, SENDER, after=whole[-1]) == []


def test_who_takes_no_part_learns_nothing(hub):
    hub.register("H77")
    for agency, exchange in (("H77", exchange_in(hub)), (SENDER, uuid4())):
        with pytest.raises(ExchangeUnknown):
            run(facts_of(hub).of_exchange(agency, exchange, after=0, limit=10))


def test_a_successor_sees_what_its_predecessor_would(hub):
    seen = positions(hub, RECIPIENT)
    succeed(hub, RECIPIENT, OTHER)
    assert positions(hub, OTHER) == seen


@pytest.mark.parametrize("agency", [SENDER, RECIPIENT, OTHER])
def test_whatever_is_listed_can_be_fetched_and_nothing_else_of_it(hub, agency):
    listed = positions(hub, agency)
    caller = Caller(Role.AGENCY, agency)
    about = [
        entry.position
        for entry in hub.log.entries(0, 100)
        if str(exchange_in(hub)) in entry.state.decode()
    ]
    for position in about:
        if position in listed:
            assert run(hub.own_receipts.receipt(caller, position)).position == position
        else:
            with pytest.raises(PositionUnknown):
                run(hub.own_receipts.receipt(caller, position))


def test_the_events_about_the_log_and_its_keys_are_named_and_for_everyone(hub):
    keys = run(facts_of(hub).of_keys())
    assert keys == [0, 1, 2]
    assert topics(hub, keys) == ["LogOpened", "HubKeyAnnounced", "HubKeyActivated"]
    for role in Role:
        for position in keys:
            run(hub.own_receipts.receipt(Caller(role, "anybody"), position))


def test_an_auditor_looks_for_every_kind_of_event_about_the_keys():
    assert {topic for topic in EVENTS if is_about_keys(topic)} == set(OF_THE_KEYS)
