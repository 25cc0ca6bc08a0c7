"""Signatures of what comes over the axis: examined like any others, and they stop nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from adapters.memory.axis import Delivered, MemoryAxis
from adapters.memory.pki import DirectExaminer
from hub.application.axis import MessageKind
from hub.application.seen_signatures import signatures_of
from hub.evidence.found import EXAMINED_BYTES_MAX, Authorities
from tests.support.builders import START, Party, check_whole, run
from tests.support.relaying import HERE, THERE, Linked, linked
from tests.support.signed_files import plain_pdf, sign_pdf, sign_xml
from tests.support.timestamping import issue
from tests.unit.application.test_verdicts import Bench

DAY = timedelta(days=1)
ROOT = issue("root of signers", START - 900 * DAY, START + 900 * DAY, ca=True)
SIGNER = issue("UBND Quận 1", START - DAY, START + DAY, by=ROOT)


@pytest.fixture
def theirs() -> Linked:
    return linked(MemoryAxis((HERE, THERE)), THERE)


def package(*contents: bytes) -> bytes:
    """What the hub of the sender makes of a document."""
    elsewhere = linked(MemoryAxis((HERE, THERE)), HERE)
    elsewhere.hub.submit(HERE, Party(HERE).envelope(THERE, contents=contents), contents)
    elsewhere.send()
    made: bytes = elsewhere.gateway._axis._deliveries[0].package  # type: ignore[attr-defined]
    return made


def came(link: Linked, data: bytes) -> Any:
    """The row of the document that this package becomes, and who examines it."""
    axis = link.gateway._axis  # type: ignore[attr-defined]
    axis._deliveries.append(Delivered("strange", "", MessageKind.DOCUMENT, "", THERE, data))
    assert link.take() == 1
    ((_line, _delivery, document),) = link.hub.views.inbox(THERE, 0, 10)
    bench = Bench(link.hub)
    bench.examination._authorities = lambda: Authorities((ROOT.der,))
    bench.examination._examiner = DirectExaminer()
    return document, bench


def found(link: Linked, document: Any) -> list[tuple[int, str, str, str, str]]:
    seen = signatures_of(
        link.hub.log, link.hub.vault, document.exchange_id, link.hub.receipts.size, named=True
    )
    return [(each.attachment, each.form, each.outcome, each.reason, each.name) for each in seen]


def test_package_and_pdf_are_examined_as_an_ordinary_submission_is(theirs: Linked):
    document, bench = came(theirs, sign_xml(package(sign_pdf(plain_pdf(), SIGNER)), SIGNER))
    assert run(bench.job().round()) == 1
    assert run(bench.job().round()) == 0
    assert found(theirs, document) == [
        (0, "pdf", "valid", "", "UBND Quận 1"),
        (1, "xml", "valid", "", "UBND Quận 1"),
    ]
    assert len(theirs.hub.views.inbox(THERE, 0, 10)) == 1  # Nobody is told of what is valid.
    check_whole(theirs.hub)


def test_a_package_that_the_axis_changed_is_delivered_and_its_recipient_is_told(theirs: Linked):
    changed = sign_xml(package(), SIGNER).replace(b"125", b"126")
    document, bench = came(theirs, changed)
    run(bench.job().round())
    assert found(theirs, document) == [(0, "xml", "invalid", "changed", "UBND Quận 1")]
    *_rest, (notice, _delivery, _document) = theirs.hub.views.inbox(THERE, 0, 10)
    assert notice.kind.name == "SIGNATURES"
    check_whole(theirs.hub)


def test_a_package_without_a_signature_needs_no_verdict(theirs: Linked):
    _document, bench = came(theirs, package())
    assert run(bench.job().round()) == 0
    assert bench.verdicts() == []


def test_a_package_that_is_too_large_is_told_as_that(theirs: Linked, monkeypatch):
    document, bench = came(theirs, sign_xml(package(), SIGNER))
    monkeypatch.setattr("hub.application.verdicts.EXAMINED_BYTES_MAX", 100)
    assert EXAMINED_BYTES_MAX > 100
    run(bench.job().round())
    assert found(theirs, document)[-1][2:4] == ("unknown", "too-large")
