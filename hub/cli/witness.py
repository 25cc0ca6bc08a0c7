"""`lienthong witness`: watch other people's logs, and cosign them while they only grow."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from hub.cli.console import say, say_fields, say_json
from hub.cli.errors import CommandFailed
from hub.cli.messages import _
from hub.cli.serve import when_told_to_stop
from hub.cli.session import JsonOption

if TYPE_CHECKING:
    from hub.witness.witness import Answer

StateOption = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        file_okay=False,
        help="The witness's folder: its key, and what it saw last. Never restore it.",
    ),
]


def init(
    state: StateOption,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The witness's name, for ever: by custom a URL without scheme, e.g. "
            "witness.thanhtra.gov.vn/w1.",
        ),
    ],
    json_: JsonOption = False,
) -> None:
    """Make a witness: a new key, and the folder it remembers in.

    The key that is printed is what logs and verifiers are told. Its private half stays here.
    """
    from hub.witness.state import WitnessState

    vkey = WitnessState.create(state, name).format()
    if json_:
        say_json({"state": str(state), "name": name, "vkey": vkey})
        return
    say(_("A new witness is in {folder}.", folder=str(state)), style="bold green")
    say_fields([(_("Verifier key"), vkey)])


def serve(
    state: StateOption,
    log: Annotated[
        list[str],
        typer.Option(
            metavar="VKEY",
            help="The verifier key of a log to watch; repeat it for more. All others are refused.",
        ),
    ],
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="Where the witness listens, by HTTP.")
    ] = "127.0.0.1:8480",
) -> None:
    """Cosign the checkpoints of these logs, each only if it extends the one before.

    Runs until SIGTERM or Ctrl-C. What it cosigns is on disk before it answers.
    """
    asyncio.run(_serve(state, log, listen))


async def _serve(state: Path, logs: list[str], listen: str) -> None:
    from hub.cli.logs import log_to_stderr
    from hub.http_serving import bind
    from hub.proof.note import VerifierKey
    from hub.witness.server import application, serving
    from hub.witness.state import open_state
    from hub.witness.witness import Witness, system_clock

    log_to_stderr("text", "info")
    keys = [VerifierKey.parse(vkey) for vkey in logs]
    stop = when_told_to_stop()
    with open_state(state) as opened:
        witness = Witness(opened, keys, system_clock)
        try:
            listener = bind(listen)
        except (OSError, ValueError, OverflowError) as error:
            raise CommandFailed(
                "ADDRESS_IN_USE",
                _("The witness cannot listen on {listen}.", listen=listen),
                _("Stop what listens there, or give another --listen."),
            ) from error
        async with serving(application(witness, _log), listener) as port:
            address = f"{listen.rpartition(':')[0]}:{port}"
            name = opened.verifier_key.name
            print(_("Witness {name} listens on {address}", name=name, address=address), flush=True)
            await stop.wait()
    say(_("Stopped; everything that was cosigned is remembered."))


def _log(answer: Answer) -> None:
    logger = structlog.get_logger("witness")
    if answer.alarm:
        logger.error("refused what does not extend the history seen before", what=answer.alarm)
    elif answer.status != 200:
        logger.info("did not cosign", status=answer.status)
