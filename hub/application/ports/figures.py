"""Figures for statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DocumentFigures:
    """A document that was sent; `kind` is empty once its words were erased."""

    sender: str
    kind: str
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryFigures:
    """A document at one recipient, and when it was dealt with; None is not yet.

    `taken_over_at` is the recipient's first statement, `answered_at` its first 02 or 06.
    `released_at` is when it was no longer waited for: replaced, expired, or asked back and
    not refused.
    """

    recipient: str
    kind: str
    accepted_at: datetime
    due_on: date | None
    taken_over_at: datetime | None
    answered_at: datetime | None
    released_at: datetime | None


@dataclass(frozen=True, slots=True)
class FiguresWanted:
    """Documents accepted from `start` on and before `end`; `agency` empty is every agency."""

    start: datetime | None = None
    end: datetime | None = None
    agency: str = ""


class FiguresSnapshot(Protocol):
    """All figures as of one position, each read once and in no particular order."""

    @property
    def position(self) -> int:
        """Every event before it is counted, and none from it on."""
        ...

    def sent(self, wanted: FiguresWanted) -> Iterator[DocumentFigures]:
        """What was sent, by the agency that is wanted."""
        ...

    def received(self, wanted: FiguresWanted) -> Iterator[DeliveryFigures]:
        """What was received, by the agency that is wanted."""
        ...


class Figures(Protocol):
    """The views once more, for counting. Untrusted and disposable, like Views."""

    def snapshot(self) -> AbstractContextManager[FiguresSnapshot]:
        """One state of the views for as long as the block runs."""
        ...


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many documents wait for a recipient to take delivery, and since when the oldest does."""

    agency: str
    count: int
    oldest: datetime


class Backlogs(Protocol):
    """The views once more, for what waits. Untrusted and disposable, like Views."""

    def uncollected(self) -> Sequence[Backlog]:
        """Each agency for which something waits, by code.

        What expired, was erased, replaced, or asked back and not refused waits no longer.
        """
        ...
