"""Open streams are woken when something was published, and ended when the hub stops."""

import asyncio
import threading

import pytest

from hub.server import watchers as module
from hub.server.watchers import Watchers


@pytest.fixture
async def watchers() -> Watchers:
    return Watchers(asyncio.get_running_loop())


async def test_a_watcher_waits_until_something_is_published(watchers):
    with watchers.watch() as watcher:
        waiting = asyncio.create_task(watcher.wait())
        await asyncio.sleep(0)
        assert not waiting.done()

        watchers.published()

        assert await waiting is True


async def test_all_watchers_are_woken_from_any_thread(watchers):
    with watchers.watch() as one, watchers.watch() as two:
        waiting = [asyncio.create_task(each.wait()) for each in (one, two)]
        await asyncio.sleep(0)
        thread = threading.Thread(target=watchers.published)
        thread.start()

        assert await asyncio.gather(*waiting) == [True, True]
        thread.join()


async def test_what_is_published_between_the_look_and_the_wait_is_not_missed(watchers):
    with watchers.watch() as watcher:
        watchers.published()
        await asyncio.sleep(0)

        assert await watcher.wait() is True


async def test_one_wake_up_is_used_once(watchers):
    with watchers.watch() as watcher:
        for _ in range(3):
            watchers.published()
        await asyncio.sleep(0)
        assert await watcher.wait() is True

        waiting = asyncio.create_task(watcher.wait())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        watchers.published()
        assert await waiting is True


async def test_closing_ends_every_watcher_now_and_later(watchers):
    with watchers.watch() as waiting_one, watchers.watch() as late:
        waiting = asyncio.create_task(waiting_one.wait())
        await asyncio.sleep(0)
        watchers.close()

        assert await waiting is False
        assert await late.wait() is False
        assert await late.wait() is False


async def test_a_publication_after_closing_does_not_revive_a_stream(watchers):
    with watchers.watch() as watcher:
        watchers.close()
        watchers.published()
        await asyncio.sleep(0)

        assert await watcher.wait() is False


async def test_without_a_wake_up_it_looks_again_by_itself(watchers, monkeypatch):
    monkeypatch.setattr(module, "_POLL_S", 0)
    with watchers.watch() as watcher:
        assert await watcher.wait() is True


async def test_a_stream_that_ended_is_forgotten(watchers):
    with pytest.raises(ZeroDivisionError), watchers.watch():
        raise ZeroDivisionError

    assert watchers._open == set()


async def test_a_stream_that_begins_after_closing_ends_too(watchers):
    watchers.close()
    with watchers.watch() as watcher:
        assert await watcher.wait() is False
