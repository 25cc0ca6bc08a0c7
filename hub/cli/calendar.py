"""`lienthong calendar`: an operator's word on which days are working days."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.agency import RequestOption, repeatable
from hub.cli.console import say, say_fields, say_json, say_table, shown
from hub.cli.messages import _
from hub.cli.send import DATES
from hub.cli.session import (
    JsonOption,
    ProfileOption,
    ReceiptOption,
    operator,
    require_place_for,
    run,
)
from hub.client.registry import CalendarCorrection, Registered


def set_(
    day: Annotated[
        datetime, typer.Argument(formats=DATES, metavar="DAY", help="As in 2026-01-10.")
    ],
    *,
    working: Annotated[
        bool, typer.Option("--working/--off", help="Whether offices work on that day.")
    ],
    basis: Annotated[
        str,
        typer.Option(metavar="TEXT", help="The public decision that says so; it stays for ever."),
    ],
    profile: ProfileOption,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Say of a day whether it is a working day; deadlines follow it from now on.

    The hub knows the public holidays by itself. This is for days swapped by decree.
    """
    require_place_for(receipt)
    with repeatable():
        registered = run(_set(profile, day.date(), working, basis, request_id))
    if receipt is not None:
        receipt.write_bytes(registered.evidence())
    _report(registered, day.date(), working, receipt, json_)


def list_(profile: ProfileOption, json_: JsonOption = False) -> None:
    """List the days that were corrected, each as it counts now."""
    corrections = run(_list(profile))
    if json_:
        say_json(
            [
                {
                    "day": correction.day.isoformat(),
                    "working": correction.working,
                    "basis": correction.basis,
                    "by": correction.by,
                    "position": correction.position,
                }
                for correction in corrections
            ]
        )
    elif not corrections:
        say(_("No day was corrected."))
    else:
        rows = [
            [
                correction.day.isoformat(),
                _day_in_words(correction.working),
                shown(correction.basis),
                shown(correction.by),
            ]
            for correction in corrections
        ]
        say_table([_("Day"), _("Offices"), _("Basis"), _("By")], rows)


async def _set(
    profile: Path, day: date, working: bool, basis: str, request_id: str | None
) -> Registered:
    async with operator(profile) as registry:
        return await registry.correct_calendar(
            day, working=working, basis=basis, request_id=request_id
        )


async def _list(profile: Path) -> list[CalendarCorrection]:
    async with operator(profile) as registry:
        return [correction async for correction in registry.list_calendar_corrections()]


def _report(
    registered: Registered, day: date, working: bool, receipt: Path | None, as_json: bool
) -> None:
    if as_json:
        say_json(
            {
                "day": day.isoformat(),
                "working": working,
                "request_id": registered.request_id,
                "position": registered.fact.position,
                "receipt": None if receipt is None else str(receipt),
            }
        )
        return
    say(_("Recorded, and the receipt holds."), style="bold green")
    fields = [
        (_("Day"), day.isoformat()),
        (_("Offices"), _day_in_words(working)),
        (_("Position in the log"), str(registered.fact.position)),
    ]
    if receipt is not None:
        fields.append((_("Receipt"), str(receipt)))
    say_fields(fields)


def _day_in_words(working: bool) -> str:
    return _("working day") if working else _("day off")
