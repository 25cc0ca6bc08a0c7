"""A package is written as the vendor's library writes it, to the byte."""

from __future__ import annotations

import io
import zipfile
from base64 import b64decode

import pytest
from lxml import etree

from adapters.axis.edxml.errors import (
    AttachmentIncomplete,
    CannotHold,
    ContentChanged,
    NoRecipient,
)
from adapters.axis.edxml.model import (
    DocumentHeader,
    DocumentPackage,
    Organ,
    OtherInfo,
    as_read,
    from_json,
    to_json,
)
from adapters.axis.edxml.shape import Node
from tests.support.axis import (
    NAMESPACE,
    UUID_NAME,
    attachment,
    document_in,
    reading,
    sample,
    written,
    zipped,
)

TO = (Organ(organ_id="B.H99"),)


def document(*attachments: tuple[str, bytes], **header: object) -> bytes:
    described = tuple(attachment(name, content) for name, content in attachments)
    package = DocumentPackage(
        header=DocumentHeader(**{"to": TO, **header}),  # type: ignore[arg-type]
        attachments=described,
    )
    return written(package, [content for _name, content in attachments])


@pytest.mark.parametrize("name", ["built_update", "built_status_02"])
def test_what_the_vendor_wrote_is_written_again_to_the_same_bytes(name: str):
    assert written(reading(sample(name)).package) == sample(name)


def test_of_a_package_with_attachments_only_labels_ids_and_wrappings_differ():
    found = reading(sample("built_new_document"))
    again = written(found.package, [content.read() for content in found.contents])
    before, after = sample("built_new_document").split(b"\r\n"), again.split(b"\r\n")

    different = {line.split(b">")[0].strip(b" <") for line in set(after) - set(before)}
    assert len(before) == len(after)
    assert different == {
        b"edXML:ContentId",
        b"ContentId",
        b"edXML:ContentType",
        b'edXML:ContentTransferEncoded xmlns:edXML="http://www.mic.gov.vn/TBT/QCVN_102_2016"',
        b"AttachmentName",
        b"edXML:AttachmentName",
    }


def test_the_same_package_always_makes_the_same_bytes():
    assert document(("a.txt", b"x")) == document(("a.txt", b"x"))


@pytest.mark.parametrize(
    ("name", "content_type", "is_wrapped"),
    [
        ("a.pdf", "application/pdf", False),
        ("a.PDF", "application/pdf", False),
        ("a.doc", "application/doc", False),
        ("a.docx", "application/docx", False),
        ("a.xsl", "application/xsl", False),
        ("a.xslx", "application/xslx", False),
        ("a.zip", "application/zip", False),
        ("a.ZIP", "application/zip", False),
        ("a.xls", "application/zip", True),
        ("a.xlsx", "application/zip", True),
        ("ảnh.jpg", "application/zip", True),
        ("không-đuôi", "application/zip", True),
    ],
)
def test_a_file_is_sent_as_the_vendors_library_sends_it(
    name: str, content_type: str, is_wrapped: bool
):
    root = etree.fromstring(document((name, b"content")))
    labels = root.findall(f".//{{{NAMESPACE}}}ContentType")
    data = b64decode(root.findtext(f".//{{{NAMESPACE}}}ContentTransferEncoded") or "")

    assert {label.text for label in labels} == {content_type}
    assert len(labels) == 2
    if is_wrapped:
        [entry] = zipfile.ZipFile(io.BytesIO(data)).infolist()
        assert entry.filename.count("-") == 4
        assert "/" not in entry.filename
    else:
        assert data == b"content"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.pdf", b""),
        ("empty.zip", b""),
        ("empty.txt", b""),
        ("disguised.pdf", zipped((f"{UUID_NAME}.doc", b"inside"))),
        ("disguised.txt", zipped((f"{UUID_NAME}.doc", b"inside"))),
        ("archive.zip", zipped((f"{UUID_NAME}.doc", b"inside"))),
        ("a.b/c", b"x"),
        ("a.\u1ed7", b"x"),
        ("nested.zip.txt", zipped(("x", b"y"))),
    ],
)
def test_content_comes_back_as_it_went_in(name: str, content: bytes):
    found = reading(document((name, content)))

    assert isinstance(found.package, DocumentPackage)
    assert found.package.attachments[0].name == name
    assert found.contents[0].read() == content


def test_everything_inside_the_envelope_has_the_prefix_and_nothing_beside_it():
    text = document(("a.pdf", b"x")).decode()
    inside, _, beside = text.partition("</edXML:edXMLEnvelope>")

    assert "<edXML:Reference>" in inside
    assert "<Attachment>" in beside
    assert beside.count("edXML:") == 2  # the tags of the content
    assert "<!DOCTYPE" not in text


def test_text_is_escaped_and_comes_back():
    text = "a < b & c > d \"e\" 'f' ]]> \u00a0 é \U0001f600\ttab\rreturn\nline"
    data = document(subject=text)

    assert document_in(data).header.subject == text


@pytest.mark.parametrize("sign", ["\x00", "\x0b", "\x1f", "\ufffe", "\uffff", "\ud800"])
def test_what_xml_cannot_carry_is_refused(sign: str):
    with pytest.raises(CannotHold):
        document(subject=f"x{sign}y")


def test_a_document_has_receivers():
    with pytest.raises(NoRecipient):
        written(DocumentPackage(header=DocumentHeader()))


def test_content_that_is_not_what_was_said_is_refused():
    package = DocumentPackage(header=DocumentHeader(to=TO), attachments=(attachment("a", b"x"),))

    for content in (b"y", b"", b"xx"):
        with pytest.raises(ContentChanged):
            written(package, [content])


def test_an_attachment_has_a_name():
    with pytest.raises(AttachmentIncomplete):
        document((" ", b"x"))


def test_what_is_known_only_as_an_element_is_written_as_it_stood_there():
    codes = Node("ReferenceCodes", children=(Node("Code", text="H37.02-250701-0001"),))
    data = document(other=OtherInfo(priority="0", reference_codes=codes))

    again = document_in(data).header.other
    assert again is not None
    assert again.reference_codes is not None
    assert [(each.name, each.text) for each in again.reference_codes.children] == [
        ("Code", "H37.02-250701-0001")
    ]


@pytest.mark.parametrize("name", ["built_new_document", "built_update", "dialect_net"])
def test_a_package_survives_json_and_writing(name: str):
    package = document_in(sample(name))

    assert from_json(DocumentHeader, to_json(package.header)) == package.header
    assert as_read(package) == package


@pytest.mark.parametrize(
    "said",
    [
        [],
        {"subject": 1},
        {"strange": "x"},
        {"to": {}},
        {"to": [1]},
        {"to_places": "x"},
        {"other": {"reply_fors": {}}},
    ],
)
def test_json_of_another_shape_is_refused(said: object):
    with pytest.raises(ValueError):
        from_json(DocumentHeader, said)
