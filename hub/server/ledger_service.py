"""LedgerService: checkpoints, proofs and receipts for whoever holds the hub to its word."""

from __future__ import annotations

from typing import Any

from hub.application.audit import OwnReceipts
from hub.server import convert
from hub.server.interceptors import current_caller
from hub.v1 import ledger_service_pb2 as pb
from hub.v1 import ledger_service_pb2_grpc


class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    """Serves any principal."""

    def __init__(self, receipts: OwnReceipts) -> None:
        self._receipts = receipts

    async def GetCheckpoint(
        self, request: pb.GetCheckpointRequest, context: Any
    ) -> pb.GetCheckpointResponse:
        """The newest published checkpoint."""
        return pb.GetCheckpointResponse(checkpoint=self._receipts.checkpoint())

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: Any
    ) -> pb.GetConsistencyProofResponse:
        """That one tree is the beginning of another."""
        hashes = await self._receipts.consistency(request.old_size, request.new_size)
        return pb.GetConsistencyProofResponse(hashes=hashes)

    async def GetReceipt(
        self, request: pb.GetReceiptRequest, context: Any
    ) -> pb.GetReceiptResponse:
        """The receipt of an event the caller takes part in."""
        recorded = await self._receipts.receipt(current_caller(), request.position)
        return pb.GetReceiptResponse(receipt=convert.receipt(recorded))
