"""The auditor's tool: what it prints, and the status it ends with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub.proof.__main__ import main
from hub.proof.evidence import RECEIPT_FILE_BYTES_MAX, ReceiptFile
from tests.unit.proof.building import Case, Signer, golden_files, plain_log, trusted_root

GOLDEN = golden_files()
PROVEN, NOT_CHECKED = GOLDEN["fact.receipt.json"], GOLDEN["enrolled.receipt.json"]
REFUTED = ReceiptFile(plain_log().receipt(3, Signer("stranger.example", "s"))).format()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "root.json").write_bytes(trusted_root().format())
    return tmp_path


@pytest.fixture
def run(folder, capsys):
    """Run the tool on these contents, or on these paths, and return (status, output)."""

    def run_tool(*files, options=()):
        paths = []
        for number, file in enumerate(files):
            path = file
            if isinstance(file, bytes):
                path = folder / f"{number}.receipt.json"
                path.write_bytes(file)
            paths.append(str(path))
        status = main(["--trust", str(folder / "root.json"), *options, *paths])
        return status, capsys.readouterr().out

    return run_tool


def test_status_0_means_all_proven(run):
    status, output = run(PROVEN, GOLDEN["statement.receipt.json"])
    assert status == 0
    assert "STATED" in output


def test_status_2_means_something_was_not_checked(run):
    status, output = run(PROVEN, NOT_CHECKED)
    assert status == 2
    assert "NOT CHECKED" in output


def test_status_1_means_something_is_refuted_whatever_else_there_is(run):
    assert run(PROVEN, REFUTED, NOT_CHECKED)[0] == 1
    assert run(NOT_CHECKED, b"junk")[0] == 1


def test_each_file_is_named_and_each_finding_has_a_numbered_line(run, folder):
    _, output = run(NOT_CHECKED)
    lines = output.splitlines()
    assert lines[0] == str(folder / "0.receipt.json")
    assert [line.split()[0] for line in lines[1:]] == [f"{step}." for step in range(1, 11)]
    assert lines[1] == "  1. PROVEN       The file is a well-formed receipt file."
    assert lines[8].startswith("  8. NOT CHECKED  The certificate's chain")


def test_json_holds_the_same_findings(run, folder):
    status, output = run(PROVEN, REFUTED, options=["--json"])
    report = json.loads(output)
    assert status == 1
    assert report["verdict"] == "refuted"
    assert [file["verdict"] for file in report["files"]] == ["proven", "refuted"]
    assert report["files"][0]["file"] == str(folder / "0.receipt.json")
    assert report["files"][0]["findings"][3].keys() == {"step", "verdict", "text"}
    assert report["files"][0]["findings"][3]["verdict"] == "stated"


def test_json_of_the_milder_kind(run):
    assert json.loads(run(PROVEN, options=["--json"])[1])["verdict"] == "proven"
    assert json.loads(run(NOT_CHECKED, options=["--json"])[1])["verdict"] == "not checked"


def test_a_folder_means_every_receipt_file_below_it(run, folder):
    below = folder / "receipts" / "2026" / "11"
    below.mkdir(parents=True)
    (below / "b.receipt.json").write_bytes(PROVEN)
    (below.parent / "a.receipt.json").write_bytes(PROVEN)
    (below / "notes.txt").write_text("not a receipt")
    status, output = run(folder / "receipts")
    assert status == 0
    assert [line for line in output.splitlines() if not line.startswith(" ")] == [
        str(below.parent / "a.receipt.json"),
        str(below / "b.receipt.json"),
    ]
    (below / "c.receipt.json").write_bytes(REFUTED)
    assert run(folder / "receipts")[0] == 1


def test_a_folder_without_receipts_is_not_all_proven(run, folder):
    (folder / "empty").mkdir()
    status, output = run(PROVEN, folder / "empty")
    assert status == 1
    assert "there is no *.receipt.json" in output


def test_a_ring_of_links_ends(run, folder):
    ring = folder / "ring"
    ring.mkdir()
    (ring / "a.receipt.json").write_bytes(PROVEN)
    (ring / "again").symlink_to(ring)
    assert run(ring)[0] == 0


def test_what_cannot_be_read_is_refuted_by_name(run, folder):
    status, output = run(folder / "missing.receipt.json")
    assert status == 1
    assert "missing.receipt.json" in output
    assert "No such file" in output


def test_a_pipe_is_not_waited_for(run, folder):
    os.mkfifo(folder / "pipe")
    status, output = run(folder / "pipe")
    assert status == 1
    assert "not a regular file" in output


def test_a_file_beyond_the_limit_is_not_read_whole(run, folder):
    large = folder / "large.receipt.json"
    with large.open("wb") as file:
        file.truncate(RECEIPT_FILE_BYTES_MAX * 1000)  # A hole: it takes no room on the disk.
    status, output = run(large)
    assert status == 1
    assert "larger" in output


def test_a_file_name_cannot_rewrite_the_verdict_on_a_terminal(run, folder):
    path = folder / "x\x1b[2J\nProven.receipt.json"
    path.write_bytes(REFUTED)
    _, output = run(path)
    assert "\x1b" not in output
    assert "\nProven" not in output


def test_a_vietnamese_file_name_is_shown_as_it_is(run, folder):
    path = folder / "công văn số 1.receipt.json"
    path.write_bytes(PROVEN)
    assert str(path) in run(path)[1]


@pytest.mark.parametrize("root", [None, b"", b"{}", b"x" * (2 << 20)], ids=range(4))
def test_an_unusable_trusted_root_proves_nothing(folder, capsys, root):
    path = folder / "root.json"
    path.unlink()
    if root is not None:
        path.write_bytes(root)
    (folder / "a.receipt.json").write_bytes(PROVEN)
    assert main(["--trust", str(path), str(folder / "a.receipt.json")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "trusted root cannot be used" in captured.err


@pytest.mark.parametrize("arguments", [[], ["file"], ["--trust", "x"], ["--unknown"]])
def test_a_wrong_command_line_never_passes_for_not_checked(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 1
    assert "usage:" in capsys.readouterr().err


def test_help_explains_the_status(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "Exit status" in capsys.readouterr().out


def test_it_runs_as_a_module(folder):
    (folder / "a.receipt.json").write_bytes(Case().file().format())
    command = [sys.executable, "-m", "hub.proof", "--trust", "root.json", "a.receipt.json"]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(root), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout.startswith(b"a.receipt.json\n  1. PROVEN")
    assert done.stderr == b""
