"""An issuer takes a certificate back and says so by OCSP alone: the hub follows, and proves it."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event, Thread

import pytest

from adapters.system import system_clock
from hub.bootstrap.development import ListServer
from hub.cli.main import main as lienthong
from hub.proof.bundle import parse_bundle
from hub.proof.findings import Verdict
from hub.proof.leaf import parse_leaf
from hub.proof.signatures import Algorithm
from hub.v1 import exchange_service_pb2
from keys.development_ca import DevelopmentCA, Issued
from tests.contracts.test_ocsp_responder import sending
from tests.e2e.test_bad_input import require_told
from tests.e2e.test_bundles import bundle_of, play
from tests.e2e.test_cli import SENDER, Site, new_site
from tests.e2e.test_revocation_evidence import Kept, about, signing_certificate, until
from tests.support.hubs import (
    NOI_VU,
    QUAN_1,
    TAI_CHINH,
    Founded,
    Running,
    raw_stub,
    refusal_of,
    refusal_of_stream,
    serving,
    submission,
)
from tests.support.log_files import write_log_files
from tests.support.timestamping import serving as answering_as

HOUR = timedelta(hours=1)
SENDER_CODE = "H29.1.1"


@contextmanager
def authority_serving(folder: Path) -> Iterator[str]:
    """`lienthong ca serve` in this process; its address."""
    with ListServer(folder, "127.0.0.1", 0, timedelta(days=1)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def answering(founded: Founded) -> Iterator[Founded]:
    """The hub's authority answers OCSP, publishes no list, and the hub knows where."""
    with authority_serving(founded.folder.development_ca) as address:
        settings = founded.folder.root / "hub.toml"
        lines = f'\n[[ocsp_responders]]\nname = "development"\nurl = "{address}/ocsp"\n'
        settings.write_text(settings.read_text() + lines)
        yield founded


@asynccontextmanager
async def informed(founded: Founded) -> AsyncIterator[Running]:
    """A hub that was told of every signing certificate."""
    async with serving(founded) as hub:
        signing = {
            entry.certificate
            for agency in hub.core.engine.registry.agencies.values()
            for entry in agency.certificates
            if entry.purpose == "signing"
        }
        await until(lambda: signing <= set(hub.core.engine.registry.answers))
        yield hub


def their_time_comes(hub: Running) -> None:
    """An hour has passed: every certificate is asked about anew."""
    hub.process._issuers.answers._next.clear()


async def test_what_an_issuer_says_by_ocsp_alone_refuses_the_next_call_and_leaves_doubt(
    answering: Founded, tmp_path: Path
):
    async with informed(answering) as hub:
        assert not hub.core.engine.registry.crls
        exchange = await play(hub)
        stolen = signing_certificate(hub, QUAN_1)
        answering.authority.revoke(stolen, "key-compromise", system_clock() - HOUR)
        their_time_comes(hub)
        await until(lambda: bool(hub.core.engine.registry.revoked))

        speaker = hub.speaker(QUAN_1)
        async with raw_stub(speaker.transport, hub.port) as stub:
            refused = await refusal_of(stub.SubmitDocument(submission(speaker, [NOI_VU])))

        await until(lambda: not hub.core.engine.registry.unreviewed)
        data = await bundle_of(hub, TAI_CHINH, exchange)
        facts = [parse_leaf(entry.state) for entry in hub.core.log.entries(0, 1000)]
    require_told(refused, "KEY_REVOKED")
    (revoked,) = (each.data for each in facts if each.topic.endswith("CertificateRevoked"))
    assert (revoked["by"], revoked["reason"]) == ("ocsp:development", "key-compromise")
    told = [each.data for each in facts if each.topic.endswith("RevocationEvidenceStored")]
    assert [each["status"] for each in told if each["evidence"] == revoked["evidence"]] == [
        "revoked"
    ]
    doubts = [each for each in facts if each.topic.endswith("SignatureInDoubt")]
    assert len(doubts) == 3, "two documents and the recall of one"

    kept = Kept(answering, parse_bundle(data), write_log_files(answering.folder, tmp_path / "log"))
    verdicts = kept.verdicts(kept.bundle)
    assert Verdict.REFUTED not in verdicts.values()
    assert about(verdicts, "issuer had not revoked") == {Verdict.PROVEN}


async def test_a_document_between_is_proven_offline_by_the_answers_of_that_time(
    answering: Founded, tmp_path: Path
):
    async with informed(answering) as hub:
        data = await bundle_of(hub, QUAN_1, await play(hub))
    file, log = tmp_path / "document.bundle.json", tmp_path / "log"
    file.write_bytes(data)
    write_log_files(answering.folder, log)
    trust = str(answering.folder.trusted_root)

    assert lienthong(["verify", str(file), "--trust", trust, "--log", str(log)]) == 0

    kinds = {
        parse_leaf(stored.receipt.leaf).data["kind"]
        for each in parse_bundle(data).enrolments
        for stored in each.revocation
    }
    assert kinds == {"ocsp"}


