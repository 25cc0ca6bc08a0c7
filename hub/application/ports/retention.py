"""What need not be kept any longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from hub.application.ports.views import DocumentRow


@dataclass(frozen=True, slots=True)
class Retained:
    """How long documents of one kind are kept: until they were accepted before an instant.

    `kind` is a kind's name or code, folded.
    """

    kind: str
    accepted_before: datetime


class RetentionList(Protocol):
    """Documents whose time is over. Untrusted and disposable, like Views."""

    def due(
        self, policies: Sequence[Retained], at: datetime, after: UUID | None, limit: int
    ) -> tuple[Sequence[DocumentRow], UUID | None]:
        """Documents past their time by rising exchange id, and after which to go on, or None.

        Left out: those erased, and those with an order that nobody approved and that has not
        lapsed at `at`. Looks at a bounded number of documents a call, so that some calls may
        find nothing while later ones do.
        """
        ...
