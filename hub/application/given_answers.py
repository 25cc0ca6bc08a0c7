"""What issuers said of one certificate, kept for good: fetched ahead, or handed in with it."""

from __future__ import annotations

import hashlib

from hub.application.certificates import SuitableCertificate
from hub.application.session import Session
from hub.domain.revocation_evidence import RevocationEvidence
from hub.domain.values import format_time
from hub.evidence.crls import issuers_of
from hub.evidence.ocsp import VerifiedAnswer

GIVEN = "given"
"""The source of what came along with a certificate; no responder may be called so."""


def store_given(session: Session, certificate: SuitableCertificate) -> None:
    """Keep the answers that were handed in with a certificate.

    Behind its enrolment, which is the fact that answers the caller.
    """
    for each in certificate.answers:
        store_answer(session, GIVEN, each.certificate, each.data, each.answer)


def store_answer(
    session: Session, source: str, certificate: bytes, data: bytes, answer: VerifiedAnswer
) -> bool:
    """Keep an answer about a certificate (DER) for good, unless it or a newer one is kept."""
    digest, about = hashlib.sha256(data), hashlib.sha256(certificate).hexdigest()
    known = session.registry.answers.get(about)
    if known is not None and (
        known.evidence == digest.hexdigest() or known.this_update > answer.this_update
    ):
        return False
    session.add_evidence(digest.digest(), data)
    session.record(
        RevocationEvidence.store(
            evidence_id=session.new_id(),
            at=session.at,
            source=source,
            kind="ocsp",
            issuer=issuers_of(certificate)[0],
            evidence=digest.hexdigest(),
            number="",
            certificate=about,
            status=answer.status,
            this_update=format_time(answer.this_update),
            next_update=format_time(answer.next_update),
        )
    )
    return True
