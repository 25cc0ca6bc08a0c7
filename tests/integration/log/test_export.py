"""An export is the whole log or the beginning of one, and never another."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.memory.export import MemoryLogFolder
from adapters.memory.faults import Fault
from adapters.storage.export import ExportFolder
from hub.errors import ExportRefused, LedgerMismatch
from hub.ledger.export import export_log
from hub.proof.leaf import parse_leaf
from hub.proof.merkle import leaf_hash
from hub.proof.tiles import check_log, open_log
from tests.support.logs import GrownLog, tree_of


@pytest.fixture
def grown(tmp_path: Path) -> Iterator[GrownLog]:
    grown = GrownLog.new(tmp_path, 300)
    yield grown
    grown.database.close()


def checked(grown: GrownLog, folder: Path) -> int:
    """How many entries an auditor reads from a folder, all of them proven."""

    def read(path: str, bytes_max: int) -> bytes | None:
        try:
            return (folder / path).read_bytes()
        except FileNotFoundError:
            return None

    log = open_log(read, grown.trust)
    assert list(check_log(log)) == []
    for position, leaf in log.entries():
        assert grown.log.entries(position, 1)[0].state == leaf
        parse_leaf(leaf)
    return log.size


def tamper(grown: GrownLog, statement: str, *values: Any) -> None:
    """Behind the triggers' back."""
    with closing(sqlite3.connect(grown.database.path)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        kept = triggers.fetchall()
        for name, _sql in kept:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement, values)
        for _name, sql in kept:
            connection.execute(sql)
        connection.commit()


def another_log(tmp_path: Path, size: int, **changes: Any) -> GrownLog:
    folder = tmp_path / "another"
    folder.mkdir()
    another = GrownLog.new(folder, **changes)
    another.randomness(1)  # From here on its events are others.
    another.grow(size)
    return another


def test_an_export_is_a_log_that_anyone_can_check(grown: GrownLog, tmp_path: Path):
    exported = grown.export(tmp_path / "export")

    assert exported.checkpoint.size == 300 == checked(grown, tmp_path / "export")
    assert sorted(tree_of(tmp_path / "export")) == [
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/44",
    ]


def test_the_checkpoint_is_the_published_one_byte_for_byte(grown: GrownLog, tmp_path: Path):
    grown.export(tmp_path / "export")

    newest = grown.store.latest_checkpoint()
    assert newest == (300, (tmp_path / "export/checkpoint").read_bytes())


def test_an_export_that_is_repeated_changes_nothing(grown: GrownLog, tmp_path: Path):
    first = grown.export(tmp_path / "export")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "export").rglob("*")}

    second = grown.export(tmp_path / "export")

    assert (first.written, first.found) == (5, 0)
    assert (second.written, second.found) == (0, 5)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "export").rglob("*")} == times


def test_an_export_goes_on_when_the_log_has_grown(grown: GrownLog, tmp_path: Path):
    grown.export(tmp_path / "export")
    grown.grow(10)
    grown.export(tmp_path / "export")
    # A reader that holds the older checkpoint still finds its partial tiles.
    assert (tmp_path / "export/tile/0/001.p/44").exists()
    assert checked(grown, tmp_path / "export") == 310

    grown.grow(390)
    exported = grown.export(tmp_path / "export")

    assert exported.checkpoint.size == 700 == checked(grown, tmp_path / "export")
    # Filled, and gone.
    assert not (tmp_path / "export/tile/0/001.p").exists()
    assert not (tmp_path / "export/tile/entries/001.p").exists()
    grown.export(tmp_path / "fresh")
    old_edges = {"tile/1/000.p/1": b""}
    assert (
        tree_of(tmp_path / "export").keys() - tree_of(tmp_path / "fresh").keys() == old_edges.keys()
    )


class BreaksAt:
    """A folder whose n-th call of a method fails."""

    def __init__(self, call: str, fault: Fault, nth: int) -> None:
        self._folder = MemoryLogFolder()
        self._at, self._fault = (call, nth), fault
        self._calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self._calls[name] += 1
        if (name, self._calls[name]) == self._at:
            self._folder.faults.break_next(name, self._fault)
        return getattr(self._folder, name)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.KEPT])
@pytest.mark.parametrize(("call", "calls"), [("put", 9), ("commit", 1), ("drop_partial", 6)])
def test_an_export_broken_off_at_any_write_goes_on(
    grown: GrownLog, fault: Fault, call: str, calls: int
):
    whole = MemoryLogFolder()
    grown.grow(500)
    export_log(grown.log, grown.store, grown.trust, whole)
    for nth in range(1, calls + 1):
        folder: Any = BreaksAt(call, fault, nth)
        with pytest.raises(OSError, match="on purpose"):
            export_log(grown.log, grown.store, grown.trust, folder)
        export_log(grown.log, grown.store, grown.trust, folder)
        assert (folder.files, folder.note) == (whole.files, whole.note)


