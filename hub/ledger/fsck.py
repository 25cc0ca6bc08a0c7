"""Recompute everything from event 0 and compare it with what is stored.

Fsck changes nothing and believes nothing but the trusted verifier key. It reports every
finding it can name, the first differing position first.
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from hub.application.mapper import UnreadableEvent, read_leaf
from hub.application.parties import consignments_of, exchange_of
from hub.application.ports import (
    ContentStore,
    Cosignatures,
    Erasure,
    EventLog,
    LogEntry,
    SealedPayload,
    SignerMemory,
    TreeStore,
)
from hub.application.requests import request_of
from hub.application.vault import Vault
from hub.domain.agency import Agency
from hub.domain.catalogue import ERASURE_TOPICS
from hub.domain.delivery import Delivery
from hub.domain.exchange import OPENING_TOPICS, Exchange
from hub.domain.log import Log
from hub.domain.principal import Principal
from hub.domain.revocation_evidence import RevocationEvidence
from hub.domain.timestamp import Timestamp
from hub.errors import ContentLost, LedgerMismatch, VerificationFailed
from hub.ledger.sequencer import REGISTER_DIFFERS, RegisterIndex, keys_of_log, read_entries
from hub.proof.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint_body
from hub.proof.leaf import Event
from hub.proof.merkle import EMPTY_ROOT, HASH_BYTES, leaf_hash
from hub.proof.note import NoteSignature, VerifierKey, parse_note
from hub.proof.tiles import width_at
from hub.proof.tree import TILE_WIDTH, GrowingTree

# Of what differs so often, more is not news.
FINDINGS_MAX = 1000
# Aggregates whose newest version is remembered; for the others the log is asked.
_VERSIONS_KEPT_MAX = 100_000
_ERASURES_AT_ONCE = 1000
# Events whose payloads are asked for together: a statement may have a megabyte.
_AT_ONCE = 64
# What came from the axis beside documents is kept as a payload.
_WITH_REPORTS = frozenset(
    kind.TOPIC
    for kind in (
        Delivery.AxisStatusTaken,
        Exchange.AxisRecallTaken,
        Exchange.SignatureVerdictMade,
        Exchange.AxisSignaturesExamined,
    )
)
_ERASED_AGAIN = ": start the hub, which erases it again before it serves"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree. `position` is an event's, from 0, where there is one."""

    what: str
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """All the stores of one hub. `keys` are those its signer holds."""

    origin: str
    keys: Sequence[VerifierKey]
    log: EventLog
    store: TreeStore
    signer: SignerMemory
    content: ContentStore
    vault: Vault
    cosignatures: Cosignatures | None = None


def check_everything(
    parts: Parts, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Finding]:
    """Every finding, in one pass over the events.

    `progress(done, total)` counts events. Memory is bounded, however long the log is.
    """
    events = _Events(parts)
    tree = _TreeCheck(parts)
    total = parts.log.head().next_position
    position = 0
    try:
        for chunk in read_entries(parts.log, 0, total):
            for start in range(0, len(chunk), _AT_ONCE):
                some = chunk[start : start + _AT_ONCE]
                events.look_ahead(some)
                for entry in some:
                    yield from tree.take(entry)
                    yield from events.take(entry)
            position = chunk[-1].position + 1
            yield from events.check_requests()
            progress(position, total)
    except LedgerMismatch as gap:
        yield Finding(str(gap), gap.position)
    if position < total:
        yield Finding(f"event {position} is missing, the head counts {total}", position)
    for entry in parts.log.entries(total, 1):
        yield Finding(f"event {entry.position} stands beyond the head", entry.position)
    yield from tree.finish()
    yield from events.finish()
    yield from _check_signer(parts, tree)
    yield from _check_cosignatures(parts, events.witnesses)


