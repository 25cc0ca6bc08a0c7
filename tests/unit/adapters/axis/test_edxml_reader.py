"""A package is understood in whatever dialect it comes."""

from __future__ import annotations

import io

import pytest

from adapters.axis.edxml.errors import AttachmentIncomplete, NotEdxml
from adapters.axis.edxml.model import DocumentPackage, StatusPackage
from adapters.axis.edxml.reader import bare_id
from tests.support.axis import (
    NAMESPACE,
    UUID_NAME,
    attachment_xml,
    document_in,
    package_xml,
    reading,
    sample,
    zipped,
)


def test_every_field_of_the_vendors_own_package_is_read():
    package = document_in(sample("built_new_document"))
    header = package.header

    assert header.sender is not None
    assert header.sender.in_charge == "Ủy ban nhân dân tỉnh Thử Nghiệm"
    assert [each.organ_id for each in header.to] == ["TEST.01.00.H99", "TEST.02.00.H99"]
    assert header.document_id == "TEST.00.00.H99,2025/11/20,123/VPUB-TH"
    assert header.content is not None
    assert header.content.endswith('<&> "ngoặc kép" ẩn dụ Ơ Ư ẵ ỹ')
    assert header.other is not None
    assert header.other.appendixes == ("Phụ lục I", "Phụ lục II")
    assert header.other.typer_notation == "NVD"
    assert header.response_for[0].code == "45/SVD-VP"
    assert header.to_places == ("Như trên", "Lưu: VT, TH")
    assert package.trace is not None
    assert package.trace.business is not None
    assert package.trace.business.staff[0].staff_id == "nv-007"
    assert package.trace.hops[0].timestamp == "2025/11/20 14:30:05"
    assert package.unknown == ()


def test_attachments_are_unwrapped_by_their_look_and_archives_are_kept_whole():
    found = reading(sample("built_new_document"))
    assert isinstance(found.package, DocumentPackage)
    attachments = found.package.attachments

    assert [(each.name, each.wrapped) for each in attachments] == [
        ("Công văn 123.pdf", False),
        ("Phụ lục I.docx", False),
        ("Phụ lục II.xlsx", True),
        ("ghi chú.txt", True),
        ("goi.ZIP", False),
    ]
    contents = [content.read() for content in found.contents]
    assert [len(content) for content in contents] == [each.size for each in attachments]
    assert contents[0].startswith(b"%PDF")
    assert contents[1].startswith(b"PK")
    assert contents[2].startswith(b"PK")
    assert contents[3].decode() == "Ghi chú thử nghiệm\n"
    assert contents[4].startswith(b"PK")
    assert attachments[1].content_id == "f110ae4f-f544-47e2-a378-fe36748a33ee"


def test_an_update_says_who_is_removed_and_who_is_added():
    package = document_in(sample("built_update"))

    assert package.business_type == "2"
    assert package.trace is not None
    assert package.trace.business is not None
    [update] = package.trace.business.updates
    assert [(each.organ_id, each.type) for each in update.receivers] == [
        ("TEST.01.00.H99", "0"),
        ("TEST.02.00.H99", "1"),
    ]


def test_a_status_report_is_told_from_a_document_by_its_code():
    package = reading(sample("built_status_02")).package

    assert isinstance(package, StatusPackage)
    assert package.header.code == "02"
    assert package.header.description == "Sai nơi nhận, trả lại"
    assert package.header.response_for is not None
    assert package.header.response_for.code == "123/VPUB-TH"


def test_prefix_order_and_spelling_make_no_difference():
    found = reading(sample("dialect_net"))
    package = found.package
    assert isinstance(package, DocumentPackage)

    assert package.signed
    assert package.business_type == "3"
    assert package.header.subject == "V/v thay thế <văn bản> cũ"
    assert package.header.to[0].organ_id == "TEST.00.00.H99"
    assert package.trace is not None
    assert [hop.organ_id for hop in package.trace.hops] == [None, "TEST.01.00.H99"]
    [attached] = package.attachments
    assert attached.wrapped
    assert attached.description == "Toàn văn"
    assert found.contents[0].read().decode() == "Văn bản thử, mã hoá UTF-8\n"


def test_what_nobody_asked_for_is_kept_with_its_place():
    package = document_in(sample("dialect_net"))

    assert [(each.path, each.node.name) for each in package.unknown] == [
        ("MessageHeader", "Subject"),
        ("MessageHeader", "SoHieuNoiBo"),
    ]
    strange = package.unknown[1].node
    assert (strange.text, strange.attributes) == ("NB-1", (("loai", "x"),))
    assert [(child.name, child.text) for child in strange.children] == [("Phu", "2")]


def test_the_form_before_2016_is_read_too():
    package = document_in(sample("dialect_2012"))

    assert package.header.subject == "V/v thử gói cũ"
    assert package.business_type == "0"


@pytest.mark.parametrize(
    ("form", "encoding"),
    [("utf-8-sig", ""), ("utf-16", '<?xml version="1.0" encoding="UTF-16"?>')],
)
def test_other_encodings_are_read_if_they_are_declared(form: str, encoding: str):
    package = document_in((encoding + package_xml()).encode(form))

    assert package.header.subject == "V/v thử"


@pytest.mark.parametrize(
    "namespace", [NAMESPACE, NAMESPACE + "/", "http://www.go.vn/eDoc", "urn:x"]
)
def test_any_namespace_is_taken(namespace: str):
    assert document_in(package_xml().replace(NAMESPACE, namespace)).header.subject == "V/v thử"


