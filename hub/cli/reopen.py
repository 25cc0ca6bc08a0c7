"""`lienthong ledger reopen` and `sign-reopening`: a log goes on after loss or compromise."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import say, say_fields, say_json, shown
from hub.cli.ledger import events_bar
from hub.cli.log_source import reading
from hub.cli.messages import _
from hub.cli.session import JsonOption
from hub.client.drafting import Drafting
from hub.client.signing import KeySigner
from hub.proof.dsse import SignedStatement, pre_authentication_encoding
from hub.proof.reopening import (
    FILE_BYTES_MAX,
    Reopening,
    ReopenOrder,
    format_plan,
    format_signed,
    parse_plan,
    parse_signed,
    read_reopen_order,
)

_HubArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The hub's folder; the hub must be stopped.")
]
_FileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", exists=True, dir_okay=False, show_default=False)
]


def plan_reopening(
    folder: _HubArgument,
    *,
    origin: Annotated[str, typer.Option(help="The new origin; never used by any log before.")],
    reason: Annotated[
        str, typer.Option(help="One code word, such as events-lost or log-key-compromised.")
    ],
    basis: Annotated[str, typer.Option(help="The decision that it rests on, in one line.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the plan goes, for the operators to sign.")
    ],
    from_export: Annotated[
        Path | None,
        typer.Option(metavar="EXPORT", exists=True, file_okay=False, help="The newest export."),
    ] = None,
    kept: Annotated[
        Path | None,
        typer.Option(
            metavar="KEPT",
            exists=True,
            file_okay=False,
            help="Receipt files and certificates that agencies kept.",
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Fill up what is left of a log that cannot go on, and write what two operators must sign.

    Nothing is signed, and the old log stays as it is. Repeat it as long as agencies bring
    receipts. Two histories are refused: they are for an auditor.
    """
    from hub.bootstrap.folder import DataFolder
    from hub.bootstrap.reopen import plan_reopening as plan_in
    from hub.config import Settings

    settings = Settings.load(folder)
    with ExitStack() as stack:
        export = stack.enter_context(reading(str(from_export))) if from_export else None
        bar = stack.enter_context(events_bar(_("Restoring events")))
        plan = plan_in(
            DataFolder(folder),
            settings,
            origin=origin,
            reason=reason,
            basis=basis,
            export=export,
            kept=kept,
            progress=bar,
        )
    out.write_bytes(format_plan(plan))
    _say_plan(plan, json_)


def sign_reopening(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", exists=True, dir_okay=False, help="A plan, or an order to approve."
        ),
    ],
    *,
    operator: Annotated[str, typer.Option(help="The name under which the hub knows you.")],
    key: Annotated[
        Path,
        typer.Option(
            metavar="KEY", exists=True, dir_okay=False, help="The key of your connection, PEM."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the signed statement goes.")],
    json_: JsonOption = False,
) -> None:
    """Sign a plan as an order, or an order as its approval; needs no hub.

    Read what it says first: the order is the first operator's word, the approval the second's.
    """
    data = _read(file)
    plan = parse_plan(data)
    if plan is not None:
        kind = ReopenOrder.MEDIA_TYPE
        payload = Drafting(plan.old_origin, operator).reopen_order(plan)
    else:
        ordered = parse_signed(data)
        plan = read_reopen_order(ordered).reopening
        approval = Drafting(plan.old_origin, operator).approval(ordered.digest.hex())
        kind, payload = approval.payload_type, approval.payload
    signer = KeySigner.of_connection(key.read_bytes())
    signature = signer.sign(pre_authentication_encoding(kind, payload))
    out.write_bytes(format_signed(SignedStatement(kind, payload, signer.key_id, signature)))
    _say_plan(plan, json_)


def reopen(
    folder: _HubArgument,
    *,
    order: Annotated[
        Path,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="The signed order."),
    ],
    approval: Annotated[
        Path,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="Its signed approval."),
    ],
    json_: JsonOption = False,
) -> None:
    """Go on with a log under a new origin and key, as two operators have signed.

    Events keep their positions, and old receipts stay good: the new trusted root closes the
    old key. Broken off, no hub starts until it is repeated.
    """
    from hub.bootstrap.folder import DataFolder
    from hub.bootstrap.reopen import reopen_hub
    from hub.config import Settings

    ordered, approved = parse_signed(_read(order)), parse_signed(_read(approval))
    done = reopen_hub(DataFolder(folder), Settings.load(folder), ordered, approved)
    _say_plan(done.reopening, json_)
    if not json_:
        say(_("Reopened. Give out the new trusted_root.json by a way of its own."), style="green")


def _say_plan(plan: Reopening, as_json: bool) -> None:
    lost = max(0, plan.last.size - plan.kept.size)
    if as_json:
        say_json({"old_origin": plan.old_origin, **plan.members(), "lost": lost})
        return
    fields = [
        (_("The log that ends"), shown(plan.old_origin)),
        (_("The log that goes on"), shown(plan.origin)),
        (_("Events kept"), str(plan.kept.size)),
        (_("Events signed"), str(plan.last.size)),
        (_("Reason"), shown(f"{plan.reason}: {plan.basis}")),
        (_("New log key"), shown(plan.log_key)),
    ]
    say_fields(fields)
    if lost:
        first, last = plan.kept.size, plan.last.size - 1
        say(_("Lost for good: events {first} to {last}.", first=first, last=last), style="bold red")


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FILE_BYTES_MAX + 1)
