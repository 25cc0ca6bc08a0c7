"""One document at one of its recipients."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from typing import Self
from uuid import UUID

from eventsourcing.domain import event

from hub.domain.aggregate import Aggregate, StatementRecord, derived_id
from hub.errors import ContentWithheld, RecallNotOpen


class DeliveryState(IntEnum):
    """How far a delivery has come; a later state never gives way to an earlier one."""

    CONSIGNED = 1
    COLLECTED = 2
    ARRIVED = 3
    REFUSED = 4
    ACCEPTED = 5
    ASSIGNED = 6
    PROCESSING = 7
    FINISHED = 8


class RecallState(IntEnum):
    """Where a recall stands at one recipient."""

    NONE = 0
    ASKED = 1
    AGREED = 2
    REFUSED = 3


STATE_OF_CODE = {
    "01": DeliveryState.ARRIVED,
    "02": DeliveryState.REFUSED,
    "03": DeliveryState.ACCEPTED,
    "04": DeliveryState.ASSIGNED,
    "05": DeliveryState.PROCESSING,
    "06": DeliveryState.FINISHED,
}


def delivery_id(exchange_id: UUID, recipient: str) -> UUID:
    """The one delivery of an exchange at a recipient."""
    return derived_id(exchange_id, b"delivery:" + recipient.encode())


class Delivery(Aggregate):
    """What a recipient said about a document; begins with whatever it says first.

    No TOPIC here and no Created event: a delivery exists, with nothing said, from the
    moment the exchange names its recipient, and real recipients begin anywhere.
    """

    INITIAL_VERSION = 1

    class DocumentHandedOver(Aggregate.Event):
        """The recipient signed for the envelope; from here on its content is released."""

        TOPIC = "hub.Delivery.DocumentHandedOver"
        exchange: str
        agency: str
        sender: str
        outbox_seq: int
        request_id: str
        envelope_digest: str
        statement: StatementRecord
        enrolment: int
        warnings: list[str]

    class StatusReported(Aggregate.Event):
        """The recipient signed what has become of the document; 01 is the proof of receipt."""

        TOPIC = "hub.Delivery.StatusReported"
        exchange: str
        agency: str
        sender: str
        outbox_seq: int
        request_id: str
        envelope_digest: str
        statement: StatementRecord
        enrolment: int
        code: str
        warnings: list[str]

    class RecallAnswered(Aggregate.Event):
        """15: the recipient agreed and cancelled the document; 16: it refused the recall."""

        TOPIC = "hub.Delivery.RecallAnswered"
        exchange: str
        agency: str
        sender: str
        outbox_seq: int
        request_id: str
        envelope_digest: str
        statement: StatementRecord
        enrolment: int
        code: str
        warnings: list[str]

    class DeliveryExpired(Aggregate.Event):
        """The document was not collected by its `expires_at`; its content is withheld."""

        TOPIC = "hub.Delivery.DeliveryExpired"
        exchange: str
        agency: str
        sender: str
        inbox_seq: int
        outbox_seq: int
        envelope_digest: str
        expires_at: str

    class AxisStatusTaken(Aggregate.Event):
        """The axis says what a recipient behind it says; nobody signed for that.

        `code` is one of 01 to 06, or 15 or 16 for the answer to a recall. `axis_id` is the axis's
        id of the package, `report` the digest of the payload that holds it.
        """

        TOPIC = "hub.Delivery.AxisStatusTaken"
        exchange: str
        agency: str
        sender: str
        outbox_seq: int
        envelope_digest: str
        code: str
        relay: str
        axis_id: str
        report: str

    @classmethod
    def begin(cls, exchange_id: UUID, recipient: str, at: datetime) -> Self:
        """A delivery about which nothing has been said."""
        delivery = cls.__new__(cls)
        delivery.__base_init__(delivery_id(exchange_id, recipient), 0, at)
        delivery.state = DeliveryState.CONSIGNED
        delivery.collected = False
        delivery.recall = RecallState.NONE
        delivery.expired = False
        delivery.axis_codes = set()
        return delivery

    state: DeliveryState
    collected: bool
    recall: RecallState
    expired: bool
    axis_codes: set[str]

    def require_released(self, *, recalled: bool) -> None:
        """Refuse to hand over what was recalled or has expired, unless collected before.

        A recipient that refused the recall gets the document: the recall is over there. One
        that agreed does not get it again.
        """
        if self.recall is RecallState.AGREED:
            raise ContentWithheld("this agency agreed to the recall of the document")
        if self.collected:
            return
        if self.expired:
            raise ContentWithheld("the document expired before it was collected")
        if recalled and self.recall is not RecallState.REFUSED:
            raise ContentWithheld(
                "the sender has recalled this document; answer the recall with 15 or 16"
            )

    def require_recall_open(self, *, recalled: bool) -> None:
        """Refuse an answer to a recall nobody asked for, or that was answered already."""
        if not recalled or self.recall is not RecallState.NONE:
            raise RecallNotOpen("there is no open recall of this document to answer")

    def hand_over(self, *, at: datetime, **facts: object) -> None:
        """Record that the recipient signed for the document."""
        self.trigger_event(self.DocumentHandedOver, timestamp=at, **facts)

    def report(self, *, at: datetime, **facts: object) -> None:
        """Record a status. Codes may be skipped, repeated and come out of order."""
        self.trigger_event(self.StatusReported, timestamp=at, **facts)

    def answer_recall(self, *, at: datetime, **facts: object) -> None:
        """Record the recipient's answer to a recall."""
        self.trigger_event(self.RecallAnswered, timestamp=at, **facts)

    def take_status(self, *, at: datetime, code: str, **facts: object) -> None:
        """Record what a recipient behind the axis says."""
        self.trigger_event(self.AxisStatusTaken, timestamp=at, code=code, **facts)

    def expire(self, *, at: datetime, **facts: object) -> None:
        """Record that nobody collected the document in time."""
        self.trigger_event(self.DeliveryExpired, timestamp=at, **facts)

    @event(DocumentHandedOver)
    def _apply_handed_over(self) -> None:
        self.collected = True
        self.state = max(self.state, DeliveryState.COLLECTED)

    @event(StatusReported)
    def _apply_status(self, code: str) -> None:
        self.state = max(self.state, STATE_OF_CODE[code])

    @event(RecallAnswered)
    def _apply_recall_answered(self, code: str) -> None:
        self.recall = RecallState.AGREED if code == "15" else RecallState.REFUSED

    @event(AxisStatusTaken)
    def _apply_axis_status(self, code: str) -> None:
        self.axis_codes.add(code)
        self.collected = True
        if code in STATE_OF_CODE:
            self.state = max(self.state, STATE_OF_CODE[code])
        else:
            self.recall = RecallState.AGREED if code == "15" else RecallState.REFUSED

    @event(DeliveryExpired)
    def _apply_expired(self) -> None:
        self.expired = True
