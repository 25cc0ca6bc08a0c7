"""Let operators in, and put them out: those who keep the register, and stand for each other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from hub.application.agencies import operator_request
from hub.application.certificates import Suitability
from hub.application.lane import Lane, Recorded
from hub.application.ports import RequestKey
from hub.application.principals import enrol_principal, revoke_principals
from hub.application.registry import OperatorEntry, Registry, Role
from hub.application.session import Session
from hub.domain.values import format_time
from hub.errors import OperatorExists, OperatorUnknown, RequestMalformed
from hub.proof.statements import CODE_WORD

_NAME_CHARS_MAX = 35  # So many stand in a statement, where an agency's code would.


@dataclass(frozen=True, slots=True)
class EnrolOperator:
    """Let whoever holds a certificate's key call, and sign, as an operator."""

    while_frozen: ClassVar = True

    operator: str
    request_id: str
    name: str
    certificate: bytes
    suitability: Suitability = field(repr=False)

    @property
    def request(self) -> RequestKey:
        """Bound to the operator who lets in, the one let in, and the certificate."""
        digest = hashlib.sha256(self.certificate).hexdigest()
        return operator_request(self.operator, self.request_id, "operator", self.name, digest)

    def decide(self, session: Session) -> None:
        """Record `PrincipalEnrolled` and keep the certificate as evidence."""
        registry = session.registry
        # Whoever could add a key to another's name could be two operators by himself.
        if self.name in registry.operator_lines and self.name != self.operator:
            raise OperatorExists(
                f"there is, or was, an operator called {self.name}; choose another name",
                name=self.name,
            )
        certificate = self.suitability.require(self.certificate, "transport", None, session.at)
        enrol_principal(
            session, certificate, self.name, Role.OPERATOR, by=self.operator, request=self.request
        )


@dataclass(frozen=True, slots=True)
class RevokeOperator:
    """Put an operator out, with all of its certificates. `effective` None is now."""

    while_frozen: ClassVar = True

    operator: str
    request_id: str
    name: str
    reason: str
    effective: datetime | None = None

    @property
    def request(self) -> RequestKey:
        """Bound to the operator who puts out, the one put out, the reason and the time named."""
        since = (format_time(self.effective),) if self.effective else ()
        parts = ("revoke-operator", self.name, self.reason, *since)
        return operator_request(self.operator, self.request_id, *parts)

    def decide(self, session: Session) -> None:
        """Record `PrincipalRevoked` for each certificate; the first answers the request."""
        entry = session.registry.operators.get(self.name)
        if entry is None:
            raise OperatorUnknown(f"no operator called {self.name} is in force", name=self.name)
        revoke_principals(
            session,
            entry.principals.values(),
            reason=self.reason,
            effective=self.effective or session.at,
            by=self.operator,
            request=self.request,
        )


class Operators:
    """What an operator may ask about operators. All of it is recorded."""

    def __init__(
        self, lane: Lane, registry: Callable[[], Registry], suitability: Suitability
    ) -> None:
        self._lane = lane
        self._registry = registry
        self._suitability = suitability

    async def enrol(
        self, operator: str, request_id: str, *, name: str, certificate: bytes
    ) -> Recorded:
        """Enrol an operator's certificate; the receipt of `PrincipalEnrolled`.

        Raises RequestMalformed, OperatorExists, CertificateUnsuitable and KeyTaken.
        """
        if len(name) > _NAME_CHARS_MAX or not CODE_WORD.fullmatch(name):
            raise RequestMalformed(
                "name must be one code word: small letters, digits and hyphens, at most "
                f"{_NAME_CHARS_MAX}",
                field="name",
            )
        command = EnrolOperator(operator, request_id, name, certificate, self._suitability)
        return await self._lane.do(command)

    async def revoke(
        self,
        operator: str,
        request_id: str,
        *,
        name: str,
        reason: str,
        effective: datetime | None = None,
    ) -> Recorded:
        """Put an operator out at once; the receipt of `PrincipalRevoked`.

        Nobody puts out itself, so one always remains. Raises RequestMalformed and
        OperatorUnknown.
        """
        if not CODE_WORD.fullmatch(reason):
            raise RequestMalformed(
                "reason must be one code word: small letters, digits and hyphens, at most 40",
                field="reason",
            )
        if name == operator:
            raise RequestMalformed("nobody puts out itself; ask another operator", field="name")
        return await self._lane.do(RevokeOperator(operator, request_id, name, reason, effective))

    def operators(self) -> Sequence[OperatorEntry]:
        """The operators in force, by name; there are few."""
        register = self._registry().operators
        return [register[name] for name in sorted(register)]
