"""Erasure by law over the wire: the words are in no file afterwards, and come back with none."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hub.bootstrap.folder import DataFolder
from hub.client import RegistryClient
from hub.client.orders import Approved
from hub.errors import (
    LedgerMismatch,
    OrderExecuted,
    PayloadErased,
    PrincipalUnknown,
    SecondOperatorNeeded,
)
from hub.proof.leaf import parse_leaf
from hub.v1 import exchange_pb2 as wire
from hub.v1 import exchange_service_pb2 as calls
from hub.v1 import ledger_service_pb2 as ledger_calls
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tests.support.hubs import (
    NOI_VU,
    QUAN_1,
    TAI_CHINH,
    Founded,
    HubProcess,
    Speaker,
    answering,
    check_hub_is_whole,
    collection,
    described,
    digest_of,
    findings_of,
    raw_stub,
    recall,
    recalling,
    refusal_of,
    refusal_of_stream,
    report,
    serving,
    signed,
    status,
    submission,
)
from tests.support.patience import PATIENCE_S
from tests.support.uploads import uploaded

BASIS = "Luật Bảo vệ dữ liệu cá nhân, Điều 14"


@dataclass
class Sent:
    """A document full of words that occur nowhere else, and what was answered about it."""

    name: str
    request: Any = None
    answer: Any = None
    said: list[tuple[str, Any, Any]] = field(default_factory=list)

    @property
    def words(self) -> dict[str, str]:
        parts = ("number", "kind", "subject", "summary", "place", "reason", "recallreason")
        return {part: f"{self.name}{part}q" for part in parts}

    @property
    def content(self) -> bytes:
        return f"{self.name}contentq ".encode() * 5000

    @property
    def markers(self) -> list[bytes]:
        return [*(word.encode() for word in self.words.values()), f"{self.name}contentq".encode()]

    @property
    def envelope(self) -> wire.SignedStatement:
        return self.request.envelope

    @property
    def acceptance(self) -> wire.Acceptance:
        return self.answer.acceptance

    @property
    def exchange_id(self) -> UUID:
        return UUID(self.acceptance.exchange_id)

    @property
    def digest(self) -> str:
        return digest_of(self.envelope).hex()


def found_in(root: Path, markers: Iterable[bytes]) -> dict[str, list[str]]:
    """Which of these words stand in which files; the clients' own folders are theirs."""
    seen: dict[str, list[str]] = {}
    for path in root.rglob("*"):
        if path.is_file() and "clients" not in path.parts:
            data = path.read_bytes()
            for marker in markers:
                if marker in data:
                    seen.setdefault(marker.decode(), []).append(path.name)
    return seen


async def send(speaker: Speaker, port: int, name: str) -> Sent:
    sent = Sent(name)
    words = sent.words
    document = {
        "number": words["number"],
        "notation": "UBND-VP",
        "type": {"name": words["kind"]},
        "secrecy": "none",
        "subject": words["subject"],
        "summary": words["summary"],
        "place": words["place"],
        "issued_on": "2026-11-22",
        "due_on": "2026-11-23",
        "priority": "normal",
        "language": "vi",
        "attachments": [described(0, sent.content)],
    }
    sent.request = submission(speaker, [NOI_VU, TAI_CHINH], [sent.content], document=document)
    async with raw_stub(speaker.transport, port) as stub:
        sent.answer = await stub.SubmitDocument(sent.request)
    return sent


