"""Every write of the ledger's write order, broken in two forms: lost, and kept all the same.

After each the caller is told the truth, the same bytes sent again give one document and
one receipt, and a hub that starts from what is left agrees with itself.
"""

from pathlib import Path
from typing import Any

import pytest

from adapters.memory.faults import Fault
from adapters.memory.signer import MemorySigner
from hub.application.agencies import RegisterAgency
from hub.application.ports import ViewChanges
from hub.application.refusals import RecordRefusal
from hub.errors import ExchangeUnknown, LedgerMismatch, LogFrozen, ReceiptDelayed, Unavailable
from hub.proof.checkpoint import Checkpoint
from hub.proof.receipt import verify_receipt
from tests.support.builders import (
    OPERATOR,
    OTHER,
    RECIPIENT,
    SENDER,
    MemoryHub,
    Party,
    check_whole,
    new_hub,
    new_request_id,
    request_id_of,
    run,
)
from tests.support.commands import status_command, submit_command

CONTENTS = [b"the first" * 1000, b"the second"]
sender, recipient = Party(SENDER), Party(RECIPIENT)

FORMS = pytest.mark.parametrize("fault", [Fault.LOST, Fault.KEPT], ids=["lost", "kept"])

# In the order of docs/decisions and of the code: what is written, what the caller hears,
# and whether the event stands when the write was lost.
WRITES = [
    ("content.put", Unavailable, False),
    ("document_keys.add", Unavailable, False),
    ("log.commit", Unavailable, False),
    ("signer.sign", ReceiptDelayed, True),
    ("tree.publish", ReceiptDelayed, True),
]
EACH_WRITE = pytest.mark.parametrize(
    ("write", "answer", "stands"), WRITES, ids=[write for write, _, _ in WRITES]
)


def documents(hub: MemoryHub) -> int:
    return hub.topics().count("DocumentSubmitted")


@FORMS
@EACH_WRITE
def test_a_submission_is_finished_by_sending_it_again(write, answer, stands, fault):
    hub = new_hub()
    envelope = sender.envelope(RECIPIENT, OTHER, contents=CONTENTS)
    hub.break_next(write, fault)

    with pytest.raises(answer):
        hub.submit(SENDER, envelope, CONTENTS)
    kept_all_the_same = write == "log.commit" and fault is Fault.KEPT
    assert documents(hub) == (1 if stands or kept_all_the_same else 0)

    recorded = hub.submit(SENDER, envelope, CONTENTS)
    assert documents(hub) == 1
    assert hub.submit(SENDER, envelope, CONTENTS) == recorded
    check_whole(hub)
    check_whole(hub.restarted())


@FORMS
@EACH_WRITE
def test_a_submission_is_finished_after_a_crash(write, answer, stands, fault):
    hub = new_hub()
    envelope = sender.envelope(RECIPIENT, contents=CONTENTS)
    hub.break_next(write, fault)
    with pytest.raises(answer):
        hub.submit(SENDER, envelope, CONTENTS)

    hub = hub.restarted()
    check_whole(hub)
    before = documents(hub)
    recorded = hub.submit(SENDER, envelope, CONTENTS)

    assert (before, documents(hub)) in {(0, 1), (1, 1)}
    assert hub.restarted().submit(SENDER, envelope, CONTENTS) == recorded
    check_whole(hub)


@FORMS
@pytest.mark.parametrize(("write", "answer"), [(write, answer) for write, answer, _ in WRITES[2:]])
@pytest.mark.parametrize("kind", ["collect", "status"])
def test_what_a_recipient_says_is_finished_by_saying_it_again(kind, write, answer, fault):
    hub = new_hub()
    envelope = sender.envelope(contents=CONTENTS)
    hub.submit(SENDER, envelope, CONTENTS)
    if kind == "collect":
        statement, say = recipient.collect(envelope), hub.collect
    else:
        statement, say = recipient.status(envelope, "03"), hub.report
    hub.break_next(write, fault)

    with pytest.raises(answer):
        say(RECIPIENT, statement)

    first = say(RECIPIENT, statement)
    assert say(RECIPIENT, statement) == first
    assert len(hub.topics()) == 12
    check_whole(hub)
    check_whole(hub.restarted())


