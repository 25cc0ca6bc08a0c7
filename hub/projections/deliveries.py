"""Inbox and status lists: where each document is at each of its recipients."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from hub.application.mapper import read_event, read_once
from hub.application.ports import (
    DeliveryRow,
    DocumentRow,
    EventLog,
    LogEntry,
    NoticeKind,
    NoticeRow,
    OrderRow,
    SealedPayload,
    ViewChanges,
    Views,
)
from hub.application.vault import Vault
from hub.domain.approval import Approval
from hub.domain.delivery import STATE_OF_CODE, Delivery, DeliveryState, RecallState
from hub.domain.exchange import AXIS, OPENING_TOPICS, Exchange
from hub.domain.relay import Relay, RelayKind
from hub.domain.values import parse_time
from hub.errors import ContentLost, LedgerMismatch
from hub.projections.relays import RELAY_TOPICS, RelayStretch, axis_members
from hub.proof.leaf import Event

_CHUNK_MAX = 4096
# What changes nothing but that recipients are told of it.
_ONLY_TOLD = {
    Exchange.DocumentUpdated.TOPIC: NoticeKind.UPDATED,
    Exchange.SignatureVerdictMade.TOPIC: NoticeKind.SIGNATURES,
}
_OF_A_DELIVERY = frozenset(
    kind.TOPIC
    for kind in (
        Delivery.DocumentHandedOver,
        Delivery.StatusReported,
        Delivery.RecallAnswered,
        Delivery.DeliveryExpired,
        Delivery.AxisStatusTaken,
    )
)
# Several facts follow each other about one document.
_id = lru_cache(maxsize=1024)(UUID)
_OF_ALL_DELIVERIES = frozenset(
    kind.TOPIC
    for kind in (
        Exchange.DocumentReplaced,
        Exchange.RecallRequested,
        Exchange.AxisRecallTaken,
        Exchange.PayloadErased,
    )
)


class DeliveryProjection:
    """Brings the views up to what is published."""

    def __init__(self, log: EventLog, vault: Vault, views: Views) -> None:
        self._log = log
        self._vault = vault
        self._views = views

    def catch_up(self, size: int, read: Sequence[LogEntry] = ()) -> None:
        """Take in every event below `size`; one transaction a chunk.

        Views that are further are not of this log, and are made anew. Entries that were `read`
        from the log just now, and are what comes next, are not read again.
        """
        start = self._views.position()
        if start > size:
            self._views.clear()
            start = 0
        while start < size:
            wanted = min(_CHUNK_MAX, size - start)
            is_next = bool(read) and read[0].position == start and len(read) <= wanted
            entries = read if is_next else self._log.entries(start, wanted)
            if not entries:
                raise LedgerMismatch(f"event {start} is missing", position=start)
            parse = read_event if is_next else read_once
            events = [(entry.position, parse(entry.state)) for entry in entries]
            self._views.apply(self._changes(events), start=start, end=start + len(entries))
            start += len(entries)

    def _changes(self, events: Sequence[tuple[int, Event]]) -> ViewChanges:
        said = self._said([event for _, event in events])
        stretch = _Stretch(self._views, [event for _, event in events])
        for position, event in events:
            match event.topic:
                case Exchange.Created.TOPIC | Exchange.AxisDocumentTaken.TOPIC:
                    stretch.open(event, position, said.get(event.id, _NOTHING))
                case topic if topic in _ONLY_TOLD:
                    stretch.notify_all(_ONLY_TOLD[topic], event, position)
                case Exchange.DocumentReplaced.TOPIC:
                    stretch.replace(event, position)
                case Exchange.RecallRequested.TOPIC:
                    stretch.recall(event, position)
                case Delivery.DocumentHandedOver.TOPIC:
                    stretch.hand_over(event, position)
                case Delivery.StatusReported.TOPIC:
                    stretch.report(event, position)
                case Delivery.RecallAnswered.TOPIC:
                    stretch.answer_recall(event, position)
                case Delivery.DeliveryExpired.TOPIC:
                    stretch.expire(event, position)
                case Exchange.PayloadErased.TOPIC:
                    stretch.erase(event, position)
                case Approval.Created.TOPIC:
                    stretch.take_word(event, position)
                case _:
                    stretch.follow_rare(event, position)
        return stretch.changes()

    def _said(self, events: Iterable[Event]) -> dict[UUID, _Said]:
        """What the envelopes among the events say, by exchange; without those erased.

        One look-up for all: this runs in the writing lane, while callers wait.
        """
        opened = {event.id: event for event in events if event.topic in OPENING_TOPICS}
        if not opened:
            return {}
        digests = [bytes.fromhex(event.data["statement"]["digest"]) for event in opened.values()]
        sealed = self._log.payloads(digests)
        keys = self._vault.keys_of(opened)
        found = {
            exchange_id: self._envelope(sealed[digest], keys.get(exchange_id), event.topic)
            for digest, (exchange_id, event) in zip(digests, opened.items(), strict=True)
            if digest in sealed
        }
        return {key: said for key, said in found.items() if said is not None}

    def _envelope(self, sealed: SealedPayload, key: bytes | None, topic: str) -> _Said | None:
        try:
            payload = self._vault.open_payload(sealed, key)
        except ContentLost:
            return None
        # What is sealed here passed every check before it was accepted, and is authentic: read
        # strictly once more it would cost the lane, while callers wait, five times as much.
        envelope = json.loads(payload)
        is_taken = topic == Exchange.AxisDocumentTaken.TOPIC
        return _Said(envelope["document"], axis_members(envelope) if is_taken else {})


@dataclass(frozen=True, slots=True)
class _Said:
    """An envelope's document, and what the hub noted in it where it came over the axis."""

    document: Mapping[str, Any]
    came: Mapping[str, Any]


