"""`lienthong stats`: sent, received, answered, late, by agency, kind and period."""

from __future__ import annotations

import csv
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from hub.auditor.client import FiguresRow, Period, Statistics
from hub.cli.audit_options import auditor, instant
from hub.cli.console import local_time, say, say_json, say_table, shown, stderr
from hub.cli.messages import _
from hub.cli.send import DATES
from hub.cli.session import JsonOption, ProfileOption, run

COLUMNS = ("period", "agency", "kind", "sent", "received", "answered", "late")


def stats(
    *,
    profile: ProfileOption,
    period: Annotated[Period, typer.Option(help="How long a period is.")] = Period.MONTH,
    from_day: Annotated[
        datetime | None,
        typer.Option("--from", formats=DATES, metavar="DAY", help="Only from this day on."),
    ] = None,
    to_day: Annotated[
        datetime | None,
        typer.Option("--to", formats=DATES, metavar="DAY", help="Only up to this day."),
    ] = None,
    agency: Annotated[
        str, typer.Option(metavar="CODE", help="Only this agency, by its primary code.")
    ] = "",
    csv_: Annotated[bool, typer.Option("--csv", help="Print CSV for a spreadsheet.")] = False,
    json_: JsonOption = False,
) -> None:
    """Count what was sent, received, answered and late (QĐ 28/2018/QĐ-TTg Art. 11).

    Everything is counted in the period in which the hub accepted the document. The figures are
    the hub's count; `lienthong audit events` replays what they were counted from.
    """
    if csv_ and json_:
        raise typer.BadParameter(_("choose one of --csv and --json"))
    end = to_day and to_day + timedelta(days=1)
    counted = run(_count(profile, period, instant(from_day), instant(end), agency))
    if json_:
        _say_json(counted, period)
    elif csv_:
        _say_csv(counted, period)
    else:
        _say_table(counted, period)


async def _count(
    profile: Path, period: Period, start: datetime | None, end: datetime | None, agency: str
) -> Statistics:
    async with auditor(profile) as client:
        return await client.statistics(period, start=start, end=end, agency=agency)


def period_name(first_day: date, period: Period) -> str:
    """A period as programs and people name it: 2026-11-22, 2026-11, 2026-Q4, 2026."""
    match period:
        case Period.DAY:
            return first_day.isoformat()
        case Period.MONTH:
            return f"{first_day.year:04}-{first_day.month:02}"
        case Period.QUARTER:
            return f"{first_day.year:04}-Q{(first_day.month + 2) // 3}"
        case Period.YEAR:
            return f"{first_day.year:04}"


def _say_table(counted: Statistics, period: Period) -> None:
    columns = [
        _("Period"), _("Agency"), _("Kind"), _("Sent"), _("Received"), _("Answered"), _("Late"),
    ]  # fmt: skip
    say_table(columns, [_cells(row, period) for row in counted.rows])
    say(_as_of(counted))


def _cells(row: FiguresRow, period: Period) -> list[str]:
    figures = [str(figure) for figure in (row.sent, row.received, row.answered, row.late)]
    return [period_name(row.period_start, period), shown(row.agency), shown(row.kind), *figures]


def _as_of(counted: Statistics) -> str:
    return _(
        "As of position {position} of the log and {time}; periods in {zone}.",
        position=counted.position,
        time=local_time(counted.at),
        zone=shown(counted.time_zone),
    )


def _say_csv(counted: Statistics, period: Period) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_plain(cell) for cell in _cells(row, period)] for row in counted.rows)
    say(_as_of(counted), to=stderr())


def _plain(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: kinds are words that senders choose."""
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell


def _say_json(counted: Statistics, period: Period) -> None:
    say_json(
        {
            "position": counted.position,
            "as_of": counted.at.isoformat(),
            "time_zone": counted.time_zone,
            "period": period.value,
            "rows": [
                {
                    "period": period_name(row.period_start, period),
                    "period_start": row.period_start.isoformat(),
                    "agency": row.agency,
                    "kind": row.kind,
                    "sent": row.sent,
                    "received": row.received,
                    "answered": row.answered,
                    "late": row.late,
                }
                for row in counted.rows
            ],
        }
    )
