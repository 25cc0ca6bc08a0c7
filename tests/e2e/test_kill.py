"""`kill -9` of the hub under load: nothing acknowledged is lost, nothing is doubled.

Several agencies send, one of them through bare gRPC and one through the SDK each, while the
process is killed at random moments and started again. What was promised is looked up at the end.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import grpc.aio
import pytest

from adapters.storage.content import ContentStore
from hub.client import AttachmentDraft, HubClient
from hub.client.answers import Accepted
from hub.domain.values import uuid7
from hub.proof.merkle import verify_consistency
from hub.proof.receipt import Receipt, verify_receipt
from hub.v1 import exchange_service_pb2 as calls
from hub.v1 import ledger_service_pb2 as ledger_calls
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tests.e2e.test_exchange import LETTER
from tests.support.hubs import (
    NOI_VU,
    PATIENT,
    QUAN_1,
    TAI_CHINH,
    Y_TE,
    Founded,
    HubProcess,
    Speaker,
    check_hub_is_whole,
    digest_of,
    envelope,
    look_into,
    on_both_databases,
    raw_stub,
    request_id_of,
    signed,
    submission,
    trace,
)
from tests.support.patience import PATIENCE_S

AGENCIES = 4
DOCUMENTS_MAX = 2000
LOST = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)


@dataclass
class Promised:
    """What the hub acknowledged: of each request, every answer it ever gave."""

    answers: dict[str, set[tuple[str, bytes, bytes]]] = field(
        default_factory=lambda: defaultdict(set)
    )
    sender: dict[str, str] = field(default_factory=dict)
    recipients: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def note(
        self, request_id: str, sender: str, to: tuple[str, ...], exchange_id: str, receipt: Receipt
    ) -> None:
        self.answers[request_id].add((exchange_id, receipt.leaf, receipt.proof))
        self.sender[request_id] = sender
        self.recipients[exchange_id] = to


class Load:
    """Agencies that send until told to stop, and each finish what they have begun."""

    def __init__(self, process: HubProcess, chance: random.Random) -> None:
        self.process = process
        self.chance = chance
        self.promised = Promised()
        self.stopping = asyncio.Event()
        self._sent = 0

    def goes_on(self) -> bool:
        self._sent += 1
        return not self.stopping.is_set() and self._sent < DOCUMENTS_MAX

    def speaker(self, code: str) -> Speaker:
        return self.process.founded.speakers[code]

    async def through_the_sdk(self, code: str, to: tuple[str, ...]) -> None:
        profile = self.speaker(code).profile(self.process.port)
        async with HubClient.open(profile, policy=PATIENT) as client:
            while self.goes_on():
                content = os.urandom(self.chance.randint(0, 3000))
                file = AttachmentDraft.from_bytes("tệp.bin", content)
                self._note(await client.submit(LETTER, [file], to), code, to)

    def _note(self, accepted: Accepted, code: str, to: tuple[str, ...]) -> None:
        ids = accepted.request_id, code, to, accepted.exchange_id
        self.promised.note(*ids, accepted.receipt)

    async def through_bare_grpc(self, code: str, to: tuple[str, ...]) -> None:
        speaker = self.speaker(code)
        async with raw_stub(speaker.transport, self.process.port) as stub:
            while self.goes_on():
                contents = [os.urandom(self.chance.randint(0, 3000)) for _ in range(2)]
                payload = envelope(speaker, to, contents)
                # Now and then the same again, the same signed anew, or two at once.
                for _ in range(self.chance.choice((1, 1, 2))):
                    statement = signed(speaker, payload)
                    message = calls.SubmitDocumentRequest(envelope=statement, contents=contents)
                    at_once = self.chance.choice((1, 1, 2))
                    for answer in await asyncio.gather(
                        *(until_answered(stub.SubmitDocument, message) for _ in range(at_once))
                    ):
                        accepted = answer.acceptance
                        receipt = Receipt(accepted.receipt.leaf, accepted.receipt.proof)
                        request_id = request_id_of(statement)
                        self.promised.note(request_id, code, to, accepted.exchange_id, receipt)

    async def as_a_recipient(self, code: str) -> None:
        """Watch, collect and report; the SDK itself refuses a gap in the inbox."""
        profile = self.speaker(code).profile(self.process.port)
        async with HubClient.open(profile, policy=PATIENT) as client:
            async for item in client.watch_inbox():
                document = await client.collect(item.envelope_digest)
                await client.report_status(document.envelope_digest, "01")


async def until_answered(method: Callable[..., Awaitable], message: object):
    """The very same bytes until there is an answer, for a bounded time."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await method(message, timeout=30)
            except grpc.aio.AioRpcError as error:
                # What the contract says about an answer without a reason. A call that comes
                # just as the server stops is ended by gRPC itself, with CANCELLED.
                if error.code() not in LOST:
                    raise
                await asyncio.sleep(0.05)


