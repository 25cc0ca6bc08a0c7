"""Signatures in documents: what holds, what does not, and whose they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hub.evidence.documents import examine_cms, examine_pdf, subject_of
from hub.evidence.found import Authorities, FoundSignature, Outcome, Signer
from tests.support.signed_files import plain_pdf, sign_cms, sign_pdf, subject
from tests.support.timestamping import Holder, issue

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
ROOT = issue("root of signers", NOW - 900 * DAY, NOW + 900 * DAY, ca=True)
MIDDLE = issue("ca of signers", NOW - 800 * DAY, NOW + 800 * DAY, by=ROOT, ca=True)
STRANGER = issue("stranger", NOW - 900 * DAY, NOW + 900 * DAY, ca=True)
OURS = Authorities(anchors=(ROOT.der,), others=(MIDDLE.der,))


def holder(name: str, by: Holder = MIDDLE, **changes: Any) -> Holder:
    window = {"not_before": NOW - 100 * DAY, "not_after": NOW + 100 * DAY} | changes
    return issue(name, by=by, **window)


PERSON = holder("Nguyễn Văn A", subject=subject("Nguyễn Văn A", "UBND Quận 1", "CCCD:079012345678"))
AGENCY = holder("UBND Quận 1", subject=subject("UBND Quận 1", "UBND Quận 1"))


def only(found: list[FoundSignature]) -> FoundSignature:
    (one,) = found
    return one


def test_a_document_without_a_signature_has_none():
    assert examine_pdf(plain_pdf(), OURS, NOW) == []


def test_person_and_agency_sign_one_after_the_other_and_both_hold():
    data = sign_pdf(sign_pdf(plain_pdf(), PERSON), AGENCY, field="Signature2")
    person, agency = examine_pdf(data, OURS, NOW)
    assert (person.outcome, agency.outcome) == (Outcome.VALID, Outcome.VALID)
    assert (person.signer, agency.signer) == (Signer.PERSON, Signer.AGENCY)
    assert (person.name, person.organisation) == ("Nguyễn Văn A", "UBND Quận 1")
    assert person.chain == (PERSON.der, MIDDLE.der, ROOT.der)
    assert person.signed_at is not None
    assert abs(person.signed_at - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_changed_byte_is_noticed():
    data = bytearray(sign_pdf(plain_pdf("trước"), PERSON))
    place = data.index("trước".encode())
    data[place : place + 1] = b"T"
    found = only(examine_pdf(bytes(data), OURS, NOW))
    assert (found.outcome, found.reason) == (Outcome.INVALID, "changed")


def test_what_was_added_after_the_signature_is_noticed():
    signed = sign_pdf(plain_pdf(), PERSON)
    found = only(examine_pdf(with_other_page(signed), OURS, NOW))
    assert (found.outcome, found.reason) == (Outcome.INVALID, "changed")


def with_other_page(data: bytes) -> bytes:
    import io

    from pyhanko.pdf_utils import generic
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

    writer = IncrementalPdfFileWriter(io.BytesIO(data))
    page = writer.root["/Pages"]["/Kids"][0].get_object()
    page["/Contents"] = writer.add_object(generic.StreamObject(stream_data=b"% another text"))
    writer.update_container(page)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        (holder("x", STRANGER), "untrusted"),
        (holder("x", not_after=NOW - DAY), "ended"),
        (holder("x", not_before=NOW + DAY), "not-yet-valid"),
        (holder("x", key_usage=False), "untrusted"),
    ],
    ids=["of a stranger", "ended", "not yet valid", "not for signing"],
)
def test_a_signature_whose_certificate_does_not_count_is_not_valid(by, reason):
    found = only(examine_pdf(sign_pdf(plain_pdf(), by), OURS, NOW))
    assert (found.outcome, found.reason) == (Outcome.UNKNOWN, reason)


def test_an_authority_that_the_document_brings_along_is_not_believed():
    by = holder("x", STRANGER)
    found = only(examine_pdf(sign_pdf(plain_pdf(), by, others=(STRANGER,)), OURS, NOW))
    assert (found.outcome, found.reason) == (Outcome.UNKNOWN, "untrusted")


def test_what_lies_between_may_come_with_the_document():
    found = only(
        examine_pdf(sign_pdf(plain_pdf(), PERSON, others=(MIDDLE,)), Authorities((ROOT.der,)), NOW)
    )
    assert found.outcome is Outcome.VALID


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"junk", sign_pdf(plain_pdf(), PERSON)[:-700]])
def test_what_cannot_be_read_is_neither_valid_nor_a_crash(data):
    assert all(each.outcome is not Outcome.VALID for each in examine_pdf(data, OURS, NOW))


# --- Detached -----------------------------------------------------------------------------


def test_a_detached_signature_holds_over_the_very_content():
    content = b"anything at all"
    signature = sign_cms(content, AGENCY)
    found = only(examine_cms(signature, content, OURS, NOW))
    assert (found.form, found.outcome, found.signer) == ("cms", Outcome.VALID, Signer.AGENCY)
    other = only(examine_cms(signature, content + b" ", OURS, NOW))
    assert (other.outcome, other.reason) == (Outcome.INVALID, "changed")


def test_what_is_no_detached_signature_is_not_valid():
    for data in (b"", b"junk", bytes(2 << 20)):
        assert only(examine_cms(data, b"content", OURS, NOW)).outcome is Outcome.UNKNOWN


def test_of_several_signers_each_is_judged_for_itself():
    content = b"anything at all"
    stranger = holder("x", STRANGER)
    signature = sign_cms(content, PERSON, AGENCY, stranger)
    found = examine_cms(signature, content, OURS, NOW)
    assert {(each.signer, each.outcome, each.reason) for each in found} == {
        (Signer.PERSON, Outcome.VALID, ""),
        (Signer.AGENCY, Outcome.VALID, ""),
        (Signer.UNKNOWN, Outcome.UNKNOWN, "untrusted"),
    }
    others = examine_cms(signature, b"another", OURS, NOW)
    assert [each.reason for each in others] == ["changed"] * 3


# --- Whose it is --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (subject("Nguyễn Văn A", "UBND Quận 1", "CCCD:079012345678"), Signer.PERSON),
        (subject("Nguyễn Văn A", "UBND Quận 1", "CMND:012345678"), Signer.PERSON),
        (subject("UBND Quận 1", "Chính phủ", "MST:0301234567"), Signer.AGENCY),
        (subject("UBND Quận 1", "UBND Quận 1"), Signer.AGENCY),
        (subject("Nguyễn Văn A", "UBND Quận 1"), Signer.UNKNOWN),
        (subject("Nguyễn Văn A"), Signer.UNKNOWN),
    ],
)
def test_the_subject_says_whether_a_person_or_an_agency_signs(name, expected):
    assert subject_of(holder("x", subject=name).der)[2] is expected
