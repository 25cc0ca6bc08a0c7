"""Who takes part in the exchange, with which certificates."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from eventsourcing.domain import event

from hub.domain.aggregate import Aggregate


class Agency(Aggregate):
    """An agency that may send and receive documents."""

    TOPIC = "hub.Agency"

    class Created(Aggregate.Created):
        """An operator registered the agency. `by` names the operator."""

        TOPIC = "hub.Agency.AgencyRegistered"
        code: str
        name: str
        by: str
        request_id: str

    class CertificateEnrolled(Aggregate.Event):
        """A certificate came into force for the agency.

        `certificate` is SHA-256 of the DER in hexadecimal; the certificate itself lies in
        the evidence store. `purpose` is `signing` or `transport`; `algorithm` is empty for
        transport.
        """

        TOPIC = "hub.Agency.CertificateEnrolled"
        agency: str
        purpose: str
        algorithm: str
        key_id: str
        certificate: str
        not_before: str
        not_after: str
        by: str
        request_id: str

    @classmethod
    def register(
        cls, *, agency_id: UUID, at: datetime, code: str, name: str, by: str, request_id: str
    ) -> Self:
        """Register an agency under a code nobody has."""
        return cls._create(
            cls.Created,
            id=agency_id,
            timestamp=at,
            code=code,
            name=name,
            by=by,
            request_id=request_id,
        )

    def __init__(self, code: str, name: str) -> None:
        self.code = code
        self.name = name
        self.key_ids: list[str] = []

    def enrol(self, *, at: datetime, **facts: str) -> None:
        """Put a certificate into force."""
        self.trigger_event(self.CertificateEnrolled, timestamp=at, agency=self.code, **facts)

    @event(CertificateEnrolled)
    def _apply_enrolled(self, key_id: str) -> None:
        self.key_ids.append(key_id)
