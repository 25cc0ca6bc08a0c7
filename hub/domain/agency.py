"""Who takes part in the exchange, under which codes, with which certificates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import event

from hub import errors
from hub.domain.aggregate import Aggregate, StatementRecord
from hub.domain.values import format_time

OTHER_CODES_MAX = 20

REVOCATION_REASONS = (
    "unspecified",
    "key-compromise",
    "ca-compromise",
    "affiliation-changed",
    "superseded",
    "cessation-of-operation",
    "certificate-hold",
    "privilege-withdrawn",
    "aa-compromise",
)
"""Why a certificate is revoked: the CRLReason names of RFC 5280 section 5.3.1, in our spelling.

A certificate on hold is revoked like any other: who comes back enrols a new key.
"""


class Agency(Aggregate):
    """An agency that may send and receive documents.

    Its primary code names it for ever: in events, statements and boxes. Other codes are
    further names under which documents may be addressed to it (docs/decisions/0012).
    """

    TOPIC = "hub.Agency"

    class Created(Aggregate.Created):
        """An operator registered the agency. `by` names the operator."""

        TOPIC = "hub.Agency.AgencyRegistered"
        code: str
        other_codes: list[str]
        name: str
        by: str
        request_id: str

    class CertificateEnrolled(Aggregate.Event):
        """A certificate came into force for the agency.

        `certificate` is SHA-256 of the DER in hexadecimal; the certificate itself lies in
        the evidence store, and so do the `issuers`: those above it up to the trust anchor, its
        own issuer first. `purpose` is `signing` or `transport`; `algorithm` is empty for
        transport. Where the agency renewed it by itself, `by` is its code, and `renewal` and
        `possession` are what it signed, with the old key and the new one; their payloads lie
        in the evidence store. Else both are None.
        """

        TOPIC = "hub.Agency.CertificateEnrolled"
        class_version = 2
        agency: str
        purpose: str
        algorithm: str
        key_id: str
        certificate: str
        issuers: list[str]
        not_before: str
        not_after: str
        by: str
        request_id: str
        renewal: StatementRecord | None
        possession: StatementRecord | None

        @staticmethod
        def upcast_v1_v2(data: Mapping[str, Any]) -> Mapping[str, Any]:
            """Only operators enrolled certificates then, and nobody kept the chain."""
            return {**data, "issuers": [], "renewal": None, "possession": None}

    class AgencyRenamed(Aggregate.Event):
        """The agency has this public name and these other codes from here on, all of them."""

        TOPIC = "hub.Agency.AgencyRenamed"
        agency: str
        name: str
        other_codes: list[str]
        by: str
        request_id: str

    class AgencySuspended(Aggregate.Event):
        """The agency reads and answers, but neither sends nor is sent to.

        `reason` is one code word. Words about people do not belong into a log that nothing
        is ever taken out of.
        """

        TOPIC = "hub.Agency.AgencySuspended"
        agency: str
        reason: str
        by: str
        request_id: str

    class AgencyReinstated(Aggregate.Event):
        """The suspension is over."""

        TOPIC = "hub.Agency.AgencyReinstated"
        agency: str
        by: str
        request_id: str

    class AgencySucceededBy(Aggregate.Event):
        """Another agency took over, for good: its boxes, its documents, what is sent to it."""

        TOPIC = "hub.Agency.AgencySucceededBy"
        agency: str
        successor: str
        by: str
        request_id: str

    class CertificateRevoked(Aggregate.Event):
        """The certificate is good for nothing from here on; its key is never enrolled again.

        What was accepted from `effective` on and before this position stands, and is in
        doubt. `reason` is a word of RFC 5280 section 5.3.1. `evidence` is the digest of the
        CRL or OCSP answer that said so, empty where an operator (`by`) did.
        """

        TOPIC = "hub.Agency.CertificateRevoked"
        agency: str
        purpose: str
        key_id: str
        certificate: str
        reason: str
        effective: str
        evidence: str
        by: str
        request_id: str

    class RevocationReviewed(Aggregate.Event):
        """Every statement in doubt for one revocation is recorded as such: `in_doubt` of them.

        `revocation` is the position of the `CertificateRevoked`. What it left out was not
        signed with this key from the effective time on.
        """

        TOPIC = "hub.Agency.RevocationReviewed"
        agency: str
        key_id: str
        revocation: int
        in_doubt: int

    @classmethod
    def register(
        cls,
        *,
        agency_id: UUID,
        at: datetime,
        code: str,
        name: str,
        by: str,
        request_id: str,
        other_codes: Sequence[str] = (),
    ) -> Self:
        """Register an agency under codes nobody has. Raises RequestMalformed, TooLarge."""
        if code in other_codes or len(set(other_codes)) != len(other_codes):
            raise errors.RequestMalformed("other_codes names a code twice", field="other_codes")
        _require_few(other_codes)
        return cls._create(
            cls.Created,
            id=agency_id,
            timestamp=at,
            code=code,
            other_codes=list(other_codes),
            name=name,
            by=by,
            request_id=request_id,
        )

    def __init__(self, code: str, name: str, other_codes: list[str]) -> None:
        self.code = code
        self.name = name
        self.other_codes = other_codes
        self.enrolled: dict[str, tuple[str, str]] = {}
        self.renewed: dict[str, tuple[str, datetime]] = {}
        self.revoked: dict[str, str] = {}
        self.reviewed: list[int] = []
        self.suspended = False
        self.successor: str | None = None

    def enrol(
        self,
        *,
        at: datetime,
        issuers: Sequence[str] = (),
        renewal: StatementRecord | None = None,
        possession: StatementRecord | None = None,
        **facts: str,
    ) -> None:
        """Put a certificate into force; with the statements of an agency that renews by itself."""
        self.trigger_event(
            self.CertificateEnrolled,
            timestamp=at,
            agency=self.code,
            issuers=list(issuers),
            renewal=renewal,
            possession=possession,
            **facts,
        )

    def heirs(self, key_id: str, since: datetime) -> list[str]:
        """Keys not revoked that this key, or one of its heirs, vouched for from a time on."""
        found: list[str] = []
        waiting = [key_id]
        while waiting:
            parent = waiting.pop()
            for heir, (vouched_by, at) in self.renewed.items():
                if vouched_by == parent and at >= since and heir not in found:
                    found.append(heir)
                    waiting.append(heir)
        return [heir for heir in found if heir not in self.revoked]

    def revoke(
        self,
        *,
        at: datetime,
        key_id: str,
        reason: str,
        effective: datetime,
        evidence: str,
        by: str,
        request_id: str,
    ) -> None:
        """Put a certificate out of force, for good.

        Raises KeyUnknown; KeyRevoked, unless the new effective time is an earlier one; and
        RequestMalformed for a reason that is none and for a time that has not come.
        """
        if key_id not in self.enrolled:
            raise errors.KeyUnknown(
                f"no certificate with this key was enrolled for {self.code}",
                agency=self.code,
                key_id=key_id[:64],
            )
        if reason not in REVOCATION_REASONS:
            raise errors.RequestMalformed(
                f"reason must be one of {', '.join(REVOCATION_REASONS)}", field="reason"
            )
        if effective > at:
            raise errors.RequestMalformed(
                "a revocation takes effect now or earlier, not later", field="effective_time"
            )
        known = self.revoked.get(key_id)
        if known is not None and format_time(effective) >= known:
            raise errors.KeyRevoked(
                f"this key is revoked already, from {known} on", key_id=key_id, effective=known
            )
        purpose, certificate = self.enrolled[key_id]
        self.trigger_event(
            self.CertificateRevoked,
            timestamp=at,
            agency=self.code,
            purpose=purpose,
            key_id=key_id,
            certificate=certificate,
            reason=reason,
            effective=format_time(effective),
            evidence=evidence,
            by=by,
            request_id=request_id,
        )

    def review(self, *, at: datetime, key_id: str, revocation: int, in_doubt: int) -> None:
        """Say that all statements in doubt for a revocation are recorded."""
        self.trigger_event(
            self.RevocationReviewed,
            timestamp=at,
            agency=self.code,
            key_id=key_id,
            revocation=revocation,
            in_doubt=in_doubt,
        )

    def rename(
        self,
        *,
        at: datetime,
        name: str,
        add_codes: Sequence[str],
        remove_codes: Sequence[str],
        by: str,
        request_id: str,
    ) -> None:
        """Change the name (empty: it stays) and the other codes.

        Raises RequestMalformed for a code to remove that is none of its other codes, and for
        one named twice; TooLarge.
        """
        strange = [code for code in remove_codes if code not in self.other_codes]
        if strange:
            raise errors.RequestMalformed(
                f"{strange[0]} is none of the other codes of {self.code}", field="remove_codes"
            )
        kept = [code for code in self.other_codes if code not in remove_codes]
        codes = [*kept, *add_codes]
        if len(set(codes)) != len(codes):
            raise errors.RequestMalformed("add_codes names a code twice", field="add_codes")
        _require_few(codes)
        self.trigger_event(
            self.AgencyRenamed,
            timestamp=at,
            agency=self.code,
            name=name or self.name,
            other_codes=codes,
            by=by,
            request_id=request_id,
        )

    def suspend(self, *, at: datetime, reason: str, by: str, request_id: str) -> None:
        """Suspend it. Raises AgencySuspended when it is."""
        if self.suspended:
            raise errors.AgencySuspended(f"{self.code} is suspended already", agencies=self.code)
        self.trigger_event(
            self.AgencySuspended,
            timestamp=at,
            agency=self.code,
            reason=reason,
            by=by,
            request_id=request_id,
        )

    def reinstate(self, *, at: datetime, by: str, request_id: str) -> None:
        """End its suspension. Raises AgencyNotSuspended when there is none."""
        if not self.suspended:
            raise errors.AgencyNotSuspended(f"{self.code} is not suspended", agency=self.code)
        self.trigger_event(
            self.AgencyReinstated, timestamp=at, agency=self.code, by=by, request_id=request_id
        )

    def succeed(self, *, at: datetime, successor: Agency, by: str, request_id: str) -> None:
        """Hand everything over to another agency. Raises RequestMalformed, AgencySucceeded.

        The successor must not have a successor itself. As nobody gets a second one, this
        alone keeps chains from closing into a ring.
        """
        if successor.code == self.code:
            raise errors.RequestMalformed("an agency cannot succeed itself", field="successor")
        for agency in (self, successor):
            if agency.successor is not None:
                raise errors.AgencySucceeded(
                    f"{agency.code} was succeeded by {agency.successor}",
                    agency=agency.code,
                    successor=agency.successor,
                )
        self.trigger_event(
            self.AgencySucceededBy,
            timestamp=at,
            agency=self.code,
            successor=successor.code,
            by=by,
            request_id=request_id,
        )

    @event(CertificateEnrolled)
    def _apply_enrolled(
        self,
        key_id: str,
        purpose: str,
        certificate: str,
        renewal: StatementRecord | None,
        timestamp: datetime,
    ) -> None:
        self.enrolled[key_id] = (purpose, certificate)
        if renewal is not None:
            self.renewed[key_id] = (renewal["key_id"], timestamp)

    @event(CertificateRevoked)
    def _apply_revoked(self, key_id: str, effective: str) -> None:
        self.revoked[key_id] = effective

    @event(RevocationReviewed)
    def _apply_reviewed(self, revocation: int) -> None:
        self.reviewed.append(revocation)

    @event(AgencyRenamed)
    def _apply_renamed(self, name: str, other_codes: list[str]) -> None:
        self.name = name
        self.other_codes = other_codes

    @event(AgencySuspended)
    def _apply_suspended(self) -> None:
        self.suspended = True

    @event(AgencyReinstated)
    def _apply_reinstated(self) -> None:
        self.suspended = False

    @event(AgencySucceededBy)
    def _apply_succeeded(self, successor: str) -> None:
        self.successor = successor


def _require_few(other_codes: Sequence[str]) -> None:
    if len(other_codes) > OTHER_CODES_MAX:
        raise errors.TooLarge(
            f"an agency has at most {OTHER_CODES_MAX} codes beside its first",
            limit=str(OTHER_CODES_MAX),
        )
