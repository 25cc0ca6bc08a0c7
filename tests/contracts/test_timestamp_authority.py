"""What every TimestampAuthority must do, whichever adapter provides it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event

import pytest

from adapters.memory.timestamp import MemoryTimestampAuthority
from adapters.timestamp.http import HttpTimestampAuthority
from hub.application.leading import undisputed
from hub.application.ports import TimestampAuthority
from hub.errors import VerificationFailed
from hub.evidence.chains import Revocation
from hub.evidence.tokens import ANSWER_BYTES_MAX, build_request, token_in, verify_token
from tests.support.builders import run
from tests.support.certomancer_pki import Pki
from tests.support.timestamping import replying, serving

Answer = Callable[[bytes], bytes]


class Made:
    """Makes an authority over an answer, and lets it be gone."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._open = []

    def over(self, answer: Answer) -> TimestampAuthority:
        if self._kind == "memory":
            return MemoryTimestampAuthority(answer)
        server = serving(replying(answer))
        self._open.append(server)
        return HttpTimestampAuthority(server.__enter__(), timeout_s=20, may_act=undisputed)

    def gone(self) -> TimestampAuthority:
        if self._kind == "memory":
            authority = MemoryTimestampAuthority(bytes)
            authority.is_gone = True
            return authority
        with serving(replying(bytes)) as url:
            return HttpTimestampAuthority(url, timeout_s=20, may_act=undisputed)

    def close(self) -> None:
        for server in self._open:
            server.__exit__(None, None, None)


@pytest.fixture(params=["memory", "http"])
def made(request: pytest.FixtureRequest) -> Iterator[Made]:
    made = Made(request.param)
    yield made
    made.close()


def test_the_request_goes_and_the_answer_comes_back_byte_for_byte(made: Made):
    authority = made.over(lambda request: request[::-1])
    request = bytes(range(256))
    assert run(authority.ask(request)) == request[::-1]


def test_the_largest_answer_is_taken_and_no_larger_one(made: Made):
    assert len(run(made.over(lambda _: bytes(ANSWER_BYTES_MAX)).ask(b"?"))) == ANSWER_BYTES_MAX
    with pytest.raises(OSError, match="more than"):
        run(made.over(lambda _: bytes(ANSWER_BYTES_MAX + 1)).ask(b"?"))


def test_an_authority_that_is_gone_is_an_oserror(made: Made):
    with pytest.raises(OSError, match=r"no (answer|connection)"):
        run(made.gone().ask(b"?"))


def test_the_authority_of_somebody_else_is_understood_as_of_any_date(tmp_path: Path):
    """Certomancer's: beside OpenSSL's, another that nobody here wrote."""
    pki, at = Pki(tmp_path), datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)
    message, nonce = b"a checkpoint", bytes(range(1, 17))
    with serving(replying(lambda request: pki.stamp(request, at))) as url:
        answer = run(
            HttpTimestampAuthority(url, timeout_s=20, may_act=undisputed).ask(
                build_request(message, nonce=nonce)
            )
        )

    found = verify_token(
        token_in(answer),
        message,
        nonce=nonce,
        anchors=[pki.certificate("root")],
        others=[pki.certificate("middle")],
        revocation=Revocation(tuple(pki.lists(at))),
    )

    assert found.gen_time == at
    assert found.chain.certificates[0] == pki.certificate("tsa")
    with pytest.raises(VerificationFailed):
        verify_token(token_in(answer), b"another", anchors=[pki.certificate("root")])


# --- What only a network can do -----------------------------------------------------------------


def answering(status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler, bytes], None]:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return respond


REPLY = {"Content_Type": "application/timestamp-reply"}


@pytest.mark.parametrize(
    ("respond", "why"),
    [
        (answering(500, **REPLY), "status 500"),
        (answering(302, Location="http://127.0.0.1:1/", **REPLY), "status 302"),
        (answering(200, Content_Type="text/html"), "no timestamp reply"),
        (answering(200), "no timestamp reply"),
        (lambda handler, _: handler.wfile.write(b"garbage\r\n\r\n"), "no connection"),
        (lambda handler, _: None, "no connection"),
    ],
)
def test_what_is_no_reply_is_an_oserror(respond: Callable[..., None], why: str):
    with serving(respond) as url, pytest.raises(OSError, match=why):
        run(HttpTimestampAuthority(url, timeout_s=20, may_act=undisputed).ask(b"?"))


def test_a_reply_that_is_packed_is_not_unpacked():
    def packed(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        answering(200, Content_Encoding="gzip", **REPLY)(handler, _)
        handler.wfile.write(b"\x1f\x8b as it is")

    with serving(packed) as url:
        answer = run(HttpTimestampAuthority(url, timeout_s=20, may_act=undisputed).ask(b"?"))
    assert answer == b"\x1f\x8b as it is"


@pytest.mark.parametrize("drips", [False, True])
def test_an_authority_that_hangs_or_drips_is_left_at_the_deadline(drips: bool):
    over = Event()

    def hang(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        if drips:
            answering(200, **REPLY)(handler, _)
        # Ended by the test, so nothing here depends on how long it takes.
        while not over.wait(0.01):
            if drips:
                try:
                    handler.wfile.write(b".")
                except OSError:
                    return

    with serving(hang) as url:
        with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
            run(HttpTimestampAuthority(url, timeout_s=0.2, may_act=undisputed).ask(b"?"))
        over.set()


@pytest.mark.parametrize("url", ["http://", "http://[::", "http://nowhere.invalid/tsa"])
def test_an_address_that_leads_nowhere_is_an_oserror(url: str):
    with pytest.raises(OSError, match="no connection"):
        run(HttpTimestampAuthority(url, timeout_s=20, may_act=undisputed).ask(b"?"))
