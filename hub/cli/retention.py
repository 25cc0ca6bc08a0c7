"""`lienthong retention`: documents that need not be kept any longer, by the hub's policies."""

from __future__ import annotations

from pathlib import Path

from hub.cli.console import local_time, say, say_json, say_table, shown, size
from hub.cli.erase import BasisOption, YesOption, approve_all, order_all
from hub.cli.messages import _
from hub.cli.session import JsonOption, ProfileOption, operator, run
from hub.client.orders import DueDocument, OpenOrder, Ordered

REASON = "retention"
"""The code word that orders made here carry, and approvals here look for."""


def plan(profile: ProfileOption, json_: JsonOption = False) -> None:
    """List what is past its time, and touch nothing; what an open order names is left out."""
    due = run(_due(profile))
    if json_:
        say_json(
            [
                {
                    "exchange": each.exchange_id,
                    "envelope_digest": each.envelope_digest,
                    "sender": each.sender,
                    "kind": each.kind,
                    "years": each.years,
                    "accepted_at": each.accepted_at.isoformat(),
                    "attachment_bytes": each.attachment_bytes,
                }
                for each in due
            ]
        )
    elif not due:
        say(_("Nothing is past its time."))
    else:
        _show(due)


def order(profile: ProfileOption, *, basis: BasisOption, json_: JsonOption = False) -> None:
    """Order that all that is past its time be erased; another operator approves.

    Run it again if it breaks off: what was ordered is not ordered twice.
    """
    ordered = run(_order(profile, basis))
    if json_:
        say_json([{"order": each.digest, "position": each.order.fact.position} for each in ordered])
    else:
        said = _("Ordered: {count}. Nothing is erased before another operator approves.",
                 count=len(ordered))  # fmt: skip
        say(said, style="bold green")


def approve(profile: ProfileOption, yes: YesOption = False, json_: JsonOption = False) -> None:
    """Approve all open orders that `retention order` of another operator made."""
    orders = run(_open(profile))
    if orders:
        approve_all(profile, orders, yes=yes, as_json=json_)
    elif json_:
        say_json([])
    else:
        say(_("There is no order."))


def _show(due: list[DueDocument]) -> None:
    rows = [
        [
            each.exchange_id,
            local_time(each.accepted_at),
            shown(each.sender),
            shown(each.kind),
            str(each.years),
            size(each.attachment_bytes),
        ]
        for each in due
    ]
    columns = [_("Exchange"), _("Received"), _("From"), _("Kind"), _("Years"), _("Size")]
    say_table(columns, rows)


async def _due(profile: Path) -> list[DueDocument]:
    async with operator(profile) as registry:
        return [each async for each in registry.orders.due()]


async def _order(profile: Path, basis: str) -> list[Ordered]:
    async with operator(profile) as registry:
        # All of the list first: what is ordered leaves it.
        digests = [each.envelope_digest async for each in registry.orders.due()]
        return await order_all(registry, digests, reason=REASON, basis=basis)


async def _open(profile: Path) -> list[OpenOrder]:
    async with operator(profile) as registry:
        name = await registry.name()
        return [
            each
            async for each in registry.orders.orders(open_only=True)
            if each.reason == REASON and each.ordered_by != name
        ]
