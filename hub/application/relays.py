"""What an operator may ask about packages to and from the axis: how it stands, hold, go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from hub.application.lane import Lane, Recorded
from hub.application.offload import Offloader
from hub.application.outbound import Outbox
from hub.application.ports import Place, RelayList, RelayRow, RelayTally, Views
from hub.application.reconciliation import Ages, LastReconciled, Reconciled, Reconciliation
from hub.application.relay_commands import ParkRelay, ResumeRelay
from hub.domain.relay import RelayState
from hub.errors import AxisNotConfigured, RelayUnknown, RequestMalformed
from hub.proof.statements import CODE_WORD


@dataclass(frozen=True, slots=True)
class AxisStanding:
    """How it stands: all packages counted, the oldest that wait, and whether the axis answers.

    `unreachable_rounds` counts rounds in a row in which nobody answered at its address.
    """

    tallies: Sequence[RelayTally]
    ages: Ages
    unreachable_rounds: int
    last: LastReconciled | None = None


class Relays:
    """Of a hub that is connected to an axis; every answer is this hub's own word."""

    def __init__(
        self,
        *,
        lane: Lane,
        views: Views,
        relays: RelayList,
        offload: Offloader,
        reconciliation: Reconciliation | None,
        outbox: Outbox | None,
    ) -> None:
        """Without `reconciliation` and `outbox` this hub is connected to no axis."""
        self._lane = lane
        self._views = views
        self._relays = relays
        self._offload = offload
        self._reconciliation = reconciliation
        self._outbox = outbox

    async def standing(self) -> AxisStanding:
        """How it stands. Raises AxisNotConfigured."""
        reconciliation, outbox = self._connected()
        tallies = await self._offload(self._relays.tallies)
        ages, rounds = await reconciliation.ages(), outbox.unreachable_rounds
        return AxisStanding(tallies, ages, rounds, await reconciliation.last())

    async def listed(
        self, state: RelayState | None, after: Place | None, limit: int
    ) -> Sequence[RelayRow]:
        """Packages by their place; where no state is given, those that are not over."""
        return await self._offload(lambda: self._relays.listed(state, None, after, limit))

    async def park(self, operator: str, request_id: str, relay: UUID, reason: str) -> Recorded:
        """Let a package wait. Raises RequestMalformed, RelayUnknown, RelayNotOpen."""
        if not CODE_WORD.fullmatch(reason):
            raise RequestMalformed(
                "reason must be one code word: small letters, digits and hyphens", field="reason"
            )
        row = await self._row(relay)
        return await self._lane.do(ParkRelay(operator, request_id, row, reason))

    async def resume(self, operator: str, request_id: str, relay: UUID) -> Recorded:
        """Let a package go on: what is parked, or waits for its next attempt, is due now.

        Raises RelayUnknown, RelayNotOpen.
        """
        row = await self._row(relay)
        return await self._lane.do(ResumeRelay(operator, request_id, row))

    async def reconcile(self, operator: str, request_id: str) -> Reconciled:
        """Compare now. Raises AxisNotConfigured, AxisUnavailable."""
        reconciliation, _outbox = self._connected()
        return await reconciliation.run(operator, request_id)

    def _connected(self) -> tuple[Reconciliation, Outbox]:
        if self._reconciliation is None or self._outbox is None:
            raise AxisNotConfigured("this hub is connected to no axis; see `axis` in hub.toml")
        return self._reconciliation, self._outbox

    async def _row(self, relay: UUID) -> RelayRow:
        row = await self._offload(lambda: self._views.relay(relay))
        if row is None:
            raise RelayUnknown("there is no package with this id", relay=str(relay))
        return row
