"""`lienthong config check`: whether a hub would take its settings, without starting it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import say, say_fields, say_json, shown
from hub.cli.messages import _
from hub.cli.secret import ask_secret
from hub.cli.session import JsonOption

_PASSWORD = re.compile(r"(?<=:)[^:@/]+(?=@)|(?<=password=)[^&]+")


def check(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The hub's folder; the hub may be running.")
    ],
    json_: JsonOption = False,
) -> None:
    """Check the settings of a hub, and what they name, without starting it.

    Shows every setting that is not the default, from hub.toml or the environment. A signer on
    another machine is asked for its keys, and signs nothing.
    """
    from hub.bootstrap.checking import check_settings, check_signer
    from hub.bootstrap.folder import DataFolder

    data = DataFolder(folder)
    settings = check_settings(data)
    asked = check_signer(data, settings, ask_secret)
    chosen = {
        name: _PASSWORD.sub("…", value) if isinstance(value, str) else value
        for name, value in settings.model_dump(mode="json", exclude_defaults=True).items()
    }
    if json_:
        say_json({"folder": str(folder), "settings": chosen, "signer_answers": asked})
        return
    say(_("The settings of {folder} can be used.", folder=folder), style="bold green")
    if asked is not None:
        say(
            _("The signer answers.") if asked else _("The signer was not asked: its key is sealed.")
        )
    say_fields((name, shown(str(value))) for name, value in chosen.items())
