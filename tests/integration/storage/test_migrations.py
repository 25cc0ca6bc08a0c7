"""The migrations lead to the schema that the code was written for, from anywhere."""

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command

from adapters.storage import schema
from adapters.storage.cosignatures import CosignatureStore
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.migrate import alembic_config, create_views, migrate, schema_is_current
from adapters.storage.views import Views
from hub.application.ports import Head, SealedPayload, ViewChanges
from hub.proof.note import NoteSignature
from tests.support.commits import digest_of, new_commit, new_event, new_request
from tests.support.views import ONE, new_delivery, new_document, new_notice

LOG_TABLES = ("head", "events", "requests", "payloads", "evidence", "inbox_heads")


def definitions(database: Path) -> dict[str, str]:
    """Tables and indexes as SQLite keeps them, without spacing."""
    connection = sqlite3.connect(database)
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master"
        " WHERE type IN ('table', 'index') AND sql IS NOT NULL AND name <> 'alembic_version'"
    ).fetchall()
    connection.close()
    return {name: " ".join(sql.split()) for name, sql in rows}


def test_alembic_finds_no_difference_between_the_migrations_and_the_schema(database: Database):
    with database.writing() as connection:
        command.check(alembic_config(connection))


def test_the_migrated_tables_are_word_for_word_those_of_the_schema(url: str, tmp_path: Path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/schema.db")
    schema.metadata.create_all(engine)
    engine.dispose()

    assert definitions(tmp_path / "hub.db") == definitions(tmp_path / "schema.db")


def test_the_views_of_a_rebuild_are_word_for_word_the_migrated_ones(url: str, tmp_path: Path):
    create_views(f"sqlite:///{tmp_path}/scratch.db")

    migrated = definitions(tmp_path / "hub.db")
    made = definitions(tmp_path / "scratch.db")
    assert made == {name: sql for name, sql in migrated.items() if name.startswith("view_")}
    scratch = Database(f"sqlite:///{tmp_path}/scratch.db")
    assert Views(scratch).position() == 0
    scratch.close()


def test_a_new_database_is_an_empty_log_with_empty_views(database: Database):
    assert EventRecorder(database).head() == Head(next_position=0, registry_version=-1)
    assert Views(database).position() == 0


def test_migrating_again_changes_nothing(url: str, log: EventRecorder):
    log.commit(new_commit(0, [new_event()]))

    migrate(url)

    assert log.head().next_position == 1


def test_a_database_is_current_only_after_migrating(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/new.db"
    assert not schema_is_current(url)
    assert not (tmp_path / "new.db").exists()

    (tmp_path / "new.db").touch()
    assert not schema_is_current(url)

    migrate(url)
    assert schema_is_current(url)


def test_a_table_of_somebody_else_is_left_alone(database: Database):
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE somebody_elses (x INTEGER)")
    with database.writing() as connection:
        command.check(alembic_config(connection))


@pytest.fixture
def first_url(tmp_path: Path) -> str:
    """A database as the first migration made it, with events, and views that follow them."""
    url = f"sqlite:///{tmp_path}/hub.db"
    database = Database(url)
    with database.writing() as connection:
        command.upgrade(alembic_config(connection), "0001")
    EventRecorder(database).commit(
        new_commit(
            0,
            [new_event(state=b"a"), new_event(state=b"b")],
            requests=[new_request("r")],
            payloads=[SealedPayload(digest_of("p"), ONE, b"sealed")],
            evidence=[b"certificate"],
            inbox_heads={"H02": 7},
        )
    )
    with database.writing() as connection:
        # The columns are those of then.
        one = f"x'{ONE.hex}'"
        for statement in (
            f"INSERT INTO view_documents VALUES ({one}, 'H01', x'00', 0, 1, '', '', '', 0, 0)",
            f"INSERT INTO view_deliveries VALUES ('H02', 7, {one}, 3, TRUE, 1, 2)",
            "UPDATE view_state SET position = 2",
        ):
            connection.exec_driver_sql(statement)
    database.close()
    return url


def rows_of(database: Database, *tables: str) -> dict[str, list[sa.Row]]:
    with database.reading() as connection:
        return {
            table: connection.exec_driver_sql(f"SELECT * FROM {table}").all() for table in tables
        }


def test_the_second_migration_keeps_the_log_and_empties_the_views(first_url: str):
    database = Database(first_url)
    before = rows_of(database, *LOG_TABLES)
    assert all(before.values())
    assert not schema_is_current(first_url)

    migrate(first_url)

    assert schema_is_current(first_url)
    assert rows_of(database, *LOG_TABLES) == before
    assert EventRecorder(database).outbox_heads(["H01", "H02"]) == {}
    views = Views(database)
    assert (views.position(), list(views.rows())) == (0, [])
    with database.writing() as connection:
        command.check(alembic_config(connection))
    database.close()


def test_a_migrated_database_goes_on_like_a_new_one(first_url: str):
    migrate(first_url)
    database = Database(first_url)
    log, views = EventRecorder(database), Views(database)

    log.commit(new_commit(2, [new_event()], inbox_heads={"H02": 8}, outbox_heads={"H01": 1}))
    changes = ViewChanges(
        [new_document(ONE)], [new_delivery(ONE, "H02", 7)], [new_notice(ONE, "H02", 7)]
    )
    views.apply(changes, start=0, end=3)

    assert log.outbox_heads(["H01"]) == {"H01": 1}
    assert len(views.inbox("H02", 0, 10)) == 1
    database.close()


def test_the_third_migration_keeps_the_log_and_empties_the_views(first_url: str):
    database = Database(first_url)
    with database.writing() as connection:
        command.upgrade(alembic_config(connection), "0002")
        connection.exec_driver_sql("UPDATE view_state SET position = 2")
        connection.exec_driver_sql("INSERT INTO outbox_heads VALUES ('H01', 3)")
    before = rows_of(database, *LOG_TABLES, "outbox_heads")

    migrate(first_url)

    assert schema_is_current(first_url)
    assert rows_of(database, *LOG_TABLES, "outbox_heads") == before
    assert (Views(database).position(), list(Views(database).rows())) == (0, [])
    database.close()


def test_a_log_from_before_there_were_witnesses_takes_cosignatures(first_url: str):
    database = Database(first_url)
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO checkpoints VALUES (2, x'00')")

    migrate(first_url)

    store = CosignatureStore(database)
    assert (list(store.all()), store.best(0), store.newest("w1", b"key1")) == ([], None, 0)
    store.add(2, NoteSignature("w1", b"key1", b"signature"))
    assert store.best(1) == 2
    database.close()


def test_several_processes_may_migrate_at_once(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/hub.db"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=migrate, args=(url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0] * 4
    assert schema_is_current(url)


def test_a_failed_migration_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    url = f"sqlite:///{tmp_path}/hub.db"

    def fail(*_arguments: object) -> None:
        raise OSError("on purpose")

    # The last thing of the first migration is to record that it was done.
    monkeypatch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", fail)
    with pytest.raises(OSError, match="on purpose"):
        migrate(url)

    assert definitions(tmp_path / "hub.db") == {}


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x",
        "postgresql://localhost",
        "postgresql+asyncpg://localhost/hub",
        "mysql://localhost/hub",
    ],
)
def test_other_databases_are_refused(url: str):
    with pytest.raises(ValueError, match="not the URL of"):
        Database(url)
