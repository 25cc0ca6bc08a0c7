"""`lienthong inbox`: what has come in for an agency, once or as it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.console import local_time, say, say_json, say_table, shown, size
from hub.cli.messages import N_, _
from hub.cli.session import JsonOption, OfOption, ProfileOption, agency, run, standing_in_words
from hub.client import InboxItem
from hub.client.answers import InboxItemKind

_NEWS = {
    InboxItemKind.UNKNOWN: N_("{document}: news of a kind that is unknown here"),
    InboxItemKind.RECALL: N_("{document}: the sender asks for it back (13, position {position})"),
    InboxItemKind.UPDATED: N_("{document}: updated by another document; both count"),
    InboxItemKind.REPLACED: N_("{document}: replaced by another document; counts no more"),
    InboxItemKind.EXPIRED: N_("{document}: expired before it was collected"),
    InboxItemKind.ERASED: N_("{document}: erased by law, for good"),
    InboxItemKind.SIGNATURES: N_("{document}: not all of the signatures it carries are valid"),
    InboxItemKind.IN_DOUBT: N_("{document}: a signature is in doubt, its key was revoked"),
}


def inbox(
    profile: ProfileOption,
    after: Annotated[
        int, typer.Option(min=0, metavar="N", help="Only items with a larger number than this.")
    ] = 0,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with every new item until interrupted.")
    ] = False,
    of: OfOption = "",
    json_: JsonOption = False,
) -> None:
    """List what has come in: documents, and what senders did with them later.

    What is listed is the hub's word; the document itself is verified when it is fetched.
    """
    run(_watch(profile, after, of, json_) if watch else _list(profile, after, of, json_))


async def _list(profile: Path, after: int, of: str, as_json: bool) -> None:
    async with agency(profile) as (hub, _finished):
        items = [item async for item in hub.inbox(after, agency=of)]
    if as_json:
        say_json([_members(item) for item in items])
    elif not items:
        say(_("Nothing has come in."))
    else:
        columns = [_("No."), _("Received"), _("From"), _("Document"), _("Files"), _("State")]
        say_table(columns, [_row(item) for item in items])


async def _watch(profile: Path, after: int, of: str, as_json: bool) -> None:
    async with agency(profile) as (hub, _finished):
        async for item in hub.watch_inbox(after, agency=of):
            if as_json:
                say_json(_members(item), on_one_line=True)
            else:
                number, *rest = _row(item)
                say("  ".join([number, *rest]))


def _row(item: InboxItem) -> list[str]:
    is_document = item.kind is InboxItemKind.DOCUMENT
    standing = standing_in_words(
        item.state,
        item.recall,
        expired=item.expired,
        replaced=bool(item.replaced_by),
        erased=item.erased,
    )
    return [
        str(item.inbox_seq),
        local_time(item.accepted_at),
        _("{agency} (axis, not proven)", agency=item.sender) if item.origin else item.sender,
        _document(item) if is_document else _news(item),
        f"{item.attachment_count} ({size(item.attachment_bytes)})" if is_document else "",
        standing,
    ]


def _document(item: InboxItem) -> str:
    named = f"{shown(item.type_name)} {shown(item.code)}".strip() or item.exchange_id
    # The hub shows no subject of a document that it gives out no more.
    return f"{named}: {shown(item.subject)}" if item.subject else named


def _news(item: InboxItem) -> str:
    # What was erased has no name left but that of its exchange.
    named = shown(item.code) or item.exchange_id
    return _(_NEWS[item.kind], document=named, position=item.position)


def _members(item: InboxItem) -> dict[str, Any]:
    return {
        "number": item.inbox_seq,
        "kind": item.kind.name.lower(),
        "exchange": item.exchange_id,
        "sender": item.sender,
        "origin": item.origin,
        "envelope_digest": item.envelope_digest,
        "accepted_at": item.accepted_at.isoformat(),
        "position": item.position,
        "state": item.state.name.lower(),
        "recall": item.recall.name.lower(),
        "expired": item.expired,
        "erased": item.erased,
        "by_exchange": item.by_exchange,
        "replaced_by": item.replaced_by,
        "code": item.code,
        "type": item.type_name,
        "subject": item.subject,
        "attachment_count": item.attachment_count,
        "attachment_bytes": item.attachment_bytes,
    }
