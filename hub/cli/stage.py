"""What the demo plays on: a folder, a terminal, and real processes that always end."""

from __future__ import annotations

import os
import select
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.padding import Padding
from rich.text import Text

from hub.cli.console import say, stdout
from hub.cli.errors import CommandFailed
from hub.cli.messages import Language, _

HUB_LOG = "hub.log"

# Far beyond what any step needs; a demo that hangs proves nothing.
_STEP_S = 180.0
_INDENT = "    "


class Stage:
    """One demo in one folder. Commands run in that folder, so that their lines are short."""

    def __init__(self, folder: Path, language: Language) -> None:
        self.folder = folder
        self._environment = _environment(language, width=stdout().width - len(_INDENT))
        self._step = 0

    def step(self, title: str, text: str) -> None:
        """Say what comes next, and why it matters."""
        self._step += 1
        say("")
        say(f"{self._step}. {title}", style="bold cyan")
        say(text)

    def run(
        self,
        *arguments: str,
        by: str = "",
        profile: Path | None = None,
        expect: int = 0,
        lines_max: int | None = None,
    ) -> str:
        """Show a `lienthong` command and what it says; raise CommandFailed if it ends otherwise.

        Of more than `lines_max` lines the first and the last are shown.
        """
        self.show_command(f"lienthong {shlex.join(arguments)}", by=by)
        more = {} if profile is None else {"LIENTHONG_PROFILE": str(profile)}
        ended = self.call(_LIENTHONG, arguments, more)
        self.show_output(ended.stdout, lines_max)
        require(
            ended.returncode == expect,
            _("The command ended with {status}, not {expected}.", status=ended.returncode,
              expected=expect),
        )  # fmt: skip
        return ended.stdout

    def ask(self, arguments: Sequence[str], profile: Path) -> str:
        """What a `lienthong` command says, without showing it."""
        return self.call(_LIENTHONG, arguments, {"LIENTHONG_PROFILE": str(profile)}).stdout

    def call(
        self, program: Sequence[str], arguments: Sequence[str], more: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, out and err in one."""
        return subprocess.run(  # noqa: S603 - this very Python, with our own arguments
            [*program, *arguments],
            cwd=self.folder,
            env={**self._environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=_STEP_S,
            check=False,
        )

    def show_command(self, command: str, *, by: str = "") -> None:
        """Show a command as it would be typed."""
        _indented(f"{by}$ {command}", "bold")

    def show_output(self, output: str, lines_max: int | None = None) -> None:
        """Show what a command said; of more than `lines_max` lines the first and the last."""
        lines = output.splitlines()
        if lines_max is not None and len(lines) > lines_max:
            lines = [*lines[: lines_max - 2], "…", lines[-1]]
        for line in lines:
            _indented(line, "dim")

    @contextmanager
    def serving(self, hub: str) -> Iterator[Served]:
        """A hub that serves; stopped at the end of the block however that is reached."""
        with self.running("serve", hub) as served:
            yield served

    @contextmanager
    def running(self, *arguments: str, lines: int = 1) -> Iterator[Served]:
        """A command that goes on and says so in its first lines; ended as `serving` is."""
        self.show_command(f"lienthong {shlex.join(arguments)}")
        with (self.folder / HUB_LOG).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - likewise
                [*_LIENTHONG, *arguments],
                cwd=self.folder,
                # The PDF carries no signature of its own: a verdict on that, whenever it came,
                # would move the positions that are told.
                env={**self._environment, "LIENTHONG_DOCUMENT_SIGNATURES": "off"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
            )
        served = Served(process)
        try:
            for _line in range(lines):
                self.show_output(served.next_line())
            yield served
        finally:
            served.kill()


class Served:
    """A hub's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def next_line(self) -> str:
        """A line in which it says where it listens. Raises CommandFailed when none comes."""
        line = b""
        out = self._process.stdout
        while out and not line.endswith(b"\n") and select.select([out], [], [], _STEP_S)[0]:
            # Byte by byte: what a buffer has read ahead, `select` does not know of.
            byte = os.read(out.fileno(), 1)
            if not byte:
                break
            line += byte
        require(bool(line), _("The hub does not listen; its log is {log}.", log=HUB_LOG))
        return line.decode("utf-8", "replace")

    def stop(self) -> int:
        """Ask it to stop, as an operator does, and return its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_STEP_S)

    def kill(self) -> None:
        """See to it that nothing is left, whatever happened before."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def _indented(line: str, style: str) -> None:
    console = stdout()
    if console.is_terminal:
        console.print(Padding.indent(Text(line, style), len(_INDENT)))
    else:
        console.print(Text(_INDENT + line, style), soft_wrap=True)


def require(condition: bool, what_went_wrong: str) -> None:
    """Raise CommandFailed when a step did not come out as it was told."""
    if not condition:
        raise CommandFailed(
            "DEMO_FAILED",
            what_went_wrong,
            _("Look at what the step above said; everything is left as it was."),
        )


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# The folder we stand in holds whatever the demo made, so nothing is imported from there.
_PYTHON = (sys.executable, "-P", "-m")
_LIENTHONG = (*_PYTHON, "hub.cli.main")
AUDITORS_TOOL = (*_PYTHON, "hub.proof")


def _environment(language: Language, width: int) -> dict[str, str]:
    """Ours, without what would lead the demo's processes elsewhere."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("LIENTHONG_")}
    source = Path(__file__).parents[2]
    return {
        **inherited,
        "LIENTHONG_LANG": language,
        "COLUMNS": str(width),
        "NO_COLOR": "1",
        # A proxy for the world outside must not come between two processes of one machine.
        "no_proxy": "127.0.0.1",
        "PYTHONUTF8": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(source), inherited.get("PYTHONPATH")])),
    }