@FORMS
def test_a_second_attachment_that_cannot_be_stored_is_no_document(fault):
    hub = new_hub()
    envelope = sender.envelope(contents=CONTENTS)
    put = hub.stores.content.put

    def put_one(exchange_id, index, content, key):
        if index == 1:
            hub.break_next("content.put", fault)
        put(exchange_id, index, content, key)

    hub.stores.content.put = put_one
    with pytest.raises(Unavailable):
        hub.submit(SENDER, envelope, CONTENTS)
    del hub.stores.content.put

    assert documents(hub) == 0
    hub.submit(SENDER, envelope, CONTENTS)
    assert documents(hub) == 1
    check_whole(hub)


@FORMS
def test_a_receipt_stands_though_the_lists_fail_and_the_lists_follow(fault):
    hub = new_hub()
    envelope = sender.envelope()
    hub.break_next("views.apply", fault)

    recorded = hub.submit(SENDER, envelope)

    assert hub.engine.behind, "somebody must come back for the lists without being asked"
    assert hub.process() == []
    assert not hub.engine.behind
    assert hub.submit(SENDER, envelope) == recorded
    check_whole(hub)


@FORMS
def test_lists_that_failed_before_a_crash_are_complete_after_it(fault):
    hub = new_hub()
    hub.break_next("views.apply", fault)
    hub.submit(SENDER, sender.envelope())

    check_whole(hub.restarted())


@FORMS
def test_a_batch_that_was_not_recorded_refuses_nobody(fault):
    """Else a caller would be refused for what an earlier command of the batch never did."""
    hub = new_hub()
    one = RegisterAgency(OPERATOR, new_request_id(), "H77", "Sở Một")
    two = RegisterAgency(OPERATOR, new_request_id(), "H77", "Sở Hai")
    reused = RegisterAgency(OPERATOR, one.request_id, "H78", "Sở Ba")
    hub.break_next("log.commit", fault)

    outcomes = hub.process(one, two, reused)

    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    assert hub.process(one)[0].position == 10
    check_whole(hub)


@FORMS
@pytest.mark.parametrize("write", ["log.commit", "signer.sign", "tree.publish"])
def test_all_of_a_batch_stands_or_nothing(write, fault):
    hub = new_hub()
    envelopes = [sender.envelope(RECIPIENT, OTHER) for _ in range(5)]
    commands = [submit_command(hub, sender, envelope) for envelope in envelopes]
    hub.break_next(write, fault)

    outcomes = hub.process(*commands)

    answer = Unavailable if write == "log.commit" else ReceiptDelayed
    assert [type(outcome) for outcome in outcomes] == [answer] * 5
    assert documents(hub) in {0, 5}
    again = hub.done(*commands)
    assert [recorded.position for recorded in again] == list(range(10, 15))
    assert [line.seq for line, *_ in hub.views.inbox(OTHER, 0, 9)] == [1, 2, 3, 4, 5]
    check_whole(hub)
    check_whole(hub.restarted())


@FORMS
@pytest.mark.parametrize("write", ["signer.sign", "tree.publish"])
def test_nobody_sees_a_fact_that_no_checkpoint_covers(write, fault):
    hub = new_hub()
    envelope = sender.envelope()
    hub.break_next(write, fault)
    with pytest.raises(ReceiptDelayed):
        hub.submit(SENDER, envelope)

    assert hub.receipts.size == 10
    assert hub.views.inbox(RECIPIENT, 0, 10) == []
    with pytest.raises(ReceiptDelayed):
        hub.receipts.receipt(10)
    statement = recipient.status(envelope, "01")
    with pytest.raises(ExchangeUnknown):
        hub.report(RECIPIENT, statement)

    hub.process()
    assert hub.report(RECIPIENT, statement).position == 11
    check_whole(hub)


@pytest.mark.parametrize("write", ["signer.sign", "tree.publish"])
def test_a_lone_failure_is_made_good_without_anybody_asking(write):
    hub = new_hub()
    hub.break_next(write, Fault.LOST)
    with pytest.raises(ReceiptDelayed):
        hub.submit(SENDER, sender.envelope())

    assert hub.engine.behind
    assert hub.process() == []

    assert not hub.engine.behind
    check_whole(hub)


# --- Double faults ------------------------------------------------------------------------

READS_OF_A_RELOAD = ["tree.latest_checkpoint", "log.entries", "log.head", "log.registry_entries"]


