"""Wycheproof vectors through our verification path, for each of the four algorithms."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hub.errors import VerificationFailed
from hub.proof.signatures import Algorithm, PublicKey

FOLDER = Path(__file__).parents[2] / "vectors" / "wycheproof"
FILES = {
    Algorithm.ED25519: "ed25519_test.json",
    Algorithm.ECDSA_P256_SHA256: "ecdsa_secp256r1_sha256_test.json",
    Algorithm.RSA_PSS_SHA256: "rsa_pss_2048_sha256_mgf1_32_test.json",
    Algorithm.RSA_PKCS1_SHA256: "rsa_signature_2048_sha256_test.json",
}


def vectors(algorithm: Algorithm) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each vector with its group, which holds the key."""
    for group in json.loads((FOLDER / FILES[algorithm]).read_bytes())["testGroups"]:
        for vector in group["tests"]:
            yield group, vector


def holds(algorithm: Algorithm, group: dict[str, Any], vector: dict[str, Any]) -> bool:
    """Whether a signature passes the checks that an agency's passes."""
    try:
        key = PublicKey.of(load_der_public_key(bytes.fromhex(group["publicKeyDer"])), algorithm)
        key.verify(bytes.fromhex(vector["msg"]), bytes.fromhex(vector["sig"]))
    except VerificationFailed:
        return False
    return True


@pytest.mark.parametrize("algorithm", Algorithm)
def test_what_is_valid_holds_and_what_is_invalid_does_not(algorithm: Algorithm):
    wrong = [
        (vector["tcId"], vector["comment"], vector["result"])
        for group, vector in vectors(algorithm)
        if vector["result"] != "acceptable"
        and holds(algorithm, group, vector) is not (vector["result"] == "valid")
    ]
    assert wrong == []


@pytest.mark.parametrize("algorithm", Algorithm)
def test_what_some_libraries_accept_does_not_hold_here(algorithm: Algorithm):
    """Ed25519 keys of small order, and RSA with a digest's NULL left out.

    A key with a small part beside a large one signs as RFC 8032 says, and stays accepted: what
    it signs fits no second message.
    """
    accepted = {
        flag
        for group, vector in vectors(algorithm)
        if vector["result"] == "acceptable" and holds(algorithm, group, vector)
        for flag in vector["flags"]
    }
    assert accepted <= {"MixedOrderPublicKey"}


def test_the_vectors_are_the_ones_that_were_frozen():
    rows = re.findall(r"^\| `(\S+\.json)` \| `(\S+)` \| `([0-9a-f]{64})` \|$",
                      (FOLDER / "README.md").read_text(), re.MULTILINE)  # fmt: skip
    assert {Algorithm(algorithm): name for name, algorithm, _ in rows} == FILES
    for name, _, digest in rows:
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
    assert {path.name for path in FOLDER.iterdir()} == {*FILES.values(), "README.md"}
