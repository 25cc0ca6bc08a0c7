"""Commits to write, with as little as a test has to say."""

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID, uuid4

from eventsourcing.persistence import StoredEvent

from hub.application.ports import Commit, NewRequest, SealedPayload

REGISTRY_TOPIC = "hub.Agency.AgencyRegistered"
OTHER_TOPIC = "hub.Exchange.DocumentSubmitted"


def digest_of(text: str) -> bytes:
    return sha256(text.encode()).digest()


def new_event(
    aggregate_id: UUID | None = None,
    version: int = 1,
    *,
    topic: str = OTHER_TOPIC,
    state: bytes = b"{}",
) -> StoredEvent:
    return StoredEvent(aggregate_id or uuid4(), version, topic, state)


def new_request(
    request_id: str,
    *,
    caller: str = "H01",
    offset: int = 0,
    digest: bytes | None = None,
    exchange_id: UUID | None = None,
) -> NewRequest:
    return NewRequest(caller, request_id, digest or digest_of(request_id), offset, exchange_id)


def new_commit(
    expected_head: int,
    events: Sequence[StoredEvent],
    *,
    requests: Sequence[NewRequest] = (),
    payloads: Sequence[SealedPayload] = (),
    evidence: Sequence[bytes] = (),
    inbox_heads: dict[str, int] | None = None,
    outbox_heads: dict[str, int] | None = None,
) -> Commit:
    registry = [offset for offset, event in enumerate(events) if event.topic == REGISTRY_TOPIC]
    return Commit(
        expected_head=expected_head,
        events=events,
        registry_offset=max(registry, default=None),
        requests=requests,
        payloads=payloads,
        evidence={sha256(data).digest(): data for data in evidence},
        inbox_heads=inbox_heads or {},
        outbox_heads=outbox_heads or {},
    )
