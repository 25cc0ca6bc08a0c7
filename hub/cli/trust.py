"""`lienthong trust`: editions of the trusted root, drafted by the hub and signed elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.agency import RequestOption, repeatable
from hub.cli.ca import instant
from hub.cli.console import say, say_fields, say_json, shown
from hub.cli.errors import CommandFailed
from hub.cli.messages import _
from hub.cli.session import JsonOption, ProfileOption, operator, run
from hub.client.orders import OperatorFact
from hub.client.roots import sign_edition
from hub.client.state import write_durably
from hub.errors import VerificationFailed
from hub.proof.folders import read_at_most
from hub.proof.succession import (
    SIGNED_ROOT_BYTES_MAX,
    SignedRoot,
    is_signed_root,
    parse_signed_root,
    read_trusted_root,
)
from hub.proof.trust import Purpose, TrustedRoot, parse_trusted_root
from hub.proof.window import Window

_KEY_BYTES_MAX = 32 * 1024

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The edition.")
]


def draft(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the draft.")],
    *,
    end: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHO=TIME",
            help="The last instant at which a witness or an authority could be relied on, such as "
            "tsa=2026-11-22T08:30:00+07:00; WHO as `trust show` names it. May be repeated.",
        ),
    ] = None,
    profile: ProfileOption,
    json_: JsonOption = False,
) -> None:
    """Write the next edition of the trusted root as the hub has it, for its signers.

    Each of them reads it (`lienthong trust show`) and signs it where its root key lies.
    """
    data = run(_draft(profile, [_end(each) for each in end or ()]))
    write_durably(file, data)
    _show(parse_trusted_root(data), (), file, json_)


def show(file: FileArgument, json_: JsonOption = False) -> None:
    """Show what an edition says, and who signed it; whether they may, another edition says."""
    root, signers = _read(file)
    _show(root, signers, file, json_)


def sign(
    file: FileArgument,
    *,
    key: Annotated[
        list[Path],
        typer.Option(
            metavar="PEM", exists=True, dir_okay=False, help="A root key, in PEM; may be repeated."
        ),
    ],
    held: Annotated[
        Path | None,
        typer.Option(
            metavar="ROOT",
            exists=True,
            dir_okay=False,
            help="The edition before it, where the key is one of that one's only.",
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Sign a draft, or an edition that others signed, with a root key; needs no hub."""
    try:
        before = read_trusted_root(read_at_most(held, SIGNED_ROOT_BYTES_MAX)) if held else None
        data = read_at_most(file, SIGNED_ROOT_BYTES_MAX)
        for each in key:
            data = sign_edition(data, read_at_most(each, _KEY_BYTES_MAX), before).format()
    except VerificationFailed as failure:
        raise _unusable(file, failure) from failure
    write_durably(file, data)
    signed = parse_signed_root(data)
    _show(signed.root, _signers(signed), file, json_)


