"""How a signer's process is reached: on a socket of this machine, or by TLS on another."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from keys.link import Link, require_in_force
from keys.link_tls import PROTOCOL, LinkContexts

_Address = tuple[socket.AddressFamily, Any]


class Deadline:
    """The moment at which one question is given up, whatever it waits for."""

    def __init__(self, timeout_s: float) -> None:
        self._at = time.monotonic() + timeout_s

    def left(self) -> float:
        """How many seconds there are; raises TimeoutError when there are none."""
        if (left := self._at - time.monotonic()) <= 0:
            raise TimeoutError("no answer in time")
        return left

    def bound(self, connection: socket.socket) -> None:
        """Let the next step on a connection take no longer. Raises TimeoutError."""
        connection.settimeout(self.left())


class UnixWay:
    """A socket of this machine, whose file says who may reach it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def connect(self, deadline: Deadline) -> socket.socket:
        """A new connection. Raises OSError."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            deadline.bound(connection)
            connection.connect(str(self._path))
        except BaseException:
            connection.close()
            raise
        return connection


class TlsWay:
    """A signer on another machine, which shows a certificate that the hub's link accepts.

    A name that was found once is looked up again only when nobody answers there: so a name
    server that is away, or slow, stops nothing that worked before.
    """

    def __init__(
        self,
        host: str,
        port: int,
        link: Link,
        contexts: LinkContexts,
        clock: Callable[[], datetime],
    ) -> None:
        self._place = f"{host}:{port}" if ":" not in host else f"[{host}]:{port}"
        self._names = _NameLookup(host, port)
        self._link = link
        self._contexts = contexts
        self._clock = clock
        self._known: _Address | None = None
        self._shown: bytes | None = None

    def __str__(self) -> str:
        return self._place

    @property
    def shown_until(self) -> datetime | None:
        """When the certificate ends that the signer showed last; None before it showed any."""
        if (shown := self._shown) is None:
            return None
        return x509.load_der_x509_certificate(shown).not_valid_after_utc

    def connect(self, deadline: Deadline) -> ssl.SSLSocket:
        """A new connection to a signer that is accepted here.

        Whether it accepts this hub shows only when it is asked something (RFC 8446 section
        4.4.2). Raises OSError, LinkBroken, and LinkRefused for a certificate of our own that
        has ended.
        """
        context = self._contexts.newest()
        require_in_force(self._link.current(), "this hub's", self._clock())
        connection = self._open(deadline)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secured = context.wrap_socket(connection, do_handshake_on_connect=False)
        except BaseException:
            connection.close()
            raise
        try:
            deadline.bound(secured)
            secured.do_handshake()
            self._require_signer(secured)
        except BaseException:
            secured.close()
            raise
        return secured

    def _require_signer(self, secured: ssl.SSLSocket) -> None:
        shown = secured.getpeercert(binary_form=True)
        self._contexts.require_accepted(shown)
        self._shown = shown
        if secured.selected_alpn_protocol() != PROTOCOL:
            raise ConnectionError(f"it does not speak {PROTOCOL}: it is of another version")

    def _open(self, deadline: Deadline) -> socket.socket:
        if (known := self._known) is not None:
            try:
                return _connected([known], deadline)[1]
            except OSError:
                self._known = None
        self._known, connection = _connected(self._names.find(deadline), deadline)
        return connection


def _connected(addresses: Sequence[_Address], deadline: Deadline) -> tuple[_Address, socket.socket]:
    """The first of the addresses where somebody answers; each gets its share of the time."""
    failure: OSError = ConnectionError("its name has no address")
    for number, (family, address) in enumerate(addresses):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(deadline.left() / (len(addresses) - number))
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return (family, address), connection
    raise failure


class _NameLookup:
    """Looks a name up on a thread of its own: a resolver knows no deadline."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._lock = threading.Lock()
        self._running: Future[list[_Address]] | None = None

    def find(self, deadline: Deadline) -> list[_Address]:
        """Its addresses. One look-up at a time; raises OSError, TimeoutError."""
        with self._lock:
            if (running := self._running) is None:
                running = self._running = Future()
                # Not waited for at the end of the process, should it hang.
                threading.Thread(target=self._look, args=(running,), daemon=True).start()
        return running.result(deadline.left())

    def _look(self, found: Future[list[_Address]]) -> None:
        try:
            answers = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            result: list[_Address] = [(family, address) for family, *_, address in answers]
        except Exception as error:
            # Whatever it is: nobody must wait for a look-up that has ended.
            failure = error if isinstance(error, OSError) else OSError("this is no name of a host")
            with self._lock:
                self._running = None
            found.set_exception(failure)
        else:
            with self._lock:
                self._running = None
            found.set_result(result)
