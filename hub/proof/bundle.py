"""Everything about one document in one file, to be checked without the hub.

A bundle holds facts with their receipts, what agencies signed, the enrolments behind it, and
what others vouch for. Like a receipt file it never holds anything to believe: that is the
trusted root's part. What it proves, :mod:`hub.proof.examination` finds out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from hub.errors import VerificationFailed
from hub.proof.canonical import encode_canonical, parse_canonical
from hub.proof.checkpoint import parse_checkpoint_body
from hub.proof.dsse import SignedStatement
from hub.proof.members import (
    as_text,
    parse_receipt,
    parse_statement,
    receipt_members,
    statement_members,
)
from hub.proof.merkle import HASH_BYTES, PROOF_HASHES_MAX
from hub.proof.note import NOTE_BYTES_MAX, parse_note
from hub.proof.receipt import Receipt, parse_tlog_proof
from hub.proof.strict import JsonObject, decode_base64, encode_base64, read_back

BUNDLE_MEDIA_TYPE = "application/vnd.lienthong.bundle.v1+json"
BUNDLE_BYTES_MAX = 32 << 20
FACTS_MAX = 10_000
# A document has a handful of each; the limits keep a hostile file from costing more than it.
OTHERS_MAX = 1_000
TIMESTAMPS_MAX = 32
RENEWALS_MAX = 64
CERTIFICATES_MAX = 32
STORED_BYTES_MAX = 16 << 20
"""How much of what issuers said a bundle has room for, each piece counted once."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMES = frozenset(
    {
        "media_type",
        "digest",
        "exchange",
        "facts",
        "enrolments",
        "hub_keys",
        "checkpoints",
        "consistency",
    }
)
_RECEIPT = frozenset({"leaf", "proof"})
_ENROLMENT = frozenset({"leaf", "proof", "certificate", "issuers", "revocation"})
_CHECKPOINT = frozenset({"note", "timestamps"})
_TOKEN = frozenset({"authority", "token", "certificates"})
_LINK = frozenset({"old_size", "new_size", "hashes"})

T = TypeVar("T")
K = TypeVar("K", int, tuple[int, bytes])


@dataclass(frozen=True, slots=True)
class Fact:
    """An event about the document, and what an agency signed, where the event records that."""

    receipt: Receipt
    statement: SignedStatement | None = None


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """What an issuer said, in DER, with the receipt of the event that stored its digest then."""

    receipt: Receipt
    data: bytes


