"""Whether the settings of a hub can be used: what a start would refuse, without a start."""

from __future__ import annotations

from hub.application.leading import undisputed
from hub.bootstrap.custody import Ask
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.key_life import policy_of
from hub.bootstrap.operating import tracer_of
from hub.bootstrap.relaying import require_secrets
from hub.bootstrap.signer import signer_answers
from hub.bootstrap.timestamps import authorities_to_ask
from hub.config import ConfigInvalid, Settings


def check_settings(folder: DataFolder) -> Settings:
    """The settings of a folder, and everything they name beside the stores found to be there.

    Reads only, and beside a running hub. Raises ConfigInvalid.
    """
    settings = Settings.load(folder.root)
    policy_of(settings)
    authorities_to_ask(folder, settings, undisputed)
    if settings.axis is not None:
        require_secrets(settings.axis, folder.root)
    for path in (folder.server_certificate, folder.transport_authorities):
        _require_readable(path.relative_to(folder.root).as_posix(), folder)
    if (tracer := tracer_of(settings)) is not None:
        tracer.close()
    return settings


def check_signer(folder: DataFolder, settings: Settings, ask: Ask) -> bool | None:
    """Whether a signer on another machine was asked, and answered; None where there is none.

    False where the key that the hub shows it is sealed, and nobody opens it.
    Raises what `signer_answers` does.
    """
    if not settings.signer.startswith("tls://"):
        return None
    return signer_answers(folder, settings, ask)


def _require_readable(name: str, folder: DataFolder) -> None:
    try:
        with (folder.root / name).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ConfigInvalid(f"{folder.root / name} cannot be read: {error.strerror}") from error
