"""`lienthong status`: say what has become of a document, or see it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import local_time, say, say_json, say_table, shown
from hub.cli.document_signatures import signature_as_json, signature_in_words
from hub.cli.messages import _
from hub.cli.relays import relay_state_in_words
from hub.cli.said import report
from hub.cli.session import (
    JsonOption,
    OfOption,
    ProfileOption,
    ReceiptOption,
    agency,
    find,
    require_place_for,
    run,
    standing_in_words,
)
from hub.client import Accepted
from hub.client.answers import Delivery, Exchange, RelayState


class Code(StrEnum):
    """What a recipient can say."""

    ARRIVED = "01"
    REFUSED = "02"
    ACCEPTED = "03"
    ASSIGNED = "04"
    PROCESSING = "05"
    FINISHED = "06"


def status(
    name: Annotated[
        str,
        typer.Argument(
            metavar="EXCHANGE_OR_NUMBER", help="An exchange's id, or a number in the inbox."
        ),
    ],
    *,
    profile: ProfileOption,
    code: Annotated[
        Code | None,
        typer.Argument(
            metavar="CODE",
            help="What to report: 01 arrived, 02 refused, 03 accepted, 04 assigned, "
            "05 processing, 06 finished.",
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why; a refusal (02) needs it.")
    ] = None,
    receipt: ReceiptOption = None,
    of: OfOption = "",
    json_: JsonOption = False,
) -> None:
    """Report what has become of a document; without a code, show it.

    The sender sees every recipient, a recipient only itself.
    """
    if code is None:
        if reason or receipt:
            raise typer.BadParameter(_("--reason and --receipt belong to a code"))
        _show(run(_ask(profile, name, of)), json_)
        return
    require_place_for(receipt)
    accepted = run(_say(profile, name, code, reason, of))
    sentence = _("Reported, and the receipt holds.")
    report(sentence, accepted, code=code.value, receipt=receipt, as_json=json_)


async def _ask(profile: Path, name: str, of: str) -> Exchange:
    async with agency(profile) as (hub, _finished):
        return await hub.exchange((await find(hub, name, of)).exchange_id)


async def _say(profile: Path, name: str, code: Code, reason: str | None, of: str) -> Accepted:
    async with agency(profile) as (hub, _finished):
        named = await find(hub, name, of)
        return await hub.report_status(
            named.envelope_digest, code.value, reason, for_agency=of or None
        )


def _show(exchange: Exchange, as_json: bool) -> None:
    if as_json:
        deliveries = [
            {
                "recipient": delivery.recipient,
                "state": delivery.state.name.lower(),
                "recall": delivery.recall.name.lower(),
                "expired": delivery.expired,
                "updated_at": delivery.updated_at.isoformat(),
                "position": delivery.position,
                "via": delivery.via,
                **(_relay_members(delivery) if delivery.via else {}),
            }
            for delivery in exchange.deliveries
        ]
        say_json(
            {
                "exchange": exchange.exchange_id,
                "sender": exchange.sender,
                "envelope_digest": exchange.envelope_digest,
                "accepted_at": exchange.accepted_at.isoformat(),
                "position": exchange.position,
                "replaced_by": exchange.replaced_by,
                "erased": exchange.erased,
                "deliveries": deliveries,
                "doubts": [
                    {
                        "statement": doubt.statement,
                        "recipient": doubt.recipient,
                        "effective": doubt.effective.isoformat(),
                        "position": doubt.position,
                        "revocation": doubt.revocation,
                    }
                    for doubt in exchange.doubts
                ],
                "signatures": [signature_as_json(each) for each in exchange.signatures],
            }
        )
        return
    say_table([_("Recipient"), _("State"), _("Since")], map(_row, exchange.deliveries))
    for delivery in exchange.deliveries:
        if delivery.via and delivery.relay in (RelayState.FAILED, RelayState.PARKED):
            say(_relay_in_words(delivery))
    if exchange.replaced_by:
        say(_("Replaced by exchange {id}.", id=exchange.replaced_by))
    if exchange.erased:
        say(_("Erased by law: words and content are gone for good."))
    for signature in exchange.signatures:
        say(signature_in_words(signature))
    for doubt in exchange.doubts:
        say(
            _(
                "In doubt: the signature of {agency} at position {position}; its key is revoked"
                " from {time} on.",
                agency=shown(doubt.recipient or exchange.sender),
                position=doubt.statement,
                time=local_time(doubt.effective),
            )
        )


def _row(delivery: Delivery) -> list[str]:
    standing = standing_in_words(
        delivery.state, delivery.recall, expired=delivery.expired, replaced=False
    )
    return [delivery.recipient, standing, local_time(delivery.updated_at)]


def _relay_members(delivery: Delivery) -> dict[str, str]:
    return {
        "relay": delivery.relay.name.lower(),
        "relay_reason": delivery.relay_reason,
        "relay_code": delivery.relay_code,
    }


def _relay_in_words(delivery: Delivery) -> str:
    return _(
        "To {agency}, over the national axis: {state}, {reason}.",
        agency=shown(delivery.recipient),
        state=relay_state_in_words(delivery.relay),
        reason=shown(" ".join(filter(None, (delivery.relay_reason, delivery.relay_code)))) or "?",
    )
