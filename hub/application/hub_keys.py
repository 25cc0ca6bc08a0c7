"""The life of the hub's own keys, as operators lead it; and the stop that any of them may make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar

from hub.application import key_changes
from hub.application.agencies import operator_request
from hub.application.commands import Spoken
from hub.application.dual_control import ORDER_LIFE, keep_words, request_key, word_of
from hub.application.key_ring import KeyState, RingKey
from hub.application.lane import Lane, Receipts, Recorded
from hub.application.offload import Offloader
from hub.application.ports import RequestKey, Signer
from hub.application.registry import Registry
from hub.application.session import Session
from hub.application.vault import Vault
from hub.domain.hub_key import HubKey
from hub.domain.values import format_time
from hub.errors import HubKeyState, RequestMalformed, Unavailable
from hub.proof.note import VerifierKey
from hub.proof.statements import ACTIVATE, CODE_WORD, COMPROMISE, KeyOrder


@dataclass(frozen=True, slots=True)
class AnnounceKey:
    """Make a key of the hub known before it signs anything."""

    while_frozen: ClassVar = True

    operator: str
    request_id: str
    verifier_key: VerifierKey

    @property
    def request(self) -> RequestKey:
        """Bound to the operator: a call that is repeated need not find the same spare key."""
        return operator_request(self.operator, self.request_id, "announce-key")

    def decide(self, session: Session) -> None:
        """Record `HubKeyAnnounced`; one key at a time waits to sign."""
        ring = session.registry.hub_keys
        waiting = [
            each
            for each in ring.of_log(self.verifier_key.name)
            if each.state is KeyState.ANNOUNCED or each.key == self.verifier_key
        ]
        if waiting:
            raise HubKeyState(
                "a key is announced already and waits to sign; activate it, or give it up",
                state=waiting[0].state.value,
            )
        key = HubKey.announce(
            key_id=session.new_id(),
            at=session.at,
            purpose="checkpoint",
            verifier_key=self.verifier_key.format(),
            by=self.operator,
            request_id=self.request_id,
        )
        session.record(key, self.request)


@dataclass(frozen=True, slots=True)
class RetireKey:
    """End a key in good order."""

    while_frozen: ClassVar = True

    operator: str
    request_id: str
    verifier_key: str

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and the key."""
        return operator_request(self.operator, self.request_id, "retire-key", self.verifier_key)

    def decide(self, session: Session) -> None:
        """Record `HubKeyRetired`."""
        entry = key_changes.require_retirable(session.registry, self.verifier_key)
        key = key_changes.closed(
            session, entry, compromised=False, by=self.operator, request_id=self.request_id
        )
        session.record(key, self.request)


@dataclass(frozen=True, slots=True)
class FreezeLog:
    """Stop the log, at one operator's word."""

    while_frozen: ClassVar = True

    operator: str
    request_id: str
    reason: str

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and the reason."""
        return operator_request(self.operator, self.request_id, "freeze", self.reason)

    def decide(self, session: Session) -> None:
        """Record `LogFrozen`, again if it is frozen already: each operator's word stands."""
        log = session.history.log()
        log.freeze(at=session.at, reason=self.reason, by=self.operator, request_id=self.request_id)
        session.record(log, self.request)


@dataclass(frozen=True, slots=True)
class OrderAboutKeys:
    """Record what an operator wants done to a key, or to a frozen log; nothing is done yet."""

    while_frozen: ClassVar = True

    spoken: Spoken
    statement: KeyOrder
    key: bytes = field(repr=False)
    vault: Vault = field(repr=False)

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and the digest of the order."""
        return request_key(self.spoken, self.statement.header.request_id)

    def decide(self, session: Session) -> None:
        """Record `ApprovalGiven` of the order, unless it could not be carried out now."""
        statement = self.statement
        _require_possible(session.registry, statement)
        word = word_of(
            session.new_id(),
            self.spoken,
            statement,
            session,
            order=self.spoken.signed.digest.hex(),
            action=statement.action,
            exchange=None,
            envelope_digest=None,
            hub_key=statement.hub_key,
            reason=statement.reason,
            basis=statement.basis,
            lapses_at=format_time(session.at + ORDER_LIFE),
        )
        keep_words(session, self.spoken, self.key, self.vault)
        session.record(word, self.request)


def _require_possible(registry: Registry, order: KeyOrder) -> None:
    if order.action == ACTIVATE:
        key_changes.require_activatable(registry, order.hub_key or "")
    elif order.action == COMPROMISE:
        key_changes.require_compromisable(registry, order.hub_key or "")
    else:
        key_changes.require_frozen(registry)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that can be foreseen: `announce`, `activate` or `retire`, and when it is due.

    `hub_key` is empty for a key that is not announced yet. `remind`: it comes near, or is
    overdue. `urgent`: nothing signs before it is done.
    """

    action: str
    hub_key: str
    due: datetime
    remind: bool
    urgent: bool


