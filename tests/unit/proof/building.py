"""Small logs, keys and receipts made from fixed seeds, for the tests of `hub.proof`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hub.proof.checkpoint import Checkpoint
from hub.proof.dsse import SignedStatement, pre_authentication_encoding
from hub.proof.evidence import ENROLMENT_TOPIC, Enrolment, ReceiptFile
from hub.proof.leaf import Event, encode_leaf
from hub.proof.merkle import leaf_hash, root_of
from hub.proof.note import (
    KeyType,
    Note,
    NoteSignature,
    VerifierKey,
    cosignature_message,
    format_note,
)
from hub.proof.receipt import Receipt, TlogProof
from hub.proof.signatures import Algorithm, key_id_of
from hub.proof.strict import encode_base64
from hub.proof.trust import (
    CertificateAuthority,
    Closing,
    LogKey,
    Purpose,
    TrustedLog,
    TrustedRoot,
    TrustedWitness,
)

ORIGIN = "lienthong.example/2026"
COSIGNED_AT = 1_795_000_000


def private_key(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())


@dataclass(frozen=True)
class Signer:
    """A log's or a witness's key, private half included."""

    name: str
    seed: str
    key_type: KeyType = KeyType.ED25519

    @property
    def key(self) -> VerifierKey:
        public = private_key(self.seed).public_key().public_bytes_raw()
        return VerifierKey(self.name, self.key_type, public)

    def sign(self, text: bytes, *, time: int = COSIGNED_AT) -> NoteSignature:
        stamp = b""
        if self.key_type is KeyType.COSIGNATURE:
            stamp, text = time.to_bytes(8, "big"), cosignature_message(text, time=time)
        signature = stamp + private_key(self.seed).sign(text)
        return NoteSignature(self.name, self.key.key_id, signature)


LOG = Signer(ORIGIN, "log key 1")
NEXT_LOG = Signer(ORIGIN, "log key 2")
WITNESS = Signer("witness.example/w1", "witness 1", KeyType.COSIGNATURE)


def audit_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962 section 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if index < k:
        return [*audit_path(leaves[:k], index), root_of(leaves[k:])]
    return [*audit_path(leaves[k:], index - k), root_of(leaves[:k])]


def consistency_path(leaves: Sequence[bytes], old_size: int, *, whole: bool = True) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962 section 2.1.2, word for word."""
    if old_size == len(leaves):
        return [] if whole else [root_of(leaves)]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if old_size <= k:
        return [*consistency_path(leaves[:k], old_size, whole=whole), root_of(leaves[k:])]
    rest = consistency_path(leaves[k:], old_size - k, whole=False)
    return [*rest, root_of(leaves[:k])]


@dataclass
class SmallLog:
    """A log held in a list."""

    entries: list[bytes] = field(default_factory=list)
    origin: str = ORIGIN

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        hashes = [leaf_hash(entry) for entry in self.entries[:size]]
        return Checkpoint(self.origin, len(hashes), root_of(hashes))

    def signed_checkpoint(self, *signers: Signer, size: int | None = None) -> bytes:
        return sign_note(self.checkpoint(size).body, *signers)

    def proof(self, index: int, *signers: Signer, size: int | None = None) -> TlogProof:
        hashes = [leaf_hash(entry) for entry in self.entries[:size]]
        note = self.signed_checkpoint(*(signers or (LOG,)), size=size)
        return TlogProof(index, tuple(audit_path(hashes, index)), note)

    def receipt(self, index: int, *signers: Signer, size: int | None = None) -> Receipt:
        return Receipt(self.entries[index], self.proof(index, *signers, size=size).format())


def sign_note(text: bytes, *signers: Signer) -> bytes:
    return format_note(Note(text, tuple(signer.sign(text) for signer in signers)))


def event(number: int, /, *, topic: str = "hub.Exchange.DocumentSubmitted", **data: Any) -> Event:
    return Event(
        topic=topic,
        schema=1,
        id=UUID(f"01890000-0000-7000-8000-{number:012d}"),
        version=1,
        time=datetime(2026, 11, 22, 1, 30, number, 123456, tzinfo=UTC),
        nonce=hashlib.sha256(f"nonce {number}".encode()).digest()[:16],
        data=data,
    )