async def test_a_connection_that_its_issuer_revoked_ends_at_the_next_message(answering: Founded):
    async with informed(answering) as hub:
        connection = hub.speaker(TAI_CHINH).transport
        async with raw_stub(connection, hub.port) as stub:
            stream = stub.WatchInbox(exchange_service_pb2.WatchInboxRequest())
            await stub.GetLimits(exchange_service_pb2.GetLimitsRequest())
            answering.authority.revoke(connection.certificate, "superseded")
            their_time_comes(hub)
            await until(lambda: refused_to(hub, TAI_CHINH))
            next_call = await refusal_of(stub.GetLimits(exchange_service_pb2.GetLimitsRequest()))
            sender = hub.speaker(QUAN_1)
            async with raw_stub(sender.transport, hub.port) as theirs:
                await theirs.SubmitDocument(submission(sender, [TAI_CHINH]))
            ended = await refusal_of_stream(stream)
    require_told(next_call, "PRINCIPAL_UNKNOWN")
    require_told(ended, "PRINCIPAL_UNKNOWN")


def refused_to(hub: Running, code: str) -> bool:
    (transport,) = [
        each
        for each in hub.core.engine.registry.agencies[code].certificates
        if each.purpose == "transport"
    ]
    return transport.revocation is not None


@pytest.mark.parametrize("says", [None, b"garbage", bytes(70_000)], ids=["hangs", "lies", "floods"])
async def test_a_bad_responder_keeps_nobody_waiting_and_is_not_believed(founded: Founded, says):
    asked, over = Event(), Event()

    def respond(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        asked.set()
        if says is None:
            over.wait()
            return
        sending(lambda _: says)(handler, request)

    with answering_as(respond) as url:
        settings = founded.folder.root / "hub.toml"
        lines = f'\n[[ocsp_responders]]\nname = "bad"\nurl = "{url}"\n'
        settings.write_text(settings.read_text() + lines)
        async with serving(founded) as hub:
            await until(asked.is_set)
            await play(hub)
            assert not hub.core.engine.registry.answers
        over.set()


async def test_a_restart_asks_anew_and_records_no_answer_twice(answering: Founded):
    async with informed(answering) as hub:
        before = dict(hub.core.engine.registry.answers)
    async with informed(answering) as hub:
        asked = hub.process._issuers.answers._next
        await until(lambda: len(asked) > len(before))  # Connections too.
        assert dict(hub.core.engine.registry.answers) == before


# --- Answers that come with a certificate ---------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = new_site(tmp_path / "hub")
    site.serve()
    yield site
    assert site.stop().status == 0
    checked = site.type("ledger", "fsck", site.folder)
    assert checked.status == 0, checked.out


def said_of(site: Site, issued: Issued, folder: Path) -> Path:
    """What OpenSSL was told of a certificate by the authority's responder, in a file."""
    authority = site.folder / "development-ca" / "development-ca.pem"
    certificate, answer = folder / "new.pem", folder / "answer.der"
    certificate.write_bytes(issued.certificate_pem)
    with authority_serving(site.folder / "development-ca") as address:
        words = ["-issuer", authority, "-CAfile", authority, "-cert", certificate]
        subprocess.run(
            ["openssl", "ocsp", *words, "-url", f"{address}/ocsp", "-respout", answer],
            check=True,
            capture_output=True,
        )
    return answer


def test_an_operator_and_an_agency_hand_in_what_an_issuer_says(site: Site, tmp_path: Path):
    authority = DevelopmentCA.open(site.folder / "development-ca", system_clock)
    connection = authority.issue_client("connection")
    answer = said_of(site, connection, tmp_path)
    words = ["--purpose", "transport", "--ocsp", answer, "--json"]

    enrolled = site.type(
        "agency", "enrol", SENDER_CODE, tmp_path / "new.pem", *words, profile="operator"
    )

    assert enrolled.status == 0, enrolled.out
    signing = authority.issue_signing("signing", Algorithm.ED25519)
    (tmp_path / "new.key.pem").write_bytes(signing.private_key_pem)
    place = [tmp_path / "new.pem", tmp_path / "new.key.pem"]
    purpose = ["--purpose", "signing", "--algorithm", "ed25519", "--json"]
    # The answer is about the connection's certificate.
    (tmp_path / "new.pem").write_bytes(signing.certificate_pem)
    renew = ["certificate", "renew", *place, *purpose, "--ocsp", answer]
    refused = site.type(*renew, profile=SENDER)
    assert (refused.status, "none of the chain" in refused.err) == (1, True)
    said_of(site, signing, tmp_path)
    renewed = site.type(*renew, profile=SENDER)
    assert renewed.status == 0, renewed.out

    revoked = authority.issue_client("revoked")
    authority.revoke(revoked.certificate_pem, "superseded")
    answer = said_of(site, revoked, tmp_path)
    again = ["agency", "enrol", SENDER_CODE, tmp_path / "new.pem", *words]
    refused = site.type(*again, profile="operator")
    assert (refused.status, "superseded" in refused.err) == (1, True)
