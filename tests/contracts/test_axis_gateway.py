"""What every AxisGateway must do, whichever axis is behind it.

The provincial gateway has no axis to run against; its promises are tested on scripted replies.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.axis.national.gateway import NationalAxis, NationalSettings
from adapters.axis.simulator.server import Simulator
from adapters.memory.axis import MemoryAxis
from hub.application.axis import (
    AxisGateway,
    AxisRefused,
    MessageKind,
    PackageChanged,
    TransportState,
)
from hub.application.leading import undisputed
from tests.support.axis import package_xml

A, B, C = "A.H99", "B.H99", "C.H99"
PACKAGE = package_xml().encode()


@pytest.fixture(params=["memory", "national"])
async def gateway(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Callable[[str], AxisGateway]]:
    if request.param == "memory":
        yield MemoryAxis((A, B, C)).gateway
        return
    simulator = Simulator(tmp_path, lambda: datetime(2026, 11, 22, 8, tzinfo=UTC))
    milliseconds = iter(range(1_000_000))

    def clock() -> datetime:
        return datetime(2026, 11, 22, 8, microsecond=next(milliseconds) * 1000, tzinfo=UTC)

    for code in (A, B, C):
        simulator.store.enrol(code, [f"{code}-secret"])
    with simulator.listening() as address:
        made = {
            code: NationalAxis(
                NationalSettings(address, code, (f"{code}-secret",)), clock, may_act=undisputed
            )
            for code in (A, B, C)
        }
        yield made.__getitem__
        for each in made.values():
            await each.close()
    simulator.store.close()


async def send(axis: AxisGateway, *to: str, kind: MessageKind = MessageKind.DOCUMENT) -> str:
    package = io.BytesIO(PACKAGE)
    return await axis.send(axis.prepare(kind, package, sender=A, recipients=to), package)


async def test_each_receiver_gets_the_package_under_an_id_of_its_own(
    gateway: Callable[[str], AxisGateway],
):
    axis_id = await send(gateway(A), B, C)
    ids = {axis_id}
    for code in (B, C):
        [waiting] = await gateway(code).waiting(MessageKind.DOCUMENT)
        assert (waiting.kind, waiting.sender, waiting.recipient) == ("edoc", A, code)
        into = io.BytesIO()
        assert await gateway(code).fetch(waiting.axis_id, into) == len(into.getvalue())
        assert b"<edXML " in into.getvalue()
        ids.add(waiting.axis_id)
    assert len(ids) == 3
    assert await gateway(A).waiting(MessageKind.DOCUMENT) == []


async def test_only_those_get_it_whom_the_request_names(gateway: Callable[[str], AxisGateway]):
    axis = gateway(A)
    await send(axis, B)
    assert len(await gateway(B).waiting(MessageKind.DOCUMENT)) == 1
    # A package that names others, too, is not theirs where the axis asks the request.
    assert bool(await gateway(C).waiting(MessageKind.DOCUMENT)) is not axis.narrows


async def test_the_reply_itself_is_kept_where_somebody_wants_it(
    gateway: Callable[[str], AxisGateway],
):
    await send(gateway(A), B)
    [waiting] = await gateway(B).waiting(MessageKind.DOCUMENT)
    into, raw = io.BytesIO(), io.BytesIO()
    await gateway(B).fetch(waiting.axis_id, into, raw)
    assert len(raw.getvalue()) >= len(into.getvalue()) > 0


async def test_documents_and_reports_wait_apart(gateway: Callable[[str], AxisGateway]):
    await send(gateway(A), B, kind=MessageKind.STATUS)

    assert await gateway(B).waiting(MessageKind.DOCUMENT) == []
    assert len(await gateway(B).waiting(MessageKind.STATUS)) == 1
    assert await gateway(B).count(MessageKind.STATUS) == 1
    assert await gateway(B).count(MessageKind.DOCUMENT) == 0


@pytest.mark.parametrize(
    ("state", "waits"),
    [(TransportState.PROCESSING, True), (TransportState.DONE, False), (TransportState.FAIL, False)],
)
async def test_what_is_done_waits_no_more_and_its_sender_sees_it(
    gateway: Callable[[str], AxisGateway], state: TransportState, waits: bool
):
    axis_id = await send(gateway(A), B)
    [waiting] = await gateway(B).waiting(MessageKind.DOCUMENT)

    await gateway(B).mark(waiting.axis_id, state)

    assert bool(await gateway(B).waiting(MessageKind.DOCUMENT)) is waits
    [relayed] = await gateway(A).relayed(MessageKind.DOCUMENT, axis_id) or []
    assert (relayed.recipient, relayed.receive_state) == (B, state.value)
    assert relayed.recipient_axis_id == waiting.axis_id


async def test_the_same_request_twice_is_one_package_and_a_new_one_is_another(
    gateway: Callable[[str], AxisGateway],
):
    axis, package = gateway(A), io.BytesIO(PACKAGE)
    request = axis.prepare(MessageKind.DOCUMENT, package, sender=A, recipients=[B])

    assert await axis.send(request, package) == await axis.send(request, package)
    assert len(await gateway(B).waiting(MessageKind.DOCUMENT)) == 1
    await send(axis, B)
    assert len(await gateway(B).waiting(MessageKind.DOCUMENT)) == 2


async def test_another_package_is_not_sent_under_a_prepared_request(
    gateway: Callable[[str], AxisGateway],
):
    axis = gateway(A)
    request = axis.prepare(MessageKind.DOCUMENT, io.BytesIO(PACKAGE), sender=A, recipients=[B])

    with pytest.raises(PackageChanged):
        await axis.send(request, io.BytesIO(PACKAGE + b" "))
    assert await gateway(B).waiting(MessageKind.DOCUMENT) == []


async def test_strangers_ids_and_unknown_codes_are_refused(gateway: Callable[[str], AxisGateway]):
    await send(gateway(A), B)
    [waiting] = await gateway(B).waiting(MessageKind.DOCUMENT)

    with pytest.raises(AxisRefused):
        await gateway(C).fetch(waiting.axis_id, io.BytesIO())
    with pytest.raises(AxisRefused):
        await gateway(C).mark(waiting.axis_id, TransportState.DONE)
    with pytest.raises(AxisRefused) as refused:
        await send(gateway(A), "X.H99")
    assert refused.value.code == "18"
    with pytest.raises(AxisRefused) as refused:
        await send(gateway(C), B)
    assert refused.value.code == "19"


async def test_the_directory_lists_everybody(gateway: Callable[[str], AxisGateway]):
    assert {each.code for each in await gateway(A).agencies() or []} == {A, B, C}


async def test_codes_that_no_header_carries_are_refused(
    gateway: Callable[[str], AxisGateway],
):
    for sender, recipient in (("Đ.H99", B), (A, "B\r\nX: y")):
        with pytest.raises(ValueError):
            gateway(A).prepare(
                MessageKind.DOCUMENT, io.BytesIO(b"x"), sender=sender, recipients=[recipient]
            )
