"""An agency puts a new certificate of its own into force, by a key that is in force already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hub.application import intake
from hub.application.agency_changes import agency_of
from hub.application.certificates import Suitability, SuitableCertificate
from hub.application.commands import Spoken
from hub.application.exchanges import same_kind
from hub.application.given_answers import store_given
from hub.application.lane import Lane, Recorded
from hub.application.mapper import read_event
from hub.application.ports import RequestKey
from hub.application.session import Session
from hub.domain.aggregate import StatementRecord
from hub.domain.values import format_time
from hub.errors import (
    CertificateUnsuitable,
    PossessionUnproven,
    StatementMalformed,
    VerificationFailed,
)
from hub.proof.dsse import SignedStatement
from hub.proof.signatures import PublicKey
from hub.proof.statements import Possession, Renewal


@dataclass(frozen=True, slots=True)
class RenewCertificate:
    """Put a certificate into force that the agency vouched for and whose key it holds."""

    spoken: Spoken
    renewal: Renewal
    possession: SignedStatement
    suitability: Suitability = field(repr=False)
    answers: Sequence[bytes] = field(default=(), repr=False)

    @property
    def request(self) -> RequestKey:
        """Bound to the agency and the digest of the renewal."""
        request_id = self.renewal.header.request_id
        return RequestKey(self.spoken.agency, request_id, self.spoken.signed.digest)

    def decide(self, session: Session) -> None:
        """Record `CertificateEnrolled`, with both statements, and keep these as evidence."""
        judged = self.spoken.judge_again(session)
        renewal = self.renewal
        signing = renewal.purpose == "signing"
        certificate = self.suitability.require(
            renewal.certificate,
            renewal.purpose,
            renewal.algorithm if signing else None,
            session.at,
            self.answers,
        )
        proven = require_possession(self.possession, renewal, certificate)
        session.registry.require_new_key(certificate.key_id)
        agency = agency_of(session, self.spoken.agency)
        session.add_certificate(certificate)
        for said in (self.spoken.signed, self.possession):
            session.add_evidence(said.digest, said.payload)
        agency.enrol(
            at=session.at,
            purpose=renewal.purpose,
            algorithm=renewal.algorithm.value if signing else "",
            key_id=certificate.key_id,
            certificate=certificate.digest.hex(),
            issuers=certificate.issuer_digests,
            not_before=format_time(certificate.not_before),
            not_after=format_time(certificate.not_after),
            by=self.spoken.agency,
            request_id=renewal.header.request_id,
            renewal=judged.record,
            possession=proven,
        )
        session.record(agency, self.request)
        store_given(session, certificate)


def require_possession(
    signed: SignedStatement, renewal: Renewal, certificate: SuitableCertificate
) -> StatementRecord:
    """The record of a proof of possession, signed with the certificate's own key.

    Raises PossessionUnproven.
    """
    try:
        key = PublicKey.from_certificate(renewal.certificate, renewal.algorithm)
    except VerificationFailed as error:
        raise CertificateUnsuitable(str(error)) from error
    if not signed.key_id == key.key_id == certificate.key_id:
        raise PossessionUnproven(
            "the possession statement is not signed with the key of the new certificate"
        )
    try:
        key.verify(signed.pae, signed.signature)
    except VerificationFailed as error:
        raise PossessionUnproven(
            "the signature of the possession statement does not fit the new certificate",
            key_id=key.key_id,
        ) from error
    return intake.record_of(signed, key)


class Renewals:
    """What an agency may do with its certificates by itself."""

    def __init__(
        self,
        *,
        origin: str,
        lane: Lane,
        suitability: Suitability,
        policy: intake.StalePolicy = intake.WARNING_ONLY,
    ) -> None:
        self._origin = origin
        self._lane = lane
        self._suitability = suitability
        self._policy = policy

    async def renew(
        self,
        agency: str,
        signed: SignedStatement,
        possession: SignedStatement,
        answers: Sequence[bytes] = (),
    ) -> tuple[Recorded, str]:
        """Enrol a certificate; the receipt of `CertificateEnrolled`, and the key's id.

        `answers` are OCSP answers about it (DER) that the agency has; they are judged and kept.

        The steps of the checks on statements (`intake`), then: 8. The possession statement
        is about this renewal. 9. and 10. are the lane's: the certificate may be enrolled, its
        key signed the possession statement, and nobody has it yet.
        """
        renewal = intake.read(signed, Renewal, agency=agency, origin=self._origin)
        proof = intake.read(possession, Possession, agency=agency, origin=self._origin)
        if proof.renewal_digest != signed.digest.hex():
            raise StatementMalformed(
                "the possession statement is about another renewal", field="renewal_digest"
            )
        # Judged in the lane alone: renewals are few, and one that is recorded gets its first
        # answer there, whatever has become of the old key since.
        spoken = Spoken(agency, signed, None, -1, self._policy)
        command = RenewCertificate(spoken, renewal, possession, self._suitability, answers)
        recorded = same_kind(await self._lane.do(command), signed)
        key_id: str = read_event(recorded.receipt.leaf).data["key_id"]
        return recorded, key_id
