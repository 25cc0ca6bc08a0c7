"""One leaf of every event in the catalogue, byte for byte as it will stand in every log."""

import os
from pathlib import Path
from typing import Any

import pytest

from adapters.memory.determinism import CountedRandomness
from hub.application.mapper import ClosedMapper, read_leaf
from hub.domain.catalogue import EVENTS, version_of
from hub.proof.leaf import parse_leaf
from tests.support.samples import sample_events

FOLDER = Path(__file__).parent / "events"


def golden_leaves() -> dict[str, bytes]:
    mapper = ClosedMapper(CountedRandomness("golden"))
    stored = [mapper.to_stored_event(event) for event in sample_events()]
    return {f"{event.topic.removeprefix('hub.')}.json": event.state for event in stored}


MADE = golden_leaves()
# Former versions of an event: written once, never again, and read for ever.
FORMER = sorted(path for path in FOLDER.glob("*.v*.json"))


def sample_of(topic: str) -> Any:
    (sample,) = (each for each in sample_events() if topic == type(each).TOPIC)
    return sample


@pytest.mark.parametrize("name", MADE)
def test_the_leaf_of_an_event_is_unchanged(name):
    if os.environ.get("LIENTHONG_REWRITE_GOLDEN"):
        (FOLDER / name).write_bytes(MADE[name])
    assert (FOLDER / name).read_bytes() == MADE[name]


def test_every_event_of_the_catalogue_has_its_sample_and_no_sample_is_left_over():
    promised = {f"{topic.removeprefix('hub.')}.json" for topic in EVENTS}
    assert set(MADE) == promised, "give the new event a sample in tests/support/samples.py"
    former = {path.name for path in FORMER}
    assert {path.name for path in FOLDER.iterdir()} == {*promised, *former, "README.md"}


@pytest.mark.parametrize("name", MADE)
def test_a_kept_leaf_still_reads_as_the_event_it_was(name):
    leaf = (FOLDER / name).read_bytes()
    sample = sample_of(f"hub.{Path(name).stem}")

    event = read_leaf(leaf)

    assert event == parse_leaf(leaf)
    assert (event.topic, event.schema) == (type(sample).TOPIC, version_of(type(sample)))
    assert {name: getattr(sample, name) for name in event.data} == event.data
    assert event.time == sample.timestamp


@pytest.mark.parametrize("topic", [topic for topic, kind in EVENTS.items() if version_of(kind) > 1])
def test_a_leaf_of_every_former_version_is_kept(topic):
    stem = topic.removeprefix("hub.")
    kept = {f"{stem}.v{version}.json" for version in range(1, version_of(EVENTS[topic]))}
    assert kept == {path.name for path in FORMER if path.name.startswith(f"{stem}.v")}


@pytest.mark.parametrize("path", FORMER, ids=lambda path: path.stem)
def test_a_leaf_of_a_former_version_reads_as_one_of_today(path):
    stem, _, version = path.stem.rpartition(".v")
    written, sample = parse_leaf(path.read_bytes()), sample_of(f"hub.{stem}")
    assert written.schema == int(version) < version_of(type(sample))

    event = read_leaf(path.read_bytes())

    assert event.schema == version_of(type(sample))
    assert event.data.keys() == parse_leaf(MADE[f"{stem}.json"]).data.keys()
    assert (event.topic, event.id, event.nonce) == (written.topic, written.id, written.nonce)
