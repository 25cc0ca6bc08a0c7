"""What happens around every call: who calls, what went wrong, one line in the access log."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AbstractContextManager, aclosing
from contextvars import ContextVar
from functools import cache
from itertools import count
from typing import Any, Self

import grpc
import structlog

from hub.application import measuring
from hub.application.measuring import Meter, NoMeter
from hub.application.registry import Caller
from hub.application.tracing import Tracer, begin_call
from hub.errors import HubError, Unavailable
from hub.server.errors import DETAILS_KEY, STATUS_OF, status_details, status_message
from hub.server.identity import ROLES_OF_SERVICE, Identities
from hub.server.limits import Limits

_logger = structlog.get_logger("hub.access")
_caller: ContextVar[Caller] = ContextVar("caller")
_certificate: ContextVar[str] = ContextVar("certificate")

# Calls that are cut off need a moment to say so to their callers.
_CUT_S = 0.5
_REQUEST_ID = re.compile(r"[0-9A-Fa-f-]{36}")
# Of a call: which process it was, by chance, and which of its calls.
_PROCESS, _numbers = os.urandom(6).hex(), count(1)
# Outcomes beside the reasons of refusals.
OK, CANCELLED, INTERNAL = "ok", "CANCELLED", "INTERNAL"


def current_caller() -> Caller:
    """The authenticated principal of the call being served."""
    return _caller.get()


def current_certificate() -> str:
    """SHA-256 (hexadecimal) of the certificate the caller being served came with."""
    return _certificate.get()


async def _known() -> None:
    """A hub that is alone knows what it has acknowledged."""


class Running:
    """The calls under way. Once closed it takes no more; those it has can be cut off."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self.cut = False
        """Whether calls that still run are cut off by us, not by their callers."""
        self._none = asyncio.Event()
        self.turned_away = 0
        """How many calls came after it was closed."""

    def __len__(self) -> int:
        return len(self._tasks)

    def enter(self) -> None:
        """A call begins, in the task that serves it. Raises Unavailable."""
        if self._closed:
            self.turned_away += 1
            raise stopping()
        self._tasks.add(_this_task())

    def leave(self) -> None:
        """It is over."""
        self._tasks.discard(_this_task())
        if self._closed and not self._tasks:
            self._none.set()

    def close(self) -> None:
        """Take no more calls."""
        self._closed = True
        if not self._tasks:
            self._none.set()

    async def drained(self, within_s: float) -> None:
        """Wait until none runs; cut off what still does after so long, and wait for its answer."""
        for deadline_s in (within_s, _CUT_S):
            try:
                async with asyncio.timeout(deadline_s):
                    await self._none.wait()
                return
            except TimeoutError:
                self.cut = True
                for task in list(self._tasks):
                    task.cancel()


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call is served by a task")
    return task


