"""The steps that `hub.proof` leaves open, judged by a trusted root and by what a file holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from hub.evidence import judging
from hub.evidence.judging import Judge
from hub.proof.bundle import Renewal, StoredEvidence, Timestamp, Token
from hub.proof.findings import Verdict
from hub.proof.receipt import Receipt
from hub.proof.trust import CertificateAuthority, Purpose, TrustedRoot
from hub.proof.window import ALWAYS, Window
from tests.support.timestamping import DAY, issue
from tests.unit.evidence import test_chains as chains
from tests.unit.evidence import test_timestamps as stamps

NOW = chains.NOW
NOWHERE = Receipt(b"", b"")


def root(*authorities: CertificateAuthority) -> TrustedRoot:
    return replace(stamps.trust(), certificate_authorities=authorities)


def judge(today: datetime = NOW) -> Judge:
    signing = CertificateAuthority(Purpose.SIGNING, chains.root().der)
    return Judge(root(signing), lambda: today)


def chain(by: Judge, at: datetime = NOW, issuers: tuple[bytes, ...] | None = None):
    others = (chains.middle().der,) if issuers is None else issuers
    return by.chain(chains.signer().der, issuers=others, at=[at])


def revocation(*crls: bytes, at: datetime = NOW):
    stored = [StoredEvidence(NOWHERE, data) for data in crls]
    issuers = [chains.middle().der]
    return judge().revocation(chains.signer().der, issuers=issuers, stored=stored, at=[at])


def test_a_chain_to_an_authority_of_the_trusted_root_is_proven():
    assert chain(judge()).verdict is Verdict.PROVEN


@pytest.mark.parametrize("at", [NOW - 200 * DAY, NOW + 200 * DAY])
def test_a_certificate_that_was_not_in_force_then_is_refuted(at):
    by = judge()
    assert chain(by).verdict is Verdict.PROVEN
    found = chain(by, at)
    assert found.verdict is Verdict.REFUTED
    assert "not in force" in found.text


def test_a_chain_that_leads_nowhere_is_refuted():
    assert chain(judge(), issuers=()).verdict is Verdict.REFUTED
    # What a file brings along is never an anchor.
    middle = (chains.middle().der, chains.root().der)
    elsewhere = CertificateAuthority(Purpose.SIGNING, stamps.first().root.der)
    found = chain(Judge(root(elsewhere), lambda: NOW), issuers=middle)
    assert found.verdict is Verdict.REFUTED


def test_authorities_for_connections_vouch_for_no_signature():
    transport = CertificateAuthority(Purpose.TRANSPORT, chains.root().der)
    found = chain(Judge(root(transport), lambda: NOW))
    assert found.verdict is Verdict.NOT_CHECKED
    assert "lists no authority" in found.text


def listed(window: Window, der: bytes | None = None) -> CertificateAuthority:
    return CertificateAuthority(Purpose.SIGNING, der or chains.root().der, window)


@pytest.mark.parametrize(
    ("window", "at", "words"),
    [
        (Window(None, NOW), NOW + DAY, "no longer trusted at the time that the hub states"),
        (Window(NOW, None), NOW - DAY, "not trusted yet at the time that the hub states"),
    ],
)
def test_an_authority_vouches_for_nothing_outside_its_window(window, at, words):
    by = Judge(root(listed(window)), lambda: NOW)
    assert chain(by).verdict is Verdict.PROVEN
    found = chain(by, at)
    assert found.verdict is Verdict.REFUTED
    assert words in found.text
    # What held inside the window is remembered no further than that.
    assert chain(by).verdict is Verdict.PROVEN
    assert chain(by, at).verdict is Verdict.REFUTED


def test_an_authority_between_that_ended_is_not_passed_by_way_of_its_own_authority():
    ended = listed(Window(None, NOW - DAY), chains.middle().der)
    by = Judge(root(listed(ALWAYS), ended), lambda: NOW)
    assert chain(by, NOW - 2 * DAY).verdict is Verdict.PROVEN
    assert chain(by).verdict is Verdict.REFUTED


def test_another_certificate_of_an_ended_key_is_ended_too():
    again = issue(
        "ca", NOW - 700 * DAY, NOW + 700 * DAY, by=chains.root(), ca=True, key=chains.middle().key
    ).der
    ended = listed(Window(None, NOW - DAY), chains.middle().der)
    by = Judge(root(listed(ALWAYS), ended), lambda: NOW)
    assert chain(by, issuers=(again,)).verdict is Verdict.REFUTED
    both = Judge(root(listed(ALWAYS), ended, listed(ALWAYS, again)), lambda: NOW)
    assert chain(both, issuers=(again,)).verdict is Verdict.PROVEN


def test_revocation_too_is_judged_by_whom_the_root_believed_then():
    crls = (chains.crl(chains.middle(), NOW - DAY), chains.crl(chains.root(), NOW - DAY))
    stored = [StoredEvidence(NOWHERE, data) for data in crls]
    by = Judge(root(listed(Window(None, NOW - DAY))), lambda: NOW)
    issuers = [chains.middle().der]
    found = by.revocation(chains.signer().der, issuers=issuers, stored=stored, at=[NOW])
    assert found.verdict is Verdict.REFUTED
    assert "no longer trusted" in found.text


def test_a_chain_is_built_once_for_as_long_as_it_holds(monkeypatch):
    built = []
    real = judging.verify_chain
    monkeypatch.setattr(judging, "verify_chain", lambda *a, **k: built.append(1) or real(*a, **k))
    by = judge()
    for days in range(-99, 99, 7):
        assert chain(by, NOW + days * DAY).verdict is Verdict.PROVEN
    assert len(built) == 1
    assert chain(by, NOW + 101 * DAY).verdict is Verdict.REFUTED
    assert len(built) == 2


def test_without_evidence_of_the_time_revocation_is_not_checked():
    found = revocation()
    assert found.verdict is Verdict.NOT_CHECKED
    assert "nothing from that time" in found.text


def test_lists_of_the_time_prove_that_nothing_was_revoked():
    lists = (chains.crl(chains.middle(), NOW - DAY), chains.crl(chains.root(), NOW - DAY))
    assert revocation(*lists).verdict is Verdict.PROVEN
    assert revocation(lists[0]).verdict is Verdict.NOT_CHECKED


def test_a_certificate_revoked_by_then_is_refuted():
    revoked = chains.crl(chains.middle(), NOW - DAY, revoked=chains.signer(), since=NOW - 2 * DAY)
    found = revocation(revoked, chains.crl(chains.root(), NOW - DAY))
    assert found.verdict is Verdict.REFUTED
    assert "revoked at" in found.text


def test_evidence_that_is_none_is_refuted_and_not_believed():
    assert revocation(b"junk").verdict in (Verdict.REFUTED, Verdict.NOT_CHECKED)


def timestamp() -> Timestamp:
    held = stamps.stamped().timestamp
    return Timestamp(Token(held.authority, held.token, held.certificates))


def test_a_timestamp_of_a_listed_authority_is_proven_with_its_time():
    found = judge().timestamp(stamps.NOTE, timestamp())
    assert [opinion.verdict for opinion in found] == [Verdict.PROVEN] * 2
    assert "2026-11-23 01:30:00 UTC" in found[0].text


def test_of_another_checkpoint_it_is_refuted():
    assert judge().timestamp(b"another", timestamp())[-1].verdict is Verdict.REFUTED


def test_of_an_authority_that_nobody_lists_it_is_not_checked():
    held = timestamp()
    unknown = Timestamp(replace(held.token, authority="somebody"))
    assert judge().timestamp(stamps.NOTE, unknown)[-1].verdict is Verdict.NOT_CHECKED


def test_after_the_end_of_its_certificate_it_needs_its_renewal():
    today = NOW + 500 * DAY
    assert judge(today).timestamp(stamps.NOTE, timestamp())[-1].verdict is Verdict.NOT_CHECKED
    (one,) = stamps.renewed().renewals
    token = Token(one.timestamp.authority, one.timestamp.token, one.timestamp.certificates)
    renewed = replace(timestamp(), renewals=(Renewal(token, one.message),))
    found = judge(today).timestamp(stamps.NOTE, renewed)
    assert {opinion.verdict for opinion in found} == {Verdict.PROVEN}
