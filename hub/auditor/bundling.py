"""A bundle of a document for a case: what its parties could make, made by an auditor."""

from __future__ import annotations

from collections.abc import Mapping

from hub.auditor.ranges import Wanted
from hub.auditor.stream import EventStream
from hub.client.answers import VerifiedStatement
from hub.client.bundling import LedgerSource, Positions
from hub.client.line import Line
from hub.client.verification import ReceiptVerifier
from hub.proof.facts import exchange_of

# Who audited the document is no fact about it: a party's bundle is the same.
_OF_THE_DOCUMENT = ("hub.Exchange.", "hub.Delivery.")
# A hub refuses to look for kinds it does not know; a test holds this list to the hub's own.
OF_THE_KEYS = (
    "hub.Log.LogOpened",
    "hub.Log.LogReopened",
    "hub.HubKey.HubKeyAnnounced",
    "hub.HubKey.HubKeyActivated",
    "hub.HubKey.HubKeyRetired",
    "hub.HubKey.HubKeyCompromised",
)


class CaseSource(LedgerSource):
    """What an auditor was shown of a document for a case, and the receipts of its events."""

    def __init__(
        self, line: Line, verifier: ReceiptVerifier, said: Mapping[int, VerifiedStatement]
    ) -> None:
        super().__init__(line, verifier)
        self._said = said

    async def positions(self, exchange_id: str) -> Positions:
        """Every event of the document and its deliveries, each proven as it is streamed."""
        wanted = Wanted(exchange_id=exchange_id)
        facts = [
            logged.position
            async for logged in EventStream(self._line, self._verifier, wanted)
            if logged.event.topic.startswith(_OF_THE_DOCUMENT)
            and exchange_of(logged.event) == exchange_id
        ]
        keys = EventStream(self._line, self._verifier, Wanted(topics=OF_THE_KEYS))
        return Positions(tuple(facts), tuple([logged.position async for logged in keys]))

    async def statement(self, position: int) -> VerifiedStatement | None:
        """What was signed, as it was shown for the case; None if it was lost."""
        return self._said.get(position)
