"""Records a small history for `tests/replay`, once for each release.

    python -m tests.support.record_history v0.2.0

A recorded history is never made anew and never edited: it stands for what agencies and
auditors hold from that release on. So this refuses to write into a folder that is there.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

from adapters.memory.faults import Fault
from hub.application.auditors import EnrolAuditor
from hub.application.calendar import CorrectCalendar
from hub.application.case_reading import EXPORT, STATEMENTS, Access, NoteAccess
from hub.application.directory import SetGroup
from hub.domain.exchange import Exchange
from hub.errors import HubError
from hub.proof.dsse import SignedStatement
from hub.proof.signatures import Algorithm
from tests.support.agencies import reinstate, rename, succeed, suspend
from tests.support.builders import (
    OPERATOR,
    MemoryHub,
    Party,
    check_whole,
    found,
    instant,
    new_request_id,
    transport_certificate,
)

REPLAY = Path(__file__).parents[1] / "replay"
OLD_CODE = "000.99.03.H29"
PARTIES = tuple(
    Party(f"000.00.0{number}.H29", algorithm) for number, algorithm in enumerate(Algorithm, 1)
)


def live() -> MemoryHub:
    """A hub with four agencies after some days of work, with refusals and with failures."""
    hub = found(MemoryHub())
    hub.register(*(party.code for party in PARTIES))
    for party in PARTIES:
        hub.enrol(party)
    client = transport_certificate("client")
    hub.done(hub.enrolment(PARTIES[0], purpose="transport", algorithm=None, certificate=client))
    quan_1, tai_chinh, y_te, noi_vu = PARTIES
    for day in range(5):
        hub.clock.advance(timedelta(days=1, microseconds=day))
        contents = [b"%PDF-1.7 " * day, b"phu luc"][: day % 3]
        envelope = quan_1.envelope(
            tai_chinh.code,
            y_te.code,
            contents=contents,
            document={"number": str(day), "subject": f"V/v kế hoạch ngày {day}"},
        )
        hub.submit(quan_1.code, envelope, contents)
        hub.report(tai_chinh.code, tai_chinh.status(envelope, "03"))
        hub.collect(tai_chinh.code, tai_chinh.collect(envelope))
        hub.report(tai_chinh.code, tai_chinh.status(envelope, "01"))
        if day % 2:
            hub.collect(y_te.code, y_te.collect(envelope))
            hub.report(y_te.code, y_te.status(envelope, "02"))
        else:
            hub.report(y_te.code, y_te.status(envelope, "06"))
        with suppress(HubError):
            hub.submit(y_te.code, y_te.envelope("H-NOBODY"))
        answer = noi_vu.envelope(quan_1.code, request_id=new_request_id())
        hub.break_next("tree.publish", Fault.LOST)
        with suppress(HubError):
            hub.submit(noi_vu.code, answer)
        hub.submit(noi_vu.code, answer)
        go_on(hub, envelope, day)
    reorganise(hub)
    audit(hub)
    check_whole(hub)
    return hub


def go_on(hub: MemoryHub, envelope: SignedStatement, day: int) -> None:
    """What became of a day's document later: updated, replaced, recalled, or left to expire."""
    quan_1, tai_chinh, y_te, noi_vu = PARTIES
    digest = envelope.digest.hex()
    both = (tai_chinh.code, y_te.code)
    match day:
        case 0:
            update = quan_1.envelope(*both, action="update", relates_to=digest)
            hub.submit(quan_1.code, update)
        case 1:
            replacement = quan_1.envelope(noi_vu.code, action="replace", relates_to=digest)
            hub.submit(quan_1.code, replacement)
        case 2:
            hub.recall(quan_1.code, quan_1.recall(envelope))
            hub.answer(tai_chinh.code, tai_chinh.recall_answer(envelope, "16"))
            hub.answer(y_te.code, y_te.recall_answer(envelope, "15"))
        case 3:
            limit = hub.clock() + timedelta(hours=8)
            hub.submit(y_te.code, y_te.envelope(noi_vu.code, expires_at=instant(limit)))
    hub.expire()


