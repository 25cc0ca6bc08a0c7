"""Bad packages are refused for a stated reason, and cost little."""

from __future__ import annotations

import time
import zipfile
from dataclasses import replace

import pytest

from adapters.axis.edxml.errors import EdxmlRefused, reasons
from adapters.axis.edxml.reader import DEFAULT_LIMITS
from tests.support.axis import UUID_NAME, attachment_xml, package_xml, reading, sample, zipped

GOOD = package_xml()
ENTITY = '<!DOCTYPE x [<!ENTITY e "text">]>'
BOMB = "<!DOCTYPE x [<!ENTITY a0 'aaaaaaaaaa'>{}]>".format(
    "".join(f"<!ENTITY a{n + 1} '{f'&a{n};' * 10}'>" for n in range(12))
)
XXE = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
REMOTE_DTD = '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">'


def broken_zip() -> bytes:
    """A wrapping whose content does not fit its checksum."""
    data = bytearray(zipped((f"{UUID_NAME}.txt", b"inside"), compression=0))
    data[data.index(b"inside")] ^= 1
    return bytes(data)


def encoded(text: str) -> str:
    return package_xml(attachments=attachment_xml(text))


REFUSED = {
    "nothing": ("", "EDXML_NOT_WELL_FORMED"),
    "words": ("502 Bad Gateway", "EDXML_NOT_WELL_FORMED"),
    "cut short": (GOOD[:-10], "EDXML_NOT_WELL_FORMED"),
    "text behind it": (GOOD + "x", "EDXML_NOT_WELL_FORMED"),
    "two roots": (GOOD + GOOD, "EDXML_NOT_WELL_FORMED"),
    "space before the declaration": (' <?xml version="1.0"?>' + GOOD, "EDXML_NOT_WELL_FORMED"),
    "undefined entity": (GOOD.replace("V/v", "&e;"), "EDXML_NOT_WELL_FORMED"),
    "wrong encoding": (GOOD.encode("utf-16-le")[1:], "EDXML_NOT_WELL_FORMED"),
    "bytes beyond its encoding": (GOOD.encode().replace(b"V/v", b"\xff"), "EDXML_NOT_WELL_FORMED"),
    "unknown encoding": ('<?xml version="1.0" encoding="x-none"?>' + GOOD, "EDXML_NOT_WELL_FORMED"),
    "doctype": ("<!DOCTYPE edXML>" + GOOD, "EDXML_DOCTYPE"),
    "entity": (ENTITY + GOOD.replace("V/v", "&e;"), "EDXML_DOCTYPE"),
    "entity bomb": (BOMB + GOOD.replace("V/v", "&a12;"), "EDXML_DOCTYPE"),
    "external entity": (XXE + GOOD.replace("V/v", "&e;"), "EDXML_DOCTYPE"),
    "remote DTD": (REMOTE_DTD + GOOD, "EDXML_DOCTYPE"),
    "doctype in UTF-16": (
        ('<?xml version="1.0" encoding="UTF-16"?>' + ENTITY + GOOD).encode("utf-16"),
        "EDXML_DOCTYPE",
    ),
    "nested 100 deep": (package_xml("<a>" * 100 + "</a>" * 100), "EDXML_TOO_DEEP"),
    "nested a million deep": ("<a>" * 10**6, "EDXML_TOO_DEEP"),
    "a name without end": ("<" + "a" * 10**6, "EDXML_TOO_LARGE"),
    "other XML": ("<html/>", "EDXML_NOT_EDXML"),
    "base64 with foreign signs": (
        encoded("QUJD@@@REVG"),
        "EDXML_BAD_BASE64",
    ),
    "base64 of the URL alphabet": (encoded("_-8="), "EDXML_BAD_BASE64"),
    "base64 with letters beyond ASCII": (encoded("QUJĐ"), "EDXML_BAD_BASE64"),
    "base64 cut short": (encoded("QUJDR"), "EDXML_BAD_BASE64"),
    "base64 without padding": (encoded("QQ"), "EDXML_BAD_BASE64"),
    "base64 that goes on": (encoded("QQ==QUJD"), "EDXML_BAD_BASE64"),
    "base64 that goes on in a new piece": (
        encoded("QQ==<!-- -->QUJD"),
        "EDXML_BAD_BASE64",
    ),
    "an element in base64": (encoded("QQ<b/>=="), "EDXML_BAD_BASE64"),
    "no content": (
        package_xml(attachments="<Attachment><AttachmentName>a</AttachmentName></Attachment>"),
        "EDXML_ATTACHMENT_INCOMPLETE",
    ),
    "wrapping with a wrong checksum": (
        package_xml(attachments=attachment_xml(broken_zip(), "a.txt")),
        "EDXML_ZIP_BROKEN",
    ),
    "zip bomb": (
        package_xml(attachments=attachment_xml(zipped((f"{UUID_NAME}.x", bytes(10**7))), "a.x")),
        "EDXML_ZIP_BOMB",
    ),
}  # fmt: skip

