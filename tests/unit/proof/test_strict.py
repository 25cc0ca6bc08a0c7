"""Reading text: one spelling each, and nothing hostile costs much."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import VerificationFailed
from hub.proof.strict import (
    JSON_TOKENS_MAX,
    JsonObject,
    decode_base64,
    decode_utf8,
    encode_base64,
    parse_decimal,
    read_back,
)

LIMIT = 16 << 20


def parse(data, bytes_max=LIMIT):
    return JsonObject.parse(data, bytes_max=bytes_max, what="the text", step="here")


def refused(read, *arguments, **keywords):
    with pytest.raises(VerificationFailed) as refusal:
        read(*arguments, **keywords)
    assert refusal.value.step == "here"
    return str(refusal.value)


@given(st.binary(max_size=50))
def test_base64_is_read_as_it_was_written(data):
    assert decode_base64(encode_base64(data), what="x", step="here") == data


@pytest.mark.parametrize(
    "text", ["A", "AA", "AAA", "AAAAA", "AB==", "AAB=", "AA==\n", " AA==", "A-__", "AA=A", "é", "="]
)
def test_another_spelling_of_base64_is_refused(text):
    refused(decode_base64, text, what="x", step="here")


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "01", " 1", "1\n", "1_0", "1.0", "٣", str(2**63), "9" * 9999],
)
def test_another_spelling_of_a_number_is_refused(text):
    refused(parse_decimal, text, what="x", step="here")


def test_a_number_up_to_2_63_is_read():
    assert parse_decimal("9223372036854775807", what="x", step="here") == 2**63 - 1
    assert parse_decimal("0", what="x", step="here") == 0


def test_bytes_that_are_not_utf_8_are_refused():
    refused(decode_utf8, b"\xc0\x80", what="x", step="here")


def test_an_object_gives_its_members_by_kind():
    fields = parse('{"t":"é","n":3,"b":"AA==","o":{"n":1},"l":[{"n":2}],"s":["x"]}'.encode())
    assert fields.text("t") == "é"
    assert fields.integer("n", minimum=3) == 3
    assert fields.octets("b") == b"\0"
    assert fields.child("o").integer("n", minimum=0) == 1
    assert [child.integer("n", minimum=0) for child in fields.children("l")] == [2]
    assert fields.texts("s") == ["x"]


@pytest.mark.parametrize("value", ["null", "true", "1", "-1", '"x"', "[]", "[null]", "{}"])
def test_a_member_of_another_kind_is_refused(value):
    fields = parse(b'{"m":%s}' % value.encode())
    fits = {
        '"x"': ["text"],
        "1": ["integer"],
        "{}": ["child"],
        "[]": ["children", "texts"],
    }.get(value, [])
    for kind in {"text", "integer", "octets", "child", "children", "texts"} - set(fits):
        arguments = {"minimum": 0} if kind == "integer" else {}
        refused(getattr(fields, kind), "m", **arguments)
        refused(getattr(fields, kind), "missing", **arguments)


def test_the_error_names_the_place():
    fields = parse(b'{"outer":{"inner":1}}')
    words = refused(fields.child("outer").text, "inner")
    assert words == "the 'outer' of the text has no text 'inner'"


def test_the_words_of_a_stranger_are_not_repeated():
    fields = parse(b'{"\\u001b[2J":1}')
    assert "\x1b" not in refused(fields.require_names, frozenset())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"1",
        b"\xff",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b"{}{}",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":1,"a":1}',
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b'{"a":"\n"}',
        b'{"a":"\\x"}',
        b'{"a":"',
        b'{"a":"\\"',
        b'{"a":"\\',
        b"{" * 17 + b"}" * 17,
    ],
)
def test_json_that_two_parsers_could_read_differently_is_refused(data):
    refused(parse, data)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 10_000_000,
        b'{"a":' * 3_000_000,
        b"[],{}" * 3_000_000,
        b'{"a":[' + b"[]," * 5_000_000 + b"[]]}",
        b'{"a":[' + b"1," * 8_000_000 + b"1]}",
        b'{"a":"' + b'\\"' * 8_000_000,
        b'"' * 16_000_000,
        b"\\" * 16_000_000,
        b'{"a":' + b"9" * 16_000_000 + b"}",
        b" " * (LIMIT + 1),
    ],
    ids=range(10),
)
def test_a_hostile_text_is_refused_in_a_moment(data):
    start = time.monotonic()
    refused(parse, data)
    assert time.monotonic() - start < 5  # Mostly far below; slow machines are allowed for.


def test_a_large_string_is_no_hostility():
    assert parse(b'{"a":"' + b'\\"' * 4_000_000 + b'"}').text("a") == '"' * 4_000_000


def test_the_limit_counts_values_and_not_what_stands_inside_strings():
    assert parse(b'{"a":"%s"}' % (b"," * (JSON_TOKENS_MAX + 1))).text("a")
    assert "too many values" in refused(parse, b'{"a":[%s1]}' % (b"1," * JSON_TOKENS_MAX))


def test_a_text_over_the_size_limit_is_refused():
    assert parse(b"{}", bytes_max=2).members == {}
    assert "larger than 1 " in refused(parse, b"{}", bytes_max=1)


def test_what_cannot_be_read_back_is_not_written():
    assert read_back(b"5", int, 5) == b"5"
    with pytest.raises(ValueError, match="something else"):
        read_back(b"5", int, 6)
    with pytest.raises(ValueError, match="cannot be read back"):
        read_back(b"[]", parse, None)
