"""What the commands that sign a statement share: said once, its receipt kept, reported."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from hub.cli.console import say, say_fields, say_json, shown, stderr
from hub.cli.messages import _
from hub.client import Accepted


def said_before(
    finished: Iterable[Accepted], media_type: str, **members: object
) -> Accepted | None:
    """What an earlier run that broke off has said in these words, and is settled now.

    Whoever repeats a command that broke off means one statement, not two.
    """
    for accepted in finished:
        statement = accepted.statement
        if statement is not None and statement.payload_type == media_type:
            signed = json.loads(statement.payload)
            if all(signed.get(name) == value for name, value in members.items()):
                return accepted
    return None


def report(
    sentence: str, accepted: Accepted, *, code: str, receipt: Path | None, as_json: bool
) -> None:
    """Keep a copy of the receipt where it was asked for, and say what was recorded."""
    if receipt is not None:
        receipt.write_bytes(accepted.evidence())
    kept = str(receipt or accepted.receipt_file)
    if as_json:
        say_json(
            {
                "exchange": accepted.exchange_id,
                "request_id": accepted.request_id,
                "code": code,
                "position": accepted.position,
                "receipt": kept,
                "warnings": warnings_as_json(accepted),
            }
        )
        return
    say(sentence, style="bold green")
    say_fields(
        [
            (_("Exchange"), accepted.exchange_id),
            (_("Position in the log"), str(accepted.position)),
            (_("Receipt"), kept),
        ]
    )
    say_warnings(accepted)


def warnings_as_json(accepted: Accepted) -> list[dict[str, str]]:
    """What the hub noticed, for programs."""
    return [{"code": warning.code, "message": warning.message} for warning in accepted.warnings]


def say_warnings(accepted: Accepted) -> None:
    """What the hub noticed, for a person, beside what was asked for."""
    for warning in accepted.warnings:
        text = _("Warning: {message}", message=shown(warning.message))
        say(f"{text} [{shown(warning.code)}]", style="yellow", to=stderr())
