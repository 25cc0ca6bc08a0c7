"""Reading a log of two sizes: replay, fsck, rebuild, export, its check, receipts, a start."""

from __future__ import annotations

import io
import itertools
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, redirect_stdout
from functools import partial
from pathlib import Path

from hub.application.exchanges import evidence_of
from hub.auditor.client import AuditClient
from hub.auditor.ranges import Wanted
from hub.bootstrap.check import check_hub
from hub.bootstrap.core import Core
from hub.bootstrap.export import export_hub
from hub.bootstrap.reading import open_log as open_stored_log
from hub.bootstrap.reading import open_stores
from hub.bootstrap.rebuild import rebuild
from hub.cli.log_source import reading
from hub.config import Settings
from hub.ledger.sequencer import read_entries
from hub.proof import __main__ as auditors_tool
from hub.proof.checkpoint import open_checkpoint
from hub.proof.evidence import Enrolment, ReceiptFile
from hub.proof.frontier import Frontier
from hub.proof.tiles import check_log, open_log
from tests.bench.figures import Figure, Measure, interleaved, ratios
from tests.bench.place import Place, Scale
from tests.support.hubs import Founded, HubProcess

PART = "read"
_STATEMENT_TOPICS = frozenset({"hub.Exchange.DocumentSubmitted", "hub.Delivery.StatusReported"})
_SCAN = "SELECT position, aggregate_id, version, topic, state FROM events ORDER BY position"
_FOLDERS = 4


async def measured(place: Place) -> list[Figure]:
    """All figures of this part."""
    scale = place.scale
    figures: list[Figure] = []
    sizes = [_opened(place, hub) for hub in place.grown()]
    measures: dict[str, Measure] = {}
    for size in sizes:
        measures |= {f"{name}/{size.events}": each for name, each in size.measures().items()}
    # What takes a minute at the largest size is not begun again when the time is over.
    values = await interleaved(
        measures, rounds=scale.rounds_of_reading, seconds=scale.seconds * 1.5
    )
    for name in sizes[0].measures():
        for size in sizes:
            figures.append(_figure(name, size, values[f"{name}/{size.events}"]))
            if name == "replay":
                share = ratios(figures[-1].values, values[f"bare scan/{size.events}"])
                label = _labelled("replay ÷ bare scan", size.events)
                figures.append(Figure(PART, label, "×", share, at_least=0.35))
        large, small = (values[f"{name}/{size.events}"] for size in (sizes[-1], sizes[0]))
        figures.append(Figure(PART, f"{name}, most ÷ fewest events", "×", ratios(large, small)))
    figures += await _by_processes(sizes[-1], scale)
    made = Figure(PART, "log made, in process", "events/s", place.grown_per_s)
    return [made, *figures]


async def _by_processes(size: _Size, scale: Scale) -> list[Figure]:
    """Every signature verified, by one process and by two."""
    measures: dict[str, Measure] = {str(n): partial(size.verification, n) for n in (1, 2)}
    values = await interleaved(measures, rounds=scale.rounds_of_reading, seconds=scale.seconds)
    name = "offline verification, every signature, by 2 processes"
    share = ratios(values["2"], values["1"])
    return [
        Figure(PART, name, "receipts/s", values["2"]),
        Figure(PART, f"{name} ÷ 1", "×", share, at_least=1.6),
    ]


_TARGETS = {
    "replay": 100_000.0,
    "rebuild all projections": 20_000.0,
    "offline verification of a folder": 3_000.0,
}


def _figure(name: str, size: _Size, values: Sequence[float]) -> Figure:
    unit = "s" if name.startswith("start") else "events/s"
    unit = "receipts/s" if name.startswith("offline") else unit
    label, a_core = _labelled(name, size.events), size.a_core.get(name, ())
    return Figure(PART, label, unit, values, at_least=_TARGETS.get(name), a_core=a_core)


def _labelled(name: str, events: int) -> str:
    return f"{name}, {events:,} events"


