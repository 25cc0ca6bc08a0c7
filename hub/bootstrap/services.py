"""What a hub answers: its services, over the parts it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import structlog

from adapters.calendar import vietnamese_working_day
from adapters.system import system_randomness
from hub.application.agencies import Agencies
from hub.application.agency_changes import AgencyChanges
from hub.application.audit import OwnReceipts
from hub.application.auditors import Auditors
from hub.application.calendar import Calendar
from hub.application.case_reading import CaseReading
from hub.application.certificate_evidence import KnownOfCertificates
from hub.application.directory import Directory
from hub.application.erasure import Eraser, Orders
from hub.application.exchanges import Exchanges
from hub.application.facts import Facts
from hub.application.hub_keys import HubKeys
from hub.application.intake import StalePolicy
from hub.application.lane import Lane
from hub.application.listing import Listing
from hub.application.offload import Offloader
from hub.application.operators import Operators
from hub.application.ports import Clock
from hub.application.refusals import RefusalRecorder
from hub.application.renewal import Renewals
from hub.application.replay import Replay
from hub.application.retention import Retention
from hub.application.revocation import Revocations
from hub.application.statistics import Counting
from hub.application.timestamp_book import TimestampBook
from hub.application.timestamping import Timestamping
from hub.application.timestamps import Timestamps
from hub.application.tracing import Tracer
from hub.application.trusted_roots import TrustedRoots
from hub.application.uploads import Uploads
from hub.application.verdicts import Demands
from hub.bootstrap.core import Core
from hub.bootstrap.descriptors import connections_allowed
from hub.bootstrap.issuers import Issuers
from hub.bootstrap.member import Member
from hub.bootstrap.relaying import AxisJob
from hub.config import Settings
from hub.domain.working_days import WorkingDays
from hub.errors import HubError
from hub.server.audit_service import AuditServicer
from hub.server.directory_service import DirectoryServicer
from hub.server.exchange_service import ExchangeServicer
from hub.server.identity import Identities
from hub.server.interceptors import CallInterceptor
from hub.server.ledger_service import LedgerServicer
from hub.server.limits import Limits, OpenCalls, Patience
from hub.server.registry_service import RegistryServicer
from hub.server.server import HubServer, ServerIdentity
from hub.server.watchers import Watchers

_logger = structlog.get_logger("hub")


@dataclass(frozen=True)
class Services:
    """Makes the server. `lane` is that of callers, `hubs_lane` the same without their limits."""

    core: Core
    lane: Lane
    hubs_lane: Lane
    offload: Offloader
    clock: Clock
    uploads: Uploads
    eraser: Eraser
    issuers: Issuers
    book: TimestampBook
    timestamping: Timestamping
    hub_keys: HubKeys
    roots: TrustedRoots
    axis: AxisJob
    watchers: Watchers
    tracer: Tracer | None
    member: Member | None

    def server(self) -> HubServer:
        """Everything that is called over gRPC. Raises OSError where it cannot listen."""
        core = self.core
        return HubServer(
            listen=core.settings.listen,
            identity=ServerIdentity(
                certificate=core.folder.server_certificate,
                private_key=core.server_key,
                client_authorities=core.folder.transport_authorities,
            ),
            interceptor=self._interceptor(),
            connections_max=connections_allowed(core.settings.connections_max),
            exchange=self._exchange(),
            ledger=self._ledger(),
            registry=self._registry(),
            directory=DirectoryServicer(self._directory),
            audit=self._audit(),
            watchers=self.watchers,
        )

    @cached_property
    def _own(self) -> OwnReceipts:
        return OwnReceipts(self.core.receipts, self.offload, self.core.registry)

    @cached_property
    def _directory(self) -> Directory:
        return Directory(self.lane, self.core.registry)

    @cached_property
    def _policy(self) -> StalePolicy:
        settings = self.core.settings
        return StalePolicy(timedelta(hours=settings.crl_age_max_h), settings.crl_stale == "refuse")

    def _interceptor(self) -> CallInterceptor:
        core = self.core
        return CallInterceptor(
            Identities(core.registry),
            Limits(
                OpenCalls(core.settings.calls_per_caller), Patience(core.settings.reader_stall_s)
            ),
            core.meter,
            self.tracer,
            fresh=self.member.fresh if self.member else None,
        )

    def _exchange(self) -> ExchangeServicer:
        core = self.core
        return ExchangeServicer(
            self._exchanges(),
            Facts(
                log=core.log,
                views=core.views,
                receipts=core.receipts,
                registry=core.registry,
                offload=self.offload,
            ),
            self.uploads,
            self.watchers,
            Listing(
                lists=core.lists,
                registry=core.registry,
                calendar=working_days(core.settings),
                offload=self.offload,
                clock=self.clock,
            ),
            renewals=Renewals(
                origin=core.settings.origin,
                lane=self.lane,
                suitability=self.issuers.suitability(),
                policy=self._policy,
            ),
        )

    def _exchanges(self) -> Exchanges:
        core = self.core
        return Exchanges(
            origin=core.settings.origin,
            log=core.log,
            lane=self.lane,
            receipts=core.receipts,
            registry=core.registry,
            views=core.views,
            content=core.content,
            uploads=self.uploads,
            vault=core.vault,
            refusals=RefusalRecorder(self.hubs_lane, self.clock, _refusal_not_recorded),
            offload=self.offload,
            clock=self.clock,
            randomness=system_randomness,
            policy=self._policy,
            demands=Demands(
                self.issuers.at_once,
                core.settings.signatures_required_by,
                core.settings.person_and_agency_required_by,
            ),
        )

    def _ledger(self) -> LedgerServicer:
        core = self.core
        return LedgerServicer(
            self._own,
            Timestamps(self.book, self.timestamping, self.offload),
            KnownOfCertificates(
                log=core.log,
                own=self._own,
                receipts=core.receipts,
                registry=core.registry,
                offload=self.offload,
            ),
            self.roots,
        )

    def _registry(self) -> RegistryServicer:
        core, lane = self.core, self.lane
        suitability = self.issuers.suitability()
        return RegistryServicer(
            Agencies(lane=lane, registry=core.registry, suitability=suitability),
            AgencyChanges(lane),
            self._directory,
            Calendar(lane=lane, registry=core.registry),
            Auditors(lane, suitability),
            operators=Operators(lane, core.registry, suitability),
            orders=Orders(
                origin=core.settings.origin,
                log=core.log,
                lane=lane,
                receipts=core.receipts,
                registry=core.registry,
                vault=core.vault,
                views=core.views,
                eraser=self.eraser,
                offload=self.offload,
                clock=self.clock,
            ),
            retention=Retention(
                years=core.settings.retention,
                lists=core.retention,
                offload=self.offload,
                clock=self.clock,
            ),
            revocations=Revocations(lane),
            hub_keys=self.hub_keys,
            roots=self.roots,
            relays=self.axis.operators,
        )

    def _audit(self) -> AuditServicer:
        core = self.core
        return AuditServicer(
            Replay(core.log, core.receipts, self.offload),
            CaseReading(
                log=core.log,
                lane=self.lane,
                receipts=core.receipts,
                content=core.content,
                vault=core.vault,
                offload=self.offload,
            ),
            Counting(
                figures=core.figures,
                receipts=core.receipts,
                registry=core.registry,
                calendar=working_days(core.settings),
                offload=self.offload,
                clock=self.clock,
            ),
        )


def working_days(settings: Settings) -> WorkingDays:
    """The calendar before any correction, with the hours of this hub's offices."""
    return WorkingDays(
        vietnamese_working_day,
        ZoneInfo(settings.time_zone),
        settings.work_begin,
        settings.work_end,
    )


def _refusal_not_recorded(agency: str, error: HubError) -> None:
    _logger.warning("a refusal was not recorded", agency=agency, reason=error.reason)
