"""`lienthong ledger restore`: a stopped hub gets back what it lost, from what others kept."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import say, say_fields, say_json
from hub.cli.ledger import events_bar, said
from hub.cli.log_source import reading
from hub.cli.messages import _
from hub.cli.secret import ask_secret
from hub.cli.session import JsonOption


def restore(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The hub's folder; the hub must be stopped.")
    ],
    *,
    from_export: Annotated[
        Path | None,
        typer.Option(
            metavar="EXPORT",
            exists=True,
            file_okay=False,
            help="An export of this hub's log, as new as what the signer signed last.",
        ),
    ] = None,
    kept: Annotated[
        Path | None,
        typer.Option(
            metavar="KEPT",
            exists=True,
            file_okay=False,
            help="Receipt files and certificates that agencies kept.",
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Put back what a hub has lost: events from an export, words and certificates from agencies.

    Every event is proven by the root that the signer signed last; anything else is refused.
    Broken off, it goes on when it is repeated. The lists are made anew, always; at the end
    everything is checked as by `fsck`.

    Exit status: 0 everything agrees, 1 something differs or is still missing.
    """
    from hub.bootstrap.check import check_hub
    from hub.bootstrap.custody import custodian_of
    from hub.bootstrap.folder import DataFolder
    from hub.bootstrap.restore import open_lost_core, restore_hub
    from hub.config import Settings

    data, settings = DataFolder(folder), Settings.load(folder)
    custodian = custodian_of(data, settings, ask_secret)
    with ExitStack() as stack:
        core = stack.enter_context(open_lost_core(data, settings, custodian))
        export = stack.enter_context(reading(str(from_export))) if from_export else None
        with events_bar(_("Restoring events")) as restoring:
            restored = restore_hub(core, export=export, kept=kept, progress=restoring)
        with events_bar() as checking:
            findings = said(check_hub(core, progress=checking), json_)
    if json_:
        say_json(
            {
                "events": restored.events,
                "size": restored.size,
                "taken_back": restored.taken_back,
                "findings": findings,
            }
        )
    else:
        say_fields(
            [
                (_("Events put back"), str(restored.events)),
                (_("Events in all"), str(restored.size)),
                (_("Words and certificates put back"), str(restored.taken_back)),
            ]
        )
        if findings:
            say(_("Findings: {count}. The hub starts; what is named is still missing.",
                  count=len(findings)), style="bold red")  # fmt: skip
        else:
            say(_("Everything agrees: {count} events.", count=restored.size), style="bold green")
    raise typer.Exit(1 if findings else 0)
