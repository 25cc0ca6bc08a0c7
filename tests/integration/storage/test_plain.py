"""What goes to SQLite's driver as it is, is as durable and whole as by SQLAlchemy."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.plain import OnServer, Plain, scalar
from tests.integration.storage.test_database import EVERYWHERE, FULL, NORMAL
from tests.support.commits import new_commit, new_event

_MOVE = sa.update(schema.head).values(next_position=sa.bindparam("next"))
_INBOX = sa.insert(schema.inbox_heads)
_BOXES = sa.select(schema.inbox_heads.c.agency).where(
    schema.inbox_heads.c.agency.in_(sa.bindparam("ids", expanding=True))
)


def settings_of(plain: Plain, *names: str) -> dict[str, object]:
    return {name: scalar(plain, sa.text(f"PRAGMA {name}")) for name in names}


def test_what_is_not_disposable_is_synced_also_after_what_is(database: Database):
    for disposable, synchronous in ((False, FULL), (True, NORMAL), (False, FULL)):
        with database.changing(disposable=disposable) as plain:
            assert settings_of(plain, *EVERYWHERE) == EVERYWHERE
            assert settings_of(plain, "synchronous") == {"synchronous": synchronous}


def test_who_asks_cannot_write(database: Database):
    with database.asking() as plain:
        assert settings_of(plain, *EVERYWHERE) == EVERYWHERE
    with pytest.raises(OSError, match="readonly"), database.asking() as plain:
        plain.change(_MOVE, {"next": 100})


@pytest.mark.parametrize(
    "fail", [lambda plain: 1 // 0, lambda plain: plain.insert(_INBOX, [(None, 1)])]
)
def test_what_raises_is_rolled_back_and_the_next_is_not(
    database: Database, log: EventRecorder, fail: Callable[[Plain], object]
):
    def move_head_and_fail() -> None:
        with database.changing() as plain:
            plain.change(_MOVE, {"next": 100})
            fail(plain)

    with pytest.raises((ZeroDivisionError, sa.exc.IntegrityError)):
        move_head_and_fail()

    assert log.head().next_position == 0
    log.commit(new_commit(0, [new_event()]))
    assert log.head().next_position == 1


def test_both_kinds_of_writers_take_turns_and_see_each_other(url: str, database: Database):
    impatient = Database(url, busy_timeout_ms=1)
    for first, second in (
        (database.writing, impatient.changing),
        (database.changing, impatient.writing),
        (database.changing, impatient.changing),
    ):
        with first(), pytest.raises(OSError, match="locked"), second():
            pass
    with database.changing() as plain:
        plain.change(_MOVE, {"next": 7})
    with database.writing() as connection:
        assert connection.scalar(sa.select(schema.head.c.next_position)) == 7
    impatient.close()


def test_many_threads_ask_and_change_at_once(database: Database):
    def add(number: int) -> list[str]:
        with database.changing() as plain:
            plain.insert(_INBOX, [(f"H{number}", 1)])
        with database.asking() as plain:
            return [code for (code,) in plain.rows(_BOXES, {"ids": [f"H{number}", "H0"]})]

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(add, range(60)))

    assert all(f"H{number}" in codes for number, codes in enumerate(found))


def test_the_usual_way_does_the_same(database: Database):
    with database.writing() as connection:
        usual = OnServer(connection)
        usual.insert(_INBOX, [("H1", 1), ("H2", 2)])
        assert usual.change(_MOVE, {"next": 3}) == 1

    with database.asking() as plain:
        assert plain.rows(_BOXES, {"ids": ["H2", "H3"]}) == [("H2",)]
        assert plain.rows(_BOXES, {"ids": []}) == []
        assert scalar(plain, sa.text("SELECT next_position FROM head")) == 3


def test_what_it_says_of_a_failure_names_no_rows(database: Database):
    with pytest.raises(sa.exc.IntegrityError) as failure, database.changing() as plain:
        plain.insert(_INBOX, [("a secret", 1), ("a secret", 2)])

    assert not re.search("secret", str(failure.value))
