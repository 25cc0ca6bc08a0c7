"""`make bench`: what the hub reaches on this machine, beside what it could not exceed.

    python -m tests.bench [--only PART] [--sizes 10000,100000] [--rounds 7] [--json FILE]

Prints a table, writes the same as JSON, and as Markdown beside it. Exit status 0 whatever the
figures say: tests count, they do not take times.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from rich.console import Console

from tests.bench import attachments, fairness, pages, reading, several, stages, writing
from tests.bench.figures import Figure, markdown, print_table, report
from tests.bench.machine import machine
from tests.bench.place import SMOKE, Place, Scale

PARTS: dict[str, Callable[[Place], Awaitable[list[Figure]]]] = {
    module.PART: module.measured
    for module in (reading, pages, stages, writing, several, fairness, attachments)
}
_WIDTH = 130
_SMALLEST = 1000
# Processor time is counted in hundredths of a second: of few pages it would say nothing.
_PAGES_OF_MANY = 200


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> None:
    """Measure, print, write."""
    options = _parser().parse_args(arguments)
    scale = SMOKE if options.smoke else _scale(options)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    # Beside the result, on the same disk: what `/tmp` lies on may be memory.
    with TemporaryDirectory(prefix="bench-", dir=options.json.parent) as folder:
        begun = time.monotonic()
        before = machine()
        figures = asyncio.run(_measured(Path(folder), scale, options.only))
        about = before | {"load_after": machine()["load"]}
        about["seconds"] = round(time.monotonic() - begun)
    text = report(figures, about, scale)
    options.json.write_text(text, encoding="utf-8")
    options.json.with_suffix(".md").write_text(markdown(figures), encoding="utf-8")
    console = console or Console(width=_WIDTH)
    print_table(figures, console)
    for name, value in about.items():
        console.print(f"{name}: {value}", highlight=False)
    console.print(f"The same as JSON: {options.json}", highlight=False)


async def _measured(folder: Path, scale: Scale, only: Sequence[str]) -> list[Figure]:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    async with Place(folder, scale) as place:
        wanted = [measured for name, measured in PARTS.items() if not only or name in only]
        return [figure for measured in wanted for figure in await measured(place)]


def _scale(options: argparse.Namespace) -> Scale:
    scale = Scale(
        sizes=options.sizes,
        rounds=options.rounds,
        seconds=options.seconds,
        items=options.items,
        on_server=options.on_server,
        pages=_PAGES_OF_MANY if options.items else Scale.pages,
    )
    return replace(scale, rounds_of_reading=min(scale.rounds_of_reading, scale.rounds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only", type=_parts, default=(), metavar="PARTS", help=f"some of {','.join(PARTS)}"
    )
    parser.add_argument(
        "--sizes", type=_sizes, default=Scale.sizes, help="events in the logs that are read"
    )
    parser.add_argument(
        "--items",
        type=int,
        default=Scale.items,
        help="pages: an inbox of so many documents beside one of 1,000, both written straight",
    )
    parser.add_argument(
        "--on-server", action="store_true", help="pages: those of --items on a PostgreSQL"
    )
    parser.add_argument("--rounds", type=int, default=Scale.rounds)
    parser.add_argument(
        "--seconds", type=float, default=Scale.seconds, help="how long a part begins new rounds"
    )
    parser.add_argument("--json", type=Path, default=Path("build/bench/bench.json"))
    parser.add_argument("--smoke", action="store_true", help="everything once, tiny")
    return parser


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(part for part in text.split(",") if part)
    if not set(parts) <= PARTS.keys():
        raise argparse.ArgumentTypeError(f"parts are {', '.join(PARTS)}")
    return parts


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(sorted(int(size) for size in text.split(",")))
    if sizes[0] < _SMALLEST:
        raise argparse.ArgumentTypeError(f"a log has at least {_SMALLEST} events here")
    return sizes


if __name__ == "__main__":
    main()