@FORMS
@pytest.mark.parametrize("read", READS_OF_A_RELOAD)
@pytest.mark.parametrize("write", [write for write, _, _ in WRITES[1:]])
def test_nothing_is_accepted_before_a_clean_reload(write, read, fault):
    hub = new_hub()
    envelope = sender.envelope()
    hub.break_next(write, fault)
    with pytest.raises((Unavailable, ReceiptDelayed)):
        hub.submit(SENDER, envelope)
    count = hub.stores.log.head().next_position

    for _ in range(3):
        hub.break_next(read, Fault.LOST)
        another = submit_command(hub, sender, sender.envelope())
        (outcome,) = hub.process(another)
        assert isinstance(outcome, Unavailable)
        assert hub.stores.log.head().next_position == count
        assert hub.engine.behind

    hub.submit(SENDER, envelope)
    assert documents(hub) == 1
    check_whole(hub)
    check_whole(hub.restarted())


@FORMS
@pytest.mark.parametrize("second", ["signer.sign", "tree.publish"])
@pytest.mark.parametrize("first", ["log.commit", "signer.sign", "tree.publish"])
def test_the_work_left_undone_may_fail_again(first, second, fault):
    hub = new_hub()
    envelope = sender.envelope(contents=CONTENTS)
    # A publication that was kept would leave nothing undone.
    hub.break_next(first, Fault.LOST if first == "tree.publish" else Fault.KEPT)
    with pytest.raises((Unavailable, ReceiptDelayed)):
        hub.submit(SENDER, envelope, CONTENTS)
    hub.break_next(second, fault)

    # The reload signs what was left, and fails: nothing was taken in.
    (outcome,) = hub.process(submit_command(hub, sender, sender.envelope()))
    assert isinstance(outcome, Unavailable)
    assert documents(hub) == 1

    hub.submit(SENDER, envelope, CONTENTS)
    assert documents(hub) == 1
    check_whole(hub)
    check_whole(hub.restarted())


@FORMS
def test_a_start_that_fails_can_be_tried_again(fault):
    hub = new_hub()
    hub.break_next("signer.sign", Fault.LOST)
    with pytest.raises(ReceiptDelayed):
        hub.submit(SENDER, sender.envelope())
    for write in ("signer.sign", "tree.publish"):
        hub.break_next(write, fault)
        with pytest.raises(OSError, match="on purpose"):
            hub.restarted()

    check_whole(hub.restarted())


@pytest.mark.parametrize(
    "read",
    [
        "log.requests",
        "log.inbox_heads",
        "log.outbox_heads",
        "log.select_events",
        "document_keys.get",
    ],
)
def test_a_read_that_fails_while_a_batch_is_decided_refuses_nobody(read):
    hub = new_hub()
    envelope = sender.envelope()
    hub.submit(SENDER, envelope)
    hub = hub.restarted()  # Which remembers no aggregate and no key.
    commands = [
        submit_command(hub, sender, sender.envelope()),
        status_command(hub, recipient, envelope, "03"),
    ]
    hub.break_next(read, Fault.LOST)

    outcomes = hub.process(*commands)

    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 2
    assert len(hub.topics()) == 11
    assert [recorded.position for recorded in hub.done(*commands)] == [11, 12]
    check_whole(hub)


# --- Others write, and stores that contradict themselves ----------------------------------


def test_a_batch_that_came_too_late_is_decided_again_on_the_new_head():
    hub = new_hub()
    late, early = sender.envelope(), sender.envelope()
    other = hub.restarted()
    # Another process commits between this hub's look at the log and its own commit.
    other.submit(SENDER, early)

    with pytest.raises(Unavailable):
        hub.submit(SENDER, late)

    assert documents(hub) == 1
    hub.submit(SENDER, late)
    assert [line.seq for line, *_ in hub.views.inbox(RECIPIENT, 0, 9)] == [1, 2]
    assert hub.submit(SENDER, early).position == 10
    check_whole(hub)


def test_what_another_process_accepted_is_not_accepted_twice():
    hub = new_hub()
    envelope = sender.envelope()
    recorded = hub.restarted().submit(SENDER, envelope)
    command = submit_command(hub, sender, envelope)

    # Found by the look-up, although this hub's own tree is behind: after a reload it knows.
    outcomes = [hub.process(command)[0] for _ in range(2)]

    assert recorded in outcomes
    assert documents(hub) == 1
    check_whole(hub)


def spoil_an_event(hub: MemoryHub) -> None:
    entries = hub.stores.log._tables.entries
    entries[4] = entries[4]._replace(state=entries[4].state.replace(b"H01", b"H10"))


def spoil_a_tile(hub: MemoryHub) -> None:
    tiles = hub.stores.tree._tiles
    tiles[0, 0] = bytes(32) + tiles[0, 0][32:]


