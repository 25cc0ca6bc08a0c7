"""`lienthong keys`: the life of the hub's own keys, and the stop any operator may make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.agency import RequestOption, repeatable
from hub.cli.console import local_time, say, say_fields, say_json, say_table, shown
from hub.cli.erase import YesOption, digest_argument
from hub.cli.errors import CommandFailed
from hub.cli.messages import N_, _
from hub.cli.session import (
    JsonOption,
    ProfileOption,
    ReceiptOption,
    operator,
    read_profile,
    require_place_for,
    run,
)
from hub.client.hub_keys import HubKey, KeyPlan, KeyState
from hub.client.ledger import LedgerClient
from hub.client.orders import Approved, OpenOrder, OperatorFact, Ordered
from hub.client.registry import RegistryClient
from hub.proof.checkpoint import Checkpoint, open_checkpoint
from hub.proof.note import VerifierKey
from hub.proof.statements import ACTIVATE, COMPROMISE, KEY_ACTIONS, THAW

KeyArgument = Annotated[
    str,
    typer.Argument(metavar="KEY", help="The key: its id of 8 hexadecimal digits, or all of it."),
]
WordOption = Annotated[
    str,
    typer.Option(
        "--reason", metavar="WORD", help="Why, as one code word such as planned or stolen."
    ),
]
BasisOption = Annotated[
    str,
    typer.Option(
        metavar="TEXT", help="The decision it rests on; it stays in the log and must name nobody."
    ),
]
_STATES = {
    KeyState.ANNOUNCED: N_("announced"),
    KeyState.ACTIVE: N_("signs"),
    KeyState.RETIRED: N_("retired"),
    KeyState.COMPROMISED: N_("compromised"),
}
_STEPS = {
    "announce": N_("announce a new key"),
    "activate": N_("activate the announced key"),
    "retire": N_("retire the older key"),
}


def list_(profile: ProfileOption, json_: JsonOption = False) -> None:
    """List every key the hub ever signed its log with, and which trees it signed."""
    keys = run(_keys(profile))
    if json_:
        say_json([_members(each) for each in keys])
        return
    rows = [
        [key_id(each), _(_STATES[each.state]), local_time(each.since), _sizes(each)]
        for each in keys
    ]
    say_table([_("Key"), _("State"), _("Since"), _("Signs trees of")], rows)


def announce(
    *,
    profile: ProfileOption,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Make a new key and announce it; it signs nothing before it is activated.

    Then publish the next edition of the trusted root, and wait until all have fetched it:
    `lienthong trust draft`, `lienthong keys plan`.
    """
    require_place_for(receipt)
    with repeatable():
        fact = run(_announce(profile, request_id))
    _report(fact, fact.fact.event.data["verifier_key"], receipt, json_)


def activate(
    key: KeyArgument,
    *,
    reason: WordOption,
    basis: BasisOption,
    profile: ProfileOption,
    json_: JsonOption = False,
) -> None:
    """Order that an announced key begins to sign, beside the one that signs now.

    Nothing happens before another operator approves: `lienthong keys approve`.
    """
    _report_order(run(_order(profile, ACTIVATE, key, reason, basis)), json_)


def compromise(
    key: KeyArgument,
    *,
    reason: WordOption,
    basis: BasisOption,
    profile: ProfileOption,
    json_: JsonOption = False,
) -> None:
    """Order that a key be given up as stolen; if it signs alone, the announced one takes over.

    Nothing happens before another operator approves; freeze the log meanwhile. Then publish
    the next edition of the trusted root, which closes the key for everybody.
    """
    _report_order(run(_order(profile, COMPROMISE, key, reason, basis)), json_)


def thaw(
    *,
    reason: WordOption,
    basis: BasisOption,
    profile: ProfileOption,
    json_: JsonOption = False,
) -> None:
    """Order that a frozen log go on; nothing happens before another operator approves."""
    _report_order(run(_order(profile, THAW, None, reason, basis)), json_)


