"""The axis's list of organisations becomes part of the register, and never more than that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.memory.axis import MemoryAxis
from hub.application.axis import AxisAgency, AxisOutcomeUnknown
from hub.application.relay_commands import SynchroniseDirectory
from hub.domain.axis_link import ListedOnAxis
from hub.errors import AgencyExists, AgencySuspended, AgencyUnknown, RecipientUnknown
from tests.support.builders import Party, check_whole
from tests.support.relaying import HERE, Linked, linked

NEW, OLD = "G12.18", "000.00.18.G12"


@pytest.fixture
def ours() -> Linked:
    return linked(MemoryAxis((HERE,)), HERE)


def agency(code: str = NEW, **more: Any) -> AxisAgency:
    return AxisAgency(code=code, name=f"Đơn vị {code}", axis_id=f"id of {code}", **more)


OTHERS = [agency(f"K{number:02}") for number in range(8)]


def listed(ours: Linked, *agencies: AxisAgency) -> int:
    async def answer() -> list[AxisAgency]:
        return [*OTHERS, *agencies]

    ours.gateway.agencies = answer  # type: ignore[method-assign]
    return ours.synchronise()


def send(ours: Linked, code: str) -> None:
    ours.hub.submit(HERE, Party(HERE).envelope(code))


def test_an_organisation_is_written_to_by_the_codes_of_both_systems(ours):
    assert listed(ours, agency(old_code=OLD)) == len(OTHERS) + 1

    for code in (NEW, OLD):
        send(ours, code)
    event = ours.hub.events()[-1]
    assert event.data["recipients"] == [
        {"agency": NEW, "addressed": OLD, "inbox_seq": 2, "via": "axis"}
    ]
    check_whole(ours.hub)


def test_a_list_that_did_not_change_records_nothing(ours):
    listed(ours, agency(old_code=OLD))
    events = len(ours.hub.events())

    assert listed(ours, agency(old_code=OLD)) == 0
    assert len(ours.hub.events()) == events


def test_what_was_deleted_is_written_to_no_more_and_comes_back(ours):
    listed(ours, agency())
    assert listed(ours, agency(deleted=True)) == 1
    with pytest.raises(AgencySuspended):
        send(ours, NEW)

    assert listed(ours, agency(deleted=False)) == 1
    send(ours, NEW)


def test_what_is_gone_from_the_list_is_written_to_no_more(ours):
    listed(ours, agency())
    assert listed(ours) == 1
    with pytest.raises(AgencySuspended):
        send(ours, NEW)


def test_what_has_another_code_is_found_under_the_old_one(ours):
    listed(ours, agency())
    renamed = replace(agency("G12.21"), axis_id=f"id of {NEW}")
    assert listed(ours, renamed) == 2

    send(ours, NEW)
    (recipient,) = ours.hub.events()[-1].data["recipients"]
    assert (recipient["agency"], recipient["addressed"]) == ("G12.21", NEW)


@pytest.mark.parametrize("empty", [True, False])
def test_a_list_that_lacks_most_of_them_is_not_believed(ours, empty):
    listed(ours, agency())

    async def answer() -> list[AxisAgency]:
        return [] if empty else [agency()]

    ours.gateway.agencies = answer
    assert ours.synchronise() == 0
    assert "not believed" in ours.told[-1][1]
    send(ours, "K01")


def test_a_list_that_cannot_be_read_changes_nothing(ours):
    listed(ours, agency())

    async def fails() -> list[AxisAgency]:
        raise AxisOutcomeUnknown("lost")

    ours.gateway.agencies = fails
    with pytest.raises(AxisOutcomeUnknown):
        ours.synchronise()
    send(ours, NEW)


def test_an_agency_of_this_hub_is_never_touched(ours):
    before = ours.hub.engine.registry.agencies[HERE]
    listed(ours, agency(HERE, deleted=True), agency(old_code=HERE))

    assert ours.hub.engine.registry.agencies[HERE] == before
    owner = ours.hub.engine.registry.owner(HERE)
    assert owner == before


def test_an_agency_that_registers_here_is_of_this_hub_from_then_on(ours):
    listed(ours, agency(old_code=OLD))
    ours.hub.register(NEW)

    send(ours, NEW)
    (recipient,) = ours.hub.events()[-1].data["recipients"]
    assert "via" not in recipient
    with pytest.raises(RecipientUnknown):
        send(ours, OLD)
    assert listed(ours, agency(old_code=OLD)) == 0
    check_whole(ours.hub)


def test_operators_change_nothing_behind_the_axis(ours):
    listed(ours, agency())
    with pytest.raises(AgencyUnknown):
        ours.hub.enrol(Party(NEW))
    with pytest.raises(AgencyExists):
        ours.hub.register(HERE)


@pytest.mark.parametrize(
    "strange",
    [
        agency("có dấu"),
        agency("X" * 36),
        agency("SELF.1", center_code=HERE),
        agency("UNIT.1", is_agency=False),
    ],
)
def test_what_nobody_can_be_written_to_by_is_left_out(ours, strange):
    listed(ours, strange)
    assert ours.hub.engine.registry.owner(strange.code) is None


def test_thirty_thousand_organisations_are_few_events(ours):
    many = [agency(f"P{number:05}", old_code=f"000.{number:05}") for number in range(30_000)]
    before = len(ours.hub.events())

    assert listed(ours, *many) == 30_000 + len(OTHERS)
    assert len(ours.hub.events()) - before < 150
    assert ours.hub.engine.registry.receiver("000.29999").code == "P29999"
    assert listed(ours, *many) == 0


def test_successors_in_a_ring_end_somewhere(ours):
    def one(code: str, successor: str) -> ListedOnAxis:
        return ListedOnAxis(
            code=code, name=code, other_codes=[], axis_id="", deleted=True, successor=successor
        )

    ours.hub.done(SynchroniseDirectory([one("R1", "R2"), one("R2", "R1")], 2))
    assert ours.hub.engine.registry.receiver("R1").code in {"R1", "R2"}


def test_an_axis_that_lists_nobody_is_helped_by_a_file(ours):
    async def nothing() -> None:
        return None

    ours.gateway.agencies = nothing
    events = len(ours.hub.events())
    assert ours.synchronise() == 0
    assert len(ours.hub.events()) == events

    ours.directory._otherwise = lambda: [*OTHERS, agency(old_code=OLD)]
    assert ours.synchronise() == len(OTHERS) + 1
    assert ours.synchronise() == 0
    send(ours, OLD)
    ours.directory._otherwise = lambda: OTHERS
    assert ours.synchronise() == 1
    with pytest.raises(AgencySuspended):
        send(ours, NEW)
    check_whole(ours.hub)
