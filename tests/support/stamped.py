"""A hub whose timestamps a test decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from adapters.memory.timestamp import MemoryTimestampAuthority
from hub.application.registry import Caller, Role
from hub.application.timestamp_book import TimestampBook
from hub.application.timestamping import (
    Schedule,
    Timestamping,
    TimestampStatus,
    TrustedAuthority,
)
from hub.application.timestamps import Timestamps
from hub.proof.leaf import Event
from hub.proof.timestamp_authority import TimestampAuthority
from hub.proof.trust import TrustedRoot
from tests.support.builders import ORIGIN, START, at_once, new_hub, run
from tests.support.timestamping import DAY, Authority

SCHEDULE = Schedule(every=timedelta(hours=1), renew_before=90 * DAY)
OPERATOR = Caller(Role.OPERATOR, "operator")


class Stamped:
    """A hub with a job that asks authorities whose answers a test decides."""

    def __init__(self, *authorities: Authority, policy: str | None = None) -> None:
        self.hub = new_hub()
        self.authorities = list(authorities or (lasting(),))
        self.ports = [
            MemoryTimestampAuthority(lambda request, n=n: self.answer(n, request))
            for n in range(len(self.authorities))
        ]
        self.answer: Callable[[int, bytes], bytes] = self.honest
        self.policy = policy
        self.failures: list[tuple[str, str]] = []
        self.start()

    def start(self) -> None:
        """Begin anew, as after a restart: nothing is remembered but what is stored."""
        hub = self.hub
        self.book = TimestampBook(hub.log, hub.stores.tree, hub.receipts)
        self.job = Timestamping(
            [
                TrustedAuthority(
                    f"tsa-{n}", port, (authority.root.der, authority.middle.der), self.policy
                )
                for n, (port, authority) in enumerate(
                    zip(self.ports, self.authorities, strict=True)
                )
            ],
            origin=ORIGIN,
            schedule=SCHEDULE,
            book=self.book,
            receipts=hub.receipts,
            lane=hub.lane,
            offload=at_once,
            clock=hub.clock,
            randomness=hub.randomness,
            failed=lambda name, error: self.failures.append((name, str(error))),
        )
        self.timestamps = Timestamps(self.book, self.job, at_once)

    def honest(self, n: int, request: bytes) -> bytes:
        return self.authorities[n].answer(request, self.hub.clock())

    def round(self, after: timedelta = timedelta()) -> None:
        self.hub.clock.advance(after)
        run(self.job.round())

    def work(self) -> None:
        """Something is recorded that is no timestamp."""
        self.hub.register(f"H9{len(self.hub.events())}")

    def obtained(self) -> list[Event]:
        topic = "hub.Log.TimestampObtained"
        return [event for event in self.hub.events() if event.topic == topic]

    @property
    def status(self) -> TimestampStatus:
        return run(self.timestamps.status(OPERATOR))

    @property
    def trust(self) -> TrustedRoot:
        listed = tuple(
            TimestampAuthority(f"tsa-{n}", (authority.root.der,), START - 999 * DAY)
            for n, authority in enumerate(self.authorities)
        )
        return replace(self.hub.trust, timestamp_authorities=listed)


def lasting() -> Authority:
    return Authority.make(START - DAY, START + 2000 * DAY)


def ending(days: int) -> Authority:
    return Authority.make(START - DAY, START + days * DAY)
