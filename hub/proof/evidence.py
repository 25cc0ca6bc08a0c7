"""The receipt file people keep, and what can be found out from it alone.

A file holds a leaf with its proof; where the leaf records what an agency signed, it may
hold that statement; and with the statement, the enrolment of the certificate behind it. It
never holds anything to believe: that is the trusted root's part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hub.errors import VerificationFailed
from hub.proof.checkpoint import OpenedCheckpoint
from hub.proof.dsse import SignedStatement
from hub.proof.leaf import Event, parse_leaf
from hub.proof.receipt import (
    Receipt,
    VerifiedReceipt,
    parse_tlog_proof,
    verify_leaf_included,
    verify_receipt,
)
from hub.proof.signatures import Algorithm, PublicKey
from hub.proof.strict import JsonObject, encode_base64, read_back
from hub.proof.trust import ConsistencyNeeded, TrustedRoot

RECEIPT_FILE_MEDIA_TYPE = "application/vnd.lienthong.receipt.v1+json"
RECEIPT_FILE_BYTES_MAX = 16 << 20
ENROLMENT_TOPIC = "hub.Agency.CertificateEnrolled"

_REQUIRED = frozenset({"media_type", "leaf", "proof"})
_OPTIONAL = frozenset({"statement", "enrolment"})
_STATEMENT_NAMES = frozenset({"payload_type", "payload", "key_id", "signature"})
_ENROLMENT_NAMES = frozenset({"leaf", "proof", "certificate"})


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The receipt of a certificate's enrolment, and that certificate in DER."""

    receipt: Receipt
    certificate: bytes


@dataclass(frozen=True, slots=True)
class ReceiptFile:
    """What a receipt file holds. An enrolment never comes without a statement."""

    receipt: Receipt
    statement: SignedStatement | None = None
    enrolment: Enrolment | None = None

    def format(self) -> bytes:
        """The file's bytes. Raises ValueError for what `parse_receipt_file` would refuse."""
        document: dict[str, Any] = {"media_type": RECEIPT_FILE_MEDIA_TYPE}
        document |= _receipt_members(self.receipt)
        if self.statement is not None:
            document["statement"] = _statement_members(self.statement)
        if self.enrolment is not None:
            certificate = encode_base64(self.enrolment.certificate)
            enrolment = _receipt_members(self.enrolment.receipt) | {"certificate": certificate}
            document["enrolment"] = enrolment
        data = json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8") + b"\n"
        return read_back(data, parse_receipt_file, self)


class Verdict(StrEnum):
    """What a finding says about its step."""

    PROVEN = "proven"  # By mathematics, given the trusted root.
    STATED = "stated"  # The hub's word: fixed in the log, but nobody else vouches for it.
    NOT_CHECKED = "not checked"  # This file, or this program, cannot tell.
    REFUTED = "refuted"  # It does not hold; nothing after it was looked at.


@dataclass(frozen=True, slots=True)
class Finding:
    """One step of an examination, counted from 1, with its verdict in a plain sentence."""

    step: int
    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings about one file, in the order of the steps; at least one."""

    items: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The file as a whole: refuted before not checked before proven, never stated."""
        verdicts = {finding.verdict for finding in self.items}
        for verdict in (Verdict.REFUTED, Verdict.NOT_CHECKED):
            if verdict in verdicts:
                return verdict
        return Verdict.PROVEN


def parse_receipt_file(data: bytes) -> ReceiptFile:
    """Read a receipt file of at most 16 MiB; nothing in it is verified yet.

    Raises VerificationFailed(step="file"), for members it does not know too: what a later
    version adds may be a claim, and a claim that is passed over would look checked.
    """
    file = JsonObject.parse(
        data, bytes_max=RECEIPT_FILE_BYTES_MAX, what="the receipt file", step="file"
    )
    if file.text("media_type") != RECEIPT_FILE_MEDIA_TYPE:
        raise _refused(f"the receipt file is not of type {RECEIPT_FILE_MEDIA_TYPE}", "file")
    file.require_names(_REQUIRED, _OPTIONAL)
    statement = enrolment = None
    if "statement" in file.members:
        statement = _parse_statement(file.child("statement"))
    if "enrolment" in file.members:
        if statement is None:
            raise _refused("the receipt file has an enrolment without a statement", "file")
        enrolment = _parse_enrolment(file.child("enrolment"))
    return ReceiptFile(_parse_receipt(file), statement, enrolment)


