"""The state an auditor derives is, after every event, what the hub's own lists say."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from adapters.memory.views import MemoryViews
from hub.application.ports import DeliveryRow, DocumentRow
from hub.auditor.state import HubState, agency_as_json, document_as_json, hub_as_json
from hub.auditor.stream import Logged
from hub.ledger.batch import Registry
from hub.projections.deliveries import DeliveryProjection
from hub.proof.leaf import parse_leaf
from tests.support.builders import MemoryHub
from tests.support.record_history import PARTIES, live

QUAN_1, TAI_CHINH, Y_TE, NOI_VU = (party.code for party in PARTIES)


@pytest.fixture(scope="module")
def hub() -> MemoryHub:
    return live()


def logged(hub: MemoryHub) -> list[Logged]:
    return [
        Logged(entry.position, entry.state, parse_leaf(entry.state))
        for entry in hub.log.entries(0, 10**6)
    ]


def test_after_every_event_documents_stand_as_in_the_lists(hub):
    state, views = HubState(), MemoryViews()
    projection = DeliveryProjection(hub.log, hub.vault, views)
    seen = Counter()
    for event in logged(hub):
        state.apply(event)
        projection.catch_up(event.position + 1)
        rows = list(views.rows())
        documents = {str(row.exchange_id): row for row in rows if isinstance(row, DocumentRow)}
        deliveries = [row for row in rows if isinstance(row, DeliveryRow)]
        assert state.documents.keys() == documents.keys()
        for exchange, document in state.documents.items():
            row = documents[exchange]
            told = (document.sender, document.position, document.accepted_at, document.replaced_by)
            replaced_by = str(row.replaced_by) if row.replaced_by else None
            assert told == (row.sender, row.position, row.accepted_at, replaced_by)
            assert document.envelope_digest == row.envelope_digest.hex()
        derived = {
            (exchange, recipient): (s.state, s.recall, s.expired, s.position, s.updated_at)
            for exchange, document in state.documents.items()
            for recipient, s in document.deliveries.items()
        }
        assert derived == {
            (str(row.exchange_id), row.recipient): (
                row.state, row.recall, row.expired, row.position, row.updated_at
            )
            for row in deliveries
        }  # fmt: skip
        assert sum(state.deliveries().values()) == len(deliveries)
        seen[event.event.topic] += 1
    assert state.topics == seen
    assert (state.position, state.at) == (hub.receipts.size, hub.events()[-1].time)


def test_after_every_event_the_register_stands_as_in_the_hub(hub):
    state, registry = HubState(), Registry()
    for event in logged(hub):
        state.apply(event)
        registry = registry.advanced(event.event, event.position, hub.log.evidence)
        told = {
            code: (
                agency.name, agency.other_codes, agency.suspended, agency.successor,
                agency.position, agency.certificates,
            )
            for code, agency in state.agencies.items()
        }  # fmt: skip
        assert told == {
            code: (
                entry.name, entry.other_codes, entry.suspended, entry.successor, entry.position,
                {certificate.key_id: certificate.purpose for certificate in entry.certificates},
            )
            for code, entry in registry.agencies.items()
        }  # fmt: skip
        assert state.groups == {word: entry.members for word, entry in registry.groups.items()}
        principals = {c.name: c.role for c in registry.callers.values() if c.role != "agency"}
        assert state.principals == principals


def test_what_is_told_of_a_state_is_json(hub):
    state = HubState()
    for event in logged(hub):
        state.apply(event)
    told = [hub_as_json(state)]
    told += [document_as_json(document) for document in state.documents.values()]
    told += [agency_as_json(agency, state) for agency in state.agencies.values()]
    assert json.loads(json.dumps(told)) == told
    assert state.sent_by(QUAN_1) == sum(d.sender == QUAN_1 for d in state.documents.values())
    assert sum(state.deliveries_of(NOI_VU).values()) > 0


def test_an_event_of_a_later_release_is_counted_and_changes_nothing(hub):
    from dataclasses import replace

    state = HubState()
    first = logged(hub)[0]
    for topic in ("hub.Log.Nonsense", "hub.Future.Thing"):
        state.apply(replace(first, event=replace(first.event, topic=topic)))
    assert sum(state.topics.values()) == 2
    assert state.documents == {}
