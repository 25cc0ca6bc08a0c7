"""Signatures in documents: examined in the order of the log, noted, told, or demanded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from hub.application.seen_signatures import signatures_of
from hub.application.verdicts import (
    Demands,
    Examination,
    Judged,
    Verdict,
    VerdictJob,
    candidates,
)
from hub.domain.exchange import Exchange
from hub.domain.values import format_time, parse_time
from hub.errors import DocumentSignatureInvalid, StatementMalformed, Unavailable
from hub.evidence.crls import Listed
from hub.evidence.found import (
    Authorities,
    FoundSignature,
    Outcome,
    Signer,
    Stamp,
    Standing,
)
from hub.proof.envelope import Attachment
from hub.proof.statements import Collect
from tests.support.builders import (
    OTHER,
    RECIPIENT,
    SENDER,
    START,
    MemoryHub,
    Party,
    at_once,
    check_whole,
    new_hub,
    run,
)
from tests.support.timestamping import issue

DAY = timedelta(days=1)
sender, recipient = Party(SENDER), Party(RECIPIENT)
ROOT = issue("root", START - 900 * DAY, START + 900 * DAY, ca=True)
LEAF = issue("UBND Quận 1", START - DAY, START + DAY, by=ROOT)
VALID = FoundSignature(
    "pdf",
    Outcome.VALID,
    signer=Signer.AGENCY,
    name="UBND Quận 1",
    signed_at=START - DAY / 2,
    chain=(LEAF.der, ROOT.der),
)
BROKEN = FoundSignature("pdf", Outcome.INVALID, "changed", signer=Signer.PERSON, name="A")
PDF = b"%PDF-1.7"


class Examiner:
    """Finds in every file what it is told to."""

    def __init__(self, *found: FoundSignature) -> None:
        self.found: Sequence[FoundSignature] = found
        self.asked: list[tuple[bytes, bytes | None, datetime]] = []

    async def examine(
        self, content: bytes, signature: bytes | None, authorities: Authorities, at: datetime
    ) -> Sequence[FoundSignature]:
        self.asked.append((content, signature, at))
        return self.found

    async def close(self) -> None:
        pass


class Lists:
    def __init__(self) -> None:
        self.revoked: dict[int, Listed] = {}
        self.known = True

    def listed(self, certificate: x509.Certificate) -> Listed | None:
        return self.revoked.get(certificate.serial_number)

    def knows(self, _: x509.Certificate) -> bool:
        return self.known


class Bench:
    """A hub with an examiner that says what it is told to."""

    def __init__(self, hub: MemoryHub, *found: FoundSignature) -> None:
        self.hub = hub
        self.examiner = Examiner(*found)
        self.lists = Lists()
        self.examination = Examination(
            examiner=self.examiner,
            content=hub.stores.content,
            authorities=lambda: Authorities((ROOT.der,)),
            lists=self.lists,
            offload=at_once,
            randomness=hub.randomness,
        )

    def job(self) -> VerdictJob:
        return VerdictJob(
            log=self.hub.log,
            receipts=self.hub.receipts,
            lane=self.hub.lane,
            vault=self.hub.vault,
            examination=self.examination,
            offload=at_once,
        )

    def send(self, *contents: bytes, **changes: Any) -> Any:
        return self.hub.submit(SENDER, sender.envelope(contents=contents, **changes), contents)

    def verdicts(self) -> list[Any]:
        return [e.data for e in self.hub.events() if e.topic.endswith("SignatureVerdictMade")]


@pytest.fixture
def bench() -> Bench:
    return Bench(new_hub(), VALID)


def outcomes(data: Any) -> list[tuple[str, str]]:
    return [(each["outcome"], each["reason"]) for each in data["signatures"]]


# --- In the background --------------------------------------------------------------------


def test_a_document_is_examined_as_of_its_acceptance_and_only_once(bench):
    accepted = bench.send(PDF)
    at = bench.hub.clock()
    bench.hub.clock.advance(DAY)
    job = bench.job()

    assert run(job.round()) == 1
    assert run(job.round()) == run(bench.job().round()) == 0

    (asked,) = bench.examiner.asked
    assert asked[:2] == (PDF, None)
    assert abs(asked[2] - at) < timedelta(seconds=1)
    (data,) = bench.verdicts()
    assert outcomes(data) == [("valid", "")]
    assert (data["document"], data["parties"]) == (accepted.position, [SENDER, RECIPIENT])
    check_whole(bench.hub)


def test_no_name_stands_in_the_log(bench):
    bench.send(PDF)
    run(bench.job().round())
    assert not any("Quận 1" in str(e.data) for e in bench.hub.events() if "Verdict" in e.topic)


def test_nobody_is_told_of_what_is_valid_and_recipients_of_what_is_not(bench):
    bench.send(PDF)
    bench.examiner.found = [VALID, BROKEN]
    bench.send(PDF, document={"number": "126"})
    job = bench.job()
    bench.examiner.found = [VALID]
    run(job.round())
    (first, second) = bench.verdicts()
    assert first["notices"] == second["notices"] == []

    bench.examiner.found = [VALID, BROKEN]
    bench.send(PDF, document={"number": "127"})
    run(job.round())

    third = bench.verdicts()[2]
    assert outcomes(third) == [("valid", ""), ("invalid", "changed")]
    (notice,) = third["notices"]
    rows = run(bench.hub.exchanges.inbox(RECIPIENT, 0, 10))
    assert (rows[-1][0].kind.name, rows[-1][0].seq) == ("SIGNATURES", notice["inbox_seq"])
    check_whole(bench.hub)


def test_the_job_goes_on_behind_the_last_verdict_after_a_stop(bench):
    for number in ("1", "2", "3"):
        bench.send(PDF, document={"number": number})
    run(bench.job().round())
    bench.hub = bench.hub.restarted()
    later = Bench(bench.hub, VALID)
    later.send(PDF, document={"number": "4"})

    assert run(later.job().round()) == 1
    assert len(later.examiner.asked) == 1


def test_what_carries_nothing_to_examine_is_passed_over(bench):
    bench.hub.submit(SENDER, sender.envelope())
    assert run(bench.job().round()) == 0
    assert bench.examiner.asked == []


def test_a_document_without_any_signature_has_an_empty_verdict(bench):
    bench.examiner.found = []
    bench.send(PDF)
    run(bench.job().round())
    (data,) = bench.verdicts()
    assert (data["signatures"], data["notices"]) == ([], [])


def test_content_that_is_lost_is_said_to_be(bench):
    accepted = bench.send(PDF)
    bench.hub.stores.content.discard(bench.hub.events()[accepted.position].id)
    run(bench.job().round())
    assert outcomes(bench.verdicts()[0]) == [("unknown", "lost")]


def test_fsck_misses_a_report(bench):
    bench.send(PDF)
    run(bench.job().round())
    (data,) = bench.verdicts()
    del bench.hub.log._tables.payloads[bytes.fromhex(data["report"])]
    (finding,) = bench.hub.findings()
    assert "payload is missing" in finding.what


# --- Revocation ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (START - DAY, ("invalid", "revoked")),
        (START - DAY / 4, ("unknown", "revoked-later")),
        (START + DAY, ("valid", "")),
    ],
    ids=["before it was signed", "after it was signed", "after it came here"],
)
def test_lists_that_were_fetched_ahead_decide_by_the_time(bench, since, expected):
    bench.lists.revoked[LEAF.certificate.serial_number] = Listed(since, "key-compromise")
    bench.send(PDF)
    run(bench.job().round())
    assert outcomes(bench.verdicts()[0]) == [expected]


def test_where_no_list_is_known_the_verdict_says_so(bench):
    bench.lists.known = False
    bench.send(PDF)
    run(bench.job().round())
    assert outcomes(bench.verdicts()[0]) == [("valid", "no-list")]


# --- Demanded -----------------------------------------------------------------------------


def demanding(bench: Bench, *codes: str) -> None:
    demands = Demands(bench.examination, codes)
    bench.hub.exchanges._demands = bench.hub.exchanges._submissions._demands = demands


@pytest.mark.parametrize("by", ["sender", "recipient"])
def test_what_is_demanded_is_examined_before_and_recorded_with_the_document(bench, by):
    demanding(bench, *([RECIPIENT] if by == "recipient" else []))
    accepted = bench.send(PDF, signatures_required=by == "sender")

    topics = [e.topic.rpartition(".")[2] for e in bench.hub.events()[accepted.position :]]
    assert topics == ["DocumentSubmitted", "SignatureVerdictMade"]
    assert run(bench.job().round()) == 0
    check_whole(bench.hub)


@pytest.mark.parametrize(
    ("found", "why"), [([VALID, BROKEN], "changed"), ([], "none")], ids=["one is bad", "none"]
)
def test_what_is_demanded_and_not_there_is_refused_and_leaves_nothing(bench, found, why):
    demanding(bench)
    bench.examiner.found = found
    before = len(bench.hub.events())
    envelope = sender.envelope(contents=[PDF], signatures_required=True)

    with pytest.raises(DocumentSignatureInvalid) as refused:
        bench.hub.submit(SENDER, envelope, [PDF])

    assert refused.value.metadata["why"] == why
    assert len(bench.hub.events()) == before
    assert list(bench.hub.stores.content.exchanges()) == []
    # Only acceptance binds a request id: it can be mended, and sent again.
    bench.examiner.found = [VALID]
    bench.hub.submit(SENDER, envelope, [PDF])
    check_whole(bench.hub)


PERSON = replace(VALID, signer=Signer.PERSON, name="Nguyễn Văn A")
SOMEBODY = replace(VALID, signer=Signer.UNKNOWN, name="X")


@pytest.mark.parametrize("by", ["sender", "recipient"])
def test_person_and_agency_are_demanded_of_one_attachment_and_the_verdict_says_so(bench, by):
    bench.examiner.found = [PERSON, VALID]
    demands = Demands(bench.examination, (), [RECIPIENT] if by == "recipient" else [])
    bench.hub.exchanges._demands = bench.hub.exchanges._submissions._demands = demands
    bench.send(PDF, **({"signers_required": ["agency", "person"]} if by == "sender" else {}))
    (verdict,) = bench.verdicts()
    assert verdict["demanded"] == ["valid", "person", "agency"]
    check_whole(bench.hub)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([VALID], "no-person"),
        ([PERSON], "no-agency"),
        ([PERSON, SOMEBODY], "no-agency"),
        ([VALID, replace(PERSON, outcome=Outcome.UNKNOWN, reason="untrusted")], "untrusted"),
        ([], "none"),
    ],
)
def test_whose_signature_is_missing_is_said_and_nothing_is_left(bench, found, why):
    demanding(bench)
    bench.examiner.found = found
    before = len(bench.hub.events())
    envelope = sender.envelope(contents=[PDF], signers_required=["person", "agency"])

    with pytest.raises(DocumentSignatureInvalid) as refused:
        bench.hub.submit(SENDER, envelope, [PDF])

    assert refused.value.metadata["why"] == why
    assert len(bench.hub.events()) == before


def test_person_on_one_file_and_agency_on_another_are_not_both_on_one():
    apart = Verdict([Judged(0, PERSON, START), Judged(1, VALID, START)], b"")
    assert len(apart.missing(["person", "agency"])) == 1
    together = Verdict(
        [Judged(0, PERSON, START), Judged(1, VALID, START), Judged(1, PERSON, START)], b""
    )
    assert together.missing(["person", "agency"]) == []


@pytest.mark.parametrize("signers", [[], ["person", "person"], ["clerk"], "person", [1]])
def test_signers_that_are_none_are_refused(bench, signers):
    with pytest.raises(StatementMalformed) as refused:
        bench.hub.submit(SENDER, sender.envelope(signers_required=signers))
    assert refused.value.metadata["field"].startswith("signers_required")


def test_a_demand_of_valid_signatures_alone_is_recorded_as_that(bench):
    demanding(bench)
    bench.send(PDF, signatures_required=True)
    (verdict,) = bench.verdicts()
    assert verdict["demanded"] == ["valid"]


def test_a_document_without_files_cannot_meet_a_demand(bench):
    demanding(bench)
    with pytest.raises(DocumentSignatureInvalid):
        bench.hub.submit(SENDER, sender.envelope(signatures_required=True))


def test_a_demand_of_somebody_else_asks_nothing(bench):
    demanding(bench, OTHER)
    bench.examiner.found = [BROKEN]
    bench.send(PDF)
    assert bench.examiner.asked == []


def test_the_same_submission_gets_the_same_answer_and_is_examined_once(bench):
    demanding(bench)
    envelope = sender.envelope(contents=[PDF], signatures_required=True)
    first = bench.hub.submit(SENDER, envelope, [PDF])
    bench.examiner.found = [BROKEN]
    assert bench.hub.submit(SENDER, envelope, [PDF]) == first
    assert len(bench.examiner.asked) == 1


# --- What is shown ------------------------------------------------------------------------


def test_names_are_shown_to_the_sender_and_after_collection(bench):
    accepted = bench.send(PDF)
    run(bench.job().round())
    exchange_id = bench.hub.events()[accepted.position].id

    def names(agency: str) -> list[str]:
        return [
            each.name for each in run(bench.hub.exchanges.exchange(agency, exchange_id)).signatures
        ]

    assert (names(SENDER), names(RECIPIENT)) == (["UBND Quận 1"], [""])
    digest = bench.hub.events()[accepted.position].data["statement"]["digest"]
    collect = recipient.say(Collect.MEDIA_TYPE, envelope_digest=digest)
    bench.hub.collect(RECIPIENT, collect)
    assert names(RECIPIENT) == ["UBND Quận 1"]


def test_nothing_is_shown_that_no_checkpoint_covers(bench):
    accepted = bench.send(PDF)
    run(bench.job().round())
    exchange_id = bench.hub.events()[accepted.position].id
    size = accepted.position + 1
    assert signatures_of(bench.hub.log, bench.hub.vault, exchange_id, size, named=True) == []


# --- Which files --------------------------------------------------------------------------


def attachment(name: str, media_type: str = "application/octet-stream") -> Attachment:
    return Attachment(name, media_type, 1, "0" * 64)


def test_pdfs_and_what_has_a_signature_beside_it_are_examined():
    found = candidates(
        [
            attachment("a.pdf"),
            attachment("b", "application/pdf"),
            attachment("c.docx"),
            attachment("c.docx.p7s"),
            attachment("d.p7s"),
            attachment("e.txt"),
        ]
    )
    assert [(each.attachment, each.signature) for each in found] == [
        (0, None), (1, None), (2, 3),
    ]  # fmt: skip


# --- By which time --------------------------------------------------------------------------

TSA = issue("clock", START - 900 * DAY, START + 900 * DAY, by=ROOT)
FORMER = issue("UBND Quận 2", START - 90 * DAY, START - DAY, by=ROOT)
STAMPED = START - 10 * DAY
ENDED = replace(VALID, outcome=Outcome.UNKNOWN, reason="ended", chain=(FORMER.der,))
THEN = Standing(Outcome.VALID, "", (FORMER.der, ROOT.der))
STAMP = Stamp(
    "signature", Outcome.VALID, "", STAMPED, "clock", rests_on=(TSA.der, ROOT.der), then=THEN
)


def judged(bench: Bench, found: FoundSignature) -> Any:
    bench.examiner.found = [found]
    bench.send(PDF, document={"number": str(len(bench.hub.events()))})
    run(bench.job().round())
    (record,) = bench.verdicts()[-1]["signatures"]
    check_whole(bench.hub)
    return record


def test_a_signature_whose_certificate_ended_since_is_judged_as_of_its_timestamp(bench):
    record = judged(bench, replace(ENDED, stamps=(STAMP,)))
    # A list of today need not name a certificate that has ended.
    assert (record["outcome"], record["reason"]) == ("valid", "no-list")
    assert (record["judged_by"], record["judged_at"]) == ("stamp", format_time(STAMPED))
    assert (record["stamp"], record["stamp_over"], record["stamp_reason"]) == (
        "valid", "signature", "",
    )  # fmt: skip
    accepted = bench.hub.views.inbox(RECIPIENT, 0, 10)[-1][2]
    (seen,) = signatures_of(
        bench.hub.log, bench.hub.vault, accepted.exchange_id, bench.hub.receipts.size, named=True
    )
    assert (seen.judged_by, seen.judged_at) == ("stamp", STAMPED)
    assert seen.stamp_authority == "clock"
    (unnamed,) = signatures_of(
        bench.hub.log, bench.hub.vault, accepted.exchange_id, bench.hub.receipts.size, named=False
    )
    assert (unnamed.stamp_authority, unnamed.stamped_at) == ("", STAMPED)


def test_without_a_timestamp_it_is_judged_as_of_its_arrival(bench):
    record = judged(bench, ENDED)
    assert (record["outcome"], record["reason"]) == ("unknown", "ended")
    assert record["judged_by"] == "arrival"
    arrived = parse_time(record["judged_at"])
    assert abs(arrived - bench.hub.clock()) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (STAMPED + DAY, ("valid", "", "stamp")),
        (STAMPED - DAY, ("unknown", "revoked-later", "stamp")),
        (STAMPED - 3 * DAY, ("invalid", "revoked", "stamp")),
    ],
    ids=["after its timestamp", "before it, after its own word", "before it"],
)
def test_a_revocation_counts_if_it_was_in_force_at_the_timestamp(bench, since, expected):
    bench.lists.revoked[LEAF.certificate.serial_number] = Listed(since, "key-compromise")
    claim = STAMPED - 2 * DAY
    stamp = replace(STAMP, then=Standing(Outcome.VALID, "", VALID.chain))
    record = judged(bench, replace(VALID, signed_at=claim, stamps=(stamp,)))
    assert (record["outcome"], record["reason"], record["judged_by"]) == expected


def test_a_timestamp_of_an_authority_that_was_revoked_counts_for_nothing(bench):
    # Even of before: whoever has its key can date back.
    bench.lists.revoked[TSA.certificate.serial_number] = Listed(STAMPED + DAY, "key-compromise")
    record = judged(bench, replace(ENDED, stamps=(STAMP,)))
    assert (record["outcome"], record["judged_by"]) == ("unknown", "arrival")
    assert (record["stamp"], record["stamp_reason"]) == ("unknown", "revoked")


def test_if_the_earliest_timestamp_is_void_the_next_one_counts(bench):
    bench.lists.revoked[TSA.certificate.serial_number] = Listed(STAMPED, "key-compromise")
    other = replace(STAMP, time=STAMPED + DAY, rests_on=(ROOT.der,), over="document")
    record = judged(bench, replace(ENDED, stamps=(STAMP, other)))
    assert (record["outcome"], record["stamp_over"]) == ("valid", "document")
    assert record["judged_at"] == format_time(STAMPED + DAY)


def test_a_timestamp_never_makes_it_worse(bench):
    stamp = replace(STAMP, then=Standing(Outcome.UNKNOWN, "not-yet-valid", (LEAF.der,)))
    record = judged(bench, replace(VALID, stamps=(stamp,)))
    assert (record["outcome"], record["judged_by"]) == ("valid", "arrival")
    record = judged(bench, replace(ENDED, stamps=(stamp,)))
    assert (record["outcome"], record["reason"], record["judged_by"]) == (
        "unknown", "not-yet-valid", "stamp",
    )  # fmt: skip


def test_verdicts_of_before_are_read_as_made_by_the_arrival():
    signature = {"attachment": 0, "stamp": "valid", "stamped_at": "2026-11-22T02:00:05.000000Z"}
    old = {"document": 6, "signatures": [signature, {"stamp": "", "stamped_at": ""}]}
    read = Exchange.SignatureVerdictMade.upcast_v2_v3(old)
    first, second = read["signatures"]
    assert (first["judged_by"], first["judged_at"], first["stamp_over"]) == (
        "arrival", "", "signature",
    )  # fmt: skip
    assert (second["stamp_over"], second["stamp_reason"]) == ("", "")


# --- What must not stop the others ------------------------------------------------------------


def test_a_verdict_on_a_document_to_a_thousand_agencies_fits_into_the_log(bench):
    many = [f"H29.{number:04}.{number:04}.99.99.9" for number in range(990)]
    bench.hub.register(*many)
    bench.examiner.found = [BROKEN] * 64
    bench.hub.submit(SENDER, sender.envelope(*many, contents=[PDF]), [PDF])
    assert run(bench.job().round()) == 1
    (data,) = bench.verdicts()
    assert len(data["notices"]) == 990
    assert data["parties"] == [SENDER]
    assert 1 < len(data["signatures"]) < 64
    assert outcomes(data)[-2:] == [("invalid", "changed"), ("unknown", "too-many")]
    check_whole(bench.hub)


def test_a_document_that_trips_the_examination_again_and_again_is_passed_over(bench, monkeypatch):
    bench.send(PDF)
    bench.send(PDF, document={"number": "126"})
    job, verdict, calls = bench.job(), bench.examination.verdict, []

    async def trips(*args: Any) -> Verdict:
        calls.append(args[0])
        if args[0] == calls[0]:
            raise RuntimeError("a defect")
        return await verdict(*args)

    monkeypatch.setattr(bench.examination, "verdict", trips)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            run(job.round())
    assert run(job.round()) == 1
    assert len(calls) == 4


def test_a_log_that_cannot_be_written_is_nobodys_fault_and_nothing_is_passed_over(
    bench, monkeypatch
):
    bench.send(PDF)
    job, done = bench.job(), bench.hub.lane.do

    async def frozen(_: Any) -> Any:
        raise Unavailable("not now")

    monkeypatch.setattr(bench.hub.lane, "do", frozen)
    for _ in range(5):
        with pytest.raises(Unavailable):
            run(job.round())
    monkeypatch.setattr(bench.hub.lane, "do", done)
    assert run(job.round()) == 1
