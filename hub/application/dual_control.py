"""What takes two operators: one orders, another approves exactly that order, and it is done.

An order is a signed statement that does nothing by itself. The approval names the order by
the digest of its payload; the batch that records the approval also records what was ordered,
or neither. `ACTIONS` says what can be ordered, and what doing it means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from hub.application import intake, key_changes
from hub.application.commands import Spoken, numbered, unknown_exchange
from hub.application.ports import RequestKey
from hub.application.registry import Registry
from hub.application.session import Session
from hub.application.vault import Vault
from hub.domain.approval import Approval, approval_id
from hub.domain.exchange import Exchange
from hub.domain.relay import arrival_id
from hub.domain.values import format_time, parse_time
from hub.errors import (
    DigestMismatch,
    LogFrozen,
    OrderExecuted,
    OrderLapsed,
    OrderUnknown,
    RelayNotOpen,
    RelayUnknown,
    SecondOperatorNeeded,
)
from hub.proof import statements
from hub.proof.leaf import Event
from hub.proof.statements import KEY_ACTIONS, ErasureOrder, KeyOrder

ORDER_LIFE = timedelta(days=7)
"""How long after it was recorded an order may be approved."""

ERASURE = "erasure"
ARRIVAL_ERASURE = "arrival-erasure"


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the log has it. `digest` is SHA-256 of its payload, in hexadecimal."""

    order_id: UUID
    digest: str
    by: str
    action: str
    exchange: str | None
    envelope_digest: str | None
    hub_key: str | None
    reason: str
    basis: str
    lapses_at: datetime

    @classmethod
    def of(cls, event: Event) -> Order:
        """The order that an `ApprovalGiven` records."""
        data = event.data
        return cls(
            event.id,
            data["order"],
            data["by"],
            data["action"],
            data["exchange"],
            data["envelope_digest"],
            data["hub_key"],
            data["reason"],
            data["basis"],
            parse_time(data["lapses_at"]),
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What the approval repeats of it, so that each stands by itself."""
        return {
            "order": self.digest,
            "action": self.action,
            "exchange": self.exchange,
            "envelope_digest": self.envelope_digest,
            "hub_key": self.hub_key,
            "reason": self.reason,
            "basis": self.basis,
            "lapses_at": format_time(self.lapses_at),
        }


@dataclass(frozen=True, slots=True)
class OrderErasure:
    """Record that an operator wants a document erased; nothing is erased yet."""

    spoken: Spoken
    statement: ErasureOrder
    key: bytes = field(repr=False)
    vault: Vault = field(repr=False)

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and the digest of the order."""
        return request_key(self.spoken, self.statement.header.request_id)

    def decide(self, session: Session) -> None:
        """Record `ApprovalGiven` of the order, its words under a key of their own."""
        statement = self.statement
        action, exchange_id = _to_be_erased(session, statement)
        order_id = session.new_id()
        approval = word_of(
            order_id,
            self.spoken,
            statement,
            session,
            order=self.spoken.signed.digest.hex(),
            action=action,
            exchange=str(exchange_id),
            envelope_digest=statement.envelope_digest,
            hub_key=None,
            reason=statement.reason,
            basis=statement.basis,
            lapses_at=format_time(session.at + ORDER_LIFE),
        )
        keep_words(session, self.spoken, self.key, self.vault)
        session.record(approval, self.request, exchange_id)


@dataclass(frozen=True, slots=True)
class ApproveOrder:
    """Record a second operator's approval, and do what was ordered."""

    while_frozen: ClassVar = True

    spoken: Spoken
    statement: statements.Approval
    key: bytes = field(repr=False)
    vault: Vault = field(repr=False)

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and the digest of the approval."""
        return request_key(self.spoken, self.statement.header.request_id)

    def decide(self, session: Session) -> None:
        """Record `ApprovalGiven` of the approval, and right behind it what was done."""
        order = _order_of(session, self.statement.order_digest)
        approved = approval_id(order.order_id)
        if session.history.exists(approved):
            raise OrderExecuted("this order was approved before and has been carried out")
        require_open(order, session.registry, session.at)
        if session.registry.frozen and order.action not in KEY_ACTIONS:
            raise LogFrozen("the log is frozen; only its keys can be changed until it goes on")
        by = self.statement.header.agency
        require_second(session.registry, order.by, by)
        word = word_of(approved, self.spoken, self.statement, session, **order.facts)
        keep_words(session, self.spoken, self.key, self.vault)
        session.record(word, self.request, UUID(order.exchange) if order.exchange else None)
        ACTIONS[order.action](session, order, by, self.spoken.signed.digest.hex())


def require_open(order: Order, registry: Registry, at: datetime) -> None:
    """Refuse an order that can no longer be approved. Raises OrderLapsed."""
    if at > order.lapses_at:
        raise OrderLapsed(
            f"this order could be approved until {format_time(order.lapses_at)}; order it anew",
            lapsed_at=format_time(order.lapses_at),
        )
    if order.by not in registry.operators:
        raise OrderLapsed(f"{order.by}, who gave this order, is no longer an operator")


def require_second(registry: Registry, first: str, second: str) -> None:
    """Refuse two who count as one: the same operator, or one who was let in by the other."""
    lines = registry.operator_lines
    if lines[first] == lines[second]:
        raise SecondOperatorNeeded(
            "an order is approved by an operator other than the one who gave it, and neither "
            "was let in by the other; see the operations guide",
            ordered_by=first,
        )


# --- What can be ordered ------------------------------------------------------------------


def _erase(session: Session, order: Order, approved_by: str, approval: str) -> None:
    exchange = session.history.exchange(UUID(order.exchange))
    exchange.erase(
        at=session.at,
        order=order.digest,
        ordered_by=order.by,
        approval=approval,
        approved_by=approved_by,
        reason=order.reason,
        basis=order.basis,
        notices=numbered(session, exchange.recipients),
        outbox_seq=session.next_outbox_seq(exchange.sender),
    )
    session.record(exchange)


def _erase_arrival(session: Session, order: Order, approved_by: str, approval: str) -> None:
    relay = session.history.relay(arrival_id(UUID(order.exchange)), session.at)
    if relay.stored != order.envelope_digest:
        raise RelayNotOpen("something else is stored of this package by now; order it anew")
    relay.erase(
        at=session.at,
        order=order.digest,
        ordered_by=order.by,
        approval=approval,
        approved_by=approved_by,
        reason=order.reason,
        basis=order.basis,
    )
    session.record(relay)


def _activate(session: Session, order: Order, approved_by: str, approval: str) -> None:
    key_changes.activate(session, order.hub_key or "", by=order.by)


def _compromise(session: Session, order: Order, approved_by: str, approval: str) -> None:
    key_changes.compromise(session, order.hub_key or "", by=order.by)


def _thaw(session: Session, order: Order, approved_by: str, approval: str) -> None:
    key_changes.require_frozen(session.registry)
    log = session.history.log()
    log.thaw(
        at=session.at,
        order=order.digest,
        ordered_by=order.by,
        approval=approval,
        approved_by=approved_by,
        reason=order.reason,
        basis=order.basis,
    )
    session.record(log)


ACTIONS: Mapping[str, Callable[[Session, Order, str, str], None]] = {
    ERASURE: _erase,
    ARRIVAL_ERASURE: _erase_arrival,
    statements.ACTIVATE: _activate,
    statements.COMPROMISE: _compromise,
    statements.THAW: _thaw,
}


# --- Steps they share ---------------------------------------------------------------------


def word_of(
    word_id: UUID,
    spoken: Spoken,
    statement: ErasureOrder | KeyOrder | statements.Approval,
    session: Session,
    **facts: Any,
) -> Approval:
    """The fact that an operator ordered or approved; its signature is judged once more."""
    judged = spoken.judge_again(session)
    return Approval.give(
        approval_id=word_id,
        at=session.at,
        by=statement.header.agency,
        request_id=statement.header.request_id,
        statement=judged.record,
        enrolment=judged.key.position,
        warnings=intake.warnings_for(statement.header.created_at, session.at),
        **facts,
    )


def keep_words(session: Session, spoken: Spoken, key: bytes, vault: Vault) -> None:
    """Keep what an operator signed."""
    # Under a key of its own: the order must stay readable when the document is not. And under
    # an id of its own: that of an approval is the same when it is tried again, its key is not.
    words_id, signed = session.new_id(), spoken.signed
    session.add_document_key(words_id, key)
    session.add_payload(vault.seal_payload(words_id, signed.digest, signed.payload, key))


def _to_be_erased(session: Session, statement: ErasureOrder) -> tuple[str, UUID]:
    """What an order is about: a document, or a package that is parked, under its exchange."""
    if statement.relay is None:
        exchange = _exchange_of(session, statement.envelope_digest)
        exchange.require_words()
        return ERASURE, exchange.id
    relay_id = UUID(statement.relay)
    if not session.history.exists(relay_id):
        raise RelayUnknown("there is no package with this id", relay=statement.relay)
    relay = session.history.relay(relay_id, session.at)
    relay.require_erasable()
    if relay.stored != statement.envelope_digest:
        raise DigestMismatch("what is stored of this package has another digest")
    return ARRIVAL_ERASURE, UUID(relay.exchange)


def _exchange_of(session: Session, envelope_digest: str) -> Exchange:
    accepted = session.request_of(bytes.fromhex(envelope_digest))
    if accepted is not None and accepted.exchange_id is not None:
        exchange = session.history.exchange(accepted.exchange_id)
        # The digest may be that of another statement about the same exchange.
        if exchange.envelope_digest == envelope_digest:
            return exchange
    raise unknown_exchange()


def _order_of(session: Session, digest: str) -> Order:
    accepted = session.request_of(bytes.fromhex(digest))
    if accepted is not None:
        event = session.fact(accepted.position)
        is_word = event.topic == Approval.Created.TOPIC
        # An approval records its order's digest too, but is none.
        if is_word and event.data["statement"]["digest"] == event.data["order"] == digest:
            return Order.of(event)
    raise OrderUnknown("no order with this digest was recorded", order_digest=digest)


def request_key(spoken: Spoken, request_id: str) -> RequestKey:
    """Bound to the operator and the digest of what was signed."""
    return RequestKey(spoken.agency, request_id, spoken.signed.digest)
