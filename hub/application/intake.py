"""The checks on a statement, in their fixed order; the first failure is the answer.

 1. size                      5. already answered?      9. parties known and open
 2. JSON and schema           6. key enrolled, in force 10. rules of the action
 3. made for this hub         7. signature
 4. speaks for its caller     8. content as stated

Steps 1 to 4 are `read`. Step 5 is the caller's: an accepted request id with the same digest
gets its first answer, whatever has changed since; it is asked before any refusal of the later
steps is given, and in the writing lane for every statement that passes them. Steps 6 and 7
are `judge`, 8 and 10 the `require_…` functions, 9 is `standing`. What depends on the registry
is checked again in the lane when the registry has moved on.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from hub.application.ports import NewUpload
from hub.application.registry import EnrolledKey, Registry
from hub.application.standing import Addressee
from hub.domain.aggregate import StatementRecord
from hub.errors import (
    AgencyMismatch,
    ContentMissing,
    DigestMismatch,
    RevocationStale,
    SecretDocument,
    SignatureInvalid,
    StatementMalformed,
    TooLarge,
    VerificationFailed,
    WrongHub,
)
from hub.proof.dsse import SignedStatement
from hub.proof.fields import MalformedField
from hub.proof.leaf import LEAF_BYTES_MAX
from hub.proof.signatures import PublicKey
from hub.proof.statements import (
    PAYLOAD_BYTES_MAX,
    Approval,
    CertificateStatement,
    Collect,
    Envelope,
    ErasureOrder,
    KeyOrder,
    OperatorStatement,
    Possession,
    Recall,
    RecallAnswer,
    Renewal,
    Status,
    read_certificate_statement,
    read_operator_statement,
    read_statement,
)

INLINE_BYTES_MAX = 3 * 1024 * 1024
_SIGNATURE_BYTES_MAX = 1024  # RSA with 8192 bits.
_CLOCK_SKEW_MAX = timedelta(minutes=10)
# What one recipient takes in the event beside its code, with an inbox number of ten digits;
# what one attachment takes; what all the rest takes at the most, its signature included.
_RECIPIENT_BYTES, _ATTACHMENT_BYTES, _OTHER_BYTES_MAX = 37, 96, 3072
# What `via` takes, for recipients behind the national axis.
_VIA_BYTES = len('"via":"axis",')
# What `addressed` takes beside the code, where the sender signed another than the primary one.
_ADDRESSED_BYTES = len('"addressed":"",')

S = TypeVar(
    "S",
    Envelope,
    Collect,
    Status,
    Recall,
    RecallAnswer,
    Renewal,
    Possession,
    ErasureOrder,
    KeyOrder,
    Approval,
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A statement whose signature holds, and the enrolled key it was held against.

    `warnings` are codes of what was noticed about the key, and not refused for.
    """

    key: EnrolledKey
    record: StatementRecord
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StalePolicy:
    """How old what is known of a key's revocation may be, and what happens beyond.

    That is the newest list of its issuer, or the newest OCSP answer about its certificate,
    whichever is the newer. Where neither was ever stored nothing is judged. `refuses` says
    whether statements are refused then, or only warned about.
    """

    age_max: timedelta = timedelta(days=2)
    refuses: bool = False

    def judge(self, key: EnrolledKey, registry: Registry, at: datetime) -> tuple[str, ...]:
        """Warnings about a key. Raises RevocationStale."""
        lists = (registry.crls.get(issuer) for issuer in key.issuers)
        newest_list = next((crl for crl in lists if crl is not None), None)
        known = (newest_list, registry.answers.get(key.certificate))
        newest = max((each.this_update for each in known if each is not None), default=None)
        if newest is None or at - newest <= self.age_max:
            return ()
        if self.refuses:
            raise RevocationStale(
                "the hub has no recent word on revocation from the issuer of this certificate; "
                "come back when it has",
                this_update=newest.isoformat(),
            )
        return ("REVOCATION_STALE",)


WARNING_ONLY = StalePolicy()


def read(signed: SignedStatement, kind: type[S], *, agency: str, origin: str) -> S:
    """Steps 1 to 4: what the statement says, and that this caller may say it here."""
    # (1) Size, before anything is parsed.
    if len(signed.payload) > PAYLOAD_BYTES_MAX:
        raise TooLarge(
            f"a statement has at most {PAYLOAD_BYTES_MAX} bytes", limit=str(PAYLOAD_BYTES_MAX)
        )
    if len(signed.signature) > _SIGNATURE_BYTES_MAX:
        raise TooLarge(
            f"a signature has at most {_SIGNATURE_BYTES_MAX} bytes",
            limit=str(_SIGNATURE_BYTES_MAX),
        )
    # (2) JSON and schema, as exactly the type this call takes.
    if signed.payload_type != kind.MEDIA_TYPE:
        raise StatementMalformed(
            f"this call takes a statement of type {kind.MEDIA_TYPE}", field="payload_type"
        )
    try:
        statement = _reader_of(kind)(signed)
    except MalformedField as error:
        raise StatementMalformed(str(error), field=error.field) from error
    except VerificationFailed as error:
        raise StatementMalformed(str(error), field="") from error
    if not isinstance(statement, kind):
        raise TypeError(f"{kind.MEDIA_TYPE} was read as {type(statement).__name__}")
    # Whoever asks after a call knows it by this: each line of the hub's log about it says it.
    structlog.contextvars.bind_contextvars(request_id=statement.header.request_id)
    # (3) Made for this hub: a staging statement is worthless in production.
    if statement.header.hub != origin:
        raise WrongHub(f"the statement was made for another hub; this is {origin}", hub=origin)
    # (4) Speaks for the authenticated caller.
    if statement.header.agency != agency:
        raise AgencyMismatch(
            f"the connection is that of {agency}, the statement speaks for another", agency=agency
        )
    return statement