def test_a_folder_whose_export_was_killed_anywhere_is_finished_to_the_same_bytes(
    grown: GrownLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    grown.export(tmp_path / "whole")
    whole = tree_of(tmp_path / "whole")
    calls = {"open": 0, "replace": 0}

    class Killed(BaseException):
        pass

    def dying(name: str, original: Any, nth: int, *, before: bool) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            if calls[name] == nth and before:
                raise Killed
            result = original(*arguments, **options)
            if calls[name] == nth:
                raise Killed
            return result

        return call

    for nth in range(1, 7):
        for before in (True, False):
            folder = tmp_path / f"killed-{nth}-{before}"
            calls["replace"] = 0
            with monkeypatch.context() as patch:
                patch.setattr(Path, "replace", dying("replace", Path.replace, nth, before=before))
                with pytest.raises(Killed):
                    grown.export(folder)
            grown.export(folder)
            assert tree_of(folder) == whole


def test_no_checkpoint_is_written_before_everything_below_it(grown: GrownLog):
    folder: Any = BreaksAt("put", Fault.LOST, 5)
    with pytest.raises(OSError, match="put"):
        export_log(grown.log, grown.store, grown.trust, folder)
    assert folder.note is None


def test_each_file_and_each_folder_is_synced_before_the_checkpoint(
    grown: GrownLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    synced: list[str] = []
    original = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        original(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    grown.export(tmp_path / "export")
    export = str((tmp_path / "export").resolve())

    # The five files, each under the one temporary name; the folders; then the checkpoint.
    assert synced[:5] == [f"{export}/.new"] * 5
    last = len(synced) - 1 - synced[::-1].index(f"{export}/.new")
    folders = {path for path in synced[5:last] if path != f"{export}/.new"}
    everything = {str(path) for path in (tmp_path / "export").resolve().rglob("*") if path.is_dir()}
    assert everything | {export} <= folders
    assert synced[last + 1 :] == [export, str(tmp_path.resolve())]


@pytest.mark.parametrize("position", [0, 5, 255, 256, 299])
def test_a_changed_event_is_named_and_its_log_not_exported(
    grown: GrownLog, tmp_path: Path, position: int
):
    state = grown.log.entries(position, 1)[0].state
    tamper(
        grown,
        "UPDATE events SET state = ? WHERE position = ?",
        state.replace(b"TOO_LARGE", b"TOO_SMALL"),
        position,
    )
    with pytest.raises(LedgerMismatch) as mismatch:
        grown.export(tmp_path / "export")
    assert mismatch.value.position == position
    assert not (tmp_path / "export/checkpoint").exists()


def test_a_removed_event_is_named(grown: GrownLog, tmp_path: Path):
    tamper(grown, "DELETE FROM events WHERE position = 270")
    with pytest.raises(LedgerMismatch, match="event 270 is missing") as mismatch:
        grown.export(tmp_path / "export")
    assert mismatch.value.position == 270


def test_events_rewritten_with_their_tiles_do_not_have_the_signed_root(
    grown: GrownLog, tmp_path: Path
):
    state = grown.log.entries(5, 1)[0].state.replace(b"TOO_LARGE", b"TOO_SMALL")
    tamper(grown, "UPDATE events SET state = ? WHERE position = 5", state)
    tile = bytearray(grown.store.tile(0, 0))
    tile[5 * 32 : 6 * 32] = leaf_hash(state)
    tamper(grown, "UPDATE tiles SET data = ? WHERE level = 0 AND number = 0", bytes(tile))
    with pytest.raises(LedgerMismatch, match="tile 1/0 differs"):
        grown.export(tmp_path / "export")

    from hub.proof.tree import tile_root

    tamper(grown, "UPDATE tiles SET data = ? WHERE level = 1", tile_root(bytes(tile)))
    with pytest.raises(LedgerMismatch, match="not with the signed root"):
        grown.export(tmp_path / "export")
    assert not (tmp_path / "export/checkpoint").exists()


@pytest.mark.parametrize("level", [0, 1])
def test_a_missing_tile_is_named(grown: GrownLog, tmp_path: Path, level: int):
    grown.export(tmp_path / "export")
    grown.grow(10)
    tamper(grown, "DELETE FROM tiles WHERE level = ? AND number = 0", level)
    for folder in ("export", "fresh"):
        with pytest.raises(LedgerMismatch):
            grown.export(tmp_path / folder)


def test_the_checkpoint_of_another_key_is_not_exported(grown: GrownLog, tmp_path: Path):
    tamper(grown, "UPDATE checkpoints SET note = CAST(replace(note, '300', '301') AS BLOB)")
    with pytest.raises(LedgerMismatch, match="newest checkpoint is not ours"):
        grown.export(tmp_path / "export")


# --- Folders that hold something else -----------------------------------------------------


def refused(grown: GrownLog, folder: Path) -> str:
    """The refusal, after which the folder is as it was."""
    before = tree_of(folder)
    with pytest.raises(ExportRefused) as refusal:
        grown.export(folder)
    assert tree_of(folder) == before
    return str(refusal.value)


def test_the_folder_of_another_log_is_refused(grown: GrownLog, tmp_path: Path):
    another_log(tmp_path, 10, origin="other.example/log").export(tmp_path / "export")
    assert "not of this log" in refused(grown, tmp_path / "export")


def test_a_folder_that_holds_more_than_the_hub_is_refused(grown: GrownLog, tmp_path: Path):
    shutil.copy(grown.database.path, tmp_path / "yesterday.db")
    grown.grow(1)
    grown.export(tmp_path / "export")
    tamper(grown, "DELETE FROM checkpoints WHERE size = 301")
    assert "the first that the hub has lost is 300" in refused(grown, tmp_path / "export")


@pytest.mark.parametrize("size", [100, 257, 300])
def test_another_history_is_refused_and_the_first_difference_named(
    grown: GrownLog, tmp_path: Path, size: int
):
    """Both signed by the log's own key: what a hub that began anew would like to forget."""
    another_log(tmp_path, size).export(tmp_path / "export")
    assert "event 0 in the folder is not the hub's" in refused(grown, tmp_path / "export")


def test_two_histories_that_part_later_are_named_where_they_part(tmp_path: Path):
    (tmp_path / "one").mkdir()
    one = GrownLog.new(tmp_path / "one", 280)
    one.database.close()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    from adapters.storage.engine import Database

    two = GrownLog(Database(f"sqlite:///{tmp_path}/two/log.db"), one.randomness, one.signer)
    signed = one.signer._last
    two.grow(20)
    one.signer._last = signed
    one.randomness(1)
    one.grow(20)
    two.export(tmp_path / "export")

    assert "event 280 in the folder is not the hub's" in refused(one, tmp_path / "export")


def test_a_damaged_file_of_an_export_is_named(grown: GrownLog, tmp_path: Path):
    grown.export(tmp_path / "export")
    whole = tree_of(tmp_path / "export")
    for name, words in {
        "tile/entries/001.p/44": "event 278 in the folder",
        "tile/0/001.p/44": "event 278 in the folder",
        "tile/1/000.p/1": "tile/1/000.p/1 is not what",
    }.items():
        data = bytearray(whole[name])
        data[len(data) // 2 + 10] ^= 1
        (tmp_path / "export" / name).write_bytes(data)
        assert words in refused(grown, tmp_path / "export")
        (tmp_path / "export" / name).write_bytes(whole[name])
    for name in ("tile/entries/000", "tile/0/000"):
        for data in (whole[name][:-1], whole[name] + b"x"):
            (tmp_path / "export" / name).write_bytes(data)
            assert f"{name} is not what" in refused(grown, tmp_path / "export")
        (tmp_path / "export" / name).write_bytes(whole[name])


def test_a_folder_with_other_things_is_refused(grown: GrownLog, tmp_path: Path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export/letter.txt").write_text("dear")
    assert "other things" in refused(grown, tmp_path / "export")


def test_two_exports_do_not_write_to_one_folder(grown: GrownLog, tmp_path: Path):
    with ExportFolder.open(tmp_path / "export"), pytest.raises(ExportRefused, match="another"):
        grown.export(tmp_path / "export")


def test_a_checkpoint_that_nobody_signed_is_refused(grown: GrownLog, tmp_path: Path):
    grown.export(tmp_path / "export")
    (tmp_path / "export/checkpoint").write_bytes(b"not a note")
    assert "not of this log" in refused(grown, tmp_path / "export")


def test_only_a_tiles_worth_of_events_is_read_at_once(grown: GrownLog):
    limits: list[int] = []

    class Watched:
        def entries(self, start: int, limit: int) -> Any:
            limits.append(limit)
            return grown.log.entries(start, limit)

    watched: Any = Watched()
    export_log(watched, grown.store, grown.trust, MemoryLogFolder())
    assert max(limits) == 256


def test_an_empty_log_has_nothing_to_export(tmp_path: Path):
    with pytest.raises(LedgerMismatch, match="no checkpoint"):
        GrownLog.new(tmp_path).export(tmp_path / "export")


def test_the_trusted_root_of_another_log_exports_nothing(grown: GrownLog, tmp_path: Path):
    another = another_log(tmp_path, 1, origin="other.example/log")
    with pytest.raises(LedgerMismatch, match="not ours"):
        export_log(grown.log, grown.store, another.trust, MemoryLogFolder())
