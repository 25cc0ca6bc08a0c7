"""What goes over the axis: one row a package, from the fact that asks for it to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from hub.application.ports import RelayRow, Views
from hub.domain.exchange import AXIS, Exchange
from hub.domain.relay import (
    ARRIVED_CODE,
    Direction,
    Relay,
    RelayKind,
    RelayState,
    arrival_id,
    relay_id,
)
from hub.domain.values import parse_time
from hub.proof.leaf import Event

RELAY_TOPICS = frozenset(
    event_class.TOPIC
    for event_class in (
        Relay.RelayQueued,
        Relay.RelaySplit,
        Relay.ArrivalErased,
        Relay.RelaySent,
        Relay.AxisStatusSent,
        Relay.RelayFailed,
        Relay.RelayParked,
        Relay.RelayResumed,
    )
)
_ERASED = bytes(32)
_WORST_FIRST = ("invalid", "unknown", "valid")
SIGNATURE = "SIGNATURE_"
"""How the word begins that says what became of the signatures of what was taken in."""


class RelayStretch:
    """The rows that a stretch of events makes and changes, on top of the stored ones."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._rows: dict[UUID, RelayRow] = {}

    def rows(self) -> Sequence[RelayRow]:
        """What is to be written."""
        return list(self._rows.values())

    def open(self, event: Event, position: int, came: Mapping[str, Any]) -> None:
        """A document was accepted: for the axis, or from there."""
        if event.topic == Exchange.AxisDocumentTaken.TOPIC:
            self._open_taken(event, position, came)
        elif any(each.get("via") == AXIS for each in event.data["recipients"]):
            self._wait(event, position, event.id, RelayKind.DOCUMENT)

    def recall(self, event: Event, position: int) -> None:
        """A document was recalled; whoever has it over the axis is told."""
        if any(each.get("via") == AXIS for each in event.data["notices"]):
            self._wait(event, position, event.id, RelayKind.RECALL)

    def status(self, event: Event, position: int) -> None:
        """A recipient here said something of a document from the axis."""
        data = event.data
        exchange_id = UUID(data["exchange"])
        said = (data["agency"], data["code"])
        self._wait(event, position, exchange_id, RelayKind.STATUS, said)

    def taken(self, kind: RelayKind, event: Event, position: int) -> None:
        """A status or a recall came from the axis."""
        data = event.data
        exchange_id = UUID(data["exchange"]) if "exchange" in data else event.id
        relay = UUID(data["relay"])
        parked = self._row(relay)
        self._rows[relay] = RelayRow(
            relay_id=relay,
            direction=Direction.IN,
            kind=kind,
            exchange_id=exchange_id,
            agency=data.get("agency", ""),
            status=data.get("code", ""),
            state=RelayState.TAKEN,
            position=position,
            since=event.time if parked is None else parked.since,
            updated_at=event.time,
            axis_id=data["axis_id"],
        )

    def examined(self, event: Event) -> None:
        """The signatures of what was taken in were examined: the worst of them is told."""
        row = self._row(UUID(event.data["relay"]))
        if row is not None:
            found = {each["outcome"] for each in event.data["signatures"]}
            worst = next(each for each in _WORST_FIRST if each in found)
            self._rows[row.relay_id] = replace(row, reason=f"{SIGNATURE}{worst.upper()}")

    def advance(self, event: Event, position: int) -> None:
        """Something happened to a package."""
        row, data = self._row(event.id), event.data
        if row is None:
            self._rows[event.id] = _parked_on_arrival(event, position)
            return
        changed = replace(row, updated_at=event.time, again_at=None, reason="", code="")
        match event.topic:
            case Relay.RelayQueued.TOPIC:
                changed = replace(
                    changed,
                    state=RelayState.QUEUED,
                    package=bytes.fromhex(data["package"]),
                    package_bytes=data["package_bytes"],
                    request_bytes=data["request_bytes"],
                )
            case Relay.RelaySplit.TOPIC:
                changed = replace(changed, state=RelayState.SPLIT, code=data["code"])
                for agency in data["agencies"]:
                    self._wait_alone(row, agency)
            case Relay.RelaySent.TOPIC | Relay.AxisStatusSent.TOPIC:
                changed = replace(changed, state=RelayState.SENT, axis_id=data["axis_id"])
            case Relay.RelayFailed.TOPIC:
                changed = replace(
                    changed,
                    state=RelayState.FAILED,
                    attempts=data["attempt"],
                    again_at=parse_time(data["again_at"]),
                    reason=data["reason"],
                    code=data["code"],
                )
            case Relay.RelayParked.TOPIC:
                changed = replace(
                    changed, state=RelayState.PARKED, reason=data["reason"], code=data["code"]
                )
                if row.direction is Direction.IN:  # It may have come only now.
                    stored = bytes.fromhex(data["package"] or data["reply"])
                    changed = replace(changed, package=stored, package_bytes=data["package_bytes"])
            case Relay.ArrivalErased.TOPIC:
                changed = replace(changed, state=RelayState.ERASED)
            case Relay.RelayResumed.TOPIC:
                made = row.package_bytes >= 0
                changed = replace(changed, state=RelayState.QUEUED if made else RelayState.WAITING)
        self._rows[event.id] = changed

    def erase(self, exchange_id: UUID) -> None:
        """The document was erased by law: nothing here may confirm a guess at it."""
        stored = {row.relay_id: row for row in self._views.relays_of(exchange_id)}
        stored |= {key: row for key, row in self._rows.items() if row.exchange_id == exchange_id}
        for key, row in stored.items():
            if row.document_key:
                self._rows[key] = replace(row, document_key=_ERASED, fingerprint=_ERASED)

    def _open_taken(self, event: Event, position: int, came: Mapping[str, Any]) -> None:
        data = event.data
        relay = arrival_id(event.id)
        row = RelayRow(
            relay_id=relay,
            direction=Direction.IN,
            kind=RelayKind.DOCUMENT,
            exchange_id=event.id,
            agency="",
            status="",
            state=RelayState.TAKEN,
            position=position,
            since=event.time,
            updated_at=event.time,
            axis_id=data["axis_id"],
            package=bytes.fromhex(data["package"]),
            package_bytes=data["package_bytes"],
            document_key=bytes.fromhex(came.get("key", "")) or _ERASED,
            fingerprint=bytes.fromhex(came.get("fingerprint", "")) or _ERASED,
        )
        parked = self._row(relay)
        self._rows[relay] = row if parked is None else replace(row, since=parked.since)
        for consignment in data["recipients"]:
            agency = consignment["agency"]
            self._wait(event, position, event.id, RelayKind.STATUS, (agency, ARRIVED_CODE))

    def _wait(
        self,
        event: Event,
        position: int,
        exchange_id: UUID,
        kind: RelayKind,
        said: tuple[str, str] = ("", ""),
    ) -> None:
        agency, code = said
        relay = relay_id(exchange_id, kind, agency, code)
        if self._row(relay) is not None:
            return  # The axis was told before, or is about to be.
        self._rows[relay] = RelayRow(
            relay_id=relay,
            direction=Direction.OUT,
            kind=kind,
            exchange_id=exchange_id,
            agency=agency,
            status=code,
            state=RelayState.WAITING,
            position=position,
            since=event.time,
            updated_at=event.time,
        )

    def _wait_alone(self, whole: RelayRow, agency: str) -> None:
        """A receiver of a package that was split; it has waited since the package did."""
        relay = relay_id(whole.exchange_id, whole.kind, agency)
        self._rows[relay] = RelayRow(
            relay_id=relay,
            direction=Direction.OUT,
            kind=whole.kind,
            exchange_id=whole.exchange_id,
            agency=agency,
            status="",
            state=RelayState.WAITING,
            position=whole.position,
            since=whole.since,
            updated_at=whole.updated_at,
        )

    def _row(self, relay: UUID) -> RelayRow | None:
        return self._rows.get(relay) or self._views.relay(relay)


def axis_members(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the hub noted in the envelope it made of a package; empty for an agency's own."""
    noted = payload.get("axis")
    return noted if isinstance(noted, dict) and payload.get("origin") == AXIS else {}


def _parked_on_arrival(event: Event, position: int) -> RelayRow:
    data = event.data
    return RelayRow(
        relay_id=event.id,
        direction=Direction(data["direction"]),
        kind=RelayKind(data["kind"]),
        exchange_id=UUID(data["exchange"]),
        agency="",
        status="",
        state=RelayState.PARKED,
        position=position,
        since=event.time,
        updated_at=event.time,
        reason=data["reason"],
        code=data["code"],
        axis_id=data["axis_id"],
        package=bytes.fromhex(data["package"] or data["reply"]),
        package_bytes=data["package_bytes"],
    )