async def live(hub: Any, founded: Founded, sent: Sent) -> None:
    """What happens to a document: collected, refused with words, recalled with words, answered."""
    recipient, sender = founded.speakers[NOI_VU], founded.speakers[QUAN_1]
    digest = digest_of(sent.envelope)
    refusal = {**status(recipient, digest, "02"), "reason": sent.words["reason"]}
    refused = calls.ReportStatusRequest(
        status=signed(recipient, refusal, "application/vnd.lienthong.status.v1+json")
    )
    asked = {**recall(sender, digest), "reason": sent.words["recallreason"]}
    recalled = calls.RequestRecallRequest(
        recall=signed(sender, asked, "application/vnd.lienthong.recall.v1+json")
    )
    steps = [
        (recipient, "CollectDocument", collection(recipient, digest)),
        (recipient, "ReportStatus", refused),
        (sender, "RequestRecall", recalled),
        (recipient, "AnswerRecall", answering(recipient, digest, "16")),
    ]
    for speaker, method, request in steps:
        async with raw_stub(speaker.transport, hub.port) as stub:
            sent.said.append((method, request, await getattr(stub, method)(request)))


@asynccontextmanager
async def operator(founded: Founded, port: int, name: str) -> AsyncIterator[RegistryClient]:
    async with RegistryClient.open(founded.operator_profile(port, name)) as registry:
        yield registry


async def erase(founded: Founded, port: int, sent: Sent) -> Approved:
    async with operator(founded, port, "operator") as first:
        ordered = await first.orders.order_erasure(
            "operator", sent.digest, reason="data-subject-request", basis=BASIS, note="theo đơn"
        )
    async with operator(founded, port, "operator-2") as second:
        return await second.orders.approve("operator-2", ordered.digest)


# --- What is left ------------------------------------------------------------------------


async def test_no_word_of_an_erased_document_is_in_any_file(founded):
    """Also beside others that stay, whose rows share their pages."""
    root = founded.folder.root
    sender = founded.speakers[QUAN_1]
    async with HubProcess(founded) as hub:
        documents = [await send(sender, hub.port, f"tailieu{n:03}x") for n in range(60)]
        gone, stay = documents[::3], [doc for n, doc in enumerate(documents) if n % 3]
        for sent in documents[:6]:
            await live(hub, founded, sent)
        # Unused uploads of the same content: the sender's goes too, another agency's does not.
        async with raw_stub(sender.transport, hub.port) as stub:
            unused = await uploaded(stub, gone[0].content, "again")
        async with raw_stub(founded.speakers[TAI_CHINH].transport, hub.port) as stub:
            theirs = await uploaded(stub, gone[0].content, "again")
        before = found_in(root, gone[0].markers)
        assert set(before) == {gone[0].words[part] for part in ("number", "kind", "subject")}
        assert {name for names in before.values() for name in names} <= {"hub.db", "hub.db-wal"}

        for sent in gone:
            await erase(founded, hub.port, sent)

        assert found_in(root, [marker for sent in gone for marker in sent.markers]) == {}
        assert (root / "hub.db-wal").stat().st_size < 200_000
        kept = found_in(root, [sent.words["subject"].encode() for sent in stay])
        assert len(kept) == len(stay)
        folders = {path.name for path in (root / "content" / "uploads").iterdir()}
        assert (unused in folders, theirs in folders) == (False, True)

        hub.kill()
        assert found_in(root, [marker for sent in gone for marker in sent.markers]) == {}
        await hub.start()
        logs = b"".join(path.read_bytes() for path in root.parent.glob("port-*.log"))
        assert not [word for sent in documents for word in sent.markers if word in logs]
    check_hub_is_whole(root)


