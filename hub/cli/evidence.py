"""`lienthong evidence`: what somebody signed, verified, as a file that stands alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import say, say_fields, say_json, shown
from hub.cli.messages import _
from hub.cli.session import JsonOption, OfOption, ProfileOption, agency, code_in_words, run
from hub.client.answers import VerifiedStatement
from hub.proof.statements import Collect, Envelope, Recall, RecallAnswer, Status


def evidence(
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
    of: OfOption = "",
    json_: JsonOption = False,
) -> None:
    """Get what somebody signed about a document that one sent or received, and keep it.

    The signature, the enrolment of its key and the receipt are verified here. The file proves
    them without the hub: a recipient's 01 is the sender's proof that the document arrived.
    """
    if not out.parent.is_dir():
        raise typer.BadParameter(_("the folder for the receipt is not there"))
    verified = run(_get(profile, position, of))
    out.write_bytes(verified.evidence())
    _report(verified, position, out, json_)


async def _get(profile: Path, position: int, of: str) -> VerifiedStatement:
    async with agency(profile) as (hub, _finished):
        return await hub.statement(position, agency=of)


def _report(verified: VerifiedStatement, position: int, out: Path, as_json: bool) -> None:
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
    fields += [(_("Position in the log"), str(position)), (_("Receipt"), str(out))]
    say_fields(fields)


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
