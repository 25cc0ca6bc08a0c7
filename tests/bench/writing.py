"""Accepting documents, from the disk up: each layer beside what it cannot be faster than."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.migrate import migrate
from adapters.system import system_clock, system_randomness
from hub.application.exchanges import Exchanges
from hub.application.ports import Commit, NewRequest, SealedPayload
from hub.application.refusals import RefusalRecorder
from hub.application.uploads import Uploads
from hub.bootstrap.core import Core
from hub.bootstrap.memory import look_rarely
from hub.domain.values import uuid7
from hub.ledger.fair_queue import Limits
from hub.ledger.writer import BATCH_MAX, WritingLane
from hub.proof.dsse import SignedStatement
from hub.proof.signatures import PublicKey
from hub.v1 import exchange_service_pb2 as calls
from tests.bench.bare import ECHO
from tests.bench.figures import Figure, Measure, interleaved, ratios
from tests.bench.place import (
    OTHERS,
    RECIPIENT,
    Place,
    empty_logs,
    sender_and_recipient,
)
from tests.bench.sayings import domain_form, envelope_of_2_kb, request_of, requests_of, submissions
from tests.support import postgres
from tests.support.hubs import Speaker, raw_channel, raw_method, signed

PART = "write"
SUBMIT = "/hub.v1.ExchangeService/SubmitDocument"
SUBMIT_MANY = "/hub.v1.ExchangeService/SubmitDocuments"
WAITING = 64
A_MESSAGE = 32
_MESSAGES_WAITING = 8
# What the two recorders are compared with: 650 bytes of event, 128 of them a commit.
_STATE, _A_COMMIT = os.urandom(650), 128
# What is left of a submission without the domain: its leaf is as large as a real one.
_LEAF = os.urandom(1100)
_TOPIC = "hub.Exchange.DocumentSubmitted"

Ask = Callable[[bytes], Awaitable[bytes]]


async def measured(place: Place) -> list[Figure]:
    """All figures of this part."""
    scale = place.scale
    async with AsyncExitStack() as stack:
        hub, port = await place.served()
        sender, _ = sender_and_recipient(hub)
        bare = await place.bare()
        ours = await stack.enter_async_context(raw_channel(sender.transport, port))
        theirs = await stack.enter_async_context(raw_channel(sender.transport, bare))
        inside = await stack.enter_async_context(_in_process(place))
        over = _OverTheWire(sender, scale.documents, place.processor_s)
        recorders, ceiling = _Recorders(place), _Ceiling(place, sender)
        server = stack.enter_context(_postgres_recorders())
        echo = raw_method(theirs, ECHO)
        measures: dict[str, Measure] = {
            "disk": lambda: _disk(place.folder / "disk", scale.syncs),
            "own recorder": lambda: recorders.own(scale.commits),
            "library's recorder": lambda: recorders.librarys(scale.commits),
            **(
                {
                    "PostgreSQL": lambda: recorders.on(server[0], scale.commits),
                    "library's on PostgreSQL": lambda: recorders.of(server[1], scale.commits),
                }
                if server
                else {}
            ),
            "ceiling": lambda: ceiling.rate(scale.documents),
            "in process": lambda: inside.rate(scale.documents),
            "batched": lambda: over.batched(raw_method(ours, SUBMIT_MANY)),
            "echo": lambda: over.echoed(echo, scale.echoes),
            "unary": lambda: over.unary(raw_method(ours, SUBMIT)),
            "lone echo": lambda: over.lone(echo, scale.lone),
            "lone": lambda: over.lone(raw_method(ours, SUBMIT), scale.lone),
            "fan-out": lambda: inside.fan_out(scale.recipients),
        }
        values = await interleaved(measures, rounds=scale.rounds, seconds=scale.seconds * 2)
        stored = inside.bytes_per_document()
        ceiling.close()
    return _figures(values, scale.recipients, stored, over.a_core)


def _figures(
    values: dict[str, list[float]],
    recipients: int,
    stored: dict[str, float],
    a_core: dict[str, list[float]],
) -> list[Figure]:
    limit = [4000 / each + 2 for each in values["disk"]]
    each = "documents/s"

    def figure(name: str, unit: str, samples: Sequence[float], **more: Any) -> Figure:
        return Figure(PART, name, unit, samples, **more)

    def share(over: str, under: str) -> list[float]:
        return ratios(values[over], values[under])

    return [
        figure("disk, 4 KB and fdatasync", "syncs/s", values["disk"]),
        figure("own recorder, 128 a commit", "events/s", values["own recorder"]),
        figure("library's recorder, 128 a commit", "events/s", values["library's recorder"]),
        figure(
            "own ÷ library's recorder", "×", share("own recorder", "library's recorder"),
            at_least=1.5,
        ),
        figure("ceiling: verify, commit 256, sign", each, values["ceiling"]),
        *(
            [
                figure(
                    "own recorder on PostgreSQL, 128 a commit", "events/s", values["PostgreSQL"]
                ),
                figure(
                    "own ÷ library's recorder on PostgreSQL", "×",
                    share("PostgreSQL", "library's on PostgreSQL"), at_least=3.0,
                ),
            ]
            if "PostgreSQL" in values
            else []
        ),
        figure("accepted in process", each, values["in process"]),
        figure("in process ÷ ceiling", "×", share("in process", "ceiling")),
        figure(
            "accepted over gRPC, 32 a message", each, values["batched"], at_least=5000,
            a_core=a_core["batched"],
        ),
        figure("32 a message ÷ ceiling", "×", share("batched", "ceiling"), at_least=0.6),
        figure("bare gRPC echo of 2 KB, 64 waiting", "messages/s", values["echo"]),
        figure(
            "accepted over gRPC, one by one, 64 waiting", each, values["unary"],
            a_core=a_core["unary"],
        ),
        figure("one by one ÷ echo", "×", share("unary", "echo"), at_least=0.35),
        figure("lone echo, median", "ms", values["lone echo"]),
        figure("lone caller, median", "ms", values["lone"]),
        figure(
            "lone caller ÷ (4 syncs + 2 ms)", "×", ratios(values["lone"], limit), at_most=1.0
        ),
        figure(
            f"one document in {recipients} inboxes, in process", "s", values["fan-out"],
            at_most=0.5,
        ),
        figure("stored for a document, envelope included", "bytes", [stored["all"]]),
        figure(
            "stored for a document beside its envelope", "bytes", [stored["beside"]],
            at_most=3000,
        ),
    ]  # fmt: skip


# --- The disk, the recorders, the ceiling -------------------------------------------------


async def _disk(path: Path, count: int) -> float:
    block = os.urandom(4096)
    with path.open("ab", buffering=0) as file:
        begun = time.perf_counter()
        for _ in range(count):
            file.write(block)
            os.fdatasync(file.fileno())
        return count / (time.perf_counter() - begun)


class _Recorders:
    """The hub's and the library's own, on SQLite files beside each other."""

    def __init__(self, place: Place) -> None:
        url = f"sqlite:///{place.folder}/own-recorder.db"
        migrate(url)
        self._own = EventRecorder(Database(url))
        datastore = SQLiteDatastore(str(place.folder / "librarys-recorder.db"))
        self._librarys = SQLiteApplicationRecorder(datastore)
        self._librarys.create_table()

    async def own(self, commits: int) -> float:
        return self._rate(self._own, commits)

    async def librarys(self, commits: int) -> float:
        return self._rate(self._librarys, commits, ids=uuid4)

    async def of(self, recorder: PostgresApplicationRecorder, commits: int) -> float:
        return self._rate(recorder, commits, ids=uuid4)

    async def on(self, url: str, commits: int) -> float:
        database = Database(url)
        try:
            return self._rate(EventRecorder(database), commits)
        finally:
            database.close()

    @staticmethod
    def _rate(recorder: Any, commits: int, ids: Callable[[], UUID] | None = None) -> float:
        """With the ids that its own aggregates have: in order of time, or the library's."""
        batches = [[_event(_STATE, ids) for _ in range(_A_COMMIT)] for _ in range(commits)]
        begun = time.perf_counter()
        for batch in batches:
            recorder.insert_events(batch)
        return commits * _A_COMMIT / (time.perf_counter() - begun)


