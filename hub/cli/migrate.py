"""`lienthong migrate`: an older hub's database brought up to date, or moved into another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import say, say_fields, say_json
from hub.cli.ledger import events_bar
from hub.cli.messages import _
from hub.cli.session import JsonOption
from hub.proof.strict import encode_base64


def migrate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The hub's folder; the hub must be stopped.")
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Copy the log into this empty database, postgresql://… or sqlite:///…",
        ),
    ] = "",
    from_: Annotated[
        str,
        typer.Option("--from", metavar="URL", help="With --to: not the hub's own database."),
    ] = "",
    content_from: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Copy the attachments in this folder into the bucket that `content_url` names.",
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Bring the database of a stopped hub to the schema of this version.

    Make a backup first: there is no way back. Done twice, it changes nothing more. Events,
    receipts and the signer are not touched; lists are made anew at the next start.

    With --to, the log is copied into another database instead, compared row by row, and proven by
    the root that was signed. Attachments stay where they are. With --content-from, these are
    copied instead. Broken off, it goes on when it is repeated. The old ones stay as they are.
    """
    if content_from:
        _move_content(folder, content_from, json_)
        return
    if to:
        _move(folder, from_, to, json_)
        return
    if from_:
        raise typer.BadParameter(_("--from says what is copied, and --to where it goes"))
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


def _move(folder: Path, source: str, target: str, as_json: bool) -> None:
    from hub.bootstrap.folder import DataFolder
    from hub.bootstrap.move import move_hub
    from hub.config import Settings

    settings = Settings.load(folder)
    with events_bar(_("Copying events")) as copying, events_bar(_("Comparing rows")) as comparing:
        moved = move_hub(
            DataFolder(folder),
            settings,
            source=source,
            target=target,
            copying=copying,
            comparing=comparing,
        )
    root = encode_base64(moved.root)
    if as_json:
        say_json({"folder": str(folder), "size": moved.size, "root": root, "rows": moved.rows})
        return
    say(_("The log lies in the new database, and every row agrees."), style="bold green")
    say_fields(
        [
            (_("Entries"), str(moved.size)),
            (_("Root"), root),
            (_("Rows written"), str(moved.rows)),
        ]
    )
    say(_("Set `database_url` to it, and start the hub; put the old database away."))


def _move_content(folder: Path, source: Path, as_json: bool) -> None:
    from hub.bootstrap.content_move import move_content
    from hub.bootstrap.folder import DataFolder
    from hub.config import Settings

    copied = move_content(DataFolder(folder), Settings.load(folder), source)
    if as_json:
        say_json({"folder": str(folder), "copied": copied})
        return
    say(
        _("The attachments lie in the bucket; {count} were copied.", count=copied),
        style="bold green",
    )
    say(_("Start the hub; keep the old folder until a backup of the bucket is made."))