async def load_and(
    founded: Founded, interrupt: Callable[[HubProcess, random.Random], Awaitable[None]], rounds: int
) -> None:
    """Load the hub while it is interrupted so often, then look up all that was promised."""
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    chance = random.Random(seed)
    async with HubProcess(founded) as process:
        load = Load(process, chance)
        recipient = asyncio.ensure_future(load.as_a_recipient(NOI_VU))
        senders = [
            asyncio.ensure_future(sender)
            for sender in (
                load.through_the_sdk(QUAN_1, (TAI_CHINH, NOI_VU)),
                load.through_the_sdk(TAI_CHINH, (QUAN_1,)),
                load.through_bare_grpc(Y_TE, (QUAN_1, TAI_CHINH)),
                load.through_bare_grpc(Y_TE, (NOI_VU,)),
            )
        ]
        try:
            for _ in range(rounds):
                # However slow the machine, each round interrupts a hub that is at work.
                await more_promised(load.promised, 3)
                await asyncio.sleep(chance.uniform(0.0, 0.5))
                await interrupt(process, chance)
                for task in (*senders, recipient):
                    assert not task.done() or task.result() is None
            await more_promised(load.promised, 3 * AGENCIES)
            load.stopping.set()
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*senders)
            # Once more, with what a crash between content and commit leaves behind.
            process.kill()
            leave_orphans(founded)
            await process.start()
            assert not recipient.done() or recipient.result()  # It never ends by itself.
            async with asyncio.timeout(PATIENCE_S):
                await look_up(founded, process, load.promised)
                await until_swept(founded)
        finally:
            # Whatever they ended with, it must not hide what went wrong first.
            for task in (*senders, recipient):
                task.cancel()
            await asyncio.gather(*senders, recipient, return_exceptions=True)
        assert await process.terminate() == 0
    check_hub_is_whole(founded.folder.root)


async def more_promised(promised: Promised, count: int) -> None:
    enough = len(promised.answers) + count
    for _ in range(50 * int(PATIENCE_S)):
        if len(promised.answers) >= enough:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the hub no longer answers")


async def killed(process: HubProcess, chance: random.Random) -> None:
    process.kill()
    if chance.random() < 0.3:
        # And again while it starts, wherever it is then.
        process.spawn()
        await asyncio.sleep(chance.uniform(0.0, 2.0))
        process.kill()
    await process.start()


async def terminated(process: HubProcess, chance: random.Random) -> None:
    assert await process.terminate() == 0
    await process.start()


# --- Looking it up ----------------------------------------------------------------------


async def look_up(founded: Founded, process: HubProcess, promised: Promised) -> None:
    """Everything acknowledged is there exactly once, and provably on one tree."""
    print("documents", len(promised.answers))
    assert len(promised.answers) > 3 * AGENCIES
    for request_id, answers in promised.answers.items():
        # Every answer to a request, whenever it came, was the same to the byte.
        ((exchange_id, leaf, proof),) = answers
        sender = founded.speakers[promised.sender[request_id]]
        verify_receipt(Receipt(leaf, proof), founded.trust)
        async with raw_stub(sender.transport, process.port) as stub:
            request = calls.GetSubmissionRequest(request_id=request_id)
            accepted = (await stub.GetSubmission(request)).acceptance
        assert (accepted.exchange_id, accepted.receipt.leaf) == (exchange_id, leaf)
        assert accepted.receipt.proof == proof
    await require_one_tree(founded, process, promised)
    for code in (QUAN_1, TAI_CHINH, NOI_VU):
        expected = {exchange for exchange, to in promised.recipients.items() if code in to}
        items = await inbox_of(founded.speakers[code], process)
        assert [item.inbox_seq for item in items] == list(range(1, len(items) + 1))
        # The senders saw everything through, so there is nothing beside what was promised.
        assert Counter(item.exchange_id for item in items) == Counter(expected)


async def require_one_tree(founded: Founded, process: HubProcess, promised: Promised) -> None:
    trees = {}
    for ((_, leaf, proof),) in promised.answers.values():
        checkpoint = verify_receipt(Receipt(leaf, proof), founded.trust).checkpoint
        assert trees.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root
    who = founded.speakers[QUAN_1].transport
    async with raw_stub(who, process.port, LedgerServiceStub) as ledger:
        note = (await ledger.GetCheckpoint(ledger_calls.GetCheckpointRequest())).checkpoint
        newest = founded.trust.open_checkpoint(note).checkpoint
        for size, root in trees.items():
            request = ledger_calls.GetConsistencyProofRequest(old_size=size, new_size=newest.size)
            verify_consistency(
                old_size=size,
                old_root=root,
                new_size=newest.size,
                new_root=newest.root,
                proof=(await ledger.GetConsistencyProof(request)).hashes,
            )