class _TreeCheck:
    """Leaves against tiles, and the root at every checkpoint's size against its signature.

    Leaves wait until a tile is full or a root is asked for. Of the tree only its right edge
    is kept: roots of the size it has need no more.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._checkpoints = parts.store.checkpoints()
        self._next = next(self._checkpoints, None)
        self._former = parts.store.former_checkpoints()
        self._next_former = next(self._former, None)
        published = parts.store.latest_checkpoint()
        self._published = published[0] if published else 0
        self._keys = keys_of_log(parts.log, parts.origin, parts.keys)
        self._signed = parts.signer.last
        empty = self._signed is not None and self._signed.size == 0
        self.root_signed: bytes | None = EMPTY_ROOT if empty else None
        self._level_0: tuple[int, bytes] = (-1, b"")
        self._growing = GrowingTree(0, lambda level, number: b"")
        self._waiting: list[bytes] = []
        self._sound = 0
        self._named: set[tuple[int, int]] = set()

    def take(self, entry: LogEntry) -> Iterator[Finding]:
        computed = leaf_hash(entry.state)
        if (stored := self._stored_leaf(entry.position)) is not None and stored != computed:
            yield Finding(
                f"event {entry.position} was changed: its bytes do not hash to the leaf that was "
                "signed (or the stored hash was changed)",
                entry.position,
            )
        self._waiting.append(computed)
        size = self._growing.size + len(self._waiting)
        checked = self._next is not None and self._next[0] == size
        former = self._next_former is not None and self._next_former[1] == size
        signed = self._signed is not None and self._signed.size == size
        if checked or former or signed or len(self._waiting) == TILE_WIDTH:
            yield from self._grow()
            if signed:
                self.root_signed = self._growing.tree.root(size)
        while self._next and self._next[0] == size:
            yield from self._check_checkpoint(*self._next)
            self._next = next(self._checkpoints, None)
        # Those beyond the tree are of events that were lost when the log was reopened.
        while self._next_former and self._next_former[1] == size:
            yield from self._check_former(*self._next_former)
            self._next_former = next(self._former, None)

    def finish(self) -> Iterator[Finding]:
        if self._next:
            yield Finding(f"a checkpoint of size {self._next[0]} covers events that are missing")
        for lost in self._parts.store.checkpoints_missing():
            yield Finding(f"the checkpoint of size {lost} was published and is missing")
        # What the events make was compared on the way; what is left is of the wrong size.
        for level, number, hashes in self._parts.store.tiles():
            width = width_at(level, number, self._published)
            if len(hashes) != width * HASH_BYTES:
                yield from self._name(level, number, "is not what the events make it")

    def _grow(self) -> Iterator[Finding]:
        self._growing.append(self._waiting)
        self._waiting.clear()
        at_the_edge = self._growing.size == self._published
        for (level, number), computed in sorted(self._growing.changed.items()):
            full = len(computed) == TILE_WIDTH * HASH_BYTES
            # Beyond the newest checkpoint nothing is stored yet.
            if at_the_edge or (full and width_at(level, number, self._published) == TILE_WIDTH):
                stored = self._parts.store.tile(level, number)
                if stored != computed:
                    what = "is not what the events make it" if stored else "is missing"
                    yield from self._name(level, number, what)
        self._growing.stored()

    def _name(self, level: int, number: int, what: str) -> Iterator[Finding]:
        if (level, number) not in self._named and len(self._named) < FINDINGS_MAX:
            self._named.add((level, number))
            yield Finding(f"tile {level}/{number} {what}")

    def _check_checkpoint(self, size: int, note: bytes) -> Iterator[Finding]:
        try:
            keys = self._parts.keys if size == self._published else self._keys
            checkpoint = open_checkpoint(note, log_keys=keys, origin=self._parts.origin)
        except VerificationFailed as error:
            yield Finding(f"the checkpoint of size {size} is not signed by the log: {error}")
            return
        if checkpoint.size != size:
            yield Finding(f"the checkpoint stored for size {size} is another's")
        elif checkpoint.root != self._growing.tree.root(size):
            yield Finding(
                f"the events do not hash to the root that was signed at size {size}: one of "
                "them was changed, removed, reordered or slipped in",
                self._sound,
            )
        else:
            self._sound = size

    def _check_former(self, origin: str, size: int, note: bytes) -> Iterator[Finding]:
        what = f"the checkpoint of size {size} of the former log {origin}"
        try:
            checkpoint = parse_checkpoint_body(parse_note(note).text)
        except VerificationFailed as error:
            yield Finding(f"{what} cannot be read: {error}")
            return
        known = Checkpoint(origin, size, self._growing.tree.root(size))
        if checkpoint != known:
            yield Finding(f"{what} is not of this tree")

    def _stored_leaf(self, position: int) -> bytes | None:
        number, offset = divmod(position, TILE_WIDTH)
        if self._level_0[0] != number:
            self._level_0 = (number, self._parts.store.tile(0, number))
        return self._level_0[1][offset * HASH_BYTES : (offset + 1) * HASH_BYTES] or None


class _Events:
    """Each event by itself, within its aggregate, and with the rows that belong to it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._register = RegisterIndex(parts.log)
        self._versions: OrderedDict[UUID, int] = OrderedDict()
        self._inboxes: dict[str, int] = {}
        self._outboxes: dict[str, int] = {}
        self._time: datetime | None = None
        self._requests: list[tuple[int, str, str, bytes | None]] = []
        # By the index of the log; that it says what the events say is checked on the way.
        self._erased = {erasure.exchange_id for erasure in _erasures(parts.log)}
        self._seen_erased: set[UUID] = set()
        self._with_content = self._erased.intersection(parts.content.exchanges())
        self._request_count = 0
        self._read: dict[int, Event | UnreadableEvent] = {}
        self._payloads: dict[bytes, SealedPayload] = {}
        self._keys: dict[UUID, bytes] = {}
        self._revoked: set[str] = set()
        self.witnesses: set[str] = set()

    def look_ahead(self, entries: Sequence[LogEntry]) -> None:
        """Read the next entries, and ask for what they name with two questions for them all."""
        self._read = {entry.position: _read(entry) for entry in entries}
        events = [each for each in self._read.values() if isinstance(each, Event)]
        digests = [digest for event in events for digest in _payloads_of(event)]
        self._payloads = self._parts.log.payloads(digests)
        exchanges = {sealed.exchange_id for sealed in self._payloads.values()}
        self._keys = self._parts.vault.keys_of(exchanges)

    def take(self, entry: LogEntry) -> Iterator[Finding]:
        """What does not agree with one of the entries that were looked at ahead."""
        event = self._read[entry.position]
        if not isinstance(event, Event):
            yield Finding(f"event {entry.position} cannot be read: {event}", entry.position)
            return
        for what in (
            *self._check_columns(entry, event),
            *self._check_register(entry),
            *self._check_order(event),
            *self._check_parts(event),
        ):
            yield Finding(f"event {entry.position}: {what}", entry.position)
        self._note_request(entry.position, event)

    def check_requests(self) -> Iterator[Finding]:
        """The idempotency rows of the events since the last call."""
        wanted, self._requests = self._requests, []
        rows = self._parts.log.requests([(caller, request) for _, caller, request, _ in wanted])
        for position, caller, request_id, digest in wanted:
            row = rows.get((caller, request_id))
            if row is None or row.position != position or digest not in (None, row.digest):
                yield Finding(
                    f"event {position}: its request row is missing or says something else",
                    position,
                )

    def finish(self) -> Iterator[Finding]:
        log = self._parts.log
        yield from _check_heads("inbox", self._inboxes, log.inbox_heads(list(self._inboxes)))
        yield from _check_heads("outbox", self._outboxes, log.outbox_heads(list(self._outboxes)))
        surplus = self._parts.log.request_count() - self._request_count
        if surplus:
            yield Finding(f"there are {surplus} request rows more than events that made them")
        for exchange_id in sorted(self._erased ^ self._seen_erased):
            yield Finding(f"the index of erased documents is wrong about exchange {exchange_id}")

    def _check_columns(self, entry: LogEntry, event: Event) -> Iterator[str]:
        if (entry.aggregate_id, entry.version, entry.topic) != (
            event.id,
            event.version,
            event.topic,
        ):
            yield "the columns beside its bytes say something else"

    def _check_register(self, entry: LogEntry) -> Iterator[str]:
        if not self._register.agrees(entry):
            yield REGISTER_DIFFERS

    def _check_order(self, event: Event) -> Iterator[str]:
        expected = self._version_before(event) + 1
        if event.version != expected:
            yield f"it is version {event.version} of its aggregate, {expected} was due"
        self._versions[event.id] = event.version
        self._versions.move_to_end(event.id)
        if len(self._versions) > _VERSIONS_KEPT_MAX:
            self._versions.popitem(last=False)
        if self._time and event.time < self._time:
            yield "it is older than the event before it"
        self._time = event.time

    def _version_before(self, event: Event) -> int:
        known = self._versions.get(event.id)
        if known is not None or event.version == 1:
            return known or 0
        # Not heard of for long, and forgotten since; or out of order.
        history = self._parts.log.select_events(event.id)
        versions = (each.originator_version for each in history)
        return max((version for version in versions if version < event.version), default=0)

    def _check_parts(self, event: Event) -> Iterator[str]:
        if "statement" in event.data:
            yield from self._check_payload(event, event.data["statement"]["digest"])
            if event.data["statement"].get("key_id") in self._revoked:
                yield "its statement is signed with a key that was revoked before"
        if event.topic in _WITH_REPORTS:
            yield from self._check_payload(event, event.data["report"])
        if event.topic == Agency.CertificateRevoked.TOPIC:
            self._revoked.add(event.data["key_id"])
        yield from self._check_box_numbers(event)
        if event.topic in OPENING_TOPICS:
            yield from self._check_content(event)
        if event.topic in {Agency.CertificateEnrolled.TOPIC, Principal.Created.TOPIC}:
            yield from self._check_certificate(event.data["certificate"])
            said = (event.data.get("renewal"), event.data.get("possession"))
            issuers = event.data.get("issuers", ())
            yield from self._check_evidence([*issuers, *[each["digest"] for each in said if each]])
        if event.topic == Log.WitnessSetChanged.TOPIC:
            self.witnesses.update(event.data["witnesses"])
        if event.topic == Log.TrustedRootPublished.TOPIC:
            yield from self._check_trusted_root(event.data["digest"])
        if event.topic == Timestamp.Created.TOPIC:
            yield from self._check_timestamp(event.data)
        if event.topic in ERASURE_TOPICS:
            self._seen_erased.add(event.id)
            if self._parts.vault.has_key(event.id):
                yield f"the document was erased, but its key is still there{_ERASED_AGAIN}"
        if event.topic == RevocationEvidence.Created.TOPIC:
            yield from self._check_evidence([event.data["evidence"]])

    def _check_payload(self, event: Event, named: str) -> Iterator[str]:
        digest = bytes.fromhex(named)
        sealed = self._payloads.get(digest)
        if exchange_of(event) in self._erased:
            if sealed is not None:
                yield f"the document was erased, but this payload is still there{_ERASED_AGAIN}"
            return
        if sealed is None:
            yield "its payload is missing"
            return
        try:
            key = self._keys.get(sealed.exchange_id)
            payload = self._parts.vault.open_payload(sealed, key)
        except ContentLost as error:
            yield f"its payload cannot be opened: {error}"
            return
        if hashlib.sha256(payload).digest() != digest:
            yield "its payload does not hash to the digest it names"

    def _check_box_numbers(self, event: Event) -> Iterator[str]:
        for consignment in consignments_of(event.data):
            agency, number = consignment["agency"], consignment["inbox_seq"]
            if number != self._inboxes.get(agency, 0) + 1:
                yield f"the inbox number for {agency} is not the next one"
            self._inboxes[agency] = number
        if "outbox_seq" in event.data:
            sender, number = event.data["sender"], event.data["outbox_seq"]
            if number != self._outboxes.get(sender, 0) + 1:
                yield f"the outbox number for {sender} is not the next one"
            self._outboxes[sender] = number

    def _check_content(self, event: Event) -> Iterator[str]:
        if event.id in self._erased:
            if event.id in self._with_content:
                yield f"the document was erased, but its content is still there{_ERASED_AGAIN}"
            return
        for index, attachment in enumerate(_contents_of(event)):
            digest = hashlib.sha256()
            try:
                key = self._parts.vault.key_of(event.id)
                for part in self._parts.content.read(event.id, index, attachment["size"], key, 0):
                    digest.update(part)
            except ContentLost as error:
                yield f"the content of attachment {index} cannot be read: {error}"
                continue
            if digest.hexdigest() != attachment["sha256"]:
                yield f"the content of attachment {index} does not hash to what was accepted"

    def _check_certificate(self, digest: str) -> Iterator[str]:
        der = self._parts.log.evidence(bytes.fromhex(digest))
        if der is None or hashlib.sha256(der).hexdigest() != digest:
            yield "its certificate is missing from the evidence store, or another lies there"

    def _check_trusted_root(self, digest: str) -> Iterator[str]:
        data = self._parts.log.evidence(bytes.fromhex(digest))
        if data is None or hashlib.sha256(data).hexdigest() != digest:
            yield "its trusted root is missing from the evidence store, or another lies there"

    def _check_timestamp(self, data: Mapping[str, Any]) -> Iterator[str]:
        kept = [
            data["token"],
            *data["certificates"],
            *([data["message"]] if data["renews"] else []),
        ]
        yield from self._check_evidence(kept)
        if not data["renews"]:
            covering = self._parts.store.checkpoint_covering(data["size"] - 1)
            if covering is None or hashlib.sha256(covering[1]).hexdigest() != data["message"]:
                yield f"its timestamp is not over the checkpoint of size {data['size']}"

    def _check_evidence(self, digests: Sequence[str]) -> Iterator[str]:
        for digest in digests:
            piece = self._parts.log.evidence(bytes.fromhex(digest))
            if piece is None or hashlib.sha256(piece).hexdigest() != digest:
                yield f"its evidence {digest} is missing, or something else lies there"

    def _note_request(self, position: int, event: Event) -> None:
        if request := request_of(event):
            self._request_count += 1
            self._requests.append((position, request.caller, request.request_id, request.digest))


