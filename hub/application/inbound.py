"""From the axis: what waits there is fetched, stored as it came, read, delivered, and acknowledged.

From each package to its end, and what is left when we stop:

1. It is fetched into a file for a moment, and read. *(Nothing. It still waits there.)*
2. What came and its attachments are stored under a document key. *(Content without an event,
   which the next start sweeps. It still waits there.)*
3. One event: `AxisDocumentTaken`, `AxisStatusTaken`, `AxisRecallTaken`, or `RelayParked`.
   *(The axis offers it again; its id is known, and only step 4 is done.)*
4. The axis is told: `done`, or `fail` for what was parked. *(It offers it again.)*

Nothing it says proves a sender. A reply that is malformed, cut short or empty is a failure of
the call: nothing is recorded, nothing acknowledged, and a later round asks again. What stays so
is parked with that reply, so that nothing is tried for ever.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import BinaryIO
from uuid import NAMESPACE_OID, UUID, uuid5

from hub.application import intake
from hub.application.axis import (
    AxisError,
    AxisGateway,
    AxisPackages,
    AxisRefused,
    AxisUnreachable,
    CameDocument,
    CameStatus,
    MessageKind,
    PackageUnfit,
    TransportState,
    Waiting,
)
from hub.application.lane import Lane, NothingRecorded, Receipts
from hub.application.offload import Offloader
from hub.application.ports import (
    Clock,
    ContentStore,
    DocumentFilter,
    DocumentLists,
    Randomness,
    RelayList,
    RelayRow,
    Views,
)
from hub.application.registry import Registry
from hub.application.relay_commands import ParkArrival, TakeDocument, TakeRecall, TakeStatus
from hub.application.standing import Addressee
from hub.application.vault import Vault
from hub.domain.deadlines import Passed
from hub.domain.exchange import AXIS
from hub.domain.folding import fold
from hub.domain.relay import (
    Direction,
    RelayKind,
    RelayState,
    arrival_id,
    delay_before,
    document_key,
)
from hub.domain.values import uuid7
from hub.errors import (
    AgencySuspended,
    ContentLost,
    HubError,
    PayloadErased,
    ReceiptDelayed,
    RequestIdReused,
    Unavailable,
)
from hub.proof.dsse import SignedStatement
from hub.proof.statements import Envelope, read_statement

_ROUND_MAX = 2000
_REPORT_BYTES_MAX = 512 * 1024
_NONCE_BYTES = 16
_BLOCK_BYTES = 1 << 18
_NEW, _RECALL = "0", "1"
_RECALL_ASKED = "13"
_NOTHING_PASSED = Passed(datetime.min.replace(tzinfo=UTC), date.min)
_KINDS = {MessageKind.DOCUMENT: RelayKind.DOCUMENT, MessageKind.STATUS: RelayKind.STATUS}
_MESSAGES = {
    RelayKind.DOCUMENT: MessageKind.DOCUMENT,
    RelayKind.RECALL: MessageKind.DOCUMENT,
    RelayKind.STATUS: MessageKind.STATUS,
}

# Reasons of ours; those of a package itself are the codec's.
SENDER_IS_HERE = "SENDER_IS_HERE"
RECIPIENT_UNKNOWN = "RECIPIENT_UNKNOWN"
OTHER_CONTENT = "OTHER_CONTENT"
DUPLICATE = "DUPLICATE"
DOCUMENT_UNKNOWN = "DOCUMENT_UNKNOWN"
TOO_LARGE = "TOO_LARGE"
NOT_UNDERSTOOD = "NOT_UNDERSTOOD"
"""A defect of this hub: the package trips it over, again and again."""

Told = Callable[[str, str], None]
"""Hears what became of a package, by its id at the axis; never quotes it."""


class _Parked(Exception):
    """The package must wait for a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _TooEarly(_Parked):
    """It speaks of a document that may still come; after a while it is parked."""


class _Duplicate(Exception):
    """The same package came before, under another id."""


