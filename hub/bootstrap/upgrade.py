"""The schema of a hub's database: what a start demands, and how an older one gets there."""

from __future__ import annotations

from pathlib import Path

from alembic.util import CommandError

from adapters.storage.engine import Database
from adapters.storage.migrate import is_missing, migrate, schema_is_current
from hub.bootstrap.folder import DatabaseUnreachable, DataFolder
from hub.config import ConfigInvalid, Settings


def database_url(folder: DataFolder, settings: Settings) -> str:
    """The URL of a hub's database; a relative path is relative to the data folder."""
    return _below(folder, settings.database_url)


def document_keys_url(folder: DataFolder, settings: Settings) -> str:
    """The same for its document keys."""
    return _below(folder, settings.document_keys_url)


def _below(folder: DataFolder, url: str) -> str:
    relative = url.removeprefix("sqlite:///")
    if relative == url or relative.startswith("/"):
        return url
    return f"sqlite:///{folder.root.absolute() / relative}"


def require_schema(url: str, folder: Path) -> None:
    """Refuse a database of another schema than this version's.

    Raises ConfigInvalid, DatabaseUnreachable.
    """
    require_database(url)
    if schema_is_current(url):
        return
    raise schema_differs(folder)


def schema_differs(folder: Path) -> ConfigInvalid:
    """The refusal of a database that is not of this version's schema."""
    return ConfigInvalid(
        "the database has another schema than this version; if it is older, run "
        f"`lienthong migrate {folder}`, if it is newer, the version that made it"
    )


def upgrade(folder: DataFolder, settings: Settings) -> bool:
    """Bring a hub's database to this version's schema; False when it has it already.

    All of it is one transaction: if we stop in it, the database is as it was. Raises
    FolderBusy, DatabaseUnreachable, and ConfigInvalid when there is no database or it is a
    newer version's.
    """
    with folder.lock():
        url = database_url(folder, settings)
        # Never made anew here: an empty database would contradict the signer's memory.
        require_database(url)
        if schema_is_current(url):
            return False
        try:
            migrate(url)
        except CommandError as error:
            raise ConfigInvalid("the database was made by a newer version; run that one") from error
        return True


def require_database(url: str) -> None:
    """Refuse a database that is not there, or empty. Raises ConfigInvalid."""
    if database_is_missing(url):
        database = Database(url)
        what = "on the server is empty" if database.is_server else f"{database.path} is missing"
        raise ConfigInvalid(f"the database {what}; put it back")


def database_is_missing(url: str) -> bool:
    """Whether there is no database, or an empty one. Raises ConfigInvalid, DatabaseUnreachable."""
    try:
        return is_missing(url)
    except ValueError as error:
        raise ConfigInvalid(f"the settings are wrong: {error}") from error
    except OSError as error:
        raise DatabaseUnreachable(str(error)) from error
