"""`lienthong ca`: a certificate authority to rehearse with. NOT FOR PRODUCTION."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import say, say_fields, say_json, shown
from hub.cli.errors import CommandFailed
from hub.cli.messages import N_, _
from hub.cli.session import JsonOption
from hub.proof.signatures import Algorithm

_CERTIFICATE_BYTES_MAX = 64 * 1024
_MARK = N_("NOT FOR PRODUCTION: this authority asks nobody who they are.")

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The authority's folder.")]
DaysOption = Annotated[
    int, typer.Option(metavar="DAYS", min=1, max=3650, help="How long the list is good for.")
]


class Reason(StrEnum):
    """Why the authority takes a certificate back: RFC 5280 section 5.3.1."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key-compromise"
    AFFILIATION_CHANGED = "affiliation-changed"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation-of-operation"
    PRIVILEGE_WITHDRAWN = "privilege-withdrawn"


def new(folder: FolderArgument, json_: JsonOption = False) -> None:
    """Make an authority for development in a folder, valid for ten years.

    A hub believes it once its certificate stands among the hub's authorities.
    """
    from hub.bootstrap import development

    pem = development.new(folder)
    if json_:
        say_json({"certificate": pem.decode(), "for_production": False})
        return
    _say_done(_("The authority is made: {path}", path=shown(str(folder))))


def issue(
    folder: FolderArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The holder, in 1 to 64 letters.")],
    *,
    certificate: Annotated[Path, typer.Option(metavar="FILE", help="Where the certificate goes.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Where its private key goes.")],
    algorithm: Annotated[
        Algorithm | None,
        typer.Option(help="What it signs documents with; for the connection if left out."),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From when on it is good for signing, with an offset."),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Until when it is good for signing, with an offset."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Issue a certificate with a new key, for signing or for the connection."""
    from hub.bootstrap import development

    if algorithm is None and (begin or end):
        raise typer.BadParameter(_("times can be chosen for signing only"))
    begins, ends = instant(begin), instant(end)
    try:
        issued = development.issue(folder, name, algorithm, begin=begins, end=ends)
    except ValueError as error:
        raise _refused(error) from error
    development.write(issued, certificate, key)
    if json_:
        said = {"certificate": str(certificate), "key": str(key), "for_production": False}
        say_json(said)
        return
    _say_done(_("The certificate is issued."))
    files = [(_("Certificate"), str(certificate)), (_("Private key"), str(key))]
    say_fields([(label, shown(path)) for label, path in files])


def revoke(
    folder: FolderArgument,
    certificate: Annotated[
        Path,
        typer.Argument(metavar="CERTIFICATE", exists=True, dir_okay=False, help="It, in PEM."),
    ],
    *,
    reason: Annotated[Reason, typer.Option(help="Why, as RFC 5280 names it.")],
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Since when, with an offset; now if left out."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Take a certificate back: the next list names it, and every later one."""
    from hub.bootstrap import development

    with certificate.open("rb") as file:
        pem = file.read(_CERTIFICATE_BYTES_MAX)
    try:
        development.revoke(folder, pem, reason.value, instant(since))
    except ValueError as error:
        raise _refused(error) from error
    if json_:
        say_json({"reason": reason.value, "for_production": False})
        return
    _say_done(_("The certificate is taken back; publish the list for the hub to know."))


def crl(
    folder: FolderArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the list goes, in DER.")],
    *,
    days: DaysOption = 7,
    json_: JsonOption = False,
) -> None:
    """Write the revocation list of now into a file."""
    from hub.bootstrap import development

    data = development.publish(folder, timedelta(days=days))
    file.write_bytes(data)
    if json_:
        say_json({"file": str(file), "size": len(data), "for_production": False})
        return
    _say_done(_("The list is written: {path}", path=shown(str(file))))


def serve(
    folder: FolderArgument,
    *,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Where it listens, here only.")
    ] = 8081,
    days: DaysOption = 7,
) -> None:
    """Publish the list at `/crl` and answer OCSP at `/ocsp`, on this machine, until Ctrl-C."""
    from hub.bootstrap import development

    with development.ListServer(folder, "127.0.0.1", port, timedelta(days=days)) as server:
        say(_(_MARK), style="bold yellow")
        address = f"http://127.0.0.1:{server.server_port}"
        print(_("The list is at {address}", address=f"{address}/crl"))
        print(_("OCSP is answered at {address}", address=f"{address}/ocsp"), flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def instant(text: str | None) -> datetime | None:
    """A time a person typed. Raises typer.BadParameter for one without an offset."""
    try:
        at = datetime.fromisoformat(text) if text is not None else None
    except ValueError:
        raise typer.BadParameter(_("give a time with its offset: 2026-11-22T08:30:00+07:00")) from (
            None
        )
    if at is not None and at.tzinfo is None:
        raise typer.BadParameter(_("give a time with its offset: 2026-11-22T08:30:00+07:00"))
    return at


def _say_done(sentence: str) -> None:
    say(sentence, style="bold green")
    say(_(_MARK), style="bold yellow")


def _refused(error: ValueError) -> CommandFailed:
    return CommandFailed(
        "CERTIFICATE_UNSUITABLE",
        _("The authority cannot do that: {why}", why=str(error)),
        _("Check the names, the times and the certificate that are given."),
    )
