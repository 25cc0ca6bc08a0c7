"""A signer that runs as a process of its own, reached over a Unix socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hub.errors import LedgerMismatch
from hub.proof.note import VerifierKey
from keys.last_signed import Signed
from keys.signer_wire import (
    ASK_KEYS,
    ASK_LAST,
    ASK_TO_MAKE,
    LENGTH_BYTES,
    MessageMalformed,
    ask_to_destroy,
    ask_to_sign,
    frame,
    key_in,
    keys_in,
    last_in,
    length_of,
    note_in,
    parse,
)

T = TypeVar("T")


class SignerUnreachable(OSError):
    """The signer's process gave no answer that means anything; later it may.

    Whatever was asked, it may have done it.
    """


class RemoteSigner:
    """The port Signer over a socket: one connection a call, each within `timeout_s` in all.

    It holds no key. Whoever answers on the socket is trusted as a signer is; which keys sign
    a tree, the log says, and under them its answer must verify. Safe for many threads.
    """

    def __init__(self, origin: str, path: Path, timeout_s: float) -> None:
        self._origin = origin
        self._path = path
        self._timeout_s = timeout_s

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """The signer's keys, the oldest first.

        Raises SignerUnreachable, and LedgerMismatch for the signer of another log.
        """
        keys = self._understood(keys_in, ASK_KEYS)
        for key in keys:
            if key.name != self._origin:
                raise LedgerMismatch(f"the signer is that of {key.name}, not {self._origin}")
        return keys

    @property
    def verifier_key(self) -> VerifierKey:
        """The oldest of them. Raises as `keys`."""
        return self.keys[0]

    def make_key(self) -> VerifierKey:
        """One more key. Raises SignerUnreachable: then it may have been made all the same."""
        return self._understood(key_in, ASK_TO_MAKE)

    def destroy_key(self, key: VerifierKey) -> None:
        """Destroy a key, but never the last. Raises SignerUnreachable."""
        self._understood(keys_in, ask_to_destroy(key))

    @property
    def last(self) -> Signed | None:
        """The head signed last. Raises SignerUnreachable."""
        return self._understood(last_in, ASK_LAST)

    def sign(
        self,
        size: int,
        root: bytes,
        consistency_proof: Sequence[bytes],
        by: Sequence[VerifierKey] = (),
    ) -> bytes:
        """The signed note, as `CheckpointSigner.sign` makes it.

        Raises LedgerMismatch when the signer refuses; SignerUnreachable when it did not answer,
        or could not: then the tree may be remembered, and the next call gets its signature.
        """
        return self._understood(note_in, ask_to_sign(size, root, consistency_proof, by))

    def _understood(self, read: Callable[[Mapping[str, Any]], T], question: Mapping[str, Any]) -> T:
        try:
            return read(self._ask(question))
        except MessageMalformed as error:
            raise SignerUnreachable(f"the signer on {self._path}: {error}") from None

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        try:
            message = self._exchange(frame(question))
        except (OSError, MessageMalformed) as error:
            words = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            raise SignerUnreachable(f"the signer on {self._path}: {words}") from error
        match message.get("error"):
            case None:
                return message
            case "mismatch":
                raise LedgerMismatch(str(message.get("message")), position=message.get("position"))
            case _:
                raise SignerUnreachable(f"the signer on {self._path}: {message.get('message')}")

    def _exchange(self, question: bytes) -> dict[str, Any]:
        give_up = time.monotonic() + self._timeout_s
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._timeout_s)
            connection.connect(str(self._path))
            connection.sendall(question)
            length = length_of(_receive(connection, LENGTH_BYTES, give_up))
            return parse(_receive(connection, length, give_up))


def _receive(connection: socket.socket, count: int, give_up: float) -> bytes:
    data = b""
    while len(data) < count:
        # The deadline is of the whole answer: one that drips in must not hold the lane.
        connection.settimeout(max(give_up - time.monotonic(), 0.001))
        if not (chunk := connection.recv(count - len(data))):
            raise MessageMalformed("it hung up in the middle of an answer")
        data += chunk
    return data
