"""`lienthong evidence`: what was signed about a document, as files that stand alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from hub.auditor.client import Case
from hub.cli.audit_options import CaseOption, auditor
from hub.cli.console import counting, local_time, say, say_fields, say_json, shown
from hub.cli.messages import _
from hub.cli.session import (
    JsonOption,
    OfOption,
    ProfileOption,
    agency,
    code_in_words,
    exchange_id,
    find,
    run,
)
from hub.client.answers import VerifiedStatement
from hub.client.state import write_durably
from hub.proof.bundle import Bundle
from hub.proof.statements import Collect, Envelope, Recall, RecallAnswer, Status


def statement(
    position: Annotated[
        int,
        typer.Argument(
            metavar="POSITION",
            min=0,
            help="A position in the log, as `lienthong outbox` and `lienthong inbox` name them.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", dir_okay=False, help="Where the receipt file goes.")
    ],
    profile: ProfileOption,
    *,
    of: OfOption = "",
    cosigned: Annotated[
        bool,
        typer.Option(
            "--cosigned", help="With the cosignatures that witnesses have given since, if any."
        ),
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Get what somebody signed about a document that one sent or received, and keep it.

    The signature, the enrolment of its key and the receipt are verified here. The file proves
    them without the hub: a recipient's 01 is the sender's proof that the document arrived.
    """
    if not out.parent.is_dir():
        raise typer.BadParameter(_("the folder for the receipt is not there"))
    verified = run(_get(profile, position, of, cosigned))
    out.write_bytes(verified.evidence())
    if verified.doubt is not None:
        _beside(out).write_bytes(verified.doubt.evidence())
    _report(verified, position, out, json_, cosigned=cosigned)


async def _get(profile: Path, position: int, of: str, cosigned: bool) -> VerifiedStatement:
    async with agency(profile) as (hub, _finished):
        return await hub.statement(position, agency=of, cosigned=cosigned)


def bundle(
    name: Annotated[
        str,
        typer.Argument(
            metavar="EXCHANGE_OR_NUMBER", help="An exchange's id, or a number in the inbox."
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Where the bundle goes; let its name end in .bundle.json.",
        ),
    ],
    profile: ProfileOption,
    content: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            file_okay=False,
            help="Bring the attachments too: they go into a folder in there, named like the "
            "exchange.",
        ),
    ] = None,
    case: CaseOption = None,
    json_: JsonOption = False,
) -> None:
    """Get everything the hub gives out about a document, and keep it as one file.

    Whatever agencies signed about it, with receipts, enrolments and the log's own keys. It is
    verified here; `lienthong verify` finds the same without the hub. An auditor names the
    exchange and a case.
    """
    if not out.parent.is_dir():
        raise typer.BadParameter(_("the folder for the bundle is not there"))
    if case is not None and content is not None:
        raise typer.BadParameter(
            _("an auditor takes content along with `lienthong audit document --export`")
        )
    if case is None:
        made, files = run(_make(profile, name, content))
    else:
        made, files = run(_make_for(case, profile, name)), []
    data = made.format()
    write_durably(out, data)
    _report_bundle(made, data, out, files, json_)


async def _make(profile: Path, name: str, content: Path | None) -> tuple[Bundle, list[Path]]:
    async with agency(profile) as (hub, _finished):
        found = (await find(hub, name)).exchange_id
        with counting(_("Facts")) as progress:
            made = await hub.bundle(found, progress=progress)
        files = [] if content is None else await hub.content(made, content / found)
    return made, files


async def _make_for(case: str, profile: Path, name: str) -> Bundle:
    async with auditor(profile) as hub:
        with counting(_("Facts")) as progress:
            return await hub.bundle(Case.of(case), exchange_id(name) or "", progress=progress)


def _report_bundle(
    made: Bundle, data: bytes, out: Path, files: Sequence[Path], as_json: bool
) -> None:
    digest = hashlib.sha256(data).hexdigest()
    statements = sum(fact.statement is not None for fact in made.facts)
    if as_json:
        say_json(
            {
                "exchange": made.exchange_id,
                "bundle": str(out),
                "sha256": digest,
                "facts": len(made.facts),
                "statements": statements,
                "files": [str(path) for path in files],
            }
        )
        return
    say(_("Verified, and kept: everything in it holds together."), style="bold green")
    say_fields(
        [
            (_("Exchange"), made.exchange_id),
            (_("Facts"), str(len(made.facts))),
            (_("Of these signed"), str(statements)),
            (_("Bundle"), str(out)),
            ("SHA-256", digest),
            *((_("File"), str(path)) for path in files),
        ]
    )


def _report(
    verified: VerifiedStatement, position: int, out: Path, as_json: bool, *, cosigned: bool
) -> None:
    code, reason = _code(verified), _reason(verified)
    if as_json:
        say_json(
            {
                "position": position,
                "exchange": verified.exchange_id,
                "author": verified.author,
                "media_type": verified.payload.MEDIA_TYPE,
                "code": code,
                "reason": reason,
                "cosigners": list(verified.cosigners),
                "in_doubt_from": verified.doubt and verified.doubt.effective,
                "receipt": str(out),
            }
        )
        return
    say(_("Verified, and kept: signature, enrolment and receipt hold."), style="bold green")
    fields = [
        (_("Signed by"), verified.author),
        (_("Document"), _document(verified)),
        (_("Says"), _says(verified)),
    ]
    if reason:
        fields.append((_("Reason"), shown(reason)))
    if verified.doubt is not None:
        since = local_time(datetime.fromisoformat(verified.doubt.effective))
        fields.append((_("In doubt"), _("its key is revoked from {time} on", time=since)))
        fields.append((_("Receipt of the doubt"), str(_beside(out))))
    fields += [(_("Position in the log"), str(position)), (_("Receipt"), str(out))]
    if cosigned:
        # Named, not verified: that takes the witnesses' keys, which are the verifier's to have.
        named = ", ".join(map(shown, verified.cosigners)) or _("none yet")
        fields.append((_("Witnesses named"), named))
    say_fields(fields)


def _beside(out: Path) -> Path:
    """Where the receipt of the doubt goes: beside what it is about."""
    return out.with_name(f"{out.name.removesuffix('.receipt.json')}.doubt.receipt.json")


def _code(verified: VerifiedStatement) -> str:
    match verified.payload:
        case Recall():
            return "13"
        case Status(code=code) | RecallAnswer(code=code):
            return code
    return ""


def _reason(verified: VerifiedStatement) -> str:
    match verified.payload:
        case Recall(reason=reason) | Status(reason=reason) | RecallAnswer(reason=reason):
            return reason or ""
    return ""


def _says(verified: VerifiedStatement) -> str:
    match verified.payload:
        case Envelope():
            return _("sent")
        case Collect():
            return _("collected")
    return code_in_words(_code(verified))


def _document(verified: VerifiedStatement) -> str:
    envelope = (verified.about or verified).payload
    if not isinstance(envelope, Envelope):
        return verified.exchange_id
    return f"{shown(envelope.document.type_name)} {shown(envelope.document.code)}"
