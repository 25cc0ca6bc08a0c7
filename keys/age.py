"""Secrets sealed in the age format, so that a stolen disk or backup opens nothing.

A sealed file holds exactly the bytes of the plain one, ASCII-armoured, for one or more X25519
recipients: whoever holds one of their identities opens it alone, here or with any other
program that reads age (https://age-encryption.org/v1). A passphrase opens the one file that
holds an identity; the passphrase's slow function (scrypt) so runs once a start, not once a key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyrage
from pyrage import passphrase as scrypt
from pyrage import x25519

from keys.file import SECRET_MODE, KeyFileError, create_file, read_secret

RECIPIENTS_MIN = 2
RECIPIENTS_MAX = 16

_ARMOUR = b"-----BEGIN AGE ENCRYPTED FILE-----"
_BINARY = b"age-encryption.org/v1\n"
_IDENTITY = "AGE-SECRET-KEY-1"

ReadSecret = Callable[[Path], bytes]
"""How the plain bytes of a key file are come by."""


class KeyNotProtected(KeyFileError):
    """A key lies in plain, where the settings say that keys are sealed."""


class KeyProtected(KeyFileError):
    """A key is sealed, where the settings say that keys lie in plain."""


class KeySecretMissing(Exception):
    """Keys are sealed, and no passphrase or identity was given to open them."""


class KeySecretWrong(Exception):
    """The passphrase or identity that was given does not open the keys."""


class RecipientsInvalid(Exception):
    """These cannot be the recipients of a key; the message names the one that cannot."""


class Identities:
    """What opens sealed files. Never shown: its representation says nothing."""

    def __init__(self, identities: Sequence[x25519.Identity]) -> None:
        self._identities = list(identities)

    @classmethod
    def generate(cls) -> Identities:
        """One new identity."""
        return cls([x25519.Identity.generate()])

    @classmethod
    def parse(cls, text: str) -> Identities:
        """Those of an age identity file: one a line, `#` begins a comment.

        Raises KeySecretWrong, which never repeats what was given.
        """
        lines = [line.strip() for line in text.splitlines()]
        try:
            found = [x25519.Identity.from_str(line) for line in lines if line and line[0] != "#"]
        except pyrage.IdentityError:
            found = []
        if not found:
            raise KeySecretWrong("what was given is not an age identity (AGE-SECRET-KEY-1…)")
        return cls(found)

    @property
    def recipients(self) -> list[str]:
        """Their public halves."""
        return [str(identity.to_public()) for identity in self._identities]

    def read(self, path: Path) -> bytes:
        """The plain bytes of a sealed file.

        Raises KeyFileError as `read_secret` does, and when the file was changed or cut off;
        KeyNotProtected when it is plain; KeySecretWrong when it is sealed for others.
        """
        data = read_secret(path)
        if not is_sealed(data):
            raise KeyNotProtected(f"{path}: lies in plain; `lienthong keys protect` seals it")
        try:
            plain: bytes = pyrage.decrypt(data, self._identities)
        except pyrage.DecryptError as error:
            if "No matching keys" in str(error):
                raise KeySecretWrong(f"{path}: is sealed for others, or was changed") from None
            raise KeyFileError(f"{path}: was changed or cut off after it was sealed") from None
        return plain

    def store(self, path: Path, passphrase: str) -> None:
        """Keep them in a new file that the passphrase opens; KeyFileError if `path` exists."""
        text = "".join(f"{identity}\n" for identity in self._identities)
        sealed = scrypt.encrypt(text.encode(), passphrase, armored=True)
        create_file(path, sealed, mode=SECRET_MODE)

    @classmethod
    def load(cls, path: Path, passphrase: str) -> Identities:
        """Those in a file that `store` made.

        Takes as long as the machine that sealed it worked in a second (up to ten where it is
        busy now), and up to 1 GiB of memory. Raises KeyFileError, also where this machine is
        far too slow for it, and KeySecretWrong for another passphrase.
        """
        data = read_secret(path)
        try:
            return cls.parse(scrypt.decrypt(data, passphrase).decode("ascii"))
        except (pyrage.DecryptError, UnicodeDecodeError) as error:
            if "work" in str(error).lower():
                raise KeyFileError(
                    f"{path}: was sealed by a much faster machine, or this one is too busy;"
                    " seal the identity anew on a machine like this, or start with an identity"
                ) from None
            # The format cannot tell a wrong passphrase from a changed file.
            raise KeySecretWrong(f"{path}: the passphrase is wrong, or the file changed") from None


def read_plain(path: Path) -> bytes:
    """The bytes of a secret file that is not sealed.

    Raises KeyFileError as `read_secret` does, and KeyProtected when it is sealed.
    """
    data = read_secret(path)
    if is_sealed(data):
        raise KeyProtected(f'{path}: is sealed, but the settings do not say `custody = "age"`')
    return data


def is_sealed(data: bytes) -> bool:
    """Whether these are the bytes of an age file."""
    return data.startswith((_ARMOUR, _BINARY))


def is_identity(secret: str) -> bool:
    """Whether a secret is an age identity file, and not a passphrase."""
    return any(line.strip().startswith(_IDENTITY) for line in secret.splitlines())


def seal(data: bytes, recipients: Sequence[str]) -> bytes:
    """The bytes in armour, for each of the recipients alone. Raises RecipientsInvalid."""
    keys = [_recipient(recipient) for recipient in recipients]
    if not 1 <= len(set(recipients)) <= RECIPIENTS_MAX:
        raise RecipientsInvalid(f"a key is sealed for 1 to {RECIPIENTS_MAX} recipients")
    sealed: bytes = pyrage.encrypt(data, keys, armored=True)
    return sealed


def require_operators(recipients: Sequence[str]) -> None:
    """Refuse recipients that one lost identity would lock out. Raises RecipientsInvalid."""
    for recipient in recipients:
        _recipient(recipient)
    if len(set(recipients)) < RECIPIENTS_MIN:
        raise RecipientsInvalid(
            f"name at least {RECIPIENTS_MIN} recipients: the loss of one identity must lock"
            " nobody out"
        )


def _recipient(text: str) -> x25519.Recipient:
    try:
        return x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        if text.upper().startswith(_IDENTITY):
            # Somebody mixed up the halves: it must not be shown to the next one as well.
            raise RecipientsInvalid("an identity was given where its public half belongs") from None
        raise RecipientsInvalid(f"{text[:80]!r} is no age recipient (age1…)") from None
