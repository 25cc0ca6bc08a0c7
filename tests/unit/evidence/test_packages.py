"""Signatures in edXML packages: what holds, what does not, and what nobody can tell."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from signxml import XMLVerifier
from signxml.verifier import SignatureConfiguration

from hub.evidence.found import Authorities, FoundSignature, Outcome, Signer, Stamper
from hub.evidence.packages import _parser, _signatures, _Verifier, examine_package
from tests.support.signed_files import sign_xml, subject, with_xades
from tests.support.timestamping import Authority, Holder, issue

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
ROOT = issue("root of signers", NOW - 900 * DAY, NOW + 900 * DAY, ca=True)
STRANGER = issue("stranger", NOW - 900 * DAY, NOW + 900 * DAY, ca=True)
OURS = Authorities(anchors=(ROOT.der,))
DS = b'xmlns="http://www.w3.org/2000/09/xmldsig#"'
QCVN = b'xmlns="http://www.mic.gov.vn/TBT/QCVN_102_2016"'


def holder(name: str, by: Holder = ROOT, **changes: Any) -> Holder:
    window = {"not_before": NOW - 100 * DAY, "not_after": NOW + 100 * DAY} | changes
    return issue(name, by=by, **window)


AGENCY = holder("UBND Quận 1", subject=subject("UBND Quận 1", "UBND Quận 1", "MST:0300000000"))
PACKAGE = """<?xml version="1.0" encoding="UTF-8"?>
<edXML xmlns="http://www.mic.gov.vn/TBT/QCVN_102_2016">
  <edXML:edXMLEnvelope xmlns:edXML="http://www.mic.gov.vn/TBT/QCVN_102_2016">
    <edXML:edXMLHeader>
      <edXML:MessageHeader><edXML:Subject>V/v họp</edXML:Subject></edXML:MessageHeader>
    </edXML:edXMLHeader>
  </edXML:edXMLEnvelope>
  <AttachmentEncoded><Attachment><AttachmentName>a.txt</AttachmentName></Attachment></AttachmentEncoded>