def publish(
    file: FileArgument,
    *,
    profile: ProfileOption,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Publish a signed edition: from now on clients and verifiers fetch it from the hub."""
    data = read_at_most(file, SIGNED_ROOT_BYTES_MAX)
    with repeatable():
        fact = run(_publish(profile, data, request_id))
    if json_:
        edition = fact.fact.event.data["edition"]
        say_json({"edition": edition, "position": fact.fact.position})
        return
    say(_("Published, and the receipt holds."), style="bold green")
    say_fields([(_("Position in the log"), str(fact.fact.position))])


def _read(file: Path) -> tuple[TrustedRoot, tuple[str, ...]]:
    data = read_at_most(file, SIGNED_ROOT_BYTES_MAX)
    try:
        if not is_signed_root(data):
            return parse_trusted_root(data), ()
        signed = parse_signed_root(data)
        return signed.root, _signers(signed)
    except VerificationFailed as failure:
        raise _unusable(file, failure) from failure


def _signers(signed: SignedRoot) -> tuple[str, ...]:
    return tuple(each.key.name for each in signed.signatures)


def _show(root: TrustedRoot, signers: tuple[str, ...], file: Path, as_json: bool) -> None:
    needed = root.root_keys.threshold if root.root_keys else 0
    if as_json:
        say_json(
            {
                "file": str(file),
                "edition": root.version,
                "expires": root.expires and root.expires.isoformat(),
                "threshold": needed,
                "signed_by": list(signers),
                "logs": [
                    {
                        "origin": log.origin,
                        "keys": [
                            {
                                "key": each.key.format(),
                                "from_size": each.from_size,
                                "closing_size": each.closed and each.closed.size,
                                "closing_root": each.closed and each.closed.root.hex(),
                            }
                            for each in log.keys
                        ],
                    }
                    for log in root.logs
                ],
                **_windows_json(root),
            }
        )
        return
    ends = root.expires.date().isoformat() if root.expires else "–"
    fields = [(_("File"), str(file)), (_("Edition"), str(root.version)), (_("Ends"), ends)]
    for log in root.logs:
        for each in log.keys:
            closed = "" if each.closed is None else f" – {each.closed.size}"
            window = f"{each.from_size}{closed}"
            fields.append((_("Log key"), f"{shown(each.key.format())}  {window}"))
    fields += [
        (name, f"{shown(who)}  {_in_words(window)}") for _kind, name, who, window in _windows(root)
    ]
    have = ", ".join(map(shown, signers)) or "–"
    fields.append((_("Signed by"), _("{names}; needed: {count}", names=have, count=needed)))
    say_fields(fields)


def _windows(root: TrustedRoot) -> Iterator[tuple[str, str, str, Window]]:
    """Witnesses and authorities as `--end` names them, each with its window."""
    for witness in root.witnesses:
        yield "witnesses", _("Witness"), witness.key.format(), witness.window
    for ca in root.certificate_authorities:
        who = hashlib.sha256(ca.certificate).hexdigest()
        signing = ca.purpose is Purpose.SIGNING
        name = _("Signing authority") if signing else _("Transport authority")
        yield f"{ca.purpose.value}_authorities", name, who, ca.window
    for authority in root.timestamp_authorities:
        window = Window(authority.not_before, authority.not_after)
        yield "timestamp_authorities", _("Time-stamping authority"), authority.name, window


def _windows_json(root: TrustedRoot) -> dict[str, list[dict[str, Any]]]:
    kinds: dict[str, list[dict[str, Any]]] = {
        "witnesses": [],
        "signing_authorities": [],
        "transport_authorities": [],
        "timestamp_authorities": [],
    }
    for kind, _name, who, window in _windows(root):
        kinds[kind].append({"who": who, "from": None, "until": None} | window.members())
    return kinds


def _in_words(window: Window) -> str:
    # As the file says it, since its signers compare.
    ends = window.members()
    return f"{ends['from'] or ''} – {ends['until'] or ''}".strip() if ends else _("always")


def _unusable(file: Path, failure: VerificationFailed) -> CommandFailed:
    return CommandFailed(
        "TRUSTED_ROOT_UNUSABLE",
        _("{file} cannot be used: {why}", file=shown(str(file)), why=shown(str(failure))),
        _("Get the newest draft: `lienthong trust draft`."),
    )


def _end(text: str) -> tuple[str, datetime]:
    # Base64 at the end of a witness's key may have the same sign.
    who, _sign, at = text.rpartition("=")
    until = instant(at)
    if not who or until is None:
        raise typer.BadParameter(_("give whom, an equals sign, and a time"))
    return who, until


async def _draft(profile: Path, ends: list[tuple[str, datetime]]) -> bytes:
    async with operator(profile) as registry:
        return await registry.hub_keys.draft_trusted_root(ends)


async def _publish(profile: Path, data: bytes, request_id: str | None) -> OperatorFact:
    async with operator(profile) as registry:
        return await registry.hub_keys.publish_trusted_root(data, request_id=request_id)
