"""Makes the signed examples in `protos/statements/examples`, with keys that nobody keeps.

    python -m tests.support.make_statement_examples

Run by hand when a statement's form changes. Private keys exist only while it runs, and
ECDSA and PSS signatures are random, so every run gives other files: the tests read what
lies there and never run this.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from hub.proof.dsse import pre_authentication_encoding
from hub.proof.signatures import Algorithm, key_id_of
from hub.proof.statements import (
    Approval,
    Collect,
    Envelope,
    ErasureOrder,
    KeyOrder,
    Possession,
    Renewal,
    Status,
)
from keys.development_ca import DevelopmentCA
from keys.file import PrivateKey

EXAMPLES = Path(__file__).parents[2] / "protos" / "statements" / "examples"
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)

SENDER, RECIPIENT = "000.00.01.H99", "000.00.02.H99"
OPERATOR, SECOND_OPERATOR = "operator", "operator-2"


def sign(key: PrivateKey, algorithm: Algorithm, message: bytes) -> bytes:
    """A signature as `PublicKey.verify` expects it of this algorithm."""
    match key:
        case ed25519.Ed25519PrivateKey():
            return key.sign(message)
        case ec.EllipticCurvePrivateKey():
            return key.sign(message, ec.ECDSA(SHA256()))
        case rsa.RSAPrivateKey() if algorithm is Algorithm.RSA_PSS_SHA256:
            scheme = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)
            return key.sign(message, scheme, SHA256())
        case rsa.RSAPrivateKey():
            return key.sign(message, padding.PKCS1v15(), SHA256())


def header(name: str, agency: str, minute: int) -> dict[str, Any]:
    """The fields of every statement; random ones are derived from the example's name."""
    seed = hashlib.sha256(f"lienthong example {name}".encode()).hexdigest()
    return {
        "v": 1,
        "hub": "lienthong.example/2026",
        "agency": agency,
        "request_id": f"{seed[:8]}-{seed[8:12]}-4{seed[13:16]}-8{seed[17:20]}-{seed[20:32]}",
        "nonce": base64.b64encode(bytes.fromhex(seed[32:])).decode(),
        "created_at": f"2026-11-22T08:{minute:02}:00+07:00",
    }


def document(**more: Any) -> dict[str, Any]:
    """The fields a document must have."""
    content = b"%PDF-1.7 example"
    return {
        "number": "125",
        "notation": "UBND-VP",
        "type": {"name": "Công văn", "code": "CV"},
        "secrecy": "none",
        "subject": "V/v triển khai liên thông văn bản điện tử",
        "issued_on": "2026-11-21",
        "priority": "khan",
        "language": "vi",
        "attachments": [
            {
                "name": "Công văn 125.pdf",
                "media_type": "application/pdf",
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "description": "Bản chính",
            }
        ],
        **more,
    }


