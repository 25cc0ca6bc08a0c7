"""RegistryService: what an operator's command line calls."""

from __future__ import annotations

from typing import Any

from hub.application.agencies import Agencies
from hub.application.agency_changes import AgencyChanges
from hub.application.auditors import Auditors
from hub.application.calendar import Calendar
from hub.application.directory import Directory
from hub.application.erasure import Orders
from hub.application.hub_keys import HubKeys
from hub.application.operators import Operators
from hub.application.relays import Relays
from hub.application.retention import Retention
from hub.application.revocation import Revocations
from hub.application.trusted_roots import TrustedRoots
from hub.server import convert, convert_axis, convert_keys, convert_lists, convert_orders
from hub.server.interceptors import current_caller
from hub.v1 import registry_service_pb2 as pb
from hub.v1 import registry_service_pb2_grpc


class RegistryServicer(registry_service_pb2_grpc.RegistryServiceServicer):
    """Every method acts for the operator named by the client certificate."""

    def __init__(
        self,
        agencies: Agencies,
        changes: AgencyChanges,
        directory: Directory,
        calendar: Calendar,
        auditors: Auditors,
        *,
        operators: Operators,
        orders: Orders,
        retention: Retention,
        revocations: Revocations,
        hub_keys: HubKeys,
        roots: TrustedRoots,
        relays: Relays,
    ) -> None:
        self._hub_keys = hub_keys
        self._roots = roots
        self._operators = operators
        self._orders = orders
        self._retention = retention
        self._relays = relays
        self._auditors = auditors
        self._revocations = revocations
        self._agencies = agencies
        self._changes = changes
        self._directory = directory
        self._calendar = calendar

    async def RegisterAgency(
        self, request: pb.RegisterAgencyRequest, context: Any
    ) -> pb.RegisterAgencyResponse:
        """Register an agency."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._agencies.register(
            current_caller().name,
            request.request_id,
            request.code,
            request.name,
            request.other_codes,
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
            answers=request.ocsp_answers,
        )
        return pb.EnrolCertificateResponse(receipt=convert.receipt(recorded), key_id=key_id)

    async def RevokeCertificate(
        self, request: pb.RevokeCertificateRequest, context: Any
    ) -> pb.RevokeCertificateResponse:
        """Put a certificate out of force."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._revocations.revoke(
            current_caller().name,
            request.request_id,
            code=request.agency,
            key_id=request.key_id,
            reason=request.reason,
            effective=convert.instant_or_none(
                request.effective_time, request.HasField("effective_time"), "effective_time"
            ),
        )
        return pb.RevokeCertificateResponse(receipt=convert.receipt(recorded))

    async def RevokeAuditor(
        self, request: pb.RevokeAuditorRequest, context: Any
    ) -> pb.RevokeAuditorResponse:
        """Put an auditor out."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._revocations.revoke_auditor(
            current_caller().name,
            request.request_id,
            name=request.name,
            reason=request.reason,
            effective=convert.instant_or_none(
                request.effective_time, request.HasField("effective_time"), "effective_time"
            ),
        )
        return pb.RevokeAuditorResponse(receipt=convert.receipt(recorded))

    async def EnrolAuditor(
        self, request: pb.EnrolAuditorRequest, context: Any
    ) -> pb.EnrolAuditorResponse:
        """Put an auditor's certificate into force."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._auditors.enrol(
            current_caller().name,
            request.request_id,
            name=request.name,
            certificate=request.certificate,
        )
        return pb.EnrolAuditorResponse(receipt=convert.receipt(recorded))

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

    async def RenameAgency(
        self, request: pb.RenameAgencyRequest, context: Any
    ) -> pb.RenameAgencyResponse:
        """Give an agency another name, or other codes."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._changes.rename(
            current_caller().name,
            request.request_id,
            code=request.agency,
            name=request.name,
            add_codes=request.add_codes,
            remove_codes=request.remove_codes,
        )
        return pb.RenameAgencyResponse(receipt=convert.receipt(recorded))

    async def SuspendAgency(
        self, request: pb.SuspendAgencyRequest, context: Any
    ) -> pb.SuspendAgencyResponse:
        """Suspend an agency."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._changes.suspend(
            current_caller().name, request.request_id, code=request.agency, reason=request.reason
        )
        return pb.SuspendAgencyResponse(receipt=convert.receipt(recorded))

    async def ReinstateAgency(
        self, request: pb.ReinstateAgencyRequest, context: Any
    ) -> pb.ReinstateAgencyResponse:
        """End a suspension."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._changes.reinstate(
            current_caller().name, request.request_id, code=request.agency
        )
        return pb.ReinstateAgencyResponse(receipt=convert.receipt(recorded))

    async def SucceedAgency(
        self, request: pb.SucceedAgencyRequest, context: Any
    ) -> pb.SucceedAgencyResponse:
        """Hand an agency over to its successor."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._changes.succeed(
            current_caller().name,
            request.request_id,
            code=request.agency,
            successor=request.successor,
        )
        return pb.SucceedAgencyResponse(receipt=convert.receipt(recorded))

    async def SetGroup(self, request: pb.SetGroupRequest, context: Any) -> pb.SetGroupResponse:
        """Set a group's name and members."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._directory.set_group(
            current_caller().name,
            request.request_id,
            group=request.group,
            name=request.name,
            members=request.members,
        )
        return pb.SetGroupResponse(receipt=convert.receipt(recorded))

    async def CorrectCalendar(
        self, request: pb.CorrectCalendarRequest, context: Any
    ) -> pb.CorrectCalendarResponse:
        """Say whether a day is a working day."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._calendar.correct(
            current_caller().name,
            request.request_id,
            day=convert_lists.day(request.day, "day"),
            working=request.working,
            basis=request.basis,
        )
        return pb.CorrectCalendarResponse(receipt=convert.receipt(recorded))

    async def ListCalendarCorrections(
        self, request: pb.ListCalendarCorrectionsRequest, context: Any
    ) -> pb.ListCalendarCorrectionsResponse:
        """A page of the corrected days."""
        size = convert.page_size(request.page_size)
        after = convert_lists.day_of_token(request.page_token)
        entries = self._calendar.corrections(after, size + 1)
        return convert_lists.list_corrections_response(entries, size)

    async def EnrolOperator(
        self, request: pb.EnrolOperatorRequest, context: Any
    ) -> pb.EnrolOperatorResponse:
        """Let an operator in."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._operators.enrol(
            current_caller().name,
            request.request_id,
            name=request.name,
            certificate=request.certificate,
        )
        return pb.EnrolOperatorResponse(receipt=convert.receipt(recorded))

    async def RevokeOperator(
        self, request: pb.RevokeOperatorRequest, context: Any
    ) -> pb.RevokeOperatorResponse:
        """Put an operator out."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._operators.revoke(
            current_caller().name,
            request.request_id,
            name=request.name,
            reason=request.reason,
            effective=convert.instant_or_none(
                request.effective_time, request.HasField("effective_time"), "effective_time"
            ),
        )
        return pb.RevokeOperatorResponse(receipt=convert.receipt(recorded))

    async def ListOperators(
        self, request: pb.ListOperatorsRequest, context: Any
    ) -> pb.ListOperatorsResponse:
        """The operators in force."""
        return convert_orders.list_operators_response(self._operators.operators())

    async def OrderErasure(
        self, request: pb.OrderErasureRequest, context: Any
    ) -> pb.OrderErasureResponse:
        """Order that a document be erased."""
        signed = convert.signed_statement(request.order)
        recorded = await self._orders.order_erasure(current_caller().name, signed)
        return pb.OrderErasureResponse(receipt=convert.receipt(recorded))

    async def ApproveOrder(
        self, request: pb.ApproveOrderRequest, context: Any
    ) -> pb.ApproveOrderResponse:
        """Approve another's order, and carry it out."""
        signed = convert.signed_statement(request.approval)
        done = await self._orders.approve(current_caller().name, signed)
        return convert_orders.approve_order_response(done)

    async def ListHubKeys(
        self, request: pb.ListHubKeysRequest, context: Any
    ) -> pb.ListHubKeysResponse:
        """Every key of the hub."""
        keys = self._hub_keys
        return convert_keys.list_hub_keys_response(keys.all(), keys.root_at)

    async def AnnounceHubKey(
        self, request: pb.AnnounceHubKeyRequest, context: Any
    ) -> pb.AnnounceHubKeyResponse:
        """Make a key known before it signs."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._hub_keys.announce(current_caller().name, request.request_id)
        return pb.AnnounceHubKeyResponse(receipt=convert.receipt(recorded))

    async def OrderKeyAction(
        self, request: pb.OrderKeyActionRequest, context: Any
    ) -> pb.OrderKeyActionResponse:
        """Order what takes two operators."""
        signed = convert.signed_statement(request.order)
        recorded = await self._orders.order_key_action(current_caller().name, signed)
        return pb.OrderKeyActionResponse(receipt=convert.receipt(recorded))

    async def RetireHubKey(
        self, request: pb.RetireHubKeyRequest, context: Any
    ) -> pb.RetireHubKeyResponse:
        """End a key in good order."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._hub_keys.retire(
            current_caller().name, request.request_id, request.hub_key
        )
        return pb.RetireHubKeyResponse(receipt=convert.receipt(recorded))

    async def FreezeLog(self, request: pb.FreezeLogRequest, context: Any) -> pb.FreezeLogResponse:
        """Stop the log."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._hub_keys.freeze(
            current_caller().name, request.request_id, request.reason
        )
        return pb.FreezeLogResponse(receipt=convert.receipt(recorded))

    async def PlanHubKeys(
        self, request: pb.PlanHubKeysRequest, context: Any
    ) -> pb.PlanHubKeysResponse:
        """What is foreseen, and who would be left behind."""
        roots = self._roots
        newest = await roots.newest()
        return convert_keys.plan_hub_keys_response(
            self._hub_keys.plan(), newest.version, await roots.laggards(), await roots.changes()
        )

    async def DraftTrustedRoot(
        self, request: pb.DraftTrustedRootRequest, context: Any
    ) -> pb.DraftTrustedRootResponse:
        """The next edition, to be signed."""
        ends = convert_keys.trust_ends(request.ends)
        return pb.DraftTrustedRootResponse(trusted_root=await self._roots.draft(ends))

    async def PublishTrustedRoot(
        self, request: pb.PublishTrustedRootRequest, context: Any
    ) -> pb.PublishTrustedRootResponse:
        """Publish the next edition."""
        convert.uuid(request.request_id, "request_id")
        recorded = await self._roots.publish(
            current_caller().name, request.request_id, request.trusted_root
        )
        return pb.PublishTrustedRootResponse(receipt=convert.receipt(recorded))

    async def ListOrders(
        self, request: pb.ListOrdersRequest, context: Any
    ) -> pb.ListOrdersResponse:
        """A page of orders."""
        size = convert.page_size(request.page_size)
        after = convert_orders.place_of_token(request.page_token)
        rows = await self._orders.orders(after, size + 1, open_only=request.open_only)
        return convert_orders.list_orders_response(rows, size)

    async def PlanRetention(
        self, request: pb.PlanRetentionRequest, context: Any
    ) -> pb.PlanRetentionResponse:
        """A page of what need not be kept any longer."""
        size = convert.page_size(request.page_size)
        after = convert_orders.exchange_of_token(request.page_token)
        return convert_orders.plan_retention_response(await self._retention.due(after, size))

    async def GetAxisStatus(
        self, request: pb.GetAxisStatusRequest, context: Any
    ) -> pb.GetAxisStatusResponse:
        """How it stands with the axis."""
        return convert_axis.axis_status_response(await self._relays.standing())

    async def ListRelays(
        self, request: pb.ListRelaysRequest, context: Any
    ) -> pb.ListRelaysResponse:
        """A page of packages."""
        size = convert.page_size(request.page_size)
        after = convert_axis.place_of_token(request.page_token)
        rows = await self._relays.listed(convert_axis.state(request.state), after, size + 1)
        return convert_axis.list_relays_response(rows, size)

    async def ParkRelay(self, request: pb.ParkRelayRequest, context: Any) -> pb.ParkRelayResponse:
        """Let a package wait."""
        convert.uuid(request.request_id, "request_id")
        relay = convert_axis.relay_id(request.relay_id)
        recorded = await self._relays.park(
            current_caller().name, request.request_id, relay, request.reason
        )
        return pb.ParkRelayResponse(receipt=convert.receipt(recorded))

    async def ResumeRelay(
        self, request: pb.ResumeRelayRequest, context: Any
    ) -> pb.ResumeRelayResponse:
        """Let a package go on."""
        convert.uuid(request.request_id, "request_id")
        relay = convert_axis.relay_id(request.relay_id)
        recorded = await self._relays.resume(current_caller().name, request.request_id, relay)
        return pb.ResumeRelayResponse(receipt=convert.receipt(recorded))

    async def ReconcileAxis(
        self, request: pb.ReconcileAxisRequest, context: Any
    ) -> pb.ReconcileAxisResponse:
        """Compare with the axis now."""
        convert.uuid(request.request_id, "request_id")
        done = await self._relays.reconcile(current_caller().name, request.request_id)
        return convert_axis.reconcile_response(done)
