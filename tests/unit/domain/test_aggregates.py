"""What each aggregate remembers of its own facts, and that replay remembers the same."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from hub.domain.agency import Agency
from hub.domain.exchange import Consignment, ContentRecord, Exchange
from hub.domain.hub_key import HubKey
from hub.domain.log import Log
from hub.domain.principal import Principal
from hub.domain.refusal import Refusal
from hub.errors import RecallAskedAlready
from tests.support.builders import START

ID = UUID("01890000-0000-7000-8000-000000000001")


def agency() -> Agency:
    return Agency.register(
        agency_id=ID, at=START, code="H01", name="Sở Nội vụ", by="operator", request_id="r1"
    )


def enrolment(key_id: str) -> dict[str, str]:
    return {
        "purpose": "signing",
        "algorithm": "ed25519",
        "key_id": key_id,
        "certificate": "c",
        "not_before": "b",
        "not_after": "a",
        "by": "operator",
        "request_id": "r2",
    }


def exchange() -> Exchange:
    return Exchange.submit(
        exchange_id=ID,
        at=START,
        sender="H01",
        request_id="r1",
        statement={
            "payload_type": "t",
            "digest": "d",
            "key_id": "k",
            "algorithm": "ed25519",
            "signature": "s",
        },
        enrolment=7,
        action="new",
        relates_to=None,
        expires_at=None,
        recipients=[Consignment(agency="H02", inbox_seq=3), Consignment(agency="H03", inbox_seq=1)],
        attachments=[ContentRecord(sha256="00", size=4)],
        warnings=[],
    )


def replayed(aggregate: Any) -> Any:
    copy = None
    for event in aggregate.collect_events():
        copy = event.mutate(copy)
    return copy


def test_an_agency_remembers_its_keys():
    registered = agency()
    registered.enrol(at=START + timedelta(seconds=1), **enrolment("k1"))
    registered.enrol(at=START + timedelta(seconds=2), **enrolment("k2"))

    assert (registered.code, registered.name) == ("H01", "Sở Nội vụ")
    assert list(registered.enrolled) == ["k1", "k2"]
    assert [event.agency for event in registered.pending_events[1:]] == ["H01", "H01"]


def test_an_exchange_remembers_whom_it_is_for():
    opened = exchange()

    assert (opened.sender, opened.envelope_digest) == ("H01", "d")
    assert opened.recipients == ["H02", "H03"]
    assert opened.attachments == [{"sha256": "00", "size": 4}]


def notices(*numbers: int) -> list[Consignment]:
    return [
        Consignment(agency=agency, inbox_seq=number)
        for agency, number in zip(("H02", "H03"), numbers, strict=True)
    ]


def recall(opened: Exchange) -> None:
    opened.require_recallable()
    opened.recall(
        at=START + timedelta(seconds=1),
        request_id="r2",
        envelope_digest="d",
        statement={},
        enrolment=7,
        notices=notices(4, 2),
        warnings=[],
    )


def supersede(opened: Exchange, by: UUID, *, replaces: bool) -> None:
    opened.supersede(
        at=START + timedelta(seconds=1),
        replaces=replaces,
        by_exchange=by,
        by_digest="e",
        notices=notices(4, 2),
    )


def test_a_document_is_recalled_once():
    opened = exchange()
    assert not opened.recalled

    recall(opened)

    assert opened.recalled
    assert opened.pending_events[-1].sender == "H01"
    with pytest.raises(RecallAskedAlready):
        opened.require_recallable()


def test_a_replaced_document_knows_by_what_and_an_updated_one_still_counts():
    opened, later = exchange(), UUID(int=7)

    supersede(opened, UUID(int=6), replaces=False)
    assert opened.replaced_by is None

    supersede(opened, later, replaces=True)
    assert opened.replaced_by == str(later)
    assert [type(event).__name__ for event in opened.pending_events[1:]] == [
        "DocumentUpdated",
        "DocumentReplaced",
    ]


def test_a_replaced_document_can_be_recalled_and_a_recalled_one_replaced():
    one, other = exchange(), exchange()

    supersede(one, UUID(int=7), replaces=True)
    recall(one)
    recall(other)
    supersede(other, UUID(int=7), replaces=True)

    assert one.recalled
    assert other.replaced_by


def whole_life() -> Exchange:
    opened = exchange()
    supersede(opened, UUID(int=6), replaces=False)
    recall(opened)
    supersede(opened, UUID(int=7), replaces=True)
    return opened


def test_a_hub_key_is_announced_before_it_is_active():
    key = HubKey.announce(key_id=ID, at=START, purpose="checkpoint", verifier_key="v", by="init")
    assert not key.active

    key.activate(at=START, by="init")

    assert key.active
    assert [event.verifier_key for event in key.pending_events] == ["v", "v"]


def made() -> list[Any]:
    registered = agency()
    registered.enrol(at=START + timedelta(seconds=1), **enrolment("k1"))
    key = HubKey.announce(key_id=ID, at=START, purpose="checkpoint", verifier_key="v", by="init")
    key.activate(at=START, by="init")
    facts = enrolment("k") | {"name": "Lan", "role": "auditor"}
    facts = {name: facts[name] for name in facts if name not in {"purpose", "algorithm"}}
    return [
        registered,
        exchange(),
        whole_life(),
        key,
        Log.open(log_id=ID, at=START, origin="hub.example/log"),
        Principal.enrol(principal_id=ID, at=START, **facts),
        Refusal.record(
            refusal_id=ID,
            at=START,
            agency="H01",
            reason="KEY_UNKNOWN",
            payload_type="t",
            digest="d",
        ),
    ]


@pytest.mark.parametrize("aggregate", made(), ids=lambda each: type(each).__name__)
def test_replay_gives_the_aggregate_that_decided(aggregate):
    before = {name: value for name, value in vars(aggregate).items() if name != "_pending_events"}
    after = vars(replayed(aggregate))

    assert {name: value for name, value in after.items() if name != "_pending_events"} == before


@pytest.mark.parametrize("aggregate", made(), ids=lambda each: type(each).__name__)
def test_every_fact_has_the_time_it_was_given(aggregate):
    times = [event.timestamp for event in aggregate.pending_events]

    assert times[0] == START
    assert all(START <= at <= START + timedelta(seconds=1) for at in times)