class _Ceiling:
    """What no hub can do without: verify each signature, commit a batch, sign once."""

    def __init__(self, place: Place, sender: Speaker) -> None:
        url = f"sqlite:///{place.folder}/ceiling.db"
        migrate(url)
        self._database = Database(url)
        self._log = EventRecorder(self._database)
        self._key = Ed25519PrivateKey.generate()
        self._sender = sender
        self._public_key = PublicKey.of(sender.key.public_key(), sender.algorithm)

    async def rate(self, count: int) -> float:
        statements = [domain_form(each) for each in submissions(self._sender, RECIPIENT, count)]
        begun = time.perf_counter()
        for start in range(0, count, BATCH_MAX):
            self._batch(statements[start : start + BATCH_MAX])
        return count / (time.perf_counter() - begun)

    def _batch(self, statements: Sequence[SignedStatement]) -> None:
        for each in statements:
            self._public_key.verify(each.pae, each.signature)
        events = [_event(_LEAF) for _ in statements]
        commit = Commit(
            expected_head=self._log.head().next_position,
            events=events,
            registry_offset=None,
            requests=[
                NewRequest(self._sender.code, str(event.originator_id), each.digest, n, None)
                for n, (event, each) in enumerate(zip(events, statements, strict=True))
            ],
            payloads=[
                SealedPayload(each.digest, event.originator_id, each.payload)
                for event, each in zip(events, statements, strict=True)
            ],
            evidence={},
            inbox_heads={},
            outbox_heads={},
        )
        self._log.commit(commit)
        self._key.sign(b"a checkpoint is some hundred and thirty bytes long".ljust(130))

    def close(self) -> None:
        self._database.close()


