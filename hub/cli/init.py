"""`lienthong init`: a new hub in a new folder, ready to serve, with profiles to try it."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.console import say, say_fields, say_json
from hub.cli.messages import _
from hub.cli.secret import RecipientOption, ask_secret
from hub.cli.session import JsonOption

_LISTEN = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):([0-9]{1,5})")
_HOST = re.compile(r"[A-Za-z0-9.:_-]+")
_EVERY_ADDRESS = frozenset({"", "0.0.0.0", "[::]"})  # noqa: S104 - names no host; never bound


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")
    ],
    origin: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The name of the log, for ever, e.g. lienthong.tphcm.gov.vn/log; a throw-away "
            "name if left out.",
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="Where the hub listens.")
    ] = "127.0.0.1:8443",
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name or address by which clients reach the hub; the first stands in their "
            "profiles. Repeat it for more.",
        ),
    ] = None,
    *,
    database: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="An empty PostgreSQL database for the events, postgresql://…; a file in the "
            "folder if left out.",
        ),
    ] = "",
    document_keys: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Another one for the keys of documents; a file in the folder if left out.",
        ),
    ] = "",
    timestamps: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Time-stamping authorities to ask and to list in the trusted root: a TOML file "
            "with the tables `[[timestamp_authorities]]` of a hub.toml.",
        ),
    ] = None,
    recipient: RecipientOption = None,
    pkcs11_module: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Make log key and content key in a PKCS#11 token: its library."
        ),
    ] = "",
    pkcs11_token: Annotated[str, typer.Option(metavar="LABEL", help="The token's label.")] = "",
    json_: JsonOption = False,
) -> None:
    """Make a new hub for development: keys, certificates, two operators, sample agencies."""
    from hub.bootstrap.founding import (
        OPERATOR,
        SAMPLE_AGENCIES,
        SECOND_OPERATOR,
        NewCustody,
        Stores,
        found_hub,
    )
    from hub.bootstrap.timestamps import read_offer

    if bool(pkcs11_module) != bool(pkcs11_token) or (recipient and pkcs11_token):
        raise typer.BadParameter(
            _("keys lie in a token, with --pkcs11-module and --pkcs11-token, or are sealed")
        )
    origin = origin or _throw_away_name()
    made = found_hub(
        folder,
        origin=origin,
        listen=listen,
        hosts=_hosts(listen, host or []),
        custody=NewCustody(tuple(recipient or ()), pkcs11_module, pkcs11_token, ask_secret),
        stores=Stores(database, document_keys),
        timestamps=() if timestamps is None else read_offer(timestamps),
    )
    agencies = [
        {"code": sample.code, "name": sample.name, "profile": _profile(made.clients / sample.slug)}
        for sample in SAMPLE_AGENCIES
    ]
    report = {
        "folder": str(made.root),
        "origin": origin,
        "listen": listen,
        "trusted_root": str(made.trusted_root),
        "operator": _profile(made.clients / OPERATOR),
        "second_operator": _profile(made.clients / SECOND_OPERATOR),
        "agencies": agencies,
    }
    if json_:
        say_json(report)
    else:
        _show(report)


def _throw_away_name() -> str:
    # Two hubs of one name would take each other's statements for their own.
    return f"dev-{secrets.token_hex(4)}.localhost/log"


def _hosts(listen: str, named: Sequence[str]) -> Sequence[str]:
    match = _LISTEN.fullmatch(listen)
    if match is None or int(match[2]) > 65_535:
        raise typer.BadParameter(_("--listen takes an address and a port, like 127.0.0.1:8443"))
    for host in named:
        if not _HOST.fullmatch(host):
            raise typer.BadParameter(_("--host takes a name in ASCII or an address"))
    if named:
        return named
    if match[1] in _EVERY_ADDRESS:
        raise typer.BadParameter(
            _("--host is missing: clients cannot connect to every address of a machine")
        )
    return list(dict.fromkeys([match[1].strip("[]"), "localhost", "127.0.0.1"]))


def _profile(folder: Path) -> str:
    return str(folder / "profile.toml")


def _show(report: Mapping[str, Any]) -> None:
    say(_("A new hub is in {folder}.", folder=report["folder"]), style="bold green")
    say_fields(
        [
            (_("Origin"), report["origin"]),
            (_("Listens on"), report["listen"]),
            (_("Trusted root"), report["trusted_root"]),
            (_("Operator"), report["operator"]),
            (_("Second operator"), report["second_operator"]),
            *((f"{agency['code']} {agency['name']}", agency["profile"])
              for agency in report["agencies"]),
        ]
    )  # fmt: skip
    say(_("Its certificates are for development only: their authority asks nobody who they are."))
    say(_("Next, each in a terminal of its own:"))
    say(f"  lienthong serve {shlex.quote(report['folder'])}", style="bold")
    profile = shlex.quote(report["agencies"][1]["profile"])
    say(f"  lienthong inbox --watch --profile {profile}", style="bold")
