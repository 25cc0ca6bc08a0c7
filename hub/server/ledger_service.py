"""LedgerService: checkpoints, proofs and receipts for whoever holds the hub to its word."""

from __future__ import annotations

from typing import Any

from hub.application.audit import OwnReceipts
from hub.application.certificate_evidence import KnownOfCertificates
from hub.application.timestamps import Timestamps
from hub.application.trusted_roots import TrustedRoots
from hub.server import convert
from hub.server.interceptors import current_caller
from hub.v1 import ledger_service_pb2 as pb
from hub.v1 import ledger_service_pb2_grpc


class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    """Serves any principal."""

    def __init__(
        self,
        receipts: OwnReceipts,
        timestamps: Timestamps,
        certificates: KnownOfCertificates,
        roots: TrustedRoots,
    ) -> None:
        self._receipts = receipts
        self._certificates = certificates
        self._timestamps = timestamps
        self._roots = roots

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

    async def ListCheckpoints(
        self, request: pb.ListCheckpointsRequest, context: Any
    ) -> pb.ListCheckpointsResponse:
        """A page of the published checkpoints."""
        size = convert.page_size(request.page_size)
        found = await self._receipts.checkpoints(request.after, size + 1)
        return pb.ListCheckpointsResponse(
            checkpoints=[
                pb.SizedCheckpoint(size=tree_size, checkpoint=note)
                for tree_size, note in found[:size]
            ],
            more=len(found) > size,
        )

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: Any
    ) -> pb.GetInclusionProofResponse:
        """That the leaf at a position stands in the tree of a size."""
        hashes = await self._receipts.inclusion(request.position, request.size)
        return pb.GetInclusionProofResponse(hashes=hashes)

    async def GetTile(self, request: pb.GetTileRequest, context: Any) -> pb.GetTileResponse:
        """The hashes of a tile."""
        return pb.GetTileResponse(hashes=await self._receipts.tile(request.level, request.number))

    async def GetReceipt(
        self, request: pb.GetReceiptRequest, context: Any
    ) -> pb.GetReceiptResponse:
        """The receipt of an event the caller takes part in."""
        recorded = await self._receipts.receipt(
            current_caller(), request.position, cosigned=request.cosigned
        )
        return pb.GetReceiptResponse(receipt=convert.receipt(recorded))

    async def GetTimestamps(
        self, request: pb.GetTimestampsRequest, context: Any
    ) -> pb.GetTimestampsResponse:
        """The timestamps that cover a position."""
        found = await self._timestamps.covering(request.position)
        return pb.GetTimestampsResponse(
            timestamps=[convert.position_timestamp(each) for each in found]
        )

    async def GetCertificateEvidence(
        self, request: pb.GetCertificateEvidenceRequest, context: Any
    ) -> pb.GetCertificateEvidenceResponse:
        """What there is about the certificate behind a statement."""
        known = await self._certificates.behind(current_caller(), request.position)
        return pb.GetCertificateEvidenceResponse(
            issuers=known.issuers,
            revocation=[convert.receipt(recorded) for recorded in known.revocation],
        )

    async def ReadRevocationEvidence(
        self, request: pb.ReadRevocationEvidenceRequest, context: Any
    ) -> pb.ReadRevocationEvidenceResponse:
        """A piece of what an issuer said."""
        data, size = await self._certificates.piece(request.position, request.offset)
        return pb.ReadRevocationEvidenceResponse(data=data, size=size)

    async def ListTrustedRoots(
        self, request: pb.ListTrustedRootsRequest, context: Any
    ) -> pb.ListTrustedRootsResponse:
        """The editions that follow the caller's."""
        found, more = await self._roots.after(current_caller(), request.after)
        return pb.ListTrustedRootsResponse(trusted_roots=found, more=more)

    async def ListTimestampAuthorities(
        self, request: pb.ListTimestampAuthoritiesRequest, context: Any
    ) -> pb.ListTimestampAuthoritiesResponse:
        """How it stands with each time-stamping authority."""
        return convert.timestamp_status(await self._timestamps.status(current_caller()))
