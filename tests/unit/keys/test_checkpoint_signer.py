"""The signer signs one history only, whoever asks and whatever fails."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.errors import LedgerMismatch, VerificationFailed
from hub.proof.checkpoint import Checkpoint, open_checkpoint
from hub.proof.merkle import EMPTY_ROOT, leaf_hash, root_of
from keys.age import KeySecretWrong, read_plain
from keys.checkpoint_signer import CheckpointSigner
from keys.file import SECRET_MODE, create_file, private_key_pem
from keys.last_signed import LastSigned, Signed, SignerConflict, SignerStoreError
from keys.log_keys import FileLogKeys
from keys.signer_wire import ASK_TO_MAKE, answer, ask_to_destroy, ask_to_sign, frame
from tests.support.signers import OneKey
from tests.unit.proof.building import consistency_path

ORIGIN = "lienthong.example/2026"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LEAVES = [leaf_hash(b"event %d" % number) for number in range(20)]
FORK = [*LEAVES[:4], leaf_hash(b"rewritten"), *LEAVES[5:]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LastSigned]:
    store = LastSigned.create(tmp_path / "last_signed.sqlite")
    yield store
    store.close()


@pytest.fixture
def signer(store: LastSigned) -> CheckpointSigner:
    return CheckpointSigner(ORIGIN, OneKey(KEY), store)


def sign(
    signer: CheckpointSigner, size: int, leaves: list[bytes] = LEAVES, *, after: int = 0
) -> bytes:
    proof = consistency_path(leaves[:size], after) if after else []
    return signer.sign(size, root_of(leaves[:size]), proof)


def opened(signer: CheckpointSigner, note: bytes) -> Checkpoint:
    return open_checkpoint(note, log_keys=[signer.verifier_key], origin=ORIGIN)


def test_what_it_signs_is_a_checkpoint_anyone_can_open(signer: CheckpointSigner):
    note = sign(signer, 7)
    assert opened(signer, note) == Checkpoint(ORIGIN, 7, root_of(LEAVES[:7]))
    assert signer.last == Signed(ORIGIN, 7, root_of(LEAVES[:7]))
    assert signer.verifier_key.name == ORIGIN


def test_a_growing_tree_is_signed_step_by_step(signer: CheckpointSigner):
    before = 0
    for size in (1, 2, 3, 5, 8, 13, 20):
        note = sign(signer, size, after=before)
        assert opened(signer, note).size == size
        before = size


def test_the_same_head_is_signed_again_to_the_same_bytes(
    signer: CheckpointSigner, store: LastSigned
):
    first = sign(signer, 7)
    assert sign(signer, 7) == first
    assert sign(CheckpointSigner(ORIGIN, OneKey(KEY), store), 7) == first
    assert sign(signer, 7, after=3) == first, "nothing is left to prove"


def test_a_log_may_begin_with_the_empty_tree(signer: CheckpointSigner):
    assert opened(signer, signer.sign(0, EMPTY_ROOT, [])).size == 0
    assert opened(signer, sign(signer, 3)).size == 3


def test_a_fork_is_refused(signer: CheckpointSigner):
    sign(signer, 7)
    with pytest.raises(LedgerMismatch, match="size 7 was signed already, under another root"):
        sign(signer, 7, FORK)
    with pytest.raises(LedgerMismatch, match="does not begin with the 7 signed ones"):
        sign(signer, 9, FORK, after=7)
    assert signer.last == Signed(ORIGIN, 7, root_of(LEAVES[:7]))


def test_a_rollback_is_refused_and_names_the_first_missing_position(signer: CheckpointSigner):
    sign(signer, 7)
    with pytest.raises(LedgerMismatch, match="rolled back") as caught:
        sign(signer, 5)
    assert caught.value.position == 5
    with pytest.raises(LedgerMismatch, match="rolled back"):
        signer.sign(0, EMPTY_ROOT, [])
    assert signer.last == Signed(ORIGIN, 7, root_of(LEAVES[:7]))


@pytest.mark.parametrize("after", [0, 1, 6, 8])
def test_a_proof_from_another_size_is_refused(signer: CheckpointSigner, after: int):
    sign(signer, 7)
    with pytest.raises(LedgerMismatch) as caught:
        sign(signer, 13, after=after)
    assert isinstance(caught.value.__cause__, VerificationFailed)
    assert signer.last == Signed(ORIGIN, 7, root_of(LEAVES[:7]))


def test_each_hash_of_the_proof_counts(signer: CheckpointSigner):
    sign(signer, 7)
    good = consistency_path(LEAVES[:13], 7)
    bad = [[*good[:n], bytes(32), *good[n + 1 :]] for n in range(len(good))]
    for proof in [*bad, good[:-1], [*good, good[-1]], [good[0][:-1], *good[1:]]]:
        with pytest.raises(LedgerMismatch):
            signer.sign(13, root_of(LEAVES[:13]), proof)
    assert opened(signer, signer.sign(13, root_of(LEAVES[:13]), good)).size == 13


def test_a_proof_that_starts_nowhere_is_refused(signer: CheckpointSigner):
    with pytest.raises(LedgerMismatch, match="nothing was signed"):
        sign(signer, 7, after=3)
    assert signer.last is None


@pytest.mark.parametrize(
    ("size", "root"), [(-1, bytes(32)), (2**63, bytes(32)), (3, b"short"), (0, bytes(32))]
)
def test_a_head_that_no_tree_has_is_refused(signer: CheckpointSigner, size: int, root: bytes):
    with pytest.raises(VerificationFailed):
        signer.sign(size, root, [])
    assert signer.last is None


def test_the_memory_of_another_log_is_refused(signer: CheckpointSigner, store: LastSigned):
    sign(signer, 7)
    other = CheckpointSigner("other.example/log", OneKey(KEY), store)
    with pytest.raises(LedgerMismatch, match="of the log lienthong"):
        sign(other, 7)
    with pytest.raises(LedgerMismatch, match="of the log lienthong"):
        sign(other, 9, after=7)


def test_two_signers_on_one_store_cannot_sign_two_histories(tmp_path: Path, store: LastSigned):
    """The second has read the head, then sleeps while the first goes on."""

    class Sleeper(LastSigned):
        def read(self) -> Signed | None:
            last = super().read()
            if last is not None and last.size == 7:
                sign(first, 9, FORK, after=7)
            return last

    first = CheckpointSigner(ORIGIN, OneKey(KEY), store)
    sleeper = Sleeper.open(tmp_path / "last_signed.sqlite")
    second = CheckpointSigner(ORIGIN, OneKey(KEY), sleeper)
    first.sign(7, root_of(FORK[:7]), [])
    honest = [*FORK[:7], *(leaf_hash(b"other %d" % n) for n in range(5))]
    with pytest.raises(SignerConflict):
        sign(second, 10, honest, after=7)
    assert first.last == Signed(ORIGIN, 9, root_of(FORK[:9]))
    sleeper.close()


class BrokenStore(LastSigned):
    """Fails at the next advance, before or after keeping the head."""

    kept: bool

    def advance(self, expected: Signed | None, new: Signed) -> None:
        if self.kept:
            super().advance(expected, new)
        raise SignerStoreError("disk I/O error")


@pytest.mark.parametrize("kept", [False, True], ids=["lost", "kept"])
def test_a_failed_write_signs_nothing_and_the_next_call_recovers(
    tmp_path: Path, signer: CheckpointSigner, kept: bool
):
    sign(signer, 7)
    broken = BrokenStore.open(tmp_path / "last_signed.sqlite")
    broken.kept = kept
    with pytest.raises(SignerStoreError):
        sign(CheckpointSigner(ORIGIN, OneKey(KEY), broken), 9, after=7)
    broken.close()
    assert signer.last == Signed(ORIGIN, 9 if kept else 7, root_of(LEAVES[: 9 if kept else 7]))
    assert opened(signer, sign(signer, 9, after=7)).size == 9


def test_a_crash_between_recording_and_signing_is_healed_by_signing_again(
    tmp_path: Path, signer: CheckpointSigner, monkeypatch: pytest.MonkeyPatch
):
    class Crash(BaseException):
        pass

    def crash(*_: object) -> bytes:
        raise Crash

    sign(signer, 7)
    with monkeypatch.context() as broken:
        broken.setattr(CheckpointSigner, "_signed_note", crash)
        with pytest.raises(Crash):
            sign(signer, 9, after=7)
    after_restart = LastSigned.open(tmp_path / "last_signed.sqlite")
    restarted = CheckpointSigner(ORIGIN, OneKey(KEY), after_restart)
    assert restarted.last == Signed(ORIGIN, 9, root_of(LEAVES[:9]))
    with pytest.raises(LedgerMismatch):
        sign(restarted, 9, FORK, after=7)
    assert opened(restarted, sign(restarted, 9, after=7)).size == 9
    after_restart.close()


def test_an_origin_no_signature_line_can_carry_is_refused(store: LastSigned):
    with pytest.raises(VerificationFailed):
        CheckpointSigner("two words", OneKey(KEY), store)


class Refusing(OneKey):
    """A key in a token that has begun to refuse its PIN."""

    def all(self) -> list[Any]:
        return [self]

    def public_key(self) -> Any:
        return KEY.public_key()

    def sign(self, data: bytes, /) -> bytes:
        raise KeySecretWrong("the token refuses the PIN")


def test_a_token_that_refuses_its_pin_is_like_a_signer_that_is_away(store: LastSigned):
    """It was a bug to whoever asked: another process got no answer at all."""
    signer = CheckpointSigner(ORIGIN, Refusing(KEY), store)
    with pytest.raises(OSError, match="refuses the PIN"):
        sign(signer, 7)
    # It is remembered, and the same tree may be asked for once the token is back.
    assert signer.last == Signed(ORIGIN, 7, root_of(LEAVES[:7]))
    question = frame(ask_to_sign(7, root_of(LEAVES[:7]), (), ()))[4:]
    assert answer(signer, question) == {"error": "unable", "message": "the token refuses the PIN"}


def test_a_key_file_that_is_damaged_while_it_runs_is_told_and_not_what_is_in_it(
    store: LastSigned, tmp_path: Path
):
    path = tmp_path / "log-key.pem"
    create_file(path, private_key_pem(KEY), mode=SECRET_MODE)
    signer = CheckpointSigner(ORIGIN, FileLogKeys(tmp_path, read_plain), store)
    made = signer.make_key()
    whole = path.read_bytes()
    path.write_bytes(whole[:60])

    for question in (ASK_TO_MAKE, ask_to_destroy(made)):
        said = answer(signer, frame(question)[4:])
        assert said["error"] == "unable"
        assert "log-key.pem" in said["message"]
        assert whole.splitlines()[1].decode() not in said["message"]
    with pytest.raises(OSError, match="PKCS#8"):
        signer.make_key()
    # What it holds it goes on signing with.
    assert opened(signer, sign(signer, 7)).size == 7
