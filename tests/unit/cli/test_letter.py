"""The demo's letter is a PDF that viewers open and that can be searched in Vietnamese."""

from __future__ import annotations

import re
import unicodedata

import pytest

from hub.cli.letter import letter_pdf

ALPHABET = (
    "aăâbcdđeêghiklmnoôơpqrstuưvxyàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ"
)


@pytest.fixture(scope="module")
def pdf() -> bytes:
    return letter_pdf([ALPHABET[:40], ALPHABET[40:], ALPHABET.upper()[:60]])


def test_every_object_lies_where_the_table_says(pdf):
    (start,) = re.findall(rb"startxref\n(\d+)\n%%EOF\n\Z", pdf)
    table = pdf[int(start) :]
    assert table.startswith(b"xref\n0 ")
    offsets = [int(line) for line in re.findall(rb"(\d{10}) 00000 n \n", table)]
    for number, offset in enumerate(offsets, start=1):
        assert pdf[offset:].startswith(b"%d 0 obj\n" % number)


def test_every_stream_is_as_long_as_it_says(pdf):
    streams = re.findall(rb"<< /Length (\d+) >>\nstream\n(.*?)\nendstream", pdf, re.DOTALL)
    assert len(streams) > len(ALPHABET)
    for length, content in streams:
        assert int(length) == len(content)


def test_every_letter_can_be_copied_out_again(pdf):
    mapped = {
        bytes.fromhex(letter.decode()).decode("utf-16-be")
        for _code, letter in re.findall(rb"<([0-9a-f]{2})> <([0-9a-f]{4})>", pdf)
    }
    assert set(ALPHABET) <= mapped


def test_text_in_pieces_gives_the_same_letter():
    assert letter_pdf([unicodedata.normalize("NFD", "ế")]) == letter_pdf(["ế"])


def test_what_a_simple_font_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="255"):
        letter_pdf(["".join(map(chr, range(0x4E00, 0x4F00)))])
