"""Erase by law: what operators sign, and the destruction that follows from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hub.application import intake
from hub.application.commands import AskAgain, Spoken
from hub.application.dual_control import ApproveOrder, OrderErasure
from hub.application.exchanges import same_kind
from hub.application.hub_keys import OrderAboutKeys
from hub.application.lane import Lane, Receipts, Recorded
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.ports import (
    Clock,
    ContentStore,
    Erasable,
    Erasure,
    EventLog,
    OrderRow,
    RequestKey,
    Views,
)
from hub.application.registry import Registry, operator_key_owner
from hub.application.uploads import Uploads
from hub.application.vault import Vault
from hub.domain.exchange import OPENING_TOPICS
from hub.errors import Unavailable
from hub.proof.dsse import SignedStatement
from hub.proof.statements import Approval, ErasureOrder, KeyOrder

_AT_ONCE = 200
# How long an operator waits at a hub that does not lead, and how often it looks.
_DONE_WITHIN_S, _LOOK_EVERY_S = 15.0, 0.25


class Eraser:
    """Carries out every `PayloadErased` that a checkpoint covers; at the start and after each.

    The fact is recorded first, and from then on nothing of the document is given out. Then,
    in this order, each step repeated until it is certain:

    1. The document's key. If we stop after it, what is left is ciphertext nobody can open.
    2. Payloads, and the words in the views, which the projection blanked when it came to the
       fact; the write-ahead log is emptied. If we stop here, sealed content is left.
    3. Uploads of the same content by the same sender that no submission has used; content.

    Each store remembers inside itself up to which position it has forgotten everything. So
    whoever comes next, after a crash or over a store from an older backup, begins exactly
    where that copy stands; and when all stand at the end of the log, nothing is looked at.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        vault: Vault,
        content: ContentStore,
        uploads: Uploads,
        views: Views,
        receipts: Receipts,
        offload: Offloader,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """Of several hubs the one that `leads` destroys; the others wait until it is done."""
        self._leads = leads
        self._log = log
        self._vault = vault
        self._content = content
        self._uploads = uploads
        self._views = views
        self._receipts = receipts
        self._offload = offload
        self._turn = asyncio.Lock()

    async def run(self) -> int:
        """Destroy what is still to be destroyed; how many documents it was in the last store.

        Raises OSError when something is left: run it again.
        """
        if not self._leads():
            await self._until_done()
            return 0
        async with self._turn:
            await self._carry_out(self._vault)
            await self._carry_out(self._log)
            return await self._carry_out(self._content)

    async def _until_done(self) -> None:
        for _ in range(int(_DONE_WITHIN_S / _LOOK_EVERY_S)):
            if not await self._offload(self._is_outstanding):
                return
            await asyncio.sleep(_LOOK_EVERY_S)
        raise OSError("the hub that leads has not destroyed everything yet")

    def _is_outstanding(self) -> bool:
        return any(self._outstanding(store) for store in (self._vault, self._log, self._content))

    async def _carry_out(self, store: Erasable) -> int:
        await self._offload(partial(self._require_of_this_log, store))
        count = 0
        while found := await self._offload(lambda: self._outstanding(store)):
            if store is self._content:
                await self._forget_uploads(found)
            await self._offload(partial(self._erase, store, found))
            count += len(found)
        return count

    def _require_of_this_log(self, store: Erasable) -> None:
        # A log that lost its end gives positions anew: a mark beyond it says nothing of them.
        if store.erased_below() > self._receipts.size:
            store.erase([], 0)

    def _erase(self, store: Erasable, found: Sequence[Erasure]) -> None:
        below = found[-1].position + 1
        if store is self._log and self._views.position() < below:
            raise OSError("the lists are behind the log and may still hold erased words")
        ids = [erasure.exchange_id for erasure in found]
        if store is self._content:
            # Packages of the axis that were made of it lie beside it, under its key.
            ids += [row.relay_id for each in list(ids) for row in self._views.relays_of(each)]
        store.erase(ids, below)

    def _outstanding(self, store: Erasable) -> Sequence[Erasure]:
        # What no checkpoint covers yet may still be lost, and nobody has seen it.
        return [
            erasure
            for erasure in self._log.erasures(store.erased_below(), _AT_ONCE)
            if erasure.position < self._receipts.size
        ]

    async def _forget_uploads(self, erasures: Sequence[Erasure]) -> None:
        for erasure in erasures:
            submitted = await self._offload(partial(self._submitted, erasure))
            if submitted is None:
                continue  # A package from the axis: nobody uploaded anything.
            digests = {each["sha256"] for each in submitted["attachments"]}
            await self._uploads.erase(submitted["sender"], digests)

    def _submitted(self, erasure: Erasure) -> dict[str, Any] | None:
        first = self._log.select_events(erasure.exchange_id)[0]
        return dict(read_event(first.state).data) if first.topic in OPENING_TOPICS else None


