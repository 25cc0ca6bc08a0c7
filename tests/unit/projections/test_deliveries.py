"""The lists say what the events say, however the events reach them."""

import random
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.memory.faults import Fault
from adapters.memory.views import MemoryViews
from hub.application.parties import consignments_of
from hub.application.vault import Vault
from hub.domain.catalogue import EVENTS
from hub.domain.delivery import DeliveryState, RecallState
from hub.domain.exchange import Exchange
from hub.errors import HubError, LedgerMismatch, ReceiptDelayed
from hub.projections.deliveries import DeliveryProjection
from hub.proof.dsse import SignedStatement
from hub.proof.leaf import parse_leaf
from tests.support.builders import (
    OTHER,
    RECIPIENT,
    SECOND_OPERATOR,
    SENDER,
    START,
    MemoryHub,
    Party,
    check_whole,
    instant,
    new_hub,
)

CONTENTS = [b"abc", b"defgh"]
parties = {code: Party(code) for code in (SENDER, RECIPIENT, OTHER)}
sender, recipient = parties[SENDER], parties[RECIPIENT]


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


def projection(hub: MemoryHub, views: MemoryViews) -> DeliveryProjection:
    vault = Vault(hub.stores.document_keys, hub.stores.custody, hub.randomness)
    return DeliveryProjection(hub.log, vault, views)


def test_a_document_is_shown_as_its_envelope_says(hub):
    envelope = sender.envelope(
        RECIPIENT, contents=CONTENTS, document={"number": "7", "notation": "QĐ-UBND"}
    )
    recorded = hub.submit(SENDER, envelope, CONTENTS)

    ((_, delivery, document),) = hub.views.inbox(RECIPIENT, 0, 10)

    assert document.exchange_id == parse_leaf(recorded.receipt.leaf).id
    assert (document.sender, document.envelope_digest) == (SENDER, envelope.digest)
    assert (document.code, document.type_name) == ("7/QĐ-UBND", "Công văn")
    assert document.subject == "V/v triển khai liên thông văn bản điện tử"
    assert (document.attachment_count, document.attachment_bytes) == (2, 8)
    assert (document.position, document.accepted_at) == (recorded.position, START)
    assert (delivery.inbox_seq, delivery.state) == (1, DeliveryState.CONSIGNED)
    assert (delivery.position, delivery.updated_at) == (recorded.position, START)


def test_a_delivery_names_the_event_that_made_its_state(hub):
    envelope = sender.envelope(RECIPIENT, OTHER)
    exchange_id = parse_leaf(hub.submit(SENDER, envelope).receipt.leaf).id

    def shown() -> tuple[DeliveryState, bool, int, int]:
        row = hub.views.delivery(exchange_id, RECIPIENT)
        return row.state, row.collected, row.position, (row.updated_at - START).seconds

    steps = []
    for say in ("03", "01", "collect", "collect", "03", "06", "02"):
        hub.clock.advance(timedelta(seconds=1))
        if say == "collect":
            hub.collect(RECIPIENT, recipient.collect(envelope))
        else:
            hub.report(RECIPIENT, recipient.status(envelope, say))
        steps.append(shown())

    accepted, finished = DeliveryState.ACCEPTED, DeliveryState.FINISHED
    assert steps == [
        (accepted, False, 11, 1),
        (accepted, False, 11, 1),
        (accepted, True, 11, 1),
        (accepted, True, 11, 1),
        (accepted, True, 11, 1),
        (finished, True, 16, 6),
        (finished, True, 16, 6),
    ]
    assert hub.views.delivery(exchange_id, OTHER).state == DeliveryState.CONSIGNED
    check_whole(hub)


def test_nothing_is_shown_that_no_checkpoint_covers(hub):
    hub.break_next("tree.publish", Fault.LOST)
    with pytest.raises(ReceiptDelayed):
        hub.submit(SENDER, sender.envelope())

    assert hub.views.position() == hub.receipts.size == 10
    assert list(hub.views.rows()) == []


