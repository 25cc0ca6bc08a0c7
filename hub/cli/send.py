"""`lienthong send`: one document, signed here, to one or more agencies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import say, say_fields, say_json, shown, stderr
from hub.cli.messages import _
from hub.cli.session import (
    JsonOption,
    ProfileOption,
    ReceiptOption,
    agency,
    require_place_for,
    run,
)
from hub.client import Accepted, AttachmentDraft, DocumentDraft
from hub.client.drafting import now
from hub.proof.envelope import Priority, Signer

_DATES = ["%Y-%m-%d", "%d/%m/%Y"]


def send(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", exists=True, dir_okay=False, help="The files to send, 3 MiB in all."
        ),
    ],
    to: Annotated[
        list[str],
        typer.Option(metavar="CODE", help="A recipient's code; repeat it for more recipients."),
    ],
    subject: Annotated[str, typer.Option(metavar="TEXT", help="What it is about (trích yếu).")],
    number: Annotated[str, typer.Option(metavar="TEXT", help="The document's number, e.g. 125.")],
    notation: Annotated[
        str, typer.Option(metavar="TEXT", help="The document's notation, e.g. UBND-VP.")
    ],
    type_name: Annotated[
        str, typer.Option("--type", metavar="TEXT", help="The kind of document, e.g. Công văn.")
    ],
    profile: ProfileOption,
    issued_on: Annotated[
        datetime | None,
        typer.Option(formats=_DATES, metavar="DATE", help="The date of issue; today if left out."),
    ] = None,
    signer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who signed the document itself.")
    ] = None,
    signer_position: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The signer's position, e.g. Chủ tịch.")
    ] = None,
    signer_competence: Annotated[
        str | None, typer.Option(metavar="TEXT", help="In whose place they signed, e.g. KT.")
    ] = None,
    priority: Annotated[Priority, typer.Option(help="How urgent it is.")] = Priority.NORMAL,
    receipt: ReceiptOption = None,
    json_: JsonOption = False,
) -> None:
    """Send a signed document to agencies, all or none of which get it."""
    require_place_for(receipt)
    document = DocumentDraft(
        number=number,
        notation=notation,
        type_name=type_name,
        subject=subject,
        issued_on=issued_on.date() if issued_on else today(),
        signer=_signer(signer, signer_position, signer_competence),
        priority=priority,
    )
    attachments = [AttachmentDraft.from_file(path) for path in files]
    accepted = run(_send(profile, document, attachments, to))
    if receipt is not None:
        receipt.write_bytes(accepted.evidence())
    _report(accepted, to, receipt or accepted.receipt_file, json_)


def today() -> date:
    """Today's date in Vietnam."""
    return now().date()


async def _send(
    profile: Path,
    document: DocumentDraft,
    attachments: Sequence[AttachmentDraft],
    recipients: Sequence[str],
) -> Accepted:
    async with agency(profile) as (hub, finished):
        # Whoever repeats a command that broke off means one document, not two.
        for accepted in finished:
            if _is_this(accepted, document, attachments, recipients):
                return accepted
        return await hub.submit(document, attachments, recipients)


def _is_this(
    accepted: Accepted,
    document: DocumentDraft,
    attachments: Sequence[AttachmentDraft],
    recipients: Sequence[str],
) -> bool:
    if accepted.statement is None:
        return False
    signed = json.loads(accepted.statement.payload)
    return (signed.get("document"), signed.get("recipients")) == (
        document.members(attachments),
        list(recipients),
    )


def _signer(name: str | None, position: str | None, competence: str | None) -> Signer | None:
    if name is None:
        if position or competence:
            raise typer.BadParameter(_("--signer is missing: position and competence belong to it"))
        return None
    return Signer(full_name=name, position=position, competence=competence)


def _report(accepted: Accepted, recipients: Sequence[str], receipt: Path, as_json: bool) -> None:
    if as_json:
        say_json(
            {
                "exchange": accepted.exchange_id,
                "request_id": accepted.request_id,
                "position": accepted.position,
                "recipients": list(recipients),
                "receipt": str(receipt),
                "warnings": [{"code": w.code, "message": w.message} for w in accepted.warnings],
            }
        )
        return
    say(_("Accepted, and the receipt holds."), style="bold green")
    say_fields(
        [
            (_("Recipients"), ", ".join(recipients)),
            (_("Exchange"), accepted.exchange_id),
            (_("Position in the log"), str(accepted.position)),
            (_("Receipt"), str(receipt)),
        ]
    )
    for warning in accepted.warnings:
        text = _("Warning: {message}", message=shown(warning.message))
        say(f"{text} [{shown(warning.code)}]", style="yellow", to=stderr())
