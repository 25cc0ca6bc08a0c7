"""Our ledger against the axis's lists: what it should have and has not, what it holds back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import TypeVar

from hub.application.axis import (
    AxisError,
    AxisGateway,
    AxisRefused,
    AxisUnreachable,
    MessageKind,
    Relayed,
)
from hub.application.lane import Lane, Recorded
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.ports import (
    Clock,
    ContentStore,
    EventLog,
    Place,
    RelayList,
    RelayRow,
    RelayTally,
)
from hub.application.relay_commands import RecordReconciliation
from hub.application.untaken import Noticed
from hub.domain.relay import Direction, Relay, RelayKind, RelayState
from hub.domain.values import format_time
from hub.errors import AxisUnavailable, ContentLost

T = TypeVar("T")

_AT_ONCE = 200
_DIFFERENCES_MAX = 10_000
# One answer among hundreds that got lost must not cost the comparison.
_ATTEMPTS = 4
_DONE = "done"
_START: Place | None = None
_OPEN = (RelayState.WAITING, RelayState.QUEUED, RelayState.FAILED)

NOT_AT_AXIS = "not-at-axis"
RECIPIENT_MISSING = "recipient-missing"
FAILED_THERE = "failed-there"
NOT_TAKEN = "not-taken"
COUNT_DIFFERS = "count-differs"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not agree; `agency` is the recipient it is about, if one is."""

    what: str
    kind: str
    axis_id: str = ""
    exchange: str = ""
    agency: str = ""


@dataclass(frozen=True, slots=True)
class Ages:
    """Since when the oldest package waits to be sent, and the oldest document for an answer."""

    unsent: datetime | None
    unanswered: datetime | None


@dataclass(frozen=True, slots=True)
class LastReconciled:
    """What the newest comparison found; `at` by the hub's clock."""

    at: datetime
    compared: int
    differences: int


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A report, and the fact whose receipt signs it: the log's key stands under its digest."""

    recorded: Recorded
    report: bytes
    compared: int
    differences: tuple[Difference, ...]


