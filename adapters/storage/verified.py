"""The mark of what was verified, in a small file beside the stores."""

from __future__ import annotations

import json
from pathlib import Path

from adapters.storage.folders import sync_folder
from adapters.storage.parts import write_durable
from hub.application.ports import Verified

_BYTES_MAX = 1024
_DIGEST_BYTES = 32


class VerifiedFile:
    """The port VerifiedMark."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Verified | None:
        """The mark; None when there is none, or none that can be read."""
        try:
            with self._path.open("rb") as file:
                said = json.loads(file.read(_BYTES_MAX))
            size, root, register = said["size"], said["root"], said["register"]
            verified = Verified(size, bytes.fromhex(root), bytes.fromhex(register))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        digests = (verified.root, verified.register)
        is_one = type(size) is int and size > 0 and all(len(d) == _DIGEST_BYTES for d in digests)
        return verified if is_one else None

    def write(self, verified: Verified | None) -> None:
        """Replace the mark, or remove it; durable on return."""
        if verified is None:
            self._path.unlink(missing_ok=True)
        else:
            said = {
                "size": verified.size,
                "root": verified.root.hex(),
                "register": verified.register.hex(),
            }
            write_durable(self._path, json.dumps(said).encode())
        sync_folder(self._path.parent)
