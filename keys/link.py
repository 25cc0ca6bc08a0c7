"""The certificates by which a hub and a signer on another machine know each other.

Each end makes a key and a certificate of its own, and accepts single certificates of the other
end, by their bytes: no authority vouches for anybody. Two may be accepted at once, so that one
replaces the other with no gap: the new one is made, accepted at the other end, then switched
to; then the old one is forgotten there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keys.file import (
    PUBLIC_MODE,
    SECRET_MODE,
    KeyFileError,
    create_file,
    private_key_pem,
    read_public,
    replace_file,
    sync_folder,
)

ACCEPTED_MAX = 32
NAME_CHARS_MAX = 64  # RFC 5280, ub-common-name.
# A fingerprint may be typed by its beginning; fewer digits could be met by chance.
PREFIX_CHARS_MIN = 8

_CURRENT, _NEXT, _ACCEPTED = "certificate.pem", "next.pem", "accepted"
# Machines disagree about the time; a fresh certificate must work at once on both.
_BACKDATED = timedelta(minutes=5)


class LinkRefused(Exception):
    """What was asked for cannot be; nothing was changed. The message says what to do instead."""


class End(StrEnum):
    """Whose certificate it is: it is good for this end of a connection only."""

    HUB = "hub"
    SIGNER = "signer"

    @property
    def other(self) -> End:
        """The end that it speaks with."""
        return End.SIGNER if self is End.HUB else End.HUB


_USAGE = {End.HUB: ExtendedKeyUsageOID.CLIENT_AUTH, End.SIGNER: ExtendedKeyUsageOID.SERVER_AUTH}


@dataclass(frozen=True, slots=True)
class LinkCertificate:
    """A certificate of one end. `fingerprint` is SHA-256 over its DER, 64 hexadecimal digits."""

    fingerprint: str
    name: str
    begins: datetime
    ends: datetime
    pem: str

    @classmethod
    def parse(cls, pem: bytes, where: str) -> LinkCertificate:
        """The one certificate in PEM. Raises KeyFileError, which names `where`."""
        try:
            return _parsed(pem)
        except ValueError:
            raise KeyFileError(f"{where}: holds not exactly one certificate in PEM") from None


@lru_cache(maxsize=2 * ACCEPTED_MAX)  # The same ones are read for every connection.
def _parsed(pem: bytes) -> LinkCertificate:
    (found,) = x509.load_pem_x509_certificates(pem)
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return LinkCertificate(
        fingerprint=sha256(found.public_bytes(Encoding.DER)).hexdigest(),
        name=str(names[0].value) if names else "",
        begins=found.not_valid_before_utc,
        ends=found.not_valid_after_utc,
        pem=found.public_bytes(Encoding.PEM).decode(),
    )


@dataclass(frozen=True, slots=True)
class LinkState:
    """What one end shows, what waits to be shown, and what it accepts; the oldest first."""

    end: End
    current: LinkCertificate | None
    waiting: LinkCertificate | None
    accepted: tuple[LinkCertificate, ...]


class Link:
    """One end's folder. Each change is one rename, one new file, or one removal.

    Untrusted to be whole: what is read is checked. Who can write here can speak for this end,
    and let others in.
    """

    def __init__(self, folder: Path, end: End, *, shows: str = _CURRENT) -> None:
        self.folder = folder
        self.end = end
        self._shows = shows

    def after_the_switch(self) -> Link:
        """The same end as if the certificate that waits were shown, for a trial of it."""
        return Link(self.folder, self.end, shows=_NEXT)

    def state(self) -> LinkState:
        """What there is; no secret is read. Raises KeyFileError."""
        return LinkState(self.end, self._read(_CURRENT), self._read(_NEXT), self.accepted())

    def current(self) -> LinkCertificate:
        """The certificate that is shown. Raises KeyFileError, also where there is none."""
        found = self._read(self._shows)
        if found is None:
            raise KeyFileError(
                f"{self.folder}: has no such certificate; `lienthong signer link make` makes one"
            )
        return found

    def accepted(self) -> tuple[LinkCertificate, ...]:
        """The other end's certificates that are let in. Raises KeyFileError."""
        found = [self._accepted_in(name) for name in self.accepted_names()]
        return tuple(sorted(found, key=lambda each: (each.begins, each.fingerprint)))

    def accepted_names(self) -> tuple[str, ...]:
        """The fingerprints of these, which name their files. Raises KeyFileError."""
        try:
            names = sorted(
                name.removesuffix(".pem")
                for name in os.listdir(self.folder / _ACCEPTED)
                if name.endswith(".pem")
            )
        except FileNotFoundError:
            return ()
        except OSError as error:
            where = self.folder / _ACCEPTED
            raise KeyFileError(f"{where}: cannot be read: {error.strerror}") from error
        if len(names) > ACCEPTED_MAX:
            raise KeyFileError(
                f"{self.folder / _ACCEPTED}: holds more than {ACCEPTED_MAX} certificates"
            )
        return tuple(names)

    def key_file(self, certificate: LinkCertificate) -> Path:
        """Where the private key of one of this end's own certificates lies."""
        return self.folder / f"key-{certificate.fingerprint[:16]}.pem"

    # --- changes ------------------------------------------------------------------

    def make(
        self,
        name: str,
        *,
        now: datetime,
        lasting: timedelta,
        seal: Callable[[bytes], bytes] = bytes,
    ) -> LinkCertificate:
        """A new key and certificate. The first is shown at once; a later one waits for `switch`.

        One that waits already, and is still good, is given again: it may be accepted elsewhere.
        `seal` makes of the key's PEM what is written. If we stop in the middle, a key without
        a certificate is left, which the next call removes.
        Raises KeyFileError, LinkRefused for a name that no certificate can have, OSError.
        """
        if not 1 <= len(name) <= NAME_CHARS_MAX:
            raise LinkRefused(f"a name has 1 to {NAME_CHARS_MAX} characters")
        waiting = self._read(_NEXT)
        if waiting is not None and waiting.ends > now:
            return waiting
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._remove_keys_without_certificate()
        key = ec.generate_private_key(ec.SECP256R1())
        pem = _self_signed(key, name, self.end, now, lasting)
        made = LinkCertificate.parse(pem, name)
        create_file(self.key_file(made), seal(private_key_pem(key)), mode=SECRET_MODE)
        place = _CURRENT if self._read(_CURRENT) is None else _NEXT
        replace_file(self.folder / place, pem, mode=PUBLIC_MODE)
        return made

    def switch(self) -> LinkCertificate:
        """Show the certificate that waits, from the next connection on: one rename.

        Raises LinkRefused when none waits, KeyFileError, OSError.
        """
        waiting = self._read(_NEXT)
        if waiting is None:
            raise LinkRefused("no certificate waits; `lienthong signer link make` makes one")
        os.replace(self.folder / _NEXT, self.folder / _CURRENT)
        sync_folder(self.folder)
        self._remove_keys_without_certificate()
        return waiting

    def accept(self, pem: bytes, now: datetime) -> LinkCertificate:
        """Let the holder of a certificate in, from the next connection on.

        Raises KeyFileError for what is no certificate, LinkRefused for one of the wrong end, one
        that has ended, and one too many; OSError.
        """
        wanted = LinkCertificate.parse(pem, "the certificate")
        _require_end(pem, self.end.other)
        names = self.accepted_names()
        if wanted.fingerprint in names:
            return wanted
        if wanted.ends <= now:
            raise LinkRefused(f"the certificate has ended on {wanted.ends:%Y-%m-%d}")
        if len(names) >= ACCEPTED_MAX:
            raise LinkRefused(f"{ACCEPTED_MAX} certificates are accepted; forget one first")
        (self.folder / _ACCEPTED).mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / _ACCEPTED / f"{wanted.fingerprint}.pem"
        replace_file(path, wanted.pem.encode(), mode=PUBLIC_MODE)
        return wanted

    def forget(self, fingerprint: str) -> LinkCertificate:
        """Let a certificate in no more, from the next connection on.

        It is named by its fingerprint, or by the first eight digits of it or more.
        Raises LinkRefused for another word, KeyFileError, OSError.
        """
        wanted = fingerprint.lower().replace(":", "")
        found = [each for each in self.accepted_names() if each.startswith(wanted)]
        if len(wanted) < PREFIX_CHARS_MIN or len(found) != 1:
            raise LinkRefused(
                f"name exactly one accepted certificate by at least {PREFIX_CHARS_MIN} digits"
            )
        gone = self._accepted_in(found[0])
        (self.folder / _ACCEPTED / f"{found[0]}.pem").unlink()
        sync_folder(self.folder / _ACCEPTED)
        return gone

    # --- files --------------------------------------------------------------------

    def key_files(self) -> Iterator[Path]:
        """The private keys of this end, those without a certificate included."""
        return iter(sorted(self.folder.glob("key-*.pem")))

    def _read(self, name: str) -> LinkCertificate | None:
        path = self.folder / name
        if not path.exists():
            return None
        return LinkCertificate.parse(read_public(path), str(path))

    def _accepted_in(self, name: str) -> LinkCertificate:
        path = self.folder / _ACCEPTED / f"{name}.pem"
        found = LinkCertificate.parse(read_public(path), str(path))
        if found.fingerprint != name:
            raise KeyFileError(f"{path}: is not named by the certificate in it")
        return found

    def _remove_keys_without_certificate(self) -> None:
        own = [each for each in (self._read(_CURRENT), self._read(_NEXT)) if each]
        needed = {self.key_file(each) for each in own}
        for path in self.key_files():
            if path not in needed:
                path.unlink()


