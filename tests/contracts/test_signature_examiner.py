"""What every SignatureExaminer must do, whichever adapter provides it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from adapters.memory.pki import DirectExaminer
from adapters.pki.examiner import ExaminerProcess
from hub.application.ports import SignatureExaminer
from hub.evidence.found import Authorities, Outcome, Stamper, Standing
from tests.support.signed_files import plain_pdf, sign_cms, sign_pdf, sign_xml, stamp_cms
from tests.support.timestamping import Authority, issue

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
ROOT = issue("root of signers", NOW - 900 * DAY, NOW + 900 * DAY, ca=True)
SIGNER = issue("signer", NOW - DAY, NOW + DAY, by=ROOT)
OURS = Authorities((ROOT.der,))
SIGNED = sign_pdf(plain_pdf(), SIGNER)


@pytest.fixture(params=["memory", "process"])
async def examiner(request: pytest.FixtureRequest) -> AsyncIterator[SignatureExaminer]:
    made = DirectExaminer() if request.param == "memory" else ExaminerProcess(timeout_s=60)
    yield made
    await made.close()


async def test_a_pdf_is_examined_signature_by_signature(examiner: SignatureExaminer):
    assert await examiner.examine(plain_pdf(), None, OURS, NOW) == []
    (found,) = await examiner.examine(SIGNED, None, OURS, NOW)
    assert (found.form, found.outcome, found.name) == ("pdf", Outcome.VALID, "signer")
    assert found.chain == (SIGNER.der, ROOT.der)
    (early,) = await examiner.examine(SIGNED, None, OURS, NOW - 2 * DAY)
    assert (early.outcome, early.reason) == (Outcome.UNKNOWN, "not-yet-valid")


async def test_a_detached_signature_is_examined_with_its_content(examiner: SignatureExaminer):
    signature = sign_cms(b"content", SIGNER)
    (good,) = await examiner.examine(b"content", signature, OURS, NOW)
    (bad,) = await examiner.examine(b"another", signature, OURS, NOW)
    assert (good.outcome, bad.outcome) == (Outcome.VALID, Outcome.INVALID)


async def test_a_package_is_examined_by_the_signatures_in_its_header(examiner: SignatureExaminer):
    package = b"<edXML:edXMLHeader xmlns:edXML='urn:x'>V/v</edXML:edXMLHeader>"
    assert await examiner.examine_package(package, OURS, NOW) == []
    signed = sign_xml(package, SIGNER)
    (good,) = await examiner.examine_package(signed, OURS, NOW)
    (bad,) = await examiner.examine_package(signed.replace(b"V/v", b"v/v"), OURS, NOW)
    assert (good.form, good.outcome, good.issuer) == ("xml", Outcome.VALID, "root of signers")
    assert (bad.outcome, bad.reason) == (Outcome.INVALID, "changed")
    (junk,) = await examiner.examine_package(b"<no package", OURS, NOW)
    assert junk.outcome is Outcome.UNKNOWN


async def test_a_timestamp_is_examined_with_the_signature_it_is_over(examiner: SignatureExaminer):
    clock = Authority.make(NOW - 9 * DAY, NOW + 9 * DAY)
    former = issue("former", NOW - 9 * DAY, NOW - DAY, by=ROOT)
    at = NOW - 2 * DAY
    signature = stamp_cms(sign_cms(b"content", former), lambda value: clock.stamp(value, at))
    listed = Authorities((ROOT.der,), stampers=(Stamper((clock.root.der,), NOW + DAY),))
    (found,) = await examiner.examine(b"content", signature, listed, NOW)
    assert (found.outcome, found.reason) == (Outcome.UNKNOWN, "ended")
    (stamp,) = found.stamps
    assert (stamp.over, stamp.outcome, stamp.time) == ("signature", Outcome.VALID, at)
    assert stamp.authority == "tsa signer"
    assert stamp.rests_on == (clock.signer.der, clock.middle.der, clock.root.der)
    assert stamp.then == Standing(Outcome.VALID, "", (former.der, ROOT.der))
    ended = Authorities((ROOT.der,), stampers=(Stamper((clock.root.der,), NOW - DAY),))
    (found,) = await examiner.examine(b"content", signature, ended, NOW)
    assert [(each.reason, each.then) for each in found.stamps] == [("ended", None)]


async def test_a_file_of_junk_is_answered_and_the_next_one_too(examiner: SignatureExaminer):
    (found,) = await examiner.examine(b"%PDF-1.7\n" + bytes(1 << 20), None, OURS, NOW)
    assert found.outcome is Outcome.UNKNOWN
    assert await examiner.examine(plain_pdf(), None, OURS, NOW) == []


async def test_an_examination_that_takes_too_long_is_ended():
    hasty = ExaminerProcess(timeout_s=0.001)
    (found,) = await hasty.examine(plain_pdf(), None, OURS, NOW)
    assert (found.outcome, found.reason) == (Outcome.UNKNOWN, "overtime")
    assert hasty._process is None


async def test_a_process_that_was_killed_is_started_anew():
    examiner = ExaminerProcess(timeout_s=60)
    await examiner.examine(plain_pdf(), None, OURS, NOW)
    assert examiner._process is not None
    examiner._process.kill()
    await examiner._process.wait()
    (found,) = await examiner.examine(plain_pdf(), None, OURS, NOW)
    assert found.reason == "unreadable"
    assert await examiner.examine(plain_pdf(), None, OURS, NOW) == []
    await examiner.close()
