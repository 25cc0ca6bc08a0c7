"""The machine's own clock and randomness."""

from __future__ import annotations

import os
from datetime import UTC, datetime


def system_clock() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def system_randomness(size: int) -> bytes:
    """So many bytes from the kernel's generator, fit for keys."""
    return os.urandom(size)
