"""`lienthong trust show`: an edition with every window, as its signers must see it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub.application.trust_ends import fingerprint
from hub.proof.timestamp_authority import TimestampAuthority
from hub.proof.trust import TrustedWitness
from hub.proof.window import Window
from tests.unit.proof.building import WITNESS, trusted_root

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 30, 17, 0, 1, tzinfo=UTC)


@pytest.fixture
def edition(tmp_path: Path) -> Path:
    root = replace(
        trusted_root(),
        witnesses=(TrustedWitness(WITNESS.key, Window(None, END)),),
        timestamp_authorities=(TimestampAuthority("tsa", (b"tsa",), BEGIN),),
    )
    path = tmp_path / "edition.json"
    path.write_bytes(root.format())
    return path


def test_every_window_is_shown(command, edition, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = command("trust", "show", edition).out
    assert f"{WITNESS.key.format()}  – 2026-06-30T17:00:01Z" in said
    assert "tsa  2026-01-01T00:00:00Z –" in said
    (authority,) = trusted_root().certificate_authorities
    assert f"{fingerprint(authority.certificate)}  always" in said
    vietnamese = command("--lang", "vi", "trust", "show", edition).out
    assert "luôn luôn" in vietnamese
    assert "Nhân chứng" in vietnamese


def test_every_window_is_in_the_json(command, edition):
    found = json.loads(command("trust", "show", edition, "--json").out)
    until = "2026-06-30T17:00:01Z"
    assert found["witnesses"] == [{"who": WITNESS.key.format(), "from": None, "until": until}]
    assert [each["until"] for each in found["signing_authorities"]] == [None]
    assert found["transport_authorities"] == []
    (clock,) = found["timestamp_authorities"]
    assert clock == {"who": "tsa", "from": "2026-01-01T00:00:00Z", "until": None}


@pytest.mark.parametrize("end", ["tsa", "=2026-01-01T00:00:00Z", "tsa=yesterday", "tsa=2026-01-01"])
def test_an_end_that_was_mistyped_is_2_before_anybody_is_asked(command, tmp_path, end):
    nowhere = tmp_path / "profile.toml"
    nowhere.write_text("")
    draft = ("trust", "draft", tmp_path / "d.json", "--profile", nowhere, "--end", end)
    assert command(*draft).status == 2
    assert not (tmp_path / "d.json").exists()
