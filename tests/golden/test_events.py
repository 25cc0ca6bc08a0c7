"""One leaf of every event in the catalogue, byte for byte as it will stand in every log."""

import os
from pathlib import Path

import pytest

from adapters.memory.determinism import CountedRandomness
from hub.application.mapper import ClosedMapper, read_leaf
from hub.domain.catalogue import EVENTS
from hub.proof.leaf import parse_leaf
from tests.support.samples import sample_events

FOLDER = Path(__file__).parent / "events"


def golden_leaves() -> dict[str, bytes]:
    mapper = ClosedMapper(CountedRandomness("golden"))
    stored = [mapper.to_stored_event(event) for event in sample_events()]
    return {f"{event.topic.removeprefix('hub.')}.json": event.state for event in stored}


MADE = golden_leaves()


@pytest.mark.parametrize("name", MADE)
def test_the_leaf_of_an_event_is_unchanged(name):
    if os.environ.get("LIENTHONG_REWRITE_GOLDEN"):
        (FOLDER / name).write_bytes(MADE[name])
    assert (FOLDER / name).read_bytes() == MADE[name]


def test_every_event_of_the_catalogue_has_its_sample_and_no_sample_is_left_over():
    promised = {f"{topic.removeprefix('hub.')}.json" for topic in EVENTS}
    assert set(MADE) == promised, "give the new event a sample in tests/support/samples.py"
    assert {path.name for path in FOLDER.iterdir()} == {*promised, "README.md"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_kept_leaf_still_reads_as_the_event_it_was(path):
    (sample,) = (each for each in sample_events() if f"hub.{path.stem}" == type(each).TOPIC)

    event = read_leaf(path.read_bytes())

    assert event == parse_leaf(path.read_bytes())
    assert (event.topic, event.schema) == (type(sample).TOPIC, 1)
    assert {name: getattr(sample, name) for name in event.data} == event.data
    assert event.time == sample.timestamp
