"""From a client certificate to a principal, and what it may do; and what a call becomes."""

from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from google.rpc import error_details_pb2, status_pb2

from hub.application.registry import Caller, Role
from hub.errors import AgencyUnknown, PrincipalUnknown, RoleNotPermitted
from hub.server.errors import DETAILS_KEY
from hub.server.identity import ROLES_OF_SERVICE, Identities
from hub.server.interceptors import CallInterceptor, current_caller
from hub.server.limits import Limits, OpenCalls, Patience
from hub.v1 import (
    audit_service_pb2,
    directory_service_pb2,
    exchange_service_pb2,
    ledger_service_pb2,
    registry_service_pb2,
)
from tests.support.builders import (
    OPERATOR,
    RECIPIENT,
    MemoryHub,
    Party,
    new_hub,
    transport_certificate,
)

EXCHANGE, LEDGER, REGISTRY = (
    "hub.v1.ExchangeService",
    "hub.v1.LedgerService",
    "hub.v1.RegistryService",
)


class Aborted(grpc.aio.AbortError):
    """What `abort` raises in the real context."""


class Context:
    """As much of a call's context as is used."""

    def __init__(self, certificate: bytes | None) -> None:
        self._pem = None
        if certificate is not None:
            self._pem = x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)
        self.aborted: tuple[Any, ...] = ()
        self.told: Any = lambda message: None

    async def write(self, message: Any) -> None:
        self.told(message)

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_pem_cert": [self._pem]} if self._pem else {}

    async def abort(self, code: Any, message: str, trailing: Any = ()) -> None:
        self.aborted = (code, message, dict(trailing))
        raise Aborted


def client_of(code: str) -> bytes:
    return transport_certificate(f"client of {code}")


@pytest.fixture
def hub() -> MemoryHub:
    hub = new_hub()
    enrol(hub)
    return hub


def enrol(hub: MemoryHub) -> None:
    certificate = client_of(RECIPIENT)
    hub.done(
        hub.enrolment(
            Party(RECIPIENT), purpose="transport", algorithm=None, certificate=certificate
        )
    )


@pytest.fixture
def identities(hub: MemoryHub) -> Identities:
    return Identities(lambda: hub.engine.registry)


def test_each_service_of_the_protos_says_whom_it_serves():
    files = (
        exchange_service_pb2,
        ledger_service_pb2,
        registry_service_pb2,
        directory_service_pb2,
        audit_service_pb2,
    )
    services = {
        service.full_name for file in files for service in file.DESCRIPTOR.services_by_name.values()
    }

    assert set(ROLES_OF_SERVICE) == services


def test_an_enrolled_certificate_is_its_principal(identities):
    agency, operator = Context(client_of(RECIPIENT)), Context(transport_certificate(OPERATOR))

    assert identities.require(agency, EXCHANGE) == Caller(Role.AGENCY, RECIPIENT)
    assert identities.require(agency, LEDGER) == Caller(Role.AGENCY, RECIPIENT)
    assert identities.require(operator, REGISTRY) == Caller(Role.OPERATOR, OPERATOR)


@pytest.mark.parametrize(
    ("certificate", "service"),
    [(client_of(RECIPIENT), REGISTRY), (transport_certificate(OPERATOR), EXCHANGE)],
    ids=["agency", "operator"],
)
def test_a_principal_uses_only_the_services_of_its_role(identities, certificate, service):
    with pytest.raises(RoleNotPermitted):
        identities.require(Context(certificate), service)


@pytest.mark.parametrize(
    "certificate",
    [None, client_of("H77"), Party(RECIPIENT).certificate],
    ids=["none", "nobody's", "for signing"],
)
def test_everybody_else_is_unknown(identities, certificate):
    with pytest.raises(PrincipalUnknown):
        identities.require(Context(certificate), LEDGER)


def test_a_change_of_the_registry_holds_from_the_next_call_on():
    hub = new_hub()
    identities = Identities(lambda: hub.engine.registry)
    with pytest.raises(PrincipalUnknown):
        identities.require(Context(client_of(RECIPIENT)), EXCHANGE)

    enrol(hub)

    assert identities.require(Context(client_of(RECIPIENT)), EXCHANGE).name == RECIPIENT


