"""The trusted root lists time-stamping authorities with windows; older files stay good."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from hub.errors import VerificationFailed
from hub.proof.timestamp_authority import TimestampAuthority, is_authority_name
from hub.proof.trust import TrustedRoot, parse_trusted_root

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2030, 1, 1, 23, 59, 59, tzinfo=UTC)
ONE = TimestampAuthority("tsa.example", (b"root", b"between"), SINCE, UNTIL)
OPEN = TimestampAuthority("tsa-2", (b"root 2",), SINCE)


def members(**changes: Any) -> bytes:
    entry = {"name": "tsa", "certificates": ["cm9vdA=="], "from": "2026-01-01T00:00:00Z"}
    entry |= {"until": None} | changes
    document = json.loads(TrustedRoot(1, ()).format())
    document["timestamp_authorities"] = [
        {name: value for name, value in entry.items() if value != "left out"}
    ]
    return json.dumps(document).encode()


def test_a_root_with_authorities_is_read_back():
    root = TrustedRoot(2, (), timestamp_authorities=(ONE, OPEN))
    assert parse_trusted_root(root.format()) == root
    assert root.timestamp_authority("tsa-2") == OPEN
    assert root.timestamp_authority("tsa") is None


def test_a_root_without_any_is_written_as_it_always_was():
    assert b"timestamp" not in TrustedRoot(1, ()).format()
    assert parse_trusted_root(TrustedRoot(1, ()).format()).timestamp_authorities == ()


def test_a_window_includes_its_ends():
    ONE.vouch(SINCE)
    ONE.vouch(UNTIL)
    OPEN.vouch(UNTIL.replace(year=2999))
    with pytest.raises(VerificationFailed, match="yet"):
        ONE.vouch(SINCE.replace(year=2025))
    with pytest.raises(VerificationFailed, match="no longer"):
        ONE.vouch(UNTIL.replace(year=2031))


@pytest.mark.parametrize(
    "changes",
    [
        {"until": "left out"},
        {"from": "left out"},
        {"certificates": []},
        {"certificates": ["not base64"]},
        {"certificates": "cm9vdA=="},
        {"name": ""},
        {"name": "Tsa"},
        {"name": "tsa\u001b[2J"},
        {"from": "2026-01-01"},
        {"from": "2026-13-01T00:00:00Z"},
        {"from": "2026-01-01T00:00:00+07:00"},
        {"until": 7},
    ],
)
def test_an_entry_that_is_not_well_formed_is_refused(changes: dict[str, Any]):
    with pytest.raises(VerificationFailed) as refused:
        parse_trusted_root(members(**changes))
    assert refused.value.step == "trust"


def test_two_authorities_never_share_a_name():
    root = TrustedRoot(1, (), timestamp_authorities=(ONE, replace(OPEN, name=ONE.name)))
    with pytest.raises(ValueError, match="share a name"):
        root.format()


def test_names_are_words_of_plain_letters():
    assert is_authority_name("ca.gov-vn.2")
    assert not any(map(is_authority_name, ("", "-a", "a b", "a+b", "x" * 64, "ký")))
