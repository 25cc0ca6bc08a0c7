"""What an axis answers: JSON of a form that is insisted on, because nothing signs it."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any, BinaryIO, Final

import httpx2

from adapters.axis.edxml.contents import Decoder
from adapters.axis.edxml.errors import EdxmlRefused
from adapters.axis.http import pieces
from hub.application.axis import AxisRefused, AxisReplyUnreadable, Waiting

_DESCRIPTION_CHARS_MAX = 500
_SUCCESS = "0"
_FAILED = "FAIL"


def members_of(body: bytes) -> dict[str, Any]:
    """The members of a reply that is one JSON object. Raises AxisReplyUnreadable."""
    try:
        found = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise AxisReplyUnreadable("the answer is not JSON") from error
    if not isinstance(found, dict):
        raise AxisReplyUnreadable("the answer is no JSON object")
    return found


def require_success(reply: dict[str, Any]) -> None:
    """Raise AxisRefused for a stated failure, AxisReplyUnreadable where it is not clear."""
    code, status = text_of(reply.get("ErrorCode")), text_of(reply.get("status"))
    if code is None or status is None:
        raise AxisReplyUnreadable("the answer has no ErrorCode or no status")
    if code != _SUCCESS:
        raise AxisRefused(code[:20], described(reply.get("ErrorDesc")))
    if status.upper() == _FAILED:
        raise AxisReplyUnreadable("the answer says both success and failure")


def items_of(data: Any) -> list[dict[str, str]]:
    """The items of a list, their single values as text. Raises AxisReplyUnreadable."""
    if not isinstance(data, list):
        raise AxisReplyUnreadable("the answer holds no list")
    return [_item(each) for each in data]


def required(item: dict[str, str], name: str) -> str:
    """A value without which an item is worth nothing. Raises AxisReplyUnreadable."""
    if not (value := item.get(name)):
        raise AxisReplyUnreadable(f"an item of the list has no {name}")
    return value


def waiting_of(item: dict[str, str]) -> Waiting:
    """A package that waits, as both kinds of axis list it."""
    return Waiting(
        axis_id=required(item, "docId"),
        kind=item.get("messageType", ""),
        sender=item.get("from", ""),
        recipient=item.get("to", ""),
        created_at=item.get("created_time", ""),
        updated_at=item.get("updated_time", ""),
        state=item.get("status", ""),
    )


def text_of(value: Any) -> str | None:
    """A single value as text; the vendor's clients take numbers for text as well."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) else None


def described(value: Any) -> str:
    """An axis's words on a failure, in a bounded length."""
    return (text_of(value) or "")[:_DESCRIPTION_CHARS_MAX]


