"""OCSP answers as responders give them, the right ones and the others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.timestamping import DAY, Holder, issue

NO_CHECK = (x509.OCSPNoCheck(), False)


def answer(
    about: x509.Certificate,
    issuer: Holder,
    published: datetime,
    *,
    by: Holder | None = None,
    status: ocsp.OCSPCertStatus | None = None,
    since: datetime | None = None,
    reason: x509.ReasonFlags | None = None,
    lasting: timedelta | None = DAY,
    named_by: hashes.HashAlgorithm | None = None,
    nonce: bytes | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    by_name: bool = False,
    algorithm: Any = None,
) -> bytes:
    """An answer in DER: revoked where `since` is given, else good, signed by the issuer itself."""
    statuses = ocsp.OCSPCertStatus
    signer = by or issuer
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=about,
        issuer=issuer.certificate,
        algorithm=named_by or hashes.SHA256(),
        cert_status=status or (statuses.REVOKED if since else statuses.GOOD),
        this_update=published,
        next_update=None if lasting is None else published + lasting,
        revocation_time=since,
        revocation_reason=reason if since else None,
    )
    encoding = ocsp.OCSPResponderEncoding.NAME if by_name else ocsp.OCSPResponderEncoding.HASH
    builder = builder.responder_id(encoding, signer.certificate)
    if by is not None:
        builder = builder.certificates([by.certificate])
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    hash_ = (
        None if isinstance(signer.key, ed25519.Ed25519PrivateKey) else algorithm or hashes.SHA256()
    )
    return builder.sign(signer.key, hash_).public_bytes(Encoding.DER)


def responder(
    issuer: Holder,
    at: datetime,
    *,
    no_check: bool = True,
    usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.OCSP_SIGNING,),
    lasting: timedelta = 30 * DAY,
    **more: Any,
) -> Holder:
    """Whom an issuer certified to answer for it."""
    extensions = (NO_CHECK,) if no_check else ()
    return issue(
        "responder",
        at - DAY,
        at + lasting,
        by=issuer,
        usages=usages,
        critical=False,
        extensions=extensions,
        **more,
    )


def unsuccessful(status: ocsp.OCSPResponseStatus) -> bytes:
    """That there is no answer, and why."""
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
