"""Every single byte of a receipt or a bundle matters: changed, the file is refused.

The one exception is written down here: the name and key id of a witness's line in a receipt. As
C2SP signed-note has it, such a line is then of somebody unknown and passed over; what is found
names the witness no longer, and a policy that asks for it is not met. In a bundle the digest
covers these too.
"""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from hub.errors import VerificationFailed
from hub.proof.bundle import Anchor, Timestamp, Token
from hub.proof.checks import Checks
from hub.proof.evidence import ReceiptFile, parse_receipt_file
from hub.proof.examination import examine_file
from hub.proof.findings import Verdict
from hub.proof.note import parse_note
from hub.proof.policy import parse_policy
from hub.proof.receipt import parse_tlog_proof
from hub.proof.trust import parse_trusted_root
from tests.unit.proof.building import (
    LOG,
    WITNESS,
    Case,
    Signer,
    golden_files,
    trusted_root,
)
from tests.unit.proof.bundles import Story

TRUST = trusted_root()
STORY = Story()
STRANGER = Signer("nobody.example/w9", "stranger", WITNESS.key_type)
# With what only others can judge: a token, and a cosignature by somebody the root does not list.
ANCHOR = Anchor(
    STORY.log().signed_checkpoint(LOG, WITNESS, STRANGER), (Timestamp(Token("TSA", b"token")),)
)
ENROLLED = Case().file()
FILES = {
    "fact": golden_files()["fact.receipt.json"],
    "statement": ReceiptFile(ENROLLED.receipt, ENROLLED.statement).format(),
    "enrolled": ENROLLED.format(),
    "bundle": STORY.bundle(anchors=(ANCHOR,)).format(),
}
# What one of these makes of a byte: another letter, another sign, no UTF-8, nothing at all.
TURNS = (1, 0x20, 0x80)


def refused(data: bytes) -> bool:
    return examine_file(data, Checks(TRUST)).verdict is Verdict.REFUTED


def changed(data: bytes, at: int, turn: int) -> bytes:
    return data[:at] + bytes([data[at] ^ turn]) + data[at + 1 :]


@pytest.mark.parametrize("name", FILES)
def test_the_unchanged_file_is_not_refused(name):
    assert not refused(FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_refused_here_and_there(name):
    data = FILES[name]
    for number, at in enumerate(range(0, len(data), max(1, len(data) // 150))):
        assert refused(changed(data, at, TURNS[number % 3])), at


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_off_or_with_more_behind_it_is_refused(name):
    data = FILES[name]
    for end in range(0, len(data), max(1, len(data) // 50)):
        assert refused(data[:end]), end
    for more in (b" ", b"\n", b"\x00", b"{}", data):
        assert refused(data + more)
        assert refused(more + data)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("name", FILES)
def test_every_changed_byte_is_refused(name, turn):
    data, checks = FILES[name], Checks(TRUST)
    for at in range(len(data)):
        found = examine_file(changed(data, at, turn), checks)
        assert found.verdict is Verdict.REFUTED, at


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FILES)
def test_every_missing_or_doubled_byte_is_refused(name):
    data, checks = FILES[name], Checks(TRUST)
    for at in range(len(data)):
        for other in (data[:at] + data[at + 1 :], data[: at + 1] + data[at:]):
            # Of two equal neighbours either may be the one that is missing: still another file.
            assert examine_file(other, checks).verdict is Verdict.REFUTED, at


def test_of_a_cosigned_receipt_only_who_cosigned_can_be_changed():
    """The exception above, byte for byte."""
    data = Case().file(LOG, WITNESS).format()
    names = [name.encode() for name in (WITNESS.name,)]
    key_id = base64.b64encode(WITNESS.key.key_id + b"\x00\x00")[:5]
    free = set()
    start = 0
    while (found := data.find(names[0] + b" " + key_id, start)) >= 0:
        # The name, and the base64 of the key id, whose fourth byte ends in the sixth letter.
        free.update(range(found, found + len(names[0])))
        free.update(range(found + len(names[0]) + 1, found + len(names[0]) + 7))
        start = found + 1
    assert free
    step = max(1, len(data) // 150)
    looked_at = sorted({*free, *range(0, len(data), step)})
    for at in looked_at:
        found = examine_file(changed(data, at, 1), Checks(TRUST))
        if at in free and found.verdict is not Verdict.REFUTED:
            assert loses_its_witness(found) or is_in_the_enrolment(data, at)
        else:
            assert found.verdict is Verdict.REFUTED, at


def loses_its_witness(found) -> bool:
    return "cosigned by no known witness" in found.items[1].text


def is_in_the_enrolment(data: bytes, at: int) -> bool:
    return at > data.index(b'"enrolment"')


def test_a_policy_misses_the_witness_that_was_changed_away():
    data = Case().file(LOG, WITNESS).format()
    policy = parse_policy(f"witness w1 {WITNESS.key.format()}\nquorum w1\n".encode())
    strict = Checks(replace(TRUST, policy=policy))
    assert examine_file(data, strict).verdict is Verdict.NOT_CHECKED
    at = data.index(WITNESS.name.encode())
    assert examine_file(changed(data, at, 1), strict).verdict is Verdict.REFUTED


# --- The parts, by themselves -----------------------------------------------------------

PARTS = {
    "a receipt": (FILES["enrolled"], parse_receipt_file),
    "a proof": (golden_files()["fact.tlog-proof"], parse_tlog_proof),
    "a note": (golden_files()["checkpoint"], parse_note),
    "a trusted root": (golden_files()["trusted_root.json"], parse_trusted_root),
}


@pytest.mark.parametrize("name", PARTS)
def test_no_changed_part_is_read_as_the_same(name):
    """A parser refuses it, or reads something else; never the same from other bytes."""
    data, parse = PARTS[name]
    whole = parse(data)
    for at in range(0, len(data), max(1, len(data) // 300)):
        for turn in TURNS:
            other = changed(data, at, turn)
            try:
                read = parse(other)
            except VerificationFailed:
                continue
            # Spaces around JSON are the one thing that a trusted root may differ in.
            assert read != whole or (name == "a trusted root" and b"{" in data), (at, turn)
