"""Keep the register: who takes part, with which certificates."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hub.application.certificates import Suitability
from hub.application.given_answers import store_given
from hub.application.lane import Lane, Recorded
from hub.application.mapper import read_event
from hub.application.ports import RequestKey
from hub.application.registry import AgencyEntry, Registry
from hub.application.session import Session
from hub.domain.agency import Agency
from hub.domain.values import format_time
from hub.errors import AgencyExists, AgencyUnknown, RequestMalformed
from hub.proof.signatures import Algorithm
from hub.proof.statements import AGENCY_CODE, AGENCY_CODE_WORDS

_NAME_CHARS_MAX = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class RegisterAgency:
    """Register an agency under a code nobody has."""

    operator: str
    request_id: str
    code: str
    name: str
    other_codes: tuple[str, ...] = ()

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and to what is registered."""
        return operator_request(
            self.operator, self.request_id, "register", self.code, self.name, *self.other_codes
        )

    def decide(self, session: Session) -> None:
        """Record `AgencyRegistered`."""
        require_free(session.registry, [self.code, *self.other_codes])
        agency = Agency.register(
            agency_id=session.new_id(),
            at=session.at,
            code=self.code,
            other_codes=self.other_codes,
            name=self.name,
            by=self.operator,
            request_id=self.request_id,
        )
        session.record(agency, self.request)


@dataclass(frozen=True, slots=True)
class EnrolCertificate:
    """Put a certificate of an agency into force."""

    operator: str
    request_id: str
    code: str
    purpose: str
    algorithm: Algorithm | None
    certificate: bytes
    suitability: Suitability = field(repr=False)
    answers: Sequence[bytes] = field(default=(), repr=False)

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and to what is enrolled, not to what others say of it."""
        return operator_request(
            self.operator,
            self.request_id,
            "enrol",
            self.code,
            self.purpose,
            self.algorithm or "",
            hashlib.sha256(self.certificate).hexdigest(),
        )

    def decide(self, session: Session) -> None:
        """Record `CertificateEnrolled` and keep the certificate as evidence."""
        entry = session.registry.agencies.get(self.code)
        if entry is None or entry.via:
            raise AgencyUnknown(
                f"no agency with the code {self.code}; register it first", code=self.code
            )
        # Judged here, so that a repeated call gets its first answer whatever has expired since.
        certificate = self.suitability.require(
            self.certificate, self.purpose, self.algorithm, session.at, self.answers
        )
        session.registry.require_new_key(certificate.key_id)
        agency = session.history.agency(entry.agency_id)
        session.add_certificate(certificate)
        agency.enrol(
            at=session.at,
            purpose=self.purpose,
            algorithm=self.algorithm.value if self.algorithm else "",
            key_id=certificate.key_id,
            certificate=certificate.digest.hex(),
            issuers=certificate.issuer_digests,
            not_before=format_time(certificate.not_before),
            not_after=format_time(certificate.not_after),
            by=self.operator,
            request_id=self.request_id,
        )
        session.record(agency, self.request)
        store_given(session, certificate)


def operator_request(operator: str, request_id: str, *parts: str) -> RequestKey:
    """What makes an operator's call idempotent: bound to the operator and to these parts."""
    digest = hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).digest()
    # Operators and agencies have request ids of their own, whatever they are called.
    return RequestKey(f"operator:{operator}", request_id, digest)


def require_free(registry: Registry, codes: Sequence[str]) -> None:
    """Refuse codes that an agency has already, as its primary one or another."""
    for code in codes:
        if registry.taken_by(code) is not None:
            raise AgencyExists(f"the code {code} is registered already", code=code)


def require_code(code: str, field: str) -> None:
    """Refuse what does not have the form of an agency's code."""
    if not AGENCY_CODE.fullmatch(code):
        raise RequestMalformed(f"{field} must be {AGENCY_CODE_WORDS}", field=field)


def require_name(name: str) -> None:
    """Refuse a name that is empty, too long or no line of text."""
    if not 1 <= len(name) <= _NAME_CHARS_MAX or _CONTROL.search(name):
        raise RequestMalformed(
            f"name must have 1 to {_NAME_CHARS_MAX} characters and no control characters",
            field="name",
        )


class Agencies:
    """What an operator may ask about the register."""

    def __init__(
        self,
        *,
        lane: Lane,
        registry: Callable[[], Registry],
        suitability: Suitability,
    ) -> None:
        self._lane = lane
        self._registry = registry
        self._suitability = suitability

    async def register(
        self,
        operator: str,
        request_id: str,
        code: str,
        name: str,
        other_codes: Sequence[str] = (),
    ) -> Recorded:
        """Register an agency; the receipt of `AgencyRegistered`."""
        require_code(code, "code")
        for other in other_codes:
            require_code(other, "other_codes")
        require_name(name)
        command = RegisterAgency(operator, request_id, code, name, tuple(other_codes))
        return await self._lane.do(command)

    async def enrol(
        self,
        operator: str,
        request_id: str,
        *,
        code: str,
        purpose: str,
        algorithm: Algorithm | None,
        certificate: bytes,
        answers: Sequence[bytes] = (),
    ) -> tuple[Recorded, str]:
        """Enrol a certificate; the receipt of `CertificateEnrolled`, and the key's id.

        `answers` are OCSP answers about it (DER) that the caller has; they are judged and kept.
        """
        command = EnrolCertificate(
            operator,
            request_id,
            code,
            purpose,
            algorithm,
            certificate,
            self._suitability,
            answers,
        )
        recorded = await self._lane.do(command)
        key_id: str = read_event(recorded.receipt.leaf).data["key_id"]
        return recorded, key_id

    def agencies(self, after: str, limit: int) -> Sequence[AgencyEntry]:
        """Registered agencies by rising code, those after a code."""
        register = self._registry().agencies
        codes = sorted(code for code in register if code > after)
        return [register[code] for code in codes[:limit]]
