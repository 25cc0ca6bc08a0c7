"""A lost or outdated log, filled up again from an export of it.

Nothing is believed but the signer's memory: what is put back is, leaf by leaf, the tree that
was signed last, and nothing is signed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from hub.application.mapper import read_leaf
from hub.application.parties import consignments_of, exchange_of
from hub.application.ports import (
    Commit,
    EventLog,
    NewRequest,
    SealedPayload,
    SignerMemory,
    TreeStore,
)
from hub.application.requests import request_of
from hub.application.vault import Vault
from hub.domain.agency import Agency
from hub.domain.catalogue import REGISTRY_TOPICS
from hub.domain.log import Log
from hub.domain.principal import Principal
from hub.domain.revocation_evidence import RevocationEvidence
from hub.domain.timestamp import Timestamp
from hub.errors import ContentLost, LedgerMismatch, Procedure
from hub.ledger.sequencer import read_entries, require_columns
from hub.proof.leaf import Event
from hub.proof.merkle import leaf_hash, leaf_hashes
from hub.proof.tiles import TiledLog
from hub.proof.tree import TILE_WIDTH, GrowingTree

# An operator's request row is bound to what its call said, which no event tells: so nothing
# fits it, and a call that is repeated after a restore is refused, not carried out twice.
_NOBODYS_DIGEST = bytes(32)

_ERASURES_AT_ONCE = 1000

Progress = Callable[[int, int], None]


class Keepsakes(Protocol):
    """What others kept of what no export holds. Untrusted: taken by its digest only."""

    def payload(self, digest: bytes) -> bytes | None:
        """The payload of a statement by its SHA-256."""
        ...

    def evidence(self, digest: bytes) -> bytes | None:
        """A certificate in DER, a timestamp's token or the like by its SHA-256."""
        ...


@dataclass(frozen=True, slots=True)
class Refilled:
    """How many of the events, of how many in all, were put back."""

    events: int
    size: int


def refill(
    log: EventLog,
    store: TreeStore,
    signer: SignerMemory,
    export: TiledLog,
    *,
    progress: Progress = lambda done, total: None,
) -> Refilled:
    """Append to the log what it lacks of the tree that was signed last.

    1. The export holds that tree, no more and no less. 2. What the log holds is its beginning.
    3. The rest is appended, 256 leaves in one transaction, each proven by the root, with the
    request rows and box numbers that follow from them; then their tiles. 4. The checkpoint.
    If we stop anywhere, the same again goes on; a hub does not start before 4, or does 4
    itself.

    Memory is bounded. Raises LedgerMismatch naming the first position that differs, and
    whatever `export` raises for files that do not lead to the root.
    """
    # (1) An older export would lose events that agencies have receipts for.
    _require_signed(signer, export)
    # (2) Whatever differs is not lost but changed: that is for an auditor, not for us.
    head = log.head().next_position
    growing = GrowingTree(0, store.tile)
    _require_beginning(log, store, export, growing, progress)
    # (3) The rest.
    append_rest(log, store, export, growing, progress=progress)
    # (4) As it was published; its signature was checked when the export was opened.
    if growing.tree.root(export.size) != export.checkpoint.root:
        raise LedgerMismatch("what was restored does not have the root that was signed")
    store.publish({}, export.size, export.note)
    return Refilled(export.size - head, export.size)


