"""However many processes examine a folder, they find the same, in the same order."""

from __future__ import annotations

import json
from functools import partial

import pytest

from hub.proof import processes as module
from hub.proof.__main__ import main
from hub.proof.evidence import ReceiptFile
from hub.proof.findings import Findings, Verdict
from hub.proof.folders import examine_files, files_in
from hub.proof.processes import checks_of, examine_by
from hub.proof.together import Together
from tests.unit.proof.building import plain_log, trusted_root
from tests.unit.proof.test_together import rewritten

LEDGER = plain_log(40)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """More stretches than are under way at once, and in them everything that can be wrong."""
    monkeypatch.setattr(module, "_STRETCH", 3)
    receipts = [LEDGER.receipt(position, size=position + 2) for position in range(38)]
    receipts[11] = LEDGER.receipt(3, size=30)
    receipts[20] = rewritten(5).receipt(20, size=40)  # Shows another tree of size 20.
    receipts[30] = rewritten(7).receipt(29, size=31)
    for number, receipt in enumerate(receipts):
        (tmp_path / f"{number:04}.receipt.json").write_bytes(ReceiptFile(receipt).format())
    damaged = tmp_path / "0015.receipt.json"
    damaged.write_bytes(damaged.read_bytes().replace(b'"leaf"', b'"laef"'))
    (tmp_path / "empty").mkdir()
    return tmp_path


def found_by(count, folder) -> tuple[list[tuple[str, Findings]], Findings | None]:
    together = Together()
    opening = partial(checks_of, trusted_root(), None, None)
    files = files_in([folder, folder / "empty", folder / "missing.receipt.json"])
    with opening(together) as checks:
        report = list(examine_by(count, files, checks, opening))
    return [(str(path), findings) for path, findings in report], together.findings()


def test_several_find_what_one_finds(folder):
    one = found_by(1, folder)
    assert found_by(2, folder) == one
    refuted = {path[-17:-13]: each for path, each in one[0] if each.verdict is Verdict.REFUTED}
    assert {"0015", "0020", "0030"} <= refuted.keys()
    assert "two histories" in refuted["0020"].items[-1].text, "refuted where files meet"
    with checks_of(trusted_root(), None, None, Together()) as checks:
        alone = list(examine_files(files_in([folder]), checks))
    assert one[0][: len(alone)] == [(str(path), findings) for path, findings in alone]


def test_the_command_writes_the_same_bytes(folder, tmp_path_factory, capsys):
    root = tmp_path_factory.mktemp("trust") / "trusted_root.json"
    root.write_bytes(trusted_root().format())
    arguments = ["--trust", str(root), "--json", str(folder)]
    written = []
    for more in ([], ["--processes", "2"]):
        assert main([*more, *arguments]) == 1
        written.append(capsys.readouterr().out)
    assert written[0] == written[1]
    assert json.loads(written[0])["verdict"] == "refuted"


@pytest.mark.parametrize("count", ["0", "65", "-1", "two"])
def test_a_number_of_processes_that_makes_no_sense_is_a_wrong_command(count, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--processes", count, "--trust", "root", "folder"])
    assert ended.value.code == 1
    assert "from 1 to 64" in capsys.readouterr().err
