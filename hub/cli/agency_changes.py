"""`lienthong agency`: what becomes of an agency, and how it is found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.agency import CodeArgument, RequestOption, repeatable, report
from hub.cli.console import say, say_json, say_table, shown
from hub.cli.messages import _
from hub.cli.session import (
    JsonOption,
    ProfileOption,
    ReceiptOption,
    directory,
    operator,
    require_place_for,
    run,
)
from hub.client.directory import ListedAgency
from hub.client.registry import Registered


def rename(
    code: CodeArgument,
    *,
    profile: ProfileOption,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its new name; as it was if left out.")
    ] = None,
    add_code: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="A further code of it; repeat it for more codes."),
    ] = None,
    remove_code: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="A further code it loses; repeat it for more codes."),
    ] = None,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Give an agency another name or other codes; its first code stays."""
    require_place_for(receipt)
    with repeatable():
        renamed = run(
            _rename(
                profile,
                code,
                name=name,
                add_codes=add_code or [],
                remove_codes=remove_code or [],
                request_id=request_id,
            )
        )
    report(renamed, code, receipt, json_)


def suspend(
    code: CodeArgument,
    *,
    reason: Annotated[
        str,
        typer.Option(
            metavar="WORD",
            help="Why, as one code word such as key-compromised; nothing about people.",
        ),
    ],
    profile: ProfileOption,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Suspend an agency: it reads and answers, but neither sends nor is sent to."""
    require_place_for(receipt)
    with repeatable():
        suspended = run(_suspend(profile, code, reason, request_id))
    report(suspended, code, receipt, json_)


def reinstate(
    code: CodeArgument,
    *,
    profile: ProfileOption,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """End an agency's suspension."""
    require_place_for(receipt)
    with repeatable():
        reinstated = run(_reinstate(profile, code, request_id))
    report(reinstated, code, receipt, json_)


def succeed(
    code: CodeArgument,
    successor: Annotated[
        str, typer.Argument(metavar="SUCCESSOR", help="The code of the agency that takes over.")
    ],
    *,
    profile: ProfileOption,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Hand an agency over to its successor, for good.

    It no longer sends; what is addressed to it goes to the successor, who reads its boxes and
    speaks for it.
    """
    require_place_for(receipt)
    with repeatable():
        succeeded = run(_succeed(profile, code, successor, request_id))
    report(succeeded, code, receipt, json_)


def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORDS",
            help="Words of the name or parts of a code, with or without diacritics.",
        ),
    ] = None,
    *,
    profile: ProfileOption,
    json_: JsonOption = False,
) -> None:
    """Find agencies that can be written to; all of them if no words are given."""
    found = run(_search(profile, " ".join(words or [])))
    if json_:
        say_json([_members(agency) for agency in found])
    elif not found:
        say(_("No agency was found."))
    else:
        columns = [_("Code"), _("Name"), _("Other codes"), _("Remark")]
        say_table(columns, [_row(agency) for agency in found])


async def _rename(
    profile: Path,
    code: str,
    *,
    name: str | None,
    add_codes: Sequence[str],
    remove_codes: Sequence[str],
    request_id: str | None,
) -> Registered:
    async with operator(profile) as registry:
        return await registry.rename_agency(
            code,
            name=name,
            add_codes=add_codes,
            remove_codes=remove_codes,
            request_id=request_id,
        )


async def _suspend(profile: Path, code: str, reason: str, request_id: str | None) -> Registered:
    async with operator(profile) as registry:
        return await registry.suspend_agency(code, reason, request_id=request_id)


async def _reinstate(profile: Path, code: str, request_id: str | None) -> Registered:
    async with operator(profile) as registry:
        return await registry.reinstate_agency(code, request_id=request_id)


async def _succeed(profile: Path, code: str, successor: str, request_id: str | None) -> Registered:
    async with operator(profile) as registry:
        return await registry.succeed_agency(code, successor, request_id=request_id)


async def _search(profile: Path, query: str) -> list[ListedAgency]:
    async with directory(profile) as entries:
        return [agency async for agency in entries.search(query)]


def _row(agency: ListedAgency) -> list[str]:
    remarks = [_("suspended")] if agency.suspended else []
    if agency.via:
        remarks.append(_("behind the national axis"))
    if agency.successor:
        remarks.append(_("succeeded by {successor}", successor=agency.successor))
    return [agency.code, shown(agency.name), ", ".join(agency.other_codes), ", ".join(remarks)]


def _members(agency: ListedAgency) -> dict[str, Any]:
    return {
        "code": agency.code,
        "name": agency.name,
        "other_codes": list(agency.other_codes),
        "suspended": agency.suspended,
        "successor": agency.successor,
        "via": agency.via,
    }
