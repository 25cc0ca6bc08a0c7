"""Whom an event concerns: they may hold its receipt, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from hub.domain.approval import Approval
from hub.proof.leaf import Event


def parties_of(event: Event) -> frozenset[str]:
    """The codes of the agencies an event of an exchange concerns; empty for any other event."""
    data = event.data
    if "sender" not in data:
        return frozenset()
    speakers = {data["sender"], data.get("agency", data["sender"]), *data.get("parties", ())}
    # A successor that spoke for one of them; it may be succeeded itself one day.
    if by_agency := data.get("statement", {}).get("by_agency"):
        speakers.add(by_agency)
    named = speakers | {consignment["agency"] for consignment in consignments_of(data)}
    # Of a package that was parked on its arrival nobody knows who sent it.
    return frozenset(code for code in named if code)


def consignments_of(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every inbox number an event gives, as {agency, inbox_seq}."""
    yield from data.get("recipients", ())
    yield from data.get("notices", ())
    if "inbox_seq" in data:
        yield {"agency": data["agency"], "inbox_seq": data["inbox_seq"]}


def exchange_of(event: Event) -> UUID | None:
    """The exchange whose key seals the statement that an event records.

    None for what operators say of it: that is kept when the document is erased.
    """
    if event.topic == Approval.Created.TOPIC:
        return None
    return UUID(event.data["exchange"]) if "exchange" in event.data else event.id