Planner = Callable[[Sequence[RingKey]], Sequence[PlannedStep]]
"""The steps that the hub's policy foresees for the keys of its log, as of now."""


class HubKeys:
    """What an operator may ask about the hub's keys. All that changes something is recorded."""

    def __init__(
        self,
        *,
        origin: str,
        lane: Lane,
        registry: Callable[[], Registry],
        signer: Signer,
        root_at: Callable[[int], bytes],
        planner: Planner,
        is_listed: Callable[[VerifierKey], bool],
        offload: Offloader,
    ) -> None:
        """`root_at` is the root of the log's tree of a size.

        `is_listed`: whether the newest edition of the trusted root lists a key.
        """
        self._origin = origin
        self._lane = lane
        self._registry = registry
        self._signer = signer
        self.root_at = root_at
        self._planner = planner
        self._is_listed = is_listed
        self._offload = offload

    def all(self) -> Sequence[RingKey]:
        """Every key there ever was, in the order they were announced; there are few."""
        return tuple(self._registry().hub_keys.keys.values())

    def plan(self) -> Sequence[PlannedStep]:
        """The next steps that can be foreseen, earliest first."""
        return self._planner(list(self._registry().hub_keys.of_log(self._origin)))

    async def announce(self, operator: str, request_id: str) -> Recorded:
        """Make a new key and announce it; the receipt of `HubKeyAnnounced`.

        1. The signer makes the key, unless it has one that nobody was told of. If we stop
        here, the next announcement takes that one. 2. It is announced. Raises HubKeyState,
        and Unavailable when the signer cannot make one now.
        """
        try:
            key = await self._offload(self._spare_key)
        except OSError as error:
            raise Unavailable("the signer makes no key now; see the hub's log") from error
        return await self._lane.do(AnnounceKey(operator, request_id, key))

    async def retire(self, operator: str, request_id: str, verifier_key: str) -> Recorded:
        """End a key while another signs; the receipt of `HubKeyRetired`.

        Raises HubKeyUnknown and HubKeyState, also while the trusted root does not list the key
        that stays: then nobody could check a receipt.
        """
        for stays in self._registry().hub_keys.signing(self._origin):
            listed = await self._offload(partial(self._is_listed, stays))
            if not listed and stays.format() != verifier_key:
                raise HubKeyState(
                    "the trusted root does not list the key that stays; publish its next edition",
                    state=KeyState.ACTIVE.value,
                )
        return await self._lane.do(RetireKey(operator, request_id, verifier_key))

    async def freeze(self, operator: str, request_id: str, reason: str) -> Recorded:
        """Stop the log at once; the receipt of `LogFrozen`. Raises RequestMalformed."""
        if not CODE_WORD.fullmatch(reason):
            raise RequestMalformed(
                "reason must be one code word: small letters, digits and hyphens, at most 40",
                field="reason",
            )
        return await self._lane.do(FreezeLog(operator, request_id, reason))

    def _spare_key(self) -> VerifierKey:
        known = self._registry().hub_keys.keys
        # While one waits, the lane refuses: no key must be made for that.
        spare = [key for key in self._signer.keys if key.format() not in known]
        if spare:
            return spare[0]
        waiting = [
            entry.key
            for entry in self._registry().hub_keys.of_log(self._origin)
            if entry.state is KeyState.ANNOUNCED
        ]
        return waiting[0] if waiting else self._signer.make_key()


class EndedKeys:
    """Destroys the private half of each key that has ended, when nothing needs it any more.

    Called after every checkpoint and so at every start: a hub that was killed in between
    finishes it. A key is given up only once a checkpoint without its signature is out.
    """

    def __init__(
        self,
        *,
        origin: str,
        registry: Callable[[], Registry],
        receipts: Receipts,
        signer: Signer,
    ) -> None:
        self._origin = origin
        self._registry = registry
        self._receipts = receipts
        self._signer = signer
        self._done: set[str] = set()

    def __call__(self) -> None:
        """Raises OSError when the signer cannot be had; it is tried again."""
        for vkey, entry in self._registry().hub_keys.keys.items():
            if vkey in self._done or entry.key.name != self._origin or entry.closed is None:
                continue
            if entry.closed < self._receipts.size:
                self._signer.destroy_key(entry.key)
                self._done.add(vkey)
