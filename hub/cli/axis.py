"""`lienthong axis`: packages of the national axis as files, and an axis to try against."""

from __future__ import annotations

import re
import secrets
import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.console import say, say_fields, say_json, shown, stderr
from hub.cli.errors import CommandFailed
from hub.cli.messages import N_, _
from hub.cli.session import JsonOption

# Why a package is refused. A test holds the table to the codec's reasons.
REFUSALS: dict[str, tuple[str, str]] = {
    "EDXML_NOT_WELL_FORMED": (
        N_("The package is not well-formed XML, or it is cut short."),
        N_("Ask the sender for the file again."),
    ),
    "EDXML_DOCTYPE": (
        N_("The package has a DOCTYPE, which no package needs and which can do harm."),
        N_("Do not open it with anything else; tell the sender."),
    ),
    "EDXML_TOO_DEEP": (
        N_("The elements of the package are nested too deeply."),
        N_("Do not open it with anything else; tell the sender."),
    ),
    "EDXML_TOO_LARGE": (
        N_("Something in the package is larger than is taken."),
        N_("Ask the sender for smaller attachments."),
    ),
    "EDXML_NOT_EDXML": (
        N_("The file is XML, but no edXML package."),
        N_("Check that it is the file that was meant."),
    ),
    "EDXML_BAD_BASE64": (
        N_("The content of an attachment is damaged."),
        N_("Ask the sender for the file again."),
    ),
    "EDXML_ATTACHMENT_INCOMPLETE": (
        N_("An attachment has no name or no content."),
        N_("Ask the sender for the file again."),
    ),
    "EDXML_ZIP_BROKEN": (
        N_("The zip around an attachment cannot be opened."),
        N_("Ask the sender for the file again."),
    ),
    "EDXML_ZIP_BOMB": (
        N_("The zip around an attachment grows out of all proportion."),
        N_("Do not open it with anything else; tell the sender."),
    ),
    "EDXML_FIELD_INVALID": (
        N_("A field is missing, or it cannot be read."),
        N_("Have the field that is named corrected."),
    ),
    "EDXML_NO_RECIPIENT": (
        N_("The package names no recipient."),
        N_("Have the recipients put in."),
    ),
    "EDXML_STATUS_UNKNOWN": (
        N_("The status is none of 01 to 06, 13, 15 and 16."),
        N_("Have the code corrected."),
    ),
    "EDXML_SECRET": (
        N_("Documents marked as state secrets are not exchanged here (QĐ 28/2018/QĐ-TTg Art. 1)."),
        N_("Send it by the way that is prescribed for state secrets."),
    ),
    "EDXML_CANNOT_HOLD": (
        N_("No edXML package can hold this as it is."),
        N_("Change the field that is named."),
    ),
    "EDXML_CONTENT_CHANGED": (
        N_("A file is not the one that the description names."),
        N_("Put the right file back, or leave out its size and sha256."),
    ),
}

_ORGANISATION = re.compile(r"([0-9A-Za-z]+(?:[.-][0-9A-Za-z]+)*)(?:=([!-~]+))?")
_LISTEN = re.compile(r"([A-Za-z0-9._-]+):([0-9]{1,5})")


def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The .edxml file."),
    ],
    *,
    into: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", file_okay=False, help="Where the files go; made if it is not there."
        ),
    ],
    json_: JsonOption = False,
) -> None:
    """Take an edXML package apart: what it says as JSON, and its attachments beside that.

    Nothing is sent anywhere, and no file that is there already is touched.
    """
    from hub.bootstrap.axis import PackageRefused, import_package

    try:
        imported = import_package(file, into)
    except PackageRefused as refusal:
        raise _explained(refusal.reason, refusal.where) from refusal
    report = {
        "kind": "status" if "code" in imported.said else "document",
        "file": str(imported.file),
        "attachments": [str(path) for path in imported.attachments],
        "signed": imported.is_signed,
        "unknown": list(imported.unknown),
        "said": imported.said,
    }
    if json_:
        say_json(report)
    else:
        _show_import(report)


def export(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="A folder as `lienthong axis import` makes it.",
        ),
    ],
    *,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The .edxml file to write; it must not exist.")
    ],
    json_: JsonOption = False,
) -> None:
    """Make an edXML package of what a folder describes, as the vendor's library would.

    Fields that edXML cannot hold are named.
    """
    from hub.bootstrap.axis import PackageRefused, export_package

    try:
        exported = export_package(folder, out)
    except PackageRefused as refusal:
        raise _explained(refusal.reason, refusal.where) from refusal
    report = {
        "file": str(exported.file),
        "size": exported.size,
        "sha256": exported.sha256,
        "lost": list(exported.lost),
    }
    if json_:
        say_json(report)
    else:
        _show_export(report)


