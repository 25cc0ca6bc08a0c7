"""The national gateway: what it asks, what it makes of answers, and when it asks again."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import Any

import httpx2
import pytest

from adapters.axis.http import Deadlines, ReplyLimits
from adapters.axis.national.gateway import NationalAxis, NationalSettings
from hub.application.axis import (
    AxisError,
    AxisOutcomeUnknown,
    AxisRefused,
    AxisReplyUnreadable,
    AxisUnreachable,
    MessageKind,
    PackageChanged,
    TransportState,
)
from hub.application.leading import undisputed

AT = datetime(2026, 11, 22, 2, 5, 46, 9_000, tzinfo=UTC)
OK = {"status": "OK", "ErrorCode": "0", "ErrorDesc": ""}
PACKAGE = b"<edXML>g\xc3\xb3i</edXML>\r\n"


class Raw(httpx2.AsyncByteStream):
    """A body as it comes from the network, packed or not."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


class Axis:
    """An axis of which every request is remembered, and every answer is scripted."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, tuple[tuple[bytes, bytes], ...], bytes]] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        self.requests.append((str(request.url), tuple(request.headers.raw), body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx2.Response):
            return answer
        return httpx2.Response(200, stream=Raw(json.dumps(answer).encode()))

    def header(self, name: str, request: int = -1) -> str:
        return dict(self.requests[request][1])[name.encode()].decode()


def gateway(axis: Axis, **settings: Any) -> NationalAxis:
    made = NationalSettings(
        **{
            "endpoint": "http://axis.example:8080/",
            "system_id": "TEST.00.00.H99",
            "secrets": ("s3cret-for-tests",),
            **settings,
        }
    )
    return NationalAxis(made, lambda: AT, httpx2.MockTransport(axis), may_act=undisputed)


CALLS: dict[str, Callable[[NationalAxis], Any]] = {
    "waiting": lambda axis: axis.waiting(MessageKind.DOCUMENT),
    "fetch": lambda axis: axis.fetch("1", io.BytesIO()),
    "send": lambda axis: axis.send(prepared(axis), io.BytesIO(PACKAGE)),
    "relayed": lambda axis: axis.relayed(MessageKind.STATUS, "1"),
    "mark": lambda axis: axis.mark("1", TransportState.DONE),
    "count": lambda axis: axis.count(MessageKind.DOCUMENT),
    "agencies": lambda axis: axis.agencies(),
    "agencies_of_level": lambda axis: axis.agencies_of_level(1),
}


def prepared(axis: NationalAxis, package: bytes = PACKAGE) -> Any:
    return axis.prepare(MessageKind.DOCUMENT, io.BytesIO(package), sender="TEST.00.00.H99")


# --- What is asked, and what is answered -------------------------------------------------


async def test_a_list_is_asked_for_by_kind_and_days():
    item = {
        "docId": "1",
        "messageType": "edoc",
        "from": "A",
        "to": "B",
        "status": "initial",
        "x": None,
    }
    axis = Axis({**OK, "data": [item]})

    [waiting] = await gateway(axis).waiting(
        MessageKind.DOCUMENT, since=date(2026, 11, 1), until=date(2026, 11, 22)
    )

    assert (waiting.axis_id, waiting.sender, waiting.recipient) == ("1", "A", "B")
    assert axis.requests[0][0] == "http://axis.example:8080/getReceivedEdocList"
    assert axis.header("XroadVnpt-fromDate") == "2026/11/01"
    assert axis.header("XroadVnpt-toDate") == "2026/11/22"
    assert axis.header("Host") == "axis.example:8080"
    assert axis.requests[0][2] == b""


@pytest.mark.parametrize("packed", [False, True])
async def test_a_package_is_fetched_to_the_byte(packed: bool):
    reply = json.dumps({**OK, "data": base64.b64encode(PACKAGE).decode()}).encode()
    headers = {"Content-Encoding": "gzip"} if packed else {}
    axis = Axis(
        httpx2.Response(200, stream=Raw(gzip.compress(reply) if packed else reply), headers=headers)
    )
    into = io.BytesIO()

    assert await gateway(axis).fetch("11-22", into) == len(PACKAGE)
    assert into.getvalue() == PACKAGE
    assert axis.header("XroadVnpt-docId") == "11-22"
    assert axis.requests[0][2] == b"{}"


async def test_a_package_is_sent_raw_with_a_line_end_behind_it():
    axis = Axis({**OK, "DocId": "77"})
    sender = gateway(axis)
    request = sender.prepare(
        MessageKind.STATUS, io.BytesIO(PACKAGE), sender="A.H99", recipients=["B.H99", "C.H99"]
    )

    assert await sender.send(request, io.BytesIO(PACKAGE)) == "77"
    assert axis.requests[0][2] == PACKAGE + b"\r\n"
    assert axis.header("Content-Length") == str(len(PACKAGE) + 2)
    assert axis.header("XroadVnpt-messagetype") == "status"
    assert axis.header("XroadVnpt-to") == '["B.H99","C.H99"]'


async def test_states_counts_and_agencies_are_read():
    sent = {"senderDocId": "7", "receiverDocId": "8", "toCode": "B", "receiveStatus": "done"}
    agency = {"code": "H37.02", "deleted": True, "id": 4, "version": 3}
    listed_again = {"code": "H37.02", "oldCode": "000.00.02.H37", "id": 4}
    lists = [{**OK, "data": [each]} for each in (agency, listed_again)]
    axis = Axis({**OK, "data": [sent]}, {**OK, "count": 12}, *lists, OK)
    ours = gateway(axis)

    [relayed] = await ours.relayed(MessageKind.DOCUMENT, "7")
    assert (relayed.recipient_axis_id, relayed.receive_state) == ("8", "done")
    assert await ours.count(MessageKind.STATUS) == 12
    [listed] = await ours.agencies()
    assert (listed.old_code, listed.deleted, listed.axis_id) == ("000.00.02.H37", True, "4")
    await ours.mark("8", TransportState.DONE)
    assert axis.header("XroadVnpt-status") == "done"
    assert axis.requests[1][0].endswith("/countReceiveStatus")
    assert axis.requests[2][0].endswith("/getSynchronizeUnit")
    assert axis.requests[3][0].endswith("/getAgenciesList")


# --- A retry is the same request ---------------------------------------------------------


async def test_a_request_is_repeated_to_the_byte_even_by_another_process_later():
    axis = Axis(httpx2.ReadError("lost"), {**OK, "DocId": "77"})
    request = prepared(gateway(axis))
    with pytest.raises(AxisOutcomeUnknown):
        await gateway(axis).send(request, io.BytesIO(PACKAGE))

    later = NationalAxis(
        NationalSettings("http://axis.example:8080", "TEST.00.00.H99", ("s3cret-for-tests",)),
        lambda: datetime(2027, 1, 1, tzinfo=UTC),
        httpx2.MockTransport(axis),
        may_act=undisputed,
    )
    assert await later.send(request, io.BytesIO(PACKAGE)) == "77"

    assert axis.requests[0] == axis.requests[1]
    assert axis.header("XroadVnpt-timestamp") == "22112026T090546+0009"


async def test_another_package_is_not_sent_under_a_prepared_request():
    axis = Axis({**OK, "DocId": "77"})
    sender = gateway(axis)

    for other in (b"", PACKAGE + b"x", PACKAGE.replace(b"g", b"h")):
        with pytest.raises(PackageChanged):
            await sender.send(prepared(sender), io.BytesIO(other))
    assert axis.requests == []


async def test_a_package_that_changes_while_it_is_sent_completes_no_request():
    class Changing(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            data = super().read(size)
            return data.replace(b"g", b"h") if self.reads > 2 else data

    axis = Axis({**OK, "DocId": "77"})
    sender = gateway(axis)

    with pytest.raises(PackageChanged):
        await sender.send(prepared(sender), Changing(PACKAGE))
    assert axis.requests == []


async def test_every_call_has_its_own_time():
    axis = Axis({**OK, "data": []})
    times = iter([AT, AT.replace(second=47)])
    ours = NationalAxis(
        NationalSettings("http://axis.example", "A", ("x",)),
        lambda: next(times),
        httpx2.MockTransport(axis),
        may_act=undisputed,
    )
    await ours.waiting(MessageKind.DOCUMENT)
    await ours.waiting(MessageKind.DOCUMENT)

    assert axis.header("XroadVnpt-timestamp", 0) != axis.header("XroadVnpt-timestamp", 1)


# --- Two secrets -------------------------------------------------------------------------

WRONG_SECRET = {"status": "FAIL", "ErrorCode": "15", "ErrorDesc": "", "DocId": "", "data": ""}


async def test_while_the_secret_is_changed_the_other_one_is_tried_and_then_preferred():
    axis = Axis(WRONG_SECRET, {**OK, "data": []})
    ours = gateway(axis, secrets=("new", "old"))

    await ours.waiting(MessageKind.DOCUMENT)
    await ours.waiting(MessageKind.DOCUMENT)

    signatures = [axis.header("XroadVnpt-hash-header", number) for number in range(3)]
    assert signatures[0] != signatures[1] == signatures[2]


async def test_a_recorded_request_is_signed_anew_only_after_a_plain_refusal():
    axis = Axis(WRONG_SECRET, {**OK, "DocId": "77"})
    request = prepared(gateway(axis, secrets=("old",)))
    ours = gateway(axis, secrets=("new",))

    assert await ours.send(request, io.BytesIO(PACKAGE)) == "77"
    before, after = (dict(each[1]) for each in axis.requests)
    assert {name for name in before if before[name] != after[name]} == {b"XroadVnpt-hash-header"}


async def test_two_wrong_secrets_are_a_refusal():
    axis = Axis(WRONG_SECRET)
    with pytest.raises(AxisRefused):
        await gateway(axis, secrets=("new", "old")).waiting(MessageKind.DOCUMENT)
    assert len(axis.requests) == 2


@pytest.mark.parametrize("answer", [httpx2.ReadError("lost"), httpx2.Response(500), {}])
async def test_an_unclear_answer_is_no_reason_to_try_the_other_secret(answer: Any):
    axis = Axis(answer)
    with pytest.raises(AxisOutcomeUnknown):
        await gateway(axis, secrets=("new", "old")).mark("1", TransportState.DONE)
    assert len(axis.requests) == 1


@pytest.mark.parametrize("secrets", [(), ("",), ("a", ""), ("a", "b", "c")])
def test_there_are_one_or_two_secrets(secrets: tuple[str, ...]):
    with pytest.raises(ValueError):
        NationalSettings("http://axis.example", "A", secrets)


def test_secrets_are_not_shown():
    assert "s3cret" not in repr(NationalSettings("http://axis.example", "A", ("s3cret",)))


# --- Bad answers -------------------------------------------------------------------------

GZIP = {"Content-Encoding": "gzip"}
EMPTY_LIST = json.dumps({**OK, "data": []}).encode()

BAD: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "empty": (200, b"", {}),
    "HTML": (200, b"<html>502</html>", {}),
    "cut short": (200, EMPTY_LIST[:-1], {}),
    "something behind it": (200, EMPTY_LIST + b"x", {}),
    "null": (200, b"null", {}),
    "no code": (200, b'{"data":[]}', {}),
    "500 with good JSON": (500, EMPTY_LIST, {}),
    "202 with good JSON": (202, EMPTY_LIST, {}),
    "204": (204, b"", {}),
    "redirected": (302, b"", {"Location": "http://elsewhere.example"}),
    "packed unknowably": (200, EMPTY_LIST, {"Content-Encoding": "br"}),
    "packed wrongly": (200, EMPTY_LIST, GZIP),
    "packed and cut short": (200, gzip.compress(EMPTY_LIST)[:-9], GZIP),
    "packed twice over": (200, gzip.compress(EMPTY_LIST) * 2, GZIP),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("name", CALLS)
async def test_a_bad_answer_is_never_taken_for_success_or_for_nothing_new(name: str, case: str):
    status, content, headers = BAD[case]
    axis = Axis(httpx2.Response(status, stream=Raw(content), headers=headers))

    with pytest.raises(AxisReplyUnreadable):
        await CALLS[name](gateway(axis))


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"mark"}))
async def test_success_without_what_was_asked_for_is_no_success(name: str):
    for reply in (
        OK,
        {**OK, "data": None, "count": None, "DocId": None},
        {**OK, "data": "", "DocId": ""},
    ):
        with pytest.raises(AxisReplyUnreadable):
            await CALLS[name](gateway(Axis(reply)))


@pytest.mark.parametrize("name", ["waiting", "relayed", "agencies"])
async def test_one_item_without_an_id_spoils_the_list(name: str):
    good = {"docId": "1", "senderDocId": "1", "code": "1"}
    with pytest.raises(AxisReplyUnreadable):
        await CALLS[name](gateway(Axis({**OK, "data": [good, {}]})))


@pytest.mark.parametrize("name", CALLS)
async def test_a_stated_failure_is_a_refusal_with_its_code(name: str):
    axis = Axis(
        {
            "status": "FAIL",
            "ErrorCode": "18",
            "ErrorDesc": "Không có đơn vị",
            "DocId": "",
            "data": "",
        }
    )

    with pytest.raises(AxisRefused) as refused:
        await CALLS[name](gateway(axis))

    assert (refused.value.code, refused.value.description) == ("18", "Không có đơn vị")


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (httpx2.ConnectError("refused"), AxisUnreachable),
        (httpx2.ConnectTimeout("slow"), AxisUnreachable),
        (httpx2.ReadTimeout("slow"), AxisOutcomeUnknown),
        (httpx2.WriteError("lost"), AxisOutcomeUnknown),
        (httpx2.RemoteProtocolError("closed"), AxisOutcomeUnknown),
    ],
)
async def test_a_lost_connection_says_whether_something_may_have_happened(
    name: str, failure: Exception, expected: type[AxisError]
):
    with pytest.raises(AxisError) as failed:
        await CALLS[name](gateway(Axis(failure)))

    assert type(failed.value) is expected


async def test_an_answer_that_drips_for_ever_ends_with_the_deadline():
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0)

    axis = Axis(httpx2.Response(200, content=drip()))
    deadlines = Deadlines(call_s=0.05, transfer_s=0.05)

    with pytest.raises(AxisOutcomeUnknown):
        await gateway(axis, deadlines=deadlines).waiting(MessageKind.DOCUMENT)


async def test_an_answer_has_a_limit_also_when_it_is_packed():
    bomb = gzip.compress(bytes(10**7))
    for content, headers in ((bytes(2000), {}), (bomb, {"Content-Encoding": "gzip"})):
        axis = Axis(httpx2.Response(200, stream=Raw(content), headers=headers))
        with pytest.raises(AxisReplyUnreadable):
            await gateway(axis, limits=ReplyLimits(reply_bytes=1000)).waiting(MessageKind.DOCUMENT)


async def test_a_package_has_a_limit():
    axis = Axis({**OK, "data": base64.b64encode(bytes(1000)).decode()})
    with pytest.raises(AxisReplyUnreadable):
        await gateway(axis, limits=ReplyLimits(package_bytes=999)).fetch("1", io.BytesIO())
