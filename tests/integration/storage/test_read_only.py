"""Reading beside the process that writes: never in its way, never half of what it wrote."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.storage.document_keys import DocumentKeys
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.read_only import ReadOnlyDatabase, Snapshot
from adapters.storage.tree import TreeStore
from keys.last_signed import LastSigned, Signed, SignerStoreError
from tests.support.logs import GrownLog


@pytest.fixture
def grown(tmp_path: Path) -> Iterator[GrownLog]:
    grown = GrownLog.new(tmp_path, 10)
    yield grown
    grown.database.close()


def url(grown: GrownLog) -> str:
    return f"sqlite:///{grown.database.path}"


def test_a_snapshot_stays_what_it_was(grown: GrownLog):
    with closing(Snapshot(url(grown))) as snapshot:
        log, store = EventRecorder(snapshot), TreeStore(snapshot)
        assert log.head().next_position == 10
        grown.grow(300)
        assert log.head().next_position == 10
        assert len(log.entries(0, 1000)) == 10
        assert [size for size, _ in store.checkpoints()] == [10]
        assert [len(hashes) for *_, hashes in store.tiles()] == [320]
    with closing(Snapshot(url(grown))) as snapshot:
        assert EventRecorder(snapshot).head().next_position == 310


def test_a_reader_sees_what_is_committed_now(grown: GrownLog):
    with closing(ReadOnlyDatabase(url(grown))) as database:
        log = EventRecorder(database)
        assert log.head().next_position == 10
        grown.grow(5)
        assert log.head().next_position == 15


def test_several_walks_over_one_snapshot_do_not_disturb_each_other(grown: GrownLog):
    grown.grow(700)
    with closing(Snapshot(url(grown))) as snapshot:
        store, log = TreeStore(snapshot), EventRecorder(snapshot)
        tiles, checkpoints = store.tiles(), store.checkpoints()
        assert next(tiles)[:2] == (0, 0)
        assert next(checkpoints)[0] == 10
        assert log.head().next_position == 710
        assert next(tiles)[:2] == (0, 1)
        assert next(checkpoints)[0] == 710
        assert [place[:2] for place in tiles] == [(0, 2), (1, 0)]
        assert list(checkpoints) == []


@pytest.mark.parametrize("kind", [ReadOnlyDatabase, Snapshot])
def test_nothing_can_be_written(grown: GrownLog, kind: type[ReadOnlyDatabase]):
    with closing(kind(url(grown))) as database:
        with pytest.raises(OSError, match="for reading only"):
            EventRecorder(database).insert_events([])
        with database.reading() as connection, pytest.raises(Exception, match="readonly"):
            connection.exec_driver_sql("DELETE FROM events")


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path):
    with pytest.raises(OSError, match="failed"):
        Snapshot(f"sqlite:///{tmp_path}/none.db")
    with (
        closing(ReadOnlyDatabase(f"sqlite:///{tmp_path}/none.db")) as database,
        pytest.raises(OSError, match="failed"),
    ):
        EventRecorder(database).head()
    assert list(tmp_path.iterdir()) == []


def test_document_keys_are_read_without_making_their_table(tmp_path: Path):
    path, exchange = f"sqlite:///{tmp_path}/keys.db", uuid.uuid4()
    with closing(Database(path)) as database:
        DocumentKeys(database).add({exchange: b"k" * 40})
    with closing(ReadOnlyDatabase(path)) as database:
        assert DocumentKeys(database).get(exchange) == b"k" * 40


def test_the_signers_memory_is_read_beside_the_signer(tmp_path: Path):
    path = tmp_path / "last-signed.db"
    with closing(LastSigned.create(path)) as signer:
        signer.advance(None, Signed("log", 1, bytes(32)))
        with closing(LastSigned.open_to_read(path)) as reader:
            assert reader.read() == Signed("log", 1, bytes(32))
            signer.advance(Signed("log", 1, bytes(32)), Signed("log", 2, bytes(32)))
            assert reader.read() == Signed("log", 2, bytes(32))
            with pytest.raises(SignerStoreError):
                reader.advance(Signed("log", 2, bytes(32)), Signed("log", 3, bytes(32)))
        assert signer.read() == Signed("log", 2, bytes(32))


def test_a_signers_memory_that_is_not_there_is_not_made(tmp_path: Path):
    with pytest.raises(SignerStoreError):
        LastSigned.open_to_read(tmp_path / "last-signed.db")
    assert list(tmp_path.iterdir()) == []
