"""Content arrives whole, under a safe name, however often the line breaks."""

from __future__ import annotations

import grpc
import pytest

from hub.client import AttachmentDraft, HubUnreachable
from hub.errors import NotCollected

CONTENT = bytes(range(256)) * 1000  # Four pieces of at most 64 KiB.


@pytest.fixture
async def document(sender, recipient, letter):
    attachment = AttachmentDraft.from_bytes("công văn.pdf", CONTENT)
    await sender.submit(letter, [attachment], ["H29.7"])
    async for item in recipient.inbox():
        return await recipient.collect(item.envelope_digest)


async def test_a_broken_stream_goes_on_where_it_stopped(fake, recipient, document, tmp_path):
    for _ in range(3):
        fake.fail_next("DownloadAttachment", grpc.StatusCode.UNAVAILABLE, after=1)

    [path] = await recipient.download(document, tmp_path / "in")

    assert path.read_bytes() == CONTENT
    assert path.name == "công văn.pdf"
    offsets = [request.offset for request in fake.received["DownloadAttachment"]]
    assert offsets == [0, 65536, 131072, 196608]
    assert [entry.name for entry in (tmp_path / "in").iterdir()] == ["công văn.pdf"]


async def test_a_later_call_goes_on_where_the_first_gave_up(fake, recipient, document, tmp_path):
    fake.fail_next("DownloadAttachment", grpc.StatusCode.UNAVAILABLE, after=2)
    for _ in range(4):
        fake.fail_next("DownloadAttachment", grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(HubUnreachable):
        await recipient.download(document, tmp_path / "in")

    [path] = await recipient.download(document, tmp_path / "in")

    assert path.read_bytes() == CONTENT
    assert fake.received["DownloadAttachment"][-1].offset == 131072


async def test_what_is_there_already_is_not_fetched_again(fake, recipient, document, tmp_path):
    first = await recipient.download(document, tmp_path / "in")
    second = await recipient.download(document, tmp_path / "in")
    assert first == second
    assert len(fake.received["DownloadAttachment"]) == 1


async def test_a_file_of_that_name_is_never_overwritten(recipient, document, tmp_path):
    (tmp_path / "công văn.pdf").write_bytes(b"something else")
    [path] = await recipient.download(document, tmp_path)
    assert path.name == "công văn (2).pdf"
    assert (tmp_path / "công văn.pdf").read_bytes() == b"something else"


async def test_a_refusal_ends_the_download(fake, recipient, document, tmp_path):
    fake.fail_next("DownloadAttachment", "NOT_COLLECTED")
    with pytest.raises(NotCollected):
        await recipient.download(document, tmp_path / "in")
    assert len(fake.received["DownloadAttachment"]) == 1
