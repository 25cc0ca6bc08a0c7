"""`lienthong agency group`: named lists of agencies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.agency import RequestOption, repeatable
from hub.cli.console import say, say_fields, say_json, say_table, shown
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
from hub.client.directory import ListedGroup
from hub.client.registry import Registered


def set_(
    group: Annotated[
        str,
        typer.Argument(
            metavar="GROUP", help="Its code word: small letters, digits and hyphens, at most 40."
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The group's public name.")],
    member: Annotated[
        list[str] | None,
        typer.Argument(metavar="CODE", help="Every member's code; none: the group is no more."),
    ] = None,
    *,
    profile: ProfileOption,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Give a group its name and members, all of them; make it if need be."""
    require_place_for(receipt)
    with repeatable():
        changed = run(_set(profile, group, name, member or [], request_id))
    if receipt is not None:
        receipt.write_bytes(changed.evidence())
    members = {
        "group": group,
        "members": list(changed.fact.event.data["members"]),
        "request_id": changed.request_id,
        "position": changed.fact.position,
        "receipt": None if receipt is None else str(receipt),
    }
    if json_:
        say_json(members)
        return
    say(_("Recorded, and the receipt holds."), style="bold green")
    fields = [(_("Group"), group), (_("Position in the log"), str(members["position"]))]
    if receipt is not None:
        fields.append((_("Receipt"), str(receipt)))
    say_fields(fields)


def list_(profile: ProfileOption, json_: JsonOption = False) -> None:
    """List the groups and their members."""
    groups = run(_list(profile))
    if json_:
        say_json(
            [
                {"group": group.group, "name": group.name, "members": list(group.members)}
                for group in groups
            ]
        )
    elif not groups:
        say(_("There are no groups."))
    else:
        say_table(
            [_("Group"), _("Name"), _("Members")],
            [[group.group, shown(group.name), ", ".join(group.members)] for group in groups],
        )


async def _set(
    profile: Path, group: str, name: str, members: Sequence[str], request_id: str | None
) -> Registered:
    async with operator(profile) as registry:
        return await registry.set_group(group, name, members, request_id=request_id)


async def _list(profile: Path) -> list[ListedGroup]:
    async with directory(profile) as entries:
        return [group async for group in entries.groups()]
