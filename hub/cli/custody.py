"""`lienthong keys protect` and `unprotect`: private keys sealed where they lie, or opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.console import say, say_fields, say_json
from hub.cli.messages import _
from hub.cli.secret import RecipientOption, ask_new_passphrase, ask_secret
from hub.cli.session import JsonOption

HomeArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder of a hub, or of a signer.")
]


def protect(
    folder: HomeArgument,
    recipient: RecipientOption = None,
    *,
    passphrase: Annotated[
        bool,
        typer.Option(
            "--passphrase",
            help="Seal them for a new identity that a passphrase opens; it is taken from the "
            "settings' key_secret_file, from LIENTHONG_KEY_SECRET, or typed.",
        ),
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Also seal anew what is sealed already: for these recipients only."
        ),
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Seal the private keys in a folder in the age format, each whole or not at all.

    Broken off, it goes on when it is repeated. Older copies, in backups and perhaps on the
    disk itself, stay plain: for a hub in service seal the keys when it is made.
    """
    from hub.bootstrap.custody import Custodian, places_in, settings_in
    from hub.bootstrap.custody import protect as seal

    places = places_in(folder)
    is_new = passphrase and not places.identity.exists()
    ask = ask_new_passphrase if is_new else ask_secret
    custodian = Custodian(places, settings_in(folder), ask)
    done = seal(custodian, recipient or (), passphrase=passphrase, again=again)
    _tell(folder, done, 'custody = "age"', json_)


def unprotect(folder: HomeArgument, json_: JsonOption = False) -> None:
    """Put the private keys in a folder back in plain, for development."""
    from hub.bootstrap.custody import Custodian, places_in, settings_in
    from hub.bootstrap.custody import unprotect as open_

    custodian = Custodian(places_in(folder), settings_in(folder), ask_secret)
    _tell(folder, open_(custodian), 'custody = "file"', json_)


def _recipients(done: Any) -> str:
    """Without it the hub could not seal its next log key for the same people."""
    return f"key_recipients = {json.dumps(list(done.recipients))}"


def _tell(folder: Path, done: Any, setting: str, as_json: bool) -> None:
    changed, found = [str(path) for path in done.changed], [str(path) for path in done.found]
    if as_json:
        members = {"changed": changed, "found": found, "recipients": list(done.recipients)}
        say_json({"folder": str(folder), **members, "setting": setting})
        return
    say(_("The keys are as they should be."), style="bold green")
    say_fields(
        [
            *((_("Changed"), path) for path in changed),
            *((_("As it was"), path) for path in found),
            *((_("Recipient"), recipient) for recipient in done.recipients),
            (_("Set in the settings"), setting),
            *([(_("Set in the settings"), _recipients(done))] if done.recipients else []),
        ]
    )
