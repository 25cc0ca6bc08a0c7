"""What an issuer said about revocation on a day: kept for good, as proof of what was known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from hub.domain.aggregate import Aggregate


class RevocationEvidence(Aggregate):
    """One list or OCSP answer that was fetched ahead, or handed in, and verified.

    An aggregate of its own, as a timestamp is: years of them are never read in the lane.
    """

    TOPIC = "hub.RevocationEvidence"

    class Created(Aggregate.Created):
        """It lies in the evidence store from here on: a list, or an answer (`crl`, `ocsp`).

        A list is the newest of its issuer, an answer the newest about one certificate.
        `evidence` is its SHA-256, `issuer` that of the issuer's name (DER) and
        the identifier of its key, where list or certificate names it, `number` the CRL
        number in decimal, empty where there is none. `certificate` is the digest of the one that
        an answer is about, and `status` is `good` or `revoked`; both are empty for lists.
        `source` is the operator's name for where it came from, `given` where whoever enrolled
        a certificate brought it along.
        """

        TOPIC = "hub.Log.RevocationEvidenceStored"
        class_version = 2
        source: str
        kind: str
        issuer: str
        evidence: str
        number: str
        certificate: str
        status: str
        this_update: str
        next_update: str

        @staticmethod
        def upcast_v1_v2(data: Mapping[str, Any]) -> Mapping[str, Any]:
            """Only lists were stored then."""
            return {**data, "certificate": "", "status": ""}

    @classmethod
    def store(cls, *, evidence_id: UUID, at: datetime, **facts: str) -> Self:
        """Record what was verified."""
        return cls._create(cls.Created, id=evidence_id, timestamp=at, **facts)

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
