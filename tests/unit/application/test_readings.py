"""Readings are kept for a while, and storage that does not answer shows in their age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hub.application import measuring, readings
from hub.application.hub_keys import PlannedStep
from hub.application.measuring import LOG_EVENTS, READINGS_AGE, Reading
from hub.application.ports import RelayTally
from hub.application.readings import Readings, Source
from hub.application.registry import AgencyEntry, CertificateEntry, Registry, Revocation
from hub.domain.relay import Direction, RelayKind, RelayState

AT = datetime(2026, 11, 22, 8, tzinfo=UTC)
DAY = timedelta(days=1)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_reading_is_read_again_only_when_it_is_no_longer_good():
    clock, read = Clock(), []

    def count() -> list[Reading]:
        read.append(clock.now)
        return [Reading(LOG_EVENTS, len(read))]

    kept = Readings([Source("log", count, 10)], never, monotonic=clock)
    for now in (0, 5, 9.9, 10, 15):
        clock.now = now
        kept.renew()
    assert read == [0, 10]
    assert kept.newest()[0] == Reading(LOG_EVENTS, 2)


def test_what_takes_long_to_read_is_read_rarely():
    clock, read = Clock(), []

    def slowly() -> list[Reading]:
        read.append(clock.now)
        clock.now += 6
        return []

    kept = Readings([Source("lists", slowly, 10)], never, monotonic=clock)
    for now in (0, 20, 119, 120):
        clock.now = now
        kept.renew()
    assert read == [0, 120]


def test_what_cannot_be_read_leaves_what_was_read_before_and_grows_old():
    clock, told, broken = Clock(), [], []

    def read() -> list[Reading]:
        if broken:
            raise OSError("the disk")
        return [Reading(LOG_EVENTS, 3)]

    kept = Readings([Source("log", read, 2)], lambda *what: told.append(what), monotonic=clock)
    kept.renew()
    broken.append(True)
    clock.now = 60
    kept.renew()
    assert [name for name, _ in told] == ["log"]
    assert kept.newest() == [Reading(LOG_EVENTS, 3), Reading(READINGS_AGE, 58)]


def never(source: str, error: Exception) -> None:
    raise AssertionError(source) from error


def entry(purpose: str, days: int, **more: object) -> CertificateEntry:
    end = AT + days * DAY
    return CertificateEntry(purpose, "ed25519", "k", "c", AT, end, 1, **more)  # type: ignore[arg-type]


def test_of_several_certificates_the_one_that_lasts_longest_counts():
    revoked = Revocation("H1", "k", "superseded", AT, AT, 3)
    agency = AgencyEntry(
        agency_id=None,  # type: ignore[arg-type]
        code="H1",
        name="",
        position=0,
        certificates=(
            entry("signing", 3), entry("signing", 400), entry("signing", 900, revocation=revoked),
            entry("transport", -1),
        ),
    )  # fmt: skip
    gone = AgencyEntry(None, "H2", "", 0, (entry("signing", 3),), successor="H1")  # type: ignore[arg-type]
    ends = readings.agency_certificates(Registry(agencies={"H1": agency, "H2": gone}))
    found = {each.labels: each.value for each in readings.certificate_days(ends, AT)}
    assert found == {("H1", "signing"): 400, ("H1", "transport"): -1}


def test_the_oldest_package_that_was_not_sent_counts_and_parked_ones_too():
    def tally(direction: Direction, state: RelayState, hours: int) -> RelayTally:
        oldest = AT - timedelta(hours=hours)
        return RelayTally(direction, RelayKind.DOCUMENT, state, 2, oldest)

    found = list(
        readings.axis_packages(
            [
                tally(Direction.OUT, RelayState.SENT, 99),
                tally(Direction.IN, RelayState.PARKED, 50),
                tally(Direction.OUT, RelayState.PARKED, 7),
                tally(Direction.OUT, RelayState.QUEUED, 1),
            ],
            AT,
        )
    )
    assert found[-1] == Reading(measuring.AXIS_UNSENT_AGE, 7 * 3600)
    assert Reading(measuring.AXIS_PACKAGES, 2, ("out", "document", "parked")) in found


def test_a_step_that_is_overdue_has_negative_days():
    step = PlannedStep("retire", "ab12", AT - 2 * DAY, remind=True, urgent=False)
    assert list(readings.key_steps([step], AT)) == [
        Reading(measuring.KEY_DAYS, -2, ("ab12", "retire"))
    ]
