"""`lienthong audit rebuild`: every projection made anew from event 0, beside the live one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adapters.storage.compare import TableComparison, compare_views
from adapters.storage.engine import Database
from adapters.storage.migrate import create_views
from adapters.storage.views import Views
from hub.application.ports import LogEntry
from hub.bootstrap.core import Core
from hub.bootstrap.upgrade import database_url
from hub.errors import LedgerMismatch, VerificationFailed
from hub.projections.deliveries import DeliveryProjection
from hub.proof.checkpoint import open_checkpoint
from hub.proof.frontier import Frontier

_STEP_EVENTS = 4096


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found. `position`: the live views, and so both sides, hold events below it.

    `covered` is how many events the newest checkpoint covers: the live views follow it, and
    are behind where it is more. `wrong_events` says why the events themselves are in doubt;
    then the rest proves nothing.
    """

    position: int
    covered: int
    tables: Sequence[TableComparison]
    wrong_events: str = ""

    @property
    def same(self) -> bool:
        """Whether everything is as a rebuild makes it."""
        return (
            not self.wrong_events
            and self.position == self.covered
            and all(table.same for table in self.tables)
        )


def rebuild(
    core: Core,
    *,
    scratch: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Rebuilt:
    """Make the views anew in a temporary database and compare them with the live ones.

    Changes nothing. The events are hashed on the way, and held against the newest signed
    checkpoint: views made from events that were changed would prove nothing. `scratch` is the
    folder for the temporary database, which grows as large as the live views.
    `progress(done, total)` counts events.
    """
    position = core.views.position()
    covered, note = core.store.latest_checkpoint() or (0, b"")
    log = _Hashing(core.log, covered)
    with TemporaryDirectory(prefix="lienthong-rebuild-", dir=scratch) as folder:
        url = f"sqlite:///{folder}/views.db"
        create_views(url)
        live, fresh = Database(database_url(core.folder, core.settings)), Database(url)
        try:
            projection = DeliveryProjection(log, core.vault, Views(fresh))
            try:
                for size in [*range(_STEP_EVENTS, position, _STEP_EVENTS), position]:
                    projection.catch_up(size)
                    progress(size, position)
                wrong = _doubt(core, log, position, covered, note)
            except LedgerMismatch as error:
                return Rebuilt(position, covered, (), str(error))
            return Rebuilt(position, covered, tuple(compare_views(live, fresh)), wrong)
        finally:
            fresh.close()
            live.close()


class _Hashing:
    """The event log, hashing what is read from it in order."""

    def __init__(self, log: Any, size: int) -> None:
        self._log = log
        self._size = size
        self.frontier = Frontier()

    def entries(self, start: int, limit: int) -> Sequence[LogEntry]:
        """The entries, each hashed the first time it is read. Raises LedgerMismatch at a gap."""
        entries: Sequence[LogEntry] = self._log.entries(start, limit)
        for position, entry in enumerate(entries, start):
            if entry.position != position:
                raise LedgerMismatch(f"event {position} is missing", position=position)
        done = self.frontier.size - start
        if done >= 0:
            self.frontier.extend(entry.state for entry in entries[done : self._size - start])
        return entries

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def _doubt(core: Core, log: _Hashing, position: int, covered: int, note: bytes) -> str:
    """Why the events are not those that were signed; empty where they are."""
    if position > covered:
        return f"the views hold {position} events, but only {covered} are signed"
    while log.frontier.size < covered and log.entries(log.frontier.size, _STEP_EVENTS):
        pass
    try:
        checkpoint = open_checkpoint(note, log_keys=core.signer.keys, origin=core.settings.origin)
    except VerificationFailed as error:
        return f"the newest checkpoint is not signed by the log: {error}"
    if (checkpoint.size, checkpoint.root) != (log.frontier.size, log.frontier.root()):
        return "the events do not hash to the root of the newest checkpoint"
    return ""
