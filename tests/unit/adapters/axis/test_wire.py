"""A request to the national axis is what the vendor's client would have sent, to the byte."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.axis.national.wire import (
    FAMILIES,
    FILE_END,
    Call,
    Family,
    call,
    hash_file,
    timestamp_of,
)
from adapters.axis.sending import digest_of
from tests.support.axis import BY_CALL, SECRET, content_of


def again(vector: dict[str, Any]) -> Call:
    """The request made anew from nothing but its parameters, in alphabetical order."""
    name = vector["call"].split(" ")[0]
    headers = dict(line.split(": ", 1) for line in vector["head"][1:])
    own = {"sign-header-key", "sign-header", "hash-header", "version", "timestamp", "Content-Type"}
    parameters = {
        key.removeprefix("XroadVnpt-"): value
        for key, value in sorted(headers.items())
        if key.startswith("XroadVnpt-") and key.removeprefix("XroadVnpt-") not in own
    }
    content = content_of(vector)
    if FAMILIES[name] is Family.FILE:
        parameters["hash-file"] = hash_file(digest_of(io.BytesIO(content))[1])
    return call(
        name,
        parameters,
        secret=SECRET,
        timestamp=headers["XroadVnpt-timestamp"],
        host=headers["Host"],
        body_bytes=len(content),
    )


@pytest.mark.parametrize("name", BY_CALL)
def test_every_request_comes_out_as_it_was_recorded(name: str):
    vector = BY_CALL[name]
    made = again(vector)

    lines = [f"{made.method} /{made.name} HTTP/1.1"]
    lines += [f"{key}: {value}" for key, value in made.headers]
    assert lines == vector["head"]


@pytest.mark.parametrize("name", [name for name in BY_CALL if "body_file" in BY_CALL[name]])
def test_a_package_is_followed_by_a_line_end_that_its_hash_leaves_out(name: str):
    vector = BY_CALL[name]
    headers = dict(again(vector).headers)

    assert vector["body_after_file"].encode() == FILE_END
    assert int(headers["Content-Length"]) == len(content_of(vector)) + 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"abc", "ba7816bf8f1cfea414140de5dae2223b0361a396177a9cb410ff61f2015ad"),
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ],
)
def test_the_hash_of_a_file_has_no_padding(content: bytes, said: str):
    assert hash_file(hashlib.sha256(content).digest()) == said


def test_a_timestamp_is_local_and_ends_in_milliseconds():
    at = datetime(2026, 11, 22, 2, 5, 46, 9_999, tzinfo=UTC)

    assert timestamp_of(at) == "22112026T090546+0009"


def test_quotes_and_backslashes_are_escaped_and_nothing_else():
    made = call(
        "updateStatus",
        {"systemid": "A", "description": "a\"b\\c/<>&='"},
        secret="x",
        timestamp="t",
        host="h",
        body_bytes=2,
    )
    signed = dict(made.headers)["XroadVnpt-sign-header"]

    assert '"XroadVnpt-description":"a\\"b\\\\c/<>&=\'"' in signed
    assert json.loads(signed)["XroadVnpt-description"] == "a\"b\\c/<>&='"


@pytest.mark.parametrize("value", ["lý do", "a\r\nX: y", "a\x00", " a", "a ", "\x7f"])
def test_what_a_header_cannot_carry_is_refused(value: str):
    parameters = {"systemid": "A", "docId": value}
    with pytest.raises(ValueError):
        call("getEdoc", parameters, secret="x", timestamp="t", host="h", body_bytes=2)


def test_another_secret_changes_the_signature_alone():
    made = again(BY_CALL["getEdoc"])
    other = made.signed_anew("another")

    different = [a for a, b in zip(made.headers, other.headers, strict=True) if a != b]
    assert [name for name, _value in different] == ["XroadVnpt-hash-header"]
    assert other.signed_anew(SECRET) == made
