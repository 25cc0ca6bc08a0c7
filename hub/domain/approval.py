"""An operator's signed word for a step that takes two of them: the order, then its approval."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from hub.domain.aggregate import Aggregate, StatementRecord, derived_id


class Approval(Aggregate):
    """What one operator signed. An aggregate of its own, like a refusal (docs/decisions/0006).

    An order may be approved once: the approval's id follows from the order's, so the log has
    no room for a second one.
    """

    TOPIC = "hub.Approval"

    class Created(Aggregate.Created):
        """An operator ordered an action, or approved the order of another.

        `statement` says which of the two; `order` is the digest of the order in both. What
        the action concerns, why, and until when it may be approved, is the order's in both.
        Words lie in the statement's payload.
        """

        TOPIC = "hub.Principal.ApprovalGiven"
        class_version = 2
        by: str
        request_id: str
        statement: StatementRecord
        enrolment: int
        order: str
        action: str
        exchange: str | None
        envelope_digest: str | None
        hub_key: str | None
        reason: str
        basis: str
        lapses_at: str
        warnings: list[str]

        @staticmethod
        def upcast_v1_v2(data: Mapping[str, Any]) -> Mapping[str, Any]:
            """Before keys were changed by two operators, no order concerned one."""
            return {**data, "hub_key": None}

    @classmethod
    def give(cls, *, approval_id: UUID, at: datetime, **facts: Any) -> Self:
        """Record an operator's word that has passed every check."""
        return cls._create(cls.Created, id=approval_id, timestamp=at, **facts)

    def __init__(self, by: str, order: str) -> None:
        self.by = by
        self.order = order


def approval_id(order_id: UUID) -> UUID:
    """The id of the one approval that an order can get."""
    return derived_id(order_id, b"approval")
