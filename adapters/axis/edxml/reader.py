"""An edXML package from a stream: any order, any prefix, what is unknown kept, nothing trusted.

Taken as the vendor's parser takes it: elements go by local name, in whatever namespace; of two
that may come once, the last counts. Stricter than it wherever it would take bytes for other bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from adapters.axis.edxml import names
from adapters.axis.edxml.contents import Decoded, unwrapped
from adapters.axis.edxml.errors import AttachmentIncomplete, NotEdxml
from adapters.axis.edxml.model import (
    Attachment,
    Content,
    DocumentHeader,
    DocumentPackage,
    Package,
    Scratch,
    StatusHeader,
    StatusPackage,
    Trace,
    Unknown,
)
from adapters.axis.edxml.parsing import Limits, Parsed, parse
from adapters.axis.edxml.shape import Element, Kind, Node, elements

DEFAULT_LIMITS = Limits()

_ATTACHMENT_PARTS = {
    "ContentId", "AttachmentName", "Description", "FieldName", "MimeType", "ContentType",
    names.CONTENT,
}  # fmt: skip
_REFERENCE_PARTS = {"ContentId", "ContentType", "Description", "AttachmentName"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A package with the contents of its attachments, in their order. Close it to free them."""

    package: Package
    contents: tuple[Content, ...] = ()

    def close(self) -> None:
        """Let go of the contents."""
        for content in self.contents:
            content.close()


def read(stream: BinaryIO, scratch: Scratch, limits: Limits = DEFAULT_LIMITS) -> Reading:
    """Read one package to the end of its stream, in memory that does not grow with it.

    `scratch` makes the files that contents are decoded into. Whether it is a document or a
    status report is told by its StatusCode. Raises EdxmlRefused.
    """
    root = parse(stream, scratch, limits)
    files = [each.content.file for each in _below(root) if each.content is not None]
    kept: list[BinaryIO] = []
    try:
        reading = _Reader(scratch, limits).package(root)
        kept = list(reading.contents)
        return reading
    finally:
        for file in files:
            if file not in kept:
                file.close()


