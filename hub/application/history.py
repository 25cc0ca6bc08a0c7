"""Aggregates rebuilt from the log, and kept while they are in use."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import cast
from uuid import UUID

from hub.application.mapper import ClosedMapper
from hub.application.ports import EventLog
from hub.domain.agency import Agency
from hub.domain.aggregate import Aggregate
from hub.domain.audit_trail import AuditTrail, audit_trail_id
from hub.domain.delivery import Delivery, delivery_id
from hub.domain.exchange import Exchange
from hub.domain.group import Group
from hub.domain.hub_key import HubKey
from hub.domain.log import Log
from hub.domain.principal import Principal
from hub.domain.relay import Relay

_CACHED_AGGREGATES_MAX = 8192


class History:
    """The aggregates of the writing lane. Used by one thread; `forget` after a failure."""

    def __init__(self, log: EventLog, mapper: ClosedMapper) -> None:
        self._log = log
        self._mapper = mapper
        self._cache: OrderedDict[UUID, Aggregate] = OrderedDict()

    def log(self) -> Log:
        """The log itself, once it was opened: the aggregate of the event at position 0."""
        (opened,) = self._log.entries(0, 1)
        return cast(Log, self._existing(opened.aggregate_id))

    def exists(self, aggregate_id: UUID) -> bool:
        """Whether anything was recorded of an aggregate, in this batch or before."""
        return aggregate_id in self._cache or bool(self._log.select_events(aggregate_id))

    def exchange(self, exchange_id: UUID) -> Exchange:
        """An exchange that is known to exist."""
        return cast(Exchange, self._existing(exchange_id))

    def hub_key(self, key_id: UUID) -> HubKey:
        """A key of the hub that is known to exist."""
        return cast(HubKey, self._existing(key_id))

    def agency(self, agency_id: UUID) -> Agency:
        """An agency that is known to exist."""
        return cast(Agency, self._existing(agency_id))

    def principal(self, principal_id: UUID) -> Principal:
        """An auditor or operator that is known to exist."""
        return cast(Principal, self._existing(principal_id))

    def delivery(self, exchange_id: UUID, recipient: str, at: datetime) -> Delivery:
        """The delivery of an exchange at a recipient, whether or not anything was said yet."""
        known = self._cached(delivery_id(exchange_id, recipient))
        if known is not None:
            return cast(Delivery, known)
        delivery = Delivery.begin(exchange_id, recipient, at)
        for stored in self._log.select_events(delivery.id):
            self._mapper.to_domain_event(stored).mutate(delivery)
        return delivery

    def relay(self, relay_id: UUID, at: datetime) -> Relay:
        """A package on its way to the axis, or from there, whatever was recorded of it."""
        known = self._cached(relay_id)
        if known is not None:
            return cast(Relay, known)
        relay = Relay.begin(relay_id, at)
        for stored in self._log.select_events(relay_id):
            self._mapper.to_domain_event(stored).mutate(relay)
        return relay

    def group(self, group_id: UUID, at: datetime) -> Group:
        """A group of agencies, whether or not it was ever changed."""
        known = self._cached(group_id)
        if known is not None:
            return cast(Group, known)
        group = Group.begin(group_id, at)
        for stored in self._log.select_events(group_id):
            self._mapper.to_domain_event(stored).mutate(group)
        return group

    def audit_trail(self, exchange_id: UUID, at: datetime) -> AuditTrail:
        """The audit trail of an exchange, whether or not it was ever audited."""
        known = self._cached(audit_trail_id(exchange_id))
        if known is not None:
            return cast(AuditTrail, known)
        trail = AuditTrail.begin(exchange_id, at)
        for stored in self._log.select_events(trail.id):
            self._mapper.to_domain_event(stored).mutate(trail)
        return trail

    def keep(self, aggregate: Aggregate) -> None:
        """Remember an aggregate whose facts are all committed."""
        self._cache[aggregate.id] = aggregate
        self._cache.move_to_end(aggregate.id)
        while len(self._cache) > _CACHED_AGGREGATES_MAX:
            self._cache.popitem(last=False)

    def drop(self, aggregate_id: UUID) -> None:
        """Forget one aggregate: it may hold what was never recorded."""
        self._cache.pop(aggregate_id, None)

    def forget(self) -> None:
        """Forget everything; the next use reads from the log."""
        self._cache.clear()

    def _cached(self, aggregate_id: UUID) -> Aggregate | None:
        aggregate = self._cache.get(aggregate_id)
        if aggregate is not None:
            self._cache.move_to_end(aggregate_id)
        return aggregate

    def _existing(self, aggregate_id: UUID) -> Aggregate:
        known = self._cached(aggregate_id)
        if known is not None:
            return known
        aggregate: Aggregate | None = None
        for stored in self._log.select_events(aggregate_id):
            aggregate = self._mapper.to_domain_event(stored).mutate(aggregate)
        if aggregate is None:
            raise LookupError(f"aggregate {aggregate_id} has no events")
        self.keep(aggregate)
        return aggregate