def stopping() -> Unavailable:
    """What callers of a hub get that is about to stop."""
    return Unavailable("the hub is stopping; repeat the very same call")


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the methods of our own services; health and reflection pass through."""

    def __init__(
        self,
        identities: Identities,
        limits: Limits,
        meter: Meter | None = None,
        tracer: Tracer | None = None,
        *,
        fresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`fresh` makes sure that what other hubs have acknowledged is known here."""
        self.running = Running()
        self._identities = identities
        self._limits = limits
        self._fresh = fresh or _known
        self._meter: Meter = meter or NoMeter()
        self._tracer = tracer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, wrapped."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        service = method.split("/")[1]
        if handler is None or service not in ROLES_OF_SERVICE:
            return handler
        call = _Call(
            self._identities,
            self._limits,
            service,
            method,
            fresh=self._fresh,
            running=self.running,
            meter=self._meter,
            tracer=self._tracer,
        )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                call.streaming(handler.unary_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                call.receiving(handler.stream_unary),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            call.unary(handler.unary_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )


class _Call:
    def __init__(
        self,
        identities: Identities,
        limits: Limits,
        service: str,
        method: str,
        *,
        fresh: Callable[[], Awaitable[None]] = _known,
        running: Running | None = None,
        meter: Meter | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._identities = identities
        self._limits = limits
        self._fresh = fresh
        self._service = service
        self._method = method
        self._running = Running() if running is None else running
        self._meter: Meter = meter or NoMeter()
        self._tracer = tracer
        self._outcome = OK
        self._timed = True
        self._id = ""
        self._span: AbstractContextManager[Callable[[str], None]] | None = None
        self._tell: Callable[[str], None]

    def unary(self, serve: Callable[[Any, Any], Awaitable[Any]]) -> Any:
        async def handle(request: Any, context: Any) -> Any:
            with self.about(context):
                try:
                    with await self._admitted(context):
                        _name_request(request)
                        return await serve(request, context)
                except Exception as error:
                    await self._refuse(error, context)
                except asyncio.CancelledError:
                    await self._cut_off(context)
                    raise

        return handle

    def streaming(self, serve: Callable[[Any, Any], AsyncGenerator[Any]]) -> Any:
        # Not a generator itself: one whose caller leaves while it waits to go on would learn of
        # it when it is collected, and be counted as open until then.
        async def handle(request: Any, context: Any) -> None:
            self._timed = False
            with self.about(context):
                try:
                    with await self._admitted(context):
                        async with aclosing(serve(request, context)) as responses:
                            async for response in responses:
                                # A revoked certificate ends its open streams at the next message.
                                await self._fresh()
                                self._identities.require(context, self._service)
                                with self._limits.patience.sending(context, self._method):
                                    await context.write(response)
                except Exception as error:
                    await self._refuse(error, context)
                except asyncio.CancelledError:
                    await self._cut_off(context)
                    raise

        return handle

    def receiving(self, serve: Callable[[Any, Any], Awaitable[Any]]) -> Any:
        async def handle(requests: AsyncIterator[Any], context: Any) -> Any:
            return await self.unary(serve)(self._authorised(requests, context), context)

        return handle

    async def _authorised(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            # A revoked certificate ends its open streams at the next message.
            await self._fresh()
            self._identities.require(context, self._service)
            yield request

    def about(self, context: Any) -> Self:
        """Everything that is told of a call is told around the block: see `__enter__`."""
        self._context = context
        return self

    def __enter__(self) -> None:
        """Its number in each line, its span. No generator: it costs as much as all it does."""
        self._started = time.perf_counter()
        self._id = f"{_PROCESS}-{next(_numbers):x}"
        structlog.contextvars.bind_contextvars(call=self._id)
        if self._tracer is not None:
            metadata = self._context.invocation_metadata() or ()
            self._span = self._tracer.call(self._method, metadata)
            self._tell = self._span.__enter__()
            begin_call()

    def __exit__(self, *raised: Any) -> None:
        """How it ended, and how long it took."""
        self._running.leave()
        seconds = time.perf_counter() - self._started
        if raised[0] is asyncio.CancelledError:
            self._outcome = CANCELLED
        method = self._method.removeprefix("/hub.v1.")
        self._meter.count(measuring.CALLS, method, self._outcome)
        if self._timed:
            self._meter.observe(measuring.CALL_SECONDS, seconds, method)
        self._log(seconds)
        if self._span is not None:
            self._tell(self._outcome)
            self._span.__exit__(*raised)

    async def _admitted(self, context: Any) -> AbstractContextManager[None]:
        """Whoever calls may; the call counts as open for as long as the block runs."""
        self._running.enter()
        await self._fresh()
        caller = self._identities.require(context, self._service)
        _caller.set(caller)
        _certificate.set(self._identities.certificate(context))
        return self._limits.calls.counted(f"{caller.role.value} {caller.name}")

    async def _cut_off(self, context: Any) -> None:
        """Answer a call that we end ourselves; one that its caller has left hears nothing."""
        if self._running.cut:
            await self._refuse(stopping(), context)

    async def _refuse(self, error: Exception, context: Any) -> None:
        if isinstance(error, OSError):
            # Storage that fails while it is read: nothing of the call is to blame.
            _logger.error("storage failed", method=self._method, exc_info=error)
            error = Unavailable("the hub cannot reach its storage; try again")
        if isinstance(error, HubError):
            self._outcome = error.reason
            await context.abort(
                STATUS_OF[type(error)],
                status_message(error),
                ((DETAILS_KEY, status_details(error)),),
            )
        self._outcome = INTERNAL
        if isinstance(error, grpc.aio.AbortError):
            raise error
        # A bug: its details are for the log, the caller gets a number to quote.
        _logger.error("unhandled error", method=self._method, id=self._id, exc_info=error)
        await context.abort(
            grpc.StatusCode.INTERNAL, f"internal error; quote {self._id} to the operator"
        )

    def _log(self, seconds: float) -> None:
        caller = _caller.get(None)
        _logger.info(
            "call",
            method=self._method,
            caller=caller.name if caller else None,
            outcome=self._outcome,
            ms=round(seconds * 1000, 1),
        )


def _name_request(request: Any) -> None:
    """Have each line of the call name what its caller calls it, where the request says it.

    In a signed statement it stands too: `hub.application.intake` finds it there.
    """
    descriptor = getattr(request, "DESCRIPTOR", None)
    if _names_itself(descriptor) and _REQUEST_ID.fullmatch(request.request_id):
        structlog.contextvars.bind_contextvars(request_id=request.request_id)


@cache
def _names_itself(descriptor: Hashable) -> bool:
    return "request_id" in getattr(descriptor, "fields_by_name", ())