async def test_after_an_erasure_receipts_stay_and_words_are_refused(hub, founded):
    sender, recipient = founded.speakers[QUAN_1], founded.speakers[NOI_VU]
    sent = await send(sender, hub.port, "motx")
    await live(hub, founded, sent)
    first = sent.acceptance.receipt.position
    receipts = {}
    async with raw_stub(sender.transport, hub.port, LedgerServiceStub) as ledger:
        for position in range(first, first + 5):
            request = ledger_calls.GetReceiptRequest(position=position)
            receipts[position] = await ledger.GetReceipt(request)

    done = await erase(founded, hub.port, sent)

    async with raw_stub(sender.transport, hub.port, LedgerServiceStub) as ledger:
        for position, answer in receipts.items():
            request = ledger_calls.GetReceiptRequest(position=position)
            assert await ledger.GetReceipt(request) == answer
        # Both sides may hold the receipt of the erasure.
        position = done.executed.fact.position
        erased = await ledger.GetReceipt(ledger_calls.GetReceiptRequest(position=position))
        assert parse_leaf(erased.receipt.leaf).topic == "hub.Exchange.PayloadErased"
    async with (
        raw_stub(sender.transport, hub.port) as mine,
        raw_stub(recipient.transport, hub.port) as theirs,
    ):
        assert await mine.SubmitDocument(sent.request) == sent.answer
        for method, request, answer in sent.said[1:]:
            stub = mine if method == "RequestRecall" else theirs
            assert await getattr(stub, method)(request) == answer
        digest = digest_of(sent.envelope)
        collected = sent.said[0][1]
        exchange_id = sent.acceptance.exchange_id
        submitted = sent.acceptance.receipt.position
        for refused in (
            await refusal_of(theirs.CollectDocument(collected)),
            await refusal_of(theirs.CollectDocument(collection(recipient, digest))),
            await refusal_of(theirs.ReportStatus(report(recipient, digest, "06"))),
            await refusal_of(mine.RequestRecall(recalling(sender, digest))),
            await refusal_of(mine.GetStatement(calls.GetStatementRequest(position=submitted))),
            await refusal_of_stream(
                theirs.DownloadAttachment(calls.DownloadAttachmentRequest(exchange_id=exchange_id))
            ),
        ):
            assert (refused.status, refused.reason) == ("FAILED_PRECONDITION", "PAYLOAD_ERASED")
            assert refused.metadata["exchange"] == exchange_id
        inbox = (await theirs.ListInbox(calls.ListInboxRequest())).items
        assert [item.kind for item in inbox][-1] == wire.INBOX_ITEM_KIND_ERASED
        assert all((item.erased, item.subject, item.code) == (True, "", "") for item in inbox)
        outbox = (await mine.ListOutbox(calls.ListOutboxRequest())).items
        assert (outbox[-1].kind, outbox[-1].recipient) == (wire.OUTBOX_ITEM_KIND_ERASED, "")
        view = await mine.GetExchange(calls.GetExchangeRequest(exchange_id=exchange_id))
        assert view.exchange.erased
        listed = await mine.ListSent(calls.ListSentRequest())
        assert [(each.document.erased, list(each.late)) for each in listed.documents] == [
            (True, [])
        ]


async def test_one_operator_alone_erases_nothing(hub, founded):
    sent = await send(founded.speakers[QUAN_1], hub.port, "haix")
    async with operator(founded, hub.port, "operator") as first:
        assert await first.name() == "operator"
        ordered = await first.orders.order_erasure(
            "operator", sent.digest, reason="data-subject-request", basis=BASIS
        )
        before = hub.trace()
        with pytest.raises(SecondOperatorNeeded):
            await first.orders.approve("operator", ordered.digest)
        assert hub.trace() == before
        (listed,) = [each async for each in first.orders.orders(open_only=True)]
        assert listed.digest == ordered.digest
    async with operator(founded, hub.port, "operator-2") as second:
        await second.orders.approve("operator-2", ordered.digest)
        with pytest.raises(OrderExecuted):
            await second.orders.approve("operator-2", ordered.digest)
        assert [each async for each in second.orders.orders(open_only=True)] == []
        with pytest.raises(PayloadErased):
            await second.orders.order_erasure(
                "operator-2", sent.digest, reason="data-subject-request", basis=BASIS
            )


async def test_a_revoked_operator_is_let_in_no_more(hub, founded):
    async with operator(founded, hub.port, "operator") as first:
        assert [each.name for each in await first.orders.operators()] == ["operator", "operator-2"]
        since = datetime.now(UTC) - timedelta(hours=1)
        put_out = await first.orders.revoke_operator("operator-2", "left-office", effective=since)
        told = datetime.fromisoformat(put_out.fact.event.data["effective"])
        assert abs(told - since) < timedelta(milliseconds=1)
    async with operator(founded, hub.port, "operator-2") as second:
        with pytest.raises(PrincipalUnknown):
            await second.orders.operators()


