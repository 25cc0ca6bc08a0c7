"""`lienthong agency`: an operator's view of who takes part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.console import local_time, say, say_fields, say_json, say_table, shown
from hub.cli.errors import CommandFailed
from hub.cli.given_answers import OcspOption, read_answers
from hub.cli.messages import N_, _
from hub.cli.session import (
    JsonOption,
    ProfileOption,
    ReceiptOption,
    operator,
    require_place_for,
    run,
)
from hub.client import HubUnreachable
from hub.client.registry import Registered, RegisteredAgency
from hub.proof.signatures import Algorithm
from hub.proof.trust import Purpose

_PURPOSES = {Purpose.SIGNING: N_("signing"), Purpose.TRANSPORT: N_("transport")}

CodeArgument = Annotated[str, typer.Argument(metavar="CODE", help="The agency's code.")]
RequestOption = Annotated[
    str | None,
    typer.Option(
        "--request-id",
        metavar="UUID",
        help="The request of an earlier run whose answer was lost: it is then done once.",
    ),
]


def add(
    code: CodeArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The agency's public name.")],
    *,
    profile: ProfileOption,
    other_code: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="A further code of it; repeat it for more codes."),
    ] = None,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Register an agency; it takes part once its certificates are enrolled."""
    require_place_for(receipt)
    with repeatable():
        registered = run(_add(profile, code, name, other_code or [], request_id))
    report(registered, code, receipt, json_)


def enrol(
    code: CodeArgument,
    certificate: Annotated[
        Path,
        typer.Argument(
            metavar="CERTIFICATE",
            exists=True,
            dir_okay=False,
            help="The certificate, in PEM or DER; never the private key.",
        ),
    ],
    *,
    purpose: Annotated[Purpose, typer.Option(help="What it is for.")],
    profile: ProfileOption,
    algorithm: Annotated[
        Algorithm | None,
        typer.Option(help="For signing: the one algorithm its signatures are verified with."),
    ] = None,
    ocsp: OcspOption = None,
    receipt: ReceiptOption = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Enrol a certificate of an agency; in force when this returns."""
    require_place_for(receipt)
    if (algorithm is None) == (purpose is Purpose.SIGNING):
        raise typer.BadParameter(_("--algorithm belongs to signing certificates, and only there"))
    with repeatable():
        registered = run(
            _enrol(
                profile,
                code,
                certificate=certificate.read_bytes(),
                purpose=purpose,
                algorithm=algorithm,
                ocsp_answers=read_answers(ocsp),
                request_id=request_id,
            )
        )
    report(registered, code, receipt, json_)


def list_(profile: ProfileOption, json_: JsonOption = False) -> None:
    """List the agencies and their certificates."""
    agencies = run(_list(profile))
    if json_:
        say_json([_members(agency) for agency in agencies])
        return
    rows = [row for agency in agencies for row in _rows(agency)]
    say_table([_("Code"), _("Name"), _("Certificate"), _("Algorithm"), _("Valid until")], rows)


async def _add(
    profile: Path, code: str, name: str, other_codes: Sequence[str], request_id: str | None
) -> Registered:
    async with operator(profile) as registry:
        return await registry.register_agency(
            code, name, other_codes=other_codes, request_id=request_id
        )


async def _enrol(
    profile: Path,
    code: str,
    *,
    certificate: bytes,
    purpose: Purpose,
    algorithm: Algorithm | None,
    ocsp_answers: Sequence[bytes],
    request_id: str | None,
) -> Registered:
    async with operator(profile) as registry:
        return await registry.enrol_certificate(
            code,
            certificate,
            purpose,
            algorithm,
            ocsp_answers=ocsp_answers,
            request_id=request_id,
        )


async def _list(profile: Path) -> list[RegisteredAgency]:
    async with operator(profile) as registry:
        return [agency async for agency in registry.list_agencies()]


@contextmanager
def repeatable() -> Iterator[None]:
    """Say how to repeat a command whose answer was lost."""
    try:
        yield
    except HubUnreachable as error:
        raise CommandFailed(
            "HUB_UNREACHABLE",
            _("The hub cannot be reached; whether it has recorded this is unknown."),
            _(
                "Repeat the command with `--request-id {request_id}`: it is then done once.",
                request_id=error.request_id or "",
            ),
        ) from error


def report(registered: Registered, code: str, receipt: Path | None, as_json: bool) -> None:
    """Say that a change of the register is recorded, and where its receipt is."""
    if receipt is not None:
        receipt.write_bytes(registered.evidence())
    members = {
        "agency": code,
        "request_id": registered.request_id,
        "position": registered.fact.position,
        "key_id": registered.key_id,
        "receipt": None if receipt is None else str(receipt),
    }
    if as_json:
        say_json(members)
        return
    say(_("Recorded, and the receipt holds."), style="bold green")
    fields = [(_("Agency"), code), (_("Position in the log"), str(members["position"]))]
    if registered.key_id:
        fields.append((_("Key"), registered.key_id))
    if receipt is not None:
        fields.append((_("Receipt"), str(receipt)))
    say_fields(fields)


def _rows(agency: RegisteredAgency) -> list[list[str]]:
    rows = [
        [
            "",
            "",
            _(_PURPOSES[certificate.purpose]),
            certificate.algorithm.value if certificate.algorithm else "",
            _("revoked") if certificate.revocation else local_time(certificate.not_after),
        ]
        for certificate in agency.certificates
    ] or [["", "", _("behind the national axis") if agency.via else _("none"), "", ""]]
    rows[0][:2] = [agency.code, shown(agency.name)]
    return rows


def _members(agency: RegisteredAgency) -> dict[str, Any]:
    certificates = [
        {
            "purpose": certificate.purpose.value,
            "algorithm": certificate.algorithm and certificate.algorithm.value,
            "key_id": certificate.key_id,
            "digest": certificate.digest,
            "not_before": certificate.not_before.isoformat(),
            "not_after": certificate.not_after.isoformat(),
            "position": certificate.position,
            "revocation": certificate.revocation
            and {
                "position": certificate.revocation.position,
                "effective": certificate.revocation.effective.isoformat(),
                "reason": certificate.revocation.reason,
            },
        }
        for certificate in agency.certificates
    ]
    return {
        "code": agency.code,
        "name": agency.name,
        "other_codes": list(agency.other_codes),
        "suspended": agency.suspended,
        "successor": agency.successor,
        "via": agency.via,
        "certificates": certificates,
    }
