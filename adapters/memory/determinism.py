"""A clock that stands still and randomness that repeats, so that tests repeat to the byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Lock

_START = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)  # A Monday, 08:30 in Việt Nam.


class FixedClock:
    """The port Clock: shows the same instant until it is told another."""

    def __init__(self, now: datetime = _START) -> None:
        self.set(now)

    def __call__(self) -> datetime:
        """The instant, in UTC."""
        return self._now

    def set(self, now: datetime) -> None:
        """Show another instant; it may be earlier. Raises ValueError without a time zone."""
        if now.tzinfo is None:
            raise ValueError("an instant has a time zone")
        self._now = now.astimezone(UTC)

    def advance(self, by: timedelta = timedelta(seconds=1)) -> datetime:
        """Go on, and show the new instant."""
        self.set(self._now + by)
        return self._now


class CountedRandomness:
    """The port Randomness: never the same bytes twice, but the same in every run.

    Whoever knows the seed knows every key made from it: for tests only.
    """

    def __init__(self, seed: str = "") -> None:
        self._seed = sha256(b"lienthong test randomness\n" + seed.encode()).digest()
        self._count = 0
        self._lock = Lock()

    def __call__(self, size: int) -> bytes:
        """So many bytes."""
        with self._lock:
            self._count += 1
            count = self._count
        blocks = range((size + 31) // 32)
        stream = b"".join(
            sha256(self._seed + b"%d %d" % (count, block)).digest() for block in blocks
        )
        return stream[:size]
