"""One batch: decided in turn, committed once, sequenced once, answered together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile

import structlog

from hub.application.history import History
from hub.application.lane import Command, NothingRecorded, Recorded
from hub.application.mapper import ClosedMapper, read_event
from hub.application.ports import Clock, EventLog, Head, HeadMoved, LogEntry, Randomness
from hub.application.registry import Registry, register_after
from hub.application.session import Session
from hub.application.vault import Vault
from hub.errors import (
    HubError,
    LedgerMismatch,
    LogFrozen,
    ReceiptDelayed,
    RequestIdReused,
    Unavailable,
)
from hub.ledger.following import Others, Register, followed
from hub.ledger.receipts import ReceiptBook, receipts_of_batch
from hub.ledger.sequencer import AnotherSigned, Sequencer
from hub.ledger.steps import Stepping, Steps

_logger = structlog.get_logger(__name__)

# How often in a row another process may be quicker than we are.
_LOADS_MAX = 3


@dataclass(frozen=True, slots=True)
class At:
    """A command's fact stands at this position; no checkpoint may cover it yet."""

    position: int


Outcome = Recorded | At | Exception
"""What a command's caller gets; at a hub that does not lead, once a checkpoint covers it."""


class BatchEngine:
    """The writing lane's thread: the only code that makes history grow.

    After any failure from the commit on, nothing is believed but storage: the next batch
    begins by loading it again. When storage contradicts itself or the signer, the log is
    frozen: every command is refused until an operator has looked.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        mapper: ClosedMapper,
        sequencer: Sequencer,
        receipts: ReceiptBook,
        vault: Vault,
        clock: Clock,
        randomness: Randomness,
        published: Callable[[], None],
        others: Others | None = None,
        stepping: Stepping | None = None,
    ) -> None:
        """`others` are the hubs that append to the same log; None for a hub that is alone."""
        self._log = log
        self._mapper = mapper
        self._sequencer = sequencer
        self._receipts = receipts
        self._vault = vault
        self._clock = clock
        self._randomness = randomness
        self._published = published
        self._others = others
        self.stepping = stepping or Stepping()
        self._history = History(log, mapper)
        self._register = Register(log)
        self._next_position = 0
        self._last_time = datetime.min.replace(tzinfo=UTC)
        self._stale = True
        self._followed = True
        self._noticed = 0
        self._leading = others is None
        self.frozen: LedgerMismatch | None = None

    @property
    def registry(self) -> Registry:
        """The register as of the last batch, and of what was seen of other hubs."""
        return self._register.current

    @property
    def register(self) -> Register:
        """What keeps it up to the log."""
        return self._register

    @property
    def last_time(self) -> datetime:
        """The time of the newest event; none is ever recorded as earlier."""
        return self._last_time

    @property
    def unread(self) -> int:
        """How many events, from the first on, were taken for whole when the log was loaded."""
        return self._sequencer.unread

    def freeze(self, mismatch: LedgerMismatch) -> None:
        """Accept nothing from now on: somebody found that what is stored was changed.

        No other hub on the database does either.
        """
        self.frozen = mismatch
        if self._others is not None:
            self._others.freeze(mismatch)
        _logger.error(
            "log frozen",
            reason=str(mismatch),
            position=mismatch.position,
            procedure=mismatch.procedure,
        )

    @property
    def behind(self) -> bool:
        """Whether work is left that no command may ever ask for: reload, sign, publish, tell."""
        return self.frozen is None and (self._stale or not self._followed)

    @property
    def moved(self) -> bool:
        """Whether other hubs have appended what this one can go on with at once."""
        done = self._sequencer.size if self.leads else self._next_position
        return self.frozen is None and not self._stale and self._noticed > done

    @property
    def can_commit(self) -> bool:
        """Whether the last batch went well, and nothing is stopped."""
        return self.frozen is None and not self._stale

    def notice(self, next_position: int) -> None:
        """The log was seen to end here. Called by any thread."""
        self._noticed = max(self._noticed, next_position)

    def load(self) -> None:
        """Take up where storage says we are, and finish what was left undone.

        Should another process do that very work meanwhile, everything is looked at anew. Raises
        LedgerMismatch, after which nothing is accepted, or whatever storage raises.
        """
        self._leading = True
        for _ in range(_LOADS_MAX - 1):
            with suppress(AnotherSigned):
                return self._load()
        return self._load()

    def _load(self) -> None:
        self._stale = True
        self._history.forget()
        try:
            self._sequencer.load()
            self._register.reload()
            self._note_late(self._sequencer.extend())
        except LedgerMismatch as mismatch:
            self.freeze(mismatch)
            raise
        self._next_position = self._sequencer.size
        self._last_time = self._time_of_last_event()
        self._stale = False
        self._publish()

    def join(self) -> None:
        """Take up where storage says we are, beside a hub that leads, and change nothing.

        Raises LedgerMismatch when what is stored contradicts itself or the signer.
        """
        self._leading = False
        self._sequencer.load()
        self._receipts.publish(self._sequencer.size, self._sequencer.checkpoint)
        self._rejoin()

    def _rejoin(self) -> None:
        self._history.forget()
        self._vault.let_go()
        self._register.reload()
        self._next_position = self._log.head().next_position
        self._last_time = self._time_of_last_event()
        self._stale = False

    @property
    def leads(self) -> bool:
        """Whether this hub signs; one that has just come to lead does not before it has loaded."""
        return self._leading and (self._others is None or self._others.leads)

    def receipts(self, positions: Sequence[int]) -> dict[int, Recorded]:
        """What was recorded at these positions, once a checkpoint covers them.

        Raises LedgerMismatch, which stops all hubs, and whatever storage raises.
        """
        try:
            return self._receipts.receipts(positions)
        except LedgerMismatch as mismatch:
            self.freeze(mismatch)
            raise

    def process(self, commands: Sequence[Command]) -> list[Outcome]:
        """Decide, commit, sequence and answer; one outcome for each command, in order."""
        if refusal := self._not_ready():
            return [refusal] * len(commands)
        steps = self.stepping.begin(len(commands))
        try:
            outcomes = self._record(commands, steps)
        except Exception as error:
            return self._commit_failed(error, commands)
        if not self.leads:
            return list(outcomes)  # (3) to (5) are the leader's.
        # (3) to (5): the sequencer's. Only then is anything visible to anyone.
        try:
            entries = self._sequencer.extend()
        except Exception as error:
            return self._sequencing_failed(error, outcomes)
        steps.are_signed(entries)
        self._publish()
        wanted = {outcome.position for outcome in outcomes if isinstance(outcome, At)}
        before = self._sequencer.before  # What stands below has an earlier checkpoint's receipt.
        fresh = receipts_of_batch(
            [each for each in entries if each.position in wanted and each.position >= before],
            self._sequencer.size,
            self._sequencer.checkpoint,
            self._sequencer.tree,
        )
        return [self._answer(outcome, fresh) for outcome in outcomes]

    # --- recording ----------------------------------------------------------------

    def _record(self, commands: Sequence[Command], steps: Steps) -> list[At | Exception]:
        if self._others is not None:
            return self._record_among_others(commands, steps)
        session, outcomes = self._decide(commands)
        steps.are_decided()
        if not session.is_empty:
            # (1) Content lies on disk already; now the keys it was sealed with. If we stop
            # here, keys without an exchange are left, which harm nobody.
            self._vault.store(session.document_keys)
            # (2) One transaction. If we stop after it, `load` goes on at (3).
            self._log.commit(session.commit())
            self._note_committed(session)
            steps.are_committed()
        return outcomes

    def _record_among_others(
        self, commands: Sequence[Command], steps: Steps
    ) -> list[At | Exception]:
        """The same under the lock of the log, on what other hubs have committed.

        What they did is read before the lock as far as it goes. Whatever a command looks at,
        inside or outside, is the newest state: nothing is decided twice (docs/decisions/0039).
        """
        self._follow(self._log.head())
        if not commands:
            return []
        with self._log.appending() as end:
            self._follow(end.head)
            session, outcomes = self._decide(commands)
            steps.are_decided()
            if not session.is_empty:
                self._vault.store(session.document_keys)
                end.append(session.commit())
        if not session.is_empty:
            self._note_committed(session)
            steps.are_committed()
        return outcomes

    def _follow(self, head: Head) -> None:
        self._register.advance(head.registry_version)
        last = followed(self._log, self._history, self._vault, self._next_position, head)
        self._next_position = head.next_position
        if last is not None:
            self._last_time = max(self._last_time, last)

    def _note_committed(self, session: Session) -> None:
        self._next_position += len(session.commit().events)
        self._last_time = session.at
        self._register.keep(session.registry)

    # --- deciding -----------------------------------------------------------------

    def _decide(self, commands: Sequence[Command]) -> tuple[Session, list[At | Exception]]:
        """Decide each command in turn on what is committed and on those before it.

        A command that fails in a way nobody foresaw must not take its neighbours with it:
        they are decided again without it, on fresh state.
        """
        broken: dict[int, Exception] = {}
        while True:
            session = self._session()
            try:
                return session, self._decide_in(session, commands, broken)
            except _Broken as failure:
                _logger.error("command failed", exc_info=failure.cause)
                broken[failure.index] = failure.cause
                self._history.forget()

    def _decide_in(
        self, session: Session, commands: Sequence[Command], broken: dict[int, Exception]
    ) -> list[At | Exception]:
        keys = [request for command in commands if (request := command.request)]
        # One look-up a batch: a conflict found by the insert would roll all of it back.
        answered = {
            key: (accepted.digest, accepted.position)
            for key, accepted in self._log.requests(
                [(key.caller, key.request_id) for key in keys]
            ).items()
        }
        outcomes: list[At | Exception] = []
        for index, command in enumerate(commands):
            if index in broken:
                outcomes.append(broken[index])
                continue
            try:
                outcomes.append(self._decide_one(session, command, answered))
            except (HubError, NothingRecorded) as refusal:
                session.reject()
                outcomes.append(refusal)
            except OSError:
                raise  # The storage failed, not the command.
            except Exception as error:
                raise _Broken(index, error) from error
        return outcomes

    def _decide_one(
        self,
        session: Session,
        command: Command,
        answered: dict[tuple[str, str], tuple[bytes, int]],
    ) -> At:
        request = command.request
        key = (request.caller, request.request_id) if request else None
        if request and key in answered:
            digest, position = answered[key]
            if digest != request.digest:
                raise RequestIdReused(
                    "this request id already carried another statement; use a new one",
                    request_id=request.request_id,
                    first_digest=digest.hex(),
                )
            return At(position)
        require_not_frozen(session.registry, command)
        command.decide(session)
        position = session.accept()
        if request and key:
            answered[key] = (request.digest, position)
        return At(position)

    def _session(self) -> Session:
        return Session(
            log=self._log,
            history=self._history,
            mapper=self._mapper,
            registry=self._register.current,
            randomness=self._randomness,
            next_position=self._next_position,
            # Never earlier than the event before it, whatever the clock says.
            at=max(self._clock(), self._last_time),
        )

    # --- answering ----------------------------------------------------------------

    def _answer(self, outcome: At | Exception, fresh: dict[int, Recorded]) -> Outcome:
        if isinstance(outcome, Exception):
            return outcome
        if outcome.position in fresh:
            return fresh[outcome.position]
        try:
            return self._receipts.receipt(outcome.position)
        except Exception as error:
            _logger.error("receipt failed", position=outcome.position, exc_info=error)
            return error

    def _publish(self) -> None:
        self._receipts.publish(self._sequencer.size, self._sequencer.checkpoint)
        try:
            self._published()
            self._followed = True
        except Exception as error:
            # The facts stand and their receipts are good; the lists are behind, say so by
            # their position, and are tried again with the next batch, if need be an empty one.
            self._followed = False
            _logger.error("a follower of the log failed", exc_info=error)

    # --- failing ------------------------------------------------------------------

    def _not_ready(self) -> HubError | None:
        if self.frozen is None and self._stale:
            try:
                if self.leads:
                    self.load()
                else:
                    self._rejoin()
            except LedgerMismatch:
                pass  # `frozen` says it from now on.
            except Exception as error:
                _logger.error("reload failed", exc_info=error)
                return Unavailable("the hub cannot reach its storage or signer; try again")
        if self.frozen is not None:
            return LogFrozen(
                "the log is frozen because a check failed; the hub's operator must look into it"
            )
        return None

    def _commit_failed(self, error: Exception, commands: Sequence[Command]) -> list[Outcome]:
        # Kept or not, we cannot know: callers ask again, and the request id decides. Those
        # refused too: they may have been refused for what an earlier command of the batch did.
        self._stale = True
        self.stepping.failed("commit")
        if isinstance(error, LedgerMismatch):
            self.freeze(error)
        if not isinstance(error, HeadMoved):
            _logger.error("commit failed", exc_info=error)
        return [Unavailable("the outcome is not known; repeat the very same call")] * len(commands)

    def _sequencing_failed(
        self, error: Exception, outcomes: Sequence[At | Exception]
    ) -> list[Outcome]:
        self._stale = True
        self.stepping.failed("checkpoint")
        _logger.error("sequencing failed", exc_info=error)
        delayed = ReceiptDelayed("recorded; the receipt follows, repeat the very same call")
        return [outcome if isinstance(outcome, Exception) else delayed for outcome in outcomes]

    def _note_late(self, entries: Sequence[LogEntry]) -> None:
        """Say which events are signed only now: after a clean stop there are none."""
        if entries:
            first, count = entries[0].position, len(entries)
            _logger.warning("events were signed at the start", first=first, count=count)

    def _time_of_last_event(self) -> datetime:
        if not self._next_position:
            return self._last_time
        (entry,) = self._log.entries(self._next_position - 1, 1)
        return read_event(entry.state).time


class _Broken(Exception):
    def __init__(self, index: int, cause: Exception) -> None:
        super().__init__(str(cause))
        self.index = index
        self.cause = cause


def require_not_frozen(registry: Registry, command: Command) -> None:
    """Refuse all but what mends a log that an operator stopped. Raises LogFrozen."""
    if registry.frozen and not getattr(command, "while_frozen", False):
        raise LogFrozen(
            f"an operator froze the log ({registry.frozen}); nothing is accepted until two "
            "operators let it go on"
        )


def load_registry(log: EventLog, *, before: int | None = None) -> Registry:
    """The register as all its events say it, or only those before a position.

    A signature is judged by the register at its position, not by a clock.
    """
    entries = log.registry_entries()
    below = entries if before is None else takewhile(lambda each: each.position < before, entries)
    return register_after(Registry(), below, log.evidence)
