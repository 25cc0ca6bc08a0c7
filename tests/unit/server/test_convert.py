"""Wire messages to our types and back."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from hub.application import intake
from hub.application.ports import NoticeKind
from hub.application.registry import StoredCrl
from hub.domain.delivery import DeliveryState, RecallState
from hub.errors import Overloaded, RequestMalformed, TooLarge
from hub.proof.dsse import SignedStatement
from hub.proof.leaf import parse_leaf
from hub.proof.signatures import Algorithm
from hub.server import convert
from hub.server.errors import status_details
from hub.v1 import exchange_pb2, trust_pb2
from tests.support.builders import (
    OTHER,
    RECIPIENT,
    SENDER,
    START,
    MemoryHub,
    Party,
    instant,
    new_hub,
    run,
)

sender, recipient = Party(SENDER), Party(RECIPIENT)


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


def test_a_signed_statement_comes_over_byte_for_byte():
    payload = bytes(range(256))
    message = exchange_pb2.SignedStatement(
        payload_type="t", payload=payload, key_id="k", signature=b"s"
    )

    assert convert.signed_statement(message) == SignedStatement("t", payload, "k", b"s")
    empty = convert.signed_statement(exchange_pb2.SignedStatement())
    assert empty == SignedStatement("", b"", "", b"")


def test_a_uuid_has_one_spelling():
    text = "01890000-0000-7000-8000-00000000000a"
    assert convert.uuid(text, "exchange_id") == UUID(text)
    for wrong in ("", "x", text.upper(), text.replace("-", ""), f"{{{text}}}", f"urn:uuid:{text}"):
        with pytest.raises(RequestMalformed) as refusal:
            convert.uuid(wrong, "exchange_id")
        assert refusal.value.metadata == {"field": "exchange_id"}


@pytest.mark.parametrize(("asked", "given"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000)])
def test_a_page_has_a_default_and_a_largest_size(asked, given):
    assert convert.page_size(asked) == given


def test_a_page_of_less_than_nothing_is_refused():
    with pytest.raises(RequestMalformed):
        convert.page_size(-1)


def test_a_cursor_beyond_what_a_database_counts_is_the_end():
    assert convert.cursor(2**64 - 1) == convert.cursor(2**63 - 1) == 2**63 - 1
    assert convert.cursor(7) == 7


def test_purposes_and_algorithms_are_closed_lists():
    purposes = {
        convert.purpose(number)
        for number in trust_pb2.CertificatePurpose.values()
        if number != trust_pb2.CERTIFICATE_PURPOSE_UNSPECIFIED
    }
    algorithms = {convert.algorithm(number) for number in trust_pb2.KeyAlgorithm.values()}

    assert purposes == {"signing", "transport"}
    assert algorithms == {None, *Algorithm}
    for read in (convert.purpose, convert.algorithm):
        with pytest.raises(RequestMalformed):
            read(99)
    with pytest.raises(RequestMalformed):
        convert.purpose(0)


def test_the_states_of_a_delivery_have_the_numbers_of_the_protos():
    names = {
        number: name.removeprefix("DELIVERY_STATE_")
        for name, number in exchange_pb2.DeliveryState.items()
    }

    assert {state.value: state.name for state in DeliveryState} == {
        number: name for number, name in names.items() if number
    }


def test_an_acceptance_is_a_function_of_its_receipt(hub):
    late = instant(START - timedelta(hours=1))
    envelope = sender.envelope(created_at=late)
    recorded = hub.submit(SENDER, envelope)
    exchange_id = str(parse_leaf(recorded.receipt.leaf).id)
    status = hub.report(RECIPIENT, recipient.status(envelope, "01"))

    acceptance = convert.acceptance(recorded)

    assert acceptance.exchange_id == exchange_id
    assert acceptance.receipt.position == recorded.position
    assert acceptance.receipt.leaf == recorded.receipt.leaf
    assert acceptance.receipt.proof == recorded.receipt.proof
    assert [warning.code for warning in acceptance.warnings] == ["CLOCK_SKEW"]
    assert convert.acceptance(status).exchange_id == exchange_id
    assert convert.acceptance(hub.submit(SENDER, envelope)) == acceptance


def test_every_warning_there_is_has_its_words(hub):
    codes = intake.warnings_for(START, START + timedelta(days=1))
    key = hub.engine.registry.signing_key(SENDER, sender.key_id, START)
    old = StoredCrl("", START - timedelta(days=9), START, 0)
    register = replace(hub.engine.registry, crls={key.issuers[0]: old})
    codes += intake.WARNING_ONLY.judge(key, register, START)

    assert set(codes) == set(convert._WARNINGS)


def test_a_page_of_the_inbox_says_whether_there_is_more(hub):
    for number in range(3):
        hub.submit(SENDER, sender.envelope(document={"number": str(number)}))
    rows = list(run(hub.exchanges.inbox(RECIPIENT, 0, 3)))

    page = convert.list_inbox_response(rows, 2)
    last = convert.list_inbox_response(rows, 3)

    assert ([item.code for item in page.items], page.more) == (["0/UBND-VP", "1/UBND-VP"], True)
    assert ([item.inbox_seq for item in last.items], last.more) == ([1, 2, 3], False)
    assert page.items[0].accept_time.ToDatetime(tzinfo=START.tzinfo) == START


def test_an_exchange_and_a_document_say_all_there_is(hub):
    envelope = sender.envelope(RECIPIENT, OTHER)
    hub.submit(SENDER, envelope)
    handed_over = hub.collect(RECIPIENT, recipient.collect(envelope))
    view = run(hub.exchanges.exchange(SENDER, handed_over.exchange_id))

    exchange, document = convert.exchange(view), convert.document(handed_over)

    states = {
        row.recipient: exchange_pb2.DeliveryState.Name(row.state) for row in exchange.deliveries
    }
    assert states == {RECIPIENT: "DELIVERY_STATE_COLLECTED", OTHER: "DELIVERY_STATE_CONSIGNED"}
    assert exchange.envelope_digest == envelope.digest
    assert document.exchange_id == exchange.exchange_id
    assert document.envelope.payload == envelope.payload
    assert document.sender_enrolment.certificate == sender.certificate
    assert document.sender_enrolment.receipt.position == 7


def test_an_agency_shows_its_certificates(hub):
    (entry,) = hub.agencies.agencies(OTHER, 1) or hub.agencies.agencies("", 1)

    message = convert.agency(entry)

    (certificate,) = message.certificates
    assert (message.code, message.name) == (entry.code, entry.name)
    assert certificate.purpose == trust_pb2.CERTIFICATE_PURPOSE_SIGNING
    assert certificate.algorithm == trust_pb2.KEY_ALGORITHM_ED25519
    assert certificate.key_id == entry.certificates[0].key_id
    assert certificate.digest.hex() == entry.certificates[0].certificate


# --- Boxes and batches ----------------------------------------------------------------------


def names(enum, prefix: str) -> dict[int, str]:
    return {number: name.removeprefix(prefix) for name, number in enum.items() if number}


def test_every_kind_of_notice_has_its_kind_on_the_wire():
    inbox = names(exchange_pb2.InboxItemKind, "INBOX_ITEM_KIND_")
    outbox = names(exchange_pb2.OutboxItemKind, "OUTBOX_ITEM_KIND_")
    ours = {kind for kind in NoticeKind if kind < NoticeKind.HANDED_OVER}

    assert {kind.value: kind.name for kind in ours} == inbox
    assert set(convert._OUTBOX_KINDS) == set(NoticeKind) - ours
    assert {
        kind.name.removeprefix("DELIVERY_"): outbox[number]
        for kind, number in convert._OUTBOX_KINDS.items()
    } == {name: name for name in outbox.values()}


def test_the_states_of_a_recall_are_those_on_the_wire():
    wire = names(exchange_pb2.RecallState, "RECALL_STATE_")

    assert {state.value: state.name for state in RecallState if state} == wire


def test_a_line_of_each_box_says_all_there_is(hub):
    old = sender.envelope(RECIPIENT)
    hub.submit(SENDER, old)
    newer = sender.envelope(OTHER, action="replace", relates_to=old.digest.hex())
    newer_id = parse_leaf(hub.submit(SENDER, newer).receipt.leaf).id
    recorded = hub.report(RECIPIENT, recipient.status(old, "04"))

    (_, told) = [convert.inbox_item(*row) for row in hub.views.inbox(RECIPIENT, 0, 9)]
    (line,) = [convert.outbox_item(*row) for row in hub.views.outbox(SENDER, 0, 9)]

    assert told.kind == exchange_pb2.INBOX_ITEM_KIND_REPLACED
    assert told.by_exchange == told.replaced_by == str(newer_id)
    assert (told.state, told.recall, told.expired) == (DeliveryState.ASSIGNED, 0, False)
    assert (line.outbox_seq, line.recipient, line.code) == (1, RECIPIENT, "04")
    assert line.kind == exchange_pb2.OUTBOX_ITEM_KIND_STATUS
    assert (line.position, line.envelope_digest) == (recorded.position, old.digest)
    assert line.record_time.ToDatetime(tzinfo=START.tzinfo) == START


def test_a_batch_has_a_largest_size():
    convert.require_batch(0)
    convert.require_batch(100)
    with pytest.raises(TooLarge) as refusal:
        convert.require_batch(101)
    assert refusal.value.metadata == {"limit": "100"}


def test_a_refusal_in_a_batch_is_what_a_single_call_would_carry():
    refusal = Overloaded("come back later", retry_after_ms="7")

    result = convert.submit_result(refusal)

    assert result.error.SerializeToString() == status_details(refusal)
    assert len(result.error.details) == 2


def test_a_bug_in_one_document_of_a_batch_is_no_refusal():
    with pytest.raises(ZeroDivisionError):
        convert.submit_result(ZeroDivisionError())
