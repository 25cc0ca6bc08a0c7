"""The machine's own clock and randomness."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime


def system_clock() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def system_elapsed() -> float:
    """Seconds since the machine began; they go on while a process is stopped or it sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def system_randomness(size: int) -> bytes:
    """So many bytes from the kernel's generator, fit for keys."""
    return os.urandom(size)
