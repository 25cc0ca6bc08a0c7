"""What witnesses elsewhere sign is read and verified here."""

from dataclasses import replace
from pathlib import Path

import pytest

from hub.errors import VerificationFailed
from hub.proof.checkpoint import open_cosigned_checkpoint
from hub.proof.note import parse_note, verify_note
from hub.proof.policy import parse_policy
from hub.proof.trust import LogKey, TrustedLog, TrustedRoot

FOLDER = Path(__file__).parent / "witnesses"
CHECKPOINT = (FOLDER / "checkpoint").read_bytes()
POLICY = parse_policy((FOLDER / "policy").read_bytes())
(LOG,) = POLICY.logs
TRUST = TrustedRoot(1, (TrustedLog(LOG.name, (LogKey(LOG, 0),)),), policy=POLICY)


def test_four_public_witnesses_have_seen_a_public_log():
    opened = TRUST.open_checkpoint(CHECKPOINT)

    assert opened.checkpoint.size == 1_432_088_532
    assert {signature.key for signature in opened.cosignatures} == set(POLICY.witnesses.values())
    # 2026-05-23 21:50:24 UTC, all in the same second.
    assert {signature.time for signature in opened.cosignatures} == {0x6A122120}


@pytest.mark.parametrize("name", sorted(POLICY.witnesses))
def test_each_of_them_refuses_another_tree(name):
    key = POLICY.witnesses[name]
    note = parse_note(CHECKPOINT)
    assert verify_note(note, [key])
    with pytest.raises(VerificationFailed):
        verify_note(replace(note, text=note.text.replace(b"1432088532", b"1432088533")), [key])


def test_without_one_of_them_their_policy_is_not_met():
    lines = CHECKPOINT.decode().splitlines(keepends=True)
    without = "".join(line for line in lines if "little-garden" not in line).encode()
    open_cosigned_checkpoint(without, log_keys=[LOG], witness_keys=(), origin=LOG.name)

    with pytest.raises(VerificationFailed, match=r"by remora\.n621\.de, witness") as refusal:
        TRUST.open_checkpoint(without)
    assert refusal.value.step == "policy"
