"""Whoever follows the log beside concurrent writers misses nothing and sees nothing twice."""

import random
from concurrent.futures import Future, ThreadPoolExecutor

from eventsourcing.persistence import RecordConflictError

from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from hub.application.ports import HeadMoved
from tests.support.commits import new_commit, new_event, new_request

WRITERS = 6
COMMITS_EACH = 25


def write(url: str, writer: int) -> list[bytes]:
    """Commit batches of random size, some of which conflict; what was reported written."""
    database = Database(url)
    log, choose, written = EventRecorder(database), random.Random(writer), []
    for number in range(COMMITS_EACH):
        states = [b"%d/%d/%d" % (writer, number, n) for n in range(choose.randint(1, 20))]
        # A third of the requests were accepted before, by this writer or by another.
        repeated = choose.random() < 1 / 3
        request = new_request("repeated" if repeated else f"{writer}/{number}")
        while True:
            head = log.head().next_position
            events = [new_event(state=state) for state in states]
            try:
                log.commit(new_commit(head, events, requests=[request]))
            except HeadMoved:
                continue
            except RecordConflictError:
                assert repeated
            else:
                written += states
            break
    database.close()
    return written


def follow(url: str, writers: list[Future[list[bytes]]]) -> list[bytes]:
    """Read on from position to position until the writers are done and all is read."""
    database = Database(url)
    log, seen = EventRecorder(database), []
    while True:
        done = all(writer.done() for writer in writers)
        page = log.entries(len(seen), 7)
        assert [entry.position for entry in page] == list(range(len(seen), len(seen) + len(page)))
        seen += [entry.state for entry in page]
        if done and not page:
            database.close()
            return seen


def test_a_reader_beside_writers_that_conflict_misses_nothing(each_url: str):
    with ThreadPoolExecutor() as threads:
        writers = [threads.submit(write, each_url, writer) for writer in range(WRITERS)]
        readers = [threads.submit(follow, each_url, writers) for _ in range(2)]
        written = [state for writer in writers for state in writer.result()]
        first, second = (reader.result() for reader in readers)

    assert first == second
    assert sorted(first) == sorted(written)


def test_a_subscription_delivers_old_and_new_events_once_in_order(log: EventRecorder):
    log.commit(new_commit(0, [new_event() for _ in range(3)]))

    with log.subscribe(gt=1) as subscription, ThreadPoolExecutor() as threads:
        threads.submit(log.insert_events, [new_event() for _ in range(600)])
        ids = [next(subscription).id for _ in range(602)]

    assert ids == list(range(2, 604))


def test_a_subscription_may_ask_for_some_topics(log: EventRecorder):
    log.insert_events([new_event(topic="a"), new_event(topic="b"), new_event(topic="a")])

    with log.subscribe(topics=["a"]) as subscription:
        assert [next(subscription).id for _ in range(2)] == [1, 3]
