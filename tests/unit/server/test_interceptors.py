"""What a caller hears when something goes wrong, and who may go on hearing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from adapters.memory.metrics import MemoryMeter
from hub.application.measuring import CALL_SECONDS, CALLS
from hub.application.registry import Caller, Role
from hub.errors import ExchangeUnknown, PrincipalUnknown
from hub.server.errors import DETAILS_KEY
from hub.server.interceptors import Running, _Call, current_caller
from hub.server.limits import Limits, OpenCalls, Patience

AGENCY = Caller(Role.AGENCY, "H29.1")
LIMITS = Limits(OpenCalls(9), Patience(60))


class Aborted(grpc.aio.AbortError):
    pass


class Context:
    """Remembers how the call was ended."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.message = ""
        self.reason = ""
        self.written: list[Any] = []

    async def write(self, message: Any) -> None:
        self.written.append(message)

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


def call(identities: Any) -> _Call:
    return _Call(identities, LIMITS, "hub.v1.ExchangeService", "/m")


async def called(error: Exception) -> Context:
    async def serve(request: Any, context: Any) -> None:
        raise error

    context = Context()
    with pytest.raises(Aborted):
        await call(Identities()).unary(serve)(None, context)
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

    served = call(Identities()).unary(serve)

    assert await served(None, Context()) == AGENCY


async def test_a_stream_ends_at_the_next_message_once_its_certificate_is_revoked():
    async def serve(request: Any, context: Any) -> AsyncIterator[int]:
        for number in range(10):
            yield number

    # Once for the call itself, then once for each of three messages.
    stream = call(Identities(times=4)).streaming(serve)
    context = Context()

    with pytest.raises(Aborted):
        await stream(None, context)

    assert context.written == [0, 1, 2]
    assert context.reason == "PRINCIPAL_UNKNOWN"


async def begun(running: Running) -> None:
    """A few turns of the loop, until a call runs."""
    for _ in range(100):
        if len(running):
            return
        await asyncio.sleep(0)
    raise AssertionError("no call began")


async def ended(serve: Any, *, meter: MemoryMeter, **more: Any) -> Context:
    context = Context()
    call = _Call(Identities(), LIMITS, "hub.v1.ExchangeService", METHOD, meter=meter, **more)
    with contextlib.suppress(Aborted, asyncio.CancelledError):
        await call.unary(serve)(None, context)
    return context


METHOD = "/hub.v1.ExchangeService/GetLimits"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (ExchangeUnknown("no such exchange"), "EXCHANGE_UNKNOWN"),
        (OSError("disk"), "UNAVAILABLE"),
        (ValueError("a bug"), "INTERNAL"),
        (asyncio.CancelledError(), "CANCELLED"),
    ],
)
async def test_every_call_is_counted_once_by_how_it_ended(error: Any, outcome: str):
    async def serve(request: Any, context: Any) -> None:
        if error is not None:
            raise error

    meter = MemoryMeter()
    await ended(serve, meter=meter)

    assert meter.counted == {(CALLS, ("ExchangeService/GetLimits", outcome)): 1}
    ((timed, seconds),) = meter.observed.items()
    assert timed == (CALL_SECONDS, ("ExchangeService/GetLimits",))
    assert len(seconds) == 1


async def test_once_closed_no_call_is_taken_and_whoever_comes_is_told():
    async def serve(request: Any, context: Any) -> None:
        raise AssertionError("served")

    running, meter = Running(), MemoryMeter()
    running.close()
    context = await ended(serve, meter=meter, running=running)
    assert (context.code, context.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    assert (running.turned_away, len(running)) == (1, 0)


async def test_what_does_not_end_in_time_is_cut_off_and_answered():
    async def serve(request: Any, context: Any) -> None:
        await asyncio.Event().wait()

    running, meter = Running(), MemoryMeter()
    call = asyncio.create_task(ended(serve, meter=meter, running=running))
    await begun(running)
    running.close()
    await running.drained(0)
    context = await call
    assert context.reason == "UNAVAILABLE"
    assert len(running) == 0


async def test_a_caller_that_goes_away_is_not_answered():
    async def serve(request: Any, context: Any) -> None:
        await asyncio.Event().wait()

    running, meter = Running(), MemoryMeter()
    context = Context()
    call = _Call(
        Identities(), LIMITS, "hub.v1.ExchangeService", METHOD, running=running, meter=meter
    )
    task = asyncio.create_task(call.unary(serve)(None, context))
    await begun(running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (context.code, len(running)) == (None, 0)


async def test_a_stream_whose_caller_goes_away_while_it_is_written_is_over_at_once():
    closed = []

    async def serve(request: Any, context: Any) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append(True)

    class Full(Context):
        async def write(self, message: Any) -> None:
            await asyncio.Event().wait()

    running, calls = Running(), OpenCalls(1)
    call = _Call(
        Identities(),
        Limits(calls, Patience(60)),
        "hub.v1.ExchangeService",
        METHOD,
        running=running,
    )
    task = asyncio.create_task(call.streaming(serve)(None, Full()))
    await begun(running)
    # Whoever still holds the stream's frames keeps nothing of the call open.
    held = task.get_coro()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (len(running), closed) == (0, [True])
    with calls.counted("agency H29.1"):
        pass
    del held
