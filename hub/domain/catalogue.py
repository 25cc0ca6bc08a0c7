"""Every event there is: topic → class. Nothing else can be read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.domain.agency import Agency
from hub.domain.approval import Approval
from hub.domain.audit_trail import AuditTrail
from hub.domain.axis_link import AxisLink
from hub.domain.delivery import Delivery
from hub.domain.exchange import Exchange
from hub.domain.group import Group
from hub.domain.hub_key import HubKey
from hub.domain.log import Log
from hub.domain.principal import Principal
from hub.domain.refusal import Refusal
from hub.domain.relay import Relay
from hub.domain.revocation_evidence import RevocationEvidence
from hub.domain.timestamp import Timestamp

AGGREGATES: tuple[type[Any], ...] = (
    Log,
    HubKey,
    Principal,
    Agency,
    Exchange,
    Delivery,
    Refusal,
    Group,
    Approval,
    AuditTrail,
    Timestamp,
    RevocationEvidence,
    Relay,
    AxisLink,
)

# Listed one by one: an event that is not here is refused on reading and on writing.
EVENTS: dict[str, type[Any]] = {
    event_class.TOPIC: event_class
    for event_class in (
        Log.Created,
        HubKey.Created,
        HubKey.HubKeyActivated,
        Principal.Created,
        Agency.Created,
        Agency.CertificateEnrolled,
        Exchange.Created,
        Exchange.DocumentUpdated,
        Exchange.DocumentReplaced,
        Exchange.RecallRequested,
        Delivery.DocumentHandedOver,
        Delivery.StatusReported,
        Delivery.RecallAnswered,
        Delivery.DeliveryExpired,
        Refusal.Created,
        Agency.AgencyRenamed,
        Agency.AgencySuspended,
        Agency.AgencyReinstated,
        Agency.AgencySucceededBy,
        Group.GroupChanged,
        AuditTrail.AuditAccessMade,
        AuditTrail.AuditExportMade,
        Timestamp.Created,
        Log.CalendarCorrected,
        Principal.PrincipalRevoked,
        Approval.Created,
        Exchange.PayloadErased,
        Log.LogReopened,
        HubKey.HubKeyRetired,
        HubKey.HubKeyCompromised,
        Log.WitnessSetChanged,
        Principal.PrincipalRevoked,
        Agency.CertificateRevoked,
        Agency.RevocationReviewed,
        Exchange.SignatureVerdictMade,
        Exchange.AxisSignaturesExamined,
        Exchange.SignatureInDoubt,
        RevocationEvidence.Created,
        Log.LogFrozen,
        Log.LogThawed,
        Log.TrustedRootPublished,
        Exchange.AxisDocumentTaken,
        Exchange.AxisRecallTaken,
        Delivery.AxisStatusTaken,
        Relay.RelayQueued,
        Relay.RelaySplit,
        Relay.ArrivalErased,
        Relay.RelaySent,
        Relay.AxisStatusSent,
        Relay.RelayFailed,
        Relay.RelayParked,
        Relay.RelayResumed,
        AxisLink.DirectorySynchronised,
        AxisLink.ReconciliationMade,
    )
}

# Facts that decide who may do what, and by which calendar. The head of the log remembers the
# position of the last one, so that a check made outside the writing lane can tell whether it
# is out of date.
REGISTRY_TOPICS = frozenset(
    event_class.TOPIC
    for event_class in (
        HubKey.Created,
        HubKey.HubKeyActivated,
        HubKey.HubKeyRetired,
        HubKey.HubKeyCompromised,
        Log.LogFrozen,
        Log.LogThawed,
        Log.TrustedRootPublished,
        Principal.Created,
        Principal.PrincipalRevoked,
        Agency.Created,
        Agency.CertificateEnrolled,
        Agency.CertificateRevoked,
        Agency.RevocationReviewed,
        Agency.AgencyRenamed,
        Agency.AgencySuspended,
        Agency.AgencyReinstated,
        Agency.AgencySucceededBy,
        Group.GroupChanged,
        Log.CalendarCorrected,
        RevocationEvidence.Created,
        AxisLink.DirectorySynchronised,
    )
)

# What auditors did; who did it is an auditor, where an operator stands elsewhere.
AUDIT_TOPICS = frozenset({AuditTrail.AuditAccessMade.TOPIC, AuditTrail.AuditExportMade.TOPIC})


def upcast(topic: str, schema: int, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a listed event in the form of today, whatever form they were written in.

    An event class that changes gets the next `class_version` and a static method
    `upcast_v1_v2(data)` (and so on) that makes the fields of one version from those of the
    one before; the names are the event-sourcing library's. Bytes that were written are never
    written again: the leaf, its hash and every receipt of it stay what they were. Raises
    LookupError for a version that is not known, so one of a later release.
    """
    event_class = EVENTS[topic]
    newest = version_of(event_class)
    if not 1 <= schema <= newest:
        raise LookupError(f"version {schema} of {topic} is not known, the newest is {newest}")
    for version in range(schema, newest):
        data = getattr(event_class, f"upcast_v{version}_v{version + 1}")(data)
    return data


def version_of(event_class: type[Any]) -> int:
    """The version of the form in which an event is written today; from 1."""
    return int(getattr(event_class, "class_version", 1))


ERASURE_TOPICS = frozenset({Exchange.PayloadErased.TOPIC, Relay.ArrivalErased.TOPIC})
"""What makes an operator's order final: whatever these are about is destroyed in every store."""
