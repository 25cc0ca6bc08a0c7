"""A revocation list fetched over HTTP from the one address that is configured for it."""

from __future__ import annotations

import asyncio

import httpx2

from hub.application.ports import MayAct
from hub.evidence.crls import CRL_BYTES_MAX


class HttpCrlSource:
    """The port CrlSource.

    No redirect is followed and no proxy or password taken from the environment: the address
    is the operator's, never a certificate's. HTTP without TLS will do: the list is signed.
    """

    def __init__(self, url: str, *, timeout_s: float, may_act: MayAct) -> None:
        """`timeout_s` bounds the whole download, however slowly it drips in."""
        self._url = url
        self._timeout_s = timeout_s
        self._may_act = may_act

    async def fetch(self) -> bytes:
        """The list, nothing in it verified; OSError where there is none."""
        await self._may_act()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._fetch()
        except TimeoutError:
            raise TimeoutError(f"no answer within {self._timeout_s:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            # Its words may be the other side's own; the class says what happened.
            raise ConnectionError(f"no connection: {type(error).__name__}") from error

    async def _fetch(self) -> bytes:
        async with (
            # The deadline is the one above, for all of it together.
            httpx2.AsyncClient(timeout=None, trust_env=False) as client,
            client.stream("GET", self._url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                raise ConnectionError(f"HTTP status {response.status_code}")
            data = bytearray()
            async for chunk in response.aiter_raw():
                data += chunk
                if len(data) > CRL_BYTES_MAX:
                    raise ConnectionError(f"a list of more than {CRL_BYTES_MAX} bytes")
            return bytes(data)
