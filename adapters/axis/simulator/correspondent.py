"""An organisation with nobody behind it: it takes what it gets, and writes back."""

from __future__ import annotations

import base64
from datetime import datetime
from uuid import uuid4
from xml.sax.saxutils import escape

from adapters.axis.edxml import names
from adapters.axis.simulator.habits import Glance

ANSWERED_WITH = ("01", "03")
"""What it says of each document it gets: arrived, accepted."""

_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\r\n'
    f'<edXML xmlns="{names.NAMESPACE}">'
    f'<edXML:edXMLEnvelope xmlns:edXML="{names.NAMESPACE}"><edXML:edXMLHeader>'
    "{header}</edXML:edXMLHeader>{body}</edXML:edXMLEnvelope>{attachments}</edXML>\r\n"
)


def status_of(seen: Glance, by: str, code: str, at: datetime) -> bytes:
    """The package that says what has become of a document."""
    header = _elements(
        "MessageHeader",
        _elements("From", _text("OrganId", by)),
        _elements(
            "ResponseFor",
            _text("OrganId", seen.sender),
            _text("Code", seen.notation),
            _text("DocumentId", seen.document_id),
        ),
        _text("StatusCode", code),
        _text("Timestamp", at.strftime(names.TIMESTAMP_FORMAT)),
    )
    return _ENVELOPE.format(header=header, body="", attachments="").encode()


def reply_to(seen: Glance, by: str, number: int, at: datetime) -> bytes:
    """The package of a document that answers another one, with a file."""
    header = _elements(
        "MessageHeader",
        _elements("From", _text("OrganId", by)),
        _elements("To", _text("OrganId", seen.sender)),
        _text("DocumentId", str(uuid4())),
        _elements("Code", _text("CodeNumber", str(number)), _text("CodeNotation", "TL")),
        _elements(
            "PromulgationInfo",
            _text("Place", "Hà Nội"),
            _text("PromulgationDate", f"{at:%Y/%m/%d}"),
        ),
        _elements(
            "DocumentType",
            _text("Type", "2"),
            _text("TypeDetail", "18"),
            _text("TypeName", "Công văn"),
        ),
        _text("Subject", f"V/v trả lời công văn số {seen.notation}"),
        _text("SteeringType", "1"),
    )
    hops = _elements(
        "TraceHeaderList",
        _elements(
            "TraceHeader",
            _text("OrganId", by),
            _text("Timestamp", at.strftime(names.TIMESTAMP_FORMAT)),
        ),
    )
    content = base64.b64encode(f"Đã nhận công văn số {seen.notation}.\n".encode()).decode()
    attachments = (
        "<AttachmentEncoded><Attachment><ContentId>cid:att-1</ContentId>"
        "<AttachmentName>tra-loi.txt</AttachmentName><ContentType>application/txt</ContentType>"
        f'<edXML:ContentTransferEncoded xmlns:edXML="{names.NAMESPACE}">{content}'
        "</edXML:ContentTransferEncoded></Attachment></AttachmentEncoded>"
    )
    return _ENVELOPE.format(header=header + hops, body="", attachments=attachments).encode()


def _elements(name: str, *inner: str) -> str:
    return f"<edXML:{name}>{''.join(inner)}</edXML:{name}>"


def _text(name: str, text: str) -> str:
    return _elements(name, escape(text))
