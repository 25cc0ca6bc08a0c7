"""`lienthong received` and `lienthong sent`: look for documents, and see who is late."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from hub.cli.console import local_time, say, say_json, say_table, shown, stderr
from hub.cli.messages import N_, _
from hub.cli.send import DATES
from hub.cli.session import JsonOption, OfOption, ProfileOption, agency, run, standing_in_words
from hub.client import DocumentFilter, HubClient, ReceivedDocument, SentDocument
from hub.client.answers import DeliveryState, RecallState
from hub.client.drafting import VIETNAM
from hub.client.lists import Late, LateRule, ListedDocument
from hub.proof.envelope import Priority

T = TypeVar("T")


class State(StrEnum):
    """A delivery's state as it is typed; the order is that of `DeliveryState`."""

    CONSIGNED = "consigned"
    COLLECTED = "collected"
    ARRIVED = "arrived"
    REFUSED = "refused"
    ACCEPTED = "accepted"
    ASSIGNED = "assigned"
    PROCESSING = "processing"
    FINISHED = "finished"


_RULES = {
    LateRule.UNKNOWN: N_("late"),
    LateRule.NOT_COLLECTED: N_("not collected"),
    LateRule.NOT_ANSWERED: N_("not answered"),
}

StatesOption = Annotated[
    list[State] | None, typer.Option("--state", help="Only in this state; may be repeated.")
]
TypeOption = Annotated[
    str | None, typer.Option("--type", metavar="KIND", help="Only of this kind, by name or code.")
]
PrioritiesOption = Annotated[
    list[Priority] | None,
    typer.Option("--priority", help="Only of this priority; may be repeated."),
]
CodeOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Only with this in number and notation.")
]
SubjectOption = Annotated[
    str | None,
    typer.Option(
        metavar="WORDS", help="Only with all these words in the subject, with diacritics or not."
    ),
]
AcceptedFromOption = Annotated[
    datetime | None,
    typer.Option(formats=DATES, metavar="DAY", help="Only from this day on."),
]
AcceptedToOption = Annotated[
    datetime | None,
    typer.Option(formats=DATES, metavar="DAY", help="Only up to this day."),
]
IssuedFromOption = Annotated[
    datetime | None,
    typer.Option(formats=DATES, metavar="DAY", help="Only dated this day or later."),
]
IssuedToOption = Annotated[
    datetime | None,
    typer.Option(formats=DATES, metavar="DAY", help="Only dated this day or earlier."),
]
OverdueOption = Annotated[bool, typer.Option("--overdue", help="Only what is late now.")]
RecalledOption = Annotated[
    bool | None,
    typer.Option("--recalled/--not-recalled", help="Only what was asked back, or only the rest."),
]
ReplacedOption = Annotated[
    bool | None,
    typer.Option("--replaced/--not-replaced", help="Only what was replaced, or only the rest."),
]
LimitOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="How many documents at the most.")
]


def received(
    *,
    profile: ProfileOption,
    sender: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only from this agency.")
    ] = None,
    state: StatesOption = None,
    type_: TypeOption = None,
    priority: PrioritiesOption = None,
    code: CodeOption = None,
    subject: SubjectOption = None,
    accepted_from: AcceptedFromOption = None,
    accepted_to: AcceptedToOption = None,
    issued_from: IssuedFromOption = None,
    issued_to: IssuedToOption = None,
    overdue: OverdueOption = False,
    recalled: RecalledOption = None,
    replaced: ReplacedOption = None,
    limit: LimitOption = 50,
    of: OfOption = "",
    json_: JsonOption = False,
) -> None:
    """Look for documents that have come in, newest first.

    What is listed is the hub's word; the document itself is verified when it is fetched.
    """
    wanted = DocumentFilter(
        states=_states(state),
        other_agency=sender,
        type=type_,
        priorities=priority or (),
        code=code,
        subject=subject,
        accepted_from=_beginning_of(accepted_from),
        accepted_before=_end_of(accepted_to),
        issued_from=issued_from and issued_from.date(),
        issued_to=issued_to and issued_to.date(),
        overdue_only=overdue,
        recalled=recalled,
        replaced=replaced,
    )
    found = run(_newest(profile, lambda hub: hub.received(wanted, agency=of), limit))
    if json_:
        say_json([_received_members(item) for item in found[:limit]])
        return
    columns = [_("No."), _("Received"), _("From"), _("Document"), _("Due"), _("State"), _("Late")]
    _show(columns, [_received_row(item) for item in found[:limit]], len(found) > limit)


