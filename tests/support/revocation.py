"""Revocation lists of the test run's authorities, as an issuer would publish them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

Entry = tuple[bytes, datetime, x509.ReasonFlags | None]
DAY = timedelta(days=1)


def crl(
    issuer: x509.Certificate,
    key: Any,
    published: datetime,
    revoked: Sequence[Entry] = (),
    *,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    lasting: timedelta = DAY,
    number: int = 1,
    algorithm: Any = None,
) -> bytes:
    """A list in DER. `revoked` names certificates (DER), since when and why."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(published)
        .next_update(published + lasting)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    for der, since, reason in revoked:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(x509.load_der_x509_certificate(der).serial_number)
            .revocation_date(since)
        )
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return builder.sign(key, None).public_bytes(Encoding.DER)
    return builder.sign(key, algorithm or hashes.SHA256()).public_bytes(Encoding.DER)
