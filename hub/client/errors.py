"""What can go wrong between a client and its hub, as exceptions a program can act on.

Three families. A refusal by the hub is a :class:`hub.errors.HubError`: mend the cause, send
anew. Evidence that does not hold is a :class:`hub.errors.VerificationFailed`: stop, and call
a person. Everything here is a :class:`ClientError`: the line, the answer's form, or this
client's own files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from hub.errors import (
    HubError,
    LogFrozen,
    Overloaded,
    PrincipalUnknown,
    ReceiptDelayed,
    RoleNotPermitted,
    Unavailable,
    VerificationFailed,
    hub_errors,
)
from hub.v1.status_details_pb2 import ErrorInfo, RetryInfo, StatusDetails

M = TypeVar("M", bound=Message)

# How a refusal comes: of a whole call, or of one document of a batch.
Failure = grpc.RpcError | StatusDetails

ERROR_DOMAIN: Final = "lienthong"
STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"
ERROR_INFO_URL: Final = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY_INFO_URL: Final = "type.googleapis.com/google.rpc.RetryInfo"

# A hub that asks for more patience than this is down for a client's purposes.
RETRY_AFTER_S_MAX: Final = 300.0

# The hub said "the same bytes again, later": its answer to the question is still to come.
REPEATABLE: Final = (Overloaded, ReceiptDelayed, Unavailable)
# Refusals that say nothing about the statement: an earlier attempt may have been accepted,
# so the statement stays in the journal.
UNDECIDED: Final = (*REPEATABLE, LogFrozen, PrincipalUnknown, RoleNotPermitted)

# What gRPC reports when nobody is there, nobody answers in time, or the hub is stopping.
_LINE_FAILURES: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class ClientError(Exception):
    """Something between the client and its hub failed; neither a refusal nor bad evidence."""


class HubUnreachable(ClientError):
    """No answer, however often it was asked: whether the hub recorded anything is unknown.

    A signed statement is safe in the journal under `request_id`; `HubClient.resume` sends
    the very same bytes again. Never sign a second statement for the same intention instead.
    """

    def __init__(self, message: str, *, request_id: str | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


class AnotherLog(VerificationFailed):
    """The hub keeps another log (`found`) than the profile names (`expected`).

    Either this is another hub, or its log was reopened after a loss: then get the new trusted
    root by a way of its own, name the new origin in the profile with a new state folder, and
    read inbox and outbox from the number on that the operator names.
    """

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"the hub keeps the log {found}, not {expected}", step="origin")
        self.expected = expected
        self.found = found


class UnexpectedAnswer(ClientError):
    """The hub answered something its contract does not know: a bug there, or another server.

    Nothing is concluded from it; a signed statement stays in the journal.
    """


class ProfileInvalid(ClientError):
    """The profile, or a file it names, cannot be used; the message says what to change."""


class StateInUse(ClientError):
    """Another process, or another client in this one, works with the state directory."""


class StateDamaged(ClientError):
    """A file of the state directory is not as this client wrote it; nothing was sent."""


class JournalFull(ClientError):
    """Too much waits to be repeated; call `HubClient.resume` before sending more."""


class SequenceGap(VerificationFailed):
    """The numbers of an inbox or outbox have a gap: the hub left a line out, or gave one twice."""

    BOX: ClassVar[str]

    def __init__(self, *, after: int, found: int) -> None:
        super().__init__(
            f"the {self.BOX} went on with number {found} after number {after}", step=self.BOX
        )
        self.after = after
        self.found = found


class InboxGap(SequenceGap):
    """The numbers of the inbox have a gap: the hub withheld a document, or gave one twice."""

    BOX = "inbox"


class OutboxGap(SequenceGap):
    """The numbers of the outbox have a gap: the hub withheld news, or gave it twice."""

    BOX = "outbox"


class ForkDetected(VerificationFailed):
    """The hub signed two trees of which neither is the beginning of the other.

    `kept` and `shown` are the two signed checkpoints. Together they convict the hub, so they
    are also written to the state directory. Hand them to an auditor.
    """

    def __init__(self, message: str, *, kept: bytes, shown: bytes) -> None:
        super().__init__(message, step="consistency")
        self.kept = kept
        self.shown = shown


class LogShrank(VerificationFailed):
    """The newest checkpoint that is shown is smaller than one that the log signed before.

    Both are kept in the state folder. Where copies of the log are served, one of them may
    merely be old; if the log itself shows it, history was cut off.
    """

    def __init__(self, kept: int, shown: int) -> None:
        super().__init__(
            f"the log shows {shown} entries, but it has signed {kept} before", step="size"
        )


def error_of(failure: Failure) -> HubError | HubUnreachable | UnexpectedAnswer:
    """What a failed call means, or the refusal of one document of a batch.

    A refusal of the hub becomes its class in :mod:`hub.errors`, by the reason in the
    trailing metadata. Without one, a broken line is HubUnreachable and anything else an
    UnexpectedAnswer; so is a reason this version does not know.
    """
    code, message = _code_of(failure), _message_of(failure)
    info = _detail(failure, ERROR_INFO_URL, ErrorInfo())
    if info is not None and info.domain == ERROR_DOMAIN:
        known = hub_errors().get(info.reason)
        if known is None:
            return UnexpectedAnswer(f"refused for a reason unknown here, {info.reason}: {message}")
        return _refusal(known, message, dict(info.metadata))
    if code in _LINE_FAILURES:
        return HubUnreachable(f"{code.name}: {message}")
    return UnexpectedAnswer(f"{code.name} without a reason of the hub: {message}")


def retry_after_s(failure: Failure) -> float:
    """How long the hub asks to wait before the next attempt, in seconds; 0 if it does not."""
    info = _detail(failure, RETRY_INFO_URL, RetryInfo())
    if info is None:
        return 0.0
    delay = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return min(max(delay, 0.0), RETRY_AFTER_S_MAX)


def _refusal(kind: type[HubError], message: str, metadata: dict[str, str]) -> HubError:
    error = kind(message)
    # Not as keywords: names that come over the wire must not meet parameter names.
    error.metadata = metadata
    return error


def _detail(failure: Failure, type_url: str, into: M) -> M | None:
    """The detail of that type, read into an empty message; None when absent or unreadable."""
    for detail in _details(failure):
        if detail.type_url == type_url:
            try:
                # By value: the mirror messages have names of their own, so `Any.Unpack`
                # would refuse them although they are the same on the wire.
                into.ParseFromString(detail.value)
            except DecodeError:
                return None
            return into
    return None


def _details(failure: Failure) -> list[Any]:
    if isinstance(failure, StatusDetails):
        return list(failure.details)
    read = getattr(failure, "trailing_metadata", None)
    metadata: Iterable[tuple[str, str | bytes]] = (read() if read else None) or ()
    for key, value in metadata:
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            try:
                return list(StatusDetails.FromString(value).details)
            except DecodeError:
                return []
    return []


def _code_of(failure: Failure) -> grpc.StatusCode:
    if isinstance(failure, StatusDetails):
        return _CODES.get(failure.code, grpc.StatusCode.UNKNOWN)
    code = failure.code() if hasattr(failure, "code") else None
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def _message_of(failure: Failure) -> str:
    if isinstance(failure, StatusDetails):
        return failure.message or "no details"
    details = failure.details() if hasattr(failure, "details") else None
    return str(details) if details else "no details"
