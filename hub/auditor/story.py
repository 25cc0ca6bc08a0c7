"""One document's whole story, event by event: what was signed, and what the hub observed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from hub.auditor.stream import Logged
from hub.client.answers import VerifiedStatement
from hub.proof.statements import Envelope, Recall, RecallAnswer, Status


class What(StrEnum):
    """What happened to a document."""

    SUBMITTED = "submitted"
    TAKEN = "taken-from-axis"
    UPDATED = "updated"
    REPLACED = "replaced"
    RECALL_ASKED = "recall-asked"
    HANDED_OVER = "handed-over"
    STATUS = "status"
    AXIS_STATUS = "axis-status"
    AXIS_RECALL = "axis-recall"
    RECALL_ANSWERED = "recall-answered"
    EXPIRED = "expired"
    ERASED = "erased"
    EXAMINED = "examined"
    AXIS_EXAMINED = "axis-examined"
    IN_DOUBT = "in-doubt"
    READ = "read"
    EXPORTED = "exported"
    OTHER = "other"


_WHAT = {
    "hub.Exchange.DocumentSubmitted": What.SUBMITTED,
    "hub.Exchange.AxisDocumentTaken": What.TAKEN,
    "hub.Exchange.AxisRecallTaken": What.AXIS_RECALL,
    "hub.Delivery.AxisStatusTaken": What.AXIS_STATUS,
    "hub.Exchange.DocumentUpdated": What.UPDATED,
    "hub.Exchange.DocumentReplaced": What.REPLACED,
    "hub.Exchange.RecallRequested": What.RECALL_ASKED,
    "hub.Delivery.DocumentHandedOver": What.HANDED_OVER,
    "hub.Delivery.StatusReported": What.STATUS,
    "hub.Delivery.RecallAnswered": What.RECALL_ANSWERED,
    "hub.Delivery.DeliveryExpired": What.EXPIRED,
    "hub.Exchange.PayloadErased": What.ERASED,
    "hub.Exchange.SignatureVerdictMade": What.EXAMINED,
    "hub.Exchange.AxisSignaturesExamined": What.AXIS_EXAMINED,
    "hub.Exchange.SignatureInDoubt": What.IN_DOUBT,
    "hub.Log.AuditAccessMade": What.READ,
    "hub.Log.AuditExportMade": What.EXPORTED,
}


@dataclass(frozen=True, slots=True)
class Signed:
    """What an agency signed: by whom, over what, with which key.

    `by` is the agency whose key it is; `agency` the one it speaks for, another only where a
    successor signed. `verified` says whether the statement itself was read for a case and its
    signature held; else it is known by digest, and the hub's checks are taken at its word.
    """

    by: str
    agency: str
    payload_type: str
    digest: str
    key_id: str
    algorithm: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a document's story.

    `observed` are the facts that nobody signed: they are the hub's own. `words` are subject or
    reason, where they were read for a case. `facts` is what else the event says, by name.
    """

    position: int
    at: datetime
    topic: str
    what: What
    signed: Signed | None
    observed: tuple[str, ...]
    facts: Mapping[str, Any]
    words: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The line for programs."""
        signed = self.signed and {
            name: getattr(self.signed, name)
            for name in (
                "by",
                "agency",
                "payload_type",
                "digest",
                "key_id",
                "algorithm",
                "verified",
            )
        }
        return {
            "position": self.position,
            "time": self.at.isoformat(),
            "topic": self.topic,
            "what": self.what.value,
            "signed": signed,
            "observed": list(self.observed),
            "facts": dict(self.facts),
            "words": dict(self.words),
        }


def tell(
    events: Iterable[Logged], said: Mapping[int, VerifiedStatement] | None = None
) -> list[Line]:
    """The story of a document from its events, by rising position.

    `said` are the statements that were read for a case, by position.
    """
    return [_line(logged, (said or {}).get(logged.position)) for logged in events]


def _line(logged: Logged, statement: VerifiedStatement | None) -> Line:
    event, data = logged.event, logged.event.data
    what = _WHAT.get(event.topic, What.OTHER)
    signed = _signed(data, verified=statement is not None)
    facts = {name: value for name, value in data.items() if name != "statement"}
    return Line(
        position=logged.position,
        at=event.time,
        topic=event.topic,
        what=what,
        signed=signed,
        observed=_observed(what, data),
        facts=facts,
        words=_words(statement),
    )


def _signed(data: Mapping[str, Any], *, verified: bool) -> Signed | None:
    record = data.get("statement")
    if not isinstance(record, dict) or "signature" not in record:
        return None
    agency = str(data.get("agency", data.get("sender", "")))
    return Signed(
        by=str(record.get("by_agency", agency)),
        agency=agency,
        payload_type=str(record.get("payload_type", "")),
        digest=str(record.get("digest", "")),
        key_id=str(record.get("key_id", "")),
        algorithm=str(record.get("algorithm", "")),
        verified=verified,
    )


def _observed(what: What, data: Mapping[str, Any]) -> tuple[str, ...]:
    """What is in an event without anybody's signature but the log's."""
    match what:
        # Of an erasure, two operators signed; their order and approval are events of their own.
        case What.EXPIRED | What.ERASED | What.READ | What.EXPORTED | What.OTHER:
            found = ["event"]
        case What.UPDATED | What.REPLACED:
            # The newer envelope is signed and names this one; that it was recorded here is ours.
            found = ["link"]
        case _:
            # What came over the axis, nobody signed.
            found = ["event"] if "axis_id" in data else []
    found += ["time", "position"]
    if any(name in data for name in ("inbox_seq", "outbox_seq", "recipients", "notices")):
        found.append("numbers")
    if data.get("warnings"):
        found.append("warnings")
    return tuple(found)


def _words(statement: VerifiedStatement | None) -> dict[str, str]:
    if statement is None:
        return {}
    match statement.payload:
        case Envelope(document=document):
            return {
                "kind": document.type_name,
                "code": document.code,
                "subject": document.subject,
            }
        case Recall(reason=reason) | Status(reason=reason) | RecallAnswer(reason=reason):
            return {"reason": reason} if reason else {}
    return {}
