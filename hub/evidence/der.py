"""Certificates and the like as strangers send them: read strictly, or refused with one word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from hub.errors import VerificationFailed

CERTIFICATE_BYTES_MAX = 16 * 1024
CERTIFICATES_MAX = 64

UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What parsers of DER raise for hostile bytes; none of it is meant for a person."""


def load_certificate(der: bytes) -> asn1.Certificate:
    """A certificate for those libraries that read `asn1crypto`'s kind.

    Raises VerificationFailed(step="chain").
    """
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise bad_chain(f"a certificate has more than {CERTIFICATE_BYTES_MAX} bytes")
    with reading("a certificate"):
        certificate = asn1.Certificate.load(der, strict=True)
        certificate.native  # noqa: B018  # asn1crypto reads lazily: now, or in the middle.
        # RFC 5280 section 4.1.2.2; the other reader only warns of it.
        if certificate.serial_number <= 0:
            raise bad_chain("a certificate has no positive serial number")
        # Both readers must take it: what only one understands could mean two things.
        x509.load_der_x509_certificate(der)
        return certificate


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever a parser trips over into a failed verification."""
    try:
        yield
    except UNREADABLE as error:
        raise bad_chain(f"{what} cannot be read") from error


def bad_chain(why: str) -> VerificationFailed:
    """What is wrong with a chain, or with what was said about it."""
    return VerificationFailed(why, step="chain")
