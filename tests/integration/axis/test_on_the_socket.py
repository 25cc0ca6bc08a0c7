"""What really leaves the socket is what was recorded of the vendor's client."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from adapters.axis.national.gateway import NationalAxis, NationalSettings
from hub.application.axis import AxisError, MessageKind, TransportState
from hub.application.leading import undisputed
from tests.support.axis import BY_CALL, SECRET, content_of

DOC, OTHER_DOC = "11111111-2222-3333-4444-555555555555", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"


def send(kind: MessageKind, sender: str, recipients: tuple[str, ...] = ()) -> Any:
    async def sending(axis: NationalAxis, content: bytes) -> None:
        package = io.BytesIO(content)
        request = axis.prepare(kind, package, sender=sender, recipients=recipients)
        await axis.send(request, package)

    return sending


ASKED: dict[str, Callable[[NationalAxis, bytes], Awaitable[object]]] = {
    "getReceivedEdocList": lambda axis, _content: axis.waiting(
        MessageKind.DOCUMENT, since=date(2026, 11, 1), until=date(2026, 11, 22)
    ),
    "sendEdoc document": send(MessageKind.DOCUMENT, "TEST.00.00.H99"),
    "sendEdoc to": send(
        MessageKind.DOCUMENT, "TEST.00.00.H99", ("TEST.01.00.H99", "TEST.02.00.H99")
    ),
    "sendEdoc status": send(MessageKind.STATUS, "TEST.01.00.H99"),
    "getSentEdocList": lambda axis, _content: axis.relayed(MessageKind.DOCUMENT, OTHER_DOC),
    "updateStatus": lambda axis, _content: axis.mark(DOC, TransportState.DONE),
    "countReceiveEdoc": lambda axis, _content: axis.count(MessageKind.DOCUMENT),
    "countReceiveStatus": lambda axis, _content: axis.count(MessageKind.STATUS),
    "getAgenciesListQD20": lambda axis, _content: axis.agencies_of_level(1),
    "getSynchronizeUnit": lambda axis, _content: axis.agencies(),
}


@pytest.mark.parametrize("name", ASKED)
async def test_a_call_leaves_the_socket_as_it_was_recorded(name: str):
    vector = BY_CALL[name]
    seen = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")
        )
        seen.extend(head + await reader.readexactly(length))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = NationalSettings(f"http://127.0.0.1:{port}", "TEST.00.00.H99", (SECRET,))
    axis = NationalAxis(settings, lambda: recorded_time(vector), may_act=undisputed)
    async with server:
        with pytest.raises(AxisError):
            await ASKED[name](axis, content_of(vector))
    await axis.close()

    head, _, body = bytes(seen).partition(b"\r\n\r\n")
    expected = [line.replace("127.0.0.1:8080", f"127.0.0.1:{port}") for line in vector["head"]]
    # The HTTP library puts Host first, as RFC 9110 section 7.2 would have it; no signature covers
    # the order of headers.
    host = next(line for line in expected if line.startswith("Host: "))
    expected = [expected[0], host, *(line for line in expected[1:] if line != host)]
    assert head.decode().split("\r\n") == expected
    assert body == content_of(vector) + vector.get("body_after_file", "").encode()


def recorded_time(vector: dict[str, Any]) -> datetime:
    [said] = [line for line in vector["head"] if line.startswith("XroadVnpt-timestamp: ")]
    stamp, _, milliseconds = said.removeprefix("XroadVnpt-timestamp: ").partition("+")
    local = datetime.strptime(stamp, "%d%m%YT%H%M%S").replace(tzinfo=UTC)
    return local.replace(hour=local.hour - 7, microsecond=int(milliseconds) * 1000)
