"""`lienthong verify` finds what the auditor's tool finds, in the reader's words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.cli.sentences import FINDINGS, in_words
from hub.proof.__main__ import main as auditors_tool
from hub.proof.evidence import examine
from hub.proof.trust import parse_trusted_root

GOLDEN = Path(__file__).parents[2] / "golden" / "receipts"
TRUST = GOLDEN / "trusted_root.json"
RECEIPTS = sorted(GOLDEN.glob("*.receipt.json"))


@pytest.fixture
def junk(tmp_path: Path) -> Path:
    path = tmp_path / "junk.receipt.json"
    path.write_bytes(b"junk")
    return path


@pytest.mark.parametrize("receipt", RECEIPTS, ids=lambda path: path.name)
def test_status_and_json_are_the_tools_own(command, capsys, receipt):
    status = auditors_tool(["--trust", str(TRUST), "--json", str(receipt)])
    expected = capsys.readouterr().out
    ended = command("verify", "--trust", TRUST, "--json", receipt)
    assert (ended.status, ended.out) == (status, expected)
    assert command("verify", "--trust", TRUST, receipt).status == status


def test_everything_found_is_said_in_vietnamese(command):
    ended = command("--lang", "vi", "verify", "--trust", TRUST, GOLDEN)
    assert ended.status == 2
    assert "ĐÃ CHỨNG MINH" in ended.out
    assert "Không có gì bị bác bỏ; có bước chưa kiểm tra." in ended.out
    trust = parse_trusted_root(TRUST.read_bytes())
    for path in RECEIPTS:
        for finding in examine(path.read_bytes(), trust).items:
            assert in_words(finding.text) != finding.text, finding.text
            assert in_words(finding.text) in ended.out


def test_a_refuted_file_is_1_and_says_so(command, junk):
    ended = command("--lang", "vi", "verify", "--trust", TRUST, junk, *RECEIPTS)
    assert ended.status == 1
    assert "BỊ BÁC BỎ" in ended.out
    assert "Có thứ bị bác bỏ hoặc không đọc được." in ended.out


def test_a_trusted_root_that_is_none_is_1(command, junk):
    ended = command("verify", "--trust", junk, *RECEIPTS)
    assert ended.status == 1
    assert ended.out == ""
    assert "trusted root" in ended.err


def test_an_empty_folder_is_not_everything_proven(command, tmp_path):
    ended = command("--lang", "vi", "verify", "--trust", TRUST, tmp_path)
    assert ended.status == 1
    assert "Không đọc được tệp: không có tệp *.receipt.json nào" in ended.out


def test_json_comes_from_the_tool_whatever_the_language(command):
    ended = command("--lang", "vi", "verify", "--trust", TRUST, "--json", *RECEIPTS)
    assert json.loads(ended.out)["verdict"] == "not checked"


@pytest.mark.parametrize("template", FINDINGS)
def test_no_template_shadows_another(template):
    """Filled in with numbers, each is recognised as itself and comes back whole in English."""
    filled = template.replace("{", "").replace("}", "")
    assert in_words(filled) == filled
