"""The data folder of a hub: where each thing lies, and that one process has it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# In a hub's folder and in a signer's.
SIGNER_LINK = "signer-link"


class FolderBusy(Exception):
    """Another process is using this data folder."""


class DatabaseUnreachable(Exception):
    """The server that has the hub's events cannot be asked, or has no such database."""


class ContentUnreachable(Exception):
    """The bucket that has the hub's attachments cannot be asked."""


class ContentUnfit(Exception):
    """A bucket keeps what is deleted: nothing in it could be erased by law."""


class StoreMissing(Exception):
    """A store that this hub had is not there: a disk not mounted, or a restore half done."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths below the data folder. `signer` must not be restored together with the rest."""

    root: Path

    @property
    def settings(self) -> Path:
        """`hub.toml`."""
        return self.root / "hub.toml"

    @property
    def database(self) -> Path:
        """Events, tree, payloads and views of the embedded default."""
        return self.root / "hub.db"

    @property
    def document_keys(self) -> Path:
        """One wrapped key for each exchange."""
        return self.root / "document-keys.db"

    @property
    def content(self) -> Path:
        """Encrypted parts of attachments."""
        return self.root / "content"

    @property
    def log_key(self) -> Path:
        """The key that signs checkpoints."""
        return self.root / "signer" / "log-key.pem"

    @property
    def last_signed(self) -> Path:
        """The signer's memory."""
        return self.root / "signer" / "last-signed.db"

    @property
    def signer_link(self) -> Path:
        """The certificates between this hub and a signer on another machine, if it has one."""
        return self.root / SIGNER_LINK

    @property
    def content_key(self) -> Path:
        """The key that wraps document keys."""
        return self.root / "keys" / "content-key"

    @property
    def identity(self) -> Path:
        """What opens sealed keys, itself sealed by a passphrase; where there is one."""
        return self.root / "keys" / "identity.age"

    @property
    def server_certificate(self) -> Path:
        """The gRPC server's certificate."""
        return self.root / "tls" / "server.pem"

    @property
    def server_key(self) -> Path:
        """The gRPC server's private key."""
        return self.root / "tls" / "server.key.pem"

    @property
    def transport_authorities(self) -> Path:
        """Who may issue client certificates, PEM."""
        return self.root / "tls" / "authorities.pem"

    @property
    def signing_authorities(self) -> Path:
        """Who may issue agencies' signing certificates, PEM."""
        return self.root / "signing-authorities.pem"

    @property
    def timestamp_authorities(self) -> Path:
        """The certificates of time-stamping authorities, where `init` was told of some."""
        return self.root / "timestamp-authorities"

    def timestamp_authority(self, name: str) -> Path:
        """Those of one authority."""
        return self.timestamp_authorities / f"{name}.pem"

    @property
    def development_ca(self) -> Path:
        """The development authority, where there is one."""
        return self.root / "development-ca"

    @property
    def trusted_root(self) -> Path:
        """What verifiers believe; hand it out by a way of its own."""
        return self.root / "trusted_root.json"

    @property
    def verified(self) -> Path:
        """Up to where the log was read and found whole."""
        return self.root / "verified.json"

    @property
    def trusted_roots(self) -> Path:
        """Every signed edition of it, by number."""
        return self.root / "trusted-roots"

    @property
    def root_keys(self) -> Path:
        """The root keys as `init` makes them, for development: they belong offline."""
        return self.root / "root-keys"

    @property
    def clients(self) -> Path:
        """Profiles made by `init` for the operator and the sample agencies."""
        return self.root / "clients"

    def holder(self) -> str:
        """A name that this folder has on this machine until it is booted again, and no other.

        A copy of it has another one.
        """
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        file = (self.root / "lock").stat()
        return f"{os.uname().nodename} {boot} {file.st_dev}:{file.st_ino}"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder; raises FolderBusy when another process does."""
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderBusy(f"another process is using {self.root}; stop it first") from None
            yield
        finally:
            os.close(descriptor)
