"""Editions of a hub's trusted root: each one holds all that the one before it held."""

from __future__ import annotations

import os
from pathlib import Path

from adapters.system import system_clock
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.timestamps import with_authorities
from hub.config import Settings
from hub.proof.trust import TrustedRoot
from keys.file import create_file, sync_folder

_PUBLIC = 0o644


def publish(folder: DataFolder, settings: Settings) -> tuple[Path, TrustedRoot]:
    """Bring the file up to the settings, in one step; the same again changes nothing.

    Raises ConfigInvalid, and VerificationFailed when the file cannot be read.
    """
    root = with_authorities(folder, settings, since=system_clock())
    path = folder.trusted_root
    if path.read_bytes() != (data := root.format()):
        # Beside it, synced, then into its place: never half a file under the known name.
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        create_file(fresh, data, mode=_PUBLIC)
        os.replace(fresh, path)
        sync_folder(path.parent)
    return path, root
