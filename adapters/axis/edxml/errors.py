"""Why a package is refused: one class and one stable reason for each cause.

None of these crosses the hub's wire: whoever runs the relay parks the package under the
reason, and the command shows it.
"""

from __future__ import annotations

from typing import ClassVar


class EdxmlRefused(Exception):
    """A package that cannot be taken or made. `reason` is stable; `where` names the place."""

    reason: ClassVar[str]

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(message)
        self.where = where


class NotWellFormed(EdxmlRefused):
    """Not XML, cut short, or not in the encoding it declares."""

    reason = "EDXML_NOT_WELL_FORMED"


class DoctypeFound(EdxmlRefused):
    """A DOCTYPE, and so possibly entities: refused before anything in it is looked at."""

    reason = "EDXML_DOCTYPE"


class TooDeep(EdxmlRefused):
    """Elements are nested more deeply than any package needs."""

    reason = "EDXML_TOO_DEEP"


class TooLarge(EdxmlRefused):
    """Something exceeds a limit of `adapters.axis.edxml.parsing.Limits`."""

    reason = "EDXML_TOO_LARGE"


class NotEdxml(EdxmlRefused):
    """Well-formed, but without the envelope and header of an edXML package."""

    reason = "EDXML_NOT_EDXML"


class BadBase64(EdxmlRefused):
    """An attachment's content is not base64: taken leniently, it would be other bytes."""

    reason = "EDXML_BAD_BASE64"


class AttachmentIncomplete(EdxmlRefused):
    """An attachment without a name or without content."""

    reason = "EDXML_ATTACHMENT_INCOMPLETE"


class ZipBroken(EdxmlRefused):
    """The zip around an attachment does not open, or its checksum is wrong."""

    reason = "EDXML_ZIP_BROKEN"


class ZipBomb(EdxmlRefused):
    """The zip around an attachment grows out of all proportion."""

    reason = "EDXML_ZIP_BOMB"


class FieldInvalid(EdxmlRefused):
    """A field that is needed is missing, or cannot be read; `where` names it."""

    reason = "EDXML_FIELD_INVALID"


class NoRecipient(EdxmlRefused):
    """A document package without `To`."""

    reason = "EDXML_NO_RECIPIENT"


class StatusUnknown(EdxmlRefused):
    """A status package whose code is none of the nine."""

    reason = "EDXML_STATUS_UNKNOWN"


class SecretMarked(EdxmlRefused):
    """Marked as a state secret: never exchanged here (QĐ 28/2018/QĐ-TTg Art. 1)."""

    reason = "EDXML_SECRET"


class CannotHold(EdxmlRefused):
    """A document that no edXML package can hold as it is; `where` names the field."""

    reason = "EDXML_CANNOT_HOLD"


class ContentChanged(EdxmlRefused):
    """The content handed in is not what the package says of it."""

    reason = "EDXML_CONTENT_CHANGED"


def reasons() -> dict[str, type[EdxmlRefused]]:
    """Every reason with its class."""
    return {error.reason: error for error in EdxmlRefused.__subclasses__()}
