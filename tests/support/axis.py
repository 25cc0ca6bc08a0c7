"""Packages, contents and envelopes for the tests of the axis."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from adapters.axis.edxml.model import Attachment, DocumentPackage, Package, StatusPackage
from adapters.axis.edxml.reader import DEFAULT_LIMITS, Reading, read
from adapters.axis.edxml.writer import write_document, write_status

DATA = Path(__file__).parents[1] / "data"
EDXML = DATA / "edxml"
NAMESPACE = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
UUID_NAME = "f110ae4f-f544-47e2-a378-fe36748a33ee"


def scratch() -> BinaryIO:
    return io.BytesIO()


def reading(data: bytes | str, limits: Any = DEFAULT_LIMITS) -> Reading:
    data = data.encode() if isinstance(data, str) else data
    return read(io.BytesIO(data), scratch, limits)


def sample(name: str) -> bytes:
    return (EDXML / f"{name}.edxml").read_bytes()


def written(package: Package, contents: Iterable[bytes] = ()) -> bytes:
    out = io.BytesIO()
    if isinstance(package, StatusPackage):
        write_status(package, out)
    else:
        write_document(package, [io.BytesIO(each) for each in contents], out, scratch)
    return out.getvalue()


def document_in(data: bytes | str) -> DocumentPackage:
    package = reading(data).package
    assert isinstance(package, DocumentPackage)
    return package


def attachment(name: str, content: bytes, **more: Any) -> Attachment:
    return Attachment(
        name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest(), **more
    )


def zipped(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, compression)
    return out.getvalue()


HEADER = """<MessageHeader>
  <From><OrganId>A.H99</OrganId></From><To><OrganId>B.H99</OrganId></To>
  <Code><CodeNumber>7</CodeNumber><CodeNotation>VP</CodeNotation></Code>
  <PromulgationInfo><PromulgationDate>2025/11/20</PromulgationDate></PromulgationInfo>
  <DocumentType><TypeName>Công văn</TypeName></DocumentType><Subject>V/v thử</Subject>{more}
</MessageHeader>"""


def package_xml(more: str = "", *, attachments: str = "", header: str = HEADER) -> str:
    """A small package of one's own, unprefixed."""
    return (
        f'<edXML xmlns="{NAMESPACE}"><edXMLEnvelope><edXMLHeader>'
        f"{header.replace('{more}', more)}</edXMLHeader></edXMLEnvelope>"
        f"<AttachmentEncoded>{attachments}</AttachmentEncoded></edXML>"
    )


def attachment_xml(content: bytes | str, name: str = "a.pdf", content_type: str = "") -> str:
    encoded = content if isinstance(content, str) else base64.b64encode(content).decode()
    return (
        f"<Attachment><AttachmentName>{name}</AttachmentName>"
        f"<ContentType>{content_type}</ContentType>"
        f"<ContentTransferEncoded>{encoded}</ContentTransferEncoded></Attachment>"
    )


def envelope(**document: Any) -> dict[str, Any]:
    """The payload of an envelope, as an agency signs it."""
    return {
        "v": 1,
        "hub": "lienthong.example/2026",
        "agency": "000.00.01.H99",
        "request_id": "207ad816-5dcd-405e-8a5e-421e1120e2a5",
        "nonce": "ZWEvGL1NhcAv8EleYUbVGQ==",
        "created_at": "2026-11-22T08:30:00+07:00",
        "recipients": ["000.00.02.H99", "000.00.03.H99"],
        "action": "new",
        "document": {
            "number": "125",
            "notation": "UBND-VP",
            "type": {"name": "Công văn"},
            "secrecy": "none",
            "subject": "V/v triển khai liên thông",
            "issued_on": "2026-11-21",
            "priority": "khan",
            "language": "vi",
            "attachments": [],
            **document,
        },
    }


# --- Requests of the vendor's client -------------------------------------------------------

VECTORS = json.loads((DATA / "axis-wire-vectors.json").read_text(encoding="utf-8"))
SECRET = VECTORS["secret"]
BY_CALL = {each["call"]: each for each in VECTORS["requests"]}


def content_of(vector: dict[str, Any]) -> bytes:
    if "body_file" in vector:
        return (DATA / vector["body_file"]).read_bytes()
    return str(vector["body"]).encode()
