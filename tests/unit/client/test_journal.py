"""What was signed is repeated byte for byte after every kind of crash, and nothing else is."""

from __future__ import annotations

import json
import os
import stat
import uuid

import pytest

from hub.client import journal as journal_module
from hub.client.drafting import AttachmentDraft
from hub.client.errors import JournalFull, StateDamaged, StateInUse
from hub.client.fake_log import FakeLog
from hub.client.journal import Answer, Journal, Refusal
from hub.client.memory import CheckpointMemory
from hub.client.state import StateDirectory, read_at_most, write_durably
from hub.errors import DigestMismatch
from hub.proof.dsse import SignedStatement

STATEMENT = SignedStatement("application/x", b'{"a":1}\n', "ab" * 32, b"\x00\xff")
ACCEPTED = Answer("exchange", b"leaf", b"proof")


def request_id(number: int = 1) -> str:
    return str(uuid.UUID(int=number))


@pytest.fixture
def state(tmp_path):
    with StateDirectory(tmp_path / "state", "hub H29.3") as state:
        yield state


def test_a_statement_is_pending_until_it_is_answered(state):
    journal = Journal(state)
    entry = journal.begin(request_id(), STATEMENT, [b"one", b""])
    assert journal.pending() == (entry,)
    assert journal.contents_of(entry) == [b"one", b""]
    journal.finish(request_id(), ACCEPTED)
    assert journal.pending() == ()
    assert list((state.path / "contents").iterdir()) == []


def test_the_same_bytes_are_pending_after_a_restart_in_the_order_they_were_signed(state):
    journal = Journal(state)
    for number in (3, 1, 2):
        journal.begin(request_id(number), STATEMENT, [b"content %d" % number])
    journal.finish(request_id(1), Refusal("KEY_UNKNOWN", "no such key"))

    reopened = Journal(state)

    assert [entry.request_id for entry in reopened.pending()] == [request_id(3), request_id(2)]
    assert reopened.pending()[0].statement == STATEMENT
    assert reopened.contents_of(reopened.pending()[1]) == [b"content 2"]


def test_a_line_torn_at_any_byte_is_as_if_it_had_never_been_begun(state):
    journal = Journal(state)
    first = journal.begin(request_id(1), STATEMENT)
    whole = (state.path / "journal").read_bytes()
    journal.begin(request_id(2), STATEMENT)
    both = (state.path / "journal").read_bytes()
    for length in range(len(whole), len(both)):
        (state.path / "journal").write_bytes(both[:length])
        assert Journal(state).pending() == (first,)


def test_a_last_line_of_zeros_is_dropped(state):
    journal = Journal(state)
    first = journal.begin(request_id(1), STATEMENT)
    with (state.path / "journal").open("ab") as file:
        file.write(bytes(4096))
    assert Journal(state).pending() == (first,)
    with (state.path / "journal").open("ab") as file:
        file.write(bytes(100) + b"\n")
    assert Journal(state).pending() == (first,)


def test_damage_before_the_last_line_is_not_passed_over(state):
    journal = Journal(state)
    for number in (1, 2):
        journal.begin(request_id(number), STATEMENT)
    data = bytearray((state.path / "journal").read_bytes())
    data[30] ^= 1
    (state.path / "journal").write_bytes(data)
    with pytest.raises(StateDamaged, match="line 1"):
        Journal(state)


def test_a_torn_answer_only_means_that_the_statement_is_repeated(state):
    journal = Journal(state)
    entry = journal.begin(request_id(), STATEMENT)
    journal.finish(request_id(), ACCEPTED)
    data = (state.path / "journal").read_bytes()
    (state.path / "journal").write_bytes(data[:-5])
    assert Journal(state).pending() == (entry,)


