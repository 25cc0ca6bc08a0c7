"""How a class of the model lies in XML: which element holds which field, and in what order.

The order of a class's fields is the order in which they are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from enum import Enum
from typing import Any


class Kind(Enum):
    """What an element holds."""

    TEXT = "text"
    ONE = "one"
    MANY = "many"
    TEXTS = "texts"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Element:
    """Where a field lies: its element, and the element around it where there is one.

    `inner` is the class of what lies in it; `within` wraps the repeated ones.
    """

    kind: Kind
    name: str
    inner: type[Any] | None = None
    within: str = ""

    @property
    def outer(self) -> str:
        """The name by which it is found among its siblings."""
        return self.within or self.name


@dataclass(frozen=True, slots=True)
class Node:
    """An element as it stood there: local name, namespace, text, attributes, children."""

    name: str
    namespace: str = ""
    text: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    children: tuple[Node, ...] = ()


def text(name: str) -> Any:
    """A field of text; None where the element is absent or empty."""
    return field(default=None, metadata={"xml": Element(Kind.TEXT, name)})


def one(name: str, inner: type[Any]) -> Any:
    """A field that is an object of its own; None where the element is absent."""
    return field(default=None, metadata={"xml": Element(Kind.ONE, name, inner)})


def many(name: str, inner: type[Any], *, within: str = "") -> Any:
    """A field of any number of objects."""
    return field(default=(), metadata={"xml": Element(Kind.MANY, name, inner, within)})


def texts(name: str, *, within: str) -> Any:
    """A field of any number of texts."""
    return field(default=(), metadata={"xml": Element(Kind.TEXTS, name, within=within)})


def node(name: str) -> Any:
    """A field that is kept as it stood there, because nothing is known of its inside."""
    return field(default=None, metadata={"xml": Element(Kind.NODE, name)})


def elements(shape: Any) -> Iterator[tuple[Field[Any], Element]]:
    """The fields of a class of the model, in the order of writing, with where they lie."""
    for each in fields(shape):
        if (element := each.metadata.get("xml")) is not None:
            yield each, element
