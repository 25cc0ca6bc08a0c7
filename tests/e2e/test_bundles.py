"""Bundles from a running hub: what a party gets, what it proves, and what exposes a forger."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub.auditor.client import Case
from hub.cli.main import main as lienthong
from hub.client import HubClient
from hub.errors import CaseReferenceMissing, ExchangeUnknown, NotAParty
from hub.proof.bundle import Bundle, parse_bundle, position_of
from hub.proof.checks import Checks
from hub.proof.evidence import ReceiptFile
from hub.proof.examination import examine_bundle
from hub.proof.findings import Verdict
from hub.proof.folders import log_in
from hub.proof.statements import Envelope
from hub.proof.tiles import open_log
from hub.v1 import ledger_service_pb2 as ledger_calls
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tests.e2e.test_timestamps import gone, site, stamped, standing_until  # noqa: F401
from tests.e2e.test_witnesses import rewrite_and_sign_again
from tests.support.auditors import enrol_auditor
from tests.support.hubs import (
    NOI_VU,
    QUAN_1,
    TAI_CHINH,
    Y_TE,
    Founded,
    Running,
    answering,
    collection,
    digest_of,
    raw_stub,
    recalling,
    report,
    serving,
    submission,
)
from tests.support.log_files import write_log_files

CONTENT = b"%PDF-1.7 " + bytes(range(256))


@dataclass(frozen=True)
class Kept:
    """What the parties kept of a document before the hub was stopped, and the hub."""

    founded: Founded
    exchange: str
    sender: bytes
    recipient: bytes
    folder: Path

    @property
    def bundle(self) -> Bundle:
        return parse_bundle(self.sender)

    def file(self, data: bytes, name: str = "document.bundle.json") -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path


async def bundle_of(hub: Running, code: str, exchange: str) -> bytes:
    async with HubClient.open(hub.speaker(code).profile(hub.port)) as client:
        return (await client.bundle(exchange)).format()


async def play(hub: Running) -> str:
    """A document to two, one of which collects, reports, and refuses the recall of it."""
    sender, recipient = hub.speaker(QUAN_1), hub.speaker(TAI_CHINH)
    sent = submission(sender, [TAI_CHINH, Y_TE], [CONTENT])
    digest = digest_of(sent.envelope)
    async with raw_stub(sender.transport, hub.port) as stub:
        exchange: str = (await stub.SubmitDocument(sent)).acceptance.exchange_id
        await stub.SubmitDocument(submission(sender, [NOI_VU]))
    async with raw_stub(recipient.transport, hub.port) as stub:
        await stub.CollectDocument(collection(recipient, digest))
        await stub.ReportStatus(report(recipient, digest, "01"))
    async with raw_stub(sender.transport, hub.port) as stub:
        await stub.RequestRecall(recalling(sender, digest))
    async with raw_stub(recipient.transport, hub.port) as stub:
        await stub.AnswerRecall(answering(recipient, digest, "16"))
    return exchange


@pytest.fixture
async def kept(founded: Founded, tmp_path: Path) -> Kept:
    async with serving(founded) as hub:
        exchange = await play(hub)
        sender = await bundle_of(hub, QUAN_1, exchange)
        recipient = await bundle_of(hub, TAI_CHINH, exchange)
    return Kept(founded, exchange, sender, recipient, tmp_path)


def topics(data: bytes) -> list[str]:
    facts = (json.loads(fact.receipt.leaf) for fact in parse_bundle(data).facts)
    return [fact["topic"].split(".")[-1] for fact in facts]


def verdicts(data: bytes, checks: Checks) -> set[Verdict]:
    return {finding.verdict for finding in examine_bundle(data, checks).items}


# --- What a party gets --------------------------------------------------------------------


async def test_each_party_gets_what_concerns_it_and_nothing_is_refuted(kept: Kept):
    story = [
        "DocumentSubmitted", "DocumentHandedOver", "StatusReported", "RecallRequested",
        "RecallAnswered",
    ]  # fmt: skip
    assert topics(kept.sender) == topics(kept.recipient) == story
    for data in (kept.sender, kept.recipient):
        assert Verdict.REFUTED not in verdicts(data, Checks(kept.founded.trust))
        assert [position_of(receipt) for receipt in parse_bundle(data).hub_keys] == [0, 1, 2]
    assert kept.sender == kept.recipient


async def test_who_did_not_collect_gets_no_envelope_and_no_others_statements(founded):
    async with serving(founded) as hub:
        exchange = await play(hub)
        data = await bundle_of(hub, Y_TE, exchange)
        with pytest.raises(ExchangeUnknown):
            await bundle_of(hub, NOI_VU, exchange)
        with pytest.raises(ExchangeUnknown):
            await bundle_of(hub, QUAN_1, "01890000-0000-7000-8000-000000000000")
    assert topics(data) == ["DocumentSubmitted", "RecallRequested"]
    kinds = [fact.statement and fact.statement.payload_type for fact in parse_bundle(data).facts]
    assert kinds[0] is None
    assert Envelope.MEDIA_TYPE not in kinds
    assert CONTENT not in data


async def test_the_same_facts_are_the_same_bytes_whoever_asks_whenever(founded):
    async with serving(founded) as hub:
        exchange = await play(hub)
        first = await bundle_of(hub, QUAN_1, exchange)
        await play(hub)
        assert await bundle_of(hub, QUAN_1, exchange) == first
    async with serving(founded) as hub:
        assert await bundle_of(hub, TAI_CHINH, exchange) == first


async def test_content_comes_beside_it_for_who_collected(founded, tmp_path):
    async with serving(founded) as hub:
        exchange = await play(hub)
        async with HubClient.open(hub.speaker(TAI_CHINH).profile(hub.port)) as client:
            bundle = await client.bundle(exchange)
            [path] = await client.content(bundle, tmp_path / "content" / exchange)
        assert path.read_bytes() == CONTENT
        async with HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as client:
            with pytest.raises(NotAParty):
                await client.content(await client.bundle(exchange), tmp_path / "mine")
        async with HubClient.open(hub.speaker(Y_TE).profile(hub.port)) as client:
            assert await client.content(await client.bundle(exchange), tmp_path / "none") == []
    (tmp_path / "document.bundle.json").write_bytes(bundle.format())
    trust = str(founded.folder.trusted_root)
    file = str(tmp_path / "document.bundle.json")
    content = ["--content", str(tmp_path / "content")]
    assert lienthong(["verify", "--trust", trust, *content, file]) == 2
    path.write_bytes(CONTENT[::-1])
    assert lienthong(["verify", "--trust", trust, *content, file]) == 1
    path.unlink()
    assert lienthong(["verify", "--trust", trust, *content, file]) == 2


async def test_progress_is_told_fact_by_fact(founded):
    told = []
    async with serving(founded) as hub:
        exchange = await play(hub)
        async with HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as client:
            await client.bundle(exchange, progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 5) for number in range(1, 6)]


# --- For a case -----------------------------------------------------------------------------


async def test_an_auditors_bundle_is_the_senders_and_its_making_is_recorded(founded, tmp_path):
    async with serving(founded) as hub:
        exchange = await play(hub)
        auditor = await enrol_auditor(hub.founded, hub.port)
        senders = await bundle_of(hub, QUAN_1, exchange)
        async with auditor.client(hub.port) as client:
            made = await client.bundle(Case.of("VA-2026/17"), exchange)
            with pytest.raises(CaseReferenceMissing):
                await client.bundle(Case.of(""), exchange)
            topics = [logged.event.topic for logged in await client.story(exchange)]
        assert made.format() == senders
        assert topics.count("hub.Log.AuditAccessMade") == 1
        # It was read once more, and the bundle is the same: who audited is no fact about it.
        assert await bundle_of(hub, QUAN_1, exchange) == senders


# --- With the log -------------------------------------------------------------------------


def with_log(kept: Kept, folder: Path) -> Checks:
    trust = kept.founded.trust
    return Checks(trust, log=open_log(log_in(folder), trust))


async def test_with_the_log_only_the_chains_are_left_open(kept: Kept, tmp_path):
    log = write_log_files(kept.founded.folder, tmp_path / "log")
    items = examine_bundle(kept.sender, with_log(kept, log)).items
    left = [item.text for item in items if item.verdict is Verdict.NOT_CHECKED]
    assert len(left) == 4
    assert all("Enrolment at position" in text for text in left)


@pytest.mark.parametrize("missing", ["tile/entries", "tile/0"])
async def test_a_log_with_holes_refutes_nothing(kept: Kept, tmp_path, missing):
    log = write_log_files(kept.founded.folder, tmp_path / "log")
    checks = with_log(kept, log)
    shutil.rmtree(log / missing)
    found = verdicts(kept.sender, checks)
    assert Verdict.REFUTED not in found
    assert Verdict.NOT_CHECKED in found


async def test_a_changed_entry_is_refuted(kept: Kept, tmp_path):
    log = write_log_files(kept.founded.folder, tmp_path / "log")
    [entries] = [path for path in (log / "tile" / "entries").rglob("*") if path.is_file()]
    data = entries.read_bytes()
    entries.write_bytes(data.replace(b"CertificateEnrolled", b"CertificateEnrolleD"))
    assert Verdict.REFUTED in verdicts(kept.sender, with_log(kept, log))


# --- An attacker with database, log key and the signer's memory ----------------------------


async def test_one_kept_receipt_exposes_a_history_that_was_rewritten_and_signed_anew(
    kept: Kept, tmp_path, capsys
):
    """Event 5 is changed, and everything is signed again: nothing on the machine shows it."""
    rewrite_and_sign_again(kept.founded.folder)
    trust = str(kept.founded.folder.trusted_root)
    folder = tmp_path / "drawer"
    folder.mkdir()
    fact = kept.bundle.facts[0]
    kept_file = folder / "a-kept.receipt.json"
    kept_file.write_bytes(ReceiptFile(fact.receipt, fact.statement).format())
    # By itself it holds, as it always will: the log key did sign it.
    assert lienthong(["verify", "--trust", trust, str(kept_file)]) == 0

    # 1. The rewritten log cannot be the one it was signed on.
    log = write_log_files(kept.founded.folder, tmp_path / "log")
    capsys.readouterr()
    assert (
        lienthong(["--lang", "en", "verify", "--trust", trust, "--log", str(log), str(folder)]) == 1
    )
    assert "one of them was rewritten" in capsys.readouterr().out

    # 2. Neither can any receipt that the rewritten hub gives out: together they convict it.
    async with serving(kept.founded) as hub:
        sender = hub.speaker(QUAN_1)
        async with raw_stub(sender.transport, hub.port, LedgerServiceStub) as stub:
            request = ledger_calls.GetReceiptRequest(position=position_of(fact.receipt))
            shown = (await stub.GetReceipt(request)).receipt
        # A client without a memory believes it, and gets a bundle that holds.
        shutil.rmtree(sender.home / "state", ignore_errors=True)
        forged = await bundle_of(hub, QUAN_1, kept.exchange)
    again = type(fact.receipt)(shown.leaf, shown.proof)
    (folder / "b-shown.receipt.json").write_bytes(ReceiptFile(again, fact.statement).format())
    assert lienthong(["--lang", "en", "verify", "--trust", trust, str(folder)]) == 1
    said = capsys.readouterr().out
    assert "the log signed two histories" in said.lower()
    assert str(kept_file) in said

    # 3. And so does a bundle beside the bundle of before.
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    (bundles / "a.bundle.json").write_bytes(kept.sender)
    (bundles / "b.bundle.json").write_bytes(forged)
    assert lienthong(["verify", "--trust", trust, str(bundles / "b.bundle.json")]) == 2
    assert lienthong(["verify", "--trust", trust, str(bundles)]) == 1


# --- Since when ---------------------------------------------------------------------------


async def test_a_timestamp_in_a_bundle_proves_since_when(site, gone, tmp_path, capsys):  # noqa: F811
    gone.set()  # Nobody is there to stamp what comes first.
    async with serving(site.founded) as hub:
        sender = hub.speaker(QUAN_1)
        async with raw_stub(sender.transport, hub.port) as stub:
            answer = await stub.SubmitDocument(submission(sender, [TAI_CHINH]))
    gone.clear()
    async with serving(site.founded) as hub:
        await standing_until(hub, stamped)
        data = await bundle_of(hub, QUAN_1, answer.acceptance.exchange_id)
    [anchor] = parse_bundle(data).checkpoints
    assert [held.token.authority for held in anchor.timestamps] == ["tsa.test"]
    file = tmp_path / "stamped.bundle.json"
    file.write_bytes(data)
    trust = str(site.founded.folder.trusted_root)
    capsys.readouterr()
    assert lienthong(["--lang", "en", "verify", "--trust", trust, str(file)]) == 2
    said = capsys.readouterr().out
    assert "by the clock of the time-stamping authority tsa.test the checkpoint existed on" in said
    assert "PROVEN       Enrolment at position" in said
    # The tool that stands alone names it, and leaves it open.
    assert Verdict.REFUTED not in verdicts(data, Checks(site.founded.trust))
    texts = [item.text for item in examine_bundle(data, Checks(site.founded.trust)).items]
    assert any("a timestamp is there, but was not checked" in text for text in texts)
