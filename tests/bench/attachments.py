"""Attachments up and down, beside a bare copy over gRPC with SHA-256."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import grpc.aio

from hub.application.uploads import CHUNK_BYTES_MAX
from hub.v1 import exchange_service_pb2 as calls
from hub.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from tests.bench.bare import GET, PUT
from tests.bench.figures import Figure, Measure, interleaved, ratios
from tests.bench.place import RECIPIENT, Place, sender_and_recipient
from tests.support.hubs import (
    Speaker,
    collection,
    envelope,
    raw_channel,
    raw_stub,
    signed,
)

PART = "attachments"
_MIB = 1 << 20


async def measured(place: Place) -> list[Figure]:
    """Up: until the hub says that all is stored. Down: until the last byte is hashed."""
    scale = place.scale
    hub, port = await place.served()
    sender, recipient = sender_and_recipient(hub)
    async with AsyncExitStack() as stack:
        bare = raw_channel(sender.transport, await place.bare())
        copier = _Bare(await stack.enter_async_context(bare))
        ours = _Ours(
            sender,
            recipient,
            await stack.enter_async_context(raw_stub(sender.transport, port)),
            await stack.enter_async_context(raw_stub(recipient.transport, port)),
        )
        size = scale.attachment_bytes
        measures: dict[str, Measure] = {
            "bare up": lambda: copier.up(os.urandom(size)),
            "up": lambda: ours.up(os.urandom(size)),
            "bare down": copier.down,
            "down": ours.down,
        }
        rounds = min(scale.rounds, 5)
        values = await interleaved(measures, rounds=rounds, seconds=scale.seconds)
    figures = []
    for way in ("up", "down"):
        share = ratios(values[way], values[f"bare {way}"])
        name = f"{size // _MIB} MiB {way}"
        figures += [
            Figure(PART, f"{name}, bare copy", "MiB/s", values[f"bare {way}"]),
            Figure(PART, name, "MiB/s", values[way]),
            Figure(PART, f"{way} ÷ bare copy", "×", share, at_least=0.7),
        ]
    return figures


class _Bare:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._put = channel.stream_unary(PUT)
        self._get = channel.unary_stream(GET)
        self._size = 0

    async def up(self, content: bytes) -> float:
        self._size = len(content)
        begun = time.perf_counter()
        digest = hashlib.sha256()
        answer = await self._put(_hashed(_chunks(content), digest))
        _require(answer == digest.digest())
        return _rate(self._size, begun)

    async def down(self) -> float:
        begun = time.perf_counter()
        _require(await _drained(self._get(b""), lambda chunk: chunk) == self._size)
        return _rate(self._size, begun)


class _Ours:
    def __init__(
        self,
        sender: Speaker,
        recipient: Speaker,
        sending: ExchangeServiceStub,
        receiving: ExchangeServiceStub,
    ) -> None:
        self._sender = sender
        self._recipient = recipient
        self._sending = sending
        self._receiving = receiving
        self._content = b""
        self._upload_id = ""

    async def up(self, content: bytes) -> float:
        """The upload, its digest known before as a sender who signs must know it."""
        self._content = content
        known = hashlib.sha256(content).digest()
        begun = time.perf_counter()
        asked = calls.BeginUploadRequest(size=len(content), sha256=known)
        begin = await self._sending.BeginUpload(asked)
        self._upload_id = begin.upload_id
        start = calls.UploadContentRequest(start=calls.UploadStart(upload_id=self._upload_id))
        digest = hashlib.sha256()

        def messages() -> Iterator[calls.UploadContentRequest]:
            yield start
            for chunk in _hashed(_chunks(content), digest):
                yield calls.UploadContentRequest(data=chunk)

        answer = await self._sending.UploadContent(messages())
        _require(answer.offset == len(content))
        return _rate(len(content), begun)

    async def down(self) -> float:
        """The download; sending and collecting the document are not in it."""
        exchange_id = await self._handed_over()
        request = calls.DownloadAttachmentRequest(exchange_id=exchange_id, attachment_index=0)
        begun = time.perf_counter()
        stream = self._receiving.DownloadAttachment(request)
        _require(await _drained(stream, lambda part: part.data) == len(self._content))
        return _rate(len(self._content), begun)

    async def _handed_over(self) -> str:
        letter = signed(self._sender, envelope(self._sender, [RECIPIENT], [self._content]))
        await self._sending.SubmitDocument(
            calls.SubmitDocumentRequest(envelope=letter, upload_ids=[self._upload_id])
        )
        digest = hashlib.sha256(letter.payload).digest()
        collected = await self._receiving.CollectDocument(collection(self._recipient, digest))
        return collected.document.exchange_id


def _chunks(content: bytes) -> Iterator[bytes]:
    return (content[n : n + CHUNK_BYTES_MAX] for n in range(0, len(content), CHUNK_BYTES_MAX))


def _hashed(chunks: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


async def _drained(messages: AsyncIterator[Any], data_of: Any) -> int:
    digest, size = hashlib.sha256(), 0
    async for message in messages:
        data = data_of(message)
        digest.update(data)
        size += len(data)
    return size


def _rate(size: int, begun: float) -> float:
    return size / _MIB / (time.perf_counter() - begun)


def _require(holds: bool) -> None:
    if not holds:
        raise RuntimeError("what was copied is not what was sent")
