"""A folder that holds a log as static files, written so that a crash never leaves half a file."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.storage.folders import sync_folder
from hub.errors import ExportRefused
from hub.proof.note import NOTE_BYTES_MAX
from hub.proof.tiles import CHECKPOINT_PATH, TilePath

_TILES = "tile"
_TEMPORARY = ".new"  # A crash may leave one; no file of a log is called so.


class ExportFolder:
    """The port LogFolder."""

    def __init__(self, root: Path) -> None:
        """Use `open` instead."""
        self._root = root

    @classmethod
    @contextmanager
    def open(cls, root: Path) -> Iterator[ExportFolder]:
        """The folder, made if it is not there, for one export at a time.

        Raises ExportRefused when another export is at work there, and when it holds anything
        that no export writes; OSError.
        """
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ExportRefused("another export is writing to this folder") from None
            if set(os.listdir(root)) - {CHECKPOINT_PATH, _TILES, _TEMPORARY}:
                raise ExportRefused("the folder holds other things than an export of a log")
            yield cls(root)
        finally:
            os.close(handle)

    def checkpoint(self) -> bytes | None:
        """The checkpoint that makes it a whole log; None before the first."""
        return self._read(self._root / CHECKPOINT_PATH, NOTE_BYTES_MAX)

    def file(self, path: TilePath, bytes_max: int) -> bytes | None:
        """A file, with one byte more than `bytes_max` if it is larger; None if there is none."""
        return self._read(self._root / path.format(), bytes_max)

    def put(self, path: TilePath, data: bytes) -> None:
        """Store a file that is not there yet; whole or not at all."""
        self._write(self._root / path.format(), data)

    def commit(self, checkpoint: bytes) -> None:
        """Make everything durable, then the checkpoint over it, in this order."""
        # All of them: of what is there already, an earlier export may have died before this.
        for folder, _folders, _files in os.walk(self._root / _TILES):
            sync_folder(Path(folder))
        sync_folder(self._root)
        # The same again changes nothing, not even the file's time.
        if self.checkpoint() != checkpoint:
            self._write(self._root / CHECKPOINT_PATH, checkpoint)
        sync_folder(self._root)
        sync_folder(self._root.absolute().parent)

    def drop_partial(self, path: TilePath) -> None:
        """Remove the partial files of a tile whose full one is there now."""
        partial = self._root / f"{path.format()}.p"
        if partial.is_dir():
            shutil.rmtree(partial)

    def _read(self, path: Path, bytes_max: int) -> bytes | None:
        try:
            with path.open("rb") as file:
                return file.read(bytes_max + 1)
        except FileNotFoundError:
            return None

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One name for all, below one lock: a crash leaves at most one, and the next write
        # takes it over.
        temporary = self._root / _TEMPORARY
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