def lose_the_end_of_the_log(hub: MemoryHub) -> None:
    del hub.stores.log._tables.entries[-2:]


def lose_the_signers_memory(hub: MemoryHub) -> None:
    hub.stores.signer._last = None


def restore_an_older_signer(hub: MemoryHub) -> None:
    hub.stores.signer._last = Checkpoint(hub.signer.verifier_key.name, 4, bytes(32))


def forge_a_checkpoint(hub: MemoryHub) -> None:
    checkpoints = hub.stores.tree._checkpoints
    checkpoints[10] = checkpoints[10].replace(b"\n10\n", b"\n11\n")


SPOILT = pytest.mark.parametrize(
    ("spoil", "position"),
    [
        (spoil_an_event, 4),
        (spoil_a_tile, 0),
        (lose_the_end_of_the_log, 8),
        (lose_the_signers_memory, 0),
        (restore_an_older_signer, 4),
        (forge_a_checkpoint, None),
    ],
)


@SPOILT
def test_stores_that_contradict_themselves_freeze_the_log_for_all(spoil, position):
    hub = new_hub()
    envelope = sender.envelope()
    hub.break_next("document_keys.add", Fault.LOST)
    with pytest.raises(Unavailable):
        hub.submit(SENDER, envelope)
    spoil(hub)
    count = len(hub.stores.log._tables.entries)

    for _ in range(2):
        with pytest.raises(LogFrozen):
            hub.submit(SENDER, envelope)
        assert [type(outcome) for outcome in hub.process(*commands_of_all_kinds(hub))] == [
            LogFrozen
        ] * 3
    assert hub.engine.frozen is not None
    assert hub.engine.frozen.position == position
    assert not hub.engine.behind, "nothing is tried again by itself"
    assert len(hub.stores.log._tables.entries) == count


@SPOILT
def test_a_hub_over_such_stores_does_not_start(spoil, position):
    hub = new_hub()
    spoil(hub)

    with pytest.raises(LedgerMismatch) as mismatch:
        hub.restarted()

    assert mismatch.value.position == position


def spoil_next_commit(hub: MemoryHub, position: int, old: bytes, new: bytes) -> None:
    """Let a row change on its way to the disk, or on the disk, as the next batch commits."""
    commit = hub.stores.log.commit

    def commit_and_spoil(batch):
        commit(batch)
        del hub.stores.log.commit
        entries = hub.stores.log._tables.entries
        assert old in entries[position].state
        state = entries[position].state.replace(old, new)
        entries[position] = entries[position]._replace(state=state)

    hub.stores.log.commit = commit_and_spoil


def test_the_tree_is_grown_from_what_is_stored_not_from_what_was_meant():
    hub = new_hub()
    spoil_next_commit(hub, 10, b"H02", b"H20")

    recorded = hub.submit(SENDER, sender.envelope(RECIPIENT))

    # The receipt shows the difference to whoever looks, and the log goes on as one log.
    assert b"H20" in recorded.receipt.leaf
    verify_receipt(recorded.receipt, hub.trust)
    assert hub.restarted().receipts.receipt(10) == recorded


def test_a_row_that_changed_after_it_was_covered_stops_the_next_start():
    hub = new_hub()
    spoil_next_commit(hub, 3, b"init", b"tini")
    hub.submit(SENDER, sender.envelope(RECIPIENT))

    with pytest.raises(LedgerMismatch) as mismatch:
        hub.restarted()

    assert mismatch.value.position == 3


def test_a_frozen_log_still_gives_the_receipts_it_gave():
    hub = new_hub()
    envelope = sender.envelope(contents=CONTENTS)
    recorded = hub.submit(SENDER, envelope, CONTENTS)
    hub.break_next("log.commit", Fault.LOST)
    with pytest.raises(Unavailable):
        hub.submit(SENDER, sender.envelope())
    lose_the_signers_memory(hub)
    hub.process()
    assert hub.engine.frozen is not None

    assert hub.submit(SENDER, envelope, CONTENTS) == recorded
    assert run(hub.exchanges.submission(SENDER, request_id_of(envelope))) == recorded


def commands_of_all_kinds(hub: MemoryHub):
    return [
        submit_command(hub, sender, sender.envelope()),
        RegisterAgency(OPERATOR, new_request_id(), "H88", "Sở Mới"),
        RecordRefusal(SENDER, "KEY_UNKNOWN", "x", bytes(32)),
    ]


