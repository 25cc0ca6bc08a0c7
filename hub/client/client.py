"""What an agency's document system does with its hub: send, collect, report, list."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from hub.client.answers import (
    Accepted,
    CollectedDocument,
    Exchange,
    Fetched,
    InboxItem,
    Limits,
    OutboxItem,
    Repeated,
    VerifiedDoubt,
    VerifiedStatement,
    enrolment_of,
    receipt_of,
    statement_of,
    to_wire,
)
from hub.client.boxes import inbox_of, outbox_of
from hub.client.bundling import PartySource, enclosed_document, make_bundle
from hub.client.directory import Directory
from hub.client.downloading import download
from hub.client.drafting import (
    AttachmentDraft,
    DocumentDraft,
    Draft,
    Drafting,
    Submission,
    now,
)
from hub.client.errors import ProfileInvalid
from hub.client.journal import Journal
from hub.client.line import Line
from hub.client.lists import DocumentFilter, ReceivedDocument, SentDocument, received, sent
from hub.client.memory import CheckpointMemory
from hub.client.profile import ClientProfile
from hub.client.renewing import Renewed, der_of, require_renewed
from hub.client.retry import RetryPolicy
from hub.client.roots import follower_of
from hub.client.signing import KeySigner, Signer, sign_statement
from hub.client.speaking import Speaker
from hub.client.state import StateDirectory
from hub.client.timestamps import Timestamps
from hub.client.uploading import Progress, no_progress
from hub.client.verification import ReceiptVerifier, require_about, require_recorded
from hub.errors import (
    ContentWithheld,
    HubError,
    NotCollected,
    RequestMalformed,
    VerificationFailed,
)
from hub.proof.bundle import Bundle
from hub.proof.checkpoint import Checkpoint
from hub.proof.envelope import Action
from hub.proof.evidence import DOUBT_TOPIC
from hub.proof.receipt import Receipt, VerifiedReceipt
from hub.proof.statements import Envelope, Possession, Renewal
from hub.proof.strict import JsonObject
from hub.proof.trust import Purpose
from hub.v1 import exchange_service_pb2 as calls
from hub.v1.ledger_service_pb2 import (
    GetCheckpointRequest,
    GetConsistencyProofRequest,
    GetReceiptRequest,
)

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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
        drafting: Drafting,
        line: Line,
        verifier: ReceiptVerifier,
        speaker: Speaker,
        signer: Signer,
    ) -> None:
        self._signer = signer
        self._agency = agency
        self._drafting = drafting
        self._line = line
        self._verifier = verifier
        self._speaker = speaker

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
            verifier = ReceiptVerifier(
                trust,
                profile.hub,
                memory,
                consistency_of(line),
                follower_of(state, trust, line),
            )
            try:
                yield cls(
                    agency=profile.agency,
                    drafting=Drafting(profile.hub, profile.agency, clock, random_bytes),
                    line=line,
                    verifier=verifier,
                    speaker=Speaker(
                        agency=profile.agency,
                        signer=signer,
                        line=line,
                        journal=journal,
                        verifier=verifier,
                        receipts=state.folder("receipts"),
                    ),
                    signer=signer,
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
        signatures_required: bool = False,
        signers_required: Sequence[str] = (),
        progress: Progress = no_progress,
    ) -> Accepted:
        """Send a document to agencies, all or none of which get it.

        An update or replacement names the envelope it speaks of by `relates_to`; whoever got
        that one is told. Content above 3 MiB in all is uploaded first, and goes on where it
        stopped when the line, the hub or this client breaks; `progress` is told how far it is.

        Raises StatementMalformed and SecretDocument before anything is signed, and
        DigestMismatch for a file that changed meanwhile, before anything is sent; and
        DocumentSignatureInvalid where the document's own signatures are to be valid
        (`signatures_required`, or a recipient takes no others), and are not, or where one of
        `signers_required` (`person`, `agency`) has not signed. Call it once per document: a
        second call is a second document.
        """
        submission = Submission(
            document,
            attachments,
            recipients,
            action=action,
            relates_to=relates_to,
            sender_seq=sender_seq,
            expires_at=expires_at,
            signatures_required=signatures_required,
            signers_required=signers_required,
        )
        draft = self._drafting.envelope(submission)
        return _accepted(await self._speaker.say(draft, progress))

    async def submit_many(
        self, submissions: Sequence[Submission], progress: Progress = no_progress
    ) -> list[Accepted | Exception]:
        """Send several documents in as few messages as they fit in.

        For each, in order, the answer or the exception that `submit` would have raised; one
        failure does not touch the others. All are in the journal before the first is sent. A
        document with content to upload goes by itself, in its turn. What was refused for the
        moment only is sent again by itself; when the hub cannot be reached, the rest is not
        tried. Raises nothing that concerns only some of them.
        """
        drafts = [self._drafted(submission) for submission in submissions]
        sound = [draft for draft in drafts if isinstance(draft, Draft)]
        said = iter(await self._speaker.say_all(sound, progress))
        outcomes = [next(said) if isinstance(draft, Draft) else draft for draft in drafts]
        return [
            outcome if isinstance(outcome, Exception) else _accepted(outcome)
            for outcome in outcomes
        ]

    async def fetch(
        self,
        envelope_digest: str,
        folder: Path | str,
        *,
        arrived: bool = True,
        for_agency: str | None = None,
        progress: Progress = no_progress,
    ) -> Fetched:
        """Collect a document, download its attachments into a folder, and report 01.

        The 01 says that everything is here and verified; with `arrived=False` nothing is
        reported. Call it again after a failure: the handover is then recorded once more, which
        does no harm, and the download goes on where it stopped; `progress` is told how far it is.
        `for_agency` as in `collect`.
        """
        document = await self.collect(envelope_digest, for_agency=for_agency)
        files = await self.download(document, folder, progress)
        if not arrived:
            return Fetched(document, files, None)
        answer = await self.report_status(envelope_digest, "01", for_agency=for_agency)
        return Fetched(document, files, answer)

    async def collect(
        self, envelope_digest: str, *, for_agency: str | None = None
    ) -> CollectedDocument:
        """Sign for a document of the inbox and take it over, verified throughout.

        `envelope_digest` is the inbox item's. The content follows with `download`. In the
        inbox of an agency that this one succeeded, name that agency in `for_agency`. Raises
        ContentWithheld for what was recalled or has expired.
        """
        draft = self._drafting.collect(envelope_digest, for_agency)
        return _collected(await self._speaker.say(draft))

    async def download(
        self,
        document: CollectedDocument,
        folder: Path | str,
        progress: Progress = no_progress,
    ) -> list[Path]:
        """Put the attachments into a folder, as they were signed; see `downloading.download`."""
        return await download(self._line, document, Path(folder), progress)

    async def report_status(
        self,
        envelope_digest: str,
        code: str,
        reason: str | None = None,
        *,
        for_agency: str | None = None,
    ) -> Accepted:
        """Report what has become of a document; `for_agency` as in `collect`.

        01 arrived, 02 refused (with a reason), 03 accepted, 04 assigned, 05 processing,
        06 finished. Raises StatementMalformed before anything is signed.
        """
        draft = self._drafting.status(envelope_digest, code, reason, for_agency)
        return _accepted(await self._speaker.say(draft))

    async def recall(self, envelope_digest: str, reason: str) -> Accepted:
        """Ask every recipient of one of this agency's own documents for it back (13).

        Its own are also those of agencies that it succeeded. Who has not collected it cannot
        any more; each answers by itself, in the outbox.
        Raises RecallAskedAlready, and StatementMalformed before anything is signed.
        """
        return _accepted(await self._speaker.say(self._drafting.recall(envelope_digest, reason)))

    async def answer_recall(
        self,
        envelope_digest: str,
        agreed: bool,
        reason: str | None = None,
        *,
        for_agency: str | None = None,
    ) -> Accepted:
        """Answer the recall of a document of the inbox, once; `for_agency` as in `collect`.

        Agreed (15) cancels it here; a refusal (16) needs a reason. Raises RecallNotOpen, and
        StatementMalformed before anything is signed.
        """
        code = "15" if agreed else "16"
        draft = self._drafting.recall_answer(envelope_digest, code, reason, for_agency)
        return _accepted(await self._speaker.say(draft))

    async def resume(self, progress: Progress = no_progress) -> list[Repeated]:
        """Send everything pending again, byte for byte, oldest first; one result for each.

        Call it after every start. A statement that is refused now is settled, and its result
        holds the refusal; any other error leaves it pending. When the hub cannot be reached,
        the rest is not tried. Statements that another call is just sending are left to it.
        """
        return await self._speaker.resume(progress)

    # --- Asking -------------------------------------------------------------------------

    @property
    def directory(self) -> Directory:
        """Who can be written to: agencies by code or name, and groups of them."""
        return Directory(self._line, self._agency)

    @property
    def timestamps(self) -> Timestamps:
        """The timestamps of the log, and how it stands with them."""
        return Timestamps(self._line)

    def inbox(self, after: int = 0, *, agency: str = "") -> AsyncIterator[InboxItem]:
        """Every item of the inbox with a larger number than `after`, in order, page by page.

        `agency` is one that this agency succeeded: then its inbox, with numbers of its own.
        Raises InboxGap, and AgencyUnknown.
        """
        return inbox_of(self._line, agency).read(after)

    def watch_inbox(self, after: int = 0, *, agency: str = "") -> AsyncIterator[InboxItem]:
        """The items of the inbox after number `after`, then each new one as it comes.

        `agency` as in `inbox`.

        Never ends by itself: a broken connection is made anew, for as long as it takes, and
        goes on after the last item. Store `inbox_seq` once an item is dealt with and pass it
        next time. Raises InboxGap, and the hub's refusal.
        """
        return inbox_of(self._line, agency).watch(after)

    def outbox(self, after: int = 0, *, agency: str = "") -> AsyncIterator[OutboxItem]:
        """What became of this agency's own documents, in the order it was recorded.

        Every item with a larger number than `after`, page by page. `agency` as in
        `inbox`. Raises OutboxGap, and AgencyUnknown.
        """
        return outbox_of(self._line, agency).read(after)

    def watch_outbox(self, after: int = 0, *, agency: str = "") -> AsyncIterator[OutboxItem]:
        """The items of the outbox after number `after`, then each new one as it comes.

        Goes on over broken connections like `watch_inbox`; `agency` as in `inbox`.
        Raises OutboxGap, and the hub's refusal.
        """
        return outbox_of(self._line, agency).watch(after)

    async def statement(
        self, position: int, *, agency: str = "", cosigned: bool = False
    ) -> VerifiedStatement:
        """What somebody signed about a document of ours, by the position of an item.

        Verified throughout, with the envelope it speaks of: so a sender proves a recipient's
        01, and a recipient reads why its document is recalled. Of an envelope this agency has
        not collected, the log's record takes the place. In the boxes of an agency that this
        one succeeded, `agency` is its primary code. With `cosigned`, its receipts lie under a
        checkpoint that witnesses cosigned, as far as any has by now. Raises PositionUnknown
        where no statement of concern to this agency stands, ContentLost when it was erased, and
        NotCollected or ContentWithheld for an envelope that is not released to it.
        """
        if not 0 <= position < 2**63:
            raise RequestMalformed("a position is counted from 0")
        said = await self._statement_at(position, cosigned=cosigned)
        if isinstance(said.payload, Envelope):
            require_about(said, said, agency=agency or self._agency)
            return said
        exchange = await self.exchange(said.exchange_id)
        try:
            about = await self._statement_at(exchange.position)
        except (NotCollected, ContentWithheld):
            submission = await self._fact_at(exchange.position)
            require_recorded(said, submission, agency=agency or self._agency)
            return said
        require_about(said, about, agency=agency or self._agency)
        return replace(said, about=about)

    def received(
        self, filters: DocumentFilter | None = None, *, agency: str = ""
    ) -> AsyncIterator[ReceivedDocument]:
        """Every document this agency received, newest first, page by page; or those wanted.

        By the hub's word, like the inbox. To process what comes in, follow the inbox: it
        proves that nothing is missing, a list does not. `agency` as in `inbox`. Raises
        RequestMalformed for a filter that cannot be.
        """
        return received(self._line, filters or DocumentFilter(), agency)

    def sent(
        self, filters: DocumentFilter | None = None, *, agency: str = ""
    ) -> AsyncIterator[SentDocument]:
        """Every document this agency sent, newest first, page by page; or those wanted.

        `exchange` names the recipients of one of them. `agency` as in `inbox`. Raises
        RequestMalformed.
        """
        return sent(self._line, filters or DocumentFilter(), agency)

    async def exchange(self, exchange_id: str) -> Exchange:
        """What the hub says became of a document. Raises ExchangeUnknown."""
        request = calls.GetExchangeRequest(exchange_id=exchange_id)
        response = await self._line.call(self._line.exchange.GetExchange, request)
        return Exchange.of(response.exchange)

    async def bundle(
        self, exchange_id: str, *, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Bundle:
        """Everything the hub gives this agency about a document, as one file that stands alone.

        What an agency signed, with its proofs; for whoever did not collect the document,
        without the envelope. Found to hold together before it is returned. `progress` is called
        with how many facts are here, and how many there are. Raises ExchangeUnknown, TooLarge.
        """
        source = PartySource(self._line, self._verifier)
        return await make_bundle(source, exchange_id, self._verifier.trust, progress=progress)

    async def content(self, bundle: Bundle, folder: Path | str) -> list[Path]:
        """Put the attachments of a bundle's document into a folder; see `downloading.download`.

        For a recipient that has collected it: NotAParty, NotCollected. Nothing, where the bundle
        holds no envelope.
        """
        document = enclosed_document(bundle)
        return [] if document is None else await download(self._line, document, Path(folder))

    async def submission(self, request_id: str) -> Accepted:
        """The answer that one of this agency's statements got, verified again.

        Raises RequestUnknown when the hub accepted none under this request id.
        """
        if not _UUID.fullmatch(request_id):
            raise RequestMalformed("a request id is a UUID in lower case with hyphens")
        request = calls.GetSubmissionRequest(request_id=request_id)
        response = await self._line.call(self._line.exchange.GetSubmission, request)
        return await self._speaker.recognise(request_id, response.acceptance)

    async def limits(self) -> Limits:
        """The limits the hub announces."""
        request = calls.GetLimitsRequest()
        return Limits.of(await self._line.call(self._line.exchange.GetLimits, request))

    async def renew_certificate(
        self,
        certificate: bytes,
        signer: KeySigner,
        purpose: Purpose,
        ocsp_answers: Sequence[bytes] = (),
    ) -> Renewed:
        """Put a new certificate of this agency into force, by the key it signs with today.

        `certificate` is X.509 in PEM or DER, `signer` holds its key and says its algorithm,
        `ocsp_answers` are what its issuers say of it (DER), at most 4; they must say good.
        The old one stays in force. Raises CertificateUnsuitable, PossessionUnproven, KeyTaken
        (it is enrolled already, perhaps by an earlier call whose answer was lost) and what
        refuses a signature.
        """
        der = der_of(certificate)
        payload = self._drafting.renewal(der, purpose.value, signer.algorithm.value)
        renewal = await asyncio.to_thread(sign_statement, self._signer, Renewal.MEDIA_TYPE, payload)
        proof = self._drafting.possession(renewal.digest.hex())
        possession = await asyncio.to_thread(sign_statement, signer, Possession.MEDIA_TYPE, proof)
        request = calls.RenewCertificateRequest(
            renewal=to_wire(renewal), possession=to_wire(possession), ocsp_answers=ocsp_answers
        )
        response = await self._line.call(self._line.exchange.RenewCertificate, request)
        receipt = receipt_of(response.receipt)
        fact = await self._verifier.verify(receipt)
        require_renewed(fact.event, renewal, signer.key_id, der)
        return Renewed(receipt, fact, signer.key_id)

    async def checkpoint(self) -> Checkpoint:
        """The hub's newest checkpoint, proven to extend all that this client has seen."""
        response = await self._line.call(self._line.ledger.GetCheckpoint, GetCheckpointRequest())
        return await self._verifier.advance(response.checkpoint)

    def _drafted(self, submission: Submission) -> Draft | HubError:
        try:
            return self._drafting.envelope(submission)
        except HubError as refusal:
            return refusal

    async def _fact_at(self, position: int) -> VerifiedReceipt:
        request = GetReceiptRequest(position=position)
        response = await self._line.call(self._line.ledger.GetReceipt, request)
        fact = await self._verifier.verify(receipt_of(response.receipt))
        if fact.position != position:
            raise VerificationFailed("the receipt proves another position", step="statement")
        return fact

    async def _statement_at(self, position: int, *, cosigned: bool = False) -> VerifiedStatement:
        request = calls.GetStatementRequest(position=position, cosigned=cosigned)
        response = await self._line.call(self._line.exchange.GetStatement, request)
        evidence = response.evidence
        said = await self._verifier.verify_statement(
            receipt_of(evidence.receipt),
            statement_of(evidence.statement),
            enrolment_of(evidence.enrolment),
        )
        if not said.position == evidence.receipt.position == position:
            raise VerificationFailed("the receipt proves another position", step="fact")
        if not evidence.HasField("doubt"):
            return said
        return replace(said, doubt=await self._doubt(receipt_of(evidence.doubt), said))

    async def _doubt(self, receipt: Receipt, said: VerifiedStatement) -> VerifiedDoubt:
        fact = await self._verifier.verify(receipt)
        data = JsonObject(dict(fact.event.data), "the event", "doubt")
        if fact.event.topic != DOUBT_TOPIC or data.integer("position", minimum=0) != said.position:
            raise VerificationFailed("the doubt is about something else", step="doubt")
        return VerifiedDoubt(receipt, fact, data.text("effective"))


def consistency_of(line: Line) -> Callable[[int, int], Awaitable[Sequence[bytes]]]:
    """What fetches consistency proofs over this line."""

    async def prove(old_size: int, new_size: int) -> Sequence[bytes]:
        request = GetConsistencyProofRequest(old_size=old_size, new_size=new_size)
        return (await line.call(line.ledger.GetConsistencyProof, request)).hashes

    return prove


def _accepted(answer: Accepted | CollectedDocument) -> Accepted:
    if not isinstance(answer, Accepted):
        raise TypeError("a document in answer to a statement that asks for none")
    return answer


def _collected(answer: Accepted | CollectedDocument) -> CollectedDocument:
    if not isinstance(answer, CollectedDocument):
        raise TypeError("no document in answer to a collect statement")
    return answer
