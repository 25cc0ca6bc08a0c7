"""Leaves: one spelling for each event, and no event without one."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import VerificationFailed
from hub.proof.leaf import LEAF_BYTES_MAX, encode_leaf, parse_leaf
from tests.unit.proof.building import event

EVENT = event(3, number=3, text='Quyết định "số 1/A" \\ \n\x07 😀', nested={"b": [1, None, True]})
LEAF = encode_leaf(EVENT)


def rewritten(**members):
    """The leaf with members replaced, or dropped where the value is `...`."""
    merged = json.loads(LEAF) | members
    kept = {name: value for name, value in merged.items() if value is not ...}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def refused(leaf):
    with pytest.raises(VerificationFailed) as refusal:
        parse_leaf(leaf)
    assert refusal.value.step == "leaf"
    return str(refusal.value)


def test_a_leaf_is_read_as_the_event_it_was_written_from():
    assert parse_leaf(LEAF) == EVENT


def test_a_leaf_has_the_promised_bytes():
    assert (
        encode_leaf(event(1, b="é", a=1))
        == (
            '{"data":{"a":1,"b":"é"},"id":"01890000-0000-7000-8000-000000000001",'
            '"nonce":"ZU4sh9eCDL6xtbVQ9DFmVA==","schema":1,"time":"2026-11-22T01:30:01.123456Z",'
            '"topic":"hub.Exchange.DocumentSubmitted","version":1}'
        ).encode()
    )


def test_time_is_written_in_utc_with_six_digits():
    hanoi = timezone(timedelta(hours=7))
    leaf = encode_leaf(replace(EVENT, time=datetime(2026, 1, 1, 6, 0, tzinfo=hanoi)))
    assert json.loads(leaf)["time"] == "2025-12-31T23:00:00.000000Z"
    assert parse_leaf(leaf).time == datetime(2025, 12, 31, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xef\xbb\xbf" + LEAF,
        LEAF + b"\n",
        b" " + LEAF,
        LEAF.replace(b":", b": ", 1),
        LEAF.replace("ế".encode(), b"\\u1ebf"),
        LEAF.replace("ế".encode(), b"\xff"),
        LEAF.replace(b"\\n", b"\\u000a"),
        LEAF.replace("😀".encode(), b"\\ud83d\\ude00"),
        LEAF.replace("😀".encode(), b"\\ud83d"),
        LEAF.replace(b"/", b"\\/"),
        LEAF.replace(b'"schema":1', b'"schema":1,"schema":1'),
        LEAF.replace(b'"number":3', b'"number":3,"number":3'),
        LEAF.replace(b'"number":3', b'"number":3,"text":""'),
        LEAF.replace(b'"number":3', b'"number":NaN'),
        LEAF.replace(b'"number":3', b'"number":-Infinity'),
        LEAF.replace(b'"number":3', b'"number":-0'),
        LEAF.replace(b'"number":3', b'"number":3.0'),
        LEAF.replace(b'"number":3', b'"number":0.1'),
        LEAF.replace(b'"number":3', b'"number":1e2'),
        LEAF.replace(b'"number":3', b'"number":9007199254740993'),
        LEAF.replace(b'"number":3', b'"number":' + b"9" * 5000),
        LEAF.replace(b'"number":3', b'"number":' + b"[" * 30_000),
        LEAF.replace(b'"number":3', b'"number":' + b"[" * 15 + b"]" * 15),
        LEAF.replace(b'"number":3', b'"number":"' + b'\\"' * 30_000),
        LEAF.replace(b'"nested"', '"😀"'.encode()),
    ],
    ids=range(29),
)
def test_bytes_that_are_not_the_one_spelling_of_an_event_are_refused(leaf):
    assert leaf != LEAF
    refused(leaf)


def test_nesting_is_read_to_sixteen_levels():
    # The leaf and its data are two of them.
    deep = []
    for _ in range(13):
        deep = [deep]
    assert parse_leaf(rewritten(data={"deep": deep})).data == {"deep": deep}
    assert "deeper than 16" in refused(rewritten(data={"deep": [deep]}))


@pytest.mark.parametrize("name", ["data", "id", "nonce", "schema", "time", "topic", "version"])
def test_a_missing_member_is_refused(name):
    assert f"lacks {name}" in refused(rewritten(**{name: ...}))


def test_a_member_too_many_is_refused():
    refused(rewritten(extra=1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data", None),
        ("data", []),
        ("id", 1),
        ("id", "01890000-0000-7000-8000-00000000000"),
        ("id", "{01890000-0000-7000-8000-000000000001}"),
        ("id", "0189000A-0000-7000-8000-000000000001"),
        ("nonce", ""),
        ("nonce", "AAAAAAAAAAAAAAAAAAAAAA"),
        ("nonce", "AAAAAAAAAAAAAAAAAAAAAB=="),
        ("nonce", "AAAAAAAAAAAAAAAAAAAA"),
        ("schema", 0),
        ("schema", True),
        ("schema", "1"),
        ("version", 0),
        ("version", None),
        ("time", "2026-11-22T01:30:00Z"),
        ("time", "2026-11-22T01:30:00.123Z"),
        ("time", "2026-11-22T01:30:00.123456+00:00"),
        ("time", "2026-11-22 01:30:00.123456Z"),
        ("time", "2026-02-30T01:30:00.123456Z"),
        ("time", "2026-11-22T24:30:00.123456Z"),
        ("time", "0000-11-22T01:30:00.123456Z"),
        ("time", "２026-11-22T01:30:00.123456Z"),
        ("topic", ""),
        ("topic", "hub.Exchange"),
        ("topic", "hub.Exchange.DocumentSubmitted.More"),
        ("topic", "hub.exchange.DocumentSubmitted"),
        ("topic", "other.Exchange.DocumentSubmitted"),
        ("topic", "hub.Exchange.Document\x1b[2J"),
        ("topic", "hub.Exchange.DocumentSubmitted\n"),
    ],
)
def test_a_member_of_another_kind_is_refused(name, value):
    refused(rewritten(**{name: value}))


def test_a_leaf_has_at_most_65535_bytes():
    room = LEAF_BYTES_MAX - len(encode_leaf(event(1, text="")))
    largest = event(1, text="x" * room)
    assert parse_leaf(encode_leaf(largest)) == largest
    with pytest.raises(ValueError, match="larger than 65535"):
        encode_leaf(event(1, text="x" * (room + 1)))


@pytest.mark.parametrize(
    "broken",
    [
        replace(EVENT, topic="Submitted"),
        replace(EVENT, schema=0),
        replace(EVENT, version=0),
        replace(EVENT, nonce=b"short"),
        replace(EVENT, time=datetime(2026, 1, 1)),  # noqa: DTZ001 - the point of the case
        event(1, fraction=0.5),
        event(1, fraction=float("nan")),
        event(1, surrogate="\ud800"),
        event(1, large=2**53),
        event(1, tuple=(1, 2)),
        event(1, **{"😀": 1}),
    ],
    ids=range(11),
)
def test_an_event_nobody_could_read_back_is_not_written(broken):
    with pytest.raises(ValueError):
        encode_leaf(broken)


names = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF), max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(names, values, max_size=4))
def test_whatever_happened_is_written_and_read_alike(data):
    written = replace(EVENT, data=data)
    leaf = encode_leaf(written)
    assert parse_leaf(leaf) == written
    assert encode_leaf(parse_leaf(leaf)) == leaf


@given(st.integers(0, len(LEAF) - 1), st.binary(min_size=1, max_size=3))
def test_a_leaf_that_reads_as_an_event_is_always_its_one_spelling(position, put):
    changed = LEAF[:position] + put + LEAF[position + 1 :]
    try:
        read = parse_leaf(changed)
    except VerificationFailed:
        return
    assert encode_leaf(read) == changed
