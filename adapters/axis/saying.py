"""A document as an envelope says it, taken from an edXML package.

What edXML holds and an envelope has no field for lies under `edxml`, word for word, so that
package → said → package changes nothing but order and spelling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeVar

from adapters.axis.edxml import names
from adapters.axis.edxml.errors import (
    FieldInvalid,
    NoRecipient,
    SecretMarked,
    TooLarge,
)
from adapters.axis.edxml.model import (
    Attachment,
    Business,
    Code,
    DocumentHeader,
    DocumentPackage,
    DocumentType,
    Organ,
    OtherInfo,
    Promulgation,
    ResponseFor,
    Signer,
    node_to_json,
    to_json,
)
from adapters.axis.reading import (
    PRIORITIES,
    VIETNAM,
    is_marked_secret,
    read_date,
    read_number,
    read_time,
    read_type_code,
    says_secret,
    split_code,
)
from hub.errors import VerificationFailed
from hub.proof.dsse import SignedStatement
from hub.proof.envelope import Document, Priority
from hub.proof.fields import Fields, MalformedField
from hub.proof.statements import (
    PAYLOAD_BYTES_MAX,
    RECIPIENTS_MAX,
    Envelope,
    encode_payload,
    read_statement,
)

T = TypeVar("T")

Said = dict[str, Any]
"""`agency`, `recipients`, `action`, `document`, and where known `created_at`, `reason`,
`document_id`, `relates_to_document_id`; everything else under `edxml`."""

ACTIONS = {
    names.NEW: "new",
    names.RECALL: "recall",
    names.UPDATE: "update",
    names.REPLACE: "replace",
}

_MEDIA_TYPES = {
    "pdf": "application/pdf",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text",
    "zip": "application/zip",
    "txt": "text/plain",
    "xml": "application/xml",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
}
_UNKNOWN_MEDIA_TYPE = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_NOT_IN_A_FILE_NAME = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
_FILE_NAME_BYTES_MAX = 255
# Fits with a dot, letters of four bytes, and a number.
_STEM_BYTES_MAX, _EXTENSION_CHARS_MAX = 170, 16


@dataclass(frozen=True, slots=True)
class Making:
    """What an envelope that a hub makes of a package gets from the hub.

    `created_at` counts where the package has no time of its own. `relates_to` is the digest of
    the envelope that an update or replacement speaks of. `members` go into the payload.
    """

    hub: str
    request_id: str
    nonce: str
    created_at: datetime
    relates_to: str | None = None
    members: Mapping[str, Any] | None = None


def said_of(package: DocumentPackage) -> Said:
    """What a package says, as an envelope would.

    Raises NoRecipient, SecretMarked, and FieldInvalid for what no envelope can do without.
    Optional fields that do not fit an envelope's are left to `edxml`.
    """
    _refuse_secrets(package)
    header, business = package.header, business_of(package)
    if not header.to:
        raise NoRecipient("a document package names its receivers in To")
    earlier = relates_to_of(business)
    said = _present(
        agency=required(header.sender and header.sender.organ_id, "From/OrganId"),
        recipients=_recipients(header.to),
        action=_action(business),
        reason=business.reason,
        document_id=header.document_id,
        relates_to_document_id=earlier,
        created_at=_sent_at(package),
        document=_document(package),
        edxml=_as_said(package),
    )
    check_document(said["document"])
    return said


def to_payload(package: DocumentPackage, making: Making) -> bytes:
    """The payload of an unsigned envelope that says what a package says.

    Raises EdxmlRefused as `said_of` does, and FieldInvalid for a recall, which is no envelope.
    Under the size of a payload it leaves out of `edxml`, in this order, unknown elements and
    what `To` says beside codes; the stored package still has them.
    """
    said = said_of(package)
    said["created_at"] = said.get("created_at") or making.created_at.astimezone(VIETNAM).isoformat()
    payload = {
        **said,
        **(making.members or {}),
        "v": 1,
        "hub": making.hub,
        "request_id": making.request_id,
        "nonce": making.nonce,
        "relates_to": making.relates_to,
    }
    encoded = _fitting({name: value for name, value in payload.items() if value is not None})
    try:
        read_statement(SignedStatement(Envelope.MEDIA_TYPE, encoded, key_id="", signature=b""))
    except MalformedField as failure:
        raise FieldInvalid(str(failure), where=failure.field) from failure
    except VerificationFailed as failure:
        raise FieldInvalid(str(failure)) from failure
    return encoded


def _document(package: DocumentPackage) -> dict[str, Any]:
    header = package.header
    number, notation = number_and_notation(header)
    kind = header.type or DocumentType()
    other = header.other or OtherInfo()
    promulgation = header.promulgation or Promulgation()
    issued = read_date(promulgation.date)
    due = read_date(header.due_date)
    return _present(
        number=required(number, "Code/CodeNumber"),
        notation=required(notation, "Code/CodeNotation"),
        type=_present(
            name=required(kind.name or kind_of_number(kind), "DocumentType/TypeName"),
            code=fits(read_type_code(kind.type, kind.detail), 20),
        ),
        secrecy="none",
        subject=required(header.subject or header.content, "Subject"),
        summary=fits(header.content, 10_000),
        issued_on=required(issued, "PromulgationInfo/PromulgationDate").isoformat(),
        place=fits(promulgation.place, 200),
        signer=signer_said(header.signer),
        priority=PRIORITIES.get(other.priority or "", Priority.NORMAL).value,
        due_on=due and due.isoformat(),
        pages=read_number(other.pages, 100_000),
        language="vi",
        in_reply_to=replies_said(header.response_for),
        steering=read_number(header.steering, 1_000),
        to_places=places_said(header.to_places) or None,
        paper=True if business_of(package).paper == "1" else None,
        attachments=attachments_said(package.attachments),
    )


def number_and_notation(header: DocumentHeader) -> tuple[str | None, str | None]:
    """Some writers put both into one element."""
    code = header.code or Code()
    if code.number and code.notation:
        return code.number, code.notation
    return split_code(code.number or code.notation)


def kind_of_number(kind: DocumentType) -> str | None:
    """A name for a kind of which only the number is there."""
    # The number alone is no name anybody can rely on, but better than losing the document.
    code = read_type_code(kind.type, kind.detail)
    return code and f"Loại {code}"


def signer_said(signer: Signer | None) -> dict[str, Any] | None:
    """The signer as an envelope names them."""
    if signer is None or (full_name := fits(signer.full_name, 200)) is None:
        return None
    return _present(
        full_name=full_name,
        position=fits(signer.position, 200),
        competence=fits(signer.competence, 20),
    )


def replies_said(found: Sequence[ResponseFor]) -> list[dict[str, Any]] | None:
    """The documents that are answered, as an envelope names them."""
    replies = []
    for each in found[:100]:
        number, notation = split_code(each.code)
        issued = read_date(each.date)
        if agency := fits(each.organ_id, 35):
            replies.append(
                _present(
                    agency=agency,
                    number=fits(number, 50),
                    notation=fits(notation, 100),
                    issued_on=issued and issued.isoformat(),
                )
            )
    return replies or None


def places_said(found: Sequence[str]) -> list[str]:
    """Where a document goes, as an envelope has it."""
    return [place for place in found if fits(place, 200)][:1_000]


def attachments_said(found: Sequence[Attachment]) -> list[dict[str, Any]]:
    """The attachments as an envelope names them, under safe names."""
    described, taken = [], set[str]()
    for each in found:
        name = _file_name(each.name, taken)
        taken.add(name)
        described.append(
            _present(
                name=name,
                media_type=_media_type(each),
                size=each.size,
                sha256=each.sha256,
                description=fits(each.description, 1000),
            )
        )
    return described


def _file_name(name: str, taken: set[str]) -> str:
    """A name that is safe wherever it is saved, and none of those taken."""
    safe = _NOT_IN_A_FILE_NAME.sub("_", name).rstrip(" .") or "_"
    fitting = len(safe.encode()) <= _FILE_NAME_BYTES_MAX
    candidate, number = safe if fitting else _shortened(safe, ""), 1
    while candidate in taken:
        number += 1
        candidate = _shortened(safe, f" ({number})")
    return candidate


def _shortened(name: str, number: str) -> str:
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension) > _EXTENSION_CHARS_MAX:
        stem, dot, extension = name, "", ""
    stem = stem.encode()[:_STEM_BYTES_MAX].decode(errors="ignore").rstrip(" .")
    return f"{stem}{number}{dot}{extension}"


def _media_type(attachment: Attachment) -> str:
    said = (attachment.mime_type or "").lower()
    return said if _MEDIA_TYPE.fullmatch(said) else guessed_media_type(attachment.name)


def guessed_media_type(name: str) -> str:
    """A media type by the name: ContentType is wrong more often than right."""
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower(), _UNKNOWN_MEDIA_TYPE)


def _recipients(to: Sequence[Organ]) -> list[str]:
    if len(to) > RECIPIENTS_MAX:
        raise TooLarge(f"a document has at most {RECIPIENTS_MAX} receivers", where="To")
    return list(dict.fromkeys(required(each.organ_id, "To/OrganId") for each in to))


def _action(business: Business) -> str:
    action = ACTIONS.get(business.doc_type or names.NEW)
    if action is None:
        raise FieldInvalid("the BussinessDocType is none of 0, 1, 2, 3", where="BussinessDocType")
    return action


def relates_to_of(business: Business) -> str | None:
    """The document that is recalled, updated or replaced; of several replaced ones the first."""
    if business.doc_type == names.REPLACE:
        for each in business.replacements:
            for replacement in each.replacements:
                if replacement.document_id:
                    return replacement.document_id
    return business.document_id if business.doc_type in (names.UPDATE, names.REPLACE) else None


def _sent_at(package: DocumentPackage) -> str | None:
    """When the sender says it sent: its own hop, else the first that has an organisation."""
    hops = package.trace.hops if package.trace else ()
    sender = package.header.sender and package.header.sender.organ_id
    own = [each for each in hops if each.organ_id == sender] or [e for e in hops if e.organ_id]
    at = read_time(own[0].timestamp) if own else None
    return None if at is None else at.isoformat()


def _refuse_secrets(package: DocumentPackage) -> None:
    header = package.header
    said = (header.subject, header.content, header.type.name if header.type else None)
    elements = (each.node for each in package.unknown)
    if any(map(is_marked_secret, said)) or any(says_secret(e.name, e.text) for e in elements):
        raise SecretMarked("documents marked as state secrets are not exchanged here")


def check_document(document: dict[str, Any]) -> Document:
    """The document, if an envelope could hold it. Raises FieldInvalid."""
    try:
        return Document.read(Fields(document, "document"))
    except MalformedField as failure:
        raise FieldInvalid(str(failure), where=failure.field) from failure


def _fitting(payload: dict[str, Any]) -> bytes:
    encoded = encode_payload(payload)
    for leave_out in (_without_unknown, _with_codes_only):
        if len(encoded) <= PAYLOAD_BYTES_MAX:
            break
        payload = {**payload, "edxml": leave_out(payload["edxml"])}
        encoded = encode_payload(payload)
    if len(encoded) > PAYLOAD_BYTES_MAX:
        raise TooLarge(f"what it says has more than {PAYLOAD_BYTES_MAX} bytes")
    return encoded


def _without_unknown(said: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in said.items() if name != "unknown"}
    return {**kept, "left_out": [*said.get("left_out", []), "unknown"]}


def _with_codes_only(said: dict[str, Any]) -> dict[str, Any]:
    to = [{"organ_id": each["organ_id"]} for each in said["header"]["to"]]
    header = {**said["header"], "to": to}
    return {**said, "header": header, "left_out": [*said.get("left_out", []), "to"]}


def _as_said(package: DocumentPackage) -> dict[str, Any]:
    attachments = [
        {name: value for name, value in asdict(each).items() if value not in (None, False)}
        for each in package.attachments
    ]
    unknown = [{"path": each.path, "node": node_to_json(each.node)} for each in package.unknown]
    found = {
        "header": to_json(package.header),
        "trace": package.trace and to_json(package.trace),
        "attachments": attachments,
        "signed": package.signed,
        "unknown": unknown,
    }
    return {name: value for name, value in found.items() if value}


def business_of(package: DocumentPackage) -> Business:
    """What a package does; nothing, where it does not say."""
    return (package.trace and package.trace.business) or Business()


def required(value: T | None, where: str) -> T:
    """The value, if there is one. Raises FieldInvalid."""
    if not value:
        raise FieldInvalid("it is missing, or cannot be read", where=where)
    return value


def fits(text: str | None, chars_max: int) -> str | None:
    """The text, if there is one of at most so many characters."""
    # XML can carry a DEL; an envelope cannot.
    return text if text and len(text) <= chars_max and "\x7f" not in text else None


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
