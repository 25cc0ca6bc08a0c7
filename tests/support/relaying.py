"""Hubs in memory that are connected to an axis, each round of them made by hand."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, BinaryIO

from adapters.axis.packages import EdxmlPackages
from adapters.memory.axis import MemoryAxis
from adapters.memory.determinism import CountedRandomness
from adapters.memory.lists import MemoryDocumentLists
from adapters.memory.relays import MemoryRelayList
from adapters.storage.leadership import Undisputed
from hub.application.axis import AxisGateway
from hub.application.axis_directory import AxisDirectory
from hub.application.inbound import Arrivals, Patience
from hub.application.outbound import Outbox, Pace
from hub.application.ports import RelayRow
from hub.application.reconciliation import Reconciled, Reconciliation
from hub.application.relays import Relays
from hub.application.sweeping import Sweep
from hub.application.untaken import Noticed
from tests.support.builders import ORIGIN, MemoryHub, Party, at_once, found, run

HERE, THERE, ELSEWHERE = "A.H99", "B.H99", "C.H99"
"""An agency of the first hub, one of the second, and one of nobody's."""

GRACE = timedelta(minutes=20)
"""How long what came to the axis is on its way, and not lost."""


def scratch() -> BinaryIO:
    return io.BytesIO()


@dataclass
class Linked:
    """A hub and its connection to an axis."""

    hub: MemoryHub
    gateway: AxisGateway
    system_id: str
    told: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.relays = MemoryRelayList(self.hub.views)
        self.sweep = Sweep(
            self.hub.stores.content, self.hub.log, Undisputed(), stopping=lambda _: False
        )
        common: dict[str, Any] = {
            "gateway": self.gateway,
            "packages": EdxmlPackages(scratch),
            "lane": self.hub.lane,
            "views": self.hub.views,
            "relays": self.relays,
            "content": self.hub.stores.content,
            "vault": self.hub.vault,
            "registry": lambda: self.hub.engine.registry,
            "scratch": scratch,
            "offload": at_once,
            "clock": self.hub.clock,
            "leave": self.sweep.leave,
        }
        self.outbox = Outbox(
            **common,
            log=self.hub.log,
            pace=Pace(timedelta(seconds=30), timedelta(hours=1)),
            told=lambda row, what: self.told.append((str(row.relay_id), what)),
        )
        self.arrivals = Arrivals(
            **common,
            origin=ORIGIN,
            receipts=self.hub.receipts,
            lists=MemoryDocumentLists(self.hub.views),
            randomness=self.hub.randomness,
            patience=Patience(early=timedelta(minutes=15)),
            told=lambda axis_id, what: self.told.append((axis_id, what)),
        )
        self.directory = AxisDirectory(
            gateway=self.gateway,
            lane=self.hub.lane,
            registry=lambda: self.hub.engine.registry,
            system_id=self.system_id,
            told=lambda what: self.told.append(("", what)),
        )
        self.reconciliation = Reconciliation(
            gateway=self.gateway,
            lane=self.hub.lane,
            log=self.hub.log,
            relays=self.relays,
            content=self.hub.stores.content,
            offload=at_once,
            clock=self.hub.clock,
            window=timedelta(days=7),
            noticed=Noticed(GRACE),
        )
        self.operators = Relays(
            lane=self.hub.lane,
            views=self.hub.views,
            relays=self.relays,
            offload=at_once,
            reconciliation=self.reconciliation,
            outbox=self.outbox,
        )

    def synchronise(self) -> int:
        return run(self.directory.round())

    def send(self) -> int:
        return run(self.outbox.round())

    def take(self) -> int:
        return run(self.arrivals.round())

    def reconcile(self) -> Reconciled:
        return run(self.reconciliation.run())

    def rows(self) -> list[RelayRow]:
        return [row for row in self.hub.views.rows() if isinstance(row, RelayRow)]

    def restarted(self) -> Linked:
        """After a crash: the same stores, and nothing else it remembered."""
        return Linked(self.hub.restarted(), self.gateway, self.system_id)


def linked(axis: MemoryAxis, *codes: str, system_id: str = "") -> Linked:
    """A new hub with these agencies, connected as the first of them."""
    # Ids of two hubs are never the same.
    hub = found(MemoryHub(randomness=CountedRandomness(f"hub of {codes[0]}")))
    hub.register(*codes)
    hub.done(*(hub.enrolment(Party(code)) for code in codes))
    link = Linked(hub, axis.gateway(*codes), system_id or codes[0])
    link.synchronise()
    return link
