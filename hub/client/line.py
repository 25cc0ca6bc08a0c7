"""The connection to one hub: mutual TLS, with a deadline and repetition on every call."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import grpc
import grpc.aio

from hub.client.profile import ClientProfile
from hub.client.retry import RetryPolicy, repeat
from hub.v1.audit_service_pb2_grpc import AuditServiceStub
from hub.v1.directory_service_pb2_grpc import DirectoryServiceStub
from hub.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from hub.v1.registry_service_pb2_grpc import RegistryServiceStub

if TYPE_CHECKING:
    # These names exist in the stubs only.
    from hub.v1.audit_service_pb2_grpc import AuditServiceAsyncStub
    from hub.v1.directory_service_pb2_grpc import DirectoryServiceAsyncStub
    from hub.v1.exchange_service_pb2_grpc import ExchangeServiceAsyncStub
    from hub.v1.ledger_service_pb2_grpc import LedgerServiceAsyncStub
    from hub.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

Q = TypeVar("Q")
A = TypeVar("A")

# The hub takes 15 MiB of documents in one batch; what frames them comes on top.
MESSAGE_BYTES_MAX = 16 * 1024**2
# How far apart attempts to connect are at the most. gRPC's own two minutes would outlast
# every repetition of a call, when the hub has long been back.
RECONNECT_MS_MAX = 5_000


class Line:
    """One channel to the hub, shared by every call of a client. Close it on the same loop."""

    def __init__(self, profile: ClientProfile, policy: RetryPolicy) -> None:
        """Prepare the connection; nothing is sent yet. Raises ProfileInvalid."""
        ca, key, certificate = profile.read_transport()
        options: list[tuple[str, str | int]] = [
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            # Attempts are counted here, and nowhere else.
            ("grpc.enable_retries", 0),
            ("grpc.max_reconnect_backoff_ms", RECONNECT_MS_MAX),
        ]
        if profile.server_name is not None:
            options.append(("grpc.ssl_target_name_override", profile.server_name))
        self._channel = grpc.aio.secure_channel(
            profile.target,
            grpc.ssl_channel_credentials(ca, key, certificate),
            options=options,
        )
        self.policy = policy
        self.exchange: ExchangeServiceAsyncStub = ExchangeServiceStub(self._channel)
        self.ledger: LedgerServiceAsyncStub = LedgerServiceStub(self._channel)
        self.registry: RegistryServiceAsyncStub = RegistryServiceStub(self._channel)
        self.directory: DirectoryServiceAsyncStub = DirectoryServiceStub(self._channel)
        self.audit: AuditServiceAsyncStub = AuditServiceStub(self._channel)

    async def call(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, A], request: Q) -> A:
        """Make a unary call, repeated as `repeat` says; the request's bytes never change."""

        async def attempt(deadline_s: float) -> A:
            return await method(request, timeout=deadline_s)

        return await repeat(self.policy, attempt)

    async def close(self) -> None:
        """Hang up; calls under way fail."""
        await self._channel.close()
