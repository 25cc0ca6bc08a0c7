"""A time-stamping authority in memory, which can be gone and come back."""

from __future__ import annotations

from collections.abc import Callable

from hub.evidence.tokens import ANSWER_BYTES_MAX


class MemoryTimestampAuthority:
    """The port TimestampAuthority; `answer` makes an answer from a request."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.is_gone = False
        self.asked = 0

    async def ask(self, request: bytes) -> bytes:
        """The answer, or OSError while it is gone."""
        self.asked += 1
        if self.is_gone:
            raise TimeoutError("no answer within the deadline")
        answer = self.answer(request)
        if len(answer) > ANSWER_BYTES_MAX:
            raise ConnectionError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
        return answer
