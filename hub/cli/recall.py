"""`lienthong recall` and `lienthong answer`: ask for a document back, and say yes or no."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.messages import _
from hub.cli.said import report, said_before
from hub.cli.session import (
    JsonOption,
    OfOption,
    ProfileOption,
    ReceiptOption,
    agency,
    exchange_id,
    find,
    find_exchange,
    require_place_for,
    run,
)
from hub.client import Accepted
from hub.proof.statements import Recall, RecallAnswer

_ASKED, _AGREED, _REFUSED = "13", "15", "16"


class Answer(StrEnum):
    """What a recipient can say to a recall."""

    AGREE = "agree"
    REFUSE = "refuse"


def recall(
    exchange: Annotated[
        str,
        typer.Argument(
            metavar="EXCHANGE", callback=exchange_id, help="The id of the document's exchange."
        ),
    ],
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; recipients can read it.")],
    profile: ProfileOption,
    receipt: ReceiptOption = None,
    json_: JsonOption = False,
) -> None:
    """Ask every recipient for a document back (13).

    Who has not collected it cannot any more. Each recipient answers for itself:
    `lienthong outbox` shows the answers.
    """
    require_place_for(receipt)
    accepted = run(_recall(profile, exchange, reason))
    sentence = _("Every recipient is asked for it, and the receipt holds.")
    report(sentence, accepted, code=_ASKED, receipt=receipt, as_json=json_)


def answer(
    name: Annotated[
        str,
        typer.Argument(
            metavar="EXCHANGE_OR_NUMBER", help="An exchange's id, or a number in the inbox."
        ),
    ],
    says: Annotated[
        Answer,
        typer.Argument(metavar="ANSWER", help="agree (15): cancelled here; or refuse (16)."),
    ],
    *,
    profile: ProfileOption,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why; a refusal (16) needs it.")
    ] = None,
    receipt: ReceiptOption = None,
    of: OfOption = "",
    json_: JsonOption = False,
) -> None:
    """Answer a sender that asks for its document back; the first answer stands.

    Once agreed, the hub gives the document out no more.
    """
    require_place_for(receipt)
    code = _AGREED if says is Answer.AGREE else _REFUSED
    accepted = run(_answer(profile, name, code, reason, of))
    sentence = _("Answered, and the receipt holds.")
    report(sentence, accepted, code=code, receipt=receipt, as_json=json_)


async def _recall(profile: Path, exchange: str, reason: str) -> Accepted:
    async with agency(profile) as (hub, finished):
        digest = (await find_exchange(hub, exchange)).envelope_digest
        before = said_before(finished, Recall.MEDIA_TYPE, envelope_digest=digest)
        return before or await hub.recall(digest, reason)


async def _answer(profile: Path, name: str, code: str, reason: str | None, of: str) -> Accepted:
    async with agency(profile) as (hub, finished):
        digest = (await find(hub, name, of)).envelope_digest
        before = said_before(finished, RecallAnswer.MEDIA_TYPE, envelope_digest=digest, code=code)
        return before or await hub.answer_recall(
            digest, agreed=code == _AGREED, reason=reason, for_agency=of or None
        )