def test_composed_and_decomposed_letters_stay_as_they_came():
    composed, decomposed = "Ti\u1ebfng Vi\u1ec7t", "Tie\u0302\u0301ng Vie\u0323\u0302t"
    for text in (composed, decomposed):
        assert document_in(package_xml(f"<Content>{text}</Content>")).header.content == text


def test_attachments_inside_the_envelope_are_found():
    xml = package_xml().replace("<AttachmentEncoded></AttachmentEncoded>", "")
    inside = f"<AttachmentEncoded>{attachment_xml(b'x')}</AttachmentEncoded></edXMLEnvelope>"

    assert len(document_in(xml.replace("</edXMLEnvelope>", inside)).attachments) == 1


def test_base64_in_lines_is_base64():
    xml = package_xml(attachments=attachment_xml("QUJD\r\n\t RE\r\nVG\r\n"))

    assert reading(xml).contents[0].read() == b"ABCDEF"


@pytest.mark.parametrize(
    ("content", "name", "wrapped"),
    [
        (zipped((f"{UUID_NAME}.xls", b"inside")), "a.xls", True),
        (zipped((f"{UUID_NAME.upper()}.doc", b"inside")), "b.txt", True),
        (zipped((UUID_NAME, b"inside")), "no-extension", True),
        (zipped((f"{UUID_NAME}.xls", b"inside"), compression=0), "stored.xls", True),
        (zipped((f"{UUID_NAME}.xls", b"inside")), "archive.zip", False),
        (zipped((f"{UUID_NAME}.xls", b"inside")), "archive.ZIP", False),
        (zipped(("inside.xls", b"inside")), "a.xls", False),
        (zipped((f"folder/{UUID_NAME}.xls", b"inside")), "a.xls", False),
        (zipped((f"../{UUID_NAME}.xls", b"inside")), "a.xls", False),
        (zipped((f"{UUID_NAME}.xls", b"1"), (f"{UUID_NAME}.doc", b"2")), "a.xls", False),
        (zipped(), "empty.xls", False),
        (b"PK\x03\x04 and then nothing of the kind", "broken.docx", False),
        (zipped((f"{UUID_NAME}.x", b"inside"), compression=14), "lzma.x", False),
        (b"", "empty.txt", False),
    ],
)
def test_only_what_looks_like_a_wrapping_is_unwrapped(content: bytes, name: str, wrapped: bool):
    found = reading(package_xml(attachments=attachment_xml(content, name, "text/plain")))

    assert isinstance(found.package, DocumentPackage)
    assert found.package.attachments[0].wrapped is wrapped
    assert found.contents[0].read() == (b"inside" if wrapped else content)


@pytest.mark.parametrize("said", [None, "", "x", "cid:x", "cid:cid:x", "cid:cid:cid:x"])
def test_a_content_id_is_compared_without_its_scheme(said: str | None):
    assert bare_id(said) == ("x" if said else None)


@pytest.mark.parametrize(
    "xml",
    [
        "<edXML/>",
        f'<edXML xmlns="{NAMESPACE}"><edXMLEnvelope/></edXML>',
        f'<edXML xmlns="{NAMESPACE}"><edXMLEnvelope><edXMLHeader/></edXMLEnvelope></edXML>',
        "<html><body>502 Bad Gateway</body></html>",
    ],
)
def test_other_xml_is_no_package(xml: str):
    with pytest.raises(NotEdxml):
        reading(xml)


@pytest.mark.parametrize(
    "attachments",
    [
        "<Attachment><AttachmentName>a.pdf</AttachmentName></Attachment>",
        "<Attachment><ContentTransferEncoded>QQ==</ContentTransferEncoded></Attachment>",
    ],
)
def test_an_attachment_without_name_or_content_is_refused(attachments: str):
    with pytest.raises(AttachmentIncomplete):
        reading(package_xml(attachments=attachments))


def test_all_files_are_closed_when_a_package_is_refused():
    made: list[io.BytesIO] = []

    def scratch() -> io.BytesIO:
        made.append(io.BytesIO())
        return made[-1]

    from adapters.axis.edxml.reader import read

    broken = "<Attachment><AttachmentName>b</AttachmentName></Attachment>"
    wrapping = attachment_xml(zipped((UUID_NAME, b"x")), "w.txt")
    xml = package_xml(attachments=attachment_xml(b"x") + wrapping + broken)

    with pytest.raises(AttachmentIncomplete):
        read(io.BytesIO(xml.encode()), scratch)

    assert len(made) == 3
    assert all(file.closed for file in made)


def test_a_fingerprint_sees_through_what_the_axis_changes():
    ours = document_in(sample("built_new_document"))
    theirs = (
        sample("built_new_document")
        .replace(b"cid:", b"cid:cid:")
        .replace(b"application/pdf", b"application/zip")
        .replace(
            b"</edXML:TraceHeaderList>",
            b"<edXML:TraceHeader><edXML:Timestamp>2025/11/20 14:31:00</edXML:Timestamp>"
            b"</edXML:TraceHeader></edXML:TraceHeaderList>",
        )
    )

    assert document_in(theirs).fingerprint() == ours.fingerprint()
    assert document_in(theirs.replace(b"TL.", b"TM.")).fingerprint() != ours.fingerprint()
    other = theirs.replace(b"JVBERi0xLjQK", b"JVBERi0xLjUK")
    assert document_in(other).fingerprint() != ours.fingerprint()
