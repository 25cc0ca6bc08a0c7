"""What operators do together: order, approve, and see what is due; and who they are."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hub.client.answers import receipt_of, to_wire
from hub.client.drafting import Draft, Drafting
from hub.client.errors import HubUnreachable, UnexpectedAnswer
from hub.client.line import Line
from hub.client.signing import Signer
from hub.client.verification import ReceiptVerifier
from hub.errors import OperatorUnknown, VerificationFailed
from hub.proof.dsse import SignedStatement, pre_authentication_encoding
from hub.proof.evidence import ReceiptFile
from hub.proof.receipt import Receipt, VerifiedReceipt
from hub.proof.statements import ACTIVATE, COMPROMISE, THAW
from hub.v1 import orders_pb2
from hub.v1 import registry_service_pb2 as calls

APPROVAL_TOPIC = "hub.Principal.ApprovalGiven"
ENROLLED_TOPIC = "hub.Principal.PrincipalEnrolled"
REVOKED_TOPIC = "hub.Principal.PrincipalRevoked"
ERASED_TOPIC = "hub.Exchange.PayloadErased"
ARRIVAL_ERASED_TOPIC = "hub.Relay.ArrivalErased"
ACTIVATED_TOPIC = "hub.HubKey.HubKeyActivated"
COMPROMISED_TOPIC = "hub.HubKey.HubKeyCompromised"
THAWED_TOPIC = "hub.Log.LogThawed"
# What an approval carries out, by what was ordered.
_DONE = {
    "erasure": ERASED_TOPIC,
    "arrival-erasure": ARRIVAL_ERASED_TOPIC,
    ACTIVATE: ACTIVATED_TOPIC,
    COMPROMISE: COMPROMISED_TOPIC,
    THAW: THAWED_TOPIC,
}
PAGE_SIZE = 100
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class OperatorFact:
    """A fact that operators made, with the receipt that was verified on arrival."""

    receipt: Receipt
    fact: VerifiedReceipt

    def evidence(self) -> bytes:
        """The receipt file, which `python -m hub.proof` checks without the hub."""
        return ReceiptFile(self.receipt).format()


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order that is recorded; `digest` is what an approval names."""

    digest: str
    order: OperatorFact


@dataclass(frozen=True, slots=True)
class Approved:
    """An approval, and what was carried out with it."""

    approval: OperatorFact
    executed: OperatorFact


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator in force, by the hub's word; two of one `line` count as one."""

    name: str
    line: str
    certificates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order, by the hub's word; `approved_by` and `approved_at` are None while nobody did."""

    digest: str
    position: int
    action: str
    exchange_id: str
    envelope_digest: str
    reason: str
    basis: str
    ordered_by: str
    ordered_at: datetime
    lapses_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    hub_key: str | None = None


@dataclass(frozen=True, slots=True)
class DueDocument:
    """A document past the time of its kind, by the hub's word."""

    exchange_id: str
    envelope_digest: str
    sender: str
    kind: str
    years: int
    accepted_at: datetime
    attachment_bytes: int


