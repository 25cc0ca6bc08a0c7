"""The newest checkpoint taken to the witnesses, beside everything else the hub does.

Nobody waits for a witness: a checkpoint is published first and cosigned when somebody can.
A witness that was away gets the newest one when it is back, with the proof from where it was;
so no queue grows meanwhile, and nothing has to be caught up one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from hub.application.lane import NothingRecorded, Receipts
from hub.application.offload import Offloader
from hub.application.ports import (
    Cosignatures,
    Randomness,
    RequestKey,
    Witness,
    WitnessConflict,
    WitnessRefused,
)
from hub.application.session import Session
from hub.errors import VerificationFailed
from hub.proof.checkpoint import parse_checkpoint_body
from hub.proof.note import NoteSignature, parse_note
from hub.proof.witnessing import AddCheckpoint, cosignature_in

# How often a witness is asked in one round, when each time it goes on from another size.
_ASKS_MAX = 3
DELAY_MAX_S = 900.0
# The tree is not the one this witness saw before: to say this is what witnesses are for.
_FORKED = frozenset({409, 422})


@dataclass(frozen=True, slots=True)
class SetWitnesses:
    """Record whose cosignatures are asked for from now on. Said by the settings, at a start."""

    witnesses: tuple[str, ...]

    @property
    def request(self) -> RequestKey | None:
        """None: it depends on nothing but the state it finds."""
        return None

    def decide(self, session: Session) -> None:
        """Record `WitnessSetChanged`, unless the log knows this very set."""
        log = session.history.log()
        if log.witnesses == sorted(self.witnesses):
            raise NothingRecorded("the log knows this set of witnesses")
        log.change_witnesses(at=session.at, witnesses=self.witnesses)
        session.record(log)


class WitnessState(StrEnum):
    """What became of the last time a witness was asked."""

    NEW = "not asked yet"
    COSIGNS = "cosigns"
    AWAY = "gives no answer"
    REFUSES = "refuses us"
    WRONG = "answers what does not hold"
    FORKED = "saw another history"


@dataclass(frozen=True, slots=True)
class WitnessStatus:
    """Where one witness stands, for readiness, metrics and the log.

    `behind` counts the published events it has not seen; `cosigned_at` is the time in its
    last cosignature of this run; `failures` counts how often it failed since.
    """

    name: str
    state: WitnessState
    cosigned_size: int
    cosigned_at: datetime | None
    behind: int
    failures: int
    problem: str

    @property
    def is_alarming(self) -> bool:
        """Whether somebody must look: waiting will not mend it."""
        return self.state in (WitnessState.REFUSES, WitnessState.WRONG, WitnessState.FORKED)


@dataclass(slots=True)
class _Watched:
    witness: Witness
    state: WitnessState = WitnessState.NEW
    cosigned_size: int = 0
    cosigned_at: datetime | None = None
    failures: int = 0
    problem: str = ""
    not_before: float = 0.0


class _Overtaken(Exception):
    """Another process of this hub has taken a newer checkpoint there."""


class Witnessing:
    """Asks each witness for its cosignature of the newest checkpoint, once a round.

    A witness that fails is asked again after a growing delay with jitter, up to a quarter of
    an hour, so that many hubs do not come back to it all at once.
    """

    def __init__(
        self,
        witnesses: Sequence[Witness],
        *,
        receipts: Receipts,
        cosignatures: Cosignatures,
        offload: Offloader,
        monotonic: Callable[[], float],
        randomness: Randomness,
        every_s: float,
        told: Callable[[WitnessStatus], None],
    ) -> None:
        """`every_s` is the time between rounds; `told` gets each failure and each recovery."""
        self._watched = [_Watched(witness) for witness in witnesses]
        self._receipts = receipts
        self._cosignatures = cosignatures
        self._offload = offload
        self._monotonic = monotonic
        self._randomness = randomness
        self._every_s = every_s
        self._told = told
        self._turn = asyncio.Lock()

    def status(self) -> tuple[WitnessStatus, ...]:
        """Where each witness stands now."""
        return tuple(self._status(watched) for watched in self._watched)

    async def round(self) -> None:
        """Take the newest checkpoint to every witness that lacks it and is due; all at once.

        All get the same one, so that it can carry the cosignatures of all. Nothing while
        another round runs. What fails with a witness is its status; anything else is raised
        when the other witnesses were asked.
        """
        note = self._receipts.checkpoint()
        if self._turn.locked() or not note:
            return
        async with self._turn:
            size = parse_checkpoint_body(parse_note(note).text).size
            asked = (self._ask(watched, size, note) for watched in self._watched)
            for outcome in await asyncio.gather(*asked, return_exceptions=True):
                if outcome is not None:
                    raise outcome

    async def _ask(self, watched: _Watched, size: int, note: bytes) -> None:
        if self._monotonic() < watched.not_before:
            return
        key = watched.witness.key
        kept = await self._offload(lambda: self._cosignatures.newest(key.name, key.key_id))
        watched.cosigned_size = kept
        if kept >= size:
            return
        try:
            line = await self._cosignature(watched.witness, kept, size, note)
        except _Overtaken:
            return
        except WitnessRefused as refusal:
            forked = refusal.status in _FORKED
            state = WitnessState.FORKED if forked else WitnessState.REFUSES
            self._failed(watched, state, refusal)
        except VerificationFailed as failure:
            self._failed(watched, WitnessState.WRONG, failure)
        except OSError as error:
            self._failed(watched, WitnessState.AWAY, error)
        else:
            # If we stop before this, the witness has cosigned and we do not know: it says so
            # when it is asked again, and cosigns again.
            await self._offload(lambda: self._cosignatures.add(size, line))
            self._cosigned(watched, size, line)

    async def _cosignature(
        self, witness: Witness, kept: int, size: int, note: bytes
    ) -> NoteSignature:
        old_size = kept
        for _ in range(_ASKS_MAX):
            request = AddCheckpoint(old_size, await self._proof(old_size, size), note)
            try:
                answer = await witness.add_checkpoint(request)
            except WitnessConflict as conflict:
                # It remembers what we do not: an answer that was lost, or a restored database.
                old_size = self._gone_on_from(conflict.size, old_size, size)
                continue
            return cosignature_in(answer, note, witness.key)
        raise OSError("the witness goes on from another size each time")

    def _gone_on_from(self, seen: int, old_size: int, size: int) -> int:
        if seen > self._receipts.size or seen == old_size:
            # It saw a tree we never published, or another one of this very size.
            raise WitnessRefused(409)
        if seen > size:
            raise _Overtaken
        return seen

    async def _proof(self, old_size: int, size: int) -> tuple[bytes, ...]:
        if not 0 < old_size < size:
            return ()
        return tuple(await self._offload(lambda: self._receipts.consistency(old_size, size)))

    def _cosigned(self, watched: _Watched, size: int, line: NoteSignature) -> None:
        recovered = watched.state is not WitnessState.COSIGNS
        watched.state, watched.problem = WitnessState.COSIGNS, ""
        watched.cosigned_size, watched.cosigned_at = size, _time_of(line)
        watched.failures, watched.not_before = 0, 0.0
        if recovered:
            self._told(self._status(watched))

    def _failed(self, watched: _Watched, state: WitnessState, error: Exception) -> None:
        watched.state, watched.problem = state, str(error)
        # Doubled at most ten times: beyond, the delay has long been the longest.
        delay = min(self._every_s * 2 ** min(watched.failures, 10), DELAY_MAX_S)
        watched.failures += 1
        jitter = 0.5 + int.from_bytes(self._randomness(2), "big") / 2**17
        watched.not_before = self._monotonic() + delay * jitter
        self._told(self._status(watched))

    def _status(self, watched: _Watched) -> WitnessStatus:
        return WitnessStatus(
            name=watched.witness.key.name,
            state=watched.state,
            cosigned_size=watched.cosigned_size,
            cosigned_at=watched.cosigned_at,
            behind=max(0, self._receipts.size - watched.cosigned_size),
            failures=watched.failures,
            problem=watched.problem,
        )


def _time_of(cosignature: NoteSignature) -> datetime | None:
    try:
        return datetime.fromtimestamp(int.from_bytes(cosignature.signature[:8], "big"), UTC)
    except (ValueError, OverflowError, OSError):
        return None  # A witness may sign a time that no calendar has.
