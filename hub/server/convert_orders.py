"""Operators, orders and retention on the wire: what `convert` is for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from hub.application.erasure import Executed
from hub.application.ports import OrderRow
from hub.application.registry import OperatorEntry
from hub.application.retention import Due, DuePage
from hub.errors import RequestMalformed
from hub.server import convert
from hub.v1 import orders_pb2, registry_service_pb2

_DIGITS_MAX = 18


def place_of_token(token: str) -> int:
    """The position of the last order of the page before; below all of them for the first."""
    if not token:
        return -1
    if not (token.isascii() and token.isdigit() and len(token) <= _DIGITS_MAX):
        raise RequestMalformed("page_token is not one of ours", field="page_token")
    return int(token)


def exchange_of_token(token: str) -> UUID | None:
    """The last document that was looked at for the page before; None for the first."""
    return convert.uuid(token, "page_token") if token else None


def list_operators_response(
    entries: Sequence[OperatorEntry],
) -> registry_service_pb2.ListOperatorsResponse:
    """All operators in force."""
    return registry_service_pb2.ListOperatorsResponse(
        operators=[
            orders_pb2.Operator(
                name=entry.name,
                line=entry.line,
                certificates=[bytes.fromhex(digest) for digest in entry.principals],
            )
            for entry in entries
        ]
    )


def approve_order_response(done: Executed) -> registry_service_pb2.ApproveOrderResponse:
    """An approval, and what was carried out."""
    return registry_service_pb2.ApproveOrderResponse(
        receipt=convert.receipt(done.approval), executed=convert.receipt(done.executed)
    )


def list_orders_response(
    rows: Sequence[OrderRow], size: int
) -> registry_service_pb2.ListOrdersResponse:
    """A page of orders from one row more than the page holds."""
    return registry_service_pb2.ListOrdersResponse(
        orders=[_order(row) for row in rows[:size]],
        next_page_token=str(rows[size - 1].position) if len(rows) > size else "",
    )


def plan_retention_response(page: DuePage) -> registry_service_pb2.PlanRetentionResponse:
    """A page of documents past their time."""
    return registry_service_pb2.PlanRetentionResponse(
        documents=[_due(due) for due in page.documents],
        next_page_token=str(page.next_after or ""),
    )


def _order(row: OrderRow) -> orders_pb2.Order:
    return orders_pb2.Order(
        digest=row.digest,
        position=row.position,
        action=row.action,
        exchange_id=str(row.exchange_id or ""),
        envelope_digest=row.envelope_digest or b"",
        reason=row.reason,
        basis=row.basis,
        ordered_by=row.ordered_by,
        order_time=convert.timestamp(row.ordered_at),
        lapse_time=convert.timestamp(row.lapses_at),
        hub_key=row.hub_key or "",
        approved_by=row.approved_by or "",
        approval_time=convert.timestamp(row.approved_at) if row.approved_at else None,
    )


def _due(due: Due) -> orders_pb2.DueDocument:
    document = due.document
    return orders_pb2.DueDocument(
        exchange_id=str(document.exchange_id),
        envelope_digest=document.envelope_digest,
        sender=document.sender,
        kind=due.kind,
        years=due.years,
        accept_time=convert.timestamp(document.accepted_at),
        attachment_bytes=document.attachment_bytes,
    )
