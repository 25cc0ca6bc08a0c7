"""Operators who change a hub's keys as they would, and sign the trusted root as its holders do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hub.client.hub_keys import HubKey, KeyState
from hub.client.registry import RegistryClient
from hub.client.retry import RetryPolicy
from hub.client.roots import sign_edition
from tests.support.hubs import PATIENT, Founded

BASIS = "QĐ 12/QĐ-STTTT"


@dataclass(frozen=True)
class TwoOperators:
    """Both operators of a hub, connected, with the folder its root keys lie in."""

    first: RegistryClient
    second: RegistryClient
    founded: Founded

    async def all(self) -> list[HubKey]:
        return await self.first.hub_keys.all()

    async def key(self, state: KeyState) -> str:
        """The one key in this state; of two that sign, the older."""
        return next(each.hub_key for each in await self.all() if each.state is state)

    async def announce(self) -> str:
        fact = await self.first.hub_keys.announce()
        return str(fact.fact.event.data["verifier_key"])

    async def together(self, action: str, hub_key: str | None = None, reason: str = "test") -> None:
        """One orders, the other approves."""
        name = await self.first.name()
        ordered = await self.first.orders.order_key_action(
            name, action, hub_key, reason=reason, basis=BASIS
        )
        await self.second.orders.approve(await self.second.name(), ordered.digest)

    async def publish_root(self, holders: int = 2) -> int:
        """Draft, have so many root keys sign, publish; the number of the edition."""
        data = await self.first.hub_keys.draft_trusted_root()
        for path in sorted(self.founded.folder.root_keys.glob("*.pem"))[:holders]:
            data = sign_edition(data, path.read_bytes()).format()
        fact = await self.first.hub_keys.publish_trusted_root(data)
        return int(fact.fact.event.data["edition"])

    async def rotate(self) -> None:
        """A whole rotation: announced, told, activated, retired, told."""
        old = await self.key(KeyState.ACTIVE)
        new = await self.announce()
        await self.publish_root()
        await self.together("activate-key", new)
        await self.first.hub_keys.retire(old)
        await self.publish_root()


@asynccontextmanager
async def two_operators(
    founded: Founded, port: int, policy: RetryPolicy = PATIENT
) -> AsyncIterator[TwoOperators]:
    async with (
        RegistryClient.open(founded.operator_profile(port), policy=policy) as first,
        RegistryClient.open(founded.operator_profile(port, "operator-2"), policy=policy) as second,
    ):
        yield TwoOperators(first, second, founded)
