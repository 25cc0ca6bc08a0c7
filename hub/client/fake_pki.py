"""A certificate authority made up for one test run, so that tests too speak mutual TLS."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hub.client.signing import PrivateKey
from hub.proof.signatures import Algorithm

_LIFE = timedelta(days=1)


class FakeAuthority:
    """Issues certificates nobody else trusts, each good for a day around now."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Fake hub authority")
        builder = self._builder(self._name, self._key)
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = builder.add_extension(basic, critical=True).sign(self._key, SHA256())

    @property
    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self._certificate.public_bytes(Encoding.PEM)

    def issue(self, common_name: str, key: PrivateKey) -> x509.Certificate:
        """A certificate for this key, good for localhost and 127.0.0.1 too."""
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        basic = x509.BasicConstraints(ca=False, path_length=None)
        return (
            self._builder(_name(common_name), key)
            .add_extension(names, critical=False)
            .add_extension(basic, critical=True)
            .sign(self._key, SHA256())
        )

    def _builder(self, subject: x509.Name, key: PrivateKey) -> x509.CertificateBuilder:
        present = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(present - _LIFE)
            .not_valid_after(present + _LIFE)
        )


def new_key(algorithm: Algorithm) -> PrivateKey:
    """A fresh private key that fits the algorithm."""
    match algorithm:
        case Algorithm.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case Algorithm.ECDSA_P256_SHA256:
            return ec.generate_private_key(ec.SECP256R1())
        case Algorithm.RSA_PSS_SHA256 | Algorithm.RSA_PKCS1_SHA256:
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_pem(key: PrivateKey) -> bytes:
    """A private key as PKCS#8 in PEM, without a passphrase."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
