"""What the hub needs from the world, as promises.

Each port says what it promises and whether we trust it. "Untrusted" means that everything
read back is checked before it is believed; "trusted" means that an attacker who can change
it can do what the sentence says.

Where the world fails (a disk, a database), every method raises OSError; a write that did
may or may not have been kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from typing import BinaryIO, Protocol
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from hub.domain.deadlines import Passed
from hub.domain.delivery import DeliveryState, RecallState
from hub.domain.relay import Direction, RelayKind, RelayState
from hub.evidence.found import Authorities, FoundSignature
from hub.proof.note import NoteSignature, VerifierKey
from hub.proof.tiles import TilePath
from hub.proof.witnessing import AddCheckpoint

Clock = Callable[[], datetime]
"""The hub's clock, in UTC."""

Randomness = Callable[[int], bytes]
"""So many unpredictable bytes."""


# --- The event log ----------------------------------------------------------------


class HeadMoved(Exception):
    """Another process committed first: decide the batch again on the new head."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends: the next position, and that of the last registry event (or -1)."""

    next_position: int
    registry_version: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An event as stored. `state` is the leaf; the other columns only index it."""

    position: int
    aggregate_id: UUID
    version: int
    topic: str
    state: bytes


@dataclass(frozen=True, slots=True)
class AcceptedRequest:
    """What binds a request id: the caller's, for ever, to one payload digest.

    `digest` is SHA-256 of the payload, `exchange_id` the exchange it opened or speaks of
    (None for registry requests), `position` that of the event that accepted it.
    """

    caller: str
    request_id: str
    digest: bytes
    position: int
    exchange_id: UUID | None


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes a call idempotent: whose it is, its id, and the digest it is bound to."""

    caller: str
    request_id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class NewRequest:
    """An idempotency row to be written with the event at `offset` of its commit."""

    caller: str
    request_id: str
    digest: bytes
    offset: int
    exchange_id: UUID | None


