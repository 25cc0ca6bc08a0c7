"""The request row that belongs to an event, as far as the event says it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from hub.application.registry import operator_key_owner
from hub.domain.approval import Approval
from hub.domain.catalogue import AUDIT_TOPICS
from hub.domain.exchange import AXIS, Exchange
from hub.proof.leaf import Event


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """Whose request an event accepted. `digest` is None where the event does not say it."""

    caller: str
    request_id: str
    digest: bytes | None
    exchange_id: UUID | None


def request_of(event: Event) -> RecordedRequest | None:
    """The request an event answered; None for what nobody asked for.

    What an operator's call was bound to stands in no event.
    """
    data = event.data
    request_id = data.get("request_id")
    if not request_id:
        return None
    if renewal := data.get("renewal"):
        return RecordedRequest(data["agency"], request_id, bytes.fromhex(renewal["digest"]), None)
    if "statement" not in data:
        role = "auditor" if event.topic in AUDIT_TOPICS else "operator"
        return RecordedRequest(f"{role}:{data['by']}", request_id, None, _exchange_of(event))
    record = data["statement"]
    if event.topic == Exchange.AxisDocumentTaken.TOPIC:
        caller = AXIS
    elif event.topic == Approval.Created.TOPIC:
        caller = operator_key_owner(data["by"])
    else:
        caller = record.get("by_agency") or data.get("agency") or data["sender"]
    return RecordedRequest(
        caller=caller,
        request_id=request_id,
        digest=bytes.fromhex(record["digest"]),
        exchange_id=_exchange_of(event) or event.id,
    )


def _exchange_of(event: Event) -> UUID | None:
    exchange = event.data.get("exchange")
    return UUID(exchange) if exchange else None
