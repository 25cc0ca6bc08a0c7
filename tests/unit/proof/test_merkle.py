"""Every tree of up to 40 leaves, every published vector, and what is refused."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import VerificationFailed
from hub.proof.merkle import (
    EMPTY_ROOT,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from tests.unit.proof.building import audit_path, consistency_path

VECTORS = Path(__file__).parents[2] / "golden" / "merkle-vectors"
FILES = sorted(VECTORS.rglob("*.json"))
LEAVES = [leaf_hash(bytes([number])) for number in range(64)]


def test_all_196_vectors_are_there():
    assert len(FILES) == 196


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(VECTORS)))
def test_a_published_vector_is_judged_as_published(path):
    case = json.loads(path.read_text())
    proof = [base64.b64decode(value) for value in case["proof"] or []]
    check = check_consistency if "size1" in case else check_inclusion
    if case["wantErr"]:
        with pytest.raises(VerificationFailed):
            check(case, proof)
    else:
        check(case, proof)


def check_inclusion(case, proof):
    verify_inclusion(
        leaf=base64.b64decode(case["leafHash"]),
        index=case["leafIdx"],
        size=case["treeSize"],
        proof=proof,
        root=base64.b64decode(case["root"]),
    )


def check_consistency(case, proof):
    verify_consistency(
        old_size=case["size1"],
        old_root=base64.b64decode(case["root1"]),
        new_size=case["size2"],
        new_root=base64.b64decode(case["root2"]),
        proof=proof,
    )


def test_hashes_are_those_of_rfc_6962():
    # From the certificate-transparency reference tree: the empty root, and the leaf "".
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert root_of([]) == EMPTY_ROOT
    assert root_of(LEAVES[:1]) == LEAVES[0]
    assert root_of(LEAVES[:3]) == node_hash(node_hash(LEAVES[0], LEAVES[1]), LEAVES[2])


@pytest.mark.parametrize("size", range(1, 41))
def test_every_leaf_of_a_tree_is_proven_in_it(size):
    leaves = LEAVES[:size]
    for index in range(size):
        verify_inclusion(
            leaf=leaves[index],
            index=index,
            size=size,
            proof=audit_path(leaves, index),
            root=root_of(leaves),
        )


@pytest.mark.parametrize("size", range(1, 41))
def test_every_earlier_tree_is_proven_to_lead_here(size):
    leaves = LEAVES[:size]
    for old_size in range(1, size + 1):
        verify_consistency(
            old_size=old_size,
            old_root=root_of(leaves[:old_size]),
            new_size=size,
            new_root=root_of(leaves),
            proof=consistency_path(leaves, old_size),
        )


@st.composite
def trees(draw):
    size = draw(st.integers(2, 64))
    return LEAVES[:size], draw(st.integers(0, size - 1))


@given(trees(), st.data())
def test_an_inclusion_proof_with_anything_changed_is_refused(tree, data):
    leaves, index = tree
    size, root, proof = len(leaves), root_of(leaves), audit_path(leaves, index)
    bend = data.draw(st.sampled_from(["leaf", "root", "node", "drop", "add", "index", "swap"]))
    case = {"leaf": leaves[index], "index": index, "size": size, "proof": proof, "root": root}
    position = data.draw(st.integers(0, len(proof) - 1))
    match bend:
        case "leaf" | "root":
            case[bend] = flipped(case[bend], data)
        case "node":
            proof[position] = flipped(proof[position], data)
        case "drop":
            del proof[position]
        case "add":
            proof.insert(position, data.draw(st.binary(min_size=32, max_size=32)))
        case "index":
            others = [number for number in range(size) if number != index]
            case["index"] = data.draw(st.sampled_from(others))
        case "swap":
            case["leaf"], case["root"] = root, leaves[index]
    with pytest.raises(VerificationFailed) as refusal:
        verify_inclusion(**case)
    assert refusal.value.step == "inclusion"


@given(trees(), st.data())
def test_a_consistency_proof_with_anything_changed_is_refused(tree, data):
    leaves, old_size = tree
    old_size = max(old_size, 1)
    proof = consistency_path(leaves, old_size)
    case = {
        "old_size": old_size,
        "old_root": root_of(leaves[:old_size]),
        "new_size": len(leaves),
        "new_root": root_of(leaves),
        "proof": proof,
    }
    position = data.draw(st.integers(0, len(proof) - 1))
    match data.draw(st.sampled_from(["old_root", "new_root", "node", "drop", "add", "rewrite"])):
        case "old_root" | "new_root" as name:
            case[name] = flipped(case[name], data)
        case "node":
            proof[position] = flipped(proof[position], data)
        case "drop":
            del proof[position]
        case "add":
            proof.insert(position, data.draw(st.binary(min_size=32, max_size=32)))
        case "rewrite":
            # The attack the log exists for: an old leaf changed, all else made anew.
            rewritten = [leaf_hash(b"rewritten"), *leaves[1:]]
            case["new_root"] = root_of(rewritten)
            case["proof"] = consistency_path(rewritten, old_size)
    with pytest.raises(VerificationFailed) as refusal:
        verify_consistency(**case)
    assert refusal.value.step == "consistency"


@given(index=st.integers(), size=st.integers(), proof=st.lists(st.binary(max_size=33), max_size=70))
def test_hostile_inclusion_proofs_fail_in_no_other_way(index, size, proof):
    with pytest.raises(VerificationFailed):
        verify_inclusion(leaf=b"x" * 32, index=index, size=size, proof=proof, root=b"y" * 32)


@given(old=st.integers(), new=st.integers(), proof=st.lists(st.binary(max_size=33), max_size=70))
def test_hostile_consistency_proofs_fail_in_no_other_way(old, new, proof):
    with pytest.raises(VerificationFailed):
        verify_consistency(
            old_size=old, old_root=b"x" * 32, new_size=new, new_root=b"y" * 32, proof=proof
        )


@pytest.mark.parametrize("size", [2**63, 2**64, 1 << 100_000], ids=["63", "64", "100000"])
def test_a_size_no_log_reaches_is_refused(size):
    with pytest.raises(VerificationFailed):
        verify_inclusion(leaf=EMPTY_ROOT, index=0, size=size, proof=[], root=EMPTY_ROOT)
    with pytest.raises(VerificationFailed):
        verify_consistency(
            old_size=size, old_root=EMPTY_ROOT, new_size=size, new_root=EMPTY_ROOT, proof=[]
        )


def test_more_than_64_hashes_are_refused_unread():
    with pytest.raises(VerificationFailed, match="more than 64"):
        verify_inclusion(
            leaf=EMPTY_ROOT, index=0, size=2**62, proof=[EMPTY_ROOT] * 65, root=EMPTY_ROOT
        )


def test_nothing_is_said_about_the_empty_tree():
    with pytest.raises(VerificationFailed):
        verify_consistency(
            old_size=0, old_root=EMPTY_ROOT, new_size=1, new_root=LEAVES[0], proof=[]
        )
    with pytest.raises(VerificationFailed):
        verify_consistency(
            old_size=0, old_root=EMPTY_ROOT, new_size=0, new_root=EMPTY_ROOT, proof=[]
        )


def flipped(value, data):
    bit = data.draw(st.integers(0, len(value) * 8 - 1))
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
