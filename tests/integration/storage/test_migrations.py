"""The migrations lead to the schema that the code was written for, from anywhere."""

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command

from adapters.storage import schema
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.migrate import alembic_config, migrate, schema_is_current
from adapters.storage.views import Views
from hub.application.ports import Head
from tests.support.commits import new_commit, new_event


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
    "url", ["postgresql://localhost/hub", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x"]
)
def test_other_databases_are_refused(url: str):
    with pytest.raises(ValueError, match="SQLite file"):
        Database(url)
