"""Who of several hubs leads, asked by those parts that act on the world."""

from __future__ import annotations

from typing import Protocol


class NotLeading(OSError):
    """Another hub leads now, or may by the time it is done: nothing was sent."""


class Lease(Protocol):
    """A hub's claim to lead.

    Trusted: who can change it has two hubs ask the world the same. What is recorded is fenced
    by the database itself, whatever is said here.
    """

    def left(self) -> float:
        """For so many seconds from the call on nobody else comes to lead; `inf` if nobody can.

        Asked of whoever decides it, not remembered. Raises NotLeading, and OSError when nobody
        can say.
        """
        ...


class MayAct(Protocol):
    """Passed directly before each request that goes out for a timed job.

    The moment between this and the request's first byte stays: whoever is stopped in it sends
    one request more. So what is sent must be harmless twice.
    """

    async def __call__(self) -> None:
        """Return if this hub leads now. Raises NotLeading, and OSError when nobody can say."""
        ...
