"""Of what issuers say day after day about one certificate, a register reads the newest."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.memory.determinism import CountedRandomness
from hub.application.mapper import ClosedMapper, read_event
from hub.application.ports import LogEntry
from hub.application.registry import Registry, register_after
from hub.domain.revocation_evidence import RevocationEvidence
from hub.domain.values import format_time, uuid7
from tests.support.builders import START, new_hub

_mapper = ClosedMapper(CountedRandomness())


def said(position: int, kind: str, about: str, **changes: str) -> LogEntry:
    """What an issuer said on one day; `about` names the certificate, or the list's issuer."""
    at = START + timedelta(days=position)
    facts = {
        "source": "national",
        "kind": kind,
        "issuer": about if kind == "crl" else "the issuer",
        "evidence": f"{position:064x}",
        "number": "",
        "certificate": about if kind == "ocsp" else "",
        "status": "good" if kind == "ocsp" else "",
        "this_update": format_time(at),
        "next_update": format_time(at + timedelta(days=7)),
    }
    evidence = RevocationEvidence.store(
        evidence_id=uuid7(at, bytes(10)), at=at, **(facts | changes)
    )
    (event,) = evidence.collect_events()
    stored = _mapper.to_stored_event(event)
    return LogEntry(position, evidence.id.bytes, 1, RevocationEvidence.Created.TOPIC, stored.state)


def one_by_one(entries: list[LogEntry], evidence: Any = None) -> Registry:
    registry = Registry()
    for entry in entries:
        registry = registry.advanced(read_event(entry.state), entry.position, evidence)
    return registry


@pytest.fixture
def years() -> list[LogEntry]:
    said_of = [("ocsp", "aa"), ("ocsp", "bb"), ("crl", "aa"), ("ocsp", "aa"), ("crl", "cc")]
    return [said(position, *said_of[position % 5]) for position in range(30)]


def test_it_is_the_register_of_every_event_in_turn(years):
    assert register_after(Registry(), years, lambda _: None) == one_by_one(years)
    revoked = [*years, said(30, "ocsp", "bb", status="revoked"), said(31, "ocsp", "aa")]
    register = register_after(Registry(), revoked, lambda _: None)
    assert register == one_by_one(revoked)
    assert register.answers["bb"].status == "revoked"
    assert register.version == 31


def test_it_goes_on_from_any_register(years):
    for count in range(len(years)):
        begun = register_after(Registry(), years[:count], lambda _: None)
        assert register_after(begun, years[count:], lambda _: None) == one_by_one(years)


def test_so_it_is_with_everything_else_a_register_holds(years):
    hub = new_hub()
    entries = list(hub.log.registry_entries())
    mixed = [
        entry._replace(position=position)
        for position, entry in enumerate([*years[:10], *entries, *years[10:]])
    ]
    register = register_after(Registry(), mixed, hub.log.evidence)
    assert register == one_by_one(mixed, hub.log.evidence)
    assert register.agencies


def test_what_was_said_before_the_newest_is_not_even_parsed(years, monkeypatch):
    parsed = []
    monkeypatch.setattr(
        "hub.application.registry.read_event",
        lambda leaf: (parsed.append(leaf), read_event(leaf))[1],
    )
    register_after(Registry(), years, lambda _: None)
    assert len(parsed) == 4


def test_those_of_the_first_version_which_were_all_lists_are_read_too():
    first = [said(position, "crl", "aa") for position in range(3)]
    for gone in (b'"certificate":"",', b'"status":"",'):
        first = [each._replace(state=each.state.replace(gone, b"", 1)) for each in first]
    first = [
        each._replace(state=each.state.replace(b'"schema":2', b'"schema":1')) for each in first
    ]
    assert register_after(Registry(), first, lambda _: None) == one_by_one(first)


def test_a_later_event_counts_even_where_it_says_that_it_is_older(years):
    back = said(30, "ocsp", "aa", this_update=format_time(START - timedelta(days=1)))
    both = [*years, back]
    assert register_after(Registry(), both, lambda _: None) == one_by_one(both)
    assert replace(one_by_one(both), version=0) != replace(one_by_one(years), version=0)
