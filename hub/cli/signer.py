"""`lienthong signer serve`: the log key and its memory, in a process of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import say
from hub.cli.messages import _
from hub.cli.secret import ask_secret
from hub.cli.serve import when_told_to_stop


def serve(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="The signer's folder: what was `signer` in the hub's folder."
        ),
    ],
    socket: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The Unix socket on which hubs of this machine ask it."),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where hubs of other machines ask it, by TLS; see `lienthong signer link`.",
        ),
    ] = None,
) -> None:
    """Sign checkpoints for hubs, until SIGTERM or Ctrl-C.

    It signs only what extends the tree it signed last. Hubs name it in `signer`, and hold no
    log key themselves.
    """
    if socket is None and listen is None:
        raise typer.BadParameter(_("give --socket, --listen, or both"))
    if listen is not None and not listen.rpartition(":")[2].isdecimal():
        raise typer.BadParameter(_("--listen is a host and a port, such as 0.0.0.0:8445"))
    asyncio.run(_serve(folder, socket, listen))


async def _serve(folder: Path, socket: Path | None, listen: str | None) -> None:
    from hub.bootstrap.signer import open_signer, signer_serving
    from hub.cli.logs import log_to_stderr
    from hub.config import SignerSettings

    settings = SignerSettings.load(folder)
    log_to_stderr(settings.log_format, settings.log_level)
    with open_signer(folder, settings, ask_secret) as opened:
        stop = when_told_to_stop()
        async with signer_serving(opened, settings, socket, listen) as places:
            name = opened.signer.verifier_key.name
            for place in places:
                print(_("The signer of {origin} listens on {socket}", origin=name, socket=place),
                      flush=True)  # fmt: skip
            await stop.wait()
    say(_("Stopped; everything that was signed is remembered."))
