"""The signatures of statuses and recalls that came over the axis: examined, recorded, shown.

The axis is no more than a way: what such a package says was recorded when it came, and stays.
A bad signature changes nothing, and is seen.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from hub.application.lane import Lane, NothingRecorded
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.ports import EventLog, LogEntry, RequestKey
from hub.application.session import Session
from hub.application.vault import Vault
from hub.application.verdicts import Examination, Verdict
from hub.domain.delivery import Delivery
from hub.domain.exchange import Exchange
from hub.errors import ContentLost
from hub.proof.leaf import Event

AXIS_WORDS = frozenset({Delivery.AxisStatusTaken.TOPIC, Exchange.AxisRecallTaken.TOPIC})
"""The facts that took in what was said over the axis, each with its package as a report."""

_MARK = b"Signature"
_ENTRIES_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class RecordAxisVerdict:
    """Record what was found out about a status or recall that came. Asked for by a job."""

    exchange_id: UUID
    position: int
    taken: Event
    verdict: Verdict
    key: bytes = field(repr=False)
    vault: Vault = field(repr=False)

    @property
    def request(self) -> RequestKey | None:
        """None: the exchange knows what was examined."""
        return None

    def decide(self, session: Session) -> None:
        """Record `AxisSignaturesExamined`."""
        exchange = session.history.exchange(self.exchange_id)
        if exchange.erased or self.position in exchange.axis_examined:
            raise NothingRecorded("it was examined, or erased, meanwhile")
        data, verdict = self.taken.data, self.verdict
        sealed = self.vault.seal_payload(exchange.id, verdict.digest, verdict.report, self.key)
        session.add_payload(sealed)
        exchange.examine_axis(
            at=session.at,
            position=self.position,
            relay=data["relay"],
            agency=data.get("agency", exchange.sender),
            code=data.get("code") or data["form"],
            signatures=[each.record for each in verdict.judged],
            report=verdict.digest.hex(),
            parties=_parties(data, exchange),
        )
        session.record(exchange)


class AxisVerdicts:
    """Examines packages without a document, each as of when it was taken in."""

    def __init__(
        self,
        *,
        log: EventLog,
        lane: Lane,
        vault: Vault,
        examination: Examination,
        offload: Offloader,
    ) -> None:
        self._log = log
        self._lane = lane
        self._vault = vault
        self._examination = examination
        self._offload = offload

    async def examine(self, entry: LogEntry) -> int:
        """How many verdicts were recorded on what this fact took in: one, or none.

        None where it carries no signature, was examined before, or was erased.
        """
        taken = read_event(entry.state)
        exchange_id = UUID(taken.data["exchange"]) if "exchange" in taken.data else taken.id
        found = await self._offload(partial(self._unexamined, exchange_id, entry.position, taken))
        if found is None:
            return 0
        package, key = found
        verdict = await self._examination.package_verdict(package, taken.time)
        if not verdict.judged:
            return 0
        command = RecordAxisVerdict(exchange_id, entry.position, taken, verdict, key, self._vault)
        try:
            await self._lane.do(command)
        except NothingRecorded:
            return 0
        return 1

    def _unexamined(
        self, exchange_id: UUID, position: int, taken: Event
    ) -> tuple[bytes, bytes] | None:
        """The package as it came, and the key of its document."""
        sealed = self._log.payload(bytes.fromhex(taken.data["report"]))
        if sealed is None or self._is_examined(exchange_id, position):
            return None
        try:
            report = json.loads(self._vault.open_payload(sealed))
            key = self._vault.key_of(exchange_id)
        except ContentLost:
            return None
        package = base64.b64decode(report["package"])
        return (package, key) if _MARK in package else None

    def _is_examined(self, exchange_id: UUID, position: int) -> bool:
        return any(
            read_event(entry.state).data["position"] == position
            for entry in self._log.entries_of([exchange_id], position, _ENTRIES_AT_ONCE)
            if entry.topic == Exchange.AxisSignaturesExamined.TOPIC
        )


def _parties(taken: Mapping[str, Any], exchange: Exchange) -> list[str]:
    """Whom it was said to: the sender of a document of ours, or the recipients of one that came."""
    return [each["agency"] for each in taken.get("notices", ())] or [exchange.sender]
