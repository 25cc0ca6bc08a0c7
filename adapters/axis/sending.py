"""A package as the body of a request: weighed before, watched while it goes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import BinaryIO

from hub.application.axis import PackageChanged

_BLOCK_BYTES = 1 << 18


def digest_of(package: BinaryIO) -> tuple[int, bytes]:
    """Size and SHA-256 of a package, which is left at its beginning."""
    size, digest = 0, hashlib.sha256()
    package.seek(0)
    while block := package.read(_BLOCK_BYTES):
        size += len(block)
        digest.update(block)
    package.seek(0)
    return size, digest.digest()


async def require_same(package: BinaryIO, size: int, sha256: bytes) -> None:
    """Raise PackageChanged unless the package is the one that was weighed."""
    if await asyncio.to_thread(digest_of, package) != (size, sha256):
        raise PackageChanged("the package is not the one that was prepared")


async def body(
    package: BinaryIO, sha256: bytes, *, before: bytes = b"", after: bytes
) -> AsyncIterator[bytes]:
    """The package between two texts.

    If it has changed since it was weighed, what completes the request is never sent.
    """
    digest = hashlib.sha256()
    package.seek(0)
    if before:
        yield before
    while block := await asyncio.to_thread(package.read, _BLOCK_BYTES):
        digest.update(block)
        yield block
    if digest.digest() != sha256:
        raise PackageChanged("the package changed while it was being sent")
    yield after


def require_plain(name: str, value: str) -> None:
    """Raise ValueError for what cannot stand in a header."""
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise ValueError(f"{name} must be printable ASCII without space around it")