def _item(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise AxisReplyUnreadable("an item of the list is no object")
    return {name: text for name, each in value.items() if (text := text_of(each)) is not None}


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


async def package_in(
    response: httpx2.Response, into: BinaryIO, bytes_max: int, raw: BinaryIO | None
) -> tuple[dict[str, Any], int]:
    """The members around the package in a reply, and its size; the package goes into a file.

    `raw` gets the whole reply, also behind the place where it cannot be read any more. Raises
    AxisReplyUnreadable.
    """
    package = PackageReply(into, bytes_max)
    failure: AxisReplyUnreadable | None = None
    # Base64 takes four bytes for three, and some encoders put a `\` before each `/`.
    async for piece in pieces(response, bytes_max * 2, raw):
        if failure is not None:
            continue
        try:
            package.feed(piece)
        except AxisReplyUnreadable as error:
            if raw is None:
                raise
            failure = error
    if failure is not None:
        raise failure
    return package.close()


_Steps = Generator[None, bytes, None]


class PackageReply:
    """A reply with a package in it, taken apart while it arrives.

    The package is the base64 text `data` of a JSON object. It goes to a file piece by piece;
    what is around it is kept, and read at the end.
    """

    _AROUND_BYTES_MAX: Final = 1024**2
    _SPECIAL: Final = re.compile(rb'["\\]')
    _HEX: Final = re.compile(r"[0-9A-Fa-f]{4}")
    _ESCAPES: Final = {"/": "/", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}

    def __init__(self, into: BinaryIO, bytes_max: int) -> None:
        self._decoder = Decoder(into, bytes_max, "the answer")
        self._around = bytearray()
        self._data, self._at = b"", 0
        self._steps = self._run()
        next(self._steps)

    def feed(self, data: bytes) -> None:
        """Take the next piece. Raises AxisReplyUnreadable."""
        try:
            self._steps.send(data)
        except EdxmlRefused as refusal:
            raise AxisReplyUnreadable(f"the package in the answer: {refusal}") from refusal

    def close(self) -> tuple[dict[str, Any], int]:
        """The members around the package, and its size. Raises AxisReplyUnreadable."""
        self._steps.close()
        reply = members_of(bytes(self._around))
        try:
            return reply, self._decoder.close().size
        except EdxmlRefused as refusal:
            raise AxisReplyUnreadable(f"the package in the answer: {refusal}") from refusal

    def _run(self) -> _Steps:
        """Walks over the bytes; `yield` asks for more of them."""
        depth, key, is_value, is_found = 0, b"", False, False
        while True:
            yield from self._fill()
            sign = self._data[self._at : self._at + 1]
            self._at += 1
            if sign == b'"':
                if depth == 1 and is_value and key == b"data" and not is_found:
                    is_found = True
                    self._keep(b'""')
                    yield from self._package()
                    continue
                text = yield from self._string()
                self._keep(b'"' + text + b'"')
                key = text if depth == 1 and not is_value else key
                continue
            self._keep(sign)
            depth += (sign in b"{[") - (sign in b"}]")
            if depth == 1 and sign in b":,":
                is_value = sign == b":"

    def _fill(self) -> _Steps:
        """Wait until there is a byte to look at."""
        while self._at >= len(self._data):
            self._data, self._at = (yield), 0

    def _run_of_text(self) -> Generator[None, bytes, tuple[bytes, bytes]]:
        """The bytes up to a quotation mark or backslash, and that sign, if it has come yet."""
        yield from self._fill()
        special = self._SPECIAL.search(self._data, self._at)
        end = len(self._data) if special is None else special.start()
        found, sign = self._data[self._at : end], b"" if special is None else special[0]
        self._at = end + len(sign)
        return found, sign

    def _string(self) -> Generator[None, bytes, bytes]:
        """The inside of a text as it stands there, up to the quotation mark."""
        found = bytearray()
        while True:
            run, sign = yield from self._run_of_text()
            found += run
            if sign == b'"':
                return bytes(found)
            if sign:
                yield from self._fill()
                found += sign + self._data[self._at : self._at + 1]
                self._at += 1
            self._require_room(len(found))

    def _package(self) -> _Steps:
        """The base64 of the package, up to the quotation mark."""
        while True:
            run, sign = yield from self._run_of_text()
            # What is not ASCII is not base64 either, and refused as such.
            self._decoder.feed(run.decode("ascii", "replace"))
            if sign == b'"':
                return
            if sign:
                yield from self._escape()

    def _escape(self) -> _Steps:
        yield from self._fill()
        sign = chr(self._data[self._at])
        self._at += 1
        meant = self._ESCAPES.get(sign)
        if sign == "u":
            digits = ""
            while len(digits) < 4:
                yield from self._fill()
                digits += chr(self._data[self._at])
                self._at += 1
            meant = chr(int(digits, 16)) if self._HEX.fullmatch(digits) else None
        if meant is None:
            raise AxisReplyUnreadable("the answer is not JSON")
        self._decoder.feed(meant)

    def _keep(self, data: bytes) -> None:
        self._around += data
        self._require_room(len(self._around))

    def _require_room(self, count: int) -> None:
        if count > self._AROUND_BYTES_MAX:
            raise AxisReplyUnreadable("the answer is too long beside the package")
