"""Every receipt is checked on arrival: that it holds, that it is ours, that it extends the past.

Nothing here believes the hub. What it says counts once a checkpoint of a trusted log covers
it, once that checkpoint is proven to lie on one tree with the largest one ever seen, and once
the fact in it is the one we asked to be recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from hub.client.answers import VerifiedStatement
from hub.client.errors import AnotherLog, ForkDetected
from hub.client.memory import CheckpointMemory
from hub.client.roots import RootFollower
from hub.errors import PositionUnknown, VerificationFailed
from hub.proof.checkpoint import Checkpoint, parse_checkpoint_body
from hub.proof.dsse import SignedStatement
from hub.proof.evidence import Enrolment, ReceiptFile, examine
from hub.proof.facts import (
    OPENINGS,
    TAKEN,
    by_agency,
    exchange_of,
    recipients_in,
    require_fact_of,
    speaker_of,
)
from hub.proof.findings import Verdict
from hub.proof.leaf import Event
from hub.proof.merkle import verify_consistency
from hub.proof.note import parse_note
from hub.proof.receipt import Receipt, VerifiedReceipt, parse_tlog_proof, verify_receipt
from hub.proof.statements import Envelope, Recall
from hub.proof.strict import JsonObject
from hub.proof.trust import ConsistencyNeeded, TrustedRoot

# The proof that the tree of one size begins the tree of another, fetched from the hub.
ConsistencyProver = Callable[[int, int], Awaitable[Sequence[bytes]]]

_EXAMINED = ("file", "checkpoint", "inclusion", "leaf", "statement", "enrolment", "signature")


class ReceiptVerifier:
    """Verifies receipts of one log, and keeps the largest checkpoint of it that was seen.

    The first checkpoint ever is taken on the word of the log key alone: there is nothing
    yet that it could contradict.
    """

    def __init__(
        self,
        trust: TrustedRoot,
        origin: str,
        memory: CheckpointMemory,
        prove: ConsistencyProver,
        roots: RootFollower | None = None,
    ) -> None:
        """`roots` leads from `trust` to later editions; without it none is asked for."""
        self._trust = trust
        self._roots = roots
        self._origin = origin
        self._memory = memory
        self._prove = prove
        self._turn = asyncio.Lock()

    @property
    def trust(self) -> TrustedRoot:
        """What is believed beforehand."""
        return self._trust

    async def verify(self, receipt: Receipt) -> VerifiedReceipt:
        """Check a receipt; return the fact it proves.

        1. It is of this client's log. 2. It holds against the trusted root
        (`verify_receipt`), or the newest edition that follows it; where its key has been
        closed since, its tree is proven to lead to the closing one. 3. Its checkpoint agrees
        with the largest one seen. Raises VerificationFailed, at step 1 AnotherLog, at step 3
        ForkDetected.
        """
        # (1) It is of this log: of another one the trusted root may know nothing.
        note = parse_tlog_proof(receipt.proof).checkpoint
        self._require_this_log(note)
        # (2) It holds against the trusted root.
        await self._open(note)
        verified = verify_receipt(receipt, self._trust)
        # (3) It is on one tree with all we saw before.
        await self._agree(verified.checkpoint, note)
        return verified

    async def advance(self, note: bytes) -> Checkpoint:
        """Check a signed checkpoint in the same way, and remember it if it is the largest."""
        self._require_this_log(note)
        checkpoint = await self._open(note)
        await self._agree(checkpoint, note)
        return checkpoint

    async def verify_statement(
        self, receipt: Receipt, statement: SignedStatement, enrolment: Enrolment | None
    ) -> VerifiedStatement:
        """Check that an agency said this and the hub recorded it.

        There is no enrolment of a document that came over the national axis, and none is taken:
        of its envelope only steps 1 and 2 can hold, and its sender is not proven.

        1. The receipt holds. 2. The fact records this very statement. 3. The enrolment holds.
        4. Certificate, key and signature fit, and it was made for this hub (`examine`). 5. It
        was accepted in the enrolled algorithm. Raises VerificationFailed.
        """
        # (1) The receipt holds.
        fact = await self.verify(receipt)
        # (2) The fact records this very statement.
        exchange_id = exchange_of(fact.event)
        payload = require_fact_of(fact.event, statement, exchange_id)
        if (fact.event.topic == TAKEN) is not (enrolment is None):
            raise _wrong_statement("is shown without its enrolment, or with one it cannot have")
        if enrolment is None:
            return VerifiedStatement(exchange_id, payload, statement, receipt, fact, None)
        # (3) The enrolment holds.
        enrolled = await self.verify(enrolment.receipt)
        # (4) Certificate, key and signature fit, and it was made for this hub.
        self._examine(ReceiptFile(receipt, statement, enrolment))
        # (5) It was accepted in the enrolled algorithm.
        recorded = JsonObject(dict(fact.event.data), "the event", "statement").child("statement")
        named = JsonObject(dict(enrolled.event.data), "the enrolment's event", "statement")
        if recorded.text("algorithm") != named.text("algorithm"):
            raise _wrong_statement("was accepted in another algorithm than was enrolled")
        return VerifiedStatement(exchange_id, payload, statement, receipt, fact, enrolment)

    def _examine(self, file: ReceiptFile) -> None:
        """Check a receipt file with its statement and enrolment as an auditor would.

        The same examination the file gets in court, so none of its steps can differ. Raises
        VerificationFailed naming the step that is not proven.
        """
        findings = examine(file.format(), self._trust).items
        for finding, step in zip(findings, _EXAMINED, strict=False):
            if finding.verdict not in (Verdict.PROVEN, Verdict.STATED):
                raise VerificationFailed(finding.text, step=step)
        if len(findings) < len(_EXAMINED):
            raise VerificationFailed("the evidence is incomplete", step=_EXAMINED[len(findings)])

    async def _open(self, note: bytes) -> Checkpoint:
        """Believe a checkpoint, by a later trusted root or a consistency proof if need be."""
        if self._roots is not None:
            self._take(await self._roots.current())
        try:
            return await self._opened(note)
        except VerificationFailed as failure:
            if self._roots is None or failure.step not in ("note", "trust"):
                raise
            # The hub may have changed its key while this client was at work.
            held = self._trust.version
            self._take(await self._roots.again())
            if self._trust.version == held:
                raise
        return await self._opened(note)

    async def _opened(self, note: bytes) -> Checkpoint:
        try:
            return self._trust.open_checkpoint(note).checkpoint
        except ConsistencyNeeded:
            opened = self._trust.open_signed(note)
            closing = self._trust.closing_for(opened)
            if closing is None:
                raise
        shown = opened.checkpoint
        try:
            proof = await self._prove(shown.size, closing.size)
        except PositionUnknown as failure:
            raise VerificationFailed(
                f"the hub does not know the tree of size {closing.size}, at which its key ended",
                step="trust",
            ) from failure
        verify_consistency(
            old_size=shown.size,
            old_root=shown.root,
            new_size=closing.size,
            new_root=closing.root,
            proof=proof,
        )
        self._trust = self._trust.believing(shown)
        return self._trust.open_checkpoint(note).checkpoint

    def _take(self, newest: TrustedRoot) -> None:
        if newest.version > self._trust.version:
            self._trust = replace(newest, proven=frozenset())

    def _require_this_log(self, note: bytes) -> None:
        origin = parse_checkpoint_body(parse_note(note).text).origin
        if origin != self._origin:
            raise AnotherLog(self._origin, origin)

    async def _agree(self, shown: Checkpoint, note: bytes) -> None:
        # One at a time: two receipts proven against the same old checkpoint could replace
        # it in the wrong order.
        async with self._turn:
            known = self._memory.largest(self._origin)
            if known is not None and known[0].size > 0:
                kept, kept_note = known
                await self._require_one_tree(kept, kept_note, shown, note)
                if shown.size <= kept.size:
                    return
            await asyncio.to_thread(self._memory.keep, self._origin, shown, note)

    async def _require_one_tree(
        self, kept: Checkpoint, kept_note: bytes, shown: Checkpoint, note: bytes
    ) -> None:
        older, newer = sorted((kept, shown), key=lambda checkpoint: checkpoint.size)
        try:
            # Trees of one size need no proof, only equal roots.
            proof = await self._prove(older.size, newer.size) if older.size < newer.size else ()
            verify_consistency(
                old_size=older.size,
                old_root=older.root,
                new_size=newer.size,
                new_root=newer.root,
                proof=proof,
            )
        except (VerificationFailed, PositionUnknown) as failure:
            # A hub that no longer knows a size it once signed has lost or hidden history.
            self._memory.keep_contradiction(kept=kept_note, shown=note)
            raise ForkDetected(
                f"the trees of size {older.size} and {newer.size}, both signed by the hub,"
                f" are not proven to be one history: {failure}",
                kept=kept_note,
                shown=note,
            ) from failure


def require_own_fact(event: Event, *, agency: str, request_id: str) -> None:
    """Check a fact whose statement this client no longer holds: ours, and this request's."""
    data = JsonObject(dict(event.data), "the event", "fact")
    if speaker_of(event.topic, data) != agency or data.text("request_id") != request_id:
        raise VerificationFailed("the receipt is of somebody else's statement", step="fact")


