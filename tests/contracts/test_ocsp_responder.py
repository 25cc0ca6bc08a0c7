"""What every OcspResponder must do, whichever adapter provides it."""

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Any
from urllib.parse import unquote

import pytest

from adapters.memory.pki import MemoryOcspResponder
from adapters.pki.ocsp import HttpOcspResponder
from hub.application.leading import undisputed
from hub.application.ports import OcspResponder
from hub.evidence.ocsp import ANSWER_BYTES_MAX
from tests.support.builders import run
from tests.support.timestamping import Respond, serving

QUESTION = bytes(range(120))
Make = Callable[[Callable[[bytes], bytes]], OcspResponder]


def sending(
    answer: Callable[[bytes], bytes],
    status: int = 200,
    media_type: str = "application/ocsp-response",
    **headers: str,
) -> Respond:
    def respond(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        handler.send_response(status)
        for name, value in {"Content_Type": media_type, **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(answer(request or asked_by_get(handler.path)))

    return respond


def asked_by_get(path: str) -> bytes:
    return base64.b64decode(unquote(path.rpartition("/")[2]))


@pytest.fixture(params=["memory", "post", "get"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    with ExitStack() as stack:

        def over(answer: Callable[[bytes], bytes]) -> OcspResponder:
            if request.param == "memory":
                return MemoryOcspResponder(answer)
            url = stack.enter_context(serving(sending(answer)))
            return HttpOcspResponder(
                url, timeout_s=60, cached=request.param == "get", may_act=undisputed
            )

        yield over


def test_the_question_goes_and_the_answer_comes_byte_for_byte(make: Make):
    asked: list[bytes] = []
    responder = make(lambda question: asked.append(question) or question[::-1])
    assert run(responder.ask(QUESTION)) == QUESTION[::-1]
    assert asked == [QUESTION]


def test_the_largest_answer_is_taken_and_no_larger_one(make: Make):
    assert len(run(make(lambda _: bytes(ANSWER_BYTES_MAX)).ask(QUESTION))) == ANSWER_BYTES_MAX
    with pytest.raises(OSError, match="more than"):
        run(make(lambda _: bytes(ANSWER_BYTES_MAX + 1)).ask(QUESTION))


def test_a_responder_that_is_gone_is_an_oserror():
    responder = MemoryOcspResponder(lambda _: b"")
    responder.is_gone = True
    with serving(sending(lambda _: b"")) as url:
        pass
    for gone in (responder, HttpOcspResponder(url, timeout_s=20, may_act=undisputed)):
        with pytest.raises(OSError, match="no connection"):
            run(gone.ask(QUESTION))


# --- What only a network can do -----------------------------------------------------------


def test_a_question_that_is_too_long_for_an_address_is_posted():
    methods: list[str] = []

    def respond(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        methods.append(handler.command)
        sending(lambda _: b"answer")(handler, request)

    with serving(respond) as url:
        responder = HttpOcspResponder(url, timeout_s=20, cached=True, may_act=undisputed)
        for question in (QUESTION, bytes(300)):
            assert run(responder.ask(question)) == b"answer"
    assert methods == ["GET", "POST"]


@pytest.mark.parametrize(
    ("respond", "why"),
    [
        (sending(lambda _: b"", 404), "status 404"),
        (sending(lambda _: b"", 302, Location="http://127.0.0.1:1/"), "status 302"),
        (sending(lambda _: b"<html>", media_type="text/html"), "no OCSP answer"),
        (lambda handler, _: handler.wfile.write(b"garbage\r\n\r\n"), "no connection"),
        (lambda handler, _: None, "no connection"),
    ],
)
def test_what_is_no_answer_is_an_oserror(respond: Respond, why: str):
    with serving(respond) as url, pytest.raises(OSError, match=why):
        run(HttpOcspResponder(url, timeout_s=20, may_act=undisputed).ask(QUESTION))


def test_a_responder_that_hangs_or_drips_is_left_at_the_deadline():
    over = Event()

    def dripping(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/ocsp-response")
        handler.end_headers()
        while not over.wait(0.02):
            handler.wfile.write(b"0")
            handler.wfile.flush()

    hanging: list[Any] = [lambda *_: over.wait() and None, dripping]
    for respond in hanging:
        over.clear()
        with serving(respond) as url:
            with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
                run(HttpOcspResponder(url, timeout_s=0.2, may_act=undisputed).ask(QUESTION))
            over.set()


@pytest.mark.parametrize("url", ["http://", "http://[::", "http://nowhere.invalid/ocsp"])
def test_an_address_that_leads_nowhere_is_an_oserror(url: str):
    with pytest.raises(OSError, match="no connection"):
        run(HttpOcspResponder(url, timeout_s=20, may_act=undisputed).ask(QUESTION))
