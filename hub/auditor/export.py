"""A document taken along for a case: every statement, every attachment, verified, in a folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hub.auditor.client import Access, AuditClient, Case, Lost, Piece
from hub.client.answers import VerifiedStatement
from hub.client.downloading import safe_name
from hub.errors import VerificationFailed
from hub.proof.envelope import Attachment
from hub.proof.statements import Envelope

STATEMENTS = "statements"
ATTACHMENTS = "attachments"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was taken along, and where it lies. `files` are in the envelope's order."""

    access: Access
    said: dict[int, VerifiedStatement]
    lost: dict[int, Lost]
    files: list[Path]

    def as_json(self) -> dict[str, Any]:
        """It for programs."""
        return {
            "position": self.access.fact.position,
            "statements": sorted(self.said),
            "lost": {str(lost.position): lost.reason for lost in self.lost.values()},
            "files": [str(path) for path in self.files],
        }


async def export_document(
    client: AuditClient, case: Case, exchange_id: str, folder: Path
) -> Exported:
    """Put everything about a document into a new folder.

    `statements/` holds a receipt file for each statement, which `python -m hub.proof` checks
    without the hub, and one for the record of this export; `attachments/` the content, whose
    size and digest are as the sender signed them. Raises VerificationFailed(step="content")
    otherwise, and FileExistsError.
    """
    access: Access | None = None
    said: dict[int, VerifiedStatement] = {}
    lost: dict[int, Lost] = {}
    content: _Content | None = None
    async for part in client.export(case, exchange_id):
        match part:
            case Access():
                # Only now: a refusal must not leave a folder behind.
                (folder / STATEMENTS).mkdir(parents=True)
                (folder / ATTACHMENTS).mkdir()
                (folder / STATEMENTS / "export.receipt.json").write_bytes(part.evidence())
                access = part
            case VerifiedStatement():
                said[part.position] = part
                path = folder / STATEMENTS / f"{part.position}.receipt.json"
                path.write_bytes(part.evidence())
            case Lost():
                lost[part.position] = part
            case Piece():
                content = content or _Content(folder / ATTACHMENTS, _attachments(said))
                content.add(part)
    if access is None:
        raise VerificationFailed("the export came without its record", step="content")
    files = (content or _Content(folder / ATTACHMENTS, _attachments(said))).finish()
    exported = Exported(access, said, lost, files)
    (folder / "export.json").write_text(json.dumps(exported.as_json(), indent=2) + "\n")
    return exported


def _attachments(said: dict[int, VerifiedStatement]) -> tuple[Attachment, ...]:
    """What the envelope says of them; without the envelope nothing can be held against it."""
    for statement in said.values():
        if isinstance(statement.payload, Envelope):
            return statement.payload.document.attachments
    return ()


class _Content:
    """Attachments as they come, hashed and put under their names."""

    def __init__(self, folder: Path, attachments: tuple[Attachment, ...]) -> None:
        self._folder = folder
        self._attachments = attachments
        self._index = -1
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._size = 0
        self._paths: list[Path] = []

    def add(self, piece: Piece) -> None:
        """The next bytes."""
        while self._index < piece.attachment:
            self._next()
        if self._file is None:
            raise VerificationFailed("content that the envelope does not name", step="content")
        self._size += len(piece.data)
        if self._size > self._attachments[self._index].size:
            raise self._wrong()
        self._file.write(piece.data)
        self._hash.update(piece.data)

    def finish(self) -> list[Path]:
        """Check the last one, and those that are empty; all paths in the envelope's order."""
        while self._index < len(self._attachments):
            self._next()
        return self._paths

    def _next(self) -> None:
        self._close()
        self._index += 1
        self._hash, self._size = hashlib.sha256(), 0
        if self._index < len(self._attachments):
            # Numbered: two attachments may bear one name, and the order is the envelope's.
            name = safe_name(f"{self._index} {self._attachments[self._index].name}")
            self._paths.append(self._folder / name)
            self._file = self._paths[-1].open("xb")

    def _close(self) -> None:
        if self._file is None:
            return
        self._file.close()
        self._file = None
        signed = self._attachments[self._index]
        if (self._size, self._hash.hexdigest()) != (signed.size, signed.sha256):
            raise self._wrong()

    def _wrong(self) -> VerificationFailed:
        name = self._attachments[self._index].name
        return VerificationFailed(
            f"the content of {name!r} is not what the sender signed", step="content"
        )
