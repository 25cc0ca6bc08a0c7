"""The log itself: which log it is, its calendar, and who watches it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Self
from uuid import UUID

from eventsourcing.domain import event

from hub.domain.aggregate import Aggregate


class Log(Aggregate):
    """The transparency log of one hub."""

    TOPIC = "hub.Log"

    class Created(Aggregate.Created):
        """The log was opened under an origin, the name every statement and checkpoint carries."""

        TOPIC = "hub.Log.LogOpened"
        origin: str

    class CalendarCorrected(Aggregate.Event):
        """An operator decided whether one day is a working day, over what the library says.

        `day` is an ISO date. `basis` names the public decision, e.g. `QĐ 123/QĐ-TTg`; `by`
        the operator. The last correction of a day counts, from its position on.
        """

        TOPIC = "hub.Log.CalendarCorrected"
        day: str
        working: bool
        basis: str
        by: str
        request_id: str

    class WitnessSetChanged(Aggregate.Event):
        """From here on these witnesses are asked to cosign, all of them, by verifier key."""

        TOPIC = "hub.Log.WitnessSetChanged"
        witnesses: list[str]

    class LogReopened(Aggregate.Event):
        """The log goes on under another origin and key; always the first event after `kept_size`.

        Events below `kept_size` are those of the old log, at their old positions. Those from
        `kept_size` up to `last_size` are lost; none are where it is not larger. `last_size` and
        `last_root` (hexadecimal) are those of the newest tree that the old key is known to have
        signed, `checkpoint` its signed note, or empty. `reason` is a code word, `basis` names
        the decision, `order` and `approval` are the digests of what two operators signed.
        """

        TOPIC = "hub.Log.LogReopened"
        old_origin: str
        origin: str
        kept_size: int
        kept_root: str
        last_size: int
        last_root: str
        checkpoint: str
        reason: str
        basis: str
        order: str
        ordered_by: str
        approval: str
        approved_by: str

    class LogFrozen(Aggregate.Event):
        """An operator stopped the log: from here on nothing is accepted but what mends it.

        `reason` is a code word.
        """

        TOPIC = "hub.Log.LogFrozen"
        reason: str
        by: str
        request_id: str

    class LogThawed(Aggregate.Event):
        """The log goes on after `LogFrozen`, as two operators decided.

        `order` and `approval` are the digests of what they signed.
        """

        TOPIC = "hub.Log.LogThawed"
        order: str
        ordered_by: str
        approval: str
        approved_by: str
        reason: str
        basis: str

    class TrustedRootPublished(Aggregate.Event):
        """The next edition of the trusted root is out, signed by its root keys.

        `digest` is SHA-256 of the file in hexadecimal; the file lies in the evidence store.
        """

        TOPIC = "hub.Log.TrustedRootPublished"
        edition: int
        digest: str
        by: str
        request_id: str

    @classmethod
    def open(cls, *, log_id: UUID, at: datetime, origin: str) -> Self:
        """Open the log; always the event at position 0."""
        return cls._create(cls.Created, id=log_id, timestamp=at, origin=origin)

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.witnesses: list[str] = []
        self.frozen = False
        self.edition = 0

    def correct_calendar(
        self, *, at: datetime, day: date, working: bool, basis: str, by: str, request_id: str
    ) -> None:
        """Record whether a day is a working day."""
        self.trigger_event(
            self.CalendarCorrected,
            timestamp=at,
            day=day.isoformat(),
            working=working,
            basis=basis,
            by=by,
            request_id=request_id,
        )

    def reopen(self, *, at: datetime, **facts: object) -> None:
        """Record that the log goes on under another origin and key."""
        self.trigger_event(self.LogReopened, timestamp=at, **facts)

    @event(LogReopened)
    def _apply_reopened(self, origin: str) -> None:
        self.origin = origin

    @event(CalendarCorrected)
    def _apply_calendar_corrected(self) -> None:
        pass  # The register keeps the calendar: deadlines are nothing the log decides by.

    def change_witnesses(self, *, at: datetime, witnesses: Sequence[str]) -> None:
        """Have another set of witnesses, sorted, C2SP verifier keys each."""
        self.trigger_event(self.WitnessSetChanged, timestamp=at, witnesses=sorted(witnesses))

    @event(WitnessSetChanged)
    def _apply_witnesses(self, witnesses: list[str]) -> None:
        self.witnesses = witnesses

    def freeze(self, *, at: datetime, reason: str, by: str, request_id: str) -> None:
        """Stop the log. Whether it may, others decide; to stop it twice does no harm."""
        self.trigger_event(
            self.LogFrozen, timestamp=at, reason=reason, by=by, request_id=request_id
        )

    @event(LogFrozen)
    def _apply_frozen(self) -> None:
        self.frozen = True

    def thaw(self, *, at: datetime, **facts: str) -> None:
        """Let the log go on."""
        self.trigger_event(self.LogThawed, timestamp=at, **facts)

    @event(LogThawed)
    def _apply_thawed(self) -> None:
        self.frozen = False

    def publish_trusted_root(
        self, *, at: datetime, edition: int, digest: str, by: str, request_id: str
    ) -> None:
        """Record the next edition of the trusted root. Whether it holds, others decide."""
        self.trigger_event(
            self.TrustedRootPublished,
            timestamp=at,
            edition=edition,
            digest=digest,
            by=by,
            request_id=request_id,
        )

    @event(TrustedRootPublished)
    def _apply_trusted_root(self, edition: int) -> None:
        self.edition = edition
