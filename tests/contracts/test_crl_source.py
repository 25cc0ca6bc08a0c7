"""What every CrlSource must do, whichever adapter provides it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from threading import Event

import pytest

from adapters.memory.pki import MemoryCrlSource
from adapters.pki.http import HttpCrlSource
from hub.application.leading import undisputed
from hub.application.ports import CrlSource
from hub.evidence.crls import CRL_BYTES_MAX
from tests.support.builders import run
from tests.support.timestamping import serving

Make = Callable[[Callable[[], bytes]], CrlSource]


def sending(
    answer: Callable[[], bytes], status: int = 200, **headers: str
) -> Callable[[BaseHTTPRequestHandler, bytes], None]:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(answer())

    return respond


@pytest.fixture(params=["memory", "http"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    with ExitStack() as stack:

        def over(answer: Callable[[], bytes]) -> CrlSource:
            if request.param == "memory":
                return MemoryCrlSource(answer)
            return HttpCrlSource(
                stack.enter_context(serving(sending(answer))), timeout_s=60, may_act=undisputed
            )

        yield over


def test_the_list_comes_byte_for_byte(make: Make):
    data = bytes(range(256))
    assert run(make(lambda: data).fetch()) == data


def test_the_largest_list_is_taken_and_no_larger_one(make: Make):
    assert len(run(make(lambda: bytes(CRL_BYTES_MAX)).fetch())) == CRL_BYTES_MAX
    with pytest.raises(OSError, match="more than"):
        run(make(lambda: bytes(CRL_BYTES_MAX + 1)).fetch())


def test_a_source_that_is_gone_is_an_oserror():
    source = MemoryCrlSource(bytes)
    source.is_gone = True
    with serving(sending(bytes)) as url:
        pass
    for gone in (source, HttpCrlSource(url, timeout_s=20, may_act=undisputed)):
        with pytest.raises(OSError, match="no connection"):
            run(gone.fetch())


# --- What only a network can do -----------------------------------------------------------


@pytest.mark.parametrize(
    ("respond", "why"),
    [
        (sending(bytes, 404), "status 404"),
        (sending(bytes, 302, Location="http://127.0.0.1:1/"), "status 302"),
        (lambda handler, _: handler.wfile.write(b"garbage\r\n\r\n"), "no connection"),
        (lambda handler, _: None, "no connection"),
    ],
)
def test_what_is_no_list_is_an_oserror(respond: Callable[..., None], why: str):
    with serving(respond) as url, pytest.raises(OSError, match=why):
        run(HttpCrlSource(url, timeout_s=20, may_act=undisputed).fetch())


def test_a_source_that_hangs_is_left_at_the_deadline():
    over = Event()
    with serving(lambda *_: over.wait() and None) as url:
        with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
            run(HttpCrlSource(url, timeout_s=0.2, may_act=undisputed).fetch())
        over.set()


@pytest.mark.parametrize("url", ["http://", "http://[::", "http://nowhere.invalid/crl"])
def test_an_address_that_leads_nowhere_is_an_oserror(url: str):
    with pytest.raises(OSError, match="no connection"):
        run(HttpCrlSource(url, timeout_s=20, may_act=undisputed).fetch())
