"""Ids in order of time, and times in one spelling."""

import random
from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID

import pytest

from hub.domain.aggregate import derived_id
from hub.domain.values import format_time, parse_time, sha256_hex, uuid7

AT = datetime(2026, 11, 23, 1, 30, 0, 123456, tzinfo=UTC)


def test_a_uuid7_says_what_rfc_9562_says():
    # The example of RFC 9562, appendix A.6.
    at = datetime(2022, 2, 22, 14, 22, 22, tzinfo=timezone(-timedelta(hours=5)))
    value = uuid7(at, bytes.fromhex("0cc3 18c4dc0c0c07398f".replace(" ", "") + "00"))

    assert value.version == 7
    assert value.variant == RFC_4122
    assert value.bytes[:6] == bytes.fromhex("017f22e279b0")


def test_a_uuid7_keeps_74_of_the_random_bits():
    drawn = random.Random(7)
    values = {uuid7(AT, drawn.randbytes(10)) for _ in range(1000)}
    ones = zeros = 0
    for value in values:
        ones |= value.int
        zeros |= ~value.int

    assert len(values) == 1000
    assert (ones & zeros & ((1 << 80) - 1)).bit_count() == 74
    assert {value.bytes[:6] for value in values} == {uuid7(AT, bytes(10)).bytes[:6]}


def test_uuid7s_are_in_order_of_time():
    drawn = random.Random(7)
    instants = [AT + timedelta(milliseconds=step) for step in range(0, 10**6, 997)]
    values = [uuid7(at, drawn.randbytes(10)) for at in instants]

    assert values == sorted(values)


def test_a_derived_id_is_a_uuid8_beside_its_parent():
    parent = uuid7(AT, bytes(range(10)))
    child = derived_id(parent, b"delivery:H02")

    assert (child.version, child.variant) == (8, RFC_4122)
    assert child.bytes[:6] == parent.bytes[:6]
    assert child == derived_id(parent, b"delivery:H02")


def test_a_derived_id_depends_on_all_of_its_parent_and_its_purpose():
    parent = uuid7(AT, bytes(10))
    flipped = [UUID(int=parent.int ^ (1 << bit)) for bit in range(128)]
    derived = {derived_id(each, b"x") for each in (parent, *flipped)}

    assert len(derived) == 129
    assert derived_id(parent, b"x") != derived_id(parent, b"y")


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (AT, "2026-11-23T01:30:00.123456Z"),
        (AT.replace(microsecond=0), "2026-11-23T01:30:00.000000Z"),
        (AT.astimezone(timezone(timedelta(hours=7))), "2026-11-23T01:30:00.123456Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_an_instant_has_one_spelling_and_comes_back(at, text):
    assert format_time(at) == text
    assert parse_time(text) == at
    assert parse_time(text).tzinfo is UTC


def test_a_digest_is_lower_case_hexadecimal():
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
