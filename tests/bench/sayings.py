"""What is said in a run: envelopes of 2 KB, as the wire and as the hub's own code take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub.proof.dsse import SignedStatement
from hub.v1 import exchange_pb2 as wire
from hub.v1 import exchange_service_pb2 as calls
from tests.support.hubs import Speaker, envelope, signed

_SUMMARY = (
    "Thực hiện kế hoạch liên thông văn bản điện tử giữa các cơ quan, đơn vị trên địa bàn, đề nghị "
    "quý cơ quan rà soát, báo cáo kết quả và gửi về cơ quan thường trực trước thời hạn nêu trên. "
)


def envelope_of_2_kb(speaker: Speaker, recipients: Sequence[str], **more: Any) -> dict[str, Any]:
    """An envelope with the fields that letters have, and a summary; 2 KB for one recipient."""
    members = envelope(speaker, recipients, **more)
    members["document"] |= {
        "signer": {"position": "Chủ tịch", "full_name": "Nguyễn Văn A"},
        "summary": _SUMMARY * 3,
    }
    return members


def submissions(speaker: Speaker, recipient: str, count: int) -> list[wire.SignedStatement]:
    """So many signed envelopes, no two alike."""
    return [signed(speaker, envelope_of_2_kb(speaker, [recipient])) for _ in range(count)]


def request_of(statement: wire.SignedStatement) -> bytes:
    """One document as a message."""
    return calls.SubmitDocumentRequest(envelope=statement).SerializeToString()


def requests_of(statements: Sequence[wire.SignedStatement], each: int) -> list[bytes]:
    """Messages with `each` documents."""
    return [
        calls.SubmitDocumentsRequest(
            documents=[
                calls.SubmitDocumentRequest(envelope=statement)
                for statement in statements[start : start + each]
            ]
        ).SerializeToString()
        for start in range(0, len(statements), each)
    ]


def domain_form(statement: wire.SignedStatement) -> SignedStatement:
    """The same without the wire."""
    return SignedStatement(
        statement.payload_type, statement.payload, statement.key_id, statement.signature
    )
