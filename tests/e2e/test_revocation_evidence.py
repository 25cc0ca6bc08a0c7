"""What issuers said of revocation goes along with a document, and is proven years later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.system import system_clock
from hub.cli.main import main as lienthong
from hub.errors import PositionUnknown
from hub.evidence.judging import Judge
from hub.proof.bundle import Bundle, parse_bundle
from hub.proof.checks import Checks
from hub.proof.examination import examine_bundle
from hub.proof.findings import Verdict
from hub.proof.folders import log_in
from hub.proof.tiles import open_log
from hub.v1 import ledger_service_pb2 as calls
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tests.contracts.test_crl_source import sending
from tests.e2e.test_bad_input import require_told
from tests.e2e.test_bundles import bundle_of, play
from tests.support.hubs import (
    NOI_VU,
    QUAN_1,
    Founded,
    Running,
    raw_stub,
    refusal_of,
    serving,
    submission,
)
from tests.support.log_files import write_log_files
from tests.support.patience import PATIENCE_S
from tests.support.timestamping import serving as answering


@pytest.fixture
def publishing(founded: Founded) -> Iterator[Founded]:
    """The hub's authority publishes its revocation list, and the hub knows where."""
    with answering(sending(founded.authority.revocation_list)) as url:
        settings = founded.folder.root / "hub.toml"
        lines = f'\n[[crls]]\nname = "development"\nurl = "{url}"\n'
        settings.write_text(settings.read_text() + lines)
        yield founded


@asynccontextmanager
async def informed(founded: Founded) -> AsyncIterator[Running]:
    """A hub that has fetched the list."""
    async with serving(founded) as hub:
        await until(lambda: bool(hub.core.engine.registry.crls))
        yield hub


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


def signing_certificate(hub: Running, code: str) -> bytes:
    certificates = hub.core.engine.registry.agencies[code].certificates
    (digest,) = [each.certificate for each in certificates if each.purpose == "signing"]
    der = hub.core.log.evidence(bytes.fromhex(digest))
    assert der is not None
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


@dataclass(frozen=True)
class Kept:
    """What the sender kept, and the log that an auditor exported."""

    founded: Founded
    bundle: Bundle
    log: Path

    def checks(self) -> Checks:
        trust = self.founded.trust
        log = open_log(log_in(self.log), trust)
        return Checks(trust, log=log, beyond=Judge(trust, system_clock))

    def verdicts(self, bundle: Bundle) -> dict[str, Verdict]:
        found = examine_bundle(bundle.format(), self.checks()).items
        return {finding.text: finding.verdict for finding in found}


@pytest.fixture
async def kept(publishing: Founded, tmp_path: Path) -> Kept:
    async with informed(publishing) as hub:
        exchange = await play(hub)
        data = await bundle_of(hub, QUAN_1, exchange)
    return Kept(
        publishing, parse_bundle(data), write_log_files(publishing.folder, tmp_path / "log")
    )


def about(verdicts: dict[str, Verdict], words: str) -> set[Verdict]:
    return {verdict for text, verdict in verdicts.items() if words in text}


async def test_everything_about_an_ordinary_document_is_proven(kept: Kept, tmp_path: Path):
    file = tmp_path / "document.bundle.json"
    file.write_bytes(kept.bundle.format())
    trust = str(kept.founded.folder.trusted_root)

    status = lienthong(["verify", str(file), "--trust", trust, "--log", str(kept.log)])

    assert status == 0
    verdicts = kept.verdicts(kept.bundle)
    assert about(verdicts, "led to an authority") == {Verdict.PROVEN}
    assert about(verdicts, "issuer had not revoked") == {Verdict.PROVEN}


async def test_a_list_that_several_certificates_need_is_in_the_file_once(kept: Kept):
    lists = {stored.data for each in kept.bundle.enrolments for stored in each.revocation}
    assert [len(each.revocation) for each in kept.bundle.enrolments] == [1, 1]
    assert len(lists) == 1
    assert kept.bundle.format().count(b'"data":') == 1


