"""Receipts: a leaf, its way to the root, and the checkpoint, all or nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import VerificationFailed
from hub.proof.leaf import LEAF_BYTES_MAX
from hub.proof.merkle import leaf_hash, root_of
from hub.proof.receipt import (
    TLOG_PROOF_BYTES_MAX,
    Receipt,
    TlogProof,
    parse_tlog_proof,
    verify_receipt,
)
from tests.unit.proof.building import (
    LOG,
    ORIGIN,
    WITNESS,
    Signer,
    SmallLog,
    event,
    plain_log,
    trusted_root,
)

LEDGER, TRUST = plain_log(), trusted_root()
RECEIPT = LEDGER.receipt(6)
PROOF = RECEIPT.proof


def refused(receipt, trust=TRUST):
    with pytest.raises(VerificationFailed) as refusal:
        verify_receipt(receipt, trust)
    return refusal.value.step


@pytest.mark.parametrize("size", range(1, 12))
def test_every_receipt_of_a_log_verifies_at_every_size(size):
    for index in range(size):
        verified = verify_receipt(LEDGER.receipt(index, LOG, WITNESS, size=size), TRUST)
        assert verified.position == index
        assert verified.event == event(index, number=index)
        assert verified.checkpoint == LEDGER.checkpoint(size)


@given(st.integers(0, len(RECEIPT.leaf) - 1), st.integers(1, 255))
def test_any_changed_byte_of_the_leaf_is_refused(position, difference):
    assert refused(replace(RECEIPT, leaf=bent(RECEIPT.leaf, position, difference))) == "inclusion"


@given(st.integers(0, len(PROOF) - 1), st.integers(1, 255))
def test_any_changed_byte_of_the_proof_is_refused(position, difference):
    refused(replace(RECEIPT, proof=bent(PROOF, position, difference)))


@given(st.integers(0, len(PROOF)), st.binary(min_size=1, max_size=2))
def test_any_byte_put_into_the_proof_is_refused(position, put):
    refused(replace(RECEIPT, proof=PROOF[:position] + put + PROOF[position:]))


@pytest.mark.parametrize("length", range(0, len(PROOF), 7))
def test_a_proof_cut_short_is_refused(length):
    refused(replace(RECEIPT, proof=PROOF[:length]))


def test_a_flipped_bit_in_the_leaf_is_refused():
    assert refused(replace(RECEIPT, leaf=bent(RECEIPT.leaf, 20, 1))) == "inclusion"


def test_the_leaf_of_another_receipt_is_refused():
    assert refused(replace(RECEIPT, leaf=LEDGER.entries[5])) == "inclusion"
    assert refused(replace(LEDGER.receipt(5), proof=PROOF)) == "inclusion"


def test_a_rewritten_history_does_not_carry_the_old_receipts():
    rewritten = SmallLog([*LEDGER.entries])
    rewritten.entries[5] = LEDGER.entries[5].replace(b'"number":5', b'"number":9')
    # The attacker holds the log key and signs everything again; the path of event 6, which
    # the agency kept, leads to another root than the one now published.
    mixed = replace(parse_tlog_proof(PROOF), checkpoint=rewritten.signed_checkpoint(LOG)).format()
    assert refused(Receipt(RECEIPT.leaf, mixed)) == "inclusion"


def test_a_receipt_of_a_key_nobody_trusts_is_refused():
    stranger = Signer(ORIGIN, "stranger")
    assert refused(LEDGER.receipt(6, stranger)) == "note"
    assert refused(LEDGER.receipt(6, stranger, WITNESS)) == "checkpoint"


def test_a_receipt_of_another_log_is_refused():
    other = SmallLog(LEDGER.entries, "staging.example")
    assert refused(other.receipt(6, Signer("staging.example", LOG.seed))) == "trust"


def test_a_leaf_that_is_no_event_is_refused_even_if_the_log_holds_it():
    for entry in (b"", b"not an event", b"x" * (LEAF_BYTES_MAX + 1)):
        log = SmallLog([entry, *LEDGER.entries])
        assert refused(log.receipt(0)) == "leaf"


def test_an_inner_node_does_not_pass_for_a_leaf():
    # Without the prefixes of RFC 6962, the two halves of the tree would hash to its root.
    hashes = [leaf_hash(entry) for entry in LEDGER.entries[:2]]
    proof = TlogProof(0, (), LEDGER.signed_checkpoint(LOG, size=2))
    assert root_of(hashes) == LEDGER.checkpoint(2).root
    assert refused(Receipt(b"".join(hashes), proof.format())) == "inclusion"


# --- The text of a proof -------------------------------------------------------------------


def test_a_proof_is_written_as_it_was_read():
    proof = parse_tlog_proof(PROOF)
    assert proof == LEDGER.proof(6)
    assert proof.format() == PROOF
    assert proof.checkpoint == LEDGER.signed_checkpoint(LOG)


def test_a_log_of_one_leaf_needs_no_hashes():
    proof = LEDGER.proof(0, size=1)
    assert proof.hashes == ()
    assert parse_tlog_proof(proof.format()) == proof


def test_extra_data_is_read_and_believed_by_nobody():
    extra = replace(LEDGER.proof(6), extra=b"anything")
    assert extra.format().splitlines()[1] == b"extra YW55dGhpbmc="
    assert parse_tlog_proof(extra.format()) == extra
    assert verify_receipt(replace(RECEIPT, proof=extra.format()), TRUST).position == 6


FIRST_HASH = PROOF.splitlines()[2]
CHECKPOINT = LEDGER.signed_checkpoint(LOG)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        PROOF.replace(b"@v1", b"@v2"),
        b"\n" + PROOF,
        b" " + PROOF,
        b"\xef\xbb\xbf" + PROOF,
        PROOF.replace(b"\n", b"\r\n"),
        PROOF.replace(b"index 6\n", b""),
        PROOF.replace(b"index 6\n", b"index 6\nindex 6\n"),
        PROOF.replace(b"index 6\n", b"index 6\nextra AAAA\n"),
        PROOF.replace(b"index 6\n", b"extra AAAA\nextra AAAA\nindex 6\n"),
        PROOF.replace(b"index 6\n", b"extra \nindex 6\n"),
        PROOF.replace(b"index 6\n", b"extra\nindex 6\n"),
        PROOF.replace(b"index 6\n", b"extra A\nindex 6\n"),
        *(
            PROOF.replace(b"index 6", b"index " + index)
            for index in [b"", b"06", b"-6", b"+6", b" 6", b"6 ", b"six", b"9223372036854775807"]
        ),
        PROOF.replace(b"index 6", b"index " + b"9" * 5000),
        PROOF.replace(b"index 6", "index ６".encode()),
        PROOF.replace(b"index 6", b"Index 6"),
        PROOF.replace(FIRST_HASH, FIRST_HASH[:-1]),
        PROOF.replace(FIRST_HASH, FIRST_HASH + b"="),
        PROOF.replace(FIRST_HASH, b"AAAA"),
        PROOF.replace(FIRST_HASH, b" " + FIRST_HASH),
        PROOF.replace(FIRST_HASH, b"\xff"),
        PROOF.replace(FIRST_HASH, b"\n".join([FIRST_HASH] * 62)),
        PROOF.replace(b"\n\n" + CHECKPOINT, b"\n" + CHECKPOINT.replace(b"\n\n", b"\n")),
        PROOF.replace(CHECKPOINT, b""),
    ],
    ids=range(33),
)
def test_what_is_not_a_proof_is_refused(data):
    with pytest.raises(VerificationFailed) as refusal:
        parse_tlog_proof(data)
    assert refusal.value.step == "proof"


def test_a_proof_beyond_the_limit_is_refused():
    with pytest.raises(VerificationFailed, match="larger"):
        parse_tlog_proof(PROOF + b"x" * TLOG_PROOF_BYTES_MAX)


@pytest.mark.parametrize(
    "proof",
    [
        TlogProof(-1, (), b"x"),
        TlogProof(0, (b"short",), b"x"),
        TlogProof(0, (), b""),
        TlogProof(0, (), b"x", extra=b""),
        TlogProof(0, (b"h" * 32,) * 65, b"x"),
    ],
)
def test_a_proof_nobody_could_read_back_is_not_written(proof):
    with pytest.raises(ValueError):
        proof.format()


@given(st.binary(max_size=120))
def test_hostile_bytes_fail_in_no_other_way(data):
    for proof in (data, PROOF[:40] + data, data + PROOF[40:]):
        refused(Receipt(data, proof))


def bent(data, position, difference):
    changed = bytearray(data)
    changed[position] ^= difference
    return bytes(changed)
