"""`lienthong fetch`: sign for a document of the inbox and bring it here, verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import say, say_fields, say_json, shown
from hub.cli.messages import _
from hub.cli.progress import progress_bars
from hub.cli.session import JsonOption, OfOption, ProfileOption, agency, find, run
from hub.client import CollectedDocument, HubClient
from hub.client.state import write_durably

RECEIPTS = "receipts"
_ARRIVED = "01"


def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="EXCHANGE_OR_NUMBER", help="An exchange's id, or a number in the inbox."
        ),
    ],
    *,
    into: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", file_okay=False, help="Where the files go; made if it is not there."
        ),
    ],
    profile: ProfileOption,
    no_arrived: Annotated[
        bool, typer.Option("--no-arrived", help="Do not report the document as arrived (01).")
    ] = False,
    of: OfOption = "",
    json_: JsonOption = False,
) -> None:
    """Sign for a document and bring it here, verified throughout.

    The receipts go into the folder `receipts` beside the files. When everything is here and
    as the sender signed it, the document is reported as arrived (01).
    """
    run(_fetch(profile, name, into, of=of, arrived=not no_arrived, as_json=json_))


async def _fetch(
    profile: Path, name: str, into: Path, *, of: str, arrived: bool, as_json: bool
) -> None:
    # Before any attachment, so that none of that name can take its place.
    receipts = into / RECEIPTS
    receipts.mkdir(parents=True, exist_ok=True)
    async with agency(profile) as (hub, _finished):
        named = await find(hub, name, of)
        document = await hub.collect(named.envelope_digest, for_agency=of or None)
        evidence = _evidence_of(document)
        kept = _keep(receipts, document, evidence)
        with progress_bars() as progress:
            files = await hub.download(document, into, progress)
        if arrived:
            kept += _keep(receipts, document, {_ARRIVED: await _report_arrived(hub, document, of)})
    _report(document, files, kept, as_json)


def _evidence_of(document: CollectedDocument) -> dict[str, bytes]:
    return {"document": document.evidence(), "collect": document.handover.evidence()}


async def _report_arrived(hub: HubClient, document: CollectedDocument, of: str) -> bytes:
    digest = document.envelope_digest
    return (await hub.report_status(digest, _ARRIVED, for_agency=of or None)).evidence()


def _keep(folder: Path, document: CollectedDocument, evidence: Mapping[str, bytes]) -> list[Path]:
    paths = []
    for kind, data in evidence.items():
        path = folder / f"{document.exchange_id}.{kind}.receipt.json"
        write_durably(path, data)
        paths.append(path)
    return paths


def _report(
    document: CollectedDocument, files: Sequence[Path], receipts: Sequence[Path], as_json: bool
) -> None:
    said = document.document
    if as_json:
        say_json(
            {
                "exchange": document.exchange_id,
                "sender": document.sender,
                "sender_proven": document.sender_proven,
                "number": said.number,
                "notation": said.notation,
                "subject": said.subject,
                "issued_on": said.issued_on.isoformat(),
                "files": [str(path) for path in files],
                "receipts": [str(path) for path in receipts],
            }
        )
        return
    if document.sender_proven:
        held = _("Here, and verified: signature, enrolment, receipt and content hold.")
        say(held, style="bold green")
    else:
        held = _(
            "Here, over the national axis: receipt and content hold, the sender is not proven."
        )
        say(held, style="bold yellow")
    say_fields(
        [
            (_("From"), document.sender),
            (_("Document"), f"{shown(said.number)}/{shown(said.notation)}: {shown(said.subject)}"),
            *((_("File"), str(path)) for path in files),
            (_("Receipts"), f"{receipts[0].parent} ({len(receipts)})"),
        ]
    )
