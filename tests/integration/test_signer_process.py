"""A signer apart from its hubs: it never signs two histories, whoever asks, however it goes."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.errors import LedgerMismatch
from hub.proof.checkpoint import open_checkpoint
from hub.proof.merkle import leaf_hash, node_hash
from keys.checkpoint_signer import CheckpointSigner
from keys.last_signed import LastSigned, Signed
from keys.remote_signer import RemoteSigner, SignerUnreachable
from keys.signer_wire import MESSAGE_BYTES_MAX, frame
from keys.ways import UnixWay
from tests.support.signers import OneKey, answering

ORIGIN = "hub.example/log"
A, B, C = (leaf_hash(each) for each in (b"a", b"b", b"c"))
AB, AC = node_hash(A, B), node_hash(A, C)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[CheckpointSigner]:
    with closing(LastSigned.create(tmp_path / "last-signed.db")) as memory:
        yield CheckpointSigner(ORIGIN, OneKey(Ed25519PrivateKey.generate()), memory)


@pytest.fixture
def path(local: CheckpointSigner, tmp_path: Path) -> Iterator[Path]:
    with answering(local, tmp_path / "socket"):
        yield tmp_path / "socket"


def remote(path: Path, timeout_s: float = 30.0) -> RemoteSigner:
    return RemoteSigner(ORIGIN, UnixWay(path), timeout_s)


def test_of_two_leaders_the_one_that_slept_is_refused(path: Path):
    awake, asleep = remote(path), remote(path)
    asleep.sign(1, A, [])
    awake.sign(2, AB, [B])

    # It wakes, and goes on with the history it was about to have signed.
    with pytest.raises(LedgerMismatch, match="under another root"):
        asleep.sign(2, AC, [C])
    with pytest.raises(LedgerMismatch, match="rolled back"):
        asleep.sign(1, A, [])

    assert asleep.last == Signed(ORIGIN, 2, AB)


def test_of_many_leaders_at_once_one_wins_and_all_others_are_refused(path: Path):
    remote(path).sign(1, A, [])
    leaves = [leaf_hash(bytes([number])) for number in range(8)]
    signed: list[bytes] = []
    refused: list[Exception] = []

    def lead(leaf: bytes) -> None:
        try:
            remote(path).sign(2, node_hash(A, leaf), [leaf])
            signed.append(node_hash(A, leaf))
        except (LedgerMismatch, SignerUnreachable) as error:
            refused.append(error)

    threads = [threading.Thread(target=lead, args=(leaf,)) for leaf in leaves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(signed), len(refused)) == (1, 7)
    last = remote(path).last
    assert last is not None
    assert last.root == signed[0]


def test_a_restarted_signer_gives_the_same_signature_again(local: CheckpointSigner, tmp_path: Path):
    hub = remote(tmp_path / "socket")
    with answering(local, tmp_path / "socket"):
        first = hub.sign(1, A, [])
    with pytest.raises(SignerUnreachable):
        hub.sign(1, A, [])
    with answering(local, tmp_path / "socket"):
        assert hub.sign(1, A, []) == first
        assert open_checkpoint(first, log_keys=[hub.verifier_key], origin=ORIGIN).root == A


def test_the_socket_a_killed_signer_left_is_taken_over(local: CheckpointSigner, tmp_path: Path):
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(tmp_path / "socket"))
    with answering(local, tmp_path / "socket"):
        assert remote(tmp_path / "socket").last is None


async def test_a_second_signer_does_not_take_the_socket_of_the_first(
    path: Path, local: CheckpointSigner
):
    from keys.signer_service import serving

    with pytest.raises(OSError, match="another signer"):
        async with serving(local, path, uids={os.geteuid()}, told=lambda *_: None):
            raise AssertionError("it listens")
    assert remote(path).last is None


async def test_a_file_in_the_place_of_the_socket_is_left_alone(
    local: CheckpointSigner, tmp_path: Path
):
    from keys.signer_service import serving

    (tmp_path / "notes").write_text("mine")
    with pytest.raises(FileExistsError):
        async with serving(local, tmp_path / "notes", uids={0}, told=lambda *_: None):
            raise AssertionError("it listens")
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_signer_that_hangs_is_given_up(tmp_path: Path):
    with closing(socket.socket(socket.AF_UNIX)) as hanging:
        hanging.bind(str(tmp_path / "socket"))
        hanging.listen()
        with pytest.raises(SignerUnreachable, match="no answer in time"):
            remote(tmp_path / "socket", timeout_s=0.05).sign(1, A, [])


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x00\x00",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x04nope",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x02{}",
        b"\x00\x00\x00\x09{}",
        frame({"note": 7}),
        frame({"error": "unable", "message": "disk full"}),
    ],
)
def test_an_answer_that_means_nothing_is_no_answer(tmp_path: Path, said: bytes):
    with closing(socket.socket(socket.AF_UNIX)) as strange:
        strange.bind(str(tmp_path / "socket"))
        strange.listen()

        def answer() -> None:
            connection, _ = strange.accept()
            with closing(connection):
                connection.recv(MESSAGE_BYTES_MAX)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SignerUnreachable):
            remote(tmp_path / "socket").sign(1, A, [])
        thread.join()


@pytest.mark.parametrize(
    "question",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x04nope",
        frame({}),
        frame({"ask": "everything"}),
        frame({"ask": "sign"}),
        frame({"ask": "sign", "size": "1", "root": "", "proof": []}),
        frame({"ask": "sign", "size": True, "root": "", "proof": []}),
        frame({"ask": "sign", "size": -1, "root": "AAAA", "proof": [1]}),
        frame({"ask": "sign", "size": 1, "root": "not base64", "proof": []}),
        frame({"ask": "sign", "size": 2**63, "root": "A" * 43 + "=", "proof": []}),
    ],
)
def test_a_question_that_means_nothing_signs_nothing(path: Path, question: bytes):
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(str(path))
        connection.sendall(question)
        connection.shutdown(socket.SHUT_WR)
        assert b'"note"' not in connection.recv(MESSAGE_BYTES_MAX)
    assert remote(path).last is None


def test_another_users_process_is_turned_away(local: CheckpointSigner, tmp_path: Path):
    with answering(local, tmp_path / "socket", uids={os.geteuid() + 1}) as told:
        with pytest.raises(SignerUnreachable):
            remote(tmp_path / "socket").sign(1, A, [])
        assert told == ["turned away a process of another user"]
    assert local.last is None


def test_the_signer_of_another_log_is_not_ours(path: Path):
    with pytest.raises(LedgerMismatch, match="the signer is that of"):
        _ = RemoteSigner("other.example/log", UnixWay(path), 30.0).verifier_key