@dataclass(frozen=True, slots=True)
class SealedPayload:
    """A statement's payload, encrypted under its exchange's key; erasable by law."""

    digest: bytes
    exchange_id: UUID
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """All that one batch writes, in one transaction.

    `registry_offset` is the offset of the last event that changes the registry, or None.
    `inbox_heads` and `outbox_heads` hold the last number given in the inbox and outbox of
    each agency this batch touched.
    """

    expected_head: int
    events: Sequence[StoredEvent]
    registry_offset: int | None
    requests: Sequence[NewRequest]
    payloads: Sequence[SealedPayload]
    evidence: Mapping[bytes, bytes]
    inbox_heads: Mapping[str, int]
    outbox_heads: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased by law: the position of its `PayloadErased` or `ArrivalErased`.

    `exchange_id` is the document's; of a package that was parked on arrival, its relay's.
    """

    position: int
    exchange_id: UUID


class Erasable(Protocol):
    """A store that holds something of documents which dies when they are erased by law.

    What has been erased here the store remembers inside itself, and nowhere else: an older
    copy of it then knows by itself what it has yet to forget (docs/decisions/0020).
    """

    def erased_below(self) -> int:
        """Every erasure recorded at a lower position has been carried out in this copy."""
        ...

    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """Destroy all there is of these exchanges, then remember `below`; repeat it at will.

        On return nothing of them is left in the store's files. A lower `below` begins anew, for a
        log that lost its end. Raises OSError when it is not certain: repeat it.
        """
        ...


class EventLog(Protocol):
    """The append-only table of events, and the rows that are written with them.

    Untrusted: every event read is checked against the tree. Once `commit` returns, its
    rows survive a power cut; when it raises, they may or may not have been kept.
    Positions are gapless, counted from 0, and assigned inside the transaction.
    """

    def head(self) -> Head:
        """Where the log ends now."""
        ...

    def commit(self, commit: Commit) -> None:
        """Write everything or nothing.

        Raises HeadMoved when the log does not end at `expected_head`; IntegrityError of the
        library (a RecordConflictError) when a version of an aggregate, a request or a payload
        is there already; ValueError for a commit that contradicts itself.
        """
        ...

    def entries(self, start: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` entries from position `start` on, in order."""
        ...

    def registry_entries(self) -> Iterator[LogEntry]:
        """All events that decide who may do what, in order."""
        ...

    def timestamps(self, start: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `TimestampObtained` from position `start` on, in order."""
        ...

    def verdicts(self, below: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `SignatureVerdictMade` below a position, the newest first."""
        ...

    def reconciliations(self, below: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `ReconciliationMade` below a position, the newest first."""
        ...

    def revocation_evidence(self, below: int, limit: int) -> Sequence[LogEntry]:
        """At most `limit` events `RevocationEvidenceStored` below a position, the newest first."""
        ...

    def entries_of(
        self, aggregate_ids: Sequence[UUID], start: int, limit: int
    ) -> Sequence[LogEntry]:
        """At most `limit` entries of these aggregates from position `start` on, in order."""
        ...

    def select_events(self, originator_id: UUID) -> Sequence[StoredEvent]:
        """The history of one aggregate, oldest first."""
        ...

    def requests(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], AcceptedRequest]:
        """Those of the (caller, request id) pairs that were accepted."""
        ...

    def request_of(self, digest: bytes) -> AcceptedRequest | None:
        """The accepted request whose payload has this digest."""
        ...

    def request_count(self) -> int:
        """How many requests were ever accepted."""
        ...

    def payload(self, digest: bytes) -> SealedPayload | None:
        """A payload, sealed; None when it was erased or never was."""
        ...

    def payloads(self, digests: Sequence[bytes]) -> dict[bytes, SealedPayload]:
        """Those of the payloads that are there, by digest; in few queries."""
        ...

    def evidence(self, digest: bytes) -> bytes | None:
        """A certificate or the like by its SHA-256."""
        ...

    def inbox_heads(self, agencies: Sequence[str]) -> dict[str, int]:
        """The last inbox number given to each agency; absent means none yet."""
        ...

    def outbox_heads(self, agencies: Sequence[str]) -> dict[str, int]:
        """The last outbox number given to each agency; absent means none yet."""
        ...

    def erasures(self, start: int, limit: int) -> Sequence[Erasure]:
        """At most `limit` documents erased at position `start` or later, in order.

        Costs what it finds, however long the log is.
        """
        ...

    def erased_below(self) -> int:
        """As `Erasable`, for payloads and the words in the views of the same database."""
        ...

    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """As `Erasable`: the payloads of these exchanges, and every trace of erased words.

        Views that stand below `below` may still show words.
        """
        ...


# --- The tree ---------------------------------------------------------------------


class SignedTree(Protocol):
    """What a signer remembers of the last tree it signed."""

    @property
    def size(self) -> int:
        """The number of leaves."""
        ...

    @property
    def root(self) -> bytes:
        """The root hash."""
        ...


class SignerMemory(Protocol):
    """What a signer signed last; trusted as the signer is."""

    @property
    def last(self) -> SignedTree | None:
        """The last tree signed, or None if there was none."""
        ...


class Signer(SignerMemory, Protocol):
    """Signs checkpoints, and only those that extend the last one it signed.

    Trusted: whoever holds its keys and its memory can sign a false tree (and is found out
    by any kept receipt). It may be another process: then every call ends within its deadline,
    and raises OSError when there was no answer. A tree may have been remembered all the same.
    """

    @property
    def keys(self) -> Sequence[VerifierKey]:
        """What its signatures verify under, the oldest first; named like the log's origin."""
        ...

    @property
    def verifier_key(self) -> VerifierKey:
        """The oldest of them."""
        ...

    def make_key(self) -> VerifierKey:
        """One more key, durable on return, which signs nothing before it is asked to.

        Raises OSError; then it may have been made all the same.
        """
        ...

    def destroy_key(self, key: VerifierKey) -> None:
        """Destroy a key for good; the same again changes nothing. OSError for the last one."""
        ...

    def sign(
        self,
        size: int,
        root: bytes,
        consistency_proof: Sequence[bytes],
        by: Sequence[VerifierKey] = (),
    ) -> bytes:
        """A note over the tree of this size and root, signed by these keys; by the oldest if none.

        The memory of it is durable before a signature exists. The same tree again is signed
        again, by whichever keys. Raises LedgerMismatch when the tree does not extend the last
        one, OSError for a key that it does not hold.
        """
        ...


@dataclass(frozen=True, slots=True)
class Verified:
    """Events that were read and found whole once: the first `size`, under `root` (32 bytes).

    `register` is SHA-256 over the positions and leaf hashes of the registry events among them.
    """

    size: int
    root: bytes
    register: bytes


class VerifiedMark(Protocol):
    """Up to where a start need not read everything again.

    Untrusted: a mark that is lost, older or damaged costs time. One that was forged makes a
    start find later what it would have found at once; never does it make the tree, the register
    or the signer pass for something else.
    """

    def read(self) -> Verified | None:
        """The mark; None when there is none, or none that can be read."""
        ...

    def write(self, verified: Verified | None) -> None:
        """Replace the mark, or remove it; durable on return."""
        ...


class TreeStore(Protocol):
    """Hash tiles (C2SP tlog-tiles) and every checkpoint ever published.

    Untrusted: derived from the events; `fsck` recomputes it. A tile only grows, and its
    beginning never changes; a checkpoint never changes.
    """

    def tile(self, level: int, number: int) -> bytes:
        """The hashes a tile holds so far, 32 bytes each; empty when there is none."""
        ...

    def tiles(self) -> Iterator[tuple[int, int, bytes]]:
        """Every tile as (level, number, hashes)."""
        ...

    def publish(self, tiles: Mapping[tuple[int, int], bytes], size: int, checkpoint: bytes) -> None:
        """Store tiles and the checkpoint over them in one transaction.

        The same again changes nothing. Raises LedgerMismatch for a tile that would not keep
        its beginning, for another checkpoint of a known size, and for one that is smaller
        than the newest.
        """
        ...

    def keep_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Store tiles that no checkpoint covers yet, as `publish` would. Raises LedgerMismatch."""
        ...

    def latest_checkpoint(self) -> tuple[int, bytes] | None:
        """The newest checkpoint with its size."""
        ...

    def checkpoint_covering(self, position: int) -> tuple[int, bytes] | None:
        """The first checkpoint whose tree holds the position: that of its receipt."""
        ...

    def checkpoints(self, after: int = -1) -> Iterator[tuple[int, bytes]]:
        """Every checkpoint of a larger size than `after`, by rising size."""
        ...

    def close(self, origin: str) -> None:
        """Put all checkpoints away as those of a log that ended; tiles stay.

        They are kept with the cosignatures under them. The same again changes nothing.
        """
        ...

    def former_checkpoints(self) -> Iterator[tuple[str, int, bytes]]:
        """Those of logs that ended, as (origin, size, signed note), by rising size."""
        ...

    def checkpoints_missing(self, after: int = -1) -> Iterator[int]:
        """Sizes above `after` of checkpoints that were published and are not there, rising.

        A second list of them is kept for this.
        """
        ...


# --- The trusted root -------------------------------------------------------------


class RootFiles(Protocol):
    """The editions of the trusted root that this hub hands out. Untrusted: each proves itself."""

    def newest(self) -> bytes:
        """The newest edition, signed or plain as it came. Raises OSError."""
        ...

    def edition(self, number: int) -> bytes | None:
        """A signed edition; None where there is none of this number."""
        ...

    def keep(self, number: int, data: bytes) -> None:
        """Keep a signed edition, and make it the newest if it is; durable on return.

        The same again changes nothing. Raises OSError.
        """
        ...


@dataclass(frozen=True, slots=True)
class TrustFetch:
    """The newest edition of the trusted root that somebody came to hold, and when."""

    role: str
    caller: str
    edition: int
    at: datetime


class TrustFetches(Protocol):
    """Who holds which edition. Trusted for nothing: it is what operators look at."""

    def note(self, role: str, caller: str, edition: int, at: datetime) -> None:
        """Remember it, unless a later edition is known. Lost, it is told again."""
        ...

    def all(self) -> Sequence[TrustFetch]:
        """Everybody who ever held one."""
        ...


# --- An export of the log ---------------------------------------------------------


class LogFolder(Protocol):
    """A folder with the files of one log. Untrusted: what it holds is compared.

    Once `commit` returns, all that was put before survives a power cut.
    """

    def checkpoint(self) -> bytes | None:
        """The checkpoint that makes it a whole log; None before the first."""
        ...

    def file(self, path: TilePath, bytes_max: int) -> bytes | None:
        """A file, with one byte more than `bytes_max` if it is larger; None if there is none."""
        ...

    def put(self, path: TilePath, data: bytes) -> None:
        """Store a file that is not there yet; whole or not at all."""
        ...

    def commit(self, checkpoint: bytes) -> None:
        """Make everything durable, then the checkpoint over it, in this order."""
        ...

    def drop_partial(self, path: TilePath) -> None:
        """Remove the partial files of a tile whose full one is there now."""
        ...


# --- Witnesses --------------------------------------------------------------------


class WitnessConflict(Exception):
    """The witness last saw a tree of `size` leaves, not the one it was asked to go on from."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the witness last saw size {size}")
        self.size = size


class WitnessRefused(Exception):
    """The witness will not cosign this, however often it is asked; `status` says why.

    404: it does not know the log. 403: nor the log's key. 409 and 422: the tree is not the
    one it saw before. Others: it does not understand us.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the witness refused with status {status}")
        self.status = status


class Witness(Protocol):
    """Somebody outside the hub who cosigns only a log that grows (C2SP tlog-witness).

    Untrusted: its answer is verified under `key`, which is configured, before it is kept.
    """

    @property
    def key(self) -> VerifierKey:
        """The witness's key."""
        ...

    async def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        """The signature lines it answers with, unverified; ends within its deadline.

        Raises WitnessConflict, WitnessRefused, and OSError when it could not be asked or gave
        no answer that means anything: later it may.
        """
        ...


class Cosignatures(Protocol):
    """What witnesses signed under our checkpoints: verified before it comes here.

    Untrusted: whoever changes a cosignature makes it fail at whoever verifies it; `fsck`
    finds it. Nothing is ever changed or removed.
    """

    def add(self, size: int, line: NoteSignature) -> None:
        """Keep a witness's cosignature of the checkpoint of this size, durably.

        One by the same witness key is there already: it stays, and nothing changes. Raises
        LedgerMismatch when there is no such checkpoint.
        """
        ...

    def of(self, size: int) -> Sequence[NoteSignature]:
        """The cosignatures of one checkpoint, in the order they came; at most 64."""
        ...

    def newest(self, witness: str, key_id: bytes) -> int:
        """The largest size that this witness key cosigned; 0 if none."""
        ...

    def best(self, position: int) -> int | None:
        """The smallest of the sizes beyond a position that most witnesses cosigned, if any."""
        ...

    def all(self) -> Iterator[tuple[int, NoteSignature]]:
        """Every cosignature with its size, by rising size."""
        ...


# --- Content and its keys ---------------------------------------------------------


class ContentStore(Protocol):
    """The bytes of attachments, encrypted, in parts of fixed size.

    Untrusted: every part is authenticated on reading. Once `put` returns, the content
    survives a power cut, folder entries included.
    """

    def put(self, exchange_id: UUID, index: int, content: bytes, key: bytes) -> None:
        """Store one attachment of an exchange, sealed under the exchange's key.

        Raises FileExistsError when it is stored already: content never changes.
        """
        ...

    def read(
        self, exchange_id: UUID, index: int, size: int, key: bytes, offset: int
    ) -> Iterator[bytes]:
        """The content from `offset` to `size`; raises ContentLost when it cannot be had."""
        ...

    def check(self, exchange_id: UUID, sizes: Sequence[int]) -> None:
        """Raise ContentLost unless every attachment is there in its full length."""
        ...

    def put_from(
        self, exchange_id: UUID, index: int, source: BinaryIO, size: int, key: bytes
    ) -> None:
        """As `put`, for `size` bytes read from `source` a part at a time."""
        ...

    def discard(self, exchange_id: UUID) -> None:
        """Remove everything of an exchange; no error when there is nothing."""
        ...

    def is_usable(self) -> bool:
        """Whether content can be written and read now."""
        ...

    def exchanges(self) -> Iterator[UUID]:
        """Every exchange that has content here."""
        ...

    def erased_below(self) -> int:
        """As `Erasable`."""
        ...

    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """As `Erasable`; files are unlinked, what makes them unreadable is the lost key."""
        ...


@dataclass(frozen=True, slots=True)
class NewUpload:
    """Content that an agency announced: how many bytes, and what they will hash to.

    `tag` tells apart uploads of the same content by the same agency.
    """

    upload_id: UUID
    agency: str
    size: int
    sha256: str
    tag: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Which attachment of which exchange an upload is given to."""

    exchange_id: UUID
    index: int


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """An upload as it is found at the start.

    `stored` is how many bytes are there, in whole parts; `whole` that all are and their digest
    was right; `claim` that it was given to an exchange, which may never have been recorded.
    """

    upload: NewUpload
    stored: int
    whole: bool
    claim: Claim | None
    touched_at: datetime


class UploadStore(Protocol):
    """Content on its way in, encrypted in parts of 1 MiB, until an exchange adopts it.

    Untrusted: every part is authenticated on reading. Once a method returns, what it wrote
    survives a power cut, folder entries included.
    """

    def create(self, upload: NewUpload) -> None:
        """Make room for an upload."""
        ...

    def uploads(self) -> Iterator[StoredUpload]:
        """Every upload that was created and not discarded."""
        ...

    def append(self, upload_id: UUID, number: int, part: bytes, key: bytes, *, last: bool) -> None:
        """Store the next part, sealed under the upload's key; the same number again replaces it."""
        ...

    def read(self, upload_id: UUID, size: int, stored: int, key: bytes) -> Iterator[bytes]:
        """The first `stored` bytes of content of this size. Raises ContentLost."""
        ...

    def check(self, upload_id: UUID, size: int) -> None:
        """Raise ContentLost unless all of the content is here in its full length."""
        ...

    def finish(self, upload_id: UUID) -> None:
        """Remember that the content is whole and its digest was right."""
        ...

    def adopt(self, upload_id: UUID, claim: Claim, content_key: bytes, exchange_key: bytes) -> None:
        """Give the content to an exchange: from then on it lies in the ContentStore.

        The content's key is kept there, sealed under the exchange's.
        """
        ...

    def give_back(self, upload_id: UUID) -> None:
        """Undo `adopt`, wherever it stopped; no error when there is nothing to undo."""
        ...

    def discard(self, upload_id: UUID) -> None:
        """Forget an upload and all of its content that no exchange has adopted."""
        ...

    def is_usable(self) -> bool:
        """Whether content can be written and read now."""
        ...

    def tidy(self) -> None:
        """Remove what an unfinished `create` or `discard` left."""
        ...


class DocumentKeys(Protocol):
    """One wrapped key an exchange, in a store of their own with backups of their own.

    An upload has one too, until it is adopted.

    Trusted for erasure: whoever keeps a copy can still read what was erased.
    """

    def add(self, wrapped: Mapping[UUID, bytes]) -> None:
        """Store keys durably; adding the same again changes nothing.

        Raises ValueError when an exchange has another key already.
        """
        ...

    def get(self, exchange_id: UUID) -> bytes | None:
        """The wrapped key of an exchange."""
        ...

    def discard(self, exchange_ids: Sequence[UUID]) -> None:
        """Remove keys; no error when there are none."""
        ...

    def erased_below(self) -> int:
        """As `Erasable`."""
        ...

    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """As `Erasable`: `discard`, and remembered."""
        ...


class KeyCustody(Protocol):
    """Wraps document keys. Trusted: whoever holds it reads every document not yet erased."""

    def wrap(self, key: bytes) -> bytes:
        """Encrypt a 32-byte key."""
        ...

    def unwrap(self, wrapped: bytes) -> bytes:
        """Decrypt it again. Raises ContentLost for what was not wrapped here."""
        ...


# --- The world outside --------------------------------------------------------------


class TimestampAuthority(Protocol):
    """Somebody else's clock, asked by RFC 3161 over a network.

    Untrusted: its answer is verified to the last byte before anything is stored. It may be
    gone, slow or hostile for days, and is never waited for by anybody but its own job.
    """

    async def ask(self, request: bytes) -> bytes:
        """The answer (TimeStampResp) to a request (TimeStampReq), nothing in it verified.

        Ends within the deadline it was made with, and takes at most 65 KiB; beyond either,
        and where there is no answer, it raises OSError.
        """
        ...


class CrlSource(Protocol):
    """Where an issuer publishes whom it took back: one address, configured by the operator.

    Untrusted: the list is verified before anything is stored. It may be gone, slow or hostile
    for days, and is never waited for by anybody but its own job.
    """

    async def fetch(self) -> bytes:
        """The list (DER), nothing in it verified.

        Ends within the deadline it was made with, and takes at most 16 MiB; beyond either, and
        where there is no list, it raises OSError.
        """
        ...


class OcspResponder(Protocol):
    """Who is asked about one certificate at a time: one address, configured by the operator.

    Untrusted, as a CrlSource is: an answer is verified before anything is stored.
    """

    async def ask(self, request: bytes) -> bytes:
        """The answer (DER) to a request (DER), nothing in it verified.

        Ends within the deadline it was made with, and takes at most 64 KiB; beyond either, and
        where there is no answer, it raises OSError.
        """
        ...


# --- Read models ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """What lists show of a document; `replaced_by` is the exchange that replaced it.

    All but ids, times, counts and digests comes from the envelope's words and is empty once
    they were erased. `priority` is a value of `hub.proof.envelope.Priority`. `erased` says
    that they were erased by law, not lost. `origin` is `axis` for a document that came over the
    national axis, whose sender is a claim.
    """

    exchange_id: UUID
    sender: str
    envelope_digest: bytes
    position: int
    accepted_at: datetime
    code: str
    type_name: str
    subject: str
    attachment_count: int
    attachment_bytes: int
    replaced_by: UUID | None
    type_code: str = ""
    priority: str = ""
    issued_on: date | None = None
    due_on: date | None = None
    erased: bool = False
    origin: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """Where a document is at one recipient; `position` is that of the event that says so.

    `inbox_seq` is the number of the document itself in the recipient's inbox. `expires_at` is
    the sender's limit for collecting it. `due_on` is the document's, so that those that wait
    for an answer are found; it goes with the document's words when they are erased.
    """

    exchange_id: UUID
    recipient: str
    inbox_seq: int
    state: DeliveryState
    collected: bool
    recall: RecallState
    expired: bool
    expires_at: datetime | None
    position: int
    updated_at: datetime
    due_on: date | None = None


class NoticeKind(IntEnum):
    """What a line of an inbox or outbox says."""

    DOCUMENT = 1
    RECALL = 2
    UPDATED = 3
    REPLACED = 4
    EXPIRED = 5
    ERASED = 6
    IN_DOUBT = 7
    SIGNATURES = 8
    HANDED_OVER = 11
    STATUS = 12
    RECALL_ANSWER = 13
    DELIVERY_EXPIRED = 14
    DELIVERY_ERASED = 15
    DELIVERY_IN_DOUBT = 16
    AXIS_STATUS = 17
    AXIS_RECALL_ANSWER = 18


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """One line of an agency's inbox or outbox: a fact with its gapless number there.

    `agency` is whose box it is, `recipient` the recipient concerned (empty for an erasure in an
    outbox, which concerns all), `code` that of a status or answer (else empty), `by_exchange` the
    exchange that updated or replaced the document.
    Never changes once written.
    """

    outbox: bool
    agency: str
    seq: int
    kind: NoticeKind
    exchange_id: UUID
    recipient: str
    code: str
    by_exchange: UUID | None
    position: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An action that takes two operators: who ordered it, and who approved it, if anybody.

    `position` is that of the order, `digest` SHA-256 of its payload. `exchange_id` and
    `envelope_digest` name the document it concerns, `hub_key` the key of the hub, where it
    concerns one.
    """

    position: int
    digest: bytes
    action: str
    exchange_id: UUID | None
    envelope_digest: bytes | None
    reason: str
    basis: str
    ordered_by: str
    ordered_at: datetime
    lapses_at: datetime
    approved_by: str | None = None
    approved_at: datetime | None = None
    hub_key: str | None = None


@dataclass(frozen=True, slots=True)
class RelayRow:
    """A package to or from the axis.

    `agency` is whose status it carries, empty for a document or recall. `position` is that of
    the fact it tells, or that recorded it, `since` that fact's time. `attempts` failed so far;
    `again_at` is when the next is due. `reason` and `code` say why it failed or was parked.
    `document_key` and `fingerprint` are there for documents that came: what they are called by
    their sender, and what they say; zeros once it was erased by law.
    """

    relay_id: UUID
    direction: Direction
    kind: RelayKind
    exchange_id: UUID
    agency: str
    status: str
    state: RelayState
    position: int
    since: datetime
    updated_at: datetime
    attempts: int = 0
    again_at: datetime | None = None
    reason: str = ""
    code: str = ""
    axis_id: str = ""
    package: bytes = b""
    package_bytes: int = -1
    request_bytes: int = -1
    document_key: bytes = b""
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True)
class ViewChanges:
    """What a stretch of events changes in the views.

    Documents, deliveries and orders replace their former row; notices are only added. The words
    of a document (code, kind, subject) never change but by erasing, which empties them.
    """

    documents: Sequence[DocumentRow]
    deliveries: Sequence[DeliveryRow]
    notices: Sequence[NoticeRow]
    orders: Sequence[OrderRow] = ()
    relays: Sequence[RelayRow] = ()


