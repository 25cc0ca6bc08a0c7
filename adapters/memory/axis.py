"""An axis in memory: gateways of several organisations over one, stricter than the real one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from typing import Any, BinaryIO

from hub.application.axis import (
    AxisAgency,
    AxisError,
    AxisRefused,
    AxisReplyUnreadable,
    MessageKind,
    PackageChanged,
    Prepared,
    Relayed,
    TransportState,
    Waiting,
)


@dataclass(slots=True)
class Delivered:
    """A package at one receiver, under an id of its own."""

    axis_id: str
    package_id: str
    kind: MessageKind
    sender: str
    recipient: str
    package: bytes
    state: str = "initial"


@dataclass(slots=True)
class MemoryAxis:
    """What several organisations share.

    `fail_before` and `fail_after` are errors for the next calls: raised instead of doing
    anything, or after it was done. `unreadable` are packages that no reply ever holds well,
    `locked` organisations that get none. `narrows`: whether requests say who gets a package.
    """

    organisations: tuple[str, ...]
    narrows: bool = True
    locked: set[str] = field(default_factory=set)
    fail_before: list[AxisError] = field(default_factory=list)
    fail_after: list[AxisError] = field(default_factory=list)
    unreadable: set[bytes] = field(default_factory=set)
    _deliveries: list[Delivered] = field(default_factory=list)
    _taken: dict[bytes, str] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def gateway(self, *codes: str) -> MemoryAxisGateway:
        """The gateway of one organisation, or of several at one connection."""
        return MemoryAxisGateway(self, *codes)


class MemoryAxisGateway:
    """An AxisGateway in memory. Recipients must be named: it does not look into packages."""

    def __init__(self, axis: MemoryAxis, *codes: str) -> None:
        self._axis, self._codes = axis, codes

    @property
    def narrows(self) -> bool:
        """See AxisGateway."""
        return self._axis.narrows

    async def waiting(
        self, kind: MessageKind, *, since: date | None = None, until: date | None = None
    ) -> Sequence[Waiting]:
        """See AxisGateway. It knows no days."""
        self._before()
        found = [
            Waiting(each.axis_id, each.kind.value, each.sender, each.recipient, state=each.state)
            for each in self._mine()
            if each.kind is kind and each.state in ("initial", "processing")
        ]
        self._after()
        return found

    async def fetch(self, axis_id: str, into: BinaryIO, raw: BinaryIO | None = None) -> int:
        """See AxisGateway."""
        self._before()
        package = self._delivery(axis_id).package
        if raw is not None:
            raw.write(package)
        if package in self._axis.unreadable:
            raise AxisReplyUnreadable("the answer is not what it should be")
        self._after()
        return into.write(package)

    def prepare(
        self, kind: MessageKind, package: BinaryIO, *, sender: str, recipients: Sequence[str] = ()
    ) -> Prepared:
        """See AxisGateway."""
        if not all(code.isascii() and code.isprintable() for code in (sender, *recipients)):
            raise ValueError("codes are printable ASCII")
        request = {
            "number": next(self._axis._numbers),
            "kind": kind.value,
            "sender": sender,
            "recipients": list(recipients),
            "sha256": _digest(package),
        }
        return Prepared(json.dumps(request).encode())

    async def send(self, prepared: Prepared, package: BinaryIO) -> str:
        """See AxisGateway."""
        request = json.loads(prepared.request)
        if _digest(package) != request["sha256"]:
            raise PackageChanged("the package is not the one that was prepared")
        self._before()
        if request["sender"] not in self._codes:
            raise AxisRefused("19")
        if not request["recipients"] or set(request["recipients"]) - {*self._axis.organisations}:
            raise AxisRefused("18")
        if self._axis.locked.intersection(request["recipients"]):
            raise AxisRefused("23")
        axis_id = self._axis._taken.get(prepared.request)
        if axis_id is None:
            axis_id = self._axis._taken[prepared.request] = f"sent-{next(self._axis._numbers)}"
            self._deliver(axis_id, request, package.read())
        self._after()
        return axis_id

    async def relayed(self, kind: MessageKind, axis_id: str) -> Sequence[Relayed] | None:
        """See AxisGateway."""
        self._before()
        found = [
            Relayed(
                each.package_id, each.axis_id, each.sender, each.recipient, "done", each.state
            )
            for each in self._axis._deliveries
            if each.package_id == axis_id and each.sender in self._codes and each.kind is kind
        ]  # fmt: skip
        self._after()
        return found

    async def mark(self, axis_id: str, state: TransportState) -> None:
        """See AxisGateway."""
        self._before()
        self._delivery(axis_id).state = state.value
        self._after()

    async def count(self, kind: MessageKind) -> int | None:
        """See AxisGateway."""
        return len(await self.waiting(kind))

    async def agencies(self) -> Sequence[AxisAgency] | None:
        """See AxisGateway."""
        self._before()
        found = [AxisAgency(code=code, deleted=False) for code in self._axis.organisations]
        self._after()
        return found

    async def close(self) -> None:
        """See AxisGateway."""

    def _deliver(self, axis_id: str, request: dict[str, Any], package: bytes) -> None:
        for recipient in request["recipients"]:
            delivery = Delivered(
                axis_id=f"received-{next(self._axis._numbers)}",
                package_id=axis_id,
                kind=MessageKind(request["kind"]),
                sender=request["sender"],
                recipient=recipient,
                package=package,
            )
            self._axis._deliveries.append(delivery)

    def _mine(self) -> list[Delivered]:
        return [each for each in self._axis._deliveries if each.recipient in self._codes]

    def _delivery(self, axis_id: str) -> Delivered:
        found = [each for each in self._mine() if each.axis_id == axis_id]
        if not found:
            raise AxisRefused("21")
        return found[0]

    def _before(self) -> None:
        if self._axis.fail_before:
            raise self._axis.fail_before.pop(0)

    def _after(self) -> None:
        if self._axis.fail_after:
            raise self._axis.fail_after.pop(0)


def _digest(package: BinaryIO) -> str:
    package.seek(0)
    digest = hashlib.sha256(package.read()).hexdigest()
    package.seek(0)
    return digest
