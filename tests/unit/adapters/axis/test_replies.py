"""A reply says what it says in one form only; anything else proves nothing."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.axis.replies import (
    PackageReply,
    items_of,
    members_of,
    package_in,
    require_success,
    required,
)
from hub.application.axis import AxisRefused, AxisReplyUnreadable

GOOD = {"status": "OK", "ErrorCode": "0", "ErrorDesc": ""}


@pytest.mark.parametrize("code", ["0", 0])
def test_success_is_a_code_of_nought(code: object):
    require_success({**GOOD, "ErrorCode": code})


def test_a_refusal_keeps_its_code_and_a_bounded_text():
    with pytest.raises(AxisRefused) as refused:
        require_success({"status": "FAIL", "ErrorCode": 18, "ErrorDesc": "x" * 10_000})

    assert refused.value.code == "18"
    assert len(refused.value.description) == 500
    assert not refused.value.is_transient
    assert AxisRefused("20").is_transient


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"ErrorCode": "0"},
        {"status": "OK"},
        {"status": "OK", "ErrorCode": None},
        {"status": None, "ErrorCode": "0"},
        {"status": "OK", "errorCode": "0"},
        {"status": "FAIL", "ErrorCode": "0"},
        {"status": "OK", "ErrorCode": ["0"]},
        {"status": "OK", "ErrorCode": 0.0},
    ],
)
def test_a_reply_that_does_not_clearly_succeed_does_not(reply: dict[str, Any]):
    with pytest.raises(AxisReplyUnreadable):
        require_success(reply)


@pytest.mark.parametrize("code", ["00", "1", "-0", "", "OK", False])
def test_only_nought_is_success(code: object):
    with pytest.raises(AxisRefused):
        require_success({**GOOD, "ErrorCode": code})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"[]",
        b"null",
        b"<html></html>",
        b'{"status":"OK"',
        b'{"status":"OK"} more',
        b'{"a":1,"a":2}',
        b"\xff{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_json_object_is_unreadable(body: bytes):
    with pytest.raises(AxisReplyUnreadable):
        members_of(body)


def test_a_byte_order_mark_does_no_harm():
    assert members_of(b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize("data", [None, "", {}, "[]", 0, [1], [None], [[]]])
def test_a_list_that_is_none_is_not_an_empty_list(data: object):
    with pytest.raises(AxisReplyUnreadable):
        items_of(data)


def test_single_values_are_text_and_others_are_left_out():
    [item] = items_of([{"docId": 7, "deleted": True, "to": None, "from": ["a", "b"]}])

    assert item == {"docId": "7", "deleted": "true"}
    assert required(item, "docId") == "7"
    with pytest.raises(AxisReplyUnreadable):
        required(item, "to")


# --- A package in a reply ----------------------------------------------------------------


def taken_apart(data: bytes, step: int, bytes_max: int = 10**6) -> tuple[dict[str, Any], bytes]:
    into = io.BytesIO()
    reply = PackageReply(into, bytes_max)
    for start in range(0, len(data), step):
        reply.feed(data[start : start + step])
    around, size = reply.close()
    assert size == len(into.getvalue())
    return around, into.getvalue()


@pytest.mark.parametrize("step", [1, 2, 3, 7, 10_000])
def test_a_package_is_taken_out_of_its_reply_piece_by_piece(step: int):
    package = bytes(range(256)) * 3
    encoded = base64.b64encode(package).decode()
    replies = [
        json.dumps({**GOOD, "data": encoded}),
        json.dumps({"data": encoded, **GOOD}, indent=2),
        json.dumps(
            {"other": {"data": "x"}, "list": ["data", {"data": 1}], **GOOD, "data": encoded}
        ),
        json.dumps({**GOOD, "data": encoded, "ErrorDesc": 'quote " slash \\ data'}),
        json.dumps({**GOOD, "data": encoded}).replace("/", "\\/").replace("+", "\\u002b"),
        json.dumps({**GOOD, "data": "\r\n".join(encoded[n : n + 76] for n in range(0, 1024, 76))}),
    ]
    for reply in replies:
        around, found = taken_apart(reply.encode(), step)
        assert found == package
        require_success(around)


@pytest.mark.parametrize(
    "reply",
    [
        '{"data":"QUJD","data":"QUJD"}',
        '{"data":"QUJ@"}',
        '{"data":"QUJDR"}',
        '{"data":"QUJĐ"}',
        '{"data":"QUJD',
        '{"data":"\\x"}',
        '{"data":"\\u00zz"}',
        '{"data":"QUJD"} more',
        '"QUJD"',
        "",
        "x" * (2 * 1024**2),
        '{"x":"' + "x" * (2 * 1024**2) + '"}',
    ],
)
def test_a_package_in_a_broken_reply_is_unreadable(reply: str):
    with pytest.raises(AxisReplyUnreadable):
        taken_apart(reply.encode(), 65536)


def test_a_package_in_a_reply_is_bounded():
    reply = json.dumps({**GOOD, "data": base64.b64encode(bytes(1000)).decode()})

    with pytest.raises(AxisReplyUnreadable):
        taken_apart(reply.encode(), 100, bytes_max=999)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    around=st.dictionaries(st.text() | st.sampled_from(["status", "ErrorCode", "other"]), JSON),
    package=st.binary(max_size=50),
    step=st.integers(1, 20),
    plain=st.booleans(),
)
def test_whatever_stands_around_a_package_is_kept(
    around: dict[str, Any], package: bytes, step: int, plain: bool
):
    around.pop("data", None)
    reply = {**around, "data": base64.b64encode(package).decode()}

    found, data = taken_apart(json.dumps(reply, ensure_ascii=plain).encode(), step)

    assert data == package
    assert found == {**around, "data": ""}


class Response:
    """As much of an answer over HTTP as is asked for."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.headers = pieces, dict[str, str]()

    async def aiter_raw(self, _bytes: int) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


async def test_what_cannot_be_read_is_kept_to_its_end_where_somebody_wants_it():
    pieces = (b'{"status":"OK","ErrorCode":"0","data":"@@@', b"@@", b'@"}')
    raw = io.BytesIO()
    with pytest.raises(AxisReplyUnreadable):
        await package_in(cast(Any, Response(*pieces)), io.BytesIO(), 1000, raw)
    assert raw.getvalue() == b"".join(pieces)
    with pytest.raises(AxisReplyUnreadable):
        await package_in(cast(Any, Response(*pieces)), io.BytesIO(), 1000, None)


async def test_what_is_kept_of_an_endless_reply_has_an_end():
    raw = io.BytesIO()
    with pytest.raises(AxisReplyUnreadable):
        await package_in(cast(Any, Response(*[b"@" * 100] * 100)), io.BytesIO(), 500, raw)
    assert len(raw.getvalue()) <= 1100
