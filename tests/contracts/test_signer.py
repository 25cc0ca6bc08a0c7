"""What every Signer must do, whichever adapter provides it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.memory.signer import MemorySigner
from hub.application.ports import Signer
from hub.errors import LedgerMismatch
from hub.proof.checkpoint import open_checkpoint
from hub.proof.merkle import EMPTY_ROOT, leaf_hash, node_hash
from keys.checkpoint_signer import CheckpointSigner
from keys.last_signed import LastSigned

ORIGIN = "hub.example/log"
A, B = leaf_hash(b"a"), leaf_hash(b"b")
AB = node_hash(A, B)


@pytest.fixture(params=["memory", "keys"])
def signer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Signer]:
    if request.param == "memory":
        yield MemorySigner(ORIGIN)
        return
    last_signed = LastSigned.create(tmp_path / "last-signed.db")
    yield CheckpointSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(32)), last_signed)
    last_signed.close()


def last_of(signer: Signer) -> tuple[int, bytes]:
    last = signer.last
    assert last is not None
    return last.size, last.root


def test_a_new_signer_has_signed_nothing(signer: Signer):
    assert signer.last is None


def test_a_signed_tree_is_remembered_and_verifies(signer: MemorySigner | CheckpointSigner):
    note = signer.sign(1, A, [])

    opened = open_checkpoint(note, log_keys=[signer.verifier_key], origin=ORIGIN)

    assert (opened.size, opened.root) == (1, A)
    assert last_of(signer) == (1, A)


def test_a_tree_that_extends_the_last_is_signed(signer: Signer):
    signer.sign(0, EMPTY_ROOT, [])
    signer.sign(1, A, [])
    signer.sign(2, AB, [B])

    assert last_of(signer) == (2, AB)


def test_the_same_tree_gets_the_same_note_again(signer: Signer):
    assert signer.sign(1, A, []) == signer.sign(1, A, [])


@pytest.mark.parametrize(
    ("size", "root", "proof"), [(2, B, []), (1, A, []), (3, AB, [A]), (0, EMPTY_ROOT, [])]
)
def test_a_tree_that_does_not_extend_the_last_is_refused(
    signer: Signer, size: int, root: bytes, proof: list[bytes]
):
    signer.sign(1, A, [])
    signer.sign(2, AB, [B])

    with pytest.raises(LedgerMismatch):
        signer.sign(size, root, proof)

    assert last_of(signer) == (2, AB)