@dataclass(frozen=True, slots=True)
class Patience:
    """`early` is how long a package may wait for the document it speaks of; the rest is pace.

    What cannot be fetched, or read at all, in `tries` is parked.
    """

    early: timedelta = timedelta(minutes=15)
    tries: int = 10
    first: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A package that is here: its bytes, and what it becomes unless it is parked."""

    axis_id: str
    kind: MessageKind
    recipient: str
    exchange_id: UUID
    file: BinaryIO
    size: int
    sha256: str
    resumed: RelayRow | None = None
    is_stored: bool = False


@dataclass(frozen=True, slots=True)
class _Tried:
    """How often a package could not be fetched, and until when it is left alone."""

    times: int
    until: datetime


class Arrivals:
    """Takes in what waits at the axis. One round at a time; its memory may be lost at any time."""

    def __init__(
        self,
        *,
        origin: str,
        gateway: AxisGateway,
        packages: AxisPackages,
        lane: Lane,
        receipts: Receipts,
        views: Views,
        relays: RelayList,
        lists: DocumentLists,
        content: ContentStore,
        vault: Vault,
        registry: Callable[[], Registry],
        scratch: Callable[[], BinaryIO],
        offload: Offloader,
        clock: Clock,
        randomness: Randomness,
        patience: Patience,
        told: Told,
        leave: Callable[[UUID], None],
    ) -> None:
        """`leave` hears under which id something is stored that is not recorded yet."""
        self._origin = origin
        self._gateway = gateway
        self._packages = packages
        self._lane = lane
        self._receipts = receipts
        self._views = views
        self._relays = relays
        self._lists = lists
        self._content = content
        self._vault = vault
        self._registry = registry
        self._scratch = scratch
        self._offload = offload
        self._clock = clock
        self._randomness = randomness
        self._patience = patience
        self._told = told
        self._leave = leave
        self._first_seen: dict[str, datetime] = {}
        self._tried: dict[str, _Tried] = {}
        self._defects: list[Exception] = []
        self._silent = 0
        self._quiet_until: datetime | None = None

    async def round(self) -> int:
        """Take in what waits, documents first; how many packages became facts.

        Raises nothing of the axis: a call that failed is told, and the next round repeats it.
        What is a defect of ours is raised at the end, when the others have had their turn.
        """
        now = self._clock()
        if self._quiet_until is not None and now < self._quiet_until:
            return 0
        taken = 0
        try:
            taken += await self._go_on_with_resumed()
            for kind in (MessageKind.DOCUMENT, MessageKind.STATUS):
                taken += await self._round_of(kind)
        except AxisUnreachable:
            self._silent += 1
            pace = self._patience
            wait = delay_before(self._silent, UUID(int=0), first=pace.first, longest=pace.longest)
            self._quiet_until = now + wait
        else:
            self._silent, self._quiet_until = 0, None
        if self._defects:
            defects, self._defects = self._defects, []
            raise ExceptionGroup("packages that this hub cannot take in", defects)
        return taken

    async def _round_of(self, kind: MessageKind) -> int:
        try:
            waiting = await self._gateway.waiting(kind)
        except AxisUnreachable:
            raise
        except AxisError as error:
            self._told("", f"the list of {kind.value} cannot be read: {error.reason}")
            return 0
        items = list({each.axis_id: each for each in waiting}.values())[:_ROUND_MAX]
        self._forget_others(items, kind)
        taken, early = 0, list[Waiting]()
        for item in items:
            became = await self._take(item, kind)
            taken += became is True
            if became is None:
                early.append(item)
        if taken:  # What they wait for may be here now.
            for item in early:
                taken += await self._take(item, kind) is True
        return taken

    def _forget_others(self, items: Sequence[Waiting], kind: MessageKind) -> None:
        still = {f"{kind.value} {each.axis_id}" for each in items}
        self._first_seen = {
            name: at
            for name, at in self._first_seen.items()
            if name in still or not name.startswith(f"{kind.value} ")
        }
        self._tried = {
            name: tried
            for name, tried in self._tried.items()
            if name in still or not name.startswith(f"{kind.value} ")
        }

    async def _take(self, item: Waiting, kind: MessageKind) -> bool | None:
        """Whether it became a fact; None where it waits for another package."""
        known = await self._offload(lambda: self._relays.known(item.axis_id))
        if known is not None:
            await self._acknowledge(item.axis_id, known.state)
            return False
        try:
            return await self._fetched(item, kind)
        except _TooEarly:
            return None

    async def _fetched(
        self, item: Waiting, kind: MessageKind, resumed: RelayRow | None = None
    ) -> bool:
        """Fetch a package and take it in. What fails again and again is parked: see Patience."""
        name = f"{'resumed' if resumed else kind.value} {item.axis_id}"
        tried = self._tried.get(name, _Tried(0, self._clock()))
        if self._clock() < tried.until:
            return False
        exchange_id = uuid7(self._clock(), self._randomness(10))
        if resumed is not None:
            exchange_id = resumed.exchange_id
        is_last = tried.times + 1 >= self._patience.tries
        file = await self._offload(self._scratch)
        raw = await self._offload(self._scratch) if is_last else None
        arrived = _Arrived(item.axis_id, kind, item.recipient, exchange_id, file, 0, "", resumed)
        try:
            await self._gateway.fetch(item.axis_id, file, raw)
            size, sha256 = await self._offload(lambda: _weighed(file))
            taken = await self._settle(replace(arrived, size=size, sha256=sha256))
            self._tried.pop(name, None)
            return taken
        except (AxisUnreachable, _TooEarly, OSError):
            raise  # A full disk is no defect of the package.
        except AxisError as error:
            self._told(item.axis_id, f"it cannot be fetched: {error.reason}")
            if raw is None:
                self._tried[name] = self._once_more(tried, exchange_id)
                return False
            code = error.code[:20] if isinstance(error, AxisRefused) else ""
            self._tried.pop(name, None)
            return await self._park_reply(arrived, raw, error.reason, code)
        except Exception as defect:
            self._defects.append(defect)
            if not is_last:
                self._tried[name] = self._once_more(tried, exchange_id)
                return False
            self._tried.pop(name, None)
            size, sha256 = await self._offload(lambda: _weighed(file))
            return await self._park(replace(arrived, size=size, sha256=sha256), NOT_UNDERSTOOD)
        finally:
            file.close()
            if raw is not None:
                raw.close()

    def _once_more(self, tried: _Tried, exchange_id: UUID) -> _Tried:
        pace = self._patience
        times = tried.times + 1
        wait = delay_before(times, exchange_id, first=pace.first, longest=pace.longest)
        return _Tried(times, self._clock() + wait)

    async def _settle(self, arrived: _Arrived) -> bool:
        """Read it, record what it becomes, and tell the axis. Raises _TooEarly."""
        state = RelayState.TAKEN
        try:
            await self._understand(arrived)
            what = "taken"
        except (Unavailable, ReceiptDelayed) as later:
            # Perhaps recorded: when the axis offers it again, its id is known or it is not.
            self._told(arrived.axis_id, f"not now: {later.reason}")
            return False
        except (NothingRecorded, RequestIdReused, _Duplicate):
            if arrived.resumed is not None:
                return await self._park(arrived, DUPLICATE)
            what = "it came before"
        except _TooEarly as early:
            if arrived.resumed is None and not self._is_overdue(arrived):
                raise
            return await self._park(arrived, early.reason)
        except _Parked as parked:
            return await self._park(arrived, parked.reason)
        except PackageUnfit as unfit:
            return await self._park(arrived, unfit.reason)
        except HubError as refusal:
            return await self._park(arrived, refusal.reason)
        self._told(arrived.axis_id, what)
        if arrived.resumed is not None:
            # It lies with its exchange now, or was kept with the document that it speaks of.
            await self._offload(lambda: self._content.discard(arrival_id(arrived.exchange_id)))
        await self._acknowledge(arrived.axis_id, state)
        return what == "taken"

    def _is_overdue(self, arrived: _Arrived) -> bool:
        name = f"{arrived.kind.value} {arrived.axis_id}"
        seen = self._first_seen.setdefault(name, self._clock())
        return self._clock() - seen >= self._patience.early

    async def _understand(self, arrived: _Arrived) -> None:
        if await self._offload(lambda: self._views.position() < self._receipts.size):
            # What came before is found in the lists: while they are behind, it would not be.
            raise Unavailable("the lists are behind the log")
        came = await self._offload(lambda: self._packages.read(arrived.file))
        if isinstance(came, CameStatus):
            await self._take_status(arrived, came)
            return
        try:
            if came.business_type == _RECALL:
                await self._take_recall(arrived, came)
            else:
                await self._take_document(arrived, came)
        finally:
            came.close()

    # --- Documents ----------------------------------------------------------------

    async def _take_document(self, arrived: _Arrived, came: CameDocument) -> None:
        registry = self._registry()
        if registry.taken_by(came.sender) is not None:
            # Whoever is here signs what it sends: this is somebody else, or our own come back.
            raise _Parked(SENDER_IS_HERE)
        addressees = _addressees([*came.recipients, arrived.recipient], registry)
        key = document_key(came.sender, came.document_id, came.business_type)
        await self._offload(lambda: self._require_new(key, came.fingerprint))
        older = await self._offload(lambda: self._older(came))
        command = await self._offload(lambda: self._stored(arrived, came, addressees, older, key))
        try:
            await self._lane.do(command)
        except (Unavailable, ReceiptDelayed):
            raise  # Perhaps recorded: the content must stay. An orphan is swept at the start.
        except (HubError, NothingRecorded):
            await self._offload(lambda: self._content.discard(arrived.exchange_id))
            raise

    def _require_new(self, key: bytes, fingerprint: bytes) -> None:
        called = self._relays.called(key)
        if any(each.fingerprint == fingerprint for each in called):
            raise _Duplicate
        if called:
            raise _Parked(OTHER_CONTENT)

    def _older(self, came: CameDocument) -> RelayRow | None:
        """The document that this one updates or replaces; raises _TooEarly while it is not here."""
        if came.business_type == _NEW or came.earlier_id is None:
            return None
        found = self._called(came.sender, came.earlier_id)
        if found is None:
            raise _TooEarly(DOCUMENT_UNKNOWN)
        return found

    def _called(self, sender: str, document_id: str) -> RelayRow | None:
        """The newest document of a sender that it calls so, whatever it was then."""
        found = [
            row
            for business_type in ("0", "2", "3")
            for row in self._relays.called(document_key(sender, document_id, business_type))
        ]
        return max(found, key=lambda row: row.position, default=None)

    def _stored(
        self,
        arrived: _Arrived,
        came: CameDocument,
        addressees: Sequence[Addressee],
        older: RelayRow | None,
        key: bytes,
    ) -> TakeDocument:
        """Store content and package, and say what they become."""
        exchange_id = arrived.exchange_id
        payload = came.payload(
            hub=self._origin,
            request_id=str(uuid5(NAMESPACE_OID, f"axis:{arrived.axis_id}")),
            nonce=base64.b64encode(self._randomness(_NONCE_BYTES)).decode(),
            at=self._clock(),
            relates_to=self._digest_of(older),
            members={
                "recipients": [each.signed for each in addressees],
                "origin": AXIS,
                "axis": {
                    "id": arrived.axis_id,
                    "package": arrived.sha256,
                    "package_bytes": arrived.size,
                    "key": key.hex(),
                    "fingerprint": came.fingerprint.hex(),
                },
            },
        )
        signed = SignedStatement(Envelope.MEDIA_TYPE, payload, "", b"")
        envelope = read_statement(signed)
        if not isinstance(envelope, Envelope):
            raise TypeError("an envelope was made, and something else was read")
        intake.require_allowed(envelope, addressees)
        # An attempt that was cut off may have left the key of this exchange, but no fact.
        is_kept = arrived.resumed is not None and self._vault.has_key(exchange_id)
        secret = self._vault.key_of(exchange_id) if is_kept else self._vault.new_key()
        self._leave(exchange_id)
        # What an earlier attempt left, which was never recorded.
        self._content.discard(exchange_id)
        for index, (_sha256, size, content) in enumerate(came.contents):
            content.seek(0)
            self._content.put_from(exchange_id, index, content, size, secret)
        arrived.file.seek(0)
        self._content.put_from(exchange_id, len(came.contents), arrived.file, arrived.size, secret)
        return TakeDocument(
            exchange_id=exchange_id,
            envelope=envelope,
            payload=self._vault.seal_payload(exchange_id, signed.digest, payload, secret),
            document_key=None if is_kept else secret,
            addressees=addressees,
            older=older.exchange_id if older else None,
            axis_id=arrived.axis_id,
            package=arrived.sha256,
            package_bytes=arrived.size,
            is_signed=came.is_signed,
        )

    def _digest_of(self, older: RelayRow | None) -> str | None:
        document = None if older is None else self._views.document(older.exchange_id)
        return None if document is None else document.envelope_digest.hex()

    # --- Statuses and recalls -----------------------------------------------------

    async def _take_status(self, arrived: _Arrived, came: CameStatus) -> None:
        if came.code == _RECALL_ASKED:
            found = await self._offload(lambda: self._received(came.by, came))
            if found is None:
                raise _TooEarly(DOCUMENT_UNKNOWN)
            await self._recall(arrived, found.exchange_id, came.to, _RECALL_ASKED)
            return
        about = await self._offload(lambda: self._sent(came))
        if about is None:
            raise _TooEarly(DOCUMENT_UNKNOWN)
        exchange_id, agency = about
        report = await self._offload(lambda: self._report(arrived))
        await self._lane.do(
            TakeStatus(
                exchange_id=exchange_id,
                agency=agency,
                code=came.code,
                relay=arrival_id(arrived.exchange_id),
                axis_id=arrived.axis_id,
                report=report,
                vault=self._vault,
            )
        )

    async def _take_recall(self, arrived: _Arrived, came: CameDocument) -> None:
        earlier = came.earlier_id or came.document_id
        found = await self._offload(lambda: self._called(came.sender, earlier))
        if found is None:
            raise _TooEarly(DOCUMENT_UNKNOWN)
        await self._recall(arrived, found.exchange_id, None, "recall")

    async def _recall(
        self, arrived: _Arrived, exchange_id: UUID, asked: str | None, form: str
    ) -> None:
        rows = await self._offload(lambda: self._views.deliveries(exchange_id))
        recipients = [row.recipient for row in rows]
        entry = self._registry().owner(asked) if asked else None
        if entry is not None and entry.code in recipients:
            recipients = [entry.code]
        report = await self._offload(lambda: self._report(arrived))
        await self._lane.do(
            TakeRecall(
                exchange_id=exchange_id,
                agencies=tuple(recipients),
                form=form,
                relay=arrival_id(arrived.exchange_id),
                axis_id=arrived.axis_id,
                report=report,
                vault=self._vault,
            )
        )

    def _report(self, arrived: _Arrived) -> bytes:
        """What is kept of a package that carries no document: the bytes, under a nonce."""
        if arrived.size > _REPORT_BYTES_MAX:
            raise _Parked(TOO_LARGE)
        arrived.file.seek(0)
        nonce = base64.b64encode(self._randomness(_NONCE_BYTES)).decode()
        package = base64.b64encode(arrived.file.read(arrived.size)).decode()
        return json.dumps({"v": 1, "nonce": nonce, "package": package}).encode()

    def _sent(self, came: CameStatus) -> tuple[UUID, str] | None:
        """Which document of ours a status speaks of, and for which of its recipients."""
        entry = self._registry().owner(came.by)
        by = entry.code if entry else came.by
        exchange_id = _uuid(came.document_id)
        if exchange_id is None:
            exchange_id = self._sent_by_code(came, by)
        if exchange_id is None:
            return None
        row = self._views.delivery(exchange_id, by)
        document = self._views.document(exchange_id)
        if row is None or document is None or document.origin:
            return None
        return exchange_id, by

    def _sent_by_code(self, came: CameStatus, by: str) -> UUID | None:
        """By number and notation, where the DocumentId did not come back; only if it is one."""
        sender = self._registry().owner(came.to) if came.to else None
        if sender is None or not came.document_code:
            return None
        wanted = DocumentFilter(other_agency=by, code=fold(came.document_code))
        rows = self._lists.sent(sender.code, wanted, _NOTHING_PASSED, None, 50).rows
        found = [
            document.exchange_id
            for document, _tallies in rows
            if document.code == came.document_code and came.issued_on in (None, document.issued_on)
        ]
        return found[0] if len(found) == 1 else None

    def _received(self, sender: str, came: CameStatus) -> RelayRow | None:
        return self._called(sender, came.document_id) if came.document_id else None

    # --- Parking ------------------------------------------------------------------

    async def _park(self, arrived: _Arrived, reason: str) -> bool:
        parked = ParkArrival(
            exchange_id=arrived.exchange_id,
            axis_id=arrived.axis_id,
            kind=_KINDS[arrived.kind],
            reason=reason,
            package=arrived.sha256,
            package_bytes=arrived.size,
        )
        kept = None if arrived.is_stored else (arrived.file, arrived.size)
        return await self._parked(arrived, parked, kept)

    async def _park_reply(self, arrived: _Arrived, raw: BinaryIO, reason: str, code: str) -> bool:
        """There is no package: what the axis says instead is kept, for a person to look at."""
        size, sha256 = await self._offload(lambda: _weighed(raw))
        parked = ParkArrival(
            exchange_id=arrived.exchange_id,
            axis_id=arrived.axis_id,
            kind=_KINDS[arrived.kind],
            reason=reason,
            code=code,
            reply=sha256,
            reply_bytes=size,
        )
        return await self._parked(arrived, parked, (raw, size))

    async def _parked(
        self, arrived: _Arrived, command: ParkArrival, kept: tuple[BinaryIO, int] | None
    ) -> bool:
        try:
            if kept is not None:
                await self._offload(lambda: self._keep(arrived, *kept))
            await self._lane.do(command)
        except (HubError, NothingRecorded) as later:
            self._told(arrived.axis_id, f"not parked now: {later}")
            return False
        self._told(arrived.axis_id, f"parked: {command.reason}")
        if arrived.resumed is None:
            await self._acknowledge(arrived.axis_id, RelayState.PARKED)
        return False

    def _keep(self, arrived: _Arrived, file: BinaryIO, size: int) -> None:
        """Store what came, byte for byte, under a key of its own, which erasing destroys."""
        relay = arrival_id(arrived.exchange_id)
        self._leave(relay)
        if arrived.resumed is None:
            secret = self._vault.new_key()
            self._vault.store({relay: secret})
        else:
            secret = self._vault.key_of(relay)
            self._content.discard(relay)
        file.seek(0)
        self._content.put_from(relay, 0, file, size, secret)

    async def _go_on_with_resumed(self) -> int:
        """Read, or fetch, what an operator wants taken in once more."""
        rows = await self._offload(lambda: _resumed(self._relays))
        still = {f"resumed {row.axis_id}" for row in rows}
        self._tried = {
            name: tried
            for name, tried in self._tried.items()
            if name in still or not name.startswith("resumed ")
        }
        taken = 0
        for row in rows:
            if row.state is RelayState.WAITING:
                taken += await self._fetch_again(row)
            else:
                taken += await self._read_again(row)
        return taken

    async def _fetch_again(self, row: RelayRow) -> bool:
        item, kind = Waiting(row.axis_id), _MESSAGES[row.kind]
        try:
            return await self._fetched(item, kind, row)
        except _TooEarly:
            raise AssertionError("what is resumed does not wait") from None

    async def _read_again(self, row: RelayRow) -> bool:
        file = await self._offload(self._scratch)
        arrived = _Arrived(
            axis_id=row.axis_id,
            kind=_MESSAGES[row.kind],
            recipient="",
            exchange_id=row.exchange_id,
            file=file,
            size=row.package_bytes,
            sha256=row.package.hex(),
            resumed=row,
            is_stored=True,
        )
        try:
            await self._offload(partial(self._read_stored, row, file))
            return await self._settle(arrived)
        except (ContentLost, PayloadErased) as gone:
            return await self._park(arrived, gone.reason)
        except (AxisUnreachable, OSError):
            raise
        except Exception as defect:
            self._defects.append(defect)
            return await self._park(arrived, NOT_UNDERSTOOD)
        finally:
            file.close()

    def _read_stored(self, row: RelayRow, file: BinaryIO) -> None:
        key = self._vault.key_of(row.relay_id)
        for part in self._content.read(row.relay_id, 0, row.package_bytes, key, 0):
            file.write(part)
        file.seek(0)

    async def _acknowledge(self, axis_id: str, state: RelayState) -> None:
        """Tell the axis; what fails is told again when the axis offers the package again."""
        if state in (RelayState.QUEUED, RelayState.WAITING):
            return  # Resumed, and not read yet.
        told = TransportState.FAIL if state is RelayState.PARKED else TransportState.DONE
        try:
            await self._gateway.mark(axis_id, told)
        except AxisUnreachable:
            raise
        except AxisError as error:
            self._told(axis_id, f"the axis was not told: {error.reason}")


def _resumed(relays: RelayList) -> list[RelayRow]:
    return [
        row
        for state in (RelayState.QUEUED, RelayState.WAITING)
        for row in relays.listed(state, Direction.IN, None, _ROUND_MAX)
    ]


def _addressees(codes: Iterable[str], registry: Registry) -> list[Addressee]:
    """The recipients that are on this hub, each once; the others got the package too.

    One that is suspended parks it for all: nobody else can tell the sender.
    """
    found: dict[str, Addressee] = {}
    for code in dict.fromkeys(codes):
        receiver = registry.receiver(code) if code else None
        if receiver is None or receiver.via:
            continue
        if receiver.suspended:
            raise _Parked(AgencySuspended.reason)
        found.setdefault(receiver.code, Addressee(code, receiver.code))
    if not found:
        raise _Parked(RECIPIENT_UNKNOWN)
    return list(found.values())


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None


def _weighed(file: BinaryIO) -> tuple[int, str]:
    file.seek(0)
    size, digest = 0, hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        size += len(block)
        digest.update(block)
    file.seek(0)
    return size, digest.hexdigest()