class SignatureExaminer(Protocol):
    """Looks at the signatures that a file carries, of at most 64 MiB.

    Untrusted: what it says is recorded as the hub's word and decides nothing but, where that is
    demanded, whether a document is accepted. It always answers, within its time limit.
    """

    async def examine(
        self, content: bytes, signature: bytes | None, authorities: Authorities, at: datetime
    ) -> Sequence[FoundSignature]:
        """The signatures in a PDF as of a moment, or the detached one (DER) of any content.

        What cannot be told has the outcome `unknown`; empty for a PDF that carries none.
        """
        ...

    async def examine_package(
        self, package: bytes, authorities: Authorities, at: datetime
    ) -> Sequence[FoundSignature]:
        """The signatures (XML-DSig) in the header of an edXML package as of a moment.

        Otherwise as `examine`.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


class Views(Protocol):
    """Inbox and status lists. Untrusted and disposable: rebuilt from the events.

    They hold nothing that no checkpoint covers.
    """

    def position(self) -> int:
        """The next event they have not seen."""
        ...

    def apply(self, changes: ViewChanges, *, start: int, end: int) -> None:
        """Take in events `start` to `end` (not included).

        Raises ValueError for any other `start` than `position`; LedgerMismatch for a delivery
        of an unknown document or with an inbox number that is another's.
        """
        ...

    def clear(self) -> None:
        """Forget everything, to be rebuilt from position 0."""
        ...

    def document(self, exchange_id: UUID) -> DocumentRow | None:
        """One document."""
        ...

    def delivery(self, exchange_id: UUID, recipient: str) -> DeliveryRow | None:
        """The delivery of a document at one recipient."""
        ...

    def deliveries(self, exchange_id: UUID) -> Sequence[DeliveryRow]:
        """All deliveries of a document, by recipient code."""
        ...

    def inbox(
        self, agency: str, after: int, limit: int
    ) -> Sequence[tuple[NoticeRow, DeliveryRow, DocumentRow]]:
        """The lines of an agency's inbox with a larger number, in order, with what they concern."""
        ...

    def outbox(
        self, agency: str, after: int, limit: int
    ) -> Sequence[tuple[NoticeRow, DocumentRow]]:
        """The lines of an agency's outbox with a larger number, in order."""
        ...

    def overdue(self, at: datetime, limit: int) -> Sequence[DeliveryRow]:
        """Deliveries not collected and not yet expired whose `expires_at` has passed.

        Oldest limit first; one indexed query.
        """
        ...

    def order(self, digest: bytes) -> OrderRow | None:
        """The order with this digest."""
        ...

    def orders(self, after: int, limit: int, *, open_only: bool) -> Sequence[OrderRow]:
        """Orders at a position above `after`, in order; `open_only`: those nobody approved."""
        ...

    def relay(self, relay_id: UUID) -> RelayRow | None:
        """One package to or from the axis."""
        ...

    def relays_of(self, exchange_id: UUID) -> Sequence[RelayRow]:
        """All packages of a document, by position and id."""
        ...

    def rows(self) -> Iterator[DocumentRow | DeliveryRow | NoticeRow | OrderRow | RelayRow]:
        """Every row in a fixed order, to be compared with a rebuild."""
        ...