def require_sent_to(recipient: str, asked_digest: str, said: VerifiedStatement) -> Envelope:
    """Check that what was handed over is the document asked for, and sent to us.

    `recipient` is the agency the handover is about: ours, or one we succeeded. 1. The
    envelope's digest. 2. It is an envelope. 3. It names the recipient, by the code that the
    submission's event says it was addressed by. Raises VerificationFailed(step="document").
    """
    # (1) The envelope's digest.
    if said.statement.digest.hex() != asked_digest:
        raise _wrong_document("another document was handed over than was asked for")
    # (2) It is an envelope.
    envelope = said.payload
    if not isinstance(envelope, Envelope):
        raise _wrong_document("what was handed over is not an envelope")
    # (3) It names the recipient.
    if recipient not in recipients_in(said.fact.event, envelope):
        raise _wrong_document(f"the envelope does not name {recipient} as recipient")
    return envelope


def require_about(said: VerifiedStatement, about: VerifiedStatement, *, agency: str) -> None:
    """Check that an envelope is the one a statement speaks of, and who may say that of it.

    1. It is an envelope, in the same exchange, with the digest that was named. 2. Its sender
    recalls, its recipients say all else, and the event names that sender; or the event says that
    it was a successor. 3. This agency, or one it succeeded, takes part in it.
    Raises VerificationFailed(step="statement").
    """
    # (1) The envelope that was named.
    envelope = about.payload
    if not isinstance(envelope, Envelope) or about.exchange_id != said.exchange_id:
        raise _wrong_statement("is shown with something else than its envelope")
    if isinstance(said.payload, Envelope):
        digest = said.statement.digest.hex()
    else:
        digest = said.payload.envelope_digest
    if about.statement.digest.hex() != digest:
        raise _wrong_statement("speaks of another envelope than the exchange's")
    # (2) Who said it.
    sender = envelope.header.agency
    recipients = recipients_in(about.fact.event, envelope)
    data = JsonObject(dict(said.fact.event.data), "the event", "statement")
    if isinstance(said.payload, Recall):
        # Nothing that is signed says who succeeded whom: this much is the hub's word.
        if by_agency(data) is None and said.author != sender:
            raise _wrong_statement(f"is a recall by {said.author} of a document of {sender}")
    elif not isinstance(said.payload, Envelope):
        meant = said.payload.for_agency or said.author
        if meant not in recipients:
            raise _wrong_statement(f"is by {meant}, to whom the document was not sent")
    if data.text("sender") != sender:
        raise _wrong_statement("was recorded under another sender")
    # (3) Our part in it.
    if agency != sender and agency not in recipients:
        raise _wrong_statement(f"is about a document that does not concern {agency}")


