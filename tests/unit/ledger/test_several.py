"""Two engines on one log: one leads and signs, the other commits and waits for it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from adapters.memory.faults import Fault
from hub.application.agencies import RegisterAgency
from hub.application.lane import Recorded
from hub.application.ports import LogStopped, Seen
from hub.errors import (
    ContentWithheld,
    HubError,
    LedgerMismatch,
    LogFrozen,
    ReceiptDelayed,
    Unavailable,
)
from hub.ledger import following
from hub.ledger.batch import At
from hub.ledger.covering import Covering
from hub.ledger.following import Following
from hub.proof.leaf import parse_leaf
from tests.support.builders import (
    OPERATOR,
    ORIGIN,
    RECIPIENT,
    SENDER,
    MemoryHub,
    Party,
    at_once,
    check_whole,
    new_hub,
    new_request_id,
)
from tests.support.commands import collect_command, submit_command

sender, recipient = Party(SENDER), Party(RECIPIENT)


@dataclass
class OneOf:
    """The port Others."""

    leads: bool
    found: list[LedgerMismatch] = field(default_factory=list)

    def freeze(self, mismatch: LedgerMismatch) -> None:
        self.found.append(mismatch)


@dataclass
class Two:
    """A hub that leads and one that follows, over the same stores, each with its own memory."""

    leader: MemoryHub
    follower: MemoryHub
    following: Following

    def signed(self) -> None:
        """The leader hears of what was appended, and signs; the other hears of that."""
        assert self.leader.engine.process([]) == []
        self.following.look()

    def recorded(self, outcome: object) -> Recorded:
        """The receipt that the follower's caller gets."""
        assert isinstance(outcome, At)
        return self.follower.engine.receipts([outcome.position])[outcome.position]


@pytest.fixture
def two() -> Two:
    first = new_hub()
    leader = MemoryHub(
        first.stores, clock=first.clock, randomness=first.randomness, others=OneOf(leads=True)
    )
    follower = MemoryHub(
        first.stores,
        clock=type(first.clock)(first.clock()),
        randomness=first.randomness,
        others=OneOf(leads=False),
        load=False,
    )
    follower.engine.join()

    def pulse() -> Seen:
        head, newest = first.log.head(), first.stores.tree.latest_checkpoint()
        size = newest[0] if newest else 0
        return Seen(
            head.next_position, head.registry_version, size, first.views.position(), 1, False,
            None, None,
        )  # fmt: skip

    heard = Following(
        origin=ORIGIN,
        pulse=pulse,
        store=first.stores.tree,
        signer=first.signer,
        receipts=follower.receipts,
        register=follower.engine.register,
        leads=lambda: follower.engine.leads,
    )
    return Two(leader, follower, heard)


def document(hub: MemoryHub):
    signed = sender.envelope(RECIPIENT)
    return submit_command(hub, sender, signed), signed


def test_what_a_hub_that_follows_has_committed_gets_its_receipt_from_the_leaders_tree(two: Two):
    command, signed = document(two.follower)
    (outcome,) = two.follower.process(command)
    assert isinstance(outcome, At)
    with pytest.raises(ReceiptDelayed):
        two.follower.engine.receipts([outcome.position])

    two.signed()

    recorded = two.recorded(outcome)
    # The same request at the leader gets the same bytes.
    again = submit_command(two.leader, sender, signed)
    assert two.leader.done(again) == [recorded]
    assert two.leader.receipts.receipt(outcome.position) == recorded
    check_whole(two.leader)


def test_numbers_and_times_go_on_where_the_other_hub_stopped(two: Two):
    two.leader.clock.advance(timedelta(hours=1))  # The other's is behind, and decides nothing.
    for hub in (two.leader, two.follower, two.follower, two.leader, two.follower):
        (outcome,) = hub.process(document(hub)[0])
        assert not isinstance(outcome, Exception)
        two.leader.clock.advance()
    two.signed()

    assert [line.seq for line, *_ in two.leader.views.inbox(RECIPIENT, 0, 99)] == [1, 2, 3, 4, 5]
    times = [parse_leaf(entry.state).time for entry in two.leader.log.entries(0, 1000)]
    assert times == sorted(times)
    check_whole(two.leader)


def test_a_request_that_the_other_hub_recorded_is_found_and_not_recorded_again(two: Two):
    at_one, signed = document(two.leader)
    (recorded,) = two.leader.done(at_one)
    events = two.leader.log.head().next_position

    (outcome,) = two.follower.process(submit_command(two.follower, sender, signed))

    two.following.look()
    assert two.recorded(outcome) == recorded
    assert two.leader.log.head().next_position == events


def test_what_the_other_hub_did_to_a_document_counts(two: Two):
    command, signed = document(two.leader)
    two.leader.done(command)
    # Both know the document now, and the follower remembers it as it was.
    collecting = collect_command(two.follower, recipient, signed)
    two.follower.process(document(two.follower)[0])
    two.signed()
    two.leader.recall(SENDER, sender.recall(signed))

    (refused,) = two.follower.process(collecting)

    assert isinstance(refused, ContentWithheld)


def test_who_was_registered_at_the_other_hub_is_known_from_the_next_look_on(two: Two):
    two.leader.done(RegisterAgency(OPERATOR, new_request_id(), "H98", "Sở Mới"))
    assert "H98" not in two.follower.engine.registry.agencies
    two.following.look()
    assert "H98" in two.follower.engine.registry.agencies
    # And without a look: what is decided is decided on the newest register.
    two.leader.done(RegisterAgency(OPERATOR, new_request_id(), "H97", "Sở Khác"))
    to = submit_command(two.leader, sender, sender.envelope("H97"))
    (outcome,) = two.follower.process(to)
    assert isinstance(outcome, At)