_NOTHING = _Said({}, {})


def _document(event: Event, position: int, document: Mapping[str, Any]) -> DocumentRow:
    """The row of a document; without words where there is nothing of it, for it was erased."""
    attachments = event.data["attachments"]
    kind = document.get("type", {})
    return DocumentRow(
        exchange_id=event.id,
        sender=event.data["sender"],
        envelope_digest=bytes.fromhex(event.data["statement"]["digest"]),
        position=position,
        accepted_at=event.time,
        code=f"{document['number']}/{document['notation']}" if document else "",
        type_name=kind.get("name", ""),
        subject=document.get("subject", ""),
        attachment_count=len(attachments),
        attachment_bytes=sum(attachment["size"] for attachment in attachments),
        replaced_by=None,
        type_code=kind.get("code") or "",
        priority=document.get("priority", ""),
        issued_on=_day(document.get("issued_on")),
        due_on=_day(document.get("due_on")),
        origin=event.data.get("origin", ""),
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _order(event: Event, position: int) -> OrderRow:
    data = event.data
    return OrderRow(
        position=position,
        digest=bytes.fromhex(data["order"]),
        action=data["action"],
        exchange_id=UUID(data["exchange"]) if data["exchange"] else None,
        envelope_digest=bytes.fromhex(data["envelope_digest"]) if data["envelope_digest"] else None,
        reason=data["reason"],
        basis=data["basis"],
        ordered_by=data["by"],
        ordered_at=event.time,
        lapses_at=parse_time(data["lapses_at"]),
        hub_key=data["hub_key"],
    )


class _Stretch:
    """The rows that a stretch of events makes and changes, on top of the stored ones."""

    def __init__(self, views: Views, events: Iterable[Event]) -> None:
        self._views = views
        self._documents: dict[UUID, DocumentRow] = {}
        self._deliveries: dict[tuple[UUID, str], DeliveryRow] = {}
        places = _spoken_of(events)
        # Two look-ups for all: this runs in the writing lane, while callers wait.
        self._stored_documents = views.documents({each for each, _ in places}) if places else {}
        self._stored_deliveries = views.deliveries_at(places) if places else {}
        self._notices: list[NoticeRow] = []
        self._orders: dict[bytes, OrderRow] = {}
        self.relays = RelayStretch(views)

    def changes(self) -> ViewChanges:
        """What is to be written."""
        return ViewChanges(
            list(self._documents.values()),
            list(self._deliveries.values()),
            self._notices,
            list(self._orders.values()),
            self.relays.rows(),
        )

    def open(self, event: Event, position: int, said: _Said) -> None:
        """A document in the inbox of each recipient, and on its way to those behind the axis."""
        document = self._documents[event.id] = _document(event, position, said.document)
        self.relays.open(event, position, said.came)
        expires_at = event.data["expires_at"]
        for consignment in event.data["recipients"]:
            self._put(
                DeliveryRow(
                    exchange_id=event.id,
                    recipient=consignment["agency"],
                    inbox_seq=consignment["inbox_seq"],
                    state=DeliveryState.CONSIGNED,
                    collected=False,
                    recall=RecallState.NONE,
                    expired=False,
                    expires_at=datetime.fromisoformat(expires_at).astimezone(UTC)
                    if expires_at
                    else None,
                    position=position,
                    updated_at=event.time,
                    due_on=document.due_on,
                )
            )
            self._notify(NoticeKind.DOCUMENT, event, position, consignment)

    def replace(self, event: Event, position: int) -> None:
        """The document no longer counts; every recipient is told."""
        document = self._document(event, position)
        self._documents[event.id] = replace(document, replaced_by=UUID(event.data["by_exchange"]))
        self.notify_all(NoticeKind.REPLACED, event, position)

    def recall(self, event: Event, position: int) -> None:
        """Every recipient is asked for the document."""
        for consignment in event.data["notices"]:
            row = self._delivery(event.id, consignment["agency"], position)
            self._put(replace(row, recall=RecallState.ASKED))
        self.notify_all(NoticeKind.RECALL, event, position)
        self.relays.recall(event, position)

    def doubt(self, event: Event, position: int) -> None:
        """A statement no longer counts for certain; whoever relies on it, and its author."""
        self.notify_all(NoticeKind.IN_DOUBT, event, position)
        self._notices.append(
            NoticeRow(
                outbox=True,
                agency=event.data["sender"],
                seq=event.data["outbox_seq"],
                kind=NoticeKind.DELIVERY_IN_DOUBT,
                exchange_id=event.id,
                # What the sender signed concerns every recipient: the line names the first.
                recipient=event.data["notices"][0]["agency"],
                code="",
                by_exchange=None,
                position=position,
                recorded_at=event.time,
            )
        )

    def hand_over(self, event: Event, position: int) -> None:
        """The recipient signed for it."""
        self._put(
            _taken(self._spoken_of(event, position), DeliveryState.COLLECTED, event, position)
        )
        self._tell_sender(NoticeKind.HANDED_OVER, event, position)

    def report(self, event: Event, position: int) -> None:
        """The recipient reported a status."""
        state = STATE_OF_CODE[event.data["code"]]
        self._put(_advanced(self._spoken_of(event, position), state, event, position))
        self._tell_sender(NoticeKind.STATUS, event, position)
        self._tell_axis(event, position)

    def answer_recall(self, event: Event, position: int) -> None:
        """The recipient answered a recall."""
        agreed = event.data["code"] == "15"
        recall = RecallState.AGREED if agreed else RecallState.REFUSED
        self._put(replace(self._spoken_of(event, position), recall=recall))
        self._tell_sender(NoticeKind.RECALL_ANSWER, event, position)
        self._tell_axis(event, position)

    def follow_rare(self, event: Event, position: int) -> None:
        """A signature is in doubt; or something came from the axis, or is on its way there."""
        match event.topic:
            case Exchange.SignatureInDoubt.TOPIC:
                self.doubt(event, position)
            case Exchange.AxisRecallTaken.TOPIC:
                self.recall(event, position)
                self.relays.taken(RelayKind.RECALL, event, position)
            case Delivery.AxisStatusTaken.TOPIC:
                self._take_status(event, position)
                self.relays.taken(RelayKind.STATUS, event, position)
            case Exchange.AxisSignaturesExamined.TOPIC:
                self.relays.examined(event)
            case topic if topic in RELAY_TOPICS:
                self.relays.advance(event, position)
                if topic == Relay.RelayQueued.TOPIC:
                    self._let_go(event, position)

    def _take_status(self, event: Event, position: int) -> None:
        code, row = event.data["code"], self._spoken_of(event, position)
        if code in STATE_OF_CODE:
            self._put(_taken(row, STATE_OF_CODE[code], event, position))
            self._tell_sender(NoticeKind.AXIS_STATUS, event, position)
            return
        recall = RecallState.AGREED if code == "15" else RecallState.REFUSED
        self._put(replace(row, collected=True, recall=recall))
        self._tell_sender(NoticeKind.AXIS_RECALL_ANSWER, event, position)

    def _let_go(self, event: Event, position: int) -> None:
        """A document may be at the axis from now on: nothing there is withheld by a limit."""
        exchange_id = _id(event.data["exchange"])
        for agency in event.data["agencies"]:
            row = self._delivery(exchange_id, agency, position)
            if row.expires_at is not None:
                self._put(replace(row, expires_at=None))

    def _tell_axis(self, event: Event, position: int) -> None:
        if self._document_of(_id(event.data["exchange"]), position).origin == AXIS:
            self.relays.status(event, position)

    def expire(self, event: Event, position: int) -> None:
        """Nobody collected it in time; both sides are told."""
        self._put(replace(self._spoken_of(event, position), expired=True))
        exchange_id, agency = _id(event.data["exchange"]), event.data["agency"]
        self._notices.append(
            NoticeRow(
                outbox=False,
                agency=agency,
                seq=event.data["inbox_seq"],
                kind=NoticeKind.EXPIRED,
                exchange_id=exchange_id,
                recipient=agency,
                code="",
                by_exchange=None,
                position=position,
                recorded_at=event.time,
            )
        )
        self._tell_sender(NoticeKind.DELIVERY_EXPIRED, event, position)

    def erase(self, event: Event, position: int) -> None:
        """The document's words go, as if they had never been known; both sides are told."""
        former = self._document(event, position)
        self._documents[event.id] = replace(
            former,
            code="",
            type_name="",
            subject="",
            type_code="",
            priority="",
            issued_on=None,
            due_on=None,
            erased=True,
        )
        for consignment in event.data["notices"]:
            row = self._delivery(event.id, consignment["agency"], position)
            # Nobody waits any more for what nobody can collect or answer.
            self._put(replace(row, due_on=None, expires_at=None))
        self.notify_all(NoticeKind.ERASED, event, position)
        self.relays.erase(event.id)
        self._notices.append(
            NoticeRow(
                outbox=True,
                agency=event.data["sender"],
                seq=event.data["outbox_seq"],
                kind=NoticeKind.DELIVERY_ERASED,
                exchange_id=event.id,
                recipient="",
                code="",
                by_exchange=None,
                position=position,
                recorded_at=event.time,
            )
        )

    def take_word(self, event: Event, position: int) -> None:
        """An operator ordered an action, or approved an order."""
        digest = bytes.fromhex(event.data["order"])
        if event.data["statement"]["digest"] == event.data["order"]:
            self._orders[digest] = _order(event, position)
            return
        order = self._orders.get(digest) or self._views.order(digest)
        if order is None:
            raise LookupError(f"event {position} approves an order that was never given")
        self._orders[digest] = replace(order, approved_by=event.data["by"], approved_at=event.time)

    def notify_all(self, kind: NoticeKind, event: Event, position: int) -> None:
        """A line in the inbox of each recipient that the event numbers."""
        for consignment in event.data["notices"]:
            self._notify(kind, event, position, consignment)

    def _notify(
        self, kind: NoticeKind, event: Event, position: int, consignment: Mapping[str, Any]
    ) -> None:
        by_exchange = event.data.get("by_exchange")
        self._notices.append(
            NoticeRow(
                outbox=False,
                agency=consignment["agency"],
                seq=consignment["inbox_seq"],
                kind=kind,
                exchange_id=event.id,
                recipient=consignment["agency"],
                code="",
                by_exchange=UUID(by_exchange) if by_exchange else None,
                position=position,
                recorded_at=event.time,
            )
        )

    def _tell_sender(self, kind: NoticeKind, event: Event, position: int) -> None:
        self._notices.append(
            NoticeRow(
                outbox=True,
                agency=event.data["sender"],
                seq=event.data["outbox_seq"],
                kind=kind,
                exchange_id=_id(event.data["exchange"]),
                recipient=event.data["agency"],
                code=event.data.get("code", ""),
                by_exchange=None,
                position=position,
                recorded_at=event.time,
            )
        )

    def _spoken_of(self, event: Event, position: int) -> DeliveryRow:
        return self._delivery(_id(event.data["exchange"]), event.data["agency"], position)

    def _document(self, event: Event, position: int) -> DocumentRow:
        return self._document_of(event.id, position)

    def _document_of(self, exchange_id: UUID, position: int) -> DocumentRow:
        document = (
            self._documents.get(exchange_id)
            or self._stored_documents.get(exchange_id)
            or self._views.document(exchange_id)
        )
        if document is None:
            raise LookupError(f"event {position} speaks of a document that was never opened")
        return document

    def _delivery(self, exchange_id: UUID, recipient: str, position: int) -> DeliveryRow:
        place = exchange_id, recipient
        row = (
            self._deliveries.get(place)
            or self._stored_deliveries.get(place)
            or self._views.delivery(*place)
        )
        if row is None:
            raise LookupError(f"event {position} speaks of a delivery that was never consigned")
        return row

    def _put(self, row: DeliveryRow) -> None:
        self._deliveries[row.exchange_id, row.recipient] = row


def _spoken_of(events: Iterable[Event]) -> set[tuple[UUID, str]]:
    """The deliveries that events speak of, but for those that they open themselves.

    An event that speaks of a document as a whole stands for each of its recipients. What is
    missing here is looked up when its turn comes.
    """
    opened: set[UUID] = set()
    places: set[tuple[UUID, str]] = set()
    for event in events:
        if event.topic in OPENING_TOPICS:
            opened.add(event.id)
        elif event.topic in _OF_A_DELIVERY:
            places.add((_id(event.data["exchange"]), event.data["agency"]))
        elif event.topic in _OF_ALL_DELIVERIES:
            places.update((event.id, each["agency"]) for each in event.data["notices"])
        elif event.topic == Relay.RelayQueued.TOPIC:
            exchange_id = _id(event.data["exchange"])
            places.update((exchange_id, agency) for agency in event.data["agencies"])
    return {place for place in places if place[0] not in opened}


def _taken(row: DeliveryRow, state: DeliveryState, event: Event, position: int) -> DeliveryRow:
    """The row of what the recipient has, in a later state."""
    if state <= row.state:
        return replace(row, collected=True)
    return replace(row, collected=True, state=state, position=position, updated_at=event.time)


def _advanced(row: DeliveryRow, state: DeliveryState, event: Event, position: int) -> DeliveryRow:
    """The row in a later state; unchanged when it has come further already."""
    if state <= row.state:
        return row
    return replace(row, state=state, position=position, updated_at=event.time)
