"""Many receipts of one log: what they prove together, and what convicts the log."""

from __future__ import annotations

import pytest

from hub.proof import together as module
from hub.proof.checks import Checks
from hub.proof.evidence import ReceiptFile
from hub.proof.findings import Verdict
from hub.proof.folders import examine_files, files_in
from hub.proof.leaf import encode_leaf
from hub.proof.merkle import leaf_hash, root_of
from hub.proof.together import Together, roots_on_the_way
from tests.unit.proof.building import LOG, audit_path, event, plain_log, trusted_root

LEDGER = plain_log(40)


def rewritten(position):
    """The same log, but for one event; its keeper signs it all anew."""
    log = plain_log(40)
    log.entries[position] = encode_leaf(event(position, number=-1))
    return log


@pytest.fixture
def examine(tmp_path):
    """Examine receipts as files of one folder: their findings, and what they show together."""

    def run(*receipts):
        for number, receipt in enumerate(receipts):
            path = tmp_path / f"{number:04}.receipt.json"
            path.write_bytes(ReceiptFile(receipt).format())
        together = Together()
        checks = Checks(trusted_root(), together=together)
        report = list(examine_files(files_in([tmp_path]), checks))
        return [findings for _path, findings in report], together.findings()

    return run


def verdicts(found):
    return [findings.verdict for findings in found]


@pytest.mark.parametrize("size", range(1, 34))
def test_an_audit_path_shows_the_roots_before_and_after_its_leaf(size):
    hashes = [leaf_hash(entry) for entry in LEDGER.entries[:size]]
    for index in range(size):
        before, upto = roots_on_the_way(index, size, hashes[index], audit_path(hashes, index))
        assert upto == root_of(hashes[: index + 1])
        assert before == (root_of(hashes[:index]) if index else None)


def test_one_tree_needs_no_finding(examine):
    found, together = examine(LEDGER.receipt(3), LEDGER.receipt(4))
    assert verdicts(found) == [Verdict.PROVEN] * 2
    assert together is None


def test_receipts_whose_leaves_stand_where_trees_end_prove_them_one(examine):
    # The leaf at 20 stands first after the tree of size 20, and the one at 30 likewise.
    found, together = examine(
        LEDGER.receipt(3, size=20), LEDGER.receipt(20, size=30), LEDGER.receipt(30, size=40)
    )
    assert verdicts(found) == [Verdict.PROVEN] * 3
    assert together.verdict is Verdict.PROVEN
    assert together.items[0].text == "The 3 trees behind these files are one that grew."


def test_they_do_in_any_order(examine):
    _found, together = examine(
        LEDGER.receipt(30, size=40), LEDGER.receipt(20, size=30), LEDGER.receipt(3, size=20)
    )
    assert together.items[0].verdict is Verdict.PROVEN


def test_what_the_files_leave_open_is_the_hubs_word(examine):
    _found, together = examine(LEDGER.receipt(3, size=20), LEDGER.receipt(25, size=30))
    assert together.items[0].verdict is Verdict.STATED
    assert "the 2 trees" in together.items[0].text
    assert "proves it of 1" in together.items[0].text


def test_two_trees_of_one_size_are_refuted_and_both_files_named(examine, tmp_path):
    found, _together = examine(LEDGER.receipt(3), rewritten(5).receipt(3))
    assert verdicts(found) == [Verdict.PROVEN, Verdict.REFUTED]
    text = found[1].items[-1].text
    assert "two histories" in text
    assert str(tmp_path / "0000.receipt.json") in text


@pytest.mark.parametrize("order", [1, -1])
def test_a_rewritten_event_is_found_where_a_later_path_shows_the_earlier_tree(examine, order):
    """The old receipt is of size 20; the new one, of size 40, stands just behind it."""
    kept, new = LEDGER.receipt(3, size=20), rewritten(5).receipt(20, size=40)
    found, _together = examine(*[kept, new][::order])
    assert verdicts(found) == [Verdict.PROVEN, Verdict.REFUTED]
    assert "another tree of size 20" in found[1].items[-1].text


def test_two_paths_that_show_one_size_differently_are_refuted(examine):
    found, _together = examine(LEDGER.receipt(20, size=30), rewritten(5).receipt(20, size=40))
    assert verdicts(found) == [Verdict.PROVEN, Verdict.REFUTED]


def test_a_folder_beyond_what_is_remembered_says_less_and_never_more(examine, monkeypatch):
    monkeypatch.setattr(module, "SIZES_MAX", 2)
    found, together = examine(*(LEDGER.receipt(size, size=size + 1) for size in range(20, 30)))
    assert verdicts(found) == [Verdict.PROVEN] * 10
    assert together.verdict is Verdict.PROVEN
    assert together.items[0].verdict is Verdict.STATED


def test_receipts_under_another_key_are_compared_all_the_same(examine):
    found, _together = examine(LEDGER.receipt(3, LOG), rewritten(7).receipt(9, LOG))
    assert verdicts(found) == [Verdict.PROVEN, Verdict.REFUTED]
