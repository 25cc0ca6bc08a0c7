"""Any interleaving of what agencies, the clock, faults and restarts can do to documents.

A state machine drives the whole hub in memory and keeps, beside it, plain lists and
dictionaries of what each agency must see. Whatever the order, the hub shows exactly that,
refuses exactly what the rules refuse, answers every retry with the first answer, and is found
whole in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from adapters.memory.faults import Fault
from hub.application.commands import ExpireDelivery, SpeakAsRecipient
from hub.domain.delivery import STATE_OF_CODE, DeliveryState, RecallState
from hub.errors import (
    ContentWithheld,
    ExchangeUnknown,
    HubError,
    NotAParty,
    NotCollected,
    NumberUnknown,
    PositionUnknown,
    RecallAskedAlready,
    RecallNotOpen,
    ReceiptDelayed,
    RequestIdReused,
    Unavailable,
)
from hub.proof.dsse import SignedStatement
from hub.proof.leaf import parse_leaf
from hub.proof.signatures import Algorithm
from hub.server import convert
from tests.support.builders import (
    START,
    MemoryHub,
    Party,
    accepted,
    check_whole,
    instant,
    new_hub,
    request_id_of,
    run,
)
from tests.support.commands import collect_command, status_command, submit_command

PARTIES = (
    Party("H01.1"),
    Party("H02", Algorithm.ECDSA_P256_SHA256),
    Party("H03-2"),
    Party("H04", Algorithm.ECDSA_P256_SHA256),
)
CODES = tuple(party.code for party in PARTIES)
STATUSES = sorted(STATE_OF_CODE)
LATER = (Unavailable, ReceiptDelayed)
WRITES = (
    "content.put",
    "document_keys.add",
    "log.commit",
    "signer.sign",
    "tree.publish",
    "views.apply",
)
SKEW = timedelta(minutes=10)


# --- The model ----------------------------------------------------------------------------


@dataclass
class Delivered:
    """What is known of a document at one recipient."""

    state: DeliveryState = DeliveryState.CONSIGNED
    collected: bool = False
    recall: RecallState = RecallState.NONE
    expired: bool = False


@dataclass
class Doc:
    """A document that was accepted."""

    id: UUID
    sender: str
    envelope: SignedStatement
    contents: list[bytes]
    expires_at: datetime | None
    at: dict[str, Delivered]
    subject: str
    recalled: bool = False
    replaced_by: UUID | None = None

    def refusal_of_content(self, code: str) -> type[HubError] | None:
        """Why a recipient does not get what it has not signed for, or gave back."""
        if not self.at[code].collected:
            return NotCollected
        return ContentWithheld if self.at[code].recall is RecallState.AGREED else None

    def withholds_from(self, code: str) -> bool:
        delivered = self.at[code]
        if delivered.recall is RecallState.AGREED:
            return True
        if delivered.collected:
            return False
        asked = self.recalled and delivered.recall is not RecallState.REFUSED
        return delivered.expired or asked


@dataclass
class Act:
    """Something an agency says; it may be said again until it is answered."""

    caller: str
    signed: SignedStatement
    send: Callable[[MemoryHub, SignedStatement], Any]
    refusal: Callable[[], type[HubError] | None]
    apply: Callable[[UUID], None]
    parties: Callable[[], set[str]]
    answer: Any = None

    @property
    def key(self) -> tuple[str, str]:
        return self.caller, request_id_of(self.signed)


@dataclass
class Model:
    """All that must be visible."""

    docs: list[Doc] = field(default_factory=list)
    # Kind, document, and the exchange that updated or replaced it.
    inboxes: dict[str, list[tuple[str, Doc, UUID | None]]] = field(
        default_factory=lambda: {code: [] for code in CODES}
    )
    # Kind, document, recipient, code.
    outboxes: dict[str, list[tuple[str, Doc, str, str]]] = field(
        default_factory=lambda: {code: [] for code in CODES}
    )
    said: dict[int, Act] = field(default_factory=dict)

    def tell(self, kind: str, doc: Doc, by: UUID | None = None) -> None:
        """A line in the inbox of each recipient."""
        for code in doc.at:
            self.inboxes[code].append((kind, doc, by))

    def expire(self, at: datetime, recorded: list[tuple[UUID, str]]) -> None:
        """All that is due was recorded, in any order: what fails at first is tried again last."""
        due = {
            (doc.id, code): doc
            for doc in self.docs
            for code, delivered in doc.at.items()
            if doc.expires_at is not None
            and doc.expires_at <= at
            and not delivered.collected
            and not delivered.expired
            and delivered.recall is not RecallState.AGREED
        }
        assert sorted(recorded) == sorted(due)
        for exchange_id, code in recorded:
            doc = due[exchange_id, code]
            doc.at[code].expired = True
            self.inboxes[code].append(("EXPIRED", doc, None))
            self.outboxes[doc.sender].append(("DELIVERY_EXPIRED", doc, code, ""))


# --- The machine --------------------------------------------------------------------------

pick = st.integers(0, 999)
agencies = st.sampled_from(PARTIES)
# Mostly whoever may say it (None), now and then anybody.
whoever = st.sampled_from([None, None, None, None, None, None, None, None, *PARTIES])
KINDS = ("submit", "collect", "recall", "15", "report", "16", "replace", "update")


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.hub = new_hub(None, *PARTIES)
        self.model = Model()
        self.pending: list[Act] = []  # Not answered; not recorded either, or `answer` is due.
        self.answered: list[Act] = []
        self.numbers = count(1)

    # --- saying things ----------------------------------------------------------------------

    @rule(
        drawn=st.lists(
            st.tuples(st.sampled_from(KINDS), whoever, pick, pick), min_size=1, max_size=8
        )
    )
    def speak(self, drawn: list[tuple[str, Party | None, int, int]]) -> None:
        """One thing after the other, each of it mostly by one who may say it."""
        for kind, who, number, at in drawn:
            if kind == "submit" or not self.model.docs:
                by = who or PARTIES[at % len(PARTIES)]
                hours = (None, 0, 1, 5, 48)[number % 5]
                self.attempt(self.submission(by, 1 + at % 7, number % 3, hours))
                continue
            doc = self.open_recall(number, at) if kind in {"15", "16"} else self.doc(number)
            recipient = who or self.recipient(doc, at)
            sender = who or party(doc.sender)
            match kind:
                case "update" | "replace":
                    act = self.submission(sender, 1 + at % 7, 1, None, action=kind, older=doc)
                case "collect":
                    act = self.collection(doc, recipient)
                case "report":
                    act = self.status(doc, recipient, STATUSES[at % len(STATUSES)])
                case "recall":
                    act = self.recall(doc, sender)
                case _:
                    act = self.answer(doc, recipient, kind)
            self.attempt(act)

    @rule(
        drawn=st.lists(
            st.tuples(
                st.sampled_from(["submit", "supersede", "report", "collect", "again"]),
                agencies,
                pick,
                st.integers(1, 7),
            ),
            min_size=2,
            max_size=6,
        )
    )
    def batch(self, drawn: list[tuple[str, Party, int, int]]) -> None:
        """Several commands decided together; each is accepted or refused by itself."""
        acts: list[Act] = []
        commands: list[Any] = []
        known = list(self.model.docs)
        for kind, who, number, mask in drawn:
            if kind == "again" and acts:
                acts.append(acts[number % len(acts)])
                commands.append(commands[number % len(commands)])
            elif kind in {"report", "collect"} and known:
                doc = known[number % len(known)]
                by = self.recipient(doc, mask)
                if kind == "collect":
                    commands.append(collect_command(self.hub, by, doc.envelope))
                    act = self.collection(doc, by)
                else:
                    code = STATUSES[number % len(STATUSES)]
                    commands.append(status_command(self.hub, by, doc.envelope, code))
                    act = self.status(doc, by, code)
                act.signed = commands[-1].spoken.signed
                acts.append(act)
            elif kind == "supersede" and known:
                doc = known[number % len(known)]
                act = self.submission(who, mask, 0, None, action="replace", older=doc)
                acts.append(act)
                commands.append(submit_command(self.hub, who, act.signed))
            else:
                act = self.submission(who, mask, 0, None)
                acts.append(act)
                commands.append(submit_command(self.hub, who, act.signed))
        outcomes = self.hub.process(*commands)
        if any(isinstance(outcome, LATER) for outcome in outcomes):
            self.finish_batch(acts)
            return
        for act, command, outcome in zip(acts, commands, outcomes, strict=True):
            self.attempt(act, lambda o=outcome, c=command: self.as_answered(c, o))

    def as_answered(self, command: Any, outcome: Any) -> Any:
        """A batch gives receipts; what collects gets the document beside it."""
        recorded = accepted(outcome)
        signed = command.spoken.signed
        if isinstance(command, SpeakAsRecipient) and signed.payload_type.endswith(
            "collect.v1+json"
        ):
            handed_over = self.hub.collect(command.spoken.agency, signed)
            assert handed_over.recorded == recorded
            return handed_over
        return recorded

    def finish_batch(self, acts: list[Act]) -> None:
        """Which of them stand nobody was told; all of them are sent again, in their order."""
        self.settle()
        standing = self.hub.log.requests([act.key for act in acts])
        for act in acts:
            if act.key in standing and not any(act is said for said in self.model.said.values()):
                assert act.refusal() is None
                self.note(act)
        for act in acts:
            if act.answer is None and any(act is said for said in self.model.said.values()):
                act.answer = act.send(self.hub, act.signed)
                self.answered.append(act)
            elif act.answer is None:
                self.attempt(act)

    # --- saying them again --------------------------------------------------------------------

    @precondition(lambda self: self.pending)
    @rule(number=pick)
    def finish(self, number: int) -> None:
        """What got no answer is sent again, much later perhaps; then the rules of then hold."""
        self.attempt(self.pending.pop(number % len(self.pending)))

    @precondition(lambda self: self.answered)
    @rule(number=pick, how=st.sampled_from(["same bytes", "signed anew", "signed by a stranger"]))
    def retry(self, number: int, how: str) -> None:
        act = self.answered[number % len(self.answered)]
        by = party(act.caller)
        if how == "signed by a stranger":
            by = Party(act.caller, key_name="stranger")
        signed = act.signed if how == "same bytes" else by.sign(*payload_of(act.signed))
        size = len(self.hub.log.entries(0, 1_000_000))
        assert act.send(self.hub, signed) == act.answer
        assert len(self.hub.log.entries(0, 1_000_000)) == size

    @precondition(lambda self: self.answered)
    @rule(number=pick)
    def reuse(self, number: int) -> None:
        """A request id that was accepted carries nothing else."""
        caller, request_id = self.answered[number % len(self.answered)].key
        other = party(caller).envelope(next(c for c in CODES if c != caller), request_id=request_id)
        with pytest.raises(RequestIdReused):
            self.hub.submit(caller, other)

    # --- time, faults, restarts -----------------------------------------------------------------

    @rule(minutes=st.sampled_from([-300, -1, 1, 11, 61, 600, 3000]))
    def move_clock(self, minutes: int) -> None:
        # No earlier than the certificates: their validity is another test's.
        self.hub.clock.set(max(START, self.hub.clock() + timedelta(minutes=minutes)))

    @rule(jobs=st.sampled_from([1, 2]), hours=st.sampled_from([0, 1, 6]))
    def expire(self, jobs: int, hours: int) -> None:
        """Until a round ends without a fault: that is what the job does every half minute."""
        self.hub.clock.advance(timedelta(hours=hours))
        self.settle()
        size = len(self.hub.log.entries(0, 1_000_000))
        if jobs == 2:
            rows = self.hub.views.overdue(self.hub.clock(), 100)
            commands = [ExpireDelivery(r.exchange_id, r.recipient, r.expires_at) for r in rows]
            self.hub.process(*commands, *commands)
        while True:
            self.settle()
            with suppress(*LATER):
                self.hub.expire()
                break
        self.settle()
        events = [parse_leaf(entry.state) for entry in self.hub.log.entries(size, 1_000_000)]
        recorded = [(UUID(event.data["exchange"]), event.data["agency"]) for event in events]
        self.model.expire(self.hub.clock(), recorded)

    @rule(
        write=st.sampled_from(WRITES),
        fault=st.sampled_from(list(Fault)),
        calls=st.sampled_from([1, 1, 2]),
    )
    def break_a_write(self, write: str, fault: Fault, calls: int) -> None:
        self.hub.break_next(write, fault, calls=calls)

    @rule()
    def restart(self) -> None:
        while True:  # A hub that cannot load does not serve; somebody starts it again.
            with suppress(OSError):
                self.hub = self.hub.restarted()
                return

    # --- looking --------------------------------------------------------------------------------

    @rule(who=agencies, after=st.integers(0, 12), limit=st.integers(1, 5))
    def read_boxes(self, who: Party, after: int, limit: int) -> None:
        self.settle()
        boxes = (
            (self.model.inboxes, self.hub.exchanges.inbox, self.check_inbox),
            (self.model.outboxes, self.hub.exchanges.outbox, self.check_outbox),
        )
        for lines, ask, check in boxes:
            if after > len(lines[who.code]):
                with pytest.raises(NumberUnknown):
                    run(ask(who.code, after, limit))
            else:
                check(who.code, after, limit)

    @precondition(lambda self: self.model.docs)
    @rule(who=whoever, number=pick, at=pick)
    def look(self, who: Party | None, number: int, at: int) -> None:
        """The exchange, and the content."""
        self.settle()
        doc = self.doc(number)
        by = who or self.recipient(doc, at)
        self.check_exchange(doc, by.code)
        self.check_content(doc, by.code)

    @precondition(lambda self: self.model.said)
    @rule(who=agencies, number=pick)
    def read_statement(self, who: Party, number: int) -> None:
        self.settle()
        positions = list(self.model.said)
        position = positions[number % len(positions)]
        act = self.model.said[position]
        ask = lambda: run(self.hub.exchanges.statement(who.code, position))  # noqa: E731
        if (expected := self.hidden_from(who.code, act)) is None:
            assert ask().statement == act.signed
        else:
            with pytest.raises(expected):
                ask()

    def hidden_from(self, code: str, act: Act) -> type[HubError] | None:
        """Why a statement is not shown: to strangers none, to recipients an envelope unread."""
        if code not in act.parties():
            return PositionUnknown
        for doc in self.model.docs:
            if doc.envelope.payload == act.signed.payload and code != doc.sender:
                return doc.refusal_of_content(code)
        return None

    def teardown(self) -> None:
        for switch in self.hub.stores.switches.values():
            switch._armed.clear()
        # Nothing fails any more: whoever repeats is answered at once.
        for act in [self.pending.pop(0) for _ in range(len(self.pending))]:
            self.attempt(act)
        assert self.pending == []
        self.settle()
        for hub in (self.hub, self.hub.restarted()):
            self.hub = hub
            check_whole(hub)
            for code in CODES:
                self.check_inbox(code, 0, 999)
                self.check_outbox(code, 0, 999)
                for doc in self.model.docs:
                    self.check_exchange(doc, code)
                    self.check_content(doc, code)
            for act in self.answered:
                assert act.send(hub, act.signed) == act.answer
        statements = [event for event in self.hub.events() if "statement" in event.data]
        assert len(statements) == len(self.model.said)
        assert self.hub.engine.frozen is None

    # --- steps ----------------------------------------------------------------------------------

    def attempt(self, act: Act, ask: Callable[[], Any] | None = None) -> None:
        """Say it once, and hold what comes of it against the model."""
        stands = any(act is said for said in self.model.said.values())
        expected = None if stands else act.refusal()
        try:
            answer = ask() if ask else act.send(self.hub, act.signed)
        except LATER:
            self.settle()
            if not stands and self.hub.log.requests([act.key]):
                assert expected is None, "what is refused is not recorded"
                self.note(act)
            self.pending.append(act)
        except HubError as refusal:
            given = type(refusal)
            assert given is expected
        else:
            assert expected is None, f"{expected} was due"
            if not stands:
                self.note(act)
            assert act.answer in (None, answer)
            act.answer = answer
            self.answered.append(act)

    def note(self, act: Act) -> None:
        """It is recorded: what follows from it is visible from now on."""
        found = self.hub.log.requests([act.key])[act.key]
        (entry,) = self.hub.log.entries(found.position, 1)
        event = parse_leaf(entry.state)
        skewed = abs(event.time - START) > SKEW
        assert event.data["warnings"] == (["CLOCK_SKEW"] if skewed else [])
        act.apply(found.exchange_id)
        self.model.said[found.position] = act

    def settle(self) -> None:
        """What was left undone is done without anybody asking."""
        while self.hub.engine.behind:
            assert self.hub.process() == []

    def submission(
        self,
        sender: Party,
        mask: int,
        size: int,
        hours: int | None,
        *,
        action: str = "new",
        older: Doc | None = None,
    ) -> Act:
        others = [code for code in CODES if code != sender.code]
        recipients = [code for bit, code in enumerate(others) if mask & (1 << bit)]
        number = next(self.numbers)
        contents = [b"%d of %d" % (each, number) for each in range(size)]
        changes: dict[str, Any] = {"document": {"subject": f"V/v số {number}"}, "action": action}
        limit = None if hours is None else self.hub.clock() + timedelta(hours=hours)
        if limit is not None:
            changes["expires_at"] = instant(limit)
        if older is not None:
            changes["relates_to"] = older.envelope.digest.hex()
        envelope = sender.envelope(*recipients, contents=contents, **changes)

        def apply(exchange_id: UUID) -> None:
            at = {code: Delivered() for code in recipients}
            doc = Doc(exchange_id, sender.code, envelope, contents, limit, at, f"V/v số {number}")
            self.model.docs.append(doc)
            self.model.tell("DOCUMENT", doc)
            if older is not None:
                replaces = action == "replace"
                self.model.tell("REPLACED" if replaces else "UPDATED", older, exchange_id)
                if replaces:
                    older.replaced_by = exchange_id

        return Act(
            caller=sender.code,
            signed=envelope,
            send=lambda hub, signed: hub.submit(sender.code, signed, contents),
            refusal=lambda: ExchangeUnknown if older and older.sender != sender.code else None,
            apply=apply,
            parties=lambda: {sender.code, *recipients},
        )

    def collection(self, doc: Doc, by: Party) -> Act:
        def apply(_: UUID) -> None:
            delivered = doc.at[by.code]
            delivered.collected = True
            delivered.state = max(delivered.state, DeliveryState.COLLECTED)
            self.model.outboxes[doc.sender].append(("HANDED_OVER", doc, by.code, ""))

        def refusal() -> type[HubError] | None:
            if (stranger := not_a_recipient(doc, by.code)) is not None:
                return stranger
            return ContentWithheld if doc.withholds_from(by.code) else None

        def send(hub: MemoryHub, signed: SignedStatement) -> Any:
            handed_over = hub.collect(by.code, signed)
            assert handed_over.envelope.statement == doc.envelope
            return handed_over

        return Act(
            caller=by.code,
            signed=by.collect(doc.envelope),
            send=send,
            refusal=refusal,
            apply=apply,
            parties=lambda: {doc.sender, by.code},
        )

    def status(self, doc: Doc, by: Party, code: str) -> Act:
        def apply(_: UUID) -> None:
            delivered = doc.at[by.code]
            delivered.state = max(delivered.state, STATE_OF_CODE[code])
            self.model.outboxes[doc.sender].append(("STATUS", doc, by.code, code))

        return Act(
            caller=by.code,
            signed=by.status(doc.envelope, code),
            send=lambda hub, signed: hub.report(by.code, signed),
            refusal=lambda: not_a_recipient(doc, by.code),
            apply=apply,
            parties=lambda: {doc.sender, by.code},
        )

    def recall(self, doc: Doc, by: Party) -> Act:
        def apply(_: UUID) -> None:
            doc.recalled = True
            for delivered in doc.at.values():
                delivered.recall = RecallState.ASKED
            self.model.tell("RECALL", doc)

        def refusal() -> type[HubError] | None:
            if by.code != doc.sender:
                return NotAParty if by.code in doc.at else ExchangeUnknown
            return RecallAskedAlready if doc.recalled else None

        return Act(
            caller=by.code,
            signed=by.recall(doc.envelope),
            send=lambda hub, signed: hub.recall(by.code, signed),
            refusal=refusal,
            apply=apply,
            parties=lambda: {doc.sender, *doc.at},
        )

    def answer(self, doc: Doc, by: Party, code: str) -> Act:
        def apply(_: UUID) -> None:
            agreed = code == "15"
            doc.at[by.code].recall = RecallState.AGREED if agreed else RecallState.REFUSED
            self.model.outboxes[doc.sender].append(("RECALL_ANSWER", doc, by.code, code))

        def refusal() -> type[HubError] | None:
            if (stranger := not_a_recipient(doc, by.code)) is not None:
                return stranger
            asked = doc.at[by.code].recall is RecallState.ASKED
            return None if asked else RecallNotOpen

        return Act(
            caller=by.code,
            signed=by.recall_answer(doc.envelope, code),
            send=lambda hub, signed: hub.answer(by.code, signed),
            refusal=refusal,
            apply=apply,
            parties=lambda: {doc.sender, by.code},
        )

    def doc(self, number: int) -> Doc:
        return self.model.docs[number % len(self.model.docs)]

    def open_recall(self, number: int, at: int) -> Doc:
        """Mostly a document that somebody has still to answer for."""
        docs = [
            doc
            for doc in self.model.docs
            if any(delivered.recall is RecallState.ASKED for delivered in doc.at.values())
        ]
        return docs[number % len(docs)] if docs and at % 4 else self.doc(number)

    def recipient(self, doc: Doc, number: int) -> Party:
        codes = sorted(doc.at)
        return party(codes[number % len(codes)])

    # --- what must be seen ------------------------------------------------------------------------

    def check_inbox(self, code: str, after: int, limit: int) -> None:
        rows = list(run(self.hub.exchanges.inbox(code, after, limit)))
        wanted = self.model.inboxes[code][after : after + limit]
        seen = [(row.kind.name, row.exchange_id, row.by_exchange) for row, _, _ in rows]
        assert seen == [(kind, doc.id, by) for kind, doc, by in wanted]
        numbers = range(after + 1, after + 1 + len(wanted))
        assert [row.seq for row, _, _ in rows] == list(numbers)
        for (line, row, document), (_, doc, _) in zip(rows, wanted, strict=True):
            item = convert.inbox_item(line, row, document)
            delivered = doc.at[code]
            assert Delivered(row.state, row.collected, row.recall, row.expired) == delivered
            assert (document.sender, document.replaced_by) == (doc.sender, doc.replaced_by)
            agreed = delivered.recall is RecallState.AGREED
            assert item.subject == ("" if agreed else doc.subject)

    def check_outbox(self, code: str, after: int, limit: int) -> None:
        rows = list(run(self.hub.exchanges.outbox(code, after, limit)))
        wanted = self.model.outboxes[code][after : after + limit]
        seen = [(line.kind.name, line.exchange_id, line.recipient, line.code) for line, _ in rows]
        assert seen == [(kind, doc.id, by, said) for kind, doc, by, said in wanted]
        numbers = range(after + 1, after + 1 + len(wanted))
        assert [line.seq for line, _ in rows] == list(numbers)

    def check_exchange(self, doc: Doc, code: str) -> None:
        ask = lambda: run(self.hub.exchanges.exchange(code, doc.id))  # noqa: E731
        if code != doc.sender and code not in doc.at:
            with pytest.raises(ExchangeUnknown):
                ask()
            return
        view = ask()
        seen = {
            row.recipient: Delivered(row.state, row.collected, row.recall, row.expired)
            for row in view.deliveries
        }
        assert seen == (doc.at if code == doc.sender else {code: doc.at[code]})
        assert view.document.replaced_by == doc.replaced_by

    def check_content(self, doc: Doc, code: str) -> None:
        expected = not_a_recipient(doc, code) or doc.refusal_of_content(code)
        for index, content in enumerate(doc.contents):
            if expected is None:
                assert self.hub.download(code, doc.id, index) == content
            else:
                with pytest.raises(expected):
                    self.hub.download(code, doc.id, index)


def party(code: str) -> Party:
    return next(each for each in PARTIES if each.code == code)


def payload_of(signed: SignedStatement) -> tuple[str, bytes]:
    return signed.payload_type, signed.payload


def not_a_recipient(doc: Doc, code: str) -> type[HubError] | None:
    if code in doc.at:
        return None
    return NotAParty if code == doc.sender else ExchangeUnknown


SHORT = settings(
    max_examples=70,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(
    max_examples=3000,
    stateful_step_count=100,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.early
@pytest.mark.timeout(600)  # A failure is made small first, which takes its time.
def test_every_agency_sees_what_it_must_whatever_happens_in_whatever_order():
    run_state_machine_as_test(Life, settings=SHORT)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_every_agency_sees_what_it_must_over_long_lives():
    run_state_machine_as_test(Life, settings=LONG)
