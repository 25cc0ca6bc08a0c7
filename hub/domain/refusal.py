"""A submission the hub refused: the evidence that it was tried (ETSI SubmissionRejection)."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from hub.domain.aggregate import Aggregate


class Refusal(Aggregate):
    """One refused submission of an authenticated agency.

    An aggregate of its own, so that an agency that knocks in vain a million times does
    not make its own history slow to read (docs/decisions/0006).
    """

    TOPIC = "hub.Refusal"

    class Created(Aggregate.Created):
        """An authenticated agency's statement was refused. Nobody gets a receipt for it."""

        TOPIC = "hub.Agency.SubmissionRefused"
        agency: str
        reason: str
        payload_type: str
        digest: str

    @classmethod
    def record(
        cls,
        *,
        refusal_id: UUID,
        at: datetime,
        agency: str,
        reason: str,
        payload_type: str,
        digest: str,
    ) -> Self:
        """Record a refusal; `digest` is SHA-256 of the refused payload in hexadecimal."""
        return cls._create(
            cls.Created,
            id=refusal_id,
            timestamp=at,
            agency=agency,
            reason=reason,
            payload_type=payload_type,
            digest=digest,
        )

    def __init__(self, agency: str) -> None:
        self.agency = agency
