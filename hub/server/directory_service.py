"""DirectoryService: who can be written to, for whoever takes part."""

from __future__ import annotations

from typing import Any

from hub.application.directory import Directory
from hub.server import convert
from hub.v1 import directory_service_pb2 as pb
from hub.v1 import directory_service_pb2_grpc

GROUP_PAGE_DEFAULT, GROUP_PAGE_MAX = 20, 50


class DirectoryServicer(directory_service_pb2_grpc.DirectoryServiceServicer):
    """Serves any principal."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def SearchAgencies(
        self, request: pb.SearchAgenciesRequest, context: Any
    ) -> pb.SearchAgenciesResponse:
        """A page of what was found."""
        size = convert.page_size(request.page_size)
        found = self._directory.search(request.query, after=request.page_token, limit=size + 1)
        return pb.SearchAgenciesResponse(
            agencies=[convert.directory_entry(listing) for listing in found[:size]],
            next_page_token=found[size - 1].entry.code if len(found) > size else "",
        )

    async def GetAgency(self, request: pb.GetAgencyRequest, context: Any) -> pb.GetAgencyResponse:
        """The agency that has a code."""
        listing = self._directory.agency(request.code)
        return pb.GetAgencyResponse(agency=convert.directory_entry(listing))

    async def ListGroups(
        self, request: pb.ListGroupsRequest, context: Any
    ) -> pb.ListGroupsResponse:
        """A page of the groups."""
        size = min(convert.page_size(request.page_size or GROUP_PAGE_DEFAULT), GROUP_PAGE_MAX)
        groups = self._directory.groups(after=request.page_token, limit=size + 1)
        return pb.ListGroupsResponse(
            groups=[convert.group(entry) for entry in groups[:size]],
            next_page_token=groups[size - 1].group if len(groups) > size else "",
        )
