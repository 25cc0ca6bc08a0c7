"""What every EventLog must do, whichever adapter provides it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import RecordConflictError

from adapters.memory.events import MemoryEventLog
from adapters.storage.events import EventRecorder
from hub.application.ports import AcceptedRequest, EventLog, Head, HeadMoved, SealedPayload
from hub.domain.axis_link import AxisLink
from hub.domain.catalogue import ERASURE_TOPICS, REGISTRY_TOPICS
from hub.domain.revocation_evidence import RevocationEvidence
from hub.domain.timestamp import Timestamp
from tests.support.commits import (
    REGISTRY_TOPIC,
    digest_of,
    new_commit,
    new_event,
    new_request,
)

TIMESTAMP_TOPIC = Timestamp.Created.TOPIC


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def log(request: pytest.FixtureRequest) -> EventLog:
    if request.param == "memory":
        return MemoryEventLog()
    return EventRecorder(request.getfixturevalue(request.param))


def test_an_empty_log_has_no_registry(log: EventLog):
    assert log.head() == Head(next_position=0, registry_version=-1)
    assert list(log.entries(0, 10)) == []
    assert list(log.registry_entries()) == []
    assert log.request_count() == 0


def test_positions_count_from_zero_without_gaps(log: EventLog):
    log.commit(new_commit(0, [new_event(state=b"a"), new_event(state=b"b")]))
    log.commit(new_commit(2, [new_event(state=b"c")]))

    assert [(entry.position, entry.state) for entry in log.entries(0, 10)] == [
        (0, b"a"),
        (1, b"b"),
        (2, b"c"),
    ]
    assert log.head().next_position == 3


def test_entries_are_paged(log: EventLog):
    log.commit(new_commit(0, [new_event() for _ in range(5)]))

    assert [entry.position for entry in log.entries(1, 3)] == [1, 2, 3]
    assert [entry.position for entry in log.entries(4, 3)] == [4]
    assert list(log.entries(5, 3)) == []


def test_the_entries_of_some_aggregates_come_in_the_order_of_the_log(log: EventLog):
    one, two, three = uuid4(), uuid4(), uuid4()
    owners = [one, two, three, one, two, one, three]
    versions = [owners[: n + 1].count(owner) for n, owner in enumerate(owners)]
    log.commit(
        new_commit(
            0,
            [
                replace(new_event(version=version), originator_id=owner)
                for owner, version in zip(owners, versions, strict=True)
            ],
        )
    )

    def positions(*ids: UUID, start: int = 0, limit: int = 100) -> list[int]:
        return [entry.position for entry in log.entries_of(ids, start, limit)]

    assert positions(one, two) == [0, 1, 3, 4, 5]
    assert positions(two, one, one, start=3) == [3, 4, 5]
    assert positions(one, two, start=1, limit=2) == [1, 3]
    nothing = (positions(), positions(uuid4()), positions(one, start=6), positions(one, limit=0))
    assert nothing == ([], [], [], [])
    # Far more aggregates than a statement has parameters.
    strangers = [uuid4() for _ in range(1000)]
    assert positions(*strangers, three, *strangers) == [2, 6]
    (entry,) = log.entries_of([two], 4, 1)
    assert entry == log.entries(4, 1)[0]


def test_an_entry_comes_back_as_it_was_written(log: EventLog):
    event = new_event(version=1, state=bytes(range(256)))
    log.commit(new_commit(0, [event]))

    (entry,) = log.entries(0, 1)

    assert (entry.aggregate_id, entry.version, entry.topic, entry.state) == (
        event.originator_id,
        event.originator_version,
        event.topic,
        event.state,
    )


def test_a_commit_on_an_old_head_is_refused_and_leaves_no_trace(log: EventLog):
    log.commit(new_commit(0, [new_event()]))

    for wrong in (0, 2):
        with pytest.raises(HeadMoved):
            log.commit(new_commit(wrong, [new_event()], requests=[new_request("r")]))

    assert log.head().next_position == 1
    assert log.requests([("H01", "r")]) == {}


def test_the_head_remembers_the_last_registry_event(log: EventLog):
    registry = [new_event(topic=REGISTRY_TOPIC) for _ in range(2)]
    log.commit(new_commit(0, [registry[0], new_event(), registry[1], new_event()]))
    assert log.head() == Head(next_position=4, registry_version=2)

    log.commit(new_commit(4, [new_event()]))
    assert log.head() == Head(next_position=5, registry_version=2)

    assert [entry.position for entry in log.registry_entries()] == [0, 2]


def test_a_registry_offset_that_is_not_the_last_is_refused(log: EventLog):
    commit = new_commit(0, [new_event(topic=REGISTRY_TOPIC), new_event()])

    for wrong in (None, 1):
        with pytest.raises(ValueError, match="registry_offset"):
            log.commit(replace(commit, registry_offset=wrong))

    assert log.head().next_position == 0


def test_the_history_of_an_aggregate_comes_oldest_first(log: EventLog):
    one = uuid4()
    history = [new_event(one, version, state=b"%d" % version) for version in (1, 2, 3)]
    log.commit(new_commit(0, [history[0], new_event(), history[1]]))
    log.commit(new_commit(3, [history[2]]))

    assert list(log.select_events(one)) == history
    assert list(log.select_events(uuid4())) == []


def test_a_version_is_recorded_once(log: EventLog):
    event = new_event()
    log.commit(new_commit(0, [event]))

    with pytest.raises(RecordConflictError):
        log.commit(new_commit(1, [new_event(), event]))

    assert log.head().next_position == 1


def test_an_accepted_request_is_found_by_its_key_and_its_digest(log: EventLog):
    exchange_id = uuid4()
    request = new_request("r-1", offset=1, exchange_id=exchange_id)
    log.commit(new_commit(0, [new_event()]))
    log.commit(new_commit(1, [new_event(), new_event()], requests=[request]))

    accepted = AcceptedRequest("H01", "r-1", digest_of("r-1"), 2, exchange_id)

    assert log.requests([("H01", "r-1"), ("H01", "r-2")]) == {("H01", "r-1"): accepted}
    assert log.request_of(digest_of("r-1")) == accepted
    assert log.request_of(digest_of("r-2")) is None
    assert log.request_count() == 1


def test_two_callers_may_use_one_request_id_each(log: EventLog):
    both = [new_request("r", caller=caller) for caller in ("H01", "H02")]
    log.commit(new_commit(0, [new_event()], requests=both))

    assert log.requests([("H01", "r")]).keys() == {("H01", "r")}
    assert log.requests([("H01", "r"), ("H02", "r"), ("H03", "r")]).keys() == {
        ("H01", "r"),
        ("H02", "r"),
    }


def test_two_operators_may_ask_for_the_same_in_the_same_bytes(log: EventLog):
    same = digest_of("same")
    for position, caller in enumerate(("operator-1", "operator-2")):
        request = new_request("r", caller=caller, digest=same)
        log.commit(new_commit(position, [new_event()], requests=[request]))

    first = log.request_of(same)

    assert first is not None
    assert first.caller == "operator-1"
    assert first.exchange_id is None


def test_a_request_id_is_accepted_once_and_takes_its_whole_batch_along(log: EventLog):
    log.commit(new_commit(0, [new_event()], requests=[new_request("r")]))

    with pytest.raises(RecordConflictError, match="accepted before"):
        log.commit(
            new_commit(
                1,
                [new_event(), new_event()],
                requests=[new_request("other"), new_request("r", digest=digest_of("new"))],
                evidence=[b"certificate"],
                inbox_heads={"H02": 1},
                outbox_heads={"H01": 1},
            )
        )

    assert log.head().next_position == 1
    assert log.requests([("H01", "other")]) == {}
    assert log.evidence(digest_of("certificate")) is None
    assert log.inbox_heads(["H02"]) == {}
    assert log.outbox_heads(["H01"]) == {}


def test_a_request_for_an_event_outside_its_commit_is_refused(log: EventLog):
    for offset in (-1, 1):
        with pytest.raises(ValueError, match="not in its commit"):
            log.commit(new_commit(0, [new_event()], requests=[new_request("r", offset=offset)]))


def test_many_requests_are_found_at_once(log: EventLog):
    count = 1500
    events = [new_event() for _ in range(count)]
    requests = [new_request(f"r-{n}", offset=n) for n in range(count)]
    log.commit(new_commit(0, events, requests=requests))

    found = log.requests([("H01", f"r-{n}") for n in range(count + 10)])

    assert [found["H01", f"r-{n}"].position for n in range(count)] == list(range(count))
    assert len(found) == count
    assert log.requests([]) == {}


def test_a_payload_is_kept_sealed_with_its_exchange(log: EventLog):
    payload = SealedPayload(digest_of("payload"), uuid4(), b"\x00sealed")
    log.commit(new_commit(0, [new_event()], payloads=[payload]))

    assert log.payload(payload.digest) == payload
    assert log.payload(digest_of("another")) is None


def test_many_payloads_are_read_at_once_and_those_that_are_gone_left_out(log: EventLog):
    exchange_id = uuid4()
    payloads = [
        SealedPayload(digest_of(f"payload {n}"), exchange_id, b"%d" % n) for n in range(900)
    ]
    log.commit(new_commit(0, [new_event()], payloads=payloads))

    found = log.payloads([payload.digest for payload in payloads] + [digest_of("another")])

    assert found == {payload.digest: payload for payload in payloads}
    assert log.payloads([]) == {}


def test_a_payload_is_never_replaced(log: EventLog):
    payload = SealedPayload(digest_of("payload"), uuid4(), b"sealed")
    log.commit(new_commit(0, [new_event()], payloads=[payload]))

    with pytest.raises(RecordConflictError):
        log.commit(new_commit(1, [new_event()], payloads=[replace(payload, sealed=b"other")]))

    assert log.payload(payload.digest) == payload


def test_evidence_may_be_given_again(log: EventLog):
    log.commit(new_commit(0, [new_event()], evidence=[b"issuer", b"one"]))
    log.commit(new_commit(1, [new_event()], evidence=[b"issuer", b"two"]))

    assert log.evidence(digest_of("issuer")) == b"issuer"
    assert log.evidence(digest_of("two")) == b"two"


def test_evidence_under_a_false_digest_is_refused(log: EventLog):
    commit = replace(new_commit(0, [new_event()]), evidence={digest_of("a"): b"b"})

    with pytest.raises(ValueError, match="digest"):
        log.commit(commit)

    assert log.head().next_position == 0


@pytest.mark.parametrize("box", ["inbox_heads", "outbox_heads"])
def test_the_numbers_of_a_box_move_on_and_never_back(log: EventLog, box: str):
    log.commit(new_commit(0, [new_event()], **{box: {"H01": 2, "H02": 1}}))
    log.commit(new_commit(1, [new_event()], **{box: {"H01": 5}}))

    with pytest.raises(RecordConflictError, match="given before"):
        log.commit(new_commit(2, [new_event()], **{box: {"H01": 4}}))

    assert log.head().next_position == 2
    assert getattr(log, box)(["H01", "H02", "H03"]) == {"H01": 5, "H02": 1}
    assert getattr(log, box)([]) == {}


def test_an_inbox_and_an_outbox_are_numbered_apart(log: EventLog):
    log.commit(new_commit(0, [new_event()], inbox_heads={"H01": 7}, outbox_heads={"H01": 2}))
    log.commit(new_commit(1, [new_event()], outbox_heads={"H01": 3}))

    assert log.inbox_heads(["H01"]) == {"H01": 7}
    assert log.outbox_heads(["H01"]) == {"H01": 3}


def test_timestamps_are_found_in_their_order_and_paged(log: EventLog):
    topics = [TIMESTAMP_TOPIC, "hub.Agency.SubmissionRefused", TIMESTAMP_TOPIC, TIMESTAMP_TOPIC]
    log.commit(new_commit(0, [new_event(topic=topic) for topic in topics]))

    assert [entry.position for entry in log.timestamps(0, 10)] == [0, 2, 3]
    assert [entry.position for entry in log.timestamps(1, 1)] == [2]
    assert list(log.timestamps(4, 10)) == []
    assert {entry.topic for entry in log.timestamps(0, 10)} == {TIMESTAMP_TOPIC}


def test_what_issuers_said_of_revocation_is_found_from_a_position_back(log: EventLog):
    topic = RevocationEvidence.Created.TOPIC
    topics = [topic, "hub.Agency.SubmissionRefused", topic, topic]
    events = [new_event(topic=each) for each in topics]
    log.commit(replace(new_commit(0, events), registry_offset=3))

    assert [entry.position for entry in log.revocation_evidence(9, 10)] == [3, 2, 0]
    assert [entry.position for entry in log.revocation_evidence(3, 1)] == [2]
    assert list(log.revocation_evidence(0, 10)) == []


def test_comparisons_with_the_axis_are_found_from_a_position_back(log: EventLog):
    topic = AxisLink.ReconciliationMade.TOPIC
    topics = [topic, "hub.Agency.SubmissionRefused", topic]
    log.commit(new_commit(0, [new_event(topic=each) for each in topics]))

    assert [entry.position for entry in log.reconciliations(9, 10)] == [2, 0]
    assert [entry.position for entry in log.reconciliations(2, 1)] == [0]
    assert list(log.reconciliations(0, 10)) == []


def test_what_was_erased_is_found_whatever_it_was(log: EventLog):
    topics = sorted(ERASURE_TOPICS)
    log.commit(new_commit(0, [new_event(topic=each) for each in [*topics, "hub.Relay.RelaySent"]]))

    assert [each.position for each in log.erasures(0, 10)] == [0, 1]
    assert [each.position for each in log.erasures(1, 10)] == [1]


# --- Several hubs append --------------------------------------------------------------------


def test_what_is_appended_is_kept_once_the_block_is_left(log: EventLog):
    log.commit(new_commit(0, [new_event(topic=REGISTRY_TOPIC)]))

    with log.appending() as end:
        assert end.head == Head(next_position=1, registry_version=0)
        end.append(new_commit(1, [new_event()], requests=[new_request("r")]))

    assert log.head() == Head(next_position=2, registry_version=0)
    assert log.requests([("H01", "r")])["H01", "r"].position == 1
    with log.appending():
        pass
    assert log.head().next_position == 2


def test_a_block_that_fails_leaves_no_trace(log: EventLog):
    def fail() -> None:
        with log.appending() as end:
            end.append(new_commit(0, [new_event()]))
            raise LookupError

    with pytest.raises(LookupError):
        fail()

    assert log.head().next_position == 0
    with pytest.raises(HeadMoved), log.appending() as end:
        end.append(new_commit(7, [new_event()]))


def test_whoever_holds_the_end_reads_all_that_was_appended_before(log: EventLog):
    count, threads = 20, 4

    def append() -> None:
        for _ in range(count):
            with log.appending() as end:
                position = end.head.next_position
                assert log.head() == end.head
                assert len(log.entries(0, 1000)) == position
                heads = {"H01": log.inbox_heads(["H01"]).get("H01", 0) + 1}
                end.append(new_commit(position, [new_event()], inbox_heads=heads))

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(append) for _ in range(threads)]:
            done.result()

    assert log.inbox_heads(["H01"]) == {"H01": count * threads}
    assert [each.position for each in log.entries(0, 1000)] == list(range(count * threads))


def test_the_register_is_read_on_from_a_position(log: EventLog):
    topics = [REGISTRY_TOPIC, new_event().topic, REGISTRY_TOPIC, REGISTRY_TOPIC]
    log.commit(new_commit(0, [new_event(topic=topic) for topic in topics]))

    def positions(after: int) -> list[int]:
        return [entry.position for entry in log.registry_entries(after)]

    assert [positions(after) for after in (-1, 0, 1, 2, 3)] == [[0, 2, 3], [2, 3], [2, 3], [3], []]


def test_of_the_register_only_some_topics_are_read_where_they_are_named(log: EventLog):
    other = next(topic for topic in sorted(REGISTRY_TOPICS) if topic != REGISTRY_TOPIC)
    topics = [REGISTRY_TOPIC, other, new_event().topic, other, REGISTRY_TOPIC]
    log.commit(new_commit(0, [new_event(topic=topic) for topic in topics]))

    def positions(*wanted: str, after: int = -1) -> list[int]:
        return [entry.position for entry in log.registry_entries(after, topics=wanted)]

    assert positions(other) == [1, 3]
    assert positions(other, after=1) == [3]
    assert positions(REGISTRY_TOPIC, other) == [0, 1, 3, 4]
    assert positions(new_event().topic) == [], "what does not concern the register is not in it"
