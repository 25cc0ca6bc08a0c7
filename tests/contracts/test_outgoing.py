"""Whatever a timed job sends, nothing of it leaves a hub that does not lead."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import httpx2
import pytest

from adapters.axis.national.gateway import NationalAxis, NationalSettings
from adapters.axis.provincial.gateway import ProvincialAxis, ProvincialSettings
from adapters.pki.http import HttpCrlSource
from adapters.pki.ocsp import HttpOcspResponder
from adapters.timestamp.http import HttpTimestampAuthority
from adapters.witness.client import HttpWitness
from hub.application.axis import AxisGateway, AxisOutcomeUnknown, MessageKind, TransportState
from hub.application.ports import MayAct, NotLeading
from hub.proof.witnessing import AddCheckpoint
from tests.support.builders import run
from tests.support.timestamping import serving
from tests.unit.proof.building import Signer

PACKAGE = b"<edXML/>"
Act = Callable[[str, MayAct], Awaitable[object]]


async def nobody() -> None:
    raise NotLeading("another hub leads")


def national(address: str, may_act: MayAct) -> AxisGateway:
    settings = NationalSettings(address, "A", ("secret",))
    return NationalAxis(settings, lambda: datetime.now(UTC), may_act=may_act)


def provincial(address: str, may_act: MayAct) -> AxisGateway:
    settings = ProvincialSettings(address, "A", "user", "app", ("secret",), "password")
    return ProvincialAxis(settings, may_act=may_act)


AXES = {"national": national, "provincial": provincial}


def sending(gateway: AxisGateway) -> Awaitable[object]:
    package = io.BytesIO(PACKAGE)
    prepared = gateway.prepare(MessageKind.DOCUMENT, package, sender="A", recipients=("B",))
    return gateway.send(prepared, io.BytesIO(PACKAGE))


CALLS: dict[str, Callable[[AxisGateway], Awaitable[object]]] = {
    "waiting": lambda gateway: gateway.waiting(MessageKind.DOCUMENT),
    "fetch": lambda gateway: gateway.fetch("1", io.BytesIO()),
    "send": sending,
    "mark": lambda gateway: gateway.mark("1", TransportState.DONE),
}


def cosign(url: str, may_act: MayAct) -> Awaitable[object]:
    witness = HttpWitness(
        Signer("w.example", "witness").key, url, httpx2.AsyncClient(), may_act=may_act
    )
    return witness.add_checkpoint(AddCheckpoint(0, (), b"note"))


ACTS: dict[str, Act] = {
    **{
        f"{axis} {name}": lambda url, may_act, made=made, call=call: call(made(url, may_act))
        for axis, made in AXES.items()
        for name, call in CALLS.items()
    },
    "witness": cosign,
    "timestamp": lambda url, may_act: HttpTimestampAuthority(
        url, timeout_s=20, may_act=may_act
    ).ask(b"?"),
    "list": lambda url, may_act: HttpCrlSource(url, timeout_s=20, may_act=may_act).fetch(),
    "ocsp": lambda url, may_act: HttpOcspResponder(url, timeout_s=20, may_act=may_act).ask(b"?"),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_nothing_leaves_a_hub_that_does_not_lead(act: Act):
    came = []

    def respond(handler: BaseHTTPRequestHandler, _request: bytes) -> None:
        came.append(handler.path)
        handler.send_error(500)

    async def leads() -> None:
        assert not came, "asked before, not after"

    async def both(url: str) -> None:
        with pytest.raises(NotLeading):
            await act(url, nobody)
        assert came == []
        with pytest.raises((AxisOutcomeUnknown, OSError)) as failure:
            await act(url, leads)
        assert not isinstance(failure.value, NotLeading)
        assert len(came) == 1

    with serving(respond) as url:
        run(both(url))


def test_what_was_not_sent_is_never_taken_for_an_unknown_outcome():
    """The relay would record an attempt."""
    with pytest.raises(NotLeading) as refused:
        run(sending(national("http://127.0.0.1:1", nobody)))
    assert isinstance(refused.value, OSError)
