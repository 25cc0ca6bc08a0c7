"""Who can be written to: found by code or name, in groups that hold no agency twice."""

import unicodedata

import pytest

from hub.application.directory import SetGroup
from hub.errors import HubError
from hub.proof.leaf import parse_leaf
from tests.support.agencies import directory_of, register, rename, succeed, suspend
from tests.support.builders import (
    AGENCIES,
    OPERATOR,
    OTHER,
    RECIPIENT,
    SENDER,
    MemoryHub,
    check_whole,
    new_hub,
    new_request_id,
    run,
)


@pytest.fixture
def hub() -> MemoryHub:
    hub = new_hub()
    register(hub, "H53.1", "000.00.01.H53", name="Sở Tài chính")
    register(hub, "H53.2", name="Sở Đường bộ và Hoà giải")
    return hub


def found(hub: MemoryHub, query: str, after: str = "", limit: int = 100) -> list[str]:
    return [one.entry.code for one in directory_of(hub).search(query, after=after, limit=limit)]


def set_group(hub: MemoryHub, group: str, *members: str, name: str = "Các sở"):
    return hub.done(SetGroup(OPERATOR, new_request_id(), group, name, members))[0]


def members(hub: MemoryHub) -> dict[str, tuple[str, ...]]:
    return {one.group: one.members for one in directory_of(hub).groups(after="", limit=100)}


def refused(call) -> HubError:
    with pytest.raises(HubError) as refusal:
        call()
    return refusal.value


# --- Agencies -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "Sở Tài chính",
        "so tai chinh",
        "SO TAI",
        "chính sở",
        unicodedata.normalize("NFD", "Tài chính"),
        "H53.1",
        "h53.1",
        "000.00.01",
        "tai 000.00",
    ],
)
def test_an_agency_is_found_however_it_is_typed(hub, query):
    assert found(hub, query) == ["H53.1"]


@pytest.mark.parametrize("query", ["duong bo", "Đường", "ĐƯỜNG BỘ", "hòa giải", "hoà giai"])
def test_neither_the_barred_d_nor_the_place_of_a_tone_matters(hub, query):
    assert found(hub, query) == ["H53.2"]


def test_every_word_must_be_found(hub):
    assert found(hub, "sở") == ["H53.1", "H53.2"]
    assert found(hub, "sở xây dựng") == []


def test_nothing_asked_for_is_everybody_page_by_page(hub):
    everybody = sorted([*AGENCIES, "H53.1", "H53.2"])
    assert found(hub, "") == found(hub, "  ") == everybody
    pages = [found(hub, "", limit=2), found(hub, "", everybody[1], 2), found(hub, "", everybody[3])]
    assert [code for page in pages for code in page] == everybody


def test_a_query_has_a_largest_size(hub):
    assert refused(lambda: found(hub, "a" * 201)).metadata == {"field": "query"}


def test_an_agency_is_had_by_any_code_with_who_stands_for_it_now(hub):
    rename(hub, RECIPIENT, "Tên mới")
    succeed(hub, "H53.1", OTHER)
    succeed(hub, OTHER, RECIPIENT)
    directory = directory_of(hub)

    listing = directory.agency("000.00.01.H53")

    assert (listing.entry.code, listing.receiver) == ("H53.1", RECIPIENT)
    assert directory.agency(RECIPIENT).entry.name == "Tên mới"
    assert refused(lambda: directory.agency("H-NOBODY")).reason == "AGENCY_UNKNOWN"


# --- Groups -------------------------------------------------------------------------------


def test_a_group_is_made_changed_and_dissolved(hub):
    first = set_group(hub, "cac-so", "H53.2", "000.00.01.H53")
    assert members(hub) == {"cac-so": ("H53.2", "H53.1")}
    second = set_group(hub, "cac-so", "H53.1", name="Tên mới")
    assert members(hub) == {"cac-so": ("H53.1",)}
    third = set_group(hub, "cac-so")
    assert members(hub) == {}
    set_group(hub, "cac-so", SENDER)

    events = [parse_leaf(recorded.receipt.leaf) for recorded in (first, second, third)]
    assert [event.version for event in events] == [1, 2, 3]
    assert len({event.id for event in events}) == 1
    assert events[1].data | {"by": "", "request_id": ""} == {
        "group": "cac-so",
        "name": "Tên mới",
        "members": ["H53.1"],
        "by": "",
        "request_id": "",
    }
    assert members(hub.restarted()) == members(hub) == {"cac-so": (SENDER,)}
    check_whole(hub)


def test_two_changes_of_a_new_group_in_one_batch_are_one_group(hub):
    hub.done(*(SetGroup(OPERATOR, new_request_id(), "g", "G", (code,)) for code in (SENDER, OTHER)))

    assert members(hub) == {"g": (OTHER,)}
    check_whole(hub)


def test_the_same_call_gets_the_same_answer(hub):
    command = SetGroup(OPERATOR, new_request_id(), "g", "G", (SENDER,))

    assert hub.done(command) == hub.done(command)
    other = SetGroup(OPERATOR, command.request_id, "g", "G", (SENDER, OTHER))
    (outcome,) = hub.process(other)
    assert outcome.reason == "REQUEST_ID_REUSED"


def test_a_member_that_was_taken_over_is_its_successor_and_nobody_is_there_twice(hub):
    set_group(hub, "g", SENDER, RECIPIENT, OTHER)
    succeed(hub, SENDER, OTHER)
    suspend(hub, RECIPIENT)

    # The suspended stay: leaving them out in silence would be the hub's decision, not the
    # sender's.
    assert members(hub) == {"g": (OTHER, RECIPIENT)}


@pytest.mark.parametrize(
    ("group", "codes", "reason"),
    [
        ("Các sở", [SENDER], "REQUEST_MALFORMED"),
        ("g", [SENDER, "H-NOBODY"], "AGENCY_UNKNOWN"),
        ("g", ["H53.1", "000.00.01.H53"], "REQUEST_MALFORMED"),
        ("g", ["x"] * 1001, "TOO_LARGE"),
    ],
)
def test_groups_that_make_no_sense_are_refused(hub, group, codes, reason):
    call = directory_of(hub).set_group(
        OPERATOR, new_request_id(), group=group, name="G", members=codes
    )

    assert refused(lambda: run(call)).reason == reason
    assert members(hub) == {}


def test_a_group_as_large_as_an_envelope_fits_into_a_leaf(hub):
    codes = [f"{n:04}." + "a" * 30 for n in range(1000)]
    hub.register(*codes)

    set_group(hub, "g" * 40, *codes, name="ữ" * 200)

    assert members(hub) == {"g" * 40: tuple(codes)}
    check_whole(hub)


def test_groups_come_page_by_page(hub):
    for word in "cab":
        set_group(hub, word, SENDER)
    directory = directory_of(hub)

    assert [one.group for one in directory.groups(after="", limit=2)] == ["a", "b"]
    assert [one.group for one in directory.groups(after="b", limit=2)] == ["c"]
