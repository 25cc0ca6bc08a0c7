"""Facts about people who call the hub, operators and auditors alike: enrolled, and revoked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from hub.application.certificates import SuitableCertificate
from hub.application.ports import RequestKey
from hub.application.registry import Role
from hub.application.session import Session
from hub.domain.principal import Principal
from hub.domain.values import format_time


def enrol_principal(
    session: Session,
    certificate: SuitableCertificate,
    name: str,
    role: Role,
    *,
    by: str,
    request: RequestKey,
) -> None:
    """Record `PrincipalEnrolled` and keep the certificate as evidence. Raises KeyTaken."""
    session.registry.require_new_key(certificate.key_id)
    principal = Principal.enrol(
        principal_id=session.new_id(),
        at=session.at,
        name=name,
        role=role.value,
        key_id=certificate.key_id,
        certificate=certificate.digest.hex(),
        not_before=format_time(certificate.not_before),
        not_after=format_time(certificate.not_after),
        by=by,
        request_id=request.request_id,
    )
    session.add_evidence(certificate.digest, certificate.der)
    session.record(principal, request)


def revoke_principals(
    session: Session,
    principal_ids: Iterable[UUID],
    *,
    reason: str,
    effective: datetime,
    by: str,
    request: RequestKey,
) -> None:
    """Record `PrincipalRevoked` for each certificate; the first answers the request.

    The others happen with it, and no call can ask for them.
    """
    answers: RequestKey | None = request
    for principal_id in principal_ids:
        principal = session.history.principal(principal_id)
        principal.revoke(
            at=session.at,
            reason=reason,
            effective=effective,
            by=by,
            request_id=request.request_id if answers else "",
        )
        session.record(principal, answers)
        answers = None