def reorganise(hub: MemoryHub) -> None:
    """Another code, a suspension, a group, and a successor that speaks for both its sides."""
    quan_1, tai_chinh, y_te, noi_vu = PARTIES
    rename(hub, y_te.code, "Sở Y tế mới", add=(OLD_CODE,))
    suspend(hub, noi_vu.code)
    reinstate(hub, noi_vu.code)
    hub.done(SetGroup(OPERATOR, new_request_id(), "cac-so", "Các sở", (OLD_CODE, noi_vu.code)))
    swapped = date(2026, 1, 2)
    hub.done(CorrectCalendar(OPERATOR, new_request_id(), swapped, False, "QĐ 1/QĐ-TTg"))
    before = quan_1.envelope(OLD_CODE)
    hub.submit(quan_1.code, before)
    sent = y_te.envelope(tai_chinh.code)
    hub.submit(y_te.code, sent)
    succeed(hub, y_te.code, noi_vu.code)
    hub.submit(quan_1.code, quan_1.envelope(OLD_CODE))
    for_y_te = {"for_agency": y_te.code}
    hub.collect(noi_vu.code, noi_vu.collect(before, **for_y_te))
    hub.report(noi_vu.code, noi_vu.status(before, "06", **for_y_te))
    hub.recall(quan_1.code, quan_1.recall(before))
    hub.answer(noi_vu.code, noi_vu.recall_answer(before, "15", **for_y_te))
    hub.recall(noi_vu.code, noi_vu.recall(sent))


def audit(hub: MemoryHub) -> None:
    """An auditor is let in, and reads the first document for a case."""
    certificate = transport_certificate("thanh-tra-1")
    hub.done(EnrolAuditor(OPERATOR, new_request_id(), "thanh-tra-1", certificate, hub.suitability))
    first = next(event for event in hub.events() if event.topic == Exchange.Created.TOPIC)
    access = Access("thanh-tra-1", new_request_id(), "15/KL-TTTP", first.id)
    hub.done(NoteAccess(access, STATEMENTS, -1))
    hub.done(NoteAccess(replace(access, request_id=new_request_id()), EXPORT, 0))


def recorded(hub: MemoryHub) -> dict[str, bytes]:
    """Everything of a hub that later versions must be able to read, by file name."""
    log, tables = hub.log, hub.log._tables
    return {
        "verifier-key": hub.signer.verifier_key.format().encode() + b"\n",
        "events.jsonl": lines(
            {
                "position": entry.position,
                "aggregate_id": entry.aggregate_id,
                "version": entry.version,
                "topic": entry.topic,
                "leaf": entry.state.decode(),
            }
            for entry in log.entries(0, 1_000_000)
        ),
        "requests.jsonl": lines(map(dataclasses.asdict, tables.requests.values())),
        "payloads.jsonl": lines(
            dataclasses.asdict(payload)
            | {"wrapped_key": hub.stores.document_keys.get(payload.exchange_id)}
            for payload in tables.payloads.values()
        ),
        "evidence.jsonl": lines({"data": data} for data in tables.evidence.values()),
        "checkpoints.jsonl": lines(
            {"size": size, "note": note.decode()} for size, note in hub.stores.tree.checkpoints()
        ),
        "receipts.jsonl": lines(
            {
                "position": position,
                "proof": hub.receipts.receipt(position).receipt.proof.decode(),
            }
            for position in range(0, hub.receipts.size, 7)
        ),
        "views.jsonl": view_lines(hub.views.rows()),
    }


def view_lines(rows: Iterable[Any]) -> bytes:
    """The rows of the lists, each under the name of its kind."""
    return lines({"row": type(row).__name__} | dataclasses.asdict(row) for row in rows)


def lines(objects: Iterable[dict[str, Any]]) -> bytes:
    """One JSON object a line; bytes in base64."""
    texts = [json.dumps(each, ensure_ascii=False, default=_plain) for each in objects]
    return "".join(text + "\n" for text in texts).encode()


def _plain(value: object) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case UUID():
            return str(value)
        case date():  # An instant, too.
            return value.isoformat()
        case Enum():
            return value.name
    raise TypeError(f"cannot write {type(value).__name__}")


def main(release: str) -> None:
    """Record a history for a release."""
    folder = REPLAY / release
    folder.mkdir()
    for name, data in recorded(live()).items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main(sys.argv[1])
