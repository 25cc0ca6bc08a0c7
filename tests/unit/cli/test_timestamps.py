"""`lienthong ledger timestamps` and `trust` say how it stands, to a person and to a program."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from hub.cli import timestamps as module
from hub.cli.sentences import TIMESTAMPS, in_words
from hub.client.timestamps import AuthorityStanding, TimestampsStanding

NEWEST = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
GOOD = AuthorityStanding(
    "tsa-1", NEWEST, 42, NEWEST + timedelta(days=900), None, 0, 0, "", NEWEST + timedelta(hours=1)
)
GONE = AuthorityStanding(
    "tsa-2", None, 0, None, NEWEST, 7, 3, "no answer within 20 s", NEWEST + timedelta(hours=1)
)


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch):
    """Let the hub say this."""

    def say(said: TimestampsStanding) -> None:
        async def answer() -> TimestampsStanding:
            return said

        @asynccontextmanager
        async def operator(_: Path):
            yield SimpleNamespace(timestamps=SimpleNamespace(standing=answer))

        monkeypatch.setattr(module, "operator", operator)

    return say


def test_a_table_says_what_waits_and_why(command, standing, tmp_path):
    standing(TimestampsStanding((GOOD, GONE), GOOD.newest_not_after, "no authority"))

    ended = command("ledger", "timestamps", "--profile", tmp_path)

    assert ended.status == 0
    assert "tsa-1" in ended.out
    assert "2026-11-23 08:30" in ended.out
    assert "7 events, " in ended.out
    assert "tsa-2: no answer within 20 s" in ended.out
    assert "Renewing failed: no authority" in ended.out


def test_the_same_in_vietnamese(command, standing, tmp_path):
    standing(TimestampsStanding((GOOD, GONE), None, ""))
    said = command("--lang", "vi", "ledger", "timestamps", "--profile", tmp_path).out
    assert "7 sự kiện" in said
    assert "không có câu trả lời trong 20 giây" in said


def test_a_program_gets_instants_and_numbers(command, standing, tmp_path):
    standing(TimestampsStanding((GOOD, GONE), None, ""))

    said = json.loads(command("ledger", "timestamps", "--json", "--profile", tmp_path).out)

    assert [each["name"] for each in said["authorities"]] == ["tsa-1", "tsa-2"]
    assert said["authorities"][0]["newest"] == "2026-11-23T01:30:00+00:00"
    assert said["authorities"][0]["waiting_since"] is None
    assert (said["authorities"][1]["failures"], said["authorities"][1]["newest_size"]) == (3, 0)
    assert said["next_end"] is None


def test_a_hub_that_asks_nobody_says_so(command, standing, tmp_path):
    standing(TimestampsStanding((), None, ""))
    ended = command("ledger", "timestamps", "--profile", tmp_path)
    assert ended.out == "This hub asks no time-stamping authority.\n"


@pytest.mark.parametrize("template", TIMESTAMPS)
def test_no_template_shadows_another(template: str):
    filled = template.replace("{", "").replace("}", "")
    assert in_words(filled) == filled
