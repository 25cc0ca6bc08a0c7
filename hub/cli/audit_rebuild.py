"""`lienthong audit rebuild`: whether the lists are what the events make them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.console import say, say_json, say_table, shown
from hub.cli.ledger import events_bar
from hub.cli.messages import N_, _
from hub.cli.secret import ask_secret
from hub.cli.sentences import in_words
from hub.cli.session import JsonOption

_HOW = {
    "missing": N_("a row is missing: {key}"),
    "surplus": N_("a row too many: {key}"),
    "changed": N_("a row was changed in {column}: {key}"),
}


def rebuild(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The hub's folder; the hub must be stopped.")
    ],
    scratch: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Where the temporary database goes; it grows as large as the lists.",
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Make every list anew from the first event and compare it with the live one.

    Changes nothing. Exit status: 0 all are the same, 1 something differs.
    """
    from hub.bootstrap.core import open_core
    from hub.bootstrap.custody import custodian_of
    from hub.bootstrap.folder import DataFolder
    from hub.bootstrap.rebuild import rebuild as rebuild_views
    from hub.config import Settings

    data, settings = DataFolder(folder), Settings.load(folder)
    with (
        open_core(data, settings, custodian_of(data, settings, ask_secret)) as core,
        events_bar(_("Rebuilding the lists")) as advance,
    ):
        found = rebuild_views(core, scratch=scratch, progress=advance)
    if json_:
        say_json(_as_json(found))
    else:
        _report(found)
    raise typer.Exit(0 if found.same else 1)


def _report(found: Any) -> None:
    columns = [_("Table"), _("Rows"), _("Digest"), _("Rebuilt")]
    say_table(columns, [_row(table) for table in found.tables])
    if found.wrong_events:
        what = shown(in_words(found.wrong_events))
        say(_("The events are in doubt: {what}. Run `lienthong ledger fsck`.", what=what),
            style="bold red")  # fmt: skip
    if found.position < found.covered:
        say(
            _("The lists hold {position} of {covered} events: they are behind the log.",
              position=found.position, covered=found.covered),
            style="bold red",
        )  # fmt: skip
    if found.same:
        say(
            _("Every list is what the events make it: {count} events.", count=found.position),
            style="bold green",
        )


def _row(table: Any) -> list[str]:
    if table.same:
        verdict = _("the same")
    else:
        key = ", ".join(f"{name} {value}" for name, value in (table.first_difference or {}).items())
        template = _HOW.get(table.how, N_("it differs"))
        verdict = _(template, key=shown(key), column=table.column)
    return [table.table, str(table.live.rows), table.live.sha256[:16], verdict]


def _as_json(found: Any) -> dict[str, Any]:
    return {
        "same": found.same,
        "position": found.position,
        "covered": found.covered,
        "wrong_events": found.wrong_events,
        "tables": [
            {
                "table": table.table,
                "same": table.same,
                "live": {"rows": table.live.rows, "sha256": table.live.sha256},
                "rebuilt": {"rows": table.rebuilt.rows, "sha256": table.rebuilt.sha256},
                "first_difference": table.first_difference,
                "how": table.how,
                "column": table.column,
            }
            for table in found.tables
        ],
    }
