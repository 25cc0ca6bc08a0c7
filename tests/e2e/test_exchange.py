"""A document's whole way over the wire, and the promises that hold at every step of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import threading
from datetime import date
from pathlib import Path

import grpc.aio
import pytest

from hub.client import AttachmentDraft, DocumentDraft, HubClient
from hub.client.answers import DeliveryState
from hub.proof.checkpoint import parse_checkpoint_body
from hub.proof.evidence import ReceiptFile, parse_receipt_file
from hub.proof.merkle import verify_consistency
from hub.proof.note import parse_note
from hub.proof.receipt import Receipt, parse_tlog_proof, verify_receipt
from hub.v1 import exchange_service_pb2 as calls
from hub.v1 import ledger_service_pb2 as ledger_calls
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from keys.checkpoint_signer import CheckpointSigner
from tests.e2e.test_bad_input import require_told
from tests.support.hubs import (
    NOI_VU,
    QUAN_1,
    ROOT,
    SAMPLES,
    TAI_CHINH,
    Y_TE,
    collection,
    digest_of,
    envelope,
    on_both_databases,
    raw_channel,
    raw_method,
    raw_stub,
    refusal_in,
    refusal_of,
    report,
    request_id_of,
    serving,
    signed,
    submission,
)
from tests.support.patience import PATIENCE_S

pytestmark = on_both_databases
SUBMIT = "/hub.v1.ExchangeService/SubmitDocument"
GET_SUBMISSION = "/hub.v1.ExchangeService/GetSubmission"

FILES = [
    AttachmentDraft.from_bytes("công văn.pdf", b"%PDF-1.7 " + bytes(range(256)) * 4000),
    AttachmentDraft.from_bytes("phụ lục.txt", b""),
    AttachmentDraft.from_bytes("bảng.csv", b"a;b\n" * 300_000),
]
LETTER = DocumentDraft(
    number="125",
    notation="UBND-VP",
    type_name="Công văn",
    subject="V/v triển khai liên thông văn bản điện tử",
    issued_on=date(2026, 11, 22),
)


# --- The story --------------------------------------------------------------------------


@pytest.mark.parametrize("code", [sample.code for sample in SAMPLES])
async def test_a_document_goes_its_whole_way(hub, tmp_path, code):
    sender = hub.speaker(code)
    first, second = [hub.speaker(sample.code) for sample in SAMPLES if sample.code != code][:2]
    receipts = []

    # The sender sends one document to two agencies.
    async with HubClient.open(sender.profile(hub.port)) as client:
        accepted = await client.submit(LETTER, FILES, [first.code, second.code])
        assert accepted.warnings == ()
        exchange = await client.exchange(accepted.exchange_id)
        assert states(exchange) == {first.code: "CONSIGNED", second.code: "CONSIGNED"}
        receipts.append(accepted.receipt_file)

    # The first finds it, signs for it, takes the content, and reports as it goes on.
    async with HubClient.open(first.profile(hub.port)) as client:
        (item,) = [item async for item in client.inbox()]
        assert (item.inbox_seq, item.sender, item.code) == (1, code, "125/UBND-VP")
        assert (item.subject, item.attachment_count) == (LETTER.subject, 3)
        document = await client.collect(item.envelope_digest)
        paths = await client.download(document, tmp_path / "received")
        assert [path.name for path in paths] == [file.name for file in FILES]
        assert [path.read_bytes() for path in paths] == [file.content for file in FILES]
        for status in ("01", "03", "06", "05"):
            reported = await client.report_status(item.envelope_digest, status)
            receipts.append(reported.receipt_file)
        receipts += [document.receipt_file, document.handover.receipt_file]

    # The second refuses it unseen.
    async with HubClient.open(second.profile(hub.port)) as client:
        (item,) = [item async for item in client.inbox()]
        reported = await client.report_status(item.envelope_digest, "02", "Gửi nhầm")
        receipts.append(reported.receipt_file)

    # The sender sees all of it, each recipient its own part; a stranger nothing.
    async with HubClient.open(sender.profile(hub.port)) as client:
        exchange = await client.exchange(accepted.exchange_id)
        assert states(exchange) == {first.code: "FINISHED", second.code: "REFUSED"}
    async with HubClient.open(second.profile(hub.port)) as client:
        assert states(await client.exchange(accepted.exchange_id)) == {second.code: "REFUSED"}
        assert [item.state async for item in client.inbox()] == [DeliveryState.REFUSED]

    assert len(receipts) == 8
    files = [parse_receipt_file(path.read_bytes()) for path in receipts]
    for file in files:
        verify_receipt(file.receipt, hub.founded.trust)
    proven = examine_without_a_hub(tmp_path, hub.founded.folder.trusted_root, receipts)
    # With an enrolment the chain of its certificate is left open, and said to be so.
    assert [(found["verdict"], found["findings"][-1]["verdict"]) for found in proven] == [
        ("not checked", "not checked") if file.enrolment else ("proven", "proven") for file in files
    ]


def states(exchange):
    return {delivery.recipient: delivery.state.name for delivery in exchange.deliveries}


def examine_without_a_hub(tmp_path: Path, trusted_root: Path, receipts: list[Path]):
    """What `python -m hub.proof` says where there is nothing but itself and `cryptography`."""
    place = tmp_path / "elsewhere"
    (place / "hub").mkdir(parents=True)
    for name in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / "hub" / name, place / "hub" / name)
    leave_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "hub" / "proof", place / "hub" / "proof", ignore=leave_out)
    installed = Path(sysconfig.get_path("platlib"))
    for found in ("cryptography", "cffi", *(path.name for path in installed.glob("_cffi_b*"))):
        (place / found).symlink_to(installed / found)
    # -S leaves out site-packages, and with it the path to this repository.
    python = [sys.executable, "-S", "-s", "-B"]
    environment = {"PYTHONPATH": str(place)}
    for module in ("hub.server", "eventsourcing", "grpc"):
        tried = subprocess.run(
            [*python, "-c", f"import {module}"],
            cwd=place,
            env=environment,
            capture_output=True,
            check=False,
        )
        assert b"ModuleNotFoundError" in tried.stderr
    told = subprocess.run(
        [*python, "-m", "hub.proof", "--json", "--trust", trusted_root, *receipts],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(told.stdout)
    assert told.returncode == {"proven": 0, "refuted": 1, "not checked": 2}[said["verdict"]]
    return said["files"]


async def test_a_receipt_with_one_byte_changed_is_refuted_without_a_hub(hub, tmp_path):
    async with HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as client:
        accepted = await client.submit(LETTER, FILES[1:2], [TAI_CHINH])
    file = parse_receipt_file(accepted.receipt_file.read_bytes())
    leaf = file.receipt.leaf.replace(b'"sender":"H29.1.1"', b'"sender":"H29.1.2"')
    forged = tmp_path / "forged.json"
    forged.write_bytes(ReceiptFile(Receipt(leaf, file.receipt.proof), file.statement).format())

    (told,) = examine_without_a_hub(tmp_path, hub.founded.folder.trusted_root, [forged])

    assert told["verdict"] == "refuted"


# --- The same answer, for ever ----------------------------------------------------------


@pytest.mark.parametrize("contents", [(), (bytes(1000), b"")], ids=["bare", "with-attachments"])
async def test_fifty_times_the_same_bytes_at_once_are_one_document(hub, contents):
    sender = hub.speaker(Y_TE)
    message = submission(sender, [QUAN_1, TAI_CHINH], contents)
    before = hub.trace()

    async with raw_channel(sender.transport, hub.port) as channel:
        submit = raw_method(channel, SUBMIT)
        answers = await asyncio.gather(*(submit(message) for _ in range(50)))
        again = await submit(message)

    assert {*answers, again} == {again}
    after = hub.trace()
    assert after.events == before.events + 1
    assert after.requests == before.requests + 1
    assert after.inbox_items == before.inbox_items + 2
    parts = [name for name in after.files if not name.endswith("/key")]
    assert len(parts) == len(before.files) + len(contents)


async def test_a_retry_that_was_signed_anew_gets_the_first_answer(hub):
    sender = hub.speaker(QUAN_1)
    payload = envelope(sender, [TAI_CHINH])
    statements = [signed(sender, payload) for _ in range(5)]
    assert len({statement.signature for statement in statements}) == 5  # ECDSA is random.
    before = hub.trace()

    async with raw_channel(sender.transport, hub.port) as channel:
        submit = raw_method(channel, SUBMIT)
        answers = [
            await submit(calls.SubmitDocumentRequest(envelope=statement))
            for statement in statements
        ]

    assert len(set(answers)) == 1
    assert hub.trace().events == before.events + 1


async def test_an_accepted_request_is_answered_even_when_the_retry_would_be_refused(hub):
    """Step 5 of the checks comes before the key, the signature and the content."""
    sender = hub.speaker(QUAN_1)
    payload = envelope(sender, [TAI_CHINH], [b"content"])
    good = calls.SubmitDocumentRequest(envelope=signed(sender, payload), contents=[b"content"])
    unsigned = signed(sender, payload, signature=b"")
    other_key = signed(sender, payload, key_id="ab" * 32)

    async with raw_channel(sender.transport, hub.port) as channel:
        submit = raw_method(channel, SUBMIT)
        first = await submit(good)
        before = hub.trace()
        for statement in (unsigned, other_key, good.envelope):
            assert await submit(calls.SubmitDocumentRequest(envelope=statement)) == first

    assert hub.trace() == before


async def test_every_answer_is_the_same_after_a_restart(clock, founded):
    sender, recipient = founded.speakers[NOI_VU], founded.speakers[TAI_CHINH]
    message = submission(sender, [TAI_CHINH], [b"content"])
    digest = digest_of(message.envelope)
    collected, reported = collection(recipient, digest), report(recipient, digest, "03")

    async def ask_all(hub):
        async with raw_channel(sender.transport, hub.port) as channel:
            wanted = calls.GetSubmissionRequest(request_id=request_id_of(message.envelope))
            answers = [await raw_method(channel, SUBMIT)(message)]
            answers.append(await raw_method(channel, GET_SUBMISSION)(wanted))
        async with raw_channel(recipient.transport, hub.port) as channel:
            for name, request in (("CollectDocument", collected), ("ReportStatus", reported)):
                answers.append(
                    await raw_method(channel, f"/hub.v1.ExchangeService/{name}")(request)
                )
        return answers

    async with serving(founded) as hub:
        first = await ask_all(hub)
        before = hub.trace()
        # Other events come in between, so the tree has grown.
        async with raw_stub(sender.transport, hub.port) as stub:
            await stub.SubmitDocument(submission(sender, [QUAN_1]))
        assert await ask_all(hub) == first
    async with serving(founded) as hub:
        assert await ask_all(hub) == first
        assert hub.trace().events == before.events + 1

    # SubmitDocumentResponse and GetSubmissionResponse have one form.
    assert first[0] == first[1]


# --- Watching ---------------------------------------------------------------------------


async def test_a_watch_that_is_cut_all_the_time_misses_and_doubles_nothing(hub):
    documents = 80
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    chance = random.Random(seed)
    recipient, watched = hub.speaker(TAI_CHINH), []

    async def send(code):
        sender = hub.speaker(code)
        async with raw_stub(sender.transport, hub.port) as stub:
            for _ in range(documents // 2):
                await stub.SubmitDocument(submission(sender, [TAI_CHINH, Y_TE]))

    async def watch():
        while len(watched) < documents:
            # Each time another connection, cut after another number of items.
            async with raw_stub(recipient.transport, hub.port) as stub:
                after = watched[-1].inbox_seq if watched else 0
                stream = stub.WatchInbox(calls.WatchInboxRequest(after=after), timeout=PATIENCE_S)
                for _ in range(chance.randint(0, 6)):
                    if len(watched) < documents:
                        watched.append((await stream.read()).item)
                stream.cancel()

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(watch(), send(QUAN_1), send(NOI_VU))

    assert [item.inbox_seq for item in watched] == list(range(1, documents + 1))
    assert len({item.exchange_id for item in watched}) == documents
    async with raw_stub(recipient.transport, hub.port) as stub:
        page = await stub.ListInbox(calls.ListInboxRequest(page_size=1000))
    assert [item.exchange_id for item in page.items] == [item.exchange_id for item in watched]


async def test_many_watchers_of_one_inbox_all_see_the_same(hub):
    recipient, sender = hub.speaker(TAI_CHINH), hub.speaker(QUAN_1)
    async with raw_stub(recipient.transport, hub.port) as watching:
        async with raw_stub(sender.transport, hub.port) as stub:
            await stub.SubmitDocument(submission(sender, [TAI_CHINH]))
            streams = [
                watching.WatchInbox(calls.WatchInboxRequest(after=after), timeout=PATIENCE_S)
                for after in (0, 0, 1, 1)
            ]
            await asyncio.gather(
                *(stub.SubmitDocument(submission(sender, [TAI_CHINH])) for _ in range(9))
            )
        seen = [
            [(await stream.read()).item.inbox_seq for _ in range(10 - after)]
            for stream, after in zip(streams, (0, 0, 1, 1), strict=True)
        ]
        for stream in streams:
            stream.cancel()

    assert seen == [list(range(after + 1, 11)) for after in (0, 0, 1, 1)]


async def test_an_inbox_is_read_in_pages_without_gap_or_double(hub):
    sender, recipient = hub.speaker(QUAN_1), hub.speaker(TAI_CHINH)
    async with raw_stub(sender.transport, hub.port) as stub:
        await asyncio.gather(
            *(stub.SubmitDocument(submission(sender, [TAI_CHINH])) for _ in range(23))
        )

    async with raw_stub(recipient.transport, hub.port) as stub:
        numbers, more = [], True
        while more:
            after = numbers[-1] if numbers else 0
            page = await stub.ListInbox(calls.ListInboxRequest(after=after, page_size=5))
            numbers += [item.inbox_seq for item in page.items]
            more = page.more

    assert numbers == list(range(1, 24))


# --- Before the checkpoint --------------------------------------------------------------


async def test_a_fact_is_visible_to_nobody_before_its_checkpoint(hub, monkeypatch):
    sender, recipient = hub.speaker(QUAN_1), hub.speaker(TAI_CHINH)
    message = submission(sender, [TAI_CHINH], [b"content"])
    digest = digest_of(message.envelope)
    may_sign, sign = threading.Event(), CheckpointSigner.sign

    def slow(self, *what):
        assert may_sign.wait(PATIENCE_S)
        return sign(self, *what)

    monkeypatch.setattr(CheckpointSigner, "sign", slow)
    before = hub.trace()
    async with (
        raw_stub(sender.transport, hub.port) as sending,
        raw_stub(recipient.transport, hub.port) as receiving,
        raw_stub(sender.transport, hub.port, LedgerServiceStub) as ledger,
    ):
        try:
            submitting = asyncio.ensure_future(sending.SubmitDocument(message))
            async with asyncio.timeout(PATIENCE_S):
                while hub.trace().events == before.events:  # noqa: ASYNC110 - it is in a file.
                    await asyncio.sleep(0.01)

            # It stands in the database, and nobody can know.
            exchange_id = hub.core.log.entries(before.events, 1)[0].aggregate_id
            assert not (await receiving.ListInbox(calls.ListInboxRequest())).items
            watching = receiving.WatchInbox(calls.WatchInboxRequest(), timeout=0.3)
            with pytest.raises(grpc.aio.AioRpcError):
                await watching.read()
            for stub in (sending, receiving):
                ask = calls.GetExchangeRequest(exchange_id=str(exchange_id))
                require_told(await refusal_of(stub.GetExchange(ask)), "EXCHANGE_UNKNOWN")
            for request in (collection(recipient, digest), report(recipient, digest)):
                collecting = isinstance(request, calls.CollectDocumentRequest)
                method = receiving.CollectDocument if collecting else receiving.ReportStatus
                require_told(await refusal_of(method(request)), "EXCHANGE_UNKNOWN")
            asked = calls.GetSubmissionRequest(request_id=request_id_of(message.envelope))
            require_told(await refusal_of(sending.GetSubmission(asked)), "RECEIPT_DELAYED")
            checkpoint = await ledger.GetCheckpoint(ledger_calls.GetCheckpointRequest())
            assert size_of(checkpoint.checkpoint) == before.events
            assert not submitting.done()
        finally:
            may_sign.set()

        answer = await submitting
        (item,) = (await receiving.ListInbox(calls.ListInboxRequest())).items

    assert item.exchange_id == answer.acceptance.exchange_id == str(exchange_id)


async def test_when_signing_fails_the_fact_stands_and_the_retry_gets_its_receipt(hub, monkeypatch):
    sender = hub.speaker(QUAN_1)
    message = submission(sender, [TAI_CHINH], [b"content"])
    before = hub.trace()

    async with raw_stub(sender.transport, hub.port) as stub:
        with monkeypatch.context() as broken:

            def fail(self, *what):
                raise OSError("the signer is away")

            broken.setattr(CheckpointSigner, "sign", fail)
            refusal = await refusal_of(stub.SubmitDocument(message))
            assert (refusal.status, refusal.reason) == ("UNAVAILABLE", "RECEIPT_DELAYED")
            again = await refusal_of(stub.SubmitDocument(message))
            assert again.status == "UNAVAILABLE"
        answer = await stub.SubmitDocument(message)

    assert answer.acceptance.receipt.position == before.events
    assert hub.trace().events == before.events + 1


# --- The ledger -------------------------------------------------------------------------


def size_of(note: bytes) -> int:
    return parse_checkpoint_body(parse_note(note).text).size


async def test_any_two_checkpoints_seen_lie_on_one_tree(hub):
    sender = hub.speaker(TAI_CHINH)
    seen = {}
    async with (
        raw_stub(sender.transport, hub.port) as stub,
        raw_stub(sender.transport, hub.port, LedgerServiceStub) as ledger,
    ):
        for count in (1, 3, 1, 20, 1, 7, 250, 1):
            batch = [submission(sender, [QUAN_1]) for _ in range(count)]
            answers = await asyncio.gather(*(stub.SubmitDocument(message) for message in batch))
            newest = await ledger.GetCheckpoint(ledger_calls.GetCheckpointRequest())
            notes = [parse_tlog_proof(answer.acceptance.receipt.proof) for answer in answers]
            for note in (newest.checkpoint, *(proof.checkpoint for proof in notes)):
                checkpoint = hub.founded.trust.open_checkpoint(note).checkpoint
                assert seen.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root

        for old, new in itertools.combinations_with_replacement(sorted(seen), 2):
            request = ledger_calls.GetConsistencyProofRequest(old_size=old, new_size=new)
            proof = (await ledger.GetConsistencyProof(request)).hashes
            verify_consistency(
                old_size=old, old_root=seen[old], new_size=new, new_root=seen[new], proof=proof
            )
    assert len(seen) >= 8


async def test_receipts_are_for_those_they_concern(hub):
    sender = hub.speaker(QUAN_1)
    message = submission(sender, [TAI_CHINH, Y_TE])
    digest = digest_of(message.envelope)
    async with raw_stub(sender.transport, hub.port) as stub:
        submitted = (await stub.SubmitDocument(message)).acceptance.receipt
    recipient = hub.speaker(TAI_CHINH)
    async with raw_stub(recipient.transport, hub.port) as stub:
        answer = await stub.CollectDocument(collection(recipient, digest))
        collected = answer.acceptance.receipt
        reported = (await stub.ReportStatus(report(recipient, digest))).acceptance.receipt

    held = {code: await receipts_of(hub, hub.speaker(code).transport) for code in CODES}
    held["operator"] = await receipts_of(hub, hub.founded.operator)

    # The document is its sender's and its recipients'; what one of these says, its own and
    # the sender's.
    assert holders(held, submitted) == {QUAN_1, TAI_CHINH, Y_TE}
    assert holders(held, collected) == holders(held, reported) == {QUAN_1, TAI_CHINH}
    assert all(held[QUAN_1][receipt.position] == receipt for receipt in (submitted, collected))
    # The register is the operator's, and each agency's as far as it is about that agency.
    enrolled = answer.document.sender_enrolment.receipt
    assert holders(held, enrolled) == {QUAN_1, "operator"}
    for code in CODES:
        facts = [json.loads(receipt.leaf)["data"] for receipt in held[code].values()]
        own = [fact for fact in facts if code in (fact.get("agency"), fact.get("code"))]
        assert len([fact for fact in own if "exchange" not in fact]) == 3
        # The three about the log and its keys are everybody's.
        others = [fact for fact in facts if fact not in own]
        assert len(others) == {QUAN_1: 6, TAI_CHINH: 4, Y_TE: 4, NOI_VU: 3}[code]
    # And whoever holds one can prove it.
    for receipts in held.values():
        for receipt in receipts.values():
            verify_receipt(Receipt(receipt.leaf, receipt.proof), hub.founded.trust)


CODES = (QUAN_1, TAI_CHINH, Y_TE, NOI_VU)


async def receipts_of(hub, identity):
    """Every receipt of the whole log that a caller is given, by position."""
    found = {}
    async with raw_stub(identity, hub.port, LedgerServiceStub) as ledger:
        beyond = await refusal_of(ledger.GetReceipt(ledger_calls.GetReceiptRequest(position=999)))
        for position in range(hub.trace().events):
            try:
                request = ledger_calls.GetReceiptRequest(position=position)
                found[position] = (await ledger.GetReceipt(request)).receipt
            except grpc.aio.AioRpcError as error:
                # A position one may not see is answered like one that does not exist.
                refused = refusal_in(error)
                assert (refused.reason, refused.message) == ("POSITION_UNKNOWN", beyond.message)
    return found


def holders(held, receipt):
    return {who for who, receipts in held.items() if receipt.position in receipts}
