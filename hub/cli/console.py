"""What reaches the terminal: lines, tables and JSON, all of them harmless to it."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from hub.cli.messages import _
from hub.client.drafting import VIETNAM


def stdout() -> Console:
    """The console for what was asked for."""
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False)


def stderr() -> Console:
    """The console for everything beside it: errors, warnings, progress."""
    return Console(file=sys.stderr, markup=False, highlight=False, emoji=False)


def say(text: str, *, style: str = "", to: Console | None = None) -> None:
    """Print a line, wrapped between words at a terminal and never elsewhere."""
    console = to or stdout()
    console.print(Text(text, style), soft_wrap=not console.is_terminal)


def speaker() -> Callable[[str, str], None]:
    """What prints (line, style) as `say` does, for whoever has many thousands of lines."""
    console = stdout()
    if console.is_terminal:
        return lambda text, style: say(text, style=style, to=console)
    return lambda text, style: print(text)


def say_fields(fields: Iterable[tuple[str, str]], *, to: Console | None = None) -> None:
    """Print names with their values below each other; values stay whole, to be copied."""
    rows = list(fields)
    width = max(len(name) for name, _value in rows)
    console = to or stdout()
    for name, value in rows:
        line = Text.assemble("  ", (name.ljust(width), "dim"), "  ", value)
        console.print(line, soft_wrap=True)


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, indent: int = 0) -> None:
    """Print a table; cells wrap, nothing is cut off."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    stdout().print(Padding.indent(table, indent))


def say_json(data: Any, *, on_one_line: bool = False) -> None:
    """Print one JSON document."""
    # Whatever cannot be written in the terminal's encoding must still be JSON.
    plain = not (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    indent = None if on_one_line else 2
    print(json.dumps(data, ensure_ascii=plain, indent=indent), flush=on_one_line)


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, for a person only, moved on by calls with (done, total)."""
    console = stderr()
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def shown(text: str) -> str:
    """Foreign text without the signs that could rewrite what stands on the terminal."""
    return "".join("\ufffd" if unicodedata.category(sign)[0] == "C" else sign for sign in text)


def local_time(at: datetime) -> str:
    """An instant in Vietnam's time, as a person there writes it."""
    # Translators: the order of day, month and year.
    return at.astimezone(VIETNAM).strftime(_("%Y-%m-%d %H:%M"))


def size(count: int) -> str:
    """A number of bytes for a person."""
    if count < 10_000:
        return f"{count} B"
    if count < 10_000_000:
        return f"{count / 1000:.0f} kB"
    return f"{count / 1_000_000:.0f} MB"


def print_what_the_terminal_cannot_show_as_escapes() -> None:
    """Never fail for a sign that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
