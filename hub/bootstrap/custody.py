"""The private keys of a hub or a signer, opened as its settings say."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hub.application.ports import KeyCustody
from hub.bootstrap.folder import SIGNER_LINK, DataFolder
from hub.config import SIGNER_FILE_NAME, CustodySettings, Settings, SignerSettings
from keys.age import (
    Identities,
    KeySecretMissing,
    KeySecretWrong,
    ReadSecret,
    RecipientsInvalid,
    is_identity,
    is_sealed,
    read_plain,
    require_operators,
    seal,
)
from keys.checkpoint_signer import LogKeys
from keys.custody import ContentCustody
from keys.file import SECRET_MODE, read_secret, replace_file
from keys.link import End, Link
from keys.log_keys import FileLogKeys, log_key_files
from keys.pkcs11 import Token, TokenCustody, TokenLogKeys

SECRET_VARIABLE = "LIENTHONG_KEY_SECRET"  # noqa: S105 - a name, not a secret

Ask = Callable[[], str]
"""How a person is asked for the secret; an empty answer where nobody is there."""


def nobody() -> str:
    """There is no terminal to ask at."""
    return ""


@dataclass(frozen=True, slots=True)
class KeyPlaces:
    """Where the keys of a hub or a signer lie: the identity, if any, and what it opens."""

    root: Path
    identity: Path
    secrets: tuple[Path, ...]


def places_in(root: Path) -> KeyPlaces:
    """The keys in a folder, which is a hub's or a signer's; only those that are there."""
    if (root / "hub.toml").exists():
        return hub_places(DataFolder(root))
    return signer_places(root)


def hub_places(folder: DataFolder) -> KeyPlaces:
    """Those of a hub; one with a signer's process has no log key."""
    wanted = (
        *log_key_files(folder.log_key.parent),
        folder.content_key,
        folder.server_key,
        *Link(folder.signer_link, End.HUB).key_files(),
    )
    return KeyPlaces(folder.root, folder.identity, tuple(path for path in wanted if path.exists()))


def signer_places(root: Path) -> KeyPlaces:
    """Those of a signer that runs by itself."""
    link = Link(root / SIGNER_LINK, End.SIGNER)
    return KeyPlaces(root, root / "identity.age", (*log_key_files(root), *link.key_files()))


def settings_in(root: Path) -> CustodySettings:
    """The settings of the hub or signer in a folder. Raises ConfigInvalid."""
    if (root / SIGNER_FILE_NAME).exists() or not (root / "hub.toml").exists():
        return SignerSettings.load(root)
    return Settings.load(root)


