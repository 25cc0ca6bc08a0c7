"""Events → leaves → tree → signed checkpoint → published, in that order and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import takewhile

from hub.application.key_ring import KEY_TOPICS, KeyRing
from hub.application.ports import EventLog, LogEntry, SignedTree, Signer, TreeStore
from hub.domain.catalogue import REGISTRY_TOPICS
from hub.errors import LedgerMismatch, Procedure, VerificationFailed
from hub.ledger.known import KnownGood
from hub.proof.checkpoint import Checkpoint, OpenedCheckpoint, open_cosigned_checkpoint
from hub.proof.merkle import HASH_BYTES, leaf_hashes
from hub.proof.note import VerifierKey
from hub.proof.tree import TILE_HEIGHT, TILE_WIDTH, GrowingTree, MissingHash, Tree

_READ_MAX = 2048
_ID_CHARACTERS = 36
_LEAVES_PER_CHECKPOINT_MAX = 65_536


class AnotherSigned(OSError):
    """Another process signed or published while we meant to; what we hold is out of date."""


class Sequencer:
    """Brings the tree up to the events and gets it signed. Used by one thread.

    `load` and `extend` are all there is: the start, the way after a failure and every batch
    run the same code.
    """

    def __init__(
        self,
        *,
        origin: str,
        log: EventLog,
        store: TreeStore,
        signer: Signer,
        known: KnownGood | None = None,
    ) -> None:
        """`known` is what a start need not read again; without it everything is read."""
        self._known = known
        self._origin = origin
        self._log = log
        self._store = store
        self._signer = signer
        self._ring = KeyRing()
        self._growing = GrowingTree(0, store.tile)
        self._published: tuple[int, bytes] | None = None
        self.before = 0
        """The size of the newest published checkpoint but one."""
        self.unread = 0
        """How many events, from the first on, the last `load` did not read again."""
        self.newest: Sequence[LogEntry] = ()
        """The events that the newest checkpoints of this process cover, as they are stored."""

    @property
    def size(self) -> int:
        """How many events the newest published checkpoint covers."""
        return self._published[0] if self._published else 0

    @property
    def checkpoint(self) -> bytes:
        """The newest published checkpoint; empty before the first."""
        return self._published[1] if self._published else b""

    @property
    def tree(self) -> Tree:
        """The tree as far as it has grown."""
        return self._growing.tree

    def load(self) -> None:
        """Take up where storage says we are, after checking that it agrees with itself.

        1. The newest checkpoint is one we signed. 2. Every event below it hashes to its
        stored leaf, but for those that were found whole before, of which only the register is
        read again; the tiles add up to its root; no newer checkpoint was there. 3. The
        signer remembers this tree, or a larger one whose root the events below it still have.
        4. The events end where the head of the log says.
        Raises LedgerMismatch naming the first differing position. Changes nothing.
        """
        published = self._store.latest_checkpoint()
        size, root = 0, None
        if published:
            # (1) A checkpoint that does not verify was not made by us.
            size = published[0]
            root = self._open(published[1], size, self._signer.keys).root
            # (2) Events and tiles, against each other and against the root.
            self.unread = self._known.first_to_read(size) if self._known else 0
            check_events(self._log, self._store, size, start=self.unread)
            self._check_root(size, root)
        for lost in self._store.checkpoints_missing(size):
            raise LedgerMismatch(
                f"the checkpoint of size {lost} was published and is missing", position=size
            )
        # (3) The signer's memory is never restored with the database: it knows better.
        self._check_signer(size, root)
        # (4) What stands beyond the head was committed by nobody, and must not be signed.
        self._check_end(size)
        self._growing = self._edge(size)
        self._ring = self._ring_at(size)
        self._published = published

    def extend(self) -> list[LogEntry]:
        """Cover every event committed since the last checkpoint; returns those events.

        `before` is then the size of the last checkpoint but one: what stands below it was covered
        before.

        If we stop between any two steps, the next `load` and `extend` finish the work. Raises
        LedgerMismatch, and AnotherSigned when meanwhile another process did this very work.
        """
        taken: list[LogEntry] = []
        while entries := self._unsequenced():
            # (3) Re-read and hash what is stored, not what we meant to store: one flipped bit
            # between the two ended a public log in 2022.
            self._growing.append(leaf_hashes(entry.state for entry in entries))
            size = self._growing.size
            root = self._growing.tree.root(size)
            # (4) The signer checks that this extends the last tree, remembers it durably, signs.
            # Stop here: the events stand, nobody has a receipt; `load` finds the signer ahead.
            # (5) Tiles and checkpoint in one transaction, then publish.
            self.before = self.size
            ring = self._ring.advanced_by(entries)
            note = self._sign_and_store(size, root, ring.signing(self._origin))
            self._growing.stored()
            self._published, self._ring = (size, note), ring
            taken += entries
            if len(entries) < _LEAVES_PER_CHECKPOINT_MAX:
                break  # What other hubs append meanwhile must not keep our callers waiting.
        self.newest = taken or self.newest
        return taken

    def _sign_and_store(self, size: int, root: bytes, by: Sequence[VerifierKey]) -> bytes:
        """Which keys sign a tree is said by the events in it, and by nothing else."""
        before = self._signer.last
        try:
            note = self._signer.sign(size, root, self._consistency(before, size), by)
            self._require_asked_for(note, size, root, by or self._signer.keys[:1])
            self._store.publish(self._growing.changed, size, note)
        except LedgerMismatch as mismatch:
            # With several hubs a leader may learn last that it is none. Then nothing is wrong
            # with the log, or else the next `load` finds it.
            if self._has_moved(before, size, root):
                raise AnotherSigned("another process signed meanwhile: load again") from mismatch
            raise
        return note

    def _require_asked_for(
        self, note: bytes, size: int, root: bytes, by: Sequence[VerifierKey]
    ) -> None:
        """This very tree, signed by each of the keys: the signer may be a process elsewhere."""
        opened = self._opened(note, size, by)
        if opened.checkpoint.root != root or set(opened.signed_by) != set(by):
            raise LedgerMismatch(
                f"the checkpoint of size {size} is not what the signer was asked for",
                procedure=Procedure.ANOTHER_KEY,
            )

    def _has_moved(self, before: SignedTree | None, size: int, root: bytes) -> bool:
        last = self._signer.last
        ours = {(before.size, before.root) if before else None, (size, root)}
        newest = self._store.latest_checkpoint()
        return (last and (last.size, last.root)) not in ours or (
            newest is not None and newest[0] != self.size
        )

    def _ring_at(self, size: int) -> KeyRing:
        of_keys = self._log.registry_entries(topics=KEY_TOPICS)
        return KeyRing.of(takewhile(lambda entry: entry.position < size, of_keys))

    def _unsequenced(self) -> list[LogEntry]:
        entries: list[LogEntry] = []
        for chunk in read_entries(self._log, self.size, _LEAVES_PER_CHECKPOINT_MAX):
            for entry in chunk:
                require_columns(entry)
            entries += chunk
        return entries

    def _consistency(self, last: SignedTree | None, size: int) -> Sequence[bytes]:
        if last is None or last.size >= size:
            return ()
        return self._growing.tree.consistency(last.size, size)

    def _open(self, note: bytes, size: int, keys: Sequence[VerifierKey]) -> Checkpoint:
        return self._opened(note, size, keys).checkpoint

    def _opened(self, note: bytes, size: int, keys: Sequence[VerifierKey]) -> OpenedCheckpoint:
        try:
            opened = open_cosigned_checkpoint(
                note, log_keys=keys, witness_keys=(), origin=self._origin
            )
        except VerificationFailed as error:
            raise LedgerMismatch(
                f"the checkpoint of size {size} is not ours: {error}",
                procedure=Procedure.ANOTHER_KEY,
            ) from error
        if opened.checkpoint.size != size:
            raise LedgerMismatch(f"the checkpoint stored for size {size} is another's")
        return opened

    def _check_root(self, size: int, root: bytes) -> None:
        """The tiles against a signed root; where it differs, the older ones say since when."""
        tree = Tree(self._store.tile)
        if tree.root(size) == root:
            return
        sound, keys = 0, keys_of_log(self._log, self._origin, self._signer.keys)
        for older, note in self._store.checkpoints():
            if self._open(note, older, keys).root != tree.root(older):
                break
            sound = older
        raise LedgerMismatch(
            f"events and tiles agree, but not with the signed root of size {size}: what was "
            f"signed still holds up to event {sound}",
            position=sound,
        )

    def _check_signer(self, size: int, root: bytes | None) -> None:
        last = self._signer.last
        committed = self._log.head().next_position
        if last is None:
            if committed:
                raise LedgerMismatch(
                    f"the signer remembers nothing, but the log holds {committed} events: its "
                    "memory was lost",
                    position=0,
                    procedure=Procedure.SIGNER_BEHIND,
                )
            return
        if last.size < size:
            raise LedgerMismatch(
                f"the signer remembers size {last.size}, but size {size} is published: its "
                "memory was restored from an older copy",
                position=last.size,
                procedure=Procedure.SIGNER_BEHIND,
            )
        if last.size > committed:
            raise LedgerMismatch(
                f"the signer has signed {last.size} events, the database holds {committed}: "
                "it was restored from an older copy or lost its end",
                position=committed,
                procedure=Procedure.DATABASE_BEHIND,
            )
        if self._root_at(size, last.size) != last.root:
            raise LedgerMismatch(
                f"the events do not hash to what the signer signed at size {last.size}",
                position=min(size, last.size - 1),
            )

    def _check_end(self, size: int) -> None:
        position, head = size, self._log.head().next_position
        for chunk in read_entries(self._log, size, head - size):
            position = chunk[-1].position + 1
        if position < head:
            raise LedgerMismatch(
                f"event {position} is missing: the log's head counts {head}", position=position
            )
        # Another hub may have committed meanwhile; then the head has moved with the events.
        beyond = self._log.entries(head, 1)
        if beyond and beyond[0].position >= self._log.head().next_position:
            raise LedgerMismatch(
                f"event {beyond[0].position} stands beyond the log's head, which counts {head}",
                position=beyond[0].position,
            )

    def _root_at(self, published: int, size: int) -> bytes:
        growing = self._edge(published)
        for chunk in read_entries(self._log, published, size - published):
            growing.append(leaf_hashes(entry.state for entry in chunk))
        return growing.tree.root(size)

    def _edge(self, size: int) -> GrowingTree:
        return edge_of(size, self._store)


def edge_of(size: int, store: TreeStore) -> GrowingTree:
    """The right edge of the stored tree at a size. Raises LedgerMismatch."""
    try:
        return GrowingTree(size, store.tile)
    except MissingHash as error:
        raise LedgerMismatch(f"the stored tree is incomplete: {error}") from error


def read_entries(log: EventLog, start: int, count: int) -> Iterator[list[LogEntry]]:
    """Up to `count` entries from `start` on, in chunks; refuses a gap in the positions."""
    position, end = start, start + count
    while position < end:
        wanted = min(_READ_MAX, end - position)
        chunk = list(log.entries(position, wanted))
        for entry in chunk:
            if entry.position != position:
                raise LedgerMismatch(f"event {position} is missing", position=position)
            position += 1
        if chunk:
            yield chunk
        if len(chunk) < wanted:
            return  # There are no more.


def require_columns(entry: LogEntry) -> None:
    """Refuse an entry whose columns say something else than the bytes that are proven.

    A leaf has one spelling, and these three stand at its end; so they are compared without
    parsing, for this runs over the whole log at each start.
    """
    _, _, end = entry.state.rpartition(b',"id":"')
    identity, rest = end[:_ID_CHARACTERS].replace(b"-", b""), end[_ID_CHARACTERS:]
    if not (
        identity == entry.aggregate.hex().encode()
        and rest.startswith(b'","nonce":"')
        and rest.endswith(_kind(entry.topic, entry.version))
    ):
        raise LedgerMismatch(
            f"event {entry.position}: the columns beside its bytes say something else",
            position=entry.position,
        )


@lru_cache(maxsize=1024)
def _kind(topic: str, version: int) -> bytes:
    return f'","topic":"{topic}","version":{version}}}'.encode()


def keys_of_log(log: EventLog, origin: str, held: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """The keys that older checkpoints may be signed with: those held, and those that ended.

    What ended is said by the events alone; so this is for checkpoints below one that a held
    key has signed.
    """
    ended = (
        entry.key for entry in KeyRing.of(log.registry_entries(topics=KEY_TOPICS)).of_log(origin)
    )
    return tuple(dict.fromkeys([*held, *ended]))


REGISTER_DIFFERS = "it is hidden from the register, or slipped into it"


class RegisterIndex:
    """The events the register is loaded from, against those it should be loaded from."""

    def __init__(self, log: EventLog, start: int = 0) -> None:
        """From position `start` on."""
        self._entries = log.registry_entries(start - 1)
        self._next = next(self._entries, None)

    def agrees(self, entry: LogEntry) -> bool:
        """Whether the register takes in this entry if, and only if, it should; in their order."""
        listed = self._next is not None and self._next.position == entry.position
        if listed:
            self._next = next(self._entries, None)
        return listed == (entry.topic in REGISTRY_TOPICS)


def check_events(
    log: EventLog,
    store: TreeStore,
    size: int,
    *,
    start: int = 0,
    pause: Callable[[], None] = lambda: None,
) -> None:
    """Compare the events from `start` to `size` (not included) with the stored tiles.

    Below `start` the tiles are taken for the events. `pause` is called now and then. Raises
    LedgerMismatch naming the first event that differs. Memory stays constant.
    """
    # Full tiles were compared before they are read again here: they stand for the events.
    growing = edge_of(start, store)
    register = RegisterIndex(log, start)
    for chunk in read_entries(log, start, size - start):
        pause()
        growing.append(leaf_hashes(entry.state for entry in chunk))
        compare_tiles(growing, store)
        for entry in chunk:
            require_columns(entry)
            if not register.agrees(entry):
                raise LedgerMismatch(
                    f"event {entry.position}: {REGISTER_DIFFERS}", position=entry.position
                )
    if growing.size < size:
        raise LedgerMismatch(
            f"event {growing.size} is missing: the log ends before its checkpoint of size {size}",
            position=growing.size,
        )


def compare_tiles(growing: GrowingTree, store: TreeStore) -> None:
    """Compare what was just appended with the stored tiles, and count it as stored.

    Raises LedgerMismatch naming the first event that differs.
    """
    for (level, number), computed in sorted(growing.changed.items()):
        stored = store.tile(level, number)[: len(computed)]
        if stored == computed:
            continue
        offset = next(
            n
            for n in range(0, len(computed), HASH_BYTES)
            if stored[n : n + HASH_BYTES] != computed[n : n + HASH_BYTES]
        )
        position = (number * TILE_WIDTH + offset // HASH_BYTES) << (TILE_HEIGHT * level)
        if level:
            raise LedgerMismatch(
                f"tile {level}/{number} differs from the events below it, from {position} on",
                position=position,
            )
        raise LedgerMismatch(
            f"event {position} is not the one that was recorded: its bytes no longer hash to "
            "the leaf in the tree (or the stored leaf hash was changed)",
            position=position,
        )
    growing.stored()
