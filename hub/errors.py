"""Every error a caller may act on, each with a stable reason.

A caller's mistake, or a state of the hub that a caller can wait out, is a
:class:`HubError`: one class, one reason, one gRPC status (``hub/server/errors.py``).
Anything else is a bug and reaches the caller as a bare ``INTERNAL``.

Evidence that does not hold is a :class:`VerificationFailed`; a store that
contradicts itself is a :class:`LedgerMismatch`. Neither crosses the wire.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class HubError(Exception):
    """A refusal: says what is wrong, why (a stable reason), and about what (metadata).

    Metadata are short public strings (codes, digests in hex, numbers): never
    content, never a secret. Messages are sentences that tell a stranger what to do.
    """

    reason: ClassVar[str]

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


# --- The statement itself ---------------------------------------------------------


class StatementMalformed(HubError):
    """The statement is not the JSON its media type promises; `field` says where."""

    reason = "STATEMENT_MALFORMED"


class RequestMalformed(HubError):
    """A field of the call beside the statement is missing or not of its kind."""

    reason = "REQUEST_MALFORMED"


class TooLarge(HubError):
    """Something is larger than a stated limit (`limit` in the metadata)."""

    reason = "TOO_LARGE"


class WrongHub(HubError):
    """The statement was made for another hub; `hub` names ours."""

    reason = "WRONG_HUB"


class AgencyMismatch(HubError):
    """The statement speaks for an agency that is not the authenticated caller."""

    reason = "AGENCY_MISMATCH"


class RequestIdReused(HubError):
    """This request id already carried another statement (`first_digest`)."""

    reason = "REQUEST_ID_REUSED"


class SecretDocument(HubError):
    """Marked as a state secret: never exchanged here (QĐ 28/2018/QĐ-TTg Art. 1)."""

    reason = "SECRET_DOCUMENT"


# --- Keys and signatures ----------------------------------------------------------


class KeyUnknown(HubError):
    """No certificate with this key is enrolled for this agency."""

    reason = "KEY_UNKNOWN"


class KeyNotYetValid(HubError):
    """The certificate's validity has not begun."""

    reason = "KEY_NOT_YET_VALID"


class KeyExpired(HubError):
    """The certificate's validity has ended."""

    reason = "KEY_EXPIRED"


class KeyRevoked(HubError):
    """The certificate of this key was revoked."""

    reason = "KEY_REVOKED"


class RevocationStale(HubError):
    """The hub has no recent word on revocation from the issuer of the certificate."""

    reason = "REVOCATION_STALE"


class SignatureInvalid(HubError):
    """The signature does not fit the statement and the enrolled key."""

    reason = "SIGNATURE_INVALID"


class DocumentSignatureInvalid(HubError):
    """The document's own signatures are to be valid, and one is not, or none is there."""

    reason = "DOCUMENT_SIGNATURE_INVALID"


class CertificateUnsuitable(HubError):
    """A certificate that cannot be enrolled; the message says why."""

    reason = "CERTIFICATE_UNSUITABLE"


class PossessionUnproven(HubError):
    """Nothing proves that the agency holds the key of the certificate it wants to renew to."""

    reason = "POSSESSION_UNPROVEN"


class KeyTaken(HubError):
    """The key is enrolled already, for this or another principal."""

    reason = "KEY_TAKEN"


# --- Content ----------------------------------------------------------------------


class ContentMissing(HubError):
    """The envelope names content that was not sent along."""

    reason = "CONTENT_MISSING"


class DigestMismatch(HubError):
    """Content does not hash to what the envelope says, or has another size."""

    reason = "DIGEST_MISMATCH"


class ContentLost(HubError):
    """Accepted content can no longer be read from the hub's disk."""

    reason = "CONTENT_LOST"


class PayloadErased(HubError):
    """The document was erased by law: its words and content are gone for good."""

    reason = "PAYLOAD_ERASED"


class UploadUnknown(HubError):
    """No such upload, or none of the caller's, or no longer: the answer is the same."""

    reason = "UPLOAD_UNKNOWN"


class NotCollected(HubError):
    """Content is released only against a `collect` statement."""

    reason = "NOT_COLLECTED"


class ContentWithheld(HubError):
    """Recalled or expired before it was collected: statements are still taken."""

    reason = "CONTENT_WITHHELD"


class RecallNotOpen(HubError):
    """An answer to a recall that nobody asked for, or that was answered already."""

    reason = "RECALL_NOT_OPEN"


class RecallAskedAlready(HubError):
    """The sender recalled this document before; the first recall stands."""

    reason = "RECALL_ASKED_ALREADY"


class AgencySuspended(HubError):
    """The agency is suspended: it reads and answers, but neither sends nor is sent to."""

    reason = "AGENCY_SUSPENDED"


class AgencySucceeded(HubError):
    """Another agency (`successor`) took over: this one no longer sends, and has one successor."""

    reason = "AGENCY_SUCCEEDED"


class AgencyNotSuspended(HubError):
    """An agency that is not suspended cannot be reinstated."""

    reason = "AGENCY_NOT_SUSPENDED"


# --- Parties ----------------------------------------------------------------------


class PrincipalUnknown(HubError):
    """The client certificate is trusted but enrolled for nobody."""

    reason = "PRINCIPAL_UNKNOWN"


class RoleNotPermitted(HubError):
    """The caller's role may not use this service."""

    reason = "ROLE_NOT_PERMITTED"


class NotAParty(HubError):
    """The caller takes part in this exchange, but not in the role this needs."""

    reason = "NOT_A_PARTY"


