"""The time-stamping authorities of a hub's settings, ready to be asked and to be trusted."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import BaseModel, ConfigDict

from adapters.timestamp.http import HttpTimestampAuthority
from hub.application.ports import MayAct
from hub.application.timestamping import Schedule, TrustedAuthority
from hub.bootstrap.folder import DataFolder
from hub.config import ConfigInvalid, Settings
from hub.config import TimestampAuthority as Configured
from hub.errors import VerificationFailed
from hub.evidence.chains import anchors_among
from hub.evidence.der import CERTIFICATES_MAX
from hub.evidence.found import Stamper
from hub.proof.succession import read_trusted_root
from hub.proof.timestamp_authority import TimestampAuthority
from hub.proof.trust import TrustedRoot

_FILE_BYTES_MAX = 1 << 20
_ALWAYS = datetime.min.replace(tzinfo=UTC)


def authorities_to_ask(
    folder: DataFolder, settings: Settings, may_act: MayAct
) -> list[TrustedAuthority]:
    """Those of the settings. Raises ConfigInvalid when a certificate file cannot be used."""
    require_distinct(settings.timestamp_authorities)
    return [
        TrustedAuthority(
            name=each.name,
            port=HttpTimestampAuthority(
                each.url, timeout_s=settings.timestamp_timeout_s, may_act=may_act
            ),
            certificates=read_certificates(folder.root, each),
            policy=each.policy,
        )
        for each in settings.timestamp_authorities
    ]


def stampers_of(folder: DataFolder, settings: Settings) -> tuple[Stamper, ...]:
    """Whose timestamps count that documents carry: those of the settings and the trusted root.

    The root ends them, and does not begin them: since when this hub asks an authority says
    nothing of what it stamped for others before. Raises ConfigInvalid, and VerificationFailed
    where the trusted root cannot be read.
    """
    root = read_trusted_root(folder.trusted_root.read_bytes())
    known = authorities_of(folder, settings, root, since=_ALWAYS)
    return tuple(Stamper(each.certificates, each.not_after) for each in known)


def schedule_of(settings: Settings) -> Schedule:
    """How often they are asked, and when tokens are renewed."""
    return Schedule(
        every=timedelta(seconds=settings.timestamp_every_s),
        renew_before=timedelta(days=settings.timestamp_renew_before_days),
    )


@dataclass(frozen=True, slots=True)
class Offered:
    """An authority as `init` is told of it, with its certificates read."""

    configured: Configured
    certificates: tuple[bytes, ...]


def read_offer(path: Path) -> tuple[Offered, ...]:
    """The authorities in a TOML file with the tables of `hub.toml`, and nothing else.

    Paths in it are relative to the file. Raises ConfigInvalid.
    """
    try:
        offer = _Offer.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"{path} cannot be read: {error}") from error
    require_distinct(offer.timestamp_authorities)
    return tuple(
        Offered(each, read_certificates(path.parent, each)) for each in offer.timestamp_authorities
    )


class _Offer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    timestamp_authorities: tuple[Configured, ...]


def settings_of(offered: Sequence[Offered], folder: DataFolder) -> str:
    """The tables for `hub.toml`, with the paths that `pem_of` is written to."""
    return "".join(_table(each.configured, folder) for each in offered)


def _table(authority: Configured, folder: DataFolder) -> str:
    path = folder.timestamp_authority(authority.name).relative_to(folder.root)
    values = {"name": authority.name, "url": authority.url, "certificates": str(path)}
    if authority.policy is not None:
        values["policy"] = authority.policy
    # Strings of JSON are strings of TOML.
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    return f"\n[[timestamp_authorities]]\n{lines}"


def pem_of(certificates: Sequence[bytes]) -> bytes:
    """Certificates in DER as one PEM file."""
    return b"".join(
        x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM) for each in certificates
    )


def authorities_of(
    folder: DataFolder, settings: Settings, root: TrustedRoot, *, since: datetime
) -> tuple[TimestampAuthority, ...]:
    """Those of a trusted root, with those of the settings that it does not list yet.

    They are trusted from `since` on. An authority that is listed with other certificates gets
    the new ones beside them. Nothing is ever taken away. Raises ConfigInvalid.
    """
    known = {each.name: each for each in root.timestamp_authorities}
    for each in settings.timestamp_authorities:
        certificates = read_certificates(folder.root, each)
        listed = known.get(each.name) or trusted(each.name, certificates, since)
        merged = tuple(dict.fromkeys((*listed.certificates, *certificates)))
        known[each.name] = replace(listed, certificates=merged)
    return tuple(known.values())


def trusted(name: str, certificates: Sequence[bytes], since: datetime) -> TimestampAuthority:
    """The entry of the trusted root for an authority that is trusted from a moment on."""
    return TimestampAuthority(name, tuple(certificates), since.replace(microsecond=0))


def read_certificates(base: Path, configured: Configured) -> tuple[bytes, ...]:
    """The certificates of an authority in DER, at least one of which issued itself.

    A relative path is relative to `base`. Raises ConfigInvalid.
    """
    path = base / configured.certificates
    try:
        with path.open("rb") as file:
            pem = file.read(_FILE_BYTES_MAX)
        certificates = tuple(
            each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem)
        )
        anchors = anchors_among(certificates)
    except (OSError, ValueError, VerificationFailed) as error:
        raise ConfigInvalid(f"{path} of {configured.name} cannot be read: {error}") from error
    if not anchors or len(certificates) > CERTIFICATES_MAX:
        raise ConfigInvalid(
            f"{path} of {configured.name} must hold the authority's own root, the certificate that"
            f" it issued itself, and at most {CERTIFICATES_MAX} certificates"
        )
    return certificates


def require_distinct(configured: tuple[Configured, ...]) -> None:
    """Refuse two authorities of one name: the log could not tell them apart."""
    names = [each.name for each in configured]
    if len(set(names)) != len(names):
        raise ConfigInvalid("two of timestamp_authorities have one name")
