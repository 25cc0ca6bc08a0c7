"""Events of former versions read as those of today; their bytes stay what was proven."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent

from adapters.memory.determinism import CountedRandomness
from hub.application.mapper import ClosedMapper, UnreadableEvent, read_event, read_leaf
from hub.domain import catalogue
from hub.domain.aggregate import Aggregate
from hub.proof.leaf import Event, encode_leaf, parse_leaf
from hub.proof.merkle import leaf_hash
from tests.support.builders import START

ID = UUID(int=7)
TOPIC = "hub.Teapot.Filled"
REPLAY = Path(__file__).parents[2] / "replay"


class Teapot(Aggregate):
    """Only for tests: an aggregate whose one event was changed twice."""

    TOPIC: ClassVar[str] = "hub.Teapot"

    class Created(Aggregate.Created):
        """Version 1 had `litres`, 2 `millilitres`, 3 names the tea as well."""

        TOPIC: ClassVar[str] = "hub.Teapot.Filled"
        class_version: ClassVar[int] = 3
        millilitres: int
        tea: str

        @staticmethod
        def upcast_v1_v2(data: Mapping[str, Any]) -> Mapping[str, Any]:
            rest = {name: value for name, value in data.items() if name != "litres"}
            return {**rest, "millilitres": data["litres"] * 1000}

        @staticmethod
        def upcast_v2_v3(data: Mapping[str, Any]) -> Mapping[str, Any]:
            return {**data, "tea": "trà sen"}

    @classmethod
    def fill(cls, at: datetime) -> Teapot:
        return cls._create(cls.Created, id=ID, timestamp=at, millilitres=500, tea="trà lài")

    def __init__(self, millilitres: int, tea: str) -> None:
        self.millilitres, self.tea = millilitres, tea


WRITTEN = {1: {"litres": 2}, 2: {"millilitres": 2000}, 3: {"millilitres": 2000, "tea": "trà sen"}}


@pytest.fixture(autouse=True)
def teapots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalogue.EVENTS, TOPIC, Teapot.Created)
    monkeypatch.setitem(_aggregate_topics(), TOPIC, "hub.Teapot")


def _aggregate_topics() -> dict[str, str]:
    from hub.application import mapper

    return mapper._AGGREGATE_TOPICS


def leaf_of(schema: int, data: Mapping[str, Any]) -> bytes:
    return encode_leaf(Event(TOPIC, schema, ID, 1, START, bytes(16), data))


@pytest.mark.parametrize("schema", WRITTEN)
def test_every_version_reads_as_the_newest(schema):
    leaf = leaf_of(schema, WRITTEN[schema])
    hashed = leaf_hash(leaf)

    event = ClosedMapper(CountedRandomness()).to_domain_event(StoredEvent(ID, 1, TOPIC, leaf))
    teapot = event.mutate(None)

    assert (teapot.millilitres, teapot.tea) == (2000, "trà sen")
    assert read_leaf(leaf) == read_event(leaf)
    assert read_event(leaf).schema == 3
    # Nothing was written again: what was proven is what is hashed.
    assert leaf_hash(leaf) == hashed
    assert parse_leaf(leaf).data == WRITTEN[schema]


def test_what_is_written_now_is_of_the_newest_version():
    (event,) = Teapot.fill(START).collect_events()
    leaf = ClosedMapper(CountedRandomness()).to_stored_event(event).state
    assert parse_leaf(leaf).schema == 3
    assert read_leaf(leaf).data == {"millilitres": 500, "tea": "trà lài"}


@pytest.mark.parametrize("schema", [4, 2**31])
def test_a_version_of_a_later_release_is_refused(schema):
    with pytest.raises(UnreadableEvent, match="not known"):
        read_leaf(leaf_of(schema, WRITTEN[3]))


def test_a_version_with_the_fields_of_another_is_refused():
    with pytest.raises(UnreadableEvent, match="fields"):
        read_leaf(leaf_of(3, WRITTEN[1]))
    with pytest.raises(UnreadableEvent, match="fields"):
        read_leaf(leaf_of(2, WRITTEN[3] | {"more": 1}))


def test_an_event_nobody_changed_has_no_second_version():
    with pytest.raises(UnreadableEvent, match=r"version 2 of hub\.Log\.LogOpened"):
        read_leaf(
            encode_leaf(Event("hub.Log.LogOpened", 2, ID, 1, START, bytes(16), {"origin": "x"}))
        )


def test_every_changed_event_can_be_read_in_each_version():
    """Whoever raises `class_version` must write the upcasters that lead to it."""
    for event_class in catalogue.EVENTS.values():
        for version in range(1, catalogue.version_of(event_class)):
            assert callable(getattr(event_class, f"upcast_v{version}_v{version + 1}"))


def test_the_first_release_enrolled_its_operator_without_a_request():
    rows = (REPLAY / "v0.1.0" / "events.jsonl").read_text().splitlines()
    leaves = [json.loads(row)["leaf"].encode() for row in rows]
    (enrolled,) = [leaf for leaf in leaves if b'"hub.Principal.PrincipalEnrolled"' in leaf]
    assert parse_leaf(enrolled).schema == 1
    assert "request_id" not in parse_leaf(enrolled).data
    assert read_leaf(enrolled).data["request_id"] == ""
