"""Ports for servers that are told theirs, and that keep it when they are started again."""

from __future__ import annotations

import random
import socket
from contextlib import closing
from pathlib import Path

_LOWEST = 10_240


def free_port() -> int:
    """A port of this machine that nobody listens on, and that nobody is given by chance.

    What the kernel gives to connections, and to those who ask for any port, lies above: so a
    server may be away for a while, and finds its port free when it is back.
    """
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    highest = int(given.read_text().split()[0]) if given.exists() else 32_768
    while True:
        port = random.SystemRandom().randrange(_LOWEST, max(highest, _LOWEST + 1000))
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
