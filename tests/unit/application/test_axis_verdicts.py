"""Signed statuses and recalls of the axis: examined, recorded, shown; nothing follows from them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from adapters.memory.axis import MemoryAxis
from adapters.memory.pki import DirectExaminer
from hub.application.axis import MessageKind
from hub.application.axis_verdicts import AXIS_WORDS, AxisVerdicts
from hub.application.seen_signatures import signatures_of
from hub.domain.delivery import DeliveryState
from hub.domain.relay import RelayKind, RelayState
from hub.evidence.found import Authorities, FoundSignature, Outcome
from tests.support.builders import START, at_once, check_whole, run
from tests.support.relaying import HERE, THERE, Linked, linked
from tests.support.signed_files import sign_xml, with_xades
from tests.support.timestamping import issue
from tests.unit.application.test_relaying import here, received, sent, settle, there
from tests.unit.application.test_verdicts import Bench

DAY = timedelta(days=1)
ROOT = issue("root of signers", START - 900 * DAY, START + 900 * DAY, ca=True)
SIGNER = issue("UBND Quận 1", START - DAY, START + DAY, by=ROOT)
STRANGER = issue("UBND Quận 1", START - DAY, START + DAY)


@pytest.fixture
def axis() -> MemoryAxis:
    return MemoryAxis((HERE, THERE))


@pytest.fixture
def ours(axis: MemoryAxis) -> Linked:
    return linked(axis, HERE)


@pytest.fixture
def theirs(axis: MemoryAxis) -> Linked:
    return linked(axis, THERE)


def said_there(ours: Linked, theirs: Linked, axis: MemoryAxis, sign: Any) -> None:
    """A document of ours is received there, and a status 03 comes back that is `sign`ed."""
    sent(ours)
    settle(ours, theirs)
    (document,) = received(theirs)
    digest = document.envelope_digest.hex()
    media_type = "application/vnd.lienthong.status.v1+json"
    theirs.hub.report(THERE, there.say(media_type, envelope_digest=digest, code="03"))
    theirs.send()
    last = axis._deliveries[-1]
    assert last.kind is MessageKind.STATUS
    last.package = sign(last.package)
    assert ours.take() == 1


class Slow(DirectExaminer):
    """Takes too long for every package."""

    packages = 0

    async def examine_package(self, *_: Any) -> list[FoundSignature]:
        self.packages += 1
        return [FoundSignature("xml", Outcome.UNKNOWN, "overtime")]


def examined(link: Linked, examiner: DirectExaminer | None = None) -> int:
    """How many verdicts on statuses and recalls there are, once all was examined."""
    bench = Bench(link.hub)
    bench.examination._authorities = lambda: Authorities((ROOT.der,))
    bench.examination._examiner = examiner or DirectExaminer()
    beside = AxisVerdicts(
        log=link.hub.log,
        lane=link.hub.lane,
        vault=link.hub.vault,
        examination=bench.examination,
        offload=at_once,
    )
    job = bench.job()
    job._beside = dict.fromkeys(AXIS_WORDS, beside.examine)
    run(job.round())
    topics = [event.topic for event in link.hub.events()]
    return topics.count("hub.Exchange.AxisSignaturesExamined")


def seen(link: Linked, reader: str, *, named: bool = True) -> list[Any]:
    (exchange_id,) = {row.exchange_id for row in link.rows()}
    return seen_of(link, exchange_id, reader, named=named)


def seen_of(link: Linked, exchange_id: Any, reader: str, *, named: bool = True) -> list[Any]:
    hub = link.hub
    return signatures_of(
        hub.log, hub.vault, exchange_id, hub.receipts.size, named=named, readers=[reader]
    )


def test_a_signed_status_is_examined_and_its_sender_sees_whose_signature_it_is(ours, theirs, axis):
    said_there(
        ours, theirs, axis, lambda p: with_xades(sign_xml(p, SIGNER), "2026-11-22T08:30:00Z")
    )
    assert examined(ours) == 1
    assert examined(ours.restarted()) == 1

    one = seen(ours, HERE)[-1]
    assert (one.form, one.outcome, one.reason, one.name) == ("xml", "valid", "", "UBND Quận 1")
    assert (one.agency, one.status, one.judged_by) == (THERE, "03", "arrival")
    assert one.signed_at is not None
    assert seen(ours, HERE, named=False)[-1].name == ""
    assert not any(each.status for each in seen(ours, THERE)), "it was not said to anybody else"
    last = ours.hub.events()[-1]
    assert last.topic == "hub.Exchange.AxisSignaturesExamined"
    assert "Quận" not in str(last.data)
    check_whole(ours.hub)


@pytest.mark.parametrize(
    ("sign", "outcome", "reason"),
    [
        (lambda p: sign_xml(p, SIGNER).replace(b">03<", b">05<"), "invalid", "changed"),
        (lambda p: sign_xml(p, STRANGER), "unknown", "untrusted"),
    ],
    ids=["changed on its way", "of a stranger"],
)
def test_a_bad_signature_is_seen_and_the_status_stands(ours, theirs, axis, sign, outcome, reason):
    said_there(ours, theirs, axis, sign)
    assert examined(ours) == 1
    one = seen(ours, HERE)[-1]
    assert (one.outcome, one.reason) == (outcome, reason)
    (delivery,) = ours.hub.views.deliveries(ours.rows()[0].exchange_id)
    assert delivery.state in (DeliveryState.ACCEPTED, DeliveryState.PROCESSING)
    (row,) = [each for each in ours.rows() if each.reason]
    assert (row.kind, row.state) == (RelayKind.STATUS, RelayState.TAKEN)
    assert row.reason == f"SIGNATURE_{outcome.upper()}"
    check_whole(ours.hub)


def test_a_status_without_a_signature_needs_no_verdict_and_no_process(ours, theirs, axis):
    said_there(ours, theirs, axis, lambda p: p)
    never = Slow()
    assert examined(ours, never) == 0
    assert never.packages == 0


def test_a_word_that_is_no_signature_records_nothing(ours, theirs, axis):
    said_there(ours, theirs, axis, lambda p: p.replace(b"</", b"<!-- Signature --></", 1))
    assert examined(ours) == 0


def test_a_signed_recall_is_examined_and_those_it_was_said_to_see_it(ours, theirs, axis):
    sent(ours)
    settle(ours, theirs)
    (document,) = received(theirs)
    envelope = ours.hub.views.document(ours.rows()[0].exchange_id).envelope_digest.hex()
    media_type = "application/vnd.lienthong.recall.v1+json"
    ours.hub.recall(HERE, here.say(media_type, envelope_digest=envelope, reason="nhầm"))
    ours.send()
    axis._deliveries[-1].package = sign_xml(axis._deliveries[-1].package, SIGNER)
    assert theirs.take() == 1
    assert examined(theirs) == 1
    one = seen_of(theirs, document.exchange_id, THERE)[-1]
    assert (one.outcome, one.status, one.agency) == ("valid", "recall", HERE)
    others = seen_of(theirs, document.exchange_id, "X.H99")
    assert not any(each.status for each in others)
    check_whole(theirs.hub)


def test_what_was_erased_is_not_examined(ours, theirs, axis):
    said_there(ours, theirs, axis, lambda p: sign_xml(p, SIGNER))
    ours.hub.vault.erase([ours.rows()[0].exchange_id], len(ours.hub.events()))
    assert examined(ours) == 0


def test_an_examination_that_took_too_long_is_told_as_that(ours, theirs, axis):
    said_there(ours, theirs, axis, lambda p: sign_xml(p, SIGNER))
    assert examined(ours, Slow()) == 1
    assert seen(ours, HERE)[-1].reason == "overtime"