def append_rest(
    log: EventLog,
    store: TreeStore,
    export: TiledLog,
    growing: GrowingTree,
    *,
    progress: Progress = lambda done, total: None,
) -> None:
    """Append what an export has beyond the log, whose tree is `growing`; nothing if less.

    Each leaf is proven by the export's root; that the log begins its tree, the caller checks.
    """
    # From the middle of a bundle on, where an earlier restore or the log ended there.
    for number in range(growing.size // TILE_WIDTH, -(-export.size // TILE_WIDTH)):
        leaves = export.bundle(number)[max(0, growing.size - number * TILE_WIDTH) :]
        if leaves:
            append_leaves(log, leaves)
            growing.append(leaf_hashes(leaves))
            _keep_tiles(store, growing)
        progress(growing.size, export.size)


def take_back(
    log: EventLog,
    vault: Vault,
    kept: Keepsakes,
    *,
    progress: Progress = lambda done, total: None,
) -> int:
    """Put back payloads and evidence that events name and the stores lack; how many.

    A payload whose document key is gone gets a new key, under which its content does not
    open. Of what was erased by law nothing comes back. Raises OSError.
    """
    total, count = log.head().next_position, 0
    erased = _erased(log)
    for chunk in read_entries(log, 0, total):
        payloads: list[SealedPayload] = []
        evidence: dict[bytes, bytes] = {}
        for entry in chunk:
            event = read_leaf(entry.state)
            if exchange_of(event) not in erased:
                payloads += _payload_of(event, log, vault, kept)
            evidence |= _evidence_of(event, log, kept)
        if payloads or evidence:
            log.commit(_additions(total, payloads, evidence))
            count += len(payloads) + len(evidence)
        progress(chunk[-1].position + 1, total)
    return count


def _require_signed(signer: SignerMemory, export: TiledLog) -> None:
    last = signer.last
    if last is None:
        raise LedgerMismatch(
            "the signer remembers nothing that an export could be compared with",
            position=0,
            procedure=Procedure.SIGNER_BEHIND,
        )
    if export.size < last.size:
        raise LedgerMismatch(
            f"the export holds {export.size} events, the signer has signed {last.size}: "
            "take a newer export",
            position=export.size,
            procedure=Procedure.REOPEN,
        )
    if export.root(last.size) != last.root:
        raise LedgerMismatch(
            f"the export is not of the tree that was signed at size {last.size}: "
            "keep it, it is signed and of another history"
        )
    if export.size > last.size:
        raise LedgerMismatch(
            f"the signer remembers size {last.size}, but the export holds {export.size} signed "
            "events: its memory was restored from an older copy",
            position=last.size,
            procedure=Procedure.SIGNER_BEHIND,
        )


def _require_beginning(
    log: EventLog, store: TreeStore, export: TiledLog, growing: GrowingTree, progress: Progress
) -> None:
    head = log.head().next_position
    if head > export.size:
        raise LedgerMismatch(
            f"the database holds {head} events, the export only {export.size}: there is nothing "
            "to restore from it",
            position=export.size,
        )
    position = 0
    for chunk in read_entries(log, 0, head):
        for entry in chunk:
            require_columns(entry)
            if leaf_hash(entry.state) != export.leaf_hash(entry.position):
                raise LedgerMismatch(
                    f"event {entry.position} in the database is not the one in the export: put "
                    "the damaged database away and restore into a new one",
                    position=entry.position,
                )
        growing.append(leaf_hashes(entry.state for entry in chunk))
        _keep_tiles(store, growing)
        position = chunk[-1].position + 1
        progress(position, export.size)
    if position < head:
        raise LedgerMismatch(f"event {position} is missing", position=position)


def _keep_tiles(store: TreeStore, growing: GrowingTree) -> None:
    store.keep_tiles(growing.changed)
    growing.stored()


def append_leaves(log: EventLog, leaves: Sequence[bytes]) -> None:
    """Append events as they stood in a log, with the rows that follow from them."""
    start = log.head().next_position
    events = [read_leaf(leaf) for leaf in leaves]
    registry = [n for n, event in enumerate(events) if event.topic in REGISTRY_TOPICS]
    inboxes, outboxes = _boxes(events)
    log.commit(
        Commit(
            expected_head=start,
            events=[
                StoredEvent(event.id, event.version, event.topic, leaf)
                for event, leaf in zip(events, leaves, strict=True)
            ],
            registry_offset=registry[-1] if registry else None,
            requests=_requests(events),
            payloads=[],
            evidence={},
            inbox_heads=inboxes,
            outbox_heads=outboxes,
        )
    )


def _requests(events: Sequence[Event]) -> list[NewRequest]:
    return [
        NewRequest(
            request.caller,
            request.request_id,
            request.digest or _NOBODYS_DIGEST,
            offset,
            request.exchange_id,
        )
        for offset, event in enumerate(events)
        if (request := request_of(event)) is not None
    ]


def _boxes(events: Sequence[Event]) -> tuple[dict[str, int], dict[str, int]]:
    """The last number these events give in each inbox and outbox."""
    inboxes: dict[str, int] = {}
    outboxes: dict[str, int] = {}
    for event in events:
        for consignment in consignments_of(event.data):
            inboxes[consignment["agency"]] = consignment["inbox_seq"]
        if "outbox_seq" in event.data:
            outboxes[event.data["sender"]] = event.data["outbox_seq"]
    return inboxes, outboxes


def _erased(log: EventLog) -> set[UUID]:
    found: set[UUID] = set()
    start = 0
    while erasures := log.erasures(start, _ERASURES_AT_ONCE):
        found.update(erasure.exchange_id for erasure in erasures)
        start = erasures[-1].position + 1
    return found


def _payload_of(event: Event, log: EventLog, vault: Vault, kept: Keepsakes) -> list[SealedPayload]:
    request = request_of(event)
    if request is None or request.digest is None or "statement" not in event.data:
        return []  # What a renewal says is kept as evidence.
    if log.payload(request.digest) is not None:
        return []
    payload = kept.payload(request.digest)
    if payload is None or hashlib.sha256(payload).digest() != request.digest:
        return []
    # An operator's words lie under a key of their own, not under the document's.
    key_id = exchange_of(event) or event.id
    try:
        key = vault.key_of(key_id)
    except ContentLost:
        key = vault.new_key()
        try:
            vault.store({key_id: key})
        except ValueError:
            return []  # It is there, but damaged: its backup may still open everything.
    return [vault.seal_payload(key_id, request.digest, payload, key)]


def _evidence_of(event: Event, log: EventLog, kept: Keepsakes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for digest in map(bytes.fromhex, _named_evidence(event)):
        if log.evidence(digest) is None:
            piece = kept.evidence(digest)
            if piece is not None and hashlib.sha256(piece).digest() == digest:
                found[digest] = piece
    return found


def _named_evidence(event: Event) -> list[str]:
    """The digests of what an event relies on and the evidence store holds."""
    data = event.data
    match event.topic:
        case Agency.CertificateEnrolled.TOPIC | Principal.Created.TOPIC:
            said = (data.get("renewal"), data.get("possession"))
            issuers = data.get("issuers", ())
            return [data["certificate"], *issuers, *[each["digest"] for each in said if each]]
        case RevocationEvidence.Created.TOPIC:
            return [data["evidence"]]
        case Timestamp.Created.TOPIC:
            return [data["token"], *data["certificates"], *[data["message"]] * data["renews"]]
        case Log.TrustedRootPublished.TOPIC:
            return [data["digest"]]
    return []


def _additions(
    head: int, payloads: Sequence[SealedPayload], evidence: dict[bytes, bytes]
) -> Commit:
    return Commit(
        expected_head=head,
        events=[],
        registry_offset=None,
        requests=[],
        payloads=payloads,
        evidence=evidence,
        inbox_heads={},
        outbox_heads={},
    )
