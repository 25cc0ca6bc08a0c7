"""The first facts of a hub: its log, its key, its operator."""

from __future__ import annotations

from dataclasses import dataclass

from hub.application.certificates import SuitableCertificate
from hub.application.ports import RequestKey
from hub.application.registry import Role
from hub.application.session import Session
from hub.domain.hub_key import HubKey
from hub.domain.log import Log
from hub.domain.principal import Principal
from hub.domain.values import format_time

FOUNDER = "init"
"""Who is named as the author of the first facts: nobody else was there."""


@dataclass(frozen=True, slots=True)
class FoundHub:
    """Open the log, activate its key, enrol the first operator. Only on an empty log."""

    origin: str
    verifier_key: str
    operator: str
    operator_certificate: SuitableCertificate

    @property
    def request(self) -> RequestKey | None:
        """None: it happens once."""
        return None

    def decide(self, session: Session) -> None:
        """Record `LogOpened` at position 0, the key's two events, and `PrincipalEnrolled`."""
        session.record(Log.open(log_id=session.new_id(), at=session.at, origin=self.origin))
        key = HubKey.announce(
            key_id=session.new_id(),
            at=session.at,
            purpose="checkpoint",
            verifier_key=self.verifier_key,
            by=FOUNDER,
        )
        key.activate(at=session.at, by=FOUNDER)
        session.record(key)
        certificate = self.operator_certificate
        session.add_evidence(certificate.digest, certificate.der)
        session.record(
            Principal.enrol(
                principal_id=session.new_id(),
                at=session.at,
                name=self.operator,
                role=Role.OPERATOR.value,
                key_id=certificate.key_id,
                certificate=certificate.digest.hex(),
                not_before=format_time(certificate.not_before),
                not_after=format_time(certificate.not_after),
                by=FOUNDER,
                request_id="",
            )
        )
