"""An age file for a passphrase, made as the format's description says and without its library.

The library works on each for about a second and a gigabyte; tests ask for less.
"""

import base64
import hmac
import os
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

_LOG_N = 4


def sealed_by_passphrase(data: bytes, passphrase: str, armored: bool = True) -> bytes:
    """`data` (less than 64 KiB) in the age format, in armour."""
    file_key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    stretched = Scrypt(
        salt=b"age-encryption.org/v1/scrypt" + salt, length=32, n=2**_LOG_N, r=8, p=1
    ).derive(passphrase.encode())
    body = ChaCha20Poly1305(stretched).encrypt(bytes(12), file_key, None)
    header = b"age-encryption.org/v1\n-> scrypt %s %d\n%s\n---" % (_b64(salt), _LOG_N, _b64(body))
    mac = hmac.digest(_derived(file_key, b"", b"header"), header, sha256)
    payload = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
    # One chunk, which is the last: its nonce ends in 1.
    sealed = (
        header + b" " + _b64(mac) + b"\n" + nonce + payload.encrypt(bytes(11) + b"\1", data, None)
    )
    lines = base64.b64encode(sealed)
    wrapped = b"\n".join(lines[n : n + 64] for n in range(0, len(lines), 64))
    frame = b"-----%s AGE ENCRYPTED FILE-----"
    return frame % b"BEGIN" + b"\n" + wrapped + b"\n" + frame % b"END" + b"\n"


def _derived(file_key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(file_key)


def _b64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")
