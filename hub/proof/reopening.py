"""The order to go on with a log under a new origin and key, because the old one cannot.

It names both trees: the one that is kept, and the last one that the old key signed. Its
signature is an operator's, and counts for nothing without the approval of a second one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

from hub.errors import VerificationFailed
from hub.proof.checkpoint import Checkpoint
from hub.proof.dsse import SignedStatement
from hub.proof.fields import Fields
from hub.proof.ijson import parse_ijson
from hub.proof.note import NOTE_BYTES_MAX, KeyType, VerifierKey
from hub.proof.statements import BASIS_CHARS_MAX, CODE_WORD, PAYLOAD_BYTES_MAX, Header
from hub.proof.strict import JsonObject, encode_base64

SIGNED_MEDIA_TYPE = "application/vnd.lienthong.signed-statement.v1+json"
PLAN_MEDIA_TYPE = "application/vnd.lienthong.reopening.v1+json"
FILE_BYTES_MAX = 2 << 20

_SIZE_MAX = 2**53 - 1
_SIGNED_NAMES = frozenset({"media_type", "payload_type", "payload", "key_id", "signature"})


@dataclass(frozen=True, slots=True)
class Reopening:
    """From which tree, under which name and key, a log goes on, and why.

    `kept` is the tree of the old log that is still there, `last` the newest that its key is
    known to have signed; where `last` is larger, the events in between are lost. `note` is
    the signed checkpoint of `last`, empty where only the signer's memory knows it. `reason` is
    a code word, `basis` names the decision.
    """

    origin: str
    log_key: str
    kept: Checkpoint
    last: Checkpoint
    note: str
    reason: str
    basis: str

    @property
    def old_origin(self) -> str:
        """The log that ends."""
        return self.last.origin

    def members(self) -> dict[str, object]:
        """What an order says beside its header."""
        return {
            "origin": self.origin,
            "log_key": self.log_key,
            "kept_size": self.kept.size,
            "kept_root": self.kept.root.hex(),
            "last_size": self.last.size,
            "last_root": self.last.root.hex(),
            "note": self.note,
            "reason": self.reason,
            "basis": self.basis,
        }

    @classmethod
    def read(cls, fields: Fields, old_origin: str) -> Reopening:
        """Read what `members` wrote. Raises MalformedField."""
        basis = fields.text("basis", chars_max=BASIS_CHARS_MAX)
        if not basis.isprintable():
            raise fields.bad("basis", "must be one line")
        origin = fields.text("origin", chars_max=200)
        log_key = fields.text("log_key", chars_max=400)
        _require_key(fields, log_key, origin)
        return cls(
            origin=origin,
            log_key=log_key,
            kept=_tree(fields, "kept", old_origin),
            last=_tree(fields, "last", old_origin),
            note=fields.text("note", chars_max=NOTE_BYTES_MAX, chars_min=0),
            reason=fields.matching("reason", CODE_WORD, "one code word of at most 40 characters"),
            basis=basis,
        )


@dataclass(frozen=True, slots=True)
class ReopenOrder:
    """Reopen the log; said by an operator, in force once another one approves."""

    MEDIA_TYPE: ClassVar[str] = "application/vnd.lienthong.reopen-order.v1+json"

    header: Header
    reopening: Reopening


def read_reopen_order(signed: SignedStatement) -> ReopenOrder:
    """The order in a signed payload. Says nothing about the signature.

    Raises VerificationFailed (as MalformedField where one field is at fault).
    """
    if signed.payload_type != ReopenOrder.MEDIA_TYPE:
        raise VerificationFailed("this is no order to reopen a log", step="statement")
    fields = Fields(parse_ijson(signed.payload, bytes_max=PAYLOAD_BYTES_MAX))
    header = Header.read(fields)
    return ReopenOrder(header, Reopening.read(fields, header.hub))


def format_plan(reopening: Reopening) -> bytes:
    """The file in which a plan waits for its first signature."""
    members = {"media_type": PLAN_MEDIA_TYPE, "hub": reopening.old_origin, **reopening.members()}
    return json.dumps(members, ensure_ascii=False, indent=2).encode() + b"\n"


def parse_plan(data: bytes) -> Reopening | None:
    """The plan in a file; None for a file of another kind. Raises VerificationFailed."""
    fields = Fields(parse_ijson(data, bytes_max=FILE_BYTES_MAX))
    if fields.text("media_type", chars_max=200) != PLAN_MEDIA_TYPE:
        return None
    return Reopening.read(fields, fields.text("hub", chars_max=200))


def format_signed(statement: SignedStatement) -> bytes:
    """The file in which a signed statement is carried about."""
    members = {
        "media_type": SIGNED_MEDIA_TYPE,
        "payload_type": statement.payload_type,
        "payload": encode_base64(statement.payload),
        "key_id": statement.key_id,
        "signature": encode_base64(statement.signature),
    }
    return json.dumps(members, ensure_ascii=False, indent=2).encode() + b"\n"


def parse_signed(data: bytes) -> SignedStatement:
    """The statement in such a file; nothing is verified yet. Raises VerificationFailed."""
    what = "the signed statement"
    file = JsonObject.parse(data, bytes_max=FILE_BYTES_MAX, what=what, step="statement")
    file.require_names(_SIGNED_NAMES)
    if file.text("media_type") != SIGNED_MEDIA_TYPE:
        raise VerificationFailed(f"{what} is not of type {SIGNED_MEDIA_TYPE}", step="statement")
    return SignedStatement(
        payload_type=file.text("payload_type"),
        payload=file.octets("payload"),
        key_id=file.text("key_id"),
        signature=file.octets("signature"),
    )


def _tree(fields: Fields, name: str, origin: str) -> Checkpoint:
    size = fields.integer(f"{name}_size", minimum=0, maximum=_SIZE_MAX)
    return Checkpoint(origin, size, bytes.fromhex(fields.digest(f"{name}_root")))


def _require_key(fields: Fields, log_key: str, origin: str) -> None:
    try:
        key = VerifierKey.parse(log_key)
    except VerificationFailed as failure:
        raise fields.bad("log_key", str(failure)) from failure
    if key.key_type is not KeyType.ED25519 or key.name != origin:
        raise fields.bad("log_key", "must be a log's key, named like the new origin")
