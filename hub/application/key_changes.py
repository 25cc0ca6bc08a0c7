"""What can happen to a key of the hub, decided in the lane: activated, retired, given up."""

from __future__ import annotations

from collections.abc import Collection

from hub.application.key_ring import KeyState, RingKey
from hub.application.registry import Registry
from hub.application.session import Session
from hub.domain.hub_key import HubKey
from hub.errors import HubKeyState, HubKeyUnknown, LogNotFrozen

SIGNING_MAX = 2
"""How many keys sign at once: in an overlap the old and the new."""


def require_key(registry: Registry, vkey: str, states: Collection[KeyState]) -> RingKey:
    """A key in one of these states. Raises HubKeyUnknown, HubKeyState."""
    entry = registry.hub_keys.keys.get(vkey)
    if entry is None:
        raise HubKeyUnknown("no key of this hub has this verifier key", hub_key=vkey[:400])
    if entry.state not in states:
        raise HubKeyState(f"this key is {entry.state.value}", state=entry.state.value)
    return entry


def require_activatable(registry: Registry, vkey: str) -> RingKey:
    """An announced key that may begin to sign. Raises HubKeyUnknown, HubKeyState."""
    entry = require_key(registry, vkey, {KeyState.ANNOUNCED})
    if len(list(registry.hub_keys.active(entry.key.name))) >= SIGNING_MAX:
        raise HubKeyState(
            f"{SIGNING_MAX} keys sign already; retire the older one first",
            state=entry.state.value,
        )
    return entry


def require_compromisable(registry: Registry, vkey: str) -> RingKey | None:
    """Check that a key can be given up; the key that must then begin to sign, if any.

    Raises HubKeyUnknown, HubKeyState.
    """
    entry = require_key(registry, vkey, {KeyState.ANNOUNCED, KeyState.ACTIVE})
    ring = registry.hub_keys
    if any(other.key != entry.key for other in ring.active(entry.key.name)):
        return None
    if entry.state is KeyState.ANNOUNCED:
        return None
    waiting = [each for each in ring.of_log(entry.key.name) if each.state is KeyState.ANNOUNCED]
    if not waiting:
        raise HubKeyState(
            "no other key could sign; announce one first, or reopen the log",
            state=entry.state.value,
        )
    return waiting[0]


def require_frozen(registry: Registry) -> None:
    """Raises LogNotFrozen."""
    if not registry.frozen:
        raise LogNotFrozen("no operator has frozen the log")


def activate(session: Session, vkey: str, *, by: str) -> None:
    """Record `HubKeyActivated`: the tree with this fact is the first that the key signs."""
    entry = require_activatable(session.registry, vkey)
    key = session.history.hub_key(entry.key_id)
    key.activate(at=session.at, by=by)
    session.record(key)


def require_retirable(registry: Registry, vkey: str) -> RingKey:
    """A key that signs beside another. Raises HubKeyUnknown, HubKeyState."""
    entry = require_key(registry, vkey, {KeyState.ACTIVE})
    if len(list(registry.hub_keys.active(entry.key.name))) == 1:
        raise HubKeyState("no other key signs; activate one first", state=entry.state.value)
    return entry


def compromise(session: Session, vkey: str, *, by: str) -> None:
    """Record `HubKeyCompromised`, and behind it what lets another key sign in its place."""
    successor = require_compromisable(session.registry, vkey)
    entry = session.registry.hub_keys.keys[vkey]
    session.record(closed(session, entry, compromised=True, by=by))
    if successor is not None:
        key = session.history.hub_key(successor.key_id)
        key.activate(at=session.at, by=by)
        session.record(key)


def closed(
    session: Session, entry: RingKey, *, compromised: bool, by: str, request_id: str = ""
) -> HubKey:
    """The key, ended here and not yet recorded: no tree with that fact is signed by it."""
    key = session.history.hub_key(entry.key_id)
    key.close(
        at=session.at,
        compromised=compromised,
        size=session.next_position,
        by=by,
        request_id=request_id,
    )
    return key
