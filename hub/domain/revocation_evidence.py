"""What an issuer said about revocation on a day: kept for good, as proof of what was known."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from hub.domain.aggregate import Aggregate


class RevocationEvidence(Aggregate):
    """One list that was fetched ahead and verified.

    An aggregate of its own, as a timestamp is: years of them are never read in the lane.
    """

    TOPIC = "hub.RevocationEvidence"

    class Created(Aggregate.Created):
        """A revocation list lies in the evidence store from here on, the newest of its issuer.

        `evidence` is its SHA-256, `issuer` that of the issuer's name (DER) and
        the identifier of its key, where the list names it, `number` the CRL
        number in decimal, empty where it states none. `source` is the operator's name for where
        it came from.
        """

        TOPIC = "hub.Log.RevocationEvidenceStored"
        source: str
        kind: str
        issuer: str
        evidence: str
        number: str
        this_update: str
        next_update: str

    @classmethod
    def store(cls, *, evidence_id: UUID, at: datetime, **facts: str) -> Self:
        """Record a list that was verified."""
        return cls._create(cls.Created, id=evidence_id, timestamp=at, **facts)

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
