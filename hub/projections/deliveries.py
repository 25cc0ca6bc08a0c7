"""Inbox and status lists: where each document is at each of its recipients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import UUID

from hub.application.ports import (
    DeliveryRow,
    DocumentRow,
    EventLog,
    SealedPayload,
    ViewChanges,
    Views,
)
from hub.application.vault import Vault
from hub.domain.delivery import STATE_OF_CODE, Delivery, DeliveryState
from hub.domain.exchange import Exchange
from hub.errors import ContentLost, LedgerMismatch
from hub.proof.dsse import SignedStatement
from hub.proof.leaf import Event, parse_leaf
from hub.proof.statements import Envelope, read_statement

_CHUNK_MAX = 4096


class DeliveryProjection:
    """Brings the views up to what is published."""

    def __init__(self, log: EventLog, vault: Vault, views: Views) -> None:
        self._log = log
        self._vault = vault
        self._views = views

    def catch_up(self, size: int) -> None:
        """Take in every event below `size`; one transaction a chunk."""
        while (start := self._views.position()) < size:
            entries = self._log.entries(start, min(_CHUNK_MAX, size - start))
            if not entries:
                raise LedgerMismatch(f"event {start} is missing", position=start)
            events = [(entry.position, parse_leaf(entry.state)) for entry in entries]
            self._views.apply(self._changes(events), start=start, end=start + len(entries))

    def _changes(self, events: Sequence[tuple[int, Event]]) -> ViewChanges:
        envelopes = self._envelopes([event for _, event in events])
        documents: list[DocumentRow] = []
        deliveries: dict[tuple[UUID, str], DeliveryRow] = {}
        for position, event in events:
            match event.topic:
                case Exchange.Created.TOPIC:
                    documents.append(_document(event, position, envelopes.get(event.id)))
                    deliveries.update(_consigned(event, position))
                case Delivery.DocumentHandedOver.TOPIC:
                    self._advance(deliveries, event, position, DeliveryState.COLLECTED)
                case Delivery.StatusReported.TOPIC:
                    self._advance(deliveries, event, position, STATE_OF_CODE[event.data["code"]])
        return ViewChanges(documents, list(deliveries.values()))

    def _envelopes(self, events: Iterable[Event]) -> dict[UUID, Envelope]:
        """The words of the envelopes among the events, by exchange; without those erased.

        One look-up for all: this runs in the writing lane, while callers wait.
        """
        digests = {
            event.id: bytes.fromhex(event.data["statement"]["digest"])
            for event in events
            if event.topic == Exchange.Created.TOPIC
        }
        sealed = self._log.payloads(list(digests.values()))
        envelopes = {
            exchange_id: self._envelope(sealed[digest])
            for exchange_id, digest in digests.items()
            if digest in sealed
        }
        return {key: envelope for key, envelope in envelopes.items() if envelope is not None}

    def _envelope(self, sealed: SealedPayload) -> Envelope | None:
        try:
            payload = self._vault.open_payload(sealed)
        except ContentLost:
            return None
        statement = read_statement(SignedStatement(Envelope.MEDIA_TYPE, payload, "", b""))
        return statement if isinstance(statement, Envelope) else None

    def _advance(
        self,
        deliveries: dict[tuple[UUID, str], DeliveryRow],
        event: Event,
        position: int,
        state: DeliveryState,
    ) -> None:
        key = UUID(event.data["exchange"]), event.data["agency"]
        row = deliveries.get(key) or self._views.delivery(*key)
        if row is None:
            raise LookupError(f"event {position} speaks of a delivery that was never consigned")
        if event.topic == Delivery.DocumentHandedOver.TOPIC:
            row = replace(row, collected=True)
        if state > row.state:
            row = replace(row, state=state, position=position, updated_at=event.time)
        deliveries[key] = row


def _document(event: Event, position: int, envelope: Envelope | None) -> DocumentRow:
    document = envelope.document if envelope else None
    attachments = event.data["attachments"]
    return DocumentRow(
        exchange_id=event.id,
        sender=event.data["sender"],
        envelope_digest=bytes.fromhex(event.data["statement"]["digest"]),
        position=position,
        accepted_at=event.time,
        code=document.code if document else "",
        type_name=document.type_name if document else "",
        subject=document.subject if document else "",
        attachment_count=len(attachments),
        attachment_bytes=sum(attachment["size"] for attachment in attachments),
    )


def _consigned(event: Event, position: int) -> dict[tuple[UUID, str], DeliveryRow]:
    return {
        (event.id, consignment["agency"]): DeliveryRow(
            exchange_id=event.id,
            recipient=consignment["agency"],
            inbox_seq=consignment["inbox_seq"],
            state=DeliveryState.CONSIGNED,
            collected=False,
            position=position,
            updated_at=event.time,
        )
        for consignment in event.data["recipients"]
    }