class _Size:
    """The measurements over one hub, which nobody serves."""

    def __init__(self, place: Place, hub: Founded, receipts: Path, receipt_count: int) -> None:
        self.place = place
        self.hub = hub
        self.events = place.events(hub)
        self._receipts = receipts
        self._receipt_count = receipt_count
        self._exports = itertools.count()
        self._process: HubProcess | None = None
        self.a_core: dict[str, list[float]] = {}

    def measures(self) -> dict[str, Measure]:
        """Each by its name."""
        works: dict[str, Callable[[], None]] = {
            "bare scan": self._scan,
            "replay": self._replay,
            "check at start": self._check_at_start,
            "fsck": self._fsck,
            "rebuild all projections": self._rebuild,
            "export": self._export,
            "verify-export": self._verify_export,
            "offline verification of a folder": self._verify_folder,
        }
        return {name: partial(self._rate, name, work) for name, work in works.items()} | {
            "start of the process": self._start,
            "AuditService stream, verified by its client": self._stream,
        }

    async def verification(self, processes: int) -> float:
        """Receipt files a second; many, so that the start of the processes hardly counts."""
        begun = time.perf_counter()
        self._verify_folder(processes, _FOLDERS)
        return self._receipt_count * _FOLDERS / (time.perf_counter() - begun)

    async def _rate(self, name: str, work: Callable[[], None]) -> float:
        count = self._receipt_count if work == self._verify_folder else self.events
        begun, cpu_begun = time.perf_counter(), time.process_time()
        work()
        self.a_core.setdefault(name, []).append(count / (time.process_time() - cpu_begun))
        return count / (time.perf_counter() - begun)

    def _scan(self) -> None:
        uri = f"file:{self.hub.folder.database}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            _require(sum(1 for _ in connection.execute(_SCAN)) == self.events)

    def _replay(self) -> None:
        """Read, check positions, hash leaves, rebuild the root, hold it against the signed one."""
        settings = Settings.load(self.hub.folder.root)
        with open_stored_log(self.hub.folder, settings) as (log, store):
            frontier = Frontier()
            for chunk in read_entries(log, 0, self.events):
                frontier.extend(entry.state for entry in chunk)
            newest = store.latest_checkpoint()
            assert newest is not None
            keys = [key.key for each in self.hub.trust.logs for key in each.keys]
            signed = open_checkpoint(newest[1], log_keys=keys, origin=settings.origin)
            _require((signed.size, signed.root) == (self.events, frontier.root()))

    def _check_at_start(self) -> None:
        with self.place.core(self.hub) as core:
            core.engine.load()

    def _fsck(self) -> None:
        with open_stores(self.hub.folder, Settings.load(self.hub.folder.root)) as stores:
            _require(list(check_hub(stores)) == [])

    def _rebuild(self) -> None:
        with self.place.core(self.hub) as core:
            _require(rebuild(core, scratch=self.place.folder).same)

    def _export(self) -> None:
        target = self._export_folder(next(self._exports))
        _require(export_hub(self.hub.folder, target).checkpoint.size == self.events)

    def _verify_export(self) -> None:
        (target,) = self.hub.folder.root.parent.glob("export-*")
        with reading(str(target)) as read:
            _require(list(check_log(open_log(read, self.hub.trust))) == [])
        shutil.rmtree(target)

    def _export_folder(self, number: int) -> Path:
        return self.hub.folder.root.parent / f"export-{number}"

    def _verify_folder(self, processes: int = 1, times: int = 1) -> None:
        """What `python -m hub.proof` does with the folder, without the start of Python."""
        how = ["--json", "--processes", str(processes)]
        how += ["--trust", str(self.hub.folder.trusted_root)]
        with redirect_stdout(io.StringIO()):
            # 2: all is proven but chain and revocation, which it leaves open.
            _require(auditors_tool.main([*how, *[str(self._receipts)] * times]) == 2)

    async def _start(self) -> float:
        """From the command to the port: Python, its modules, the check of the whole log."""
        begun = time.perf_counter()
        self._process = await HubProcess(self.hub).__aenter__()
        return time.perf_counter() - begun

    async def _stream(self) -> float:
        """Over the hub that was started for the figure before this, which then ends."""
        assert self._process is not None
        profile = self.place.auditor(self.hub, self._process.port)
        async with AuditClient.open(profile) as client:
            begun = time.perf_counter()
            stream = client.events(Wanted(start=0, end=self.events))
            count = sum([1 async for _event in stream])
            taken = time.perf_counter() - begun
        _require((count, await self._process.terminate()) == (self.events, 0))
        return self.events / taken


def _opened(place: Place, hub: Founded) -> _Size:
    receipts = hub.folder.root.parent / "receipts"
    receipts.mkdir()
    count = 0
    with place.core(hub) as core:
        core.engine.load()
        wanted = max(1, core.receipts.size // place.scale.receipts_of)
        for count, data in enumerate(_receipt_files(core, wanted), 1):
            (receipts / f"{count}.receipt.json").write_bytes(data)
    return _Size(place, hub, receipts, count)


def _receipt_files(core: Core, count: int) -> Iterator[bytes]:
    """Receipts with statement and enrolment, from all over the log."""
    step = max(1, core.receipts.size // (count * 4))
    positions = (
        entry.position
        for chunk in read_entries(core.log, 0, core.receipts.size)
        for entry in chunk
        if entry.topic in _STATEMENT_TOPICS
    )
    for position in itertools.islice(positions, 0, count * step, step):
        recorded = core.receipts.receipt(position)
        found = evidence_of(recorded, core.receipts, core.log, core.vault)
        enrolment = Enrolment(found.enrolment.receipt, found.certificate)
        yield ReceiptFile(recorded.receipt, found.statement, enrolment).format()


def _require(holds: bool) -> None:
    """A figure of work that went wrong would mean nothing."""
    if not holds:
        raise RuntimeError("what was measured did not do its work")
