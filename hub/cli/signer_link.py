"""`lienthong signer link`: certificates between hubs and a signer on another machine."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.console import say, say_fields, say_json, shown, stderr
from hub.cli.messages import _
from hub.cli.secret import ask_secret
from hub.cli.session import JsonOption

FolderArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder of a hub, or of a signer.")
]


def make(
    folder: FolderArgument,
    *,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What it is called; this machine's name if left out."),
    ] = None,
    days: Annotated[
        int, typer.Option(metavar="DAYS", min=1, max=3650, help="How long it is good for.")
    ] = 365,
    json_: JsonOption = False,
) -> None:
    """Make a key and a certificate of this end, and print the certificate for the other.

    The first is used at once; a later one waits for `switch`. Repeated before that, it prints
    the one that waits.
    """
    from hub.bootstrap import signer_links

    made = signer_links.make(folder, name or socket.gethostname()[:64], days, ask_secret)
    waits = signer_links.state(folder).current != made
    if json_:
        say_json({**_members(made), "certificate": made.pem, "waits": waits})
        return
    print(made.pem, end="", flush=True)
    words = _("The certificate waits for `switch`.") if waits else _("The certificate is in use.")
    say(words, style="bold green", to=stderr())


def accept(
    folder: FolderArgument,
    certificate: Annotated[
        Path,
        typer.Argument(
            metavar="CERTIFICATE", exists=True, dir_okay=False, help="The other end's, in PEM."
        ),
    ],
    json_: JsonOption = False,
) -> None:
    """Let the other end in by its certificate, besides those that are accepted already.

    Compare its fingerprint with what the other end shows. It counts from the next connection on.
    """
    from hub.bootstrap import signer_links

    _tell(_("The certificate is accepted."), signer_links.accept(folder, certificate), json_)


def switch(
    folder: FolderArgument,
    *,
    untried: Annotated[
        bool, typer.Option("--untried", help="At a hub: without asking the signer first.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Use the certificate that waits, from the next connection on.

    A hub first asks the signer with it, and changes nothing unless it answers. A signer cannot
    try: let all its hubs accept the certificate before.
    """
    from hub.bootstrap.signer import switch_link

    _tell(_("The certificate is in use."), switch_link(folder, ask_secret, untried=untried), json_)


def forget(
    folder: FolderArgument,
    fingerprint: Annotated[
        str,
        typer.Argument(metavar="FINGERPRINT", help="Whom: eight digits of it or more."),
    ],
    json_: JsonOption = False,
) -> None:
    """Let one of the other end's certificates in no more, from the next connection on."""
    from hub.bootstrap import signer_links

    _tell(_("The certificate is forgotten."), signer_links.forget(folder, fingerprint), json_)


def show(folder: FolderArgument, json_: JsonOption = False) -> None:
    """Show which certificate this end uses, which one waits, and whom it accepts."""
    from hub.bootstrap import signer_links

    state = signer_links.state(folder)
    if json_:
        say_json(
            {
                "end": state.end.value,
                "current": state.current and _members(state.current),
                "waiting": state.waiting and _members(state.waiting),
                "accepted": [_members(each) for each in state.accepted],
            }
        )
        return
    say_fields(
        [
            (_("In use"), _words(state.current)),
            (_("Waits"), _words(state.waiting)),
            *((_("Accepted"), _words(each)) for each in state.accepted),
        ]
    )


def _tell(sentence: str, certificate: Any, as_json: bool) -> None:
    if as_json:
        say_json(_members(certificate))
        return
    say(sentence, style="bold green")
    say_fields([(_("Certificate"), _words(certificate))])


def _members(certificate: Any) -> dict[str, Any]:
    return {
        "fingerprint": certificate.fingerprint,
        "name": certificate.name,
        "begins": certificate.begins.isoformat(),
        "ends": certificate.ends.isoformat(),
        "days_left": (certificate.ends - datetime.now(UTC)).days,
    }


def _words(certificate: Any) -> str:
    if certificate is None:
        return _("none")
    until = certificate.ends.strftime("%Y-%m-%d")
    return _(
        "{name}, until {until}: {fingerprint}",
        name=shown(certificate.name), until=until, fingerprint=certificate.fingerprint,
    )  # fmt: skip
