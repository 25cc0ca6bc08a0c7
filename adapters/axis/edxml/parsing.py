"""XML from strangers: the one hardened parser, in pieces, in bounded memory.

No DTD and no entity of any kind, no network, nothing deeper, larger or more numerous than the
limits. Attachments' contents go straight to a file; everything else becomes `Node`s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from lxml import etree

from adapters.axis.edxml import names
from adapters.axis.edxml.contents import Decoded, Decoder
from adapters.axis.edxml.errors import DoctypeFound, NotWellFormed, TooDeep, TooLarge
from adapters.axis.edxml.model import SPACE, Scratch

_BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of everything one package may have.

    `header_chars` counts all names, attributes and texts but the contents of attachments.
    `silence_bytes` is how much may pass without any element or text coming out of it: the
    parser holds unfinished comments, attributes and CDATA sections in memory, of which it
    refuses the last beyond 10 MB. `attachment_bytes` counts what was unwrapped, too; beyond
    `inflation_free_bytes` a zip may not grow more than `inflation_max` times.
    """

    package_bytes: int = 6 * 1024**3
    header_chars: int = 8 * 1024**2
    elements: int = 200_000
    depth: int = 64
    silence_bytes: int = 12 * 1024**2
    attachments: int = 256
    attachment_bytes: int = 2 * 1024**3
    inflation_free_bytes: int = 16 * 1024**2
    inflation_max: int = 200


@dataclass(slots=True)
class Parsed:
    """An element as the parser builds it; `content` is an attachment's, decoded."""

    name: str
    namespace: str
    attributes: tuple[tuple[str, str], ...]
    pieces: list[str] = field(default_factory=list)
    children: list[Parsed] = field(default_factory=list)
    content: Decoded | None = None

    @property
    def text(self) -> str:
        """The text directly in it, without space around it."""
        return "".join(self.pieces).strip(SPACE)

    def child(self, name: str) -> Parsed | None:
        """The last child of this local name: of two, the last one counts."""
        return next((each for each in reversed(self.children) if each.name == name), None)

    def all(self, name: str) -> list[Parsed]:
        """Every child of this local name."""
        return [each for each in self.children if each.name == name]


def parse(stream: BinaryIO, scratch: Scratch, limits: Limits) -> Parsed:
    """The root element of a stream that is read to its end.

    Contents of attachments are decoded into files of `scratch`. Raises EdxmlRefused.
    """
    target = _Target(scratch, limits)
    try:
        return _feed(stream, target, limits)
    except BaseException:
        target.discard()
        raise


def _feed(stream: BinaryIO, target: _Target, limits: Limits) -> Parsed:
    # No `huge_tree`: it would lift the parser's own bounds on names, attributes and comments.
    # Contents of any length pass all the same, because no tree is built.
    parser = etree.XMLParser(
        # The stubs ask for more methods than the library calls.
        target=cast(Any, target),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
    )
    total = silent = 0
    try:
        while block := stream.read(_BLOCK_BYTES):
            total += len(block)
            if total > limits.package_bytes:
                raise TooLarge(f"a package has at most {limits.package_bytes} bytes")
            before = target.events
            parser.feed(block)
            silent = silent + len(block) if target.events == before else 0
            if silent > limits.silence_bytes:
                raise TooLarge(f"no element in {limits.silence_bytes} bytes")
        root = parser.close()
    except etree.XMLSyntaxError as error:
        raise _refusal(error) from None
    if not isinstance(root, Parsed):
        raise NotWellFormed("there is no element")
    return root


def _refusal(error: etree.XMLSyntaxError) -> TooLarge | NotWellFormed:
    said = str(error)
    if any(words in said for words in ("too big", "too long", "limit exceeded")):
        return TooLarge("a comment, a name, an attribute or a CDATA section is too long")
    # What the library says may quote the package; where it stopped says enough.
    line, column = error.position
    return NotWellFormed(f"not well-formed XML at line {line}, column {column}")


class _Target:
    """What the parser tells its finds to."""

    def __init__(self, scratch: Scratch, limits: Limits) -> None:
        self._scratch, self._limits = scratch, limits
        self._open: list[Parsed] = []
        self._root: Parsed | None = None
        self._decoder: Decoder | None = None
        self._files: list[BinaryIO] = []
        self._chars = 0
        self._elements = 0
        self.events = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.events += 1
        self._elements += 1
        if len(self._open) >= self._limits.depth:
            raise TooDeep(f"elements are nested more than {self._limits.depth} deep")
        if self._elements > self._limits.elements:
            raise TooLarge(f"more than {self._limits.elements} elements")
        if self._decoder is not None:
            raise self._decoder.refusal("an element stands within it")
        namespace, name = _split(tag)
        self._count(len(tag) + sum(len(key) + len(said) for key, said in attributes.items()))
        element = Parsed(names.ALIASES.get(name, name), namespace, tuple(attributes.items()))
        if self._open:
            self._open[-1].children.append(element)
        elif self._root is None:
            self._root = element
        self._open.append(element)
        if name == names.CONTENT:
            self._decoder = self._new_decoder()

    def end(self, _tag: str) -> None:
        self.events += 1
        element = self._open.pop()
        if self._decoder is not None:
            element.content = self._decoder.close()
            self._decoder = None

    def data(self, text: str) -> None:
        self.events += 1
        if self._decoder is not None:
            self._decoder.feed(text)
        elif self._open:
            self._count(len(text))
            self._open[-1].pieces.append(text)

    def comment(self, _text: str) -> None:
        self.events += 1

    def doctype(self, *_said: str | None) -> None:
        raise DoctypeFound("a package has no DOCTYPE")

    def close(self) -> Parsed | None:
        return self._root

    def discard(self) -> None:
        """Close every file that was made."""
        for file in self._files:
            file.close()

    def _new_decoder(self) -> Decoder:
        if len(self._files) >= self._limits.attachments:
            raise TooLarge(f"more than {self._limits.attachments} attachments")
        file = self._scratch()
        self._files.append(file)
        where = f"attachment {len(self._files)}"
        return Decoder(file, self._limits.attachment_bytes, where)

    def _count(self, chars: int) -> None:
        self._chars += chars
        if self._chars > self._limits.header_chars:
            raise TooLarge(f"more than {self._limits.header_chars} characters beside attachments")


def _split(tag: str) -> tuple[str, str]:
    # A prefix that is declared nowhere is no namespace: the library leaves it out, mostly.
    namespace, _, name = tag[1:].rpartition("}") if tag.startswith("{") else ("", "", tag)
    return namespace, name.rpartition(":")[2]
