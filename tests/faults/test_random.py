"""Hundreds of commands with random faults, held against a dictionary of what must be true."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from adapters.memory.faults import Fault
from hub.application.agencies import RegisterAgency
from hub.domain.delivery import STATE_OF_CODE, DeliveryState
from hub.errors import HubError, KeyTaken, ReceiptDelayed, Unavailable
from hub.proof.dsse import SignedStatement
from tests.support.builders import (
    OPERATOR,
    Party,
    accepted,
    check_whole,
    new_hub,
    new_request_id,
    request_id_of,
    run,
)
from tests.support.commands import submit_command

STEPS = 250
WRITES = (
    "content.put",
    "content.discard",
    "document_keys.add",
    "log.commit",
    "signer.sign",
    "tree.publish",
    "views.apply",
)
READS = (
    "log.requests",
    "log.inbox_heads",
    "log.outbox_heads",
    "log.entries",
    "log.head",
    "log.registry_entries",
    "tree.latest_checkpoint",
    "views.position",
)
CODES = sorted(STATE_OF_CODE)
LATER = (Unavailable, ReceiptDelayed, OSError)


@dataclass
class Model:
    """What must be true of the hub. A request is accepted once it got a receipt."""

    # Request id → how to ask for it again, for those that may have been recorded.
    open: dict[str, Callable[[], Any]] = field(default_factory=dict)
    # Request id → the receipt it got, and how to ask for it again.
    answers: dict[str, tuple[Any, Callable[[], Any]]] = field(default_factory=dict)
    documents: list[tuple[Party, tuple[str, ...], SignedStatement]] = field(default_factory=list)
    states: dict[tuple[bytes, str], DeliveryState] = field(default_factory=dict)
    collected: set[tuple[bytes, str]] = field(default_factory=set)


class Driver:
    """Draws commands, sends them, and writes down what must be true from then on."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.hub = new_hub()
        self.parties = [Party(code) for code in ("H01.1", "H02", "H03-2")]
        self.model = Model()

    def step(self) -> None:
        if self.random.random() < 0.35:
            self.arm()
        action = self.random.choices(
            [
                self.submit,
                self.submit_batch,
                self.speak,
                self.repeat,
                self.finish_one,
                self.register,
                self.be_refused,
                self.crash,
                self.move_clock,
            ],
            weights=[6, 3, 6, 3, 4, 1, 2, 1, 2],
        )[0]
        action()

    def arm(self) -> None:
        where = self.random.choice(WRITES if self.random.random() < 0.8 else READS)
        fault = self.random.choice([Fault.LOST, Fault.KEPT])
        self.hub.break_next(where, fault, calls=self.random.choice([1, 1, 1, 2]))

    # --- commands -------------------------------------------------------------------------

    def submit(self) -> None:
        sender, recipients = self.draw_parties()
        contents = [self.random.randbytes(n) for n in self.random.choices([0, 9, 9000], k=2)]
        contents = contents[: self.random.randrange(3)]
        envelope = sender.envelope(*recipients, contents=contents)

        def ask() -> Any:
            recorded = self.hub.submit(sender.code, envelope, contents)
            self.note_document(sender, recipients, envelope)
            return recorded

        self.try_to(request_id_of(envelope), ask)

    def submit_batch(self) -> None:
        drawn = [(*self.draw_parties(),) for _ in range(self.random.randrange(1, 9))]
        envelopes = [sender.envelope(*recipients) for sender, recipients in drawn]
        commands = [
            submit_command(self.hub, sender, envelope)
            for (sender, _), envelope in zip(drawn, envelopes, strict=True)
        ]
        outcomes = self.hub.process(*commands)
        for (sender, recipients), envelope, outcome in zip(drawn, envelopes, outcomes, strict=True):
            pending = [outcome]

            def ask(
                sender: Party = sender,
                recipients: tuple[str, ...] = recipients,
                envelope: SignedStatement = envelope,
                pending: list[Any] = pending,
            ) -> Any:
                if pending:
                    recorded = accepted(pending.pop())
                else:
                    recorded = self.hub.submit(sender.code, envelope)
                self.note_document(sender, recipients, envelope)
                return recorded

            self.try_to(request_id_of(envelope), ask)

    def speak(self) -> None:
        if not self.model.documents:
            return
        _, recipients, envelope = self.random.choice(self.model.documents)
        code = self.random.choice(recipients)
        recipient = next(party for party in self.parties if party.code == code)
        key = (envelope.digest, code)
        if self.random.random() < 0.4:
            statement = recipient.collect(envelope)

            def ask() -> Any:
                recorded = self.hub.collect(code, statement).recorded
                self.model.collected.add(key)
                self.advance(key, DeliveryState.COLLECTED)
                return recorded

        else:
            status = self.random.choice(CODES)
            statement = recipient.status(envelope, status)

            def ask() -> Any:
                recorded = self.hub.report(code, statement)
                self.advance(key, STATE_OF_CODE[status])
                return recorded

        self.try_to(request_id_of(statement), ask)

    def register(self) -> None:
        code = f"N{self.random.randrange(10**9)}"
        command = RegisterAgency(OPERATOR, new_request_id(), code, "Sở Mới")
        self.try_to(command.request_id, lambda: accepted(self.hub.process(command)[0]))

    def be_refused(self) -> None:
        """A refusal is given, or nothing at all; its request id stays free."""
        party = self.random.choice(self.parties)
        if self.random.random() < 0.5:
            work = lambda: self.hub.submit(party.code, party.envelope("H-NOBODY"))  # noqa: E731
        else:
            enrolment = self.hub.enrolment(party)
            work = lambda: accepted(self.hub.process(enrolment)[0])  # noqa: E731
        with pytest.raises((HubError, OSError)) as refusal:
            work()
        assert refusal.type in {KeyTaken, *LATER} or refusal.value.reason == "RECIPIENT_UNKNOWN"

    # --- asking again ---------------------------------------------------------------------

    def repeat(self) -> None:
        """What was accepted is answered with the same receipt."""
        if not self.model.answers:
            return
        answer, ask = self.random.choice(list(self.model.answers.values()))
        try:
            assert ask() == answer
        except LATER:
            return

    def finish_one(self) -> None:
        if self.model.open:
            request_id = self.random.choice(list(self.model.open))
            self.try_to(request_id, self.model.open.pop(request_id))

    def crash(self) -> None:
        while True:  # A hub that cannot load does not serve; somebody starts it again.
            with suppress(OSError):
                self.hub = self.hub.restarted()
                return

    def move_clock(self) -> None:
        self.hub.clock.advance(timedelta(seconds=self.random.randrange(-30, 60)))

    def try_to(self, request_id: str, ask: Callable[[], Any]) -> None:
        try:
            answer = ask()
        except LATER:
            self.model.open[request_id] = ask
        else:
            self.model.answers[request_id] = (answer, ask)

    def settle(self) -> None:
        """No more faults; everything begun is finished."""
        for switch in self.hub.stores.switches.values():
            switch._armed.clear()
        while self.model.open:
            self.finish_one()
        self.hub.process()

    # --- the model ------------------------------------------------------------------------

    def draw_parties(self) -> tuple[Party, tuple[str, ...]]:
        sender = self.random.choice(self.parties)
        others = [party.code for party in self.parties if party != sender]
        return sender, tuple(self.random.sample(others, self.random.randrange(1, 3)))

    def note_document(
        self, sender: Party, recipients: tuple[str, ...], envelope: SignedStatement
    ) -> None:
        if not any(known == envelope for _, _, known in self.model.documents):
            self.model.documents.append((sender, recipients, envelope))

    def advance(self, key: tuple[bytes, str], state: DeliveryState) -> None:
        self.model.states[key] = max(state, self.model.states.get(key, DeliveryState.CONSIGNED))

    def check(self) -> None:
        events = self.hub.events()
        recorded = [event.data["request_id"] for event in events if event.data.get("request_id")]
        # The first six, of the agencies and their keys, were there before the first step.
        assert sorted(recorded[6:]) == sorted(self.model.answers)
        assert events == sorted(events, key=lambda event: event.time), "time went back"
        for sender, recipients, envelope in self.model.documents:
            self.check_document(sender, recipients, envelope)
        check_whole(self.hub)

    def check_document(
        self, sender: Party, recipients: tuple[str, ...], envelope: SignedStatement
    ) -> None:
        exchange_id = self.hub.log.request_of(envelope.digest).exchange_id
        view = run(self.hub.exchanges.exchange(sender.code, exchange_id))
        for row in view.deliveries:
            key = (envelope.digest, row.recipient)
            assert row.state == self.model.states.get(key, DeliveryState.CONSIGNED)
            assert row.collected is (key in self.model.collected)
        assert sorted(row.recipient for row in view.deliveries) == sorted(recipients)


@pytest.mark.parametrize("seed", range(12))
def test_random_faults_lose_nothing_and_double_nothing(seed: int):
    driver = Driver(seed)
    try:
        for _ in range(STEPS):
            driver.step()
        driver.settle()
        driver.check()
        driver.hub = driver.hub.restarted()
        driver.check()
        for answer, ask in driver.model.answers.values():
            assert ask() == answer
    except BaseException:
        print(f"to repeat this: seed {seed}")
        raise
    assert driver.hub.engine.frozen is None