</edXML>
""".encode()
SIGNED = sign_xml(PACKAGE, AGENCY)


def only(package: bytes, authorities: Authorities = OURS, at: datetime = NOW) -> FoundSignature:
    (found,) = examine_package(package, authorities, at)
    return found


def what(found: FoundSignature) -> tuple[str, str]:
    return found.outcome.value, found.reason


def test_a_package_without_a_signature_has_none():
    assert examine_package(PACKAGE, OURS, NOW) == []


def test_a_signature_over_the_whole_package_holds_and_says_whose_it_is():
    found = only(SIGNED)
    assert what(found) == ("valid", "")
    assert (found.form, found.name, found.organisation) == ("xml", "UBND Quận 1", "UBND Quận 1")
    assert (found.signer, found.issuer) == (Signer.AGENCY, "root of signers")
    assert found.chain == (AGENCY.der, ROOT.der)


def test_a_changed_word_is_noticed():
    assert what(only(SIGNED.replace("họp".encode(), "hợp".encode()))) == ("invalid", "changed")


def test_a_hop_that_the_axis_appended_changes_what_was_signed():
    hop = b"<edXML:TraceHeaderList><edXML:TraceHeader/></edXML:TraceHeaderList>"
    place = SIGNED.index(b"</edXML:MessageHeader>") + len(b"</edXML:MessageHeader>")
    assert what(only(SIGNED[:place] + hop + SIGNED[place:])) == ("invalid", "changed")


def test_a_signature_that_its_key_did_not_make_is_broken():
    start = SIGNED.index(b"<SignatureValue>") + len(b"<SignatureValue>")
    end = SIGNED.index(b"</SignatureValue>")
    raw = bytearray(base64.b64decode(SIGNED[start:end]))
    raw[10] ^= 1
    forged = SIGNED[:start] + base64.b64encode(bytes(raw)) + SIGNED[end:]
    assert what(only(forged)) == ("invalid", "broken")


def test_the_namespace_that_the_axis_drops_is_put_back():
    assert SIGNED.count(DS) == 1
    found = only(SIGNED.replace(DS, QCVN))
    assert what(found) == ("valid", "")
    assert found.name == "UBND Quận 1"


def test_what_does_not_hold_once_it_is_put_back_is_only_not_standard():
    with_prefix = SIGNED.replace(DS, QCVN).replace(b"<SignedInfo>", b'<SignedInfo Id="a">')
    assert what(only(with_prefix)) == ("unknown", "not-standard")


def test_a_stranger_and_one_whose_certificate_ended_cannot_be_told():
    assert what(only(sign_xml(PACKAGE, holder("x", STRANGER)))) == ("unknown", "untrusted")
    assert what(only(SIGNED, at=NOW + 200 * DAY)) == ("unknown", "ended")
    assert what(only(SIGNED, at=NOW - 200 * DAY)) == ("unknown", "not-yet-valid")


def test_sha_1_and_short_keys_prove_nothing():
    key = rsa.generate_private_key(65537, 2048)
    clerk = holder("clerk", key=key)
    sha1 = sign_xml(PACKAGE, clerk, digest="sha1")
    assert what(only(sha1)) == ("invalid", "weak")
    short = holder("clerk", key=rsa.generate_private_key(65537, 1024))
    assert what(only(sign_xml(PACKAGE, short))) == (
        "invalid",
        "weak",
    )
    good = sign_xml(PACKAGE, clerk)
    assert what(only(good)) == ("valid", "")


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b'Reference URI=""', b'Reference URI="http://127.0.0.1:9/x"', "external"),
        (b'Reference URI=""', b'Reference URI="file:///etc/passwd"', "external"),
        (b'Reference URI=""', b"Reference", "external"),
        (b"xmldsig#enveloped-signature", b"xmldsig#base64", "not-standard"),
        (
            b"http://www.w3.org/2000/09/xmldsig#enveloped-signature",
            b"http://www.w3.org/TR/1999/REC-xslt-19991116",
            "not-standard",
        ),
        (b"ecdsa-sha256", b"hmac-sha256", "not-standard"),
        (b"X509Certificate>", b"X509Other>", "no-certificate"),
    ],
)
def test_what_asks_for_more_than_this_package_is_not_looked_at(
    before: bytes, after: bytes, reason: str
):
    assert before in SIGNED
    assert what(only(SIGNED.replace(before, after))) == ("unknown", reason)


def test_a_signature_over_a_part_is_told_as_that():
    part = PACKAGE.replace(b"<edXML:MessageHeader>", b'<edXML:MessageHeader Id="part">')
    signed = sign_xml(part, AGENCY, part="part")
    assert what(only(signed)) == ("unknown", "not-whole")


def test_two_signatures_are_each_judged():
    second = sign_xml(SIGNED, holder("clerk"))
    found = examine_package(second, OURS, NOW)
    # The second covers the first; of the first everything has changed that is not itself.
    assert [what(each) for each in found] == [("invalid", "changed"), ("valid", "")]
    assert [each.name for each in found] == ["UBND Quận 1", "clerk"]


def test_more_than_a_few_signatures_are_not_looked_at():
    junk = b"<Signature/>" * 9
    found = examine_package(
        PACKAGE.replace(b"</edXML:edXMLHeader>", junk + b"</edXML:edXMLHeader>"), OURS, NOW
    )
    assert [what(each) for each in found] == [("unknown", "unreadable")] * 8 + [
        ("unknown", "too-many")
    ]


def test_a_certificate_that_was_cut_short_is_none():
    # As the vendor's own sample has it, in the namespace of packages, with SHA-1.
    place = SIGNED.index(b"<X509Certificate>") + 17
    cut = SIGNED[: place + 11] + SIGNED[SIGNED.index(b"</X509Certificate>") :]
    assert what(only(cut.replace(DS, QCVN))) == ("unknown", "no-certificate")


def test_an_entity_is_never_resolved():
    evil = SIGNED.replace(
        b"<edXML xmlns", b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><edXML xmlns', 1
    )
    found = examine_package(evil.replace(b"V/v", b"&a;"), OURS, NOW)
    assert [what(each) for each in found] == [("unknown", "unreadable")]


# --- When -----------------------------------------------------------------------------------

TSA = Authority.make(NOW - 300 * DAY, NOW + 300 * DAY)
WITH_TSA = Authorities((ROOT.der,), stampers=(Stamper((TSA.root.der,)),))
FORMER = holder("UBND Quận 2", not_after=NOW - 20 * DAY)


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        ("2026-11-22T08:30:00+07:00", datetime(2026, 11, 22, 1, 30, tzinfo=UTC)),
        ("2026-11-22T01:30:00Z", datetime(2026, 11, 22, 1, 30, tzinfo=UTC)),
        ("2026-11-22T08:30:00", None),
        ("yesterday", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("", None),
    ],
)
def test_the_time_of_signing_is_shown_as_the_signer_says_it(claimed: str, expected: datetime):
    found = only(with_xades(SIGNED, claimed))
    assert (what(found), found.signed_at, found.stamps) == (("valid", ""), expected, ())


@pytest.mark.parametrize(
    "method",
    [
        "",
        "http://www.w3.org/2001/10/xml-exc-c14n#",
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
    ],
)
def test_a_timestamp_over_the_signature_proves_when_it_was_made(method: str):
    at = NOW - 30 * DAY
    stamped = with_xades(
        sign_xml(PACKAGE, FORMER), "2020-01-01T00:00:00Z", lambda m: TSA.stamp(m, at), method
    )
    found = only(stamped, WITH_TSA)
    (stamp,) = found.stamps
    assert what(found) == ("unknown", "ended")
    assert (stamp.outcome, stamp.over, stamp.time) == (Outcome.VALID, "signature", at)
    assert stamp.then is not None
    assert (stamp.then.outcome, stamp.then.reason) == (Outcome.VALID, "")


def test_a_timestamp_over_another_signature_is_none():
    at = NOW - 30 * DAY
    stamped = with_xades(SIGNED, "", lambda _: TSA.stamp(b"another", at))
    (stamp,) = only(stamped, WITH_TSA).stamps
    assert (stamp.outcome, stamp.reason, stamp.then) == (Outcome.INVALID, "other-bytes", None)
    junk = with_xades(SIGNED, "", lambda _: b"junk")
    for package in (junk, junk.replace(b"EncapsulatedTimeStamp>", b"EncapsulatedTimeStamp>!")):
        found = only(package, WITH_TSA)
        assert what(found) == ("valid", "")
        assert [each.reason for each in found.stamps] == ["unreadable"]


# --- In place -------------------------------------------------------------------------------

SHAPES = {
    "text behind": SIGNED.replace(b"</Signature>", b"</Signature>\n   tail \xe1\xbb\x87 "),
    "first of its parent": b"<a xmlns:p='urn:p'><Header><Signature xmlns='http://www.w3.org/2000/09/"
    b"xmldsig#'><SignedInfo/></Signature> t <p:b q='1' p:q='2'/></Header></a>",
    "alone": b"<Header><Signature/></Header>",
    "comments and instructions": b"<?a b?><Header>x<!--y-->z<Signature/><?c d?><e> f&#13; </e>"
    b"</Header>",
    "empty namespaces": b"<a xmlns='urn:a'><Header><b xmlns=''><c xmlns='urn:a'/></b>u<Signature/>"
    b"</Header></a>",
    "two in a row": b"<Header>a<Signature><b/></Signature>b<Signature/>c</Header>",
}
METHODS = [
    "http://www.w3.org/2001/10/xml-exc-c14n#",
    "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments",
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("enveloped", [True, False])
def test_canonical_in_place_is_what_the_library_makes_of_a_copy(
    shape: str, method: str, enveloped: bool
):
    root = etree.fromstring(SHAPES[shape], _parser())
    before = etree.tostring(root)
    last = len(_signatures(root)) - 1
    transform = etree.fromstring(f'<Transform Algorithm="{method}"/>')
    by_us = _Verifier(last)
    by_us.config = SignatureConfiguration()
    made = by_us._whole(root, enveloped, transform)
    assert etree.tostring(root) == before  # All is back where it was.

    library = XMLVerifier()
    library._parser = _parser()
    library.config = SignatureConfiguration()
    copy = library._fromstring(library._tostring(root))
    ds = "http://www.w3.org/2000/09/xmldsig#"
    with_enveloped = f'<Transform Algorithm="{ds}enveloped-signature"/>' if enveloped else ""
    transforms = etree.fromstring(
        f'<Transforms xmlns="{ds}">{with_enveloped}<Transform Algorithm="{method}"/></Transforms>'
    )
    expected = library._apply_transforms(
        copy, transforms_node=transforms, signature=_signatures(copy)[last]
    )
    assert made == expected
