"""The hub's own keys: announced, activated by two, retired, given up by two; and the stop."""

from __future__ import annotations

import pytest

from hub.application.hub_keys import FreezeLog
from hub.application.key_ring import KeyState
from hub.errors import (
    HubKeyState,
    HubKeyUnknown,
    LogFrozen,
    LogNotFrozen,
    RequestMalformed,
    SecondOperatorNeeded,
    StatementMalformed,
)
from hub.proof.checkpoint import open_cosigned_checkpoint
from hub.proof.note import KeyType, VerifierKey
from hub.proof.statements import ACTIVATE, COMPROMISE, THAW, KeyOrder
from tests.support.builders import (
    OPERATOR,
    ORIGIN,
    SECOND_OPERATOR,
    SENDER,
    MemoryHub,
    Party,
    check_whole,
    first_operator,
    new_hub,
    new_request_id,
    run,
    second_operator,
)

sender = Party(SENDER)
STRANGER = VerifierKey(ORIGIN, KeyType.ED25519, bytes(range(32)))


@pytest.fixture
def hub() -> MemoryHub:
    hub = new_hub()
    hub.let_in(SECOND_OPERATOR)
    return hub


def announce(hub: MemoryHub) -> VerifierKey:
    recorded = run(hub.hub_keys.announce(OPERATOR, new_request_id()))
    return hub.hub_keys.all()[-1].key if recorded else STRANGER


def together(hub: MemoryHub, action: str, key: VerifierKey | None = None) -> int:
    """Ordered by one, approved by the other; the position of what was done."""
    order = first_operator.key_order(action, key)
    hub.order_key(OPERATOR, order)
    return hub.approve(SECOND_OPERATOR, second_operator.approval(order)).executed.position


def retire(hub: MemoryHub, key: VerifierKey) -> int:
    return run(hub.hub_keys.retire(OPERATOR, new_request_id(), key.format())).position


def states(hub: MemoryHub) -> list[KeyState]:
    return [each.state for each in hub.hub_keys.all()]


def signers(hub: MemoryHub, note: bytes | None = None) -> tuple[VerifierKey, ...]:
    """Whose signatures a checkpoint carries, the newest if none is given."""
    keys = [each.key for each in hub.hub_keys.all()]
    opened = open_cosigned_checkpoint(
        note or hub.receipts.checkpoint(), log_keys=keys, witness_keys=(), origin=ORIGIN
    )
    return opened.signed_by


def test_an_announced_key_signs_nothing(hub):
    old = hub.signer.verifier_key
    announce(hub)
    hub.submit(SENDER, sender.envelope())

    assert states(hub) == [KeyState.ACTIVE, KeyState.ANNOUNCED]
    assert signers(hub) == (old,)
    check_whole(hub)


def test_the_tree_that_holds_the_activation_is_the_first_that_both_sign(hub):
    old, new = hub.signer.verifier_key, announce(hub)
    before = hub.receipts.checkpoint()

    position = together(hub, ACTIVATE, new)

    assert signers(hub, before) == (old,)
    assert signers(hub) == (old, new)
    assert hub.receipts.size == position + 1
    check_whole(hub)


def test_no_tree_that_holds_a_retirement_is_signed_by_the_key_that_ended(hub):
    old, new = hub.signer.verifier_key, announce(hub)
    together(hub, ACTIVATE, new)

    position = retire(hub, old)

    assert signers(hub) == (new,)
    assert hub.hub_keys.all()[0].size == position
    assert hub.signer.keys == (new,)
    hub.submit(SENDER, sender.envelope())
    check_whole(hub)
    check_whole(hub.restarted())


def test_receipts_from_before_and_after_a_rotation_are_whole(hub):
    for _ in range(3):
        old = hub.hub_keys.all()[-1].key
        hub.submit(SENDER, sender.envelope())
        new = announce(hub)
        together(hub, ACTIVATE, new)
        hub.submit(SENDER, sender.envelope())
        retire(hub, old)

    assert states(hub) == [KeyState.RETIRED] * 3 + [KeyState.ACTIVE]
    check_whole(hub)
    check_whole(hub.restarted())


