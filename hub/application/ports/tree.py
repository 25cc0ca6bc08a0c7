"""The tree over the log, and who signs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hub.proof.note import VerifierKey


class SignedTree(Protocol):
    """What a signer remembers of the last tree it signed."""

    @property
    def size(self) -> int:
        """The number of leaves."""
        ...

    @property
    def root(self) -> bytes:
        """The root hash."""
        ...


class SignerMemory(Protocol):
    """What a signer signed last; trusted as the signer is."""

    @property
    def last(self) -> SignedTree | None:
        """The last tree signed, or None if there was none."""
        ...


class Signer(SignerMemory, Protocol):
    """Signs checkpoints, and only those that extend the last one it signed.

    Trusted: whoever holds its keys and its memory can sign a false tree (and is found out
    by any kept receipt). It may be another process: then every call ends within its deadline,
    and raises OSError when there was no answer. A tree may have been remembered all the same.
    """

    @property
    def keys(self) -> Sequence[VerifierKey]:
        """What its signatures verify under, the oldest first; named like the log's origin."""
        ...

    @property
    def verifier_key(self) -> VerifierKey:
        """The oldest of them."""
        ...

    def make_key(self) -> VerifierKey:
        """One more key, durable on return, which signs nothing before it is asked to.

        Raises OSError; then it may have been made all the same.
        """
        ...

    def destroy_key(self, key: VerifierKey) -> None:
        """Destroy a key for good; the same again changes nothing. OSError for the last one."""
        ...

    def sign(
        self,
        size: int,
        root: bytes,
        consistency_proof: Sequence[bytes],
        by: Sequence[VerifierKey] = (),
    ) -> bytes:
        """A note over the tree of this size and root, signed by these keys; by the oldest if none.

        The memory of it is durable before a signature exists. The same tree again is signed
        again, by whichever keys. Raises LedgerMismatch when the tree does not extend the last
        one, OSError for a key that it does not hold.
        """
        ...


@dataclass(frozen=True, slots=True)
class Verified:
    """Events that were read and found whole once: the first `size`, under `root` (32 bytes).

    `register` is SHA-256 over the positions and leaf hashes of the registry events among them.
    """

    size: int
    root: bytes
    register: bytes


class VerifiedMark(Protocol):
    """Up to where a start need not read everything again.

    Untrusted: a mark that is lost, older or damaged costs time. One that was forged makes a
    start find later what it would have found at once; never does it make the tree, the register
    or the signer pass for something else.
    """

    def read(self) -> Verified | None:
        """The mark; None when there is none, or none that can be read."""
        ...

    def write(self, verified: Verified | None) -> None:
        """Replace the mark, or remove it; durable on return."""
        ...


class TreeStore(Protocol):
    """Hash tiles (C2SP tlog-tiles) and every checkpoint ever published.

    Untrusted: derived from the events; `fsck` recomputes it. A tile only grows, and its
    beginning never changes; a checkpoint never changes.
    """

    def tile(self, level: int, number: int) -> bytes:
        """The hashes a tile holds so far, 32 bytes each; empty when there is none."""
        ...

    def tiles(self) -> Iterator[tuple[int, int, bytes]]:
        """Every tile as (level, number, hashes)."""
        ...

    def publish(self, tiles: Mapping[tuple[int, int], bytes], size: int, checkpoint: bytes) -> None:
        """Store tiles and the checkpoint over them in one transaction.

        The same again changes nothing. Raises LedgerMismatch for a tile that would not keep
        its beginning, for another checkpoint of a known size, and for one that is smaller
        than the newest.
        """
        ...

    def keep_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Store tiles that no checkpoint covers yet, as `publish` would. Raises LedgerMismatch."""
        ...

    def latest_checkpoint(self) -> tuple[int, bytes] | None:
        """The newest checkpoint with its size."""
        ...

    def checkpoint_covering(self, position: int) -> tuple[int, bytes] | None:
        """The first checkpoint whose tree holds the position: that of its receipt."""
        ...

    def checkpoints(self, after: int = -1) -> Iterator[tuple[int, bytes]]:
        """Every checkpoint of a larger size than `after`, by rising size."""
        ...

    def close(self, origin: str) -> None:
        """Put all checkpoints away as those of a log that ended; tiles stay.

        They are kept with the cosignatures under them. The same again changes nothing.
        """
        ...

    def former_checkpoints(self) -> Iterator[tuple[str, int, bytes]]:
        """Those of logs that ended, as (origin, size, signed note), by rising size."""
        ...

    def checkpoints_missing(self, after: int = -1) -> Iterator[int]:
        """Sizes above `after` of checkpoints that were published and are not there, rising.

        A second list of them is kept for this.
        """
        ...