def lines(hub: MemoryHub, agency: str, *, outbox: bool = False) -> list[tuple[Any, ...]]:
    """The lines of a box: number, kind, recipient, code, and the event it stands for."""
    rows = hub.views.outbox(agency, 0, 99) if outbox else hub.views.inbox(agency, 0, 99)
    return [(r.seq, r.kind.name, r.recipient, r.code, r.position) for r, *_ in rows]


def test_every_fact_is_a_line_with_the_number_its_event_gives_it(hub):
    limit = instant(START + timedelta(hours=1))
    old = sender.envelope(RECIPIENT, OTHER, expires_at=limit)
    hub.submit(SENDER, old)  # 10
    digest = old.digest.hex()
    hub.submit(SENDER, sender.envelope(OTHER, action="update", relates_to=digest))  # 11, 12
    hub.collect(RECIPIENT, recipient.collect(old))  # 13
    hub.report(RECIPIENT, recipient.status(old, "06"))  # 14
    hub.recall(SENDER, sender.recall(old))  # 15
    hub.answer(RECIPIENT, recipient.recall_answer(old, "16"))  # 16
    hub.submit(SENDER, sender.envelope(OTHER, action="replace", relates_to=digest))  # 17, 18
    hub.clock.advance(timedelta(hours=1))
    hub.expire()  # 19

    assert lines(hub, RECIPIENT) == [
        (1, "DOCUMENT", RECIPIENT, "", 10),
        (2, "UPDATED", RECIPIENT, "", 12),
        (3, "RECALL", RECIPIENT, "", 15),
        (4, "REPLACED", RECIPIENT, "", 18),
    ]
    assert lines(hub, OTHER) == [
        (1, "DOCUMENT", OTHER, "", 10),
        (2, "DOCUMENT", OTHER, "", 11),
        (3, "UPDATED", OTHER, "", 12),
        (4, "RECALL", OTHER, "", 15),
        (5, "DOCUMENT", OTHER, "", 17),
        (6, "REPLACED", OTHER, "", 18),
        (7, "EXPIRED", OTHER, "", 19),
    ]
    assert lines(hub, SENDER, outbox=True) == [
        (1, "HANDED_OVER", RECIPIENT, "", 13),
        (2, "STATUS", RECIPIENT, "06", 14),
        (3, "RECALL_ANSWER", RECIPIENT, "16", 16),
        (4, "DELIVERY_EXPIRED", OTHER, "", 19),
    ]
    numbers = [
        (position, consignment["agency"], consignment["inbox_seq"])
        for position, event in enumerate(hub.events())
        for consignment in consignments_of(event.data)
    ]
    shown = [
        (position, agency, seq)
        for agency in (RECIPIENT, OTHER)
        for seq, _, _, _, position in lines(hub, agency)
    ]
    assert sorted(numbers) == sorted(shown)
    check_whole(hub)


def test_a_recall_and_an_expiry_change_neither_the_state_nor_when_it_was_reached(hub):
    envelope = sender.envelope(RECIPIENT, expires_at=instant(START + timedelta(hours=1)))
    exchange_id = parse_leaf(hub.submit(SENDER, envelope).receipt.leaf).id
    hub.report(RECIPIENT, recipient.status(envelope, "01"))
    before = hub.views.delivery(exchange_id, RECIPIENT)

    hub.clock.advance(timedelta(hours=2))
    hub.recall(SENDER, sender.recall(envelope))
    hub.expire()
    hub.answer(RECIPIENT, recipient.recall_answer(envelope, "15"))

    after = hub.views.delivery(exchange_id, RECIPIENT)
    assert after == replace(before, recall=RecallState.AGREED, expired=True)


def test_a_limit_is_kept_in_utc(hub):
    limit = START + timedelta(hours=1)
    envelope = sender.envelope(RECIPIENT, expires_at=instant(limit))
    exchange_id = parse_leaf(hub.submit(SENDER, envelope).receipt.leaf).id

    row = hub.views.delivery(exchange_id, RECIPIENT)
    assert (row.expires_at, row.expires_at.utcoffset()) == (limit, timedelta(0))


