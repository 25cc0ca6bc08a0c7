"""The hub's own keys and the trusted root on the wire: what `convert` is for everything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from hub.application.hub_keys import PlannedStep
from hub.application.key_ring import KeyState, RingKey
from hub.application.trust_ends import TrustEnd
from hub.application.trusted_roots import Laggard
from hub.errors import RequestMalformed
from hub.server import convert
from hub.v1 import orders_pb2, registry_service_pb2

_STATES = {
    KeyState.ANNOUNCED: orders_pb2.HUB_KEY_STATE_ANNOUNCED,
    KeyState.ACTIVE: orders_pb2.HUB_KEY_STATE_ACTIVE,
    KeyState.RETIRED: orders_pb2.HUB_KEY_STATE_RETIRED,
    KeyState.COMPROMISED: orders_pb2.HUB_KEY_STATE_COMPROMISED,
}


def list_hub_keys_response(
    keys: Sequence[RingKey], root_at: Callable[[int], bytes]
) -> registry_service_pb2.ListHubKeysResponse:
    """Every key, with the root that each closed one was closed at."""
    return registry_service_pb2.ListHubKeysResponse(keys=[_key(each, root_at) for each in keys])


def plan_hub_keys_response(
    steps: Sequence[PlannedStep], edition: int, laggards: Sequence[Laggard], changes: Sequence[str]
) -> registry_service_pb2.PlanHubKeysResponse:
    """What is foreseen, and who would be left behind."""
    return registry_service_pb2.PlanHubKeysResponse(
        steps=[_step(each) for each in steps],
        edition=edition,
        laggards=[_laggard(each) for each in laggards],
        changes=changes,
    )


def trust_ends(ends: Sequence[registry_service_pb2.TrustEnd]) -> list[TrustEnd]:
    """Whom a draft ends. Raises RequestMalformed."""
    return [TrustEnd(each.who, _until(each)) for each in ends]


def _until(end: registry_service_pb2.TrustEnd) -> datetime:
    until = convert.instant_or_none(end.until_time, end.HasField("until_time"), "until_time")
    if until is None:
        raise RequestMalformed("an end needs its time", field="until_time")
    return until


def _key(entry: RingKey, root_at: Callable[[int], bytes]) -> orders_pb2.HubKey:
    return orders_pb2.HubKey(
        hub_key=entry.key.format(),
        state=_STATES[entry.state],
        since_time=convert.timestamp(entry.since),
        announced_position=entry.announced,
        activated_position=entry.activated,
        closing_size=entry.size,
        closing_root=b"" if entry.size is None else root_at(entry.size),
    )


def _step(step: PlannedStep) -> orders_pb2.KeyStep:
    return orders_pb2.KeyStep(
        action=step.action,
        hub_key=step.hub_key,
        due_time=convert.timestamp(step.due),
        remind=step.remind,
        urgent=step.urgent,
    )


def _laggard(laggard: Laggard) -> orders_pb2.TrustedRootLaggard:
    return orders_pb2.TrustedRootLaggard(
        caller=laggard.caller.name,
        role=laggard.caller.role.value,
        edition=laggard.edition,
        fetch_time=None if laggard.at is None else convert.timestamp(laggard.at),
    )
