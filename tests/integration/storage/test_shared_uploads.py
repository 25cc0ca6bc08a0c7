"""Uploads of two hubs that share a folder: each goes on with what the other began."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from adapters.memory.determinism import CountedRandomness, FixedClock
from adapters.storage.content import ContentStore
from adapters.storage.uploads import UploadStore, make_root
from adapters.system import system_clock
from hub.application.ports import Claim
from hub.application.sealing import PART_BYTES
from hub.application.uploads import ABANDONED_AFTER, CHUNK_BYTES_MAX, Upload, Uploads
from hub.domain.values import uuid7
from hub.errors import HubError, RequestMalformed, Unavailable, UploadUnknown
from tests.support.builders import SENDER, MemoryHub, at_once, new_hub

CONTENT = CountedRandomness("content")(3 * PART_BYTES + 5)
KEY = b"e" * 32


@dataclass
class Hub:
    """What one of the hubs has of uploads."""

    uploads: Uploads
    store: UploadStore
    clock: FixedClock

    async def begin(self) -> tuple[UUID, int]:
        digest = hashlib.sha256(CONTENT).digest()
        return await self.uploads.begin(SENDER, len(CONTENT), digest, "tag")

    async def take(self, upload_id: UUID, start: int, end: int = len(CONTENT)) -> int:
        async def chunks() -> AsyncIterator[bytes]:
            for n in range(start, end, CHUNK_BYTES_MAX):
                yield CONTENT[n : min(end, n + CHUNK_BYTES_MAX)]

        return await self.uploads.take(SENDER, upload_id, start, chunks())

    async def named(self, upload_id: UUID) -> Upload:
        (upload,) = await self.uploads.named(SENDER, [upload_id])
        assert upload is not None
        return upload

    async def claim(self, upload_id: UUID, exchange_id: UUID) -> None:
        """As far as a submission comes before it is recorded."""
        upload = await self.named(upload_id)
        self.uploads.claim([upload], exchange_id)
        self.uploads.adopt(upload, Claim(exchange_id, 0), KEY)


@pytest.fixture
def log() -> MemoryHub:
    return new_hub()


@pytest.fixture
def two(tmp_path: Path, log: MemoryHub) -> Iterator[tuple[Hub, Hub]]:
    make_root(tmp_path / "content")
    with hub(tmp_path, log) as one, hub(tmp_path, log) as other:
        yield one, other


@contextmanager
def hub(tmp_path: Path, log: MemoryHub) -> Iterator[Hub]:
    root, clock = tmp_path / "content", FixedClock(system_clock())
    content = ContentStore(root, log.randomness)
    store = UploadStore(root, content, log.randomness, shared=True)
    uploads = Uploads(
        store=store,
        vault=log.vault,
        log=log.log,
        offload=at_once,
        clock=clock,
        randomness=log.randomness,
        shared=True,
    )
    yield Hub(uploads, store, clock)
    store.close()


async def test_each_hub_goes_on_where_the_other_one_stopped(two: tuple[Hub, Hub]):
    one, other = two
    upload_id, _ = await one.begin()
    await one.take(upload_id, 0, PART_BYTES)
    assert await other.begin() == (upload_id, PART_BYTES)
    await other.take(upload_id, PART_BYTES, 2 * PART_BYTES)
    with pytest.raises(RequestMalformed):
        await one.take(upload_id, PART_BYTES)
    assert await one.begin() == (upload_id, 2 * PART_BYTES)
    assert await one.take(upload_id, 2 * PART_BYTES) == len(CONTENT)
    assert (await other.named(upload_id)).whole


async def test_a_stream_that_another_hub_has_overtaken_stores_nothing(two: tuple[Hub, Hub]):
    one, other = two
    upload_id, _ = await one.begin()

    async def slow() -> AsyncIterator[bytes]:
        for n in range(0, PART_BYTES, CHUNK_BYTES_MAX):
            yield CONTENT[n : n + CHUNK_BYTES_MAX]
        await other.take(upload_id, PART_BYTES, 2 * PART_BYTES)
        for _ in range(PART_BYTES // CHUNK_BYTES_MAX):
            yield bytes(CHUNK_BYTES_MAX)

    with pytest.raises(Unavailable):
        await one.uploads.take(SENDER, upload_id, 0, slow())
    assert await one.take(upload_id, 2 * PART_BYTES) == len(CONTENT)


@pytest.mark.parametrize("how", ["dies", "stands still"])
async def test_what_a_hub_had_claimed_is_free_once_it_cannot_record_it(
    two: tuple[Hub, Hub], log: MemoryHub, how: str
):
    one, other = two
    upload_id, _ = await one.begin()
    await one.take(upload_id, 0)
    await one.claim(upload_id, uuid7(system_clock(), log.randomness(10)))
    with pytest.raises(Unavailable, match="not decided yet"):
        await other.named(upload_id)
    await other.uploads.sweep(timedelta(days=1))

    if how == "dies":
        one.store.close()
    else:
        other.clock.advance(ABANDONED_AFTER + timedelta(minutes=1))

    assert (await other.named(upload_id)).is_usable


async def test_what_a_hub_has_recorded_is_spent_at_the_other_too(
    two: tuple[Hub, Hub], log: MemoryHub
):
    one, other = two
    upload_id, _ = await one.begin()
    await one.take(upload_id, 0)
    recorded = log.log.entries(0, 1)[0].aggregate_id  # Of whatever kind: the log knows it.
    await one.claim(upload_id, recorded)
    with pytest.raises(HubError) as refused:
        await other.named(upload_id)
    assert isinstance(refused.value, UploadUnknown)