@dataclass(frozen=True, slots=True)
class Executed:
    """An approval, and the fact that was recorded with it."""

    approval: Recorded
    executed: Recorded


class Orders:
    """What an operator may ask about actions that take two."""

    def __init__(
        self,
        *,
        origin: str,
        log: EventLog,
        lane: Lane,
        receipts: Receipts,
        registry: Callable[[], Registry],
        vault: Vault,
        views: Views,
        eraser: Eraser,
        offload: Offloader,
        clock: Clock,
    ) -> None:
        self._origin = origin
        self._log = log
        self._lane = lane
        self._receipts = receipts
        self._registry = registry
        self._vault = vault
        self._views = views
        self._eraser = eraser
        self._offload = offload
        self._clock = clock

    async def order_erasure(self, operator: str, signed: SignedStatement) -> Recorded:
        """Order that a document be erased; the receipt of `ApprovalGiven`.

        Raises what any statement may be refused with, ExchangeUnknown, and PayloadErased.
        """
        statement = intake.read(signed, ErasureOrder, agency=operator, origin=self._origin)
        if answered := await self._answered(operator, statement, signed):
            return answered
        spoken = self._judge(operator, signed)
        key = self._vault.new_key()
        recorded = await self._lane.do(OrderErasure(spoken, statement, key, self._vault))
        return same_kind(recorded, signed)

    async def order_key_action(self, operator: str, signed: SignedStatement) -> Recorded:
        """Order a step in the life of the hub's keys; the receipt of `ApprovalGiven`.

        Raises what any statement may be refused with, HubKeyUnknown, HubKeyState and
        LogNotFrozen.
        """
        statement = intake.read(signed, KeyOrder, agency=operator, origin=self._origin)
        if answered := await self._answered(operator, statement, signed):
            return answered
        spoken = self._judge(operator, signed)
        key = self._vault.new_key()
        recorded = await self._lane.do(OrderAboutKeys(spoken, statement, key, self._vault))
        return same_kind(recorded, signed)

    async def approve(self, operator: str, signed: SignedStatement) -> Executed:
        """Approve another's order; the receipts of `ApprovalGiven` and of what was done.

        When it returns, what was ordered is finished: of an erased document nothing is left.
        Raises what any statement may be refused with, OrderUnknown, OrderExecuted,
        OrderLapsed, SecondOperatorNeeded, PayloadErased, HubKeyState, LogNotFrozen; and
        Unavailable when it is recorded but not finished: the hub goes on with it, and the same
        call waits for it again.
        """
        statement = intake.read(signed, Approval, agency=operator, origin=self._origin)
        approval = await self._answered(operator, statement, signed)
        if approval is None:
            spoken = self._judge(operator, signed)
            command = ApproveOrder(spoken, statement, self._vault.new_key(), self._vault)
            approval = same_kind(await self._lane.do(command), signed)
        executed = await self._offload(lambda: self._receipts.receipt(approval.position + 1))
        try:
            await self._eraser.run()
        except OSError as error:
            raise Unavailable(
                "recorded, but not everything is destroyed yet; repeat the very same call"
            ) from error
        return Executed(approval, executed)

    async def orders(self, after: int, limit: int, *, open_only: bool) -> Sequence[OrderRow]:
        """Orders by rising position, those after one."""
        return await self._offload(lambda: self._views.orders(after, limit, open_only=open_only))

    async def _answered(
        self, operator: str, statement: ErasureOrder | KeyOrder | Approval, signed: SignedStatement
    ) -> Recorded | None:
        """Step 5 of the checks: the first answer again, whatever has changed since."""
        key = RequestKey(operator_key_owner(operator), statement.header.request_id, signed.digest)
        found = await self._offload(lambda: self._log.requests([(key.caller, key.request_id)]))
        return same_kind(await self._lane.do(AskAgain(key)), signed) if found else None

    def _judge(self, operator: str, signed: SignedStatement) -> Spoken:
        registry = self._registry()
        owner = operator_key_owner(operator)
        judged = intake.judge(signed, agency=owner, registry=registry, at=self._clock())
        return Spoken(owner, signed, judged, registry.version)
