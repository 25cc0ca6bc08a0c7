"""RegistryService: what an operator's command line calls."""

from __future__ import annotations

from typing import Any

from hub.application.agencies import Agencies
from hub.server import convert
from hub.server.interceptors import current_caller
from hub.v1 import registry_service_pb2 as pb
from hub.v1 import registry_service_pb2_grpc


class RegistryServicer(registry_service_pb2_grpc.RegistryServiceServicer):
    """Every method acts for the operator named by the client certificate."""

    def __init__(self, agencies: Agencies) -> None:
        self._agencies = agencies

    async def RegisterAgency(
        self, request: pb.RegisterAgencyRequest, context: Any
    ) -> pb.RegisterAgencyResponse:
        """Register an agency."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._agencies.register(
            current_caller().name, request.request_id, request.code, request.name
        )
        return pb.RegisterAgencyResponse(receipt=convert.receipt(recorded))

    async def EnrolCertificate(
        self, request: pb.EnrolCertificateRequest, context: Any
    ) -> pb.EnrolCertificateResponse:
        """Put a certificate into force."""
        convert.uuid(request.request_id, "request_id")
        recorded, key_id = await self._agencies.enrol(
            current_caller().name,
            request.request_id,
            code=request.agency,
            purpose=convert.purpose(request.purpose),
            algorithm=convert.algorithm(request.algorithm),
            certificate=request.certificate,
        )
        return pb.EnrolCertificateResponse(receipt=convert.receipt(recorded), key_id=key_id)

    async def ListAgencies(
        self, request: pb.ListAgenciesRequest, context: Any
    ) -> pb.ListAgenciesResponse:
        """A page of the register."""
        size = convert.page_size(request.page_size)
        entries = self._agencies.agencies(after=request.page_token, limit=size + 1)
        return pb.ListAgenciesResponse(
            agencies=[convert.agency(entry) for entry in entries[:size]],
            next_page_token=entries[size - 1].code if len(entries) > size else "",
        )