def examine(data: bytes, trust: TrustedRoot) -> Findings:
    """Find out what a receipt file proves, step by step; a refuted step is the last.

    1. The file is well formed. 2. A log key of the trusted root signed the checkpoint.
    3. The leaf stands at its position in that tree. 4. The leaf is an event; its time is
    the hub's word. With a statement: 5. it is the one the event records. With an enrolment:
    6. the statement's key was enrolled for its agency; 7. its signature holds; 8. the
    certificate's chain and revocation are not checked here.

    Never raises for anything in the file. A checkpoint that only a consistency proof could
    tie to the trusted root is not checked, and the examination ends there too.
    """
    found: list[Finding] = []
    try:
        # Each step yields exactly one finding, so the one that fails is the next.
        for finding in _steps(data, trust):
            found.append(finding)
    except ConsistencyNeeded as unknown:
        found.append(Finding(len(found) + 1, Verdict.NOT_CHECKED, _sentence(str(unknown))))
    except VerificationFailed as failure:
        found.append(Finding(len(found) + 1, Verdict.REFUTED, _sentence(str(failure))))
    return Findings(tuple(found))


def _steps(data: bytes, trust: TrustedRoot) -> Iterator[Finding]:
    # (1) The file is well formed.
    file = parse_receipt_file(data)
    yield Finding(1, Verdict.PROVEN, "The file is a well-formed receipt file.")

    # (2) A log key of the trusted root signed the checkpoint.
    proof = parse_tlog_proof(file.receipt.proof)
    opened = trust.open_checkpoint(proof.checkpoint)
    yield Finding(2, Verdict.PROVEN, _checkpoint_sentence(opened))

    # (3) The leaf stands at its position in that tree.
    verify_leaf_included(file.receipt.leaf, proof, opened)
    yield Finding(3, Verdict.PROVEN, f"The leaf stands at position {proof.index} of this log.")

    # (4) The leaf is an event; its time is the hub's word.
    event = parse_leaf(file.receipt.leaf)
    yield Finding(4, Verdict.STATED, _event_sentence(event))

    # (5) The statement is the one the event records.
    if file.statement is None:
        return
    _require_recorded(file.statement, event)
    yield Finding(5, Verdict.PROVEN, _statement_sentence(file))

    # (6) The statement's key was enrolled for its agency.
    if file.enrolment is None:
        return
    accepted = VerifiedReceipt(proof.index, event, opened.checkpoint)
    enrolled = verify_receipt(file.enrolment.receipt, trust)
    _require_same_log(enrolled, accepted)
    key = _enrolled_key(file.enrolment.certificate, file.statement, enrolled, trust)
    yield Finding(6, Verdict.PROVEN, _enrolment_sentence(enrolled))

    # (7) The signature holds, under the algorithm that was enrolled with the certificate.
    key.verify(file.statement.pae, file.statement.signature)
    yield Finding(7, Verdict.PROVEN, f"The {key.algorithm} signature on the statement holds.")

    # (8) What this program leaves open is said, not left out.
    yield Finding(8, Verdict.NOT_CHECKED, _chain_sentence(enrolled, accepted))


def _require_recorded(statement: SignedStatement, event: Event) -> None:
    """Step 5: the event names this payload, type, key and signature."""
    recorded = JsonObject(dict(event.data), "the event", "statement").child("statement")
    held = {
        "digest": statement.digest.hex(),
        "payload_type": statement.payload_type,
        "key_id": statement.key_id,
        "signature": encode_base64(statement.signature),
    }
    for name, value in held.items():
        if recorded.text(name) != value:
            raise _refused(f"the event records another {name} than the statement's", "statement")


def _require_same_log(enrolled: VerifiedReceipt, accepted: VerifiedReceipt) -> None:
    """Step 6, first part: the event relied on this very leaf, in this very log."""
    ours, theirs = accepted.checkpoint, enrolled.checkpoint
    if theirs.origin != ours.origin:
        raise _refused("the enrolment stands in another log than the event", "enrolment")
    if theirs.size == ours.size and theirs.root != ours.root:
        raise _refused("the log signed two trees of one size", "enrolment")
    relied_on = JsonObject(dict(accepted.event.data), "the event", "enrolment")
    if relied_on.integer("enrolment", minimum=0) != enrolled.position:
        raise _refused("the event relied on another enrolment than this one", "enrolment")
    if enrolled.position >= accepted.position:
        raise _refused("the enrolment does not come before the event", "enrolment")


