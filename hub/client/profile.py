"""Who a client is, which hub it speaks to, and whom it believes: one small TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hub.client.errors import ProfileInvalid
from hub.client.signing import KeySigner
from hub.errors import VerificationFailed
from hub.proof.signatures import Algorithm
from hub.proof.succession import read_trusted_root
from hub.proof.trust import TrustedRoot

_FILE_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProfile:
    """How one identity reaches one hub. Each field is a key of `profile.toml`.

    `target` is host and port. `hub` is the origin of the hub's log, as the trusted root
    lists it. `ca` holds the authorities, in PEM, that may vouch for the hub's server
    certificate. `transport_certificate` and `transport_key` identify this client in mTLS.
    `trusted_root` is the only thing receipts are checked against; get it by a way of its
    own. `state` is a folder nobody else uses. `server_name` is the name in the hub's
    certificate, where it is not the one in `target`.

    An operator has neither `agency` nor a signing key. A signing key in a token is handed
    to `HubClient.open` instead. `signing_passphrase_file` holds the key's passphrase in its
    first line.
    """

    target: str
    hub: str
    ca: Path
    transport_certificate: Path
    transport_key: Path
    trusted_root: Path
    state: Path
    agency: str | None = None
    signing_key: Path | None = None
    signing_algorithm: Algorithm | None = None
    signing_passphrase_file: Path | None = None
    server_name: str | None = None

    @classmethod
    def load(cls, path: Path | str) -> ClientProfile:
        """Read a profile; relative paths in it are relative to its folder.

        Raises ProfileInvalid, for keys it does not know too: a misspelt key would otherwise
        be a default.
        """
        path = Path(path)
        try:
            values = tomllib.loads(_read(path).decode())
        except ValueError as error:
            raise ProfileInvalid(f"{path} is not TOML: {error}") from error
        known = {field.name for field in fields(cls)}
        if unknown := values.keys() - known:
            raise ProfileInvalid(f"{path} has unknown keys: {', '.join(sorted(unknown))}")
        if missing := _REQUIRED - values.keys():
            raise ProfileInvalid(f"{path} lacks {', '.join(sorted(missing))}")
        return cls(**{name: _value(name, value, path) for name, value in values.items()})

    def read_trusted_root(self) -> TrustedRoot:
        """The trusted root. Raises ProfileInvalid when it is none or does not list this hub."""
        try:
            root = read_trusted_root(_read(self.trusted_root))
        except VerificationFailed as failure:
            raise ProfileInvalid(f"{self.trusted_root}: {failure}") from failure
        if not root.lists(self.hub):
            raise ProfileInvalid(f"{self.trusted_root} does not list the log {self.hub}")
        return root

    def read_signer(self) -> KeySigner:
        """The signing key in a file. Raises ProfileInvalid when there is none."""
        if self.signing_key is None or self.signing_algorithm is None:
            raise ProfileInvalid("the profile has no signing_key with its signing_algorithm")
        passphrase = None
        if self.signing_passphrase_file is not None:
            passphrase = _read(self.signing_passphrase_file).split(b"\n")[0].rstrip(b"\r")
        return KeySigner.from_file(self.signing_key, self.signing_algorithm, passphrase=passphrase)

    def read_transport(self) -> tuple[bytes, bytes, bytes]:
        """Authorities, key and certificate for mTLS, in PEM. Raises ProfileInvalid."""
        return _read(self.ca), _read(self.transport_key), _read(self.transport_certificate)


_PATHS = frozenset(
    {
        "ca",
        "transport_certificate",
        "transport_key",
        "trusted_root",
        "state",
        "signing_key",
        "signing_passphrase_file",
    }
)
_REQUIRED = frozenset(
    {"target", "hub", "ca", "transport_certificate", "transport_key", "trusted_root", "state"}
)


def _value(name: str, value: Any, profile: Path) -> Any:
    if not isinstance(value, str) or not value:
        raise ProfileInvalid(f"{profile}: {name} must be text")
    if name in _PATHS:
        return profile.absolute().parent / value
    if name == "signing_algorithm":
        try:
            return Algorithm(value)
        except ValueError as error:
            known = ", ".join(algorithm.value for algorithm in Algorithm)
            raise ProfileInvalid(f"{profile}: {name} must be one of {known}") from error
    return value


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ProfileInvalid(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _FILE_BYTES_MAX:
        raise ProfileInvalid(f"{path} is larger than {_FILE_BYTES_MAX} bytes")
    return data
