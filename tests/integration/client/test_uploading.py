"""Large files through the SDK and a fake hub: resumed, sent once, told about."""

from __future__ import annotations

import grpc
import pytest

from hub.client import AttachmentDraft, HubClient, HubUnreachable
from hub.errors import DigestMismatch

MIB = 1024**2
CONTENT = bytes(range(256)) * (5 * MIB // 256) + b"end"


@pytest.fixture
def drafts(tmp_path):
    paths = [tmp_path / "bản đồ.bin", tmp_path / "bản sao.bin"]
    for path in paths:
        path.write_bytes(CONTENT)
    small = AttachmentDraft.from_bytes("a.txt", b"small")
    return [small, *map(AttachmentDraft.from_file, paths)]


async def test_a_large_file_goes_before_the_document_and_arrives(
    fake, sender, recipient, letter, drafts, tmp_path
):
    told = []
    accepted = await sender.submit(
        letter, drafts, ["H29.7"], progress=lambda *each: told.append(each)
    )

    [request] = fake.received["SubmitDocument"]
    assert list(request.contents) == [b"small"]
    assert [bool(each) for each in request.upload_ids] == [False, True, True]
    assert len(set(request.upload_ids)) == 3
    tags = [each.tag for each in fake.received["BeginUpload"]]
    assert tags == [f"{accepted.request_id}/1", f"{accepted.request_id}/2"]
    assert told[-1] == ("bản sao.bin", len(CONTENT), len(CONTENT))
    async for item in recipient.inbox():
        document = await recipient.collect(item.envelope_digest)
        paths = await recipient.download(document, tmp_path / "in")
        assert [path.read_bytes() for path in paths] == [b"small", CONTENT, CONTENT]


@pytest.mark.parametrize("kept", [False, True])
async def test_a_broken_upload_goes_on_and_is_given_up_only_without_progress(
    fake, sender, letter, drafts, pauses, kept
):
    for _ in range(3):
        fake.fail_next("UploadContent", grpc.StatusCode.UNAVAILABLE, kept=kept)
    await sender.submit(letter, drafts[:2], ["H29.7"])
    assert len(fake.received["SubmitDocument"]) == 1

    for _ in range(4):
        fake.fail_next("UploadContent", grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(HubUnreachable):
        await sender.submit(letter, drafts[:2], ["H29.7"])
    [repeated] = await sender.resume()
    assert repeated.error is None
    assert len(fake.received["SubmitDocument"]) == 2


async def test_a_lost_answer_is_asked_for_and_nothing_is_uploaded_again(
    fake, profiles, policy, letter, drafts
):
    for _ in range(4):
        fake.fail_next("SubmitDocument", "UNAVAILABLE", kept=True)
    async with HubClient.open(profiles["H29.3"], policy=policy) as hub:
        with pytest.raises(HubUnreachable):
            await hub.submit(letter, drafts, ["H29.7"])
    begun = len(fake.received["BeginUpload"])

    async with HubClient.open(profiles["H29.3"], policy=policy) as hub:
        [repeated] = await hub.resume()

    assert repeated.error is None
    assert len(fake.received["BeginUpload"]) == begun


async def test_an_upload_that_was_forgotten_meanwhile_is_made_again(fake, sender, letter, drafts):
    fake.fail_next("SubmitDocument", "UPLOAD_UNKNOWN")
    await sender.submit(letter, drafts[:2], ["H29.7"])
    assert len(fake.received["BeginUpload"]) == 2

    for _ in range(4):
        fake.fail_next("SubmitDocument", "UPLOAD_UNKNOWN")
    with pytest.raises(HubUnreachable):
        await sender.submit(letter, drafts[:2], ["H29.7"])
    [repeated] = await sender.resume()
    assert repeated.error is None


async def test_a_refused_upload_is_an_answer(fake, sender, letter, drafts):
    fake.fail_next("UploadContent", "DIGEST_MISMATCH")
    with pytest.raises(DigestMismatch):
        await sender.submit(letter, drafts[:2], ["H29.7"])
    assert await sender.resume() == []


async def test_limits_are_asked_for(sender):
    limits = await sender.limits()
    assert (limits.attachment_bytes_max, limits.attachments_max) == (2 * 1024**3, 64)
