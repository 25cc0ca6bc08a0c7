"""`lienthong audit`: replay history, tell a document's story, derive the state of any moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.auditor.client import AuditClient, Case, Statements
from hub.auditor.export import Exported, export_document
from hub.auditor.ranges import Wanted, agencies_named
from hub.auditor.state import (
    AgencyState,
    DocumentState,
    HubState,
    agency_as_json,
    document_as_json,
    hub_as_json,
)
from hub.auditor.story import Line, tell
from hub.auditor.stream import EventStream, Logged
from hub.cli.audit_options import (
    TIMES,
    CaseOption,
    CompleteOption,
    auditor,
    instant,
    just_after,
    replay_bar,
)
from hub.cli.audit_words import grounds, sentence, words
from hub.cli.console import local_time, say, say_fields, say_json, say_table, shown, stderr
from hub.cli.errors import CommandFailed
from hub.cli.messages import _
from hub.cli.session import (
    JsonOption,
    ProfileOption,
    exchange_id,
    run,
    standing_in_words,
    state_in_words,
)
from hub.client.answers import DeliveryState, VerifiedStatement

ExchangeOption = Annotated[
    str | None,
    typer.Option(
        "--document", metavar="EXCHANGE", callback=exchange_id, help="Only this exchange, by id."
    ),
]
AgencyOption = Annotated[
    str, typer.Option(metavar="CODE", help="Only what names this agency, by its primary code.")
]


def events(
    *,
    profile: ProfileOption,
    start: Annotated[
        int, typer.Option("--from", min=0, metavar="POSITION", help="The first position.")
    ] = 0,
    end: Annotated[
        int | None,
        typer.Option("--to", min=0, metavar="POSITION", help="The position to end before."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=TIMES, metavar="TIME", help="Only from this time on, in Vietnam."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=TIMES, metavar="TIME", help="Only before this time, in Vietnam."),
    ] = None,
    agency: AgencyOption = "",
    document: ExchangeOption = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC", help="Only events of this topic; may be repeated."),
    ] = None,
    complete: CompleteOption = False,
    json_: JsonOption = False,
) -> None:
    """Replay a stretch of history, verified.

    With --json each event is one line, its leaf exactly as it stands in the log. Only when the
    last line says so, and the exit status is 0, is everything before it proven.
    """
    wanted = Wanted(
        start=start,
        end=end,
        start_time=instant(since),
        end_time=instant(until),
        agency=agency,
        exchange_id=document or "",
        topics=tuple(kind or ()),
    )
    run(_replay(profile, wanted, complete, json_))


def document(
    exchange: Annotated[
        str,
        typer.Argument(
            metavar="EXCHANGE", callback=exchange_id, help="The exchange of the document, by id."
        ),
    ],
    *,
    profile: ProfileOption,
    case: CaseOption = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Take all statements and attachments along, into a new folder.",
        ),
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(
            metavar="UUID",
            callback=exchange_id,
            help="The request of an earlier run that broke off: it is then one access.",
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Tell the whole story of a document: what was signed and by whom, what the hub observed.

    Subject and reasons are shown, and content taken along, for a case only.
    """
    if export is not None and export.exists():
        raise CommandFailed(
            "FOLDER_NOT_EMPTY",
            _("{folder} is there already.", folder=export),
            _("Name a folder that does not exist yet."),
        )
    # Without a case the hub refuses what needs one; it is asked all the same, for its reason.
    lines, exported = run(_story(profile, exchange, case, export, request_id))
    if json_:
        say_json(
            {
                "exchange": exchange,
                "case": case,
                "events": [line.as_json() for line in lines],
                "exported": exported and exported.as_json(),
            }
        )
        return
    for line in lines:
        _tell(line)
    if exported is not None:
        say(_("Taken along, and verified: {folder}.", folder=export), style="bold green")


def state(
    *,
    profile: ProfileOption,
    document: ExchangeOption = None,
    agency: AgencyOption = "",
    at: Annotated[
        datetime | None,
        typer.Option(formats=TIMES, metavar="TIME", help="As of this time, in Vietnam."),
    ] = None,
    position: Annotated[
        int | None,
        typer.Option(min=0, metavar="POSITION", help="As of the event at this position."),
    ] = None,
    complete: CompleteOption = False,
    json_: JsonOption = False,
) -> None:
    """Derive the state as of a time or a position, by replaying to there.

    Of a document, of an agency, or of the whole hub in figures. The hub is not asked what the
    state is, only for the events.
    """
    if document and agency:
        raise typer.BadParameter(_("name a document or an agency, not both"))
    wanted = Wanted(
        end=None if position is None else position + 1,
        end_time=just_after(at),
        agency=agency,
        exchange_id=document or "",
    )
    replayed, stream = run(_state(profile, wanted, complete))
    _show_state(replayed, stream, document, agency, json_)


# --- Replay -----------------------------------------------------------------------------


async def _replay(profile: Path, wanted: Wanted, complete: bool, as_json: bool) -> None:
    async with auditor(profile) as client:
        with replay_bar() as progress:
            stream = client.events(wanted, complete=complete, progress=progress)
            count = 0
            async for logged in stream:
                if wanted.fits(logged.event):
                    count += 1
                    _show_event(logged, as_json)
    _show_proof(stream, count, complete or not wanted.filtered, as_json)


def _show_event(logged: Logged, as_json: bool) -> None:
    if as_json:
        leaf = logged.leaf.decode()
        say_json({"position": logged.position, "leaf": leaf}, on_one_line=True)
        return
    event = logged.event
    named = ", ".join(sorted(agencies_named(event)))
    say(f"{logged.position:>8}  {local_time(event.time)}  {shown(event.topic)}  {shown(named)}")


