"""`lienthong ledger checkpoint`, `watch` and `verify-export` over exports; no hub is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub.cli import checkpoints
from hub.cli.main import main
from hub.proof.checkpoint import open_checkpoint
from tests.support.logs import ORIGIN, GrownLog


@dataclass
class Ended:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Type = Callable[..., Ended]


@pytest.fixture
def type_(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    monkeypatch.delenv("LIENTHONG_PROFILE", raising=False)
    monkeypatch.setenv("LIENTHONG_LANG", "en")

    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        status = main(["ledger", *map(str, arguments)])
        said = capsys.readouterr()
        return Ended(status, said.out, said.err)

    return call


@pytest.fixture
def grown(tmp_path: Path) -> Iterator[GrownLog]:
    grown = GrownLog.new(tmp_path, 300)
    (tmp_path / "root.json").write_bytes(grown.trust.format())
    grown.export(tmp_path / "export")
    yield grown
    grown.database.close()


@pytest.fixture
def export(grown: GrownLog, tmp_path: Path) -> Path:
    return tmp_path / "export"


@pytest.fixture
def trust(grown: GrownLog, tmp_path: Path) -> tuple[str, Path]:
    return "--trust", tmp_path / "root.json"


def other_history(grown: GrownLog, folder: Path, *, common: int, size: int) -> None:
    """An export of what the log's own key signed too, with another event at `common`."""
    (folder / "forked").mkdir()
    fork = GrownLog.new(folder / "forked")
    if common:
        fork.grow(common)
    fork.randomness(1)
    fork.grow(size - common)
    fork.export(folder / "fork")
    fork.database.close()


# --- checkpoint ----------------------------------------------------------------------------


def test_the_checkpoint_of_an_export_is_shown_and_kept(
    type_: Type, grown: GrownLog, export: Path, trust: Any, tmp_path: Path
):
    shown = type_("checkpoint", export, *trust, "--out", tmp_path / "note")
    assert shown.status == 0, shown.err
    assert ORIGIN in shown.out
    assert "300" in shown.out
    note = (tmp_path / "note").read_bytes()
    key = grown.signer.verifier_key
    assert open_checkpoint(note, log_keys=[key], origin=ORIGIN).size == 300

    said = type_("checkpoint", export, *trust, "--json").json
    assert (said["origin"], said["size"]) == (ORIGIN, 300)
    assert said["checkpoint"].encode() == note


def test_a_checkpoint_nobody_vouches_for_is_refused(type_: Type, export: Path, trust: Any):
    note = (export / "checkpoint").read_bytes()
    (export / "checkpoint").write_bytes(note.replace(b"\n300\n", b"\n299\n"))
    ended = type_("checkpoint", export, *trust)
    assert ended.status == 1
    assert "VERIFICATION_FAILED" in ended.err


@pytest.mark.parametrize("command", [("checkpoint",), ("watch", "--state", "x", "--once")])
def test_without_a_log_and_without_a_profile_there_is_nothing_to_ask(type_: Type, command: Any):
    ended = type_(*command)
    assert ended.status == 2
    assert "name a log" in ended.err


def test_nobody_is_believed_without_a_trusted_root(type_: Type, export: Path):
    ended = type_("checkpoint", export)
    assert ended.status == 2
    assert "--trust" in ended.err


# --- watch ---------------------------------------------------------------------------------


def test_a_log_that_grows_is_followed(
    type_: Type, grown: GrownLog, export: Path, trust: Any, tmp_path: Path
):
    watch = ("watch", export, *trust, "--state", tmp_path / "state", "--once", "--json")
    assert type_(*watch).json["size"] == 300
    assert type_(*watch).json["size"] == 300
    grown.grow(400)
    grown.export(export)
    assert type_(*watch).json["size"] == 700


@pytest.mark.parametrize(("common", "size"), [(0, 300), (299, 300), (10, 500), (299, 301)])
def test_a_fork_is_said_aloud_and_kept_as_evidence(
    type_: Type,
    grown: GrownLog,
    export: Path,
    trust: Any,
    tmp_path: Path,
    common: int,
    size: int,
):
    state = tmp_path / "state"
    assert type_("watch", export, *trust, "--state", state, "--once").status == 0
    other_history(grown, tmp_path, common=common, size=size)

    for _ in range(2):  # It does not get used to it.
        ended = type_("watch", tmp_path / "fork", *trust, "--state", state, "--once")
        assert ended.status == 1
        assert "FORK_DETECTED" in ended.err
    (evidence,) = state.glob("contradiction-*.json")
    pair = json.loads(evidence.read_text())
    assert set(pair) == {"kept", "shown"}


