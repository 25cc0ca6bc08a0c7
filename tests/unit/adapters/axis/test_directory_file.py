"""The file of organisations that operators keep where a wrapper lists none."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.axis.directory_file import organisations_in
from hub.application.axis import AxisListUnreadable


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "don-vi.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("sign", [",", ";"])
def test_a_spreadsheets_file_is_read(tmp_path: Path, encoding: str, sign: str):
    rows = (
        "code,name,old_code,id,note",
        "H37.02,UBND huyện Văn Quan,000.00.02.H37,17,x",
        "H37.03,Sở Y tế,,,",
    )
    text = "".join(f"{row}\r\n" for row in rows)
    first, second = organisations_in(written(tmp_path, text.replace(",", sign), encoding))
    assert (first.code, first.name) == ("H37.02", "UBND huyện Văn Quan")
    assert (first.old_code, first.axis_id, first.deleted) == ("000.00.02.H37", "17", False)
    assert (second.code, second.old_code) == ("H37.03", "")


def test_who_is_gone_is_said_so(tmp_path: Path):
    (one,) = organisations_in(written(tmp_path, "code,name,deleted\nH37.02,x,1\n"))
    assert one.deleted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ma,ten\nH37.02,x\n",
        "code,name\n,x\n",
        "code,name\nH37 02,x\n",
        "code,name\nH37.02,x\nH37.02,y\n",
    ],
)
def test_a_file_with_one_row_that_cannot_be_read_is_none(tmp_path: Path, text: str):
    with pytest.raises(AxisListUnreadable):
        organisations_in(written(tmp_path, text))


def test_what_is_no_file_or_no_text_is_told_as_that(tmp_path: Path):
    with pytest.raises(AxisListUnreadable):
        organisations_in(tmp_path / "nowhere.csv")
    with pytest.raises(AxisListUnreadable):
        organisations_in(written(tmp_path, "code,name\nH37.02,Sở\n", "utf-16"))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("adapters.axis.directory_file._BYTES_MAX", 10)
    with pytest.raises(AxisListUnreadable):
        organisations_in(written(tmp_path, "code,name\nH37.02,x\n"))
