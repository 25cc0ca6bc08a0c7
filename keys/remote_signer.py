"""A signer that runs as a process of its own, on this machine or another."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from hub.errors import LedgerMismatch
from hub.proof.note import VerifierKey
from keys.file import KeyFileError
from keys.last_signed import Signed
from keys.link import LinkRefused
from keys.link_tls import LinkBroken, NotAccepted
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
    position_in,
)
from keys.ways import Deadline

T = TypeVar("T")


class SignerUnreachable(OSError):
    """The signer's process gave no answer that means anything; later it may.

    Whatever was asked, it may have done it.
    """


class SignerNotTrusted(SignerUnreachable):
    """Whoever answers shows a certificate that this hub does not accept."""


class SignerTurnsAway(SignerUnreachable):
    """The signer does not accept this hub's certificate."""


class SignerCertificateEnded(SignerUnreachable):
    """A certificate between hub and signer is not in force: it has ended, or not begun."""


class SignerLinkBroken(SignerUnreachable):
    """This hub's own certificate or key for the signer cannot be used."""


class Way(Protocol):
    """How a signer is reached. `str` of it names the place."""

    def connect(self, deadline: Deadline) -> socket.socket:
        """A new connection to whoever may be trusted as the signer. Raises OSError in time."""
        ...


class RemoteSigner:
    """The port Signer over a socket: one connection a call, each within `timeout_s` in all.

    It holds no key. Whoever answers there is trusted as a signer is; which keys sign
    a tree, the log says, and under them its answer must verify. Safe for many threads.
    """

    def __init__(self, origin: str, way: Way, timeout_s: float) -> None:
        self._origin = origin
        self.way = way
        self._timeout_s = timeout_s

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """The signer's keys, the oldest first.

        Raises SignerUnreachable, and LedgerMismatch for the signer of another log.
        """
        keys = self._understood(keys_in, ASK_KEYS)
        for key in keys:
            self._require_ours(key.name)
        return keys

    @property
    def verifier_key(self) -> VerifierKey:
        """The oldest of them. Raises as `keys`."""
        return self.keys[0]

    def make_key(self) -> VerifierKey:
        """One more key. Raises SignerUnreachable: then it may have been made all the same."""
        key = self._understood(key_in, ASK_TO_MAKE)
        self._require_ours(key.name)
        return key

    def destroy_key(self, key: VerifierKey) -> None:
        """Destroy a key, but never the last. Raises SignerUnreachable."""
        self._understood(keys_in, ask_to_destroy(key))

    @property
    def last(self) -> Signed | None:
        """The head signed last. Raises as `keys`."""
        last = self._understood(last_in, ASK_LAST)
        if last is not None:
            self._require_ours(last.origin)
        return last

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

    def _require_ours(self, origin: str) -> None:
        if origin != self._origin:
            raise LedgerMismatch(f"the signer is that of {origin}, not {self._origin}")

    def _understood(self, read: Callable[[Mapping[str, Any]], T], question: Mapping[str, Any]) -> T:
        try:
            return read(self._ask(question))
        except MessageMalformed as error:
            raise SignerUnreachable(f"the signer on {self.way}: {error}") from None

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        try:
            message = self._exchange(frame(question))
        except (OSError, MessageMalformed, KeyFileError, LinkRefused) as error:
            raise _explained(error, self.way) from error
        match message.get("error"):
            case None:
                return message
            case "mismatch":
                raise LedgerMismatch(str(message.get("message")), position=position_in(message))
            case _:
                raise SignerUnreachable(f"the signer on {self.way}: {message.get('message')}")

    def _exchange(self, question: bytes) -> dict[str, Any]:
        deadline = Deadline(self._timeout_s)
        with self.way.connect(deadline) as connection:
            deadline.bound(connection)
            connection.sendall(question)
            length = length_of(_receive(connection, LENGTH_BYTES, deadline))
            return parse(_receive(connection, length, deadline))


def _receive(connection: socket.socket, count: int, deadline: Deadline) -> bytes:
    data = b""
    while len(data) < count:
        # The deadline is of the whole answer: one that drips in must not hold the lane.
        deadline.bound(connection)
        if not (chunk := connection.recv(count - len(data))):
            raise MessageMalformed("it hung up in the middle of an answer")
        data += chunk
    return data


# What OpenSSL calls them (verify(1)), and the alerts of RFC 8446 section 6.2 as Python does.
_NOT_BEGUN, _ENDED = 9, 10
_ALERT_ENDED = "SSLV3_ALERT_CERTIFICATE_EXPIRED"
_ALERTS_OF_STRANGERS = {
    "TLSV1_ALERT_UNKNOWN_CA",
    "TLSV1_ALERT_ACCESS_DENIED",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
}


def _explained(error: Exception, way: Way) -> SignerUnreachable:
    kind, words = _kind_of(error)
    return kind(f"the signer on {way}: {words}")


def _kind_of(error: Exception) -> tuple[type[SignerUnreachable], str]:
    match error:
        case TimeoutError():
            return SignerUnreachable, "no answer in time"
        case LinkBroken() | KeyFileError():
            return SignerLinkBroken, str(error)
        case LinkRefused():
            return SignerCertificateEnded, str(error)
        case ssl.SSLCertVerificationError(verify_code=code) if code in (_ENDED, _NOT_BEGUN):
            return SignerCertificateEnded, "its certificate has ended, or has not begun"
        case ssl.SSLCertVerificationError() | NotAccepted():
            return SignerNotTrusted, "its certificate is not one that is accepted here"
        case ssl.SSLError(reason=reason) if reason == _ALERT_ENDED:
            return SignerCertificateEnded, "to it, this hub's certificate has ended"
        case ssl.SSLError(reason=reason) if reason in _ALERTS_OF_STRANGERS:
            return SignerTurnsAway, "it does not accept this hub's certificate"
        case _:
            return SignerUnreachable, str(error)
