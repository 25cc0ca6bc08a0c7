"""What a witness cosigns, and all that it does not."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapters.memory.determinism import FixedClock
from hub.errors import VerificationFailed
from hub.proof.note import KeyType, VerifierKey
from hub.proof.witnessing import ADD_CHECKPOINT_BYTES_MAX, cosignature_in
from hub.witness import state as state_module
from hub.witness.state import WitnessState, WitnessStateError, open_state
from hub.witness.witness import Witness
from tests.support.witnesses import asking, forked_log
from tests.unit.proof.building import LOG, NEXT_LOG, ORIGIN, Signer, SmallLog, plain_log

NAME = "witness.example/w1"
LEDGER = plain_log(60)
OTHER_ORIGIN = "other.example/log"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    WitnessState.create(tmp_path / "witness", NAME)
    return tmp_path / "witness"


@pytest.fixture
def state(folder: Path):
    with open_state(folder) as opened:
        yield opened


@pytest.fixture
def witness(state: WitnessState) -> Witness:
    return Witness(state, [LOG.key], FixedClock())


def ask(witness: Witness, *arguments, log: SmallLog = LEDGER, **options):
    return witness.add_checkpoint(asking(log, *arguments, **options).format())


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- What it cosigns ---------------------------------------------------------------------


def test_a_log_that_grows_is_cosigned_step_by_step(witness: Witness, state: WitnessState):
    for old, new in [(0, 1), (1, 2), (2, 7), (7, 7), (7, 8), (8, 60)]:
        answer = ask(witness, old, new)
        assert answer.status == 200
        note = LEDGER.signed_checkpoint(LOG, size=new)
        line = cosignature_in(answer.body, note, state.verifier_key)
        assert int.from_bytes(line.signature[:8], "big") == int(FixedClock()().timestamp())
        assert state.last(ORIGIN, [LOG.key]) == LEDGER.checkpoint(new)


def test_the_empty_tree_is_a_beginning(witness: Witness):
    assert ask(witness, 0, 0).status == 200
    assert ask(witness, 0, 5).status == 200


def test_it_is_on_disk_before_it_is_answered(
    witness: Witness, state: WitnessState, monkeypatch: pytest.MonkeyPatch
):
    order: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note(name: str, call):
        def noted(*arguments):
            order.append(name)
            return call(*arguments)

        return noted

    monkeypatch.setattr(os, "fsync", note("sync", fsync))
    monkeypatch.setattr(os, "rename", note("rename", rename))
    cosigned = witness._cosigned
    monkeypatch.setattr(witness, "_cosigned", note("sign", cosigned))

    ask(witness, 0, 5)

    assert order == ["sync", "rename", "sync", "sign"]


def test_a_witness_remembers_over_a_restart(folder: Path):
    with open_state(folder) as opened:
        assert ask(Witness(opened, [LOG.key], FixedClock()), 0, 9).status == 200
    with open_state(folder) as opened:
        again = Witness(opened, [LOG.key], FixedClock())
        assert ask(again, 0, 9).body == b"9\n"
        assert ask(again, 9, 12).status == 200


def test_each_log_is_watched_by_itself(state: WitnessState):
    other = SmallLog(plain_log(9).entries, OTHER_ORIGIN)
    other_key = Signer(OTHER_ORIGIN, "other log")
    witness = Witness(state, [LOG.key, other_key.key], FixedClock())
    assert ask(witness, 0, 5).status == 200
    assert ask(witness, 0, 9, other_key, log=other).status == 200
    assert ask(witness, 5, 6).status == 200
    # One log's key says nothing for another.
    assert ask(witness, 9, 9, Signer(OTHER_ORIGIN, LOG.seed), log=other).status == 403


def test_a_log_may_change_its_key(state: WitnessState):
    witness = Witness(state, [LOG.key, NEXT_LOG.key], FixedClock())
    assert ask(witness, 0, 5, LOG).status == 200
    assert ask(witness, 5, 6, LOG, NEXT_LOG).status == 200
    assert ask(witness, 6, 7, NEXT_LOG).status == 200


# --- What it does not --------------------------------------------------------------------


def test_another_old_size_gets_the_one_it_knows(witness: Witness):
    assert ask(witness, 0, 9).status == 200
    for old, new in [(0, 9), (0, 12), (5, 9), (8, 12), (10, 12)]:
        answer = ask(witness, old, new)
        assert (answer.status, answer.body, answer.media_type) == (409, b"9\n", "text/x.tlog.size")


def test_a_log_that_was_rolled_back_gets_the_size_it_had(witness: Witness):
    assert ask(witness, 0, 9).status == 200
    assert ask(witness, 0, 5).body == b"9\n"
    assert ask(witness, 5, 5).body == b"9\n"
    # And claiming to go on from there does not make a smaller tree larger.
    assert ask(witness, 9, 5).status == 400


@pytest.mark.parametrize("size", [9, 10, 60])
def test_a_rewritten_history_is_not_cosigned(witness: Witness, folder: Path, size: int):
    assert ask(witness, 0, 9).status == 200
    before = files(folder)

    answer = ask(witness, 9, size, log=forked_log(60, at=5))

    assert answer.status == (409 if size == 9 else 422)
    assert answer.media_type.startswith("text/plain")
    assert ORIGIN in answer.alarm
    after = files(folder)
    assert {name: after[name] for name in before} == before
    kept = {name: data for name, data in after.items() if name not in before}
    # Two trees of one size, both signed, prove by themselves what the log did.
    forked = forked_log(60, at=5).signed_checkpoint(LOG, size=9)
    assert list(kept.values()) == ([forked] if size == 9 else [])
    # The true history goes on.
    assert ask(witness, 9, 12).status == 200


@pytest.mark.parametrize("proof", [[], [bytes(32)], [bytes(32)] * 63])
def test_a_proof_that_does_not_hold_is_refused(witness: Witness, proof):
    assert ask(witness, 0, 9).status == 200
    request = asking(LEDGER, 9, 12)
    bent = type(request)(9, tuple(proof), request.checkpoint)
    assert witness.add_checkpoint(bent.format()).status == 422


@pytest.mark.parametrize(("old", "new"), [(0, 9), (9, 9)])
def test_a_proof_where_none_is_needed_is_refused(witness: Witness, old: int, new: int):
    if old:
        assert ask(witness, 0, 9).status == 200
    assert ask(witness, old, new, proof=[bytes(32)]).status == 422


def test_an_unknown_log_is_not_found(witness: Witness):
    other = SmallLog(LEDGER.entries, OTHER_ORIGIN)
    assert ask(witness, 0, 5, Signer(OTHER_ORIGIN, "x"), log=other).status == 404


def test_a_checkpoint_the_log_did_not_sign_is_forbidden(witness: Witness, folder: Path):
    before = files(folder)
    stranger = Signer("stranger.example", "stranger")
    forged = Signer(ORIGIN, "forged")
    cosigner = Signer(ORIGIN, LOG.seed, KeyType.COSIGNATURE)
    for signer in (stranger, forged, cosigner):
        assert ask(witness, 0, 5, signer).status == 403
    note = LEDGER.signed_checkpoint(LOG, size=5).replace(b"\n5\n", b"\n6\n")
    assert witness.add_checkpoint(b"old 0\n\n" + note).status == 403
    assert files(folder) == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"junk",
        b"old 0\n\njunk",
        b"old 0\n\n" + LEDGER.checkpoint(5).body,
        b"old 0\n\n" + LEDGER.signed_checkpoint(LOG, size=5)[:-1],
        b"old 0\n\n" + LEDGER.signed_checkpoint(LOG, size=5).replace(b"\n5\n", b"\n05\n"),
        b"old 0\n\n" + LEDGER.signed_checkpoint(LOG, size=5).replace(b"\n5\n", b"\n5\nmore\n"),
        b"old x\n\n" + LEDGER.signed_checkpoint(LOG, size=5),
        b"old 0\n\n" + LEDGER.signed_checkpoint(LOG, size=5) * 1000,
        b"x" * (ADD_CHECKPOINT_BYTES_MAX + 1),
    ],
    ids=range(10),
)
def test_what_cannot_be_read_is_a_bad_request(witness: Witness, folder: Path, body: bytes):
    before = files(folder)
    assert witness.add_checkpoint(body).status == 400
    assert files(folder) == before


def test_nothing_grows_however_often_it_is_asked(witness: Witness, folder: Path):
    for size in range(1, 60):
        ask(witness, size - 1, size)
        ask(witness, size, size, log=forked_log(60, at=0))
    assert len(files(folder)) == 5  # key, public key, lock, checkpoint, contradiction


# --- Two at once, and a disk that fails --------------------------------------------------


def test_of_two_requests_from_one_size_the_smaller_tree_never_wins(witness: Witness, state):
    assert ask(witness, 0, 1).status == 200
    for size in range(1, 58, 2):
        requests = [asking(LEDGER, size, size + step).format() for step in (1, 2)] * 4
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(witness.add_checkpoint, requests))
        statuses = [answer.status for answer in answers]
        # Whoever came first went on; the same again is told the size.
        assert statuses.count(200) == 1
        assert statuses.count(409) == 7
        last = state.last(ORIGIN, [LOG.key])
        if last.size == size + 1:
            assert ask(witness, size + 1, size + 2).status == 200


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_what_could_not_be_kept_is_not_cosigned(
    witness: Witness, state, monkeypatch: pytest.MonkeyPatch, call: str
):
    assert ask(witness, 0, 5).status == 200
    with monkeypatch.context() as broken:
        broken.setattr(os, call, _no_space)
        with pytest.raises(OSError, match="space"):
            ask(witness, 5, 9)
    assert state.last(ORIGIN, [LOG.key]) == LEDGER.checkpoint(5)
    assert ask(witness, 5, 9).status == 200


def test_what_was_kept_but_not_answered_is_gone_on_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    with open_state(folder) as opened, monkeypatch.context() as broken:
        broken.setattr(state_module, "_sync", _no_space)
        witness = Witness(opened, [LOG.key], FixedClock())
        with pytest.raises(OSError, match="space"):
            ask(witness, 0, 9)
    with open_state(folder) as opened:
        assert ask(Witness(opened, [LOG.key], FixedClock()), 0, 9).body == b"9\n"


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space left")


# --- Its folder --------------------------------------------------------------------------


def test_the_key_is_made_here_and_only_its_owner_reads_it(folder: Path):
    vkey = (folder / "vkey").read_text().strip()
    assert VerifierKey.parse(vkey).name == NAME
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    assert WitnessState.create(folder.parent / "second", NAME).format() != vkey


def test_a_witness_is_never_made_over_another(folder: Path):
    before = files(folder)
    with pytest.raises(WitnessStateError, match="not empty"):
        WitnessState.create(folder, NAME)
    assert files(folder) == before


@pytest.mark.parametrize("name", ["", "a b", "a+b"])
def test_a_name_that_no_line_carries_is_refused(tmp_path: Path, name: str):
    with pytest.raises(VerificationFailed):
        WitnessState.create(tmp_path / "witness", name)
    assert not (tmp_path / "witness").exists()


def test_two_processes_do_not_share_a_witness(folder: Path):
    second = open_state(folder)
    with open_state(folder), pytest.raises(WitnessStateError, match="another process"):
        second.__enter__()


def spoil_key(folder: Path) -> None:
    (folder / "key.pem").write_bytes(b"junk")


def expose_key(folder: Path) -> None:
    (folder / "key.pem").chmod(0o640)


def other_key(folder: Path) -> None:
    WitnessState.create(folder.parent / "other", NAME)
    (folder / "vkey").write_bytes((folder.parent / "other" / "vkey").read_bytes())


def no_key(folder: Path) -> None:
    (folder / "key.pem").unlink()


def spoil_vkey(folder: Path) -> None:
    (folder / "vkey").write_bytes(b"\xff")


@pytest.mark.parametrize("spoil", [spoil_key, expose_key, other_key, no_key, spoil_vkey])
def test_a_spoilt_folder_is_no_witness(folder: Path, spoil):
    spoil(folder)
    with pytest.raises(WitnessStateError), open_state(folder):
        pass


@pytest.mark.parametrize("content", [b"", b"junk", LEDGER.signed_checkpoint(NEXT_LOG, size=3)])
def test_a_witness_that_lost_its_memory_does_not_start(folder: Path, content: bytes):
    with open_state(folder) as opened:
        assert ask(Witness(opened, [LOG.key], FixedClock()), 0, 9).status == 200
        (path,) = folder.glob("*.checkpoint")
        path.write_bytes(content)
        with pytest.raises(WitnessStateError, match="does not hold a checkpoint"):
            Witness(opened, [LOG.key], FixedClock())