def _show_proof(stream: EventStream, count: int, whole: bool, as_json: bool) -> None:
    first, end = stream.range
    size = stream.checkpoint.size if stream.checkpoint else 0
    if as_json:
        proof = {"from": first, "to": end, "events": count, "complete": whole, "checkpoint": size}
        say_json({"verified": proof}, on_one_line=True)
        return
    say(_proof_in_words(first, end, size, whole), style="bold green", to=stderr())


def _proof_in_words(first: int, end: int, size: int, whole: bool) -> str:
    if whole:
        return _(
            "Verified: positions {first} to {end} lead to the signed root of {size} events; "
            "nothing was changed, left out or slipped in.",
            first=first, end=end, size=size,
        )  # fmt: skip
    return _(
        "Verified: each event stands in the signed tree of {size} events. That none was left "
        "out is the hub's word; --complete proves it.",
        size=size,
    )


# --- A document -------------------------------------------------------------------------


async def _story(
    profile: Path, exchange: str, reference: str | None, export: Path | None, request: str | None
) -> tuple[list[Line], Exported | None]:
    async with auditor(profile) as client:
        exported: Exported | None = None
        said: Mapping[int, VerifiedStatement] = {}
        case = Case.of(reference or "", request)
        if export is not None:
            exported = await export_document(client, case, exchange, export)
            said = exported.said
        elif reference is not None:
            said = (await _statements(client, case, exchange)).said
        events = await client.story(exchange)
    return tell(events, said), exported


async def _statements(client: AuditClient, case: Case, exchange: str) -> Statements:
    read = await client.read_statements(case, exchange)
    for lost in read.lost.values():
        text = _("The statement at position {position} is no longer to be had: {reason}.",
                 position=lost.position, reason=shown(lost.reason))  # fmt: skip
        say(text, style="yellow", to=stderr())
    return read


def _tell(line: Line) -> None:
    say(f"{line.position:>8}  {local_time(line.at)}  {sentence(line)}")
    for text in words(line):
        say(f"{'':>10}{text}", style="bold")
    for text in grounds(line):
        say(f"{'':>10}{text}", style="dim")


# --- State ------------------------------------------------------------------------------


async def _state(profile: Path, wanted: Wanted, complete: bool) -> tuple[HubState, EventStream]:
    async with auditor(profile) as client:
        with replay_bar() as progress:
            stream = client.events(wanted, complete=complete, progress=progress)
            replayed = HubState()
            async for logged in stream:
                if wanted.fits(logged.event):
                    replayed.apply(logged)
    return replayed, stream


def _show_state(
    replayed: HubState, stream: EventStream, document: str | None, agency: str, as_json: bool
) -> None:
    _first, end = stream.range
    found: Any = replayed
    if document is not None:
        found = replayed.documents.get(document)
    elif agency:
        found = replayed.agencies.get(agency)
    if as_json:
        last = replayed.at and replayed.at.isoformat()
        members = None if found is None else _as_json(found, replayed)
        say_json({"position": end, "last_event_at": last, "state": members})
        return
    say(_("After {count} events of the log:", count=end), style="bold")
    match found:
        case DocumentState():
            _show_document(found)
        case AgencyState():
            _show_agency(found, replayed)
        case HubState():
            _show_hub(found)
        case _:
            say(_("Not there yet."))


def _as_json(found: HubState | AgencyState | DocumentState, replayed: HubState) -> dict[str, Any]:
    match found:
        case DocumentState():
            return document_as_json(found)
        case AgencyState():
            return agency_as_json(found, replayed)
        case HubState():
            return hub_as_json(found)


def _show_document(found: Any) -> None:
    rows = [
        [
            recipient,
            standing_in_words(
                standing.state,
                standing.recall,
                expired=standing.expired,
                replaced=found.replaced_by is not None,
            ),
            local_time(standing.updated_at),
        ]
        for recipient, standing in sorted(found.deliveries.items())
    ]
    say_fields([(_("From"), found.sender), (_("Received"), local_time(found.accepted_at))])
    say_table([_("Recipient"), _("State"), _("Since")], rows)


def _show_agency(found: AgencyState, replayed: HubState) -> None:
    fields = [
        (_("Code"), ", ".join((found.code, *found.other_codes))),
        (_("Name"), shown(found.name)),
        (_("Standing"), _agency_in_words(found)),
        (_("Certificates"), str(len(found.certificates))),
        (_("Documents sent"), str(replayed.sent_by(found.code))),
    ]
    say_fields(fields)
    _show_deliveries(replayed.deliveries_of(found.code))


def _agency_in_words(found: AgencyState) -> str:
    if found.successor is not None:
        return _("succeeded by {successor}", successor=shown(found.successor))
    return _("suspended") if found.suspended else _("takes part")


def _show_hub(found: HubState) -> None:
    principals = ", ".join(f"{name} ({role})" for name, role in sorted(found.principals.items()))
    suspended = sum(agency.suspended for agency in found.agencies.values())
    say_fields(
        [
            (_("Agencies"), str(len(found.agencies))),
            (_("Suspended"), str(suspended)),
            (_("Operators and auditors"), shown(principals)),
            (_("Documents"), str(len(found.documents))),
        ]
    )
    _show_deliveries(found.deliveries())


def _show_deliveries(counts: Mapping[DeliveryState, int]) -> None:
    rows = [[state_in_words(state), str(counts[state])] for state in sorted(counts)]
    say_table([_("Delivered documents"), _("Count")], rows)
