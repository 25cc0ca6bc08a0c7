"""`lienthong auditor`: an operator lets auditors in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.agency import RequestOption, repeatable
from hub.cli.console import say, say_fields, say_json
from hub.cli.messages import _
from hub.cli.session import (
    JsonOption,
    ProfileOption,
    ReceiptOption,
    operator,
    require_place_for,
    run,
)
from hub.client.registry import Registered


def enrol(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="The name the log tells what this auditor reads under: one code word.",
        ),
    ],
    certificate: Annotated[
        Path,
        typer.Argument(
            metavar="CERTIFICATE",
            exists=True,
            dir_okay=False,
            help="The certificate for the connection, in PEM or DER; never the private key.",
        ),
    ],
    *,
    profile: ProfileOption,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Enrol an auditor's certificate: with it one replays everything, and reads for a case."""
    require_place_for(receipt)
    with repeatable():
        registered = run(_enrol(profile, name, certificate.read_bytes(), request_id))
    report(registered, name, receipt, json_)


async def _enrol(
    profile: Path, name: str, certificate: bytes, request_id: str | None
) -> Registered:
    async with operator(profile) as registry:
        return await registry.enrol_auditor(name, certificate, request_id=request_id)


def report(registered: Registered, name: str, receipt: Path | None, as_json: bool) -> None:
    """Say that a change about an auditor is recorded, and where its receipt is."""
    if receipt is not None:
        receipt.write_bytes(registered.evidence())
    position = registered.fact.position
    if as_json:
        say_json(
            {
                "auditor": name,
                "request_id": registered.request_id,
                "position": position,
                "receipt": None if receipt is None else str(receipt),
            }
        )
        return
    say(_("Recorded, and the receipt holds."), style="bold green")
    fields = [(_("Auditor"), name), (_("Position in the log"), str(position))]
    if receipt is not None:
        fields.append((_("Receipt"), str(receipt)))
    say_fields(fields)
