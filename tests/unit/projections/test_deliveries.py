"""The lists say what the events say, however the events reach them."""

import random
from datetime import timedelta

import pytest

from adapters.memory.faults import Fault
from adapters.memory.views import MemoryViews
from hub.application.vault import Vault
from hub.domain.delivery import DeliveryState
from hub.errors import LedgerMismatch, ReceiptDelayed
from hub.projections.deliveries import DeliveryProjection
from hub.proof.leaf import parse_leaf
from tests.support.builders import (
    OTHER,
    RECIPIENT,
    SENDER,
    START,
    MemoryHub,
    Party,
    check_whole,
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


def history(hub: MemoryHub, seed: int) -> None:
    """Some documents, and what their recipients said about them, in any order."""
    drawn = random.Random(seed)
    envelopes = []
    for _ in range(60):
        hub.clock.advance(timedelta(seconds=1))
        if not envelopes or drawn.random() < 0.4:
            code = drawn.choice(list(parties))
            to = drawn.sample([each for each in parties if each != code], drawn.randrange(1, 3))
            envelope = parties[code].envelope(*to)
            hub.submit(code, envelope)
            envelopes.append((envelope, to))
            continue
        envelope, to = drawn.choice(envelopes)
        code = drawn.choice(to)
        if drawn.random() < 0.3:
            hub.collect(code, parties[code].collect(envelope))
        else:
            status = drawn.choice(["01", "02", "03", "04", "05", "06"])
            hub.report(code, parties[code].status(envelope, status))


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