def history(hub: MemoryHub, seed: int) -> None:
    """Some documents, and what their recipients said about them, in any order."""
    hub.let_in(SECOND_OPERATOR)
    drawn = random.Random(seed)
    envelopes: list[tuple[str, SignedStatement, list[str]]] = []
    for _ in range(90):
        hub.clock.advance(timedelta(seconds=1))
        if not envelopes or drawn.random() < 0.3:
            code = drawn.choice(list(parties))
            to = drawn.sample([each for each in parties if each != code], drawn.randrange(1, 3))
            changes: dict[str, Any] = {}
            own = [envelope for author, envelope, _ in envelopes if author == code]
            if own and drawn.random() < 0.5:
                action = drawn.choice(["update", "replace"])
                changes = {"action": action, "relates_to": drawn.choice(own).digest.hex()}
            if drawn.random() < 0.5:
                limit = hub.clock() + timedelta(seconds=drawn.randrange(30))
                changes["expires_at"] = instant(limit)
            envelope = parties[code].envelope(*to, **changes)
            hub.submit(code, envelope)
            envelopes.append((code, envelope, to))
            continue
        author, envelope, to = drawn.choice(envelopes)
        code = drawn.choice(to)
        said = drawn.choice(
            ["collect", "status", "status", "recall", "15", "16", "expire", "erase"]
        )
        # What the rules do not allow at that moment is refused, and leaves nothing.
        with suppress(HubError):
            match said:
                case "collect":
                    hub.collect(code, parties[code].collect(envelope))
                case "status":
                    status = drawn.choice(["01", "02", "03", "04", "05", "06"])
                    hub.report(code, parties[code].status(envelope, status))
                case "recall":
                    hub.recall(author, parties[author].recall(envelope))
                case "expire":
                    hub.expire()
                case "erase":
                    hub.erase(envelope)
                case answer:
                    hub.answer(code, parties[code].recall_answer(envelope, answer))


def test_the_histories_here_hold_every_event_that_lists_are_made_of():
    # What comes over the axis is listed by tests/unit/application/test_relaying.py.
    listed = {
        topic
        for topic in EVENTS
        if topic.startswith(("hub.Exchange.", "hub.Delivery.")) and ".Axis" not in topic
    }
    seen = set()
    for seed in range(3):
        hub = new_hub()
        history(hub, seed)
        seen |= {event.topic for event in hub.events()}

    # A doubt comes of a revocation, a verdict of an examination: they have tests of their own.
    of_their_own = {Exchange.SignatureInDoubt.TOPIC, Exchange.SignatureVerdictMade.TOPIC}
    assert seen >= listed - of_their_own


@pytest.mark.parametrize("seed", range(3))
def test_pieces_of_any_size_give_the_same_lists(hub, monkeypatch, seed):
    history(hub, seed)
    check_whole(hub)
    for chunk in (1, 2, 7, 4096):
        monkeypatch.setattr("hub.projections.deliveries._CHUNK_MAX", chunk)
        views = MemoryViews()
        for size in (0, 5, 5, 31, hub.receipts.size):
            projection(hub, views).catch_up(size)
            assert views.position() == size
        assert list(views.rows()) == list(hub.views.rows())


def test_lists_that_were_cleared_are_rebuilt_to_the_same_rows(hub):
    history(hub, 7)
    before = list(hub.views.rows())

    hub.views.clear()
    hub.projection.catch_up(hub.receipts.size)

    assert list(hub.views.rows()) == before


@pytest.mark.parametrize("erased", ["payload", "key"])
def test_erased_words_are_left_out_and_the_facts_stay(hub, erased):
    envelope = sender.envelope()
    exchange_id = parse_leaf(hub.submit(SENDER, envelope).receipt.leaf).id
    if erased == "key":
        hub.stores.document_keys.discard([exchange_id])
    else:
        hub.log._tables.payloads.clear()

    views = MemoryViews()
    projection(hub, views).catch_up(hub.receipts.size)

    ((_, delivery, document),) = views.inbox(RECIPIENT, 0, 10)
    assert (document.code, document.type_name, document.subject) == ("", "", "")
    assert (document.sender, document.envelope_digest) == (SENDER, envelope.digest)
    assert delivery.inbox_seq == 1


def test_a_log_that_ends_too_early_does_not_hang_the_lists(hub):
    with pytest.raises(LedgerMismatch, match="event 10 is missing"):
        projection(hub, MemoryViews()).catch_up(99)
