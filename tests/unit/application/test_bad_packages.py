"""Packages that no honest sender makes: each is stored as it came, parked, and stops nothing."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.memory.axis import Delivered, MemoryAxis
from hub.application.axis import MessageKind
from hub.domain.relay import RelayKind, RelayState
from tests.support.axis import (
    HEADER,
    NAMESPACE,
    UUID_NAME,
    attachment_xml,
    package_xml,
    zipped,
)
from tests.support.builders import Party, check_whole
from tests.support.relaying import THERE, Linked, linked

GOOD = package_xml("<DocumentId>good-1</DocumentId>")
STATUS = (
    f'<edXML xmlns="{NAMESPACE}"><edXMLEnvelope><edXMLHeader><MessageHeader>'
    "<From><OrganId>A.H99</OrganId></From><ResponseFor><OrganId>B.H99</OrganId>"
    "<DocumentId>{about}</DocumentId></ResponseFor><StatusCode>{code}</StatusCode>"
    "</MessageHeader></edXMLHeader></edXMLEnvelope></edXML>"
)


def entity(declaration: str, text: str) -> str:
    return f"<!DOCTYPE edXML [{declaration}]>" + GOOD.replace("V/v thử", text)


BAD = {
    "an entity from a file": (
        entity('<!ENTITY x SYSTEM "file:///etc/passwd">', "&x;"),
        "EDXML_DOCTYPE",
    ),
    "entities that grow": (
        entity('<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">', "&b;"),
        "EDXML_DOCTYPE",
    ),
    "an external DTD": ('<!DOCTYPE edXML SYSTEM "http://x.invalid/d.dtd">' + GOOD, "EDXML_DOCTYPE"),
    "deep nesting": (
        GOOD.replace("<AttachmentEncoded>", "<x>" * 3000 + "</x>" * 3000 + "<AttachmentEncoded>"),
        "EDXML_TOO_DEEP",
    ),
    "a zip bomb": (
        package_xml(
            attachments=attachment_xml(
                zipped((f"{UUID_NAME}.txt", bytes(64 * 1024**2))), "bomb.txt", "application/zip"
            )
        ),
        "EDXML_ZIP_BOMB",
    ),
    "wrong base64": (package_xml(attachments=attachment_xml("@@@ không")), "EDXML_BAD_BASE64"),
    "base64 that is missing": (
        package_xml(attachments="<Attachment><AttachmentName>a.pdf</AttachmentName></Attachment>"),
        "EDXML_ATTACHMENT_INCOMPLETE",
    ),
    "no To": (
        package_xml(header=HEADER.replace("<To><OrganId>B.H99</OrganId></To>", "")),
        "EDXML_NO_RECIPIENT",
    ),
    "no From": (
        package_xml(header=HEADER.replace("<From><OrganId>A.H99</OrganId></From>", "")),
        "EDXML_FIELD_INVALID",
    ),
    "a date that no calendar has": (
        GOOD.replace("2025/11/20", "2025/13/45"),
        "EDXML_FIELD_INVALID",
    ),
    "marked as a secret": (GOOD.replace("V/v thử", "[TUYỆT MẬT] V/v thử"), "EDXML_SECRET"),
    "a secret by an element": (
        package_xml("<SecrecyLevel>Mật</SecrecyLevel>"),
        "EDXML_SECRET",
    ),
    "no XML": ("%PDF-1.7", "EDXML_NOT_WELL_FORMED"),
    "cut short": (GOOD[: len(GOOD) // 2], "EDXML_NOT_WELL_FORMED"),
    "a page of a gateway": ("<html><body/></html>", "EDXML_NOT_EDXML"),
    "a code of a status that is none": (
        STATUS.format(about="x", code="99"),
        "EDXML_STATUS_UNKNOWN",
    ),
    "too many attachments": (
        package_xml(
            attachments="".join(attachment_xml(b"x", f"{number}.pdf") for number in range(65))
        ),
        "EDXML_FIELD_INVALID",
    ),
    "a sender no code is like": (GOOD.replace("A.H99", "có dấu"), "EDXML_FIELD_INVALID"),
    "a sender that is its own recipient's hub": (GOOD.replace("A.H99", "B.H99"), "SENDER_IS_HERE"),
    "nobody here among the receivers": (
        GOOD.replace("B.H99", "X.H99"),
        "RECIPIENT_UNKNOWN",
    ),
}


@pytest.fixture
def axis() -> MemoryAxis:
    return MemoryAxis(("A.H99", THERE))


@pytest.fixture
def ours(axis: MemoryAxis) -> Linked:
    return linked(axis, THERE)


def deliver(axis: MemoryAxis, package: str | bytes, name: str, *, to: str = THERE) -> None:
    data = package.encode() if isinstance(package, str) else package
    axis._deliveries.append(Delivered(name, f"sent {name}", MessageKind.DOCUMENT, "", to, data))


def inbox(ours: Linked) -> list[str]:
    return [document.subject for _, _, document in ours.hub.views.inbox(THERE, 0, 100)]


@pytest.mark.parametrize("name", BAD)
def test_it_is_stored_as_it_came_and_parked_with_a_reason(ours, axis, name):
    package, reason = BAD[name]
    # Offered to us all the same: lists name a receiver that the package may not.
    deliver(axis, package, "bad", to=THERE)
    if reason == "RECIPIENT_UNKNOWN":
        waiting = ours.gateway.waiting

        async def nameless(kind, **days):
            return [replace(each, recipient="") for each in await waiting(kind, **days)]

        ours.gateway.waiting = nameless
    deliver(axis, GOOD, "good")
    ours.take()

    (parked,) = [row for row in ours.rows() if row.state is RelayState.PARKED]
    assert parked.reason == reason
    stored = b"".join(
        ours.hub.stores.content.read(
            parked.relay_id,
            0,
            parked.package_bytes,
            ours.hub.vault.key_of(parked.relay_id),
            0,
        )
    )
    assert stored == package.encode()
    assert axis._deliveries[0].state == "fail"
    assert inbox(ours) == ["V/v thử"], "the good one behind it arrives"
    check_whole(ours.hub)


def test_a_bad_package_is_recorded_once(ours, axis):
    deliver(axis, BAD["a zip bomb"][0], "bad")
    ours.take()
    axis._deliveries[0].state = "initial"
    ours = ours.restarted()
    ours.take()

    assert len([row for row in ours.rows() if row.state is RelayState.PARKED]) == 1
    assert axis._deliveries[0].state == "fail"


def test_several_with_one_id_and_other_bytes_are_parked_but_the_first(ours, axis):
    deliver(axis, GOOD, "one")
    for number in range(3):
        deliver(axis, GOOD.replace("V/v thử", f"V/v thử {number}"), f"other-{number}")
    ours.take()

    assert inbox(ours) == ["V/v thử"]
    reasons = [row.reason for row in ours.rows() if row.state is RelayState.PARKED]
    assert reasons == ["OTHER_CONTENT"] * 3


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_vietnamese_in_every_field_arrives_as_it_was_written(ours, axis, form):
    def spelled(text: str) -> str:
        return unicodedata.normalize(form, text)

    words = spelled("Đề nghị phối hợp: ỗ ữ ặ Ỹ đ Đ 🇻🇳")
    package = (
        package_xml(
            f"<DocumentId>{spelled('đặc biệt/ỹ')}</DocumentId><Content>{words}</Content>"
            f"<SignerInfo><FullName>{spelled('Nguyễn Thị Ỹ Đức')}</FullName></SignerInfo>",
            attachments=attachment_xml(b"%PDF", spelled("Công văn số 1 – ủỷ.pdf")),
        )
        .replace("V/v thử", words)
        .replace("<CodeNotation>VP", f"<CodeNotation>{spelled('QĐ-ỦBND')}")
    )
    deliver(axis, package, "spelled")
    ours.take()

    ((_, _, document),) = ours.hub.views.inbox(THERE, 0, 10)
    assert document.subject == words
    assert document.code == spelled("7/QĐ-ỦBND")
    party = Party(THERE)
    handed = ours.hub.collect(
        THERE,
        party.say(
            "application/vnd.lienthong.collect.v1+json",
            envelope_digest=document.envelope_digest.hex(),
        ),
    )
    assert spelled("Nguyễn Thị Ỹ Đức").encode() in handed.envelope.statement.payload
    check_whole(ours.hub)


def test_a_status_for_an_unknown_document_is_parked_after_a_while(ours, axis):
    package = STATUS.format(about="01a2060a-dda3-7278-b2f5-deeb7d23b414", code="03")
    data = package.encode()
    axis._deliveries.append(Delivered("early", "sent early", MessageKind.STATUS, "", THERE, data))
    ours.take()
    assert ours.rows() == []
    ours.hub.clock.advance(timedelta(minutes=20))
    ours.take()
    (parked,) = ours.rows()
    assert (parked.kind, parked.reason) == (RelayKind.STATUS, "DOCUMENT_UNKNOWN")


def test_a_zip_with_paths_writes_nowhere(ours, axis, tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../x.txt", b"evil")
    deliver(axis, package_xml(attachments=attachment_xml(out.getvalue(), "x.txt")), "path")
    ours.take()

    ((_, _, document),) = ours.hub.views.inbox(THERE, 0, 10)
    # Not a wrapping as senders make it: so it stays what it is, one file of bytes.
    assert document.attachment_bytes == len(out.getvalue())
