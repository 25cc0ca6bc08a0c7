"""A letter to try the hub with: one page of PDF with Vietnamese text, and no font to carry.

Every PDF viewer has Courier, but its Courier has no Vietnamese letters. So the page uses a
Type 3 font whose letters are put together from Courier's and their marks, and a ToUnicode
map by which they can be searched and copied (ISO 32000-1, 9.6.5 and 9.10.3).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

# Glyph space: 1000 units to the em; each letter of Courier is 600 wide.
_WIDTH = 600
_FONT_SIZE, _LEADING = 11, 17
_LEFT, _TOP = 62, 780

# Where Courier's own marks stand in the encoding below, by their combining character.
_MARKS = {"\u0300": 0x60, "\u0301": 0xB4, "\u0302": 0x88, "\u0303": 0x98, "\u0306": 0x81}
_DOTLESS_I = 0x90
_RAISED_OVER_CAPITALS, _RAISED_OVER_MARK = 130, 150

# Marks that Courier lacks, as strokes beside or above a small letter.
_HORN = "45 w 480 400 m 570 405 600 450 590 515 c S"
_HOOK = "42 w 245 590 m 255 665 365 660 350 600 c 340 570 300 570 300 515 c S"
_DOT_BELOW, _DOT_BESIDE_TAIL = "255 -195 90 90 re f", "430 -195 90 90 re f"
_BAR_OF_SMALL_D, _BAR_OF_CAPITAL_D = "42 w 350 520 m 580 520 l S", "42 w 30 290 m 290 290 l S"


def letter_pdf(lines: Sequence[str]) -> bytes:
    """One A4 page of at most 66 characters a line, as a PDF file."""
    lines = [unicodedata.normalize("NFC", line) for line in lines]
    letters = sorted({sign for line in lines for sign in line})
    codes = {letter: number for number, letter in enumerate(letters, start=1)}
    if len(codes) > 255:
        raise ValueError("a simple font has at most 255 letters")
    return _file(
        [
            b"<< /Type /Catalog /Pages 2 0 R /Lang (vi) >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
            b"/Resources << /Font << /V 5 0 R >> >> >>",
            _stream(_page(lines, codes)),
            _font(codes, first_glyph=8),
            _stream(_to_unicode(codes)),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding << /Type /Encoding "
            b"/BaseEncoding /WinAnsiEncoding /Differences [129 /breve 144 /dotlessi] >> >>",
            *(_stream(_glyph(letter)) for letter in codes),
        ]
    )


def _page(lines: Iterable[str], codes: dict[str, int]) -> str:
    shown = "\n".join(f"<{bytes(codes[sign] for sign in line).hex()}> Tj T*" for line in lines)
    return f"BT /V {_FONT_SIZE} Tf {_LEADING} TL {_LEFT} {_TOP} Td\n{shown}\nET"


def _font(codes: dict[str, int], *, first_glyph: int) -> bytes:
    names = " ".join(f"/g{code}" for code in codes.values())
    glyphs = " ".join(f"/g{code} {first_glyph + code - 1} 0 R" for code in codes.values())
    widths = " ".join([str(_WIDTH)] * len(codes))
    return (
        "<< /Type /Font /Subtype /Type3 /FontBBox [0 -250 700 1000] "
        "/FontMatrix [0.001 0 0 0.001 0 0] /Resources << /Font << /C 7 0 R >> >> "
        f"/Encoding << /Type /Encoding /Differences [1 {names}] >> /CharProcs << {glyphs} >> "
        f"/FirstChar 1 /LastChar {len(codes)} /Widths [{widths}] /ToUnicode 6 0 R >>"
    ).encode()


def _glyph(letter: str) -> str:
    return "\n".join([f"{_WIDTH} 0 d0", *_drawing(letter)])


def _drawing(letter: str) -> list[str]:
    """How a letter is drawn: the bare one, then its marks from the inside to the outside."""
    if letter in "đĐ":
        small = letter == "đ"
        return [
            _courier(ord("d" if small else "D")),
            _BAR_OF_SMALL_D if small else _BAR_OF_CAPITAL_D,
        ]
    bare, *marks = list(unicodedata.normalize("NFD", letter))
    base = _DOTLESS_I if bare == "i" and set(marks) - {"\u0323"} else bare.encode("cp1252")[0]
    drawn, height = [_courier(base)], _RAISED_OVER_CAPITALS if bare.isupper() else 0
    # Horn and dot belong to the letter's body; what is left is stacked above it.
    for mark in sorted(marks, key=lambda mark: mark not in "\u0302\u0306\u031b\u0323"):
        if mark == "\u0323":
            drawn.append(_DOT_BESIDE_TAIL if bare == "y" else _DOT_BELOW)
        elif mark == "\u031b":
            drawn.append(_raised(_HORN, height))
        else:
            hook = mark == "\u0309"
            drawn.append(_raised(_HOOK, height) if hook else _courier(_MARKS[mark], height))
            height += _RAISED_OVER_MARK
    return drawn


def _courier(code: int, height: int = 0) -> str:
    return f"BT /C 1000 Tf 0 {height} Td <{code:02x}> Tj ET"


def _raised(path: str, height: int) -> str:
    return f"q 1 0 0 1 0 {height} cm {path} Q"


def _to_unicode(codes: dict[str, int]) -> str:
    pairs = [f"<{code:02x}> <{letter.encode('utf-16-be').hex()}>" for letter, code in codes.items()]
    # A section holds at most 100 pairs.
    sections = [pairs[start : start + 100] for start in range(0, len(pairs), 100)]
    mapped = "\n".join(
        f"{len(section)} beginbfchar\n" + "\n".join(section) + "\nendbfchar" for section in sections
    )
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n"
        "/CMapName /Letter def /CMapType 2 def\n"
        "1 begincodespacerange <00> <ff> endcodespacerange\n"
        f"{mapped}\nendcmap CMapName currentdict /CMap defineresource pop end end"
    )


def _stream(content: str) -> bytes:
    data = content.encode("ascii")
    return b"<< /Length %d >>\nstream\n%b\nendstream" % (len(data), data)


def _file(objects: Sequence[bytes]) -> bytes:
    """The objects, numbered from 1, as a file with its table of offsets."""
    # The four bytes beyond ASCII tell transports that this is no text.
    data = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    data += b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    data += b"startxref\n%d\n%%%%EOF\n" % table
    return bytes(data)
