"""A witness asked over HTTP: C2SP tlog-witness, the client's side."""

from __future__ import annotations

import asyncio

import httpx2

from hub.application.ports import MayAct, WitnessConflict, WitnessRefused
from hub.errors import VerificationFailed
from hub.proof.note import VerifierKey
from hub.proof.witnessing import SIZE_MEDIA_TYPE, AddCheckpoint, parse_size

# For all of a call: connecting, asking and reading to the end.
DEADLINE_S = 10.0
# One cosignature takes some 150 bytes; lines of other keys may stand beside it.
ANSWER_BYTES_MAX = 16 * 1024
_LATER = frozenset({408, 425, 429})


def new_client() -> httpx2.AsyncClient:
    """What all witnesses of a hub are asked through; to be closed by whoever made it.

    No redirects: where a witness is asked is the operator's decision, not the witness's. No
    proxies from the environment either.
    """
    limits = httpx2.Limits(max_connections=64, max_keepalive_connections=32)
    return httpx2.AsyncClient(
        timeout=DEADLINE_S, limits=limits, follow_redirects=False, trust_env=False
    )


class HttpWitness:
    """The port Witness."""

    def __init__(
        self,
        key: VerifierKey,
        url: str,
        client: httpx2.AsyncClient,
        *,
        may_act: MayAct,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """`url` is the witness's submission prefix."""
        self._key = key
        self._url = f"{url.rstrip('/')}/add-checkpoint"
        self._client = client
        self._deadline_s = deadline_s
        self._may_act = may_act

    @property
    def key(self) -> VerifierKey:
        """The witness's key."""
        return self._key

    async def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        """The lines it answers with. Raises WitnessConflict, WitnessRefused, OSError."""
        await self._may_act()
        try:
            # A witness that sends a byte now and then must not hold us for longer either.
            async with asyncio.timeout(self._deadline_s):
                status, media_type, answer = await self._post(request.format())
        except TimeoutError as error:
            raise OSError(f"no answer within {self._deadline_s:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
        if status == 200:
            return answer
        if status == 409 and media_type == SIZE_MEDIA_TYPE:
            raise WitnessConflict(_size_in(answer))
        if status in _LATER or not 400 <= status < 500:
            raise OSError(f"it answered with status {status}")
        raise WitnessRefused(status)

    async def _post(self, body: bytes) -> tuple[int, str, bytes]:
        # No compression: a small answer must not become a large one.
        headers = {"Content-Type": "text/plain", "Accept-Encoding": "identity"}
        async with self._client.stream(
            "POST", self._url, content=body, headers=headers
        ) as response:
            answer = bytearray()
            async for part in response.aiter_raw():
                answer += part
                if len(answer) > ANSWER_BYTES_MAX:
                    raise OSError(f"its answer is larger than {ANSWER_BYTES_MAX} bytes")
            return response.status_code, response.headers.get("Content-Type", ""), bytes(answer)


def _size_in(answer: bytes) -> int:
    try:
        return parse_size(answer)
    except VerificationFailed as failure:
        raise OSError(f"it answered nonsense: {failure}") from failure
