"""Which stretch of history an auditor asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from hub.proof.leaf import Event
from hub.v1 import audit_service_pb2 as calls

_NAMING = ("agency", "code", "sender", "successor")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Positions from `start` to before `end`, times likewise; None means no limit.

    The rest filters: `agency` by its primary code, `exchange_id` with its deliveries and
    audits, `topics` any of them.
    """

    start: int = 0
    end: int | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    agency: str = ""
    exchange_id: str = ""
    topics: tuple[str, ...] = ()

    @property
    def filtered(self) -> bool:
        """Whether events between may be left out."""
        return bool(self.agency or self.exchange_id or self.topics)

    def unfiltered(self) -> Wanted:
        """The same range, with all that is in it."""
        return replace(self, agency="", exchange_id="", topics=())

    def fits(self, event: Event) -> bool:
        """Whether an event passes the filter; ranges are not looked at."""
        return (
            (not self.topics or event.topic in self.topics)
            and (not self.agency or self.agency in agencies_named(event))
            and (not self.exchange_id or self.exchange_id == exchange_of(event))
        )

    def request(self, start: int, end: int | None) -> calls.StreamEventsRequest:
        """What asks the hub for the rest of it, from a position on."""
        return calls.StreamEventsRequest(
            start=start,
            end=end,
            start_time=timestamp_of(self.start_time),
            end_time=timestamp_of(self.end_time),
            agency=self.agency,
            exchange_id=self.exchange_id,
            topics=self.topics,
        )


def agencies_named(event: Event) -> frozenset[str]:
    """The codes of all agencies an event names, whatever their part in it."""
    data = event.data
    named = {data.get(name) for name in _NAMING}
    for group in ("recipients", "notices"):
        named |= {item.get("agency") for item in data.get(group, ()) if isinstance(item, dict)}
    statement = data.get("statement")
    if isinstance(statement, dict):
        named.add(statement.get("by_agency"))
    named.update(data.get("members", ()))
    return frozenset(code for code in named if isinstance(code, str))


def exchange_of(event: Event) -> str | None:
    """The exchange whose story an event belongs to; None for any other."""
    if event.topic.startswith("hub.Exchange."):
        return str(event.id)
    exchange = event.data.get("exchange")
    return exchange if isinstance(exchange, str) else None


def timestamp_of(at: datetime | None) -> Timestamp | None:
    """An instant on the wire; None where there is no limit."""
    if at is None:
        return None
    message = Timestamp()
    message.FromDatetime(at)
    return message
