"""The jobs that connect a running hub to the national axis: four rounds, each in its own time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import structlog

from adapters.axis.directory_file import organisations_in
from adapters.axis.http import Deadlines
from adapters.axis.national.gateway import NationalAxis, NationalSettings
from adapters.axis.packages import EdxmlPackages
from adapters.axis.provincial.gateway import ProvincialAxis, ProvincialSettings
from adapters.axis.reading import VIETNAM
from adapters.storage.scratch import scratch_in
from adapters.system import system_clock, system_randomness
from hub.application.axis import AxisAgency, AxisError, AxisGateway
from hub.application.axis_directory import AxisDirectory
from hub.application.inbound import Arrivals, Patience
from hub.application.lane import Lane
from hub.application.leading import undisputed
from hub.application.offload import Offloader
from hub.application.outbound import Outbox, Pace
from hub.application.ports import MayAct, RelayRow
from hub.application.reconciliation import LastReconciled, Reconciliation
from hub.application.registry import Registry
from hub.application.relays import Relays
from hub.application.untaken import Noticed
from hub.config import AxisSetting, ConfigInvalid
from hub.errors import HubError

if TYPE_CHECKING:
    from hub.bootstrap.core import Core

T = TypeVar("T")
Work = Callable[[], Awaitable[object]]

_logger = structlog.get_logger("hub.axis")
# Packages are made, read and encrypted here, so that no large one keeps agencies waiting.
_THREADS = 2
_SECRET_BYTES_MAX = 4096
# Between two attempts at a question while an operator waits for all answers.
_PAUSE_S = 1.0
# How long after a start what is on its way may take to arrive.
_SETTLE_S = 900.0


@dataclass(frozen=True, slots=True)
class _Connection:
    setting: AxisSetting
    gateways: tuple[AxisGateway, ...]
    outbox: Outbox
    arrivals: Arrivals
    directory: AxisDirectory
    reconciliation: Reconciliation
    on_demand: Reconciliation


class AxisJob:
    """The connection to the axis of the settings; without one it only answers operators."""

    def __init__(
        self,
        core: Core,
        lane: Lane,
        offload: Offloader,
        may_act: MayAct,
        leave: Callable[[UUID], None],
    ) -> None:
        """`leave` has the sweep pass over an id. Raises ConfigInvalid for an unreadable secret."""
        self._core, self._lane, self._may_act, self._leave = core, lane, may_act, leave
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._threads: ThreadPoolExecutor | None = None
        self._connection = self._connected(core.settings.axis)
        self.operators = Relays(
            lane=lane,
            views=core.views,
            relays=core.relays,
            offload=offload,
            reconciliation=self._connection.on_demand if self._connection else None,
            outbox=self._connection.outbox if self._connection else None,
        )

    def unreachable_rounds(self) -> int:
        """In so many rounds in a row nobody answered."""
        return self._connection.outbox.unreachable_rounds if self._connection else 0

    def compared(self) -> LastReconciled | None:
        """The newest comparison with the axis; None before the first. Raises OSError."""
        return self._connection.reconciliation.newest() if self._connection else None

    async def run(self) -> None:
        """Make all rounds until cancelled; one that fails is logged and repeated."""
        axis = self._connection
        if axis is None:
            return
        every = axis.setting
        try:
            async with asyncio.TaskGroup() as rounds:
                for work in (
                    self._sending(axis.outbox, every.send_every_s),
                    self._each(every, every.poll_every_s, "arrivals", axis.arrivals.round),
                    self._each(every, every.directory_every_s, "directory", axis.directory.round),
                    self._comparing(every, axis.reconciliation),
                ):
                    rounds.create_task(work)
        finally:
            for gateway in axis.gateways:
                await gateway.close()
            if self._threads is not None:
                self._threads.shutdown(wait=False, cancel_futures=True)

    def _connected(self, setting: AxisSetting | None) -> _Connection | None:
        core = self._core
        if setting is None:
            return None
        gateway = gateway_of(setting, core.folder.root, self._may_act)
        # An operator's question changes nothing there, and is answered by any hub.
        asked = gateway_of(setting, core.folder.root, undisputed)
        self._threads = ThreadPoolExecutor(_THREADS, "axis")
        core.on_published.append(self._published)
        scratch = scratch_in(core.contents.root, system_randomness)

        def registry() -> Registry:
            return core.engine.registry

        first = timedelta(seconds=setting.retry_first_s)
        longest = timedelta(seconds=setting.retry_longest_s)
        packages = EdxmlPackages(scratch)
        outbox = Outbox(
            gateway=gateway,
            packages=packages,
            log=core.log,
            lane=self._lane,
            views=core.views,
            relays=core.relays,
            content=core.content,
            vault=core.vault,
            registry=registry,
            scratch=scratch,
            offload=self._offload,
            clock=system_clock,
            pace=Pace(first, longest),
            told=_told_of_going,
            leave=self._leave,
            at_once=setting.send_at_once,
        )
        arrivals = Arrivals(
            origin=core.settings.origin,
            gateway=gateway,
            packages=packages,
            lane=self._lane,
            receipts=core.receipts,
            views=core.views,
            relays=core.relays,
            lists=core.lists,
            content=core.content,
            vault=core.vault,
            registry=registry,
            scratch=scratch,
            offload=self._offload,
            clock=system_clock,
            randomness=system_randomness,
            patience=Patience(
                timedelta(seconds=setting.early_s), setting.fetch_tries, first, longest
            ),
            told=_told_of_coming,
            leave=self._leave,
        )
        directory = AxisDirectory(
            gateway=gateway,
            lane=self._lane,
            registry=registry,
            system_id=setting.system_id,
            told=lambda what: _logger.warning("the axis's directory", what=what),
            otherwise=self._listed_in(setting),
        )
        noticed = Noticed(_grace_of(setting))

        def reconciliation(through: AxisGateway) -> Reconciliation:
            return Reconciliation(
                gateway=through,
                lane=self._lane,
                log=core.log,
                relays=core.relays,
                content=core.content,
                offload=self._offload,
                clock=system_clock,
                window=timedelta(days=setting.reconcile_days),
                noticed=noticed,
                pause_s=min(setting.retry_first_s, _PAUSE_S),
            )

        return _Connection(
            setting,
            (gateway, asked),
            outbox,
            arrivals,
            directory,
            reconciliation(gateway),
            reconciliation(asked),
        )

    def _listed_in(self, setting: AxisSetting) -> Callable[[], Sequence[AxisAgency]] | None:
        if not setting.directory_file:
            return None
        return partial(organisations_in, self._core.folder.root / setting.directory_file)

    async def _sending(self, outbox: Outbox, every_s: float) -> None:
        """A round whenever something new is published, and now and then."""
        while True:
            self._wake.clear()
            await self._round("outbox", outbox.round)
            try:
                async with asyncio.timeout(every_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _each(self, every: AxisSetting, every_s: float, name: str, work: Work) -> None:
        """A round now and then; after one that failed the next comes sooner, if it is far off."""
        while True:
            done = await self._round(name, work)
            await asyncio.sleep(every_s if done else min(every_s, every.retry_longest_s))

    async def _comparing(self, every: AxisSetting, reconciliation: Reconciliation) -> None:
        # Not at the start, when what is on its way has had no time to arrive; but a hub that is
        # started anew each day compares, too.
        last = await reconciliation.last()
        since = (system_clock() - last.at).total_seconds() if last else 0.0
        often_s = every.reconcile_every_s
        wait = max(often_s - since, min(often_s, _SETTLE_S))
        work = partial(_compare, reconciliation)
        while True:
            # What waits then is on its way no more when the books are compared.
            ahead = min(wait, _grace_of(every).total_seconds())
            await asyncio.sleep(wait - ahead)
            await self._round("a look at what waits", reconciliation.notice)
            await asyncio.sleep(ahead)
            done = await self._round("reconciliation", work)
            wait = (
                every.reconcile_every_s
                if done
                else min(every.reconcile_every_s, every.retry_longest_s)
            )

    async def _round(self, name: str, work: Work) -> bool:
        """Whether it did not fail."""
        try:
            await work()
            return True
        except AxisError as error:
            _logger.warning("a round failed", round=name, reason=error.reason, why=str(error))
        except HubError as error:
            _logger.warning("a round failed", round=name, reason=error.reason)
        except Exception as error:
            _logger.error("a round failed and will be repeated", round=name, exc_info=error)
        return False

    def _published(self) -> None:
        self._loop.call_soon_threadsafe(self._wake.set)

    async def _offload(self, work: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._threads, work)


def _grace_of(setting: AxisSetting) -> timedelta:
    """How long what came to the axis may take until it is taken in, or parked.

    The rounds may rest while nobody answers; the next one may be under way; a package may wait
    for the document it speaks of.
    """
    rounds_s = 2 * setting.poll_every_s
    return timedelta(seconds=setting.retry_longest_s + rounds_s + setting.early_s)


async def _compare(reconciliation: Reconciliation) -> None:
    done = await reconciliation.run()
    ages = await reconciliation.ages()
    tell = _logger.warning if done.differences else _logger.info
    tell(
        "reconciled with the axis",
        compared=done.compared,
        differences=len(done.differences),
        oldest_unsent=ages.unsent and ages.unsent.isoformat(),
        oldest_unanswered=ages.unanswered and ages.unanswered.isoformat(),
    )


def gateway_of(setting: AxisSetting, root: Path, may_act: MayAct) -> AxisGateway:
    """What talks to the axis of the settings. Raises ConfigInvalid."""
    deadlines = Deadlines(call_s=setting.call_timeout_s, transfer_s=setting.transfer_timeout_s)
    secrets = tuple(_secret(root / name) for name in setting.secrets)
    if setting.kind == "national":
        national = NationalSettings(setting.endpoint, setting.system_id, secrets, deadlines)
        return NationalAxis(national, lambda: system_clock().astimezone(VIETNAM), may_act=may_act)
    return ProvincialAxis(
        ProvincialSettings(
            endpoint=setting.endpoint,
            system_id=setting.system_id,
            user=setting.user,
            application=setting.application,
            secrets=secrets,
            password=_secret(root / setting.password),
            deadlines=deadlines,
        ),
        may_act=may_act,
    )


def require_secrets(setting: AxisSetting, root: Path) -> None:
    """Refuse files of secrets that cannot be used. Raises ConfigInvalid."""
    names = [*setting.secrets, setting.password] if setting.password else setting.secrets
    for name in names:
        _secret(root / name)


def _secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            secret = file.read(_SECRET_BYTES_MAX).decode("utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"the secret of the axis in {path} cannot be read: {error}") from error
    if not secret:
        raise ConfigInvalid(f"the file {path} holds no secret of the axis")
    return secret


def _told_of_going(row: RelayRow, what: str) -> None:
    _logger.info("to the axis", relay=str(row.relay_id), exchange=str(row.exchange_id), what=what)


def _told_of_coming(axis_id: str, what: str) -> None:
    _logger.info("from the axis", axis_id=axis_id, what=what)
