"""What every Signer must do, whichever adapter provides it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.memory.signer import MemorySigner
from hub.application.ports import Signer
from hub.errors import LedgerMismatch
from hub.proof.checkpoint import open_checkpoint, open_cosigned_checkpoint
from hub.proof.merkle import EMPTY_ROOT, leaf_hash, node_hash
from keys.age import Identities, read_plain, seal
from keys.checkpoint_signer import CheckpointSigner, LogKeys
from keys.file import SECRET_MODE, create_file, private_key_pem
from keys.last_signed import LastSigned
from keys.log_keys import FileLogKeys
from keys.pkcs11 import Token, TokenLogKeys
from keys.remote_signer import RemoteSigner
from keys.ways import UnixWay
from tests.support.signers import Linked, answering
from tests.support.tokens import MODULE, PIN, soft_token

ORIGIN = "hub.example/log"
A, B = leaf_hash(b"a"), leaf_hash(b"b")
AB = node_hash(A, B)


OPERATORS = Identities.generate(), Identities.generate()


@pytest.fixture(params=["memory", "file", "age", "pkcs11", "process", "tls"])
def signer(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Signer]:
    if request.param == "memory":
        yield MemorySigner(ORIGIN)
        return
    with closing(LastSigned.create(tmp_path / "last-signed.db")) as last_signed:
        keys = log_keys(request.param, tmp_path, tmp_path_factory)
        local = CheckpointSigner(ORIGIN, keys, last_signed)
        if request.param == "process":
            with answering(local, tmp_path / "socket"):
                yield RemoteSigner(ORIGIN, UnixWay(tmp_path / "socket"), timeout_s=30)
        elif request.param == "tls":
            linked = Linked(tmp_path)
            with linked.answering(local) as there:
                yield RemoteSigner(ORIGIN, linked.way(there.port), timeout_s=30)
        else:
            yield local


def log_keys(kind: str, folder: Path, tokens: pytest.TempPathFactory) -> LogKeys:
    if kind == "pkcs11":
        token = Token(MODULE, soft_token(tokens).label, PIN)
        token.make_keys()
        return TokenLogKeys(token)
    path, pem = folder / "log-key.pem", private_key_pem(Ed25519PrivateKey.generate())
    if kind != "age":
        create_file(path, pem, mode=SECRET_MODE)
        return FileLogKeys(folder, read_plain)
    recipients = [each for operator in OPERATORS for each in operator.recipients]
    create_file(path, seal(pem, recipients), mode=SECRET_MODE)
    return FileLogKeys(folder, OPERATORS[1].read, lambda plain: seal(plain, recipients))


def last_of(signer: Signer) -> tuple[int, bytes]:
    last = signer.last
    assert last is not None
    return last.size, last.root


def test_a_new_signer_has_signed_nothing(signer: Signer):
    assert signer.last is None


def test_a_signed_tree_is_remembered_and_verifies(signer: Signer):
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


def test_a_new_key_signs_when_it_is_named_and_not_before(signer: Signer):
    old = signer.verifier_key
    new = signer.make_key()

    assert tuple(signer.keys) == (old, new)
    before = open_cosigned_checkpoint(
        signer.sign(1, A, []), log_keys=signer.keys, witness_keys=(), origin=ORIGIN
    )
    both = open_cosigned_checkpoint(
        signer.sign(2, AB, [B], [old, new]), log_keys=signer.keys, witness_keys=(), origin=ORIGIN
    )

    assert before.signed_by == (old,)
    assert both.signed_by == (old, new)


def test_whoever_knows_one_of_two_keys_accepts_what_both_signed(signer: Signer):
    old, new = signer.verifier_key, signer.make_key()
    note = signer.sign(1, A, [], [old, new])

    for known in (old, new):
        assert open_checkpoint(note, log_keys=[known], origin=ORIGIN).root == A


def test_the_same_tree_is_signed_again_by_another_key(signer: Signer):
    new = signer.make_key()
    signer.sign(1, A, [])

    note = signer.sign(1, A, [], [new])

    assert open_checkpoint(note, log_keys=[new], origin=ORIGIN).root == A


def test_a_destroyed_key_signs_nothing_any_more(signer: Signer):
    old, new = signer.verifier_key, signer.make_key()
    for _ in range(2):
        signer.destroy_key(old)

    assert tuple(signer.keys) == (new,)
    with pytest.raises(OSError, match="does not have"):
        signer.sign(1, A, [], [old, new])
    assert signer.last is None
    assert open_checkpoint(signer.sign(1, A, []), log_keys=[new], origin=ORIGIN).root == A


def test_the_last_key_is_never_destroyed(signer: Signer):
    with pytest.raises(OSError, match="last key"):
        signer.destroy_key(signer.verifier_key)
    assert signer.sign(1, A, [])