# Small bounds, so that the tests need no large packages.
TIGHT = replace(DEFAULT_LIMITS, inflation_free_bytes=10**6)


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_package_is_refused_for_its_reason(case: str):
    data, reason = REFUSED[case]

    with pytest.raises(EdxmlRefused) as refused:
        reading(data, TIGHT)

    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("limit", "xml"),
    [
        ({"package_bytes": 1000}, GOOD + " " * 1000),
        ({"header_chars": 1000}, package_xml(f"<Content>{'x' * 1000}</Content>")),
        ({"header_chars": 1000}, package_xml(f"<Content a='{'x' * 1000}'/>")),
        ({"elements": 50}, package_xml("<x/>" * 50)),
        ({"attachments": 2}, package_xml(attachments=attachment_xml(b"x") * 3)),
        ({"attachment_bytes": 9}, package_xml(attachments=attachment_xml(b"0123456789"))),
        (
            {"attachment_bytes": 300},
            package_xml(attachments=attachment_xml(zipped((UUID_NAME, bytes(301))), "w")),
        ),
        ({"silence_bytes": 70_000}, GOOD + f"<!--{'x' * 200_000}-->"),
    ],
)
def test_every_limit_is_kept(limit: dict[str, int], xml: str):
    with pytest.raises(EdxmlRefused) as refused:
        reading(xml, replace(DEFAULT_LIMITS, **limit))

    assert refused.value.reason == "EDXML_TOO_LARGE"


def test_a_refusal_quotes_nothing_of_the_package():
    with pytest.raises(EdxmlRefused) as refused:
        reading(GOOD.replace("V/v thử", "Bí danh & mật khẩu"))

    assert "mật" not in str(refused.value)


def test_an_entity_bomb_costs_no_time():
    started = time.process_time()
    with pytest.raises(EdxmlRefused):
        reading(BOMB + GOOD.replace("V/v", "&a12;"))
    # Expanded it would take minutes; the bound only tells the two apart.
    assert time.process_time() - started < 5


def test_predefined_entities_and_character_references_are_no_dtd():
    assert reading(GOOD.replace("V/v", "&amp;&#x1ED7;")).package.header.subject == "&ỗ thử"  # type: ignore[union-attr]


def test_a_prefix_that_nobody_declared_is_taken_as_none():
    xml = GOOD.replace("Subject>", "q:Subject>").replace("<edXML ", "<q:edXML ")
    xml = xml.replace("</edXML>", "</q:edXML>")

    assert reading(xml).package.header.subject == "V/v thử"  # type: ignore[union-attr]


def test_a_zip_that_promises_a_huge_directory_is_not_opened():
    # The directory's size stands at the end of a zip, and a reader would read so much at once.
    data = bytearray(zipped((f"{UUID_NAME}.txt", b"inside")))
    end = data.rindex(b"PK\x05\x06")
    data[end + 12 : end + 16] = (2**31).to_bytes(4, "little")

    found = reading(package_xml(attachments=attachment_xml(bytes(data), "a.txt")))

    assert found.contents[0].read() == bytes(data)


def test_a_wrapping_whose_offsets_lead_out_of_it_is_refused():
    data = bytearray(zipped((f"{UUID_NAME}.txt", b"inside")))
    end = data.rindex(b"PK\x05\x06")
    data[end + 16 : end + 20] = (len(data) - 3).to_bytes(4, "little")

    with pytest.raises(EdxmlRefused) as refused:
        reading(package_xml(attachments=attachment_xml(bytes(data), "a.txt")))

    assert refused.value.reason == "EDXML_ZIP_BROKEN"


def test_an_encrypted_wrapping_is_left_as_it_is():
    data = bytearray(zipped((f"{UUID_NAME}.txt", b"inside")))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    assert zipfile.is_zipfile(__import__("io").BytesIO(bytes(data)))

    found = reading(package_xml(attachments=attachment_xml(bytes(data), "a.txt")))

    assert found.contents[0].read() == bytes(data)


def test_every_prefix_of_a_package_is_refused_with_a_reason():
    data = sample("built_new_document").rstrip()
    for length in range(0, len(data), 97):
        with pytest.raises(EdxmlRefused):
            reading(data[:length])


def test_every_reason_is_stable_and_has_one_class():
    assert set(reasons()) == {
        "EDXML_ATTACHMENT_INCOMPLETE",
        "EDXML_BAD_BASE64",
        "EDXML_CANNOT_HOLD",
        "EDXML_CONTENT_CHANGED",
        "EDXML_DOCTYPE",
        "EDXML_FIELD_INVALID",
        "EDXML_NOT_EDXML",
        "EDXML_NOT_WELL_FORMED",
        "EDXML_NO_RECIPIENT",
        "EDXML_SECRET",
        "EDXML_STATUS_UNKNOWN",
        "EDXML_TOO_DEEP",
        "EDXML_TOO_LARGE",
        "EDXML_ZIP_BOMB",
        "EDXML_ZIP_BROKEN",
    }
    assert len(reasons()) == len(EdxmlRefused.__subclasses__())
