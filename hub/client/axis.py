"""What an operator sees and does of packages to and from the national axis."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from hub.client.answers import RelayState, receipt_of
from hub.client.errors import UnexpectedAnswer
from hub.client.line import Line
from hub.client.orders import OperatorFact, named
from hub.client.verification import ReceiptVerifier
from hub.errors import VerificationFailed
from hub.proof.strict import JsonObject
from hub.v1 import axis_pb2
from hub.v1 import exchange_pb2 as wire
from hub.v1 import registry_service_pb2 as calls

PARKED_TOPIC = "hub.Relay.RelayParked"
RESUMED_TOPIC = "hub.Relay.RelayResumed"
RECONCILED_TOPIC = "hub.Relay.ReconciliationMade"
PAGE_SIZE = 100
_REPORT_CHARS_MAX = 64 << 20


class RelayKind(IntEnum):
    """What a package carries."""

    UNKNOWN = 0
    DOCUMENT = 1
    RECALL = 2
    STATUS = 3

    @classmethod
    def of(cls, value: int) -> RelayKind:
        """The kind of that number on the wire."""
        return cls(value) if value in set(cls) else cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class Relay:
    """A package to or from the axis, by the hub's word.

    `reason` and `code` say why it failed or was parked: a stable word of the hub, and the
    axis's own code. `again_at` is when the next attempt is due.
    """

    relay_id: str
    incoming: bool
    kind: RelayKind
    exchange_id: str
    agency: str
    status: str
    state: RelayState
    position: int
    since: datetime
    updated_at: datetime
    attempts: int
    again_at: datetime | None
    reason: str
    code: str
    axis_id: str
    package_bytes: int
    package_digest: str = ""


@dataclass(frozen=True, slots=True)
class RelayTally:
    """How many packages stand alike, and since when the oldest of them is known."""

    incoming: bool
    kind: RelayKind
    state: RelayState
    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class AxisStatus:
    """How it stands with the axis, by the hub's word.

    `reconciled_at` is that of the newest comparison, None before the first.
    """

    tallies: tuple[RelayTally, ...]
    oldest_unsent: datetime | None
    oldest_unanswered: datetime | None
    unreachable_rounds: int
    reconciled_at: datetime | None = None
    differences: int = 0


@dataclass(frozen=True, slots=True)
class AxisReport:
    """What a comparison found. The log's key signs for `report`: `fact` names its SHA-256."""

    fact: OperatorFact
    report: bytes
    compared: int
    differences: Sequence[dict[str, Any]]


