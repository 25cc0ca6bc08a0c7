"""What agencies say to each other through the hub, and operators to the hub: signed payloads.

Each payload is I-JSON of a media type of its own. Unknown fields are allowed and kept in
the bytes, which nothing ever re-encodes. JSON Schemas: `protos/statements/`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, TypeVar

from hub.errors import VerificationFailed
from hub.proof.dsse import SignedStatement
from hub.proof.envelope import Action, Document
from hub.proof.fields import Fields, MalformedField
from hub.proof.ijson import parse_ijson
from hub.proof.signatures import Algorithm

_S = TypeVar("_S")

T = TypeVar("T")

PAYLOAD_BYTES_MAX = 1024 * 1024
SIGNERS = ("person", "agency")
"""Who signs a document, per NĐ 30/2020 Art. 5: the person in charge, and the agency."""

RECIPIENTS_MAX = 1000
REASON_CHARS_MAX = 2000
STATUS_CODES = ("01", "02", "03", "04", "05", "06")
RECALL_ANSWER_CODES = ("15", "16")
CERTIFICATE_PURPOSES = ("signing", "transport")
# What 21,848 characters of base64 hold; less is enough, see `hub.application.certificates`.
CERTIFICATE_BYTES_MAX = 16_386

ACTIVATE, COMPROMISE, THAW = "activate-key", "compromise-key", "thaw"
KEY_ACTIONS = (ACTIVATE, COMPROMISE, THAW)
BASIS_CHARS_MAX = 200
NOTE_CHARS_MAX = 2000
_ACTIONS = tuple(each.value for each in Action)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
CODE_WORD = re.compile(r"(?=.{1,40}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")

AGENCY_CODE = re.compile(r"(?=.{1,35}\Z)[0-9A-Za-z]+(?:[.-][0-9A-Za-z]+)*")
CODE_WORD = re.compile(r"(?=.{1,40}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")
AGENCY_CODE_WORDS = "an agency code: letters and digits, split by dots or hyphens, at most 35"


@dataclass(frozen=True, slots=True)
class Header:
    """What every statement carries.

    `hub` is the origin of the log the statement is made for: on another hub it is worthless.
    `agency` is who speaks: an agency by its code, an operator by its name.
    `request_id` is the caller's idempotency key. `created_at` is the caller's claim and
    never decides anything.
    """

    hub: str
    agency: str
    request_id: str
    nonce: bytes
    created_at: datetime

    @classmethod
    def read(cls, fields: Fields) -> Header:
        """Read and check the common fields."""
        fields.integer("v", minimum=1, maximum=1)
        return cls(
            hub=fields.text("hub", chars_max=200),
            agency=fields.matching("agency", AGENCY_CODE, AGENCY_CODE_WORDS),
            request_id=fields.uuid("request_id"),
            nonce=fields.base64("nonce", bytes_exactly=16),
            created_at=fields.instant("created_at"),
        )


@dataclass(frozen=True, slots=True)
class Envelope:
    """This document, with these attachments, to these recipients; said by the sender.

    Recipients are always listed in full: groups are expanded before signing.
    `relates_to` names the envelope that an update or replacement speaks of.
    `signatures_required` asks the hub to take it only if its own signatures are valid, and
    `signers_required` (of `SIGNERS`) names who must have signed one attachment, each of them.
    """

    MEDIA_TYPE: ClassVar[str] = "application/vnd.lienthong.envelope.v1+json"

    header: Header
    recipients: tuple[str, ...]
    action: Action
    relates_to: str | None
    sender_seq: int | None
    expires_at: datetime | None
    document: Document
    signatures_required: bool = False
    signers_required: tuple[str, ...] = ()

    @classmethod
    def read(cls, header: Header, fields: Fields) -> Envelope:
        """Read and check what an envelope adds to the header."""
        action = Action(fields.one_of("action", _ACTIONS))
        if fields.has("relates_to") is (action is Action.NEW):
            raise fields.bad("relates_to", "belongs to an update or replacement, and only there")
        return cls(
            header=header,
            recipients=_recipients(fields, header.agency),
            action=action,
            relates_to=fields.optional("relates_to", fields.digest),
            sender_seq=fields.optional(
                "sender_seq", lambda name: fields.integer(name, minimum=1, maximum=2**53 - 1)
            ),
            expires_at=fields.optional("expires_at", fields.instant),
            document=Document.read(fields.object("document")),
            signatures_required=fields.optional("signatures_required", fields.boolean) or False,
            signers_required=fields.optional("signers_required", partial(_signers, fields)) or (),
        )


@dataclass(frozen=True, slots=True)
class Collect:
    """I take delivery of this envelope; said by a recipient before content is released.

    `for_agency` is the primary code of the recipient, where its successor says it.
    """

    MEDIA_TYPE: ClassVar[str] = "application/vnd.lienthong.collect.v1+json"

    header: Header
    envelope_digest: str
    for_agency: str | None = None

    @classmethod
    def read(cls, header: Header, fields: Fields) -> Collect:
        """Read and check what a collect statement adds to the header."""
        return cls(header, fields.digest("envelope_digest"), _for_agency(fields))


@dataclass(frozen=True, slots=True)
class Status:
    """What has become of this envelope at a recipient (QĐ 28/2018 Art. 10).

    01 arrived, 02 refused (with a reason), 03 accepted, 04 assigned, 05 processing,
    06 finished. `for_agency` is the primary code of the recipient, where its successor says it.
    """

    MEDIA_TYPE: ClassVar[str] = "application/vnd.lienthong.status.v1+json"

    header: Header
    envelope_digest: str
    code: str
    reason: str | None
    for_agency: str | None = None

    @classmethod
    def read(cls, header: Header, fields: Fields) -> Status:
        """Read and check what a status statement adds to the header."""
        code = fields.one_of("code", STATUS_CODES)
        if code == "02" and not fields.has("reason"):
            raise fields.bad("reason", "a refusal needs its reason in words")
        return cls(
            header,
            fields.digest("envelope_digest"),
            code,
            fields.optional("reason", lambda name: fields.text(name, chars_max=REASON_CHARS_MAX)),
            _for_agency(fields),
        )


@dataclass(frozen=True, slots=True)
class Recall:
    """13: take this document back; said by its sender, with the reason."""

    MEDIA_TYPE: ClassVar[str] = "application/vnd.lienthong.recall.v1+json"

    header: Header
    envelope_digest: str
    reason: str

    @classmethod
    def read(cls, header: Header, fields: Fields) -> Recall:
        """Read and check what a recall adds to the header."""
        return cls(
            header,
            fields.digest("envelope_digest"),
            fields.text("reason", chars_max=REASON_CHARS_MAX),
        )


@dataclass(frozen=True, slots=True)
class RecallAnswer:
    """A recipient's answer to a recall: 15 agreed, cancelled here; 16 refused, with the reason.

    `for_agency` is the primary code of the recipient, where its successor says it.
    """

    MEDIA_TYPE: ClassVar[str] = "application/vnd.lienthong.recall-answer.v1+json"

    header: Header
    envelope_digest: str
    code: str
    reason: str | None
    for_agency: str | None = None

    @classmethod
    def read(cls, header: Header, fields: Fields) -> RecallAnswer:
        """Read and check what an answer adds to the header."""
        code = fields.one_of("code", RECALL_ANSWER_CODES)
        if code == "16" and not fields.has("reason"):
            raise fields.bad("reason", "a refusal needs its reason in words")
        return cls(
            header,
            fields.digest("envelope_digest"),
            code,
            fields.optional("reason", lambda name: fields.text(name, chars_max=REASON_CHARS_MAX)),
            _for_agency(fields),
        )


@dataclass(frozen=True, slots=True)
class Renewal:
    """Put this certificate of mine into force; signed with a key that is in force already.

    `certificate` is X.509 in DER, `purpose` `signing` or `transport`. `algorithm` is the one
    that its key signs the possession statement with, and for signing all that follows.
    """

    MEDIA_TYPE: ClassVar[str] = "application/vnd.lienthong.renewal.v1+json"

    header: Header
    purpose: str
    algorithm: Algorithm
    certificate: bytes

    @classmethod
    def read(cls, header: Header, fields: Fields) -> Renewal:
        """Read and check what a renewal adds to the header."""
        return cls(
            header,
            fields.one_of("purpose", CERTIFICATE_PURPOSES),
            Algorithm(fields.one_of("algorithm", [each.value for each in Algorithm])),
            fields.octets("certificate", bytes_max=CERTIFICATE_BYTES_MAX),
        )


@dataclass(frozen=True, slots=True)
class Possession:
    """I hold the key of the certificate that this renewal brings; signed with that key."""

    MEDIA_TYPE: ClassVar[str] = "application/vnd.lienthong.possession.v1+json"

    header: Header
    renewal_digest: str

    @classmethod
    def read(cls, header: Header, fields: Fields) -> Possession:
        """Read and check what a proof of possession adds to the header."""
        return cls(header, fields.digest("renewal_digest"))


@dataclass(frozen=True, slots=True)
class ErasureOrder:
    """Erase this document by law; said by an operator, done once another one approves.

    Or, with `relay`, a package from the axis that is parked: then `envelope_digest` is the
    SHA-256 of what is stored of it, as the fact that it is parked names it.

    `reason` is a code word and `basis` names the norm: both stand in the log for ever and say
    nothing about people. `note` is for words; it is kept apart from the document and from
    the log.
    """

    MEDIA_TYPE: ClassVar[str] = "application/vnd.lienthong.erasure-order.v1+json"

    header: Header
    envelope_digest: str
    reason: str
    basis: str
    note: str | None = None
    relay: str | None = None

    @classmethod
    def read(cls, header: Header, fields: Fields) -> ErasureOrder:
        """Read and check what an order adds to the header."""
        basis = fields.text("basis", chars_max=BASIS_CHARS_MAX)
        if _CONTROL.search(basis):
            raise fields.bad("basis", "must be one line, without control characters")
        return cls(
            header,
            fields.digest("envelope_digest"),
            fields.matching("reason", CODE_WORD, "one code word of at most 40 characters"),
            basis,
            fields.optional("note", lambda name: fields.text(name, chars_max=NOTE_CHARS_MAX)),
            fields.optional("relay", fields.uuid),
        )


@dataclass(frozen=True, slots=True)
class Approval:
    """Do what this order says; said by a second operator.

    `order_digest` is SHA-256 of the order's payload: exactly this order and no other.
    """

    MEDIA_TYPE: ClassVar[str] = "application/vnd.lienthong.approval.v1+json"

    header: Header
    order_digest: str

    @classmethod
    def read(cls, header: Header, fields: Fields) -> Approval:
        """Read and check what an approval adds to the header."""
        return cls(header, fields.digest("order_digest"))


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """Begin to sign with a key of the hub, give one up as stolen, or let a frozen log go on.

    Said by an operator, done once another one approves. `action` is one of `KEY_ACTIONS`;
    `hub_key` the C2SP verifier key, absent for `thaw`. `reason`, `basis` and `note` as in an
    order to erase.
    """

    MEDIA_TYPE: ClassVar[str] = "application/vnd.lienthong.key-order.v1+json"

    header: Header
    action: str
    hub_key: str | None
    reason: str
    basis: str
    note: str | None = None

    @classmethod
    def read(cls, header: Header, fields: Fields) -> KeyOrder:
        """Read and check what an order adds to the header."""
        action = fields.one_of("action", KEY_ACTIONS)
        if fields.has("hub_key") is (action == THAW):
            raise fields.bad("hub_key", "names the key of an order about a key, and only there")
        basis = fields.text("basis", chars_max=BASIS_CHARS_MAX)
        if _CONTROL.search(basis):
            raise fields.bad("basis", "must be one line, without control characters")
        return cls(
            header,
            action,
            fields.optional("hub_key", lambda name: fields.text(name, chars_max=400)),
            fields.matching("reason", CODE_WORD, "one code word of at most 40 characters"),
            basis,
            fields.optional("note", lambda name: fields.text(name, chars_max=NOTE_CHARS_MAX)),
        )


Statement = Envelope | Collect | Status | Recall | RecallAnswer
"""What is said about documents."""

CertificateStatement = Renewal | Possession
"""What an agency says about its own certificates."""
OperatorStatement = ErasureOrder | KeyOrder | Approval

_READERS: dict[str, Callable[[Header, Fields], Statement]] = {
    kind.MEDIA_TYPE: kind.read for kind in (Envelope, Collect, Status, Recall, RecallAnswer)
}
_CERTIFICATE_READERS: dict[str, Callable[[Header, Fields], CertificateStatement]] = {
    kind.MEDIA_TYPE: kind.read for kind in (Renewal, Possession)
}
_OPERATOR_READERS: dict[str, Callable[[Header, Fields], OperatorStatement]] = {
    kind.MEDIA_TYPE: kind.read for kind in (ErasureOrder, KeyOrder, Approval)
}


def read_statement(signed: SignedStatement) -> Statement:
    """What an agency says about a document in a signed payload; not whether the signature holds.

    Raises VerificationFailed (as MalformedField where one field is at fault) when the
    payload is not what its media type promises.
    """
    return _read(signed, _READERS)


def read_certificate_statement(signed: SignedStatement) -> CertificateStatement:
    """What an agency says about its certificates, as `read_statement`."""
    return _read(signed, _CERTIFICATE_READERS)


def read_operator_statement(signed: SignedStatement) -> OperatorStatement:
    """What an operator says in a signed payload; as `read_statement` for everything else."""
    return _read(signed, _OPERATOR_READERS)


def _read(signed: SignedStatement, readers: Mapping[str, Callable[[Header, Fields], T]]) -> T:
    read = readers.get(signed.payload_type)
    if read is None:
        raise VerificationFailed(
            f"unknown payload type {signed.payload_type[:100]!r}", step="statement"
        )
    fields = Fields(parse_ijson(signed.payload, bytes_max=PAYLOAD_BYTES_MAX))
    return read(Header.read(fields), fields)


def encode_payload(payload: dict[str, Any]) -> bytes:
    """The bytes of a payload as this code writes it: compact UTF-8 JSON, names sorted.

    Any other JSON encoding of the same statement is as good, as long as the signed bytes
    are the sent bytes.
    """
    return json.dumps(
        payload, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
    ).encode()


def _for_agency(fields: Fields) -> str | None:
    return fields.optional(
        "for_agency", lambda name: fields.matching(name, AGENCY_CODE, AGENCY_CODE_WORDS)
    )


def _signers(fields: Fields, name: str) -> tuple[str, ...]:
    def read(value: Any, path: str) -> str:
        if value not in SIGNERS:
            raise MalformedField(path, f"must be one of {', '.join(SIGNERS)}")
        return str(value)

    signers = fields.array(name, read, items_min=1, items_max=len(SIGNERS))
    if len(set(signers)) != len(signers):
        raise fields.bad(name, "names one twice")
    return signers


def _recipients(fields: Fields, sender: str) -> tuple[str, ...]:
    def read(value: Any, path: str) -> str:
        if not isinstance(value, str) or not AGENCY_CODE.fullmatch(value):
            raise MalformedField(path, f"must be {AGENCY_CODE_WORDS}")
        return value

    recipients = fields.array("recipients", read, items_min=1, items_max=RECIPIENTS_MAX)
    if len(set(recipients)) != len(recipients):
        raise fields.bad("recipients", "names an agency twice")
    if sender in recipients:
        raise fields.bad("recipients", "names the sender itself")
    return recipients
