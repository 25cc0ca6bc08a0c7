"""The examination of signatures in documents, in a process that is ended when it takes too long."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from hub.evidence.found import (
    HEADER_BYTES_MAX,
    LENGTH_BYTES,
    Authorities,
    FoundSignature,
    Outcome,
    answer_of,
    request,
)


class ExaminerProcess:
    """The port SignatureExaminer: one process, one file at a time, started when it is needed.

    It gets no environment, no file and no address; what it says of a file that ended it is that
    nobody can tell.
    """

    def __init__(self, *, timeout_s: float, niceness: int = 0) -> None:
        """`timeout_s` bounds the examination of one file, the start of the process included.

        `niceness` is how far it steps back behind the others of the machine, 0 to 19.
        """
        self._timeout_s = timeout_s
        self._niceness = niceness
        self._process: asyncio.subprocess.Process | None = None
        self._one_at_a_time = asyncio.Lock()

    async def examine(
        self, content: bytes, signature: bytes | None, authorities: Authorities, at: datetime
    ) -> Sequence[FoundSignature]:
        """The signatures in a PDF, or the detached one of a content."""
        form = "pdf" if signature is None else "cms"
        return await self._asked(form, request(content, signature, authorities, at, form))

    async def examine_package(
        self, package: bytes, authorities: Authorities, at: datetime
    ) -> Sequence[FoundSignature]:
        """The signatures in the header of an edXML package."""
        return await self._asked("xml", request(package, None, authorities, at, "xml"))

    async def _asked(self, form: str, question: bytes) -> Sequence[FoundSignature]:
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._ask(question)
            except TimeoutError:
                await self._end()
                return [FoundSignature(form, Outcome.UNKNOWN, "overtime")]
            except (OSError, EOFError, ValueError, KeyError, TypeError):
                await self._end()
                return [FoundSignature(form, Outcome.UNKNOWN, "unreadable")]
            except asyncio.CancelledError:
                await self._end()  # Half a question would be read as the next one.
                raise

    async def close(self) -> None:
        """End the process."""
        async with self._one_at_a_time:
            await self._end()

    async def _ask(self, question: bytes) -> list[FoundSignature]:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-m", "hub.evidence.examiner", str(self._niceness)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
            )
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise OSError("the process has no pipes")
        process.stdin.write(question)
        await process.stdin.drain()
        length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
        if length > HEADER_BYTES_MAX:
            raise ValueError("an answer that is too long")
        return answer_of(json.loads(await process.stdout.readexactly(length)))

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
