"""What whoever runs a hub is told of it: readiness, metrics and traces, wired to its parts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from cryptography import x509

from adapters.storage.backlogs import Backlogs
from adapters.storage.probe import AppendProbe
from adapters.system import system_randomness
from hub.application import measuring, readings
from hub.application.hub_keys import HubKeys
from hub.application.measuring import Meter, NoMeter, Reading
from hub.application.ports import Clock
from hub.application.readiness import Appending, Check, Readiness, State, as_text
from hub.application.readings import Readings, Source
from hub.application.registry import Role
from hub.application.timestamp_book import TimestampBook
from hub.application.tracing import Tracer
from hub.application.witnessing import WitnessStatus
from hub.bootstrap.relaying import AxisJob
from hub.bootstrap.signer import link_ends
from hub.bootstrap.trust import FolderRoots
from hub.config import ConfigInvalid, Settings
from hub.errors import LedgerMismatch
from hub.http_serving import bind
from hub.proof.succession import read_trusted_root
from hub.server.status_pages import StatusPages, serving

if TYPE_CHECKING:
    from hub.bootstrap.core import Core

_logger = structlog.get_logger("hub")

# Who asks for metrics gets what was read last when storage takes longer than this.
_READ_WITHIN_S = 5.0
# One for what asks storage, one for what writes the page: the first may hang.
_THREADS = 2
# The clock of a machine is set by small steps now and then.
_CLOCK_BEHIND_MAX = timedelta(seconds=5)


def meter_of(settings: Settings) -> Meter:
    """What counts, where somebody may ask for it."""
    if not settings.metrics_listen:
        return NoMeter()
    from adapters.metrics.prometheus import PrometheusMeter  # noqa: PLC0415 - only where asked for.

    return PrometheusMeter()


def tracer_of(settings: Settings) -> Tracer | None:
    """What traces, where the settings say whither. Raises ConfigInvalid."""
    if not settings.trace_endpoint:
        return None
    try:
        from adapters.tracing import otel  # noqa: PLC0415 - an extra.
    except ImportError as error:
        raise ConfigInvalid(
            "trace_endpoint needs more than is installed: `pip install lienthong[otel]`"
        ) from error
    exporter = otel.exporter_to(settings.trace_endpoint)
    return otel.OtelTracer(exporter, version=version("lienthong"), share=settings.trace_share)


@dataclass(frozen=True, slots=True)
class Parts:
    """What of a running hub is asked how it stands; none of these may block."""

    waiting: Callable[[], Mapping[str, int]]
    open_streams: Callable[[], int]
    witnesses: Callable[[], Sequence[WitnessStatus]]
    follows_well: Callable[[], bool]
    """Whether a hub that does not lead gets what the one that does publishes."""

    axis: AxisJob


class Operating:
    """Readiness and metrics of one hub, and the pages that tell them."""

    def __init__(
        self, core: Core, parts: Parts, book: TimestampBook, hub_keys: HubKeys, clock: Clock
    ) -> None:
        self._core, self._parts, self._clock = core, parts, clock
        self._book, self._hub_keys = book, hub_keys
        self.readiness = Readiness(self._checks(), _check_failed)
        self._checking = ThreadPoolExecutor(1, "readiness")
        self._reading = ThreadPoolExecutor(_THREADS, "readings")
        self._readings = Readings(self._sources(), _not_read)
        self._renewing: asyncio.Future[None] | None = None
        self._signed: int | None = None
        self._pages = AsyncExitStack()
        self.port: int | None = None

    async def open(self) -> None:
        """Serve the pages, where the settings say so. Raises ConfigInvalid."""
        if not (address := self._core.settings.metrics_listen):
            return
        try:
            listener = bind(address)
        except OSError as error:
            raise ConfigInvalid(f"metrics_listen: cannot listen on {address}: {error}") from error
        pages = StatusPages(self._page, lambda: as_text(self.readiness))
        await self._pages.enter_async_context(serving(pages, listener))
        self.port = listener.getsockname()[1]

    async def close(self) -> None:
        """Serve the pages no longer."""
        await self._pages.aclose()
        for threads in (self._checking, self._reading):
            threads.shutdown(cancel_futures=True)

    async def look(self) -> bool:
        """Make a round of checks; whether the hub is ready."""
        loop = asyncio.get_running_loop()
        return await self.readiness.look(lambda work: loop.run_in_executor(self._checking, work))

    def serves(self) -> None:
        """The start is over."""
        self.readiness.state = State.SERVING

    def stops(self) -> None:
        """The hub was told to stop."""
        self.readiness.state = State.STOPPING

    # --- readiness ----------------------------------------------------------------

    def _checks(self) -> list[Check]:
        core, engine = self._core, self._core.engine
        probe = AppendProbe(core.database, system_randomness)
        return [
            Check("log-frozen", lambda: engine.frozen is None),
            Check("frozen-by-operator", lambda: not engine.registry.frozen),
            Check("deposed", lambda: not core.deposed.is_set()),
            Check("checkpoint", self._is_covered),
            Check("clock", lambda: engine.last_time - self._clock() < _CLOCK_BEHIND_MAX),
            Check("content", lambda: core.content.is_usable() and core.uploads.is_usable()),
            # These two are the leader's.
            Check("lists", lambda: not engine.leads or core.views.position() >= core.receipts.size),
            Check("signer", lambda: not engine.leads or self._signer_signs()),
            Check("append", Appending(probe, lambda: core.receipts.size)),
        ]

    def _is_covered(self) -> bool:
        """Whether what is committed here gets its checkpoint."""
        engine = self._core.engine
        if engine.leads:
            return not engine.behind
        return engine.can_commit and self._parts.follows_well()

    def _signer_signs(self) -> bool:
        """Whether it signs, and not only answers: a token may be gone and nobody have noticed.

        What it signed last is signed once more, with the keys that sign now: nothing new. Where
        it has signed more since the last look, that is the proof, and nobody asks beside the
        lane: the signer would take a tree that was overtaken meanwhile for a rollback, and say so.
        """
        core = self._core
        signing = core.engine.registry.hub_keys.signing(core.settings.origin)
        if (last := core.signer.last) is None:
            return False
        seen, self._signed = self._signed, last.size
        if seen is not None and last.size > seen:
            return True
        with suppress(LedgerMismatch):  # Meanwhile something newer was signed: it signs.
            core.signer.sign(last.size, last.root, (), signing)
        return True

    # --- metrics ------------------------------------------------------------------

    async def _page(self) -> bytes:
        loop = asyncio.get_running_loop()
        if self._renewing is None or self._renewing.done():
            self._renewing = loop.run_in_executor(self._reading, self._readings.renew)
        await asyncio.wait({self._renewing}, timeout=_READ_WITHIN_S)
        found = [*self._now(), *self._readings.newest()]
        return await loop.run_in_executor(self._reading, self._core.meter.page, found)

    def _now(self) -> Iterator[Reading]:
        """What is known without asking storage."""
        core, engine, parts = self._core, self._core.engine, self._parts
        frozen = engine.frozen is not None or bool(engine.registry.frozen)
        yield Reading(measuring.BUILD, 1, (version("lienthong"),))
        yield Reading(measuring.READY, self.readiness.ready)
        for check in self.readiness.failing:
            yield Reading(measuring.NOT_READY, 1, (check,))
        yield Reading(measuring.FROZEN, frozen)
        yield Reading(measuring.LEADING, engine.leads and not core.deposed.is_set())
        yield Reading(measuring.EPOCH, core.database.epoch if engine.leads else 0)
        yield Reading(measuring.LOG_EVENTS, core.receipts.size)
        yield readings.age(measuring.CHECKPOINT_AGE, engine.last_time, self._clock())
        yield Reading(measuring.OPEN_STREAMS, parts.open_streams())
        yield from readings.queues(parts.waiting())
        yield from readings.witnesses(parts.witnesses())
        if core.settings.axis is not None:
            yield Reading(measuring.AXIS_UNREACHABLE, parts.axis.unreachable_rounds())

    def _sources(self) -> list[Source]:
        core, clock = self._core, self._clock
        backlogs = Backlogs(core.database)
        sources = [
            Source("head", self._unsigned, 2.0),
            Source("disk", self._disk, 10.0),
            Source("timestamps", self._untimestamped, 10.0),
            Source("backlogs", lambda: readings.backlogs(backlogs.uncollected(), clock()), 30.0),
            Source("keys", lambda: readings.key_steps(self._hub_keys.plan(), clock()), 60.0),
            Source("certificates", self._certificates, 300.0),
        ]
        if core.settings.axis is not None:
            sources += [
                Source("axis", self._packages, 30.0),
                Source("axis answers", self._unanswered, 60.0),
                Source("axis comparison", self._compared, 60.0),
            ]
        return sources

    def _unsigned(self) -> Iterator[Reading]:
        size = self._core.receipts.size
        behind = self._core.log.head().next_position - size
        yield Reading(measuring.UNSIGNED_EVENTS, max(0, behind))

    def _disk(self) -> Iterator[Reading]:
        folder = self._core.folder
        for store, path in (("folder", folder.root), ("content", folder.content)):
            room = os.statvfs(path)
            yield Reading(measuring.DISK_FREE, room.f_bavail * room.f_frsize, (store,))

    def _untimestamped(self) -> Iterator[Reading]:
        self._book.catch_up()
        names = [each.name for each in self._core.settings.timestamp_authorities]
        waiting = {name: self._book.waiting(name) for name in names}
        yield from readings.untimestamped(waiting, self._clock())

    def _packages(self) -> Iterator[Reading]:
        return readings.axis_packages(self._core.relays.tallies(), self._clock())

    def _unanswered(self) -> Iterator[Reading]:
        oldest = self._core.relays.oldest_unanswered()
        yield readings.age(measuring.AXIS_UNANSWERED_AGE, oldest, self._clock())

    def _compared(self) -> Iterator[Reading]:
        if (last := self._parts.axis.compared()) is not None:
            yield Reading(measuring.AXIS_DIFFERENCES, last.differences)
            yield readings.age(measuring.AXIS_COMPARED_AGE, last.at, self._clock())

    def _certificates(self) -> Iterator[Reading]:
        core = self._core
        registry, folder = core.engine.registry, core.folder
        ends = readings.agency_certificates(registry)
        for purpose, path in (
            ("server", folder.server_certificate),
            ("signing-authority", folder.signing_authorities),
            ("transport-authority", folder.transport_authorities),
            *(
                (f"timestamp:{each.name}", folder.root / each.certificates)
                for each in core.settings.timestamp_authorities
            ),
        ):
            ends |= {(holder, purpose): end for holder, end in _ends_in(path)}
        for fingerprint, caller in registry.callers.items():
            if caller.role is not Role.AGENCY:
                end = self._end_of(fingerprint)
                place = (f"{caller.role.value}:{caller.name}", "transport")
                ends[place] = max(end, ends.get(place, end))
        if (first := self._book.next_end()) is not None:
            ends["hub", "timestamps"] = first
        if (expires := read_trusted_root(FolderRoots(folder).newest()).expires) is not None:
            ends["hub", "trusted-root"] = expires
        ends |= link_ends(folder, core.settings, core.signer)
        yield from readings.certificate_days(ends, self._clock())

    def _end_of(self, fingerprint: str) -> datetime:
        return _end_of(self._core.log.evidence(bytes.fromhex(fingerprint)) or b"")


@cache
def _end_of(der: bytes) -> datetime:
    if not der:
        return datetime.max.replace(tzinfo=UTC)
    return x509.load_der_x509_certificate(der).not_valid_after_utc


def _ends_in(path: Path) -> Iterator[tuple[str, datetime]]:
    for certificate in x509.load_pem_x509_certificates(path.read_bytes()):
        tbs = sha256(certificate.tbs_certificate_bytes).hexdigest()
        yield f"certificate:{tbs[:16]}", certificate.not_valid_after_utc


def _check_failed(check: str, error: Exception) -> None:
    _logger.error("readiness check failed", check=check, error=str(error))


def _not_read(source: str, error: Exception) -> None:
    _logger.warning("a metric cannot be read", source=source, error=str(error))
