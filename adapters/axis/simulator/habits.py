"""What an axis does to a package on its way: it looks into it, and hands on another one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from lxml import etree

from adapters.axis.edxml import names

_REWRITTEN_BYTES_MAX = 16 * 1024**2
_BLOCK_BYTES = 65536
_OF_INTEREST = {"OrganId", "Subject", "CodeNumber", "CodeNotation", "Code", "DocumentId"}


class NotAPackage(Exception):
    """What was sent is not edXML as the axis wants it."""


@dataclass(slots=True)
class Glance:
    """What an axis reads of a package: from whom, to whom, and what lists show."""

    sender: str = ""
    recipients: list[str] | None = None
    concerned: str = ""
    title: str = ""
    notation: str = ""
    document_id: str = ""


@dataclass(slots=True)
class Habits:
    """What is done to packages. All of it was seen of the real axis, or of clients before it."""

    appends_trace: bool = True
    rewrites: bool = False
    correspondents: tuple[str, ...] = ()
    """Organisations with nobody behind them, which answer by themselves."""


def glance(file: Path) -> Glance:
    """Look into a package of any size. Raises NotAPackage."""
    target = _Glancing()
    parser = etree.XMLParser(
        target=cast(Any, target), resolve_entities=False, no_network=True, load_dtd=False
    )
    try:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                parser.feed(block)
        parser.close()
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotAPackage("the package cannot be read") from error
    if not target.has_header:
        raise NotAPackage("the package has no header")
    return target.found


class _Glancing:
    """Remembers a few texts by the path to them; everything else passes by."""

    def __init__(self) -> None:
        self.found = Glance()
        self.has_header = False
        self._path: list[str] = []
        self._text = ""

    def start(self, tag: str, _attributes: object) -> None:
        self._path.append(etree.QName(tag).localname)
        self._text = ""
        self.has_header |= self._path[-2:] == [names.ENVELOPE, names.HEADER]

    def data(self, text: str) -> None:
        if self._path[-1] in _OF_INTEREST:
            self._text += text

    def end(self, _tag: str) -> None:
        name, parent = self._path[-1], self._path[-2] if len(self._path) > 1 else ""
        text, found = self._text.strip(), self.found
        match parent, name:
            case ("From", "OrganId"):
                found.sender = text
            case ("To", "OrganId"):
                found.recipients = [*(found.recipients or []), text]
            case ("ResponseFor", "OrganId"):
                found.concerned = text
            case ("MessageHeader", "DocumentId"):
                found.document_id = text
            case ("MessageHeader", "Subject"):
                found.title = text
            case ("Code", "CodeNumber"):
                found.notation = text
            case ("Code", "CodeNotation"):
                found.notation = f"{found.notation}/{text}"
            case _:
                pass
        self._path.pop()

    def doctype(self, *_said: object) -> None:
        raise ValueError("a package has no DOCTYPE")

    def close(self) -> None:
        pass


def handed_on(file: Path, habits: Habits, at: datetime) -> bytes | None:
    """The bytes that receivers get instead of what was sent, or None where these are the same.

    A package too large to be held in memory is handed on as it came.
    """
    if not (habits.appends_trace or habits.rewrites):
        return None
    if file.stat().st_size > _REWRITTEN_BYTES_MAX:
        return None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    tree = etree.parse(str(file), parser)
    if habits.rewrites:
        _rewrite(tree.getroot())
    if habits.appends_trace:
        _append_trace(tree.getroot(), at)
    return etree.tostring(tree, xml_declaration=True, encoding="UTF-8")


def _append_trace(root: Any, at: datetime) -> None:
    """The axis's own hop, without an organisation, as those of 2025 were."""
    for hops in root.iter("{*}" + names.TRACE_HEADER_LIST):
        namespace = etree.QName(hops).namespace
        hop = etree.SubElement(hops, f"{{{namespace}}}TraceHeader")
        etree.SubElement(hop, f"{{{namespace}}}Timestamp").text = at.strftime(
            names.TIMESTAMP_FORMAT
        )


def _rewrite(root: Any) -> None:
    """As a package looks that was parsed and built anew: ids longer, some elements gone."""
    for element in root.iter("{*}ContentId"):
        element.text = names.CONTENT_ID_SCHEME + (element.text or "")
    for element in root.iter("{*}ContentType"):
        element.text = names.ZIP_TYPE if element.text == "text/plain" else element.text
    gone = [
        *root.iterfind(".//{*}Attachment/{*}Description"),
        *root.iterfind(".//{*}Reference/{*}Description"),
        *root.iter("{*}X509SubjectName"),
    ]
    for element in gone:
        element.getparent().remove(element)
    for hops in root.iter("{*}" + names.TRACE_HEADER_LIST):
        hops.attrib.clear()
