"""What a caller hears when something goes wrong, and who may go on hearing."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from hub.application.registry import Caller, Role
from hub.errors import ExchangeUnknown, PrincipalUnknown
from hub.server.errors import DETAILS_KEY
from hub.server.interceptors import _Call, current_caller

AGENCY = Caller(Role.AGENCY, "H29.1")


class Aborted(grpc.aio.AbortError):
    pass


class Context:
    """Remembers how the call was ended."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.message = ""
        self.reason = ""

    async def abort(self, code: grpc.StatusCode, message: str = "", trailing: Any = ()) -> None:
        self.code, self.message = code, message
        for key, value in trailing:
            if key == DETAILS_KEY:
                info = error_details_pb2.ErrorInfo()
                status_pb2.Status.FromString(value).details[0].Unpack(info)
                self.reason = info.reason
        raise Aborted


class Identities:
    """Knows its caller so many times, then no longer."""

    def __init__(self, times: int = 1000) -> None:
        self.times = times

    def require(self, context: Any, service: str) -> Caller:
        if self.times == 0:
            raise PrincipalUnknown("revoked in the meantime")
        self.times -= 1
        return AGENCY

    def certificate(self, context: Any) -> str:
        return "00" * 32


async def called(error: Exception) -> Context:
    async def serve(request: Any, context: Any) -> None:
        raise error

    context = Context()
    with pytest.raises(Aborted):
        await _Call(Identities(), "hub.v1.ExchangeService", "/m").unary(serve)(None, context)
    return context


async def test_a_refusal_reaches_the_caller_with_its_reason():
    context = await called(ExchangeUnknown("no such exchange"))

    assert (context.code, context.reason) == (grpc.StatusCode.NOT_FOUND, "EXCHANGE_UNKNOWN")
    assert context.message == "no such exchange"


async def test_storage_that_fails_is_worth_another_try():
    context = await called(OSError("disk I/O error in /var/lib/secret"))

    assert (context.code, context.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    assert "secret" not in context.message


async def test_a_bug_is_told_by_number_only():
    context = await called(KeyError("the subject of a document"))

    assert (context.code, context.reason) == (grpc.StatusCode.INTERNAL, "")
    assert "subject" not in context.message


async def test_the_caller_is_known_to_the_method():
    async def serve(request: Any, context: Any) -> Caller:
        return current_caller()

    served = _Call(Identities(), "hub.v1.ExchangeService", "/m").unary(serve)

    assert await served(None, Context()) == AGENCY


async def test_a_stream_ends_at_the_next_message_once_its_certificate_is_revoked():
    async def serve(request: Any, context: Any) -> AsyncIterator[int]:
        for number in range(10):
            yield number

    # Once for the call itself, then once for each of three messages.
    stream = _Call(Identities(times=4), "hub.v1.ExchangeService", "/m").streaming(serve)
    context = Context()
    heard = []

    async def listen() -> None:
        async for number in stream(None, context):
            heard.append(number)

    with pytest.raises(Aborted):
        await listen()

    assert heard == [0, 1, 2]
    assert context.reason == "PRINCIPAL_UNKNOWN"
