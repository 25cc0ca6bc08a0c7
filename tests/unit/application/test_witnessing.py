"""Checkpoints taken to witnesses: what is kept, what is told, and that nobody waits for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from adapters.memory.faults import Fault
from adapters.memory.witnesses import MemoryWitness
from hub.application.lane import NothingRecorded
from hub.application.ports import WitnessConflict
from hub.application.registry import Caller, Role
from hub.application.witnessing import (
    DELAY_MAX_S,
    SetWitnesses,
    Witnessing,
    WitnessState,
    WitnessStatus,
)
from hub.ledger.fsck import Finding, Parts, check_everything
from hub.proof.note import VerifierKey, parse_note
from hub.proof.receipt import parse_tlog_proof, verify_receipt
from hub.proof.witnessing import AddCheckpoint
from tests.support.builders import (
    RECIPIENT,
    SENDER,
    MemoryHub,
    Party,
    at_once,
    check_whole,
    new_hub,
    run,
)
from tests.unit.proof.building import private_key

EVERY_S = 60.0


class Monotonic:
    """A clock that only goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Scene:
    """A hub with some witnesses, and the job between them."""

    hub: MemoryHub
    witnesses: list[MemoryWitness]
    clock: Monotonic = field(default_factory=Monotonic)
    told: list[WitnessStatus] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.job = self.new_job()

    def new_job(self) -> Witnessing:
        return Witnessing(
            self.witnesses,
            receipts=self.hub.receipts,
            cosignatures=self.hub.stores.cosignatures,
            offload=at_once,
            monotonic=self.clock,
            randomness=self.hub.randomness,
            every_s=EVERY_S,
            told=self.told.append,
        )

    def round(self) -> None:
        self.clock.now += EVERY_S
        run(self.job.round())

    def grow(self, count: int = 1) -> None:
        self.hub.register(*(f"X{self.hub.receipts.size + n}" for n in range(count)))

    def cosigners(self, size: int | None = None) -> list[str]:
        lines = self.hub.stores.cosignatures.of(size or self.hub.receipts.size)
        return [line.name for line in lines]

    @property
    def states(self) -> list[WitnessState]:
        return [status.state for status in self.job.status()]


def scene(count: int = 2) -> Scene:
    hub = new_hub()
    witnesses = [
        MemoryWitness(f"w{n}.example", private_key(f"w{n}"), hub.signer.verifier_key, hub.clock)
        for n in range(1, count + 1)
    ]
    vkeys = tuple(witness.key.format() for witness in witnesses)
    hub.done(SetWitnesses(vkeys))
    return Scene(hub, witnesses)


# --- The set of witnesses ----------------------------------------------------------------


def test_the_set_of_witnesses_is_a_fact_of_the_log():
    it = scene()
    event = it.hub.events()[-1]
    assert event.topic == "hub.Log.WitnessSetChanged"
    assert event.id == it.hub.events()[0].id
    assert event.data == {"witnesses": sorted(w.key.format() for w in it.witnesses)}


def test_the_same_set_in_another_order_is_nothing_new():
    it = scene()
    vkeys = tuple(witness.key.format() for witness in it.witnesses)
    (outcome,) = it.hub.process(SetWitnesses(tuple(reversed(vkeys))))
    assert isinstance(outcome, NothingRecorded)
    (outcome,) = it.hub.restarted().process(SetWitnesses(vkeys))
    assert isinstance(outcome, NothingRecorded)
    it.hub.done(SetWitnesses(vkeys[:1]))
    it.hub.done(SetWitnesses(()))
    assert it.hub.events()[-1].data == {"witnesses": []}
    check_whole(it.hub)


def test_a_log_that_never_had_witnesses_says_nothing_of_it():
    hub = new_hub()
    (outcome,) = hub.process(SetWitnesses(()))
    assert isinstance(outcome, NothingRecorded)


# --- Cosigning ---------------------------------------------------------------------------


def test_the_newest_checkpoint_is_cosigned_by_all():
    it = scene()
    it.round()
    assert it.cosigners() == ["w1.example", "w2.example"]
    it.grow(3)
    it.round()
    assert it.cosigners() == ["w1.example", "w2.example"]
    assert [len(witness.asked) for witness in it.witnesses] == [2, 2]
    for status in it.job.status():
        assert (status.state, status.behind, status.failures) == (WitnessState.COSIGNS, 0, 0)
        assert status.cosigned_at == it.hub.clock().replace(microsecond=0)
        assert not status.is_alarming
    check_whole(it.hub)


