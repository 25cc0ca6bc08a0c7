"""One operator orders, another approves exactly that order, and only then it is done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from hub.application.dual_control import ORDER_LIFE, ApproveOrder
from hub.application.operators import RevokeOperator
from hub.errors import (
    AgencyMismatch,
    ExchangeUnknown,
    HubError,
    KeyUnknown,
    OperatorExists,
    OperatorUnknown,
    OrderExecuted,
    OrderLapsed,
    OrderUnknown,
    PayloadErased,
    RequestIdReused,
    RequestMalformed,
    SecondOperatorNeeded,
    SignatureInvalid,
    StatementMalformed,
    WrongHub,
)
from hub.proof.dsse import SignedStatement
from hub.proof.leaf import parse_leaf
from hub.proof.statements import Approval, read_operator_statement
from tests.support.builders import (
    OPERATOR,
    OTHER,
    RECIPIENT,
    SECOND_OPERATOR,
    SENDER,
    MemoryHub,
    OperatorParty,
    Party,
    check_whole,
    first_operator,
    new_hub,
    new_request_id,
    request_id_of,
    run,
    second_operator,
    transport_certificate,
)

sender = Party(SENDER)
third_operator = OperatorParty("operator-3")


@pytest.fixture
def hub() -> MemoryHub:
    hub = new_hub()
    hub.let_in(SECOND_OPERATOR)
    return hub


@pytest.fixture
def envelope(hub: MemoryHub) -> SignedStatement:
    envelope = sender.envelope(RECIPIENT, OTHER, contents=[b"content"])
    hub.submit(SENDER, envelope, [b"content"])
    return envelope


def require_refused(hub: MemoryHub, error: type[HubError], operator: str, approval: Any) -> None:
    """Refused, and nothing at all left behind."""
    before = (hub.log.head(), hub.log.request_count(), len(hub.log._tables.payloads))
    with pytest.raises(error):
        hub.approve(operator, approval)
    assert (hub.log.head(), hub.log.request_count(), len(hub.log._tables.payloads)) == before
    check_whole(hub)


def revoke(hub: MemoryHub, name: str, by: str = OPERATOR) -> None:
    run(hub.operators.revoke(by, new_request_id(), name=name, reason="left-office"))


def test_an_order_alone_does_nothing(hub, envelope):
    hub.order(OPERATOR, first_operator.order(envelope))

    assert hub.topics()[-1] == "ApprovalGiven"
    assert hub.topics().count("PayloadErased") == 0
    check_whole(hub)


def test_the_batch_of_the_approval_holds_what_was_ordered(hub, envelope):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)
    approval = second_operator.approval(order)

    done = hub.approve(SECOND_OPERATOR, approval)

    word, erased = (parse_leaf(each.receipt.leaf) for each in (done.approval, done.executed))
    assert done.executed.position == done.approval.position + 1
    assert (word.data["by"], word.data["order"]) == (SECOND_OPERATOR, order.digest.hex())
    assert word.data["statement"]["payload_type"] == Approval.MEDIA_TYPE
    assert erased.topic == "hub.Exchange.PayloadErased"
    assert {name: erased.data[name] for name in erased.data if name != "notices"} == {
        "sender": SENDER,
        "envelope_digest": envelope.digest.hex(),
        "order": order.digest.hex(),
        "ordered_by": OPERATOR,
        "approval": approval.digest.hex(),
        "approved_by": SECOND_OPERATOR,
        "reason": "data-subject-request",
        "basis": "Luật 91/2025/QH15, Điều 14",
        "outbox_seq": 1,
    }
    assert [notice["agency"] for notice in erased.data["notices"]] == [RECIPIENT, OTHER]
    check_whole(hub)


def test_the_words_of_an_order_are_in_no_event_and_outlive_the_document(hub, envelope):
    note = "Theo đơn của một công dân"
    order = first_operator.order(envelope, note=note)
    hub.order(OPERATOR, order)
    hub.approve(SECOND_OPERATOR, second_operator.approval(order))

    assert all(note.encode() not in entry.state for entry in hub.log.entries(0, 1000))
    sealed = hub.log.payload(order.digest)
    assert sealed is not None
    assert hub.vault.open_payload(sealed) == order.payload


def test_the_same_statement_gets_the_identical_answer_for_ever(hub, envelope):
    order = first_operator.order(envelope)
    approval = second_operator.approval(order)
    ordered = hub.order(OPERATOR, order)
    done = hub.approve(SECOND_OPERATOR, approval)

    hub = hub.restarted()
    hub.clock.advance(ORDER_LIFE * 2)

    assert hub.order(OPERATOR, order) == ordered
    assert hub.approve(SECOND_OPERATOR, approval) == done
    check_whole(hub)


def test_nobody_approves_his_own_order(hub, envelope):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)

    require_refused(hub, SecondOperatorNeeded, OPERATOR, first_operator.approval(order))


def test_nobody_lets_in_the_one_who_approves(hub, envelope):
    hub.let_in("operator-3", by=OPERATOR)
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)

    require_refused(hub, SecondOperatorNeeded, "operator-3", third_operator.approval(order))
    # Of two lines, it does not matter who of a line it is.
    other = third_operator.order(envelope)
    hub.order("operator-3", other)
    hub.approve(SECOND_OPERATOR, second_operator.approval(other))
    check_whole(hub)


def test_an_unknown_order_is_refused(hub, envelope):
    order = first_operator.order(envelope)

    require_refused(hub, OrderUnknown, SECOND_OPERATOR, second_operator.approval(order))


@pytest.mark.parametrize("named", ["envelope", "approval"])
def test_only_an_order_can_be_approved(hub, envelope, named):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)
    approval = second_operator.approval(order)
    hub.approve(SECOND_OPERATOR, approval)

    digest = {"envelope": envelope, "approval": approval}[named].digest.hex()
    other = second_operator.approval(order, order_digest=digest)
    require_refused(hub, OrderUnknown, SECOND_OPERATOR, other)


def test_an_order_is_executed_once(hub, envelope):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)
    hub.approve(SECOND_OPERATOR, second_operator.approval(order))

    require_refused(hub, OrderExecuted, SECOND_OPERATOR, second_operator.approval(order))


def test_two_approvals_in_one_batch_execute_once(hub, envelope):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)
    commands = []
    for _ in range(2):
        signed = second_operator.approval(order)
        spoken = hub.orders._judge(SECOND_OPERATOR, signed)
        statement = read_operator_statement(signed)
        commands.append(ApproveOrder(spoken, statement, hub.vault.new_key(), hub.vault))

    first, second = hub.process(*commands)

    assert not isinstance(first, Exception)
    assert isinstance(second, OrderExecuted)
    assert hub.topics().count("PayloadErased") == 1


def test_an_order_lapses(hub, envelope):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)
    hub.clock.advance(ORDER_LIFE + timedelta(seconds=1))

    require_refused(hub, OrderLapsed, SECOND_OPERATOR, second_operator.approval(order))


def test_at_the_last_moment_an_order_has_not_lapsed(hub, envelope):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)
    hub.clock.advance(ORDER_LIFE)

    hub.approve(SECOND_OPERATOR, second_operator.approval(order))
    check_whole(hub)


def test_the_order_of_a_revoked_operator_is_worth_nothing(hub, envelope):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)
    revoke(hub, OPERATOR, by=SECOND_OPERATOR)

    require_refused(hub, OrderLapsed, SECOND_OPERATOR, second_operator.approval(order))


def test_a_revoked_operator_approves_nothing(hub, envelope):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)
    revoke(hub, SECOND_OPERATOR)

    require_refused(hub, KeyUnknown, SECOND_OPERATOR, second_operator.approval(order))


def test_an_operator_revoked_while_an_approval_waits_in_the_lane_approves_nothing(hub, envelope):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)
    signed = second_operator.approval(order)
    spoken = hub.orders._judge(SECOND_OPERATOR, signed)
    statement = read_operator_statement(signed)
    approve = ApproveOrder(spoken, statement, hub.vault.new_key(), hub.vault)

    revoked = RevokeOperator(OPERATOR, new_request_id(), SECOND_OPERATOR, "stolen")
    _, outcome = hub.process(revoked, approve)

    assert isinstance(outcome, KeyUnknown)
    check_whole(hub)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"hub": "another.example/log"}, WrongHub),
        ({"agency": OPERATOR}, AgencyMismatch),
        ({"order_digest": "00"}, StatementMalformed),
        ({"nonce": None}, StatementMalformed),
    ],
    ids=["another hub", "another speaker", "no digest", "no nonce"],
)
def test_an_approval_is_checked_like_any_statement(hub, envelope, changes, error):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)

    require_refused(hub, error, SECOND_OPERATOR, second_operator.approval(order, **changes))


def test_a_forged_approval_is_refused(hub, envelope):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)
    good = second_operator.approval(order)
    other = second_operator.approval(order)
    forged = SignedStatement(good.payload_type, good.payload, good.key_id, other.signature)

    require_refused(hub, SignatureInvalid, SECOND_OPERATOR, forged)


def test_an_agencys_key_signs_no_order(hub, envelope):
    order = first_operator.order(envelope)
    theirs = sender.sign(order.payload_type, order.payload)

    with pytest.raises(KeyUnknown):
        hub.order(OPERATOR, theirs)


def test_a_request_id_carries_one_statement(hub, envelope):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)

    with pytest.raises(RequestIdReused):
        hub.order(OPERATOR, first_operator.order(envelope, request_id=request_id_of(order)))


def test_the_same_bytes_are_no_order_and_approval_at_once(hub, envelope):
    first = first_operator.order(envelope)
    hub.order(OPERATOR, first)
    both = second_operator.order(envelope, order_digest=first.digest.hex())
    hub.order(SECOND_OPERATOR, both)

    as_approval = second_operator.sign(Approval.MEDIA_TYPE, both.payload)
    require_refused(hub, RequestIdReused, SECOND_OPERATOR, as_approval)


def test_a_document_nobody_sent_cannot_be_ordered(hub):
    with pytest.raises(ExchangeUnknown):
        hub.order(OPERATOR, first_operator.order(sender.envelope()))


def test_a_document_is_erased_once(hub, envelope):
    first, second = first_operator.order(envelope), first_operator.order(envelope)
    hub.order(OPERATOR, first)
    hub.order(OPERATOR, second)
    hub.approve(SECOND_OPERATOR, second_operator.approval(first))

    require_refused(hub, PayloadErased, SECOND_OPERATOR, second_operator.approval(second))
    with pytest.raises(PayloadErased):
        hub.order(OPERATOR, first_operator.order(envelope))


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": "Ông A đã yêu cầu"},
        {"reason": ""},
        {"reason": "x" * 41},
        {"basis": ""},
        {"basis": "hai\ndòng"},
        {"basis": "x" * 201},
        {"note": "x" * 2001},
    ],
)
def test_an_order_has_its_form(hub, envelope, changes):
    with pytest.raises(StatementMalformed):
        hub.order(OPERATOR, first_operator.order(envelope, **changes))


# --- Orders as they are listed ----------------------------------------------------------------


def test_orders_are_listed_with_what_became_of_them(hub, envelope):
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)

    (listed,) = run(hub.orders.orders(-1, 10, open_only=True))
    assert (listed.digest, listed.ordered_by) == (order.digest, OPERATOR)
    assert listed.lapses_at - listed.ordered_at == ORDER_LIFE
    assert listed.approved_by is None

    hub.approve(SECOND_OPERATOR, second_operator.approval(order))
    assert run(hub.orders.orders(-1, 10, open_only=True)) == []
    (listed,) = run(hub.orders.orders(-1, 10, open_only=False))
    assert (listed.approved_by, listed.approved_at) == (SECOND_OPERATOR, hub.clock())
    assert run(hub.orders.orders(listed.position, 10, open_only=False)) == []


# --- Operators --------------------------------------------------------------------------------


def test_nobody_adds_a_key_to_anothers_name(hub):
    with pytest.raises(OperatorExists):
        hub.let_in(SECOND_OPERATOR, by=OPERATOR)
    revoke(hub, SECOND_OPERATOR)
    with pytest.raises(OperatorExists):
        hub.let_in(SECOND_OPERATOR, by=OPERATOR)


def test_an_operator_enrols_further_certificates_of_its_own(hub, envelope):
    certificate = transport_certificate("operator-2 anew")
    run(
        hub.operators.enrol(
            SECOND_OPERATOR, new_request_id(), name=SECOND_OPERATOR, certificate=certificate
        )
    )
    (_, entry) = hub.operators.operators()
    assert (entry.line, len(entry.principals)) == (SECOND_OPERATOR, 2)
    assert hub.operators.operators()[0].line == OPERATOR

    revoke(hub, SECOND_OPERATOR)
    assert hub.topics().count("PrincipalRevoked") == 2
    assert [each.name for each in hub.operators.operators()] == [OPERATOR]
    check_whole(hub)


def test_nobody_puts_out_itself_or_nobody(hub):
    with pytest.raises(RequestMalformed):
        revoke(hub, OPERATOR)
    with pytest.raises(OperatorUnknown):
        revoke(hub, "operator-9")


@pytest.mark.parametrize("name", ["", "Operator", "ông-a", "a" * 36, "a--b", "a:b"])
def test_the_name_of_an_operator_is_a_code_word(hub, name):
    with pytest.raises(RequestMalformed):
        run(hub.operators.enrol(OPERATOR, new_request_id(), name=name, certificate=b""))


def test_who_was_let_in_over_who_was_put_out_gains_no_line(hub, envelope):
    revoke(hub, SECOND_OPERATOR)
    hub.let_in("operator-3", by=OPERATOR)
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)

    require_refused(hub, SecondOperatorNeeded, "operator-3", third_operator.approval(order))
