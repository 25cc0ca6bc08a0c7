"""Everything we ever wrote can still be read, and still says the same.

Each folder beside this file is the history of one release, recorded once by
`tests/support/record_history.py` and never changed since.
"""

from __future__ import annotations

import base64
import json
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent

from adapters.memory.determinism import CountedRandomness
from adapters.memory.document_keys import MemoryDocumentKeys, MemoryKeyCustody
from adapters.memory.events import MemoryEventLog
from adapters.memory.signer import MemorySigner
from adapters.memory.tree import MemoryTreeStore
from adapters.memory.views import MemoryViews
from hub.application.exchanges import statement_of
from hub.application.key_ring import KeyRing
from hub.application.mapper import ClosedMapper, read_leaf
from hub.application.ports import Commit, NewRequest, SealedPayload
from hub.application.vault import Vault
from hub.domain.aggregate import Aggregate
from hub.domain.audit_trail import AuditTrail
from hub.domain.catalogue import AUDIT_TOPICS, EVENTS, REGISTRY_TOPICS
from hub.domain.delivery import Delivery
from hub.domain.group import Group
from hub.ledger.batch import load_registry
from hub.ledger.receipts import ReceiptBook
from hub.ledger.sequencer import Sequencer
from hub.projections.deliveries import DeliveryProjection
from hub.proof.checkpoint import open_checkpoint
from hub.proof.leaf import Event
from hub.proof.merkle import leaf_hash, root_of
from hub.proof.note import VerifierKey
from hub.proof.receipt import Receipt, verify_receipt
from hub.proof.statements import read_statement
from hub.proof.trust import LogKey, TrustedLog, TrustedRoot
from tests.support.record_history import view_lines

RELEASES = sorted(path.parent for path in Path(__file__).parent.glob("*/events.jsonl"))


class History:
    """A recorded history, put into today's stores."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.verifier_key = VerifierKey.parse((folder / "verifier-key").read_text().strip())
        self.log, self.keys = MemoryEventLog(), MemoryDocumentKeys()
        self.log.commit(self._commit())
        wrapped = {
            UUID(line["exchange_id"]): base64.b64decode(line["wrapped_key"])
            for line in self.lines("payloads.jsonl")
        }
        self.keys.add(wrapped)
        self.vault = Vault(self.keys, MemoryKeyCustody(), CountedRandomness())

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_bytes().splitlines()]

    @cached_property
    def leaves(self) -> list[bytes]:
        return [line["leaf"].encode() for line in self.lines("events.jsonl")]

    @cached_property
    def events(self) -> list[Event]:
        return [read_leaf(leaf) for leaf in self.leaves]

    @cached_property
    def trust(self) -> TrustedRoot:
        log = TrustedLog(self.verifier_key.name, (LogKey(self.verifier_key, 0),))
        return TrustedRoot(1, (log,))

    def grown(self) -> tuple[Sequencer, MemoryTreeStore]:
        """The tree as today's code grows it, signed with a key of our own."""
        store, signer = MemoryTreeStore(), MemorySigner(self.verifier_key.name)
        sequencer = Sequencer(
            origin=self.verifier_key.name,
            log=self.log,
            store=store,
            signer=signer,
        )
        # What the log says of its keys is of keys that are not here.
        with patch.object(KeyRing, "signing", lambda ring, origin: ()):
            sequencer.extend()
        return sequencer, store

    def _commit(self) -> Commit:
        rows = self.lines("events.jsonl")
        registry = [row["position"] for row in rows if row["topic"] in REGISTRY_TOPICS]
        evidence = [base64.b64decode(line["data"]) for line in self.lines("evidence.jsonl")]
        return Commit(
            expected_head=0,
            events=[
                StoredEvent(
                    UUID(row["aggregate_id"]), row["version"], row["topic"], row["leaf"].encode()
                )
                for row in rows
            ],
            registry_offset=max(registry),
            requests=[
                NewRequest(
                    line["caller"],
                    line["request_id"],
                    base64.b64decode(line["digest"]),
                    line["position"],
                    line["exchange_id"] and UUID(line["exchange_id"]),
                )
                for line in self.lines("requests.jsonl")
            ],
            payloads=[
                SealedPayload(
                    base64.b64decode(line["digest"]),
                    UUID(line["exchange_id"]),
                    base64.b64decode(line["sealed"]),
                )
                for line in self.lines("payloads.jsonl")
            ],
            evidence={sha256(data).digest(): data for data in evidence},
            inbox_heads={},
            outbox_heads={},
        )


@pytest.fixture(scope="module", params=RELEASES, ids=lambda folder: folder.name)
def history(request: pytest.FixtureRequest) -> History:
    return History(request.param)


def test_there_is_a_history_of_the_first_release():
    assert "v0.1.0" in {folder.name for folder in RELEASES}


def test_every_event_reads_with_todays_catalogue(history):
    mapper = ClosedMapper(CountedRandomness())
    for position, row in enumerate(history.lines("events.jsonl")):
        columns = (UUID(row["aggregate_id"]), row["version"], row["topic"])
        event = mapper.to_domain_event(StoredEvent(*columns, row["leaf"].encode()))
        assert row["position"] == position
        assert type(event) is EVENTS[row["topic"]]


