"""`lienthong migrate`: an older hub's database, brought to this version's schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import say, say_json
from hub.cli.messages import _
from hub.cli.session import JsonOption


def migrate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The hub's folder; the hub must be stopped.")
    ],
    json_: JsonOption = False,
) -> None:
    """Bring the database of a stopped hub to the schema of this version.

    Make a backup first: there is no way back. Done twice, it changes nothing more. Events,
    receipts and the signer are not touched; lists are made anew at the next start.
    """
    from hub.bootstrap.folder import DataFolder
    from hub.bootstrap.upgrade import upgrade
    from hub.config import Settings

    changed = upgrade(DataFolder(folder), Settings.load(folder))
    if json_:
        say_json({"folder": str(folder), "changed": changed})
    elif changed:
        say(_("The database has the schema of this version now."), style="bold green")
    else:
        say(_("The database has the schema of this version already."))