def payloads(certificate: bytes) -> dict[str, tuple[str, bytes]]:
    """Media type and payload of each example; indented, for JSON may be written in any way.

    `certificate` (DER) is the one that the renewal brings.
    """
    envelope = encode(
        header("envelope", SENDER, 30)
        | {
            "recipients": [RECIPIENT, "000.00.03.H99"],
            "action": "new",
            "relates_to": None,
            "sender_seq": 41,
            "expires_at": "2026-12-31T17:00:00+07:00",
            "document": document(
                summary="Đề nghị các đơn vị triển khai trước ngày 30/11/2026.",
                place="Hà Nội",
                signer={
                    "competence": "KT. CHỦ TỊCH",
                    "position": "Phó Chủ tịch",
                    "full_name": "Nguyễn Văn A",
                },
                due_on="2026-11-30",
                pages=3,
                in_reply_to=[
                    {
                        "agency": RECIPIENT,
                        "number": "98",
                        "notation": "SNV",
                        "issued_on": "2026-11-02",
                    }
                ],
                steering=1,
                to_places=["Như trên", "Lưu: VT, VP"],
                paper=False,
            ),
            "x_vendor_note": "unknown fields are kept",
        }
    )
    digest = hashlib.sha256(envelope).hexdigest()
    replacement = header("replacement", SENDER, 50) | {
        "recipients": [RECIPIENT],
        "action": "replace",
        "relates_to": digest,
        "document": document(),
    }
    renewal = encode(
        header("renewal", SENDER, 55)
        | {
            "purpose": "signing",
            "algorithm": Algorithm.ED25519.value,
            "certificate": base64.b64encode(certificate).decode(),
        }
    )
    possession = header("possession", SENDER, 55) | {
        "renewal_digest": hashlib.sha256(renewal).hexdigest()
    }
    about = {"envelope_digest": digest}
    order = encode(
        header("erasure-order", OPERATOR, 55)
        | about
        | {
            "reason": "data-subject-request",
            "basis": "Luật Bảo vệ dữ liệu cá nhân 91/2025/QH15, Điều 14",
            "note": "Theo đề nghị của chủ thể dữ liệu, hồ sơ kèm theo.",
        }
    )
    key_order = header("key-order", OPERATOR, 56) | {
        "action": "activate-key",
        "hub_key": "lienthong.example/2026+bf9e43e3+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
        "reason": "planned",
        "basis": "Kế hoạch thay khóa 12/KH-STTTT",
    }
    approval = header("approval", SECOND_OPERATOR, 58) | {
        "order_digest": hashlib.sha256(order).hexdigest()
    }
    refusal = {"code": "02", "reason": "Văn bản gửi không đúng thẩm quyền tiếp nhận"}
    return {
        "envelope": (Envelope.MEDIA_TYPE, envelope),
        "envelope-replace": (Envelope.MEDIA_TYPE, encode(replacement)),
        "collect": (Collect.MEDIA_TYPE, encode(header("collect", RECIPIENT, 35) | about)),
        "status": (
            Status.MEDIA_TYPE,
            encode(header("status", RECIPIENT, 40) | about | {"code": "03"}),
        ),
        "status-refused": (
            Status.MEDIA_TYPE,
            encode(header("refusal", RECIPIENT, 45) | about | refusal),
        ),
        "renewal": (Renewal.MEDIA_TYPE, renewal),
        "possession": (Possession.MEDIA_TYPE, encode(possession)),
        "erasure-order": (ErasureOrder.MEDIA_TYPE, order),
        "key-order": (KeyOrder.MEDIA_TYPE, encode(key_order)),
        "approval": (Approval.MEDIA_TYPE, encode(approval)),
    }


def encode(payload: dict[str, Any]) -> bytes:
    """A payload as a person would like to read it."""
    return json.dumps(payload, ensure_ascii=False, indent=2).encode() + b"\n"


def signed_example(
    key: PrivateKey, algorithm: Algorithm, payload_type: str, payload: bytes
) -> bytes:
    """A signed statement as JSON, with its two byte strings in base64."""
    signature = sign(key, algorithm, pre_authentication_encoding(payload_type, payload))
    return encode(
        {
            "payload_type": payload_type,
            "payload": base64.b64encode(payload).decode(),
            "key_id": key_id_of(key.public_key()),
            "signature": base64.b64encode(signature).decode(),
        }
    )


def main() -> None:
    """Write all of it anew."""
    with TemporaryDirectory() as folder:
        ca = DevelopmentCA.create(Path(folder) / "ca", lambda: BEGIN)
    issued = {
        algorithm: ca.issue_signing(f"Example {algorithm.value}", algorithm, BEGIN, END)
        for algorithm in Algorithm
    }
    renewed = x509.load_pem_x509_certificate(issued[Algorithm.ED25519].certificate_pem)
    made = payloads(renewed.public_bytes(Encoding.DER))
    for name, (_, payload) in made.items():
        (EXAMPLES / f"{name}.payload.json").write_bytes(payload)
    for algorithm, one in issued.items():
        (EXAMPLES / f"{algorithm.value}.certificate.pem").write_bytes(one.certificate_pem)
        key: Any = load_pem_private_key(one.private_key_pem, password=None)
        for name, (payload_type, payload) in made.items():
            example = signed_example(key, algorithm, payload_type, payload)
            (EXAMPLES / f"{name}.{algorithm.value}.json").write_bytes(example)


if __name__ == "__main__":
    main()