def test_one_operator_alone_activates_nothing(hub):
    new = announce(hub)
    order = first_operator.key_order(ACTIVATE, new)
    hub.order_key(OPERATOR, order)

    with pytest.raises(SecondOperatorNeeded):
        hub.approve(OPERATOR, first_operator.approval(order))

    assert states(hub)[-1] is KeyState.ANNOUNCED
    check_whole(hub)


def test_the_order_and_its_approval_name_the_key(hub):
    new = announce(hub)
    order = first_operator.key_order(ACTIVATE, new)
    hub.order_key(OPERATOR, order)
    (row,) = hub.views.orders(-1, 10, open_only=True)
    assert (row.action, row.hub_key, row.exchange_id) == (ACTIVATE, new.format(), None)

    hub.approve(SECOND_OPERATOR, second_operator.approval(order))

    words = [event for event in hub.events() if event.topic.endswith("ApprovalGiven")]
    assert [word.data["hub_key"] for word in words] == [new.format()] * 2
    assert hub.views.orders(-1, 10, open_only=True) == []


def test_one_key_waits_at_a_time(hub):
    announce(hub)
    with pytest.raises(HubKeyState, match="announced already"):
        announce(hub)
    assert len(hub.signer.keys) == 2, "no key was made for nothing"


def test_the_same_request_announces_one_key(hub):
    request_id = new_request_id()
    first = run(hub.hub_keys.announce(OPERATOR, request_id))
    assert run(hub.hub_keys.announce(OPERATOR, request_id)) == first
    assert states(hub) == [KeyState.ACTIVE, KeyState.ANNOUNCED]


def test_what_is_not_announced_is_not_activated(hub):
    old = hub.signer.verifier_key
    with pytest.raises(HubKeyUnknown):
        hub.order_key(OPERATOR, first_operator.key_order(ACTIVATE, STRANGER))
    with pytest.raises(HubKeyState, match="active"):
        hub.order_key(OPERATOR, first_operator.key_order(ACTIVATE, old))


def test_no_third_key_signs_beside_two(hub):
    together(hub, ACTIVATE, announce(hub))
    third = announce(hub)
    with pytest.raises(HubKeyState, match="retire the older"):
        hub.order_key(OPERATOR, first_operator.key_order(ACTIVATE, third))


def test_the_only_key_is_not_retired(hub):
    announce(hub)
    with pytest.raises(HubKeyState, match="no other key signs"):
        retire(hub, hub.signer.verifier_key)
    with pytest.raises(HubKeyUnknown):
        retire(hub, STRANGER)


def test_an_order_that_another_step_has_overtaken_changes_nothing(hub):
    """Two operators approve two orders of the same step: it is taken once."""
    new = announce(hub)
    orders = [first_operator.key_order(ACTIVATE, new) for _ in range(2)]
    for order in orders:
        hub.order_key(OPERATOR, order)
    hub.approve(SECOND_OPERATOR, second_operator.approval(orders[0]))

    with pytest.raises(HubKeyState):
        hub.approve(SECOND_OPERATOR, second_operator.approval(orders[1]))
    check_whole(hub)


def test_a_stolen_key_gives_way_to_the_announced_one_at_once(hub):
    stolen, new = hub.signer.verifier_key, announce(hub)
    hub.submit(SENDER, sender.envelope())

    position = together(hub, COMPROMISE, stolen)

    assert states(hub) == [KeyState.COMPROMISED, KeyState.ACTIVE]
    assert hub.hub_keys.all()[0].size == position
    assert signers(hub) == (new,)
    assert hub.signer.keys == (new,)
    hub.submit(SENDER, sender.envelope())
    check_whole(hub)
    check_whole(hub.restarted())


