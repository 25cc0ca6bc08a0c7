"""Packages go into folders and out of them again; what is wrong is said in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.axis.edxml.errors import reasons
from hub.cli.axis import REFUSALS
from hub.cli.main import main
from tests.support.axis import EDXML, document_in, package_xml, reading, sample


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    status = main(["--lang", "en", "axis", *map(str, arguments), "--json"])
    printed = capsys.readouterr()
    return status, json.loads(printed.out) if printed.out else None, printed.err


def imported(capsys: pytest.CaptureFixture[str], name: str, into: Path) -> Any:
    status, report, _ = run(capsys, "import", EDXML / f"{name}.edxml", "--into", into)
    assert status == 0
    return report


def test_every_reason_of_the_codec_has_words():
    assert set(REFUSALS) == set(reasons())


def test_a_package_becomes_a_description_and_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    report = imported(capsys, "built_new_document", tmp_path / "in")

    assert report["kind"] == "document"
    said = json.loads((tmp_path / "in" / "document.json").read_text(encoding="utf-8"))
    assert said["recipients"] == ["TEST.01.00.H99", "TEST.02.00.H99"]
    assert said["document"]["subject"] == "V/v thử nghiệm gửi, nhận văn bản điện tử"
    files = sorted(path.name for path in (tmp_path / "in").iterdir())
    assert files == sorted(
        [
            "document.json",
            "Công văn 123.pdf",
            "Phụ lục I.docx",
            "Phụ lục II.xlsx",
            "ghi chú.txt",
            "goi.ZIP",
        ]
    )
    assert (tmp_path / "in" / "ghi chú.txt").read_text(encoding="utf-8") == "Ghi chú thử nghiệm\n"


@pytest.mark.parametrize(
    "name", ["built_new_document", "built_update", "dialect_net", "dialect_2012"]
)
def test_a_package_taken_apart_and_put_together_says_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
):
    imported(capsys, name, tmp_path / "in")
    out = tmp_path / "out.edxml"

    status, report, _ = run(capsys, "export", tmp_path / "in", "--out", out)

    assert status == 0
    assert report["size"] == out.stat().st_size
    before, after = document_in(sample(name)), document_in(out.read_bytes())
    assert after.header.subject == before.header.subject
    assert [each.sha256 for each in after.attachments] == [
        each.sha256 for each in before.attachments
    ]
    assert report["lost"] == [f"{each.path}/{each.node.name}" for each in before.unknown]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.edxml"]


def test_a_vendors_package_without_attachments_comes_back_to_the_byte(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    for name in ("built_update", "built_status_02"):
        imported(capsys, name, tmp_path / name)
        out = tmp_path / f"{name}.edxml"
        assert run(capsys, "export", tmp_path / name, "--out", out)[0] == 0
        assert out.read_bytes() == sample(name)


def test_a_description_written_by_hand_needs_no_digests(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    said = {
        "v": 1,
        "agency": "A.H99",
        "recipients": ["B.H99"],
        "action": "new",
        "document": {
            "number": "1",
            "notation": "VP",
            "type": {"name": "Công văn", "code": "CV"},
            "secrecy": "none",
            "subject": "V/v thử",
            "issued_on": "2026-11-22",
            "priority": "normal",
            "language": "vi",
            "attachments": [{"name": "a.pdf", "media_type": "application/pdf"}],
        },
    }
    (tmp_path / "document.json").write_text(json.dumps(said), encoding="utf-8")
    (tmp_path / "a.pdf").write_bytes(b"%PDF")

    status, report, _ = run(capsys, "export", tmp_path, "--out", tmp_path / "out.edxml")

    assert status == 0
    assert report["lost"] == ["document.type.code"]
    assert reading((tmp_path / "out.edxml").read_bytes()).contents[0].read() == b"%PDF"


def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    imported(capsys, "built_new_document", tmp_path / "in")
    (tmp_path / "out.edxml").write_bytes(b"mine")

    again, _, said = run(capsys, "import", EDXML / "built_update.edxml", "--into", tmp_path / "in")
    assert (again, "EEXIST" in said) == (1, True)
    onto, _, said = run(capsys, "export", tmp_path / "in", "--out", tmp_path / "out.edxml")
    assert (onto, "EEXIST" in said) == (1, True)
    assert (tmp_path / "out.edxml").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.edxml"]


def test_a_bad_package_leaves_nothing_and_says_why(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    (tmp_path / "bad.edxml").write_text("<!DOCTYPE x>" + package_xml(), encoding="utf-8")

    status, _, said = run(capsys, "import", tmp_path / "bad.edxml", "--into", tmp_path / "in")

    assert status == 1
    assert "[EDXML_DOCTYPE]" in said
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"document": None}, "EDXML_FIELD_INVALID"),
        ({"document": {}}, "EDXML_FIELD_INVALID"),
        ({"recipients": []}, "EDXML_NO_RECIPIENT"),
        ({"action": "burn"}, "EDXML_FIELD_INVALID"),
        ({"v": 2}, "EDXML_FIELD_INVALID"),
        ({"edxml": {"header": 1}}, "EDXML_FIELD_INVALID"),
        ({"agency": None}, "EDXML_FIELD_INVALID"),
        ({"recipients": [1]}, "EDXML_FIELD_INVALID"),
    ],
)
def test_a_description_that_was_spoilt_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, change: dict[str, Any], reason: str
):
    imported(capsys, "built_update", tmp_path / "in")
    path = tmp_path / "in" / "document.json"
    said = {**json.loads(path.read_text(encoding="utf-8")), **change}
    path.write_text(json.dumps(said), encoding="utf-8")

    status, _, error = run(capsys, "export", tmp_path / "in", "--out", tmp_path / "out.edxml")

    assert status == 1
    assert f"[{reason}]" in error
    assert not (tmp_path / "out.edxml").exists()


def test_an_attachment_outside_the_folder_is_not_packed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    imported(capsys, "built_new_document", tmp_path / "in")
    path = tmp_path / "in" / "document.json"
    said = path.read_text(encoding="utf-8").replace('"goi.ZIP"', '"../goi.ZIP"')
    path.write_text(said, encoding="utf-8")
    (tmp_path / "goi.ZIP").write_bytes(b"x")

    status, _, error = run(capsys, "export", tmp_path / "in", "--out", tmp_path / "out.edxml")

    assert (status, "[EDXML_FIELD_INVALID]" in error) == (1, True)


def test_a_file_that_was_changed_is_noticed(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    imported(capsys, "built_new_document", tmp_path / "in")
    (tmp_path / "in" / "ghi chú.txt").write_text("khác", encoding="utf-8")

    status, _, error = run(capsys, "export", tmp_path / "in", "--out", tmp_path / "out.edxml")

    assert (status, "[EDXML_CONTENT_CHANGED]" in error) == (1, True)


@pytest.mark.parametrize("language", ["en", "vi"])
@pytest.mark.parametrize("name", ["built_new_document", "built_status_02", "dialect_net"])
def test_a_person_is_told_what_came_and_that_nothing_is_proven(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, language: str
):
    file = EDXML / f"{name}.edxml"
    assert (
        main(["--lang", language, "axis", "import", str(file), "--into", str(tmp_path / "in")]) == 0
    )
    said = capsys.readouterr()
    assert ("proven" if language == "en" else "chứng minh") in said.out
    assert "TEST." in said.out
    assert ("SoHieuNoiBo" in said.err) is (name == "dialect_net")

    out = str(tmp_path / "out.edxml")
    assert main(["--lang", language, "axis", "export", str(tmp_path / "in"), "--out", out]) == 0
    assert "SHA-256" in capsys.readouterr().out


@pytest.mark.parametrize("said", ["", "a b", "A=", "A=mật", ".."])
def test_an_organisation_that_cannot_be_one_is_refused(said: str, tmp_path: Path):
    assert main(["axis", "simulate", str(tmp_path), "--organisation", said]) == 2
    assert main(["axis", "simulate", str(tmp_path), "--listen", said]) == 2