@dataclass
class Custodian:
    """Opens keys. Asks for the secret at most once, and only if it is needed."""

    places: KeyPlaces
    settings: CustodySettings
    ask: Ask = nobody
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    held: ReadSecret | None = None
    """Where the plain keys are held already: by whoever has just made them."""

    @cached_property
    def secret(self) -> str:
        """The passphrase, identity or PIN: from the file, the environment, or a person.

        Raises KeySecretMissing, and KeyFileError for a file that others can read.
        """
        if self.settings.key_secret_file:
            path = self.places.root / self.settings.key_secret_file
            secret = read_secret(path).decode("utf-8", "replace")
        else:
            secret = self.environment.get(SECRET_VARIABLE, "") or self.ask()
        if not (secret := secret.strip("\r\n")):
            raise KeySecretMissing(
                f"set key_secret_file or {SECRET_VARIABLE}, or start it at a terminal"
            )
        return secret

    @cached_property
    def identities(self) -> Identities:
        """What opens sealed keys: given as it is, or in the file that a passphrase opens.

        Raises KeySecretMissing, KeySecretWrong, KeyFileError.
        """
        if is_identity(self.secret):
            return Identities.parse(self.secret)
        if not self.places.identity.exists():
            raise KeySecretWrong(
                "an age identity is needed: these keys were not sealed by a passphrase"
            )
        return Identities.load(self.places.identity, self.secret)

    @property
    def read(self) -> ReadSecret:
        """How a key file is read under these settings."""
        if self.held:
            return self.held
        return self.identities.read if self.settings.custody == "age" else read_plain

    @cached_property
    def token(self) -> Token:
        """The token that the settings name, with its PIN. Raises KeySecretMissing."""
        return Token(Path(self.settings.pkcs11_module), self.settings.pkcs11_token, self.secret)

    def close(self) -> None:
        """Let go of the token, if one was used: a process logs in to it only once at a time."""
        if "token" in vars(self):
            self.token.close()

    def log_keys(self, folder: Path) -> LogKeys:
        """The keys that sign checkpoints; of those in a token there is nothing in the folder."""
        if self.settings.custody == "pkcs11":
            return TokenLogKeys(self.token)
        seal = self.seal if self.settings.custody == "age" else bytes
        return FileLogKeys(folder, self.read, seal)

    def seal(self, plain: bytes) -> bytes:
        """A new key as it is kept: for the recipients that the settings name.

        Where they name none, for the identity that opened the others, if a passphrase keeps
        that one. Raises OSError when the new key could be opened by fewer than the old ones.
        """
        recipients = list(self.settings.key_recipients)
        if not recipients and self.places.identity.exists():
            recipients = self.identities.recipients
        if not recipients:
            raise OSError("set key_recipients: whom the log's keys are sealed for is not known")
        try:
            return seal(plain, recipients)
        except RecipientsInvalid as error:
            raise OSError(f"key_recipients: {error}") from error

    def content(self, path: Path) -> KeyCustody:
        """What wraps document keys; in a token there is no `path`."""
        if self.settings.custody == "pkcs11":
            return TokenCustody(self.token)
        return ContentCustody.open(path, self.read)

    @contextmanager
    def server_key(self, path: Path) -> Iterator[Path]:
        """A file from which the server's plain key can be read for as long as the block runs.

        A sealed key is opened into memory that has a name only for this process: TLS libraries
        take files, and it must not touch the disk again.
        """
        if self.settings.custody != "age":
            yield path
            return
        descriptor = os.memfd_create("server-key", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, self.read(path))
            yield Path(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)


def custodian_of(folder: DataFolder, settings: Settings, ask: Ask = nobody) -> Custodian:
    """Who opens the keys of a hub."""
    return Custodian(hub_places(folder), settings, ask)


# --- Sealing ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sealing:
    """What became of each key file, and for whom the keys are sealed now."""

    changed: tuple[Path, ...]
    found: tuple[Path, ...]
    recipients: tuple[str, ...]


def protect(
    custodian: Custodian, recipients: Sequence[str], *, passphrase: bool, again: bool
) -> Sealing:
    """Seal the keys in a folder, each file whole or not at all.

    With `passphrase`, the custodian's secret is one, and opens an identity that is made here
    unless it is there. Files that are sealed already stay as they are; `again` opens them and
    seals them for these recipients. If we stop in the middle, some are sealed and some are
    not, no program starts on them, and the same command finishes it.
    Raises RecipientsInvalid, KeyFileError, KeySecretMissing, KeySecretWrong.
    """
    wanted = list(recipients)
    if passphrase:
        if is_identity(custodian.secret):
            raise KeySecretWrong("an age identity was given where a passphrase belongs")
        if not custodian.places.identity.exists():
            Identities.generate().store(custodian.places.identity, custodian.secret)
        wanted += custodian.identities.recipients
    else:
        require_operators(wanted)
    changed, found = [], []
    for path in custodian.places.secrets:
        data = read_secret(path)
        if is_sealed(data) and not again:
            found.append(path)
            continue
        plain = custodian.identities.read(path) if is_sealed(data) else data
        replace_file(path, seal(plain, wanted), mode=SECRET_MODE)
        changed.append(path)
    return Sealing(tuple(changed), tuple(found), tuple(wanted))


def unprotect(custodian: Custodian) -> Sealing:
    """Put the keys back in plain. Raises KeyFileError, KeySecretMissing, KeySecretWrong."""
    changed, found = [], []
    for path in custodian.places.secrets:
        if not is_sealed(read_secret(path)):
            found.append(path)
            continue
        replace_file(path, custodian.identities.read(path), mode=SECRET_MODE)
        changed.append(path)
    return Sealing(tuple(changed), tuple(found), ())
