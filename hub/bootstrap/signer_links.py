"""The link between a hub and a signer on another machine, as an operator makes and changes it."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from adapters.system import system_clock
from hub.bootstrap.custody import Ask, Custodian, places_in, settings_in
from hub.bootstrap.folder import SIGNER_LINK, DataFolder
from keys.file import read_public
from keys.link import End, Link, LinkCertificate, LinkState

__all__ = [
    "LinkCertificate", "accept", "forget", "link_in", "link_of_hub", "link_of_signer", "make",
    "state",
]  # fmt: skip


def link_of_hub(folder: DataFolder) -> Link:
    """A hub's end."""
    return Link(folder.signer_link, End.HUB)


def link_of_signer(root: Path) -> Link:
    """A signer's end."""
    return Link(root / SIGNER_LINK, End.SIGNER)


def link_in(root: Path) -> Link:
    """That of the hub or signer in a folder."""
    if (root / "hub.toml").exists():
        return link_of_hub(DataFolder(root))
    return link_of_signer(root)


def state(root: Path) -> LinkState:
    """What this end shows and accepts. Raises KeyFileError."""
    return link_in(root).state()


def make(root: Path, name: str, days: int, ask: Ask) -> LinkCertificate:
    """A certificate of this end, its key kept as the settings say keys are kept.

    Raises KeyFileError, LinkRefused, ConfigInvalid, OSError, and what the custodian does.
    """
    settings = settings_in(root)
    with closing(Custodian(places_in(root), settings, ask)) as custodian:
        seal = custodian.seal if settings.custody == "age" else bytes
        lasting = timedelta(days=days)
        return link_in(root).make(name, now=system_clock(), lasting=lasting, seal=seal)


def accept(root: Path, certificate: Path) -> LinkCertificate:
    """Let the other end's certificate in. Raises KeyFileError, LinkRefused, OSError."""
    return link_in(root).accept(read_public(certificate), system_clock())


def forget(root: Path, fingerprint: str) -> LinkCertificate:
    """Let it in no more. Raises KeyFileError, LinkRefused, OSError."""
    return link_in(root).forget(fingerprint)