@dataclass(frozen=True, slots=True)
class BundledEnrolment:
    """A certificate in DER with the receipt of its enrolment.

    `issuers` are certificates between it and an authority; `revocation` is what was known of
    its revocation at the time. Both are empty where the hub has none. In the file a piece that
    several enrolments name has its data in the first of them only.
    """

    receipt: Receipt
    certificate: bytes
    issuers: tuple[bytes, ...] = ()
    revocation: tuple[StoredEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """An RFC 3161 token in DER, who is said to have made it, and certificates beside it in DER."""

    authority: str
    token: bytes
    certificates: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Renewal:
    """A later token, over a message that names the one before it."""

    token: Token
    message: bytes


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A token over the exact bytes of a signed checkpoint, and its renewals, oldest first."""

    token: Token
    renewals: tuple[Renewal, ...] = ()


@dataclass(frozen=True, slots=True)
class Anchor:
    """A signed checkpoint that others vouch for: witnesses in the note, authorities by token."""

    note: bytes
    timestamps: tuple[Timestamp, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """The consistency proof from one tree of the log to a larger one."""

    old_size: int
    new_size: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle holds: receipts by rising position, checkpoints by rising size and bytes.

    `hub_keys` are the receipts of events about the log and its keys. `links` lead from each
    size at which something here was signed to the next.
    """

    exchange_id: str
    facts: tuple[Fact, ...]
    enrolments: tuple[BundledEnrolment, ...] = ()
    hub_keys: tuple[Receipt, ...] = ()
    checkpoints: tuple[Anchor, ...] = ()
    links: tuple[Link, ...] = ()

    def format(self) -> bytes:
        """The file's bytes, the same for the same contents.

        Raises ValueError for what `parse_bundle` would refuse: too much of something, or not
        in order.
        """
        return read_back(_encode(self), parse_bundle, self)


def parse_bundle(data: bytes) -> Bundle:
    """Read a bundle of at most 32 MiB and 10,000 facts; nothing in it is verified yet.

    Every byte matters: the file has one spelling (RFC 8785), and `digest` covers all of it.
    That guards against damage, not against somebody who makes the file anew. Raises
    VerificationFailed(step="file"), for members it does not know too.
    """
    file = parse_canonical(data, bytes_max=BUNDLE_BYTES_MAX, what="the bundle", step="file")
    if file.text("media_type") != BUNDLE_MEDIA_TYPE:
        raise _refused(f"the bundle is not of type {BUNDLE_MEDIA_TYPE}")
    file.require_names(_NAMES)
    rest = {name: value for name, value in file.members.items() if name != "digest"}
    if file.text("digest") != hashlib.sha256(encode_canonical(rest)).hexdigest():
        raise _refused("the bundle is damaged: its digest is another")
    bundle = Bundle(
        exchange_id=_exchange_id(file.text("exchange")),
        facts=_list(file, "facts", _fact, FACTS_MAX, least=1),
        enrolments=_list(file, "enrolments", _Enrolments().read, OTHERS_MAX),
        hub_keys=_list(file, "hub_keys", _bare_receipt, OTHERS_MAX),
        checkpoints=_list(file, "checkpoints", _anchor, OTHERS_MAX),
        links=_list(file, "consistency", _link, FACTS_MAX + 3 * OTHERS_MAX),
    )
    _require_rising((position_of(fact.receipt) for fact in bundle.facts), "facts")
    _require_rising((position_of(one.receipt) for one in bundle.enrolments), "enrolments")
    _require_rising(map(position_of, bundle.hub_keys), "hub_keys")
    _require_rising(((size_of(one.note), one.note) for one in bundle.checkpoints), "checkpoints")
    _require_rising((link.old_size for link in bundle.links), "consistency")
    return bundle


def position_of(receipt: Receipt) -> int:
    """The position a receipt claims. Raises VerificationFailed(step="proof")."""
    return parse_tlog_proof(receipt.proof).index


def size_of(note: bytes) -> int:
    """The tree size a signed checkpoint claims. Raises VerificationFailed."""
    return parse_checkpoint_body(parse_note(note).text).size


# --- Reading ----------------------------------------------------------------------------


def _list(
    file: JsonObject, name: str, read: Callable[[JsonObject], T], most: int, least: int = 0
) -> tuple[T, ...]:
    members = file.children(name)
    if not least <= len(members) <= most:
        raise _refused(f"{file.what} does not have {least} to {most} {name}")
    return tuple(read(member) for member in members)


def _fact(fields: JsonObject) -> Fact:
    fields.require_names(_RECEIPT, {"statement"})
    if "statement" not in fields.members:
        return Fact(parse_receipt(fields))
    return Fact(parse_receipt(fields), parse_statement(fields.child("statement")))


class _Enrolments:
    """Reads enrolments one after the other: the first that names a list brings its data."""

    def __init__(self) -> None:
        self._brought: dict[bytes, bytes] = {}

    def read(self, fields: JsonObject) -> BundledEnrolment:
        fields.require_names(_ENROLMENT)
        return BundledEnrolment(
            receipt=parse_receipt(fields),
            certificate=fields.octets("certificate"),
            issuers=_octet_strings(fields, "issuers", CERTIFICATES_MAX),
            revocation=_list(fields, "revocation", self._stored, OTHERS_MAX),
        )

    def _stored(self, fields: JsonObject) -> StoredEvidence:
        fields.require_names(_RECEIPT, {"data"})
        receipt = parse_receipt(fields)
        if ("data" in fields.members) is (receipt.leaf in self._brought):
            raise _refused(f"{fields.what} lacks its data, or has it once more")
        if "data" in fields.members:
            self._brought[receipt.leaf] = fields.octets("data")
        return StoredEvidence(receipt, self._brought[receipt.leaf])


def _bare_receipt(fields: JsonObject) -> Receipt:
    fields.require_names(_RECEIPT)
    return parse_receipt(fields)


def _anchor(fields: JsonObject) -> Anchor:
    fields.require_names(_CHECKPOINT)
    return Anchor(
        fields.text("note", chars_max=NOTE_BYTES_MAX).encode("utf-8"),
        _list(fields, "timestamps", _timestamp, TIMESTAMPS_MAX),
    )


def _timestamp(fields: JsonObject) -> Timestamp:
    fields.require_names(_TOKEN | {"renewals"})
    return Timestamp(_token(fields), _list(fields, "renewals", _renewal, RENEWALS_MAX))


def _renewal(fields: JsonObject) -> Renewal:
    fields.require_names(_TOKEN | {"message"})
    return Renewal(_token(fields), fields.octets("message"))


def _token(fields: JsonObject) -> Token:
    return Token(
        fields.text("authority"),
        fields.octets("token"),
        _octet_strings(fields, "certificates", CERTIFICATES_MAX),
    )


def _link(fields: JsonObject) -> Link:
    fields.require_names(_LINK)
    old_size = fields.integer("old_size", minimum=1)
    hashes = _octet_strings(fields, "hashes", PROOF_HASHES_MAX)
    if any(len(value) != HASH_BYTES for value in hashes):
        raise _refused(f"{fields.what} has a hash that does not have {HASH_BYTES} bytes")
    return Link(old_size, fields.integer("new_size", minimum=old_size + 1), hashes)


def _octet_strings(fields: JsonObject, name: str, most: int) -> tuple[bytes, ...]:
    texts = fields.texts(name)
    if len(texts) > most:
        raise _refused(f"{fields.what} has more than {most} {name}")
    what = f"one of the {name!r} of {fields.what}"
    return tuple(decode_base64(text, what=what, step=fields.step) for text in texts)


def _exchange_id(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise _refused("the bundle names no exchange")
    return text


def _require_rising(keys: Iterable[K], name: str) -> None:
    # Each comes once, and in one order: so equal contents are equal bytes.
    held = list(keys)
    if any(not before < after for before, after in pairwise(held)):
        raise _refused(f"the {name} of the bundle are not in order")


def _refused(why: str) -> VerificationFailed:
    return VerificationFailed(why, step="file")


# --- Writing ----------------------------------------------------------------------------


def _encode(bundle: Bundle) -> bytes:
    document: dict[str, Any] = {
        "media_type": BUNDLE_MEDIA_TYPE,
        "exchange": bundle.exchange_id,
        "facts": [_fact_members(fact) for fact in bundle.facts],
        "enrolments": _enrolments_members(bundle.enrolments),
        "hub_keys": [receipt_members(receipt) for receipt in bundle.hub_keys],
        "checkpoints": [_anchor_members(anchor) for anchor in bundle.checkpoints],
        "consistency": [
            {
                "old_size": link.old_size,
                "new_size": link.new_size,
                "hashes": _texts(link.hashes),
            }
            for link in bundle.links
        ],
    }
    digest = hashlib.sha256(encode_canonical(document)).hexdigest()
    return encode_canonical(document | {"digest": digest})


def _fact_members(fact: Fact) -> dict[str, Any]:
    members = receipt_members(fact.receipt)
    if fact.statement is not None:
        members["statement"] = statement_members(fact.statement)
    return members


def _enrolments_members(enrolments: Iterable[BundledEnrolment]) -> list[dict[str, Any]]:
    brought: set[bytes] = set()

    def stored_members(stored: StoredEvidence) -> dict[str, Any]:
        members: dict[str, Any] = receipt_members(stored.receipt)
        if stored.receipt.leaf not in brought:
            brought.add(stored.receipt.leaf)
            members["data"] = encode_base64(stored.data)
        return members

    return [
        receipt_members(enrolment.receipt)
        | {
            "certificate": encode_base64(enrolment.certificate),
            "issuers": _texts(enrolment.issuers),
            "revocation": [stored_members(stored) for stored in enrolment.revocation],
        }
        for enrolment in enrolments
    ]


def _anchor_members(anchor: Anchor) -> dict[str, Any]:
    return {
        "note": as_text(anchor.note),
        "timestamps": [
            _token_members(timestamp.token)
            | {"renewals": [_renewal_members(renewal) for renewal in timestamp.renewals]}
            for timestamp in anchor.timestamps
        ],
    }


def _renewal_members(renewal: Renewal) -> dict[str, Any]:
    return _token_members(renewal.token) | {"message": encode_base64(renewal.message)}


def _token_members(token: Token) -> dict[str, Any]:
    return {
        "authority": token.authority,
        "token": encode_base64(token.token),
        "certificates": _texts(token.certificates),
    }


def _texts(values: Sequence[bytes]) -> list[str]:
    return [encode_base64(value) for value in values]
