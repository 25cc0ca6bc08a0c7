"""`lienthong inbox`: what has come in for an agency, once or as it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.console import local_time, say, say_json, say_table, shown, size
from hub.cli.messages import _
from hub.cli.session import JsonOption, ProfileOption, agency, run, state_in_words
from hub.client import InboxItem


def inbox(
    profile: ProfileOption,
    after: Annotated[
        int, typer.Option(min=0, metavar="N", help="Only items with a larger number than this.")
    ] = 0,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with every new item until interrupted.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """List the documents that have come in.

    What is listed is the hub's word; the document itself is verified when it is fetched.
    """
    run(_watch(profile, after, json_) if watch else _list(profile, after, json_))


async def _list(profile: Path, after: int, as_json: bool) -> None:
    async with agency(profile) as (hub, _finished):
        items = [item async for item in hub.inbox(after)]
    if as_json:
        say_json([_members(item) for item in items])
    elif not items:
        say(_("Nothing has come in."))
    else:
        columns = [_("No."), _("Received"), _("From"), _("Document"), _("Files"), _("State")]
        say_table(columns, [_row(item) for item in items])


async def _watch(profile: Path, after: int, as_json: bool) -> None:
    async with agency(profile) as (hub, _finished):
        async for item in hub.watch_inbox(after):
            if as_json:
                say_json(_members(item), on_one_line=True)
            else:
                number, *rest = _row(item)
                say("  ".join([number, *rest]))


def _row(item: InboxItem) -> list[str]:
    return [
        str(item.inbox_seq),
        local_time(item.accepted_at),
        item.sender,
        f"{shown(item.type_name)}: {shown(item.subject)}",
        f"{item.attachment_count} ({size(item.attachment_bytes)})",
        state_in_words(item.state),
    ]


def _members(item: InboxItem) -> dict[str, Any]:
    return {
        "number": item.inbox_seq,
        "exchange": item.exchange_id,
        "sender": item.sender,
        "envelope_digest": item.envelope_digest,
        "accepted_at": item.accepted_at.isoformat(),
        "position": item.position,
        "state": item.state.name.lower(),
        "code": item.code,
        "type": item.type_name,
        "subject": item.subject,
        "attachment_count": item.attachment_count,
        "attachment_bytes": item.attachment_bytes,
    }