def test_nobody_is_asked_twice_for_the_same_checkpoint():
    it = scene()
    for _ in range(5):
        it.round()
    assert [len(witness.asked) for witness in it.witnesses] == [1, 1]


def test_an_empty_log_has_nothing_to_cosign():
    it = scene()
    empty = MemoryHub(load=False)
    job = replace(it, hub=empty).job
    run(job.round())
    assert it.witnesses[0].asked == []


def test_receipts_fetched_later_carry_the_cosignatures_and_the_first_stays_as_it_was():
    it = scene()
    sent = it.hub.submit(SENDER, Party(SENDER).envelope(RECIPIENT))
    caller = Caller(Role.AGENCY, SENDER)
    plain = run(it.hub.own_receipts.receipt(caller, sent.position))
    assert run(it.hub.own_receipts.receipt(caller, sent.position, cosigned=True)) == plain == sent

    it.grow()
    it.round()

    assert run(it.hub.own_receipts.receipt(caller, sent.position)) == plain
    cosigned = run(it.hub.own_receipts.receipt(caller, sent.position, cosigned=True))
    assert cosigned.receipt.leaf == plain.receipt.leaf
    verified = verify_receipt(cosigned.receipt, it.hub.trust)
    assert verified.checkpoint.size == it.hub.receipts.size > sent.position + 1
    note = parse_note(parse_tlog_proof(cosigned.receipt.proof).checkpoint)
    assert [line.name for line in note.signatures][1:] == ["w1.example", "w2.example"]


def test_evidence_lies_under_one_cosigned_checkpoint():
    it = scene(1)
    it.round()  # The enrolment could have one of its own.
    sent = it.hub.submit(SENDER, Party(SENDER).envelope(RECIPIENT))
    it.grow()
    it.round()
    proven = run(it.hub.exchanges.statement(SENDER, sent.position, cosigned=True))
    notes = {
        parse_tlog_proof(recorded.receipt.proof).checkpoint
        for recorded in (proven.recorded, proven.enrolment)
    }
    assert len(notes) == 1
    assert "w1.example" in notes.pop().decode()
    plain = run(it.hub.exchanges.statement(SENDER, sent.position))
    assert plain.recorded == sent


def test_the_checkpoint_that_most_cosigned_is_taken_and_of_these_the_first():
    it = scene(2)
    position = it.hub.receipts.size - 1
    it.witnesses[1].unreachable = True
    it.round()
    first = it.hub.receipts.size
    assert _size_of(it, position) == first
    it.witnesses[1].unreachable = False
    for _ in range(3):
        it.grow()
        it.clock.now += DELAY_MAX_S
        it.round()
    assert _size_of(it, position) == first + 1
    assert _size_of(it, first + 1) == first + 2


def _size_of(it: Scene, position: int) -> int:
    recorded = it.hub.receipts.cosigned(position)
    return verify_receipt(recorded.receipt, it.hub.trust).checkpoint.size


# --- Witnesses that are away -------------------------------------------------------------


def test_a_witness_that_is_away_for_days_holds_up_nobody_and_is_caught_up_at_once():
    it = scene()
    it.round()
    away, there = it.witnesses
    away.unreachable = True
    for _ in range(200):
        it.grow()
        it.hub.clock.advance(timedelta(minutes=20))
        it.clock.now += 20 * 60
        it.round()
    status = it.job.status()[0]
    assert (status.state, status.behind) == (WitnessState.AWAY, 200)
    assert status.failures > 100
    assert "unreachable" in status.problem
    assert not status.is_alarming
    assert there.seen.size == it.hub.receipts.size
    # Nothing was queued: the log has grown, and the next round is one request.
    away.unreachable = False
    asked = len(away.asked)
    it.clock.now += DELAY_MAX_S
    it.round()
    assert len(away.asked) == asked + 1
    assert [(s.state, s.behind) for s in it.job.status()] == [(WitnessState.COSIGNS, 0)] * 2
    assert it.cosigners() == ["w2.example", "w1.example"]
    check_whole(it.hub)


