"""Errors to gRPC statuses: the whole table, and a test says it is whole."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from hub import errors
from hub.errors import HubError

DOMAIN = "lienthong"
DETAILS_KEY = "grpc-status-details-bin"
_RECEIPT_RETRY_MS = 1000
# A refusal travels in trailing metadata. Above 8 KiB of these gRPC drops the whole answer,
# the reason included, and some refusals quote what the caller sent.
_TEXT_BYTES_MAX = 800

_Code = grpc.StatusCode

STATUS_OF: dict[type[HubError], grpc.StatusCode] = {
    errors.StatementMalformed: _Code.INVALID_ARGUMENT,
    errors.RequestMalformed: _Code.INVALID_ARGUMENT,
    errors.TooLarge: _Code.INVALID_ARGUMENT,
    errors.WrongHub: _Code.INVALID_ARGUMENT,
    errors.AgencyMismatch: _Code.PERMISSION_DENIED,
    errors.RequestIdReused: _Code.ALREADY_EXISTS,
    errors.SecretDocument: _Code.INVALID_ARGUMENT,
    errors.KeyUnknown: _Code.PERMISSION_DENIED,
    errors.KeyNotYetValid: _Code.PERMISSION_DENIED,
    errors.KeyExpired: _Code.PERMISSION_DENIED,
    errors.KeyRevoked: _Code.PERMISSION_DENIED,
    errors.RevocationStale: _Code.FAILED_PRECONDITION,
    errors.SignatureInvalid: _Code.PERMISSION_DENIED,
    errors.DocumentSignatureInvalid: _Code.FAILED_PRECONDITION,
    errors.CertificateUnsuitable: _Code.INVALID_ARGUMENT,
    errors.PossessionUnproven: _Code.PERMISSION_DENIED,
    errors.KeyTaken: _Code.ALREADY_EXISTS,
    errors.ContentMissing: _Code.INVALID_ARGUMENT,
    errors.DigestMismatch: _Code.INVALID_ARGUMENT,
    errors.ContentLost: _Code.DATA_LOSS,
    errors.PayloadErased: _Code.FAILED_PRECONDITION,
    errors.UploadUnknown: _Code.NOT_FOUND,
    errors.NotCollected: _Code.FAILED_PRECONDITION,
    errors.ContentWithheld: _Code.FAILED_PRECONDITION,
    errors.RecallNotOpen: _Code.FAILED_PRECONDITION,
    errors.RecallAskedAlready: _Code.FAILED_PRECONDITION,
    errors.AgencySuspended: _Code.FAILED_PRECONDITION,
    errors.AgencySucceeded: _Code.FAILED_PRECONDITION,
    errors.AgencyNotSuspended: _Code.FAILED_PRECONDITION,
    errors.PrincipalUnknown: _Code.UNAUTHENTICATED,
    errors.RoleNotPermitted: _Code.PERMISSION_DENIED,
    errors.NotAParty: _Code.PERMISSION_DENIED,
    errors.RecipientUnknown: _Code.INVALID_ARGUMENT,
    errors.AgencyUnknown: _Code.NOT_FOUND,
    errors.AuditorUnknown: _Code.NOT_FOUND,
    errors.AgencyExists: _Code.ALREADY_EXISTS,
    errors.ExchangeUnknown: _Code.NOT_FOUND,
    errors.RequestUnknown: _Code.NOT_FOUND,
    errors.PositionUnknown: _Code.NOT_FOUND,
    errors.NumberUnknown: _Code.OUT_OF_RANGE,
    errors.OrderUnknown: _Code.NOT_FOUND,
    errors.OrderLapsed: _Code.FAILED_PRECONDITION,
    errors.OrderExecuted: _Code.FAILED_PRECONDITION,
    errors.SecondOperatorNeeded: _Code.PERMISSION_DENIED,
    errors.OperatorUnknown: _Code.NOT_FOUND,
    errors.OperatorExists: _Code.ALREADY_EXISTS,
    errors.HubKeyUnknown: _Code.NOT_FOUND,
    errors.HubKeyState: _Code.FAILED_PRECONDITION,
    errors.LogNotFrozen: _Code.FAILED_PRECONDITION,
    errors.TrustedRootRefused: _Code.INVALID_ARGUMENT,
    errors.RelayUnknown: _Code.NOT_FOUND,
    errors.RelayNotOpen: _Code.FAILED_PRECONDITION,
    errors.AxisNotConfigured: _Code.FAILED_PRECONDITION,
    errors.AxisUnavailable: _Code.FAILED_PRECONDITION,
    errors.CaseReferenceMissing: _Code.INVALID_ARGUMENT,
    errors.ReceiptDelayed: _Code.UNAVAILABLE,
    errors.Unavailable: _Code.UNAVAILABLE,
    errors.LogFrozen: _Code.FAILED_PRECONDITION,
    errors.Overloaded: _Code.RESOURCE_EXHAUSTED,
}


def status_message(error: HubError) -> str:
    """The sentence of a refusal, cut off where it would not travel."""
    return _cut(error.message)


def status_details(error: HubError) -> bytes:
    """The `google.rpc.Status` of a refusal, for the trailing metadata."""
    details: list[any_pb2.Any] = []
    message = status_message(error)
    metadata = {name: _cut(value) for name, value in error.metadata.items()}
    _pack(
        details,
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata),
    )
    if field := error.metadata.get("field"):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(field), description=message
        )
        _pack(details, error_details_pb2.BadRequest(field_violations=[violation]))
    if (retry_ms := _retry_after_ms(error)) is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(retry_ms)
        _pack(details, error_details_pb2.RetryInfo(retry_delay=delay))
    code: int = STATUS_OF[type(error)].value[0]
    return status_pb2.Status(code=code, message=message, details=details).SerializeToString()


def _retry_after_ms(error: HubError) -> int | None:
    if "retry_after_ms" in error.metadata:
        return int(error.metadata["retry_after_ms"])
    return _RECEIPT_RETRY_MS if isinstance(error, errors.ReceiptDelayed) else None


def _cut(text: str) -> str:
    data = text.encode()
    if len(data) <= _TEXT_BYTES_MAX:
        return text
    return data[: _TEXT_BYTES_MAX - 3].decode(errors="ignore") + "…"


def _pack(details: list[any_pb2.Any], message: object) -> None:
    packed = any_pb2.Any()
    packed.Pack(message)  # type: ignore[arg-type]
    details.append(packed)
