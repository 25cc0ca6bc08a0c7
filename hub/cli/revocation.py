"""`lienthong agency revoke`, `lienthong auditor revoke`: what is no longer good."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.agency import CodeArgument, RequestOption, repeatable, report
from hub.cli.auditor import report as report_auditor
from hub.cli.ca import instant
from hub.cli.operators import SinceOption
from hub.cli.session import (
    JsonOption,
    ProfileOption,
    ReceiptOption,
    operator,
    require_place_for,
    run,
)
from hub.client.registry import Registered


class Reason(StrEnum):
    """Why a certificate is revoked: RFC 5280 section 5.3.1."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key-compromise"
    CA_COMPROMISE = "ca-compromise"
    AFFILIATION_CHANGED = "affiliation-changed"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation-of-operation"
    CERTIFICATE_HOLD = "certificate-hold"
    PRIVILEGE_WITHDRAWN = "privilege-withdrawn"
    AA_COMPROMISE = "aa-compromise"


def revoke(
    code: CodeArgument,
    key_id: Annotated[
        str,
        typer.Argument(
            metavar="KEY", help="The key's id, as `lienthong agency list --json` shows it."
        ),
    ],
    *,
    reason: Annotated[Reason, typer.Option(help="Why, as RFC 5280 names it.")],
    profile: ProfileOption,
    effective: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="From when on its signatures are in doubt, such as 2026-11-22T08:30:00+07:00; "
            "now if left out.",
        ),
    ] = None,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Revoke a certificate of an agency, for good; in force when this returns.

    What was accepted with it from the effective time on stands, and is put in doubt.
    """
    require_place_for(receipt)
    since = instant(effective)
    with repeatable():
        revoked = run(
            _revoke(profile, code, key_id, reason, effective=since, request_id=request_id)
        )
    report(revoked, code, receipt, json_)


def revoke_auditor(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The auditor's name in the log.")],
    *,
    reason: Annotated[
        str,
        typer.Option(metavar="WORD", help="Why, as one code word; nothing about people."),
    ],
    profile: ProfileOption,
    effective: SinceOption = None,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Put an auditor out, with all of its certificates; in force when this returns."""
    require_place_for(receipt)
    since = instant(effective)
    with repeatable():
        revoked = run(_revoke_auditor(profile, name, reason, since, request_id))
    report_auditor(revoked, name, receipt, json_)


async def _revoke(
    profile: Path,
    code: str,
    key_id: str,
    reason: Reason,
    *,
    effective: datetime | None,
    request_id: str | None,
) -> Registered:
    async with operator(profile) as registry:
        return await registry.revoke_certificate(
            code, key_id, reason.value, effective=effective, request_id=request_id
        )


async def _revoke_auditor(
    profile: Path, name: str, reason: str, effective: datetime | None, request_id: str | None
) -> Registered:
    async with operator(profile) as registry:
        return await registry.revoke_auditor(
            name, reason, effective=effective, request_id=request_id
        )