@pytest.mark.parametrize("kept", [False, True], ids=["lost", "kept"])
def test_after_a_failed_write_the_journal_refuses_until_it_is_read_again(state, monkeypatch, kept):
    journal = Journal(state)
    sync = os.fsync

    def failing_write(handle, data):
        if kept:
            write(handle, data)
        raise OSError("no space left")

    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing_write)
        with pytest.raises(OSError, match="no space"):
            journal.begin(request_id(1), STATEMENT)
    assert os.fsync is sync
    with pytest.raises(StateDamaged, match="open the client again"):
        journal.begin(request_id(2), STATEMENT)

    reopened = Journal(state)
    assert [entry.request_id for entry in reopened.pending()] == [request_id(1)] * kept
    reopened.begin(request_id(2), STATEMENT)


def test_nothing_is_written_when_the_content_cannot_be_kept(state, monkeypatch):
    journal = Journal(state)

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(journal_module, "write_durably", fail)
    with pytest.raises(OSError, match="no space"):
        journal.begin(request_id(), STATEMENT, [b"content"])
    assert journal.pending() == ()
    assert (state.path / "journal").read_bytes() == b""


def test_content_nobody_names_is_swept_at_the_start(state):
    Journal(state)
    (state.path / "contents" / f"{request_id()}.0").write_bytes(b"orphan")
    Journal(state)
    assert list((state.path / "contents").iterdir()) == []


def test_content_that_was_changed_is_never_sent(state):
    journal = Journal(state)
    entry = journal.begin(request_id(), STATEMENT, [b"content"])
    (state.path / "contents" / f"{request_id()}.0").write_bytes(b"another")
    with pytest.raises(StateDamaged, match="not the content that was signed"):
        journal.contents_of(entry)


def test_the_journal_is_bounded(state, monkeypatch):
    monkeypatch.setattr(journal_module, "PENDING_MAX", 2)
    journal = Journal(state)
    for number in (1, 2):
        journal.begin(request_id(number), STATEMENT)
    with pytest.raises(JournalFull):
        journal.begin(request_id(3), STATEMENT)
    monkeypatch.setattr(journal_module, "PENDING_MAX", 10)
    monkeypatch.setattr(journal_module, "PENDING_BYTES_MAX", 100)
    with pytest.raises(JournalFull):
        journal.begin(request_id(3), STATEMENT, [bytes(100)])


def test_answered_statements_do_not_pile_up(state):
    journal = Journal(state, compact_bytes=2000)
    waiting = journal.begin(request_id(999), STATEMENT)
    for number in range(1, 100):
        journal.begin(request_id(number), STATEMENT)
        journal.finish(request_id(number), ACCEPTED)
        assert (state.path / "journal").stat().st_size < 4000
    assert journal.pending() == (waiting,)
    assert Journal(state).pending() == (waiting,)


def test_a_request_id_becomes_a_file_name_only_if_it_is_a_uuid(state):
    with pytest.raises(StateDamaged):
        Journal(state).begin("../../etc/x", STATEMENT, [b"content"])


def test_a_request_is_begun_once_and_finished_at_most_once(state):
    journal = Journal(state)
    journal.begin(request_id(), STATEMENT)
    with pytest.raises(StateDamaged):
        journal.begin(request_id(), STATEMENT)
    journal.finish(request_id(), ACCEPTED)
    size = (state.path / "journal").stat().st_size
    journal.finish(request_id(), ACCEPTED)
    assert (state.path / "journal").stat().st_size == size


def test_only_the_owner_can_read_what_is_kept(state):
    journal = Journal(state)
    journal.begin(request_id(), STATEMENT, [b"content"])
    log = FakeLog("hub.test/log")
    CheckpointMemory(state.folder("checkpoints")).keep(*noted(log, 0))
    for path in [state.path, *state.path.rglob("*")]:
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_one_client_at_a_time_holds_a_state_directory(state):
    with pytest.raises(StateInUse):
        StateDirectory(state.path, "hub H29.3")
    state.close()
    StateDirectory(state.path, "hub H29.3").close()


