"""The gRPC server: ports, mTLS, health, reflection, a stop that lets calls finish."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hub.server.audit_service import AuditServicer
from hub.server.directory_service import DirectoryServicer
from hub.server.exchange_service import ExchangeServicer
from hub.server.interceptors import CallInterceptor
from hub.server.ledger_service import LedgerServicer
from hub.server.registry_service import RegistryServicer
from hub.server.watchers import Watchers
from hub.v1 import (
    audit_service_pb2,
    audit_service_pb2_grpc,
    directory_service_pb2,
    directory_service_pb2_grpc,
    exchange_service_pb2,
    exchange_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    registry_service_pb2,
    registry_service_pb2_grpc,
)

# Well above the 3 MiB of attachments and 1 MiB of statement that we accept, so that a
# message somewhat too large gets our own TOO_LARGE and not the transport's.
RECEIVE_BYTES_MAX = 16 * 1024 * 1024
# Once every call is answered, callers on open connections get so many moments, of so many
# seconds each, to hear that they must go elsewhere: what arrives while a connection is being
# closed ends as if it had been cancelled.
_MOMENTS_MAX, _MOMENT_S = 10, 0.05
_CLOSE_S = 0.5
_HANDSHAKE_MS = 20_000
_KEEPALIVE_MS = 60_000
_KEEPALIVE_TIMEOUT_MS = 20_000

_SERVICES = (
    exchange_service_pb2.DESCRIPTOR.services_by_name["ExchangeService"].full_name,
    ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"].full_name,
    registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name,
    directory_service_pb2.DESCRIPTOR.services_by_name["DirectoryService"].full_name,
    audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"].full_name,
)


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """The server's certificate and key, and the authorities client certificates come from."""

    certificate: Path
    private_key: Path
    client_authorities: Path

    def credentials(self) -> grpc.ServerCredentials:
        """mTLS: a client without a certificate of a trusted authority fails the handshake."""
        return grpc.ssl_server_credentials(
            [(self.private_key.read_bytes(), self.certificate.read_bytes())],
            root_certificates=self.client_authorities.read_bytes(),
            require_client_auth=True,
        )


class _ByName:
    """Takes the methods of services in, to be found by name when a call comes.

    Generated code registers each of them with the library as well. Then `grpc.aio` waits for calls
    of each method apart, and with each call it goes through all eighty of them.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Nothing."""


class HubServer:
    """One listening gRPC server over the services of a hub."""

    def __init__(
        self,
        *,
        listen: str,
        identity: ServerIdentity,
        interceptor: CallInterceptor,
        exchange: ExchangeServicer,
        ledger: LedgerServicer,
        registry: RegistryServicer,
        directory: DirectoryServicer,
        audit: AuditServicer,
        watchers: Watchers,
        connections_max: int,
    ) -> None:
        self._watchers = watchers
        self._running = interceptor.running
        self._server = grpc.aio.server(
            interceptors=[interceptor],
            options=[
                ("grpc.max_receive_message_length", RECEIVE_BYTES_MAX),
                ("grpc.so_reuseport", 0),
                # What comes beyond it is closed before it is listened to: nobody is told why.
                ("grpc.max_allowed_incoming_connections", connections_max),
                ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
                # A peer that is gone without a word is asked, and let go.
                ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
                ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
            ],
        )
        handlers: Any = _ByName(self._server)
        exchange_service_pb2_grpc.add_ExchangeServiceServicer_to_server(exchange, handlers)
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(ledger, handlers)
        registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(registry, handlers)
        directory_service_pb2_grpc.add_DirectoryServiceServicer_to_server(directory, handlers)
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(audit, handlers)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, handlers)
        reflection.enable_server_reflection(
            (*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), handlers
        )
        self.port = self._server.add_secure_port(listen, identity.credentials())

    async def start(self) -> None:
        """Listen; health says NOT_SERVING until `ready` is told otherwise."""
        await self.ready(False)
        await self._server.start()

    async def ready(self, serving: bool) -> None:
        """Tell health checks whether the hub can take documents now."""
        status = health_pb2.HealthCheckResponse
        for service in ("", *_SERVICES):
            await self._health.set(service, status.SERVING if serving else status.NOT_SERVING)

    async def leave(self) -> None:
        """Say, from now on, that the hub is not ready; calls are still served."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, drain_s: float) -> None:
        """Take no new calls, end the streams, let running calls finish for so long.

        Whoever is answered no more, or not yet, gets UNAVAILABLE.
        """
        await self.leave()
        self._running.close()
        self._watchers.close()
        await self._running.drained(drain_s)
        for _ in range(_MOMENTS_MAX):
            before = self._running.turned_away
            await asyncio.sleep(_MOMENT_S)
            if self._running.turned_away == before:
                break
        await self._server.stop(_CLOSE_S)
