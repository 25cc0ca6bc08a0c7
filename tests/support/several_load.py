"""Agencies that send to several hubs at once while these are killed and stopped, then looked up."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable

from tests.e2e.test_kill import Load, look_up, more_promised
from tests.support.hubs import NOI_VU, QUAN_1, TAI_CHINH, Y_TE, check_hub_is_whole
from tests.support.patience import PATIENCE_S
from tests.support.several import Several

Interrupt = Callable[[Several, random.Random], Awaitable[None]]


async def load_and(hubs: Several, interrupt: Interrupt, rounds: int) -> None:
    """Load all hubs while they are interrupted so often, then look up all that was promised.

    Every sender has a hub of its own, and every document a recipient at another hub.
    """
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    chance = random.Random(seed)
    loads = [Load(hub, chance) for hub in hubs.hubs]
    one, two, last = loads[0], loads[1], loads[-1]
    for load in loads[1:]:
        load.promised, load.stopping = one.promised, one.stopping
    recipient = asyncio.ensure_future(last.as_a_recipient(NOI_VU))
    senders = [
        asyncio.ensure_future(sender)
        for sender in (
            one.through_the_sdk(QUAN_1, (TAI_CHINH, NOI_VU)),
            two.through_the_sdk(TAI_CHINH, (QUAN_1,)),
            last.through_bare_grpc(Y_TE, (QUAN_1, TAI_CHINH)),
            one.through_bare_grpc(Y_TE, (NOI_VU,)),
        )
    ]
    try:
        for _ in range(rounds):
            await more_promised(one.promised, 3 * len(loads))
            await asyncio.sleep(chance.uniform(0.0, 0.5))
            await interrupt(hubs, chance)
            for task in (*senders, recipient):
                assert not task.done() or task.result() is None
        await more_promised(one.promised, 3 * len(loads))
        one.stopping.set()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*senders)
            # All of them have the same to say; the tests of a single hub ask every time.
            await look_up(hubs.founded, chance.choice(hubs.hubs), one.promised)
    finally:
        for task in (*senders, recipient):
            task.cancel()
        await asyncio.gather(*senders, recipient, return_exceptions=True)
    await ended_well(hubs)


async def ended_well(hubs: Several) -> None:
    """Stop all, and find the log whole."""
    for hub in hubs.hubs:
        await hub.terminate()
    check_hub_is_whole(hubs.founded.folder.root)
