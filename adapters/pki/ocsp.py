"""An OCSP responder asked over HTTP (RFC 6960 appendix A) at the address configured for it."""

from __future__ import annotations

import asyncio
import base64
from urllib.parse import quote

import httpx2

from hub.application.ports import MayAct
from hub.evidence.ocsp import ANSWER_BYTES_MAX

_QUESTION, _ANSWER = "application/ocsp-request", "application/ocsp-response"
# RFC 6960 A.1 and RFC 5019 section 5: caches take an address that is no longer.
_ADDRESS_CHARS_MAX = 255


class HttpOcspResponder:
    """The port OcspResponder.

    One connection a question. No redirect is followed and no proxy or password taken from the
    environment: the address is the operator's, never a certificate's. HTTP without TLS will do:
    the answer is signed.
    """

    def __init__(
        self, url: str, *, timeout_s: float, may_act: MayAct, cached: bool = False
    ) -> None:
        """`timeout_s` bounds the whole exchange, however slowly an answer drips in.

        `cached` asks with GET, which caches on the way may answer; else it is POST.
        """
        self._url = url
        self._timeout_s = timeout_s
        self._may_act = may_act
        self._cached = cached

    async def ask(self, request: bytes) -> bytes:
        """The answer to a request, nothing in it verified; OSError where there is none."""
        await self._may_act()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(request)
        except TimeoutError:
            raise TimeoutError(f"no answer within {self._timeout_s:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            # Its words may be the other side's own; the class says what happened.
            raise ConnectionError(f"no connection: {type(error).__name__}") from error

    async def _ask(self, request: bytes) -> bytes:
        headers = {"Accept": _ANSWER, "Accept-Encoding": "identity"}
        address = f"{self._url.rstrip('/')}/{quote(base64.b64encode(request), safe='')}"
        if self._cached and len(address) <= _ADDRESS_CHARS_MAX:
            return await self._send(httpx2.Request("GET", address, headers=headers))
        headers["Content-Type"] = _QUESTION
        return await self._send(httpx2.Request("POST", self._url, content=request, headers=headers))

    async def _send(self, question: httpx2.Request) -> bytes:
        # The deadline is the caller's, for all of it together.
        async with httpx2.AsyncClient(timeout=None, trust_env=False) as client:
            response = await client.send(question, stream=True)
            try:
                return await _read(response)
            finally:
                await response.aclose()


async def _read(response: httpx2.Response) -> bytes:
    if response.status_code != httpx2.codes.OK:
        raise ConnectionError(f"HTTP status {response.status_code}")
    if response.headers.get("content-type", "").partition(";")[0].strip().lower() != _ANSWER:
        raise ConnectionError("what came is no OCSP answer")
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > ANSWER_BYTES_MAX:
            raise ConnectionError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return bytes(data)