def require_recorded(said: VerifiedStatement, submission: VerifiedReceipt, *, agency: str) -> None:
    """Check a statement against the log's record of an envelope that was not shown to us.

    1. The record is of the exchange, and of the digest that was named. 2. Its sender recalls,
    its recipients say all else; or the event says that it was a successor. 3. This agency is
    one of them. What `require_about` learns from the sender's signature is the hub's record
    here. Raises VerificationFailed(step="statement").
    """
    # (1) The envelope that was named.
    event = submission.event
    record = JsonObject(dict(event.data), "the event", "statement")
    if event.topic not in OPENINGS or str(event.id) != said.exchange_id:
        raise _wrong_statement("is shown with something else than its envelope")
    digest = None if isinstance(said.payload, Envelope) else said.payload.envelope_digest
    if record.child("statement").text("digest") != digest:
        raise _wrong_statement("speaks of another envelope than the exchange's")
    # (2) Who said it.
    sender = record.text("sender")
    recipients = {item.text("agency") for item in record.children("recipients")}
    data = JsonObject(dict(said.fact.event.data), "the event", "statement")
    if isinstance(said.payload, Recall):
        if by_agency(data) is None and said.author != sender:
            raise _wrong_statement(f"is a recall by {said.author} of a document of {sender}")
    elif (meant := data.text("agency")) not in recipients:
        raise _wrong_statement(f"is by {meant}, to whom the document was not sent")
    elif by_agency(data) is None and said.author != meant:
        raise _wrong_statement(f"is by {said.author}, and recorded as by {meant}")
    if data.text("sender") != sender:
        raise _wrong_statement("was recorded under another sender")
    # (3) Our part in it.
    if agency not in {sender, *recipients}:
        raise _wrong_statement(f"is about a document that does not concern {agency}")


def _wrong_document(why: str) -> VerificationFailed:
    return VerificationFailed(why, step="document")


def _wrong_statement(why: str) -> VerificationFailed:
    return VerificationFailed(f"the statement {why}", step="statement")
