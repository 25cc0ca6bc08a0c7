"""Whether the settings of a hub can be used: what a start would refuse, without a start."""

from __future__ import annotations

from hub.bootstrap.folder import DataFolder
from hub.bootstrap.key_life import policy_of
from hub.bootstrap.operating import tracer_of
from hub.bootstrap.relaying import require_secrets
from hub.bootstrap.timestamps import authorities_to_ask
from hub.config import ConfigInvalid, Settings


def check_settings(folder: DataFolder) -> Settings:
    """The settings of a folder, and everything they name beside the stores found to be there.

    Reads only, and beside a running hub. Raises ConfigInvalid.
    """
    settings = Settings.load(folder.root)
    policy_of(settings)
    authorities_to_ask(folder, settings)
    if settings.axis is not None:
        require_secrets(settings.axis, folder.root)
    for path in (folder.server_certificate, folder.transport_authorities):
        _require_readable(path.relative_to(folder.root).as_posix(), folder)
    if (tracer := tracer_of(settings)) is not None:
        tracer.close()
    return settings


def _require_readable(name: str, folder: DataFolder) -> None:
    try:
        with (folder.root / name).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ConfigInvalid(f"{folder.root / name} cannot be read: {error.strerror}") from error
