"""One document on its way from one agency to others."""

from __future__ import annotations

from datetime import datetime
from typing import Self, TypedDict
from uuid import UUID

from hub.domain.aggregate import Aggregate, StatementRecord


class Consignment(TypedDict):
    """A recipient, with the gapless number of this document in its inbox (from 1)."""

    agency: str
    inbox_seq: int


class ContentRecord(TypedDict):
    """An attachment as events remember it: SHA-256 in hexadecimal, size in bytes."""

    sha256: str
    size: int


class Exchange(Aggregate):
    """Opened when the hub accepts an envelope; its recipients and content never change."""

    TOPIC = "hub.Exchange"

    class Created(Aggregate.Created):
        """The hub accepted a document for all its recipients.

        `enrolment` is the position of the certificate enrolment the hub relied on.
        Titles and names are not here: they lie in the payload, which can be erased by law.
        """

        TOPIC = "hub.Exchange.DocumentSubmitted"
        sender: str
        request_id: str
        statement: StatementRecord
        enrolment: int
        action: str
        relates_to: str | None
        expires_at: str | None
        recipients: list[Consignment]
        attachments: list[ContentRecord]
        warnings: list[str]

    @classmethod
    def submit(
        cls,
        *,
        exchange_id: UUID,
        at: datetime,
        sender: str,
        request_id: str,
        statement: StatementRecord,
        enrolment: int,
        action: str,
        relates_to: str | None,
        expires_at: str | None,
        recipients: list[Consignment],
        attachments: list[ContentRecord],
        warnings: list[str],
    ) -> Self:
        """Accept a document that has passed every check."""
        return cls._create(
            cls.Created,
            id=exchange_id,
            timestamp=at,
            sender=sender,
            request_id=request_id,
            statement=statement,
            enrolment=enrolment,
            action=action,
            relates_to=relates_to,
            expires_at=expires_at,
            recipients=recipients,
            attachments=attachments,
            warnings=warnings,
        )

    def __init__(
        self,
        sender: str,
        statement: StatementRecord,
        recipients: list[Consignment],
        attachments: list[ContentRecord],
    ) -> None:
        self.sender = sender
        self.envelope_digest = statement["digest"]
        self.recipients = [consignment["agency"] for consignment in recipients]
        self.attachments = attachments