def _event(state: bytes, ids: Callable[[], UUID] | None = None) -> StoredEvent:
    aggregate_id = ids() if ids else uuid7(system_clock(), system_randomness(10))
    return StoredEvent(aggregate_id, 1, _TOPIC, state)


@contextmanager
def _postgres_recorders() -> Iterator[tuple[str, PostgresApplicationRecorder] | None]:
    """A database of a server that syncs, in the temporary folder, and the library's in another.

    None where there is no server.
    """
    try:
        with postgres.serving(synced=True) as server:
            url = server.url(server.create())
            migrate(url)
            theirs = sa.make_url(server.url(server.create()))
            place = (theirs.database, theirs.host, theirs.port, theirs.username, "")
            with PostgresDatastore(*place) as datastore:
                librarys = PostgresApplicationRecorder(datastore)
                librarys.create_table()
                yield url, librarys
    except postgres.Unavailable:
        yield None


# --- In process ---------------------------------------------------------------------------


class _InProcess:
    """The use case and the writing lane of a hub, with nobody calling over a wire."""

    def __init__(self, core: Core, sender: Speaker, exchanges: Exchanges) -> None:
        self._core = core
        self._sender = sender
        self._exchanges = exchanges
        self._accepted = 0
        self._envelope_bytes = 0
        self._fanned_out = 0
        empty_logs(core)
        self._bytes_before = self._bytes()
        self._bytes_of_fan_out = 0

    async def rate(self, count: int) -> float:
        statements = [domain_form(each) for each in submissions(self._sender, RECIPIENT, count)]
        turns = asyncio.Semaphore(_MESSAGES_WAITING)

        async def send(some: Sequence[SignedStatement]) -> None:
            async with turns:
                await asyncio.gather(*map(self._submit, some))

        begun = time.perf_counter()
        groups = range(0, count, A_MESSAGE)
        await asyncio.gather(*(send(statements[n : n + A_MESSAGE]) for n in groups))
        taken = time.perf_counter() - begun
        self._accepted += count
        self._envelope_bytes += sum(len(each.payload) for each in statements)
        return count / taken

    async def fan_out(self, recipients: int) -> float:
        """Seconds from the call until the last of the inboxes shows the document."""
        codes = [RECIPIENT, *OTHERS[: recipients - 1]]
        before = {code: self._core.log.inbox_heads([code]).get(code, 0) for code in codes}
        statement = domain_form(signed(self._sender, envelope_of_2_kb(self._sender, codes)))
        empty_logs(self._core)
        bytes_before = self._bytes()
        begun = time.perf_counter()
        await self._submit(statement)
        for code in codes:
            # Whoever has the receipt finds the item: lists follow before it goes out.
            if not await self._exchanges.inbox(code, before[code], 1):
                raise RuntimeError(f"the inbox of {code} does not show the document")
        taken = time.perf_counter() - begun
        empty_logs(self._core)
        self._bytes_of_fan_out += self._bytes() - bytes_before
        return taken

    async def _submit(self, statement: SignedStatement) -> None:
        await self._exchanges.submit(self._sender.code, statement, ())

    def bytes_per_document(self) -> dict[str, float]:
        """What the databases grew by for each document with one recipient."""
        empty_logs(self._core)
        grown = self._bytes() - self._bytes_before - self._bytes_of_fan_out
        return {
            "all": grown / self._accepted,
            "beside": (grown - self._envelope_bytes) / self._accepted,
        }

    def _bytes(self) -> int:
        folder = self._core.folder
        databases = (folder.database, folder.document_keys, folder.last_signed)
        return sum(each.stat().st_size for each in databases)


