"""Every write of a restore, lost and kept all the same: the same again finishes it."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.memory.export import MemoryLogFolder
from adapters.memory.faults import Fault
from hub.errors import LedgerMismatch
from hub.ledger.export import export_log
from hub.ledger.restore import refill, take_back
from hub.proof.dsse import SignedStatement
from hub.proof.tiles import TiledLog, TilePath, open_log
from tests.support.builders import (
    OPERATOR,
    RECIPIENT,
    SECOND_OPERATOR,
    SENDER,
    MemoryHub,
    Party,
    Stores,
    check_whole,
    first_operator,
    new_hub,
    second_operator,
)
from tests.support.commands import submit_command

WRITES = ["log.commit", "tree.keep_tiles", "tree.publish", "document_keys.add"]


class Kept:
    """What agencies and the operator kept."""

    def __init__(self, statements: list[SignedStatement], hub: MemoryHub) -> None:
        self._payloads = {each.digest: each.payload for each in statements}
        self._hub = hub

    def payload(self, digest: bytes) -> bytes | None:
        return self._payloads.get(digest)

    def evidence(self, digest: bytes) -> bytes | None:
        return self._hub.log.evidence(digest)


class Lost:
    """A hub whose stores are gone but for the signer, and what others have of it."""

    def __init__(self) -> None:
        parties = [Party(code) for code in ("H01.1", "H02", "H03-2")]
        hub = new_hub(None, *parties)
        envelopes = [parties[0].envelope(RECIPIENT) for _ in range(300)]
        hub.done(*(submit_command(hub, parties[0], each) for each in envelopes))
        status = parties[1].status(envelopes[7], "03")
        hub.report(RECIPIENT, status)
        self.erased = envelopes[3]
        hub.let_in(SECOND_OPERATOR)
        order = first_operator.order(self.erased)
        approval = second_operator.approval(order)
        hub.order(OPERATOR, order)
        hub.approve(SECOND_OPERATOR, approval)
        folder = MemoryLogFolder()
        export_log(hub.log, hub.stores.tree, hub.trust, folder)
        self.was = hub
        self.kept = Kept([*envelopes, status, order, approval], hub)
        self.export = open_log(lambda path, most: read(folder, path, most), hub.trust)

    def begin(self) -> MemoryHub:
        stores = Stores(signer=self.was.signer)
        return MemoryHub(stores, clock=self.was.clock, load=False)


def read(folder: MemoryLogFolder, path: str, bytes_max: int) -> bytes | None:
    if path == "checkpoint":
        return folder.checkpoint()
    tile = TilePath.parse(path)
    return folder.file(tile, bytes_max) if tile else None


@pytest.fixture(scope="module")
def lost() -> Lost:
    return Lost()


def restore(hub: MemoryHub, export: TiledLog, kept: Any) -> None:
    refill(hub.log, hub.stores.tree, hub.signer, export)
    take_back(hub.log, hub.vault, kept)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.KEPT], ids=["lost", "kept"])
@pytest.mark.parametrize("write", WRITES)
def test_a_restore_that_failed_is_finished_by_doing_it_again(lost, write, fault):
    hub = lost.begin()
    hub.break_next(write, fault)

    with pytest.raises(OSError, match="on purpose"):
        restore(hub, lost.export, lost.kept)
    again = MemoryHub(hub.stores, clock=hub.clock, load=False)
    restore(again, lost.export, lost.kept)

    require_restored(again, lost)


@pytest.mark.parametrize("write", WRITES[:2])
def test_a_hub_does_not_serve_half_a_log(lost, write):
    hub = lost.begin()
    hub.break_next(write, Fault.LOST)
    with pytest.raises(OSError, match="on purpose"):
        restore(hub, lost.export, lost.kept)

    with pytest.raises(LedgerMismatch) as mismatch:
        hub.restarted()

    assert mismatch.value.position == hub.log.head().next_position


def test_a_hub_names_the_certificate_it_lacks(lost):
    hub = lost.begin()
    refill(hub.log, hub.stores.tree, hub.signer, lost.export)

    with pytest.raises(LedgerMismatch, match="is missing from the evidence store"):
        hub.restarted()

    take_back(hub.log, hub.vault, lost.kept)
    require_restored(hub, lost)


def test_what_was_erased_by_law_does_not_come_back(lost):
    """Although an agency still has it, and brings it along."""
    hub = lost.begin()

    restore(hub, lost.export, lost.kept)

    assert lost.kept.payload(lost.erased.digest) is not None
    assert hub.log.payload(lost.erased.digest) is None
    require_restored(hub, lost)


def require_restored(hub: MemoryHub, lost: Lost) -> None:
    hub = hub.restarted()
    check_whole(hub)
    assert hub.log.entries(0, 1000) == lost.was.log.entries(0, 1000)
    assert list(hub.stores.tree.tiles()) == list(lost.was.stores.tree.tiles())
    assert hub.stores.tree.latest_checkpoint() == lost.was.stores.tree.latest_checkpoint()
    assert list(hub.views.rows()) == list(lost.was.views.rows())
    assert hub.log.inbox_heads([RECIPIENT]) == lost.was.log.inbox_heads([RECIPIENT])
    assert hub.log.outbox_heads([SENDER]) == lost.was.log.outbox_heads([SENDER])
