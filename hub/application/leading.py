"""Whether this hub may act on the world: whoever stood still looks again before it goes on."""

from __future__ import annotations

from collections.abc import Callable

from hub.application.offload import Offloader
from hub.application.ports import Lease, NotLeading

# A hub that stands still between question and answer, so often in a row, has no turn.
_LOOKS = 3


class StillLeading:
    """The port MayAct over a lease. A look costs one short statement, a request far more."""

    def __init__(self, lease: Lease, *, offload: Offloader, elapsed: Callable[[], float]) -> None:
        """`elapsed` is a clock in seconds that goes on while a process, or a machine, sleeps."""
        self._lease, self._offload, self._elapsed = lease, offload, elapsed

    async def __call__(self) -> None:
        """See MayAct."""
        for _ in range(_LOOKS):
            asked = self._elapsed()
            left = await self._offload(self._lease.left)
            # An answer may be older than it looks: the lease runs from before it was asked for.
            if self._elapsed() - asked < left:
                return
        raise NotLeading("it takes longer to ask who leads than the answer is good for")


async def undisputed() -> None:
    """The port MayAct of whoever can have no other hub beside it, or does not act for one."""