def test_a_hub_that_is_far_behind_forgets_rather_than_reads(two: Two, monkeypatch):
    monkeypatch.setattr(following, "GAP_MAX", 2)
    two.follower.process(document(two.follower)[0])
    for _ in range(5):
        two.leader.done(document(two.leader)[0])
    (outcome,) = two.follower.process(document(two.follower)[0])
    two.signed()
    assert two.recorded(outcome).position == two.leader.log.head().next_position - 1
    check_whole(two.leader)


def test_the_leader_gives_each_position_the_receipt_of_its_first_checkpoint(two: Two):
    appending = two.leader.log.appending

    @contextmanager
    def and_then_the_other():
        with appending() as end:
            yield end
        two.leader.log.appending = appending
        two.follower.process(document(two.follower)[0])

    two.leader.log.appending = and_then_the_other
    (recorded,) = two.leader.done(document(two.leader)[0])
    two.signed()
    assert two.leader.receipts.receipt(recorded.position) == recorded
    check_whole(two.leader)


def test_a_log_that_a_hub_has_stopped_takes_nothing(two: Two, monkeypatch):
    before = two.leader.log.head()

    def stopped():
        raise LogStopped("a hub has stopped the log")

    monkeypatch.setattr(two.follower.log, "appending", stopped)
    (refused,) = two.follower.process(document(two.follower)[0])
    assert isinstance(refused, Unavailable)
    assert two.leader.log.head() == before


def test_a_stored_tree_that_was_not_signed_so_stops_all_hubs(two: Two):
    (outcome,) = two.follower.process(document(two.follower)[0])
    two.signed()
    tree = two.leader.stores.tree
    tile = tree.tile(0, 0)
    # All but the leaf that is asked for: its path leads elsewhere.
    tree._tiles[0, 0] = bytes(32) + tile[32:]

    with pytest.raises(LedgerMismatch, match="not the one that was signed"):
        two.recorded(outcome)

    assert two.follower.engine.frozen is not None
    assert two.follower.engine._others.found == [two.follower.engine.frozen]
    (refused,) = two.follower.process(document(two.leader)[0])
    assert isinstance(refused, LogFrozen)


def test_a_checkpoint_that_nobody_signed_is_not_believed(two: Two):
    two.follower.process(document(two.follower)[0])
    two.leader.engine.process([])
    size, note = two.leader.stores.tree.latest_checkpoint()
    two.leader.stores.tree.latest_checkpoint = lambda: (size, note.replace(b"\n\n", b"\nx\n\n"))
    with pytest.raises(LedgerMismatch, match="not ours"):
        two.following.look()


# --- Each write fails, and was not kept or was ----------------------------------------------


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("write", ["document_keys.add", "log.commit"])
def test_whatever_a_hub_that_follows_cannot_write_is_asked_again_and_recorded_once(
    two: Two, write: str, fault: Fault
):
    store, method = write.split(".")
    command, signed = document(two.follower)
    two.leader.stores.switches[store].break_next(method, fault)

    (unknown,) = two.follower.process(command)
    assert isinstance(unknown, Unavailable)
    two.leader.done(document(two.leader)[0])  # The other one goes on meanwhile.

    # The same statement again, at both.
    (outcome,) = two.follower.process(submit_command(two.follower, sender, signed))
    two.signed()
    assert two.leader.done(submit_command(two.leader, sender, signed)) == [two.recorded(outcome)]
    assert [line.seq for line, *_ in two.leader.views.inbox(RECIPIENT, 0, 99)] == [1, 2]
    check_whole(two.leader)


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("write", ["signer.sign", "tree.publish", "views.apply"])
def test_what_the_leader_cannot_do_for_another_hub_it_does_later(
    two: Two, write: str, fault: Fault
):
    store, method = write.split(".")
    (outcome,) = two.follower.process(document(two.follower)[0])
    two.leader.stores.switches[store].break_next(method, fault)

    two.leader.engine.process([])
    assert two.leader.engine.behind
    two.leader.engine.process([])

    two.following.look()
    assert two.recorded(outcome).position == outcome.position
    check_whole(two.leader)


# --- Waiting for checkpoints ----------------------------------------------------------------


async def test_callers_are_answered_once_their_positions_are_covered():
    size = 3
    covering = Covering(
        size=lambda: size, receipts=lambda some: {n: f"receipt {n}" for n in some}, offload=at_once
    )
    loop = asyncio.get_running_loop()
    covered, waiting = loop.create_future(), loop.create_future()
    await covering.answer({covered: 2})
    await covering.answer({waiting: 5})
    assert await covered == "receipt 2"
    covering.published()
    await asyncio.sleep(0)
    assert not waiting.done()

    size = 6
    covering.published()
    assert await waiting == "receipt 5"
    await covering.finish()
    assert covering.oldest_s == 0.0


async def test_who_waits_too_long_is_told_that_it_is_recorded():
    covering = Covering(size=lambda: 0, receipts=lambda some: {}, offload=at_once, within_s=0.01)
    future = asyncio.get_running_loop().create_future()
    await covering.answer({future: 0})
    with pytest.raises(HubError) as delayed:
        await future
    assert isinstance(delayed.value, ReceiptDelayed)
    await covering.finish()
