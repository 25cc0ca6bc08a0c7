"""Encryption of what may have to be erased: AES-256-GCM under a key of one exchange."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.application.ports import Randomness
from hub.errors import ContentLost

KEY_BYTES = 32
# So much plaintext in each part of content but the last, which holds the rest.
PART_BYTES = 1 << 20
_NONCE_BYTES = 12
_TAG_BYTES = 16
SEAL_OVERHEAD_BYTES = _NONCE_BYTES + _TAG_BYTES


def seal(key: bytes, plaintext: bytes, context: bytes, randomness: Randomness) -> bytes:
    """`nonce ‖ ciphertext ‖ tag`; `context` is authenticated and must be given again to open.

    Nonces are random: a key seals at most some thousands of things (2 GiB in parts of 1 MiB,
    or an exchange's statements and the keys of its contents), far below the 2^32 at which
    NIST SP 800-38D section 8.3 ends a key.
    """
    nonce = randomness(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """What `seal` was given. Raises ContentLost when anything differs."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as error:
        raise ContentLost("stored content was changed or cut off on the hub's disk") from error