def plain_log(size: int = 11) -> SmallLog:
    return SmallLog([encode_leaf(event(number, number=number)) for number in range(size)])


def trusted_root(*, closed: Closing | None = None, **changes: Any) -> TrustedRoot:
    keys = (LogKey(LOG.key, 0, closed),)
    if closed is not None:
        keys += (LogKey(NEXT_LOG.key, closed.size),)
    members: dict[str, Any] = {
        "version": 1,
        "logs": (TrustedLog(ORIGIN, keys),),
        "witnesses": (TrustedWitness(WITNESS.key),),
        "certificate_authorities": (
            CertificateAuthority(Purpose.SIGNING, certificate("Root of signatures", "ca")),
        ),
    }
    return TrustedRoot(**members | changes)


# --- An agency that signs ------------------------------------------------------------------

AGENCY = "000.00.01.H26"
PAYLOAD_TYPE = "application/vnd.lienthong.envelope.v1+json"


def certificate(name: str, seed: str) -> bytes:
    """A self-signed certificate, the same bytes every time."""
    key = private_key(seed)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        issuer_name=subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=7,
        not_valid_before=datetime(2026, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2031, 1, 1, tzinfo=UTC),
    )
    return builder.sign(key, None).public_bytes(Encoding.DER)


def statement(*, seed: str = "agency", **payload: Any) -> SignedStatement:
    members = {"v": 1, "hub": ORIGIN, "agency": AGENCY, "subject": "Về việc họp"} | payload
    data = json.dumps(members, ensure_ascii=False).encode()
    key = private_key(seed)
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, data))
    return SignedStatement(PAYLOAD_TYPE, data, key_id_of(key.public_key()), signature)


def recorded(signed: SignedStatement) -> dict[str, str]:
    """What an event says about the statement it accepts."""
    return {
        "digest": signed.digest.hex(),
        "payload_type": signed.payload_type,
        "key_id": signed.key_id,
        "signature": encode_base64(signed.signature),
    }


def enrolment_data(der: bytes, *, seed: str = "agency", **changes: Any) -> dict[str, Any]:
    members = {
        "agency": AGENCY,
        "purpose": "signing",
        "certificate": hashlib.sha256(der).hexdigest(),
        "key_id": key_id_of(private_key(seed).public_key()),
        "algorithm": Algorithm.ED25519.value,
    }
    return members | changes


@dataclass
class Case:
    """A log with an enrolment at 2 and a submission at 5, each part of which can be bent."""

    signed: SignedStatement = field(default_factory=statement)
    der: bytes = field(default_factory=lambda: certificate("Sở Nội vụ", "agency"))
    enrolled: dict[str, Any] = field(default_factory=dict)
    submitted: dict[str, Any] = field(default_factory=dict)
    topic: str = ENROLMENT_TOPIC
    enrolled_at: int = 2

    def log(self) -> SmallLog:
        log = plain_log(9)
        enrolled = enrolment_data(self.der) | self.enrolled
        log.entries[self.enrolled_at] = encode_leaf(event(2, topic=self.topic, **enrolled))
        submitted = {"enrolment": self.enrolled_at, "statement": recorded(self.signed)}
        log.entries[5] = encode_leaf(event(5, **submitted | self.submitted))
        return log

    def file(self, *signers: Signer) -> ReceiptFile:
        log = self.log()
        enrolment = Enrolment(log.receipt(self.enrolled_at, *signers), self.der)
        return ReceiptFile(log.receipt(5, *signers), self.signed, enrolment)


def golden_files() -> dict[str, bytes]:
    """The files of `tests/golden/receipts`, by name."""
    case = Case()
    log, full = case.log(), case.file(LOG, WITNESS)
    return {
        "trusted_root.json": trusted_root().format(),
        "fact.receipt.json": ReceiptFile(log.receipt(3)).format(),
        "statement.receipt.json": ReceiptFile(full.receipt, full.statement).format(),
        "enrolled.receipt.json": full.format(),
        "fact.tlog-proof": log.receipt(3).proof,
        "fact.leaf": log.entries[3],
        "checkpoint": log.signed_checkpoint(LOG, WITNESS),
    }
