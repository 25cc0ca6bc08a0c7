"""`lienthong health`: whether the hub of this machine takes documents now."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.console import say, say_json, shown
from hub.cli.errors import CommandFailed
from hub.cli.messages import _
from hub.cli.sentences import in_words
from hub.cli.session import JsonOption

if TYPE_CHECKING:
    from hub.config import Settings

_WITHIN_S = 5
_ANSWER_BYTES_MAX = 64 * 1024
# Where a hub listens on every address, it does so on this one.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not listened on.


def health(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The hub's folder, made by `lienthong init`.")
    ] = Path(),
    json_: JsonOption = False,
) -> None:
    """Ask the hub of a folder whether it is ready; exit status 0 if it is, else 1.

    It is asked at `metrics_listen`, which must be set. Made for health checks of containers.
    """
    from hub.config import Settings

    settings = Settings.load(folder)
    address = settings.metrics_listen
    if not address or address.endswith(":0"):
        raise CommandFailed(
            "NOT_CONFIGURED",
            _("The hub tells nobody on this machine how it is."),
            _("Set `metrics_listen` in hub.toml, such as 127.0.0.1:9464, and restart it."),
        )
    found = _asked(address)
    # The page tells anybody who asks no more than names; whoever is here may know why.
    trouble = _trouble(folder, settings) if "signer" in found["failing"] else None
    if json_:
        say_json({**found, "signer": trouble})
    elif found["ready"]:
        say(_("The hub is ready."), style="bold green")
    if not found["ready"]:
        checks = shown(", ".join(found["failing"]))
        sentence = _("The hub is not ready: {checks}", checks=checks)
        raise CommandFailed(
            "NOT_READY",
            f"{sentence}; {shown(in_words(trouble))}" if trouble else sentence,
            _("Read its log before you restart it."),
        )


def _trouble(folder: Path, settings: Settings) -> str | None:
    from hub.bootstrap.folder import DataFolder
    from hub.bootstrap.signer import trouble_with_signer

    within = {"signer_timeout_s": min(settings.signer_timeout_s, _WITHIN_S)}
    return trouble_with_signer(DataFolder(folder), settings.model_copy(update=within))


def _asked(address: str) -> dict[str, Any]:
    host, _colon, port = address.rpartition(":")
    host = host.strip("[]")
    connection = HTTPConnection(_EVERYWHERE.get(host, host), int(port), timeout=_WITHIN_S)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse().read(_ANSWER_BYTES_MAX)
        found = json.loads(answer)
        return {
            "ready": found["ready"] is True,
            "failing": [str(each) for each in found["failing"]],
        }
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        raise CommandFailed(
            "UNREACHABLE",
            _("Nobody answers at {address} as a hub does.", address=address),
            _("Is the hub running? Start it with `lienthong serve`."),
        ) from error
    finally:
        connection.close()
