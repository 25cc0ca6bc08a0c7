"""A document that an envelope describes, as an edXML package.

What an envelope holds and edXML does not is named by `losses`, which finds it by going there
and back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, TypeVar

from adapters.axis.edxml import names
from adapters.axis.edxml.contents import sent_name
from adapters.axis.edxml.errors import (
    CannotHold,
    FieldInvalid,
    SecretMarked,
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
    Replacement,
    ReplacementList,
    ResponseFor,
    Signer,
    Trace,
    TraceHeader,
    Unknown,
    UpdateInfo,
    as_read,
    from_json,
    node_from_json,
)
from adapters.axis.reading import (
    PRIORITIES,
    join_code,
    read_date,
    read_number,
    read_type_code,
    write_date,
    write_time,
    write_type_code,
)
from adapters.axis.saying import (
    ACTIONS,
    attachments_said,
    check_document,
    fits,
    guessed_media_type,
    kind_of_number,
    number_and_notation,
    places_said,
    relates_to_of,
    replies_said,
    said_of,
    signer_said,
)
from hub.proof.envelope import Attachment as Described
from hub.proof.envelope import Document, Priority, Reply
from hub.proof.envelope import Signer as SaidSigner

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Earlier:
    """The document that an update or a replacement speaks of, by its edXML DocumentId."""

    document_id: str
    recipients: tuple[str, ...] = ()


def organ_with_code_only(code: str) -> Organ:
    """An organisation of which nothing but the code is known; the axis accepts such packages."""
    return Organ(organ_id=code)


def package_of(
    said: Mapping[str, Any],
    *,
    organ: Callable[[str], Organ] = organ_with_code_only,
    document_id: str | None = None,
    earlier: Earlier | None = None,
) -> DocumentPackage:
    """The package that says what an envelope's payload, or a `Said`, says.

    `organ` knows names and addresses. `document_id` is by custom code, date and number. An
    update or a replacement needs `earlier`. Raises SecretMarked, FieldInvalid, and CannotHold,
    also where reading the package again would refuse it.
    """
    if said.get("document", {}).get("secrecy", "none") != "none":
        raise SecretMarked("documents marked as state secrets are not exchanged here")
    document = check_document(dict(said["document"]))
    before = _from_said(said.get("edxml"))
    sender = _code(said.get("agency"), "agency")
    recipients = [_code(each, "recipients") for each in said.get("recipients", [])]
    header = replace(
        before.header,
        sender=_organs((sender,), (before.header.sender,), organ)[0],
        to=_organs(recipients, before.header.to, organ),
        document_id=document_id or said.get("document_id") or _usual_id(sender, document),
    )
    package = replace(
        before,
        header=_with_document(header, document),
        trace=_trace(before.trace, said, document, earlier),
        attachments=_described(document.attachments, before.attachments),
    )
    _require_readable(package)
    return package


def recall_of(package: DocumentPackage, reason: str, at: datetime) -> DocumentPackage:
    """The package (type 1) that takes a document back: its own header, and the reason."""
    sender = package.header.sender.organ_id if package.header.sender else None
    business = Business(
        doc_type=names.RECALL, reason=reason, document_id=package.header.document_id
    )
    hops = (TraceHeader(organ_id=sender, timestamp=write_time(at)),)
    return DocumentPackage(header=package.header, trace=Trace(business=business, hops=hops))


def losses(said: Mapping[str, Any], package: DocumentPackage) -> tuple[str, ...]:
    """Which fields of an envelope its package does not hold, by path, in order.

    `hub`, `request_id` and `nonce` belong to the statement and are never in a package, nor is
    its signature; `relates_to` is there as the DocumentId of the earlier document.
    """
    apart = {"v", "hub", "request_id", "nonce", "edxml", "relates_to"}
    again = dict(_leaves(said_of(as_read(package))))
    meant = {name: value for name, value in said.items() if name not in apart}
    return tuple(path for path, value in _leaves(meant) if again.get(path) != value)


def _with_document(header: DocumentHeader, document: Document) -> DocumentHeader:
    """A header with the fields of a document; what already means the same keeps its words."""
    said = _SaidAgain(header)
    replies = tuple(_reply_to(each) for each in document.in_reply_to)
    same_replies = replies_said(header.response_for) == replies_said(replies)
    places = document.to_places
    return replace(
        header,
        code=said.code(document),
        promulgation=said.promulgation(document),
        type=said.type(document),
        subject=said.subject(document),
        content=said.content(document),
        signer=said.signer(document.signer),
        due_date=_keep(header.due_date, read_date, document.due_on, write_date),
        other=said.other(document),
        response_for=header.response_for if same_replies else replies,
        # A bare integer always: without one the vendor's parser refuses the whole package.
        steering=_keep(header.steering, lambda t: read_number(t, 1_000), document.steering, str)
        or "1",
        to_places=header.to_places if places_said(header.to_places) == list(places) else places,
    )  # fmt: skip


class _SaidAgain:
    """Parts of a header said again, in the words of before where these still fit."""

    def __init__(self, header: DocumentHeader) -> None:
        self._header = header

    def subject(self, document: Document) -> str | None:
        """The subject, which may have been taken from the summary."""
        before = self._header
        is_borrowed = before.subject is None and before.content == document.subject
        return None if is_borrowed else document.subject

    def content(self, document: Document) -> str | None:
        """The summary."""
        return _keep(self._header.content, lambda text: fits(text, 10_000), document.summary, str)

    def code(self, document: Document) -> Code:
        """Number and notation."""
        before = self._header.code
        if before and number_and_notation(self._header) == (document.number, document.notation):
            return before
        return Code(number=document.number, notation=document.notation)

    def promulgation(self, document: Document) -> Promulgation:
        """Place and date."""
        before = self._header.promulgation or Promulgation()
        return Promulgation(
            place=_keep(before.place, lambda text: fits(text, 200), document.place, str),
            date=_keep(before.date, read_date, document.issued_on, write_date),
        )

    def type(self, document: Document) -> DocumentType:
        """The kind, with numbers found by its name where the code is none of edXML's."""
        before = self._header.type
        name, code = document.type_name, document.type_code
        if before and (before.name or kind_of_number(before), _code_of(before)) == (name, code):
            return before
        kind, detail = write_type_code(code, name)
        return DocumentType(type=kind, detail=detail, name=name)

    def signer(self, signer: SaidSigner | None) -> Signer | None:
        """Who signed."""
        before = self._header.signer
        if signer is None:
            return before if signer_said(before) is None else None
        now = Signer(
            competence=signer.competence, position=signer.position, full_name=signer.full_name
        )
        return before if signer_said(before) == signer_said(now) else now

    def other(self, document: Document) -> OtherInfo:
        """Priority and pages beside what stood there."""
        before = self._header.other or OtherInfo()
        numbers = {priority: number for number, priority in PRIORITIES.items()}
        is_same = PRIORITIES.get(before.priority or "", Priority.NORMAL) is document.priority
        return replace(
            before,
            priority=before.priority if before.priority and is_same else numbers[document.priority],
            pages=_keep(before.pages, lambda t: read_number(t, 100_000), document.pages, str),
        )