def sent(
    *,
    profile: ProfileOption,
    recipient: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only to this agency.")
    ] = None,
    state: StatesOption = None,
    type_: TypeOption = None,
    priority: PrioritiesOption = None,
    code: CodeOption = None,
    subject: SubjectOption = None,
    accepted_from: AcceptedFromOption = None,
    accepted_to: AcceptedToOption = None,
    issued_from: IssuedFromOption = None,
    issued_to: IssuedToOption = None,
    overdue: OverdueOption = False,
    recalled: RecalledOption = None,
    replaced: ReplacedOption = None,
    limit: LimitOption = 50,
    of: OfOption = "",
    json_: JsonOption = False,
) -> None:
    """Look for documents that were sent, newest first.

    A state, a recall and lateness are asked of one recipient at least. `lienthong status`
    shows the recipients of a document one by one.
    """
    wanted = DocumentFilter(
        states=_states(state),
        other_agency=recipient,
        type=type_,
        priorities=priority or (),
        code=code,
        subject=subject,
        accepted_from=_beginning_of(accepted_from),
        accepted_before=_end_of(accepted_to),
        issued_from=issued_from and issued_from.date(),
        issued_to=issued_to and issued_to.date(),
        overdue_only=overdue,
        recalled=recalled,
        replaced=replaced,
    )
    found = run(_newest(profile, lambda hub: hub.sent(wanted, agency=of), limit))
    if json_:
        say_json([_sent_members(item) for item in found[:limit]])
        return
    columns = [_("Exchange"), _("Sent"), _("Document"), _("Due"), _("Recipients"), _("Late")]
    _show(columns, [_sent_row(item) for item in found[:limit]], len(found) > limit)


async def _newest(
    profile: Path, ask: Callable[[HubClient], AsyncIterator[T]], limit: int
) -> list[T]:
    """The newest documents, and one more where there is one."""
    found: list[T] = []
    async with agency(profile) as (hub, _finished):
        async for item in ask(hub):
            found.append(item)
            if len(found) > limit:
                break
    return found


def _states(states: Sequence[State] | None) -> list[DeliveryState]:
    return [DeliveryState[state.name] for state in states or ()]


def _beginning_of(day: datetime | None) -> datetime | None:
    return day and day.replace(tzinfo=VIETNAM)


def _end_of(day: datetime | None) -> datetime | None:
    return day and day.replace(tzinfo=VIETNAM) + timedelta(days=1)


def _show(columns: Sequence[str], rows: Sequence[Sequence[str]], more: bool) -> None:
    if not rows:
        say(_("There is no such document."))
        return
    say_table(columns, rows)
    if more:
        text = _("Only the newest {count} are shown; `--limit` shows more.", count=len(rows))
        say(text, to=stderr())


def _received_row(item: ReceivedDocument) -> list[str]:
    document = item.document
    return [
        str(item.inbox_seq),
        local_time(document.accepted_at),
        document.sender,
        _title(document),
        document.due_on.isoformat() if document.due_on else "",
        _state(item.state, item.recall, item.expired, document),
        "\n".join(_late(late) for late in item.late),
    ]


def _sent_row(item: SentDocument) -> list[str]:
    document = item.document
    states = [
        f"{tally.count}: {_state(tally.state, tally.recall, tally.expired, document)}"
        for tally in item.deliveries
    ]
    return [
        document.exchange_id,
        local_time(document.accepted_at),
        _title(document),
        document.due_on.isoformat() if document.due_on else "",
        "\n".join(states),
        "\n".join(f"{late.recipients}: {_late(late)}" for late in item.late),
    ]


def _title(document: ListedDocument) -> str:
    if document.erased:
        return _("erased by law, for good")
    words = (shown(document.type_name), shown(document.code), shown(document.subject))
    return "{} {}: {}".format(*words)


def _state(
    state: DeliveryState, recall: RecallState, expired: bool, document: ListedDocument
) -> str:
    replaced, erased = bool(document.replaced_by), document.erased
    return standing_in_words(state, recall, expired=expired, replaced=replaced, erased=erased)


def _late(late: Late) -> str:
    return _("{rule} since {time}", rule=_(_RULES[late.rule]), time=local_time(late.since))


def _received_members(item: ReceivedDocument) -> dict[str, Any]:
    return {
        "number": item.inbox_seq,
        **_document_members(item.document),
        "state": item.state.name.lower(),
        "updated_at": item.updated_at.isoformat(),
        "recall": item.recall.name.lower(),
        "expired": item.expired,
        "late": [_late_members(late) for late in item.late],
    }


def _sent_members(item: SentDocument) -> dict[str, Any]:
    deliveries = [
        {
            "state": tally.state.name.lower(),
            "recall": tally.recall.name.lower(),
            "expired": tally.expired,
            "count": tally.count,
        }
        for tally in item.deliveries
    ]
    return {
        **_document_members(item.document),
        "deliveries": deliveries,
        "late": [_late_members(late) for late in item.late],
    }


def _document_members(document: ListedDocument) -> dict[str, Any]:
    return {
        "exchange": document.exchange_id,
        "sender": document.sender,
        "envelope_digest": document.envelope_digest,
        "accepted_at": document.accepted_at.isoformat(),
        "position": document.position,
        "code": document.code,
        "type": document.type_name,
        "type_code": document.type_code,
        "subject": document.subject,
        "priority": document.priority and document.priority.value,
        "issued_on": document.issued_on and document.issued_on.isoformat(),
        "due_on": document.due_on and document.due_on.isoformat(),
        "attachment_count": document.attachment_count,
        "attachment_bytes": document.attachment_bytes,
        "replaced_by": document.replaced_by,
        "erased": document.erased,
    }


def _late_members(late: Late) -> dict[str, Any]:
    return {
        "rule": late.rule.name.lower(),
        "since": late.since.isoformat(),
        "recipients": late.recipients,
    }
