"""A certificate revoked over the wire and on the command line: at once, and for open streams."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from adapters.system import system_clock
from hub.client import HubClient, RegistryClient
from hub.client.answers import InboxItemKind, OutboxItemKind
from hub.client.signing import KeySigner
from hub.errors import AuditorUnknown, KeyRevoked, KeyUnknown, RequestMalformed
from hub.proof.evidence import Verdict, examine
from hub.proof.signatures import Algorithm
from hub.proof.trust import Purpose
from hub.v1 import exchange_service_pb2
from hub.v1.ledger_service_pb2 import GetCheckpointRequest
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from keys.development_ca import DevelopmentCA, Issued
from tests.e2e.test_agencies import FILE, letter, open_as, registry  # noqa: F401
from tests.e2e.test_bad_input import require_told
from tests.e2e.test_cli import FINANCE_CODE, SENDER, new_site
from tests.e2e.test_identity import identity
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    raw_stub,
    refusal_in,
    refusal_of,
    refusal_of_stream,
    submission,
)
from tests.support.patience import PATIENCE_S
from tests.support.uploads import refusal_of_upload


async def transport_key_of(registry: RegistryClient, code: str) -> str:  # noqa: F811
    async for agency in registry.list_agencies():
        if agency.code == code:
            (key_id,) = [
                certificate.key_id
                for certificate in agency.certificates
                if certificate.purpose is Purpose.TRANSPORT
            ]
            return key_id
    raise AssertionError(code)


async def test_a_revoked_connection_ends_with_its_open_streams(hub, open_as, registry):  # noqa: F811
    async with raw_stub(hub.speaker(TAI_CHINH).transport, hub.port) as stub:
        stream = stub.WatchInbox(exchange_service_pb2.WatchInboxRequest())
        await registry.revoke_certificate(
            TAI_CHINH, await transport_key_of(registry, TAI_CHINH), "key-compromise"
        )

        next_call = await refusal_of(stub.GetLimits(exchange_service_pb2.GetLimitsRequest()))
        sender = await open_as(QUAN_1)
        await sender.submit(letter(), [FILE], [TAI_CHINH])  # The next message of the stream.
        ended = await refusal_of_stream(stream)

    require_told(next_call, "PRINCIPAL_UNKNOWN")
    require_told(ended, "PRINCIPAL_UNKNOWN")


async def test_what_a_stolen_key_signed_is_in_doubt_for_both_sides(hub, open_as, registry):  # noqa: F811
    sender, recipient = await open_as(QUAN_1), await open_as(TAI_CHINH)
    key_id = hub.speaker(QUAN_1).key_id
    accepted = await sender.submit(letter(), [FILE], [TAI_CHINH])
    await recipient.collect(accepted.statement.digest.hex())
    since = datetime.now(UTC) - timedelta(hours=1)

    await registry.revoke_certificate(QUAN_1, key_id, "key-compromise", effective=since)

    with pytest.raises(KeyRevoked):
        await sender.submit(letter(126), [FILE], [TAI_CHINH])
    async with asyncio.timeout(PATIENCE_S):
        told = [item async for item in first_two(recipient.watch_inbox())]
    assert [item.kind for item in told] == [InboxItemKind.DOCUMENT, InboxItemKind.IN_DOUBT]
    outbox = [item.kind async for item in sender.outbox()]
    assert outbox == [OutboxItemKind.HANDED_OVER, OutboxItemKind.IN_DOUBT]
    (doubt,) = (await recipient.exchange(accepted.exchange_id)).doubts
    assert (doubt.statement, doubt.recipient) == (accepted.position, None)
    assert abs(doubt.effective - since) < timedelta(milliseconds=1)
    evidence = await recipient.statement(accepted.position)
    assert evidence.doubt is not None
    findings = examine(evidence.doubt.evidence(), hub.founded.trust)
    assert "in doubt: its key is revoked from" in findings.items[-1].text


async def first_two(items):
    count = 0
    async for item in items:
        yield item
        count += 1
        if count == 2:
            return


async def test_what_cannot_be_revoked_is_refused(hub, registry):  # noqa: F811
    key_id = hub.speaker(QUAN_1).key_id
    with pytest.raises(KeyUnknown):
        await registry.revoke_certificate(TAI_CHINH, key_id, "superseded")
    with pytest.raises(RequestMalformed):
        await registry.revoke_certificate(QUAN_1, key_id, "bored")
    late = datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(RequestMalformed):
        await registry.revoke_certificate(QUAN_1, key_id, "superseded", effective=late)
    with pytest.raises(AuditorUnknown):
        await registry.revoke_auditor("nobody", "left-office")


async def test_an_auditor_who_was_put_out_reads_nothing_more(hub, registry):  # noqa: F811
    issued = hub.founded.authority.issue_client("thanh-tra-1")
    await registry.enrol_auditor("thanh-tra-1", issued.certificate_pem)

    since = datetime.now(UTC) - timedelta(hours=1)
    revoked = await registry.revoke_auditor("thanh-tra-1", "left-office", effective=since)

    told = datetime.fromisoformat(revoked.fact.event.data["effective"])
    assert abs(told - since) < timedelta(milliseconds=1)
    assert revoked.fact.event.topic == "hub.Principal.PrincipalRevoked"
    async with raw_stub(identity(hub, issued), hub.port, LedgerServiceStub) as stub:
        refusal = await refusal_of(stub.GetCheckpoint(GetCheckpointRequest()))
    require_told(refusal, "PRINCIPAL_UNKNOWN")
    with pytest.raises(AuditorUnknown):
        await registry.revoke_auditor("thanh-tra-1", "left-office")


# --- Renewal ------------------------------------------------------------------------------


async def test_both_certificates_are_renewed_three_times_under_load_and_nothing_fails(
    hub,
    registry,  # noqa: F811
):
    """Each round: new signing key, new connection, the old ones revoked as superseded."""
    authority, speaker = hub.founded.authority, hub.speaker(QUAN_1)
    profile = speaker.profile(hub.port)
    kept: list[bytes] = []
    signer: KeySigner | None = None
    for number in range(3):
        signing = authority.issue_signing(f"signing {number}", Algorithm.ECDSA_P256_SHA256)
        connection = authority.issue_client(f"connection {number}")
        new = KeySigner.from_pem(signing.private_key_pem, Algorithm.ECDSA_P256_SHA256)
        tls = KeySigner.from_pem(connection.private_key_pem, Algorithm.ECDSA_P256_SHA256)
        old = [key async for key in keys_in_force(registry, QUAN_1)]
        async with HubClient.open(profile, signer=signer) as client:
            sending = asyncio.create_task(send_many(client, 5))
            await client.renew_certificate(signing.certificate_pem, new, Purpose.SIGNING)
            renewed = await client.renew_certificate(
                connection.certificate_pem, tls, Purpose.TRANSPORT
            )
            kept += [renewed.evidence(), *await sending]
        signer = new
        write_identity(profile, connection)
        for key_id in old:
            await registry.revoke_certificate(QUAN_1, key_id, "superseded")
    async with HubClient.open(profile, signer=signer) as client:
        kept += await send_many(client, 5)

    for file in kept:
        assert examine(file, hub.founded.trust).verdict is not Verdict.REFUTED


async def keys_in_force(registry, code):  # noqa: F811
    async for agency in registry.list_agencies():
        for certificate in agency.certificates:
            if agency.code == code and certificate.revocation is None:
                yield certificate.key_id


async def send_many(client: HubClient, count: int) -> list[bytes]:
    sent = [
        await client.submit(letter(number), [FILE], [TAI_CHINH]) for number in range(1, count + 1)
    ]
    return [accepted.evidence() for accepted in sent]


def write_identity(profile, issued: Issued) -> None:
    profile.transport_certificate.write_bytes(issued.certificate_pem)
    profile.transport_key.write_bytes(issued.private_key_pem)


@pytest.fixture
def site(tmp_path):
    site = new_site(tmp_path / "hub")
    site.serve()
    yield site
    assert site.stop().status == 0
    checked = site.type("ledger", "fsck", site.folder)
    assert checked.status == 0, checked.out


def type_renewal(site, folder):
    ca = DevelopmentCA.open(site.folder / "development-ca", system_clock)
    issued = ca.issue_signing("renewed", Algorithm.ED25519)
    certificate, key = folder / "new.pem", folder / "new.key.pem"
    certificate.write_bytes(issued.certificate_pem)
    key.write_bytes(issued.private_key_pem)
    words = ["--purpose", "signing", "--algorithm", "ed25519", "--json"]
    return site.type("certificate", "renew", certificate, key, *words, profile=SENDER)


def test_an_operator_types_it(site, tmp_path):
    file = tmp_path / "thư.pdf"
    file.write_bytes(b"%PDF-1.7")
    words = ["--subject", "V/v", "--number", "1", "--notation", "VP", "--type", "Công văn"]
    sent = site.type("send", file, "--to", FINANCE_CODE, *words, "--json", profile=SENDER).json
    agencies = site.type("agency", "list", "--json", profile="operator").json
    (key_id,) = [
        certificate["key_id"]
        for agency in agencies
        if agency["code"] == "H29.1.1"
        for certificate in agency["certificates"]
        if certificate["purpose"] == "signing"
    ]
    renewed = type_renewal(site, tmp_path)
    assert renewed.json["key_id"] in site.type("agency", "list", "--json", profile="operator").out
    revoke = ["agency", "revoke", "H29.1.1", key_id, "--reason", "key-compromise"]

    wrong = site.type(*revoke, "--effective", "yesterday", profile="operator", language="vi")
    since = "2026-01-01T00:00:00+07:00"
    done = site.type(*revoke, "--effective", since, "--json", profile="operator")
    again = site.type(*revoke, profile="operator", language="vi")
    refused = site.type("send", file, "--to", FINANCE_CODE, *words, profile=SENDER)

    assert (wrong.status, done.json["agency"]) == (2, "H29.1.1")
    assert (again.status, "[KEY_REVOKED]" in again.err) == (1, True)
    assert (refused.status, "[KEY_REVOKED]" in refused.err) == (1, True)
    assert "revoked" in site.type("agency", "list", profile="operator").out
    # Watching ends when the doubt has come: nothing is waited for by the clock.
    watching = site.start("outbox", "--watch", "--json", profile=SENDER)
    assert watching.stdout is not None
    assert "in_doubt" in watching.stdout.readline()
    watching.terminate()
    watching.communicate(timeout=PATIENCE_S)
    shown = site.type("status", sent["exchange"], profile=SENDER, language="vi").out
    assert "Nghi vấn: chữ ký của H29.1.1" in shown


# --- While it is used ---------------------------------------------------------------------


async def test_an_upload_ends_at_its_next_message(hub, registry):  # noqa: F811
    content = bytes(1 << 20)
    speaker = hub.speaker(QUAN_1)
    revoked = threading.Event()

    async with raw_stub(speaker.transport, hub.port) as stub:
        digest = hashlib.sha256(content).digest()
        begun = await stub.BeginUpload(
            exchange_service_pb2.BeginUploadRequest(size=len(content), sha256=digest)
        )

        def stream():
            start = exchange_service_pb2.UploadStart(upload_id=begun.upload_id, offset=0)
            yield exchange_service_pb2.UploadContentRequest(start=start)
            yield exchange_service_pb2.UploadContentRequest(data=content[: 256 * 1024])
            revoked.wait()
            yield exchange_service_pb2.UploadContentRequest(data=content[256 * 1024 :])

        upload = asyncio.ensure_future(refusal_of_upload(speaker.transport, hub.port, stream()))
        key_id = await transport_key_of(registry, QUAN_1)
        await registry.revoke_certificate(QUAN_1, key_id, "key-compromise")
        revoked.set()
        refusal = await upload

    require_told(refusal, "PRINCIPAL_UNKNOWN")


async def test_under_load_nothing_is_recorded_behind_the_revocation_of_its_key(
    hub,
    registry,  # noqa: F811
):
    """Fsck, which ends every test, looks for a statement behind its key's revocation too."""
    speaker = hub.speaker(QUAN_1)
    async with raw_stub(speaker.transport, hub.port) as stub:
        calls = [
            asyncio.ensure_future(stub.SubmitDocument(submission(speaker, [TAI_CHINH])))
            for _ in range(40)
        ]
        revoked = await registry.revoke_certificate(QUAN_1, speaker.key_id, "key-compromise")
        calls += [
            asyncio.ensure_future(stub.SubmitDocument(submission(speaker, [TAI_CHINH])))
            for _ in range(10)
        ]
        answers = await asyncio.gather(*calls, return_exceptions=True)

    accepted = [each for each in answers if not isinstance(each, BaseException)]
    refused = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
    assert len(accepted) + len(refused) == 50
    assert all(each.acceptance.receipt.position < revoked.fact.position for each in accepted)
    assert {refusal_in(each).reason for each in refused} == {"KEY_REVOKED"}
    assert len(refused) >= 10
