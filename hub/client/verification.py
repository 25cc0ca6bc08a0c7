"""Every receipt is checked on arrival: that it holds, that it is ours, that it extends the past.

Nothing here believes the hub. What it says counts once a checkpoint of a trusted log covers
it, once that checkpoint is proven to lie on one tree with the largest one ever seen, and once
the fact in it is the one we asked to be recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from hub.client.errors import ForkDetected
from hub.client.memory import CheckpointMemory
from hub.errors import PositionUnknown, VerificationFailed
from hub.proof.checkpoint import Checkpoint
from hub.proof.dsse import SignedStatement
from hub.proof.evidence import ReceiptFile, Verdict, examine
from hub.proof.leaf import Event
from hub.proof.merkle import verify_consistency
from hub.proof.receipt import Receipt, VerifiedReceipt, parse_tlog_proof, verify_receipt
from hub.proof.statements import Collect, Envelope, Statement, Status, read_statement
from hub.proof.strict import JsonObject, encode_base64
from hub.proof.trust import TrustedRoot

SUBMITTED = "hub.Exchange.DocumentSubmitted"
HANDED_OVER = "hub.Delivery.DocumentHandedOver"
STATUS_REPORTED = "hub.Delivery.StatusReported"

# The proof that the tree of one size begins the tree of another, fetched from the hub.
ConsistencyProver = Callable[[int, int], Awaitable[Sequence[bytes]]]

_EXAMINED = ("file", "checkpoint", "inclusion", "leaf", "statement", "enrolment", "signature")


class ReceiptVerifier:
    """Verifies receipts of one log, and keeps the largest checkpoint of it that was seen.

    The first checkpoint ever is taken on the word of the log key alone: there is nothing
    yet that it could contradict.
    """

    def __init__(
        self, trust: TrustedRoot, origin: str, memory: CheckpointMemory, prove: ConsistencyProver
    ) -> None:
        self._trust = trust
        self._origin = origin
        self._memory = memory
        self._prove = prove
        self._turn = asyncio.Lock()

    async def verify(self, receipt: Receipt) -> VerifiedReceipt:
        """Check a receipt; return the fact it proves.

        1. It holds against the trusted root (`verify_receipt`). 2. It is of this client's
        log. 3. Its checkpoint agrees with the largest one seen. Raises VerificationFailed,
        at step 3 ForkDetected.
        """
        # (1) It holds against the trusted root.
        verified = verify_receipt(receipt, self._trust)
        # (2), (3) It is of this log, and on one tree with all we saw before.
        await self._agree(verified.checkpoint, parse_tlog_proof(receipt.proof).checkpoint)
        return verified

    async def advance(self, note: bytes) -> Checkpoint:
        """Check a signed checkpoint in the same way, and remember it if it is the largest."""
        checkpoint = self._trust.open_checkpoint(note).checkpoint
        await self._agree(checkpoint, note)
        return checkpoint

    def examine(self, file: ReceiptFile) -> None:
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

    async def _agree(self, shown: Checkpoint, note: bytes) -> None:
        if shown.origin != self._origin:
            raise VerificationFailed(f"a checkpoint of {shown.origin}", step="origin")
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


def require_fact_of(event: Event, sent: SignedStatement, exchange_id: str) -> None:
    """Check that an event records this very statement, in this exchange.

    1. Its kind. 2. Agency and request. 3. Payload type, digest, key and signature. 4. What
    the statement says: recipients, attachments and action of an envelope; the envelope and
    code of a collect or status. Raises VerificationFailed(step="fact").
    """
    statement = read_statement(sent)
    data = JsonObject(dict(event.data), "the event", "fact")
    # (1) Its kind.
    topic, agency_name = _recorded_as(statement)
    _require(event.topic == topic, "is of another kind")
    # (2) Agency and request.
    header = statement.header
    _require(data.text(agency_name) == header.agency, "speaks of another agency")
    _require(data.text("request_id") == header.request_id, "answers another request")
    # (3) Payload type, digest, key and signature.
    recorded = data.child("statement")
    _require(recorded.text("payload_type") == sent.payload_type, "names another payload type")
    _require(recorded.text("digest") == sent.digest.hex(), "names another payload")
    _require(recorded.text("key_id") == sent.key_id, "names another key")
    _require(recorded.text("signature") == encode_base64(sent.signature), "names another signature")
    # (4) What the statement says.
    if isinstance(statement, Envelope):
        _require(str(event.id) == exchange_id, "belongs to another exchange")
        _require_envelope(data, statement)
    else:
        _require(data.text("exchange") == exchange_id, "belongs to another exchange")
        _require_delivery(data, statement)


def require_sent_to(
    agency: str,
    *,
    hub: str,
    asked_digest: str,
    sent: SignedStatement,
    enrolled: VerifiedReceipt,
    submission: VerifiedReceipt,
) -> Envelope:
    """Check that a document handed over is the one asked for, made for this hub and for us.

    1. The envelope's digest. 2. It is an envelope for this hub. 3. It names us as recipient.
    4. The algorithm in the submission is the enrolled one. Signature, key and enrolment are
    `ReceiptVerifier.examine`'s part. Raises VerificationFailed(step="document").
    """
    # (1) The envelope's digest.
    if sent.digest.hex() != asked_digest:
        raise _wrong_document("another document was handed over than was asked for")
    # (2) It is an envelope for this hub.
    envelope = read_statement(sent)
    if not isinstance(envelope, Envelope):
        raise _wrong_document("what was handed over is not an envelope")
    if envelope.header.hub != hub:
        raise _wrong_document("the envelope was made for another hub")
    # (3) It names us as recipient.
    if agency not in envelope.recipients:
        raise _wrong_document(f"the envelope does not name {agency} as recipient")
    # (4) The algorithm in the submission is the enrolled one.
    recorded = JsonObject(dict(submission.event.data), "the event", "document").child("statement")
    enrolment = JsonObject(dict(enrolled.event.data), "the enrolment's event", "document")
    if recorded.text("algorithm") != enrolment.text("algorithm"):
        raise _wrong_document("the signature was accepted in another algorithm than was enrolled")
    return envelope


def _recorded_as(statement: Statement) -> tuple[str, str]:
    """The topic of the event that records a statement, and its member naming the agency."""
    match statement:
        case Envelope():
            return SUBMITTED, "sender"
        case Collect():
            return HANDED_OVER, "agency"
        case Status():
            return STATUS_REPORTED, "agency"


def _require_envelope(data: JsonObject, envelope: Envelope) -> None:
    recipients = [item.text("agency") for item in data.children("recipients")]
    _require(recipients == list(envelope.recipients), "lists other recipients")
    contents = [
        (item.text("sha256"), item.integer("size", minimum=0))
        for item in data.children("attachments")
    ]
    stated = [(item.sha256, item.size) for item in envelope.document.attachments]
    _require(contents == stated, "lists other attachments")
    _require(data.text("action") == envelope.action.value, "names another action")
    _require(data.members.get("relates_to") == envelope.relates_to, "relates to another envelope")


def _require_delivery(data: JsonObject, statement: Collect | Status) -> None:
    digest = data.text("envelope_digest")
    _require(digest == statement.envelope_digest, "speaks of another envelope")
    if isinstance(statement, Status):
        _require(data.text("code") == statement.code, "names another code")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise VerificationFailed(f"the recorded fact {otherwise}", step="fact")


def _wrong_document(why: str) -> VerificationFailed:
    return VerificationFailed(why, step="document")
