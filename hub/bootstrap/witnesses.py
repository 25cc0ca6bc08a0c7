"""The job that takes checkpoints to the witnesses of the settings."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from adapters.system import system_randomness
from adapters.witness.client import HttpWitness, new_client
from hub.application.lane import Lane, NothingRecorded
from hub.application.offload import Offloader
from hub.application.ports import MayAct
from hub.application.witnessing import SetWitnesses, Witnessing, WitnessState, WitnessStatus

if TYPE_CHECKING:
    from hub.bootstrap.core import Core

_logger = structlog.get_logger("hub.witnesses")


class WitnessJob:
    """Records the set of witnesses at the start, then makes its rounds until it is cancelled."""

    def __init__(self, core: Core, lane: Lane, offload: Offloader, may_act: MayAct) -> None:
        configured = core.settings.witnesses
        self._lane = lane
        self._vkeys = tuple(witness.vkey for witness in configured)
        # Before this, no cosignature is asked for: the log says first whose they are.
        self.recorded = False
        self._every_s = core.settings.witness_every_s
        # Reading the machine's certificate authorities takes a tenth of a second.
        self._client = client = new_client() if configured else None
        self._witnessing = Witnessing(
            [HttpWitness(each.key, each.url, client, may_act=may_act) for each in configured]
            if client
            else [],
            receipts=core.receipts,
            cosignatures=core.cosignatures,
            offload=offload,
            monotonic=time.monotonic,
            randomness=system_randomness,
            every_s=self._every_s,
            told=_log,
        )

    def status(self) -> tuple[WitnessStatus, ...]:
        """Where each witness stands, for readiness and metrics; never a reason to stop serving."""
        return self._witnessing.status()

    async def run(self) -> None:
        """Make rounds for ever, if there are witnesses; one that fails is logged and repeated."""
        try:
            while self._client or not self.recorded:
                await self._round()
                await asyncio.sleep(self._every_s)
        finally:
            if self._client:
                await self._client.aclose()

    async def _round(self) -> None:
        try:
            if not self.recorded:
                await self._record_set()
                self.recorded = True
            await self._witnessing.round()
        except Exception as error:
            _logger.error("the round to the witnesses failed", exc_info=error)

    async def _record_set(self) -> None:
        with suppress(NothingRecorded):
            await self._lane.do(SetWitnesses(self._vkeys))


def _log(status: WitnessStatus) -> None:
    told = {
        "witness": status.name,
        "state": status.state.value,
        "cosigned_size": status.cosigned_size,
        "behind": status.behind,
        "failures": status.failures,
        "problem": status.problem,
    }
    if status.state is WitnessState.FORKED:
        _logger.critical("a witness saw another history of this log", **told)
    elif status.is_alarming:
        _logger.error("a witness does not cosign, and waiting will not mend it", **told)
    elif status.state is WitnessState.AWAY:
        _logger.warning("a witness gives no answer; it is asked again later", **told)
    else:
        _logger.info("a witness cosigns", **told)
