"""An edXML package into a stream, as the vendor's library writes it: order, spelling, line ends.

UTF-8, CRLF, two spaces a level, base64 on one line, the prefix on everything inside the
envelope and on nothing beside it but the content itself. Some receivers insist on each of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from adapters.axis.edxml import names
from adapters.axis.edxml.contents import check, encode, is_sent_raw, label, sent_name, wrapped
from adapters.axis.edxml.errors import AttachmentIncomplete, CannotHold, NoRecipient
from adapters.axis.edxml.model import (
    SPACE,
    Attachment,
    Content,
    DocumentPackage,
    Scratch,
    StatusPackage,
)
from adapters.axis.edxml.shape import Element, Kind, Node, elements

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\r\n'
# XML 1.0, production 2: all others cannot stand in a document, not even as a reference.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"})


def write_document(
    package: DocumentPackage, contents: Sequence[Content], out: BinaryIO, scratch: Scratch
) -> None:
    """Write a document with its attachments, `contents` in their order, in bounded memory.

    The same package and contents always give the same bytes. Unknown elements are not written.
    Raises NoRecipient, ContentChanged, AttachmentIncomplete, and CannotHold for text that XML
    cannot carry; `out` may then hold a beginning.
    """
    if not package.header.to:
        raise NoRecipient("a document package names its receivers in To")
    for attachment, content in zip(package.attachments, contents, strict=True):
        if not attachment.name.strip(SPACE):
            raise AttachmentIncomplete("an attachment has no name")
        check(content, attachment.name, attachment.size, attachment.sha256)
    raw = [
        is_sent_raw(content, attachment.name, attachment.size)
        for attachment, content in zip(package.attachments, contents, strict=True)
    ]
    xml = _Document(out)
    with xml.package():
        with xml.envelope():
            with xml.element(names.HEADER):
                xml.object(names.MESSAGE_HEADER, package.header)
                if package.trace is not None:
                    xml.object(names.TRACE_HEADER_LIST, package.trace)
            with xml.element(names.BODY):
                xml.manifest(package.attachments, raw)
        xml.attachments(package.attachments, contents, raw, scratch)


def write_status(package: StatusPackage, out: BinaryIO) -> None:
    """Write a status report: a header and nothing else. Raises CannotHold."""
    xml = _Document(out)
    with xml.package(), xml.envelope(), xml.element(names.HEADER):
        xml.object(names.MESSAGE_HEADER, package.header)


class _Document:
    """One XML document being written; every text goes through one place, which escapes it."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._level = 0
        self._prefix = ""

    @contextmanager
    def package(self) -> Iterator[None]:
        """The root element, and what stands before it."""
        self._out.write(_DECLARATION)
        with self.element(names.ROOT, f' xmlns="{names.NAMESPACE}"'):
            yield

    @contextmanager
    def envelope(self) -> Iterator[None]:
        """The envelope, in which everything has the prefix."""
        self._prefix = f"{names.PREFIX}:"
        with self.element(names.ENVELOPE, f' xmlns:{names.PREFIX}="{names.NAMESPACE}"'):
            yield
        self._prefix = ""

    @contextmanager
    def element(self, name: str, attributes: str = "") -> Iterator[None]:
        """An element with others inside it."""
        tag = self._prefix + name
        self._line(f"<{tag}{attributes}>")
        self._level += 1
        yield
        self._level -= 1
        self._line(f"</{tag}>")

    def object(self, name: str, value: Any) -> None:
        """An object of the model, its fields in their order; nothing where it says nothing."""
        if _is_empty(value):
            self._line(f"<{self._prefix}{name} />")
            return
        with self.element(name):
            for each, where in elements(value):
                self._field(where, getattr(value, each.name))

    def text(self, name: str, text: str | None) -> None:
        """An element of text; none where the text is absent or empty."""
        if text and text.strip(SPACE):
            tag = self._prefix + name
            self._line(f"<{tag}>{_escaped(text, name)}</{tag}>")

    def _field(self, where: Element, value: Any) -> None:
        match where.kind:
            case Kind.TEXT:
                self.text(where.name, value)
            case Kind.NODE if value is not None:
                self._node(value)
            case Kind.ONE if value is not None:
                self.object(where.name, value)
            case Kind.MANY | Kind.TEXTS if value and where.within:
                with self.element(where.within):
                    self._each(where, value)
            case Kind.MANY | Kind.TEXTS:
                self._each(where, value)
            case _:
                pass

    def _each(self, where: Element, values: Sequence[Any]) -> None:
        for value in values:
            if where.kind is Kind.TEXTS:
                self.text(where.name, value)
            else:
                self.object(where.name, value)

    def _node(self, node: Node) -> None:
        # Nothing is known of its inside but names and texts, which is all a receiver reads.
        if not node.children:
            self.text(node.name, node.text)
            return
        with self.element(node.name):
            for child in node.children:
                self._node(child)

    def manifest(self, attachments: Sequence[Attachment], raw: Sequence[bool]) -> None:
        """What is attached, each under the same label as there."""
        if not attachments:
            self._line(f'<{self._prefix}{names.MANIFEST} version="1.0" />')
            return
        with self.element(names.MANIFEST, ' version="1.0"'):
            for number, each in enumerate(attachments):
                with self.element(names.REFERENCE):
                    self.text("ContentId", _content_id(each, number))
                    self.text("ContentType", label(each.name, raw=raw[number]))
                    self.text("Description", each.description)
                    self.text("AttachmentName", sent_name(each.name))

    def attachments(
        self,
        attachments: Sequence[Attachment],
        contents: Sequence[Content],
        raw: Sequence[bool],
        scratch: Scratch,
    ) -> None:
        """The attachments themselves, each in a zip of its own where it is not sent raw."""
        if not attachments:
            self._line(f"<{names.ATTACHMENTS} />")
            return
        with self.element(names.ATTACHMENTS):
            for number, each in enumerate(attachments):
                with self.element(names.ATTACHMENT):
                    self._about(each, number, label(each.name, raw=raw[number]))
                    self._content(each, contents[number], raw[number], scratch)

    def _about(self, attachment: Attachment, number: int, content_type: str) -> None:
        self.text("ContentId", _content_id(attachment, number))
        self.text("AttachmentName", sent_name(attachment.name))
        self.text("Description", attachment.description)
        self.text("FieldName", attachment.field_name)
        self.text("MimeType", attachment.mime_type)
        self.text("ContentType", content_type)

    def _content(
        self, attachment: Attachment, content: Content, raw: bool, scratch: Scratch
    ) -> None:
        # The prefix is declared here anew, as nothing around it has it.
        tag = f"{names.PREFIX}:{names.CONTENT}"
        self._write(f'{self._indent}<{tag} xmlns:{names.PREFIX}="{names.NAMESPACE}">')
        if raw:
            encode(content, self._out)
        else:
            said = (attachment.name, attachment.size, attachment.sha256)
            with wrapped(content, *said, scratch) as zipped:
                encode(zipped, self._out)
        self._write(f"</{tag}>\r\n")

    @property
    def _indent(self) -> str:
        return "  " * self._level

    def _line(self, line: str) -> None:
        self._write(f"{self._indent}{line}\r\n")

    def _write(self, text: str) -> None:
        self._out.write(text.encode())


def _is_empty(value: Any) -> bool:
    return all(getattr(value, each.name) in (None, (), "") for each, _where in elements(value))


def _content_id(attachment: Attachment, number: int) -> str:
    return f"{names.CONTENT_ID_SCHEME}{attachment.content_id or f'att-{number + 1}'}"


def _escaped(text: str, name: str) -> str:
    if _FORBIDDEN.search(text):
        raise CannotHold("a character that XML does not allow", where=name)
    return text.translate(_ESCAPES)