# --- Lists of documents -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """Which documents of a list are wanted: all that is given must hold.

    `states` are those of a delivery, any of them. `other_agency` is the sender of what was
    received, a recipient of what was sent. `type` is a kind's name or code, `code` a part of
    number and notation, both folded; `words` are folded words of the subject, all of which
    must occur. Ranges of time include their beginning and not their end; ranges of dates
    include both. `overdue_only` keeps what is late, see `hub.domain.deadlines`. What was
    recalled with consent is not found by its words.
    """

    states: tuple[DeliveryState, ...] = ()
    other_agency: str = ""
    type: str = ""
    priorities: tuple[str, ...] = ()
    code: str = ""
    words: tuple[str, ...] = ()
    accepted_from: datetime | None = None
    accepted_before: datetime | None = None
    issued_from: date | None = None
    issued_to: date | None = None
    overdue_only: bool = False
    recalled: bool | None = None
    replaced: bool | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many deliveries of one document stand alike."""

    state: DeliveryState
    recall: RecallState
    expired: bool
    count: int


@dataclass(frozen=True, slots=True)
class ReceivedRows:
    """A stretch of what an agency received. `next_before` is None when nothing is older."""

    rows: Sequence[tuple[DeliveryRow, DocumentRow]]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class SentRows:
    """A stretch of what an agency sent, each with all its deliveries counted."""

    rows: Sequence[tuple[DocumentRow, Sequence[Tally]]]
    next_before: int | None


