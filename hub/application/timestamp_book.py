"""What the log says about its own timestamps: the newest of each authority, and what is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from threading import Lock

from hub.application.lane import Receipts
from hub.application.mapper import read_leaf
from hub.application.ports import EventLog, LogEntry, TreeStore
from hub.domain.timestamp import Timestamp
from hub.domain.values import parse_time
from hub.errors import LedgerMismatch
from hub.evidence.renewals import RENEWED_MAX, Renewed
from hub.evidence.timestamps import Renewal, TimestampEvidence, TimestampToken

_FIRST_PAGE, _PAGE = 20, 500
# How many timestamps after an event are looked at for the first of each authority.
_LOOKED_AT_MAX = 1000


@dataclass(frozen=True, slots=True)
class ObtainedTimestamp:
    """One `TimestampObtained`; digests are SHA-256. `renews` is empty for a checkpoint's."""

    position: int
    recorded_at: datetime
    authority: str
    size: int
    renews: tuple[int, ...]
    message: bytes
    token: bytes
    certificates: tuple[bytes, ...]
    gen_time: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """What no token of an authority covers yet: since when, and how many events."""

    since: datetime
    events: int


@dataclass(frozen=True, slots=True)
class PositionTimestamp:
    """A timestamp that covers a position, with the inclusion proof under its checkpoint.

    `proof` is a C2SP `tlog-proof` whose checkpoint is, byte for byte, what the token is over.
    """

    obtained: ObtainedTimestamp
    proof: bytes
    evidence: TimestampEvidence


@dataclass(slots=True)
class _State:
    next_position: int = 0
    newest: dict[str, ObtainedTimestamp] = field(default_factory=dict)
    renewals: list[ObtainedTimestamp] = field(default_factory=list)
    # Through which position tokens are renewed; of the others, the last with each end.
    renewed_through: int = -1
    ends: dict[datetime, int] = field(default_factory=dict)