# --- Around every call --------------------------------------------------------------------


async def wrapped(identities: Identities, handler: Any, method: str) -> Any:
    async def continuation(_details: Any) -> Any:
        return handler

    details = SimpleNamespace(method=method)
    limits = Limits(OpenCalls(2), Patience(60))
    return await CallInterceptor(identities, limits).intercept_service(continuation, details)


def unary(serve: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(serve)


def streaming(serve: Any) -> Any:
    return grpc.unary_stream_rpc_method_handler(serve)


METHOD = f"/{EXCHANGE}/GetExchange"


def reason_of(context: Context) -> str:
    status = status_pb2.Status.FromString(context.aborted[2][DETAILS_KEY])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


async def test_a_method_is_told_who_calls(identities):
    async def serve(request: str, _context: Any) -> str:
        return f"{request} for {current_caller().name}"

    handler = await wrapped(identities, unary(serve), METHOD)

    assert (
        await handler.unary_unary("mail", Context(client_of(RECIPIENT))) == f"mail for {RECIPIENT}"
    )


async def test_a_refusal_becomes_its_status_with_its_reason(identities):
    async def serve(_request: Any, _context: Any) -> None:
        raise AgencyUnknown("no such agency", code="H77")

    handler = await wrapped(identities, unary(serve), METHOD)
    context = Context(client_of(RECIPIENT))
    with pytest.raises(Aborted):
        await handler.unary_unary(None, context)

    assert context.aborted[:2] == (grpc.StatusCode.NOT_FOUND, "no such agency")
    assert reason_of(context) == "AGENCY_UNKNOWN"


async def test_a_bug_becomes_a_number_to_quote_and_nothing_else(identities):
    async def serve(_request: Any, _context: Any) -> None:
        raise RuntimeError("password=hunter2")

    handler = await wrapped(identities, unary(serve), METHOD)
    context = Context(client_of(RECIPIENT))
    with structlog.testing.capture_logs() as lines, pytest.raises(Aborted):
        await handler.unary_unary(None, context)

    code, message, trailing = context.aborted
    assert (code, trailing) == (grpc.StatusCode.INTERNAL, {})
    (line,) = (line for line in lines if line["log_level"] == "error")
    assert line["id"] in message
    assert "hunter2" not in message


async def test_nobody_unknown_reaches_a_method(identities):
    async def serve(_request: Any, _context: Any) -> None:
        pytest.fail("it was called")

    for call in (
        (await wrapped(identities, unary(serve), METHOD)).unary_unary,
        (await wrapped(identities, streaming(serve), METHOD)).unary_stream,
    ):
        context = Context(client_of("H77"))
        with pytest.raises(Aborted):
            await call(None, context)
        assert reason_of(context) == "PRINCIPAL_UNKNOWN"


async def test_an_open_stream_ends_at_the_message_after_a_revocation(hub, identities):
    async def serve(_request: Any, _context: Any) -> Any:
        for number in range(9):
            yield number

    handler = await wrapped(identities, streaming(serve), METHOD)
    context = Context(client_of(RECIPIENT))
    received = []

    def revoke_after_three(number: int) -> None:
        received.append(number)
        if number == 2:
            hub.engine._register.current = new_hub().engine.registry

    context.told = revoke_after_three
    with pytest.raises(Aborted):
        await handler.unary_stream(None, context)

    assert received == [0, 1, 2]
    assert reason_of(context) == "PRINCIPAL_UNKNOWN"


@pytest.mark.parametrize(
    "method", ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/X"]
)
async def test_services_that_are_not_ours_pass_through(identities, method):
    handler = unary(lambda *_: None)

    assert await wrapped(identities, handler, method) is handler
    assert await wrapped(identities, None, METHOD) is None


async def test_every_call_is_one_line_that_says_who_and_what_became_of_it(identities):
    async def serve(_request: Any, _context: Any) -> str:
        return "answer"

    handler = await wrapped(identities, unary(serve), METHOD)
    with structlog.testing.capture_logs() as lines:
        await handler.unary_unary(None, Context(client_of(RECIPIENT)))

    (line,) = lines
    assert (line["method"], line["caller"], line["outcome"]) == (METHOD, RECIPIENT, "ok")