def approve(
    order_digest: Annotated[
        str,
        typer.Argument(metavar="ORDER", callback=digest_argument, help="The order, by digest."),
    ],
    *,
    profile: ProfileOption,
    yes: YesOption = False,
    receipt: ReceiptOption = None,
    json_: JsonOption = False,
) -> None:
    """Approve what another operator ordered about the hub's keys: it is done at once."""
    require_place_for(receipt)
    order = run(_find_order(profile, order_digest))
    if not yes:
        say_fields(
            [
                (_("Action"), order.action),
                (_("Key"), order.hub_key or "–"),
                (_("Ordered by"), shown(order.ordered_by)),
                (_("Reason"), shown(order.reason)),
                (_("Basis"), shown(order.basis)),
            ]
        )
        typer.confirm(_("Do this now? There is no way back."), abort=True, err=True)
    approved = run(_approve(profile, order))
    _report(approved.executed, order.hub_key or "", receipt, json_)


def retire(
    key: KeyArgument,
    *,
    profile: ProfileOption,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """End a key while another signs; whoever does not know the other one is left behind.

    `lienthong keys plan` says who that would be. Then publish the next edition of the trusted
    root, which closes the key.
    """
    require_place_for(receipt)
    with repeatable():
        fact = run(_retire(profile, key, request_id))
    _report(fact, fact.fact.event.data["verifier_key"], receipt, json_)


def freeze(
    *,
    reason: WordOption,
    profile: ProfileOption,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Stop the log at once: nothing is accepted before two operators let it go on."""
    require_place_for(receipt)
    with repeatable():
        fact = run(_freeze(profile, reason, request_id))
    _report(fact, "", receipt, json_)


def plan(profile: ProfileOption, json_: JsonOption = False) -> None:
    """Show what comes next for the hub's keys, and who would be left behind. Changes nothing."""
    found = run(_plan(profile))
    if json_:
        say_json(_plan_members(found))
        return
    rows = [
        [
            _(_STEPS.get(step.action, "unknown here")),
            key_id_of(step.hub_key) if step.hub_key else "–",
            _("now: nothing signs") if step.urgent else local_time(step.due),
            _("soon") if step.remind else "",
        ]
        for step in found.steps
    ]
    say_table([_("Step"), _("Key"), _("Due"), ""], rows)
    say(_("Trusted root: edition {number}.", number=found.edition))
    for change in found.changes:
        say(_("The next edition: {change}.", change=shown(change)))
    for each in found.laggards:
        who = f"{shown(each.caller)} ({each.role})"
        if each.at is None:
            say(_("Has never fetched one: {who}.", who=who))
        else:
            say(_("Holds edition {number}: {who}.", number=each.edition, who=who))


def signed(key: KeyArgument, profile: ProfileOption, json_: JsonOption = False) -> None:
    """List what a key signed: every checkpoint in its range that carries its signature."""
    entry, found = run(_signed(profile, key))
    if json_:
        say_json(
            {
                **_members(entry),
                "checkpoints": [{"size": each.size, "root": each.root.hex()} for each in found],
            }
        )
        return
    say_fields(
        [
            (_("Key"), entry.hub_key),
            (_("State"), _(_STATES[entry.state])),
            (_("Signs trees of"), _sizes(entry)),
            (_("Checkpoints"), str(len(found))),
        ]
    )
    say_table(
        [_("Size"), _("Root")],
        [[str(checkpoint.size), checkpoint.root.hex()] for checkpoint in found],
    )


def key_id(key: HubKey) -> str:
    """The short id of a key."""
    return key_id_of(key.hub_key)


def key_id_of(hub_key: str) -> str:
    """The short id in a verifier key."""
    return VerifierKey.parse(hub_key).key_id.hex()


def _sizes(key: HubKey) -> str:
    if key.activated is None:
        return "–"
    if key.closed is None:
        return _("more than {first} events", first=key.activated)
    return _("{first} to {last} events", first=key.activated + 1, last=key.closed.size)


def _members(key: HubKey) -> dict[str, Any]:
    return {
        "key": key.hub_key,
        "key_id": key_id(key),
        "state": key.state.value,
        "since": key.since.isoformat(),
        "announced_position": key.announced,
        "activated_position": key.activated,
        "closing_size": key.closed and key.closed.size,
        "closing_root": key.closed and key.closed.root.hex(),
    }


def _plan_members(found: KeyPlan) -> dict[str, Any]:
    return {
        "steps": [
            {
                "action": step.action,
                "key": step.hub_key or None,
                "due": step.due.isoformat(),
                "remind": step.remind,
                "urgent": step.urgent,
            }
            for step in found.steps
        ],
        "edition": found.edition,
        "changes": list(found.changes),
        "laggards": [
            {
                "caller": each.caller,
                "role": each.role,
                "edition": each.edition,
                "fetched_at": each.at and each.at.isoformat(),
            }
            for each in found.laggards
        ],
    }


def _report(fact: OperatorFact, hub_key: str, receipt: Path | None, as_json: bool) -> None:
    if receipt is not None:
        receipt.write_bytes(fact.evidence())
    if as_json:
        say_json(
            {
                "key": hub_key or None,
                "position": fact.fact.position,
                "event": fact.fact.event.topic,
                "receipt": None if receipt is None else str(receipt),
            }
        )
        return
    say(_("Recorded, and the receipt holds."), style="bold green")
    fields = [(_("Position in the log"), str(fact.fact.position))]
    if hub_key:
        fields.insert(0, (_("Key"), hub_key))
    if receipt is not None:
        fields.append((_("Receipt"), str(receipt)))
    say_fields(fields)


def _report_order(ordered: Ordered, as_json: bool) -> None:
    if as_json:
        say_json(
            {
                "order": ordered.digest,
                "position": ordered.order.fact.position,
                "lapses_at": ordered.order.fact.event.data["lapses_at"],
            }
        )
        return
    say(_("Ordered; nothing is done before another operator approves."), style="bold green")
    say_fields([(_("Order"), ordered.digest)])


async def _keys(profile: Path) -> list[HubKey]:
    async with operator(profile) as registry:
        return await registry.hub_keys.all()


async def _named(registry: RegistryClient, name: str) -> HubKey:
    for each in await registry.hub_keys.all():
        if name in (each.hub_key, key_id(each)):
            return each
    raise CommandFailed(
        "HUB_KEY_UNKNOWN",
        _("No key of the hub is this one."),
        _("Look at `lienthong keys list`."),
    )


async def _announce(profile: Path, request_id: str | None) -> OperatorFact:
    async with operator(profile) as registry:
        return await registry.hub_keys.announce(request_id=request_id)


async def _order(profile: Path, action: str, key: str | None, reason: str, basis: str) -> Ordered:
    async with operator(profile) as registry:
        hub_key = (await _named(registry, key)).hub_key if key else None
        name = await registry.name()
        return await registry.orders.order_key_action(
            name, action, hub_key, reason=reason, basis=basis
        )


async def _find_order(profile: Path, digest: str) -> OpenOrder:
    async with operator(profile) as registry:
        async for each in registry.orders.orders(open_only=True):
            if each.digest == digest and each.action in KEY_ACTIONS:
                return each
    raise CommandFailed(
        "ORDER_UNKNOWN",
        _("There is no open order {digest} about keys.", digest=digest),
        _("Look at `lienthong erase list`: it may have been approved already."),
    )


async def _approve(profile: Path, order: OpenOrder) -> Approved:
    async with operator(profile) as registry:
        return await registry.orders.approve(await registry.name(), order.digest)


async def _retire(profile: Path, key: str, request_id: str | None) -> OperatorFact:
    async with operator(profile) as registry:
        named = await _named(registry, key)
        return await registry.hub_keys.retire(named.hub_key, request_id=request_id)


async def _freeze(profile: Path, reason: str, request_id: str | None) -> OperatorFact:
    async with operator(profile) as registry:
        return await registry.hub_keys.freeze(reason, request_id=request_id)


async def _plan(profile: Path) -> KeyPlan:
    async with operator(profile) as registry:
        return await registry.hub_keys.plan()


async def _signed(profile: Path, name: str) -> tuple[HubKey, Sequence[Checkpoint]]:
    async with operator(profile) as registry:
        entry = await _named(registry, name)
    key = VerifierKey.parse(entry.hub_key)
    found: list[Checkpoint] = []
    if entry.activated is None:
        return entry, found
    async with LedgerClient.open(read_profile(profile)) as ledger:
        async for note in ledger.checkpoints(after=entry.activated):
            checkpoint = open_checkpoint(note, log_keys=[key], origin=key.name)
            found.append(checkpoint)
            if entry.closed is not None and checkpoint.size >= entry.closed.size:
                break
    return entry, found