# --- Backups -----------------------------------------------------------------------------


def copied(folder: DataFolder, to: Path) -> None:
    """What the guide says a backup is, of a stopped hub."""
    to.mkdir()
    shutil.copytree(folder.content, to / "content")
    for database in (folder.document_keys, folder.database):
        for path in database.parent.glob(f"{database.name}*"):
            shutil.copy2(path, to / path.name)


def restored(folder: DataFolder, backup: Path, *, database: bool) -> None:
    shutil.rmtree(folder.content)
    shutil.copytree(backup / "content", folder.content)
    for path in [folder.document_keys, *([folder.database] if database else [])]:
        for old in path.parent.glob(f"{path.name}*"):
            old.unlink()
        for old in backup.glob(f"{path.name}*"):
            shutil.copy2(old, path.parent / old.name)


async def test_what_yesterdays_backup_brings_back_is_erased_before_the_hub_serves(
    founded, tmp_path
):
    folder = founded.folder
    async with serving(founded) as hub:
        sent = await send(founded.speakers[QUAN_1], hub.port, "baxq")
        other = await send(founded.speakers[QUAN_1], hub.port, "bonq")
        await live(hub, founded, sent)
        async with raw_stub(founded.speakers[QUAN_1].transport, hub.port) as stub:
            unused = await uploaded(stub, sent.content, "again")
    copied(folder, tmp_path / "yesterday")
    async with serving(founded) as hub:
        await erase(founded, hub.port, sent)

    restored(folder, tmp_path / "yesterday", database=False)
    exchange_id = sent.acceptance.exchange_id
    assert list(folder.content.rglob(exchange_id)) != []
    assert [str(finding.what) for finding in findings_of(folder.root)] != []

    async with serving(founded, check=False) as hub:
        # The first thing anybody could ask finds nothing: it was erased before the server listened.
        assert list(folder.content.rglob(exchange_id)) == []
        assert list(folder.content.rglob(unused)) == []
        assert not hub.core.vault.has_key(sent.exchange_id)
        async with raw_stub(founded.speakers[NOI_VU].transport, hub.port) as stub:
            digest = digest_of(other.envelope)
            await stub.CollectDocument(collection(founded.speakers[NOI_VU], digest))
    assert found_in(folder.root, sent.markers) == {}
    # The keys of the operators' own words are younger than the backup; nothing else is missed.
    lost = [finding.what for finding in findings_of(folder.root)]
    assert len(lost) == 2
    assert all("payload" in what for what in lost)


async def test_an_older_database_does_not_start_and_so_serves_nothing_erased(founded, tmp_path):
    folder = founded.folder
    async with serving(founded) as hub:
        sent = await send(founded.speakers[QUAN_1], hub.port, "namq")
    copied(folder, tmp_path / "yesterday")
    async with serving(founded) as hub:
        await erase(founded, hub.port, sent)

    restored(folder, tmp_path / "yesterday", database=True)

    with pytest.raises(LedgerMismatch, match="the signer has signed"):
        async with serving(founded, check=False):
            pass


async def test_a_single_folder_put_back_by_hand_is_found_and_swept(founded, tmp_path):
    folder = founded.folder
    async with serving(founded) as hub:
        sent = await send(founded.speakers[QUAN_1], hub.port, "sauq")
        exchange_id = sent.acceptance.exchange_id
        (content,) = folder.content.rglob(exchange_id)
        shutil.copytree(content, tmp_path / "kept")
        await erase(founded, hub.port, sent)
    shutil.copytree(tmp_path / "kept", content)

    (finding,) = findings_of(folder.root)
    assert "its content is still there" in finding.what
    async with serving(founded):
        # The sweep runs beside the server; nothing tells when it is done but that it is done.
        async with asyncio.timeout(PATIENCE_S):
            while content.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
