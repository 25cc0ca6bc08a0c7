"""The provincial gateway keeps the same promises over a login, a token and other words."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from datetime import date
from typing import Any

import httpx2
import pytest

from adapters.axis.provincial.gateway import ProvincialAxis, ProvincialSettings
from hub.application.axis import (
    AxisOutcomeUnknown,
    AxisRefused,
    AxisReplyUnreadable,
    MessageKind,
    PackageChanged,
    TransportState,
)
from hub.application.leading import undisputed

PACKAGE = b"<edXML>g\xc3\xb3i</edXML>\r\n"
LOGGED_IN = {"success": True, "data": {"token": "t-1"}}
OK = {"success": True, "data": None}


class Raw(httpx2.AsyncByteStream):
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


class Wrapper:
    """A wrapper whose answers are scripted; logins are answered apart."""

    def __init__(self, *answers: Any, logins: Any = (LOGGED_IN,)) -> None:
        self.answers, self.logins = list(answers), list(logins)
        self.requests: list[tuple[httpx2.Request, bytes]] = []
        self.login_requests: list[bytes] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        if request.url.path == "/v1/login":
            self.login_requests.append(body)
            answer = self.logins.pop(0) if len(self.logins) > 1 else self.logins[0]
        else:
            self.requests.append((request, body))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return httpx2.Response(answer, stream=Raw(b"{}"))
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return httpx2.Response(200, stream=Raw(data))


def gateway(wrapper: Wrapper, secrets: tuple[str, ...] = ("s3cret",)) -> ProvincialAxis:
    settings = ProvincialSettings(
        endpoint="https://lgsp.example/",
        system_id="LS.01",
        user="vanthu",
        application="qlvb",
        secrets=secrets,
        password="p4ss",
    )
    return ProvincialAxis(settings, httpx2.MockTransport(wrapper), may_act=undisputed)


def prepared(axis: ProvincialAxis) -> Any:
    return axis.prepare(MessageKind.DOCUMENT, io.BytesIO(PACKAGE), sender="A.H99")


CALLS: dict[str, Callable[[ProvincialAxis], Any]] = {
    "waiting": lambda axis: axis.waiting(MessageKind.DOCUMENT),
    "fetch": lambda axis: axis.fetch("1", io.BytesIO()),
    "send": lambda axis: axis.send(prepared(axis), io.BytesIO(PACKAGE)),
    "mark": lambda axis: axis.mark("1", TransportState.DONE),
}


async def test_it_logs_in_once_and_shows_its_token_and_its_secret():
    wrapper = Wrapper({"success": True, "data": []})
    ours = gateway(wrapper)

    await ours.waiting(MessageKind.STATUS, since=date(2026, 11, 1))
    await ours.waiting(MessageKind.STATUS)

    assert [json.loads(body) for body in wrapper.login_requests] == [
        {"userName": "vanthu", "password": "p4ss", "appCode": "qlvb"}
    ]
    request = wrapper.requests[0][0]
    assert str(request.url) == (
        "https://lgsp.example/v1/syncReceivedEdocList?messageType=status&fromDate=2026%2F11%2F01"
    )
    assert request.headers["Authorization"] == "Bearer t-1"
    assert request.headers["X-SystemId"] == "LS.01"
    assert request.headers["X-SecretKey"] == "s3cret"


async def test_a_package_comes_and_goes_to_the_byte():
    wrapper = Wrapper(
        {"success": True, "data": base64.b64encode(PACKAGE).decode()},
        {"success": True, "data": {"docId": 77}},
        OK,
    )
    ours, into = gateway(wrapper), io.BytesIO()

    assert await ours.fetch("1 2", into) == len(PACKAGE)
    assert into.getvalue() == PACKAGE
    assert wrapper.requests[0][0].url.query == b"docId=1+2"
    assert await ours.send(prepared(ours), io.BytesIO(PACKAGE)) == "77"
    request, body = wrapper.requests[1]
    boundary = request.headers["Content-Type"].partition("boundary=")[2]
    assert int(request.headers["Content-Length"]) == len(body)
    parts = body.split(f"--{boundary}".encode())
    assert parts[-1] == b"--\r\n"
    assert parts[-2].endswith(b"\r\n\r\n" + PACKAGE + b"\r\n")
    assert b'name="messageType"\r\n\r\nedoc\r\n' in body
    await ours.mark("77", TransportState.FAIL)
    assert json.loads(wrapper.requests[2][1]) == {"docId": "77", "status": "fail"}


async def test_what_is_recorded_holds_neither_token_nor_secret_and_is_repeated_to_the_byte():
    wrapper = Wrapper(httpx2.ReadError("lost"), {"success": True, "data": {"docId": "77"}})
    ours = gateway(wrapper)
    request = prepared(ours)
    with pytest.raises(AxisOutcomeUnknown):
        await ours.send(request, io.BytesIO(PACKAGE))

    assert await gateway(wrapper).send(request, io.BytesIO(PACKAGE)) == "77"

    (first, first_body), (second, second_body) = wrapper.requests
    assert first.headers.raw == second.headers.raw
    assert first_body == second_body
    assert not any(each in request.request for each in (b"s3cret", b"p4ss", b"t-1"))


async def test_a_token_that_has_expired_is_renewed_once():
    wrapper = Wrapper(
        401,
        {"success": True, "data": []},
        logins=(LOGGED_IN, {"success": True, "data": "t-2"}),
    )
    ours = gateway(wrapper)

    await ours.waiting(MessageKind.DOCUMENT)

    assert [r.headers["Authorization"] for r, _body in wrapper.requests] == [
        "Bearer t-1",
        "Bearer t-2",
    ]
    wrapper.answers = [401]
    with pytest.raises(AxisReplyUnreadable):
        await ours.waiting(MessageKind.DOCUMENT)
    assert len(wrapper.requests) == 4


async def test_while_the_secret_is_changed_the_other_one_is_tried_and_then_preferred():
    wrapper = Wrapper({"success": False, "errorCode": 15}, {"success": True, "data": []})
    ours = gateway(wrapper, ("new", "old"))

    await ours.waiting(MessageKind.DOCUMENT)
    await ours.waiting(MessageKind.DOCUMENT)

    assert [r.headers["X-SecretKey"] for r, _body in wrapper.requests] == ["new", "old", "old"]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b'{"data":[]}', b'{"success":"true","data":[]}', 500, 204]
)
async def test_a_bad_answer_is_never_taken_for_success_or_for_nothing_new(name: str, answer: Any):
    with pytest.raises(AxisReplyUnreadable):
        await CALLS[name](gateway(Wrapper(answer)))


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"mark"}))
async def test_success_without_what_was_asked_for_is_no_success(name: str):
    with pytest.raises(AxisReplyUnreadable):
        await CALLS[name](gateway(Wrapper(OK)))


@pytest.mark.parametrize("name", CALLS)
async def test_a_stated_failure_is_a_refusal_with_its_code(name: str):
    wrapper = Wrapper({"success": False, "errorCode": "18", "message": "Không có đơn vị"})

    with pytest.raises(AxisRefused) as refused:
        await CALLS[name](gateway(wrapper))

    assert (refused.value.code, refused.value.description) == ("18", "Không có đơn vị")


@pytest.mark.parametrize(
    "login", [b"", {"success": True, "data": {}}, {"success": True, "data": "a\nb"}]
)
async def test_without_a_token_nothing_is_asked(login: Any):
    wrapper = Wrapper(OK, logins=(login,))
    with pytest.raises(AxisReplyUnreadable):
        await gateway(wrapper).waiting(MessageKind.DOCUMENT)
    assert wrapper.requests == []


async def test_what_a_wrapper_does_not_offer_is_said():
    ours = gateway(Wrapper(OK))

    assert await ours.relayed(MessageKind.DOCUMENT, "1") is None
    assert await ours.count(MessageKind.DOCUMENT) is None
    assert await ours.agencies() is None


async def test_another_package_is_not_sent_under_a_prepared_request():
    ours = gateway(Wrapper(OK))
    with pytest.raises(PackageChanged):
        await ours.send(prepared(ours), io.BytesIO(b"other"))


def test_a_sender_that_would_break_out_of_its_field_is_refused():
    with pytest.raises(ValueError):
        gateway(Wrapper(OK)).prepare(MessageKind.DOCUMENT, io.BytesIO(b"x"), sender="A\r\nB")


@pytest.mark.parametrize("secrets", [(), ("",), ("a", "b", "c")])
def test_there_are_one_or_two_secrets(secrets: tuple[str, ...]):
    with pytest.raises(ValueError):
        gateway(Wrapper(OK), secrets)
