"""What a hub takes over from others on the same database: register, aggregates, checkpoints."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from hub.application.history import History
from hub.application.mapper import read_event
from hub.application.ports import EventLog, Head, HeadMoved, LogEntry, Seen, Signer, TreeStore
from hub.application.registry import Registry, register_after
from hub.application.vault import Vault
from hub.domain.catalogue import ERASURE_TOPICS
from hub.errors import LedgerMismatch, Procedure, VerificationFailed
from hub.ledger.receipts import ReceiptBook
from hub.proof.checkpoint import open_checkpoint
from hub.proof.note import VerifierKey

# A hub that is further behind forgets every aggregate rather than read what concerns which.
GAP_MAX = 4096


class Others(Protocol):
    """The other hubs that serve from this database."""

    @property
    def leads(self) -> bool:
        """Whether this hub leads, so that it makes the tree, the checkpoints and the lists."""
        ...

    def freeze(self, mismatch: LedgerMismatch) -> None:
        """Stop all of them. Never raises: those who cannot be told are told later."""
        ...


class Register:
    """The newest register that this hub knows; it only ever goes forward.

    Read and brought forward by any thread: by the lane after its batch, and whenever another
    hub's event is seen.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self.current = Registry()

    def reload(self) -> None:
        """Read all of it again."""
        with self._lock:
            self.current = self._after(Registry())

    def advance(self, version: int) -> None:
        """Read on, if the last event of the register stands at a later position."""
        if version > self.current.version:
            with self._lock:
                self.current = self._after(self.current)

    def keep(self, registry: Registry) -> None:
        """This one was just committed, unless it is known already."""
        with self._lock:
            if registry.version > self.current.version:
                self.current = registry

    def _after(self, registry: Registry) -> Registry:
        entries = self._log.registry_entries(registry.version)
        return register_after(registry, entries, self._log.evidence)


def followed(
    log: EventLog, history: History, vault: Vault, start: int, head: Head
) -> datetime | None:
    """Forget what other hubs have changed since `start`; the time of the last event, if any.

    Raises HeadMoved for a log that lost its end, LedgerMismatch for one with a gap.
    """
    gap = head.next_position - start
    if gap < 0:
        raise HeadMoved(f"the log ends at {head.next_position}, and once ended at {start}")
    if not gap:
        return None
    first = start if gap <= GAP_MAX else head.next_position - 1
    entries = log.entries(first, head.next_position - first)
    if len(entries) != head.next_position - first:
        raise LedgerMismatch(f"an event from {first} on is missing", position=first)
    _let_go(history, vault, entries if first == start else None)
    return read_event(entries[-1].state).time


def _let_go(history: History, vault: Vault, entries: Sequence[LogEntry] | None) -> None:
    if entries is None:
        history.forget()
        vault.let_go()
        return
    for entry in entries:
        history.drop(entry.aggregate_id)
    erased = [each.aggregate_id for each in entries if each.topic in ERASURE_TOPICS]
    if erased:
        vault.let_go(erased)


class Following:
    """Makes visible here what the leader has published, and tells what else has moved.

    `look` may be called by any thread, and when it returns this hub knows all that any hub has
    acknowledged before: who may do what, and how far the log is visible.
    """

    def __init__(
        self,
        *,
        origin: str,
        pulse: Callable[[], Seen],
        store: TreeStore,
        signer: Signer,
        receipts: ReceiptBook,
        register: Register,
        leads: Callable[[], bool],
    ) -> None:
        """`leads` says whether this hub publishes by itself."""
        self._origin = origin
        self._pulse = pulse
        self._store = store
        self._signer = signer
        self._receipts = receipts
        self._register = register
        self._leads = leads
        self._keys: tuple[VerifierKey, ...] = ()
        self._lock = threading.Lock()
        self.seen: Seen | None = None
        """What was seen last."""

    def look(self) -> Seen | None:
        """See how far the others have come, and catch up; None when nothing has changed.

        Raises OSError, and LedgerMismatch for a checkpoint that nobody here has signed.
        """
        with self._lock:
            seen, before = self._pulse(), self.seen
            self._register.advance(seen.registry_version)
            if not self._leads() and seen.size > self._receipts.size:
                self._publish()
            self.seen = seen
        return seen if seen != before else None

    def _publish(self) -> None:
        newest = self._store.latest_checkpoint()
        if newest is None:
            return
        size, note = newest
        if not (self._is_ours(note, size, self._keys) or self._is_ours(note, size, self._ask())):
            raise LedgerMismatch(
                f"the checkpoint of size {size} is not ours", procedure=Procedure.ANOTHER_KEY
            )
        # The leader publishes by itself; whoever has just come to lead, too.
        if not self._leads() and size > self._receipts.size:
            self._receipts.publish(size, note)

    def _ask(self) -> tuple[VerifierKey, ...]:
        """The keys of the log as they are now: another one may sign since we last asked."""
        ring = self._register.current.hub_keys.of_log(self._origin)
        self._keys = tuple(dict.fromkeys([*self._signer.keys, *(each.key for each in ring)]))
        return self._keys

    def _is_ours(self, note: bytes, size: int, keys: Sequence[VerifierKey]) -> bool:
        try:
            return open_checkpoint(note, log_keys=keys, origin=self._origin).size == size
        except VerificationFailed:
            return False