def _code_of(kind: DocumentType) -> str | None:
    return fits(read_type_code(kind.type, kind.detail), 20)


def _reply_to(reply: Reply) -> ResponseFor:
    return ResponseFor(
        organ_id=reply.agency,
        code=join_code(reply.number, reply.notation),
        date=None if reply.issued_on is None else write_date(reply.issued_on),
    )


def _trace(
    before: Trace | None, said: Mapping[str, Any], document: Document, earlier: Earlier | None
) -> Trace:
    trace = before or Trace()
    business = _with_action(trace.business or Business(), said, earlier)
    if (business.paper == "1") is not document.paper:
        business = replace(business, paper="1" if document.paper else "0")
    created_at = said.get("created_at")
    hops = trace.hops
    if created_at and not hops:
        at = datetime.fromisoformat(created_at)
        hops = (TraceHeader(organ_id=said["agency"], timestamp=write_time(at)),)
    return replace(trace, business=business, hops=hops)


def _with_action(business: Business, said: Mapping[str, Any], earlier: Earlier | None) -> Business:
    number = next((n for n, action in ACTIONS.items() if action == said.get("action")), None)
    if number is None:
        raise FieldInvalid("it is none of new, recall, update, replace", where="action")
    if number == (business.doc_type or names.NEW) and (relates_to_of(business) or not earlier):
        business = replace(business, doc_type=number)
    elif number == names.UPDATE and earlier:
        updates = (UpdateInfo(document="1", receiver="0"),)
        business = replace(
            business, doc_type=number, document_id=earlier.document_id, updates=updates
        )
    elif number == names.REPLACE and earlier:
        organs = earlier.recipients or tuple(said["recipients"])
        replaced = Replacement(document_id=earlier.document_id, organ_ids=organs)
        lists = (ReplacementList(replacements=(replaced,)),)
        business = replace(business, doc_type=number, replacements=lists)
    if number in (names.UPDATE, names.REPLACE) and relates_to_of(business) is None:
        raise CannotHold("it speaks of an earlier document, which is not named", where="relates_to")
    return replace(business, doc_type=number)


