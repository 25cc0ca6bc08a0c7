"""What was found out about the signatures of a document, as those see it whom it concerns."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from hub.application.mapper import read_event
from hub.application.ports import EventLog
from hub.application.vault import Vault
from hub.domain.exchange import Exchange
from hub.domain.values import parse_time
from hub.errors import ContentLost
from hub.proof.leaf import Event

_ENTRIES_AT_ONCE = 1024
_SEEN_MAX = 256
_VERDICTS = frozenset({Exchange.SignatureVerdictMade.TOPIC, Exchange.AxisSignaturesExamined.TOPIC})


@dataclass(frozen=True, slots=True)
class SeenSignature:
    """A signature that a document carries, as it is shown; names only to who has the content.

    Of form `xml` it is that of the package, which is counted behind the attachments.
    """

    attachment: int
    form: str
    outcome: str
    reason: str
    signer: str
    signed_at: datetime | None
    position: int
    name: str = ""
    organisation: str = ""
    issuer: str = ""
    stamp: str = ""
    stamped_at: datetime | None = None
    stamp_over: str = ""
    stamp_reason: str = ""
    stamp_authority: str = ""
    judged_by: str = ""
    judged_at: datetime | None = None
    agency: str = ""
    status: str = ""


def signatures_of(
    log: EventLog,
    vault: Vault,
    exchange_id: UUID,
    size: int,
    *,
    named: bool,
    readers: Collection[str] = (),
) -> list[SeenSignature]:
    """The verdicts on a document among the first `size` events; `named` with who signed.

    Behind that on the document itself those on statuses and recalls from the axis, `agency` and
    `status` saying whose, of which one of `readers` may know.
    """
    found: list[SeenSignature] = []
    for entry in log.entries_of([exchange_id], 0, _ENTRIES_AT_ONCE):
        if entry.topic not in _VERDICTS or entry.position >= size or len(found) >= _SEEN_MAX:
            continue
        event = read_event(entry.state)
        on_axis = entry.topic == Exchange.AxisSignaturesExamined.TOPIC
        if on_axis and not set(readers).intersection(event.data["parties"]):
            continue
        details = list(_details(event, log, vault)) if named else []
        said = (event.data["agency"], event.data["code"]) if on_axis else ("", "")
        found += [
            _seen(record, entry.position, details[index] if index < len(details) else {}, said)
            for index, record in enumerate(event.data["signatures"])
        ]
    return sorted(found, key=lambda each: each.status != "")


def _details(event: Event, log: EventLog, vault: Vault) -> Iterator[Mapping[str, Any]]:
    sealed = log.payload(bytes.fromhex(event.data["report"]))
    if sealed is not None:
        with suppress(ContentLost):
            yield from json.loads(vault.open_payload(sealed))["signatures"]


def _seen(
    record: Mapping[str, Any], position: int, details: Mapping[str, Any], said: tuple[str, str]
) -> SeenSignature:
    return SeenSignature(
        attachment=record["attachment"],
        form=record["form"],
        outcome=record["outcome"],
        reason=record["reason"],
        signer=record["signer"],
        signed_at=_instant(record["signed_at"]),
        position=position,
        name=details.get("name", ""),
        organisation=details.get("organisation", ""),
        issuer=details.get("issuer", ""),
        stamp=record["stamp"],
        stamped_at=_instant(record["stamped_at"]),
        stamp_over=record["stamp_over"],
        stamp_reason=record["stamp_reason"],
        stamp_authority=details.get("stamp_authority", ""),
        judged_by=record["judged_by"],
        judged_at=_instant(record["judged_at"]),
        agency=said[0],
        status=said[1],
    )


def _instant(text: str) -> datetime | None:
    return parse_time(text) if text else None
