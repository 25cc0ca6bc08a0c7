"""The port to a national document axis, or to a provincial wrapper of one.

Kept apart from the other ports: only the relay talks to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, BinaryIO, ClassVar, Protocol


class MessageKind(StrEnum):
    """What a package is, in the axis's own words."""

    DOCUMENT = "edoc"
    STATUS = "status"


class TransportState(StrEnum):
    """What has become of a package on its way to us; says nothing of the document."""

    PROCESSING = "processing"
    DONE = "done"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A package that waits for us. `axis_id` is ours alone: each receiver gets another."""

    axis_id: str
    kind: str = ""
    sender: str = ""
    recipient: str = ""
    created_at: str = ""
    updated_at: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Relayed:
    """How a package of ours stands at one receiver, in the axis's own words."""

    axis_id: str
    recipient_axis_id: str = ""
    sender: str = ""
    recipient: str = ""
    send_state: str = ""
    receive_state: str = ""
    code: str = ""
    sent_at: str = ""
    received_at: str = ""


@dataclass(frozen=True, slots=True)
class AxisAgency:
    """An organisation as the axis lists it, under the code of one system or of both.

    `old_code` is that of QCVN 102:2016, where `code` is that of QĐ 20/2020. `deleted` is None
    where the list does not say.
    """

    code: str
    name: str = ""
    old_code: str = ""
    axis_id: str = ""
    parent_id: str = ""
    mail: str = ""
    center_code: str = ""
    version: str = ""
    modified_at: str = ""
    deleted: bool | None = None
    is_agency: bool | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request to send, complete: repeated as it is, it is the same request to the byte.

    Opaque to everybody but the gateway that made it. Confidential: whoever has it can repeat
    the request, though no other.
    """

    request: bytes


class AxisError(Exception):
    """A call that did not succeed; `reason` is stable, the message never quotes a package."""

    reason: ClassVar[str]


class AxisUnreachable(AxisError):
    """No connection was made: nothing was asked. Try again later."""

    reason = "AXIS_UNREACHABLE"


class AxisOutcomeUnknown(AxisError):
    """The request left, and no usable answer came: it may have been done. Repeat it as it was."""

    reason = "AXIS_OUTCOME_UNKNOWN"


class AxisReplyUnreadable(AxisOutcomeUnknown):
    """The answer is empty, cut short, or not of the form agreed: it proves nothing."""

    reason = "AXIS_REPLY_UNREADABLE"


class AxisRefused(AxisError):
    """The axis says that it did not do it; `code` is its own, "15" for wrong credentials."""

    reason = "AXIS_REFUSED"

    CREDENTIALS: ClassVar[str] = "15"
    INTERNAL: ClassVar[str] = "20"

    def __init__(self, code: str, description: str = "") -> None:
        super().__init__(f"the axis refuses with code {code}: {description}".rstrip(": "))
        self.code = code
        self.description = description

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later; all others need a person."""
        return self.code == self.INTERNAL


class AxisListUnreadable(AxisError):
    """The file that lists the organisations behind an axis is not as it must be."""

    reason = "AXIS_LIST_UNREADABLE"


class PackageChanged(Exception):
    """The package is not the one that the request was prepared for: nothing was completed."""


