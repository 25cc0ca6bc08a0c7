"""What a client takes for the record of its own words, where codes and speakers differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub.client.answers import VerifiedStatement
from hub.client.verification import require_about, require_sent_to
from hub.errors import VerificationFailed
from hub.proof.evidence import Enrolment
from hub.proof.facts import exchange_of, require_fact_of
from hub.proof.leaf import Event, parse_leaf
from hub.proof.receipt import Receipt, VerifiedReceipt, verify_receipt
from hub.proof.statements import read_statement
from tests.support.agencies import rename, succeed
from tests.support.builders import (
    OTHER,
    RECIPIENT,
    SENDER,
    MemoryHub,
    Party,
    new_hub,
)

OLD_CODE = "000.00.02.H53"
sender, other = Party(SENDER), Party(OTHER)


@pytest.fixture
def hub() -> MemoryHub:
    """RECIPIENT has two codes, and OTHER will succeed it."""
    hub = new_hub()
    rename(hub, RECIPIENT, add=(OLD_CODE,))
    return hub


def with_data(event: Event, **changes) -> Event:
    return replace(event, data={**event.data, **changes})


def with_statement(event: Event, **changes) -> Event:
    return with_data(event, statement={**event.data["statement"], **changes})


def require_refused(event: Event, signed, exchange_id: str) -> None:
    with pytest.raises(VerificationFailed) as failure:
        require_fact_of(event, signed, exchange_id)
    assert failure.value.step == "fact"


def test_the_fact_must_list_the_codes_that_were_signed(hub):
    envelope = sender.envelope(OLD_CODE)
    event = parse_leaf(hub.submit(SENDER, envelope).receipt.leaf)
    require_fact_of(event, envelope, str(event.id))

    (consignment,) = event.data["recipients"]
    for spoilt in (
        {**consignment, "addressed": RECIPIENT},
        {"agency": RECIPIENT, "inbox_seq": 1},
        {**consignment, "addressed": 7},
    ):
        require_refused(with_data(event, recipients=[spoilt]), envelope, str(event.id))
    by_another = with_statement(with_data(event, sender=OTHER), by_agency=SENDER)
    require_refused(by_another, envelope, str(event.id))


def test_the_fact_must_be_about_the_delivery_that_was_meant(hub):
    envelope = sender.envelope(OLD_CODE)
    exchange_id = str(parse_leaf(hub.submit(SENDER, envelope).receipt.leaf).id)
    succeed(hub, RECIPIENT, OTHER)
    status = other.status(envelope, "01", for_agency=RECIPIENT)
    event = parse_leaf(hub.report(OTHER, status).receipt.leaf)
    require_fact_of(event, status, exchange_id)

    require_refused(with_data(event, agency=SENDER), status, exchange_id)
    require_refused(with_data(event, agency=OTHER), status, exchange_id)
    require_refused(with_statement(event, by_agency=SENDER), status, exchange_id)
    record = {key: value for key, value in event.data["statement"].items() if key != "by_agency"}
    require_refused(with_data(event, statement=record), status, exchange_id)


def test_a_document_is_ours_by_whatever_code_it_was_addressed(hub):
    envelope = sender.envelope(OLD_CODE, OTHER)
    recorded = hub.submit(SENDER, envelope)
    submission = verify_receipt(recorded.receipt, hub.trust)

    def require(recipient: str, event: Event = submission.event) -> None:
        require_sent_to(recipient, envelope.digest.hex(), shown(envelope, event, submission))

    require(RECIPIENT)
    require(OTHER)
    for stranger in (SENDER, OLD_CODE, "H77"):
        with pytest.raises(VerificationFailed, match="does not name"):
            require(stranger)
    slipped_in = [{"agency": "H77", "inbox_seq": 1, "addressed": "H-NOT-SIGNED"}]
    with pytest.raises(VerificationFailed, match="does not name"):
        require("H77", with_data(submission.event, recipients=slipped_in))


def test_a_successor_speaks_of_what_was_sent_to_its_predecessor(hub):
    envelope = sender.envelope(OLD_CODE)
    submitted = verify_receipt(hub.submit(SENDER, envelope).receipt, hub.trust)
    succeed(hub, RECIPIENT, OTHER)
    status = other.status(envelope, "01", for_agency=RECIPIENT)
    reported = verify_receipt(hub.report(OTHER, status).receipt, hub.trust)
    about = shown(envelope, submitted.event, submitted)
    said = shown(status, reported.event, reported)

    for agency in (SENDER, RECIPIENT):
        require_about(said, about, agency=agency)
    with pytest.raises(VerificationFailed, match="does not concern"):
        require_about(said, about, agency=OTHER)
    for_nobody = other.status(envelope, "01")
    with pytest.raises(VerificationFailed, match="was not sent"):
        require_about(shown(for_nobody, reported.event, reported), about, agency=SENDER)


def test_a_successor_recalls_what_its_predecessor_sent(hub):
    envelope = sender.envelope(RECIPIENT)
    submitted = verify_receipt(hub.submit(SENDER, envelope).receipt, hub.trust)
    succeed(hub, SENDER, OTHER)
    recall = other.recall(envelope)
    recorded = verify_receipt(hub.recall(OTHER, recall).receipt, hub.trust)
    require_fact_of(recorded.event, recall, str(recorded.event.id))
    about = shown(envelope, submitted.event, submitted)
    require_about(shown(recall, recorded.event, recorded), about, agency=RECIPIENT)

    statement = recorded.event.data["statement"]
    own = {key: value for key, value in statement.items() if key != "by_agency"}
    as_if_own = with_data(recorded.event, statement=own)
    with pytest.raises(VerificationFailed, match="is a recall by"):
        require_about(shown(recall, as_if_own, recorded), about, agency=RECIPIENT)


def shown(signed, event: Event, fact: VerifiedReceipt) -> VerifiedStatement:
    """What a hub shows for a statement it recorded in this event."""
    return VerifiedStatement(
        exchange_of(event),
        read_statement(signed),
        signed,
        Receipt(b"", b""),
        VerifiedReceipt(fact.position, event, fact.checkpoint),
        Enrolment(Receipt(b"", b""), b""),
    )
