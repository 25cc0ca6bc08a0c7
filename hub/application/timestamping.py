"""The job that gets timestamps: of each authority one an hour, and renewals before they end.

It never stands in anybody's way. Authorities may be gone for days; documents go on, what
waits is counted, and the first answer covers all of it, since a checkpoint covers everything
before it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hub.application.lane import Lane, Receipts
from hub.application.offload import Offloader
from hub.application.ports import Clock, Randomness, RequestKey, TimestampAuthority
from hub.application.session import Session
from hub.application.timestamp_book import (
    ObtainedTimestamp,
    TimestampBook,
    Waiting,
    renewed_of,
)
from hub.domain.timestamp import Timestamp
from hub.domain.values import format_time, sha256_hex
from hub.errors import VerificationFailed
from hub.evidence.chains import anchors_among
from hub.evidence.renewals import RenewalMessage
from hub.evidence.tokens import (
    NONCE_BYTES,
    VerifiedToken,
    build_request,
    token_in,
    verify_token,
)

CLOCK_DIFFERENCE_MAX = timedelta(minutes=10)
RENEWAL_EVERY = timedelta(days=1)
_FIRST_DELAY = timedelta(seconds=30)
# A renewal is for nothing unless it lasts longer; a day keeps it from chasing its own tail.
_GAIN_MIN = timedelta(days=1)
_RENEWALS_AT_ONCE = 8
_NEVER = datetime.min.replace(tzinfo=UTC)


class RenewalImpossible(Exception):
    """No authority has a certificate that would outlast the tokens that are about to end."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often each authority is asked, and how long before its end a token is renewed."""

    every: timedelta
    renew_before: timedelta


@dataclass(frozen=True, slots=True)
class TrustedAuthority:
    """An authority to ask, by the operator's name for it, with what its answers are held against.

    `certificates` are in DER; those that issued themselves are the anchors.
    """

    name: str
    port: TimestampAuthority
    certificates: tuple[bytes, ...]
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class AuthorityStatus:
    """How it stands with one authority.

    `waiting` is what its newest token does not cover. `failures` counts those since the last
    success; `last_failure` says what the last one was, or is empty.
    """

    name: str
    newest: ObtainedTimestamp | None
    waiting: Waiting | None
    failures: int
    last_failure: str
    next_attempt: datetime


@dataclass(frozen=True, slots=True)
class TimestampStatus:
    """All authorities, and when the first token ends that nobody has renewed.

    `renewal_failure` says why the last renewal failed, or is empty.
    """

    authorities: tuple[AuthorityStatus, ...]
    next_end: datetime | None
    renewal_failure: str


@dataclass(frozen=True, slots=True)
class RecordTimestamp:
    """Record a token that has been verified. Asked for by the hub's own job."""

    authority: str
    size: int
    renews: tuple[int, ...]
    message: bytes
    token: bytes = field(repr=False)
    verified: VerifiedToken = field(repr=False)

    @property
    def request(self) -> RequestKey | None:
        """None: a second token over the same bytes harms nobody."""
        return None

    def decide(self, session: Session) -> None:
        """Record `TimestampObtained`, and keep the token, its chain and a renewal's bytes."""
        kept = [self.token, *self.verified.chain.certificates]
        if self.renews:
            kept.append(self.message)
        for piece in kept:
            session.add_evidence(hashlib.sha256(piece).digest(), piece)
        session.record(
            Timestamp.obtain(
                timestamp_id=session.new_id(),
                at=session.at,
                authority=self.authority,
                size=self.size,
                renews=list(self.renews),
                message=sha256_hex(self.message),
                token=sha256_hex(self.token),
                certificates=[sha256_hex(each) for each in self.verified.chain.certificates],
                gen_time=format_time(self.verified.gen_time),
                not_after=format_time(self.verified.chain.not_after),
            )
        )


@dataclass(frozen=True, slots=True)
class _Attempts:
    """When something is tried next, after how many failures in a row."""

    next: datetime = _NEVER
    failures: int = 0
    last_failure: str = ""


