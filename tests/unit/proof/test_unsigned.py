"""What came over the axis proves that the hub recorded it, and nothing about its sender."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from adapters.memory.axis import MemoryAxis
from hub.errors import VerificationFailed
from hub.proof.dsse import SignedStatement
from hub.proof.evidence import Enrolment, ReceiptFile, examine
from hub.proof.facts import require_fact_of
from hub.proof.findings import Verdict
from hub.proof.leaf import parse_leaf
from tests.support.builders import Party
from tests.support.relaying import HERE, THERE, Linked, linked


@pytest.fixture(scope="module")
def theirs() -> Linked:
    axis = MemoryAxis((HERE, THERE))
    ours, theirs = linked(axis, HERE), linked(axis, THERE)
    ours.hub.submit(HERE, Party(HERE).envelope(THERE, contents=[b"%PDF"]), [b"%PDF"])
    ours.send()
    theirs.take()
    return theirs


@pytest.fixture(scope="module")
def handed(theirs: Linked):
    ((_, _, document),) = theirs.hub.views.inbox(THERE, 0, 10)
    collect = Party(THERE).say(
        "application/vnd.lienthong.collect.v1+json",
        envelope_digest=document.envelope_digest.hex(),
    )
    return theirs.hub.collect(THERE, collect).envelope


def findings(theirs: Linked, file: ReceiptFile):
    return [(each.verdict, each.text) for each in examine(file.format(), theirs.hub.trust).items]


def test_an_examination_says_that_the_sender_is_not_proven(theirs, handed):
    file = ReceiptFile(handed.recorded.receipt, handed.statement)

    found = findings(theirs, file)
    assert [verdict for verdict, _ in found[:3]] == [Verdict.PROVEN] * 3
    assert found[4] == (
        Verdict.PROVEN,
        "The hub recorded this very envelope, which it made itself.",
    )
    assert found[-1] == (
        Verdict.NOT_CHECKED,
        "The sender is not proven: the document came over the national axis, and nobody signed"
        " this envelope.",
    )


def test_no_enrolment_can_make_it_look_signed(theirs, handed):
    other = next(
        recorded
        for position in range(theirs.hub.receipts.size)
        if parse_leaf((recorded := theirs.hub.receipts.receipt(position)).receipt.leaf).topic
        == "hub.Agency.CertificateEnrolled"
    )
    enrolment = Enrolment(other.receipt, Party(THERE).certificate)
    file = ReceiptFile(handed.recorded.receipt, handed.statement, enrolment)

    assert findings(theirs, file)[-1][0] is Verdict.REFUTED


@pytest.mark.parametrize(
    "changed",
    [
        {"signature": b"x" * 64},
        {"key_id": "00" * 32},
        {"payload_type": "application/vnd.lienthong.status.v1+json"},
    ],
)
def test_another_statement_is_refuted(theirs, handed, changed):
    statement = replace(handed.statement, **changed)
    file = ReceiptFile(handed.recorded.receipt, statement)

    assert findings(theirs, file)[-1][0] is Verdict.REFUTED
    event = parse_leaf(handed.recorded.receipt.leaf)
    with pytest.raises(VerificationFailed):
        require_fact_of(event, statement, str(event.id))


def test_changed_words_are_refuted(theirs, handed):
    payload = json.loads(handed.statement.payload)
    payload["agency"] = "C.H99"
    statement = SignedStatement(
        handed.statement.payload_type, json.dumps(payload).encode(), "", b""
    )

    file = ReceiptFile(handed.recorded.receipt, statement)
    assert findings(theirs, file)[-1][0] is Verdict.REFUTED


def test_a_signed_submission_never_passes_without_its_signature(theirs):
    axis = MemoryAxis((HERE, THERE))
    ours = linked(axis, HERE, "A2.H99")
    envelope = Party(HERE).envelope("A2.H99")
    recorded = ours.hub.submit(HERE, envelope)

    stripped = SignedStatement(envelope.payload_type, envelope.payload, "", b"")
    event = parse_leaf(recorded.receipt.leaf)
    with pytest.raises(VerificationFailed):
        require_fact_of(event, stripped, str(event.id))
    file = ReceiptFile(recorded.receipt, stripped)
    assert examine(file.format(), ours.hub.trust).items[-1].verdict is Verdict.REFUTED
