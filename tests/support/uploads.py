"""Uploads by bare calls, and how they are refused."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import grpc

from hub.v1 import exchange_service_pb2 as calls
from hub.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from tests.support.hubs import CALL_DEADLINE_S, Identity, Refusal, refusal_in

CHUNK_BYTES = 256 * 1024


def begin_request(content: bytes, tag: str = "") -> calls.BeginUploadRequest:
    digest = hashlib.sha256(content).digest()
    return calls.BeginUploadRequest(size=len(content), sha256=digest, tag=tag)


def messages(
    upload_id: str, content: bytes, offset: int = 0
) -> Iterator[calls.UploadContentRequest]:
    yield calls.UploadContentRequest(start=calls.UploadStart(upload_id=upload_id, offset=offset))
    for start in range(offset, len(content), CHUNK_BYTES):
        yield calls.UploadContentRequest(data=content[start : start + CHUNK_BYTES])


async def uploaded(stub: Any, content: bytes, tag: str = "") -> str:
    begun = await stub.BeginUpload(begin_request(content, tag))
    answer = await stub.UploadContent(messages(begun.upload_id, content, begun.offset))
    assert answer.offset == len(content)
    upload_id: str = begun.upload_id
    return upload_id


async def refusal_of_upload(
    identity: Identity, port: int, stream: Iterable[calls.UploadContentRequest]
) -> Refusal:
    """The refusal that an upload ends with, however much of it is still to be written then.

    Asked by gRPC's calls for threads. Those for asyncio lose a refusal that comes while they
    write: a write that fails puts INTERNAL in its place, and a half-close that fails cancels the
    call (grpc/grpc#36066). The stream is read in a thread too.
    """
    return await asyncio.to_thread(_refusal_of_upload, identity, port, stream)


def _refusal_of_upload(
    identity: Identity, port: int, stream: Iterable[calls.UploadContentRequest]
) -> Refusal:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    with grpc.secure_channel(f"127.0.0.1:{port}", identity.credentials(), options) as channel:
        try:
            answer = ExchangeServiceStub(channel).UploadContent(
                iter(stream), timeout=CALL_DEADLINE_S
            )
        except grpc.RpcError as error:
            return refusal_in(error)
    raise AssertionError(f"nothing was refused; the answer was {answer!r}")