@FORMS
def test_lists_of_another_log_are_made_anew_though_that_fails_first(fault):
    hub = new_hub()
    hub.submit(SENDER, sender.envelope())
    hub.views.apply(ViewChanges([], [], []), start=11, end=12)
    hub.break_next("views.clear", fault)

    hub = hub.restarted()

    assert hub.engine.behind
    hub.process()
    check_whole(hub)


@FORMS
def test_a_start_that_cannot_tidy_uploads_can_be_tried_again(fault):
    hub = new_hub()
    hub.submit(SENDER, sender.envelope())
    hub.break_next("uploads.tidy", fault)
    with pytest.raises(OSError, match="on purpose"):
        hub.restarted()

    check_whole(hub.restarted())


# --- The table is whole -------------------------------------------------------------------

READS = {
    "cosignatures": {"all", "best", "newest", "of"},
    "log": {"entries", "entries_of", "erased_below", "erasures", "evidence", "head"}
    | {"inbox_heads", "outbox_heads", "payload", "payloads", "registry_entries"}
    | {"request_count", "request_of", "requests", "select_events", "timestamps"}
    | {"reconciliations", "revocation_evidence", "verdicts"},
    "tree": {"checkpoint_covering", "checkpoints", "checkpoints_missing", "former_checkpoints"}
    | {"latest_checkpoint", "tile", "tiles"},
    "views": {"deliveries", "deliveries_at", "delivery", "document", "documents", "inbox"}
    | {"order", "orders", "outbox", "overdue", "position", "relay", "relays_of", "rows"},
    "content": {"check", "erased_below", "exchanges", "is_usable", "read"},
    "document_keys": {"erased_below", "find", "get"},
    "custody": {"unwrap", "wrap"},
    "uploads": {"upload", "check", "is_usable", "read", "uploads"},
}


def test_every_write_of_every_store_is_broken_somewhere():
    """Whoever adds a write adds what is left when it fails."""
    folders = (Path(__file__).parent, Path(__file__).parents[1] / "unit" / "application")
    tests = "".join(path.read_text() for folder in folders for path in folder.glob("*.py"))
    unbroken = {
        f"{store}.{method}"
        for store, switch in new_hub().stores.switches.items()
        for method in switch.methods - READS.get(store, set())
        if f'"{store}.{method}"' not in tests
    }
    # "tree.close" is broken on the real store, by tests/e2e/test_reopen.py.
    assert unbroken == set()


# --- Another leader -----------------------------------------------------------------------


@pytest.mark.parametrize("publishes", [True, False])
def test_a_leader_that_was_overtaken_looks_again_and_freezes_nothing(
    monkeypatch: pytest.MonkeyPatch, publishes: bool
):
    """Between our commit and our signature another process signed what we committed, and more."""
    hub = new_hub()
    command = submit_command(hub, sender, sender.envelope())
    sign = MemorySigner.sign

    def overtaken(signer: MemorySigner, *args: Any, **kwargs: Any) -> bytes:
        monkeypatch.setattr(MemorySigner, "sign", sign)
        other = hub.restarted()
        if not publishes:
            other.break_next("tree.publish", Fault.LOST)
        other.process(RegisterAgency(OPERATOR, new_request_id(), "H88", "Mới"))
        return sign(signer, *args, **kwargs)

    monkeypatch.setattr(MemorySigner, "sign", overtaken)
    (outcome,) = hub.process(command)

    # Recorded, and nothing is wrong with the log: only what we held of it was old.
    assert isinstance(outcome, ReceiptDelayed)
    assert hub.engine.frozen is None
    (again,) = hub.done(command)
    assert (again.position, hub.receipts.size) == (10, 12)
    check_whole(hub)
    check_whole(hub.restarted())


def test_a_start_that_is_overtaken_looks_again(monkeypatch: pytest.MonkeyPatch):
    hub = new_hub()
    hub.break_next("signer.sign", Fault.LOST)
    hub.process(submit_command(hub, sender, sender.envelope()))
    sign = MemorySigner.sign

    def overtaken(signer: MemorySigner, *args: Any, **kwargs: Any) -> bytes:
        monkeypatch.setattr(MemorySigner, "sign", sign)
        hub.restarted().done(RegisterAgency(OPERATOR, new_request_id(), "H88", "Mới"))
        return sign(signer, *args, **kwargs)

    monkeypatch.setattr(MemorySigner, "sign", overtaken)
    check_whole(hub.restarted())
