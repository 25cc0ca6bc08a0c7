"""The hub's own keys as an operator sees and changes them, and the editions of the trusted root."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from hub.client.answers import receipt_of
from hub.client.errors import UnexpectedAnswer
from hub.client.line import Line
from hub.client.orders import OperatorFact, named, verified_fact
from hub.client.verification import ReceiptVerifier
from hub.errors import VerificationFailed
from hub.proof.succession import read_trusted_root
from hub.proof.trust import Closing
from hub.v1 import exchange_pb2 as wire
from hub.v1 import orders_pb2
from hub.v1 import registry_service_pb2 as calls

ANNOUNCED_TOPIC = "hub.HubKey.HubKeyAnnounced"
RETIRED_TOPIC = "hub.HubKey.HubKeyRetired"
FROZEN_TOPIC = "hub.Log.LogFrozen"
ROOT_TOPIC = "hub.Log.TrustedRootPublished"


class KeyState(StrEnum):
    """Where a key is in its life; the last two are ends."""

    ANNOUNCED = "announced"
    ACTIVE = "active"
    RETIRED = "retired"
    COMPROMISED = "compromised"


_STATES = {
    orders_pb2.HUB_KEY_STATE_ANNOUNCED: KeyState.ANNOUNCED,
    orders_pb2.HUB_KEY_STATE_ACTIVE: KeyState.ACTIVE,
    orders_pb2.HUB_KEY_STATE_RETIRED: KeyState.RETIRED,
    orders_pb2.HUB_KEY_STATE_COMPROMISED: KeyState.COMPROMISED,
}


@dataclass(frozen=True, slots=True)
class HubKey:
    """A key of the hub, by the hub's word.

    It signs trees of more than `activated` events, and of at most `closed.size` once it ended.
    """

    hub_key: str
    state: KeyState
    since: datetime
    announced: int
    activated: int | None
    closed: Closing | None


@dataclass(frozen=True, slots=True)
class Step:
    """What the hub's policy foresees for a key; `hub_key` is empty for one yet to be made."""

    action: str
    hub_key: str
    due: datetime
    remind: bool
    urgent: bool


@dataclass(frozen=True, slots=True)
class Laggard:
    """Who has not fetched the newest edition; `edition` 0 and `at` None: never any."""

    caller: str
    role: str
    edition: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What is foreseen, and what a new edition of the trusted root would change."""

    steps: tuple[Step, ...]
    edition: int
    laggards: tuple[Laggard, ...]
    changes: tuple[str, ...]


class _WithReceipt(Protocol):
    @property
    def receipt(self) -> wire.Receipt: ...


class HubKeys:
    """What an operator does with the hub's keys. Errors as with `HubClient`.

    Writing calls take a `request_id`, one per intention.
    """

    def __init__(self, line: Line, verifier: ReceiptVerifier) -> None:
        self._line = line
        self._verifier = verifier

    async def all(self) -> list[HubKey]:
        """Every key there ever was, in the order they were announced."""
        answer = await self._line.call(self._line.registry.ListHubKeys, calls.ListHubKeysRequest())
        return [_key(each) for each in answer.keys]

    async def plan(self) -> KeyPlan:
        """What is foreseen, and who would be left behind. Changes nothing."""
        answer = await self._line.call(self._line.registry.PlanHubKeys, calls.PlanHubKeysRequest())
        return KeyPlan(
            tuple(
                Step(
                    each.action,
                    each.hub_key,
                    each.due_time.ToDatetime(tzinfo=UTC),
                    each.remind,
                    each.urgent,
                )
                for each in answer.steps
            ),
            answer.edition,
            tuple(
                Laggard(
                    each.caller,
                    each.role,
                    each.edition,
                    each.fetch_time.ToDatetime(tzinfo=UTC) if each.edition else None,
                )
                for each in answer.laggards
            ),
            tuple(answer.changes),
        )

    async def announce(self, *, request_id: str | None = None) -> OperatorFact:
        """Have a new key made and announced. Raises HubKeyState."""
        request_id = request_id or str(uuid.uuid4())
        request = calls.AnnounceHubKeyRequest(request_id=request_id)
        call = self._line.call(self._line.registry.AnnounceHubKey, request)
        return await self._done(call, request_id, ANNOUNCED_TOPIC, {})

    async def retire(self, hub_key: str, *, request_id: str | None = None) -> OperatorFact:
        """End a key in good order. Raises HubKeyUnknown and HubKeyState."""
        request_id = request_id or str(uuid.uuid4())
        request = calls.RetireHubKeyRequest(request_id=request_id, hub_key=hub_key)
        expected = {"verifier_key": hub_key}
        call = self._line.call(self._line.registry.RetireHubKey, request)
        return await self._done(call, request_id, RETIRED_TOPIC, expected)

    async def freeze(self, reason: str, *, request_id: str | None = None) -> OperatorFact:
        """Stop the log at once. Raises RequestMalformed."""
        request_id = request_id or str(uuid.uuid4())
        request = calls.FreezeLogRequest(request_id=request_id, reason=reason)
        expected = {"reason": reason, "request_id": request_id}
        call = self._line.call(self._line.registry.FreezeLog, request)
        return await self._done(call, request_id, FROZEN_TOPIC, expected)

    async def draft_trusted_root(self, ends: Sequence[tuple[str, datetime]] = ()) -> bytes:
        """The next edition of the trusted root, to be signed.

        `ends` names who could be relied on only until when: a witness by its verifier key, a
        time-stamping authority by its name, a certificate authority by SHA-256 of its
        certificate in hexadecimal. Raises TrustedRootRefused and RequestMalformed.
        """
        request = calls.DraftTrustedRootRequest()
        for who, until in ends:
            request.ends.add(who=who).until_time.FromDatetime(until)
        answer = await self._line.call(self._line.registry.DraftTrustedRoot, request)
        try:
            read_trusted_root(answer.trusted_root)
        except VerificationFailed as failure:
            raise UnexpectedAnswer(f"a draft that cannot be read: {failure}") from failure
        return answer.trusted_root

    async def publish_trusted_root(
        self, data: bytes, *, request_id: str | None = None
    ) -> OperatorFact:
        """Publish a signed edition. Raises TrustedRootRefused."""
        request_id = request_id or str(uuid.uuid4())
        request = calls.PublishTrustedRootRequest(request_id=request_id, trusted_root=data)
        expected = {"digest": hashlib.sha256(data).hexdigest(), "request_id": request_id}
        call = self._line.call(self._line.registry.PublishTrustedRoot, request)
        return await self._done(call, request_id, ROOT_TOPIC, expected)

    async def _done(
        self,
        call: Awaitable[_WithReceipt],
        request_id: str,
        topic: str,
        expected: dict[str, str],
    ) -> OperatorFact:
        with named(request_id):
            answer = await call
            return await verified_fact(self._verifier, receipt_of(answer.receipt), topic, expected)


def _key(key: orders_pb2.HubKey) -> HubKey:
    if key.state not in _STATES:
        raise UnexpectedAnswer("a key in no state that this version knows")
    closed = None
    if key.HasField("closing_size"):
        closed = Closing(key.closing_size, key.closing_root)
    return HubKey(
        key.hub_key,
        _STATES[key.state],
        key.since_time.ToDatetime(tzinfo=UTC),
        key.announced_position,
        key.activated_position if key.HasField("activated_position") else None,
        closed,
    )
