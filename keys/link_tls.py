"""TLS between a hub and a signer on another machine: each shows a certificate, and pins one."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable
from hashlib import sha256

from keys.age import KeySecretMissing, KeySecretWrong, ReadSecret
from keys.file import KeyFileError
from keys.link import End, Link, LinkCertificate

# Says which version of the questions and answers the two ends speak.
PROTOCOL = "lienthong-signer/1"


class LinkBroken(OSError):
    """This end's certificate, key, or list of whom it accepts cannot be used now."""


class NotAccepted(OSError):
    """The other end showed a certificate that is not accepted here."""


class LinkContexts:
    """The TLS context that a link's files make now; read anew once they change.

    So a certificate that is accepted, switched to or forgotten counts from the next connection
    on, and nobody restarts anything. Nothing older is used where the files cannot be read.
    Safe for many threads.
    """

    def __init__(self, link: Link, read: Callable[[], ReadSecret]) -> None:
        """`read` gives what opens the private key's file, sealed or not."""
        self._link = link
        self._read = read
        self._lock = threading.Lock()
        self._made: tuple[object, ssl.SSLContext] | None = None

    def newest(self) -> ssl.SSLContext:
        """The context as of now. Raises LinkBroken, which says what is wrong with which file."""
        with self._lock:
            try:
                return self._newest()
            except KeyFileError:
                # A switch may have removed a key between our two readings: what is there now?
                self._made = None
            try:
                return self._newest()
            except KeyFileError as error:
                raise LinkBroken(str(error)) from error

    def require_accepted(self, certificate: bytes | None) -> None:
        """Refuse whoever showed another certificate (DER) than those accepted. NotAccepted."""
        # The handshake proved a chain to an accepted certificate; it must be that one itself.
        try:
            names = self._link.accepted_names()
        except KeyFileError as error:
            raise LinkBroken(str(error)) from error
        if sha256(certificate or b"").hexdigest() not in names:
            raise NotAccepted("its certificate is not one that is accepted here")

    def _newest(self) -> ssl.SSLContext:
        current, names = self._link.current(), self._link.accepted_names()
        if self._made is None or self._made[0] != (current, names):
            self._made = (current, names), self._make(current)
        return self._made[1]

    def _make(self, current: LinkCertificate) -> ssl.SSLContext:
        link = self._link
        if not (accepted := link.accepted()):
            raise KeyFileError(
                f"{link.folder}: accepts nobody; `lienthong signer link accept` lets somebody in"
            )
        is_signer = link.end is End.SIGNER
        purpose = ssl.PROTOCOL_TLS_SERVER if is_signer else ssl.PROTOCOL_TLS_CLIENT
        context = ssl.SSLContext(purpose)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # Certificates are pinned: what they are called proves nothing more.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.set_alpn_protocols([PROTOCOL])
        if is_signer:
            # A resumed session would outlive the certificate that began it.
            context.num_tickets = 0
        context.load_verify_locations(cadata="".join(each.pem for each in accepted))
        self._load_own(context, current)
        return context

    def _load_own(self, context: ssl.SSLContext, current: LinkCertificate) -> None:
        """The library takes a file: one in memory, with a name only for this process."""
        path = self._link.key_file(current)
        try:
            plain = self._read()(path)
        except (KeySecretMissing, KeySecretWrong) as error:
            raise LinkBroken(str(error)) from error
        descriptor = os.memfd_create("link-key", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(plain + b"\n" + current.pem.encode())
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        except ssl.SSLError:
            # The library's words could say something of the key.
            raise KeyFileError(f"{path}: is not the key of the certificate beside it") from None
        finally:
            os.close(descriptor)
