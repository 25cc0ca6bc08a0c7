"""What a PostgreSQL does for the hub that a file does in another way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from queue import Queue
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.exc import IntegrityError

from adapters.storage import leadership, listening, schema
from adapters.storage.cosignatures import CosignatureStore
from adapters.storage.document_keys import DocumentKeys, document_keys_missing
from adapters.storage.engine import Area, Database, DatabaseAway, Deposed, ShutOut
from adapters.storage.events import EventRecorder
from adapters.storage.leadership import Leadership
from adapters.storage.listening import Listening, Pulse
from adapters.storage.migrate import alembic_config, is_missing, migrate, schema_is_current
from adapters.storage.read_only import ReadOnlyDatabase, Snapshot
from adapters.storage.tree import TreeStore
from adapters.storage.views import Views
from hub.application.ports import Head, LogStopped, SealedPayload, ViewChanges
from hub.proof.note import NoteSignature
from tests.support.commits import REGISTRY_TOPIC, digest_of, new_commit, new_event, new_request
from tests.support.patience import PATIENCE_S
from tests.support.postgres import Server
from tests.support.views import ONE, new_delivery, new_document, new_notice

FORBIDDEN = {
    "UPDATE events SET state = ''": "events is append-only",
    "UPDATE events SET position = 7": "events is append-only",
    "DELETE FROM events": "events is append-only",
    "TRUNCATE events CASCADE": "is append-only",
    "UPDATE requests SET digest = ''": "requests is append-only",
    "DELETE FROM requests": "requests is append-only",
    "TRUNCATE requests": "requests is append-only",
    "UPDATE evidence SET data = ''": "evidence is append-only",
    "DELETE FROM evidence": "evidence is append-only",
    "UPDATE checkpoints SET note = ''": "checkpoints is append-only",
    "DELETE FROM checkpoints": "checkpoints is append-only",
    "DELETE FROM published": "published is append-only",
    "UPDATE tiles SET data = ''": "a tile only grows",
    "UPDATE tiles SET data = substr(data, 33) || data": "a tile only grows",
    "UPDATE tiles SET number = 1": "a tile only grows",
    "DELETE FROM tiles": "tiles are never removed",
    "TRUNCATE tiles": "tiles are never removed",
    "UPDATE head SET next_position = 1": "only moves forward",
    "UPDATE head SET registry_version = -1": "only moves forward",
    "DELETE FROM head": "never removed",
    "UPDATE leadership SET epoch = -1": "an epoch is never given twice",
    "DELETE FROM leadership": "an epoch is never given twice",
    "INSERT INTO head VALUES (2, 0, -1)": "head_is_one_row",
    "UPDATE inbox_heads SET last_seq = 1": "never given twice",
    "UPDATE inbox_heads SET agency = 'H03'": "never given twice",
    "DELETE FROM inbox_heads": "inbox numbers are never given twice",
    "UPDATE outbox_heads SET last_seq = 1": "outbox numbers are never given twice",
    "DELETE FROM outbox_heads": "outbox numbers are never given twice",
    "UPDATE cosignatures SET signature = ''": "cosignatures is append-only",
    "DELETE FROM cosignatures": "cosignatures is append-only",
    "INSERT INTO cosignatures VALUES (1, 1, 'w', '', '')": "foreign key",
}
TABLES = sorted({statement.split()[1].replace("FROM", "events") for statement in FORBIDDEN})


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    with closing(Database(postgres_url)) as database:
        yield database


@pytest.fixture
def filled(database: Database) -> Database:
    EventRecorder(database).commit(
        new_commit(
            0,
            [new_event(topic=REGISTRY_TOPIC), new_event()],
            requests=[new_request("r")],
            payloads=[SealedPayload(digest_of("p"), new_event().originator_id, b"sealed")],
            evidence=[b"certificate"],
            inbox_heads={"H02": 2},
            outbox_heads={"H01": 2},
        )
    )
    TreeStore(database).publish({(0, 0): digest_of("a") + digest_of("b")}, 2, b"note")
    CosignatureStore(database).add(2, NoteSignature("w1", b"key1", b"signature"))
    return database


def everything(database: Database) -> dict[str, list[sa.Row]]:
    with database.reading() as connection:
        return {
            table.name: sorted(connection.execute(sa.select(table)).all())
            for table in schema.metadata.sorted_tables
        }


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_history_is_not_changed(filled: Database, statement: str):
    before = everything(filled)

    with pytest.raises(IntegrityError) as refused, filled.writing() as connection:
        connection.exec_driver_sql(statement)

    assert FORBIDDEN[statement] in str(refused.value.orig)
    assert everything(filled) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tiles SET data = data || data",
        "UPDATE head SET next_position = 3, registry_version = 2",
        "UPDATE inbox_heads SET last_seq = 3",
        "DELETE FROM payloads",
    ],
)
def test_what_may_change_does(filled: Database, statement: str):
    with filled.writing() as connection:
        assert connection.exec_driver_sql(statement).rowcount == 1


# --- The schema -------------------------------------------------------------------


def test_alembic_finds_no_difference_between_the_migrations_and_the_schema(database: Database):
    with database.writing() as connection:
        command.check(alembic_config(connection))


def test_a_new_database_becomes_an_empty_log_and_migrating_again_changes_nothing(
    empty_postgres_url: str,
):
    assert is_missing(empty_postgres_url)
    assert not schema_is_current(empty_postgres_url)

    for _ in range(2):
        migrate(empty_postgres_url)

    assert schema_is_current(empty_postgres_url)
    assert not is_missing(empty_postgres_url)
    with closing(Database(empty_postgres_url)) as database:
        assert EventRecorder(database).head() == Head(next_position=0, registry_version=-1)
        assert Views(database).position() == 0


def test_several_may_migrate_at_once(empty_postgres_url: str):
    threads = [threading.Thread(target=migrate, args=(empty_postgres_url,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert schema_is_current(empty_postgres_url)


def test_a_database_that_cannot_keep_every_name_is_refused(postgres_server: Server):
    name = f"latin_{uuid4().hex}"
    postgres_server.execute(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
    )

    with pytest.raises(OSError, match="ENCODING 'UTF8'"):
        migrate(postgres_server.url(name))

    assert is_missing(postgres_server.url(name))


def test_names_are_in_the_order_of_their_bytes(database: Database):
    """Whatever the language of the server: a rebuild is compared with it row by row."""
    recipients = ["a", "B", "Đ", "e", "ế", "Z", "_"]
    changes = ViewChanges(
        [new_document(ONE)],
        [new_delivery(ONE, each, 1) for each in recipients],
        [new_notice(ONE, each, 1) for each in recipients],
    )
    views = Views(database)
    views.apply(changes, start=0, end=1)

    assert [each.recipient for each in views.deliveries(ONE)] == sorted(recipients)
    with database.reading() as connection:
        ask = (
            "SELECT count(*) FROM information_schema.columns WHERE data_type = 'character varying'"
        )
        ask += " AND table_schema = 'public' AND collation_name IS DISTINCT FROM 'C'"
        others = connection.exec_driver_sql(f"{ask} AND table_name <> 'alembic_version'")
        assert others.scalar_one() == 0


# --- Connections ------------------------------------------------------------------


def setting(database: Database, name: str, *, disposable: bool = False) -> object:
    with database.writing(disposable=disposable) as connection:
        return connection.exec_driver_sql(f"SHOW {name}").scalar_one()


def test_what_is_acknowledged_is_synced_whatever_the_server_is_told(
    postgres_server: Server, empty_postgres_url: str
):
    name = empty_postgres_url.rpartition("/")[2]
    postgres_server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")

    with closing(Database(empty_postgres_url)) as database:
        assert setting(database, "synchronous_commit") == "on"
        assert setting(database, "synchronous_commit", disposable=True) == "off"


def test_a_stronger_promise_of_the_server_is_kept(postgres_server: Server, empty_postgres_url: str):
    name = empty_postgres_url.rpartition("/")[2]
    postgres_server.execute(f"ALTER DATABASE {name} SET synchronous_commit = remote_apply")

    with closing(Database(empty_postgres_url)) as database:
        assert setting(database, "synchronous_commit") == "remote_apply"


def test_a_reader_sees_one_moment_and_cannot_write(database: Database):
    log = EventRecorder(database)
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == 0
        log.commit(new_commit(0, [new_event()]))
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == 0
    with pytest.raises(OSError, match="read-only"), database.reading() as connection:
        connection.exec_driver_sql("DELETE FROM payloads")


def test_a_snapshot_stays_what_it_was(filled: Database, postgres_url: str):
    with closing(Snapshot(postgres_url)) as snapshot:
        log, store = EventRecorder(snapshot), TreeStore(snapshot)
        EventRecorder(filled).commit(new_commit(2, [new_event()]))
        TreeStore(filled).publish({(0, 1): digest_of("c")}, 3, b"larger")
        walks = store.tiles(), store.checkpoints()
        assert [next(walk) for walk in walks] == [
            (0, 0, digest_of("a") + digest_of("b")),
            (2, b"note"),
        ]
        assert log.head().next_position == 2
        assert [list(walk) for walk in walks] == [[], []]
        with pytest.raises(OSError, match="for reading only"):
            log.insert_events([])
    with closing(ReadOnlyDatabase(postgres_url)) as database:
        assert EventRecorder(database).head().next_position == 3


def test_writers_of_one_area_take_turns_and_those_of_two_do_not_wait(
    database: Database, postgres_url: str
):
    with closing(Database(postgres_url, busy_timeout_ms=50)) as impatient:
        with database.writing(Area.LOG):
            with impatient.writing(Area.VIEWS):
                pass
            with pytest.raises(OSError, match="lock timeout"), impatient.writing(Area.LOG):
                pass
        with impatient.writing(Area.LOG):
            pass


@pytest.fixture
def leaders(postgres_url: str) -> Iterator[Callable[[str], tuple[Leadership, EventRecorder]]]:
    """Hubs by their names, each with a claim to lead and the log it would write."""
    with ExitStack() as stack:

        def leader(name: str) -> tuple[Leadership, EventRecorder]:
            database = stack.enter_context(closing(Database(postgres_url)))
            leadership = Leadership(database, name)
            stack.callback(leadership.give_up)
            return leadership, EventRecorder(database)

        yield leader


def test_one_hub_leads_until_it_gives_up(leaders):
    (one, _), (two, _) = leaders("one"), leaders("two")
    assert one.take()
    assert not two.take()
    one.give_up()
    assert two.take()
    assert not one.lost.is_set()


def test_a_process_that_died_is_followed_at_once_by_the_next_of_its_folder(leaders):
    (died, _), (next_one, log) = leaders("one"), leaders("one")
    assert died.take()
    assert next_one.take()
    log.commit(new_commit(0, [new_event()]))
    assert died.lost.wait(10)


def test_a_leader_that_stood_still_writes_nothing_more_and_learns_it(
    leaders, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(leadership, "LEASE_S", 0)
    (one, old_log), (two, log) = leaders("one"), leaders("two")
    assert one.take()
    old_log.commit(new_commit(0, [new_event()]))
    assert two.take()

    for write in (
        lambda: old_log.commit(new_commit(1, [new_event()])),
        lambda: old_log.insert_events([new_event()]),
    ):
        with pytest.raises(Deposed, match="another hub leads"):
            write()

    log.commit(new_commit(1, [new_event()]))
    assert old_log.head().next_position == 2
    assert one.lost.wait(10)


def test_who_takes_over_waits_for_what_is_being_written(leaders, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(leadership, "LEASE_S", 0)
    (one, old_log), (two, log) = leaders("one"), leaders("two")
    assert one.take()
    with ThreadPoolExecutor() as threads:
        with old_log._database.writing() as connection:
            connection.exec_driver_sql("UPDATE head SET next_position = 7")
            taken = threads.submit(two.take)
            assert not taken.done()
        assert taken.result()
    assert log.head().next_position == 7


@pytest.fixture
def members(postgres_url: str) -> Iterator[Callable[[str], tuple[Leadership, Database]]]:
    """Hubs that serve together, by their names."""
    with ExitStack() as stack:

        def member(name: str) -> tuple[Leadership, Database]:
            database = stack.enter_context(closing(Database(postgres_url)))
            leadership = Leadership(database, name, together=True)
            stack.callback(leadership.give_up)
            return leadership, database

        yield member


def append(database: Database) -> int:
    with EventRecorder(database).appending() as end:
        end.append(new_commit(end.head.next_position, [new_event()]))
    return end.head.next_position


def test_hubs_that_serve_together_all_append_and_one_of_them_does_the_rest(members):
    (leader, of_leader), (other, of_other) = members("one"), members("two")
    assert leader.take()
    assert not other.take()
    other.follow()

    assert [append(of_leader), append(of_other), append(of_leader)] == [0, 1, 2]

    TreeStore(of_leader).publish({(0, 0): digest_of("a")}, 1, b"note")
    for write in (
        lambda: TreeStore(of_other).publish({(0, 0): digest_of("a")}, 1, b"note"),
        lambda: Views(of_other).clear(),
        lambda: EventRecorder(of_other).erase([], 0),
    ):
        with pytest.raises(Deposed):
            write()


def test_a_leader_that_stood_still_appends_nothing_more(members, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(leadership, "LEASE_S", 0)
    (leader, of_leader), (other, of_other) = members("one"), members("two")
    assert leader.take()
    other.follow()
    assert other.take()
    with pytest.raises(Deposed):
        append(of_leader)
    assert append(of_other) == 0
    assert leader.lost.wait(10)


def test_a_hub_that_wants_to_be_alone_shuts_the_others_out(
    members, leaders, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(leadership, "LEASE_S", 0)
    (leader, _), (other, of_other) = members("one"), members("two")
    assert leader.take()
    other.follow()
    append(of_other)
    alone, log = leaders("alone")
    assert alone.take()
    with pytest.raises(ShutOut):
        append(of_other)
    log.commit(new_commit(1, [new_event()]))


def test_what_one_hub_freezes_no_hub_appends_to_until_it_is_thawed(members):
    (leader, of_leader), (other, of_other) = members("one"), members("two")
    assert leader.take()
    other.follow()

    other.freeze("event 7 differs", 7)
    other.freeze("and so does another", 8)

    for database in (of_leader, of_other):
        with pytest.raises(LogStopped, match="event 7 differs"):
            append(database)
    seen = Pulse(of_other).read()
    assert (seen.frozen, seen.frozen_position, seen.alone) == ("event 7 differs", 7, False)
    other.thaw()  # It does not lead, and has not read everything.
    assert Pulse(of_other).read().frozen is not None
    leader.thaw()
    assert append(of_other) == 0


def test_hubs_hear_of_each_other_and_go_on_when_the_server_cuts_them_off(
    members, postgres_server: Server
):
    (leader, of_leader), (other, of_other) = members("one"), members("two")
    assert leader.take()
    other.follow()
    heard: Queue[int] = Queue()
    pulse = Pulse(of_other)
    ear = Listening(of_other, lambda: heard.put(pulse.read().next_position))
    ear.start()
    try:
        until_heard(heard, 0)
        append(of_leader)
        until_heard(heard, 1)
        postgres_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        leader_append_again(of_leader)
        until_heard(heard, 2)
    finally:
        ear.stop()


def test_hubs_hear_of_each_other_without_looking(members, monkeypatch: pytest.MonkeyPatch):
    """A defect once left only the look behind it, each time over a connection of its own."""
    monkeypatch.setattr(listening, "POLL_S", 3600)
    (leader, of_leader), (other, of_other) = members("one"), members("two")
    assert leader.take()
    other.follow()
    heard: Queue[int] = Queue()
    pulse = Pulse(of_other)
    ear = Listening(of_other, lambda: heard.put(pulse.read().next_position))
    ear.start()
    try:
        until_heard(heard, 0)
        for position in (1, 2):
            append(of_leader)
            until_heard(heard, position)
    finally:
        ear._stopping.set()
        append(of_leader)  # It waits for nothing else.
        ear.stop()


def leader_append_again(database: Database) -> None:
    """Whatever was cut off is found anew."""
    for _ in range(5):
        try:
            append(database)
        except OSError:
            continue
        return


def until_heard(heard: Queue[int], position: int) -> None:
    while heard.get(timeout=PATIENCE_S) < position:
        pass


def test_a_leader_goes_on_when_its_server_comes_back(leaders, postgres_server: Server):
    one, log = leaders("one")
    assert one.take()
    log.commit(new_commit(0, [new_event()]))
    postgres_server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    with pytest.raises(DatabaseAway):
        log.commit(new_commit(1, [new_event()]))

    log.commit(new_commit(1, [new_event()]))
    assert not one.lost.is_set()


def test_a_server_that_restarted_is_used_again(database: Database, postgres_server: Server):
    log = EventRecorder(database)
    log.commit(new_commit(0, [new_event()]))
    assert log.head().next_position == 1
    postgres_server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )

    for attempt in (lambda: log.commit(new_commit(1, [new_event()])), log.head):
        with pytest.raises(DatabaseAway, match="the database failed"):
            attempt()
    log.commit(new_commit(1, [new_event()]))

    assert log.head().next_position == 2


def test_a_server_that_is_not_there_says_so_without_the_password(postgres_server: Server):
    url = postgres_server.url("no_such_database").replace("lienthong@", "lienthong:secret@")

    with pytest.raises(OSError, match="does not exist") as failure:
        is_missing(url)

    assert "secret" not in str(failure.value)


# --- Document keys ----------------------------------------------------------------


def test_document_keys_are_found_again_and_missed_where_there_are_none(empty_postgres_url: str):
    assert document_keys_missing(empty_postgres_url)
    one, two = uuid4(), uuid4()
    with closing(Database(empty_postgres_url)) as database:
        DocumentKeys(database).add({one: b"k" * 40, two: b"l" * 40})
        DocumentKeys(database).discard([one])

    assert not document_keys_missing(empty_postgres_url)
    with closing(ReadOnlyDatabase(empty_postgres_url)) as database:
        keys = DocumentKeys(database)
        assert (keys.get(one), keys.get(two)) == (None, b"l" * 40)
        with database.reading() as connection:
            rows = connection.exec_driver_sql("SELECT wrapped FROM document_keys ORDER BY number")
            assert rows.scalars().all() == [bytes(40), b"l" * 40]


def test_erasing_leaves_no_dead_row(filled: Database):
    log = EventRecorder(filled)
    Views(filled).apply(
        ViewChanges([new_document(ONE)], [new_delivery(ONE, "H02", 1)], []), start=0, end=1
    )
    (payload,) = log.payloads([digest_of("p")]).values()

    log.erase([payload.exchange_id], 1)

    with filled.reading() as connection:
        dead = connection.exec_driver_sql(
            "SELECT sum(n_dead_tup) FROM pg_stat_user_tables"
            " WHERE relname IN ('payloads', 'view_words')"
        )
        assert dead.scalar_one() == 0
    assert log.payload(digest_of("p")) is None
    assert log.erased_below() == 1


# --- What it costs ----------------------------------------------------------------


def test_a_commit_sends_as_many_statements_for_one_event_as_for_many(database: Database):
    sent: list[str] = []

    def seen(_c: object, _cursor: object, statement: str, *_others: object) -> None:
        sent.append(statement.split(maxsplit=1)[0])

    log, counts = EventRecorder(database), []
    sa.event.listen(sa.Engine, "before_cursor_execute", seen)
    try:
        for head, count in ((0, 1), (1, 256)):
            log.commit(
                new_commit(
                    head,
                    [new_event() for _ in range(count)],
                    requests=[new_request(f"{head}-{n}", offset=n) for n in range(count)],
                    inbox_heads={f"H{n}": head + 1 for n in range(count)},
                )
            )
            counts.append(sent.copy())
            sent.clear()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", seen)

    assert counts[0] == counts[1] == ["SELECT", "SELECT", "INSERT", "UPDATE", "INSERT", "INSERT"]
