"""Who may serve together with others, and what a call may rely on there."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from pathlib import Path

import pytest

from adapters.storage.engine import Database
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.joining import Freshness, in_company
from hub.config import ConfigInvalid, Settings


async def test_a_call_waits_for_a_look_that_began_after_it_and_shares_it():
    looks, gate = [], threading.Semaphore(0)

    def look() -> None:
        looks.append(len(looks))
        gate.acquire()

    fresh = Freshness(look)
    first = asyncio.create_task(fresh())
    while not looks:  # noqa: ASYNC110 - a thread's doing.
        await asyncio.sleep(0)
    # These come while a look is under way, which may have missed what they were told of.
    others = [asyncio.create_task(fresh()) for _ in range(10)]
    await asyncio.sleep(0)
    gate.release()
    await first
    assert not any(each.done() for each in others)
    gate.release()
    await asyncio.gather(*others)
    assert looks == [0, 1]
    fresh.close()


async def test_a_look_that_fails_fails_its_callers_and_not_the_next():
    failures = [OSError("away")]

    def look() -> None:
        if failures:
            raise failures.pop()

    fresh = Freshness(look)
    with pytest.raises(OSError, match="away"):
        await fresh()
    await fresh()
    fresh.close()


async def test_a_caller_that_hangs_up_takes_nobody_with_it():
    fresh = Freshness(lambda: None)
    gone, other = asyncio.create_task(fresh()), asyncio.create_task(fresh())
    await asyncio.sleep(0)
    gone.cancel()
    await other
    fresh.close()


ON_SERVERS = {
    "database_url": "postgresql://db/hub",
    "document_keys_url": "postgresql://db/keys",
    "signer": "unix:/run/signer",
}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("database_url", "sqlite:////srv/hub.db", "on PostgreSQL only"),
        ("document_keys_url", "sqlite:///document-keys.db", "the keys of documents on PostgreSQL"),
        ("signer", "local", "lienthong signer serve"),
    ],
)
def test_what_a_hub_lacks_to_serve_with_others_is_named(name: str, value: str, why: str):
    settings = Settings.model_construct(**(ON_SERVERS | {name: value}))
    with (
        closing(Database(settings.database_url)) as database,
        pytest.raises(ConfigInvalid, match=why) as refused,
        in_company(database, DataFolder(Path("/nowhere")), settings),
    ):
        raise AssertionError("it joins")
    assert str(refused.value).startswith(f"{name}: ")
