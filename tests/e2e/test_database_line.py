"""The line to PostgreSQL breaks in the middle of a commit: was it kept or not?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest

from tests.e2e.test_kill import until_answered
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Founded,
    check_hub_is_whole,
    raw_stub,
    serving,
    submission,
)
from tests.support.proxies import Proxy

# What psycopg sends for a commit, and the server's answer (PostgreSQL, "Message Formats").
COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"


@pytest.fixture
def database_kind() -> str:
    return "postgres"


@pytest.fixture
def line(founded: Founded) -> Iterator[Proxy]:
    """What stands between the hub and its server from now on."""
    settings = founded.folder.settings
    [port, *_] = re.findall(r"@127\.0\.0\.1:(\d+)/", settings.read_text())
    with Proxy(int(port)) as line:
        settings.write_text(settings.read_text().replace(f":{port}/", f":{line.port}/"))
        yield line
        settings.write_text(settings.read_text().replace(f":{line.port}/", f":{port}/"))


class CutCommits:
    """Cuts the line at one commit of the log and at the next ones, until so many are cut."""

    def __init__(self, line: Proxy, *, kept: bool, after: int, times: int) -> None:
        self.cut = 0
        self._after, self._times = after, times
        if kept:
            line.heard_from_server = lambda block: self._passes(COMMITTED, block)
        else:
            line.heard_from_client = lambda block: self._passes(COMMIT, block)

    def _passes(self, what: bytes, block: bytes) -> bool:
        if what not in block or self.cut >= self._times:
            return True
        if self._after > 0:
            self._after -= 1
            return True
        self.cut += 1
        return False


# A batch commits its events, then its tree and checkpoint, then the lists: each is cut in turn.
@pytest.mark.parametrize("after", [0, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 2))])
@pytest.mark.parametrize("kept", [False, True], ids=["lost", "kept"])
async def test_a_commit_whose_line_breaks_gives_one_event_and_one_receipt(
    founded: Founded, line: Proxy, kept: bool, after: int
):
    sender = founded.speakers[QUAN_1]
    message = submission(sender, [TAI_CHINH], [b"content"])
    async with serving(founded) as hub, raw_stub(sender.transport, hub.port) as stub:
        await stub.SubmitDocument(submission(sender, [TAI_CHINH]))
        before = hub.trace()
        cut = CutCommits(line, kept=kept, after=after, times=1)

        answers = await asyncio.gather(
            *(until_answered(stub.SubmitDocument, message) for _ in range(3))
        )

        assert cut.cut == 1
        assert len({answer.acceptance.SerializeToString() for answer in answers}) == 1
        assert await stub.SubmitDocument(message) == answers[0]
        assert hub.trace().events == before.events + 1
        assert hub.trace().inbox_heads == ((TAI_CHINH, 2),)


@pytest.mark.long
@pytest.mark.parametrize("kept", [False, True], ids=["lost", "kept"])
async def test_a_line_that_breaks_at_every_commit_for_a_while_loses_and_doubles_nothing(
    founded: Founded, line: Proxy, kept: bool
):
    sender = founded.speakers[QUAN_1]
    messages = [submission(sender, [TAI_CHINH], [b"content"]) for _ in range(6)]
    async with serving(founded) as hub, raw_stub(sender.transport, hub.port) as stub:
        before = hub.trace()
        cut = CutCommits(line, kept=kept, after=0, times=8)

        answers = await asyncio.gather(
            *(until_answered(stub.SubmitDocument, message) for message in messages)
        )

        assert cut.cut == 8
        assert [await stub.SubmitDocument(message) for message in messages] == answers
        assert hub.trace().events == before.events + 6


@pytest.mark.long
async def test_a_line_that_swallows_everything_costs_no_promise(founded: Founded, line: Proxy):
    sender = founded.speakers[QUAN_1]
    message = submission(sender, [TAI_CHINH], [b"content"])
    async with serving(founded) as hub, raw_stub(sender.transport, hub.port) as stub:
        await stub.SubmitDocument(submission(sender, [TAI_CHINH]))
        before = hub.trace()
        line.hold()
        waiting = asyncio.ensure_future(until_answered(stub.SubmitDocument, message))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        line.cut()
        line.come_back()

        answer = await waiting
        assert await stub.SubmitDocument(message) == answer
        assert hub.trace().events == before.events + 1
    check_hub_is_whole(founded.folder.root)
