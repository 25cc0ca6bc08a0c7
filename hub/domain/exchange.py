"""One document on its way from one agency to others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NotRequired, Self, TypedDict
from uuid import UUID

from eventsourcing.domain import event

from hub.domain.aggregate import Aggregate, StatementRecord
from hub.errors import PayloadErased, RecallAskedAlready


class Consignment(TypedDict):
    """A recipient, with the gapless number of this fact in its inbox (from 1).

    `agency` is the primary code of the agency whose inbox it is. `addressed` is the code as
    the sender signed it, there only where it is another. `via` says by which way the document
    goes there, `axis`; not there where the agency collects it here.
    """

    agency: str
    inbox_seq: int
    addressed: NotRequired[str]
    via: NotRequired[str]


AXIS = "axis"
"""The way to agencies that are not on this hub, and where unsigned documents come from."""


class UnsignedRecord(TypedDict):
    """The hub-made envelope of a document that came over the axis: by digest, signed by nobody."""

    payload_type: str
    digest: str


class ContentRecord(TypedDict):
    """An attachment as events remember it: SHA-256 in hexadecimal, size in bytes."""

    sha256: str
    size: int


class SignatureRecord(TypedDict):
    """What was found out about a signature that an attachment carries, without any name.

    `attachment` counts from 0, `form` is `pdf` or `cms`, `outcome` `valid`, `invalid` or `unknown`
    with its `reason` as a code word; `signer` is `person`, `agency` or `unknown`. `signed_at` is
    the signer's own word, empty where there is none. `stamp` is what became of a timestamp over
    the signature, or over the document later: `valid`, `invalid`, `unknown`, or empty where there
    is none; `stamped_at` is its time, `stamp_over` `signature` or `document`, `stamp_reason` a code
    word. The signature was judged as of `judged_at`: the time of that stamp where `judged_by` is
    `stamp`, of the document's arrival where it is `arrival`.
    """

    attachment: int
    form: str
    outcome: str
    reason: str
    signer: str
    signed_at: str
    stamp: str
    stamped_at: str
    stamp_over: str
    stamp_reason: str
    judged_by: str
    judged_at: str


class Exchange(Aggregate):
    """Opened when the hub accepts an envelope; its recipients and content never change.

    What happens to it later is said to each recipient: every fact that concerns a recipient
    has a number in its inbox.
    """

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

    class AxisDocumentTaken(Aggregate.Created):
        """A document came over the national axis. Nobody signed for it: `sender` is a claim.

        `statement` is the envelope that the hub made of the package. `axis_id` is the axis's id
        for it, `package` and `package_bytes` SHA-256 and size of what came, which is kept beside
        the attachments, behind the last one. `signed` says that the package had a signature,
        which proves nothing.
        """

        TOPIC = "hub.Exchange.AxisDocumentTaken"
        exchange: str
        origin: str
        sender: str
        request_id: str
        statement: UnsignedRecord
        axis_id: str
        package: str
        package_bytes: int
        signed: bool
        action: str
        relates_to: str | None
        expires_at: str | None
        recipients: list[Consignment]
        attachments: list[ContentRecord]
        warnings: list[str]

    class AxisRecallTaken(Aggregate.Event):
        """The axis says that the sender wants its document back; nobody signed for that.

        `form` is `13` for a status, `recall` for a package of that type. `report` is the digest
        of the payload that holds what came.
        """

        TOPIC = "hub.Exchange.AxisRecallTaken"
        sender: str
        envelope_digest: str
        form: str
        relay: str
        axis_id: str
        report: str
        notices: list[Consignment]

    class DocumentUpdated(Aggregate.Event):
        """The sender submitted an update; both documents count from here on.

        `by_exchange` and `by_digest` name the new exchange and its envelope.
        """

        TOPIC = "hub.Exchange.DocumentUpdated"
        sender: str
        by_exchange: str
        by_digest: str
        notices: list[Consignment]

    class DocumentReplaced(Aggregate.Event):
        """The sender submitted a replacement; this document no longer counts."""

        TOPIC = "hub.Exchange.DocumentReplaced"
        sender: str
        by_exchange: str
        by_digest: str
        notices: list[Consignment]

    class RecallRequested(Aggregate.Event):
        """13: the sender asked for the document back. What is not yet collected is withheld."""

        TOPIC = "hub.Exchange.RecallRequested"
        sender: str
        request_id: str
        envelope_digest: str
        statement: StatementRecord
        enrolment: int
        notices: list[Consignment]
        warnings: list[str]

    class SignatureVerdictMade(Aggregate.Event):
        """The hub examined the signatures that the document's attachments carry.

        `document` is the position of the submission, None where the examination was demanded and
        came before it. `report` is the digest of what stands in the payload store: names and
        certificates. All `parties` may know of it; `notices` are for the recipients, where a
        signature is not valid. `demanded` is what was demanded before acceptance: `valid`, and
        the signers of whom there was to be a signature (`person`, `agency`); else empty.
        """

        TOPIC = "hub.Exchange.SignatureVerdictMade"
        class_version = 3
        sender: str
        envelope_digest: str
        document: int | None
        demanded: list[str]
        signatures: list[SignatureRecord]
        report: str
        parties: list[str]
        notices: list[Consignment]

        @staticmethod
        def upcast_v1_v2(data: Mapping[str, Any]) -> Mapping[str, Any]:
            """Nobody could demand more than valid signatures, and no timestamp was looked at."""
            signatures = [{**each, "stamp": "", "stamped_at": ""} for each in data["signatures"]]
            demanded = ["valid"] if data["document"] is None else []
            return {**data, "signatures": signatures, "demanded": demanded}

        @staticmethod
        def upcast_v2_v3(data: Mapping[str, Any]) -> Mapping[str, Any]:
            """All were judged as of their arrival; only timestamps over signatures were told."""
            later = {"stamp_reason": "", "judged_by": "arrival", "judged_at": ""}
            signatures = [
                {**each, "stamp_over": "signature" if each["stamp"] else "", **later}
                for each in data["signatures"]
            ]
            return {**data, "signatures": signatures}

    class AxisSignaturesExamined(Aggregate.Event):
        """The hub examined the signatures of a status or recall that came over the axis.

        `position` is that of the fact that took it in, `relay` its package, `code` what it says:
        a status, `13` or `recall`. `agency` is who is said to have said it. `report` is the digest
        of what stands in the payload store: names and certificates. Nothing follows from it.
        """

        TOPIC = "hub.Exchange.AxisSignaturesExamined"
        sender: str
        envelope_digest: str
        position: int
        relay: str
        agency: str
        code: str
        signatures: list[SignatureRecord]
        report: str
        parties: list[str]

    class SignatureInDoubt(Aggregate.Event):
        """A statement was accepted after the time from which its key is revoked.

        It stands: the revocation came later. `position` is that of the fact that records it,
        `signer` the agency whose key it is, `revocation` the position of the revocation.
        `recipient` is whose statement it is; empty where it is the sender's.
        """

        TOPIC = "hub.Exchange.SignatureInDoubt"
        sender: str
        envelope_digest: str
        recipient: str
        position: int
        signer: str
        key_id: str
        revocation: int
        effective: str
        notices: list[Consignment]
        outbox_seq: int

    class PayloadErased(Aggregate.Event):
        """The document's words and content are erased by law, by order of two operators.

        `order` and `approval` are digests of what the two signed, `reason` a code word,
        `basis` the norm. What the events say of the document stays, and so do all receipts.
        """

        TOPIC = "hub.Exchange.PayloadErased"
        sender: str
        envelope_digest: str
        order: str
        ordered_by: str
        approval: str
        approved_by: str
        reason: str
        basis: str
        notices: list[Consignment]
        outbox_seq: int

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

    @classmethod
    def take(
        cls,
        *,
        exchange_id: UUID,
        at: datetime,
        sender: str,
        request_id: str,
        statement: UnsignedRecord,
        axis_id: str,
        package: str,
        package_bytes: int,
        signed: bool,
        action: str,
        relates_to: str | None,
        recipients: list[Consignment],
        attachments: list[ContentRecord],
    ) -> Self:
        """Take in a document that came over the axis."""
        return cls._create(
            cls.AxisDocumentTaken,
            id=exchange_id,
            timestamp=at,
            exchange=str(exchange_id),
            origin=AXIS,
            sender=sender,
            request_id=request_id,
            statement=statement,
            axis_id=axis_id,
            package=package,
            package_bytes=package_bytes,
            signed=signed,
            action=action,
            relates_to=relates_to,
            expires_at=None,
            recipients=recipients,
            attachments=attachments,
            warnings=[],
        )

    def __init__(
        self,
        sender: str,
        statement: StatementRecord | UnsignedRecord,
        recipients: list[Consignment],
        attachments: list[ContentRecord],
        origin: str = "",
    ) -> None:
        self.sender = sender
        self.origin = origin
        self.envelope_digest = statement["digest"]
        self.recipients = [consignment["agency"] for consignment in recipients]
        self.via = {each["agency"]: each["via"] for each in recipients if "via" in each}
        self.attachments = attachments
        self.recalled = False
        self.recalled_from: set[str] = set()
        self.replaced_by: str | None = None
        self.in_doubt: list[int] = []
        self.examined = False
        self.axis_examined: list[int] = []
        self.erased = False

    def supersede(
        self,
        *,
        at: datetime,
        replaces: bool,
        by_exchange: UUID,
        by_digest: str,
        notices: list[Consignment],
    ) -> None:
        """Link this document to the one that updates or replaces it."""
        self.trigger_event(
            self.DocumentReplaced if replaces else self.DocumentUpdated,
            timestamp=at,
            sender=self.sender,
            by_exchange=str(by_exchange),
            by_digest=by_digest,
            notices=notices,
        )

    def require_recallable(self) -> None:
        """Refuse a second recall: the first one stands until every recipient has answered."""
        if self.recalled:
            raise RecallAskedAlready("this document was recalled already; watch its answers")

    def recall(self, *, at: datetime, **facts: object) -> None:
        """Ask every recipient for the document back, in whatever state it is there."""
        self.trigger_event(self.RecallRequested, timestamp=at, sender=self.sender, **facts)

    def conclude(self, *, at: datetime, **facts: object) -> None:
        """Record what was found out about the signatures its attachments carry."""
        self.trigger_event(
            self.SignatureVerdictMade,
            timestamp=at,
            sender=self.sender,
            envelope_digest=self.envelope_digest,
            **facts,
        )

    @event(SignatureVerdictMade)
    def _apply_verdict(self) -> None:
        self.examined = True

    def examine_axis(self, *, at: datetime, position: int, **facts: object) -> None:
        """Record what was found out about a status or recall that the axis brought."""
        self.trigger_event(
            self.AxisSignaturesExamined,
            timestamp=at,
            sender=self.sender,
            envelope_digest=self.envelope_digest,
            position=position,
            **facts,
        )

    @event(AxisSignaturesExamined)
    def _apply_axis_examined(self, position: int) -> None:
        self.axis_examined.append(position)

    def doubt(self, *, at: datetime, position: int, **facts: object) -> None:
        """Record that the signature behind the fact at a position is in doubt."""
        self.trigger_event(
            self.SignatureInDoubt,
            timestamp=at,
            sender=self.sender,
            envelope_digest=self.envelope_digest,
            position=position,
            **facts,
        )

    @event(SignatureInDoubt)
    def _apply_in_doubt(self, position: int) -> None:
        self.in_doubt.append(position)

    def is_recalled_at(self, agency: str) -> bool:
        """Whether this recipient was asked for the document back."""
        return self.recalled or agency in self.recalled_from

    def take_recall(self, *, at: datetime, notices: list[Consignment], **facts: object) -> None:
        """Ask these recipients for the document back, as the axis says."""
        self.trigger_event(
            self.AxisRecallTaken,
            timestamp=at,
            sender=self.sender,
            envelope_digest=self.envelope_digest,
            notices=notices,
            **facts,
        )

    def require_words(self) -> None:
        """Refuse what needs the document's words or key once these were erased."""
        if self.erased:
            raise erased(self.id)

    def erase(self, *, at: datetime, **facts: object) -> None:
        """Give words and content up, for good. Raises PayloadErased when they are gone already."""
        self.require_words()
        self.trigger_event(
            self.PayloadErased,
            timestamp=at,
            sender=self.sender,
            envelope_digest=self.envelope_digest,
            **facts,
        )

    @event(DocumentUpdated)
    def _apply_updated(self) -> None:
        pass  # Both documents count.

    @event(DocumentReplaced)
    def _apply_replaced(self, by_exchange: str) -> None:
        self.replaced_by = by_exchange

    @event(RecallRequested)
    def _apply_recalled(self) -> None:
        self.recalled = True

    @event(AxisRecallTaken)
    def _apply_axis_recall(self, notices: list[Consignment]) -> None:
        self.recalled_from |= {each["agency"] for each in notices}

    @event(PayloadErased)
    def _apply_erased(self) -> None:
        self.erased = True


OPENING_TOPICS = frozenset({Exchange.Created.TOPIC, Exchange.AxisDocumentTaken.TOPIC})
"""The facts that an exchange begins with: an agency's envelope, or one the hub made."""


def erased(exchange_id: UUID) -> PayloadErased:
    """One answer to all that would need what was erased."""
    return PayloadErased(
        "this document was erased by law; its receipts and what the log says of it stay",
        exchange=str(exchange_id),
    )
