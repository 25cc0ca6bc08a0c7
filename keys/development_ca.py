"""A certificate authority for development and tests. NOT FOR PRODUCTION.

It asks nobody who they are. Every certificate it makes says so in its subject and its
issuer, so that none passes unnoticed into the trust list of a hub in service.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hub.proof.signatures import RSA_BITS_MIN, Algorithm
from keys.development_revocation import (
    Revoked,
    RevokedCertificates,
    ocsp_answer,
    revocation_list,
)
from keys.file import (
    PUBLIC_MODE,
    KeyFileError,
    PrivateKey,
    create_file,
    create_private_key,
    load_private_key,
    private_key_pem,
    read_public,
)

CA_VALIDITY = timedelta(days=3650)
LEAF_VALIDITY = timedelta(days=365)
LIST_VALIDITY = timedelta(days=7)
# Machines in a test room disagree about the time; a fresh certificate must work on all.
BACKDATED = timedelta(minutes=5)

ORGANISATION = "DEVELOPMENT ONLY - NOT FOR PRODUCTION"
_CERTIFICATE_FILE = "development-ca.pem"
_KEY_FILE = "development-ca.key.pem"
_REVOKED_FILE = "development-ca.revoked.json"

DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # RFC 9336

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key (PKCS#8, unencrypted), both PEM."""

    certificate_pem: bytes
    private_key_pem: bytes


class DevelopmentCA:
    """One self-signed authority in a folder; the keys it certifies are made here and handed out.

    `clock` gives the present as an aware datetime. Common names have 1 to 64 characters
    (RFC 5280, ub-common-name); others raise ValueError.
    """

    def __init__(
        self,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        clock: Clock,
        folder: Path,
    ) -> None:
        """Use `create` or `open` instead."""
        self._certificate = certificate
        self._key = key
        self._clock = clock
        self._revoked = RevokedCertificates(folder / _REVOKED_FILE)

    @classmethod
    def create(cls, folder: Path, clock: Clock) -> DevelopmentCA:
        """A new authority, valid for ten years, in a folder that is made if needed.

        Raises KeyFileError when one is there already.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(key, clock())
        create_private_key(folder / _KEY_FILE, key)
        pem = certificate.public_bytes(Encoding.PEM)
        create_file(folder / _CERTIFICATE_FILE, pem, mode=PUBLIC_MODE)
        return cls(certificate, key, clock, folder)

    @classmethod
    def open(cls, folder: Path, clock: Clock) -> DevelopmentCA:
        """The authority that `create` left in this folder; KeyFileError if there is none."""
        key = load_private_key(folder / _KEY_FILE)
        path = folder / _CERTIFICATE_FILE
        try:
            certificate = x509.load_pem_x509_certificate(read_public(path))
        except ValueError:
            raise KeyFileError(f"{path}: no certificate in PEM") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or (
            certificate.public_key() != key.public_key()
        ):
            raise KeyFileError(f"{path}: belongs to another key than {_KEY_FILE} beside it")
        return cls(certificate, key, clock, folder)

    @property
    def certificate_pem(self) -> bytes:
        """What a development hub puts into its trust list."""
        return self._certificate.public_bytes(Encoding.PEM)

    def issue_server(self, hosts: Sequence[str]) -> Issued:
        """A TLS server's certificate for DNS names and IP addresses, at least one; one year.

        Clients look at these names only, never at the subject (RFC 9525). Raises ValueError
        for no hosts, or a DNS name that is not ASCII.
        """
        if not hosts:
            raise ValueError("a server certificate needs a host")
        names = x509.SubjectAlternativeName([_host_name(host) for host in hosts])
        return self._issue_tls("lienthong server", ExtendedKeyUsageOID.SERVER_AUTH, names)

    def issue_client(self, common_name: str) -> Issued:
        """A TLS client's certificate, for one year."""
        return self._issue_tls(common_name, ExtendedKeyUsageOID.CLIENT_AUTH)

    def issue_signing(
        self,
        common_name: str,
        algorithm: Algorithm,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Issued:
        """A certificate for signing documents and statements, useless for TLS.

        Valid from five minutes ago for one year unless stated; a window that lies wholly in
        the past or future, or outside the authority's own, is allowed, for tests. Raises
        ValueError when it ends before it begins.
        """
        key = _generate(algorithm)
        begin = not_before or self._clock() - BACKDATED
        usage = _key_usage(digital_signature=True, content_commitment=True)
        builder = (
            self._leaf(common_name, key, begin, not_after or begin + LEAF_VALIDITY)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([DOCUMENT_SIGNING]), critical=False)
        )
        return self._issued(builder, key)

    def revoke(self, certificate_pem: bytes, reason: str, since: datetime | None = None) -> None:
        """Take a certificate of this authority back, since now unless stated.

        `reason` is a word of RFC 5280 section 5.3.1, such as `key-compromise`. Raises ValueError
        for another word and for a certificate of somebody else, KeyFileError when it cannot
        be noted down.
        """
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise ValueError("another authority issued this certificate") from error
        when = since or self._clock()
        self._revoked.add(Revoked(certificate.serial_number, reason, when))

    def revocation_list(self, lasting: timedelta = LIST_VALIDITY) -> bytes:
        """The list of all that was taken back (DER), of now, with the next due `lasting` later.

        Raises KeyFileError when the notes cannot be read.
        """
        return revocation_list(
            self._certificate, self._key, self._revoked.all(), at=self._clock(), lasting=lasting
        )

    def ocsp_answer(self, request: bytes, lasting: timedelta = LIST_VALIDITY) -> bytes:
        """The answer (DER) to an OCSP request about one certificate, signed by the authority.

        A certificate that is not known as taken back is good: nobody remembers which were
        issued. Raises ValueError for what is no request, KeyFileError as above.
        """
        return ocsp_answer(
            self._certificate,
            self._key,
            request,
            self._revoked.all(),
            at=self._clock(),
            lasting=lasting,
        )

    def _issue_tls(
        self,
        common_name: str,
        usage: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None = None,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        begin = self._clock() - BACKDATED
        builder = (
            self._leaf(common_name, key, begin, begin + LEAF_VALIDITY)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return self._issued(builder, key)

    def _leaf(
        self, common_name: str, key: PrivateKey, begin: datetime, end: datetime
    ) -> x509.CertificateBuilder:
        issuer_key = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            _builder(_name(common_name), self._certificate.subject, key, begin, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key),
                critical=False,
            )
        )

    def _issued(self, builder: x509.CertificateBuilder, key: PrivateKey) -> Issued:
        certificate = builder.sign(self._key, SHA256())
        return Issued(certificate.public_bytes(Encoding.PEM), private_key_pem(key))


def _self_signed(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = _name("lienthong development CA")
    begin = now - BACKDATED
    return (
        _builder(name, name, key, begin, begin + CA_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    public_key = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(
    *,
    digital_signature: bool = False,
    content_commitment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    # contentCommitment is the bit that earlier standards call nonRepudiation (RFC 5280).
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _generate(algorithm: Algorithm) -> PrivateKey:
    match algorithm:
        case Algorithm.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case Algorithm.ECDSA_P256_SHA256:
            return ec.generate_private_key(ec.SECP256R1())
        case Algorithm.RSA_PSS_SHA256 | Algorithm.RSA_PKCS1_SHA256:
            return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS_MIN)
