"""`lienthong send`: one document, signed here, to one or more agencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import say, say_fields, say_json
from hub.cli.messages import _
from hub.cli.progress import progress_bars
from hub.cli.said import said_before, say_warnings, warnings_as_json
from hub.cli.session import (
    JsonOption,
    ProfileOption,
    ReceiptOption,
    agency,
    exchange_id,
    find_exchange,
    require_place_for,
    run,
)
from hub.client import Accepted, AttachmentDraft, DocumentDraft
from hub.client.drafting import VIETNAM, now
from hub.proof.envelope import Action, Priority, Signer
from hub.proof.statements import SIGNERS, Envelope

DATES = ["%Y-%m-%d", "%d/%m/%Y"]
_TIMES = ["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%d/%m/%Y %H:%M"]


def send(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="The files to send, 2 GiB each at most.",
        ),
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
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="A recipient's code; repeat it for more recipients."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUP", help="A group of recipients, as the hub lists it; repeatable."
        ),
    ] = None,
    issued_on: Annotated[
        datetime | None,
        typer.Option(formats=DATES, metavar="DATE", help="The date of issue; today if left out."),
    ] = None,
    due_on: Annotated[
        datetime | None,
        typer.Option(formats=DATES, metavar="DATE", help="By when it should be dealt with."),
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
    replaces: Annotated[
        str | None,
        typer.Option(
            metavar="EXCHANGE",
            callback=exchange_id,
            help="The exchange of an own document that counts no more from now on.",
        ),
    ] = None,
    updates: Annotated[
        str | None,
        typer.Option(
            metavar="EXCHANGE",
            callback=exchange_id,
            help="The exchange of an own document that this one adds to; both count.",
        ),
    ] = None,
    expires_at: Annotated[
        datetime | None,
        typer.Option(
            formats=_TIMES,
            metavar="TIME",
            help="Until when it can be collected, in Vietnam's time, e.g. 2026-11-30T17:00.",
        ),
    ] = None,
    require_signatures: Annotated[
        bool,
        typer.Option(
            "--require-signatures",
            help="Send it only if the files carry digital signatures, and all are valid.",
        ),
    ] = False,
    require_person_and_agency: Annotated[
        bool,
        typer.Option(
            "--require-person-and-agency",
            help="Likewise, and only if a person and the agency both signed one of the files.",
        ),
    ] = False,
    receipt: ReceiptOption = None,
    json_: JsonOption = False,
) -> None:
    """Send a signed document to agencies, all or none of which get it."""
    require_place_for(receipt)
    if not (to or group):
        raise typer.BadParameter(_("name recipients with --to or --group"))
    document = DocumentDraft(
        number=number,
        notation=notation,
        type_name=type_name,
        subject=subject,
        issued_on=issued_on.date() if issued_on else today(),
        due_on=due_on.date() if due_on else None,
        signer=_signer(signer, signer_position, signer_competence),
        priority=priority,
    )
    letter = _Letter(
        document=document,
        attachments=[AttachmentDraft.from_file(path) for path in files],
        codes=to or [],
        groups=group or [],
        action=_action(replaces, updates),
        older=replaces or updates,
        expires_at=expires_at and expires_at.replace(tzinfo=VIETNAM),
        signatures_required=require_signatures,
        signers_required=SIGNERS if require_person_and_agency else (),
    )
    accepted, recipients = run(_send(profile, letter))
    if receipt is not None:
        receipt.write_bytes(accepted.evidence())
    _report(accepted, recipients, receipt or accepted.receipt_file, json_)


def today() -> date:
    """Today's date in Vietnam."""
    return now().date()


@dataclass(frozen=True, slots=True)
class _Letter:
    """A document with everything that is said about it. `older` is the exchange it speaks of."""

    document: DocumentDraft
    attachments: Sequence[AttachmentDraft]
    codes: Sequence[str]
    groups: Sequence[str]
    action: Action
    older: str | None
    expires_at: datetime | None
    signatures_required: bool
    signers_required: Sequence[str]


async def _send(profile: Path, letter: _Letter) -> tuple[Accepted, list[str]]:
    with progress_bars() as progress:
        async with agency(profile, progress) as (hub, finished):
            # The members of today are signed by name: nobody has to know later who they were.
            recipients = await hub.directory.expand(letter.codes, letter.groups)
            older = letter.older and (await find_exchange(hub, letter.older)).envelope_digest
            before = said_before(
                finished,
                Envelope.MEDIA_TYPE,
                document=letter.document.members(letter.attachments),
                recipients=recipients,
                action=letter.action.value,
                relates_to=older,
                expires_at=letter.expires_at and letter.expires_at.isoformat(),
                signatures_required=letter.signatures_required or None,
                signers_required=list(letter.signers_required) or None,
            )
            accepted = before or await hub.submit(
                letter.document,
                letter.attachments,
                recipients,
                action=letter.action,
                relates_to=older,
                expires_at=letter.expires_at,
                signatures_required=letter.signatures_required,
                signers_required=letter.signers_required,
                progress=progress,
            )
            return accepted, recipients


def _action(replaces: str | None, updates: str | None) -> Action:
    if replaces and updates:
        raise typer.BadParameter(_("--replaces and --updates exclude each other"))
    if replaces:
        return Action.REPLACE
    return Action.UPDATE if updates else Action.NEW


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
                "warnings": warnings_as_json(accepted),
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
    say_warnings(accepted)
