"""Which statements of an exchange are in doubt, because their key was revoked later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hub.application.mapper import read_event
from hub.application.ports import EventLog
from hub.domain.exchange import Exchange
from hub.domain.values import parse_time

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Doubt:
    """That the signature behind the fact at position `statement` is in doubt.

    `position` is that of the event that says so, `revocation` that of the revocation.
    `recipient` is whose statement it is; empty where it is the sender's.
    """

    statement: int
    recipient: str
    effective: datetime
    position: int
    revocation: int


def doubts_of(log: EventLog, exchange_id: UUID, size: int) -> list[Doubt]:
    """All doubts about an exchange among the first `size` events, in the order of the log."""
    found: list[Doubt] = []
    start = 0
    while True:
        entries = log.entries_of([exchange_id], start, _PAGE)
        for entry in entries:
            if entry.topic != Exchange.SignatureInDoubt.TOPIC or entry.position >= size:
                continue
            data = read_event(entry.state).data
            effective = parse_time(data["effective"])
            found.append(
                Doubt(
                    data["position"],
                    data["recipient"],
                    effective,
                    entry.position,
                    data["revocation"],
                )
            )
        if len(entries) < _PAGE:
            return found
        start = entries[-1].position + 1