class Axis:
    """Packages of one hub. Errors as with `HubClient`.

    Writing calls take a `request_id`, one per intention: after HubUnreachable call again with
    the same one, which the exception names.
    """

    def __init__(self, line: Line, verifier: ReceiptVerifier) -> None:
        self._line = line
        self._verifier = verifier

    async def status(self) -> AxisStatus:
        """How it stands. Raises AxisNotConfigured."""
        request = calls.GetAxisStatusRequest()
        answer = await self._line.call(self._line.registry.GetAxisStatus, request)
        return AxisStatus(
            tallies=tuple(
                RelayTally(
                    each.incoming,
                    RelayKind.of(each.kind),
                    RelayState.of(each.state),
                    each.count,
                    _instant(each.oldest_time),
                )
                for each in answer.tallies
            ),
            oldest_unsent=_if_any(answer, "oldest_unsent_time"),
            oldest_unanswered=_if_any(answer, "oldest_unanswered_time"),
            unreachable_rounds=answer.unreachable_rounds,
            reconciled_at=_if_any(answer, "reconcile_time"),
            differences=answer.differences,
        )

    async def relays(self, state: RelayState = RelayState.UNKNOWN) -> AsyncIterator[Relay]:
        """Packages by rising position; UNKNOWN asks for all that are not over."""
        token = ""
        while True:
            request = calls.ListRelaysRequest(
                page_size=PAGE_SIZE,
                page_token=token,
                state=axis_pb2.RelayState.ValueType(state.value),
            )
            page = await self._line.call(self._line.registry.ListRelays, request)
            for each in page.relays:
                yield _relay(each)
            if not (token := page.next_page_token):
                return

    async def park(
        self, relay_id: str, reason: str, *, request_id: str | None = None
    ) -> OperatorFact:
        """Let a package wait. Raises RelayUnknown, RelayNotOpen, RequestMalformed."""
        request_id = request_id or str(uuid.uuid4())
        request = calls.ParkRelayRequest(request_id=request_id, relay_id=relay_id, reason=reason)
        with named(request_id):
            answer = await self._line.call(self._line.registry.ParkRelay, request)
            return await self._fact(answer.receipt, PARKED_TOPIC, relay_id, request_id)

    async def resume(self, relay_id: str, *, request_id: str | None = None) -> OperatorFact:
        """Let a package go on now. Raises RelayUnknown, RelayNotOpen."""
        request_id = request_id or str(uuid.uuid4())
        request = calls.ResumeRelayRequest(request_id=request_id, relay_id=relay_id)
        with named(request_id):
            answer = await self._line.call(self._line.registry.ResumeRelay, request)
            return await self._fact(answer.receipt, RESUMED_TOPIC, relay_id, request_id)

    async def reconcile(self, *, request_id: str | None = None) -> AxisReport:
        """Compare the hub's ledger with the axis. Raises AxisNotConfigured, Unavailable."""
        request_id = request_id or str(uuid.uuid4())
        request = calls.ReconcileAxisRequest(request_id=request_id)
        with named(request_id):
            answer = await self._line.call(self._line.registry.ReconcileAxis, request)
            fact = await self._fact(answer.receipt, RECONCILED_TOPIC, None, request_id)
        digest = hashlib.sha256(answer.report).hexdigest()
        if fact.fact.event.data.get("report") != digest:
            raise VerificationFailed("the log records another report", step="fact")
        return _report(fact, answer.report)

    async def _fact(
        self, message: wire.Receipt, topic: str, relay_id: str | None, request_id: str
    ) -> OperatorFact:
        receipt = receipt_of(message)
        verified = await self._verifier.verify(receipt)
        event = verified.event
        data = JsonObject(dict(event.data), "the event", "fact")
        if event.topic != topic or data.text("request_id") != request_id:
            raise VerificationFailed("the recorded fact is another one", step="fact")
        if relay_id is not None and str(event.id) != relay_id:
            raise VerificationFailed("the recorded fact is of another package", step="fact")
        return OperatorFact(receipt, verified)


def _report(fact: OperatorFact, report: bytes) -> AxisReport:
    try:
        said = json.loads(report[:_REPORT_CHARS_MAX])
        return AxisReport(fact, report, int(said["compared"]), list(said["differences"]))
    except (ValueError, KeyError, TypeError) as error:
        raise UnexpectedAnswer("a report that cannot be read") from error


def _relay(each: axis_pb2.Relay) -> Relay:
    return Relay(
        relay_id=each.relay_id,
        incoming=each.incoming,
        kind=RelayKind.of(each.kind),
        exchange_id=each.exchange_id,
        agency=each.agency,
        status=each.status,
        state=RelayState.of(each.state),
        position=each.position,
        since=_instant(each.since_time),
        updated_at=_instant(each.update_time),
        attempts=each.attempts,
        again_at=_if_any(each, "again_time"),
        reason=each.reason,
        code=each.code,
        axis_id=each.axis_id,
        package_bytes=each.package_bytes,
        package_digest=each.package_digest.hex(),
    )


def _instant(at: Timestamp) -> datetime:
    try:
        return at.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise UnexpectedAnswer("a time that no clock shows") from error


def _if_any(message: Any, name: str) -> datetime | None:
    return _instant(getattr(message, name)) if message.HasField(name) else None
