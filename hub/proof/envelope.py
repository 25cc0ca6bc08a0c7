"""The document an envelope speaks of: the fields of QĐ 28/2018 Art. 10 and NĐ 30/2020 App. VI."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, TypeVar

from hub.proof.fields import Fields, plain_text

T = TypeVar("T")

ATTACHMENTS_MAX = 64
ATTACHMENT_BYTES_MAX = 2 * 1024**3
SUBJECT_CHARS_MAX = 2000

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
# RFC 5646 section 4.4.1: no registered tag needs more than 35 characters.
_LANGUAGE = re.compile(r"(?=.{2,35}\Z)[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_SECRECY = re.compile(r"[a-z_]{1,30}")
# A name must be safe as a file name wherever the recipient saves it.
_FILE_NAME = re.compile(r'(?!\.{1,2}\Z)[^/\\:*?"<>|\x00-\x1f\x7f]{1,255}(?<![ .])')


class Action(StrEnum):
    """What an envelope does with regard to earlier ones."""

    NEW = "new"
    UPDATE = "update"
    REPLACE = "replace"


class Priority(StrEnum):
    """How urgent a document is (NĐ 30/2020 App. I): thường, khẩn, thượng khẩn, hoả tốc."""

    NORMAL = "normal"
    URGENT = "khan"
    VERY_URGENT = "thuong_khan"
    FLASH = "hoa_toc"
    FLASH_TIMED = "hoa_toc_hen_gio"


_PRIORITIES = tuple(each.value for each in Priority)


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file of a document; its content travels beside the envelope."""

    name: str
    media_type: str
    size: int
    sha256: str
    description: str | None = None

    @classmethod
    def read(cls, value: Any, path: str) -> Attachment:
        """Read and check one attachment. `size` is in bytes."""
        fields = Fields(value, path)
        name = fields.matching("name", _FILE_NAME, "a plain file name of at most 255 characters")
        if len(name.encode()) > 255:
            raise fields.bad("name", "must have at most 255 bytes in UTF-8")
        return cls(
            name=name,
            media_type=fields.matching("media_type", _MEDIA_TYPE, "a media type in lower case"),
            size=fields.integer("size", minimum=0, maximum=ATTACHMENT_BYTES_MAX),
            sha256=fields.digest("sha256"),
            description=_text(fields, "description", 1000),
        )


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed the document itself: competence (TM., KT., TL., TUQ., Q.), position, name."""

    full_name: str
    position: str | None = None
    competence: str | None = None

    @classmethod
    def read(cls, fields: Fields) -> Signer:
        """Read and check the signer."""
        return cls(
            full_name=fields.text("full_name", chars_max=200),
            position=_text(fields, "position", 200),
            competence=_text(fields, "competence", 20),
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """A document this one answers."""

    agency: str
    number: str | None = None
    notation: str | None = None
    issued_on: date | None = None

    @classmethod
    def read(cls, value: Any, path: str) -> Reply:
        """Read and check one reference to an earlier document."""
        fields = Fields(value, path)
        return cls(
            agency=fields.text("agency", chars_max=35),
            number=_text(fields, "number", 50),
            notation=_text(fields, "notation", 100),
            issued_on=fields.optional("issued_on", fields.date),
        )


@dataclass(frozen=True, slots=True)
class Document:
    """What the sending agency says about its document.

    `secrecy` is whatever the sender marked; the hub refuses all but `none`. `steering` is
    edXML's SteeringType. `paper` says that a paper original follows.
    """

    number: str
    notation: str
    type_name: str
    type_code: str | None
    secrecy: str
    subject: str
    summary: str | None
    issued_on: date
    place: str | None
    signer: Signer | None
    priority: Priority
    due_on: date | None
    pages: int | None
    language: str
    in_reply_to: tuple[Reply, ...]
    steering: int | None
    to_places: tuple[str, ...]
    paper: bool
    attachments: tuple[Attachment, ...]

    @property
    def code(self) -> str:
        """Number and notation as people write them, e.g. `125/UBND-VP`."""
        return f"{self.number}/{self.notation}"

    @classmethod
    def read(cls, fields: Fields) -> Document:
        """Read and check the document's fields."""
        kind = fields.object("type")
        return cls(
            number=fields.text("number", chars_max=50),
            notation=fields.text("notation", chars_max=100),
            type_name=kind.text("name", chars_max=100),
            type_code=_text(kind, "code", 20),
            secrecy=fields.matching("secrecy", _SECRECY, "a word in lower case, such as none"),
            subject=fields.text("subject", chars_max=SUBJECT_CHARS_MAX),
            summary=_text(fields, "summary", 10_000),
            issued_on=fields.date("issued_on"),
            place=_text(fields, "place", 200),
            signer=fields.optional("signer", lambda name: Signer.read(fields.object(name))),
            priority=Priority(fields.one_of("priority", _PRIORITIES)),
            due_on=fields.optional("due_on", fields.date),
            pages=_count(fields, "pages", 100_000),
            language=fields.matching("language", _LANGUAGE, "a language tag such as vi"),
            in_reply_to=_array(fields, "in_reply_to", Reply.read, 100),
            steering=_count(fields, "steering", 1_000),
            to_places=_array(fields, "to_places", _place, 1_000),
            paper=fields.optional("paper", fields.boolean) or False,
            attachments=_attachments(fields),
        )


def _attachments(fields: Fields) -> tuple[Attachment, ...]:
    attachments = fields.array("attachments", Attachment.read, items_max=ATTACHMENTS_MAX)
    if len({attachment.name for attachment in attachments}) != len(attachments):
        raise fields.bad("attachments", "two attachments have the same name")
    return attachments


def _text(fields: Fields, name: str, chars_max: int) -> str | None:
    return fields.optional(name, lambda found: fields.text(found, chars_max=chars_max))


def _count(fields: Fields, name: str, maximum: int) -> int | None:
    return fields.optional(name, lambda found: fields.integer(found, minimum=0, maximum=maximum))


def _array(
    fields: Fields, name: str, read: Callable[[Any, str], T], items_max: int
) -> tuple[T, ...]:
    return fields.optional(name, lambda n: fields.array(n, read, items_max=items_max)) or ()


def _place(value: Any, path: str) -> str:
    return plain_text(value, path, chars_max=200)