class DocumentLists(Protocol):
    """What an agency received and sent, newest first. Untrusted and disposable, like Views.

    A call looks at a bounded number of rows, whatever the filter, and so may return fewer
    than `limit`, or none, while older ones fit: `next_before` says where to go on. It names
    a place that later documents do not move.
    """

    def received(
        self, agency: str, wanted: DocumentFilter, passed: Passed, before: int | None, limit: int
    ) -> ReceivedRows:
        """Documents in an agency's inbox with an `inbox_seq` below `before`, by falling one."""
        ...

    def sent(
        self, agency: str, wanted: DocumentFilter, passed: Passed, before: int | None, limit: int
    ) -> SentRows:
        """Documents an agency sent with a position below `before`, by falling position.

        What the filter says of deliveries must hold for one of them, all of it.
        """
        ...


# --- What goes over the axis ------------------------------------------------------


Place = tuple[int, UUID]
"""Where a package stands in lists: its position, then its id."""


@dataclass(frozen=True, slots=True)
class RelayTally:
    """How many packages stand alike, and since when the oldest of them does."""

    direction: Direction
    kind: RelayKind
    state: RelayState
    count: int
    oldest: datetime


class RelayList(Protocol):
    """The views once more, for what goes over the axis. Untrusted and disposable, like Views."""

    def due(self, at: datetime, after: Place | None, limit: int) -> Sequence[RelayRow]:
        """Outgoing packages that may be made or sent now, by their place, beyond one."""
        ...

    def known(self, axis_id: str) -> RelayRow | None:
        """The package that came under this id of the axis."""
        ...

    def called(self, document_key: bytes) -> Sequence[RelayRow]:
        """Documents that came and that their sender calls so; at most 100."""
        ...

    def sent_since(self, since: datetime, after: Place | None, limit: int) -> Sequence[RelayRow]:
        """Outgoing packages the axis took at `since` or later, by their place, beyond one."""
        ...

    def listed(
        self,
        state: RelayState | None,
        direction: Direction | None,
        after: Place | None,
        limit: int,
    ) -> Sequence[RelayRow]:
        """Packages by their place, beyond one; where no state is given, all that are not over."""
        ...

    def tallies(self) -> Sequence[RelayTally]:
        """All packages, counted."""
        ...

    def oldest_unanswered(self) -> datetime | None:
        """When the oldest document was sent of which a recipient has said nothing yet."""
        ...