async def inbox_of(speaker: Speaker, process: HubProcess) -> list:
    items: list = []
    async with raw_stub(speaker.transport, process.port) as stub:
        while True:
            after = items[-1].inbox_seq if items else 0
            page = await stub.ListInbox(calls.ListInboxRequest(after=after, page_size=1000))
            items += page.items
            if not page.more:
                return items


def leave_orphans(founded: Founded) -> None:
    """Content without an event: one attachment whole, one only begun."""
    content = founded.folder.content
    for _ in range(3):
        orphan = uuid7(datetime.now(UTC), os.urandom(10))
        ContentStore(content, os.urandom).put(orphan, 0, b"orphan", os.urandom(32))
        begun = content / orphan.hex[-2:] / str(orphan) / ".1-begun"
        begun.mkdir()
        (begun / "00000000").write_bytes(b"half a part")


async def until_swept(founded: Founded) -> None:
    """All content left is that of recorded documents."""
    store = ContentStore(founded.folder.content, os.urandom)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            kept = {str(exchange_id) for exchange_id in store.exchanges()}
            if kept == documents_of(founded):
                return
            await asyncio.sleep(0.05)


def documents_of(founded: Founded) -> set[str]:
    ask = "SELECT aggregate_id FROM events WHERE topic = 'hub.Exchange.DocumentSubmitted'"
    with look_into(founded.folder.root) as database:
        return {str(UUID(bytes=value)) for (value,) in database.exec_driver_sql(ask)}


# --- The tests --------------------------------------------------------------------------


@pytest.mark.early
@on_both_databases
async def test_a_hub_killed_five_times_under_load_keeps_every_promise(founded):
    await load_and(founded, killed, rounds=5)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_hub_killed_sixty_times_under_load_keeps_every_promise(founded):
    await load_and(founded, killed, rounds=60)


@pytest.mark.early
async def test_a_hub_told_to_stop_under_load_finishes_and_keeps_every_promise(founded):
    await load_and(founded, terminated, rounds=2)


async def test_a_hub_that_stood_still_gives_one_answer_to_all_who_asked_again(founded):
    sender = founded.speakers[QUAN_1]
    message = submission(sender, [TAI_CHINH], [b"content"])
    async with HubProcess(founded) as process:
        before = trace(founded.folder.root)
        async with raw_stub(sender.transport, process.port) as stub:
            await stub.SubmitDocument(submission(sender, [TAI_CHINH]))
            process.stand_still()
            try:
                for _ in range(3):
                    with pytest.raises(grpc.aio.AioRpcError) as gone:
                        await stub.SubmitDocument(message, timeout=0.3)
                    assert gone.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            finally:
                process.go_on()
            answer = await until_answered(stub.SubmitDocument, message)
            assert await stub.SubmitDocument(message) == answer
        assert await process.terminate() == 0

    assert trace(founded.folder.root).events == before.events + 2
    check_hub_is_whole(founded.folder.root)


async def test_two_processes_never_serve_one_folder(founded):
    sender = founded.speakers[QUAN_1]
    message = submission(sender, [TAI_CHINH], [b"content"])
    async with HubProcess(founded) as process:
        with pytest.raises(AssertionError, match="FolderBusy"):
            await HubProcess(founded).start()

        async with raw_stub(sender.transport, process.port) as stub:
            await stub.SubmitDocument(message)
        assert await process.terminate() == 0

    (head,) = trace(founded.folder.root).inbox_heads
    assert head == (TAI_CHINH, 1)
    assert digest_of(message.envelope)
    check_hub_is_whole(founded.folder.root)


@on_both_databases
async def test_a_hub_killed_right_after_its_answer_still_has_the_document(founded):
    sender = founded.speakers[TAI_CHINH]
    async with HubProcess(founded) as process:
        for _ in range(3):
            message = submission(sender, [QUAN_1], [b"content"])
            async with raw_stub(sender.transport, process.port) as stub:
                answer = await stub.SubmitDocument(message)
                process.kill()
            await process.start()
            async with raw_stub(sender.transport, process.port) as stub:
                assert await stub.SubmitDocument(message) == answer
        process.kill()

    check_hub_is_whole(founded.folder.root)
