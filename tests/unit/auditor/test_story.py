"""The story of a document, word for word, in both languages."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hub.auditor.client import Case
from hub.auditor.ranges import Wanted, exchange_of
from hub.auditor.story import Line, What, tell
from hub.auditor.stream import Logged
from hub.cli.audit_words import grounds, sentence, words
from hub.cli.console import local_time
from hub.cli.messages import Language, speak
from hub.proof.leaf import parse_leaf
from tests.support.audited import AUDITOR, MemoryLine, client_on
from tests.support.builders import MemoryHub, run
from tests.support.record_history import live

GOLDEN = Path(__file__).parents[2] / "golden" / "stories"
REPLAY = Path(__file__).parents[2] / "replay"
REQUEST = "6f2a5c1e-0000-4000-8000-00000000000{}"


@pytest.fixture(scope="module")
def hub() -> MemoryHub:
    return live()


@pytest.fixture(autouse=True)
def in_english_again():
    yield
    speak(Language.EN)


def stories(hub: MemoryHub, folder: Path) -> dict[str, list[Line]]:
    """The documents of a hub that say the most, read for a case, first and last."""
    client = client_on(MemoryLine(hub), hub, folder)

    async def all_told() -> dict[str, list[Line]]:
        topics = ("hub.Exchange.DocumentSubmitted",)
        opened = [one async for one in client.events(Wanted(topics=topics))]
        told = {}
        for number, one in enumerate(opened):
            exchange = str(one.event.id)
            said = {}
            if number == 0:
                case = Case.of("15/KL-TTTP", REQUEST.format(1))
                said = (await client.read_statements(case, exchange)).said
            told[f"{number}"] = tell(await client.story(exchange), said)
        return told

    return run(all_told())


def as_text(lines: list[Line]) -> str:
    found = []
    for line in lines:
        found.append(f"{line.position} {local_time(line.at)} {sentence(line)}")
        found += [f"  {text}" for text in (*words(line), *grounds(line))]
    return "".join(f"{text}\n" for text in found)


def recorded_stories() -> list[list[Line]]:
    """The documents of the first release's recorded history, and what auditors did since."""
    rows = (REPLAY / "v0.1.0" / "events.jsonl").read_text().splitlines()
    leaves = [json.loads(row)["leaf"].encode() for row in rows]
    leaves += [
        path.read_bytes()
        for name in (
            *("DocumentSubmitted", "AxisDocumentTaken"),
            *("AxisStatusTaken", "AxisRecallTaken", "AxisSignaturesExamined"),
            *("Signature*", "PayloadErased", "Audit*Made"),
        )
        for path in sorted((REPLAY.parent / "golden" / "events").glob(f"*.{name}.json"))
    ]
    grouped: dict[str, list[Logged]] = {}
    for position, leaf in enumerate(leaves):
        event = parse_leaf(leaf)
        if exchange := exchange_of(event):
            grouped.setdefault(exchange, []).append(Logged(position, leaf, event))
    return [tell(events) for events in grouped.values()]


def test_the_stories_are_unchanged():
    told = recorded_stories()
    made = {}
    for language in Language:
        speak(language)
        made[f"{language.value}.txt"] = "\n".join(map(as_text, told))
    first = [line.as_json() for line in told[0]]
    made["first.json"] = json.dumps(first, ensure_ascii=False, indent=1) + "\n"
    if os.environ.get("LIENTHONG_REWRITE_GOLDEN"):
        for name, text in made.items():
            (GOLDEN / name).write_text(text)
    assert {path.name for path in GOLDEN.iterdir()} == {*made, "README.md"}
    for name, text in made.items():
        assert (GOLDEN / name).read_text() == text
    assert {line.what for lines in told for line in lines} == set(What) - {What.OTHER}


def test_what_was_read_for_a_case_is_told_and_nothing_else(tmp_path):
    first, *others = stories(live(), tmp_path).values()
    assert "V/v kế hoạch ngày 0" in as_text(first)
    assert all(line.signed.verified for line in first if line.signed)
    assert not any(line.words for lines in others for line in lines)
    assert not any(line.signed.verified for lines in others for line in lines if line.signed)


def test_every_kind_of_event_of_a_document_is_told(tmp_path):
    told = [line for lines in stories(live(), tmp_path).values() for line in lines]
    # Of what does not happen in that history the stories above tell.
    elsewhere = {What.OTHER, What.ERASED, What.EXAMINED, What.IN_DOUBT, What.TAKEN}
    over_the_axis = {What.AXIS_STATUS, What.AXIS_RECALL, What.AXIS_EXAMINED}
    assert {line.what for line in told} == set(What) - elsewhere - over_the_axis


@pytest.mark.parametrize("language", Language)
def test_every_kind_of_event_has_a_sentence(hub, language):
    speak(language)
    event = parse_leaf(hub.log.entries(0, 1)[0].state)
    (other,) = tell([Logged(0, b"", event)])
    assert other.what is What.OTHER
    assert event.topic in sentence(other)
    assert other.observed[0] == "event"


def test_what_a_successor_signed_is_told_as_its_own(tmp_path):
    told = [line for lines in stories(live(), tmp_path).values() for line in lines]
    on_behalf = [line for line in told if line.signed and line.signed.by != line.signed.agency]
    assert on_behalf
    for line in on_behalf:
        assert f"{line.signed.by} on behalf of {line.signed.agency}" in sentence(line)
        assert line.signed.by in grounds(line)[0]


def test_who_read_is_named(tmp_path):
    (*_, read) = stories(live(), tmp_path)["0"]
    assert read.what is What.READ
    assert AUDITOR.name in sentence(read)
    assert "15/KL-TTTP" in sentence(read)


def test_nothing_foreign_reaches_the_terminal_raw(hub):
    """Whatever a hub puts into an event, it cannot rewrite what stands on the screen."""
    from dataclasses import replace

    (line,) = tell([Logged(0, b"", parse_leaf(hub.log.entries(0, 1)[0].state))])
    evil = "\x1b[2Jx"
    for what in What:
        facts = dict.fromkeys(
            (
                *("agency", "sender", "by", "case", "by_exchange", "read", "code", "attachment"),
                *("ordered_by", "approved_by", "reason", "basis"),
            ),
            evil,
        )
        hostile = replace(
            line, what=what, topic=evil, facts=facts, words={"reason": evil, "subject": evil,
            "kind": evil, "code": evil},
        )  # fmt: skip
        assert "\x1b" not in "".join([sentence(hostile), *words(hostile), *grounds(hostile)])
