"""What an operator does with agencies, on a hub in memory, with as little as a test has to say."""

from __future__ import annotations

from hub.application.agencies import RegisterAgency
from hub.application.agency_changes import (
    AgencyChanges,
    ReinstateAgency,
    RenameAgency,
    SucceedAgency,
    SuspendAgency,
)
from hub.application.directory import Directory
from hub.application.lane import Recorded
from tests.support.builders import OPERATOR, MemoryHub, new_request_id


def register(hub: MemoryHub, code: str, *other_codes: str, name: str = "") -> Recorded:
    command = RegisterAgency(OPERATOR, new_request_id(), code, name or code, other_codes)
    return hub.done(command)[0]


def suspend(hub: MemoryHub, code: str, reason: str = "by-order") -> Recorded:
    return hub.done(SuspendAgency(OPERATOR, new_request_id(), code, reason))[0]


def reinstate(hub: MemoryHub, code: str) -> Recorded:
    return hub.done(ReinstateAgency(OPERATOR, new_request_id(), code))[0]


def succeed(hub: MemoryHub, code: str, successor: str) -> Recorded:
    return hub.done(SucceedAgency(OPERATOR, new_request_id(), code, successor))[0]


def rename(
    hub: MemoryHub,
    code: str,
    name: str = "",
    *,
    add: tuple[str, ...] = (),
    remove: tuple[str, ...] = (),
) -> Recorded:
    return hub.done(RenameAgency(OPERATOR, new_request_id(), code, name, add, remove))[0]


def changes_of(hub: MemoryHub) -> AgencyChanges:
    return AgencyChanges(hub.lane)


def directory_of(hub: MemoryHub) -> Directory:
    return Directory(hub.lane, lambda: hub.engine.registry)
