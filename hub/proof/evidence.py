"""The receipt file people keep, and what can be found out from it alone.

A file holds a leaf with its proof; where the leaf records what an agency signed, it may
hold that statement; and with the statement, the enrolment of the certificate behind it. It
never holds anything to believe: that is the trusted root's part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hub.errors import VerificationFailed
from hub.proof.checkpoint import OpenedCheckpoint
from hub.proof.checks import Checks, Opinion, numbered
from hub.proof.dsse import SignedStatement
from hub.proof.facts import TAKEN
from hub.proof.findings import Findings, Verdict
from hub.proof.leaf import Event, parse_leaf
from hub.proof.members import (
    parse_receipt,
    parse_statement,
    receipt_members,
    statement_members,
)
from hub.proof.receipt import Receipt, VerifiedReceipt, parse_tlog_proof
from hub.proof.signatures import Algorithm, PublicKey
from hub.proof.strict import JsonObject, encode_base64, read_back
from hub.proof.trust import TrustedRoot

RECEIPT_FILE_MEDIA_TYPE = "application/vnd.lienthong.receipt.v1+json"
RECEIPT_FILE_BYTES_MAX = 16 << 20
NOT_PROVEN = (
    "The sender is not proven: the document came over the national axis, and nobody signed this"
    " envelope."
)
ENROLMENT_TOPIC = "hub.Agency.CertificateEnrolled"
DOUBT_TOPIC = "hub.Exchange.SignatureInDoubt"

_REQUIRED = frozenset({"media_type", "leaf", "proof"})
_OPTIONAL = frozenset({"statement", "enrolment"})
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
        return read_back(_encode(self), parse_receipt_file, self)


def parse_receipt_file(data: bytes) -> ReceiptFile:
    """Read a receipt file of at most 16 MiB; nothing in it is verified yet.

    The file has one spelling, the one `ReceiptFile.format` writes, so that no byte of it can be
    changed unnoticed. Raises VerificationFailed(step="file"), for members it does not know too:
    what a later version adds may be a claim, and a claim that is passed over would look checked.
    """
    file = JsonObject.parse(
        data, bytes_max=RECEIPT_FILE_BYTES_MAX, what="the receipt file", step="file"
    )
    if file.text("media_type") != RECEIPT_FILE_MEDIA_TYPE:
        raise _refused(f"the receipt file is not of type {RECEIPT_FILE_MEDIA_TYPE}", "file")
    file.require_names(_REQUIRED, _OPTIONAL)
    statement = enrolment = None
    if "statement" in file.members:
        statement = parse_statement(file.child("statement"))
    if "enrolment" in file.members:
        if statement is None:
            raise _refused("the receipt file has an enrolment without a statement", "file")
        enrolment = _parse_enrolment(file.child("enrolment"))
    read = ReceiptFile(parse_receipt(file), statement, enrolment)
    if _encode(read) != data:
        raise _refused("the receipt file is not written in the one form such files have", "file")
    return read


def examine(data: bytes, trust: TrustedRoot | Checks) -> Findings:
    """Find out what a receipt file proves, step by step; a refuted step is the last.

    1. The file is well formed. 2. A log key of the trusted root signed the checkpoint; where
    the verifier has a policy, this and every other checkpoint meets it. 3. The leaf stands at
    its position in that tree. 4. The leaf is an event; its time is the hub's word. With a
    statement: 5. it is the one the event records. With an enrolment: 6. the statement's key
    was enrolled for its agency; 7. its signature holds; 8. the certificate's chain; 9. its
    revocation by the issuer; 10. by the log. Then each cosignature that does not count. With a
    log, last of all: the checkpoint lies on it. A trusted root alone leaves 8 to 10 open.

    Never raises for anything in the file. A checkpoint that only a consistency proof could
    tie to the trusted root is not checked, and the examination ends there too. Of a document
    that came over the national axis nobody signed the envelope: step 6 says so, is not checked,
    and ends it.
    """
    return numbered(_steps(data, trust if isinstance(trust, Checks) else Checks(trust)))


def _steps(data: bytes, checks: Checks) -> Iterator[Opinion]:
    # (1) The file is well formed.
    file = parse_receipt_file(data)
    yield Opinion(Verdict.PROVEN, "The file is a well-formed receipt file.")

    # (2) A log key of the trusted root signed the checkpoint.
    proof = parse_tlog_proof(file.receipt.proof)
    opened = checks.open_checkpoint(proof.checkpoint)
    yield Opinion(Verdict.PROVEN, _checkpoint_sentence(opened, checks.trust))

    # (3) The leaf stands at its position in that tree.
    checks.included(file.receipt.leaf, proof, opened)
    yield Opinion(Verdict.PROVEN, f"The leaf stands at position {proof.index} of this log.")

    # (4) The leaf is an event; its time is the hub's word.
    event = parse_leaf(file.receipt.leaf)
    yield Opinion(Verdict.STATED, _event_sentence(event))

    # (5) The statement is the one the event records.
    if file.statement is not None:
        require_recorded(file.statement, event)
        yield Opinion(Verdict.PROVEN, _statement_sentence(file))
        if event.topic == TAKEN:
            _require_no_enrolment(file)
            yield Opinion(Verdict.NOT_CHECKED, NOT_PROVEN)
        elif file.enrolment is not None:
            accepted = VerifiedReceipt(proof.index, event, opened.checkpoint)
            yield from _enrolled_steps(file.statement, file.enrolment, accepted, checks)

    # Cosignatures at a time when the trusted root did not believe their witness.
    for text in checks.trust.uncounted(opened):
        yield Opinion(Verdict.STATED, text)

    # Last: the checkpoint lies on the log that was read, if one was.
    if checks.log is not None:
        yield checks.on_log([opened.checkpoint])


def _enrolled_steps(
    statement: SignedStatement, enrolment: Enrolment, accepted: VerifiedReceipt, checks: Checks
) -> Iterator[Opinion]:
    # (6) The statement's key was enrolled for its agency.
    enrolled = verify_enrolment(enrolment.receipt, enrolment.certificate, checks)
    require_relied_on(enrolled, statement, accepted, checks.trust)
    yield Opinion(Verdict.PROVEN, _enrolment_sentence(enrolled.fact))

    # (7) The signature holds, under the algorithm that was enrolled with the certificate.
    key = enrolled.key
    key.verify(statement.pae, statement.signature)
    yield Opinion(Verdict.PROVEN, f"The {key.algorithm} signature on the statement holds.")

    # (8), (9) The certificate led to a trusted authority, and its issuer had not revoked it:
    # another program's matter.
    der, at = enrolment.certificate, [accepted.event.time]
    yield checks.beyond.chain(der, issuers=(), at=at)
    yield checks.beyond.revocation(der, issuers=(), stored=(), at=at)

    # (10) The log did not revoke it in between, which only the log can tell.
    names, last = {key.key_id, enrolled.certificate}, accepted.position
    yield checks.between(names, enrolled.fact.position, last, under=accepted.checkpoint)


@dataclass(frozen=True, slots=True)
class VerifiedEnrolment:
    """An enrolment that stands in the log: whose key it is, and what for.

    `certificate` is its digest in hexadecimal.
    """

    fact: VerifiedReceipt
    agency: str
    purpose: str
    certificate: str
    key: PublicKey


def require_recorded(statement: SignedStatement, event: Event) -> None:
    """Check that an event names this payload, type, key and signature.

    Raises VerificationFailed(step="statement").
    """
    recorded = JsonObject(dict(event.data), "the event", "statement").child("statement")
    if event.topic == TAKEN:
        _require_unsigned(statement, recorded)
        return
    held = {
        "digest": statement.digest.hex(),
        "payload_type": statement.payload_type,
        "key_id": statement.key_id,
        "signature": encode_base64(statement.signature),
    }
    for name, value in held.items():
        if recorded.text(name) != value:
            raise _refused(f"the event records another {name} than the statement's", "statement")


def _require_unsigned(statement: SignedStatement, recorded: JsonObject) -> None:
    if statement.key_id or statement.signature:
        raise _refused("the event records no key and no signature", "statement")
    for name, value in (("digest", statement.digest.hex()), ("type", statement.payload_type)):
        if recorded.text("payload_type" if name == "type" else name) != value:
            raise _refused(f"the event records another {name} than the statement's", "statement")


def _require_no_enrolment(file: ReceiptFile) -> None:
    if file.enrolment is not None:
        raise _refused("nobody's key was enrolled for what nobody signed", "enrolment")


def verify_fact(receipt: Receipt, checks: Checks) -> VerifiedReceipt:
    """As `verify_receipt`, by what these checks go by."""
    proof = parse_tlog_proof(receipt.proof)
    opened = checks.open_checkpoint(proof.checkpoint)
    checks.included(receipt.leaf, proof, opened)
    return VerifiedReceipt(proof.index, parse_leaf(receipt.leaf), opened.checkpoint)


def verify_enrolment(receipt: Receipt, certificate: bytes, checks: Checks) -> VerifiedEnrolment:
    """Check that a certificate was enrolled, and take its key in the enrolled algorithm.

    Remembered, since many statements rely on one enrolment. Raises VerificationFailed.
    """
    return checks.remembered(
        ("enrolment", receipt, certificate),
        lambda: enrolment_in(verify_fact(receipt, checks), certificate),
    )


def enrolment_in(fact: VerifiedReceipt, certificate: bytes) -> VerifiedEnrolment:
    """The enrolment that a fact of the log is, of this very certificate.

    Raises VerificationFailed(step="enrolment") for any other fact or certificate.
    """
    if fact.event.topic != ENROLMENT_TOPIC:
        raise _refused("the enrolment's leaf is an event of another kind", "enrolment")
    data = JsonObject(dict(fact.event.data), "the enrolment's event", "enrolment")
    digest = hashlib.sha256(certificate).hexdigest()
    if data.text("certificate") != digest:
        raise _refused("another certificate was enrolled", "enrolment")
    key = PublicKey.from_certificate(certificate, _algorithm(data.text("algorithm")))
    if data.text("key_id") != key.key_id:
        raise _refused("the certificate holds another key than was named", "enrolment")
    return VerifiedEnrolment(fact, data.text("agency"), data.text("purpose"), digest, key)


def require_relied_on(
    enrolled: VerifiedEnrolment,
    statement: SignedStatement,
    accepted: VerifiedReceipt,
    trust: TrustedRoot,
) -> None:
    """Check that an event relied on this very enrolment, and the statement on its key.

    1. The event names this leaf, in this log, before itself. 2. The statement was made for this
    hub, by the agency and with the key that were enrolled, for signing. Raises
    VerificationFailed(step="enrolment").
    """
    # (1) The event relied on this very leaf, in this very log.
    ours, theirs = accepted.checkpoint, enrolled.fact.checkpoint
    if theirs.origin != ours.origin:
        raise _refused("the enrolment stands in another log than the event", "enrolment")
    if theirs.size == ours.size and theirs.root != ours.root:
        raise _refused("the log signed two trees of one size", "enrolment")
    relied_on = JsonObject(dict(accepted.event.data), "the event", "enrolment")
    if relied_on.integer("enrolment", minimum=0) != enrolled.fact.position:
        raise _refused("the event relied on another enrolment than this one", "enrolment")
    if enrolled.fact.position >= accepted.position:
        raise _refused("the enrolment does not come before the event", "enrolment")
    # (2) It is for this hub, this agency, this key and signing.
    payload = JsonObject.parse(
        statement.payload, bytes_max=RECEIPT_FILE_BYTES_MAX, what="the payload", step="enrolment"
    )
    # A statement is made for one hub. It names a log, and logs are reopened under new
    # origins with their leaves kept, so any log of this trusted root is the same hub.
    if not trust.lists(payload.text("hub")):
        raise _refused("the statement was made for another hub", "enrolment")
    if enrolled.agency != payload.text("agency"):
        raise _refused("the certificate was enrolled for another agency", "enrolment")
    if enrolled.purpose != "signing":
        raise _refused("the certificate was not enrolled for signing", "enrolment")
    if enrolled.key.key_id != statement.key_id:
        raise _refused("the certificate holds another key than was named", "enrolment")


def _algorithm(name: str) -> Algorithm:
    try:
        return Algorithm(name)
    except ValueError as error:
        raise _refused("the enrolled algorithm is not one of ours", "enrolment") from error


# --- The findings in words --------------------------------------------------------------


def _checkpoint_sentence(opened: OpenedCheckpoint, trust: TrustedRoot) -> str:
    checkpoint = opened.checkpoint
    witnesses = sorted({cosignature.key.name for cosignature in opened.cosignatures})
    seen = f"cosigned by {', '.join(witnesses)}" if witnesses else "cosigned by no known witness"
    if trust.policy is not None:
        seen += "; the policy asks for no more"
    return (
        f"A log key of the trusted root signed the checkpoint of {checkpoint.origin}"
        f" at size {checkpoint.size}, {seen}."
    )


def _event_sentence(event: Event) -> str:
    time = event.time.strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    sentence = f"The leaf is the event {event.topic}; by the hub's own clock it is of {time}."
    if event.topic == DOUBT_TOPIC:
        doubt = JsonObject(dict(event.data), "the event", "leaf")
        sentence += (
            f" It puts the signature recorded at position {doubt.integer('position', minimum=0)}"
            f" in doubt: its key is revoked from {_printable(doubt.text('effective'))} on."
        )
    return sentence


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _statement_sentence(file: ReceiptFile) -> str:
    if not (file.statement and file.statement.signature):
        return "The hub recorded this very envelope, which it made itself."
    sentence = "The hub recorded this very statement, with this key id and signature"
    if file.enrolment is None:
        sentence += "; whether the signature is good, the file does not let one check"
    return sentence + "."


def _enrolment_sentence(enrolled: VerifiedReceipt) -> str:
    return (
        "The certificate was enrolled for signing for the agency the statement names,"
        f" at position {enrolled.position} (checkpoint of size {enrolled.checkpoint.size})."
    )


# --- The file ---------------------------------------------------------------------------


def _encode(file: ReceiptFile) -> bytes:
    document: dict[str, Any] = {"media_type": RECEIPT_FILE_MEDIA_TYPE}
    document |= receipt_members(file.receipt)
    if file.statement is not None:
        document["statement"] = statement_members(file.statement)
    if file.enrolment is not None:
        certificate = encode_base64(file.enrolment.certificate)
        enrolment = receipt_members(file.enrolment.receipt) | {"certificate": certificate}
        document["enrolment"] = enrolment
    return f"{_written(document)}\n".encode()


# Made once: `json.dumps` would make one for each member.
_TEXT = json.JSONEncoder(ensure_ascii=False)


def _written(members: Mapping[str, Any], indent: str = "  ") -> str:
    # What `json` writes with an indent of 2, in a fraction of its time: every file that is
    # read is written again, to see that it has no other spelling.
    lines = [
        f'{indent}"{name}": '
        + (_TEXT.encode(value) if isinstance(value, str) else _written(value, indent + "  "))
        for name, value in members.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n" + indent[2:] + "}"


def _parse_enrolment(fields: JsonObject) -> Enrolment:
    fields.require_names(_ENROLMENT_NAMES)
    return Enrolment(parse_receipt(fields), fields.octets("certificate"))


def _refused(why: str, step: str) -> VerificationFailed:
    return VerificationFailed(why, step=step)
