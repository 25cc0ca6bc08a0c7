"""A time-stamping authority asked over HTTP (RFC 3161 section 3.4)."""

from __future__ import annotations

import asyncio

import httpx2

from hub.application.ports import MayAct
from hub.evidence.tokens import ANSWER_BYTES_MAX

_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"


class HttpTimestampAuthority:
    """The port TimestampAuthority.

    One connection a question: there is one an hour. No redirect is followed, no proxy or
    password is taken from the environment, and nothing is unpacked.
    """

    def __init__(self, url: str, *, timeout_s: float, may_act: MayAct) -> None:
        """`timeout_s` bounds the whole exchange, however slowly an answer drips in."""
        self._url = url
        self._timeout_s = timeout_s
        self._may_act = may_act

    async def ask(self, request: bytes) -> bytes:
        """The answer to a request, nothing in it verified; OSError where there is none."""
        await self._may_act()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(request)
        except TimeoutError:
            raise TimeoutError(f"no answer within {self._timeout_s:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            # Its words may be the authority's own; the class says what happened.
            raise ConnectionError(f"no connection: {type(error).__name__}") from error

    async def _ask(self, request: bytes) -> bytes:
        headers = {"Content-Type": _QUERY, "Accept": _REPLY, "Accept-Encoding": "identity"}
        async with (
            # The deadline is the one above, for all of it together.
            httpx2.AsyncClient(timeout=None, trust_env=False) as client,
            client.stream("POST", self._url, content=request, headers=headers) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                raise ConnectionError(f"HTTP status {response.status_code}")
            if response.headers.get("content-type", "").partition(";")[0].strip() != _REPLY:
                raise ConnectionError("the answer is no timestamp reply")
            return await _read(response)


async def _read(response: httpx2.Response) -> bytes:
    answer = bytearray()
    async for chunk in response.aiter_raw():
        answer += chunk
        if len(answer) > ANSWER_BYTES_MAX:
            raise ConnectionError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return bytes(answer)
