"""What every port may need: the time, and chance."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]
"""The hub's clock, in UTC."""

Randomness = Callable[[int], bytes]
"""So many unpredictable bytes."""
