"""Update, replace, recall, expire: what each side is told, and what is released to whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from hub.application.commands import ExpireDelivery
from hub.application.lane import NothingRecorded, Recorded
from hub.application.ports import NoticeKind
from hub.domain.delivery import DeliveryState, RecallState
from hub.errors import (
    ContentWithheld,
    ExchangeUnknown,
    HubError,
    NotAParty,
    NotCollected,
    PositionUnknown,
    RecallAskedAlready,
    RecallNotOpen,
    RequestIdReused,
)
from hub.proof.leaf import parse_leaf
from hub.proof.statements import Status
from tests.support.builders import (
    OTHER,
    RECIPIENT,
    SENDER,
    START,
    MemoryHub,
    Party,
    check_whole,
    instant,
    new_hub,
    request_id_of,
    run,
)
from tests.support.commands import submit_command

CONTENTS = [b"%PDF-1.7 " * 100]
sender, recipient, other = Party(SENDER), Party(RECIPIENT), Party(OTHER)
STRANGER = Party("H77")


@pytest.fixture
def hub() -> MemoryHub:
    hub = new_hub()
    hub.register(STRANGER.code)
    hub.enrol(STRANGER)
    return hub


def opened(recorded: Any) -> Any:
    return parse_leaf(recorded.receipt.leaf).id


def inbox(hub: MemoryHub, code: str) -> list[tuple[int, str]]:
    return [(line.seq, line.kind.name) for line, *_ in hub.views.inbox(code, 0, 999)]


def outbox(hub: MemoryHub, code: str) -> list[tuple[int, str, str, str]]:
    return [
        (line.seq, line.kind.name, line.recipient, line.code)
        for line, _ in hub.views.outbox(code, 0, 999)
    ]


# --- Update and replace -------------------------------------------------------------------


@pytest.mark.parametrize(("action", "kind"), [("update", "UPDATED"), ("replace", "REPLACED")])
def test_every_old_recipient_is_told_of_the_newer_document(hub, action, kind):
    old = sender.envelope(RECIPIENT, OTHER)
    old_id = opened(hub.submit(SENDER, old))
    new = sender.envelope(OTHER, action=action, relates_to=old.digest.hex())
    new_id = opened(hub.submit(SENDER, new))

    assert inbox(hub, RECIPIENT) == [(1, "DOCUMENT"), (2, kind)]
    assert inbox(hub, OTHER) == [(1, "DOCUMENT"), (2, "DOCUMENT"), (3, kind)]
    for code in (RECIPIENT, OTHER):
        line, delivery, document = hub.views.inbox(code, 0, 99)[-1]
        assert (line.exchange_id, line.by_exchange) == (old_id, new_id)
        assert document.replaced_by == (new_id if action == "replace" else None)
        assert delivery.inbox_seq == 1, "the number of the document itself stays"
    assert outbox(hub, SENDER) == []
    event = hub.events()[-1].data
    assert (event["by_exchange"], event["by_digest"]) == (str(new_id), new.digest.hex())
    check_whole(hub)


def test_the_newer_documents_words_are_for_its_own_recipients(hub):
    old = sender.envelope(RECIPIENT)
    hub.submit(SENDER, old)
    new = sender.envelope(OTHER, action="replace", relates_to=old.digest.hex())
    new_id = opened(hub.submit(SENDER, new))

    with pytest.raises(ExchangeUnknown):
        run(hub.exchanges.exchange(RECIPIENT, new_id))
    with pytest.raises(ExchangeUnknown):
        hub.collect(RECIPIENT, recipient.collect(new))


def statement_about(hub: MemoryHub, old: Any) -> Any:
    status = recipient.status(old, "01")
    hub.report(RECIPIENT, status)
    return status


@pytest.mark.parametrize("action", ["update", "replace"])
@pytest.mark.parametrize("related", ["unknown", "another's", "received", "a statement", "a recall"])
def test_only_an_own_document_is_updated_or_replaced(hub, action, related):
    own, foreign = sender.envelope(RECIPIENT), other.envelope(RECIPIENT)
    received = other.envelope(SENDER)
    for party, envelope in ((sender, own), (other, foreign), (other, received)):
        hub.submit(party.code, envelope)
    recall = sender.recall(own)
    hub.recall(SENDER, recall)
    digest = {
        "unknown": "ab" * 32,
        "another's": foreign.digest.hex(),
        "received": received.digest.hex(),
        "a statement": statement_about(hub, own).digest.hex(),
        "a recall": recall.digest.hex(),
    }[related]
    count = len(hub.events())
    envelope = sender.envelope(RECIPIENT, action=action, relates_to=digest, contents=CONTENTS)

    with pytest.raises(ExchangeUnknown) as refusal:
        hub.submit(SENDER, envelope, CONTENTS)

    assert str(refusal.value) == "no such exchange among those this agency takes part in"
    assert refusal.value.metadata == {}
    assert len(hub.events()) == count
    assert list(hub.stores.content.exchanges()) == []


def test_the_lane_refuses_too_what_relates_to_another_agencys_document(hub):
    foreign = other.envelope(RECIPIENT)
    hub.submit(OTHER, foreign)
    envelope = sender.envelope(RECIPIENT, action="replace", relates_to=foreign.digest.hex())
    good = sender.envelope(RECIPIENT)

    refused, accepted = hub.process(
        submit_command(hub, sender, envelope), submit_command(hub, sender, good)
    )

    assert isinstance(refused, ExchangeUnknown)
    assert opened(accepted)
    assert [line.seq for line, *_ in hub.views.inbox(RECIPIENT, 0, 9)] == [1, 2]
    check_whole(hub)


def test_a_retry_of_a_replacement_replaces_once(hub):
    old = sender.envelope(RECIPIENT)
    hub.submit(SENDER, old)
    new = sender.envelope(RECIPIENT, action="replace", relates_to=old.digest.hex())

    first = hub.submit(SENDER, new)
    assert hub.submit(SENDER, new) == hub.restarted().submit(SENDER, new) == first

    assert hub.topics()[-2:] == ["DocumentSubmitted", "DocumentReplaced"]
    check_whole(hub)


# --- Recall -------------------------------------------------------------------------------


@pytest.fixture
def envelope(hub: MemoryHub) -> Any:
    envelope = sender.envelope(RECIPIENT, OTHER, contents=CONTENTS)
    hub.submit(SENDER, envelope, CONTENTS)
    return envelope


def test_after_a_recall_only_what_was_collected_is_released(hub, envelope):
    exchange_id = hub.collect(OTHER, other.collect(envelope)).exchange_id
    hub.recall(SENDER, sender.recall(envelope))

    with pytest.raises(ContentWithheld):
        hub.collect(RECIPIENT, recipient.collect(envelope))
    with pytest.raises(NotCollected):
        hub.download(RECIPIENT, exchange_id)
    assert hub.download(OTHER, exchange_id) == CONTENTS[0]
    # Statements are taken all the same, and the other one may sign for it again.
    hub.report(RECIPIENT, recipient.status(envelope, "01"))
    hub.collect(OTHER, other.collect(envelope))
    assert inbox(hub, RECIPIENT) == inbox(hub, OTHER) == [(1, "DOCUMENT"), (2, "RECALL")]
    check_whole(hub)


def test_who_agreed_gets_nothing_more_and_who_refused_gets_the_document(hub, envelope):
    collect = other.collect(envelope)
    handed_over = hub.collect(OTHER, collect)
    exchange_id = handed_over.exchange_id
    hub.recall(SENDER, sender.recall(envelope))
    hub.answer(OTHER, other.recall_answer(envelope, "15"))
    hub.answer(RECIPIENT, recipient.recall_answer(envelope, "16"))

    with pytest.raises(ContentWithheld):
        hub.download(OTHER, exchange_id)
    with pytest.raises(ContentWithheld, match="agreed"):
        hub.collect(OTHER, other.collect(envelope))
    assert hub.collect(OTHER, collect) == handed_over, "the first answer stays the answer"
    with pytest.raises(NotCollected):
        hub.download(RECIPIENT, exchange_id)
    hub.collect(RECIPIENT, recipient.collect(envelope))
    assert hub.download(RECIPIENT, exchange_id) == CONTENTS[0]
    hub.report(OTHER, other.status(envelope, "06"))
    assert outbox(hub, SENDER) == [
        (1, "HANDED_OVER", OTHER, ""),
        (2, "RECALL_ANSWER", OTHER, "15"),
        (3, "RECALL_ANSWER", RECIPIENT, "16"),
        (4, "HANDED_OVER", RECIPIENT, ""),
        (5, "STATUS", OTHER, "06"),
    ]
    check_whole(hub)


@pytest.mark.parametrize("code", ["15", "16"])
def test_an_answer_without_a_recall_or_after_another_is_refused(hub, envelope, code):
    with pytest.raises(RecallNotOpen):
        hub.answer(RECIPIENT, recipient.recall_answer(envelope, code))
    hub.recall(SENDER, sender.recall(envelope))
    first = recipient.recall_answer(envelope, code)
    recorded = hub.answer(RECIPIENT, first)

    for again in ("15", "16"):
        with pytest.raises(RecallNotOpen):
            hub.answer(RECIPIENT, recipient.recall_answer(envelope, again))
    assert hub.answer(RECIPIENT, first) == recorded
    hub.answer(OTHER, other.recall_answer(envelope, "15"))
    check_whole(hub)


def test_a_second_recall_is_refused_even_when_all_have_answered(hub, envelope):
    first = sender.recall(envelope)
    recorded = hub.recall(SENDER, first)
    with pytest.raises(RecallAskedAlready):
        hub.recall(SENDER, sender.recall(envelope))
    for party in (recipient, other):
        hub.answer(party.code, party.recall_answer(envelope, "16"))

    with pytest.raises(RecallAskedAlready):
        hub.recall(SENDER, sender.recall(envelope))
    assert hub.recall(SENDER, first) == hub.restarted().recall(SENDER, first) == recorded
    assert inbox(hub, RECIPIENT) == [(1, "DOCUMENT"), (2, "RECALL")]


def test_a_finished_document_can_be_recalled(hub, envelope):
    hub.collect(RECIPIENT, recipient.collect(envelope))
    hub.report(RECIPIENT, recipient.status(envelope, "06"))

    hub.recall(SENDER, sender.recall(envelope))
    hub.answer(RECIPIENT, recipient.recall_answer(envelope, "15"))

    ((_, row, _), *_) = hub.views.inbox(RECIPIENT, 0, 1)
    assert (row.state, row.recall) == (DeliveryState.FINISHED, RecallState.AGREED)


def test_only_the_sender_recalls(hub, envelope):
    with pytest.raises(NotAParty):
        hub.recall(RECIPIENT, recipient.recall(envelope))
    with pytest.raises(ExchangeUnknown) as strange:
        hub.recall(STRANGER.code, STRANGER.recall(envelope))
    with pytest.raises(ExchangeUnknown) as unknown:
        hub.recall(STRANGER.code, STRANGER.recall(STRANGER.envelope()))
    assert (str(strange.value), strange.value.metadata) == (
        str(unknown.value),
        unknown.value.metadata,
    )
    assert hub.topics()[-1] == "DocumentSubmitted"


def test_a_recall_names_an_envelope_and_no_other_statement(hub, envelope):
    status = recipient.status(envelope, "01")
    hub.report(RECIPIENT, status)

    with pytest.raises(ExchangeUnknown):
        hub.recall(SENDER, sender.recall(status))


def test_a_recall_answer_does_not_pass_for_a_status(hub, envelope):
    hub.recall(SENDER, sender.recall(envelope))
    answer = recipient.recall_answer(envelope, "16")
    hub.answer(RECIPIENT, answer)

    with pytest.raises((RequestIdReused, HubError)):
        hub.report(RECIPIENT, recipient.sign(Status.MEDIA_TYPE, answer.payload))
    assert hub.topics()[-1] == "RecallAnswered"


# --- Expiry -------------------------------------------------------------------------------


def expiring(hub: MemoryHub, *recipients: str, hours: int = 1) -> Any:
    limit = instant(hub.clock() + timedelta(hours=hours))
    envelope = sender.envelope(*recipients, contents=CONTENTS, expires_at=limit)
    hub.submit(SENDER, envelope, CONTENTS)
    return envelope


def test_what_nobody_collected_in_time_expires_once_for_both_sides(hub):
    envelope = expiring(hub, RECIPIENT, OTHER)
    exchange_id = hub.collect(OTHER, other.collect(envelope)).exchange_id
    hub.clock.advance(timedelta(hours=1) - timedelta(microseconds=1))
    assert hub.expire() == 0

    hub.clock.advance(timedelta(microseconds=1))
    assert [hub.expire(), hub.expire(), hub.restarted().expire()] == [1, 0, 0]

    assert inbox(hub, RECIPIENT) == [(1, "DOCUMENT"), (2, "EXPIRED")]
    assert inbox(hub, OTHER) == [(1, "DOCUMENT")]
    assert outbox(hub, SENDER) == [
        (1, "HANDED_OVER", OTHER, ""),
        (2, "DELIVERY_EXPIRED", RECIPIENT, ""),
    ]
    with pytest.raises(ContentWithheld):
        hub.collect(RECIPIENT, recipient.collect(envelope))
    assert hub.download(OTHER, exchange_id) == CONTENTS[0]
    hub.report(RECIPIENT, recipient.status(envelope, "02"))
    check_whole(hub)


def test_what_is_collected_late_but_before_the_job_looked_does_not_expire(hub):
    envelope = expiring(hub, RECIPIENT)
    hub.clock.advance(timedelta(hours=2))
    (row,) = hub.views.overdue(hub.clock(), 10)
    hub.collect(RECIPIENT, recipient.collect(envelope))

    (outcome,) = hub.process(ExpireDelivery(row.exchange_id, row.recipient, row.expires_at))

    assert isinstance(outcome, NothingRecorded)
    assert hub.expire() == 0
    assert "DeliveryExpired" not in hub.topics()


def test_what_was_given_back_by_agreement_does_not_expire(hub):
    envelope = expiring(hub, RECIPIENT, OTHER)
    hub.recall(SENDER, sender.recall(envelope))
    hub.answer(OTHER, other.recall_answer(envelope, "16"))
    hub.clock.advance(timedelta(hours=2))
    rows = hub.views.overdue(hub.clock(), 10)
    hub.answer(RECIPIENT, recipient.recall_answer(envelope, "15"))

    outcomes = hub.process(
        *(ExpireDelivery(row.exchange_id, row.recipient, row.expires_at) for row in rows)
    )

    told = {row.recipient: type(outcome) for row, outcome in zip(rows, outcomes, strict=True)}
    assert told == {RECIPIENT: NothingRecorded, OTHER: Recorded}
    assert hub.expire() == 0


def test_two_jobs_at_once_expire_a_delivery_once(hub):
    expiring(hub, RECIPIENT)
    hub.clock.advance(timedelta(hours=2))
    (row,) = hub.views.overdue(hub.clock(), 10)
    command = ExpireDelivery(row.exchange_id, row.recipient, row.expires_at)

    first, second = hub.process(command, command)

    assert parse_leaf(first.receipt.leaf).topic == "hub.Delivery.DeliveryExpired"
    assert isinstance(second, NothingRecorded)
    check_whole(hub)


def test_the_lane_does_not_let_expire_what_is_not_due(hub):
    expiring(hub, RECIPIENT)
    (row,) = hub.views.overdue(START + timedelta(hours=9), 10)

    (outcome,) = hub.process(ExpireDelivery(row.exchange_id, row.recipient, row.expires_at))

    assert isinstance(outcome, NothingRecorded)


def test_a_document_without_a_limit_never_expires(hub, envelope):
    hub.clock.advance(timedelta(days=3650))

    assert hub.expire() == 0


def test_more_than_one_round_of_overdue_documents_all_expire(hub, monkeypatch):
    monkeypatch.setattr("hub.application.expiry._AT_ONCE", 3)
    for hours in (5, 1, 4, 2, 3):
        expiring(hub, RECIPIENT, OTHER, hours=hours)
    hub.clock.advance(timedelta(hours=9))

    assert hub.expire() == 10
    assert [kind for _, kind in inbox(hub, OTHER)] == ["DOCUMENT"] * 5 + ["EXPIRED"] * 5
    check_whole(hub)


def test_an_envelope_is_shown_to_its_recipient_only_against_a_collect_statement(hub, envelope):
    position = hub.views.inbox(RECIPIENT, 0, 1)[0][0].position
    assert run(hub.exchanges.statement(SENDER, position)).statement == envelope
    with pytest.raises(NotCollected):
        run(hub.exchanges.statement(RECIPIENT, position))

    hub.collect(RECIPIENT, recipient.collect(envelope))
    assert run(hub.exchanges.statement(RECIPIENT, position)).statement == envelope

    hub.recall(SENDER, sender.recall(envelope))
    hub.answer(RECIPIENT, recipient.recall_answer(envelope, "15"))
    with pytest.raises(ContentWithheld):
        run(hub.exchanges.statement(RECIPIENT, position))


def test_a_delivery_that_cannot_expire_does_not_hold_up_the_others(hub, monkeypatch):
    for hours in (1, 2, 3):
        expiring(hub, RECIPIENT, hours=hours)
    hub.clock.advance(timedelta(hours=9))
    first = hub.views.overdue(hub.clock(), 1)[0].exchange_id
    decide = ExpireDelivery.decide

    def fail_first(command: ExpireDelivery, session: Any) -> None:
        if command.exchange_id == first:
            raise LookupError("this one has no events")
        decide(command, session)

    monkeypatch.setattr(ExpireDelivery, "decide", fail_first)

    with pytest.raises(LookupError):
        hub.expire()

    assert hub.topics().count("DeliveryExpired") == 2


def test_an_expired_document_can_be_recalled_and_answered(hub):
    envelope = expiring(hub, RECIPIENT)
    hub.clock.advance(timedelta(hours=1))
    hub.expire()

    hub.recall(SENDER, sender.recall(envelope))
    hub.answer(RECIPIENT, recipient.recall_answer(envelope, "16"))

    with pytest.raises(ContentWithheld, match="expired"):
        hub.collect(RECIPIENT, recipient.collect(envelope))
    check_whole(hub)


# --- Who may hold a statement ---------------------------------------------------------------


def test_a_statement_is_for_its_parties_alone(hub, envelope):
    said = {SENDER: [envelope], RECIPIENT: [], OTHER: []}
    for party in (recipient, other):
        hub.collect(party.code, party.collect(envelope))
    recall = sender.recall(envelope)
    hub.recall(SENDER, recall)
    answer = recipient.recall_answer(envelope, "16")
    position = hub.answer(RECIPIENT, answer).position
    said[SENDER].append(recall)
    said[RECIPIENT].append(answer)

    for code in (SENDER, RECIPIENT):
        proven = run(hub.exchanges.statement(code, position))
        assert proven.statement == answer
        assert proven.certificate == recipient.certificate
        assert proven.recorded == hub.receipts.receipt(position)
    for code in (OTHER, STRANGER.code):
        with pytest.raises(PositionUnknown, match=r"^no such position in the log$"):
            run(hub.exchanges.statement(code, position))
    for code in (SENDER, RECIPIENT, OTHER):
        assert run(hub.exchanges.statement(code, position - 1)).statement == recall


def test_events_without_a_statement_have_none_for_anybody(hub):
    old = expiring(hub, RECIPIENT)
    hub.submit(SENDER, sender.envelope(OTHER, action="update", relates_to=old.digest.hex()))
    hub.clock.advance(timedelta(hours=1))
    hub.expire()
    positions = [
        position for position, event in enumerate(hub.events()) if "statement" not in event.data
    ]

    assert len(positions) == 14
    for position in (*positions, len(hub.events()), 2**64 - 1):
        for code in (SENDER, RECIPIENT):
            with pytest.raises(PositionUnknown, match=r"^no such position in the log$"):
                run(hub.exchanges.statement(code, position))


def test_a_retry_of_every_statement_gets_the_first_answer(hub, envelope):
    recall, answer = sender.recall(envelope), recipient.recall_answer(envelope, "15")
    first = hub.recall(SENDER, recall), hub.answer(RECIPIENT, answer)
    anew = (
        Party(SENDER, key_name="stranger").sign(recall.payload_type, recall.payload),
        Party(RECIPIENT, key_name="stranger").sign(answer.payload_type, answer.payload),
    )
    count = len(hub.events())

    for again in (hub, hub.restarted()):
        assert (again.recall(SENDER, recall), again.answer(RECIPIENT, answer)) == first
        assert (again.recall(SENDER, anew[0]), again.answer(RECIPIENT, anew[1])) == first
        assert run(again.exchanges.submission(SENDER, request_id_of(recall))) == first[0]
    with pytest.raises(RequestIdReused):
        hub.recall(SENDER, sender.recall(envelope, request_id=request_id_of(recall)))
    assert len(hub.events()) == count


def test_every_number_of_a_box_is_given_once_and_in_order(hub, envelope):
    hub.recall(SENDER, sender.recall(envelope))
    refused = recipient.collect(envelope)
    for party in (recipient, other, recipient):
        with pytest.raises(HubError):
            hub.collect(RECIPIENT, refused)
        hub.report(party.code, party.status(envelope, "03"))
    expiring(hub, OTHER, RECIPIENT)
    hub.clock.advance(timedelta(hours=1))
    hub.expire()

    for code, last in ((RECIPIENT, 4), (OTHER, 4)):
        assert [seq for seq, _ in inbox(hub, code)] == list(range(1, last + 1))
    assert [seq for seq, *_ in outbox(hub, SENDER)] == list(range(1, 6))
    assert {line.kind for line, _ in hub.views.outbox(SENDER, 3, 9)} == {
        NoticeKind.DELIVERY_EXPIRED
    }
    check_whole(hub)
