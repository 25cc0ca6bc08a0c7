"""The record of refused submissions: who tried, and why the hub said no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.application.lane import Lane
from hub.application.ports import Clock, RequestKey
from hub.application.session import Session
from hub.domain.refusal import Refusal
from hub.errors import (
    AgencySucceeded,
    AgencySuspended,
    ContentMissing,
    DigestMismatch,
    HubError,
    KeyExpired,
    KeyNotYetValid,
    KeyRevoked,
    KeyUnknown,
    RecipientUnknown,
    SecretDocument,
    SignatureInvalid,
)
from hub.proof.dsse import SignedStatement

RECORDED_REASONS = frozenset(
    error.reason
    for error in (
        KeyUnknown,
        KeyRevoked,
        KeyNotYetValid,
        KeyExpired,
        SignatureInvalid,
        ContentMissing,
        DigestMismatch,
        RecipientUnknown,
        SecretDocument,
        AgencySuspended,
        AgencySucceeded,
    )
)
REFUSALS_PER_MINUTE_MAX = 10
_PAYLOAD_TYPE_CHARS_MAX = 100


@dataclass(frozen=True, slots=True)
class RecordRefusal:
    """Record that a submission was refused. Nobody gets a receipt for it."""

    agency: str
    reason: str
    payload_type: str
    digest: bytes

    @property
    def request(self) -> RequestKey | None:
        """None: a refusal binds no request id."""
        return None

    def decide(self, session: Session) -> None:
        """Record `SubmissionRefused`."""
        session.record(
            Refusal.record(
                refusal_id=session.new_id(),
                at=session.at,
                agency=self.agency,
                reason=self.reason,
                payload_type=self.payload_type[:_PAYLOAD_TYPE_CHARS_MAX],
                digest=self.digest.hex(),
            )
        )


class RefusalRecorder:
    """Records listed refusals, at most ten a minute for each agency.

    The limit keeps an agency from growing the log by knocking in vain; beyond it the
    refusal is still the answer, only its record is left out.
    """

    def __init__(self, lane: Lane, clock: Clock, log: Callable[[str, HubError], None]) -> None:
        self._lane = lane
        self._clock = clock
        self._log = log
        self._recent: dict[str, list[datetime]] = {}

    async def note(self, agency: str, signed: SignedStatement, refusal: HubError) -> None:
        """Record a refusal if its reason is listed and the agency's minute is not full."""
        if refusal.reason not in RECORDED_REASONS or not self._has_room(agency):
            return
        try:
            await self._lane.do(
                RecordRefusal(agency, refusal.reason, signed.payload_type, signed.digest)
            )
        except HubError as error:
            # The refusal itself stands and is the caller's answer; its record is a courtesy
            # of a hub that can write, and this one cannot just now.
            self._log(agency, error)

    def _has_room(self, agency: str) -> bool:
        now = self._clock()
        recent = [at for at in self._recent.get(agency, ()) if now - at < timedelta(minutes=1)]
        room = len(recent) < REFUSALS_PER_MINUTE_MAX
        self._recent[agency] = [*recent, now] if room else recent
        return room
