"""What hubs that serve together share, and what stops all of them at once."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from hub.bootstrap import joining
from hub.bootstrap.assembly import running_hub
from hub.bootstrap.core import Core, open_core
from hub.config import ConfigInvalid, Settings
from hub.v1 import exchange_service_pb2 as calls
from keys.custody import ContentCustody
from tests.e2e.test_erasure import Sent, erase, found_in, send
from tests.e2e.test_kill import until_answered
from tests.e2e.test_large_attachments import CONTENT, MIB, naming
from tests.e2e.test_postgres import command
from tests.e2e.test_standby import Served
from tests.support.hubs import (
    NOI_VU,
    QUAN_1,
    TAI_CHINH,
    Founded,
    HubProcess,
    Speaker,
    collection,
    digest_of,
    look_into,
    raw_channel,
    raw_stub,
    refusal_of,
    submission,
    trace,
)
from tests.support.patience import PATIENCE_S
from tests.support.postgres import Server
from tests.support.rotation import two_operators
from tests.support.several import Several, folder_of_another, several, signer_apart
from tests.support.several_load import ended_well
from tests.support.uploads import begin_request, messages, refusal_of_upload


@pytest.fixture
def database_kind() -> str:
    return "postgres"


@pytest.fixture
async def two(founded: Founded) -> AsyncIterator[Several]:
    async with several(founded, 2) as hubs:
        yield hubs


async def test_an_upload_goes_on_at_whichever_hub_is_asked(two: Several):
    sender, recipient = (two.founded.speakers[code] for code in (QUAN_1, NOI_VU))
    async with (
        raw_stub(sender.transport, two[0].port) as one,
        raw_stub(sender.transport, two[1].port) as other,
    ):
        begun = await one.BeginUpload(begin_request(CONTENT))
        await one.UploadContent(messages(begun.upload_id, CONTENT[: 2 * MIB]))
        again = await other.BeginUpload(begin_request(CONTENT))
        assert (again.upload_id, again.offset) == (begun.upload_id, 2 * MIB)
        await other.UploadContent(messages(begun.upload_id, CONTENT[: 3 * MIB], 2 * MIB))
        # The hub where it began learns where to go on, and that it must not go on before.
        late = messages(begun.upload_id, CONTENT, 2 * MIB)
        refused = await refusal_of_upload(sender.transport, two[0].port, late)
        assert refused.reason == "REQUEST_MALFORMED"
        again = await one.BeginUpload(begin_request(CONTENT))
        await one.UploadContent(messages(begun.upload_id, CONTENT, again.offset))

        message = naming(sender, CONTENT, begun.upload_id)
        answer = await other.SubmitDocument(message)
        assert await one.SubmitDocument(message) == answer
        spent = naming(sender, CONTENT, begun.upload_id)
        assert (await refusal_of(one.SubmitDocument(spent))).reason == "UPLOAD_UNKNOWN"

    async with raw_stub(recipient.transport, two[0].port) as stub:
        await stub.CollectDocument(collection(recipient, digest_of(message.envelope)))
        asked = calls.DownloadAttachmentRequest(exchange_id=answer.acceptance.exchange_id)
        content = b"".join([part.data async for part in stub.DownloadAttachment(asked)])
    assert content == CONTENT
    await ended_well(two)


async def test_what_is_erased_at_a_hub_that_follows_is_gone_when_it_says_so(two: Several):
    sender = two.founded.speakers[QUAN_1]
    sent: Sent = await send(sender, two[1].port, "doomed")
    before = trace(two.founded.folder.root)

    await erase(two.founded, two[1].port, sent)

    after = trace(two.founded.folder.root)
    assert (after.document_keys, after.payloads) == (
        before.document_keys - 1 + 2,  # Those of the order and of its approval.
        before.payloads - 1 + 2,
    )
    assert not found_in(two.founded.folder.content, sent.markers)
    await ended_well(two)


async def test_the_key_of_the_log_is_changed_through_a_hub_that_follows(two: Several):
    sender = two.founded.speakers[QUAN_1]
    async with two_operators(two.founded, two[1].port) as operators:
        await operators.rotate()
    for hub in two.hubs:
        async with raw_stub(sender.transport, hub.port) as stub:
            await stub.SubmitDocument(submission(sender, [TAI_CHINH], [b"content"]))
    await ended_well(two)


async def test_a_hub_that_finds_a_contradiction_stops_all_until_everything_was_read(
    two: Several, postgres_server: Server
):
    sender = two.founded.speakers[QUAN_1]
    with look_into(two.founded.folder.root) as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
    # What nobody signed: the hub that follows is the first to look at it.
    postgres_server.execute(
        "INSERT INTO checkpoints SELECT size + 1000, note FROM checkpoints"
        " ORDER BY size DESC LIMIT 1",
        database=name,
    )
    for hub in two.hubs:
        async with raw_stub(sender.transport, hub.port) as stub:
            await two.until(lambda: is_frozen(two))
            refused = await refusal_of(stub.SubmitDocument(submission(sender, [TAI_CHINH])))
            assert refused.reason == "LOG_FROZEN"
            await stub.ListInbox(calls.ListInboxRequest())  # What was seen before is read on.
    events = trace(two.founded.folder.root).events

    for hub in two.hubs:
        await hub.terminate()
    postgres_server.execute(
        "ALTER TABLE checkpoints DISABLE TRIGGER USER",
        "DELETE FROM checkpoints WHERE size > 1000",
        "ALTER TABLE checkpoints ENABLE TRIGGER USER",
        database=name,
    )
    for hub in two.hubs:
        await hub.start()
        async with raw_stub(sender.transport, hub.port) as stub:
            await until_answered(stub.SubmitDocument, submission(sender, [TAI_CHINH]))
    assert trace(two.founded.folder.root).events == events + 2
    assert not is_frozen(two)
    await ended_well(two)


def is_frozen(hubs: Several) -> bool:
    with look_into(hubs.founded.folder.root) as connection:
        frozen = connection.exec_driver_sql("SELECT frozen FROM leadership").scalar_one()
    return frozen is not None


# --- Who is let in --------------------------------------------------------------------------


async def test_two_hubs_that_are_typed_in_with_join_both_serve(founded: Founded):
    sender = founded.speakers[QUAN_1]
    with signer_apart(founded):
        other = folder_of_another(founded, "other")
        one = Served(founded.folder.root, "--join")
        two = None
        try:
            ports = [await one.port()]
            two = Served(other.folder.root, "--join")
            ports.append(await two.port())
            for port in ports:
                async with raw_stub(sender.transport, port) as stub:
                    await stub.SubmitDocument(submission(sender, [TAI_CHINH]))
                await until_serving(port, sender)
            for hub in (two, one):
                hub.tell(signal.SIGTERM)
                assert (await hub.ended())[0] == 0
        finally:
            for hub in (one, two):
                if hub is not None:
                    hub.end()


async def until_serving(port: int, speaker: Speaker) -> None:
    async with raw_channel(speaker.transport, port) as channel, asyncio.timeout(PATIENCE_S):
        # Tells each change, and how it stands now.
        async for answer in HealthStub(channel).Watch(HealthCheckRequest()):
            if answer.status == HealthCheckResponse.SERVING:
                return


async def test_a_hub_joins_only_hubs_that_let_others_in(founded: Founded):
    with signer_apart(founded):
        other = folder_of_another(founded, "other")
        async with HubProcess(founded) as alone:
            status, _, err = command("serve", other.folder.root, "--join")
            assert (status, "FOLDER_BUSY" in err, "without --join" in err) == (1, True, True)
            assert await alone.terminate() == 0
        async with HubProcess(founded, join=True) as first:
            status, _, err = command("serve", other.folder.root)
            assert (status, "FOLDER_BUSY" in err) == (1, True)
            assert await first.terminate() == 0


async def test_a_hub_that_does_not_share_the_contents_or_their_key_does_not_join(
    founded: Founded, monkeypatch: pytest.MonkeyPatch
):
    with signer_apart(founded):
        key, contents = (folder_of_another(founded, name) for name in ("key", "contents"))
        own(key.folder.root / "keys")
        key.folder.content_key.unlink()
        ContentCustody.create(key.folder.content_key)
        async with HubProcess(founded, join=True):
            own(contents.folder.content)
            (contents.folder.content / ".leader").unlink()
            for other, why in (
                (key, "the key of contents in keys/ is not the one"),
                (contents, "is not the folder that the hub which leads has"),
            ):
                if other is contents:  # Its leader says nothing there, however long one waits.
                    monkeypatch.setattr(joining, "_MARKED_WITHIN_S", 0.5)
                settings = Settings.load(other.folder.root)
                opened = open_core(other.folder, settings, together=True)
                with opened as core, pytest.raises(ConfigInvalid, match=why):
                    await joined(core)


async def joined(core: Core) -> None:
    async with running_hub(core):
        raise AssertionError("it serves")


def own(shared: Path) -> None:
    """A copy in place of what is shared."""
    original = shared.resolve()
    shared.unlink()
    shutil.copytree(original, shared)


def test_what_hubs_need_to_serve_together_is_named(founded: Founded):
    status, _, err = command("serve", founded.folder.root, "--join")
    assert (status, "lienthong signer serve" in err) == (1, True)
    status, _, err = command("serve", founded.folder.root, "--join", "--standby")
    assert (status, "either waits or serves" in err) == (1, True)
