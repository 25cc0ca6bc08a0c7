"""OCSP answers in files, which go along with a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

# One byte more than a hub takes, which then says what is wrong.
_ANSWER_BYTES_MAX = 64 * 1024 + 1

OcspOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--ocsp",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="What its issuer says of it by OCSP, in DER; at most four.",
    ),
]


def read_answers(files: Sequence[Path] | None) -> list[bytes]:
    """The answers in these files."""
    found: list[bytes] = []
    for path in files or ():
        with path.open("rb") as file:
            found.append(file.read(_ANSWER_BYTES_MAX))
    return found