class TimestampBook:
    """Follows `TimestampObtained` as far as it is published. Used from several threads.

    Nothing here is stored: it is read from the log, and read anew at each start.
    """

    def __init__(self, log: EventLog, store: TreeStore, receipts: Receipts) -> None:
        self._log = log
        self._store = store
        self._receipts = receipts
        self._state = _State()
        self._quiet: dict[str, int] = {}
        self._lock = Lock()

    # --- for the job --------------------------------------------------------------

    def catch_up(self) -> None:
        """Take in what was published since; some microseconds for each timestamp."""
        with self._lock:
            size = self._receipts.size
            for obtained in self._obtained(self._state.next_position, size):
                self._take(obtained)
            self._state.next_position = size

    def newest(self, authority: str) -> ObtainedTimestamp | None:
        """The newest token of an authority over a checkpoint."""
        return self._state.newest.get(authority)

    def waiting(self, authority: str) -> Waiting | None:
        """What its newest token does not cover, or None.

        Timestamps themselves do not count: each would make another one due, for ever. Looks
        at no more events than it has to, and at none twice.
        """
        with self._lock:
            newest = self._state.newest.get(authority)
            covered = newest.size if newest else 0
            start = max(covered, self._quiet.get(authority, 0))
            first, self._quiet[authority] = self._first_other(start, self._receipts.size)
        if first is None:
            return None
        return Waiting(read_leaf(first.state).time, self._receipts.size - covered)

    def next_end(self) -> datetime | None:
        """When the first of the tokens that nobody has renewed ends; None without any."""
        with self._lock:
            return min(self._state.ends, default=None)

    def to_renew(self) -> list[ObtainedTimestamp]:
        """The oldest tokens that nobody has renewed, at most as many as one renewal takes."""
        entries = self._log.timestamps(self._state.renewed_through + 1, RENEWED_MAX)
        return [_read(entry) for entry in entries if entry.position < self._receipts.size]

    # --- for whoever needs evidence -----------------------------------------------

    def covering(self, position: int) -> list[PositionTimestamp]:
        """Of each authority the first timestamp that covers a position, with its renewals.

        Raises PositionUnknown beyond the log; LedgerMismatch when evidence is missing.
        """
        self._receipts.receipt(position)  # Refuses what is not there.
        self.catch_up()
        found: dict[str, ObtainedTimestamp] = {}
        # Those whose newest timestamp does not cover it have none that does.
        names = {each.authority for each in self._state.newest.values() if each.size > position}
        for obtained in islice(self._obtained(position, self._receipts.size), _LOOKED_AT_MAX):
            if obtained.size > position:
                found.setdefault(obtained.authority, obtained)
            if found.keys() >= names:
                break
        return [self._timestamp(position, obtained) for obtained in found.values()]

    def _timestamp(self, position: int, obtained: ObtainedTimestamp) -> PositionTimestamp:
        covering = self._store.checkpoint_covering(obtained.size - 1)
        if covering is None or covering[0] != obtained.size:
            raise LedgerMismatch(
                f"the checkpoint of size {obtained.size} is missing", position=obtained.position
            )
        evidence = TimestampEvidence(
            checkpoint=covering[1],
            timestamp=self._token(obtained),
            renewals=tuple(self._renewals(obtained)),
        )
        return PositionTimestamp(obtained, self._receipts.proof(position, *covering), evidence)

    def _renewals(self, obtained: ObtainedTimestamp) -> Iterator[Renewal]:
        last = obtained.position
        for renewal in list(self._state.renewals):
            if last in renewal.renews:
                last = renewal.position
                yield Renewal(self._token(renewal), self._evidence(renewal, renewal.message))

    def _token(self, obtained: ObtainedTimestamp) -> TimestampToken:
        return TimestampToken(
            obtained.authority,
            self._evidence(obtained, obtained.token),
            tuple(self._evidence(obtained, digest) for digest in obtained.certificates),
        )

    def _evidence(self, obtained: ObtainedTimestamp, digest: bytes) -> bytes:
        data = self._log.evidence(digest)
        # Whoever verifies notices another one in its place; a missing one must be named here.
        if data is None:
            raise LedgerMismatch(
                f"the evidence {digest.hex()} is missing", position=obtained.position
            )
        return data

    # --- reading ------------------------------------------------------------------

    def _obtained(self, start: int, end: int) -> Iterator[ObtainedTimestamp]:
        limit = _FIRST_PAGE
        while page := self._log.timestamps(start, limit):
            yield from (_read(entry) for entry in page if entry.position < end)
            start = page[-1].position + 1
            if start >= end or len(page) < limit:
                return
            limit = _PAGE

    def _take(self, obtained: ObtainedTimestamp) -> None:
        state = self._state
        state.ends[obtained.not_after] = obtained.position
        if obtained.renews:
            state.renewals.append(obtained)
            through = state.renewed_through = max(state.renewed_through, *obtained.renews)
            state.ends = {end: last for end, last in state.ends.items() if last > through}
            return
        newest = state.newest.get(obtained.authority)
        if newest is None or obtained.size > newest.size:
            state.newest[obtained.authority] = obtained

    def _first_other(self, start: int, end: int) -> tuple[LogEntry | None, int]:
        """The first event from `start` on that is no timestamp, and how far there is none."""
        while start < end and (page := self._log.entries(start, min(_PAGE, end - start))):
            for entry in page:
                if entry.topic != Timestamp.Created.TOPIC:
                    return entry, entry.position
            start = page[-1].position + 1
        return None, start


def renewed_of(obtained: Sequence[ObtainedTimestamp]) -> tuple[Renewed, ...]:
    """The lines of a renewal over these tokens."""
    return tuple(Renewed(each.message, each.token) for each in obtained)


def _read(entry: LogEntry) -> ObtainedTimestamp:
    event = read_leaf(entry.state)
    # The column that the index is over is only an index.
    if event.topic != Timestamp.Created.TOPIC:
        raise LedgerMismatch(
            f"event {entry.position}: the columns beside its bytes say something else",
            position=entry.position,
        )
    data = event.data
    return ObtainedTimestamp(
        position=entry.position,
        recorded_at=event.time,
        authority=data["authority"],
        size=data["size"],
        renews=tuple(data["renews"]),
        message=bytes.fromhex(data["message"]),
        token=bytes.fromhex(data["token"]),
        certificates=tuple(bytes.fromhex(digest) for digest in data["certificates"]),
        gen_time=parse_time(data["gen_time"]),
        not_after=parse_time(data["not_after"]),
    )
