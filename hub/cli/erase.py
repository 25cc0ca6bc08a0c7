"""`lienthong erase`: two operators erase a document by law, for good."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.console import local_time, say, say_fields, say_json, say_table, shown
from hub.cli.errors import CommandFailed
from hub.cli.messages import _
from hub.cli.session import (
    JsonOption,
    ProfileOption,
    ReceiptOption,
    operator,
    require_place_for,
    run,
)
from hub.client.orders import Approved, OpenOrder, Ordered
from hub.client.registry import RegistryClient

_DIGEST = re.compile(r"[0-9a-f]{64}")

BasisOption = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        help="The norm it rests on; it stays in the log for ever and must name nobody.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask again: it cannot be undone.")]


def digest_argument(text: str) -> str:
    """Check what must be a digest; a callback of arguments."""
    if not _DIGEST.fullmatch(text):
        raise typer.BadParameter(_("a digest has 64 lower-case hexadecimal digits"))
    return text


def _digests(texts: list[str]) -> list[str]:
    return [digest_argument(text) for text in texts]


def order(
    envelope_digest: Annotated[
        str,
        typer.Argument(
            metavar="DIGEST",
            callback=digest_argument,
            help="The digest of the document's envelope, as `lienthong sent --json` has it.",
        ),
    ],
    *,
    package: Annotated[
        str | None,
        typer.Option(
            metavar="PACKAGE",
            help="Instead of a document a parked package from the axis, by its id; DIGEST is then"
            " its own, as `lienthong axis status --json` has both.",
        ),
    ] = None,
    reason: Annotated[
        str,
        typer.Option(
            metavar="WORD",
            help="Why, as one code word such as data-subject-request; nothing about people.",
        ),
    ],
    basis: BasisOption,
    profile: ProfileOption,
    note: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Words for the other operator; kept out of the log."),
    ] = "",
    receipt: ReceiptOption = None,
    json_: JsonOption = False,
) -> None:
    """Order that a document be erased; nothing happens before another operator approves."""
    require_place_for(receipt)
    ordered = run(_order(profile, envelope_digest, package, reason=reason, basis=basis, note=note))
    if receipt is not None:
        receipt.write_bytes(ordered.order.evidence())
    position = ordered.order.fact.position
    if json_:
        say_json(
            {
                "order": ordered.digest,
                "envelope_digest": envelope_digest,
                "position": position,
                "lapses_at": ordered.order.fact.event.data["lapses_at"],
                "receipt": None if receipt is None else str(receipt),
            }
        )
        return
    say(_("Ordered; nothing is erased before another operator approves."), style="bold green")
    fields = [(_("Order"), ordered.digest), (_("Position in the log"), str(position))]
    if receipt is not None:
        fields.append((_("Receipt"), str(receipt)))
    say_fields(fields)


def approve(
    order_digests: Annotated[
        list[str],
        typer.Argument(
            metavar="ORDER...", callback=_digests, help="The orders, by digest; each by itself."
        ),
    ],
    *,
    profile: ProfileOption,
    yes: YesOption = False,
    receipt: ReceiptOption = None,
    json_: JsonOption = False,
) -> None:
    """Approve what another operator ordered: the documents are erased at once, for good."""
    require_place_for(receipt)
    if receipt is not None and len(order_digests) > 1:
        raise typer.BadParameter(_("--receipt takes the receipt of one order"))
    wanted = run(_named(profile, order_digests))
    approved = approve_all(profile, wanted, yes=yes, as_json=json_)
    if receipt is not None:
        receipt.write_bytes(approved[0].executed.evidence())


def list_(
    profile: ProfileOption,
    open_: Annotated[
        bool, typer.Option("--open", help="Only orders that nobody has approved.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """List orders, and what became of them."""
    orders = run(_list(profile, open_only=open_))
    if json_:
        say_json([_members(each) for each in orders])
    elif not orders:
        say(_("There is no order."))
    else:
        show_orders(orders)


def show_orders(orders: Sequence[OpenOrder]) -> None:
    """A table of orders."""
    rows = [
        [
            each.digest,
            local_time(each.ordered_at),
            shown(each.ordered_by),
            each.exchange_id,
            shown(each.reason),
            shown(each.basis),
            _standing(each),
        ]
        for each in orders
    ]
    columns = [
        _("Order"), _("Ordered"), _("By"), _("Exchange"), _("Reason"), _("Basis"), _("State"),
    ]  # fmt: skip
    say_table(columns, rows)


def approve_all(
    profile: Path, orders: Sequence[OpenOrder], *, yes: bool, as_json: bool
) -> list[Approved]:
    """Show orders, ask once, then approve each by itself."""
    if not yes:
        show_orders(orders)
        question = _("Erase these documents for good? There is no way back.")
        typer.confirm(question, abort=True, err=True)
    approved = run(_approve(profile, orders))
    if as_json:
        say_json(
            [
                {
                    "order": each.digest,
                    "exchange": each.exchange_id,
                    "approval_position": done.approval.fact.position,
                    "erasure_position": done.executed.fact.position,
                }
                for each, done in zip(orders, approved, strict=True)
            ]
        )
    else:
        said = _("Erased: {count}. Receipts and the log stay as they were.", count=len(approved))
        say(said, style="bold green")
    return approved


async def order_all(
    registry: RegistryClient, envelope_digests: Sequence[str], *, reason: str, basis: str
) -> list[Ordered]:
    """Order the erasure of several documents, each by itself."""
    orders, name = registry.orders, await registry.name()
    return [
        await orders.order_erasure(name, digest, reason=reason, basis=basis)
        for digest in envelope_digests
    ]


async def _order(
    profile: Path,
    envelope_digest: str,
    package: str | None,
    *,
    reason: str,
    basis: str,
    note: str,
) -> Ordered:
    async with operator(profile) as registry:
        name = await registry.name()
        return await registry.orders.order_erasure(
            name, envelope_digest, reason=reason, basis=basis, note=note, relay=package
        )


async def _named(profile: Path, digests: Sequence[str]) -> list[OpenOrder]:
    async with operator(profile) as registry:
        known = {each.digest: each async for each in registry.orders.orders(open_only=True)}
    for digest in digests:
        if digest not in known:
            raise CommandFailed(
                "ORDER_UNKNOWN",
                _("There is no open order {digest}.", digest=digest),
                _("Look at `lienthong erase list`: it may have been approved already."),
            )
    return [known[digest] for digest in dict.fromkeys(digests)]


async def _approve(profile: Path, orders: Sequence[OpenOrder]) -> list[Approved]:
    async with operator(profile) as registry:
        name = await registry.name()
        return [await registry.orders.approve(name, each.digest) for each in orders]


async def _list(profile: Path, *, open_only: bool) -> list[OpenOrder]:
    async with operator(profile) as registry:
        return [each async for each in registry.orders.orders(open_only=open_only)]


def _standing(order: OpenOrder) -> str:
    if order.approved_by is None:
        return _("open until {time}", time=local_time(order.lapses_at))
    return _("approved by {name}", name=shown(order.approved_by))


def _members(order: OpenOrder) -> dict[str, Any]:
    return {
        "order": order.digest,
        "position": order.position,
        "action": order.action,
        "exchange": order.exchange_id,
        "envelope_digest": order.envelope_digest,
        "reason": order.reason,
        "basis": order.basis,
        "ordered_by": order.ordered_by,
        "ordered_at": order.ordered_at.isoformat(),
        "lapses_at": order.lapses_at.isoformat(),
        "approved_by": order.approved_by,
        "approved_at": order.approved_at and order.approved_at.isoformat(),
    }
