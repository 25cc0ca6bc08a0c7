"""The state of a hub after any event, derived here by replaying to there.

Not asked of the hub: whoever replays a verified stream needs no word of it. So the rules are
written down a second time, in few lines, from docs/events.md; a test holds the two together.
Memory grows with the documents, some two hundred bytes for each delivery.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hub.auditor.stream import Logged
from hub.client.answers import DeliveryState, RecallState
from hub.proof.leaf import Event

_STATE_OF_CODE = {
    "01": DeliveryState.ARRIVED,
    "02": DeliveryState.REFUSED,
    "03": DeliveryState.ACCEPTED,
    "04": DeliveryState.ASSIGNED,
    "05": DeliveryState.PROCESSING,
    "06": DeliveryState.FINISHED,
}


@dataclass(slots=True)
class Standing:
    """Where a document is at one recipient; `position` is that of the event that says so."""

    state: DeliveryState
    recall: RecallState
    expired: bool
    position: int
    updated_at: datetime


@dataclass(slots=True)
class DocumentState:
    """A document, and where it is at each of its recipients."""

    exchange: str
    sender: str
    envelope_digest: str
    position: int
    accepted_at: datetime
    replaced_by: str | None = None
    updated_by: list[str] = field(default_factory=list)
    recalled: bool = False
    erased: bool = False
    deliveries: dict[str, Standing] = field(default_factory=dict)


@dataclass(slots=True)
class AgencyState:
    """An agency of the register."""

    code: str
    name: str
    other_codes: tuple[str, ...]
    position: int
    suspended: bool = False
    successor: str | None = None
    certificates: dict[str, str] = field(default_factory=dict)
    """Key id → purpose, of all that were enrolled."""


@dataclass(slots=True)
class HubState:
    """Everything, after the events before `position`."""

    position: int = 0
    at: datetime | None = None
    agencies: dict[str, AgencyState] = field(default_factory=dict)
    principals: dict[str, str] = field(default_factory=dict)
    """Name → role, of auditors and operators in force."""
    certificates: dict[str, set[str]] = field(default_factory=dict)
    """Name → certificates in force of these, by digest."""
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    documents: dict[str, DocumentState] = field(default_factory=dict)
    topics: Counter[str] = field(default_factory=Counter)

    def apply(self, logged: Logged) -> None:
        """Take in the next event; one of a kind unknown here is only counted."""
        event = logged.event
        self.position, self.at = logged.position + 1, event.time
        self.topics[event.topic] += 1
        aggregate = event.topic.split(".")[1]
        if aggregate == "Exchange":
            self._exchange(event, logged.position)
        elif aggregate == "Delivery":
            self._delivery(event, logged.position)
        else:
            self._register(event, logged.position)

    def deliveries_of(self, agency: str) -> Counter[DeliveryState]:
        """How many documents stand how at one recipient."""
        standings = (document.deliveries.get(agency) for document in self.documents.values())
        return Counter(standing.state for standing in standings if standing is not None)

    def sent_by(self, agency: str) -> int:
        """How many documents an agency sent."""
        return sum(document.sender == agency for document in self.documents.values())

    def deliveries(self) -> Counter[DeliveryState]:
        """How many deliveries of all documents stand how."""
        return Counter(
            standing.state
            for document in self.documents.values()
            for standing in document.deliveries.values()
        )

    def _exchange(self, event: Event, position: int) -> None:
        data, exchange = event.data, str(event.id)
        match event.topic:
            case "hub.Exchange.DocumentSubmitted" | "hub.Exchange.AxisDocumentTaken":
                self.documents[exchange] = _submitted(event, position)
            case "hub.Exchange.DocumentUpdated":
                self.documents[exchange].updated_by.append(data["by_exchange"])
            case "hub.Exchange.DocumentReplaced":
                self.documents[exchange].replaced_by = data["by_exchange"]
            case "hub.Exchange.RecallRequested":
                document = self.documents[exchange]
                document.recalled = True
                for standing in document.deliveries.values():
                    standing.recall = RecallState.ASKED
            case "hub.Exchange.AxisRecallTaken":
                document = self.documents[exchange]
                for consignment in data["notices"]:
                    document.deliveries[consignment["agency"]].recall = RecallState.ASKED
            case "hub.Exchange.PayloadErased":
                self.documents[exchange].erased = True

    def _delivery(self, event: Event, position: int) -> None:
        data = event.data
        standing = self.documents[data["exchange"]].deliveries[data["agency"]]
        match event.topic:
            case "hub.Delivery.DocumentHandedOver":
                _advance(standing, DeliveryState.COLLECTED, event, position)
            case "hub.Delivery.StatusReported":
                state = _STATE_OF_CODE.get(data["code"], DeliveryState.UNKNOWN)
                _advance(standing, state, event, position)
            case "hub.Delivery.RecallAnswered":
                agreed = data["code"] == "15"
                standing.recall = RecallState.AGREED if agreed else RecallState.REFUSED
            case "hub.Delivery.DeliveryExpired":
                standing.expired = True
            case "hub.Delivery.AxisStatusTaken":
                if data["code"] in _STATE_OF_CODE:
                    _advance(standing, _STATE_OF_CODE[data["code"]], event, position)
                else:
                    agreed = data["code"] == "15"
                    standing.recall = RecallState.AGREED if agreed else RecallState.REFUSED

    def _register(self, event: Event, position: int) -> None:
        data = event.data
        match event.topic:
            case "hub.Agency.AgencyRegistered":
                self.agencies[data["code"]] = AgencyState(
                    data["code"], data["name"], tuple(data["other_codes"]), position
                )
            case "hub.Agency.AgencyRenamed":
                agency = self.agencies[data["agency"]]
                agency.name, agency.other_codes = data["name"], tuple(data["other_codes"])
            case "hub.Agency.CertificateEnrolled":
                self.agencies[data["agency"]].certificates[data["key_id"]] = data["purpose"]
            case "hub.Agency.AgencySuspended":
                self.agencies[data["agency"]].suspended = True
            case "hub.Agency.AgencyReinstated":
                self.agencies[data["agency"]].suspended = False
            case "hub.Agency.AgencySucceededBy":
                self.agencies[data["agency"]].successor = data["successor"]
            case "hub.Principal.PrincipalEnrolled":
                self.principals[data["name"]] = data["role"]
                self.certificates.setdefault(data["name"], set()).add(data["certificate"])
            case "hub.Principal.PrincipalRevoked":
                left = self.certificates[data["name"]]
                left.discard(data["certificate"])
                if not left:
                    del self.principals[data["name"]]
            case "hub.Group.GroupChanged":
                self.groups[data["group"]] = tuple(data["members"])


def document_as_json(document: DocumentState) -> dict[str, Any]:
    """A document for programs."""
    return {
        "exchange": document.exchange,
        "sender": document.sender,
        "envelope_digest": document.envelope_digest,
        "position": document.position,
        "accepted_at": document.accepted_at.isoformat(),
        "replaced_by": document.replaced_by,
        "updated_by": document.updated_by,
        "recalled": document.recalled,
        "erased": document.erased,
        "deliveries": {
            recipient: {
                "state": standing.state.name.lower(),
                "recall": standing.recall.name.lower(),
                "expired": standing.expired,
                "position": standing.position,
                "updated_at": standing.updated_at.isoformat(),
            }
            for recipient, standing in document.deliveries.items()
        },
    }


def agency_as_json(agency: AgencyState, state: HubState) -> dict[str, Any]:
    """An agency for programs, with what it sent and received."""
    return {
        "code": agency.code,
        "name": agency.name,
        "other_codes": list(agency.other_codes),
        "position": agency.position,
        "suspended": agency.suspended,
        "successor": agency.successor,
        "certificates": dict(agency.certificates),
        "sent": state.sent_by(agency.code),
        "received": _by_name(state.deliveries_of(agency.code)),
    }


def hub_as_json(state: HubState) -> dict[str, Any]:
    """The whole hub in figures, for programs."""
    return {
        "agencies": len(state.agencies),
        "suspended": sum(agency.suspended for agency in state.agencies.values()),
        "principals": dict(sorted(state.principals.items())),
        "groups": sum(bool(members) for members in state.groups.values()),
        "documents": len(state.documents),
        "deliveries": _by_name(state.deliveries()),
        "events": dict(sorted(state.topics.items())),
    }


def _by_name(counts: Mapping[DeliveryState, int]) -> dict[str, int]:
    return {state.name.lower(): counts[state] for state in sorted(counts)}


def _submitted(event: Event, position: int) -> DocumentState:
    data = event.data
    consigned = DeliveryState.CONSIGNED
    return DocumentState(
        exchange=str(event.id),
        sender=data["sender"],
        envelope_digest=data["statement"]["digest"],
        position=position,
        accepted_at=event.time,
        deliveries={
            item["agency"]: Standing(consigned, RecallState.NONE, False, position, event.time)
            for item in data["recipients"]
        },
    )


def _advance(standing: Standing, state: DeliveryState, event: Event, position: int) -> None:
    """A later state never gives way to an earlier one."""
    if state > standing.state:
        standing.state, standing.position, standing.updated_at = state, position, event.time
