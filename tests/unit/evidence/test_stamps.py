"""Timestamps over signatures in documents: what each proves, and by whose word."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms, tsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from pyhanko.sign.timestamps import TimeStamper

from hub.evidence.documents import examine_cms, examine_pdf
from hub.evidence.found import Authorities, FoundSignature, Outcome, Stamp, Stamper
from hub.evidence.tokens import build_request
from tests.support.certomancer_pki import Pki
from tests.support.signed_files import (
    plain_pdf,
    sign_cms,
    sign_pdf,
    stamp_cms,
    stamp_pdf,
)
from tests.support.timestamping import TIME_STAMPING, Authority, Holder

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
SIGNED = datetime(2020, 11, 20, 8, tzinfo=UTC)
STOLEN = datetime(2020, 12, 1, tzinfo=UTC)
CONTENT = b"anything at all"
VALID, INVALID, UNKNOWN = Outcome.VALID, Outcome.INVALID, Outcome.UNKNOWN


class Clock(TimeStamper):
    """An authority of certomancer, as the library that makes PDFs asks one."""

    def __init__(self, pki: Pki, at: datetime, name: str = "clock") -> None:
        super().__init__()
        self.pki, self.at, self.name = pki, at, name

    async def async_request_tsa_response(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
        return tsp.TimeStampResp.load(self.pki.stamp(req.dump(), self.at, self.name))

    def token(self, message: bytes) -> bytes:
        answer = self.pki.stamp(build_request(message, nonce=bytes(16)), self.at, self.name)
        der: bytes = tsp.TimeStampResp.load(answer)["time_stamp_token"].dump()
        return der


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(Path(tmp_path_factory.mktemp("pki")))


@pytest.fixture(scope="module")
def ours(pki: Pki) -> Authorities:
    return Authorities(
        (pki.certificate("root"),),
        (pki.certificate("middle"),),
        (Stamper((pki.certificate("clocks"),)),),
    )


def only(found: Sequence[FoundSignature]) -> FoundSignature:
    (one,) = found
    return one


def said(found: FoundSignature) -> tuple[Outcome, str]:
    return found.outcome, found.reason


def stamp_of(found: FoundSignature) -> Stamp:
    return found.stamps[0]


def then(found: FoundSignature) -> tuple[Outcome, str]:
    standing = stamp_of(found).then
    assert standing is not None
    return standing.outcome, standing.reason


# --- What a timestamp proves ----------------------------------------------------------------


def test_a_signature_whose_certificate_ended_since_holds_as_of_its_timestamp(pki, ours):
    clock = Clock(pki, SIGNED)
    pdf = sign_pdf(plain_pdf(), pki.holder("former"), stamp=clock)
    signature = stamp_cms(sign_cms(CONTENT, pki.holder("former")), clock.token)
    at = datetime(2022, 1, 1, tzinfo=UTC)
    for found in (
        only(examine_pdf(pdf, ours, at)),
        only(examine_cms(signature, CONTENT, ours, at)),
    ):
        assert said(found) == (UNKNOWN, "ended")
        stamp = stamp_of(found)
        assert (stamp.outcome, stamp.over, stamp.time) == (VALID, "signature", SIGNED)
        assert stamp.authority == "clock"
        assert stamp.rests_on == (pki.certificate("clock"), pki.certificate("clocks"))
        assert then(found) == (VALID, "")


def test_an_authority_below_an_anchor_for_signers_counts_too(pki, ours):
    clock = Clock(pki, SIGNED, "tsa")
    pdf = sign_pdf(plain_pdf(), pki.holder("former"), stamp=clock)
    found = only(examine_pdf(pdf, replace(ours, stampers=()), NOW))
    assert (said(found), then(found)) == ((UNKNOWN, "ended"), (VALID, ""))


def test_a_timestamp_of_after_the_certificates_end_mends_nothing(pki, ours):
    late = Clock(pki, datetime(2021, 1, 2, tzinfo=UTC))
    at = datetime(2022, 1, 1, tzinfo=UTC)
    found = only(examine_pdf(sign_pdf(plain_pdf(), pki.holder("former"), stamp=late), ours, at))
    assert stamp_of(found).outcome is VALID
    assert then(found) == (UNKNOWN, "ended")


def test_a_timestamp_does_not_mend_what_was_changed(pki, ours):
    signature = stamp_cms(sign_cms(CONTENT, pki.holder("former")), Clock(pki, SIGNED).token)
    found = only(examine_cms(signature, b"another", ours, SIGNED + DAY))
    assert (said(found), then(found)) == ((INVALID, "changed"),) * 2


def test_without_a_timestamp_nothing_is_said(pki, ours):
    assert only(examine_pdf(sign_pdf(plain_pdf(), pki.holder("signer")), ours, NOW)).stamps == ()


def test_of_several_timestamps_the_earliest_valid_one_comes_first(pki, ours):
    tokens = [Clock(pki, SIGNED + n * DAY, name).token for n, name in ((3, "clock"), (2, "tsa"))]
    strange = Authority.make(SIGNED - DAY, SIGNED + 100 * DAY)
    tokens.append(lambda message: strange.stamp(message, SIGNED))
    signature = with_tokens(sign_cms(CONTENT, pki.holder("former")), tokens)
    found = only(examine_cms(signature, CONTENT, ours, SIGNED + 90 * DAY))
    assert [(each.outcome, each.time) for each in found.stamps] == [
        (VALID, SIGNED + 2 * DAY),
        (VALID, SIGNED + 3 * DAY),
    ]


def with_tokens(signature: bytes, tokens: Sequence[Callable[[bytes], bytes]]) -> bytes:
    content = cms.ContentInfo.load(signature)
    (info,) = content["content"]["signer_infos"]
    values = [cms.ContentInfo.load(each(info["signature"].native)) for each in tokens]
    info["unsigned_attrs"] = cms.CMSAttributes(
        [{"type": "signature_time_stamp_token", "values": [each]} for each in values]
    )
    der: bytes = content.dump()
    return der


# --- Timestamps over the whole document -------------------------------------------------------


def test_a_timestamp_over_the_document_proves_the_signatures_before_it(pki, ours):
    signed = sign_pdf(plain_pdf(), pki.holder("former"))
    found = only(examine_pdf(stamp_pdf(signed, Clock(pki, SIGNED)), ours, SIGNED + 90 * DAY))
    assert said(found) == (UNKNOWN, "ended")
    assert (stamp_of(found).over, stamp_of(found).time) == ("document", SIGNED)
    assert then(found) == (VALID, "")


def test_a_timestamp_over_the_document_proves_nothing_of_what_was_signed_after_it(pki, ours):
    stamped = stamp_pdf(plain_pdf(), Clock(pki, SIGNED))
    found = only(examine_pdf(sign_pdf(stamped, pki.holder("former")), ours, SIGNED + 90 * DAY))
    assert (said(found), found.stamps) == ((UNKNOWN, "ended"), ())


def test_a_timestamp_whose_authority_ended_lives_on_in_a_later_one_over_the_document(pki, ours):
    own = sign_pdf(plain_pdf(), pki.holder("former"), stamp=Clock(pki, SIGNED))
    alone = only(examine_pdf(own, ours, NOW))
    assert (stamp_of(alone).outcome, stamp_of(alone).reason) == (UNKNOWN, "ended")

    renewed = stamp_pdf(own, Clock(pki, datetime(2024, 12, 1, tzinfo=UTC), "tsa"))
    found = only(examine_pdf(renewed, ours, NOW))
    stamp = stamp_of(found)
    assert (stamp.outcome, stamp.over, stamp.time) == (VALID, "signature", SIGNED)
    assert {pki.certificate("clock"), pki.certificate("tsa")} < set(stamp.rests_on)
    assert then(found) == (VALID, "")


def test_a_timestamp_over_other_bytes_of_the_document_is_none(pki, ours):
    stamped = bytearray(stamp_pdf(sign_pdf(plain_pdf(), pki.holder("former")), Clock(pki, SIGNED)))
    stamped[10] ^= 1  # In the comment that the file begins with.
    found = only(examine_pdf(bytes(stamped), ours, SIGNED + 90 * DAY))
    assert (said(found), found.stamps) == ((INVALID, "changed"), ())


# --- What proves nothing ----------------------------------------------------------------------

SINCE, UNTIL = SIGNED - 100 * DAY, SIGNED + 400 * DAY
AT = SIGNED + 90 * DAY
TSA = Authority.make(SINCE, UNTIL)


def judged(pki: Pki, ours: Authorities, token: Callable[[bytes], bytes], *known: Holder) -> Any:
    listed = replace(ours, stampers=(Stamper(tuple(each.der for each in known)),))
    signature = stamp_cms(sign_cms(CONTENT, pki.holder("former")), token)
    found = only(examine_cms(signature, CONTENT, listed, AT))
    assert said(found) == (UNKNOWN, "ended")
    stamp = stamp_of(found)
    assert stamp.then is None or stamp.outcome is VALID
    return stamp.outcome, stamp.reason


def test_a_listed_authority_is_believed(pki, ours):
    assert judged(pki, ours, lambda m: TSA.stamp(m, SIGNED), TSA.root) == (VALID, "")


@pytest.mark.parametrize("digest", ["sha384", "sha512"])
def test_a_token_may_be_over_a_longer_digest(pki, ours, digest):
    def token(message: bytes) -> bytes:
        over = {"hash_algorithm": {"algorithm": digest}}
        imprint = over | {"hashed_message": hashlib.new(digest, message).digest()}
        return TSA.token(b"", SIGNED, message_imprint=imprint)

    assert judged(pki, ours, token, TSA.root) == (VALID, "")


def test_a_token_over_other_bytes_is_invalid(pki, ours):
    token = TSA.stamp(b"other bytes", SIGNED)
    assert judged(pki, ours, lambda _: token, TSA.root) == (INVALID, "other-bytes")


def test_a_token_of_an_untrusted_authority_proves_nothing(pki, ours):
    assert judged(pki, ours, lambda m: TSA.stamp(m, SIGNED)) == (UNKNOWN, "untrusted")


def test_a_token_of_a_certificate_that_is_not_made_for_it_proves_nothing(pki, ours):
    for changes in ({"usages": ()}, {"critical": False}):
        other = Authority.make(SINCE, UNTIL, **changes)
        result = judged(pki, ours, lambda m, o=other: o.stamp(m, SIGNED), other.root)
        assert result == (UNKNOWN, "usage")


def test_a_token_of_before_or_after_its_certificate_proves_nothing(pki, ours):
    for at in (SINCE - DAY, UNTIL + DAY):
        result = judged(pki, ours, lambda m, at=at: TSA.stamp(m, at), TSA.root)
        assert result == (UNKNOWN, "untrusted")


def test_a_token_of_after_the_arrival_proves_nothing(pki, ours):
    assert judged(pki, ours, lambda m: TSA.stamp(m, AT + DAY), TSA.root) == (UNKNOWN, "later")
    # Clocks may differ; the arrival is the earlier proof then.
    soon = AT + timedelta(minutes=5)
    assert judged(pki, ours, lambda m: TSA.stamp(m, soon), TSA.root) == (VALID, "")


def test_sha_1_in_a_token_proves_nothing(pki, ours):
    def over_sha_1(message: bytes) -> bytes:
        over = {"hash_algorithm": {"algorithm": "sha1"}}
        imprint = over | {"hashed_message": hashlib.sha1(message, usedforsecurity=False).digest()}
        return TSA.token(b"", SIGNED, message_imprint=imprint)

    def signed_with_sha_1(message: bytes) -> bytes:
        return TSA.token(hashlib.sha256(message).digest(), SIGNED, digest="sha1")

    for token in (over_sha_1, signed_with_sha_1):
        assert judged(pki, ours, token, TSA.root) == (INVALID, "weak")


def test_a_token_whose_signature_does_not_hold_is_broken(pki, ours):
    def forged(message: bytes) -> bytes:
        content = cms.ContentInfo.load(TSA.stamp(message, SIGNED))
        other = cms.ContentInfo.load(TSA.stamp(b"other", SIGNED))
        (info,), (of_other,) = (each["content"]["signer_infos"] for each in (content, other))
        info["signature"] = of_other["signature"].native
        der: bytes = content.dump()
        return der

    assert judged(pki, ours, forged, TSA.root) == (INVALID, "broken")


def test_a_token_that_cannot_be_read_harms_nothing(pki, ours):
    def junk(_: bytes) -> bytes:
        der: bytes = cms.ContentInfo({"content_type": "data", "content": b"junk"}).dump()
        return der

    assert judged(pki, ours, junk, TSA.root) == (UNKNOWN, "unreadable")


@pytest.mark.parametrize("until", [SIGNED - DAY, AT - DAY])
def test_an_authority_that_was_ended_is_not_believed_any_more(pki, ours, until):
    # Whoever has its key can date back to before the end.
    signature = stamp_cms(sign_cms(CONTENT, pki.holder("former")), lambda m: TSA.stamp(m, SIGNED))
    ended = Stamper((TSA.root.der, TSA.middle.der), until)
    found = only(examine_cms(signature, CONTENT, replace(ours, stampers=(ended,)), AT))
    assert (stamp_of(found).outcome, stamp_of(found).reason) == (UNKNOWN, "ended")
    # Nor through an anchor for signers that it leads to as well.
    both = replace(ours, anchors=(*ours.anchors, TSA.root.der), stampers=(ended,))
    found = only(examine_cms(signature, CONTENT, both, AT))
    assert (stamp_of(found).outcome, stamp_of(found).reason) == (UNKNOWN, "ended")
    longer = replace(ended, until=AT + DAY)
    found = only(examine_cms(signature, CONTENT, replace(ours, stampers=(longer,)), AT))
    assert stamp_of(found).outcome is VALID


def test_a_bad_token_in_a_pdf_leaves_the_signature_as_it_is(pki, ours):
    class Elsewhere(Clock):
        async def async_request_tsa_response(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
            req["message_imprint"]["hashed_message"] = bytes(32)
            return await super().async_request_tsa_response(req)

    class Junk(Clock):
        async def async_request_tsa_response(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
            answer = await super().async_request_tsa_response(req)
            answer["time_stamp_token"]["content"]["signer_infos"] = []
            return answer

    for clock, expected in (
        (Elsewhere(pki, SIGNED), (INVALID, "other-bytes")),
        (Junk(pki, SIGNED), (UNKNOWN, "untrusted")),
    ):
        pdf = sign_pdf(plain_pdf(), pki.holder("signer"), stamp=clock)
        found = only(examine_pdf(pdf, ours, AT))
        assert said(found) == (VALID, "")
        assert (stamp_of(found).outcome, stamp_of(found).reason) == expected


def test_a_certificate_made_for_stamping_must_be_that_alone(pki, ours):
    both = (*TIME_STAMPING, ExtendedKeyUsageOID.CLIENT_AUTH)
    other = Authority.make(SINCE, UNTIL, usages=both)
    assert judged(pki, ours, lambda m: other.stamp(m, SIGNED), other.root) == (UNKNOWN, "usage")
