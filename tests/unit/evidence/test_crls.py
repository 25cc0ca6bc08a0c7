"""A revocation list is believed only whole, fresh enough to be one, and signed by its issuer."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from hub.errors import VerificationFailed
from hub.evidence import crls
from hub.evidence.crls import Listed, issuers_of, verify_crl
from tests.support.revocation import crl
from tests.support.timestamping import DAY, Holder, issue

NOW = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
ROOT = issue("root", NOW - 900 * DAY, NOW + 900 * DAY, ca=True)
STRANGER = issue("root", NOW - 900 * DAY, NOW + 900 * DAY, ca=True)
SIGNER = issue("so-tai-chinh", NOW - 100 * DAY, NOW + 100 * DAY, by=ROOT)
OTHER = issue("so-noi-vu", NOW - 100 * DAY, NOW + 100 * DAY, by=ROOT)


def published(holder: Holder = ROOT, at: datetime = NOW - DAY / 2, **options) -> bytes:
    return crl(holder.certificate, holder.key, at, **options)


def verify(data: bytes) -> crls.VerifiedCrl:
    return verify_crl(data, authorities=[ROOT.der], at=NOW)


def test_a_list_says_who_is_revoked_since_when_and_why():
    reason = x509.ReasonFlags.key_compromise
    listed = verify(published(revoked=[(SIGNER.der, NOW - 3 * DAY, reason)], number=7))

    assert listed.listed(SIGNER.certificate) == Listed(NOW - 3 * DAY, "key-compromise")
    assert listed.listed(OTHER.certificate) is None
    assert (listed.number, listed.issuer) == ("7", issuers_of(SIGNER.der)[-1])


def test_it_says_nothing_of_the_same_number_of_another_issuer():
    listed = verify(published(revoked=[(SIGNER.der, NOW, None)]))
    foreign = issue("elsewhere", NOW - DAY, NOW + DAY, ca=True)

    assert listed.listed(foreign.certificate) is None


def test_a_revocation_without_a_reason_is_one_all_the_same():
    listed = verify(published(revoked=[(SIGNER.der, NOW - DAY, None)]))

    assert listed.listed(SIGNER.certificate) == Listed(NOW - DAY, "unspecified")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (published(STRANGER), "no authority"),
        (published(SIGNER), "no authority"),
        (published(at=NOW + DAY), "future"),
        (published(extensions=[(x509.DeltaCRLIndicator(1), True)]), "delta|unknown here"),
        (
            published(
                extensions=[
                    (
                        x509.IssuingDistributionPoint(
                            full_name=None,
                            relative_name=None,
                            only_contains_user_certs=False,
                            only_contains_ca_certs=False,
                            only_some_reasons=None,
                            indirect_crl=True,
                            only_contains_attribute_certs=False,
                        ),
                        True,
                    )
                ]
            ),
            "part of",
        ),
        (published()[:-1], "cannot be read"),
        (published()[:-8] + bytes(8), "no authority|cannot be read"),
        (b"", "cannot be read"),
        (b"-----BEGIN X509 CRL-----", "cannot be read"),
    ],
    ids=["stranger", "no authority", "future", "delta", "indirect", "cut", "bent", "empty", "PEM"],
)
def test_what_is_not_the_issuers_whole_list_is_refused(data, why):
    with pytest.raises(VerificationFailed, match=why) as failure:
        verify(data)
    assert failure.value.step == "crl"


def test_a_huge_list_is_refused_unread(monkeypatch):
    monkeypatch.setattr(crls, "CRL_BYTES_MAX", 10)
    with pytest.raises(VerificationFailed, match="more than 10 bytes"):
        verify(published())


def test_an_authority_whose_time_is_over_signs_no_list():
    ended = issue("root", NOW - 900 * DAY, NOW - DAY, ca=True)
    with pytest.raises(VerificationFailed, match="no authority"):
        verify_crl(published(ended), authorities=[ended.der], at=NOW)


def test_every_changed_byte_of_a_list_is_noticed():
    data = published(revoked=[(SIGNER.der, NOW - DAY, None)])
    want = verify(data).listed(SIGNER.certificate)
    for place in range(len(data)):
        bent = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            found = verify(bent).listed(SIGNER.certificate)
        except VerificationFailed:
            continue
        assert found == want, f"byte {place} changed what is said"


def test_sha_1_signs_no_list():
    assert hashes.SHA1 not in crls._STRONG


# --- An authority that changes its key ----------------------------------------------------


def naming(key: Any) -> tuple[x509.ExtensionType, bool]:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False


def renewed(name: str = "renewed") -> Holder:
    """An authority, and under its name another one with another key, each with identifiers."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return issue(
        name, NOW - 900 * DAY, NOW + 900 * DAY, ca=True, key=key, extensions=[(own, False)]
    )


def under(authority: Holder) -> Holder:
    return issue("x", NOW - DAY, NOW + DAY, by=authority, extensions=[naming(authority.key)])


def list_of(authority: Holder, *revoked: Holder, key: Any = None) -> bytes:
    named = [naming(key or authority.key)]
    entries = [(each.der, NOW - DAY, None) for each in revoked]
    return crl(authority.certificate, authority.key, NOW, entries, extensions=named)


def test_the_lists_of_two_keys_of_one_name_are_told_apart():
    old, new = renewed(), renewed()
    authorities = [old.der, new.der]
    of_old, of_new = under(old), under(new)
    lists = [
        verify_crl(list_of(each, signed), authorities=authorities, at=NOW)
        for each, signed in ((old, of_old), (new, of_new))
    ]
    assert lists[0].issuer != lists[1].issuer
    assert lists[0].issuer == issuers_of(of_old.der)[0]
    assert lists[0].listed(of_old.certificate) is not None
    assert lists[0].listed(of_new.certificate) is None
    assert lists[1].listed(of_new.certificate) is not None
    assert not lists[1].is_about(of_old.certificate)


def test_the_former_key_signs_no_list_in_the_name_of_the_new_one():
    old, new = renewed(), renewed()
    forged = list_of(old, key=new.key)
    with pytest.raises(VerificationFailed, match="no authority"):
        verify_crl(forged, authorities=[old.der, new.der], at=NOW)


def test_a_list_that_names_no_key_is_about_all_of_its_name():
    authority = renewed()
    signed = under(authority)
    data = crl(authority.certificate, authority.key, NOW, [(signed.der, NOW - DAY, None)])
    found = verify_crl(data, authorities=[authority.der], at=NOW)
    assert found.issuer == issuers_of(signed.der)[1]
    assert found.listed(signed.certificate) is not None
