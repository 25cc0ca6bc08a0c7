"""Processes that start at once: forked off one that has imported a whole hub already.

Importing it takes a second, and the tests start hundreds of processes. What is forked is what
`python -m MODULE` would be: a process of its own, with its own environment, standard streams and
exit status, that is killed and stopped like any other. It only finds loaded what the module needs,
though not the module itself. `tests/integration/test_forks.py` holds one against the other.
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
# What is run: loaded with all that it needs, then forgotten, so that each process loads its own.
_MODULES = ("hub.cli.main", "tests.support.serve")
# What commands import only when they run.
_PACKAGES = ("hub.cli", "hub.bootstrap")
_OF_OTHERS = ("_strptime", "rich.markdown", "typer._adapters", "typer.rich_utils")
_REQUEST_BYTES_MAX = 1 << 17


class Forked:
    """A process with the part of `subprocess.Popen` that tests use; what it says is UTF-8."""

    def __init__(
        self,
        module: str,
        *arguments: object,
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: IO[Any] | int = subprocess.PIPE,
        stderr: IO[Any] | int = subprocess.PIPE,
    ) -> None:
        """Start `python -m module arguments`. `env` is the whole environment if given."""
        self.returncode: int | None = None
        self.stdin, read = _writing(stdin)
        self.stdout, out = _reading(stdout)
        self.stderr, err = (None, os.dup(out)) if stderr == subprocess.STDOUT else _reading(stderr)
        request = {
            "module": module,
            "arguments": [str(argument) for argument in arguments],
            "environment": dict(os.environ if env is None else env),
            "folder": os.getcwd(),
        }
        self._ended, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = [read, out, err, theirs.detach()]
        try:
            _send(_nursery(), request, given)
        finally:
            for number in given:
                os.close(number)
        self.pid = int(self._told())

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self.returncode is None and select.select([self._ended], [], [], 0)[0]:
            self.returncode = int(self._told())
            self._ended.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises subprocess.TimeoutExpired."""
        if self.returncode is None and not select.select([self._ended], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        status = self.poll()
        assert status is not None
        return status

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it says until it ends. Raises subprocess.TimeoutExpired."""
        heard: dict[str, str] = {}

        def hear(name: str, stream: IO[str]) -> None:
            with stream:
                heard[name] = stream.read()

        open_streams = {
            name: stream
            for name, stream in (("out", self.stdout), ("err", self.stderr))
            if stream is not None and not stream.closed
        }
        if self.stdin is not None:
            self.stdin.close()
        listeners = [
            threading.Thread(target=hear, args=each, daemon=True) for each in open_streams.items()
        ]
        for listener in listeners:
            listener.start()
        self.wait(timeout)
        for listener in listeners:
            # What it has started itself may hold on to its output, and be heard for ever.
            listener.join(timeout)
            assert not listener.is_alive(), "it has ended, but somebody else writes its output"
        return heard.get("out", ""), heard.get("err", "")

    def send_signal(self, number: int) -> None:
        """Nothing if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _told(self) -> bytes:
        told = self._ended.recv(32)
        assert told, "the process that all others are forked off has ended"
        return told


def run_forked(
    module: str, *arguments: object, timeout: float, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module arguments` to its end, or kill it and raise TimeoutExpired."""
    process = Forked(module, *arguments, **more)
    try:
        out, err = process.communicate(timeout)
    finally:
        process.kill()
    assert process.returncode is not None
    return subprocess.CompletedProcess([module, *arguments], process.returncode, out, err)


def _reading(wanted: IO[Any] | int) -> tuple[IO[str] | None, int]:
    """Our end of an output of the process, if there is one, and its end."""
    if wanted == subprocess.PIPE:
        ours, theirs = os.pipe()
        return open(ours, encoding="utf-8"), theirs
    return None, _opened(wanted)


def _writing(wanted: int) -> tuple[IO[str] | None, int]:
    if wanted == subprocess.PIPE:
        theirs, ours = os.pipe()
        return open(ours, "w", encoding="utf-8"), theirs
    return None, _opened(wanted)


def _opened(wanted: IO[Any] | int) -> int:
    if wanted == subprocess.DEVNULL:
        return os.open(os.devnull, os.O_RDWR)
    return os.dup(wanted if isinstance(wanted, int) else wanted.fileno())


@cache
def _nursery() -> socket.socket:
    """The process that forks, started when it is first needed; it ends when we do."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        number = theirs.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forks", str(number)],
            cwd=ROOT, pass_fds=[number], stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _send(to: socket.socket, request: Mapping[str, Any], files: list[int]) -> None:
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))
    to.sendmsg([json.dumps(request).encode()], [rights])


# --- In the process that forks ----------------------------------------------------------


def _load() -> None:
    for package in _PACKAGES:
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            importlib.import_module(f"{package}.{module.name}")
    for name in _OF_OTHERS:
        importlib.import_module(name)
    for name in _MODULES:
        importlib.import_module(name)
        del sys.modules[name]
    gc.collect()
    # What is shared with the forks stays shared: collecting garbage would touch it all.
    gc.freeze()


def _next_child(requests: socket.socket) -> Callable[[], None]:
    """Fork for each request. Returns only in a forked process: what it has to do."""
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            _tell_who_ended(running)
        if requests not in ready:
            continue
        data, files, _, _ = socket.recv_fds(requests, _REQUEST_BYTES_MAX, 4)
        if not data:
            raise SystemExit
        if (pid := os.fork()) == 0:
            return lambda: _become(json.loads(data), files)
        ended = socket.socket(fileno=files.pop())
        for number in files:
            os.close(number)
        running[pid] = ended
        ended.send(str(pid).encode())


def _tell_who_ended(running: dict[int, socket.socket]) -> None:
    for pid in list(running):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            with running.pop(pid) as ended:
                ended.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, Any], files: list[int]) -> None:
    """Be what `python -m` would have made."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A shell that runs us beside its own work has it ignored, and whoever types has not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, given in enumerate(files[:3]):
        os.dup2(given, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    # Open as long as the process is.
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    sys.argv = [request["module"], *request["arguments"]]
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as wanted:
        # Anything else is the interpreter's to print.
        _end(wanted.code)
    _end(None)


def _end(code: object) -> None:
    """End as the interpreter does, but for taking all modules apart: that takes as long again."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for the threads
    atexit._run_exitfuncs()
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    _load()
    _next_child(socket.socket(fileno=int(sys.argv[1])))()
