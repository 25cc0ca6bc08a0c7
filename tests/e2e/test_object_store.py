"""A hub whose attachments lie in a bucket: up and down, through crashes and while it is away."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.bootstrap.check import check_hub
from hub.bootstrap.content_move import move_content
from hub.bootstrap.folder import ContentUnreachable, DataFolder, StoreMissing
from hub.bootstrap.reading import open_stores
from hub.client import AttachmentDraft, HubClient
from hub.config import Settings
from hub.v1 import exchange_service_pb2 as calls
from tests.e2e.test_erasure import erase, send
from tests.e2e.test_exchange import LETTER
from tests.e2e.test_kill import until_answered
from tests.e2e.test_large_attachments import (
    MIB,
    naming,
    require_arrived,
    up_and_down,
)
from tests.support.forks import Forked
from tests.support.hubs import (
    NOI_VU,
    PATIENT,
    QUAN_1,
    Founded,
    HubProcess,
    check_hub_is_whole,
    collection,
    digest_of,
    raw_stub,
    refusal_of,
    refusal_of_stream,
    serving,
    submission,
    until,
)
from tests.support.patience import PATIENCE_S
from tests.support.s3 import CREDENTIALS, S3, Place, place_of
from tests.support.uploads import uploaded

CONTENT = os.urandom(8 * MIB + 4321)
SMALL = CONTENT[: MIB + 5]


@pytest.fixture
def place(s3: S3, founded: Founded) -> Iterator[Place]:
    """The hub has been told of it; it has not served since."""
    with place_of(founded, s3) as made:
        yield made


@pytest.mark.parametrize(
    "database_kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.long)], indirect=True
)
async def test_a_large_attachment_goes_up_and_down_though_the_hub_is_killed(
    founded: Founded, place: Place, tmp_path: Path
):
    path = tmp_path / "bản đồ.bin"
    path.write_bytes(CONTENT)
    async with HubProcess(founded) as process:
        profile = founded.speakers[QUAN_1].profile(process.port)
        killed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def in_the_middle(block: bytes) -> bool:
            # The second part of the object is on its way to the bucket.
            if b"partNumber=2" in block and not killed.is_set():
                process.kill()
                loop.call_soon_threadsafe(killed.set)
                return False
            return True

        place.proxy.heard_from_client = in_the_middle
        async with HubClient.open(profile, policy=PATIENT) as client:
            draft = AttachmentDraft.from_file(path)
            sending = asyncio.ensure_future(client.submit(LETTER, [draft], [NOI_VU]))
            async with asyncio.timeout(PATIENCE_S):
                await killed.wait()
                assert len(place.s3.unfinished(place.bucket)) == 1
                await process.start()
                accepted = await sending
        assert len(place.attachments) == 1
        await until(lambda: not place.s3.unfinished(place.bucket))
        await require_arrived(founded, process, accepted, CONTENT, tmp_path)
        assert not any((founded.folder.content / "uploads").iterdir())
        assert await process.terminate() == 0
    check_hub_is_whole(founded.folder.root)


async def test_while_the_bucket_is_away_everything_else_goes_on_and_retries_succeed(
    founded: Founded, place: Place
):
    sender, to = founded.speakers[QUAN_1], founded.speakers[NOI_VU]
    async with (
        serving(founded) as hub,
        raw_stub(sender.transport, hub.port) as stub,
        raw_stub(to.transport, hub.port) as recipient,
    ):
        first = submission(sender, [NOI_VU], [b"first"])
        exchange = (await stub.SubmitDocument(first)).acceptance.exchange_id
        await recipient.CollectDocument(collection(to, digest_of(first.envelope)))
        inline = submission(sender, [NOI_VU], [b"second"])
        adopting = naming(sender, SMALL, await uploaded(stub, SMALL))
        fetching = calls.DownloadAttachmentRequest(exchange_id=exchange)
        events = hub.trace().events

        place.proxy.go_away()
        refusals = [
            await refusal_of(stub.SubmitDocument(inline)),
            await refusal_of(stub.SubmitDocument(adopting)),
            await refusal_of_stream(recipient.DownloadAttachment(fetching)),
        ]
        assert [(each.status, each.reason) for each in refusals] == [
            ("UNAVAILABLE", "UNAVAILABLE")
        ] * 3
        assert hub.trace().events == events
        # What has no content is accepted all the same, and lists are read.
        await stub.SubmitDocument(submission(sender, [NOI_VU]))
        assert len((await recipient.ListInbox(calls.ListInboxRequest())).items) == 2

        place.proxy.come_back()
        for request in (inline, adopting):
            # The very same bytes; for a moment somebody else may still be trying the bucket.
            answer = await until_answered(stub.SubmitDocument, request)
            assert await stub.SubmitDocument(request) == answer
        parts = [each.data async for each in recipient.DownloadAttachment(fetching)]
        assert b"".join(parts) == b"first"
        assert hub.trace().events == events + 3
    # What the refused ones may have left is swept at the next start.
    async with serving(founded):
        await until(lambda: len(place.attachments) == 3)


async def test_what_is_erased_by_law_is_in_the_bucket_no_more(founded: Founded, place: Place):
    sender = founded.speakers[QUAN_1]
    async with serving(founded) as hub:
        gone, stays = [await send(sender, hub.port, name) for name in ("motx", "haix")]
        assert len(place.attachments) == 2

        await erase(founded, hub.port, gone)

        [left] = place.attachments
        assert str(stays.exchange_id) in left
        marks = [name for name in place.s3.objects(place.bucket) if name.endswith("erased-below")]
        assert len(marks) == 1


async def test_lost_content_is_found_by_fsck_and_an_empty_bucket_at_the_start(
    founded: Founded, place: Place
):
    sender = founded.speakers[QUAN_1]
    async with serving(founded, check=False) as hub:
        await send(sender, hub.port, "motx")
        for name in place.s3.objects(place.bucket):
            place.s3.client.delete_object(Bucket=place.bucket, Key=name)
        with open_stores(founded.folder, Settings.load(founded.folder.root)) as stores:
            [finding] = check_hub(stores)
        assert "attachment 0 cannot be read" in str(finding)

    with pytest.raises(StoreMissing, match="nothing of them is in s3://"):
        async with serving(founded):
            pass


@pytest.mark.long
async def test_two_logs_never_share_a_place(founded: Founded, place: Place, tmp_path: Path):
    async with serving(founded):
        pass
    # Another hub with the same setting, by mistake; it would sweep what it does not know.
    mark = hashlib.sha256(b"another log").hexdigest().encode()
    place.s3.client.put_object(Bucket=place.bucket, Key="hubs/one/log", Body=mark)

    with pytest.raises(StoreMissing, match="belongs to another log"):
        async with serving(founded):
            pass
    # A copy of the folder is of the same log.
    place.s3.client.delete_object(Bucket=place.bucket, Key="hubs/one/log")
    shutil.copytree(founded.folder.root, tmp_path / "copy")
    for root in (founded.folder.root, tmp_path / "copy"):
        async with serving(Founded(DataFolder(root))):
            pass


async def test_attachments_move_from_a_folder_and_no_hub_starts_on_half_of_them(
    founded: Founded, place: Place
):
    sender, root = founded.speakers[QUAN_1], founded.folder.root
    settings = (root / "hub.toml").read_text()
    (root / "hub.toml").write_text(settings.partition("content_url")[0])
    async with serving(founded) as hub, raw_stub(sender.transport, hub.port) as stub:
        large = naming(sender, SMALL, await uploaded(stub, SMALL))
        await stub.SubmitDocument(large)
        gone, _ = [await send(sender, hub.port, name) for name in ("motx", "haix")]
        await erase(founded, hub.port, gone)
        unused = await uploaded(stub, b"unused", "tag")
    (root / "hub.toml").write_text(settings)
    with pytest.raises(StoreMissing):
        async with serving(founded):
            pass

    def break_off(copied: int) -> None:
        place.proxy.go_away()

    with pytest.raises(ContentUnreachable):
        move_content(founded.folder, Settings.load(root), founded.folder.content, break_off)
    place.proxy.come_back()
    assert len(place.attachments) == 1
    with pytest.raises(StoreMissing):
        async with serving(founded):
            pass
    assert move_content(founded.folder, Settings.load(root), founded.folder.content) == 1
    assert move_content(founded.folder, Settings.load(root), founded.folder.content) == 0

    shutil.rmtree(founded.folder.content / str(gone.exchange_id)[-2:], ignore_errors=True)
    async with serving(founded) as hub, raw_stub(sender.transport, hub.port) as stub:
        assert len(place.attachments) == 2
        await stub.SubmitDocument(naming(sender, b"unused", unused))
        assert len(place.attachments) == 3


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_160_mib_go_up_and_down_with_little_memory(
    founded: Founded, place: Place, tmp_path: Path
):
    await up_and_down(founded, tmp_path, 160 * MIB)

    assert len(place.attachments) == 2  # A small one went before it.


def command(*arguments: object) -> tuple[int, str, str]:
    """A command typed on the hub's machine."""
    process = Forked("hub.cli.main", "--lang", "en", *arguments)
    out, err = process.communicate(PATIENCE_S)
    assert "Traceback" not in err, err
    return process.wait(), out, err


async def test_what_is_wrong_with_a_bucket_is_told_by_the_command(founded: Founded, place: Place):
    root = founded.folder.root
    status, out, err = command("migrate", root, "--content-from", root / "content", "--json")
    assert (status, json.loads(out)["copied"], place.attachments) == (0, 0, []), err

    place.s3.client.put_bucket_versioning(
        Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    status, _, err = command("serve", root)
    assert (status, "CONTENT_UNFIT" in err) == (1, True)

    place.proxy.go_away()
    status, _, err = command("serve", root)
    assert (status, "CONTENT_UNREACHABLE" in err) == (1, True)
    assert CREDENTIALS.secret_key not in err