def _read(entry: LogEntry) -> Event | UnreadableEvent:
    try:
        return read_leaf(entry.state)
    except UnreadableEvent as error:
        return error


def _payloads_of(event: Event) -> Iterator[bytes]:
    if "statement" in event.data:
        yield bytes.fromhex(event.data["statement"]["digest"])
    if event.topic in _WITH_REPORTS:
        yield bytes.fromhex(event.data["report"])


def _contents_of(event: Event) -> list[Mapping[str, Any]]:
    """What lies in the content store of an exchange: attachments, then the axis's package."""
    contents = list(event.data["attachments"])
    if event.topic == Exchange.AxisDocumentTaken.TOPIC:
        contents.append({"sha256": event.data["package"], "size": event.data["package_bytes"]})
    return contents


def _erasures(log: EventLog) -> Iterator[Erasure]:
    start = 0
    while found := log.erasures(start, _ERASURES_AT_ONCE):
        yield from found
        start = found[-1].position + 1


def _check_heads(
    box: str, counted: Mapping[str, int], stored: Mapping[str, int]
) -> Iterator[Finding]:
    for agency, last in sorted(counted.items()):
        if stored.get(agency, 0) != last:
            yield Finding(f"the {box} counter of {agency} is not {last}, as the events say")


def _check_signer(parts: Parts, tree: _TreeCheck) -> Iterator[Finding]:
    last = parts.signer.last
    if last is None:
        yield Finding("the signer remembers nothing: its memory was lost")
        return
    published = parts.store.latest_checkpoint()
    if published and last.size < published[0]:
        yield Finding(
            f"the signer remembers size {last.size}, but size {published[0]} is published: its "
            "memory was restored from an older copy"
        )
    if tree.root_signed is None:
        yield Finding(
            f"the signer has signed {last.size} events, fewer are stored: the database was "
            "restored from an older copy or lost its end"
        )
    elif tree.root_signed != last.root:
        signed = base64.b64encode(last.root).decode()
        yield Finding(f"the events do not hash to the root {signed} signed at size {last.size}")


def _check_cosignatures(parts: Parts, vkeys: set[str]) -> Iterator[Finding]:
    """Each stored cosignature, under the keys of all witnesses the log ever had."""
    keys = {(key.name, key.key_id): key for key in _readable(vkeys)}
    lines = parts.cosignatures.all() if parts.cosignatures else iter(())
    for size, line in lines:
        if not _holds(parts.store, size, line, keys):
            yield Finding(f"a cosignature of the checkpoint of size {size} does not hold")


def _readable(vkeys: Iterable[str]) -> Iterator[VerifierKey]:
    for vkey in vkeys:
        # One in an event that somebody changed: that was found, and its cosignatures will be.
        with suppress(VerificationFailed):
            yield VerifierKey.parse(vkey)


def _holds(
    store: TreeStore,
    size: int,
    line: NoteSignature,
    keys: Mapping[tuple[str, bytes], VerifierKey],
) -> bool:
    key, covering = keys.get((line.name, line.key_id)), store.checkpoint_covering(size - 1)
    if key is None or covering is None or covering[0] != size:
        return False
    try:
        key.verify(parse_note(covering[1]).text, line.signature)
    except VerificationFailed:
        return False
    return True
