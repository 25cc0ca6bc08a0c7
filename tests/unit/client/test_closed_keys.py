"""A receipt whose log key has ended since counts when its tree leads to the closing one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hub.client.memory import CheckpointMemory
from hub.client.verification import ReceiptVerifier
from hub.errors import PositionUnknown, VerificationFailed
from hub.proof.merkle import leaf_hash
from hub.proof.receipt import Receipt
from hub.proof.trust import Closing
from tests.unit.proof.building import (
    NEXT_LOG,
    ORIGIN,
    SmallLog,
    consistency_path,
    plain_log,
    trusted_root,
)

LEDGER = plain_log()
CLOSED = Closing(7, LEDGER.checkpoint(7).root)
# What whoever stole the key would like to have been so.
FORGED = SmallLog([*LEDGER.entries[:4], *(LEDGER.entries[0] for _ in range(3))])


class Hub:
    """Proves consistency in the true log, as far as there is any."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    async def __call__(self, old: int, new: int) -> Sequence[bytes]:
        self.asked.append((old, new))
        if new > len(LEDGER.entries):
            raise PositionUnknown("no such size")
        return consistency_path([leaf_hash(entry) for entry in LEDGER.entries[:new]], old)


def verifier(folder: Path, hub: Hub, closed: Closing = CLOSED) -> ReceiptVerifier:
    return ReceiptVerifier(trusted_root(closed=closed), ORIGIN, CheckpointMemory(folder), hub)


async def test_a_receipt_from_before_the_end_is_shown_to_lead_there(tmp_path: Path):
    hub = Hub()
    client = verifier(tmp_path, hub)
    for _ in range(3):
        assert (await client.verify(LEDGER.receipt(2, size=5))).position == 2
    # Asked for once: what was shown stays shown.
    assert hub.asked == [(5, 7)]
    assert (await client.verify(LEDGER.receipt(3, NEXT_LOG, size=9))).position == 3


async def test_the_closing_tree_itself_needs_no_proof(tmp_path: Path):
    hub = Hub()
    assert (await verifier(tmp_path, hub).verify(LEDGER.receipt(2, size=7))).position == 2
    assert hub.asked == []


@pytest.mark.parametrize(
    ("receipt", "words"),
    [
        (FORGED.receipt(4, size=6), "does not begin"),
        (FORGED.receipt(4, size=7), "another root"),
        (LEDGER.receipt(4, size=8), "closed at size 7"),
    ],
    ids=["below", "at", "beyond"],
)
async def test_what_a_stolen_key_signs_does_not_lead_there(
    tmp_path: Path, receipt: Receipt, words: str
):
    with pytest.raises(VerificationFailed, match=words):
        await verifier(tmp_path, Hub()).verify(receipt)


async def test_a_hub_that_does_not_know_the_closing_tree_proves_nothing(tmp_path: Path):
    beyond = Closing(20, bytes(32))
    with pytest.raises(VerificationFailed, match="size 20"):
        await verifier(tmp_path, Hub(), beyond).verify(LEDGER.receipt(2, size=5))
