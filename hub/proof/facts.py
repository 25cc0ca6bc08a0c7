"""What an event says of a document, held against what an agency signed."""

from __future__ import annotations

from hub.errors import VerificationFailed
from hub.proof.dsse import SignedStatement
from hub.proof.leaf import Event
from hub.proof.statements import (
    Collect,
    Envelope,
    Recall,
    RecallAnswer,
    Statement,
    Status,
    read_statement,
)
from hub.proof.strict import JsonObject, encode_base64

SUBMITTED = "hub.Exchange.DocumentSubmitted"
TAKEN = "hub.Exchange.AxisDocumentTaken"
"""A document that came over the national axis: the hub made its envelope, nobody signed it."""
HANDED_OVER = "hub.Delivery.DocumentHandedOver"
STATUS_REPORTED = "hub.Delivery.StatusReported"
RECALL_REQUESTED = "hub.Exchange.RecallRequested"
RECALL_ANSWERED = "hub.Delivery.RecallAnswered"

OPENINGS = frozenset({SUBMITTED, TAKEN})
"""What the story of a document begins with."""

# What a sender says is an event of the exchange, what a recipient says one of its delivery.
_SAID_BY_SENDER = frozenset({SUBMITTED, TAKEN, RECALL_REQUESTED})
_OF_EXCHANGE = "hub.Exchange."


def exchange_of(event: Event) -> str:
    """The exchange an event is about. Raises VerificationFailed where it is about none."""
    if event.topic.startswith(_OF_EXCHANGE):
        return str(event.id)
    return data_of(event).text("exchange")


def data_of(event: Event) -> JsonObject:
    """What happened, each member to be read with its type; fails with step "fact"."""
    return JsonObject(dict(event.data), "the event", "fact")


def require_fact_of(event: Event, sent: SignedStatement, exchange_id: str) -> Statement:
    """Check that an event records this very statement, in this exchange; return what it says.

    1. Its kind. 2. Agency and request. 3. Payload type, digest, key and signature. 4. What
    the statement says: recipients, attachments and action of an envelope; the envelope and
    code of all others, and for whom a recipient speaks. Raises VerificationFailed(step="fact").

    The envelope of a document that came over the axis has neither key nor signature; that an
    agency said it, nothing here shows.
    """
    statement = read_statement(sent)
    data = data_of(event)
    # (1) Its kind.
    unsigned = event.topic == TAKEN and isinstance(statement, Envelope)
    topic = TAKEN if unsigned else _recorded_as(statement)
    _require(event.topic == topic, "is of another kind")
    # (2) Agency and request.
    header = statement.header
    _require(speaker_of(topic, data) == header.agency, "speaks of another agency")
    _require(data.text("request_id") == header.request_id, "answers another request")
    # (3) Payload type, digest, key and signature.
    recorded = data.child("statement")
    _require(recorded.text("payload_type") == sent.payload_type, "names another payload type")
    _require(recorded.text("digest") == sent.digest.hex(), "names another payload")
    if unsigned:
        _require(not (sent.key_id or sent.signature), "names no key and no signature")
    else:
        signature = encode_base64(sent.signature)
        _require(recorded.text("key_id") == sent.key_id, "names another key")
        _require(recorded.text("signature") == signature, "names another signature")
    # (4) What the statement says.
    _require(exchange_of(event) == exchange_id, "belongs to another exchange")
    if isinstance(statement, Envelope):
        _require_envelope(data, statement)
        return statement
    digest = data.text("envelope_digest")
    _require(digest == statement.envelope_digest, "speaks of another envelope")
    if not isinstance(statement, Recall):
        meant = statement.for_agency or header.agency
        _require(data.text("agency") == meant, "is about another agency's delivery")
    if isinstance(statement, Status | RecallAnswer):
        _require(data.text("code") == statement.code, "names another code")
    return statement


def speaker_of(topic: str, data: JsonObject) -> str:
    """The agency which, by such an event, said what it records."""
    if topic not in OPENINGS and (successor := by_agency(data)) is not None:
        return successor
    return data.text("sender" if topic in _SAID_BY_SENDER else "agency")


def by_agency(data: JsonObject) -> str | None:
    """The successor that signed for the agency an event names; None where that one signed."""
    statement = data.child("statement")
    return statement.text("by_agency") if "by_agency" in statement.members else None


def recipients_in(submission: Event, envelope: Envelope) -> set[str]:
    """The primary codes of those an envelope was signed to, by the event that accepted it."""
    return {
        item.text("agency")
        for item in data_of(submission).children("recipients")
        if _signed_code(item) in envelope.recipients
    }


def _recorded_as(statement: Statement) -> str:
    """The topic of the event that records a statement."""
    match statement:
        case Envelope():
            return SUBMITTED
        case Collect():
            return HANDED_OVER
        case Status():
            return STATUS_REPORTED
        case Recall():
            return RECALL_REQUESTED
        case RecallAnswer():
            return RECALL_ANSWERED


def _signed_code(recipient: JsonObject) -> str:
    """The code as the sender signed it; the primary one, unless the event says otherwise."""
    return recipient.text("addressed" if "addressed" in recipient.members else "agency")


def _require_envelope(data: JsonObject, envelope: Envelope) -> None:
    recipients = [_signed_code(item) for item in data.children("recipients")]
    _require(recipients == list(envelope.recipients), "lists other recipients")
    contents = [
        (item.text("sha256"), item.integer("size", minimum=0))
        for item in data.children("attachments")
    ]
    stated = [(item.sha256, item.size) for item in envelope.document.attachments]
    _require(contents == stated, "lists other attachments")
    _require(data.text("action") == envelope.action.value, "names another action")
    _require(data.members.get("relates_to") == envelope.relates_to, "relates to another envelope")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise VerificationFailed(f"the recorded fact {otherwise}", step="fact")
