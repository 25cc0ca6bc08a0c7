"""Files and folders of evidence, examined one after another."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from hub.proof.bundle import BUNDLE_BYTES_MAX
from hub.proof.checks import Checks, Content
from hub.proof.examination import examine_file
from hub.proof.findings import Finding, Findings, Verdict
from hub.proof.tiles import Read

SUFFIXES = (".receipt.json", ".bundle.json")
_CHUNK_BYTES = 1 << 20


def files_in(paths: Iterable[Path]) -> Iterator[tuple[Path, Findings | None]]:
    """Every file of evidence that is named, or lies below a folder that is.

    What cannot be listed, or has nothing of the kind below it, comes with a finding at once:
    nothing found is not everything proven, the folder may be the wrong one.
    """
    for path in paths:
        if not os.path.isdir(path):
            yield path, None
            continue
        empty = True
        for found in _below(path):
            empty = False
            yield found
        if empty:
            yield (
                path,
                unreadable(f"there is no *{SUFFIXES[0]} or *{SUFFIXES[1]} below this folder"),
            )


def examine_files(
    files: Iterable[tuple[Path, Findings | None]], checks: Checks
) -> Iterator[tuple[Path, Findings]]:
    """What each file proves. Holds one file at a time."""
    for path, findings in files:
        yield path, findings or _examine(path, checks)


def read_at_most(path: Path, bytes_max: int) -> bytes:
    """A file's bytes, at most one more than the limit, which every parser then refuses."""
    # A pipe or a terminal would be waited for, and may never end.
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError("it is not a regular file")
    with path.open("rb") as file:
        # Room is made for all that is asked for, before it is known how little there is.
        return file.read(min(os.fstat(file.fileno()).st_size, bytes_max) + 1)


def content_in(folder: Path) -> Content:
    """Attachments as they lie in a folder: each in one with the exchange's name.

    Raises OSError for what is there and cannot be read. Reads no more of a file than the
    attachment should have, and a byte.
    """

    def look(exchange_id: str, name: str, size: int) -> tuple[int, str] | None:
        path = folder / exchange_id / name
        if not os.path.exists(path):
            return None
        if not os.path.isfile(path):
            raise OSError("an attachment is not a regular file")
        digest, count = hashlib.sha256(), 0
        with path.open("rb") as file:
            while count <= size and (chunk := file.read(_CHUNK_BYTES)):
                digest.update(chunk)
                count += len(chunk)
        return count, digest.hexdigest()

    return look


def log_in(folder: Path) -> Read:
    """The files of a log that lies in a folder."""

    def read(path: str, bytes_max: int) -> bytes | None:
        try:
            return read_at_most(folder / path, bytes_max)
        except (FileNotFoundError, NotADirectoryError):
            return None

    return read


def unreadable(why: str) -> Findings:
    """The findings about a file that cannot be read."""
    return Findings((Finding(1, Verdict.REFUTED, f"The file cannot be read: {why}."),))


def reason(error: Exception) -> str:
    """Why something failed, without the name of the file: that is said once, made harmless."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _examine(path: Path, checks: Checks) -> Findings:
    if checks.together is not None:
        checks.together.begin(path)
    try:
        return examine_file(read_at_most(path, BUNDLE_BYTES_MAX), checks)
    except OSError as error:
        return unreadable(reason(error))


def _below(folder: Path) -> Iterator[tuple[Path, Findings | None]]:
    # Links to folders are not followed: a ring of them would never end.
    unlisted: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unlisted.append):
        folders.sort()
        for name in sorted(names):
            if name.endswith(SUFFIXES):
                yield Path(parent, name), None
    for error in unlisted:
        yield Path(error.filename), unreadable(reason(error))
