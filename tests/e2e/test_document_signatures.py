"""A signed PDF on its way: examined by a process of its own, shown, demanded, taken along."""

from __future__ import annotations

import asyncio
import json
from datetime import date

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hub.client import AttachmentDraft, DocumentDraft, HubClient
from hub.client.answers import Exchange
from hub.errors import DocumentSignatureInvalid
from hub.proof.bundle import parse_bundle
from hub.proof.checks import Checks
from hub.proof.examination import examine_bundle
from hub.proof.findings import Verdict
from hub.proof.leaf import parse_leaf
from hub.proof.signatures import Algorithm
from tests.support.hubs import NOI_VU, QUAN_1, TAI_CHINH, Founded, Running, serving
from tests.support.patience import PATIENCE_S
from tests.support.signed_files import plain_pdf, sign_pdf
from tests.support.timestamping import Holder

LETTER = DocumentDraft(
    number="125",
    notation="UBND-VP",
    type_name="Công văn",
    subject="V/v ký số",
    issued_on=date(2026, 11, 22),
)


def holder(founded: Founded, name: str) -> Holder:
    issued = founded.authority.issue_signing(name, Algorithm.ECDSA_P256_SHA256)
    return Holder(
        x509.load_pem_x509_certificate(issued.certificate_pem),
        load_pem_private_key(issued.private_key_pem, password=None),
    )


@pytest.fixture
def signed(founded: Founded) -> bytes:
    by = [holder(founded, name) for name in ("Nguyễn Văn A", "UBND Quận 1")]
    return sign_pdf(sign_pdf(plain_pdf(), by[0]), by[1], field="Signature2")


@pytest.fixture
def broken(signed: bytes) -> bytes:
    place = signed.index("V/v họp".encode())
    return signed[:place] + b"W" + signed[place + 1 :]


def pdf(data: bytes) -> AttachmentDraft:
    return AttachmentDraft.from_bytes("cong-van.pdf", data)


def client(hub: Running, code: str):
    return HubClient.open(hub.speaker(code).profile(hub.port))


async def examined(hub: HubClient, exchange_id: str) -> Exchange:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            exchange = await hub.exchange(exchange_id)
            if exchange.signatures:
                return exchange
            await asyncio.sleep(0.05)


async def test_what_a_document_signs_is_noted_shown_and_proven(
    founded: Founded, signed: bytes, monkeypatch
):
    monkeypatch.setenv("LIENTHONG_DOCUMENT_SIGNATURES", "note")
    async with serving(founded) as hub, client(hub, QUAN_1) as sender:
        accepted = await sender.submit(LETTER, [pdf(signed)], [TAI_CHINH])
        exchange = await examined(sender, accepted.exchange_id)
        data = (await sender.bundle(accepted.exchange_id)).format()
        async with client(hub, TAI_CHINH) as recipient:
            seen = await recipient.exchange(accepted.exchange_id)
            kinds = [item.kind.name async for item in recipient.inbox()]

    assert [(each.outcome, each.reason) for each in exchange.signatures] == [
        ("valid", "no-list")
    ] * 2
    assert [each.name for each in exchange.signatures] == ["Nguyễn Văn A", "UBND Quận 1"]
    assert [each.name for each in seen.signatures] == ["", ""]
    assert kinds == ["DOCUMENT"]
    topics = [parse_leaf(fact.receipt.leaf).topic for fact in parse_bundle(data).facts]
    assert "hub.Exchange.SignatureVerdictMade" in topics
    findings = examine_bundle(data, Checks(founded.trust)).items
    assert Verdict.REFUTED not in {finding.verdict for finding in findings}


async def test_a_recipient_is_told_of_a_signature_that_is_not_valid(
    founded: Founded, broken: bytes, monkeypatch
):
    monkeypatch.setenv("LIENTHONG_DOCUMENT_SIGNATURES", "note")
    async with serving(founded) as hub, client(hub, QUAN_1) as sender:
        accepted = await sender.submit(LETTER, [pdf(broken)], [TAI_CHINH])
        exchange = await examined(sender, accepted.exchange_id)
        async with client(hub, TAI_CHINH) as recipient:
            kinds = [item.kind.name async for item in recipient.inbox()]
    assert {each.outcome for each in exchange.signatures} == {"invalid"}
    assert kinds == ["DOCUMENT", "SIGNATURES"]


async def test_what_the_sender_demands_is_checked_before_acceptance(
    founded: Founded, signed: bytes, broken: bytes
):
    async with serving(founded) as hub, client(hub, QUAN_1) as sender:
        for data in (broken, plain_pdf()):
            with pytest.raises(DocumentSignatureInvalid):
                await sender.submit(LETTER, [pdf(data)], [TAI_CHINH], signatures_required=True)
        accepted = await sender.submit(LETTER, [pdf(signed)], [TAI_CHINH], signatures_required=True)
        exchange = await sender.exchange(accepted.exchange_id)
        async with client(hub, TAI_CHINH) as recipient:
            lines = [item async for item in recipient.inbox()]
    assert {each.outcome for each in exchange.signatures} == {"valid"}
    assert len(lines) == 1


async def test_whoever_must_have_signed_is_missed_where_no_certificate_says_who_it_is(
    founded: Founded, signed: bytes, monkeypatch
):
    monkeypatch.setenv("LIENTHONG_PERSON_AND_AGENCY_REQUIRED_BY", f'["{NOI_VU}"]')
    async with serving(founded) as hub, client(hub, QUAN_1) as sender:
        for codes, signers in (([TAI_CHINH], ["agency"]), ([TAI_CHINH, NOI_VU], [])):
            with pytest.raises(DocumentSignatureInvalid) as refused:
                await sender.submit(LETTER, [pdf(signed)], codes, signers_required=signers)
            assert refused.value.metadata["why"] == f"no-{(signers or ['person'])[0]}"
        await sender.submit(LETTER, [pdf(signed)], [TAI_CHINH], signatures_required=True)


async def test_what_a_recipient_demands_holds_for_everything_it_gets(
    founded: Founded, signed: bytes, monkeypatch
):
    monkeypatch.setenv("LIENTHONG_SIGNATURES_REQUIRED_BY", json.dumps([TAI_CHINH]))
    async with serving(founded) as hub, client(hub, QUAN_1) as sender:
        with pytest.raises(DocumentSignatureInvalid):
            await sender.submit(LETTER, [pdf(plain_pdf())], [TAI_CHINH])
        await sender.submit(LETTER, [pdf(signed)], [TAI_CHINH])
