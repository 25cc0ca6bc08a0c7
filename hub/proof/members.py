"""Receipts and signed statements as they stand in JSON files."""

from __future__ import annotations

from typing import Any

from hub.proof.dsse import SignedStatement
from hub.proof.leaf import LEAF_BYTES_MAX
from hub.proof.receipt import TLOG_PROOF_BYTES_MAX, Receipt
from hub.proof.statements import PAYLOAD_BYTES_MAX
from hub.proof.strict import JsonObject, encode_base64

STATEMENT_NAMES = frozenset({"payload_type", "payload", "key_id", "signature"})


def parse_receipt(fields: JsonObject) -> Receipt:
    """The `leaf` and `proof` of an object, which may have more; nothing is verified yet."""
    # What no hub ever wrote is refused before copies are made of it.
    return Receipt(
        fields.octets("leaf", bytes_max=LEAF_BYTES_MAX),
        fields.text("proof", chars_max=TLOG_PROOF_BYTES_MAX).encode("utf-8"),
    )


def parse_statement(fields: JsonObject) -> SignedStatement:
    """A signed statement, nothing in which is verified yet."""
    fields.require_names(STATEMENT_NAMES)
    return SignedStatement(
        payload_type=fields.text("payload_type"),
        payload=fields.octets("payload", bytes_max=PAYLOAD_BYTES_MAX),
        key_id=fields.text("key_id"),
        signature=fields.octets("signature"),
    )


def receipt_members(receipt: Receipt) -> dict[str, Any]:
    """What `parse_receipt` reads. Raises ValueError for a proof that is no text."""
    return {"leaf": encode_base64(receipt.leaf), "proof": as_text(receipt.proof)}


def statement_members(statement: SignedStatement) -> dict[str, Any]:
    """What `parse_statement` reads."""
    return {
        "payload_type": statement.payload_type,
        "payload": encode_base64(statement.payload),
        "key_id": statement.key_id,
        "signature": encode_base64(statement.signature),
    }


def as_text(data: bytes) -> str:
    """A proof or a signed note as text. Raises ValueError for what is none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("a proof or checkpoint that is not UTF-8") from error
