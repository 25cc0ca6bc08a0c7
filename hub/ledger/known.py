"""What was read and found whole before, so that a start reads only what is newer."""

from __future__ import annotations

from hashlib import sha256

from hub.application.ports import EventLog, TreeStore, Verified, VerifiedMark
from hub.proof.merkle import leaf_hash
from hub.proof.tree import MissingHash, Tree


class KnownGood:
    """The mark of what was verified, and whether it may be relied on.

    Whatever is wrong with a mark, everything is read: that names what differs.
    """

    def __init__(self, log: EventLog, store: TreeStore, mark: VerifiedMark, *, newest: int) -> None:
        """`newest` events are read again whatever the mark says; 0 means all."""
        self._log = log
        self._store = store
        self._mark = mark
        self._newest = newest
        self._register = _Register(log)

    @property
    def size(self) -> int:
        """How many events are marked."""
        verified = self._mark.read()
        return verified.size if verified else 0

    def first_to_read(self, size: int) -> int:
        """The first event that a start on a log of `size` events must read."""
        verified = self._mark.read()
        if not self._newest or verified is None or verified.size > size:
            return 0
        first = min(verified.size, size - self._newest)
        return first if first > 0 and self._still_holds(verified) else 0

    def note(self, size: int) -> None:
        """Mark the first `size` events, all of which were found whole, now or before."""
        if not size:
            return
        root = Tree(self._store.tile).root(size)
        verified = Verified(size, root, self._register.digest(size))
        if verified != self._mark.read():
            self._mark.write(verified)

    def forget(self) -> None:
        """Remove the mark: the next start reads everything."""
        self._mark.write(None)

    def _still_holds(self, verified: Verified) -> bool:
        try:
            root = Tree(self._store.tile).root(verified.size)
        except MissingHash:
            return False
        # Who may do what is decided by the register from the first call on. One event hidden
        # from it, changed in it or slipped into it shows here, however old.
        # Whatever was read before, it is read again.
        register = _Register(self._log)
        holds = root == verified.root and register.digest(verified.size) == verified.register
        self._register = register
        return holds


class _Register:
    """SHA-256 over positions and leaf hashes of the registry events, as far as they were read."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._below = 0
        self._digest = sha256()

    def digest(self, size: int) -> bytes:
        """Of those below `size`, which is never less than before; only what is new is read."""
        if size < self._below:
            raise ValueError(f"{self._below} events were read, and {size} are asked for")
        for entry in self._log.registry_entries(self._below - 1):
            if entry.position >= size:
                break
            self._digest.update(entry.position.to_bytes(8, "big") + leaf_hash(entry.state))
        self._below = size
        return self._digest.digest()


def register_digest(log: EventLog, size: int) -> bytes:
    """SHA-256 over positions and leaf hashes of the registry events below `size`."""
    return _Register(log).digest(size)
