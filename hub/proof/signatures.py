"""The closed list of signature algorithms, and how each is verified.

An algorithm belongs to an enrolled certificate; none is ever tried in turn.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.errors import VerificationFailed

RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192  # A larger modulus only serves to make verification expensive.

# The y coordinates of the points of order 1, 2, 4 and 8 on edwards25519, little-endian, and
# the two that are written as p and p + 1. Under such a key one signature fits many messages:
# whoever enrolled it could say later that it signed another one.
_SMALL_ORDER = frozenset(
    bytes.fromhex(y)
    for y in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)

SupportedKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class Algorithm(StrEnum):
    """How a key signs; the value stands in events and in the trusted root."""

    ED25519 = "ed25519"
    ECDSA_P256_SHA256 = "ecdsa-p256-sha256"
    RSA_PSS_SHA256 = "rsa-pss-sha256"
    RSA_PKCS1_SHA256 = "rsa-pkcs1-sha256"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key together with the one algorithm it verifies."""

    algorithm: Algorithm
    key: SupportedKey
    key_id: str

    @classmethod
    def from_certificate(cls, der: bytes, algorithm: Algorithm) -> PublicKey:
        """The key of an X.509 certificate.

        Raises VerificationFailed when the certificate cannot be read or its key does
        not fit the algorithm.
        """
        try:
            key = x509.load_der_x509_certificate(der).public_key()
        except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
            raise VerificationFailed(f"unreadable certificate: {error}", step="key") from error
        return cls.of(key, algorithm)

    @classmethod
    def of(cls, key: object, algorithm: Algorithm) -> PublicKey:
        """Pair a key with an algorithm; VerificationFailed if they do not fit.

        Ed25519 keys of small order fit none.
        """
        match algorithm, key:
            case Algorithm.ED25519, ed25519.Ed25519PublicKey() if not _is_of_small_order(key):
                pass
            case Algorithm.ECDSA_P256_SHA256, ec.EllipticCurvePublicKey() if isinstance(
                key.curve, ec.SECP256R1
            ):
                pass
            case (
                Algorithm.RSA_PSS_SHA256 | Algorithm.RSA_PKCS1_SHA256,
                rsa.RSAPublicKey(),
            ) if RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
                pass
            case _:
                raise VerificationFailed(f"the key does not fit {algorithm.value}", step="key")
        return cls(algorithm, key, key_id_of(key))

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check a signature over `message`; VerificationFailed(step="signature") if it is not good.

        RSA-PSS takes a salt of exactly 32 bytes, as RFC 8017 section 9.1 recommends for
        SHA-256, so that each key accepts one form only.
        """
        try:
            match self.key:
                case ed25519.Ed25519PublicKey() as ed:
                    ed.verify(signature, message)
                case ec.EllipticCurvePublicKey() as curve:
                    curve.verify(signature, message, ec.ECDSA(SHA256()))
                case rsa.RSAPublicKey() as modulus:
                    modulus.verify(signature, message, _rsa_padding(self.algorithm), SHA256())
        except InvalidSignature as error:
            raise VerificationFailed(
                f"the {self.algorithm.value} signature does not fit", step="signature"
            ) from error


def algorithm_of(certificate: bytes) -> Algorithm:
    """The one algorithm for a certificate (DER) that was enrolled without any: by its key.

    RSA keys sign with PSS. Raises VerificationFailed for what cannot be read, and for a key
    of another kind.
    """
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise VerificationFailed(f"unreadable certificate: {error}", step="key") from error
    match key:
        case ed25519.Ed25519PublicKey():
            return Algorithm.ED25519
        case ec.EllipticCurvePublicKey():
            return Algorithm.ECDSA_P256_SHA256
        case rsa.RSAPublicKey():
            return Algorithm.RSA_PSS_SHA256
    raise VerificationFailed("the key is of no kind that signs statements", step="key")


def key_id_of(key: SupportedKey) -> str:
    """SHA-256 of the DER SubjectPublicKeyInfo, in lower-case hexadecimal.

    The same as `openssl pkey -pubin -outform DER | sha256sum`.
    """
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def _is_of_small_order(key: ed25519.Ed25519PublicKey) -> bool:
    raw = key.public_bytes_raw()
    # The highest bit is the sign of x, and says nothing about the order.
    return raw[:31] + bytes([raw[31] & 0x7F]) in _SMALL_ORDER


def _rsa_padding(algorithm: Algorithm) -> padding.AsymmetricPadding:
    if algorithm is Algorithm.RSA_PSS_SHA256:
        return padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
    return padding.PKCS1v15()