def test_a_state_directory_belongs_to_one_identity(state):
    state.close()
    with pytest.raises(StateDamaged, match=r"belongs to hub H29\.3"):
        StateDirectory(state.path, "hub H29.4")
    StateDirectory(state.path, "hub H29.3").close()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_durably(path, b"old")

    def fail(*_):
        raise OSError("no")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_file_larger_than_anything_written_is_not_read(tmp_path):
    (tmp_path / "file").write_bytes(bytes(11))
    with pytest.raises(StateDamaged):
        read_at_most(tmp_path / "file", 10)
    assert read_at_most(tmp_path / "none", 10) is None


def noted(log, size):
    note = log.checkpoint(size)
    return log.origin, log.trusted_root().open_checkpoint(note).checkpoint, note


def test_a_damaged_checkpoint_is_not_taken_for_none(tmp_path):
    log = FakeLog("hub.test/log")
    memory = CheckpointMemory(tmp_path)
    assert memory.largest(log.origin) is None
    memory.keep(*noted(log, 0))
    [path] = tmp_path.iterdir()
    path.write_bytes(b"not a note")
    with pytest.raises(StateDamaged):
        CheckpointMemory(tmp_path).largest(log.origin)
    path.write_bytes(FakeLog("another/log").checkpoint())
    with pytest.raises(StateDamaged, match="another log"):
        CheckpointMemory(tmp_path).largest(log.origin)


def test_a_larger_checkpoint_is_never_given_up_for_a_smaller_one(tmp_path):
    log = FakeLog("hub.test/log")
    log.leaves = [b"0", b"1", b"2"]
    memory = CheckpointMemory(tmp_path)
    for size in (1, 3, 2):
        memory.keep(*noted(log, size))
    assert CheckpointMemory(tmp_path).largest(log.origin)[0].size == 3


def test_once_closed_nothing_is_written(state):
    log = FakeLog("hub.test/log")
    memory, journal = CheckpointMemory(state.folder("checkpoints")), Journal(state)
    memory.close()
    journal.close()
    memory.keep(*noted(log, 0))
    assert memory.largest(log.origin) is None
    with pytest.raises(StateDamaged, match="closed"):
        journal.begin(request_id(), STATEMENT)


# --- Large files --------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "bản đồ.bin"
    path.write_bytes(bytes(range(256)) * 20_000)
    return AttachmentDraft.from_file(path).content


def test_a_large_file_is_copied_and_outlives_the_users_own(state, large):
    entry = Journal(state).begin(request_id(), STATEMENT, [b"small", large, b"too"])
    content = large.path.read_bytes()
    large.path.unlink()

    reopened = Journal(state)

    assert reopened.pending() == (entry,)
    assert (entry.uploads, entry.contents_bytes) == ((1,), 8)
    assert reopened.contents_of(entry) == [b"small", b"too"]
    assert reopened.path_of(entry, 1).read_bytes() == content
    reopened.finish(request_id(), ACCEPTED)
    assert list((state.path / "contents").iterdir()) == []


def test_a_file_that_changed_since_it_was_hashed_is_not_written_down(state, large):
    large.path.write_bytes(large.path.read_bytes()[::-1])
    journal = Journal(state)

    with pytest.raises(DigestMismatch, match="changed"):
        journal.begin(request_id(), STATEMENT, [b"small", large])

    assert journal.pending() == Journal(state).pending() == ()
    assert list((state.path / "contents").iterdir()) == []


def test_large_files_do_not_fill_the_journal(state, large, monkeypatch):
    monkeypatch.setattr(journal_module, "PENDING_BYTES_MAX", 100)
    journal = Journal(state)
    journal.begin(request_id(1), STATEMENT, [large])
    with pytest.raises(JournalFull):
        journal.begin(request_id(2), STATEMENT, [bytes(100)])


def test_a_journal_from_before_uploads_is_read(state):
    entry = Journal(state).begin(request_id(), STATEMENT, [b"one"])
    path = state.path / "journal"
    record = json.loads(path.read_bytes().split(b" ", 1)[1])
    del record["uploads"]
    path.write_bytes(journal_module._line(record))

    assert Journal(state).pending() == (entry,)
