"""The secret that opens keys: how a person is asked for it, and for whom keys are sealed."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from hub.cli.messages import _

RecipientOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AGE1...",
        help="Seal the hub's private keys for this operator, who can open them alone; name at "
        "least two.",
    ),
]


def ask_secret() -> str:
    """What a person types without being seen; empty where nobody is at a terminal."""
    if not sys.stdin.isatty():
        return ""
    return getpass.getpass(_("Passphrase, age identity or PIN:") + " ")


def ask_new_passphrase() -> str:
    """The same, typed twice alike."""
    while (first := ask_secret()) and first != getpass.getpass(_("The same again:") + " "):
        typer.echo(_("The two differ."), err=True)
    return first
