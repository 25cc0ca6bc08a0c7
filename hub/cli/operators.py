"""`lienthong operator`: who may keep the register, and approve what others order."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.agency import RequestOption, repeatable
from hub.cli.ca import instant
from hub.cli.console import say, say_fields, say_json, say_table
from hub.cli.messages import _
from hub.cli.session import (
    JsonOption,
    ProfileOption,
    ReceiptOption,
    operator,
    require_place_for,
    run,
)
from hub.client.orders import Operator, OperatorFact
from hub.client.registry import der_of

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The operator's name, one code word.")
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--effective",
        metavar="TIME",
        help="Since when somebody else may have acted with its certificates, such as "
        "2026-11-22T08:30:00+07:00; now if left out.",
    ),
]


def enrol(
    name: NameArgument,
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
    """Let an operator in, or enrol a further certificate of one's own.

    Whom an operator lets in counts as the same one where two are needed; only the second
    operator there ever is does not.
    """
    require_place_for(receipt)
    with repeatable():
        fact = run(_enrol(profile, name, der_of(certificate.read_bytes()), request_id))
    _report(fact, name, receipt, json_)


def revoke(
    name: NameArgument,
    *,
    reason: Annotated[
        str,
        typer.Option(
            metavar="WORD", help="Why, as one code word such as left-office; nothing about people."
        ),
    ],
    profile: ProfileOption,
    effective: SinceOption = None,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Put another operator out at once; open orders of it are worth nothing any more."""
    require_place_for(receipt)
    since = instant(effective)
    with repeatable():
        fact = run(_revoke(profile, name, reason, since, request_id))
    _report(fact, name, receipt, json_)


def list_(profile: ProfileOption, json_: JsonOption = False) -> None:
    """List the operators in force, and in whose line each stands."""
    found = run(_list(profile))
    if json_:
        say_json(
            [
                {"name": each.name, "line": each.line, "certificates": list(each.certificates)}
                for each in found
            ]
        )
        return
    rows = [[each.name, each.line, str(len(each.certificates))] for each in found]
    say_table([_("Operator"), _("Line"), _("Certificates")], rows)


async def _enrol(
    profile: Path, name: str, certificate: bytes, request_id: str | None
) -> OperatorFact:
    async with operator(profile) as registry:
        return await registry.orders.enrol_operator(name, certificate, request_id=request_id)


async def _revoke(
    profile: Path, name: str, reason: str, effective: datetime | None, request_id: str | None
) -> OperatorFact:
    async with operator(profile) as registry:
        return await registry.orders.revoke_operator(
            name, reason, effective=effective, request_id=request_id
        )


async def _list(profile: Path) -> list[Operator]:
    async with operator(profile) as registry:
        return await registry.orders.operators()


def _report(fact: OperatorFact, name: str, receipt: Path | None, as_json: bool) -> None:
    if receipt is not None:
        receipt.write_bytes(fact.evidence())
    if as_json:
        say_json(
            {
                "operator": name,
                "request_id": fact.fact.event.data["request_id"],
                "position": fact.fact.position,
                "receipt": None if receipt is None else str(receipt),
            }
        )
        return
    say(_("Recorded, and the receipt holds."), style="bold green")
    fields = [(_("Operator"), name), (_("Position in the log"), str(fact.fact.position))]
    if receipt is not None:
        fields.append((_("Receipt"), str(receipt)))
    say_fields(fields)
