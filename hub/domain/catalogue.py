"""Every event there is: topic → class. Nothing else can be read back."""

from __future__ import annotations

from typing import Any

from hub.domain.agency import Agency
from hub.domain.delivery import Delivery
from hub.domain.exchange import Exchange
from hub.domain.group import Group
from hub.domain.hub_key import HubKey
from hub.domain.log import Log
from hub.domain.principal import Principal
from hub.domain.refusal import Refusal

AGGREGATES: tuple[type[Any], ...] = (
    Log,
    HubKey,
    Principal,
    Agency,
    Exchange,
    Delivery,
    Refusal,
    Group,
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
        Log.CalendarCorrected,
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
        Principal.Created,
        Agency.Created,
        Agency.CertificateEnrolled,
        Agency.AgencyRenamed,
        Agency.AgencySuspended,
        Agency.AgencyReinstated,
        Agency.AgencySucceededBy,
        Group.GroupChanged,
        Log.CalendarCorrected,
    )
)
