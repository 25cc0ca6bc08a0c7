"""Who signs for an agency: a key in a file here, a token or HSM by the same two members."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hub.client.errors import ProfileInvalid
from hub.errors import VerificationFailed
from hub.proof.dsse import SignedStatement, pre_authentication_encoding
from hub.proof.signatures import Algorithm, PublicKey

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# RFC 8017 section 9.1; a verifier of this system takes no other salt.
_PSS_SALT_BYTES = 32


class Signer(Protocol):
    """Signs in an agency's name with one enrolled key.

    Whatever holds the key, a PKCS#11 token included, plugs in by these two members.
    """

    @property
    def key_id(self) -> str:
        """SHA-256 of the key's DER SubjectPublicKeyInfo, in lower-case hexadecimal."""

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`, in the algorithm the key is enrolled for.

        Called on a worker thread, so a slow token holds up nothing else; two threads may
        call at once. ECDSA signatures are DER, RSA-PSS ones have a salt of 32 bytes.
        """


class KeySigner:
    """Signs with a private key in memory. Fit for tests and small sites; see `Signer`."""

    def __init__(self, key: object, algorithm: Algorithm) -> None:
        """Raise ProfileInvalid when the key is not of a kind that fits the algorithm."""
        if not isinstance(key, PrivateKey):
            raise ProfileInvalid("the signing key is neither Ed25519 nor ECDSA nor RSA")
        try:
            public = PublicKey.of(key.public_key(), algorithm)
        except VerificationFailed as failure:
            raise ProfileInvalid(f"the signing key cannot be used: {failure}") from failure
        self._key = key
        self._algorithm = algorithm
        self._key_id = public.key_id

    @classmethod
    def from_pem(
        cls, pem: bytes, algorithm: Algorithm, *, passphrase: bytes | None = None
    ) -> KeySigner:
        """Read a PKCS#8 private key in PEM. Raises ProfileInvalid when it cannot be read."""
        try:
            key = load_pem_private_key(pem, password=passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            # The library's words may quote the file; ours do not.
            raise ProfileInvalid(
                "the signing key cannot be read: not PKCS#8 in PEM, or another passphrase"
            ) from error
        return cls(key, algorithm)

    @classmethod
    def from_file(
        cls, path: Path, algorithm: Algorithm, *, passphrase: bytes | None = None
    ) -> KeySigner:
        """Read a PKCS#8 private key from a PEM file. Raises ProfileInvalid."""
        try:
            pem = path.read_bytes()
        except OSError as error:
            raise ProfileInvalid(f"the signing key cannot be read: {error}") from error
        return cls.from_pem(pem, algorithm, passphrase=passphrase)

    @classmethod
    def of_connection(cls, pem: bytes) -> KeySigner:
        """An operator's key, which also makes its connection: its kind says the algorithm.

        RSA signs with PSS. Raises ProfileInvalid.
        """
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ProfileInvalid("the key of the connection cannot be read to sign") from error
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return cls(key, Algorithm.ECDSA_P256_SHA256)
        is_rsa = isinstance(key, rsa.RSAPrivateKey)
        return cls(key, Algorithm.RSA_PSS_SHA256 if is_rsa else Algorithm.ED25519)

    @property
    def key_id(self) -> str:
        """SHA-256 of the key's DER SubjectPublicKeyInfo, in lower-case hexadecimal."""
        return self._key_id

    @property
    def algorithm(self) -> Algorithm:
        """The one algorithm this signer uses; the key must be enrolled for it."""
        return self._algorithm

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`."""
        match self._key:
            case ed25519.Ed25519PrivateKey() as ed:
                return ed.sign(message)
            case ec.EllipticCurvePrivateKey() as curve:
                return curve.sign(message, ec.ECDSA(SHA256()))
            case rsa.RSAPrivateKey() as modulus:
                return modulus.sign(message, _rsa_padding(self._algorithm), SHA256())


def sign_statement(signer: Signer, payload_type: str, payload: bytes) -> SignedStatement:
    """Sign exactly these payload bytes, read as this media type (DSSE v1)."""
    message = pre_authentication_encoding(payload_type, payload)
    return SignedStatement(payload_type, payload, signer.key_id, signer.sign(message))


def _rsa_padding(algorithm: Algorithm) -> padding.AsymmetricPadding:
    if algorithm is Algorithm.RSA_PSS_SHA256:
        return padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=_PSS_SALT_BYTES)
    return padding.PKCS1v15()