class Reconciliation:
    """Compares, on a schedule and on demand. What the axis says of itself is only its word."""

    def __init__(
        self,
        *,
        gateway: AxisGateway,
        lane: Lane,
        log: EventLog,
        relays: RelayList,
        content: ContentStore,
        offload: Offloader,
        clock: Clock,
        window: timedelta,
        noticed: Noticed,
        pause_s: float = 0.0,
    ) -> None:
        """`pause_s` lies between two attempts at one question, of which there are four."""
        self._gateway = gateway
        self._lane = lane
        self._log = log
        self._relays = relays
        self._content = content
        self._offload = offload
        self._clock = clock
        self._window = window
        self._pause_s = pause_s
        self._noticed = noticed

    async def last(self) -> LastReconciled | None:
        """The newest comparison in the log; None before the first."""
        return await self._offload(self.newest)

    def newest(self) -> LastReconciled | None:
        """The same, read on the caller's thread. Raises OSError."""
        for entry in self._log.reconciliations(self._log.head().next_position, 1):
            event = read_event(entry.state)
            return LastReconciled(event.time, event.data["compared"], event.data["differences"])
        return None

    async def notice(self) -> None:
        """Look what waits and is not here, so that a comparison later knows what was not new.

        Raises AxisError.
        """
        await self._waiting(self._clock())

    async def run(self, operator: str = "", request_id: str = "") -> Reconciled:
        """Compare what was sent within the window, and all that waits; record the report.

        Raises AxisUnavailable when it does not answer: half a comparison says nothing.
        """
        at = self._clock()
        since = at - self._window
        try:
            compared, found = await self._sent(since)
            waiting, held = await self._waiting(at)
        except AxisError as error:
            raise AxisUnavailable(
                f"the axis gave no usable answer ({error.reason}); try again later",
                why=error.reason,
            ) from error
        differences = [*found, *held]
        tallies = await self._offload(self._relays.tallies)
        ages = Ages(_unsent(tallies), await self._offload(self._unanswered))
        made = _Compared(at, since, compared, differences, self._noticed.said())
        report = _report(made, ages, operator)
        recorded = await self._lane.do(
            RecordReconciliation(
                report=report,
                compared=compared,
                differences=len(differences),
                waiting=waiting,
                unsent=sum(each.count for each in tallies if _is_unsent(each)),
                unanswered=int(ages.unanswered is not None),
                operator=operator,
                request_id=request_id,
            )
        )
        kept = await self._offload(lambda: self._kept(recorded))
        return Reconciled(recorded, kept or report, compared, tuple(differences))

    async def ages(self) -> Ages:
        """How long the oldest have been waiting."""
        tallies = await self._offload(self._relays.tallies)
        return Ages(_unsent(tallies), await self._offload(self._unanswered))

    def _unanswered(self) -> datetime | None:
        return self._relays.oldest_unanswered()

    def _kept(self, recorded: Recorded) -> bytes | None:
        # A repeated request gets the first report, not the one that was just made.
        digest = read_event(recorded.receipt.leaf).data["report"]
        return self._log.evidence(bytes.fromhex(digest))

    async def _answer(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What a question is answered with; all of them may be asked again."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await ask()
            except AxisUnreachable:
                raise
            except AxisError as error:
                final = isinstance(error, AxisRefused) and not error.is_transient
                if final or attempt == _ATTEMPTS:
                    raise
            await asyncio.sleep(self._pause_s)
        raise AssertionError("the last attempt returns or raises")

    # --- what we sent -------------------------------------------------------------

    async def _sent(self, since: datetime) -> tuple[int, list[Difference]]:
        compared, found, after = 0, list[Difference](), _START
        while True:
            rows = await self._offload(partial(self._relays.sent_since, since, after, _AT_ONCE))
            for row in rows:
                kind = MessageKind.STATUS if row.kind is RelayKind.STATUS else MessageKind.DOCUMENT
                there = await self._answer(partial(self._gateway.relayed, kind, row.axis_id))
                if there is None:
                    return compared, found  # This axis does not say.
                compared += 1
                found += await self._offload(partial(list, self._compared(row, there)))
            if len(rows) < _AT_ONCE or len(found) > _DIFFERENCES_MAX:
                return compared, found
            after = (rows[-1].position, rows[-1].relay_id)

    def _compared(self, row: RelayRow, there: Sequence[Relayed]) -> Iterator[Difference]:
        about = {"kind": row.kind.value, "axis_id": row.axis_id, "exchange": str(row.exchange_id)}
        if not there:
            yield Difference(NOT_AT_AXIS, **about)
            return
        states = {each.recipient: each.receive_state for each in there}
        recipients = self._recipients(row)
        for recipient in recipients:
            if recipient not in states:
                yield Difference(RECIPIENT_MISSING, agency=recipient, **about)
            elif states[recipient] == "fail":
                yield Difference(FAILED_THERE, agency=recipient, **about)
        if recipients and all(states.get(each) == _DONE for each in recipients):
            # Every receiver has it: the bytes are not needed for another attempt.
            self._forget(row)

    def _forget(self, row: RelayRow) -> None:
        try:
            self._content.check(row.relay_id, [row.package_bytes])
        except ContentLost:
            return  # Forgotten before.
        self._content.discard(row.relay_id)

    def _recipients(self, row: RelayRow) -> list[str]:
        for stored in reversed(self._log.select_events(row.relay_id)):
            if stored.topic == Relay.RelayQueued.TOPIC:
                return list(read_event(stored.state).data["addressed"])
        return []

    # --- what waits for us --------------------------------------------------------

    async def _waiting(self, at: datetime) -> tuple[int, list[Difference]]:
        """How many wait; what has waited too long, and where the axis counts otherwise.

        What came since the last round for it is on its way, and no difference yet.
        """
        await self._offload(self._recall)
        found: list[Difference] = []
        count = 0
        for kind in MessageKind:
            listed, agrees = await self._counted(kind)
            count += len(listed)
            if not agrees:
                found.append(Difference(COUNT_DIFFERS, kind.value))
            unknown = await self._offload(partial(self._unknown, listed))
            self._noticed.note(kind, unknown, at)
        lost = self._noticed.lost(at)
        return count, [
            *(Difference(NOT_TAKEN, each.kind.value, each.axis_id) for each in lost),
            *found,
        ]

    def _recall(self) -> None:
        for entry in self._log.reconciliations(self._log.head().next_position, 1):
            digest = bytes.fromhex(read_event(entry.state).data["report"])
            report = self._log.evidence(digest)
            if report is not None and sha256(report).digest() == digest:
                self._noticed.recall(report)

    def _unknown(self, axis_ids: set[str]) -> list[str]:
        return [each for each in sorted(axis_ids) if self._relays.known(each) is None]

    async def _counted(self, kind: MessageKind) -> tuple[set[str], bool]:
        """What waits, and whether the axis counts as many; asked again, as it changes meanwhile."""
        listed = await self._listed(kind)
        for _ in range(_ATTEMPTS):
            counted = await self._answer(partial(self._gateway.count, kind))
            if counted in (None, len(listed)):
                return listed, True
            before, listed = listed, await self._listed(kind)
            few, many = sorted((len(before), len(listed)))
            if few <= counted <= many:
                return listed, True
            await asyncio.sleep(self._pause_s)
        return listed, False

    async def _listed(self, kind: MessageKind) -> set[str]:
        waiting = await self._answer(partial(self._gateway.waiting, kind))
        return {each.axis_id for each in waiting}


def _is_unsent(tally: RelayTally) -> bool:
    return tally.direction is Direction.OUT and tally.state in (*_OPEN, RelayState.PARKED)


def _unsent(tallies: Sequence[RelayTally]) -> datetime | None:
    return min((each.oldest for each in tallies if _is_unsent(each)), default=None)


@dataclass(frozen=True, slots=True)
class _Compared:
    at: datetime
    since: datetime
    compared: int
    differences: Sequence[Difference]
    untaken: Mapping[str, object]


def _report(made: _Compared, ages: Ages, operator: str) -> bytes:
    shown = [
        {name: value for name, value in asdict(each).items() if value}
        for each in made.differences[:_DIFFERENCES_MAX]
    ]
    report = {
        "v": 1,
        "at": format_time(made.at),
        "since": format_time(made.since),
        "by": operator,
        "compared": made.compared,
        "differences": shown,
        "differences_in_all": len(made.differences),
        **made.untaken,
        "oldest_unsent": ages.unsent and format_time(ages.unsent),
        "oldest_unanswered": ages.unanswered and format_time(ages.unanswered),
    }
    return (json.dumps(report, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()
