"""Logs of any size, made the way a hub makes them, but with many documents in each batch.

Every statement is signed by its agency and verified once; commands go straight to the batch
engine, with no network and no queue before it. So the stores of the hub hold what they would
after years of service, and every check of them has all its work to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from adapters.system import system_randomness
from hub.application import intake
from hub.application.commands import SpeakAsRecipient, Spoken, SubmitDocument
from hub.application.lane import Command, Recorded
from hub.bootstrap.core import Core
from hub.domain.values import uuid7
from hub.proof.dsse import SignedStatement
from hub.proof.statements import Collect, Envelope, Status
from tests.bench.sayings import domain_form, envelope_of_2_kb
from tests.support.hubs import Speaker, collect, signed, status

_WAVE = 256
# What becomes of a document: submitted, collected, arrived, accepted, finished.
_STATUSES = ("01", "03", "06")
EVENTS_PER_DOCUMENT = 2 + len(_STATUSES)


class History:
    """Grows the log of a hub whose core is open and loaded."""

    def __init__(
        self, core: Core, sender: Speaker, recipient: Speaker, clock: Callable[[], datetime]
    ) -> None:
        self._core = core
        self._sender = sender
        self._recipient = recipient
        self._clock = clock

    def grow(self, size: int) -> None:
        """Whole documents until `size` is near, then submissions alone up to it."""
        while (missing := size - self._core.log.head().next_position) >= EVENTS_PER_DOCUMENT:
            self._wave(min(_WAVE, missing // EVENTS_PER_DOCUMENT))
        if missing > 0:
            self._do(map(self.submission, self._envelopes(missing)))

    def _wave(self, count: int) -> None:
        envelopes = self._envelopes(count)
        submissions = [self.submission(each) for each in envelopes]
        self._do(submissions)
        opened = [
            (each.digest, submission.exchange_id)
            for each, submission in zip(envelopes, submissions, strict=True)
        ]
        self._do(self._speak(Collect, collect, *each) for each in opened)
        for code in _STATUSES:
            saying = lambda speaker, digest, code=code: status(speaker, digest, code)  # noqa: E731
            self._do(self._speak(Status, saying, *each) for each in opened)

    def _envelopes(self, count: int) -> list[SignedStatement]:
        return [
            domain_form(
                signed(self._sender, envelope_of_2_kb(self._sender, [self._recipient.code]))
            )
            for _ in range(count)
        ]

    def submission(self, envelope: SignedStatement) -> SubmitDocument:
        """An envelope that was read and judged, as a command for the lane."""
        core, sender = self._core, self._sender
        read = intake.read(envelope, Envelope, agency=sender.code, origin=sender.hub)
        exchange_id = uuid7(self._clock(), system_randomness(10))
        spoken = self._spoken(sender, envelope)
        return SubmitDocument(spoken, read, exchange_id, core.vault.new_key(), core.vault)

    def _speak(
        self,
        kind: type[Collect] | type[Status],
        saying: Callable[[Speaker, bytes], dict],
        digest: bytes,
        exchange_id: UUID,
    ) -> SpeakAsRecipient:
        recipient = self._recipient
        statement = domain_form(signed(recipient, saying(recipient, digest), kind.MEDIA_TYPE))
        read = intake.read(statement, kind, agency=recipient.code, origin=recipient.hub)
        spoken = self._spoken(recipient, statement)
        return SpeakAsRecipient(spoken, read, exchange_id, self._core.vault)

    def _spoken(self, speaker: Speaker, statement: SignedStatement) -> Spoken:
        registry = self._core.engine.registry
        judged = intake.judge(statement, agency=speaker.code, registry=registry, at=self._clock())
        return Spoken(speaker.code, statement, judged, registry.version)

    def _do(self, commands: Iterable[Command]) -> None:
        require_accepted(self._core.engine.process(list(commands)))


def require_accepted(outcomes: Sequence[Recorded | Exception]) -> None:
    """A figure over refused documents would mean nothing."""
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