@asynccontextmanager
async def _in_process(place: Place) -> AsyncIterator[_InProcess]:
    founded = place.new_hub("in-process")
    sender, _ = sender_and_recipient(founded)
    with place.core(founded) as core:
        core.engine.load()
        look_rarely()  # As a hub that serves does.
        lane = WritingLane(core.engine, limits=Limits(rate_per_s=1e6, burst=1_000_000))
        lane.start()
        try:
            yield _InProcess(core, sender, _exchanges(core, lane))
        finally:
            await lane.stop()


def _exchanges(core: Core, lane: WritingLane) -> Exchanges:
    registry = lambda: core.engine.registry  # noqa: E731
    uploads = Uploads(
        store=core.uploads,
        vault=core.vault,
        log=core.log,
        offload=_at_once,
        clock=system_clock,
        randomness=system_randomness,
    )
    return Exchanges(
        origin=core.settings.origin,
        log=core.log,
        lane=lane,
        receipts=core.receipts,
        registry=registry,
        views=core.views,
        content=core.content,
        uploads=uploads,
        vault=core.vault,
        refusals=RefusalRecorder(lane, system_clock, lambda agency, error: None),
        offload=_at_once,
        clock=system_clock,
        randomness=system_randomness,
    )


async def _at_once(work: Callable[[], Any]) -> Any:
    return work()


# --- Over the wire ------------------------------------------------------------------------


class _OverTheWire:
    """Messages that lie ready as bytes: what the sender spends is what gRPC spends."""

    def __init__(self, sender: Speaker, documents: int, processor_s: Callable[[], float]) -> None:
        """`processor_s` says how much of it the hub has used so far."""
        self._sender = sender
        self._documents = documents
        self._processor_s = processor_s
        self.a_core: dict[str, list[float]] = {"unary": [], "batched": []}

    async def unary(self, ask: Ask) -> float:
        messages = [request_of(each) for each in self._statements(self._documents)]
        begun = self._processor_s()
        taken = await all_asked(ask, messages, WAITING)
        self.a_core["unary"].append(self._documents / (self._processor_s() - begun))
        return self._documents / taken

    async def batched(self, ask: Ask) -> float:
        messages = requests_of(self._statements(self._documents), A_MESSAGE)
        answers: list[bytes] = []
        begun = self._processor_s()
        taken = await all_asked(ask, messages, _MESSAGES_WAITING, answers)
        self.a_core["batched"].append(self._documents / (self._processor_s() - begun))
        for answer in answers:
            for result in calls.SubmitDocumentsResponse.FromString(answer).results:
                if not result.HasField("acceptance"):
                    raise RuntimeError(f"a document was refused: {result}")
        return self._documents / taken

    async def echoed(self, ask: Ask, count: int) -> float:
        message = request_of(self._statements(1)[0])
        return count / await all_asked(ask, [message] * count, WAITING)

    async def lone(self, ask: Ask, count: int) -> float:
        """The median of one caller's waits, in milliseconds."""
        return median(await waits(ask, [request_of(each) for each in self._statements(count)]))

    def _statements(self, count: int) -> list[Any]:
        return submissions(self._sender, RECIPIENT, count)


async def all_asked(
    ask: Ask, messages: Sequence[bytes], waiting: int, answers: list[bytes] | None = None
) -> float:
    """Seconds until all are answered, with so many waiting at any time."""
    turn = iter(messages)
    kept: list[bytes] = [] if answers is None else answers

    async def caller() -> None:
        for message in turn:
            kept.append(await ask(message))

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(waiting)))
    return time.perf_counter() - begun


async def waits(ask: Ask, messages: Sequence[bytes]) -> list[float]:
    """What each of them took, one after the other, in milliseconds."""
    taken: list[float] = []
    for message in messages:
        begun = time.perf_counter()
        await ask(message)
        taken.append((time.perf_counter() - begun) * 1000)
    return taken
