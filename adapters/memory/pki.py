"""Revocation lists, OCSP answers and examinations without a network or another process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from hub.evidence.crls import CRL_BYTES_MAX
from hub.evidence.found import Authorities, FoundSignature
from hub.evidence.ocsp import ANSWER_BYTES_MAX


class MemoryCrlSource:
    """The port CrlSource over a function; `is_gone` makes it unreachable."""

    def __init__(self, answer: Callable[[], bytes]) -> None:
        self._answer = answer
        self.is_gone = False
        self.asked = 0

    async def fetch(self) -> bytes:
        """What the function says; OSError while it is gone, and for more than 16 MiB."""
        self.asked += 1
        if self.is_gone:
            raise ConnectionError("no connection")
        data = self._answer()
        if len(data) > CRL_BYTES_MAX:
            raise ConnectionError(f"a list of more than {CRL_BYTES_MAX} bytes")
        return data


class MemoryOcspResponder:
    """The port OcspResponder over a function; `is_gone` makes it unreachable."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer
        self.is_gone = False
        self.asked: list[bytes] = []

    async def ask(self, request: bytes) -> bytes:
        """What the function says; OSError while it is gone, and for more than 64 KiB."""
        self.asked.append(request)
        if self.is_gone:
            raise ConnectionError("no connection")
        data = self._answer(request)
        if len(data) > ANSWER_BYTES_MAX:
            raise ConnectionError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
        return data


class DirectExaminer:
    """The port SignatureExaminer in this process: for files that tests made themselves."""

    async def examine(
        self, content: bytes, signature: bytes | None, authorities: Authorities, at: datetime
    ) -> Sequence[FoundSignature]:
        """The signatures in a PDF, or the detached one of a content."""
        from hub.evidence.documents import (  # noqa: PLC0415 - takes a second; few tests need it
            examine_cms,
            examine_pdf,
        )

        if signature is None:
            return await asyncio.to_thread(examine_pdf, content, authorities, at)
        return await asyncio.to_thread(examine_cms, signature, content, authorities, at)

    async def examine_package(
        self, package: bytes, authorities: Authorities, at: datetime
    ) -> Sequence[FoundSignature]:
        """The signatures in the header of an edXML package."""
        from hub.evidence.packages import examine_package  # noqa: PLC0415 - the same

        return await asyncio.to_thread(examine_package, package, authorities, at)

    async def close(self) -> None:
        """Nothing to end."""
