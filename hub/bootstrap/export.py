"""`lienthong ledger export`: a hub's log as static files, written beside the running hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from adapters.storage.export import ExportFolder
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.reading import open_log
from hub.config import Settings
from hub.ledger.export import Exported, export_log
from hub.proof.succession import read_trusted_root


def export_hub(
    folder: DataFolder,
    target: Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Exported:
    """Write the log of the hub in a folder, or go on with it; see `export_log`.

    Raises ConfigInvalid, ExportRefused, LedgerMismatch, VerificationFailed for the hub's
    trusted root, and OSError.
    """
    settings = Settings.load(folder.root)
    trust = read_trusted_root(folder.trusted_root.read_bytes())
    with open_log(folder, settings) as (log, store), ExportFolder.open(target) as files:
        return export_log(log, store, trust, files, progress=progress)
