"""Logs of any size without a hub: events that are facts by their form, tree, checkpoints."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from adapters.memory.determinism import CountedRandomness, FixedClock
from adapters.memory.signer import MemorySigner
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.export import ExportFolder
from adapters.storage.tree import TreeStore
from hub.ledger.export import Exported, export_log
from hub.ledger.receipts import ReceiptBook
from hub.ledger.sequencer import Sequencer
from hub.proof.leaf import Event, encode_leaf
from hub.proof.receipt import parse_tlog_proof
from hub.proof.trust import LogKey, TrustedLog, TrustedRoot
from tests.support.databases import new_database

ORIGIN = "lienthong.example/2026"
TOPIC = "hub.Agency.SubmissionRefused"
_COMMIT = 4096


@dataclass
class GrownLog:
    """A log in a database of its own; `grow` adds events and one checkpoint over them."""

    database: Database
    randomness: CountedRandomness
    signer: MemorySigner

    @classmethod
    def new(cls, folder: Path, size: int = 0, origin: str = ORIGIN) -> GrownLog:
        database = Database(new_database(folder / "log.db"))
        grown = cls(database, CountedRandomness(), MemorySigner(origin))
        if size:
            grown.grow(size)
        return grown

    @property
    def log(self) -> EventRecorder:
        return EventRecorder(self.database)

    @property
    def store(self) -> TreeStore:
        return TreeStore(self.database)

    @property
    def trust(self) -> TrustedRoot:
        key = self.signer.verifier_key
        return TrustedRoot(1, (TrustedLog(key.name, (LogKey(key, 0),)),))

    def grow(self, count: int) -> None:
        key = self.signer.verifier_key
        sequencer = Sequencer(
            origin=key.name,
            log=self.log,
            store=self.store,
            signer=self.signer,
        )
        sequencer.load()
        start = self.log.head().next_position
        events = (self._event(position) for position in range(start, start + count))
        while batch := list(itertools.islice(events, _COMMIT)):
            self.log.insert_events(batch)
        sequencer.extend()

    def receipts(self) -> ReceiptBook:
        book = ReceiptBook(self.log, self.store)
        newest = self.store.latest_checkpoint()
        assert newest is not None
        book.publish(*newest)
        return book

    def export(self, folder: Path) -> Exported:
        with ExportFolder.open(folder) as files:
            return export_log(self.log, self.store, self.trust, files)

    def write_receipts(self, folder: Path, *positions: int) -> None:
        """Each receipt as two files, for tools that know nothing of ours."""
        book = self.receipts()
        for position in positions:
            receipt = book.receipt(position).receipt
            assert parse_tlog_proof(receipt.proof).index == position
            (folder / f"{position}.leaf").write_bytes(receipt.leaf)
            (folder / f"{position}.tlog-proof").write_bytes(receipt.proof)

    def _event(self, position: int) -> StoredEvent:
        event = Event(
            topic=TOPIC,
            schema=1,
            id=UUID(bytes=self.randomness(16), version=4),
            version=1,
            time=FixedClock()() + timedelta(milliseconds=position),
            nonce=self.randomness(16),
            data={"agency": "H29.2.7", "digest": "", "payload_type": "", "reason": "TOO_LARGE"},
        )
        return StoredEvent(event.id, 1, TOPIC, encode_leaf(event))


def tree_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
