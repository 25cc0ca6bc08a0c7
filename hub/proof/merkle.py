"""RFC 6962 tree hashing, with the two proofs that keep a log honest.

*Inclusion*: this leaf stands at this index of that tree. *Consistency*: that tree is this
one with leaves added at the end, nothing changed. Both follow the verification algorithms
of RFC 9162 (2.1.3.2 and 2.1.4.2), which prove the same RFC 6962 trees step by step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from hub.errors import VerificationFailed
from hub.proof.strict import INTEGER_MAX

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()  # RFC 6962 section 2.1: the hash of an empty list.

# No honest proof is longer: a tree of 2^64 leaves has a path of 64 hashes, and a
# consistency proof starts on the same path. More is only work for the verifier.
PROOF_HASHES_MAX = 64

# Different first bytes, so that a leaf never passes for an inner node (RFC 6962 section 2.1).
_LEAF_PREFIX = b"\x00"
_NODE_PREFIX = b"\x01"


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one log entry: SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(_LEAF_PREFIX + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """The hash of each of these log entries: logs are hashed by the million."""
    sha256 = hashlib.sha256
    return [sha256(_LEAF_PREFIX + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(_NODE_PREFIX + left + right).digest()


def row_above(row: Sequence[bytes]) -> list[bytes]:
    """The inner nodes over an even number of neighbours."""
    sha256, nodes = hashlib.sha256, iter(row)
    return [
        sha256(_NODE_PREFIX + left + right).digest()
        for left, right in zip(nodes, nodes, strict=True)
    ]


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes, straight from the definition in RFC 6962 section 2.1.

    The reference everything faster is compared with: it rehashes the whole tree.
    """
    size = len(leaf_hashes)
    if size == 0:
        return EMPTY_ROOT
    if size == 1:
        return leaf_hashes[0]
    split = 1 << (size - 1).bit_length() - 1  # The largest power of two below `size`.
    return node_hash(root_of(leaf_hashes[:split]), root_of(leaf_hashes[split:]))


def verify_inclusion(
    *, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that the leaf with hash `leaf` stands at `index`, from 0, of the tree (size, root).

    Returns nothing. Raises VerificationFailed(step="inclusion") for a proof that does not
    hold and for anything malformed: at most 64 hashes, each of 32 bytes. Source: RFC 9162
    section 2.1.3.2, whose letters the body keeps.
    """
    step = "inclusion"
    # (1) There is such a leaf.
    if not 0 <= index < size <= INTEGER_MAX:
        raise VerificationFailed("the index lies outside the tree", step=step)
    _require_hashes([leaf, root], step)
    _require_proof(proof, step)
    # (2) Climb from the leaf. `fn` is our node's number on its level, `sn` the last one's.
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            raise VerificationFailed("the proof is longer than the path", step=step)
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            # The last node of a ragged level has no sibling: it rises until it gets one.
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    # (3) We arrived at the top, and it is the root.
    if sn != 0:
        raise VerificationFailed("the proof is shorter than the path", step=step)
    if r != root:
        raise VerificationFailed("the leaf does not lead to the root", step=step)


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree (new_size, new_root) begins with the tree (old_size, old_root).

    Returns nothing. Raises VerificationFailed(step="consistency") for a proof that does not
    hold and for anything malformed. An old size of 0 is refused: every tree extends the
    empty one, so such a proof says nothing and must not be mistaken for one that does.
    Source: RFC 9162 section 2.1.4.2, whose letters the body keeps.
    """
    step = "consistency"
    # (1) The sizes are in order, and equal sizes need no proof but equal roots.
    if not 0 < old_size <= new_size <= INTEGER_MAX:
        raise VerificationFailed("the old size is 0 or not within the new one", step=step)
    _require_proof(proof, step)
    if old_size == new_size:
        if proof or old_root != new_root:
            raise VerificationFailed("one size, but two roots or a needless proof", step=step)
        return
    _require_hashes([old_root, new_root], step)
    # (2) Start at the largest complete subtree at the right edge of the old tree. When the
    # old tree is itself complete, that subtree is all of it and the proof leaves it out.
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not proof:
        raise VerificationFailed("the proof is empty", step=step)
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    # (3) Climb, rebuilding the old root and the new one side by side.
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise VerificationFailed("the proof is longer than the path", step=step)
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    # (4) Both climbs arrived at the top, and at the roots that were claimed.
    if sn != 0:
        raise VerificationFailed("the proof is shorter than the path", step=step)
    if fr != old_root or sr != new_root:
        raise VerificationFailed("the new tree does not begin with the old one", step=step)


def _require_proof(proof: Sequence[bytes], step: str) -> None:
    if len(proof) > PROOF_HASHES_MAX:
        raise VerificationFailed(f"the proof has more than {PROOF_HASHES_MAX} hashes", step=step)
    _require_hashes(proof, step)


def _require_hashes(hashes: Sequence[bytes], step: str) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise VerificationFailed(f"a hash does not have {HASH_BYTES} bytes", step=step)
