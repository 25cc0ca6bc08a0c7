"""Whatever is changed in any store is found and named."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from adapters.memory.faults import Fault
from hub.application.vault import Vault
from hub.errors import ReceiptDelayed
from hub.ledger.fsck import Finding, Parts, _TreeCheck, check_everything
from hub.proof.checkpoint import Checkpoint
from tests.support.builders import (
    ORIGIN,
    OTHER,
    RECIPIENT,
    SENDER,
    MemoryHub,
    Party,
    check_whole,
    new_hub,
)
from tests.support.commands import submit_command

CONTENTS = [b"%PDF-1.7"]
ENVELOPE_AT, STATUS_AT = 10, 11


@pytest.fixture
def hub() -> MemoryHub:
    """A document with content at 10, a status of it at 11, and one after it."""
    hub = new_hub()
    sender, recipient = Party(SENDER), Party(RECIPIENT)
    envelope = sender.envelope(RECIPIENT, OTHER, contents=CONTENTS)
    hub.submit(SENDER, envelope, CONTENTS)
    hub.report(RECIPIENT, recipient.status(envelope, "01"))
    hub.submit(SENDER, sender.envelope(OTHER))
    check_whole(hub)
    return hub


def findings(hub: MemoryHub) -> list[Finding]:
    stores = hub.stores
    vault = Vault(stores.document_keys, stores.custody, hub.randomness)
    parts = Parts(
        origin=ORIGIN,
        keys=hub.signer.keys,
        log=stores.log,
        store=stores.tree,
        signer=stores.signer,
        content=stores.content,
        vault=vault,
    )
    return list(check_everything(parts))


def tables(hub: MemoryHub) -> Any:
    return hub.stores.log._tables


def change_event(hub: MemoryHub, position: int, **changes: Any) -> None:
    entries = tables(hub).entries
    entries[position] = entries[position]._replace(**changes)


def exchange_of(hub: MemoryHub, position: int) -> Any:
    return tables(hub).entries[position].aggregate_id


def edit_an_event(hub: MemoryHub) -> None:
    state = tables(hub).entries[5].state
    change_event(hub, 5, state=state.replace(b"H02", b"H20"))


def spoil_an_event(hub: MemoryHub) -> None:
    change_event(hub, 5, state=b"{}")


def swap_two_events(hub: MemoryHub) -> None:
    entries = tables(hub).entries
    five, six = entries[5], entries[6]
    entries[5], entries[6] = six._replace(position=5), five._replace(position=6)


def slip_one_in(hub: MemoryHub) -> None:
    entries = tables(hub).entries
    entries.append(entries[12]._replace(position=13))


def remove_the_last(hub: MemoryHub) -> None:
    tables(hub).entries.pop()


def leave_a_gap(hub: MemoryHub) -> None:
    entries = tables(hub).entries
    entries[5] = entries[5]._replace(position=99)


def change_a_column(hub: MemoryHub) -> None:
    change_event(hub, 5, topic="hub.Log.LogOpened")


def change_a_version(hub: MemoryHub) -> None:
    change_event(hub, 5, version=2)


def change_a_leaf_hash(hub: MemoryHub) -> None:
    tiles = hub.stores.tree._tiles
    tiles[0, 0] = tiles[0, 0][: 5 * 32] + bytes(32) + tiles[0, 0][6 * 32 :]


def lengthen_a_tile(hub: MemoryHub) -> None:
    hub.stores.tree._tiles[0, 0] += bytes(32)


def add_a_tile(hub: MemoryHub) -> None:
    hub.stores.tree._tiles[3, 7] = bytes(32)


def forge_a_checkpoint(hub: MemoryHub) -> None:
    checkpoints = hub.stores.tree._checkpoints
    checkpoints[7] = checkpoints[7].replace(b"\n7\n", b"\n8\n")


def exchange_a_checkpoint(hub: MemoryHub) -> None:
    checkpoints = hub.stores.tree._checkpoints
    checkpoints[7] = checkpoints[10]


def remove_a_payload(hub: MemoryHub) -> None:
    payloads = tables(hub).payloads
    del payloads[next(d for d, p in payloads.items() if p.exchange_id == exchange_of(hub, 12))]


def move_a_payload(hub: MemoryHub) -> None:
    payloads = tables(hub).payloads
    first, second = list(payloads)[:2]
    payloads[first] = replace(payloads[second], digest=first)


def spoil_a_payload(hub: MemoryHub) -> None:
    payloads = tables(hub).payloads
    last = list(payloads)[-1]
    payloads[last] = replace(payloads[last], sealed=payloads[last].sealed[:-1] + b"!")


def lose_a_document_key(hub: MemoryHub) -> None:
    hub.stores.document_keys.discard([exchange_of(hub, 12)])


def lose_content(hub: MemoryHub) -> None:
    hub.stores.content.lose(exchange_of(hub, ENVELOPE_AT), 0)


def change_content(hub: MemoryHub) -> None:
    attachments = hub.stores.content._attachments
    place = (exchange_of(hub, ENVELOPE_AT), 0)
    content, key = attachments[place]
    attachments[place] = (content.upper()[::-1], key)


def lose_a_certificate(hub: MemoryHub) -> None:
    evidence = tables(hub).evidence
    del evidence[list(evidence)[-1]]


def exchange_a_certificate(hub: MemoryHub) -> None:
    evidence = tables(hub).evidence
    evidence[list(evidence)[-1]] = list(evidence.values())[1]


def remove_a_request(hub: MemoryHub) -> None:
    requests = tables(hub).requests
    del requests[list(requests)[-1]]


def move_a_request(hub: MemoryHub) -> None:
    requests = tables(hub).requests
    last = list(requests)[-1]
    requests[last] = replace(requests[last], position=10)


def rebind_a_request(hub: MemoryHub) -> None:
    requests = tables(hub).requests
    last = list(requests)[-1]
    requests[last] = replace(requests[last], digest=bytes(32))


def slip_a_request_in(hub: MemoryHub) -> None:
    requests = tables(hub).requests
    last = list(requests)[-1]
    requests[last[0], "slipped in"] = replace(requests[last], request_id="slipped in")


def skip_an_inbox_number(hub: MemoryHub) -> None:
    tables(hub).inbox_heads[OTHER] += 1


def lose_the_signers_memory(hub: MemoryHub) -> None:
    hub.stores.signer._last = None


def set_the_signer_back(hub: MemoryHub) -> None:
    hub.stores.signer._last = Checkpoint(ORIGIN, 4, bytes(32))


def move_the_signer_ahead(hub: MemoryHub) -> None:
    hub.stores.signer._last = Checkpoint(ORIGIN, 14, bytes(32))


def let_the_signer_sign_another_tree(hub: MemoryHub) -> None:
    hub.stores.signer._last = Checkpoint(ORIGIN, 13, bytes(32))


TAMPERING: list[tuple[Callable[[MemoryHub], None], int | None, str]] = [
    (edit_an_event, 5, "event 5 was changed"),
    (spoil_an_event, 5, "event 5 cannot be read"),
    (swap_two_events, 5, "event 5 was changed"),
    (slip_one_in, 13, "due"),
    (remove_the_last, None, "covers events that are missing"),
    (leave_a_gap, 5, "event 5 is missing"),
    (change_a_column, 5, "columns"),
    (change_a_version, 5, "columns"),
    (change_a_leaf_hash, 5, "event 5 was changed"),
    (lengthen_a_tile, None, "tile 0/0"),
    (add_a_tile, None, "tile 3/7"),
    (forge_a_checkpoint, None, "size 7 is not signed by the log"),
    (exchange_a_checkpoint, None, "size 7"),
    (remove_a_payload, 12, "payload is missing"),
    (move_a_payload, ENVELOPE_AT, "payload cannot be opened"),
    (spoil_a_payload, 12, "payload cannot be opened"),
    (lose_a_document_key, 12, "payload cannot be opened"),
    (lose_content, ENVELOPE_AT, "attachment 0 cannot be read"),
    (change_content, ENVELOPE_AT, "attachment 0 does not hash"),
    (lose_a_certificate, 9, "certificate is missing"),
    (exchange_a_certificate, 9, "another lies there"),
    (remove_a_request, 12, "request row"),
    (move_a_request, 12, "request row"),
    (rebind_a_request, 12, "request row"),
    (slip_a_request_in, None, "1 request rows more"),
    (skip_an_inbox_number, None, f"inbox counter of {OTHER}"),
    (lose_the_signers_memory, None, "memory was lost"),
    (set_the_signer_back, None, "older copy"),
    (move_the_signer_ahead, None, "fewer are stored"),
    (let_the_signer_sign_another_tree, None, "signed at size 13"),
]


@pytest.mark.parametrize(
    ("tamper", "position", "words"), TAMPERING, ids=[each[0].__name__ for each in TAMPERING]
)
def test_tampering_is_found_and_named(hub, tamper, position, words):
    tamper(hub)

    found = findings(hub)

    assert any(words in each.what and each.position == position for each in found), found


def test_a_sound_hub_has_no_findings(hub):
    assert findings(hub) == []


def test_all_positions_are_counted_as_it_goes(hub):
    sender = Party(SENDER)
    hub.done(*(submit_command(hub, sender, sender.envelope()) for _ in range(5)))
    told: list[int] = []
    stores = hub.stores
    parts = Parts(
        ORIGIN,
        hub.signer.keys,
        stores.log,
        stores.tree,
        stores.signer,
        stores.content,
        hub.vault,
    )

    assert (
        list(check_everything(parts, progress=lambda done, total: told.append((done, total)))) == []
    )

    assert told[-1] == (18, 18)


def test_the_first_differing_position_comes_first(hub):
    for position in (9, 3, 7):
        state = tables(hub).entries[position].state
        change_event(hub, position, state=state.replace(b"00", b"11", 1))

    found = findings(hub)

    assert found[0].position == 3
    changed = [each.position for each in found if "bytes do not hash" in each.what]
    assert changed == [3, 7, 9]


def test_an_event_that_is_committed_but_not_signed_is_no_finding(hub):
    """It is what a crash leaves; the next start finishes it."""
    hub.break_next("tree.publish", Fault.LOST)
    with pytest.raises(ReceiptDelayed):
        hub.submit(SENDER, Party(SENDER).envelope())

    assert findings(hub) == []


# --- In bounded memory -------------------------------------------------------------------------


def test_an_aggregate_that_was_forgotten_meanwhile_is_looked_up(hub, monkeypatch):
    monkeypatch.setattr("hub.ledger.fsck._VERSIONS_KEPT_MAX", 2)
    assert findings(hub) == []

    # The last event of an agency, whose first one was forgotten long before.
    position = max(n for n, each in enumerate(tables(hub).entries) if each.version == 2)
    state = tables(hub).entries[position].state
    change_event(hub, position, state=state.replace(b'"version":2}', b'"version":4}'), version=4)
    words = f"event {position}: it is version 4 of its aggregate"
    assert any(each.what.startswith(words) for each in findings(hub))


def test_no_more_of_the_tree_is_kept_than_its_edge(hub):
    sender = Party(SENDER)
    for _ in range(300):
        hub.done(submit_command(hub, sender, sender.envelope()))
    stores = hub.stores
    parts = Parts(ORIGIN, hub.signer.keys, stores.log, stores.tree, stores.signer,
                  stores.content, hub.vault)  # fmt: skip
    tree = _TreeCheck(parts)
    for entry in stores.log.entries(0, 10_000):
        assert list(tree.take(entry)) == []
        assert len(tree._waiting) < 256
        assert tree._growing.changed == {}
    assert list(tree.finish()) == []
    assert tree.root_signed == stores.signer.last.root


def test_a_level_above_the_leaves_is_compared_too(hub):
    sender = Party(SENDER)
    for _ in range(20):
        hub.done(*(submit_command(hub, sender, sender.envelope()) for _ in range(16)))
    assert findings(hub) == []
    tiles = hub.stores.tree._tiles
    good = tiles[1, 0]
    tiles[1, 0] = bytes([good[0] ^ 1]) + good[1:]
    assert [each.what for each in findings(hub)] == ["tile 1/0 is not what the events make it"]
    del tiles[1, 0]
    assert [each.what for each in findings(hub)] == ["tile 1/0 is missing"]
    tiles[1, 0] = good
    tiles[0, 1] = tiles[0, 1][:-32]
    assert {each.what for each in findings(hub)} == {"tile 0/1 is not what the events make it"}
