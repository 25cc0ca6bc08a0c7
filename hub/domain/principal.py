"""Who may call the hub without being an agency: auditors and operators."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from hub.domain.aggregate import Aggregate


class Principal(Aggregate):
    """An auditor or an operator."""

    TOPIC = "hub.Principal"

    class Created(Aggregate.Created):
        """A person or program was given a role.

        `certificate` is SHA-256 of its transport certificate's DER in hexadecimal.
        """

        TOPIC = "hub.Principal.PrincipalEnrolled"
        name: str
        role: str
        key_id: str
        certificate: str
        not_before: str
        not_after: str
        by: str

    @classmethod
    def enrol(cls, *, principal_id: UUID, at: datetime, **facts: str) -> Self:
        """Give a role to whoever holds the certificate's key."""
        return cls._create(cls.Created, id=principal_id, timestamp=at, **facts)

    def __init__(self, name: str, role: str) -> None:
        self.name = name
        self.role = role
