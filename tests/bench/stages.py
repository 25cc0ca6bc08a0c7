"""Where the time of accepting a document goes: processor time by stage, in one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from adapters.storage.events import EventRecorder
from adapters.system import system_clock
from hub.application.mapper import ClosedMapper
from hub.application.vault import Vault
from hub.bootstrap.memory import look_rarely
from hub.ledger import batch
from hub.ledger.batch import BatchEngine
from hub.ledger.sequencer import Sequencer
from hub.ledger.writer import BATCH_MAX
from hub.projections.deliveries import DeliveryProjection
from hub.server import convert
from tests.bench import history
from tests.bench.figures import Figure
from tests.bench.history import History, require_accepted
from tests.bench.place import RECIPIENT, Place, sender_and_recipient
from tests.bench.sayings import domain_form, submissions

PART = "stages"
# What is called for each, in the order of the way; what one calls of another counts there.
_STAGES: dict[str, tuple[Any, str]] = {
    "read: JSON, schema": (history.intake, "read"),
    "judge: key, signature": (history.intake, "judge"),
    "decide: request id, parties, numbers, aggregate": (BatchEngine, "_decide"),
    "seal the envelope": (Vault, "seal_payload"),
    "write the leaf, and read it back": (ClosedMapper, "to_stored_event"),
    "keep the document's key": (Vault, "store"),
    "commit": (EventRecorder, "commit"),
    "read, hash, sign, store the tree": (Sequencer, "extend"),
    "lists": (DeliveryProjection, "catch_up"),
    "receipts": (batch, "receipts_of_batch"),
    "answers for the wire": (convert, "acceptance"),
}


class _Watch:
    """Processor time of this thread by stage; a stage inside another stops that one's clock."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys([*_STAGES, ""], 0.0)
        self._stage, self._since = "", time.thread_time()

    def _turn_to(self, stage: str) -> str:
        now = time.thread_time()
        self.spent[self._stage] += now - self._since
        before, self._stage, self._since = self._stage, stage, now
        return before

    def watched(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            before = self._turn_to(stage)
            try:
                return work(*arguments, **named)
            finally:
                self._turn_to(before)

        return watched

    @contextmanager
    def on(self) -> Iterator[None]:
        """Measure all stages until the block ends."""
        with ExitStack() as stack:
            for stage, (owner, name) in _STAGES.items():
                watched = self.watched(stage, getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, watched))
            self._turn_to("")
            yield
            self._turn_to("")


async def measured(place: Place) -> list[Figure]:
    """A figure for each stage, in batches of 256 and of one."""
    founded = place.new_hub("stages")
    rounds = min(place.scale.rounds, 5)
    with place.core(founded) as core:
        core.engine.load()
        speakers = sender_and_recipient(founded)
        grown = History(core, *speakers, system_clock)
        _accept(grown, core.engine, speakers[0], 16, 16)
        look_rarely()
        return [
            *_figures("of 256", grown, core.engine, speakers[0], place.scale.documents, rounds),
            *_figures("alone", grown, core.engine, speakers[0], place.scale.lone, rounds),
        ]


def _figures(
    batch_of: str, grown: History, engine: BatchEngine, sender: Any, count: int, rounds: int
) -> Iterator[Figure]:
    watches = []
    for _ in range(rounds):
        watch = _Watch()
        with watch.on():
            _accept(grown, engine, sender, count, BATCH_MAX if batch_of == "of 256" else 1)
        watches.append({stage: spent * 1e6 / count for stage, spent in watch.spent.items()})
    for stage in _STAGES:
        name = f"a document {batch_of}: {stage}"
        yield Figure(PART, name, "µs", [watch[stage] for watch in watches])
    total = [sum(watch.values()) - watch[""] for watch in watches]
    yield Figure(PART, f"a document {batch_of}: all of these", "µs", total)


def _accept(grown: History, engine: BatchEngine, sender: Any, count: int, at_once: int) -> None:
    envelopes = [domain_form(each) for each in submissions(sender, RECIPIENT, count)]
    for start in range(0, count, at_once):
        commands = [grown.submission(each) for each in envelopes[start : start + at_once]]
        _answer(engine.process(commands))


def _answer(outcomes: Sequence[Any]) -> None:
    require_accepted(outcomes)
    for outcome in outcomes:
        convert.acceptance(outcome)
