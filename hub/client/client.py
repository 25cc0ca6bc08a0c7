"""What an agency's document system does with its hub: send, collect, report, list."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from pathlib import Path

import grpc

from hub.client.answers import (
    Accepted,
    CollectedDocument,
    Exchange,
    InboxItem,
    Repeated,
    receipt_of,
    statement_of,
    to_wire,
    warnings_of,
)
from hub.client.downloading import download
from hub.client.drafting import AttachmentDraft, DocumentDraft, Draft, Drafting, now
from hub.client.errors import (
    UNDECIDED,
    HubUnreachable,
    InboxGap,
    ProfileInvalid,
    UnexpectedAnswer,
    error_of,
)
from hub.client.journal import Answer, Entry, Journal, Refusal
from hub.client.line import Line
from hub.client.memory import CheckpointMemory
from hub.client.profile import ClientProfile
from hub.client.retry import RetryPolicy, is_repeatable
from hub.client.signing import Signer, sign_statement
from hub.client.state import StateDirectory, read_at_most, write_durably
from hub.client.verification import ReceiptVerifier, require_fact_of, require_sent_to
from hub.errors import HubError, RequestMalformed, VerificationFailed
from hub.proof.checkpoint import Checkpoint
from hub.proof.dsse import SignedStatement
from hub.proof.envelope import Action
from hub.proof.evidence import (
    RECEIPT_FILE_BYTES_MAX,
    Enrolment,
    ReceiptFile,
    parse_receipt_file,
)
from hub.proof.statements import Collect, Envelope, Status
from hub.proof.strict import JsonObject
from hub.v1 import exchange_pb2 as wire
from hub.v1 import exchange_service_pb2 as calls
from hub.v1.ledger_service_pb2 import GetCheckpointRequest, GetConsistencyProofRequest

PAGE_SIZE = 100

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_StatementAnswer = (
    calls.SubmitDocumentResponse | calls.CollectDocumentResponse | calls.ReportStatusResponse
)


class HubClient:
    """One agency's connection to its hub; open it with `HubClient.open`.

    Every call has a deadline and is repeated as `RetryPolicy` says. Besides what its own
    text names, any method may raise HubUnreachable, UnexpectedAnswer, the hub's refusal (a
    :class:`hub.errors.HubError`) and, for evidence that does not hold, VerificationFailed.

    After HubUnreachable, UnexpectedAnswer or VerificationFailed a signed statement is still
    in the journal, and `resume` sends the same bytes again. After a refusal it is not.
    """

    def __init__(
        self,
        *,
        agency: str,
        signer: Signer,
        drafting: Drafting,
        line: Line,
        journal: Journal,
        verifier: ReceiptVerifier,
        receipts: Path,
    ) -> None:
        self._agency = agency
        self._signer = signer
        self._drafting = drafting
        self._line = line
        self._journal = journal
        self._verifier = verifier
        self._receipts = receipts
        self._in_flight: set[str] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        profile: ClientProfile,
        *,
        signer: Signer | None = None,
        policy: RetryPolicy | None = None,
        clock: Callable[[], datetime] = now,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> AsyncIterator[HubClient]:
        """A client for the identity of this profile, until the `async with` block ends.

        `signer` takes the place of the profile's signing key, for a token or HSM. Nothing is
        sent yet, and nothing pending is repeated: call `resume` for that. Raises
        ProfileInvalid, StateInUse and StateDamaged.
        """
        if profile.agency is None:
            raise ProfileInvalid("the profile names no agency; operators use RegistryClient")
        signer = signer or profile.read_signer()
        trust = profile.read_trusted_root()
        with StateDirectory(profile.state, f"{profile.hub} {profile.agency}") as state:
            journal = await asyncio.to_thread(Journal, state)
            memory = CheckpointMemory(state.folder("checkpoints"))
            line = Line(profile, policy or RetryPolicy())
            try:
                yield cls(
                    agency=profile.agency,
                    signer=signer,
                    drafting=Drafting(profile.hub, profile.agency, clock, random_bytes),
                    line=line,
                    journal=journal,
                    verifier=ReceiptVerifier(trust, profile.hub, memory, consistency_of(line)),
                    receipts=state.folder("receipts"),
                )
            finally:
                await line.close()
                # Calls that were cancelled may have left a worker thread writing, and after
                # this block the state directory is somebody else's.
                journal.close()
                memory.close()

    # --- Saying something ---------------------------------------------------------------

    async def submit(
        self,
        document: DocumentDraft,
        attachments: Sequence[AttachmentDraft],
        recipients: Sequence[str],
        *,
        action: Action = Action.NEW,
        relates_to: str | None = None,
        sender_seq: int | None = None,
        expires_at: datetime | None = None,
    ) -> Accepted:
        """Send a document to agencies, all or none of which get it.

        Raises StatementMalformed, TooLarge and SecretDocument before anything is signed.
        Call it once per document: a second call is a second document.
        """
        draft = self._drafting.envelope(
            document,
            attachments,
            recipients,
            action=action,
            relates_to=relates_to,
            sender_seq=sender_seq,
            expires_at=expires_at,
        )
        entry = await self._write_down(draft, [item.content for item in attachments])
        return _accepted(await self._settle(entry))

    async def collect(self, envelope_digest: str) -> CollectedDocument:
        """Sign for a document of the inbox and take it over, verified throughout.

        `envelope_digest` is the inbox item's. The content follows with `download`.
        """
        entry = await self._write_down(self._drafting.collect(envelope_digest))
        return _collected(await self._settle(entry))

    async def report_status(
        self, envelope_digest: str, code: str, reason: str | None = None
    ) -> Accepted:
        """Report what has become of a document.

        01 arrived, 02 refused (with a reason), 03 accepted, 04 assigned, 05 processing,
        06 finished. Raises StatementMalformed before anything is signed.
        """
        draft = self._drafting.status(envelope_digest, code, reason)
        return _accepted(await self._settle(await self._write_down(draft)))

    async def resume(self) -> list[Repeated]:
        """Send everything pending again, byte for byte, oldest first; one result for each.

        Call it after every start. A statement that is refused now is settled, and its result
        holds the refusal; any other error leaves it pending. When the hub cannot be reached,
        the rest is not tried. Statements that another call is just sending are left to it.
        """
        results = []
        for entry in self._journal.pending():
            if entry.request_id in self._in_flight:
                continue
            result = await self._try_again(entry)
            results.append(result)
            if isinstance(result.error, HubUnreachable):
                break
        return results

    # --- Asking -------------------------------------------------------------------------

    async def inbox(self, after: int = 0) -> AsyncIterator[InboxItem]:
        """Every item of the inbox with a larger number than `after`, in order, page by page.

        Raises InboxGap.
        """
        more = True
        while more:
            request = calls.ListInboxRequest(after=after, page_size=PAGE_SIZE)
            page = await self._line.call(self._line.exchange.ListInbox, request)
            if page.more and not page.items:
                raise UnexpectedAnswer("an empty page of the inbox that is not the last")
            for message in page.items:
                item = _next_item(message, after)
                after = item.inbox_seq
                yield item
            more = page.more

    async def watch_inbox(self, after: int = 0) -> AsyncIterator[InboxItem]:
        """The items of the inbox after number `after`, then each new one as it comes.

        Never ends by itself: a broken connection is made anew, for as long as it takes, and
        goes on after the last item. Store `inbox_seq` once an item is dealt with and pass it
        next time. Raises InboxGap, and the hub's refusal.
        """
        attempt = 0
        while True:
            failure = None
            try:
                async with aclosing(self._watch_once(after)) as messages:
                    async for message in messages:
                        item = _next_item(message, after)
                        after, attempt = item.inbox_seq, 0
                        yield item
            except grpc.RpcError as broken:
                failure = broken
                error = error_of(broken)
                if not is_repeatable(error):
                    raise error from broken
                if broken.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    attempt = 0  # Our own deadline: a quiet inbox is no failure.
            await self._line.policy.pause(attempt, failure)
            attempt += 1

    async def exchange(self, exchange_id: str) -> Exchange:
        """What the hub says became of a document. Raises ExchangeUnknown."""
        request = calls.GetExchangeRequest(exchange_id=exchange_id)
        response = await self._line.call(self._line.exchange.GetExchange, request)
        return Exchange.of(response.exchange)

    async def submission(self, request_id: str) -> Accepted:
        """The answer that one of this agency's statements got, verified again.

        Raises RequestUnknown when the hub accepted none under this request id.
        """
        if not _UUID.fullmatch(request_id):
            raise RequestMalformed("a request id is a UUID in lower case with hyphens")
        request = calls.GetSubmissionRequest(request_id=request_id)
        response = await self._line.call(self._line.exchange.GetSubmission, request)
        statement = await asyncio.to_thread(self._remembered, request_id)
        accepted = await self._accept(request_id, statement, response.acceptance)
        await asyncio.to_thread(write_durably, accepted.receipt_file, accepted.evidence())
        return accepted

    async def checkpoint(self) -> Checkpoint:
        """The hub's newest checkpoint, proven to extend all that this client has seen."""
        response = await self._line.call(self._line.ledger.GetCheckpoint, GetCheckpointRequest())
        return await self._verifier.advance(response.checkpoint)

    async def download(self, document: CollectedDocument, folder: Path | str) -> list[Path]:
        """Put the attachments into a folder, as they were signed; see `downloading.download`."""
        return await download(self._line, document, Path(folder))

    # --- From the journal to a verified answer ------------------------------------------

    async def _write_down(self, draft: Draft, contents: Sequence[bytes] = ()) -> Entry:
        # A token may take seconds and a disk is a disk: neither holds up the event loop.
        statement = await asyncio.to_thread(
            sign_statement, self._signer, draft.payload_type, draft.payload
        )
        return await asyncio.to_thread(self._journal.begin, draft.request_id, statement, contents)

    async def _settle(self, entry: Entry) -> Accepted | CollectedDocument:
        """Send a statement of the journal and see it through; the same after every start."""
        self._in_flight.add(entry.request_id)
        try:
            response = await self._send(entry)
            # If we stop here, the statement is pending; sent again, it gets this answer again.
            answer = await self._verified(entry, response)
            # If we stop here, likewise: the receipt files are written once more.
            settled = answer.handover if isinstance(answer, CollectedDocument) else answer
            outcome = Answer(settled.exchange_id, settled.receipt.leaf, settled.receipt.proof)
            await asyncio.to_thread(self._journal.finish, entry.request_id, outcome)
            return answer
        except HubUnreachable as error:
            error.request_id = entry.request_id
            raise
        finally:
            self._in_flight.discard(entry.request_id)

    async def _send(self, entry: Entry) -> _StatementAnswer:
        try:
            return await self._call_for(entry)
        except UNDECIDED:
            raise
        except HubError as refusal:
            outcome = Refusal(refusal.reason, refusal.message)
            await asyncio.to_thread(self._journal.finish, entry.request_id, outcome)
            raise

    async def _call_for(self, entry: Entry) -> _StatementAnswer:
        statement, hub = to_wire(entry.statement), self._line.exchange
        match entry.statement.payload_type:
            case Envelope.MEDIA_TYPE:
                contents = await asyncio.to_thread(self._journal.contents_of, entry)
                submit = calls.SubmitDocumentRequest(envelope=statement, contents=contents)
                return await self._line.call(hub.SubmitDocument, submit)
            case Collect.MEDIA_TYPE:
                collect = calls.CollectDocumentRequest(collect=statement)
                return await self._line.call(hub.CollectDocument, collect)
            case Status.MEDIA_TYPE:
                status = calls.ReportStatusRequest(status=statement)
                return await self._line.call(hub.ReportStatus, status)
        raise UnexpectedAnswer(f"the journal holds a {entry.statement.payload_type}")

    async def _verified(
        self, entry: Entry, response: _StatementAnswer
    ) -> Accepted | CollectedDocument:
        """Verify an answer, and put its evidence where it stays."""
        accepted = await self._accept(entry.request_id, entry.statement, response.acceptance)
        await asyncio.to_thread(write_durably, accepted.receipt_file, accepted.evidence())
        if not isinstance(response, calls.CollectDocumentResponse):
            return accepted
        document = await self._take_over(accepted, response.document)
        await asyncio.to_thread(write_durably, document.receipt_file, document.evidence())
        return document

    async def _accept(
        self, request_id: str, statement: SignedStatement | None, acceptance: wire.Acceptance
    ) -> Accepted:
        receipt = receipt_of(acceptance.receipt)
        fact = await self._verifier.verify(receipt)
        if fact.position != acceptance.receipt.position:
            raise VerificationFailed("the receipt proves another position", step="fact")
        if statement is not None:
            require_fact_of(fact.event, statement, acceptance.exchange_id)
        else:
            self._require_own(JsonObject(dict(fact.event.data), "the event", "fact"), request_id)
        return Accepted(
            exchange_id=acceptance.exchange_id,
            request_id=request_id,
            receipt=receipt,
            fact=fact,
            warnings=warnings_of(acceptance),
            receipt_file=self._receipts / f"{request_id}.receipt.json",
            statement=statement,
        )

    async def _take_over(self, handover: Accepted, document: wire.Document) -> CollectedDocument:
        """Verify a document that was handed over.

        1. The sender's acceptance holds and records this envelope, in this exchange. 2. The
        enrolment holds. 3. Certificate, key and the sender's signature fit (`examine`).
        4. It is the document asked for, made for this hub and for us.
        """
        statement = statement_of(document.envelope)
        receipt = receipt_of(document.submission)
        # (1) The sender's acceptance holds and records this envelope, in this exchange.
        submission = await self._verifier.verify(receipt)
        require_fact_of(submission.event, statement, handover.exchange_id)
        # (2) The enrolment holds.
        enrolment = Enrolment(
            receipt_of(document.sender_enrolment.receipt), document.sender_enrolment.certificate
        )
        enrolled = await self._verifier.verify(enrolment.receipt)
        # (3) Certificate, key and the sender's signature fit.
        self._verifier.examine(ReceiptFile(receipt, statement, enrolment))
        # (4) It is the document asked for, made for this hub and for us.
        asked = JsonObject(dict(handover.fact.event.data), "the event", "document")
        envelope = require_sent_to(
            self._agency,
            hub=self._drafting.hub,
            asked_digest=asked.text("envelope_digest"),
            sent=statement,
            enrolled=enrolled,
            submission=submission,
        )
        return CollectedDocument(
            exchange_id=handover.exchange_id,
            envelope=envelope,
            statement=statement,
            receipt=receipt,
            submission=submission,
            enrolment=enrolment,
            handover=handover,
            receipt_file=self._receipts / f"{handover.request_id}.document.receipt.json",
        )

    async def _try_again(self, entry: Entry) -> Repeated:
        try:
            return Repeated(entry.request_id, answer=await self._settle(entry))
        except Exception as error:  # One bad entry must not hold up the others.
            return Repeated(entry.request_id, error=error)

    async def _watch_once(self, after: int) -> AsyncGenerator[wire.InboxItem]:
        stream = self._line.exchange.WatchInbox(
            calls.WatchInboxRequest(after=after), timeout=self._line.policy.stream_deadline_s
        )
        try:
            async for response in stream:
                yield response.item
        finally:
            stream.cancel()

    def _remembered(self, request_id: str) -> SignedStatement | None:
        """What was signed under a request id, from the journal or the receipt file."""
        if (entry := self._journal.find(request_id)) is not None:
            return entry.statement
        data = read_at_most(self._receipts / f"{request_id}.receipt.json", RECEIPT_FILE_BYTES_MAX)
        return None if data is None else parse_receipt_file(data).statement

    def _require_own(self, data: JsonObject, request_id: str) -> None:
        """Check a fact whose statement this client no longer holds: ours, and this request's."""
        speaker = data.text("sender" if "sender" in data.members else "agency")
        if speaker != self._agency or data.text("request_id") != request_id:
            raise VerificationFailed("the receipt is of somebody else's statement", step="fact")


def consistency_of(line: Line) -> Callable[[int, int], Awaitable[Sequence[bytes]]]:
    """What fetches consistency proofs over this line."""

    async def prove(old_size: int, new_size: int) -> Sequence[bytes]:
        request = GetConsistencyProofRequest(old_size=old_size, new_size=new_size)
        return (await line.call(line.ledger.GetConsistencyProof, request)).hashes

    return prove


def _next_item(message: wire.InboxItem, after: int) -> InboxItem:
    if message.inbox_seq != after + 1:
        raise InboxGap(after=after, found=message.inbox_seq)
    return InboxItem.of(message)


def _accepted(answer: Accepted | CollectedDocument) -> Accepted:
    if not isinstance(answer, Accepted):
        raise TypeError("a document in answer to a statement that asks for none")
    return answer


def _collected(answer: Accepted | CollectedDocument) -> CollectedDocument:
    if not isinstance(answer, CollectedDocument):
        raise TypeError("no document in answer to a collect statement")
    return answer