class Orders:
    """What takes two operators. Errors as with `HubClient`.

    A statement is repeated within a call for as long as the policy says. Should the answer
    stay away, list the orders: to order twice does no harm, to approve twice is refused.
    """

    def __init__(self, line: Line, verifier: ReceiptVerifier, hub: str, signer: Signer) -> None:
        self._line = line
        self._verifier = verifier
        self._hub = hub
        self._signer = signer

    async def operators(self) -> list[Operator]:
        """The operators in force, by name."""
        answer = await self._line.call(
            self._line.registry.ListOperators, calls.ListOperatorsRequest()
        )
        return [
            Operator(each.name, each.line, tuple(map(_digest, each.certificates)))
            for each in answer.operators
        ]

    async def enrol_operator(
        self, name: str, certificate: bytes, *, request_id: str | None = None
    ) -> OperatorFact:
        """Let an operator in, by a certificate in DER; in force when this returns.

        Raises OperatorExists, CertificateUnsuitable, KeyTaken and RequestMalformed.
        """
        request_id = request_id or str(uuid.uuid4())
        request = calls.EnrolOperatorRequest(
            request_id=request_id, name=name, certificate=certificate
        )
        with named(request_id):
            answer = await self._line.call(self._line.registry.EnrolOperator, request)
        expected = {
            "name": name,
            "role": "operator",
            "certificate": hashlib.sha256(certificate).hexdigest(),
            "request_id": request_id,
        }
        return await self._fact(receipt_of(answer.receipt), ENROLLED_TOPIC, expected)

    async def revoke_operator(
        self,
        name: str,
        reason: str,
        *,
        effective: datetime | None = None,
        request_id: str | None = None,
    ) -> OperatorFact:
        """Put another operator out, at once.

        Since `effective` (None: now) somebody else may have acted with its certificates. Raises
        OperatorUnknown and RequestMalformed.
        """
        request_id = request_id or str(uuid.uuid4())
        request = calls.RevokeOperatorRequest(request_id=request_id, name=name, reason=reason)
        if effective is not None:
            request.effective_time.FromDatetime(effective)
        with named(request_id):
            answer = await self._line.call(self._line.registry.RevokeOperator, request)
        expected = {"name": name, "reason": reason, "request_id": request_id}
        return await self._fact(receipt_of(answer.receipt), REVOKED_TOPIC, expected)

    async def order_erasure(
        self,
        operator: str,
        envelope_digest: str,
        *,
        reason: str,
        basis: str,
        note: str = "",
        relay: str | None = None,
    ) -> Ordered:
        """Order that a document be erased; nothing is erased before another approves.

        Or, with `relay`, a package from the axis that is parked; then `envelope_digest` is that
        of what is stored of it. Raises ExchangeUnknown, PayloadErased, for a package RelayUnknown,
        RelayNotOpen and DigestMismatch, and what any statement may be refused with.
        """
        drafting = self._drafting(operator)
        draft = drafting.erasure_order(envelope_digest, reason, basis, note or None, relay)
        signed = self._sign(draft)
        request = calls.OrderErasureRequest(order=to_wire(signed))
        answer = await self._line.call(self._line.registry.OrderErasure, request)
        digest = signed.digest.hex()
        expected = {
            "by": operator,
            "order": digest,
            "action": "arrival-erasure" if relay else "erasure",
            "envelope_digest": envelope_digest,
            "request_id": draft.request_id,
        }
        fact = await self._fact(receipt_of(answer.receipt), APPROVAL_TOPIC, expected)
        return Ordered(digest, fact)

    async def approve(self, operator: str, order_digest: str) -> Approved:
        """Approve another's order; when this returns it is carried out.

        Raises OrderUnknown, OrderExecuted, OrderLapsed, SecondOperatorNeeded, PayloadErased,
        HubKeyState, LogNotFrozen, and what any statement may be refused with.
        """
        draft = self._drafting(operator).approval(order_digest)
        request = calls.ApproveOrderRequest(approval=to_wire(self._sign(draft)))
        answer = await self._line.call(self._line.registry.ApproveOrder, request)
        expected = {"by": operator, "order": order_digest, "request_id": draft.request_id}
        approval = await self._fact(receipt_of(answer.receipt), APPROVAL_TOPIC, expected)
        data = approval.fact.event.data
        done: dict[str, str] = {"order": order_digest, "approved_by": operator}
        if data.get("hub_key"):
            done = {"verifier_key": data["hub_key"]}
        topic = _DONE.get(data.get("action", ""), "")
        executed = await self._fact(receipt_of(answer.executed), topic, done)
        return Approved(approval, executed)

    async def order_key_action(
        self,
        operator: str,
        action: str,
        hub_key: str | None,
        *,
        reason: str,
        basis: str,
        note: str = "",
    ) -> Ordered:
        """Order a step in the life of the hub's keys; nothing is done before another approves.

        `action` is one of `KEY_ACTIONS`. Raises HubKeyUnknown, HubKeyState, LogNotFrozen, and
        what any statement may be refused with.
        """
        draft = self._drafting(operator).key_order(action, hub_key, reason, basis, note or None)
        signed = self._sign(draft)
        request = calls.OrderKeyActionRequest(order=to_wire(signed))
        answer = await self._line.call(self._line.registry.OrderKeyAction, request)
        digest = signed.digest.hex()
        expected = {
            "by": operator,
            "order": digest,
            "action": action,
            "hub_key": hub_key,
            "request_id": draft.request_id,
        }
        return Ordered(
            digest, await self._fact(receipt_of(answer.receipt), APPROVAL_TOPIC, expected)
        )

    async def orders(self, *, open_only: bool = False) -> AsyncIterator[OpenOrder]:
        """Every order by rising position, page by page."""
        token = ""
        while True:
            request = calls.ListOrdersRequest(
                page_size=PAGE_SIZE, page_token=token, open_only=open_only
            )
            page = await self._line.call(self._line.registry.ListOrders, request)
            for order in page.orders:
                yield _order(order)
            if not (token := _next(token, page.next_page_token)):
                return

    async def due(self) -> AsyncIterator[DueDocument]:
        """Every document past the time of its kind, in the order they were accepted."""
        token = ""
        while True:
            request = calls.PlanRetentionRequest(page_size=PAGE_SIZE, page_token=token)
            page = await self._line.call(self._line.registry.PlanRetention, request)
            for document in page.documents:
                yield _due(document)
            if not (token := _next(token, page.next_page_token)):
                return

    async def whoami(self, certificate: bytes) -> str:
        """The name under which the hub knows the holder of a certificate in DER.

        Raises OperatorUnknown.
        """
        digest = hashlib.sha256(certificate).hexdigest()
        for operator in await self.operators():
            if digest in operator.certificates:
                return operator.name
        raise OperatorUnknown("no operator in force has the certificate of this profile")

    def _drafting(self, operator: str) -> Drafting:
        return Drafting(self._hub, operator)

    def _sign(self, draft: Draft) -> SignedStatement:
        message = pre_authentication_encoding(draft.payload_type, draft.payload)
        return SignedStatement(
            draft.payload_type, draft.payload, self._signer.key_id, self._signer.sign(message)
        )

    async def _fact(
        self, receipt: Receipt, topic: str, expected: Mapping[str, str | None]
    ) -> OperatorFact:
        return await verified_fact(self._verifier, receipt, topic, expected)


