"""Enrol those who may replay everything and read documents for a case."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from hub.application.agencies import operator_request
from hub.application.certificates import Suitability
from hub.application.lane import Lane, Recorded
from hub.application.ports import RequestKey
from hub.application.principals import enrol_principal
from hub.application.registry import Role
from hub.application.session import Session
from hub.errors import RequestMalformed

_NAME = re.compile(r"(?=.{1,40}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class EnrolAuditor:
    """Let whoever holds a certificate's key call as an auditor."""

    operator: str
    request_id: str
    name: str
    certificate: bytes
    suitability: Suitability = field(repr=False)

    @property
    def request(self) -> RequestKey:
        """Bound to the operator, the auditor and the certificate."""
        digest = hashlib.sha256(self.certificate).hexdigest()
        return operator_request(self.operator, self.request_id, "auditor", self.name, digest)

    def decide(self, session: Session) -> None:
        """Record `PrincipalEnrolled` and keep the certificate as evidence."""
        certificate = self.suitability.require(self.certificate, "transport", None, session.at)
        enrol_principal(
            session, certificate, self.name, Role.AUDITOR, by=self.operator, request=self.request
        )


class Auditors:
    """What an operator may ask about auditors."""

    def __init__(self, lane: Lane, suitability: Suitability) -> None:
        self._lane = lane
        self._suitability = suitability

    async def enrol(
        self, operator: str, request_id: str, *, name: str, certificate: bytes
    ) -> Recorded:
        """Enrol an auditor's certificate; the receipt of `PrincipalEnrolled`.

        Raises RequestMalformed, CertificateUnsuitable and KeyTaken.
        """
        if not _NAME.fullmatch(name):
            raise RequestMalformed(
                "name must be one code word: small letters, digits and hyphens, at most 40",
                field="name",
            )
        command = EnrolAuditor(operator, request_id, name, certificate, self._suitability)
        return await self._lane.do(command)
