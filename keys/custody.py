"""Wraps the keys that documents are encrypted with."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from hub.errors import ContentLost
from keys.file import SECRET_MODE, KeyFileError, create_file, read_secret

DOCUMENT_KEY_BYTES = 32
WRAPPED_KEY_BYTES = 40  # RFC 3394: eight bytes more, by which tampering is noticed.

_KEY_BYTES = 32
# Says what the file is for: thirty-two random bytes alone could be anything.
_PREFIX = b"lienthong-content-key-v1 "


def new_content_key() -> bytes:
    """A new random key, as its file holds it."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)) + b"\n"


class ContentCustody:
    """The key-encryption key: documents can be read only while it is held.

    AES-256 Key Wrap (RFC 3394). Losing the file loses every document; a copy of it makes
    every stored document key readable, so it is backed up apart from them.
    """

    def __init__(self, key: bytes) -> None:
        """Use `create` or `open` instead. `key` has 32 bytes."""
        if len(key) != _KEY_BYTES:
            raise ValueError(f"a key-encryption key has {_KEY_BYTES} bytes")
        self._key = key

    @classmethod
    def create(cls, path: Path) -> ContentCustody:
        """A new random key in a new file, mode 0600; KeyFileError if `path` exists."""
        text = new_content_key()
        create_file(path, text, mode=SECRET_MODE)
        return cls.parse(path, text)

    @classmethod
    def open(cls, path: Path, read: Callable[[Path], bytes] = read_secret) -> ContentCustody:
        """The key in a file that `create` made, which `read` reads.

        Raises what that does, and KeyFileError when the file is another one.
        """
        return cls.parse(path, read(path))

    @classmethod
    def parse(cls, path: Path, text: bytes) -> ContentCustody:
        """The key in the bytes of such a file; `path` is what a KeyFileError names."""
        try:
            key = base64.b64decode(text.removeprefix(_PREFIX).removesuffix(b"\n"), validate=True)
        except binascii.Error:
            key = b""
        if not text.startswith(_PREFIX) or len(key) != _KEY_BYTES:
            raise KeyFileError(f"{path}: is not a content key file")
        return cls(key)

    def wrap(self, key: bytes) -> bytes:
        """A document key of 32 bytes, wrapped: 40 bytes that may be stored anywhere.

        The same key always wraps to the same bytes. Raises ValueError for another length.
        """
        if len(key) != DOCUMENT_KEY_BYTES:
            raise ValueError(f"a document key has {DOCUMENT_KEY_BYTES} bytes")
        return aes_key_wrap(self._key, key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The document key. Raises ContentLost when it is not one this key wrapped."""
        if len(wrapped) != WRAPPED_KEY_BYTES:
            raise ContentLost(f"a wrapped document key has {WRAPPED_KEY_BYTES} bytes")
        try:
            return aes_key_unwrap(self._key, wrapped)
        except InvalidUnwrap:
            raise ContentLost(
                "the wrapped document key was changed, or another custody key wrapped it"
            ) from None
