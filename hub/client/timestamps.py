"""Timestamps by the hub's word: those that cover a position, and how it stands with them.

What proves them is in them: `hub.evidence`, which vendors do not need, verifies a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hub.client.errors import UnexpectedAnswer
from hub.client.line import Line
from hub.v1 import ledger_service_pb2 as calls

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp


@dataclass(frozen=True, slots=True)
class HeldToken:
    """A token in DER, the hub's name for who made it, and its chain in DER."""

    authority: str
    token: bytes
    certificates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class HeldRenewal:
    """A token over a list of earlier tokens, and that list."""

    message: bytes
    token: HeldToken


@dataclass(frozen=True, slots=True)
class HeldTimestamp:
    """A token over the checkpoint at the end of `proof`, which includes the position."""

    size: int
    gen_time: datetime
    proof: bytes
    token: HeldToken
    renewals: tuple[HeldRenewal, ...]


@dataclass(frozen=True, slots=True)
class AuthorityStanding:
    """How it stands with one authority; what there is none of is None."""

    name: str
    newest: datetime | None
    newest_size: int
    newest_not_after: datetime | None
    waiting_since: datetime | None
    waiting_events: int
    failures: int
    last_failure: str
    next_attempt: datetime | None


@dataclass(frozen=True, slots=True)
class TimestampsStanding:
    """All authorities; when the first token ends that nobody renewed; why renewing failed."""

    authorities: tuple[AuthorityStanding, ...]
    next_end: datetime | None
    renewal_failure: str


class Timestamps:
    """The hub's timestamps, over a client's line. Errors as with `HubClient`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def covering(self, position: int) -> list[HeldTimestamp]:
        """Of each authority the first timestamp that covers a position; nothing is verified.

        Raises PositionUnknown.
        """
        request = calls.GetTimestampsRequest(position=position)
        response = await self._line.call(self._line.ledger.GetTimestamps, request)
        return [_timestamp(each) for each in response.timestamps]

    async def standing(self) -> TimestampsStanding:
        """How it stands with each authority. Raises RoleNotPermitted for an agency."""
        request = calls.ListTimestampAuthoritiesRequest()
        response = await self._line.call(self._line.ledger.ListTimestampAuthorities, request)
        return TimestampsStanding(
            tuple(_standing(each) for each in response.authorities),
            _if_any(response.next_end_time, response.HasField("next_end_time")),
            response.renewal_failure,
        )


def _timestamp(found: calls.PositionTimestamp) -> HeldTimestamp:
    return HeldTimestamp(
        size=found.size,
        gen_time=_instant(found.gen_time),
        proof=found.proof,
        token=_token(found.token),
        renewals=tuple(HeldRenewal(each.message, _token(each.token)) for each in found.renewals),
    )


def _token(token: calls.TimestampToken) -> HeldToken:
    return HeldToken(token.authority, token.token, tuple(token.certificates))


def _standing(status: calls.TimestampAuthorityStatus) -> AuthorityStanding:
    return AuthorityStanding(
        name=status.name,
        newest=_if_any(status.newest_gen_time, status.HasField("newest_gen_time")),
        newest_size=status.newest_size,
        newest_not_after=_if_any(
            status.newest_not_after_time, status.HasField("newest_not_after_time")
        ),
        waiting_since=_if_any(status.waiting_since_time, status.HasField("waiting_since_time")),
        waiting_events=status.waiting_events,
        failures=status.failures,
        last_failure=status.last_failure,
        next_attempt=_if_any(status.next_attempt_time, status.HasField("next_attempt_time")),
    )


def _if_any(time: Timestamp, there: bool) -> datetime | None:
    return _instant(time) if there else None


def _instant(time: Timestamp) -> datetime:
    try:
        return time.ToDatetime(tzinfo=UTC)
    except ValueError as error:
        raise UnexpectedAnswer("a time that no clock shows") from error
