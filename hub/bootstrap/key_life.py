"""The life of a hub's keys over its folder: what the policy foresees, and who carries out what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from adapters.storage.trust import TrustFetches
from adapters.system import system_clock
from hub.application.hub_keys import EndedKeys, HubKeys, PlannedStep
from hub.application.key_ring import RingKey
from hub.application.lane import Lane
from hub.application.offload import Offloader
from hub.application.registry import Registry
from hub.application.trusted_roots import PublishedRoots, TrustedRoots
from hub.bootstrap.trust import FolderRoots, extended
from hub.config import ConfigInvalid, Settings
from hub.proof.note import VerifierKey
from hub.proof.succession import read_trusted_root
from hub.proof.tree import Tree
from keys import rotation

if TYPE_CHECKING:
    from hub.bootstrap.core import Core

_logger = structlog.get_logger("hub.keys")


def policy_of(settings: Settings) -> rotation.RotationPolicy:
    """The policy of the settings. Raises ConfigInvalid for lengths that do not fit together."""
    try:
        return rotation.RotationPolicy(
            lifetime=timedelta(days=settings.key_lifetime_days),
            announce_before=timedelta(days=settings.key_announce_days),
            overlap=timedelta(days=settings.key_overlap_days),
        )
    except ValueError as error:
        raise ConfigInvalid(f"key_lifetime_days: {error}") from error


def planned(
    policy: rotation.RotationPolicy, keys: Sequence[RingKey], now: datetime
) -> list[PlannedStep]:
    """The steps that the policy foresees for the keys of a log, earliest first."""
    lives = [
        rotation.KeyLife(each.key.format(), rotation.KeyState(each.state.value), each.since)
        for each in keys
    ]
    near = {reminder.step for reminder in rotation.reminders(policy, lives, now)}
    return [
        PlannedStep(step.action.value, step.key_id, step.due, step in near, step.urgent)
        for step in rotation.plan(policy, lives)
    ]


def follow_the_log(core: Core) -> None:
    """Have what was decided about keys and the trusted root carried out, at every checkpoint."""

    def registry() -> Registry:
        return core.engine.registry

    origin = core.settings.origin
    core.on_published.append(
        EndedKeys(origin=origin, registry=registry, receipts=core.receipts, signer=core.signer)
    )
    roots = PublishedRoots(log=core.log, registry=registry, files=FolderRoots(core.folder))
    core.on_published.append(roots)
    core.on_followed.append(roots)


def hub_keys(core: Core, lane: Lane, offload: Offloader) -> HubKeys:
    """What operators ask about keys."""
    policy = policy_of(core.settings)
    return HubKeys(
        origin=core.settings.origin,
        lane=lane,
        registry=lambda: core.engine.registry,
        signer=core.signer,
        root_at=_root_at(core),
        planner=lambda keys: planned(policy, keys, system_clock()),
        is_listed=lambda key: _is_listed(core, key),
        offload=offload,
    )


def trusted_roots(core: Core, lane: Lane, offload: Offloader) -> TrustedRoots:
    """What anybody asks about the trusted root."""
    return TrustedRoots(
        origin=core.settings.origin,
        lane=lane,
        registry=lambda: core.engine.registry,
        files=FolderRoots(core.folder),
        fetches=TrustFetches(core.database),
        root_at=_root_at(core),
        extend=lambda root: extended(core.folder, core.settings, root, since=system_clock()),
        offload=offload,
        clock=system_clock,
    )


def remind(keys: HubKeys) -> None:
    """Say in the hub's log which steps come near, or are overdue."""
    for step in keys.plan():
        if step.remind or step.urgent:
            _logger.warning(
                "a step for the hub's keys comes near",
                action=step.action,
                hub_key=step.hub_key,
                due=step.due.isoformat(),
            )


def _is_listed(core: Core, key: VerifierKey) -> bool:
    newest = read_trusted_root(FolderRoots(core.folder).newest())
    return any(key == each.key for log in newest.logs for each in log.keys)


def _root_at(core: Core) -> Callable[[int], bytes]:
    return lambda size: Tree(core.store.tile).root(size)
