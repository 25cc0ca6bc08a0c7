"""Several hubs whose attachments lie in one bucket: uploads, downloads, erasure, and deaths."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from adapters.system import system_clock, system_randomness
from hub.bootstrap.core import open_core
from hub.config import ConfigInvalid, Settings
from hub.domain.values import uuid7
from hub.v1 import exchange_service_pb2 as calls
from tests.e2e.test_erasure import erase, send
from tests.e2e.test_joining import joined
from tests.e2e.test_kill import until_answered
from tests.e2e.test_large_attachments import CONTENT, MIB, naming
from tests.support.hubs import (
    NOI_VU,
    QUAN_1,
    Founded,
    HubProcess,
    collection,
    digest_of,
    raw_stub,
    refusal_of,
    submission,
)
from tests.support.patience import PATIENCE_S
from tests.support.s3 import S3, Place, place_of
from tests.support.several import Several, folder_of_another, several, signer_apart
from tests.support.several_load import ended_well
from tests.support.uploads import begin_request, messages, uploaded


@pytest.fixture
def database_kind() -> str:
    return "postgres"


@pytest.fixture
async def shared(founded: Founded, s3: S3) -> AsyncIterator[tuple[Several, Place]]:
    """Two hubs and their bucket."""
    with place_of(founded, s3) as place:
        async with several(founded, 2) as hubs:
            yield hubs, place


async def downloaded(hubs: Several, hub: HubProcess, exchange: str) -> bytes:
    recipient = hubs.founded.speakers[NOI_VU]
    async with raw_stub(recipient.transport, hub.port) as stub:
        asked = calls.DownloadAttachmentRequest(exchange_id=exchange)
        return b"".join([part.data async for part in stub.DownloadAttachment(asked)])


async def test_what_goes_up_at_one_hub_and_on_at_the_other_comes_down_from_both(
    shared: tuple[Several, Place],
):
    hubs, place = shared
    sender, recipient = (hubs.founded.speakers[code] for code in (QUAN_1, NOI_VU))
    async with (
        raw_stub(sender.transport, hubs[0].port) as one,
        raw_stub(sender.transport, hubs[1].port) as other,
    ):
        begun = await one.BeginUpload(begin_request(CONTENT))
        await one.UploadContent(messages(begun.upload_id, CONTENT[: 2 * MIB]))
        again = await other.BeginUpload(begin_request(CONTENT))
        assert (again.upload_id, again.offset) == (begun.upload_id, 2 * MIB)
        await other.UploadContent(messages(begun.upload_id, CONTENT, 2 * MIB))
        assert place.attachments == [], "it is nobody's yet"

        message = naming(sender, CONTENT, begun.upload_id)
        answer = await one.SubmitDocument(message)
        assert await other.SubmitDocument(message) == answer
        spent = naming(sender, CONTENT, begun.upload_id)
        assert (await refusal_of(other.SubmitDocument(spent))).reason == "UPLOAD_UNKNOWN"
        inline = submission(sender, [NOI_VU], [b"inline"])
        small = await other.SubmitDocument(inline)
    assert len(place.attachments) == 2

    async with raw_stub(recipient.transport, hubs[1].port) as stub:
        for each in (message, inline):
            await stub.CollectDocument(collection(recipient, digest_of(each.envelope)))
    for hub in hubs.hubs:
        assert await downloaded(hubs, hub, answer.acceptance.exchange_id) == CONTENT
        assert await downloaded(hubs, hub, small.acceptance.exchange_id) == b"inline"
    await ended_well(hubs)


async def test_a_hub_that_dies_while_it_stores_leaves_the_upload_to_the_other(
    shared: tuple[Several, Place],
):
    hubs, place = shared
    sender, recipient = (hubs.founded.speakers[code] for code in (QUAN_1, NOI_VU))
    content = CONTENT + bytes(4 * MIB)  # An object in two parts.
    killed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def in_the_middle(block: bytes) -> bool:
        if b"partNumber=2" in block and not killed.is_set():
            hubs[0].kill()
            loop.call_soon_threadsafe(killed.set)
            return False
        return True

    async with (
        raw_stub(sender.transport, hubs[0].port) as one,
        raw_stub(sender.transport, hubs[1].port) as other,
    ):
        message = naming(sender, content, await uploaded(one, content))
        place.proxy.heard_from_client = in_the_middle
        refused = asyncio.ensure_future(refusal_of(one.SubmitDocument(message)))
        async with asyncio.timeout(PATIENCE_S):
            await killed.wait()
        await hubs.lease_runs_out()
        assert (await refused).status == "UNAVAILABLE"
        await hubs.lease_runs_out()
        answer = await until_answered(other.SubmitDocument, message)
    await hubs[0].start()
    async with raw_stub(recipient.transport, hubs[0].port) as stub:
        await stub.CollectDocument(collection(recipient, digest_of(message.envelope)))
    assert len(place.attachments) == 1
    for hub in hubs.hubs:
        assert await downloaded(hubs, hub, answer.acceptance.exchange_id) == content
    await ended_well(hubs)


async def test_what_is_erased_at_the_hub_that_follows_is_in_the_bucket_no_more(
    shared: tuple[Several, Place],
):
    hubs, place = shared
    sender = hubs.founded.speakers[QUAN_1]
    gone, stays = [await send(sender, hub.port, "doomed") for hub in hubs.hubs]
    assert len(place.attachments) == 2

    await erase(hubs.founded, hubs[1].port, gone)

    [left] = place.attachments
    assert str(stays.exchange_id) in left
    await ended_well(hubs)


async def test_whoever_comes_to_lead_sweeps_what_no_hub_records_any_more(
    shared: tuple[Several, Place],
):
    hubs, place = shared
    sender = hubs.founded.speakers[QUAN_1]
    kept = await send(sender, hubs[1].port, "kept")
    orphan, unfinished, young = [
        f"hubs/one/exchanges/{an_exchange(age)}/0"
        for age in (timedelta(hours=2), timedelta(hours=3), timedelta(minutes=5))
    ]
    for name in (orphan, young):
        place.s3.client.put_object(Bucket=place.bucket, Key=name, Body=b"of a submission")
    place.s3.client.create_multipart_upload(Bucket=place.bucket, Key=unfinished)
    epoch = hubs.epoch()
    hubs[0].kill()
    await hubs.lease_runs_out()
    await hubs.until_led_anew(epoch)
    await hubs.until(lambda: orphan not in place.attachments)
    await hubs.until(lambda: not place.s3.unfinished(place.bucket))
    # Another hub may be about to record it.
    assert young in place.attachments
    assert any(str(kept.exchange_id) in name for name in place.attachments)
    await hubs[0].start()
    place.s3.client.delete_object(Bucket=place.bucket, Key=young)
    await ended_well(hubs)


async def test_the_lead_moves_while_the_bucket_is_away_and_what_needs_none_is_accepted(
    shared: tuple[Several, Place],
):
    hubs, place = shared
    sender = hubs.founded.speakers[QUAN_1]
    await send(sender, hubs[1].port, "before")
    epoch = hubs.epoch()
    place.proxy.go_away()
    hubs[0].kill()
    await hubs.lease_runs_out()
    await hubs.until_led_anew(epoch)
    async with raw_stub(sender.transport, hubs[1].port) as stub:
        plain = submission(sender, [NOI_VU])
        answer = await until_answered(stub.SubmitDocument, plain)
        again = submission(sender, [NOI_VU])
        await until_answered(stub.SubmitDocument, again)
        inline = submission(sender, [NOI_VU], [b"needs the bucket"])
        assert (await refusal_of(stub.SubmitDocument(inline))).status == "UNAVAILABLE"

        place.proxy.come_back()
        await until_answered(stub.SubmitDocument, inline)
        assert await stub.SubmitDocument(plain) == answer
    await hubs[0].start()
    await ended_well(hubs)


@pytest.mark.parametrize("own", ["file:content", "s3://another/hubs/one{}"])
async def test_a_hub_with_another_place_for_attachments_does_not_join(
    founded: Founded, s3: S3, own: str
):
    with place_of(founded, s3) as place, signer_apart(founded):
        other = folder_of_another(founded, "other")
        path = other.folder.root / "hub.toml"
        endpoint = f"?endpoint=http://127.0.0.1:{place.proxy.port}"
        shared = f"s3://{place.bucket}/hubs/one{endpoint}"
        path.write_text(path.read_text().replace(shared, own.format(endpoint)))
        async with HubProcess(founded, join=True):
            settings = Settings.load(other.folder.root)
            opened = open_core(other.folder, settings, together=True)
            with opened as core, pytest.raises(ConfigInvalid, match="has its attachments in s3"):
                await joined(core)


def an_exchange(age: timedelta) -> UUID:
    return uuid7(system_clock() - age, system_randomness(10))
