"""Where a log is read from as files: a folder, or a web server that serves one."""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hub.proof.tiles import Read

# For one file, from the first byte sent to the last received; a bundle may have 16 MiB.
DEADLINE_S = 60.0


class LogUnreachable(OSError):
    """A file of the log could not be read; nothing is proven and nothing refuted by it."""


@contextmanager
def reading(
    log: str, *, ca: Path | None = None, client: tuple[Path, Path] | None = None
) -> Iterator[Read]:
    """How to read the files of a log: a folder, or an `https://` or `http://` address.

    `ca` holds the authorities, in PEM, that may vouch for the server; the system's if left
    out. `client` is a certificate with its key, which a server wants for entries. Nothing
    that is read so is to be believed: `hub.proof.tiles` checks it. Not for use within a
    running event loop.
    """
    if log.startswith(("https://", "http://")):
        with _WebLog(log, _tls(ca, client)) as web:
            yield web.read
    else:
        yield _FolderLog(Path(log)).read


class _FolderLog:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str, bytes_max: int) -> bytes | None:
        try:
            # A pipe must not be waited for: it may never end.
            handle = os.open(self._folder / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise LogUnreachable(f"{self._folder / path} is not a regular file")
            return file.read(bytes_max + 1)


class _WebLog:
    """GET requests over one connection: no redirects, a deadline and a size limit on each."""

    def __init__(self, url: str, tls: ssl.SSLContext) -> None:
        import httpx2

        self._url = url if url.endswith("/") else f"{url}/"
        self._runner = asyncio.Runner()
        self._client = httpx2.AsyncClient(
            verify=tls, timeout=DEADLINE_S, trust_env=False, headers={"Accept-Encoding": "identity"}
        )

    def __enter__(self) -> _WebLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def read(self, path: str, bytes_max: int) -> bytes | None:
        import httpx2

        try:
            return self._runner.run(self._get(self._url + path, bytes_max))
        except TimeoutError as error:
            raise LogUnreachable(
                f"{self._url}{path}: no answer within {DEADLINE_S:.0f} s"
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise LogUnreachable(
                f"{self._url}{path}: {str(error) or type(error).__name__}"
            ) from error

    async def _get(self, url: str, bytes_max: int) -> bytes | None:
        # The library's own limits are for each read: a server that drips would never meet them.
        async with asyncio.timeout(DEADLINE_S), self._client.stream("GET", url) as response:
            if response.status_code in (404, 410):
                return None
            if response.status_code != 200:
                raise LogUnreachable(f"{url}: the server answered {response.status_code}")
            return await _at_most(response, bytes_max)


async def _at_most(response: Any, bytes_max: int) -> bytes:
    # Raw: what is sent compressed against our wish is refused for what it is, not unpacked.
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > bytes_max:
            break
    return bytes(data[: bytes_max + 1])


def _tls(ca: Path | None, client: tuple[Path, Path] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if client is not None:
        context.load_cert_chain(*client)
    return context
