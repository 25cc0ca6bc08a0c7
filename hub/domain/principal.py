"""Who may call the hub without being an agency: auditors and operators."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import event

from hub.domain.aggregate import Aggregate
from hub.domain.values import format_time
from hub.errors import RequestMalformed


class Principal(Aggregate):
    """An auditor or an operator."""

    TOPIC = "hub.Principal"

    class Created(Aggregate.Created):
        """A person or program was given a role.

        `certificate` is SHA-256 of its transport certificate's DER in hexadecimal.
        `request_id` is the operator's; empty for those enrolled when the hub was founded.
        """

        TOPIC = "hub.Principal.PrincipalEnrolled"
        class_version = 2
        name: str
        role: str
        key_id: str
        certificate: str
        not_before: str
        not_after: str
        by: str
        request_id: str

        @staticmethod
        def upcast_v1_v2(data: Mapping[str, Any]) -> Mapping[str, Any]:
            """Only founders were enrolled before there was a request to do it by."""
            return {**data, "request_id": ""}

    class PrincipalRevoked(Aggregate.Event):
        """The certificate is good for nothing from here on; its key is never enrolled again.

        `certificate` is SHA-256 of its DER in hexadecimal, `reason` a code word. `effective` is
        since when it was not its holder's alone: what was done with it after that may be
        somebody else's doing. It stands.
        """

        TOPIC = "hub.Principal.PrincipalRevoked"
        name: str
        role: str
        certificate: str
        reason: str
        effective: str
        by: str
        request_id: str

    @classmethod
    def enrol(cls, *, principal_id: UUID, at: datetime, **facts: str) -> Self:
        """Give a role to whoever holds the certificate's key."""
        return cls._create(cls.Created, id=principal_id, timestamp=at, **facts)

    def __init__(self, name: str, role: str, certificate: str) -> None:
        self.name = name
        self.role = role
        self.certificate = certificate

    def revoke(
        self, *, at: datetime, reason: str, effective: datetime, by: str, request_id: str
    ) -> None:
        """End the role of whoever holds this certificate's key. Whether it may, others decide.

        Raises RequestMalformed for a time that has not come.
        """
        if effective > at:
            raise RequestMalformed(
                "a revocation takes effect now or earlier, not later", field="effective_time"
            )
        self.trigger_event(
            self.PrincipalRevoked,
            timestamp=at,
            name=self.name,
            role=self.role,
            certificate=self.certificate,
            reason=reason,
            effective=format_time(effective),
            by=by,
            request_id=request_id,
        )

    @event(PrincipalRevoked)
    def _apply_revoked(self) -> None:
        pass  # The register forgets it; nothing else is asked of a principal.