def test_a_log_that_shrinks_is_said_aloud(
    type_: Type, grown: GrownLog, export: Path, trust: Any, tmp_path: Path
):
    shutil.copytree(export, tmp_path / "yesterday")
    grown.grow(1)
    grown.export(export)
    state = tmp_path / "state"
    assert type_("watch", export, *trust, "--state", state, "--once").status == 0

    ended = type_("watch", tmp_path / "yesterday", *trust, "--state", state, "--once")

    assert ended.status == 1
    assert "LOG_SHRANK" in ended.err
    assert len(list(state.glob("contradiction-*.json"))) == 1
    # What was seen stays the largest.
    assert type_("watch", export, *trust, "--state", state, "--once").status == 0


def test_a_file_that_is_missing_just_now_is_no_fork(
    type_: Type, grown: GrownLog, export: Path, trust: Any, tmp_path: Path
):
    state = tmp_path / "state"
    assert type_("watch", export, *trust, "--state", state, "--once").status == 0
    grown.grow(700)
    grown.export(export)
    (export / "tile/0/001").unlink()

    ended = type_("watch", export, *trust, "--state", state, "--once")

    assert ended.status == 1
    assert "LOG_UNREACHABLE" in ended.err
    assert list(state.glob("contradiction-*")) == []


def test_a_state_folder_belongs_to_one_log(type_: Type, export: Path, trust: Any, tmp_path: Path):
    state = tmp_path / "state"
    assert type_("watch", export, *trust, "--state", state, "--once").status == 0
    (tmp_path / "other").mkdir()
    other = GrownLog.new(tmp_path / "other", 10, origin="other.example/log")
    other.export(tmp_path / "other-export")
    (tmp_path / "other.json").write_bytes(other.trust.format())
    other.database.close()

    ended = type_(
        "watch", tmp_path / "other-export", "--trust", tmp_path / "other.json",
        "--state", state, "--once",
    )  # fmt: skip

    assert ended.status == 1
    assert "STATE_DAMAGED" in ended.err


def test_a_log_that_cannot_be_reached_is_tried_again(
    type_: Type,
    grown: GrownLog,
    export: Path,
    trust: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Three looks: the log is not there, is there, and is another."""
    other_history(grown, tmp_path, common=299, size=400)
    shutil.move(export, tmp_path / "away")

    def become_another() -> None:
        shutil.rmtree(export)
        shutil.move(tmp_path / "fork", export)

    looks = iter([lambda: shutil.move(tmp_path / "away", export), become_another])

    async def sleep(seconds: float) -> None:
        assert seconds == 5
        next(looks)()

    monkeypatch.setattr(checkpoints.asyncio, "sleep", sleep)
    ended = type_("watch", export, *trust, "--state", tmp_path / "state", "--every", "5", "--json")

    assert ended.status == 1
    assert json.loads(ended.out)["size"] == 300
    assert ended.err.index("LOG_UNREACHABLE") < ended.err.index("FORK_DETECTED")


# --- verify-export -------------------------------------------------------------------------


def test_a_sound_export_agrees(type_: Type, export: Path, trust: Any):
    ended = type_("verify-export", export, *trust)
    assert (ended.status, ended.out) == (0, "Everything agrees: 300 events.\n")
    assert type_("verify-export", export, *trust, "--json").json == {"events": 300, "findings": []}


def test_what_differs_in_an_export_is_named(type_: Type, export: Path, trust: Any):
    bundle = export / "tile/entries/001.p/44"
    data = bytearray(bundle.read_bytes())
    data[-1] ^= 1
    bundle.write_bytes(data)

    ended = type_("verify-export", export, *trust)
    assert ended.status == 1
    assert "Entry 299 was changed" in ended.out
    (finding,) = type_("verify-export", export, *trust, "--json").json["findings"]
    assert finding["position"] == 299


def test_every_file_of_an_export_counts(type_: Type, export: Path, trust: Any):
    for path in [path for path in export.rglob("*") if path.is_file()]:
        good = path.read_bytes()
        path.write_bytes(good[:-1])
        assert type_("verify-export", export, *trust).status == 1, path
        path.unlink()
        assert type_("verify-export", export, *trust).status == 1, path
        path.write_bytes(good)
    assert type_("verify-export", export, *trust).status == 0


def test_an_export_of_a_rewritten_history_is_refused_by_nothing_but_a_kept_receipt(
    type_: Type, grown: GrownLog, trust: Any, tmp_path: Path
):
    """Whoever holds database, key and memory can make a whole other log; a receipt remembers."""
    (tmp_path / "receipts").mkdir()
    grown.write_receipts(tmp_path / "receipts", 7)
    other_history(grown, tmp_path, common=5, size=300)
    assert type_("verify-export", tmp_path / "fork", *trust).status == 0

    from hub.cli.log_source import reading
    from hub.proof.receipt import parse_tlog_proof
    from hub.proof.tiles import open_log

    kept = parse_tlog_proof((tmp_path / "receipts/7.tlog-proof").read_bytes())
    old = grown.trust.open_checkpoint(kept.checkpoint).checkpoint
    with reading(str(tmp_path / "fork")) as read:
        assert open_log(read, grown.trust).root(old.size) != old.root
    with reading(str(tmp_path / "export")) as read:
        assert open_log(read, grown.trust).root(old.size) == old.root
