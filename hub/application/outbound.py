"""To the axis: what was recorded and concerns it is made into packages, and sent until it is there.

The facts in the log are the outbox. From each to its end, and what is left when we stop:

1. The package and the request that sends it are made, and stored under the document's key.
   *(Both lie there, and no event names them: the next round makes them anew. Nothing was sent.)*
2. `RelayQueued`. From here on the stored bytes are sent, and no others.
3. The request goes out. *(The axis may have it: the same request again, to the byte, by which
   the axis can know it.)*
4. `RelaySent` or `AxisStatusSent`; or `RelayFailed` with the time of the next attempt; or
   `RelaySplit`, where one of several receivers was refused; or `RelayParked`, for a person.

Acceptance never waits for any of this.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import BinaryIO
from uuid import UUID

from hub.application.axis import (
    AxisError,
    AxisGateway,
    AxisOutcomeUnknown,
    AxisPackages,
    AxisRefused,
    AxisUnreachable,
    GoingDocument,
    GoingStatus,
    MessageKind,
    PackageChanged,
    PackageUnfit,
    Prepared,
)
from hub.application.exchanges import statement_of
from hub.application.lane import Command, Lane, NothingRecorded
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.ports import Clock, ContentStore, EventLog, Place, RelayList, RelayRow, Views
from hub.application.registry import Registry
from hub.application.relay_commands import (
    HoldRelay,
    MarkFailed,
    MarkSent,
    QueueRelay,
    SplitRelay,
)
from hub.application.vault import Vault
from hub.domain.delivery import Delivery, RecallState
from hub.domain.exchange import AXIS, OPENING_TOPICS, Consignment
from hub.domain.relay import (
    RECEIVER_CODES,
    Relay,
    RelayKind,
    RelayState,
    delay_before,
    relay_id,
)
from hub.errors import ContentLost, HubError, PayloadErased
from hub.proof.leaf import Event
from hub.proof.statements import Recall, RecallAnswer, Status, read_statement

_AT_ONCE = 100
_PACKAGE, _REQUEST = 0, 1

WITHDRAWN = "WITHDRAWN"
"""Recalled, expired or erased before anything of it was sent: it is not sent any more."""

Told = Callable[[RelayRow, str], None]
"""Hears what became of a package, for the log of the process; never quotes it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait after the first failure, and at the most."""

    first: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(hours=1)


class Outbox:
    """Sends what is due. One round at a time; nothing of it is kept in memory but its patience."""

    def __init__(
        self,
        *,
        gateway: AxisGateway,
        packages: AxisPackages,
        log: EventLog,
        lane: Lane,
        views: Views,
        relays: RelayList,
        content: ContentStore,
        vault: Vault,
        registry: Callable[[], Registry],
        scratch: Callable[[], BinaryIO],
        offload: Offloader,
        clock: Clock,
        pace: Pace,
        told: Told,
        leave: Callable[[UUID], None],
        at_once: int = 1,
    ) -> None:
        """`leave` hears under which id something is stored that is not recorded yet.

        `at_once` is how many packages are made and sent side by side.
        """
        self._gateway = gateway
        self._packages = packages
        self._log = log
        self._lane = lane
        self._views = views
        self._relays = relays
        self._content = content
        self._vault = vault
        self._registry = registry
        self._scratch = scratch
        self._offload = offload
        self._clock = clock
        self._pace = pace
        self._told = told
        self._leave = leave
        self._at_once = at_once
        self._silent = 0
        self._quiet_until: datetime | None = None

    @property
    def unreachable_rounds(self) -> int:
        """How many rounds in a row nobody answered at the axis's address."""
        return self._silent

    async def round(self) -> int:
        """Send what is due, several at once; how many packages went out.

        While the axis cannot be reached nothing was asked of it, so nothing is recorded: the
        rounds only come less often. One package that fails, or takes long, does not hold up the
        others: only what must be there after it.
        """
        now = self._clock()
        if self._quiet_until is not None and now < self._quiet_until:
            return 0
        sent, failures = await self._advance_all(self._due(now))
        others = [each for each in failures if not isinstance(each, AxisUnreachable)]
        if len(others) < len(failures):
            self._silent += 1
            wait = delay_before(
                self._silent, UUID(int=0), first=self._pace.first, longest=self._pace.longest
            )
            self._quiet_until = now + wait
        else:
            self._silent, self._quiet_until = 0, None
        if others:
            raise others[0]
        return sent

    async def _advance_all(self, due: AsyncGenerator[RelayRow]) -> tuple[int, list[Exception]]:
        """How many were sent, and what failed; after a failure no other one is begun."""
        failures: list[Exception] = []
        taking = asyncio.Lock()

        async def work() -> int:
            sent = 0
            while not failures:
                try:
                    async with taking:  # A generator gives to one at a time.
                        row = await anext(due, None)
                    if row is None:
                        break
                    sent += await self._advance(row)
                except Exception as failure:
                    failures.append(failure)
            return sent

        async with aclosing(due):
            return sum(await asyncio.gather(*(work() for _ in range(self._at_once)))), failures

    async def _due(self, now: datetime) -> AsyncGenerator[RelayRow]:
        last: Place | None = None
        while True:
            rows = await self._offload(partial(self._relays.due, now, last, _AT_ONCE))
            for row in rows:
                if not await self._offload(partial(self._is_held_up, row)):
                    yield row
            if len(rows) < _AT_ONCE:
                return
            last = (rows[-1].position, rows[-1].relay_id)

    def _is_held_up(self, row: RelayRow) -> bool:
        """Whether something must be at the axis before this is."""
        if row.kind is RelayKind.STATUS:
            return any(
                other.position < row.position and other.state in _ON_THEIR_WAY
                for other in self._views.relays_of(row.exchange_id)
                if other.kind is RelayKind.STATUS and other.agency == row.agency
            )
        earlier = row.exchange_id if row.kind is RelayKind.RECALL else self._earlier_of(row)
        if earlier is None:
            return False
        return not all(_is_over(other, row) for other in self._documents(earlier, row.agency))

    def _documents(self, exchange_id: UUID, agency: str) -> list[RelayRow]:
        """The packages that carry a document: one, or one a receiver; with `agency` only its."""
        whole = self._views.relay(relay_id(exchange_id, RelayKind.DOCUMENT))
        if whole is None or whole.state is not RelayState.SPLIT:
            return [] if whole is None else [whole]
        alone = [
            row
            for row in self._views.relays_of(exchange_id)
            if row.kind is RelayKind.DOCUMENT and row.agency
        ]
        return [row for row in alone if agency in ("", row.agency)]

    def _earlier_of(self, row: RelayRow) -> UUID | None:
        """The document that this one updates or replaces."""
        relates_to = self._opened(row.exchange_id).data["relates_to"]
        found = self._log.request_of(bytes.fromhex(relates_to)) if relates_to else None
        return found.exchange_id if found else None

    async def _advance(self, row: RelayRow) -> bool:
        if row.state is RelayState.WAITING:
            made = await self._make(row)
            if made is None:
                return False
            row = made
        return await self._send(row)

    # --- making -------------------------------------------------------------------

    async def _make(self, row: RelayRow) -> RelayRow | None:
        """The row of the package that was made; None where there is none to send."""
        command: Command
        if await self._offload(lambda: self._is_made(row)):
            return None
        try:
            if await self._offload(lambda: self._is_withdrawn(row)):
                command = HoldRelay(row, WITHDRAWN)
            elif await self._offload(lambda: self._is_to_be_split(row)):
                command = await self._offload(lambda: self._split(row))
            else:
                command = await self._offload(lambda: self._made(row))
        except PackageUnfit as unfit:
            command = HoldRelay(row, unfit.reason)
        except ContentLost as lost:
            command = HoldRelay(row, lost.reason)
        except PayloadErased:
            command = HoldRelay(row, WITHDRAWN)  # Just now.
        except ValueError:
            command = HoldRelay(row, "EDXML_CANNOT_HOLD")
        what = command.reason if isinstance(command, HoldRelay) else "made"
        recorded = await self._record(command, row, what)
        if not recorded or not isinstance(command, QueueRelay):
            return None
        made = await self._offload(lambda: self._views.relay(row.relay_id))
        return made if made is not None and made.state is RelayState.QUEUED else None

    def _is_made(self, row: RelayRow) -> bool:
        """Whether the lists are behind the log, which names a package already: those bytes stay."""
        history = self._log.select_events(row.relay_id)
        return any(stored.topic == Relay.RelayQueued.TOPIC for stored in history)

    def _is_withdrawn(self, row: RelayRow) -> bool:
        document = self._views.document(row.exchange_id)
        if document is None or document.erased:
            return True
        if row.kind is RelayKind.RECALL:
            return not any(
                each.state is RelayState.SENT
                for each in self._documents(row.exchange_id, row.agency)
            )
        if row.kind is RelayKind.STATUS:
            return False
        theirs = [
            self._views.delivery(row.exchange_id, each["agency"])
            for each in _behind_the_axis(self._opened(row.exchange_id), row.agency)
        ]
        return all(
            each is None or each.expired or each.recall is not RecallState.NONE for each in theirs
        )

    def _is_to_be_split(self, row: RelayRow) -> bool:
        """Whether it is the recall of a document that went to each receiver by itself."""
        if row.kind is not RelayKind.RECALL or row.agency:
            return False
        return len(self._documents(row.exchange_id, "")) > 1

    def _split(self, row: RelayRow, code: str = "") -> SplitRelay:
        behind = _behind_the_axis(self._opened(row.exchange_id))
        return SplitRelay(row, code, tuple(each["agency"] for each in behind))

    def _made(self, row: RelayRow) -> QueueRelay:
        opened = self._opened(row.exchange_id)
        key = self._vault.key_of(row.exchange_id)
        with self._scratch() as package:
            sender, addressed = self._write(row, opened, package)
            size, digest = _weighed(package)
            kind = MessageKind.STATUS if row.kind is RelayKind.STATUS else MessageKind.DOCUMENT
            prepared = self._gateway.prepare(kind, package, sender=sender, recipients=addressed)
            self._leave(row.relay_id)
            # If we stopped in here before, nothing of it was ever sent.
            self._content.discard(row.relay_id)
            package.seek(0)
            self._content.put_from(row.relay_id, _PACKAGE, package, size, key)
        self._content.put(row.relay_id, _REQUEST, prepared.request, key)
        theirs = _behind_the_axis(opened, row.agency) if row.kind is RelayKind.DOCUMENT else ()
        return QueueRelay(
            row=row,
            sender=opened.data["sender"],
            addressed=addressed,
            agencies=tuple(each["agency"] for each in theirs),
            package="" if row.kind is RelayKind.STATUS else digest,
            package_bytes=size,
            request_bytes=len(prepared.request),
        )

    def _write(self, row: RelayRow, opened: Event, out: BinaryIO) -> tuple[str, tuple[str, ...]]:
        """Write the package; who sends it, and to whom."""
        if row.kind is RelayKind.STATUS:
            going = self._status(row, opened)
            self._packages.status(going, out)
            return going.by, (going.to,)
        addressed = _codes(_behind_the_axis(opened, row.agency))
        # Where the request says who gets it, the package names all, as the document does.
        named = addressed if not self._gateway.narrows else _codes(_behind_the_axis(opened))
        document = self._document(opened, named)
        if row.kind is RelayKind.RECALL:
            asked, reason = self._recall(row)
            self._packages.recall(document, reason, asked, out)
        else:
            with self._contents(opened) as contents:
                self._packages.document(document, contents, out)
        return opened.data["sender"], addressed

    def _document(self, opened: Event, recipients: tuple[str, ...]) -> GoingDocument:
        registry = self._registry()
        names = {
            code: entry.name
            for code in (opened.data["sender"], *recipients)
            if (entry := registry.owner(code)) is not None
        }
        relates_to = opened.data["relates_to"]
        earlier = self._log.request_of(bytes.fromhex(relates_to)) if relates_to else None
        return GoingDocument(
            payload=statement_of(opened, self._log, self._vault).payload,
            document_id=str(opened.id),
            recipients=recipients,
            names=names,
            earlier=str(earlier.exchange_id) if earlier else None,
        )

    def _recall(self, row: RelayRow) -> tuple[datetime, str]:
        event = self._event(row.position)
        said = read_statement(statement_of(event, self._log, self._vault))
        return event.time, said.reason if isinstance(said, Recall) else ""

    def _status(self, row: RelayRow, opened: Event) -> GoingStatus:
        event, reason = self._event(row.position), None
        if event.topic in {Delivery.StatusReported.TOPIC, Delivery.RecallAnswered.TOPIC}:
            said = read_statement(statement_of(event, self._log, self._vault))
            reason = said.reason if isinstance(said, Status | RecallAnswer) else None
        payload = json.loads(statement_of(opened, self._log, self._vault).payload)
        document = self._views.document(opened.id)
        entry = self._registry().agencies.get(row.agency)
        return GoingStatus(
            code=row.status,
            by=row.agency,
            name=entry.name if entry else "",
            to=opened.data["sender"],
            document_id=payload.get("document_id"),
            document_code=document.code if document else "",
            issued_on=document.issued_on if document else None,
            reason=reason,
            at=event.time,
        )

    def _contents(self, opened: Event) -> _Contents:
        return _Contents(self._content, self._vault.key_of(opened.id), opened, self._scratch)

    # --- sending ------------------------------------------------------------------

    async def _send(self, row: RelayRow) -> bool:
        try:
            async with self._stored(row) as (prepared, package):
                axis_id = await self._gateway.send(prepared, package)
        except AxisUnreachable:
            raise
        except AxisRefused as refused:
            await self._refused(row, refused)
            return False
        except AxisOutcomeUnknown as unknown:
            await self._failed(row, unknown)
            return False
        except (ContentLost, PackageChanged) as lost:
            document = await self._offload(lambda: self._views.document(row.exchange_id))
            reason = lost.reason if isinstance(lost, ContentLost) else "PACKAGE_CHANGED"
            if document is None or document.erased:
                reason = WITHDRAWN
            await self._record(HoldRelay(row, reason), row, reason)
            return False
        sent = await self._record(MarkSent(row, axis_id), row, "sent")
        if sent and row.agency and row.kind is not RelayKind.STATUS:
            # One of many copies, which nobody needs for another attempt.
            await self._offload(lambda: self._content.discard(row.relay_id))
        return sent

    async def _refused(self, row: RelayRow, refused: AxisRefused) -> None:
        if refused.is_transient:
            await self._failed(row, refused)
        elif refused.code in RECEIVER_CODES and await self._offload(lambda: self._is_for_many(row)):
            split = await self._offload(lambda: self._split(row, refused.code))
            if await self._record(split, row, f"refused with {refused.code}: one by one"):
                await self._offload(lambda: self._content.discard(row.relay_id))
        else:
            command = HoldRelay(row, refused.reason, refused.code[:20])
            await self._record(command, row, f"refused with {refused.code}")

    def _is_for_many(self, row: RelayRow) -> bool:
        if row.kind is RelayKind.STATUS or row.agency:
            return False
        return len(_behind_the_axis(self._opened(row.exchange_id))) > 1

    async def _failed(self, row: RelayRow, failure: AxisError) -> None:
        attempt = row.attempts + 1
        wait = delay_before(
            attempt, row.relay_id, first=self._pace.first, longest=self._pace.longest
        )
        code = failure.code[:20] if isinstance(failure, AxisRefused) else ""
        command = MarkFailed(row, failure.reason, code, self._clock() + wait)
        await self._record(command, row, f"attempt {attempt} failed: {failure.reason}")

    @asynccontextmanager
    async def _stored(self, row: RelayRow) -> AsyncIterator[tuple[Prepared, BinaryIO]]:
        """The request and the package as they were stored, every part of them authenticated."""

        def opened() -> tuple[Prepared, BinaryIO]:
            key = self._vault.key_of(row.exchange_id)
            request = self._content.read(row.relay_id, _REQUEST, row.request_bytes, key, 0)
            prepared = Prepared(b"".join(request))
            package = self._scratch()
            try:
                for part in self._content.read(row.relay_id, _PACKAGE, row.package_bytes, key, 0):
                    package.write(part)
                package.seek(0)
            except BaseException:
                package.close()
                raise
            return prepared, package

        prepared, package = await self._offload(opened)
        async with AsyncExitStack() as stack:
            stack.callback(package.close)
            yield prepared, package

    # --- both ---------------------------------------------------------------------

    async def _record(self, command: Command, row: RelayRow, what: str) -> bool:
        """Whether it was recorded now. What the lane cannot take now, the next round repeats."""
        try:
            await self._lane.do(command)
        except (NothingRecorded, HubError):
            return False
        self._told(row, what)
        return True

    def _event(self, position: int) -> Event:
        (entry,) = self._log.entries(position, 1)
        return read_event(entry.state)

    def _opened(self, exchange_id: UUID) -> Event:
        event = read_event(self._log.select_events(exchange_id)[0].state)
        if event.topic not in OPENING_TOPICS:
            raise LookupError(f"exchange {exchange_id} begins with {event.topic}")
        return event