class AxisGateway(Protocol):
    """The calls of an axis.

    Untrusted: its replies carry no signature. Whatever it says is a claim to be reconciled, and
    what it hands out is parsed as a stranger's. A reply that is malformed, cut short or empty
    raises; it never looks like "nothing new". Every call ends within a deadline of its own.
    All but `prepare` raise AxisError.
    """

    @property
    def narrows(self) -> bool:
        """Whether only the `recipients` of a request get its package, whomever that names."""
        ...

    async def waiting(
        self, kind: MessageKind, *, since: date | None = None, until: date | None = None
    ) -> Sequence[Waiting]:
        """Every package of this kind that waits for us; both days are included."""
        ...

    async def fetch(self, axis_id: str, into: BinaryIO, raw: BinaryIO | None = None) -> int:
        """Write a package's bytes, and say how many; where it raises, `into` holds a part.

        `raw` gets the reply itself as it comes, as far as there is one.
        """
        ...

    def prepare(
        self, kind: MessageKind, package: BinaryIO, *, sender: str, recipients: Sequence[str] = ()
    ) -> Prepared:
        """The request that sends a package, with its time in it. Record it before `send`.

        Reads the whole package. Raises ValueError for codes that no header can carry.
        """
        ...

    async def send(self, prepared: Prepared, package: BinaryIO) -> str:
        """Send it, or send it once more, and give the axis's id for it.

        Not idempotent by promise: an axis may give a second id to a repeated request. After
        AxisOutcomeUnknown only the same `Prepared` may be sent. Raises PackageChanged.
        """
        ...

    async def relayed(self, kind: MessageKind, axis_id: str) -> Sequence[Relayed] | None:
        """How a package of ours stands at its receivers, or None where this axis does not say."""
        ...

    async def mark(self, axis_id: str, state: TransportState) -> None:
        """Tell the axis how we stand with a package; DONE takes it off the list."""
        ...

    async def count(self, kind: MessageKind) -> int | None:
        """How many packages wait for us, or None where this axis does not say."""
        ...

    async def agencies(self) -> Sequence[AxisAgency] | None:
        """Every organisation on the axis, those deleted included where the list has them.

        None where this axis does not say.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


# --- Packages ---------------------------------------------------------------------------


class PackageUnfit(Exception):
    """A package that cannot be taken or made. `reason` is stable; `where` names the place."""

    def __init__(self, reason: str, message: str, where: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.where = where


@dataclass(frozen=True, slots=True)
class GoingDocument:
    """What the package of a document is made of.

    `payload` is the envelope as it was signed, `document_id` its name on the axis, `recipients`
    those who get this package. `earlier` is the DocumentId of the one it updates or replaces.
    `names` are the public names of organisations by code.
    """

    payload: bytes
    document_id: str
    recipients: tuple[str, ...]
    names: Mapping[str, str]
    earlier: str | None = None


@dataclass(frozen=True, slots=True)
class GoingStatus:
    """What the package of a status says: `by` says it, `to` is the document's sender."""

    code: str
    by: str
    name: str
    to: str
    document_id: str | None
    document_code: str
    issued_on: date | None
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class CameStatus:
    """What a status package says, by the axis's word.

    `by` says it; `to` is the document's sender, and for 13 the recipient who is asked. The
    document is known by `document_id`, or else by `document_code` and `issued_on`.
    """

    code: str
    by: str
    to: str | None
    document_id: str | None
    document_code: str | None
    issued_on: date | None


class CameDocument(Protocol):
    """A document package that was read. Close it to free its contents."""

    @property
    def sender(self) -> str:
        """The organisation that it names as sender; a claim."""
        ...

    @property
    def recipients(self) -> tuple[str, ...]:
        """All organisations that it names as receivers."""
        ...

    @property
    def document_id(self) -> str:
        """What its sender calls it; made of number and date where it says nothing."""
        ...

    @property
    def business_type(self) -> str:
        """0 new, 1 recall, 2 update, 3 replace."""
        ...

    @property
    def earlier_id(self) -> str | None:
        """What the sender calls the document that this one updates, replaces or recalls."""
        ...

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of what its sender said and sent, without what an axis changes on the way."""
        ...

    @property
    def is_signed(self) -> bool:
        """Whether there is a signature in it; none is ever believed."""
        ...

    @property
    def contents(self) -> Sequence[tuple[str, int, BinaryIO]]:
        """SHA-256 in hexadecimal, size and bytes of each attachment, in their order."""
        ...

    def payload(
        self,
        *,
        hub: str,
        request_id: str,
        nonce: str,
        at: datetime,
        relates_to: str | None,
        members: Mapping[str, Any],
    ) -> bytes:
        """An envelope that says what the package says; `members` go in, over its own.

        Raises PackageUnfit.
        """
        ...

    def close(self) -> None:
        """Let go of the contents."""
        ...


class AxisPackages(Protocol):
    """Makes and reads packages, in memory that does not grow with them. No I/O of its own.

    All raise PackageUnfit for what no package can hold, and for packages that are none.
    """

    def document(self, going: GoingDocument, contents: Sequence[BinaryIO], out: BinaryIO) -> None:
        """Write the package of a document; the same document makes the same bytes."""
        ...

    def recall(self, going: GoingDocument, reason: str, at: datetime, out: BinaryIO) -> None:
        """Write the package that takes a document back."""
        ...

    def status(self, going: GoingStatus, out: BinaryIO) -> None:
        """Write the package of a status."""
        ...

    def read(self, package: BinaryIO) -> CameDocument | CameStatus:
        """What a package says."""
        ...
