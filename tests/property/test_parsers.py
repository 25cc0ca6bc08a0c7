"""Whatever bytes a parser of evidence is given, it reads them or raises VerificationFailed.

Bytes at random, and good files with something done to them. What is read can be written again,
to the same bytes where the format has one spelling. `make test` tries a little, `make all` more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.errors import VerificationFailed
from hub.proof.bundle import parse_bundle
from hub.proof.canonical import encode_canonical, parse_canonical
from hub.proof.checkpoint import parse_checkpoint_body
from hub.proof.checks import Checks
from hub.proof.dsse import SignedStatement
from hub.proof.evidence import parse_receipt_file
from hub.proof.examination import examine_file
from hub.proof.leaf import encode_leaf, parse_leaf
from hub.proof.note import KeyType, VerifierKey, format_note, parse_note
from hub.proof.policy import parse_policy
from hub.proof.receipt import parse_tlog_proof
from hub.proof.statements import Envelope, Status, read_statement
from hub.proof.succession import RootSignature, SignedRoot, parse_signed_root
from hub.proof.trust import parse_trusted_root
from tests.unit.evidence import test_ocsp as ocsp
from tests.unit.proof.building import WITNESS, Case, golden_files, trusted_root
from tests.unit.proof.bundles import ARRIVED_AT, SUBMITTED_AT, Story
from tests.unit.proof.bundles import golden_files as golden_bundles

RECEIPTS, BUNDLES, STORY = golden_files(), golden_bundles(), Story()
BUDGETS = [
    pytest.param(60, id="a little"),
    pytest.param(4000, id="more", marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
]


def read_as(kind: str) -> Callable[[bytes], Any]:
    def parse(data: bytes) -> Any:
        return read_statement(SignedStatement(kind, data, "00" * 32, b""))

    return parse


@dataclass(frozen=True)
class Parser:
    """A parser, something good to bend, and how what it read is written; None if in many ways."""

    parse: Callable[[bytes], Any]
    good: bytes
    write: Callable[[Any], bytes] | None = None


SIGNED_ROOT = SignedRoot(
    RECEIPTS["trusted_root.json"],
    (RootSignature(VerifierKey("root", KeyType.ED25519, bytes(32)), bytes(64)),),
).format()
POLICY = f"witness w1 {WITNESS.key.format()}\ngroup g any w1\nquorum g\n".encode()
PARSERS = {
    "note": Parser(parse_note, RECEIPTS["checkpoint"], format_note),
    "checkpoint": Parser(
        parse_checkpoint_body,
        RECEIPTS["checkpoint"].partition(b"\n\n")[0] + b"\n",
        lambda checkpoint: checkpoint.body,
    ),
    "verifier key": Parser(
        lambda data: VerifierKey.parse(data.decode("utf-8", "surrogateescape")),
        WITNESS.key.format().encode(),
        lambda key: key.format().encode(),
    ),
    "proof": Parser(parse_tlog_proof, RECEIPTS["fact.tlog-proof"], lambda proof: proof.format()),
    "leaf": Parser(parse_leaf, RECEIPTS["fact.leaf"], encode_leaf),
    "receipt": Parser(parse_receipt_file, Case().file().format(), lambda file: file.format()),
    "bundle": Parser(parse_bundle, BUNDLES["document.bundle.json"], lambda bundle: bundle.format()),
    "trusted root": Parser(parse_trusted_root, RECEIPTS["trusted_root.json"]),
    "signed trusted root": Parser(parse_signed_root, SIGNED_ROOT),
    "policy": Parser(parse_policy, POLICY),
    "envelope": Parser(read_as(Envelope.MEDIA_TYPE), STORY.statements[SUBMITTED_AT].payload),
    "OCSP answer": Parser(ocsp.verify, ocsp.said(by=ocsp.delegate(), nonce=ocsp.NONCE)),
    "status": Parser(read_as(Status.MEDIA_TYPE), STORY.statements[ARRIVED_AT].payload),
}

# What breaks parsers: brackets, quotes, escapes, ends of lines, signs that are not what they seem.
PIECES = st.sampled_from(
    [
        b"", b"\n", b"\n\n", b" ", b"\t", b"\r", b"\x00", b"\xff", b"\xc0\x80", b"\xed\xa0\x80",
        b'"', b"\\", b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b"-", b"0", b"1e9",
        b"NaN", b"null", b"true", b"9" * 40, b"=", b"AAAA", "\u2014 ".encode(), "\u00a0".encode(),
        "\u202e".encode(), "\U0001f600".encode(), b'"digest":', b'"media_type":', b"index ",
    ]
)  # fmt: skip


@st.composite
def bent(draw: st.DrawFn, good: bytes) -> bytes:
    """Good bytes with a few pieces cut out, put in or moved."""
    data = good
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        piece = draw(
            PIECES | st.binary(max_size=4) | st.just(data[start:end]) | st.just(data[:start])
        )
        data = data[:start] + piece[:64_000] + data[end:]
    return data


def hold(parser: Parser, data: bytes) -> None:
    try:
        read = parser.parse(data)
    except VerificationFailed:
        return
    if parser.write is not None:
        assert parser.write(read) == data


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", PARSERS)
def test_bytes_at_random_are_read_or_refused(name, budget):
    parser = PARSERS[name]

    @settings(max_examples=budget, deadline=None, database=None)
    @given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode()))
    def run(data: bytes) -> None:
        hold(parser, data)

    run()


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", PARSERS)
def test_a_bent_file_is_read_or_refused(name, budget):
    parser = PARSERS[name]
    hold(parser, parser.good)

    @settings(
        max_examples=budget, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(bent(parser.good))
    def run(data: bytes) -> None:
        hold(parser, data)

    run()


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", ["receipt", "bundle"])
def test_an_examination_never_raises_and_never_ends_in_nothing(name, budget):
    checks = Checks(trusted_root())

    @settings(
        max_examples=budget, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(bent(PARSERS[name].good))
    def run(data: bytes) -> None:
        findings = examine_file(data, checks)
        assert findings.items
        assert data == PARSERS[name].good or findings.items[-1].verdict == "refuted"

    run()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("budget", BUDGETS)
def test_what_is_written_canonically_is_read_back_as_it_was(budget):
    @settings(max_examples=budget, deadline=None, database=None)
    @given(st.dictionaries(st.text(max_size=6), JSON, max_size=5))
    def run(members: dict[str, Any]) -> None:
        try:
            data = encode_canonical(members)
            read = parse_canonical(data, bytes_max=10_000, what="it", step="test")
        except (UnicodeEncodeError, VerificationFailed):
            return  # Lone surrogates, or a name beyond U+FFFF: refused either way.
        assert read.members == members

    run()
