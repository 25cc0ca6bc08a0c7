"""The bytes people keep: unchanged, and still verified."""

import os
from pathlib import Path

import pytest

from hub.proof.evidence import examine
from hub.proof.findings import Verdict
from hub.proof.receipt import Receipt, verify_receipt
from hub.proof.trust import parse_trusted_root
from tests.unit.proof import building

FOLDER = Path(__file__).parent / "receipts"
MADE = building.golden_files()


@pytest.mark.parametrize("name", MADE)
def test_the_promised_bytes_are_unchanged(name):
    if os.environ.get("LIENTHONG_REWRITE_GOLDEN"):
        (FOLDER / name).write_bytes(MADE[name])
    assert (FOLDER / name).read_bytes() == MADE[name]


def test_no_sample_is_left_over():
    assert {path.name for path in FOLDER.iterdir()} == {*MADE, "README.md"}


@pytest.mark.parametrize(
    ("name", "steps", "verdict"),
    [
        ("fact.receipt.json", 4, Verdict.PROVEN),
        ("statement.receipt.json", 5, Verdict.PROVEN),
        ("enrolled.receipt.json", 10, Verdict.NOT_CHECKED),
    ],
)
def test_a_kept_file_still_says_what_it_said(name, steps, verdict):
    trust = parse_trusted_root((FOLDER / "trusted_root.json").read_bytes())
    findings = examine((FOLDER / name).read_bytes(), trust)
    assert [finding.step for finding in findings.items] == list(range(1, steps + 1))
    assert findings.verdict is verdict


def test_the_kept_leaf_and_proof_verify_without_the_file_around_them():
    trust = parse_trusted_root((FOLDER / "trusted_root.json").read_bytes())
    receipt = Receipt(
        (FOLDER / "fact.leaf").read_bytes(), (FOLDER / "fact.tlog-proof").read_bytes()
    )
    verified = verify_receipt(receipt, trust)
    assert verified.position == 3
    assert verified.event == building.event(3, number=3)
