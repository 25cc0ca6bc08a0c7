"""New databases, migrated once for all tests and then copied."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from adapters.storage.migrate import migrate


def new_database(path: Path) -> str:
    """The URL of a database that `migrate` has just made, at this path."""
    path.write_bytes(_migrated())
    return f"sqlite:///{path}"


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "new.db"
        migrate(f"sqlite:///{path}")
        assert [each.name for each in Path(folder).iterdir()] == [path.name], "it was not closed"
        return path.read_bytes()