_ON_THEIR_WAY = (RelayState.WAITING, RelayState.QUEUED, RelayState.FAILED)


class _Contents:
    """The attachments of a document as files, for as long as the block runs."""

    def __init__(
        self, content: ContentStore, key: bytes, opened: Event, scratch: Callable[[], BinaryIO]
    ) -> None:
        self._content, self._key, self._opened, self._scratch = content, key, opened, scratch
        self._files: list[BinaryIO] = []

    def __enter__(self) -> Sequence[BinaryIO]:
        try:
            for index, attachment in enumerate(self._opened.data["attachments"]):
                self._files.append(file := self._scratch())
                for part in self._parts(index, attachment["size"]):
                    file.write(part)
                file.seek(0)
        except BaseException:
            self.__exit__()
            raise
        return self._files

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def _parts(self, index: int, size: int) -> Iterator[bytes]:
        return self._content.read(self._opened.id, index, size, self._key, 0)


def _behind_the_axis(opened: Event, agency: str = "") -> list[Consignment]:
    """The recipients behind the axis; with `agency` only that one."""
    return [
        each
        for each in opened.data["recipients"]
        if each.get("via") == AXIS and agency in ("", each["agency"])
    ]


def _codes(recipients: Sequence[Consignment]) -> tuple[str, ...]:
    return tuple(each.get("addressed", each["agency"]) for each in recipients)


def _is_over(other: RelayRow, row: RelayRow) -> bool:
    """Whether a document is there, or does not hold up what speaks of it."""
    if other.state is RelayState.SENT or other.reason == WITHDRAWN:
        return True
    # What goes to all does not wait for the one that was refused.
    return other.state is RelayState.PARKED and bool(other.agency) and not row.agency


def _weighed(package: BinaryIO) -> tuple[int, str]:
    package.seek(0)
    size, digest = 0, hashlib.sha256()
    while block := package.read(1 << 18):
        size += len(block)
        digest.update(block)
    package.seek(0)
    return size, digest.hexdigest()
