"""One batch: decided in turn, committed once, sequenced once, answered together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from hub.application.history import History
from hub.application.lane import Command, NothingRecorded, Recorded
from hub.application.mapper import ClosedMapper, read_event
from hub.application.ports import Clock, EventLog, HeadMoved, LogEntry, Randomness
from hub.application.registry import Registry
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
from hub.ledger.receipts import ReceiptBook, receipts_of_batch
from hub.ledger.sequencer import AnotherSigned, Sequencer

_logger = structlog.get_logger(__name__)

# How often in a row another process may be quicker than we are.
_LOADS_MAX = 3

Outcome = Recorded | Exception
"""What a command's caller gets."""


@dataclass(frozen=True, slots=True)
class _At:
    """A command's fact stands, or will stand, at this position."""

    position: int


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
    ) -> None:
        self._log = log
        self._mapper = mapper
        self._sequencer = sequencer
        self._receipts = receipts
        self._vault = vault
        self._clock = clock
        self._randomness = randomness
        self._published = published
        self._history = History(log, mapper)
        self._registry = Registry()
        self._next_position = 0
        self._last_time = datetime.min.replace(tzinfo=UTC)
        self._stale = True
        self._followed = True
        self.frozen: LedgerMismatch | None = None

    @property
    def registry(self) -> Registry:
        """The register as of the last batch."""
        return self._registry

    @property
    def unread(self) -> int:
        """How many events, from the first on, were taken for whole when the log was loaded."""
        return self._sequencer.unread

    def freeze(self, mismatch: LedgerMismatch) -> None:
        """Accept nothing from now on: somebody found that what is stored was changed."""
        self.frozen = mismatch
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

    def load(self) -> None:
        """Take up where storage says we are, and finish what was left undone.

        Should another process do that very work meanwhile, everything is looked at anew. Raises
        LedgerMismatch, after which nothing is accepted, or whatever storage raises.
        """
        for _ in range(_LOADS_MAX - 1):
            with suppress(AnotherSigned):
                return self._load()
        return self._load()

    def _load(self) -> None:
        self._stale = True
        self._history.forget()
        try:
            self._sequencer.load()
            self._registry = load_registry(self._log)
            self._note_late(self._sequencer.extend())
        except LedgerMismatch as mismatch:
            self.freeze(mismatch)
            raise
        self._next_position = self._sequencer.size
        self._last_time = self._time_of_last_event()
        self._stale = False
        self._publish()

    def process(self, commands: Sequence[Command]) -> list[Outcome]:
        """Decide, commit, sequence and answer; one outcome for each command, in order."""
        if refusal := self._not_ready():
            return [refusal] * len(commands)
        try:
            session, outcomes = self._decide(commands)
        except Exception as error:  # Storage, not a command: nothing was decided.
            return self._commit_failed(error, commands)
        # (1) Content lies on disk already; now the keys it was sealed with. If we stop here,
        # keys without an exchange are left, which harm nobody.
        # (2) One transaction. If we stop after it, `load` goes on at (3).
        if not session.is_empty:
            try:
                self._vault.store(session.document_keys)
                self._log.commit(session.commit())
            except Exception as error:
                return self._commit_failed(error, commands)
            self._next_position += len(session.commit().events)
            self._last_time = session.at
            self._registry = session.registry
        # (3) to (5): the sequencer's. Only then is anything visible to anyone.
        try:
            entries = self._sequencer.extend()
        except Exception as error:
            return self._sequencing_failed(error, outcomes)
        self._publish()
        fresh = receipts_of_batch(
            entries, self._sequencer.size, self._sequencer.checkpoint, self._sequencer.tree
        )
        return [self._answer(outcome, fresh) for outcome in outcomes]

    # --- deciding -----------------------------------------------------------------

    def _decide(self, commands: Sequence[Command]) -> tuple[Session, list[_At | Exception]]:
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
    ) -> list[_At | Exception]:
        keys = [request for command in commands if (request := command.request)]
        # One look-up a batch: a conflict found by the insert would roll all of it back.
        answered = {
            key: (accepted.digest, accepted.position)
            for key, accepted in self._log.requests(
                [(key.caller, key.request_id) for key in keys]
            ).items()
        }
        outcomes: list[_At | Exception] = []
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
    ) -> _At:
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
            return _At(position)
        require_not_frozen(session.registry, command)
        command.decide(session)
        position = session.accept()
        if request and key:
            answered[key] = (request.digest, position)
        return _At(position)

    def _session(self) -> Session:
        return Session(
            log=self._log,
            history=self._history,
            mapper=self._mapper,
            registry=self._registry,
            randomness=self._randomness,
            next_position=self._next_position,
            # Never earlier than the event before it, whatever the clock says.
            at=max(self._clock(), self._last_time),
        )

    # --- answering ----------------------------------------------------------------

    def _answer(self, outcome: _At | Exception, fresh: dict[int, Recorded]) -> Outcome:
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
                self.load()
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
        if not isinstance(error, HeadMoved):
            _logger.error("commit failed", exc_info=error)
        return [Unavailable("the outcome is not known; repeat the very same call")] * len(commands)

    def _sequencing_failed(
        self, error: Exception, outcomes: Sequence[_At | Exception]
    ) -> list[Outcome]:
        self._stale = True
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
    registry = Registry()
    for entry in log.registry_entries():
        if before is not None and entry.position >= before:
            break
        registry = registry.advanced(read_event(entry.state), entry.position, log.evidence)
    return registry
