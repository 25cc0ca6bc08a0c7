"""The simulated axis runs as a command, and a gateway finds it there."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from adapters.axis.national.gateway import NationalAxis, NationalSettings
from hub.application.axis import MessageKind
from hub.application.leading import undisputed
from tests.support.patience import PATIENCE_S

LIENTHONG = Path(sys.prefix) / "bin" / "lienthong"


def test_a_simulated_axis_runs_until_it_is_told_to_stop(tmp_path: Path):
    command = [LIENTHONG, "--lang", "en", "axis", "simulate", tmp_path / "axis", "--listen"]
    organisations = ["--organisation", "A.H99=a-secret", "--organisation", "B.H99"]
    with subprocess.Popen(
        [*command, "127.0.0.1:0", *organisations], stdout=subprocess.PIPE, text=True
    ) as axis:
        assert axis.stdout is not None
        assert axis.stdout.readline() == "organisation A.H99, secret a-secret\n"
        secret = axis.stdout.readline().strip().removeprefix("organisation B.H99, secret ")
        address = axis.stdout.readline().strip().removeprefix("the simulated axis listens on ")

        for code, own in (("A.H99", "a-secret"), ("B.H99", secret)):
            settings = NationalSettings(address, code, (own,))
            gateway = NationalAxis(
                settings, lambda: datetime(2026, 11, 22, tzinfo=UTC), may_act=undisputed
            )
            assert asyncio.run(gateway.waiting(MessageKind.DOCUMENT)) == []

        axis.send_signal(signal.SIGTERM)
        assert axis.wait(timeout=PATIENCE_S) == 0


def test_an_address_in_use_is_said_in_words(tmp_path: Path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = subprocess.run(
            [LIENTHONG, "--lang", "en", "axis", "simulate", tmp_path / "axis", "--listen", listen],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    assert refused.returncode == 1
    assert "[ADDRESS_IN_USE]" in refused.stderr
