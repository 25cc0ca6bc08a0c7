"""What an agency is about to say, built from typed parts and checked before it is signed."""

from __future__ import annotations

import hashlib
import mimetypes
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from hub.errors import SecretDocument, StatementMalformed, TooLarge, VerificationFailed
from hub.proof.dsse import SignedStatement
from hub.proof.envelope import ATTACHMENT_BYTES_MAX, Action, Attachment, Priority, Reply, Signer
from hub.proof.fields import MalformedField
from hub.proof.reopening import Reopening, ReopenOrder, read_reopen_order
from hub.proof.statements import (
    Approval,
    Collect,
    Envelope,
    ErasureOrder,
    KeyOrder,
    OperatorStatement,
    Possession,
    Recall,
    RecallAnswer,
    Renewal,
    Statement,
    Status,
    encode_payload,
    read_certificate_statement,
    read_operator_statement,
    read_statement,
)
from hub.proof.strict import encode_base64

# `SubmitDocument` takes so much content of all attachments inside the call; the rest is
# uploaded before it.
CONTENTS_BYTES_MAX = 3 * 1024**2

VIETNAM = timezone(timedelta(hours=7))

_UNKNOWN_MEDIA_TYPE = "application/octet-stream"
_NONCE_BYTES = 16
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file too large to be held in memory, as it was when it was hashed."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class AttachmentDraft:
    """One file to send: what is hashed is what is sent.

    Up to 3 MiB its content is held in memory. A larger file is read again when the document
    is sent, and must not have changed until then.
    """

    name: str
    media_type: str
    content: bytes | FileContent
    description: str | None = None

    @classmethod
    def from_file(
        cls, path: Path | str, media_type: str | None = None, description: str | None = None
    ) -> AttachmentDraft:
        """Read a file of any size up to 2 GiB, under its own name, in constant memory.

        The media type is guessed from the name if not given. Raises OSError, and TooLarge
        without reading more than the limit.
        """
        path = Path(path)
        with path.open("rb") as file:
            # One byte more than the limit: a size asked for beforehand could be out of date.
            content = file.read(CONTENTS_BYTES_MAX + 1)
            if len(content) <= CONTENTS_BYTES_MAX:
                return cls.from_bytes(path.name, content, media_type, description)
            large = _hashed(path.absolute(), content, file)
        return cls(path.name, _media_type(path.name, media_type), large, description)

    @classmethod
    def from_bytes(
        cls,
        name: str,
        content: bytes,
        media_type: str | None = None,
        description: str | None = None,
    ) -> AttachmentDraft:
        """Take content from memory, at most 3 MiB: more belongs in a file. Raises TooLarge."""
        _require_fits(len(content), CONTENTS_BYTES_MAX, name)
        return cls(name, _media_type(name, media_type), bytes(content), description)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.size

    @property
    def described(self) -> Attachment:
        """The attachment as the envelope names it: name, media type, size, SHA-256."""
        content = self.content
        return Attachment(
            name=self.name,
            media_type=self.media_type,
            size=self.size,
            sha256=sha256_of(content),
            description=self.description,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentDraft:
    """What the sender says about a document (QĐ 28/2018 Art. 10, NĐ 30/2020 App. VI).

    `secrecy` other than "none" is refused by every hub: state secrets are not exchanged here.
    `steering` is edXML's SteeringType. `paper` says that a paper original follows.
    """

    number: str
    notation: str
    type_name: str
    subject: str
    issued_on: date
    type_code: str | None = None
    secrecy: str = "none"
    summary: str | None = None
    place: str | None = None
    signer: Signer | None = None
    priority: Priority = Priority.NORMAL
    due_on: date | None = None
    pages: int | None = None
    language: str = "vi"
    in_reply_to: tuple[Reply, ...] = ()
    steering: int | None = None
    to_places: tuple[str, ...] = ()
    paper: bool = False

    def members(self, attachments: Sequence[AttachmentDraft]) -> dict[str, Any]:
        """The `document` object of an envelope; fields that say nothing are left out."""
        return _present(
            number=self.number,
            notation=self.notation,
            type=_present(name=self.type_name, code=self.type_code),
            secrecy=self.secrecy,
            subject=self.subject,
            summary=self.summary,
            issued_on=_day(self.issued_on),
            place=self.place,
            signer=self.signer and _signer_members(self.signer),
            priority=self.priority.value,
            due_on=self.due_on and _day(self.due_on),
            pages=self.pages,
            language=self.language,
            in_reply_to=[_reply_members(reply) for reply in self.in_reply_to] or None,
            steering=self.steering,
            to_places=list(self.to_places) or None,
            paper=self.paper or None,
            attachments=[_attachment_members(draft.described) for draft in attachments],
        )


@dataclass(frozen=True, slots=True)
class Submission:
    """A document with its attachments, to these agencies; see `HubClient.submit`."""

    document: DocumentDraft
    attachments: Sequence[AttachmentDraft]
    recipients: Sequence[str]
    _: KW_ONLY
    action: Action = Action.NEW
    relates_to: str | None = None
    sender_seq: int | None = None
    expires_at: datetime | None = None
    signatures_required: bool = False
    signers_required: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A payload ready to be signed, with the statement that reading it back gave.

    `contents` is that of an envelope's attachments, in their order.
    """

    payload_type: str
    payload: bytes
    statement: Statement | OperatorStatement
    contents: tuple[bytes | FileContent, ...] = ()

    @property
    def request_id(self) -> str:
        """The statement's idempotency key."""
        return self.statement.header.request_id


def now() -> datetime:
    """The present instant in Vietnam's time zone, which statements are written in."""
    return datetime.now(VIETNAM)


@dataclass(frozen=True, slots=True)
class Drafting:
    """Writes the payloads of one agency, or of one operator by its name, for one hub.

    `hub` is the origin of the hub's log. `clock` gives aware instants; `random_bytes(n)`
    gives n bytes nobody can foresee. Every payload gets a request id and a nonce of its own.

    Each method raises StatementMalformed, with the offending `field`, in the words the hub
    would use: the same code reads the payload here and there.
    """

    hub: str
    agency: str
    clock: Callable[[], datetime] = now
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    def envelope(self, submission: Submission) -> Draft:
        """This document with these attachments to these agencies, listed in full.

        `relates_to` is the digest of the envelope that an update or replacement speaks of.
        Raises also SecretDocument.
        """
        if submission.document.secrecy != "none":
            raise SecretDocument("documents marked as state secrets are not exchanged here")
        return self._draft(
            Envelope.MEDIA_TYPE,
            tuple(attachment.content for attachment in submission.attachments),
            recipients=list(submission.recipients),
            action=submission.action.value,
            relates_to=submission.relates_to,
            sender_seq=submission.sender_seq,
            expires_at=submission.expires_at and _instant(submission.expires_at),
            signatures_required=submission.signatures_required or None,
            signers_required=list(submission.signers_required) or None,
            document=submission.document.members(submission.attachments),
        )

    def collect(self, envelope_digest: str, for_agency: str | None = None) -> Draft:
        """I take delivery of the envelope with this digest (64 lower-case hexadecimal digits).

        `for_agency` is the recipient's primary code, where this agency succeeded it.
        """
        return self._draft(
            Collect.MEDIA_TYPE, envelope_digest=envelope_digest, for_agency=for_agency
        )

    def status(
        self,
        envelope_digest: str,
        code: str,
        reason: str | None = None,
        for_agency: str | None = None,
    ) -> Draft:
        """What has become of the envelope, "01" to "06"; "02" (refused) needs a reason."""
        return self._draft(
            Status.MEDIA_TYPE,
            envelope_digest=envelope_digest,
            code=code,
            reason=reason,
            for_agency=for_agency,
        )

    def recall(self, envelope_digest: str, reason: str) -> Draft:
        """13: take the document back, for this reason."""
        return self._draft(Recall.MEDIA_TYPE, envelope_digest=envelope_digest, reason=reason)

    def recall_answer(
        self,
        envelope_digest: str,
        code: str,
        reason: str | None = None,
        for_agency: str | None = None,
    ) -> Draft:
        """The answer to a recall: "15" agreed, cancelled here; "16" refused, with a reason."""
        return self._draft(
            RecallAnswer.MEDIA_TYPE,
            envelope_digest=envelope_digest,
            code=code,
            reason=reason,
            for_agency=for_agency,
        )

    def renewal(self, certificate: bytes, purpose: str, algorithm: str) -> bytes:
        """The payload that puts a certificate (DER) of ours into force."""
        return self._about_certificates(
            Renewal.MEDIA_TYPE,
            purpose=purpose,
            algorithm=algorithm,
            certificate=encode_base64(certificate),
        )

    def possession(self, renewal_digest: str) -> bytes:
        """The payload that proves, signed with its key, that we hold that certificate's key."""
        return self._about_certificates(Possession.MEDIA_TYPE, renewal_digest=renewal_digest)

    def _about_certificates(self, payload_type: str, **members: Any) -> bytes:
        payload = encode_payload({**self._header(), **members})
        with _refusing():
            read_certificate_statement(SignedStatement(payload_type, payload, "", b""))
        return payload

    def erasure_order(
        self,
        envelope_digest: str,
        reason: str,
        basis: str,
        note: str | None = None,
        relay: str | None = None,
    ) -> Draft:
        """An operator's order to erase a document by law; `reason` is a code word.

        With `relay` a package from the axis that is parked, by the digest of what is stored.
        """
        return self._draft(
            ErasureOrder.MEDIA_TYPE,
            envelope_digest=envelope_digest,
            reason=reason,
            basis=basis,
            note=note,
            relay=relay,
        )

    def key_order(
        self, action: str, hub_key: str | None, reason: str, basis: str, note: str | None = None
    ) -> Draft:
        """An operator's order about a key of the hub, or a frozen log; `reason` is a code word."""
        return self._draft(
            KeyOrder.MEDIA_TYPE,
            action=action,
            hub_key=hub_key,
            reason=reason,
            basis=basis,
            note=note,
        )

    def approval(self, order_digest: str) -> Draft:
        """A second operator's approval of the order with this digest."""
        return self._draft(Approval.MEDIA_TYPE, order_digest=order_digest)

    def reopen_order(self, reopening: Reopening) -> bytes:
        """The payload of an operator's order to reopen the log. Raises StatementMalformed."""
        payload = encode_payload({**self._header(), **reopening.members()})
        try:
            read_reopen_order(SignedStatement(ReopenOrder.MEDIA_TYPE, payload, "", b""))
        except VerificationFailed as failure:
            raise StatementMalformed(str(failure)) from failure
        return payload

    def _draft(
        self,
        payload_type: str,
        contents: tuple[bytes | FileContent, ...] = (),
        **members: Any,
    ) -> Draft:
        payload = encode_payload(_present(**self._header(), **members))
        return Draft(payload_type, payload, _read_back(payload_type, payload), contents)

    def _header(self) -> Mapping[str, Any]:
        return {
            "v": 1,
            "hub": self.hub,
            "agency": self.agency,
            "request_id": str(UUID(bytes=self.random_bytes(16), version=4)),
            "nonce": encode_base64(self.random_bytes(_NONCE_BYTES)),
            "created_at": _instant(self.clock()),
        }


def _read_back(payload_type: str, payload: bytes) -> Statement | OperatorStatement:
    signed = SignedStatement(payload_type, payload, key_id="", signature=b"")
    with _refusing():
        if payload_type in {kind.MEDIA_TYPE for kind in (ErasureOrder, KeyOrder, Approval)}:
            return read_operator_statement(signed)
        return read_statement(signed)


@contextmanager
def _refusing() -> Iterator[None]:
    """Say what is wrong with a payload as the hub would."""
    try:
        yield
    except MalformedField as failure:
        raise StatementMalformed(str(failure), field=failure.field) from failure
    except VerificationFailed as failure:
        raise StatementMalformed(str(failure)) from failure


def sha256_of(content: bytes | FileContent) -> str:
    """The SHA-256 of an attachment's content, in hexadecimal."""
    return (
        content.sha256 if isinstance(content, FileContent) else hashlib.sha256(content).hexdigest()
    )


def to_upload(contents: Sequence[bytes | FileContent]) -> tuple[int, ...]:
    """Which attachments are uploaded before the call, because they do not fit into it."""
    room, large = CONTENTS_BYTES_MAX, []
    for index, content in enumerate(contents):
        if isinstance(content, FileContent) or len(content) > room:
            large.append(index)
        else:
            room -= len(content)
    return tuple(large)


def _hashed(path: Path, beginning: bytes, rest: BinaryIO) -> FileContent:
    digest, size = hashlib.sha256(beginning), len(beginning)
    while block := rest.read(_BLOCK_BYTES):
        digest.update(block)
        size += len(block)
        _require_fits(size, ATTACHMENT_BYTES_MAX, path.name)
    return FileContent(path, size, digest.hexdigest())


def _media_type(name: str, given: str | None) -> str:
    return (given or mimetypes.guess_type(name, strict=True)[0] or _UNKNOWN_MEDIA_TYPE).lower()


def _require_fits(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise TooLarge(f"{what}: the content may have at most {limit} bytes", limit=str(limit))


def _instant(at: datetime) -> str:
    if at.tzinfo is None:
        raise StatementMalformed("an instant without a time zone says nothing")
    return at.astimezone(VIETNAM).isoformat()


def _day(day: date) -> str:
    # A datetime is a date to Python and would be written with its time.
    return date(day.year, day.month, day.day).isoformat()


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _signer_members(signer: Signer) -> dict[str, Any]:
    return _present(
        full_name=signer.full_name, position=signer.position, competence=signer.competence
    )


def _reply_members(reply: Reply) -> dict[str, Any]:
    return _present(
        agency=reply.agency,
        number=reply.number,
        notation=reply.notation,
        issued_on=reply.issued_on and _day(reply.issued_on),
    )


def _attachment_members(attachment: Attachment) -> dict[str, Any]:
    return _present(
        name=attachment.name,
        media_type=attachment.media_type,
        size=attachment.size,
        sha256=attachment.sha256,
        description=attachment.description,
    )