def simulate(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where the axis keeps its things; made if not there."),
    ],
    *,
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="Where it listens; port 0 takes a free one.")
    ] = "127.0.0.1:8480",
    organisation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE[=SECRET]",
            help="Let an organisation in, with this secret or a new one; repeatable. Those of "
            "earlier runs are still in.",
        ),
    ] = None,
    correspondent: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE",
            help="Let in an organisation that answers by itself: 01, 03 and a document back for "
            "each it gets; repeatable.",
        ),
    ] = None,
    fault_rate: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The share of calls that go wrong.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Makes faults at random repeatable.")] = 0,
    rewrites: Annotated[
        bool, typer.Option("--rewrites", help="Write packages anew on their way, as an axis may.")
    ] = False,
) -> None:
    """Run a national axis to try against, until SIGTERM or Ctrl-C.

    It speaks the API of the real one, and is for tests and newcomers only: no documents that
    matter. Faults can also be asked for one by one, with POST to /simulator/faults.
    """
    from hub.bootstrap.axis import simulated_axis

    host, port = _address(listen)
    organisations = [_organisation(each) for each in organisation or []]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_told: stop.set())
    try:
        with simulated_axis(
            folder,
            host,
            port,
            organisations,
            fault_rate=fault_rate,
            seed=seed,
            rewrites=rewrites,
            correspondents=[_organisation(each)[0] for each in correspondent or []],
        ) as address:
            for code, secret in organisations:
                print(_("organisation {code}, secret {secret}", code=code, secret=secret))
            print(_("the simulated axis listens on {address}", address=address), flush=True)
            stop.wait()
    except OSError as error:
        if error.filename:
            raise
        raise CommandFailed(
            "ADDRESS_IN_USE",
            _("The simulated axis cannot listen on {listen}.", listen=listen),
            _("Stop what listens there, or choose another address with --listen."),
        ) from error


def _address(listen: str) -> tuple[str, int]:
    match = _LISTEN.fullmatch(listen)
    if match is None or int(match[2]) > 65_535:
        raise typer.BadParameter(_("--listen takes an address and a port, like 127.0.0.1:8443"))
    return match[1], int(match[2])


def _organisation(said: str) -> tuple[str, str]:
    match = _ORGANISATION.fullmatch(said)
    if match is None:
        raise typer.BadParameter(
            _("--organisation takes a code, or a code and a secret: H99=s3cret")
        )
    return match[1], match[2] or secrets.token_urlsafe(18)


def _explained(reason: str, where: str) -> CommandFailed:
    sentence, advice = REFUSALS[reason]
    return CommandFailed(reason, _(sentence) + (f" ({where})" if where else ""), _(advice))


def _show_import(report: dict[str, Any]) -> None:
    say(_("Taken apart. Nothing of it is proven: a package can name any sender."), style="bold")
    said = report["said"]
    fields = _status_fields(said) if report["kind"] == "status" else _document_fields(said)
    fields.append((_("Description"), report["file"]))
    fields += [(_("File"), shown(path)) for path in report["attachments"]]
    say_fields(fields)
    if report["unknown"]:
        say(_("Elements that edXML does not know are kept in the description:"), to=stderr())
        say(f"  {', '.join(map(shown, report['unknown']))}", to=stderr())


def _status_fields(said: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (_("From"), shown(said["by"])),
        (_("Status"), said["code"]),
        (_("Document"), shown(said.get("document_code") or said.get("document_id") or "")),
    ]


def _document_fields(said: dict[str, Any]) -> list[tuple[str, str]]:
    document = said["document"]
    code = f"{shown(document['number'])}/{shown(document['notation'])}"
    return [
        (_("From"), shown(said["agency"])),
        (_("Recipients"), ", ".join(map(shown, said["recipients"]))),
        (_("Document"), f"{code}: {shown(document['subject'])}"),
    ]


def _show_export(report: dict[str, Any]) -> None:
    say(_("The package is written."), style="bold green")
    say_fields([(_("File"), report["file"]), ("SHA-256", report["sha256"])])
    if report["lost"]:
        say(_("It does not hold these fields:"), style="yellow", to=stderr())
        say(f"  {', '.join(map(shown, report['lost']))}", to=stderr())
