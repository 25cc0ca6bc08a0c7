"""A package in memory: every element that is known, as text, exactly as it was said.

Numbers and dates stay the text they came as, because senders write them in many ways;
`adapters.axis.mapping` reads them. Names of people and titles are in here: never log a package.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from adapters.axis.edxml import names
from adapters.axis.edxml.shape import Element, Kind, Node, elements, many, node, one, text, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Organ:
    """An organisation; `organ_id` is its code on the axis."""

    organ_id: str | None = text("OrganId")
    in_charge: str | None = text("OrganizationInCharge")
    name: str | None = text("OrganName")
    address: str | None = text("OrganAdd")
    email: str | None = text("Email")
    telephone: str | None = text("Telephone")
    fax: str | None = text("Fax")
    website: str | None = text("Website")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Number and notation of a document."""

    number: str | None = text("CodeNumber")
    notation: str | None = text("CodeNotation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promulgation:
    """Where and when a document was issued."""

    place: str | None = text("Place")
    date: str | None = text("PromulgationDate")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentType:
    """The kind of a document: group, number in the group, name. Only the name is reliable."""

    type: str | None = text("Type")
    detail: str | None = text("TypeDetail")
    name: str | None = text("TypeName")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signed the document itself."""

    competence: str | None = text("Competence")
    position: str | None = text("Position")
    full_name: str | None = text("FullName")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherInfo:
    """Priority, counts and the rest; the inside of two of them is known to nobody we asked."""

    priority: str | None = text("Priority")
    sphere: str | None = text("SphereOfPromulgation")
    typer_notation: str | None = text("TyperNotation")
    amount: str | None = text("PromulgationAmount")
    pages: str | None = text("PageAmount")
    reply_fors: Node | None = node("ReplyFors")
    direction: str | None = text("Direction")
    reference_codes: Node | None = node("ReferenceCodes")
    appendixes: tuple[str, ...] = texts("Appendix", within="Appendixes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFor:
    """A document that is answered, or of which a status is reported. `code` is number/notation."""

    organ_id: str | None = text("OrganId")
    code: str | None = text("Code")
    document_id: str | None = text("DocumentId")
    date: str | None = text("PromulgationDate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """Who did it, for questions."""

    department: str | None = text("Department")
    department_id: str | None = text("DepartmentId")
    staff: str | None = text("Staff")
    staff_id: str | None = text("StaffId")
    email: str | None = text("Email")
    mobile: str | None = text("Mobile")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentHeader:
    """The MessageHeader of a document (QCVN 102:2016, 1.1 to 1.14, in the vendor's order)."""

    sender: Organ | None = one("From", Organ)
    to: tuple[Organ, ...] = many("To", Organ)
    document_id: str | None = text("DocumentId")
    code: Code | None = one("Code", Code)
    promulgation: Promulgation | None = one("PromulgationInfo", Promulgation)
    type: DocumentType | None = one("DocumentType", DocumentType)
    subject: str | None = text("Subject")
    content: str | None = text("Content")
    signer: Signer | None = one("SignerInfo", Signer)
    due_date: str | None = text("DueDate")
    other: OtherInfo | None = one("OtherInfo", OtherInfo)
    response_for: tuple[ResponseFor, ...] = many("ResponseFor", ResponseFor)
    steering: str | None = text("SteeringType")
    tasks: tuple[str, ...] = texts("TaskCode", within="ResponseForTask")
    application: str | None = text("ApplicationType")
    to_places: tuple[str, ...] = texts("Place", within="ToPlaces")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusHeader:
    """The MessageHeader of a status report."""

    sender: Organ | None = one("From", Organ)
    response_for: ResponseFor | None = one("ResponseFor", ResponseFor)
    staff: Staff | None = one("StaffInfo", Staff)
    code: str | None = text("StatusCode")
    description: str | None = text("Description")
    timestamp: str | None = text("Timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A recipient that an update removes (`type` 0) or adds (1)."""

    organ_id: str | None = text("OrganId")
    type: str | None = text("ReceiverType")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateInfo:
    """What an update changes: the document (1), its receivers (1)."""

    document: str | None = text("DocumentInfo")
    receiver: str | None = text("DocumentReceiver")
    receivers: tuple[Receiver, ...] = many("Receiver", Receiver, within="ReceiverList")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """A document that is replaced, and for whom."""

    document_id: str | None = text("DocumentId")
    organ_ids: tuple[str, ...] = texts("OrganId", within="OrganIdList")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacementList:
    """Documents that are replaced."""

    replacements: tuple[Replacement, ...] = many("ReplacementInfo", Replacement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """What a package does: 0 new, 1 recall, 2 update, 3 replace. `paper` 1: paper follows."""

    document_id: str | None = text("DocumentId")
    doc_type: str | None = text("BussinessDocType")
    reason: str | None = text("BussinessDocReason")
    paper: str | None = text("Paper")
    updates: tuple[UpdateInfo, ...] = many("BussinessDocumentInfo", UpdateInfo)
    replacements: tuple[ReplacementList, ...] = many("ReplacementInfoList", ReplacementList)
    staff: tuple[Staff, ...] = many("StaffInfo", Staff)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceHeader:
    """One hop of a package; the axis appends its own, at times without an organisation."""

    organ_id: str | None = text("OrganId")
    timestamp: str | None = text("Timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a package does, and where it has been."""

    paper: str | None = text("Paper")
    business: Business | None = one("Bussiness", Business)
    hops: tuple[TraceHeader, ...] = many("TraceHeader", TraceHeader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file of a document, unwrapped.

    `content_id` has no `cid:` in front. `content_type` is what the sender wrote there, which
    proves nothing. `size` is in bytes; `sha256` in hexadecimal. `wrapped` says that it came in
    a zip of its own. `reference` is what the manifest says of it.
    """

    name: str
    size: int
    sha256: str
    content_id: str | None = None
    description: str | None = None
    field_name: str | None = None
    mime_type: str | None = None
    content_type: str | None = None
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """An element that nobody asked for, and where it stood."""

    path: str
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPackage:
    """A document on its way; the contents of its attachments lie elsewhere, in the same order."""

    header: DocumentHeader
    trace: Trace | None = None
    attachments: tuple[Attachment, ...] = ()
    signed: bool = False
    unknown: tuple[Unknown, ...] = ()

    @property
    def business_type(self) -> str:
        """What it does; where nothing is said, it is a new document."""
        business = self.trace and self.trace.business
        return (business and business.doc_type) or names.NEW

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of what the sender said and sent.

        It leaves out what the axis changes on the way: trace headers, content ids, types,
        descriptions of attachments, and whether there is a signature.
        """
        trace = self.trace and replace(self.trace, hops=())
        contents = [[each.name, each.size, each.sha256] for each in self.attachments]
        return _digest([to_json(self.header), trace and to_json(trace), contents])


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPackage:
    """What has become of a document at an organisation."""

    header: StatusHeader
    signed: bool = False
    unknown: tuple[Unknown, ...] = ()

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of what the sender said."""
        return _digest(to_json(self.header))


Package = DocumentPackage | StatusPackage

SPACE = " \t\r\n"
"""White space of XML, which means nothing around a text."""

Content = BinaryIO
"""An attachment's content: readable, seekable, positioned at its beginning."""

Scratch = Callable[[], BinaryIO]
"""Makes an empty file for reading and writing, which vanishes when it is closed."""


def as_read(package: DocumentPackage) -> DocumentPackage:
    """The package as it is read again: without space around texts, without empty ones."""
    return replace(
        package,
        header=_trimmed(package.header),
        trace=None if package.trace is None else _trimmed(package.trace),
        attachments=tuple(
            replace(
                each,
                name=_trim(each.name) or "",
                description=_trim(each.description),
                content_id=_trim(each.content_id),
                field_name=_trim(each.field_name),
                mime_type=_trim(each.mime_type),
            )
            for each in package.attachments
        ),
    )


def _trimmed(value: Any) -> Any:
    found: dict[str, Any] = {}
    for each, where in elements(value):
        held = getattr(value, each.name)
        match where.kind:
            case Kind.TEXT:
                found[each.name] = _trim(held)
            case Kind.TEXTS:
                found[each.name] = tuple(text for said in held if (text := _trim(said)))
            case Kind.MANY:
                found[each.name] = tuple(_trimmed(each_) for each_ in held)
            case Kind.ONE:
                found[each.name] = None if held is None else _trimmed(held)
            case Kind.NODE:
                found[each.name] = held
    return replace(value, **found)


def _trim(text: str | None) -> str | None:
    return (text or "").strip(SPACE) or None


def to_json(value: Any) -> dict[str, Any]:
    """An object of the model as plain JSON, without what is absent."""
    found = {each.name: _plain(getattr(value, each.name), where) for each, where in elements(value)}
    return {name: plain for name, plain in found.items() if plain not in (None, [])}


def node_to_json(value: Node) -> dict[str, Any]:
    """A kept element as plain JSON."""
    whole = {
        "name": value.name,
        "namespace": value.namespace,
        "text": value.text,
        "attributes": dict(value.attributes),
        "children": [node_to_json(child) for child in value.children],
    }
    return {name: plain for name, plain in whole.items() if plain}


def _plain(value: Any, where: Element) -> Any:
    if value is None or where.kind is Kind.TEXT:
        return value
    if where.kind is Kind.NODE:
        return node_to_json(value)
    if where.kind is Kind.ONE:
        return to_json(value)
    return [each if where.kind is Kind.TEXTS else to_json(each) for each in value]


def from_json(shape: type[Any], value: Any) -> Any:
    """The object that `to_json` made this of. Raises ValueError for anything else."""
    if not isinstance(value, dict):
        raise ValueError(f"{shape.__name__} is an object")
    known = dict(_fields_by_name(shape))
    if strange := value.keys() - known.keys():
        raise ValueError(f"{shape.__name__} has no {sorted(strange)[0]}")
    return shape(**{name: _from_plain(known[name], plain) for name, plain in value.items()})


def node_from_json(value: Any) -> Node:
    """The kept element that `node_to_json` made this of. Raises ValueError."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError("an element has a name")
    attributes = value.get("attributes", {})
    if not isinstance(attributes, dict):
        raise ValueError("attributes are an object")
    return Node(
        name=value["name"],
        namespace=_text(value.get("namespace", "")),
        text=_text(value.get("text", "")),
        attributes=tuple((_text(name), _text(said)) for name, said in attributes.items()),
        children=tuple(node_from_json(child) for child in _list(value.get("children", []))),
    )


def _fields_by_name(shape: type[Any]) -> Iterable[tuple[str, Element]]:
    return ((each.name, where) for each, where in elements(shape))


def _from_plain(where: Element, plain: Any) -> Any:
    match where.kind:
        case Kind.TEXT:
            return _text(plain)
        case Kind.NODE:
            return node_from_json(plain)
        case Kind.TEXTS:
            return tuple(_text(each) for each in _list(plain))
        case _ if where.inner is None:
            raise AssertionError(where)
        case Kind.ONE:
            return from_json(where.inner, plain)
        case Kind.MANY:
            inner = where.inner
            return tuple(from_json(inner, each) for each in _list(plain))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text was expected")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("an array was expected")
    return value


def _digest(said: Any) -> str:
    data = json.dumps(said, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(data.encode("utf-8", "surrogatepass")).hexdigest()