def _reader_of(kind: type[S]) -> Callable[[SignedStatement], object]:
    if issubclass(kind, CertificateStatement):
        return read_certificate_statement
    if issubclass(kind, OperatorStatement):
        return read_operator_statement
    return read_statement


def judge(
    signed: SignedStatement,
    *,
    agency: str,
    registry: Registry,
    at: datetime,
    policy: StalePolicy = WARNING_ONLY,
) -> Judged:
    """Steps 6 and 7: the key is enrolled for the agency and in force, the signature holds."""
    # (6) The key, by the registry alone: nothing in the statement chooses an algorithm.
    key = registry.signing_key(agency, signed.key_id, at)
    warnings = policy.judge(key, registry, at)
    # (7) The signature.
    try:
        key.public_key.verify(signed.pae, signed.signature)
    except VerificationFailed as error:
        raise SignatureInvalid(
            "the signature does not fit the statement and the enrolled key",
            key_id=signed.key_id,
            algorithm=key.public_key.algorithm.value,
        ) from error
    return Judged(key, record_of(signed, key.public_key), warnings)


def record_of(signed: SignedStatement, key: PublicKey) -> StatementRecord:
    """A signed statement as events remember it."""
    return StatementRecord(
        payload_type=signed.payload_type,
        digest=signed.digest.hex(),
        key_id=signed.key_id,
        algorithm=key.algorithm.value,
        signature=base64.b64encode(signed.signature).decode(),
    )


def require_content(
    envelope: Envelope, contents: Sequence[bytes], uploads: Sequence[NewUpload | None] = ()
) -> None:
    """Step 8: every attachment is there, has its stated size and its stated digest.

    `uploads` is empty, or has an entry for each attachment: None where its content is the next
    of `contents`. What was uploaded was hashed when it came.
    """
    attachments = envelope.document.attachments
    uploads = uploads or [None] * len(attachments)
    if sum(map(len, contents)) > INLINE_BYTES_MAX:
        raise TooLarge(
            f"attachments sent with the envelope have at most {INLINE_BYTES_MAX} bytes in all",
            limit=str(INLINE_BYTES_MAX),
        )
    inline = [upload for upload in uploads if upload is None]
    if (len(uploads), len(contents)) != (len(attachments), len(inline)):
        raise ContentMissing(
            f"the envelope names {len(attachments)} attachments; {len(contents)} came with it, "
            f"{len(uploads) - len(inline)} were uploaded",
            expected=str(len(attachments)),
        )
    sent = iter(contents)
    for index, (attachment, upload) in enumerate(zip(attachments, uploads, strict=True)):
        if upload is None:
            content = next(sent)
            size, actual = len(content), hashlib.sha256(content).hexdigest()
        else:
            size, actual = upload.size, upload.sha256
        if size != attachment.size:
            raise DigestMismatch(
                f"attachment {index} has {size} bytes, the envelope says {attachment.size}",
                attachment=str(index),
            )
        if actual != attachment.sha256:
            raise DigestMismatch(
                f"attachment {index} hashes to {actual}, the envelope says {attachment.sha256}",
                attachment=str(index),
                actual=actual,
            )


def require_allowed(envelope: Envelope, addressees: Sequence[Addressee]) -> None:
    """Step 10: no state secrets (QĐ 28/2018 Art. 1), only what one entry can record."""
    if envelope.document.secrecy != "none":
        raise SecretDocument(
            "documents marked as state secrets are not exchanged here; send them the way the "
            "law on state secrets prescribes"
        )
    # A fact is one leaf: an entry of the log has no room for a thousand long codes.
    room = (
        sum(map(_consignment_bytes, addressees))
        + len(envelope.document.attachments) * _ATTACHMENT_BYTES
    )
    limit = LEAF_BYTES_MAX - _OTHER_BYTES_MAX
    if room > limit:
        raise TooLarge(
            "the recipients and attachments do not fit into one entry of the log; send the "
            "document to fewer recipients at a time",
            limit=str(limit),
        )


def _consignment_bytes(addressee: Addressee) -> int:
    addressed = _ADDRESSED_BYTES + len(addressee.signed)
    own = len(addressee.agency) + _RECIPIENT_BYTES + (_VIA_BYTES if addressee.via else 0)
    return own if addressee.signed == addressee.agency else own + addressed


def warnings_for(created_at: datetime, at: datetime) -> list[str]:
    """What is noticed and recorded, but never refused for."""
    return ["CLOCK_SKEW"] if abs(created_at - at) > _CLOCK_SKEW_MAX else []
