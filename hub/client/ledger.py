"""The log as any principal may see it: checkpoints and proofs, with nothing signed and no state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from hub.client.client import consistency_of
from hub.client.errors import LogShrank
from hub.client.line import Line
from hub.client.memory import CheckpointMemory
from hub.client.profile import ClientProfile
from hub.client.retry import RetryPolicy
from hub.client.verification import ConsistencyProver, ReceiptVerifier
from hub.proof.checkpoint import Checkpoint
from hub.proof.trust import TrustedRoot
from hub.v1 import ledger_service_pb2 as calls

PAGE_SIZE = 1000


class LedgerClient:
    """A connection to a hub's log; open it with `LedgerClient.open`. Nothing here is verified."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.consistency: ConsistencyProver = consistency_of(line)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, profile: ClientProfile, *, policy: RetryPolicy | None = None
    ) -> AsyncIterator[LedgerClient]:
        """A client with anybody's profile, until the `async with` block ends.

        The profile's state folder is not touched. Raises ProfileInvalid.
        """
        line = Line(profile, policy or RetryPolicy())
        try:
            yield cls(line)
        finally:
            await line.close()

    async def checkpoint(self) -> bytes:
        """The newest checkpoint, a signed note."""
        answer = await self._line.call(
            self._line.ledger.GetCheckpoint, calls.GetCheckpointRequest()
        )
        return answer.checkpoint

    async def checkpoints(self, after: int = 0) -> AsyncIterator[bytes]:
        """Every checkpoint of a larger size than `after`, by rising size."""
        more = True
        while more:
            request = calls.ListCheckpointsRequest(after=after, page_size=PAGE_SIZE)
            answer = await self._line.call(self._line.ledger.ListCheckpoints, request)
            for each in answer.checkpoints:
                yield each.checkpoint
                after = each.size
            more = answer.more and bool(answer.checkpoints)

    async def inclusion(self, position: int, size: int) -> Sequence[bytes]:
        """The proof that a leaf stands in the tree of a size. Raises PositionUnknown."""
        request = calls.GetInclusionProofRequest(position=position, size=size)
        return (await self._line.call(self._line.ledger.GetInclusionProof, request)).hashes

    async def tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile. Raises PositionUnknown."""
        request = calls.GetTileRequest(level=level, number=number)
        return (await self._line.call(self._line.ledger.GetTile, request)).hashes


class LogWatch:
    """Follows the checkpoints of one log: each must extend the largest one ever seen."""

    def __init__(
        self, trust: TrustedRoot, origin: str, memory: CheckpointMemory, prove: ConsistencyProver
    ) -> None:
        """`prove` fetches the proof that one tree begins another, from wherever the log is read."""
        self._trust = trust
        self._origin = origin
        self._memory = memory
        self._verifier = ReceiptVerifier(trust, origin, memory, prove)

    async def see(self, note: bytes) -> Checkpoint:
        """Check the log's newest checkpoint, and remember it.

        1. A key of the log signed it. 2. It is no smaller than the largest one seen. 3. It is
        proven to extend that one. Raises VerificationFailed, at step 2 LogShrank, at step 3
        ForkDetected; at both, the two checkpoints are kept in the state folder.
        """
        # (1) A key of the log signed it.
        shown = self._trust.open_checkpoint(note).checkpoint
        # (2) It is no smaller than the largest one seen.
        kept = self._memory.largest(self._origin)
        if kept is not None and shown.origin == self._origin and shown.size < kept[0].size:
            self._memory.keep_contradiction(kept=kept[1], shown=note)
            raise LogShrank(kept[0].size, shown.size)
        # (3) It is proven to extend that one.
        return await self._verifier.advance(note)