async def test_without_a_list_revocation_is_not_checked_and_the_chain_is_proven(
    founded: Founded, tmp_path: Path
):
    async with serving(founded) as hub:
        data = await bundle_of(hub, QUAN_1, await play(hub))
    kept = Kept(founded, parse_bundle(data), write_log_files(founded.folder, tmp_path / "log"))
    verdicts = kept.verdicts(kept.bundle)
    assert about(verdicts, "led to an authority") == {Verdict.PROVEN}
    assert about(verdicts, "nothing from that time is in the file") == {Verdict.NOT_CHECKED}


async def test_a_list_that_the_log_did_not_store_is_refuted(kept: Kept):
    authority = kept.founded.authority
    forged = authority.revocation_list(timedelta(days=9))
    enrolments = tuple(
        replace(
            each,
            revocation=tuple(replace(stored, data=forged) for stored in each.revocation),
        )
        for each in kept.bundle.enrolments
    )
    verdicts = kept.verdicts(replace(kept.bundle, enrolments=enrolments))
    assert about(verdicts, "stored other evidence") == {Verdict.REFUTED}


async def test_an_authority_that_the_bundle_brings_along_is_not_believed(kept: Kept):
    root = kept.founded.trust
    other = replace(root, certificate_authorities=())
    checks = Checks(other, beyond=Judge(other, system_clock))
    texts = {each.text: each.verdict for each in examine_bundle(kept.bundle.format(), checks).items}
    assert about(texts, "lists no authority") == {Verdict.NOT_CHECKED}


async def test_what_the_issuer_takes_back_later_was_good_before(
    publishing: Founded, tmp_path: Path
):
    async with informed(publishing) as hub:
        exchange = await play(hub)
        stolen = signing_certificate(hub, QUAN_1)
    publishing.authority.revoke(stolen, "key-compromise")
    async with serving(publishing) as hub:
        await until(lambda: bool(hub.core.engine.registry.revoked))
        speaker = hub.speaker(QUAN_1)
        async with raw_stub(speaker.transport, hub.port) as stub:
            refused = await refusal_of(stub.SubmitDocument(submission(speaker, [NOI_VU])))
        data = await bundle_of(hub, QUAN_1, exchange)
    require_told(refused, "KEY_REVOKED")
    kept = Kept(
        publishing, parse_bundle(data), write_log_files(publishing.folder, tmp_path / "log")
    )
    assert Verdict.REFUTED not in kept.verdicts(kept.bundle).values()
    assert about(kept.verdicts(kept.bundle), "issuer had not revoked") == {Verdict.PROVEN}


async def test_a_stranger_learns_nothing_of_a_certificate_but_anyone_reads_a_list(
    publishing: Founded,
):
    async with informed(publishing) as hub:
        await play(hub)
        registry = hub.core.engine.registry
        (stored,) = registry.crls.values()
        position = next(
            entry.position
            for entry in hub.core.log.entries(0, 100)
            if entry.topic == "hub.Exchange.DocumentSubmitted"
        )
        async with raw_stub(hub.speaker(NOI_VU).transport, hub.port, LedgerServiceStub) as stub:
            asked = calls.GetCertificateEvidenceRequest(position=position)
            refusal = await refusal_of(stub.GetCertificateEvidence(asked))
            piece = await stub.ReadRevocationEvidence(
                calls.ReadRevocationEvidenceRequest(position=stored.position, offset=4)
            )
            beyond = calls.ReadRevocationEvidenceRequest(position=stored.position, offset=1 << 40)
            too_far = await refusal_of(stub.ReadRevocationEvidence(beyond))
            none = calls.ReadRevocationEvidenceRequest(position=position)
            no_list = await refusal_of(stub.ReadRevocationEvidence(none))
    for refused in (refusal, too_far, no_list):
        require_told(refused, PositionUnknown.reason)
    assert piece.size == len(piece.data) + 4