class _Reader:
    """Collects, while it reads one package, what nobody asked for."""

    def __init__(self, scratch: Scratch, limits: Limits) -> None:
        self._scratch, self._limits = scratch, limits
        self._unknown: list[Unknown] = []

    def package(self, root: Parsed) -> Reading:
        envelope = _envelope(root)
        header = _last(envelope, names.HEADER, names.OLD_HEADER)
        message = header and header.child(names.MESSAGE_HEADER)
        if header is None or message is None:
            raise NotEdxml("there is no header with a MessageHeader")
        signed = header.child(names.SIGNATURE) is not None
        if message.child("StatusCode") is not None:
            said = self.read(StatusHeader, message, names.MESSAGE_HEADER)
            return Reading(StatusPackage(header=said, signed=signed, unknown=tuple(self._unknown)))
        return self._document(root, envelope, header, message, signed)

    def _document(
        self, root: Parsed, envelope: Parsed, header: Parsed, message: Parsed, signed: bool
    ) -> Reading:
        said = self.read(DocumentHeader, message, names.MESSAGE_HEADER)
        hops = header.child(names.TRACE_HEADER_LIST)
        trace = None if hops is None else self.read(Trace, hops, names.TRACE_HEADER_LIST)
        self._keep_rest(
            header, {names.MESSAGE_HEADER, names.TRACE_HEADER_LIST, names.SIGNATURE}, names.HEADER
        )
        references = list(self._references(envelope))
        attachments: list[Attachment] = []
        contents: list[Content] = []
        try:
            for number, each in enumerate(_attachments(root, envelope), start=1):
                attachment, content = self._attachment(each, number, references)
                attachments.append(attachment)
                contents.append(content)
        except BaseException:
            for content in contents:
                content.close()
            raise
        package = DocumentPackage(
            header=said,
            trace=trace,
            attachments=tuple(attachments),
            signed=signed,
            unknown=tuple(self._unknown),
        )
        return Reading(package, tuple(contents))

    def read(self, shape: type[Any], parsed: Parsed, path: str) -> Any:
        """The object of the model that lies in an element."""
        values: dict[str, Any] = {}
        counted: list[Parsed] = []
        for each, where in elements(shape):
            found = parsed.all(where.outer)
            # Lists may come in pieces; of everything else the last one counts.
            if where.kind is not Kind.MANY or where.within:
                found = found[-1:]
            counted += found
            if found:
                values[each.name] = self._value(where, found, f"{path}/{where.outer}")
        taken = {id(each) for each in counted}
        self._keep((each for each in parsed.children if id(each) not in taken), path)
        return shape(**values)

    def _value(self, where: Element, found: list[Parsed], path: str) -> Any:
        last = found[-1]
        match where.kind:
            case Kind.TEXT:
                self._keep(last.children, path)
                return last.text or None
            case Kind.NODE:
                return _node(last)
            case Kind.TEXTS:
                self._keep_rest(last, {where.name}, path)
                return tuple(each.text for each in last.all(where.name) if each.text)
            case Kind.ONE | Kind.MANY:
                return self._objects(where, found, path)

    def _objects(self, where: Element, found: list[Parsed], path: str) -> Any:
        if where.inner is None:
            raise AssertionError(where)
        if where.within:
            self._keep_rest(found[-1], {where.name}, path)
            found = found[-1].all(where.name)
        objects = tuple(self.read(where.inner, each, path) for each in found)
        return objects if where.kind is Kind.MANY else objects[-1]

    def _references(self, envelope: Parsed) -> Iterator[Parsed]:
        """What the manifest says of the attachments."""
        body = _last(envelope, names.BODY, names.OLD_BODY)
        manifest = body and body.child(names.MANIFEST)
        if body is None or manifest is None:
            return
        self._keep_rest(body, {names.MANIFEST, names.ATTACHMENTS}, names.BODY)
        self._keep_rest(manifest, {names.REFERENCE}, names.MANIFEST)
        for reference in manifest.all(names.REFERENCE):
            self._keep_rest(reference, _REFERENCE_PARTS, names.REFERENCE)
            yield reference

    def _attachment(
        self, parsed: Parsed, number: int, references: Iterable[Parsed]
    ) -> tuple[Attachment, Content]:
        where = f"attachment {number}"
        self._keep_rest(parsed, _ATTACHMENT_PARTS, f"{names.ATTACHMENT}[{number}]")
        content_id = bare_id(_text(parsed, "ContentId"))
        reference = next((r for r in references if _same_id(r, content_id)), None)
        name = _text(parsed, "AttachmentName") or _text(reference, "AttachmentName")
        encoded = parsed.child(names.CONTENT)
        if not name:
            raise AttachmentIncomplete("an attachment has no AttachmentName", where=where)
        if encoded is None or encoded.content is None:
            raise AttachmentIncomplete("an attachment has no content", where=where)
        inner = self._unwrapped(encoded.content, name)
        held = inner or encoded.content
        attachment = Attachment(
            name=name,
            size=held.size,
            sha256=held.sha256,
            content_id=content_id,
            description=_text(parsed, "Description") or _text(reference, "Description"),
            field_name=_text(parsed, "FieldName"),
            mime_type=_text(parsed, "MimeType"),
            content_type=_text(parsed, "ContentType"),
            wrapped=inner is not None,
        )
        return attachment, held.file

    def _unwrapped(self, content: Decoded, name: str) -> Decoded | None:
        limits = self._limits
        return unwrapped(
            content,
            name,
            self._scratch,
            bytes_max=limits.attachment_bytes,
            free_bytes=limits.inflation_free_bytes,
            inflation_max=limits.inflation_max,
        )

    def _keep_rest(self, parsed: Parsed, known: set[str], path: str) -> None:
        self._keep((each for each in parsed.children if each.name not in known), path)

    def _keep(self, strange: Iterable[Parsed], path: str) -> None:
        self._unknown += (Unknown(path, _node(each)) for each in strange)


def bare_id(content_id: str | None) -> str | None:
    """A content id without `cid:` in front, of which writers put none, one or several."""
    while content_id and content_id.startswith(names.CONTENT_ID_SCHEME):
        content_id = content_id.removeprefix(names.CONTENT_ID_SCHEME)
    return content_id or None


def _envelope(root: Parsed) -> Parsed:
    """The envelope: the root's child, or the root itself."""
    if (child := _last(root, names.ENVELOPE, names.OLD_ENVELOPE)) is not None:
        return child
    if root.name in (names.ENVELOPE, names.OLD_ENVELOPE):
        return root
    raise NotEdxml("there is no edXMLEnvelope")


def _attachments(root: Parsed, envelope: Parsed) -> list[Parsed]:
    """Attachments lie beside the envelope; some writers put them inside it, or into the body."""
    body = _last(envelope, names.BODY, names.OLD_BODY)
    for place in (root, envelope, body):
        if place is not None and (block := place.child(names.ATTACHMENTS)) is not None:
            return block.all(names.ATTACHMENT)
    return []


def _last(parsed: Parsed, *possible: str) -> Parsed | None:
    return next((found for name in possible if (found := parsed.child(name))), None)


def _text(parsed: Parsed | None, name: str) -> str | None:
    found = None if parsed is None else parsed.child(name)
    return (found.text or None) if found is not None else None


def _same_id(reference: Parsed, content_id: str | None) -> bool:
    return content_id is not None and bare_id(_text(reference, "ContentId")) == content_id


def _node(parsed: Parsed) -> Node:
    return Node(
        name=parsed.name,
        namespace=parsed.namespace,
        text=parsed.text,
        attributes=parsed.attributes,
        children=tuple(_node(child) for child in parsed.children),
    )


def _below(parsed: Parsed) -> Iterator[Parsed]:
    yield parsed
    for child in parsed.children:
        yield from _below(child)
