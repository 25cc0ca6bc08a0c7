"""A recall, an answer, a replacement, an expiry: each write of the order broken in two forms.

After each the caller is told the truth, the same bytes sent again give one fact and one
receipt, every notice has one number, and a hub that starts from what is left agrees with itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from adapters.memory.faults import Fault
from hub.application import intake
from hub.application.commands import RecallDocument
from hub.errors import ContentWithheld, ReceiptDelayed, Unavailable
from hub.proof.statements import Recall
from tests.support.builders import (
    ORIGIN,
    OTHER,
    RECIPIENT,
    SENDER,
    MemoryHub,
    Party,
    check_whole,
    instant,
    new_hub,
)
from tests.support.commands import collect_command, status_command

CONTENTS = [b"the first" * 1000]
sender, recipient = Party(SENDER), Party(RECIPIENT)

FORMS = pytest.mark.parametrize("fault", [Fault.LOST, Fault.KEPT], ids=["lost", "kept"])
WRITES = {
    "content.put": Unavailable,
    "document_keys.add": Unavailable,
    "log.commit": Unavailable,
    "signer.sign": ReceiptDelayed,
    "tree.publish": ReceiptDelayed,
}
# The writes of a statement without content: it needs no key of its own.
SAID = ("log.commit", "signer.sign", "tree.publish")

Say = Callable[[MemoryHub], Any]


def recall(hub: MemoryHub, envelope: Any) -> Say:
    statement = sender.recall(envelope)
    return lambda hub: hub.recall(SENDER, statement)


def answer(hub: MemoryHub, envelope: Any) -> Say:
    hub.recall(SENDER, sender.recall(envelope))
    statement = recipient.recall_answer(envelope, "15")
    return lambda hub: hub.answer(RECIPIENT, statement)


def replacement(hub: MemoryHub, envelope: Any) -> Say:
    newer = sender.envelope(
        RECIPIENT, action="replace", relates_to=envelope.digest.hex(), contents=CONTENTS
    )
    return lambda hub: hub.submit(SENDER, newer, CONTENTS)


CASES = [
    (say, write)
    for say, writes in ((recall, SAID), (answer, SAID), (replacement, tuple(WRITES)))
    for write in writes
]
EACH_CASE = pytest.mark.parametrize(
    ("make", "write"), CASES, ids=[f"{say.__name__}-{write}" for say, write in CASES]
)
FACTS = {
    recall: ["RecallRequested"],
    answer: ["RecallAnswered"],
    replacement: ["DocumentSubmitted", "DocumentReplaced"],
}


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


@pytest.fixture
def envelope(hub: MemoryHub) -> Any:
    limit = instant(hub.clock() + timedelta(hours=1))
    envelope = sender.envelope(RECIPIENT, OTHER, contents=CONTENTS, expires_at=limit)
    hub.submit(SENDER, envelope, CONTENTS)
    return envelope


@FORMS
@EACH_CASE
def test_it_is_finished_by_saying_it_again(hub, envelope, make, write, fault):
    say = make(hub, envelope)
    before = hub.topics()
    hub.break_next(write, fault)

    with pytest.raises(WRITES[write]):
        say(hub)
    assert hub.topics()[len(before) :] in ([], FACTS[make])
    first = say(hub)

    assert say(hub) == first
    assert hub.topics()[len(before) :] == FACTS[make]
    check_whole(hub)
    check_whole(hub.restarted())


@FORMS
@EACH_CASE
def test_it_is_finished_after_a_crash(hub, envelope, make, write, fault):
    say = make(hub, envelope)
    before = hub.topics()
    hub.break_next(write, fault)
    with pytest.raises(WRITES[write]):
        say(hub)

    hub = hub.restarted()
    check_whole(hub)
    first = say(hub)

    assert hub.topics()[len(before) :] == FACTS[make]
    assert say(hub.restarted()) == first
    check_whole(hub)


@FORMS
@EACH_CASE
def test_it_stands_in_no_list_before_its_checkpoint(hub, envelope, make, write, fault):
    say = make(hub, envelope)
    shown = list(hub.views.rows())
    hub.break_next(write, fault)
    with pytest.raises(WRITES[write]):
        say(hub)

    assert list(hub.views.rows()) == shown
    hub.process()
    check_whole(hub)


@FORMS
@EACH_CASE
def test_its_receipt_stands_though_the_lists_fail_and_they_follow(
    hub, envelope, make, write, fault
):
    say = make(hub, envelope)
    hub.break_next("views.apply", fault)

    first = say(hub)

    assert hub.engine.behind
    assert hub.process() == []
    assert say(hub) == first
    check_whole(hub)


def expired(hub: MemoryHub) -> int:
    return hub.topics().count("DeliveryExpired")


@FORMS
@pytest.mark.parametrize("restart", [False, True], ids=["goes on", "restarts"])
@pytest.mark.parametrize("after", [0, 1], ids=["the first", "the second"])
@pytest.mark.parametrize("write", SAID)
def test_each_side_is_told_of_an_expiry_once(hub, envelope, write, after, restart, fault):
    hub.clock.advance(timedelta(hours=1))
    do, left = hub.lane.do, [after]

    async def do_and_break(command: Any) -> Any:
        if left and left[0] == 0:
            left.clear()
            hub.break_next(write, fault)
        elif left:
            left[0] -= 1
        return await do(command)

    hub.lane.do = do_and_break
    with pytest.raises(WRITES[write]):
        hub.expire()
    if restart:
        hub = hub.restarted()
    hub.expire()
    # Storage was loaded again before the next round, which may have been that of the reload.
    hub.process()
    hub.expire()

    assert expired(hub) == 2
    assert hub.expire() == 0
    for code in (RECIPIENT, OTHER):
        kinds = [line.kind.name for line, *_ in hub.views.inbox(code, 0, 9)]
        assert kinds == ["DOCUMENT", "EXPIRED"]
    told = [(line.kind.name, line.recipient) for line, _ in hub.views.outbox(SENDER, 0, 9)]
    assert sorted(told) == [("DELIVERY_EXPIRED", RECIPIENT), ("DELIVERY_EXPIRED", OTHER)]
    check_whole(hub)


@FORMS
def test_lists_that_are_behind_let_nothing_expire_twice(hub, envelope, fault):
    hub.clock.advance(timedelta(hours=1))
    hub.break_next("views.apply", fault, calls=2)

    hub.expire()
    hub.process()

    assert (hub.expire(), expired(hub)) == (0, 2)
    check_whole(hub)


@pytest.mark.parametrize("read", ["views.overdue", "log.outbox_heads", "log.inbox_heads"])
def test_an_expiry_whose_reads_fail_is_tried_again(hub, envelope, read):
    hub.clock.advance(timedelta(hours=1))
    hub.break_next(read, Fault.LOST)
    with pytest.raises((OSError, Unavailable)):
        hub.expire()

    hub.expire()
    assert (hub.expire(), expired(hub)) == (0, 2)
    check_whole(hub)


@FORMS
@pytest.mark.parametrize("write", SAID)
def test_what_a_batch_decided_together_stands_together_or_not_at_all(hub, envelope, write, fault):
    """A recall and the collect that came after it in the batch: one order, also when retried."""
    signed = sender.recall(envelope)
    statement = intake.read(signed, Recall, agency=SENDER, origin=ORIGIN)
    commands = [
        RecallDocument(hub.exchanges._judge(SENDER, signed), statement, hub.vault),
        collect_command(hub, recipient, envelope),
        status_command(hub, recipient, envelope, "03"),
    ]
    hub.break_next(write, fault)

    hub.process(*commands)
    recalled, withheld, reported = hub.process(*commands)

    assert isinstance(withheld, ContentWithheld)
    assert reported.position == recalled.position + 1
    check_whole(hub)
    check_whole(hub.restarted())
