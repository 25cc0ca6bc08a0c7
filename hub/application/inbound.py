"""From the axis: what waits there is fetched, stored as it came, read, delivered, and acknowledged.

From each package to its end, and what is left when we stop:

1. It is fetched into a file for a moment, and read. *(Nothing. It still waits there.)*
2. What came and its attachments are stored under a document key. *(Content without an event,
   which the next start sweeps. It still waits there.)*
3. One event: `AxisDocumentTaken`, `AxisStatusTaken`, `AxisRecallTaken`, or `RelayParked`.
   *(The axis offers it again; its id is known, and only step 4 is done.)*
4. The axis is told: `done`, or `fail` for what was parked. *(It offers it again.)*

Nothing it says proves a sender. A reply that is malformed, cut short or empty is a failure of
the call: nothing is recorded, nothing acknowledged, and the next round asks again.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import BinaryIO
from uuid import NAMESPACE_OID, UUID, uuid5

from hub.application import intake
from hub.application.axis import (
    AxisError,
    AxisGateway,
    AxisPackages,
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
from hub.errors import AgencySuspended, HubError, ReceiptDelayed, RequestIdReused, Unavailable
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

# Reasons of ours; those of a package itself are the codec's.
SENDER_IS_HERE = "SENDER_IS_HERE"
RECIPIENT_UNKNOWN = "RECIPIENT_UNKNOWN"
OTHER_CONTENT = "OTHER_CONTENT"
DUPLICATE = "DUPLICATE"
DOCUMENT_UNKNOWN = "DOCUMENT_UNKNOWN"
TOO_LARGE = "TOO_LARGE"

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
    """`early` is how long a package may wait for the document it speaks of; the rest is pace."""

    early: timedelta = timedelta(minutes=15)
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
    ) -> None:
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
        self._first_seen: dict[str, datetime] = {}
        self._silent = 0
        self._quiet_until: datetime | None = None

    async def round(self) -> int:
        """Take in what waits, documents first; how many packages became facts.

        Raises nothing of the axis: a call that failed is told, and the next round repeats it.
        """
        now = self._clock()
        if self._quiet_until is not None and now < self._quiet_until:
            return 0
        taken = await self._go_on_with_resumed()
        try:
            for kind in (MessageKind.DOCUMENT, MessageKind.STATUS):
                taken += await self._round_of(kind)
        except AxisUnreachable:
            self._silent += 1
            pace = self._patience
            wait = delay_before(self._silent, UUID(int=0), first=pace.first, longest=pace.longest)
            self._quiet_until = now + wait
        else:
            self._silent, self._quiet_until = 0, None
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

    async def _take(self, item: Waiting, kind: MessageKind) -> bool | None:
        """Whether it became a fact; None where it waits for another package."""
        known = await self._offload(lambda: self._relays.known(item.axis_id))
        if known is not None:
            await self._acknowledge(item.axis_id, known.state)
            return False
        file = await self._offload(self._scratch)
        try:
            arrived = await self._fetched(item, kind, file)
            return arrived is not None and await self._settle(arrived)
        except _TooEarly:
            return None
        finally:
            file.close()

    async def _fetched(self, item: Waiting, kind: MessageKind, file: BinaryIO) -> _Arrived | None:
        try:
            await self._gateway.fetch(item.axis_id, file)
        except AxisUnreachable:
            raise
        except AxisError as error:
            self._told(item.axis_id, f"it cannot be fetched: {error.reason}")
            return None
        size, sha256 = await self._offload(lambda: _weighed(file))
        exchange_id = uuid7(self._clock(), self._randomness(10))
        return _Arrived(item.axis_id, kind, item.recipient, exchange_id, file, size, sha256)

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
        if arrived.resumed is not None:
            # It lies with the exchange now.
            await self._offload(lambda: self._content.discard(arrival_id(arrived.exchange_id)))

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
        secret = self._vault.key_of(exchange_id) if arrived.resumed else self._vault.new_key()
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
            document_key=None if arrived.resumed else secret,
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
        try:
            if arrived.resumed is None:
                await self._offload(lambda: self._keep(arrived))
            await self._lane.do(
                ParkArrival(
                    exchange_id=arrived.exchange_id,
                    axis_id=arrived.axis_id,
                    kind=_KINDS[arrived.kind],
                    reason=reason,
                    package=arrived.sha256,
                    package_bytes=arrived.size,
                )
            )
        except (HubError, NothingRecorded) as later:
            self._told(arrived.axis_id, f"not parked now: {later}")
            return False
        self._told(arrived.axis_id, f"parked: {reason}")
        if arrived.resumed is None:
            await self._acknowledge(arrived.axis_id, RelayState.PARKED)
        return False

    def _keep(self, arrived: _Arrived) -> None:
        """Store what came, byte for byte, under a key of its own."""
        secret = self._vault.new_key()
        self._vault.store({arrived.exchange_id: secret})
        arrived.file.seek(0)
        self._content.put_from(
            arrival_id(arrived.exchange_id), 0, arrived.file, arrived.size, secret
        )

    async def _go_on_with_resumed(self) -> int:
        """Read what an operator wants read once more."""
        rows = await self._offload(lambda: _resumed(self._relays))
        taken = 0
        for row in rows:
            file = await self._offload(self._scratch)
            try:
                taken += await self._settle(await self._offload(partial(self._again, row, file)))
            finally:
                file.close()
        return taken

    def _again(self, row: RelayRow, file: BinaryIO) -> _Arrived:
        key = self._vault.key_of(row.exchange_id)
        for part in self._content.read(row.relay_id, 0, row.package_bytes, key, 0):
            file.write(part)
        file.seek(0)
        kind = MessageKind.STATUS if row.kind is RelayKind.STATUS else MessageKind.DOCUMENT
        return _Arrived(
            row.axis_id, kind, "", row.exchange_id, file, row.package_bytes, row.package.hex(), row
        )

    async def _acknowledge(self, axis_id: str, state: RelayState) -> None:
        """Tell the axis; what fails is told again when the axis offers the package again."""
        if state is RelayState.QUEUED:
            return  # Resumed, and not read yet.
        told = TransportState.FAIL if state is RelayState.PARKED else TransportState.DONE
        try:
            await self._gateway.mark(axis_id, told)
        except AxisUnreachable:
            raise
        except AxisError as error:
            self._told(axis_id, f"the axis was not told: {error.reason}")


def _resumed(relays: RelayList) -> list[RelayRow]:
    return list(relays.listed(RelayState.QUEUED, Direction.IN, None, _ROUND_MAX))


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