def test_every_aggregate_is_made_again_from_its_events(history):
    mapper = ClosedMapper(CountedRandomness())
    for aggregate_id in {event.id for event in history.events}:
        stored = history.log.select_events(aggregate_id)
        events = [mapper.to_domain_event(each) for each in stored]
        aggregate = None
        if not isinstance(events[0], Aggregate.Created):
            first = events[0]
            if isinstance(first, Group.GroupChanged):
                aggregate = Group.begin(aggregate_id, first.timestamp)
            elif first.TOPIC in AUDIT_TOPICS:
                aggregate = AuditTrail.begin(UUID(first.exchange), first.timestamp)
            else:
                aggregate = Delivery.begin(UUID(first.exchange), first.agency, first.timestamp)
        for event in events:
            aggregate = event.mutate(aggregate)
        assert (aggregate.id, aggregate.version) == (aggregate_id, len(events))


def test_every_recorded_checkpoint_is_signed_over_these_events(history):
    hashes = [leaf_hash(leaf) for leaf in history.leaves]
    checkpoints = history.lines("checkpoints.jsonl")
    for line in checkpoints:
        checkpoint = open_checkpoint(
            line["note"].encode(),
            log_keys=[history.verifier_key],
            origin=history.verifier_key.name,
        )
        assert (checkpoint.size, checkpoint.root) == (line["size"], root_of(hashes[: line["size"]]))
    assert checkpoints[-1]["size"] == len(hashes)


def test_todays_tree_over_these_events_has_the_recorded_root(history):
    newest = history.lines("checkpoints.jsonl")[-1]
    recorded = open_checkpoint(
        newest["note"].encode(), log_keys=[history.verifier_key], origin=history.verifier_key.name
    )

    sequencer, _ = history.grown()

    assert sequencer.tree.root(sequencer.size) == recorded.root


def test_every_kept_receipt_verifies_and_is_still_made_byte_for_byte(history):
    _, store = history.grown()
    store._checkpoints = {
        line["size"]: line["note"].encode() for line in history.lines("checkpoints.jsonl")
    }
    book = ReceiptBook(history.log, store)
    book.publish(*max(store._checkpoints.items()))
    kept = history.lines("receipts.jsonl")
    for line in kept:
        position = line["position"]
        receipt = Receipt(history.leaves[position], line["proof"].encode())
        assert verify_receipt(receipt, history.trust).position == position
        assert book.receipt(position).receipt == receipt
    assert len(kept) > 3


def test_every_statement_verifies_with_the_key_it_was_accepted_with(history):
    registry = load_registry(history.log)
    statements = 0
    for event in history.events:
        if "statement" not in event.data:
            continue
        signed = statement_of(event, history.log, history.vault)
        record = event.data["statement"]
        agency = record.get("by_agency") or event.data.get("agency") or event.data["sender"]
        key = registry.keys[agency, signed.key_id]
        key.public_key.verify(signed.pae, signed.signature)
        assert key.position == event.data["enrolment"]
        assert read_statement(signed).header.request_id == event.data["request_id"]
        statements += 1
    assert statements == len(history.lines("payloads.jsonl"))


def test_the_lists_of_these_events_are_the_recorded_ones(history):
    views = MemoryViews()
    DeliveryProjection(history.log, history.vault, views).catch_up(len(history.leaves))

    recorded = (history.folder / "views.jsonl").read_bytes()
    pairs = zip(parsed(view_lines(views.rows())), parsed(recorded), strict=True)
    # A later release may show more of a row; what was shown then is shown now.
    for made, was in pairs:
        assert {name: made[name] for name in was} == was


def parsed(lines: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def test_the_first_history_holds_every_event_of_its_release():
    (first,) = (folder for folder in RELEASES if folder.name == "v0.1.0")

    assert {event.topic for event in History(first).events} == {
        "hub.Agency.AgencyRegistered",
        "hub.Agency.AgencyReinstated",
        "hub.Agency.AgencyRenamed",
        "hub.Agency.AgencySucceededBy",
        "hub.Agency.AgencySuspended",
        "hub.Agency.CertificateEnrolled",
        "hub.Agency.SubmissionRefused",
        "hub.Delivery.DeliveryExpired",
        "hub.Delivery.DocumentHandedOver",
        "hub.Delivery.RecallAnswered",
        "hub.Delivery.StatusReported",
        "hub.Exchange.DocumentReplaced",
        "hub.Exchange.DocumentSubmitted",
        "hub.Exchange.DocumentUpdated",
        "hub.Exchange.RecallRequested",
        "hub.Group.GroupChanged",
        "hub.HubKey.HubKeyActivated",
        "hub.HubKey.HubKeyAnnounced",
        "hub.Log.CalendarCorrected",
        "hub.Log.LogOpened",
        "hub.Principal.PrincipalEnrolled",
    }