def _described(
    attachments: Sequence[Described], before: Sequence[Attachment]
) -> tuple[Attachment, ...]:
    again = [each["name"] for each in attachments_said(before)]
    described = []
    for number, each in enumerate(attachments):
        old = before[number] if number < len(before) else None
        is_same = old is not None and old.sha256 == each.sha256 and again[number] == each.name
        name = old.name if old and is_same else sent_name(each.name)
        described.append(
            Attachment(
                name=name,
                size=each.size,
                sha256=each.sha256,
                description=each.description,
                content_id=old.content_id if old else None,
                field_name=old.field_name if old else None,
                mime_type=None if each.media_type == guessed_media_type(name) else each.media_type,
            )
        )
    return tuple(described)


def _organs(
    codes: Sequence[str], before: Sequence[Organ | None], organ: Callable[[str], Organ]
) -> tuple[Organ, ...]:
    kept = [each for each in before if each is not None]
    if list(dict.fromkeys(each.organ_id for each in kept)) == list(codes):
        return tuple(kept)
    return tuple(replace(organ(code), organ_id=code) for code in codes)


def _code(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise FieldInvalid("it must be an organisation's code", where=where)
    return value


def _usual_id(sender: str, document: Document) -> str:
    return f"{sender},{write_date(document.issued_on)},{document.code}"


def _require_readable(package: DocumentPackage) -> None:
    try:
        said_of(as_read(package))
    except FieldInvalid as refusal:
        raise CannotHold(f"it would not be read again: {refusal}", where=refusal.where) from refusal


def _from_said(said: Any) -> DocumentPackage:
    """The package that `_as_said` described; an empty one where there was none."""
    if said is None:
        return DocumentPackage(header=DocumentHeader())
    try:
        return DocumentPackage(
            header=from_json(DocumentHeader, said.get("header", {})),
            trace=from_json(Trace, said["trace"]) if "trace" in said else None,
            attachments=tuple(_attachment_of(each) for each in said.get("attachments", [])),
            signed=bool(said.get("signed", False)),
            unknown=tuple(
                Unknown(str(each["path"]), node_from_json(each["node"]))
                for each in said.get("unknown", [])
            ),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FieldInvalid(
            f"what stands under edxml cannot be read: {error}", where="edxml"
        ) from error


def _attachment_of(said: Mapping[str, Any]) -> Attachment:
    known = {each.name for each in fields(Attachment)}
    return Attachment(**{name: value for name, value in said.items() if name in known})


def _keep(
    text: str | None,
    meaning: Callable[[str | None], T | None],
    value: T | None,
    write: Callable[[T], str],
) -> str | None:
    """The text that stood there if it means this value, else the value written."""
    if meaning(text) == value:
        return text
    return None if value is None else write(value)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and path != "recipients":
        for number, each in enumerate(value):
            yield from _leaves(each, f"{path}[{number}]")
    elif value is not None and value is not False:  # false says what silence says
        yield path, value
