"""`make soak`: a hub under half of what it can do, for an hour, and whether it stays as it is.

    python -m tests.bench.soak [--seconds 3600] [--warm 20] [--rate N] [--json FILE]

Documents come at fixed times, whatever became of those before: what a slow hub keeps waiting
counts. One in ten has an attachment, and one in ten is collected and reported on. Prints a line a
minute, and writes the same as JSON and as Markdown. At the end every receipt is verified, and
`fsck` run; what they find, and only that, makes the exit status 1: what is flat enough is for
people to say.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import grpc.aio
from rich.console import Console
from rich.table import Table

from hub.bootstrap.founding import SAMPLE_AGENCIES
from hub.proof.receipt import Receipt, verify_receipt
from hub.v1 import exchange_service_pb2 as calls
from hub.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from tests.bench.machine import machine
from tests.bench.sayings import envelope_of_2_kb
from tests.support.hubs import (
    Founded,
    HubProcess,
    Speaker,
    collection,
    described,
    findings_of,
    found,
    raw_channel,
    refusal_in,
    report,
    signed,
)

SENDER, RECIPIENT = (sample.code for sample in SAMPLE_AGENCIES[:2])
WAITING_AT_FIRST = 64
ONE_IN = 10
_ATTACHMENT_BYTES = 20_000
# Beyond it nothing more is sent before something is answered: our own memory is bounded too.
_OPEN_MAX = 2000
_DEADLINE_S = 60.0
_MINUTE_S = 60.0
_CHANNELS = 4


@dataclass
class Interval:
    """What happened in one minute. Times are from when a document was due to its receipt."""

    second: int
    sent: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    collected: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    slowest_ms: float = 0.0
    memory_mib: float = 0.0
    open_files: int = 0
    load: float = 0.0


class Receipts:
    """Every receipt that was given, in a file: an hour of them is more than memory should hold."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self.count = 0

    def keep(self, receipt: Any) -> None:
        """One more."""
        for part in (receipt.leaf, receipt.proof):
            data = part if isinstance(part, bytes) else part.encode()
            self._file.write(len(data).to_bytes(4, "big") + data)
        self.count += 1

    def broken(self, founded: Founded) -> int:
        """How many do not verify."""
        self._file.seek(0)
        trust, broken = founded.trust, 0
        for _ in range(self.count):
            leaf, proof = self._next(), self._next()
            try:
                verify_receipt(Receipt(leaf, proof), trust)
            except Exception as error:
                print(f"a receipt does not verify: {error}", file=sys.stderr)
                broken += 1
        return broken

    def _next(self) -> bytes:
        return self._file.read(int.from_bytes(self._file.read(4), "big"))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Soak:
    """A hub in a process of its own, one sender, one recipient."""

    def __init__(self, founded: Founded, hub: HubProcess, receipts: Receipts) -> None:
        self._hub = hub
        self._sender, self._recipient = (founded.speakers[each] for each in (SENDER, RECIPIENT))
        self._receipts = receipts
        self._open: set[asyncio.Task[None]] = set()
        self._times: list[float] = []
        self._now = Interval(0)
        self._number = 0

    async def connect(self, stack: AsyncExitStack) -> None:
        """Connections that stay, as those of agencies do."""
        self._senders = [
            ExchangeServiceStub(await self._channel(stack, self._sender)) for _ in range(_CHANNELS)
        ]
        self._collector = ExchangeServiceStub(await self._channel(stack, self._recipient))

    async def _channel(self, stack: AsyncExitStack, speaker: Speaker) -> grpc.aio.Channel:
        return await stack.enter_async_context(raw_channel(speaker.transport, self._hub.port))

    async def maximum(self, seconds: float) -> float:
        """Documents a second with so many always waiting."""
        begun = time.perf_counter()
        before = self._now.accepted

        async def one_after_the_other() -> None:
            while time.perf_counter() - begun < seconds:
                await self._send(time.perf_counter())

        await asyncio.gather(*(one_after_the_other() for _ in range(WAITING_AT_FIRST)))
        return (self._now.accepted - before) / (time.perf_counter() - begun)

    async def run(
        self, seconds: float, rate: float, interval_s: float, told: Callable[[Interval], None]
    ) -> list[Interval]:
        """Send at this rate for so long; one figure of everything each interval."""
        intervals: list[Interval] = []
        begun = time.perf_counter()
        self._begin(0)
        due = begun
        while (now := time.perf_counter()) < begun + seconds:
            if now - begun >= (len(intervals) + 1) * interval_s:
                told(self._end(intervals))
                self._begin(round(now - begun))
            if now < due or len(self._open) >= _OPEN_MAX:
                await asyncio.sleep(max(due - now, 0.001))
                continue
            self._start(self._send(due))
            due += 1 / rate
        while self._open:
            await asyncio.wait(self._open)
        told(self._end(intervals))
        return intervals

    def _begin(self, second: int) -> None:
        self._now, self._times = Interval(second), []

    def _end(self, intervals: list[Interval]) -> Interval:
        interval, times = self._now, sorted(self._times)
        if times:
            interval.p50_ms, interval.p99_ms, interval.slowest_ms = (
                round(times[min(len(times) - 1, int(len(times) * share))] * 1000, 1)
                for share in (0.5, 0.99, 1.0)
            )
        interval.memory_mib = round(_memory_kib(self._hub.pid) / 1024, 1)
        interval.open_files = len(os.listdir(f"/proc/{self._hub.pid}/fd"))
        # Of the whole machine: what others do there is no fault of the hub.
        interval.load = round(os.getloadavg()[0], 2)
        intervals.append(interval)
        return interval

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _send(self, due: float) -> None:
        self._number += 1
        number, stub = self._number, self._senders[self._number % _CHANNELS]
        envelope, contents = self._document(number)
        request = calls.SubmitDocumentRequest(envelope=envelope, contents=contents)
        self._now.sent += 1
        try:
            answer = await stub.SubmitDocument(request, timeout=_DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            self._now.refused[_reason(error)] += 1
            return
        self._times.append(time.perf_counter() - due)
        self._now.accepted += 1
        self._receipts.keep(answer.acceptance.receipt)
        if number % ONE_IN == 1:
            await self._take(hashlib.sha256(envelope.payload).digest())

    def _document(self, number: int) -> tuple[Any, list[bytes]]:
        contents = [os.urandom(_ATTACHMENT_BYTES)] if number % ONE_IN == 0 else []
        said = envelope_of_2_kb(self._sender, [self._recipient.code])
        said["document"]["number"] = str(number)
        said["document"]["attachments"] = [described(0, each) for each in contents]
        return signed(self._sender, said), contents

    async def _take(self, digest: bytes) -> None:
        """The recipient collects it, and says that it arrived."""
        stub, recipient = self._collector, self._recipient
        try:
            taken = await stub.CollectDocument(collection(recipient, digest), timeout=_DEADLINE_S)
            said = await stub.ReportStatus(report(recipient, digest), timeout=_DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            self._now.refused[_reason(error)] += 1
            return
        self._now.collected += 1
        for answer in (taken, said):
            self._receipts.keep(answer.acceptance.receipt)


async def soaked(folder: Path, options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Run it, then look at everything that is left."""
    founded = found(folder, samples=SAMPLE_AGENCIES[:2])
    with founded.folder.settings.open("a") as file:
        file.write("rate_per_agency = 1000000.0\nburst_per_agency = 1000000\n")
        file.write('document_signatures = "off"\nlog_level = "warning"\n')
    receipts = Receipts(folder / "receipts")
    async with HubProcess(founded) as hub, AsyncExitStack() as stack:
        soak = Soak(founded, hub, receipts)
        await soak.connect(stack)
        maximum = await soak.maximum(options.warm)
        rate = options.rate or max(1.0, maximum / 2)
        console.print(f"at most {maximum:.0f} documents/s; from now on {rate:.0f} documents/s")
        intervals = await soak.run(
            options.seconds, rate, options.interval, lambda each: console.print(_line(each))
        )
        ended = await hub.terminate()
    broken = receipts.broken(founded)
    receipts.close()
    findings = [str(each) for each in findings_of(founded.folder.root)]
    return {
        "maximum_per_s": round(maximum, 1),
        "rate_per_s": round(rate, 1),
        "intervals": [asdict(each) for each in intervals],
        "flat": {name: _flat(intervals, name) for name in ("memory_mib", "p50_ms", "p99_ms")},
        "receipts": receipts.count,
        "receipts_broken": broken,
        "fsck": findings,
        "exit_status": ended,
    }


def _flat(intervals: Sequence[Interval], name: str) -> float | None:
    """The middle of the last quarter by that of the first, its very first minute left out."""
    values = [float(getattr(each, name)) for each in intervals[1:]]
    quarter = len(values) // 4
    if not quarter or not (first := median(values[:quarter])):
        return None
    return round(median(values[-quarter:]) / first, 2)


def _reason(error: grpc.aio.AioRpcError) -> str:
    return refusal_in(error).reason or error.code().name


def _memory_kib(pid: int) -> int:
    found_in = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found_in[1]) if found_in else 0


def _line(each: Interval) -> str:
    refused = f", refused {dict(each.refused)}" if each.refused else ""
    return (
        f"{each.second:>5} s: {each.accepted} accepted, p50 {each.p50_ms} ms, "
        f"p99 {each.p99_ms} ms, {each.memory_mib} MiB, {each.open_files} files, "
        f"load {each.load}{refused}"
    )


def _markdown(run: dict[str, Any]) -> str:
    rows = ["| second | accepted | p50 ms | p99 ms | slowest ms | memory MiB | load | refused |"]
    rows.append("|---" * 8 + "|")
    for each in run["intervals"]:
        cells = [
            each[name]
            for name in (
                "second",
                "accepted",
                "p50_ms",
                "p99_ms",
                "slowest_ms",
                "memory_mib",
                "load",
            )
        ]
        refused = sum(each["refused"].values())
        rows.append("| " + " | ".join(map(str, [*cells, refused])) + " |")
    return "\n".join(rows) + "\n"


def _print(run: dict[str, Any], console: Console) -> None:
    table = Table(title="soak")
    for name in ("figure", "value"):
        table.add_column(name)
    for name in ("maximum_per_s", "rate_per_s", "receipts", "receipts_broken", "exit_status"):
        table.add_row(name, str(run[name]))
    for name, ratio in run["flat"].items():
        said = "too short to say" if ratio is None else str(ratio)
        table.add_row(f"{name}, last quarter ÷ first", said)
    table.add_row("fsck", "clean" if not run["fsck"] else "; ".join(run["fsck"]))
    console.print(table)


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> int:
    """Soak, print, write. 0 when every receipt verifies and `fsck` finds nothing."""
    options = _parser().parse_args(arguments)
    console = console or Console(width=120)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="soak-", dir=options.json.parent) as folder:
        before = machine()
        run = asyncio.run(soaked(Path(folder), options, console))
    run["machine"] = before | {"load_after": machine()["load"]}
    options.json.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    options.json.with_suffix(".md").write_text(_markdown(run), encoding="utf-8")
    _print(run, console)
    console.print(f"The same as JSON: {options.json}", highlight=False)
    return int(bool(run["receipts_broken"] or run["fsck"] or run["exit_status"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--warm", type=float, default=20.0, help="how long the maximum is measured")
    parser.add_argument("--rate", type=float, default=0.0, help="half of that if left out")
    parser.add_argument("--interval", type=float, default=_MINUTE_S)
    parser.add_argument("--json", type=Path, default=Path("build/soak/soak.json"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
