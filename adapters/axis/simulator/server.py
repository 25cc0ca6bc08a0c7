"""The simulated axis's HTTP: one connection for each call, as the vendor's clients have it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from adapters.axis.simulator.calls import (
    INTERNAL_ERROR,
    WRONG_CREDENTIALS,
    Answer,
    Body,
    Calls,
    failed,
)
from adapters.axis.simulator.faults import Fault, Faults
from adapters.axis.simulator.habits import Habits
from adapters.axis.simulator.signing import NotSigned, check
from adapters.axis.simulator.store import Store

_BLOCK_BYTES = 65536
_PACKAGE_BYTES_MAX = 6 * 1024**3
_SMALL_BYTES_MAX = 1024**2
_FILE_END = b"\r\n"
_FAULTS_PATH = "/simulator/faults"
_BEFORE = {Fault.LOST_REQUEST, Fault.ERROR_500, Fault.REFUSED_20}
_PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


class Simulator:
    """An axis that can be tried: its store, its faults and its habits are there to be changed."""

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], datetime],
        *,
        faults: Faults | None = None,
        habits: Habits | None = None,
    ) -> None:
        self.store = Store(folder, clock)
        self.faults = faults or Faults()
        self.habits = habits or Habits()
        self.calls = Calls(self.store, self.habits, clock)

    @contextmanager
    def listening(self, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
        """Answer calls at an address, which is given, until the block ends."""

        class Handler(_Handler):
            simulator = self

        server = _Server((host, port), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://{host}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients hang up all the time, and are made to."""


class _Handler(BaseHTTPRequestHandler):
    simulator: ClassVar[Simulator]
    # With 1.1 the base class answers `Expect: 100-continue`; without, clients wait 3 seconds.
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_POST(self) -> None:
        """Answer a call, or take a fault to come."""
        if self.path == _FAULTS_PATH:
            self._plan_faults()
        else:
            self._answer_call()

    def do_GET(self) -> None:
        """Answer the one call that is a GET."""
        self._answer_call()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""

    def _answer_call(self) -> None:
        self.close_connection = True
        # An endpoint that ends in a slash makes two of them; one may have a path of its own.
        call = self.path.partition("?")[0].rpartition("/")[2]
        is_file = call == "sendEdoc"
        body = self._body(is_file=is_file)
        try:
            fault = self.simulator.faults.next(call)
            self._reply(self._carried_out(call, body, fault), fault)
        finally:
            if body is not None and body.file is not None:
                body.file.unlink(missing_ok=True)

    def _carried_out(self, call: str, body: Body | None, fault: Fault | None) -> Answer:
        simulator = self.simulator
        raw = Answer(is_raw=True)
        if fault in _BEFORE or body is None or not simulator.calls.is_known(call):
            return failed(INTERNAL_ERROR, "Lỗi nội bộ")
        if (self.command == "GET") is not (call == "downloadEdoc"):
            return failed(INTERNAL_ERROR, "Sai phương thức")
        headers = {name.lower(): value.encode("latin-1") for name, value in self.headers.items()}
        try:
            signed = check(headers, simulator.store.secrets)
        except NotSigned:
            return raw if call == "downloadEdoc" else failed(WRONG_CREDENTIALS, "Sai SystemId")
        return simulator.calls.run(call, signed, body, fault)

    def _body(self, *, is_file: bool) -> Body | None:
        """The body, a package without its line end in a file; None where it is not whole."""
        try:
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            return None
        if not is_file:
            data = self.rfile.read(length) if 0 <= length <= _SMALL_BYTES_MAX else b""
            return Body(small=data) if len(data) == length else None
        return self._package(length - len(_FILE_END))

    def _package(self, length: int) -> Body | None:
        if not 0 <= length <= _PACKAGE_BYTES_MAX:
            return None
        path, digest = self.simulator.store.new_file(), hashlib.sha256()
        with path.open("wb") as file:
            left = length
            while left and (block := self.rfile.read(min(left, _BLOCK_BYTES))):
                left -= len(block)
                digest.update(block)
                file.write(block)
        if left or self.rfile.read(len(_FILE_END)) != _FILE_END:
            path.unlink()
            return None
        return Body(file=path, sha256=digest.digest())

    def _reply(self, answer: Answer, fault: Fault | None) -> None:
        match fault:
            case Fault.LOST_REQUEST | Fault.NO_REPLY:
                return
            case Fault.SLOW:
                time.sleep(self.simulator.faults.slow_s)
            case Fault.ERROR_500:
                self._send(500, b"")
                return
            case Fault.GATEWAY_PAGE:
                self._send(200, _PAGE, "text/html")
                return
            case Fault.EMPTY:
                self._send(200, b"")
                return
            case Fault.CUT_JSON:
                whole = b"".join(answer.pieces())
                self._send(200, whole[: len(whole) // 2])
                return
            case _:
                pass
        self._send_answer(answer, fault)

    def _send_answer(self, answer: Answer, fault: Fault | None) -> None:
        status = 500 if fault is Fault.ERROR_500_JSON else 200
        length = answer.length()
        self._head(status, length, "application/octet-stream" if answer.is_raw else None)
        left = length // 2 if fault is Fault.TRUNCATED else length
        for piece in answer.pieces():
            self.wfile.write(piece[:left])
            left -= min(left, len(piece))

    def _send(self, status: int, data: bytes, content_type: str | None = None) -> None:
        self._head(status, len(data), content_type)
        self.wfile.write(data)

    def _head(self, status: int, length: int, content_type: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type or "application/json")
        self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def _plan_faults(self) -> None:
        """`{"fault": "no-reply", "call": "sendEdoc", "times": 3}`, or `{"clear": true}`."""
        self.close_connection = True
        body = self._body(is_file=False)
        try:
            said = json.loads(body.small if body else b"")
            if said.get("clear"):
                self.simulator.faults.clear()
            else:
                fault, times = Fault(said["fault"]), int(said.get("times", 1))
                self.simulator.faults.plan(fault, str(said.get("call", "*")), times)
        except (ValueError, KeyError, TypeError, AttributeError):
            known = ", ".join(Fault)
            self._send(400, json.dumps({"error": f"a fault is one of {known}"}).encode())
            return
        self._send(200, b"{}")