async def verified_fact(
    verifier: ReceiptVerifier, receipt: Receipt, topic: str, expected: Mapping[str, Any]
) -> OperatorFact:
    """A fact of this kind that says this, and whose receipt holds. Raises VerificationFailed."""
    fact = await verifier.verify(receipt)
    if fact.event.topic != topic:
        raise VerificationFailed("the recorded fact is of another kind", step="fact")
    for name, value in expected.items():
        if fact.event.data.get(name) != value:
            raise VerificationFailed(f"the recorded fact has another {name}", step="fact")
    return OperatorFact(receipt, fact)


@contextmanager
def named(request_id: str) -> Iterator[None]:
    """Let a hub that cannot be reached be asked again under the same request id."""
    try:
        yield
    except HubUnreachable as error:
        error.request_id = request_id
        raise


def _next(token: str, following: str) -> str:
    if following and following == token:
        raise UnexpectedAnswer("a page that leads to itself")
    return following


def _digest(data: bytes) -> str:
    if len(data) != _DIGEST_BYTES:
        raise UnexpectedAnswer("a digest that does not have 32 bytes")
    return data.hex()


def _order(order: orders_pb2.Order) -> OpenOrder:
    return OpenOrder(
        digest=_digest(order.digest),
        position=order.position,
        action=order.action,
        exchange_id=order.exchange_id,
        envelope_digest=order.envelope_digest.hex(),
        reason=order.reason,
        basis=order.basis,
        ordered_by=order.ordered_by,
        ordered_at=order.order_time.ToDatetime(tzinfo=UTC),
        lapses_at=order.lapse_time.ToDatetime(tzinfo=UTC),
        approved_by=order.approved_by or None,
        approved_at=order.approval_time.ToDatetime(tzinfo=UTC) if order.approved_by else None,
        hub_key=order.hub_key or None,
    )


def _due(document: orders_pb2.DueDocument) -> DueDocument:
    return DueDocument(
        exchange_id=document.exchange_id,
        envelope_digest=_digest(document.envelope_digest),
        sender=document.sender,
        kind=document.kind,
        years=document.years,
        accepted_at=document.accept_time.ToDatetime(tzinfo=UTC),
        attachment_bytes=document.attachment_bytes,
    )
