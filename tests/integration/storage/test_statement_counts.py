"""What a batch costs does not depend on how much is in it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.tree import TreeStore
from adapters.storage.views import Views
from hub.application.ports import Commit, SealedPayload, ViewChanges
from tests.support.commits import REGISTRY_TOPIC, digest_of, new_commit, new_event, new_request
from tests.support.views import new_delivery, new_document, new_notice

AT = datetime(2026, 11, 22, tzinfo=UTC)


class Statements:
    """Every statement sent to a database in this process, with its parameters."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, object]] = []

    def take(self) -> list[tuple[str, object]]:
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def statements() -> Iterator[Statements]:
    statements = Statements()

    def seen(
        _connection: object, _cursor: object, statement: str, parameters: object, *_others: object
    ) -> None:
        statements.sent.append((statement, parameters))

    event.listen(sa.Engine, "before_cursor_execute", seen)
    yield statements
    event.remove(sa.Engine, "before_cursor_execute", seen)


def a_commit(expected_head: int, count: int) -> Commit:
    events = [new_event(topic=REGISTRY_TOPIC) for _ in range(count)]
    name = f"{expected_head}-{{}}".format
    return new_commit(
        expected_head,
        events,
        requests=[new_request(name(n), offset=n) for n in range(count)],
        payloads=[SealedPayload(digest_of(name(n)), uuid4(), b"sealed") for n in range(count)],
        evidence=[name(n).encode() for n in range(count)],
        inbox_heads={f"H{n}": expected_head + 1 for n in range(count)},
        outbox_heads={f"H{n}": expected_head + 1 for n in range(count)},
    )


def changes(position: int, count: int) -> ViewChanges:
    ids = [(uuid4(), f"R{n}") for n in range(count)]
    return ViewChanges(
        [new_document(each, position) for each, _recipient in ids],
        [new_delivery(each, recipient, position + 1, position) for each, recipient in ids],
        [new_notice(each, recipient, position + 1, position) for each, recipient in ids],
    )


def test_a_commit_is_one_transaction_of_as_many_statements_for_one_event_as_for_many(
    log: EventRecorder, statements: Statements
):
    head, counts = 0, []
    for count in (1, 2, 256):
        log.commit(a_commit(head, count))
        head += count
        counts.append([statement.split("(")[0] for statement, _ in statements.take()])

    assert counts[0] == counts[1] == counts[2]
    assert [statement.split()[0] for statement in counts[0]] == [
        "BEGIN",
        "SELECT",  # the head
        "INSERT",  # events
        "UPDATE",  # the head
        "INSERT",  # requests
        "INSERT",  # payloads
        "INSERT",  # evidence
        "INSERT",  # inbox heads
        "INSERT",  # outbox heads
    ]


def test_what_a_commit_does_not_write_costs_nothing(log: EventRecorder, statements: Statements):
    log.commit(new_commit(0, [new_event() for _ in range(100)]))

    assert len(statements.take()) == 4


def test_views_take_in_any_batch_in_five_statements(database: Database, statements: Statements):
    views = Views(database)
    for start, count in ((0, 1), (1, 200)):
        views.apply(changes(start, count), start=start, end=start + 1)
        assert len(statements.take()) == 1 + 5  # BEGIN and five


def test_publishing_any_tiles_takes_four_statements(database: Database, statements: Statements):
    tree = TreeStore(database)
    for size, count in ((1, 1), (2, 50)):
        tree.publish({(0, n): digest_of("a") for n in range(count)}, size, b"note")
        assert len(statements.take()) == 1 + 4  # BEGIN and four


def test_every_question_is_one_statement_along_an_index(
    database: Database, log: EventRecorder, statements: Statements
):
    log.commit(a_commit(0, 10))
    views, tree = Views(database), TreeStore(database)
    questions = [
        lambda: log.entries(3, 2),
        lambda: list(log.registry_entries()),
        lambda: log.timestamps(3, 2),
        lambda: log.revocation_evidence(3, 2),
        lambda: log.select_events(uuid4()),
        lambda: log.requests([("H01", f"0-{n}") for n in range(256)]),
        lambda: log.request_of(digest_of("0-1")),
        lambda: log.payload(digest_of("0-1")),
        lambda: log.evidence(digest_of("0-1")),
        lambda: log.inbox_heads([f"H{n}" for n in range(222)]),
        lambda: log.outbox_heads([f"H{n}" for n in range(222)]),
        lambda: log.select_notifications(3, 10),
        lambda: tree.tile(0, 0),
        tree.latest_checkpoint,
        lambda: tree.checkpoint_covering(3),
        lambda: views.inbox("H01", 3, 10),
        lambda: views.outbox("H01", 3, 10),
        lambda: views.overdue(AT, 10),
        lambda: views.deliveries(uuid4()),
        lambda: views.delivery(uuid4(), "H01"),
        lambda: views.document(uuid4()),
        lambda: views.documents([uuid4() for _ in range(256)]),
        lambda: views.deliveries_at([(uuid4(), f"H{n}") for n in range(256)]),
    ]
    statements.take()
    for question in questions:
        question()
        begin, (statement, parameters) = statements.take()
        assert begin[0] == "BEGIN"
        with database.reading() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        statements.take()
        steps = "; ".join(step.detail for step in plan)
        # The checkpoints and the registry are walked in the order of their index, and what is
        # asked for as it stands in the statement.
        allowed = ("checkpoints", "registry", "wanted")
        assert "SCAN" not in steps or any(name in steps for name in allowed), steps
        assert "TEMP B-TREE" not in steps, f"{statement}: {steps}"


@pytest.mark.parametrize("kind", ["timestamps", "revocation_evidence"])
def test_rare_events_are_found_without_looking_at_others(
    database: Database, log: EventRecorder, statements: Statements, kind: str
):
    log.commit(a_commit(0, 10))
    statements.take()
    getattr(log, kind)(3, 2)
    _begin, (statement, parameters) = statements.take()

    with database.reading() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()

    assert [f"USING INDEX events_of_{kind}" in step.detail for step in plan] == [True]