def test_a_stolen_key_that_nothing_could_follow_is_not_given_up(hub):
    with pytest.raises(HubKeyState, match="announce one first"):
        hub.order_key(OPERATOR, first_operator.key_order(COMPROMISE, hub.signer.verifier_key))


def test_a_key_that_was_stolen_before_it_signed_never_signs(hub):
    new = announce(hub)
    together(hub, COMPROMISE, new)

    assert states(hub) == [KeyState.ACTIVE, KeyState.COMPROMISED]
    with pytest.raises(HubKeyState):
        hub.order_key(OPERATOR, first_operator.key_order(ACTIVATE, new))
    assert new not in hub.signer.keys
    assert announce(hub) != new
    check_whole(hub)


# --- Freezing -----------------------------------------------------------------------------


def freeze(hub: MemoryHub, by: str = OPERATOR) -> None:
    run(hub.hub_keys.freeze(by, new_request_id(), "key-stolen"))


def test_any_one_operator_stops_the_log_at_once(hub):
    envelope = sender.envelope()
    known = hub.submit(SENDER, envelope)
    freeze(hub, by=SECOND_OPERATOR)

    with pytest.raises(LogFrozen, match="key-stolen"):
        hub.submit(SENDER, sender.envelope())
    # What was accepted before has its answer all the same.
    assert hub.submit(SENDER, envelope) == known
    check_whole(hub)

    with pytest.raises(LogFrozen):
        hub.restarted().submit(SENDER, sender.envelope())


def test_two_operators_let_it_go_on(hub):
    freeze(hub)
    order = first_operator.key_order(THAW)
    hub.order_key(OPERATOR, order)
    with pytest.raises(SecondOperatorNeeded):
        hub.approve(OPERATOR, first_operator.approval(order))

    hub.approve(SECOND_OPERATOR, second_operator.approval(order))

    hub.submit(SENDER, sender.envelope())
    check_whole(hub)


def test_keys_are_changed_and_operators_put_out_while_it_stands_still(hub):
    stolen = hub.signer.verifier_key
    freeze(hub)
    hub.let_in("operator-3")
    run(hub.operators.revoke(SECOND_OPERATOR, new_request_id(), name="operator-3", reason="thief"))
    announce(hub)
    together(hub, COMPROMISE, stolen)
    together(hub, THAW)
    hub.submit(SENDER, sender.envelope())
    check_whole(hub)


def test_nothing_is_erased_while_it_stands_still(hub):
    envelope = sender.envelope()
    hub.submit(SENDER, envelope)
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)
    freeze(hub)

    with pytest.raises(LogFrozen):
        hub.order(OPERATOR, first_operator.order(envelope))
    with pytest.raises(LogFrozen):
        hub.approve(SECOND_OPERATOR, second_operator.approval(order))


def test_what_is_not_frozen_need_not_go_on(hub):
    with pytest.raises(LogNotFrozen):
        hub.order_key(OPERATOR, first_operator.key_order(THAW))


def test_a_stop_has_a_reason_and_is_made_once_a_request(hub):
    with pytest.raises(RequestMalformed):
        run(hub.hub_keys.freeze(OPERATOR, new_request_id(), "Nguyễn Văn A đã lấy khóa"))
    command = FreezeLog(OPERATOR, new_request_id(), "drill")
    assert hub.done(command) == hub.done(command)
    assert hub.topics().count("LogFrozen") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "erase"},
        {"action": THAW},
        {"hub_key": None},
        {"reason": "Two words"},
        {"basis": "two\nlines"},
    ],
)
def test_an_order_that_is_malformed_is_refused(hub, changes):
    members = {"action": ACTIVATE, "hub_key": STRANGER.format(), "reason": "planned"}
    order = first_operator.say(KeyOrder.MEDIA_TYPE, **{**members, "basis": "QĐ 1", **changes})
    with pytest.raises(StatementMalformed):
        hub.order_key(OPERATOR, order)
