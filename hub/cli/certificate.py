"""`lienthong certificate`: an agency sees to its own certificates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import say, say_fields, say_json
from hub.cli.given_answers import OcspOption, read_answers
from hub.cli.messages import _
from hub.cli.session import JsonOption, ProfileOption, ReceiptOption, agency, require_place_for, run
from hub.client.renewing import Renewed
from hub.client.signing import KeySigner
from hub.proof.signatures import Algorithm
from hub.proof.trust import Purpose


def certificates() -> None:
    """See to the agency's own certificates."""
    # A group with one command: without a callback Typer would make it that command.


def renew(
    certificate: Annotated[
        Path,
        typer.Argument(
            metavar="CERTIFICATE", exists=True, dir_okay=False, help="The new one, in PEM or DER."
        ),
    ],
    key: Annotated[
        Path,
        typer.Argument(
            metavar="KEY",
            exists=True,
            dir_okay=False,
            help="Its private key, PKCS#8 in PEM; it is used here and sent nowhere.",
        ),
    ],
    *,
    purpose: Annotated[Purpose, typer.Option(help="What it is for.")],
    algorithm: Annotated[Algorithm, typer.Option(help="The algorithm that its key signs with.")],
    profile: ProfileOption,
    ocsp: OcspOption = None,
    receipt: ReceiptOption = None,
    json_: JsonOption = False,
) -> None:
    """Put a new certificate of this agency into force, by the key it signs with today.

    The old one stays in force: change the profile to the new key when it suits, then have the
    old certificate revoked as superseded.
    """
    require_place_for(receipt)
    signer = KeySigner.from_file(key, algorithm)
    answers = read_answers(ocsp)
    renewed = run(_renew(profile, certificate.read_bytes(), signer, purpose, answers))
    if receipt is not None:
        receipt.write_bytes(renewed.evidence())
    members = {
        "key_id": renewed.key_id,
        "position": renewed.fact.position,
        "receipt": None if receipt is None else str(receipt),
    }
    if json_:
        say_json(members)
        return
    say(_("The new certificate is in force, and the receipt holds."), style="bold green")
    say_fields([(_("Key"), renewed.key_id), (_("Position in the log"), str(members["position"]))])


async def _renew(
    profile: Path,
    certificate: bytes,
    signer: KeySigner,
    purpose: Purpose,
    answers: Sequence[bytes],
) -> Renewed:
    async with agency(profile) as (hub, _finished):
        return await hub.renew_certificate(certificate, signer, purpose, answers)
