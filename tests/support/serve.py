"""A hub as a process of its own, to be killed.

`python -m tests.support.serve FOLDER PORT_FILE [join]` writes the port it listens on into the
file once it serves. Ends on SIGTERM, and when its standard input is closed: so it does not outlive
the test run that started it.

It takes no other hub for gone because a busy machine kept that one from giving signs: a test that
wants it followed says so (`Several.lease_runs_out`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from adapters.storage import leadership
from hub.bootstrap.assembly import running_hub
from hub.bootstrap.core import open_core
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.memory import look_rarely
from hub.cli.logs import log_to_stderr
from hub.config import Settings


async def serve(root: Path, port_file: Path, *, together: bool) -> None:
    """Serve the hub in a folder until told to stop, or until another one leads in its place."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin.fileno(), stop.set)
    settings = Settings.load(root)
    # As the command does it: what is measured and traced here is what runs there.
    log_to_stderr(settings.log_format, settings.log_level)
    with open_core(DataFolder(root), settings, together=together) as core:
        async with running_hub(core) as hub:
            look_rarely()
            # Renamed into place: whoever waits for it never reads half a number.
            unfinished = port_file.with_suffix(".new")
            unfinished.write_text(str(hub.port))
            os.rename(unfinished, port_file)
            ended = [asyncio.ensure_future(each) for each in (stop.wait(), hub.until_deposed())]
            (first, *_), _ = await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
            first.result()


if __name__ == "__main__":
    leadership.LEASE_S = 3600
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2]), together="join" in sys.argv[3:]))
