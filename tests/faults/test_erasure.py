"""Erasing, stopped after each step and with each write broken in two forms.

The fact is recorded first. From then on the document is given out to nobody, and whoever
comes next destroys what is left: the same call, the job beside the lane, or the next start.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.memory.faults import Fault
from hub.errors import PayloadErased, ReceiptDelayed, Unavailable
from hub.proof.dsse import SignedStatement
from tests.support.builders import (
    OPERATOR,
    OTHER,
    RECIPIENT,
    SECOND_OPERATOR,
    SENDER,
    MemoryHub,
    Party,
    check_whole,
    first_operator,
    new_hub,
    run,
    second_operator,
    without_loop,
)

CONTENTS = [b"the content that must go" * 1000]
sender, recipient = Party(SENDER), Party(RECIPIENT)

FORMS = pytest.mark.parametrize("fault", [Fault.LOST, Fault.KEPT], ids=["lost", "kept"])
# In the order in which they happen, after the event and its checkpoint.
STEPS = pytest.mark.parametrize("step", ["document_keys.erase", "log.erase", "content.erase"])
WRITES = [
    ("document_keys.add", Unavailable),
    ("log.commit", Unavailable),
    ("signer.sign", ReceiptDelayed),
    ("tree.publish", ReceiptDelayed),
]


@pytest.fixture
def hub() -> MemoryHub:
    hub = new_hub()
    hub.let_in(SECOND_OPERATOR)
    return hub


@pytest.fixture
def envelope(hub: MemoryHub) -> SignedStatement:
    envelope = sender.envelope(RECIPIENT, OTHER, contents=CONTENTS)
    hub.submit(SENDER, envelope, CONTENTS)
    hub.collect(RECIPIENT, recipient.collect(envelope))
    hub.report(RECIPIENT, recipient.status(envelope, "02"))
    return envelope


@pytest.fixture
def approval(hub: MemoryHub, envelope: SignedStatement) -> SignedStatement:
    order = first_operator.order(envelope)
    hub.order(OPERATOR, order)
    return second_operator.approval(order)


def exchange_of(hub: MemoryHub, envelope: SignedStatement) -> Any:
    accepted = hub.log.request_of(envelope.digest)
    assert accepted is not None
    return accepted.exchange_id


def require_gone(hub: MemoryHub, envelope: SignedStatement) -> None:
    """Nothing of the document is left, and everything else is as it was."""
    require_no_trace(hub, envelope)
    check_whole(hub)


def require_no_trace(hub: MemoryHub, envelope: SignedStatement) -> None:
    exchange_id = exchange_of(hub, envelope)
    assert hub.stores.document_keys.get(exchange_id) is None
    assert exchange_id not in set(hub.stores.content.exchanges())
    assert all(each.exchange_id != exchange_id for each in hub.log._tables.payloads.values())
    row = hub.views.document(exchange_id)
    assert (row.erased, row.subject, row.code, row.type_name) == (True, "", "", "")


@FORMS
@STEPS
def test_a_step_that_failed_is_repeated_by_the_same_call(hub, envelope, approval, step, fault):
    hub.break_next(step, fault)

    with pytest.raises(Unavailable):
        hub.approve(SECOND_OPERATOR, approval)
    with pytest.raises(PayloadErased):
        hub.collect(OTHER, Party(OTHER).collect(envelope))

    done = hub.approve(SECOND_OPERATOR, approval)
    assert hub.approve(SECOND_OPERATOR, approval) == done
    assert hub.topics().count("PayloadErased") == 1
    require_gone(hub, envelope)


@FORMS
@STEPS
def test_a_step_that_failed_is_repeated_by_the_job(hub, envelope, approval, step, fault):
    hub.break_next(step, fault)
    with pytest.raises(Unavailable):
        hub.approve(SECOND_OPERATOR, approval)

    run(hub.eraser.run())

    require_gone(hub, envelope)


@FORMS
@STEPS
def test_a_step_that_failed_is_repeated_by_the_next_start(hub, envelope, approval, step, fault):
    hub.break_next(step, fault)
    with pytest.raises(Unavailable):
        hub.approve(SECOND_OPERATOR, approval)

    hub = hub.restarted()

    require_gone(hub, envelope)
    assert hub.approve(SECOND_OPERATOR, approval)


@STEPS
def test_a_hub_does_not_start_while_it_cannot_erase(hub, envelope, approval, step):
    hub.break_next(step, Fault.LOST)
    with pytest.raises(Unavailable):
        hub.approve(SECOND_OPERATOR, approval)
    hub.break_next(step, Fault.LOST)

    with pytest.raises(OSError, match="on purpose"):
        hub.restarted()

    require_gone(hub.restarted(), envelope)


@FORMS
@pytest.mark.parametrize(("write", "answer"), WRITES, ids=[write for write, _ in WRITES])
def test_an_approval_is_finished_by_sending_it_again(hub, envelope, approval, write, answer, fault):
    hub.break_next(write, fault)
    with pytest.raises(answer):
        hub.approve(SECOND_OPERATOR, approval)

    done = hub.approve(SECOND_OPERATOR, approval)

    assert hub.approve(SECOND_OPERATOR, approval) == done
    assert hub.topics().count("PayloadErased") == 1
    require_gone(hub, envelope)


@FORMS
@pytest.mark.parametrize(("write", "answer"), WRITES, ids=[write for write, _ in WRITES])
def test_an_approval_is_finished_after_a_crash(hub, envelope, approval, write, answer, fault):
    hub.break_next(write, fault)
    with pytest.raises(answer):
        hub.approve(SECOND_OPERATOR, approval)

    hub = hub.restarted()
    recorded = hub.topics().count("PayloadErased")
    if recorded:
        require_gone(hub, envelope)
    else:
        check_whole(hub)

    done = hub.approve(SECOND_OPERATOR, approval)
    assert hub.restarted().approve(SECOND_OPERATOR, approval) == done
    require_gone(hub, envelope)


@FORMS
def test_payloads_stay_until_the_lists_have_forgotten_the_words(hub, envelope, approval, fault):
    hub.break_next("views.apply", fault)
    kept = fault is Fault.KEPT
    if kept:
        hub.approve(SECOND_OPERATOR, approval)
    else:
        with pytest.raises(Unavailable):
            hub.approve(SECOND_OPERATOR, approval)
        # The key is gone all the same, and nobody gets anything.
        assert hub.stores.document_keys.get(exchange_of(hub, envelope)) is None
        assert hub.log.erased_below() == 0
        hub.process()
        hub.approve(SECOND_OPERATOR, approval)
    hub.process()

    require_gone(hub, envelope)


@FORMS
def test_nothing_is_destroyed_before_a_checkpoint_covers_the_fact(hub, envelope, approval, fault):
    hub.break_next("tree.publish", fault)
    with pytest.raises(ReceiptDelayed):
        hub.approve(SECOND_OPERATOR, approval)

    without_loop(hub.eraser.run())

    assert hub.stores.document_keys.get(exchange_of(hub, envelope)) is not None
    hub.process()
    without_loop(hub.eraser.run())
    require_gone(hub, envelope)


# --- Stores from an older backup ----------------------------------------------------------------


@pytest.mark.parametrize("store", ["document_keys", "content", "both"])
def test_what_a_backup_brings_back_is_erased_again_at_the_start(hub, envelope, approval, store):
    def copied(name: str) -> dict[str, Any]:
        state = vars(getattr(hub.stores, name))
        return {key: deepcopy(value) for key, value in state.items() if key != "faults"}

    names = ["document_keys", "content"] if store == "both" else [store]
    yesterday = {name: copied(name) for name in names}
    hub.approve(SECOND_OPERATOR, approval)
    for name, state in yesterday.items():
        vars(getattr(hub.stores, name)).update(state)

    hub = hub.restarted()

    require_no_trace(hub, envelope)
    # The key of the approval's own words is younger than the backup; nothing else is missed.
    lost = [finding.position for finding in hub.findings()]
    assert lost == ([] if store == "content" else [hub.topics().index("PayloadErased") - 1])


def test_a_start_with_nothing_to_erase_looks_at_nothing(hub, envelope, approval):
    hub.approve(SECOND_OPERATOR, approval)
    seen: list[int] = []
    asked = hub.log.erasures

    def erasures(start: int, limit: int) -> Any:
        seen.append(start)
        return asked(start, limit)

    hub.log.erasures = erasures
    without_loop(hub.eraser.run())

    # Once for each store, behind the last erasure.
    assert seen == [hub.topics().index("PayloadErased") + 1] * 3


def test_after_an_erasure_old_statements_keep_their_receipts_and_new_ones_are_refused(
    hub, envelope, approval
):
    status = recipient.status(envelope, "03")
    reported = hub.report(RECIPIENT, status)
    submitted = hub.submit(SENDER, envelope, CONTENTS)
    hub.approve(SECOND_OPERATOR, approval)

    for now in (hub, hub.restarted()):
        assert now.report(RECIPIENT, status) == reported
        assert now.submit(SENDER, envelope, CONTENTS) == submitted
        for refused in (
            lambda now=now: now.report(RECIPIENT, recipient.status(envelope, "06")),
            lambda now=now: now.recall(SENDER, sender.recall(envelope)),
            lambda now=now: now.collect(OTHER, Party(OTHER).collect(envelope)),
            lambda now=now: now.download(RECIPIENT, exchange_of(now, envelope)),
            lambda now=now: run(now.exchanges.statement(SENDER, submitted.position)),
            lambda now=now: run(now.exchanges.statement(SENDER, reported.position)),
        ):
            with pytest.raises(PayloadErased):
                refused()
        check_whole(now)


def test_a_document_that_was_erased_is_waited_for_by_nobody(hub):
    expiring = sender.envelope(RECIPIENT, expires_at="2026-12-01T08:00:00+07:00")
    hub.submit(SENDER, expiring)
    hub.erase(expiring)
    hub.clock.set(datetime(2027, 1, 1, tzinfo=UTC))

    assert hub.expire() == 0
    check_whole(hub)


def test_an_erased_document_can_still_be_replaced(hub, envelope, approval):
    hub.approve(SECOND_OPERATOR, approval)

    newer = sender.envelope(RECIPIENT, action="replace", relates_to=envelope.digest.hex())
    hub.submit(SENDER, newer)

    assert hub.topics()[-1] == "DocumentReplaced"
    check_whole(hub)
    check_whole(hub.restarted())


@pytest.mark.parametrize("store", ["document_keys", "content", "log"])
def test_a_mark_beyond_the_log_is_not_believed(hub, envelope, approval, store):
    """A log that lost its end gives the positions of lost erasures to others."""
    getattr(hub.stores, store).erase([], 10**6)
    hub = hub.restarted()

    hub.approve(SECOND_OPERATOR, approval)

    require_gone(hub, envelope)