def days_left(certificate: LinkCertificate, now: datetime) -> int:
    """Whole days until it ends; negative once it has."""
    return (certificate.ends - now).days


def require_in_force(certificate: LinkCertificate, whose: str, now: datetime) -> None:
    """Raises LinkRefused for a certificate that has ended, or whose time has not come."""
    if now >= certificate.ends:
        raise LinkRefused(f"{whose} certificate has ended on {_day(certificate.ends)}")
    if now < certificate.begins:
        raise LinkRefused(f"{whose} certificate begins only on {_day(certificate.begins)}")


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _require_end(pem: bytes, end: End) -> None:
    found = x509.load_pem_x509_certificate(pem)
    try:
        usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    if _USAGE[end] not in usage:
        raise LinkRefused(f"this is not the certificate of a {end.value}")


def _self_signed(
    key: ec.EllipticCurvePrivateKey, name: str, end: End, now: datetime, lasting: timedelta
) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    # Of two accepted certificates with one name, these say which one signed itself: without
    # them a verifier takes the first of that name for the issuer of either (RFC 5280, 4.2.1.1).
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issuer_key_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + lasting)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([_USAGE[end]]), critical=False)
        .add_extension(key_id, critical=False)
        .add_extension(issuer_key_id, critical=False)
        .sign(key, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)
