"""`lienthong outbox`: what has become of an agency's own documents, once or as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.console import local_time, say, say_json, shown
from hub.cli.messages import N_, _
from hub.cli.session import JsonOption, OfOption, ProfileOption, agency, code_in_words, run
from hub.client.answers import OutboxItem, OutboxItemKind

_UNKNOWN = N_("unknown here")
_WITHOUT_CODE = {
    OutboxItemKind.HANDED_OVER: N_("collected"),
    OutboxItemKind.EXPIRED: N_("expired before it was collected"),
    OutboxItemKind.ERASED: N_("erased by law, for good"),
    OutboxItemKind.IN_DOUBT: N_("a signature is in doubt, its key was revoked"),
}
# What a recipient behind the axis says comes with nobody's signature.
_BY_THE_AXIS = (OutboxItemKind.AXIS_STATUS, OutboxItemKind.AXIS_RECALL_ANSWER)


def outbox(
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
    """List what has become of the documents that were sent, below the exchange of each.

    What is listed is the hub's word; `lienthong evidence statement` gets what the recipient signed.
    """
    run(_watch(profile, after, of, json_) if watch else _list(profile, after, of, json_))


async def _list(profile: Path, after: int, of: str, as_json: bool) -> None:
    async with agency(profile) as (hub, _finished):
        items = [item async for item in hub.outbox(after, agency=of)]
    if as_json:
        say_json([_members(item) for item in items])
    elif not items:
        say(_("Nothing has become of anything yet."))
    else:
        _show(items)


async def _watch(profile: Path, after: int, of: str, as_json: bool) -> None:
    async with agency(profile) as (hub, _finished):
        async for item in hub.watch_outbox(after, agency=of):
            if as_json:
                say_json(_members(item), on_one_line=True)
            else:
                say("  ".join([*_cells(item), item.exchange_id, _document(item)]).rstrip())


def _show(items: Sequence[OutboxItem]) -> None:
    cells = {item.outbox_seq: _cells(item) for item in items}
    widths = [max(map(len, column)) for column in zip(*cells.values(), strict=True)]
    for exchange_id, facts in groupby(items, lambda item: item.exchange_id):
        say(_("Exchange {id}", id=exchange_id), style="bold")
        first, *later = facts
        if first.document_code:
            say(f"  {_document(first)}")
        for item in (first, *later):
            number, *rest = cells[item.outbox_seq]
            aligned = [text.ljust(width) for text, width in zip(rest, widths[1:], strict=True)]
            say("  " + "  ".join([number.rjust(widths[0]), *aligned]).rstrip())


def _cells(item: OutboxItem) -> list[str]:
    return [
        str(item.outbox_seq),
        local_time(item.recorded_at),
        shown(item.recipient),
        _what(item),
        _("position {position}", position=item.position),
    ]


def _what(item: OutboxItem) -> str:
    if not item.code:
        return _(_WITHOUT_CODE.get(item.kind, _UNKNOWN))
    said = code_in_words(item.code)
    return _("{said}, by the axis's word", said=said) if item.kind in _BY_THE_AXIS else said


def _document(item: OutboxItem) -> str:
    if not item.document_code:
        return ""
    return f"{shown(item.document_code)}: {shown(item.subject)}"


def _members(item: OutboxItem) -> dict[str, Any]:
    return {
        "number": item.outbox_seq,
        "exchange": item.exchange_id,
        "envelope_digest": item.envelope_digest,
        "recipient": item.recipient,
        "kind": item.kind.name.lower(),
        "code": item.code,
        "recorded_at": item.recorded_at.isoformat(),
        "position": item.position,
        "document_code": item.document_code,
        "subject": item.subject,
    }
