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
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from hub.application.ports import NewUpload
from hub.application.registry import EnrolledKey, Registry
from hub.application.standing import Addressee
from hub.domain.aggregate import StatementRecord
from hub.errors import (
    AgencyMismatch,
    ContentMissing,
    DigestMismatch,
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
from hub.proof.statements import (
    PAYLOAD_BYTES_MAX,
    Approval,
    Collect,
    Envelope,
    ErasureOrder,
    Recall,
    RecallAnswer,
    Status,
    read_operator_statement,
    read_statement,
)

INLINE_BYTES_MAX = 3 * 1024 * 1024
_SIGNATURE_BYTES_MAX = 1024  # RSA with 8192 bits.
_CLOCK_SKEW_MAX = timedelta(minutes=10)
# What one recipient takes in the event beside its code, with an inbox number of ten digits;
# what one attachment takes; what all the rest takes at the most, its signature included.
_RECIPIENT_BYTES, _ATTACHMENT_BYTES, _OTHER_BYTES_MAX = 37, 96, 3072
# What `addressed` takes beside the code, where the sender signed another than the primary one.
_ADDRESSED_BYTES = len('"addressed":"",')

S = TypeVar("S", Envelope, Collect, Status, Recall, RecallAnswer, ErasureOrder, Approval)


@dataclass(frozen=True, slots=True)
class Judged:
    """A statement whose signature holds, and the enrolled key it was held against."""

    key: EnrolledKey
    record: StatementRecord


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
        of_operator = kind in {ErasureOrder, Approval}
        statement = read_operator_statement(signed) if of_operator else read_statement(signed)
    except MalformedField as error:
        raise StatementMalformed(str(error), field=error.field) from error
    except VerificationFailed as error:
        raise StatementMalformed(str(error), field="") from error
    if not isinstance(statement, kind):
        raise TypeError(f"{kind.MEDIA_TYPE} was read as {type(statement).__name__}")
    # (3) Made for this hub: a staging statement is worthless in production.
    if statement.header.hub != origin:
        raise WrongHub(f"the statement was made for another hub; this is {origin}", hub=origin)
    # (4) Speaks for the authenticated caller.
    if statement.header.agency != agency:
        raise AgencyMismatch(
            f"the connection is that of {agency}, the statement speaks for another", agency=agency
        )
    return statement


def judge(signed: SignedStatement, *, agency: str, registry: Registry, at: datetime) -> Judged:
    """Steps 6 and 7: the key is enrolled for the agency and in force, the signature holds."""
    # (6) The key, by the registry alone: nothing in the statement chooses an algorithm.
    key = registry.signing_key(agency, signed.key_id, at)
    # (7) The signature.
    try:
        key.public_key.verify(signed.pae, signed.signature)
    except VerificationFailed as error:
        raise SignatureInvalid(
            "the signature does not fit the statement and the enrolled key",
            key_id=signed.key_id,
            algorithm=key.public_key.algorithm.value,
        ) from error
    record = StatementRecord(
        payload_type=signed.payload_type,
        digest=signed.digest.hex(),
        key_id=signed.key_id,
        algorithm=key.public_key.algorithm.value,
        signature=base64.b64encode(signed.signature).decode(),
    )
    return Judged(key, record)


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
    own = len(addressee.agency) + _RECIPIENT_BYTES
    return own if addressee.signed == addressee.agency else own + addressed


def warnings_for(created_at: datetime, at: datetime) -> list[str]:
    """What is noticed and recorded, but never refused for."""
    return ["CLOCK_SKEW"] if abs(created_at - at) > _CLOCK_SKEW_MAX else []