class RecipientUnknown(HubError):
    """Some recipients are not registered: how many, and the first twenty by name."""

    reason = "RECIPIENT_UNKNOWN"


class AgencyUnknown(HubError):
    """No agency with this code is registered."""

    reason = "AGENCY_UNKNOWN"


class AuditorUnknown(HubError):
    """No auditor of this name is in force."""

    reason = "AUDITOR_UNKNOWN"


class AgencyExists(HubError):
    """An agency with this code is registered already."""

    reason = "AGENCY_EXISTS"


class ExchangeUnknown(HubError):
    """No such exchange, or none of the caller's: the answer is the same."""

    reason = "EXCHANGE_UNKNOWN"


class RequestUnknown(HubError):
    """The caller has no accepted statement under this request id."""

    reason = "REQUEST_UNKNOWN"


class PositionUnknown(HubError):
    """No such position or tree size, or an entry the caller may not see."""

    reason = "POSITION_UNKNOWN"


class NumberUnknown(HubError):
    """A number beyond the last one of a box: a log that has ended gave it, or nobody did."""

    reason = "NUMBER_UNKNOWN"


class CaseReferenceMissing(HubError):
    """Subject and content are shown to an auditor for a case only, and none was named."""

    reason = "CASE_REFERENCE_MISSING"


# --- What takes two operators -----------------------------------------------------


class OrderUnknown(HubError):
    """No operator gave an order with this digest."""

    reason = "ORDER_UNKNOWN"


class OrderLapsed(HubError):
    """The order's time is over (`lapsed_at`), or whoever gave it is no longer an operator."""

    reason = "ORDER_LAPSED"


class OrderExecuted(HubError):
    """The order was approved before, and what it ordered was done; nothing is done twice."""

    reason = "ORDER_EXECUTED"


class SecondOperatorNeeded(HubError):
    """An order is approved by an operator who does not stand or fall with the one who gave it."""

    reason = "SECOND_OPERATOR_NEEDED"


class OperatorUnknown(HubError):
    """No operator of this name is in force."""

    reason = "OPERATOR_UNKNOWN"


class OperatorExists(HubError):
    """Another operator has this name; only its holder enrols further certificates for it."""

    reason = "OPERATOR_EXISTS"


class HubKeyUnknown(HubError):
    """No key of this hub has this verifier key."""

    reason = "HUB_KEY_UNKNOWN"


class HubKeyState(HubError):
    """This step does not follow from the state (`state`) in which the hub's key is."""

    reason = "HUB_KEY_STATE"


class LogNotFrozen(HubError):
    """No operator has frozen the log, so none need let it go on."""

    reason = "LOG_NOT_FROZEN"


class TrustedRootRefused(HubError):
    """This cannot be the next edition of the trusted root; the message says why."""

    reason = "TRUSTED_ROOT_REFUSED"


# --- The national axis ------------------------------------------------------------


class RelayUnknown(HubError):
    """There is no package with this id on its way to the axis, or parked."""

    reason = "RELAY_UNKNOWN"


class RelayNotOpen(HubError):
    """What is asked for does not fit the state the package is in."""

    reason = "RELAY_NOT_OPEN"


class AxisNotConfigured(HubError):
    """This hub is connected to no axis."""

    reason = "AXIS_NOT_CONFIGURED"


class AxisUnavailable(HubError):
    """The axis gave no usable answer; `why` is what its gateway made of it."""

    reason = "AXIS_UNAVAILABLE"


# --- The state of the hub ---------------------------------------------------------


class ReceiptDelayed(HubError):
    """Recorded, but not yet covered by a signed checkpoint: repeat the same call."""

    reason = "RECEIPT_DELAYED"


class Unavailable(HubError):
    """The hub cannot take this now, or does not know whether it did: repeat the same call."""

    reason = "UNAVAILABLE"


class LogFrozen(HubError):
    """The log is frozen, because a check failed or at an operator's word: nothing is accepted."""

    reason = "LOG_FROZEN"


class Overloaded(HubError):
    """A bounded queue is full; `retry_after_ms` says when to come back."""

    reason = "OVERLOADED"


def hub_errors() -> dict[str, type[HubError]]:
    """Every reason with its class."""
    return {error.reason: error for error in HubError.__subclasses__()}


# --- Evidence and stores ----------------------------------------------------------


class VerificationFailed(Exception):
    """A piece of evidence does not hold; `step` names the check that failed.

    Malformed evidence is the same failure: verification never leaks a ValueError.
    """

    def __init__(self, message: str, *, step: str) -> None:
        super().__init__(message)
        self.step = step


class Procedure(StrEnum):
    """What to do when stores contradict each other: the headings of docs/operations.md say how."""

    DATABASE_BEHIND = "R1"
    SIGNER_BEHIND = "R2"
    CHANGED = "R3"
    ANOTHER_KEY = "R4"
    CONTENT_GONE = "R5"
    RESTORE = "R6"
    REOPEN = "R7"


class LedgerMismatch(Exception):
    """What is stored contradicts itself or the signer's memory: do not serve.

    `position` is the first event that differs, counted from 0, or None when the
    finding is not about one event; `procedure` is what the operator does next.
    """

    def __init__(
        self,
        message: str,
        *,
        position: int | None = None,
        procedure: Procedure = Procedure.CHANGED,
    ) -> None:
        super().__init__(message)
        self.position = position
        self.procedure = procedure


class ExportRefused(Exception):
    """The folder holds something that an export of this log must not be mixed with."""