def test_a_witness_that_fails_is_asked_less_and_less_often():
    it = scene(1)
    it.witnesses[0].unreachable = True
    gaps, last = [], it.clock.now
    for _ in range(3000):
        before = len(it.witnesses[0].asked)
        it.round()
        if len(it.witnesses[0].asked) > before:
            gaps.append(it.clock.now - last)
            last = it.clock.now
    # Between half of the delay and all of it, and a round.
    for number, gap in enumerate(gaps[1:]):
        delay = min(EVERY_S * 2**number, DELAY_MAX_S)
        assert delay / 2 <= gap <= delay + EVERY_S
    assert len({*gaps[6:]}) > 1, "there is no jitter"
    assert it.told[-1].failures == len(gaps)


def test_each_failure_and_each_recovery_is_told_and_success_is_not():
    it = scene(1)
    it.round()
    it.grow()
    it.round()
    assert [status.state for status in it.told] == [WitnessState.COSIGNS]
    it.witnesses[0].unreachable = True
    it.grow()
    it.round()
    it.witnesses[0].unreachable = False
    it.clock.now += DELAY_MAX_S
    it.round()
    assert [status.state for status in it.told[1:]] == [WitnessState.AWAY, WitnessState.COSIGNS]


def test_a_witness_that_hangs_does_not_hold_up_the_others_and_no_second_round_begins():
    it = scene()
    hang = asyncio.Event()

    async def scenario() -> None:
        add_checkpoint = it.witnesses[0].add_checkpoint

        async def slow(request: AddCheckpoint) -> bytes:
            await hang.wait()
            return await add_checkpoint(request)

        it.witnesses[0].add_checkpoint = slow
        first = asyncio.create_task(it.job.round())
        for _ in range(100):  # Turns of the loop, not time.
            await asyncio.sleep(0)
        assert it.cosigners() == ["w2.example"]
        await it.job.round()
        it.grow()  # Nobody waits.
        assert len(it.witnesses[1].asked) == 1
        hang.set()
        await first

    run(scenario())
    assert it.states == [WitnessState.COSIGNS] * 2


# --- What is remembered on one side only -------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.KEPT])
def test_a_cosignature_that_could_not_be_kept_is_asked_for_again(fault: Fault):
    it = scene(1)
    it.hub.break_next("cosignatures.add", fault)
    with pytest.raises(OSError, match="on purpose"):
        it.round()
    it.round()
    assert it.cosigners() == ["w1.example"]
    it.grow()
    it.round()
    assert it.states == [WitnessState.COSIGNS]
    check_whole(it.hub)


def test_a_lost_answer_is_found_out_from_the_size_the_witness_names():
    it = scene(1)
    it.round()
    it.grow(2)
    lost = it.witnesses[0]
    lost.answer = _no_answer
    it.round()
    assert it.states == [WitnessState.AWAY]
    lost.answer = bytes
    it.grow(2)
    it.clock.now += DELAY_MAX_S
    it.round()
    assert it.states == [WitnessState.COSIGNS]
    # It was asked from the size we knew, and then from its own.
    assert [request.old_size for request in lost.asked[-2:]] == sorted(
        {lost.asked[-2].old_size, lost.asked[-1].old_size}
    )


def _no_answer(_: bytes) -> bytes:
    raise OSError("the line broke")


def test_a_restored_database_goes_on_from_what_the_witness_saw():
    it = scene(1)
    it.round()
    it.hub.stores.cosignatures._lines.clear()
    it.round()
    assert it.cosigners() == ["w1.example"]


def test_a_witness_that_forgot_is_taken_along_from_the_beginning():
    it = scene(1)
    it.round()
    it.grow()
    it.witnesses[0].seen = None
    it.round()
    assert it.states == [WitnessState.COSIGNS]


def test_a_witness_that_names_another_size_each_time_is_left_for_later():
    it = scene(1)
    sizes = iter([3, 2, 4])

    async def restless(request: AddCheckpoint) -> bytes:
        raise WitnessConflict(next(sizes))

    it.witnesses[0].add_checkpoint = restless
    it.round()
    assert it.states == [WitnessState.AWAY]


# --- What witnesses are for --------------------------------------------------------------


