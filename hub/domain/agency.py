"""Who takes part in the exchange, under which codes, with which certificates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

from eventsourcing.domain import event

from hub import errors
from hub.domain.aggregate import Aggregate

OTHER_CODES_MAX = 20


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
        the evidence store. `purpose` is `signing` or `transport`; `algorithm` is empty for
        transport.
        """

        TOPIC = "hub.Agency.CertificateEnrolled"
        agency: str
        purpose: str
        algorithm: str
        key_id: str
        certificate: str
        not_before: str
        not_after: str
        by: str
        request_id: str

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
        self.key_ids: list[str] = []
        self.suspended = False
        self.successor: str | None = None

    def enrol(self, *, at: datetime, **facts: str) -> None:
        """Put a certificate into force."""
        self.trigger_event(self.CertificateEnrolled, timestamp=at, agency=self.code, **facts)

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
    def _apply_enrolled(self, key_id: str) -> None:
        self.key_ids.append(key_id)

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
