"""What happens around every call: who calls, what went wrong, one line in the access log."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc
import structlog

from hub.application.registry import Caller
from hub.errors import HubError, Unavailable
from hub.server.errors import DETAILS_KEY, STATUS_OF, status_details, status_message
from hub.server.identity import ROLES_OF_SERVICE, Identities

_logger = structlog.get_logger("hub.access")
_caller: ContextVar[Caller] = ContextVar("caller")
_certificate: ContextVar[str] = ContextVar("certificate")


def current_caller() -> Caller:
    """The authenticated principal of the call being served."""
    return _caller.get()


def current_certificate() -> str:
    """SHA-256 (hexadecimal) of the certificate the caller being served came with."""
    return _certificate.get()


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the methods of our own services; health and reflection pass through."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

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
        call = _Call(self._identities, service, method)
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
    def __init__(self, identities: Identities, service: str, method: str) -> None:
        self._identities = identities
        self._service = service
        self._method = method

    def unary(self, serve: Callable[[Any, Any], Awaitable[Any]]) -> Any:
        async def handle(request: Any, context: Any) -> Any:
            started = time.perf_counter()
            try:
                self._admit(context)
                response = await serve(request, context)
            except Exception as error:
                await self._refuse(error, context, started)
            else:
                self._log("ok", started)
                return response

        return handle

    def streaming(self, serve: Callable[[Any, Any], AsyncIterator[Any]]) -> Any:
        async def handle(request: Any, context: Any) -> AsyncIterator[Any]:
            started = time.perf_counter()
            try:
                self._admit(context)
                async for response in serve(request, context):
                    # A revoked certificate ends its open streams at the next message.
                    self._identities.require(context, self._service)
                    yield response
            except Exception as error:
                await self._refuse(error, context, started)
            else:
                self._log("ok", started)

        return handle

    def receiving(self, serve: Callable[[Any, Any], Awaitable[Any]]) -> Any:
        async def handle(requests: AsyncIterator[Any], context: Any) -> Any:
            return await self.unary(serve)(self._authorised(requests, context), context)

        return handle

    async def _authorised(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            # A revoked certificate ends its open streams at the next message.
            self._identities.require(context, self._service)
            yield request

    def _admit(self, context: Any) -> None:
        _caller.set(self._identities.require(context, self._service))
        _certificate.set(self._identities.certificate(context))

    async def _refuse(self, error: Exception, context: Any, started: float) -> None:
        if isinstance(error, OSError):
            # Storage that fails while it is read: nothing of the call is to blame.
            _logger.error("storage failed", method=self._method, exc_info=error)
            error = Unavailable("the hub cannot reach its storage; try again")
        if isinstance(error, HubError):
            self._log(error.reason, started)
            await context.abort(
                STATUS_OF[type(error)],
                status_message(error),
                ((DETAILS_KEY, status_details(error)),),
            )
        if isinstance(error, grpc.aio.AbortError):
            raise error
        # A bug: its details are for the log, the caller gets a number to quote.
        correlation = uuid.uuid4().hex
        _logger.error("unhandled error", method=self._method, id=correlation, exc_info=error)
        await context.abort(
            grpc.StatusCode.INTERNAL, f"internal error; quote {correlation} to the operator"
        )

    def _log(self, outcome: str, started: float) -> None:
        caller = _caller.get(None)
        _logger.info(
            "call",
            method=self._method,
            caller=caller.name if caller else None,
            outcome=outcome,
            ms=round((time.perf_counter() - started) * 1000, 1),
        )
