"""A real little RFC 6962 log in memory, so that a fake hub's receipts verify like real ones.

For tests: it recomputes its tree at every turn, and its key lives in memory.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.proof.checkpoint import Checkpoint
from hub.proof.merkle import leaf_hash, root_of
from hub.proof.note import KeyType, Note, NoteSignature, VerifierKey, format_note
from hub.proof.receipt import Receipt, TlogProof
from hub.proof.trust import LogKey, TrustedLog, TrustedRoot


class FakeLog:
    """Leaves in order, and everything that can be proven about them."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.leaves: list[bytes] = []
        self._key = Ed25519PrivateKey.generate()
        public = self._key.public_key().public_bytes_raw()
        self._verifier_key = VerifierKey(origin, KeyType.ED25519, public)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self.leaves)

    def append(self, leaf: bytes) -> int:
        """Add a leaf; return its position, counted from 0."""
        self.leaves.append(leaf)
        return self.size - 1

    def rewrite(self, position: int, leaf: bytes) -> None:
        """Do what no honest log does: put another leaf in place of one it has signed."""
        self.leaves[position] = leaf

    def checkpoint(self, size: int | None = None) -> bytes:
        """The signed note over the first `size` leaves, over all by default."""
        size = self.size if size is None else size
        text = Checkpoint(self.origin, size, self._root(0, size)).body
        line = NoteSignature(self.origin, self._verifier_key.key_id, self._key.sign(text))
        return format_note(Note(text, (line,)))

    def receipt(self, position: int) -> Receipt:
        """The receipt of a leaf, under a checkpoint over all leaves there are now."""
        path = tuple(self.inclusion(position, self.size))
        proof = TlogProof(position, path, self.checkpoint())
        return Receipt(self.leaves[position], proof.format())

    def inclusion(self, position: int, size: int) -> list[bytes]:
        """PATH(m, D[n]) of RFC 6962 section 2.1.1."""
        return self._path(position, 0, size)

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile (C2SP tlog-tiles); empty beyond the newest leaf."""
        width = 256**level if level < 8 else self.size + 1
        first, end = number * 256 * width, min((number + 1) * 256 * width, self.size)
        starts = range(first, end - width + 1, width)
        return b"".join(self._root(start, start + width) for start in starts)

    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """PROOF(m, D[n]) of RFC 6962 section 2.1.2."""
        return self._subproof(old_size, 0, new_size, whole=True)

    def trusted_root(self) -> TrustedRoot:
        """The trusted root that lists this log and its one key."""
        return TrustedRoot(1, (TrustedLog(self.origin, (LogKey(self._verifier_key, 0),)),))

    def _root(self, first: int, end: int) -> bytes:
        return root_of([leaf_hash(leaf) for leaf in self.leaves[first:end]])

    def _path(self, index: int, first: int, end: int) -> list[bytes]:
        """PATH(m, D[n]) of RFC 6962 section 2.1.1, for the leaves from `first` to `end`."""
        if end - first == 1:
            return []
        split = first + _split(end - first)
        if index < split:
            return [*self._path(index, first, split), self._root(split, end)]
        return [*self._path(index, split, end), self._root(first, split)]

    def _subproof(self, old_end: int, first: int, end: int, *, whole: bool) -> list[bytes]:
        if old_end == end:
            return [] if whole else [self._root(first, end)]
        split = first + _split(end - first)
        if old_end <= split:
            return [*self._subproof(old_end, first, split, whole=whole), self._root(split, end)]
        return [*self._subproof(old_end, split, end, whole=False), self._root(first, split)]


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