class Timestamping:
    """Asks when it is time to, and knows how it stands. Used by one event loop.

    One round at a time: `round` is awaited before it is called again, and within it each
    authority is asked once, beside the others.
    """

    def __init__(
        self,
        authorities: Sequence[TrustedAuthority],
        *,
        origin: str,
        schedule: Schedule,
        book: TimestampBook,
        receipts: Receipts,
        lane: Lane,
        offload: Offloader,
        clock: Clock,
        randomness: Randomness,
        failed: Callable[[str, Exception], None],
    ) -> None:
        """`failed` is told of every failure, by the authority's name."""
        self._authorities = tuple(authorities)
        self._origin = origin
        self._schedule = schedule
        self._book = book
        self._receipts = receipts
        self._lane = lane
        self._offload = offload
        self._clock = clock
        self._randomness = randomness
        self._failed = failed
        self._attempts = {authority.name: _Attempts() for authority in authorities}
        self._renewal = _Attempts()

    async def status(self) -> TimestampStatus:
        """How it stands now, read from the log as far as it is published."""
        await self._offload(self._book.catch_up)
        return await self._offload(self._all_status)

    async def round(self) -> None:
        """Ask every authority whose time has come, then renew what must be.

        What an authority does wrong never raises; storage that fails does.
        """
        await self._offload(self._book.catch_up)
        await asyncio.gather(*(self._stamp_if_due(each) for each in self._authorities))
        await self._renew_if_due()

    # --- checkpoints --------------------------------------------------------------

    async def _stamp_if_due(self, authority: TrustedAuthority) -> None:
        if self._clock() < self._next_attempt(authority.name):
            return
        if await self._offload(lambda: self._book.waiting(authority.name)) is None:
            return
        try:
            # One read: a checkpoint and its size that belong together.
            size, note = self._receipts.newest()
            await self._obtain(authority, note, size=size)
        except Exception as error:
            self._attempts[authority.name] = self._after(self._attempts[authority.name], error)
            self._failed(authority.name, error)
        else:
            self._attempts[authority.name] = _Attempts(self._clock() + self._schedule.every)

    def _next_attempt(self, name: str) -> datetime:
        """Not before the schedule says so, counted from the last token, also over a restart."""
        newest = self._book.newest(name)
        if newest is None:
            return self._attempts[name].next
        return max(self._attempts[name].next, newest.recorded_at + self._schedule.every)

    async def _obtain(
        self,
        authority: TrustedAuthority,
        message: bytes,
        *,
        size: int,
        renews: tuple[int, ...] = (),
        outlasting: datetime = _NEVER,
    ) -> None:
        """Ask, verify, record. If we stop in between, nothing is left and nothing is lost."""
        nonce = self._randomness(NONCE_BYTES)
        request = build_request(message, nonce=nonce, policy=authority.policy)
        answer = await authority.port.ask(request)
        token = token_in(answer)
        verified = await self._offload(
            lambda: verify_token(
                token,
                message,
                anchors=anchors_among(authority.certificates),
                others=authority.certificates,
                nonce=nonce,
                policy=authority.policy,
            )
        )
        self._require_plausible(verified)
        if verified.chain.not_after < outlasting:
            raise RenewalImpossible("the new token ends before those it was to renew")
        await self._lane.do(RecordTimestamp(authority.name, size, renews, message, token, verified))
        await self._offload(self._book.catch_up)

    def _require_plausible(self, verified: VerifiedToken) -> None:
        """The nonce is fresh, so the token's time is now: by one of the two clocks it is not."""
        difference = abs(verified.gen_time - self._clock())
        if difference > CLOCK_DIFFERENCE_MAX:
            raise VerificationFailed(
                f"the authority's clock and the hub's differ by {difference.total_seconds():.0f} s",
                step="time",
            )

    # --- renewals -----------------------------------------------------------------

    async def _renew_if_due(self) -> None:
        if self._clock() < self._renewal.next:
            return
        try:
            for _ in range(_RENEWALS_AT_ONCE):
                end = self._book.next_end()
                if end is None or end > self._clock() + self._schedule.renew_before:
                    self._renewal = _Attempts(self._clock() + RENEWAL_EVERY)
                    return
                await self._renew(end)
        except Exception as error:
            self._renewal = self._after(self._renewal, error)
            self._failed("renewal", error)
        else:
            self._renewal = _Attempts()  # There is more, and the next round goes on.

    async def _renew(self, end: datetime) -> None:
        outlasting = end + _GAIN_MIN
        authority = self._most_lasting(outlasting)
        tokens = await self._offload(self._book.to_renew)
        message = RenewalMessage(self._origin, renewed_of(tokens)).format()
        await self._obtain(
            authority,
            message,
            size=0,
            renews=tuple(token.position for token in tokens),
            outlasting=outlasting,
        )

    def _most_lasting(self, outlasting: datetime) -> TrustedAuthority:
        """One whose newest token outlasts the end; after failures the next best, in turn."""
        lasting = [
            (newest.not_after, authority)
            for authority in self._authorities
            if (newest := self._book.newest(authority.name)) and newest.not_after >= outlasting
        ]
        if not lasting:
            raise RenewalImpossible(
                "no time-stamping authority has a certificate that outlasts the timestamps that"
                " are about to end; configure one"
            )
        lasting.sort(key=lambda each: each[0], reverse=True)
        return lasting[self._renewal.failures % len(lasting)][1]

    # --- both ---------------------------------------------------------------------

    def _after(self, attempts: _Attempts, error: Exception) -> _Attempts:
        """Twice as long after each failure, up to the schedule, give or take a half."""
        doubled = _FIRST_DELAY * 2 ** min(attempts.failures, 16)
        chance = int.from_bytes(self._randomness(2), "big") / 65_536
        delay = min(doubled, self._schedule.every) * (0.5 + chance)
        return replace(
            attempts,
            next=self._clock() + delay,
            failures=attempts.failures + 1,
            last_failure=str(error) or type(error).__name__,
        )

    def _all_status(self) -> TimestampStatus:
        return TimestampStatus(
            tuple(self._status(authority) for authority in self._authorities),
            self._book.next_end(),
            self._renewal.last_failure,
        )

    def _status(self, authority: TrustedAuthority) -> AuthorityStatus:
        attempts = self._attempts[authority.name]
        return AuthorityStatus(
            name=authority.name,
            newest=self._book.newest(authority.name),
            waiting=self._book.waiting(authority.name),
            failures=attempts.failures,
            last_failure=attempts.last_failure,
            next_attempt=max(self._next_attempt(authority.name), self._clock()),
        )
