"""From what an agency is about to say to the hub's verified answer, through the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hub.client.answers import (
    Accepted,
    CollectedDocument,
    Repeated,
    enrolment_of,
    receipt_of,
    statement_of,
    to_wire,
    warnings_of,
)
from hub.client.drafting import Draft
from hub.client.errors import (
    UNDECIDED,
    HubUnreachable,
    UnexpectedAnswer,
    error_of,
    retry_after_s,
)
from hub.client.journal import Answer, Entry, Journal, Refusal
from hub.client.line import Line
from hub.client.retry import is_repeatable
from hub.client.signing import Signer, sign_statement
from hub.client.state import read_at_most, write_durably
from hub.client.uploading import Progress, document, no_progress, submit
from hub.client.verification import ReceiptVerifier, require_own_fact, require_sent_to
from hub.errors import HubError, VerificationFailed
from hub.proof.dsse import SignedStatement
from hub.proof.evidence import RECEIPT_FILE_BYTES_MAX, parse_receipt_file
from hub.proof.facts import require_fact_of
from hub.proof.statements import Collect, Envelope, Recall, RecallAnswer, Status
from hub.proof.strict import JsonObject
from hub.v1 import exchange_pb2 as wire
from hub.v1 import exchange_service_pb2 as calls
from hub.v1.status_details_pb2 import StatusDetails

# What goes into one message of a batch: the hub takes no more documents, and 15 MiB.
BATCH_MAX = 100
BATCH_BYTES_MAX = 12 * 1024**2
# Signature, key id and what frames the parts of one document, at the most.
_FRAME_BYTES_MAX = 2048

_Response = (
    calls.SubmitDocumentResponse
    | calls.CollectDocumentResponse
    | calls.ReportStatusResponse
    | calls.RequestRecallResponse
    | calls.AnswerRecallResponse
)
_Answer = Accepted | CollectedDocument
_Outcomes = dict[str, _Answer | Exception]  # By request id.


class Speaker:
    """Signs, writes down, sends and sees through what one agency says.

    Every statement is in the journal before it is first sent, and leaves it with a verified
    answer or a refusal of the statement itself.
    """

    def __init__(
        self,
        *,
        agency: str,
        signer: Signer,
        line: Line,
        journal: Journal,
        verifier: ReceiptVerifier,
        receipts: Path,
    ) -> None:
        self._agency = agency
        self._signer = signer
        self._line = line
        self._journal = journal
        self._verifier = verifier
        self._receipts = receipts
        self._in_flight: set[str] = set()

    async def say(self, draft: Draft, progress: Progress = no_progress) -> _Answer:
        """Say one thing; return the verified answer. `progress` is told of uploads."""
        with self._on_their_way([draft.request_id]):
            return await self._settle(await self._write_down(draft), progress)

    async def say_all(
        self, drafts: Sequence[Draft], progress: Progress = no_progress
    ) -> list[_Answer | Exception]:
        """Submit several envelopes; for each in order the answer, or what `say` would raise.

        All are written down before the first is sent. When the hub cannot be reached, the
        rest is not tried.
        """
        outcomes: _Outcomes = {}
        with self._on_their_way([draft.request_id for draft in drafts]):
            entries = []
            for draft in drafts:
                try:
                    entries.append(await self._write_down(draft))
                except Exception as error:  # One bad entry must not hold up the others.
                    outcomes[draft.request_id] = error
            outcomes |= await self._settle_in_batches(entries, progress)
        return [outcomes[draft.request_id] for draft in drafts]

    async def resume(self, progress: Progress = no_progress) -> list[Repeated]:
        """Send everything pending again; see `HubClient.resume`."""
        results = []
        for entry in self._journal.pending():
            if entry.request_id in self._in_flight or self._journal.find(entry.request_id) is None:
                continue  # Another call is sending it, or has settled it since.
            with self._on_their_way([entry.request_id]):
                outcome = await self._outcome(entry, self._settle(entry, progress))
            if isinstance(outcome, Exception):
                results.append(Repeated(entry.request_id, error=outcome))
            else:
                results.append(Repeated(entry.request_id, answer=outcome))
            if isinstance(outcome, HubUnreachable):
                break
        return results

    async def recognise(self, request_id: str, acceptance: wire.Acceptance) -> Accepted:
        """Verify the answer that an earlier statement got, and keep its receipt."""
        statement = await asyncio.to_thread(self._remembered, request_id)
        return await self._accept(request_id, statement, acceptance)

    # --- One statement ------------------------------------------------------------------

    async def _write_down(self, draft: Draft) -> Entry:
        # A token may take seconds and a disk is a disk: neither holds up the event loop.
        statement = await asyncio.to_thread(
            sign_statement, self._signer, draft.payload_type, draft.payload
        )
        return await asyncio.to_thread(
            self._journal.begin, draft.request_id, statement, draft.contents
        )

    async def _settle(self, entry: Entry, progress: Progress) -> _Answer:
        """Send a statement of the journal and see it through; the same after every start."""
        try:
            return await self._see_through(entry, await self._send(entry, progress))
        except HubUnreachable as error:
            error.request_id = entry.request_id
            raise

    async def _send(self, entry: Entry, progress: Progress) -> _Response:
        try:
            return await self._call_for(entry, progress)
        except HubError as refusal:
            await self._note_refusal(entry, refusal)
            raise

    async def _note_refusal(self, entry: Entry, refusal: HubError) -> None:
        """Settle a statement that was refused; not where the refusal says nothing about it."""
        if not isinstance(refusal, UNDECIDED):
            outcome = Refusal(refusal.reason, refusal.message)
            await asyncio.to_thread(self._journal.finish, entry.request_id, outcome)

    async def _call_for(self, entry: Entry, progress: Progress) -> _Response:
        statement, hub = to_wire(entry.statement), self._line.exchange
        match entry.statement.payload_type:
            case Envelope.MEDIA_TYPE:
                return await submit(self._line, self._journal, entry, progress)
            case Collect.MEDIA_TYPE:
                collect = calls.CollectDocumentRequest(collect=statement)
                return await self._line.call(hub.CollectDocument, collect)
            case Status.MEDIA_TYPE:
                status = calls.ReportStatusRequest(status=statement)
                return await self._line.call(hub.ReportStatus, status)
            case Recall.MEDIA_TYPE:
                recall = calls.RequestRecallRequest(recall=statement)
                return await self._line.call(hub.RequestRecall, recall)
            case RecallAnswer.MEDIA_TYPE:
                answer = calls.AnswerRecallRequest(answer=statement)
                return await self._line.call(hub.AnswerRecall, answer)
        raise UnexpectedAnswer(f"the journal holds a {entry.statement.payload_type}")

    async def _see_through(self, entry: Entry, response: _Response) -> _Answer:
        """Verify an answer, put its evidence where it stays, and settle the statement."""
        # If we stop here, the statement is pending; sent again, it gets this answer again.
        accepted = await self._accept(entry.request_id, entry.statement, response.acceptance)
        answer: _Answer = accepted
        if isinstance(response, calls.CollectDocumentResponse):
            answer = await self._take_over(accepted, response.document)
        # If we stop here, likewise: the receipt files are written once more.
        outcome = Answer(accepted.exchange_id, accepted.receipt.leaf, accepted.receipt.proof)
        await asyncio.to_thread(self._journal.finish, entry.request_id, outcome)
        return answer

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
            require_own_fact(fact.event, agency=self._agency, request_id=request_id)
        accepted = Accepted(
            exchange_id=acceptance.exchange_id,
            request_id=request_id,
            receipt=receipt,
            fact=fact,
            warnings=warnings_of(acceptance),
            receipt_file=self._receipts / f"{request_id}.receipt.json",
            statement=statement,
        )
        await asyncio.to_thread(write_durably, accepted.receipt_file, accepted.evidence())
        return accepted

    async def _take_over(self, handover: Accepted, document: wire.Document) -> CollectedDocument:
        """Verify a document that was handed over, and keep its evidence.

        1. The sender said it and the hub recorded it, in this exchange. 2. It is the document
        asked for, and sent to us, or to the agency we succeeded
        and collected for.
        """
        # (1) The sender said it and the hub recorded it, in this exchange.
        said = await self._verifier.verify_statement(
            receipt_of(document.submission),
            statement_of(document.envelope),
            enrolment_of(document.sender_enrolment),
        )
        if said.exchange_id != handover.exchange_id:
            raise VerificationFailed("the recorded fact belongs to another exchange", step="fact")
        # (2) It is the document asked for, and sent to us.
        asked = JsonObject(dict(handover.fact.event.data), "the event", "document")
        envelope = require_sent_to(asked.text("agency"), asked.text("envelope_digest"), said)
        taken = CollectedDocument(
            exchange_id=handover.exchange_id,
            envelope=envelope,
            statement=said.statement,
            receipt=said.receipt,
            submission=said.fact,
            enrolment=said.enrolment,
            handover=handover,
            receipt_file=self._receipts / f"{handover.request_id}.document.receipt.json",
        )
        await asyncio.to_thread(write_durably, taken.receipt_file, taken.evidence())
        return taken

    def _remembered(self, request_id: str) -> SignedStatement | None:
        """What was signed under a request id, from the journal or the receipt file."""
        if (entry := self._journal.find(request_id)) is not None:
            return entry.statement
        data = read_at_most(self._receipts / f"{request_id}.receipt.json", RECEIPT_FILE_BYTES_MAX)
        return None if data is None else parse_receipt_file(data).statement

    # --- Several envelopes --------------------------------------------------------------

    async def _settle_in_batches(self, entries: Sequence[Entry], progress: Progress) -> _Outcomes:
        outcomes: _Outcomes = {}
        for batch in batches(entries):
            lost = _lost(outcomes)
            if lost:
                outcomes |= _untried(lost, batch)
            elif batch[0].uploads:
                outcomes |= await self._settle_each(batch, progress)
            else:
                outcomes |= await self._settle_batch(batch, progress)
        return outcomes

    async def _settle_batch(self, batch: Sequence[Entry], progress: Progress) -> _Outcomes:
        outcomes: _Outcomes = {}
        request, sent = calls.SubmitDocumentsRequest(), []
        for entry in batch:
            try:
                request.documents.append(await document(self._journal, entry))
                sent.append(entry)
            except Exception as error:  # Damaged content, or a disk that does not read.
                outcomes[entry.request_id] = error
        if not sent:
            return outcomes
        try:
            response = await self._line.call(self._line.exchange.SubmitDocuments, request)
        except HubUnreachable as error:
            return outcomes | _untried(error, sent)
        except UNDECIDED as error:
            return outcomes | {entry.request_id: error for entry in sent}
        except (HubError, UnexpectedAnswer):
            # Said of the batch and of no document in it: each is sent by itself.
            return outcomes | await self._settle_each(sent, progress)
        if len(response.results) != len(sent):
            return outcomes | await self._settle_each(sent, progress)
        return outcomes | await self._settle_results(sent, response.results, progress)

    async def _settle_results(
        self, sent: Sequence[Entry], results: Sequence[calls.SubmitResult], progress: Progress
    ) -> _Outcomes:
        """See each document of a batch through, by its own result.

        A refusal carries no proof of which document it means. So where an acceptance turns
        out to be in a wrong place, no refusal is believed: each is asked for again by itself.
        """
        outcomes: _Outcomes = {}
        refused: list[tuple[Entry, StatusDetails]] = []
        for entry, result in zip(sent, results, strict=True):
            if result.HasField("acceptance"):
                alone = calls.SubmitDocumentResponse(acceptance=result.acceptance)
                seen = self._see_through(entry, alone)
                outcomes[entry.request_id] = await self._outcome(entry, seen)
            else:
                refused.append((entry, result.error))
        in_order = not any(isinstance(seen, VerificationFailed) for seen in outcomes.values())
        again, asked_s = [], 0.0
        for entry, status in refused:
            error = error_of(status)
            if is_repeatable(error) or not in_order:
                again.append(entry)
                asked_s = max(asked_s, retry_after_s(status))
                continue
            if isinstance(error, HubError):
                await self._note_refusal(entry, error)
            outcomes[entry.request_id] = error
        if again:
            policy = self._line.policy
            await policy.sleep(policy.delay_s(0, at_least_s=asked_s))
        return outcomes | await self._settle_each(again, progress)

    async def _settle_each(self, entries: Sequence[Entry], progress: Progress) -> _Outcomes:
        """Send each by itself; when the hub cannot be reached, the rest is not tried."""
        outcomes: _Outcomes = {}
        for number, entry in enumerate(entries):
            outcome = await self._outcome(entry, self._settle(entry, progress))
            outcomes[entry.request_id] = outcome
            if isinstance(outcome, HubUnreachable):
                return outcomes | _untried(outcome, entries[number + 1 :])
        return outcomes

    async def _outcome(self, entry: Entry, work: Awaitable[_Answer]) -> _Answer | Exception:
        try:
            return await work
        except HubUnreachable as error:
            error.request_id = entry.request_id
            return error
        except Exception as error:  # One bad entry must not hold up the others.
            return error

    @contextmanager
    def _on_their_way(self, request_ids: Sequence[str]) -> Iterator[None]:
        """Keep `resume` away from these until they are settled, or given up for now."""
        self._in_flight.update(request_ids)
        try:
            yield
        finally:
            self._in_flight.difference_update(request_ids)


def batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Cut a sequence of entries where a message would grow too large or too long.

    An entry with something to upload is a batch of its own: nothing waits in a message for it.
    """
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        adds = entry.bytes_held + _FRAME_BYTES_MAX
        full = len(batch) == BATCH_MAX or size + adds > BATCH_BYTES_MAX
        if batch and (full or entry.uploads or batch[0].uploads):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += adds
    if batch:
        yield batch


def _lost(outcomes: _Outcomes) -> HubUnreachable | None:
    return next((seen for seen in outcomes.values() if isinstance(seen, HubUnreachable)), None)


def _untried(lost: HubUnreachable, entries: Sequence[Entry]) -> _Outcomes:
    """The same news for each of them; all are pending."""
    return {
        entry.request_id: HubUnreachable(str(lost), request_id=entry.request_id)
        for entry in entries
    }