def _enrolled_key(
    certificate: bytes, statement: SignedStatement, enrolled: VerifiedReceipt, trust: TrustedRoot
) -> PublicKey:
    """Step 6, second part: the enrolled key, once all that names it agrees."""
    if enrolled.event.topic != ENROLMENT_TOPIC:
        raise _refused("the enrolment's leaf is an event of another kind", "enrolment")
    data = JsonObject(dict(enrolled.event.data), "the enrolment's event", "enrolment")
    payload = JsonObject.parse(
        statement.payload, bytes_max=RECEIPT_FILE_BYTES_MAX, what="the payload", step="enrolment"
    )
    # A statement is made for one hub. It names a log, and logs are reopened under new
    # origins with their leaves kept, so any log of this trusted root is the same hub.
    if not trust.lists(payload.text("hub")):
        raise _refused("the statement was made for another hub", "enrolment")
    if data.text("agency") != payload.text("agency"):
        raise _refused("the certificate was enrolled for another agency", "enrolment")
    if data.text("purpose") != "signing":
        raise _refused("the certificate was not enrolled for signing", "enrolment")
    if data.text("certificate") != hashlib.sha256(certificate).hexdigest():
        raise _refused("another certificate was enrolled", "enrolment")
    key = PublicKey.from_certificate(certificate, _algorithm(data.text("algorithm")))
    if not data.text("key_id") == key.key_id == statement.key_id:
        raise _refused("the certificate holds another key than was named", "enrolment")
    return key


def _algorithm(name: str) -> Algorithm:
    try:
        return Algorithm(name)
    except ValueError as error:
        raise _refused("the enrolled algorithm is not one of ours", "enrolment") from error


# --- The findings in words --------------------------------------------------------------


def _checkpoint_sentence(opened: OpenedCheckpoint) -> str:
    checkpoint = opened.checkpoint
    witnesses = sorted({cosignature.key.name for cosignature in opened.cosignatures})
    seen = f"cosigned by {', '.join(witnesses)}" if witnesses else "cosigned by no known witness"
    return (
        f"A log key of the trusted root signed the checkpoint of {checkpoint.origin}"
        f" at size {checkpoint.size}, {seen}."
    )


def _event_sentence(event: Event) -> str:
    time = event.time.strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    return f"The leaf is the event {event.topic}; by the hub's own clock it is of {time}."


def _statement_sentence(file: ReceiptFile) -> str:
    sentence = "The hub recorded this very statement, with this key id and signature"
    if file.enrolment is None:
        sentence += "; whether the signature is good, the file does not let one check"
    return sentence + "."


def _enrolment_sentence(enrolled: VerifiedReceipt) -> str:
    return (
        "The certificate was enrolled for signing for the agency the statement names,"
        f" at position {enrolled.position} (checkpoint of size {enrolled.checkpoint.size})."
    )


def _chain_sentence(enrolled: VerifiedReceipt, accepted: VerifiedReceipt) -> str:
    return (
        "The certificate's chain and its revocation by the issuer were not checked, nor"
        " whether the log revoked it between positions"
        f" {enrolled.position} and {accepted.position}."
    )


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."


# --- The file ---------------------------------------------------------------------------


def _receipt_members(receipt: Receipt) -> dict[str, Any]:
    try:
        proof = receipt.proof.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("a proof that is not UTF-8") from error
    return {"leaf": encode_base64(receipt.leaf), "proof": proof}


def _statement_members(statement: SignedStatement) -> dict[str, Any]:
    return {
        "payload_type": statement.payload_type,
        "payload": encode_base64(statement.payload),
        "key_id": statement.key_id,
        "signature": encode_base64(statement.signature),
    }


def _parse_receipt(fields: JsonObject) -> Receipt:
    return Receipt(fields.octets("leaf"), fields.text("proof").encode("utf-8"))


def _parse_statement(fields: JsonObject) -> SignedStatement:
    fields.require_names(_STATEMENT_NAMES)
    return SignedStatement(
        payload_type=fields.text("payload_type"),
        payload=fields.octets("payload"),
        key_id=fields.text("key_id"),
        signature=fields.octets("signature"),
    )


def _parse_enrolment(fields: JsonObject) -> Enrolment:
    fields.require_names(_ENROLMENT_NAMES)
    return Enrolment(_parse_receipt(fields), fields.octets("certificate"))


def _refused(why: str, step: str) -> VerificationFailed:
    return VerificationFailed(why, step=step)
