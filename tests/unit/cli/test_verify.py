"""`lienthong verify` finds what the auditor's tool finds, in the reader's words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hub.cli import sentences
from hub.cli.messages import Language, speak
from hub.cli.sentences import FINDINGS, in_words
from hub.proof.__main__ import main as auditors_tool
from hub.proof.evidence import examine
from hub.proof.trust import parse_trusted_root

GOLDEN = Path(__file__).parents[2] / "golden" / "receipts"
BUNDLES = GOLDEN.parent / "bundles"
TRUST = GOLDEN / "trusted_root.json"
RECEIPTS = sorted(GOLDEN.glob("*.receipt.json"))


@pytest.fixture
def junk(tmp_path: Path) -> Path:
    path = tmp_path / "junk.receipt.json"
    path.write_bytes(b"junk")
    return path


@pytest.fixture(scope="module")
def trust(tmp_path_factory) -> Path:
    """The trusted root without authorities: the samples' certificates are nobody's."""
    root = replace(parse_trusted_root(TRUST.read_bytes()), certificate_authorities=())
    path = tmp_path_factory.mktemp("trust") / "root.json"
    path.write_bytes(root.format())
    return path


@pytest.mark.parametrize("receipt", RECEIPTS, ids=lambda path: path.name)
def test_status_and_json_are_the_tools_own(command, capsys, receipt, trust):
    status = auditors_tool(["--trust", str(trust), "--json", str(receipt)])
    expected = json.loads(capsys.readouterr().out)
    ended = command("verify", "--trust", trust, "--json", receipt)
    assert ended.status == status
    found = json.loads(ended.out)
    # The command knows why a chain is left open; the tool only that it does not look.
    for report in (expected, found):
        del report["files"][0]["findings"][7:9]
    assert found == expected
    assert command("verify", "--trust", trust, receipt).status == status


def test_everything_found_is_said_in_vietnamese(command, trust):
    ended = command("--lang", "vi", "verify", "--trust", trust, GOLDEN)
    assert ended.status == 2
    assert "ĐÃ CHỨNG MINH" in ended.out
    assert "Không có gì bị bác bỏ; có bước chưa kiểm tra." in ended.out
    for path in RECEIPTS:
        for finding in examine(path.read_bytes(), parse_trusted_root(trust.read_bytes())).items:
            assert in_words(finding.text) != finding.text, finding.text
            if finding.step not in (8, 9):
                assert in_words(finding.text) in ended.out


@pytest.mark.parametrize("more", [[], ["--content", BUNDLES / "content"]], ids=["bare", "whole"])
def test_everything_found_in_a_bundle_is_said_in_vietnamese(command, more):
    arguments = ["verify", "--trust", BUNDLES / "trusted_root.json", *more, BUNDLES]
    found = json.loads(command("--lang", "en", *arguments, "--json").out)
    ended = command("--lang", "vi", *arguments)
    assert ended.status == 2
    findings = [*found["files"][0]["findings"], *found["together"]]
    for finding in findings:
        words = in_words(finding["text"])
        assert words != finding["text"]
        assert words in ended.out


def test_a_certificate_that_led_to_a_trusted_authority_is_proven(command):
    arguments = ["verify", "--trust", BUNDLES / "trusted_root.json", BUNDLES]
    said = command("--lang", "en", *arguments).out
    assert said.count("the certificate led to an authority of the trusted root") == 2
    assert said.count("nothing from that time is in the file") == 2


def test_a_certificate_that_led_nowhere_is_refuted(command):
    ended = command("--lang", "en", "verify", "--trust", TRUST, GOLDEN / "enrolled.receipt.json")
    assert ended.status == 1
    assert "8. REFUTED" in ended.out


@pytest.mark.parametrize("missing", ["log", "policy"])
def test_what_the_verifier_brings_along_must_be_usable(command, junk, tmp_path, missing):
    given = junk if missing == "policy" else tmp_path
    ended = command("verify", "--trust", TRUST, f"--{missing}", given, *RECEIPTS)
    assert (ended.status, ended.out) == (1, "")
    assert f"The {missing} cannot be used" in ended.err


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
    assert "Không đọc được tệp: không có tệp *.receipt.json hay *.bundle.json nào" in ended.out


def test_json_speaks_english_whatever_the_language(command, trust):
    ended = command("--lang", "vi", "verify", "--trust", trust, "--json", *RECEIPTS)
    assert json.loads(ended.out)["verdict"] == "not checked"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "The cosignature of w/1 does not count: it is of 2026-11-23 01:30:00 UTC, when that"
            " witness was no longer trusted.",
            "Chữ ký cùng của w/1 không được tính",
        ),
        (
            "The policy's quorum of witnesses is not reached: the checkpoint was cosigned by none"
            " of them, and when it did not count by w/1.",
            "không ai trong số họ ký cùng điểm chốt, còn w/1 ký vào lúc không được tính",
        ),
        (
            "The policy's quorum of witnesses is not reached: the checkpoint was cosigned by w/2,"
            " and when it did not count by w/1.",
            "được ký cùng bởi w/2, còn w/1 ký vào lúc không được tính",
        ),
        (
            "Enrolment at position 3: the certificate led to an authority of the trusted root that"
            " was not trusted yet at the time that the hub states.",
            ": chứng thư dẫn tới một tổ chức chứng thực trong gốc tin cậy mà vào thời điểm máy chủ",
        ),
    ],
)
def test_what_lies_outside_a_window_is_said_in_vietnamese(said, words):
    speak(Language.VI)
    assert words in in_words(said)


@pytest.mark.parametrize("template", FINDINGS)
def test_no_template_shadows_another(template):
    """Filled in with numbers, each is recognised as itself and comes back whole in English."""
    filled = template.replace("{", "").replace("}", "")
    assert sentences._translated(filled) == filled
