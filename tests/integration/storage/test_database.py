"""How the database is opened: durable for the log, never in the way of readers."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.storage.document_keys import DocumentKeys
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from tests.support.commits import new_commit, new_event

EVERYWHERE = {
    "page_size": 16_384,
    "journal_mode": "wal",
    "wal_autocheckpoint": 10_000,
    "busy_timeout": 10_000,
    "foreign_keys": 1,
    "secure_delete": 1,
    "recursive_triggers": 1,
}
FULL, NORMAL = 2, 1


def settings_of(connection: sa.Connection, *names: str) -> dict[str, object]:
    return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}


def test_the_writer_survives_a_power_cut(database: Database):
    with database.writing() as connection:
        assert settings_of(connection, *EVERYWHERE) == EVERYWHERE
        assert settings_of(connection, "synchronous") == {"synchronous": FULL}


def test_disposable_writes_are_not_synced_one_by_one(database: Database):
    with database.writing(disposable=True) as connection:
        assert settings_of(connection, *EVERYWHERE) == EVERYWHERE
        assert settings_of(connection, "synchronous") == {"synchronous": NORMAL}


def test_readers_cannot_write(database: Database):
    with database.reading() as connection:
        assert settings_of(connection, *EVERYWHERE) == EVERYWHERE
    with pytest.raises(OSError, match="readonly"), database.reading() as connection:
        connection.exec_driver_sql("DELETE FROM payloads")


def test_the_document_keys_have_the_same_settings(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path}/keys.db")
    DocumentKeys(database)
    with database.writing() as connection:
        assert settings_of(connection, *EVERYWHERE) == EVERYWHERE
        assert settings_of(connection, "synchronous") == {"synchronous": FULL}
    database.close()


def test_a_writer_holds_the_log_from_its_first_look_at_it(database: Database):
    other = sqlite3.connect(database.path, timeout=0, isolation_level=None)
    with database.writing() as connection:
        connection.exec_driver_sql("SELECT next_position FROM head").all()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_reader_never_waits_and_sees_what_is_committed(database: Database, log: EventRecorder):
    log.commit(new_commit(0, [new_event()]))

    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE head SET next_position = 100")
        assert log.head().next_position == 1
    assert log.head().next_position == 100


def test_a_reader_sees_one_moment(database: Database, log: EventRecorder):
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == 0
        log.commit(new_commit(0, [new_event()]))
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == 0


def test_what_raises_is_rolled_back(database: Database, log: EventRecorder):
    def move_head_and_fail() -> None:
        with database.writing() as connection:
            connection.exec_driver_sql("UPDATE head SET next_position = 100")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        move_head_and_fail()

    assert log.head().next_position == 0
    log.commit(new_commit(0, [new_event()]))


def test_a_failing_database_is_an_os_error(url: str, database: Database):
    impatient = Database(url, busy_timeout_ms=1)
    with (
        database.writing(),
        pytest.raises(OSError, match="locked"),
        impatient.writing(),
    ):
        pass
    impatient.close()


def test_a_damaged_file_is_an_os_error_that_tells_no_rows(database: Database, log: EventRecorder):
    log.commit(new_commit(0, [new_event(state=b"what nobody should read in a log file")]))
    database.forget()
    database.close()
    size = database.path.stat().st_size
    with database.path.open("r+b") as file:
        file.seek(16_384)
        file.write(b"\xff" * (size - 16_384))

    with pytest.raises(OSError) as failure:
        log.commit(new_commit(1, [new_event(state=b"a new secret")]))

    assert "secret" not in str(failure.value)


def test_the_write_ahead_log_is_emptied_unless_a_reader_needs_it(url: str):
    database = Database(url, busy_timeout_ms=1)
    log = EventRecorder(database)
    wal = Path(f"{database.path}-wal")
    log.commit(new_commit(0, [new_event()]))

    with database.reading() as connection:
        connection.exec_driver_sql("SELECT * FROM head").all()
        log.commit(new_commit(1, [new_event()]))
        with pytest.raises(OSError, match="a reader"):
            database.forget()
    assert wal.stat().st_size > 0

    database.forget()
    assert wal.stat().st_size == 0
    database.close()


def test_a_discarded_document_key_leaves_no_trace_in_any_file(tmp_path: Path):
    exchange_id = new_event().originator_id
    kept_id = new_event().originator_id
    database = Database(f"sqlite:///{tmp_path}/keys.db")
    keys = DocumentKeys(database)
    wrapped = b"a wrapped key nobody should find"
    keys.add({exchange_id: wrapped, kept_id: b"the wrapped key that is kept"})
    assert any(wrapped in file.read_bytes() for file in tmp_path.iterdir())

    keys.discard([exchange_id])

    assert not any(wrapped in file.read_bytes() for file in tmp_path.iterdir())
    assert keys.get(kept_id) == b"the wrapped key that is kept"
    database.close()
