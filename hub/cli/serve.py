"""`lienthong serve`: run the hub of a folder until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from hub.cli.console import say
from hub.cli.errors import CommandFailed
from hub.cli.messages import _
from hub.cli.secret import ask_secret


def serve(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The hub's folder, made by `lienthong init`.")
    ] = Path(),
    *,
    standby: Annotated[
        bool,
        typer.Option(
            "--standby",
            help="Wait while another hub serves the same PostgreSQL database, and take over when "
            "it gives no more sign.",
        ),
    ] = False,
    join: Annotated[
        bool,
        typer.Option(
            "--join",
            help="Serve together with other hubs on the same PostgreSQL database; whoever of them "
            "leads signs, and is followed within seconds.",
        ),
    ] = False,
) -> None:
    """Run the hub of a folder until SIGTERM or Ctrl-C; running calls are finished first.

    It does not start when what is stored contradicts itself or the signer's memory.
    """
    if standby and join:
        raise CommandFailed(
            "CONFIG_INVALID",
            _("A hub either waits or serves."),
            _("Leave out `--standby` or `--join`."),
        )
    asyncio.run(_serve(folder, standby=standby, together=join))


async def _serve(folder: Path, *, standby: bool, together: bool) -> None:
    from hub.bootstrap.assembly import running_hub
    from hub.bootstrap.core import open_core
    from hub.bootstrap.custody import custodian_of
    from hub.bootstrap.folder import DataFolder
    from hub.bootstrap.memory import look_rarely
    from hub.cli.logs import log_to_stderr
    from hub.config import Settings

    # Waiting for another hub to end, it has nothing to finish; as a container's first process it
    # would not even hear it.
    signal.signal(signal.SIGTERM, _leave)
    settings = Settings.load(folder)
    log_to_stderr(settings.log_format, settings.log_level)
    data = DataFolder(folder)
    custodian = custodian_of(data, settings, ask_secret)
    opened = open_core(data, settings, custodian, standby=standby, together=together)
    with opened as core, _port_free(settings.listen):
        # Asked to stop while the ledger is being checked, it stops right after.
        stop = when_told_to_stop()
        async with running_hub(core) as hub:
            look_rarely()
            address = f"{settings.listen.rpartition(':')[0]}:{hub.port}"
            # One line, and then nothing but the log on stderr: whoever waits can read it.
            print(
                _("lienthong listens on {address} as {origin}", address=address,
                  origin=settings.origin),
                flush=True,
            )  # fmt: skip
            await _first(stop.wait(), hub.until_deposed())
    say(_("Stopped; everything that was accepted is recorded."))


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


async def _first(*waiting: Coroutine[Any, Any, Any]) -> None:
    """Wait until one of these ends, and raise what it raises."""
    tasks = [asyncio.ensure_future(each) for each in waiting]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in done:
        task.result()


def when_told_to_stop() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; the second of them ends the process at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def told(number: signal.Signals) -> None:
        stop.set()
        # Told twice, it stops at once; the log stands that as it stands a power cut.
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
    return stop


@contextmanager
def _port_free(listen: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("Failed to bind"):
            raise
        raise CommandFailed(
            "ADDRESS_IN_USE",
            _("The hub cannot listen on {listen}.", listen=listen),
            _("Stop what listens there, or set another `listen` in hub.toml."),
        ) from error
