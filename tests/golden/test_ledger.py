"""The checkpoint, tiles and receipts of a small log, made by the code that serves them."""

import os
from pathlib import Path

import pytest
from eventsourcing.persistence import StoredEvent

from adapters.memory.events import MemoryEventLog
from adapters.memory.signer import MemorySigner
from adapters.memory.tree import MemoryTreeStore
from hub.application.mapper import read_leaf
from hub.application.ports import Commit
from hub.domain.catalogue import REGISTRY_TOPICS
from hub.ledger.receipts import ReceiptBook
from hub.ledger.sequencer import Sequencer
from hub.proof.receipt import Receipt, verify_receipt
from hub.proof.trust import LogKey, TrustedLog, TrustedRoot
from tests.golden.test_events import MADE as LEAVES
from tests.support.builders import ORIGIN

FOLDER = Path(__file__).parent / "ledger"
POSITION = 6  # The document of the samples.


def golden_ledger() -> dict[str, bytes]:
    """The log of all golden leaves, signed by a key that everybody knows."""
    log, store, signer = MemoryEventLog(), MemoryTreeStore(), MemorySigner(ORIGIN)
    events = []
    for leaf in LEAVES.values():
        event = read_leaf(leaf)
        events.append(StoredEvent(event.id, event.version, event.topic, leaf))
    registry = [n for n, event in enumerate(events) if event.topic in REGISTRY_TOPICS]
    log.commit(Commit(0, events, registry[-1], [], [], {}, {}, {}))
    sequencer = Sequencer(origin=ORIGIN, log=log, store=store, signer=signer)
    sequencer.extend()
    book = ReceiptBook(log, store)
    book.publish(sequencer.size, sequencer.checkpoint)
    recorded = book.receipt(POSITION)
    return {
        "verifier-key": signer.verifier_key.format().encode() + b"\n",
        "checkpoint": sequencer.checkpoint,
        f"tile-0-000.p-{sequencer.size}": store.tile(0, 0),
        "receipt.leaf": recorded.receipt.leaf,
        "receipt.tlog-proof": recorded.receipt.proof,
    }


MADE = golden_ledger()


@pytest.mark.parametrize("name", MADE)
def test_the_promised_bytes_are_unchanged(name):
    if os.environ.get("LIENTHONG_REWRITE_GOLDEN"):
        (FOLDER / name).write_bytes(MADE[name])
    assert (FOLDER / name).read_bytes() == MADE[name]


def test_no_file_is_left_over():
    assert {path.name for path in FOLDER.iterdir()} == {*MADE, "README.md"}


def test_the_kept_receipt_still_verifies():
    trust = TrustedRoot(1, (TrustedLog(ORIGIN, (LogKey(MemorySigner(ORIGIN).verifier_key, 0),)),))
    receipt = Receipt(
        (FOLDER / "receipt.leaf").read_bytes(), (FOLDER / "receipt.tlog-proof").read_bytes()
    )

    verified = verify_receipt(receipt, trust)

    assert verified.position == POSITION
    assert verified.event.topic == "hub.Exchange.DocumentSubmitted"
