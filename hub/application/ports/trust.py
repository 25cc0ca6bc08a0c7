"""Editions of the trusted root, and who has fetched which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class RootFiles(Protocol):
    """The editions of the trusted root that this hub hands out. Untrusted: each proves itself."""

    def newest(self) -> bytes:
        """The newest edition, signed or plain as it came. Raises OSError."""
        ...

    def edition(self, number: int) -> bytes | None:
        """A signed edition; None where there is none of this number."""
        ...

    def keep(self, number: int, data: bytes) -> None:
        """Keep a signed edition, and make it the newest if it is; durable on return.

        The same again changes nothing. Raises OSError.
        """
        ...


@dataclass(frozen=True, slots=True)
class TrustFetch:
    """The newest edition of the trusted root that somebody came to hold, and when."""

    role: str
    caller: str
    edition: int
    at: datetime


class TrustFetches(Protocol):
    """Who holds which edition. Trusted for nothing: it is what operators look at."""

    def note(self, role: str, caller: str, edition: int, at: datetime) -> None:
        """Remember it, unless a later edition is known. Lost, it is told again."""
        ...

    def all(self) -> Sequence[TrustFetch]:
        """Everybody who ever held one."""
        ...