def test_a_witness_that_saw_a_larger_tree_than_ours_says_that_history_was_cut():
    it = scene()
    it.round()
    witness = it.witnesses[0]
    witness.seen = replace(witness.seen, size=it.hub.receipts.size + 100)
    it.grow()
    it.round()
    status = it.job.status()[0]
    assert (status.state, status.is_alarming) == (WitnessState.FORKED, True)
    assert status in it.told
    assert it.states[1] is WitnessState.COSIGNS
    assert "w1.example" not in it.cosigners()


@pytest.mark.parametrize("grow", [0, 1])
def test_a_witness_that_saw_another_tree_says_so(grow: int):
    it = scene(1)
    it.round()
    witness = it.witnesses[0]
    it.grow()
    witness.seen = replace(witness.seen, size=it.hub.receipts.size, root=bytes(32))
    it.grow(grow)
    it.round()
    assert it.states == [WitnessState.FORKED]
    assert it.cosigners() == []
    # It is told each time, and the hub goes on.
    it.clock.now += DELAY_MAX_S
    it.round()
    assert [status.state for status in it.told[1:]] == [WitnessState.FORKED] * 2


def test_a_witness_that_does_not_know_us_is_told_apart():
    it = scene(1)
    stranger = VerifierKey("other.example", it.hub.signer.verifier_key.key_type, bytes(32))
    it.witnesses[0]._log_key = stranger
    it.round()
    assert it.states == [WitnessState.REFUSES]
    assert it.job.status()[0].is_alarming
    assert "404" in it.job.status()[0].problem


@pytest.mark.parametrize(
    "bend",
    [
        lambda answer: b"",
        lambda answer: b"junk\n",
        lambda answer: answer[:-1],
        lambda answer: answer.replace(b"w1", b"w9"),
        lambda answer: answer[:60] + (b"A" if answer[60:61] != b"A" else b"B") + answer[61:],
        lambda answer: "— w1.example AAAAAAA=\n".encode(),
        lambda answer: answer * 1000,
    ],
    ids=range(7),
)
def test_what_does_not_hold_is_never_kept(bend):
    it = scene()
    it.witnesses[0].answer = bend
    it.round()
    assert it.states == [WitnessState.WRONG, WitnessState.COSIGNS]
    assert it.cosigners() == ["w2.example"]


def test_lines_of_strangers_are_passed_over():
    it = scene()
    theirs = it.witnesses[1]

    def with_anothers(answer: bytes) -> bytes:
        return "— stranger.example AAAAAAAA\n".encode() + answer

    theirs.answer = with_anothers
    it.round()
    assert it.cosigners() == ["w1.example", "w2.example"]


def test_a_failure_that_is_ours_is_raised_after_the_others_were_asked():
    it = scene()

    async def bug(request: AddCheckpoint) -> bytes:
        raise RuntimeError("a bug")

    it.witnesses[0].add_checkpoint = bug
    with pytest.raises(RuntimeError, match="a bug"):
        it.round()
    assert it.cosigners() == ["w2.example"]


# --- Fsck --------------------------------------------------------------------------------


def findings(it: Scene) -> list[Finding]:
    stores = it.hub.stores
    parts = Parts(
        origin=it.hub.signer.verifier_key.name,
        keys=it.hub.signer.keys,
        log=it.hub.log,
        store=stores.tree,
        signer=it.hub.signer,
        content=stores.content,
        vault=it.hub.vault,
        cosignatures=stores.cosignatures,
    )
    return list(check_everything(parts))


@pytest.mark.parametrize("change", ["signature", "key_id", "name", "size"])
def test_fsck_names_a_cosignature_that_was_changed(change: str):
    it = scene()
    it.round()
    assert findings(it) == []
    lines = it.hub.stores.cosignatures._lines
    size = it.hub.receipts.size
    key, line = next(iter(lines[size].items()))
    if change == "size":
        lines[size - 1] = {key: lines[size].pop(key)}
        size -= 1
    else:
        other = {"signature": bytes(72), "key_id": b"none", "name": "w9"}[change]
        lines[size][key] = replace(line, **{change: other})
    assert findings(it) == [
        Finding(f"a cosignature of the checkpoint of size {size} does not hold")
    ]


def test_cosignatures_of_a_witness_that_was_left_out_later_still_hold():
    it = scene()
    it.round()
    it.hub.done(SetWitnesses(()))
    assert findings(it) == []