# --- Figures for statistics -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DocumentFigures:
    """A document that was sent; `kind` is empty once its words were erased."""

    sender: str
    kind: str
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryFigures:
    """A document at one recipient, and when it was dealt with; None is not yet.

    `taken_over_at` is the recipient's first statement, `answered_at` its first 02 or 06.
    `released_at` is when it was no longer waited for: replaced, expired, or asked back and
    not refused.
    """

    recipient: str
    kind: str
    accepted_at: datetime
    due_on: date | None
    taken_over_at: datetime | None
    answered_at: datetime | None
    released_at: datetime | None


@dataclass(frozen=True, slots=True)
class FiguresWanted:
    """Documents accepted from `start` on and before `end`; `agency` empty is every agency."""

    start: datetime | None = None
    end: datetime | None = None
    agency: str = ""


class FiguresSnapshot(Protocol):
    """All figures as of one position, each read once and in no particular order."""

    @property
    def position(self) -> int:
        """Every event before it is counted, and none from it on."""
        ...

    def sent(self, wanted: FiguresWanted) -> Iterator[DocumentFigures]:
        """What was sent, by the agency that is wanted."""
        ...

    def received(self, wanted: FiguresWanted) -> Iterator[DeliveryFigures]:
        """What was received, by the agency that is wanted."""
        ...


class Figures(Protocol):
    """The views once more, for counting. Untrusted and disposable, like Views."""

    def snapshot(self) -> AbstractContextManager[FiguresSnapshot]:
        """One state of the views for as long as the block runs."""
        ...


# --- What need not be kept any longer ---------------------------------------------


@dataclass(frozen=True, slots=True)
class Retained:
    """How long documents of one kind are kept: until they were accepted before an instant.

    `kind` is a kind's name or code, folded.
    """

    kind: str
    accepted_before: datetime


class RetentionList(Protocol):
    """Documents whose time is over. Untrusted and disposable, like Views."""

    def due(
        self, policies: Sequence[Retained], at: datetime, after: UUID | None, limit: int
    ) -> tuple[Sequence[DocumentRow], UUID | None]:
        """Documents past their time by rising exchange id, and after which to go on, or None.

        Left out: those erased, and those with an order that nobody approved and that has not
        lapsed at `at`. Looks at a bounded number of documents a call, so that some calls may
        find nothing while later ones do.
        """
        ...
