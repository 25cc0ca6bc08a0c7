"""HTTP to an axis: a deadline on every call, a bound on every answer, no retries of its own."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import httpx2

from hub.application.axis import AxisOutcomeUnknown, AxisReplyUnreadable, AxisUnreachable
from hub.application.ports import MayAct

_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a call may take, in seconds, all of it; and how long it may stay silent."""

    connect_s: float = 10.0
    silence_s: float = 60.0
    call_s: float = 120.0
    transfer_s: float = 1800.0


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    """How large an answer may be, in bytes: a list or a confirmation; a package."""

    reply_bytes: int = 16 * 1024**2
    package_bytes: int = 6 * 1024**3


class UnexpectedStatus(AxisReplyUnreadable):
    """An HTTP status other than 200. Whoever answered may not have been the axis at all."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


class HttpCaller:
    """Makes one request at a time and gives its answer in pieces.

    Nothing is followed, kept open, taken from the environment or asked twice.
    """

    def __init__(
        self, deadlines: Deadlines, transport: httpx2.AsyncBaseTransport | None, may_act: MayAct
    ) -> None:
        self._deadlines = deadlines
        self._may_act = may_act
        self._client = httpx2.AsyncClient(
            transport=transport,
            timeout=httpx2.Timeout(deadlines.silence_s, connect=deadlines.connect_s),
            limits=httpx2.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
        )

    @asynccontextmanager
    async def exchange(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        content: bytes | AsyncIterator[bytes] | None = None,
        *,
        is_transfer: bool = False,
    ) -> AsyncIterator[httpx2.Response]:
        """The answer to a request, its body not yet read; both end within the deadline.

        Raises AxisUnreachable while nothing was asked; afterwards AxisOutcomeUnknown, and
        AxisReplyUnreadable for any HTTP status but 200. What MayAct raises: nothing was asked.
        """
        await self._may_act()
        deadline = self._deadlines.transfer_s if is_transfer else self._deadlines.call_s
        request = httpx2.Request(method, url, headers=list(headers), content=content)
        try:
            async with asyncio.timeout(deadline):
                response = await self._client.send(request, stream=True)
                try:
                    if response.status_code != _OK:
                        raise UnexpectedStatus(response.status_code)
                    yield response
                finally:
                    await response.aclose()
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol) as error:
            raise AxisUnreachable(f"no connection: {type(error).__name__}") from error
        except httpx2.HTTPError as error:
            raise AxisOutcomeUnknown(f"no answer: {type(error).__name__}") from error
        except TimeoutError as error:
            raise AxisOutcomeUnknown(f"no whole answer within {deadline:g} s") from error

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()


async def pieces(
    response: httpx2.Response, bytes_max: int, raw: BinaryIO | None = None
) -> AsyncIterator[bytes]:
    """The body, unpacked, in pieces of at most 64 KiB. Raises AxisReplyUnreadable.

    `raw` gets it as it came, packed, the piece at which it fails included.
    """
    inflater = _inflater(response.headers.get("content-encoding", ""))
    total = 0
    async for came in response.aiter_raw(65536):
        if raw is not None:
            raw.write(came)
        waiting: bytes = came
        while waiting:
            if inflater is None:
                piece, waiting = waiting, b""
            else:
                piece, waiting = _inflate(inflater, waiting)
            total += len(piece)
            if total > bytes_max:
                raise AxisReplyUnreadable(f"the answer has more than {bytes_max} bytes")
            if piece:
                yield piece
    if inflater is not None and not inflater.eof:
        raise AxisReplyUnreadable("the answer is cut short")


async def whole(response: httpx2.Response, bytes_max: int) -> bytes:
    """The body, all of it. Raises AxisReplyUnreadable."""
    return b"".join([piece async for piece in pieces(response, bytes_max)])


def _inflater(encoding: str) -> Any:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(wbits=47)  # zlib or gzip, whichever it turns out to be
        case _:
            raise AxisReplyUnreadable("the answer is packed in an unknown way")


def _inflate(inflater: Any, data: bytes) -> tuple[bytes, bytes]:
    if inflater.eof:
        raise AxisReplyUnreadable("something follows the end of the answer")
    try:
        piece = inflater.decompress(data, 65536)
    except zlib.error as error:
        raise AxisReplyUnreadable("the answer cannot be unpacked") from error
    return piece, inflater.unconsumed_tail or inflater.unused_data
