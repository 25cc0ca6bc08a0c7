"""Attachments too large for the call: up and down through every break, in constant memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hub.application.sealing import PART_BYTES
from hub.bootstrap.folder import DataFolder
from hub.client import AttachmentDraft, HubClient, speaking
from hub.client.errors import HubUnreachable, StateDamaged
from hub.client.retry import RetryPolicy
from hub.errors import DigestMismatch
from hub.v1 import exchange_service_pb2 as calls
from tests.e2e.test_exchange import LETTER
from tests.support.hubs import (
    NOI_VU,
    PATIENT,
    QUAN_1,
    ROOT,
    TAI_CHINH,
    Founded,
    HubProcess,
    Refusal,
    Speaker,
    check_hub_is_whole,
    collection,
    content_files,
    digest_of,
    envelope,
    raw_stub,
    refusal_of,
    refusal_of_stream,
    serving,
    signed,
    submission,
)
from tests.support.patience import PATIENCE_S
from tests.support.uploads import begin_request, messages, refusal_of_upload, uploaded

MIB = 1024**2
GROWTH_MIB_MAX = 64
CONTENT = random.Random(7).randbytes(5 * MIB + 4321)


# --- Bare gRPC --------------------------------------------------------------------------


def naming(speaker: Speaker, content: bytes, upload_id: str) -> calls.SubmitDocumentRequest:
    statement = signed(speaker, envelope(speaker, [NOI_VU], [content]))
    return calls.SubmitDocumentRequest(envelope=statement, upload_ids=[upload_id])


async def test_limits_are_announced(hub):
    async with raw_stub(hub.speaker(QUAN_1).transport, hub.port) as stub:
        limits = await stub.GetLimits(calls.GetLimitsRequest())
    assert limits.attachment_bytes_max == 2 * 1024**3
    assert limits.inline_bytes_max == 3 * MIB
    assert (limits.attachments_max, limits.recipients_max) == (64, 1000)
    assert (limits.part_bytes, limits.chunk_bytes_max) == (MIB, 256 * 1024)
    assert (limits.statement_bytes_max, limits.uploads_max) == (MIB, 256)
    assert (limits.batch_max, limits.batch_bytes_max) == (100, 15 * MIB)


async def test_an_upload_is_used_by_its_own_agency_once(hub):
    mine, theirs = hub.speaker(QUAN_1), hub.speaker(TAI_CHINH)
    async with (
        raw_stub(mine.transport, hub.port) as stub,
        raw_stub(theirs.transport, hub.port) as other,
    ):
        upload_id = await uploaded(stub, CONTENT)
        # Another agency with the same content begins like anybody, and learns nothing.
        begun = await other.BeginUpload(begin_request(CONTENT))
        assert begun.upload_id != upload_id
        assert begun.offset == 0
        refused = await refusal_of(other.SubmitDocument(naming(theirs, CONTENT, upload_id)))
        never = "01934f6e-7b00-7abc-8def-0123456789ab"
        unknown = await refusal_of(other.SubmitDocument(naming(theirs, CONTENT, never)))
        assert (refused.status, refused.reason) == ("NOT_FOUND", "UPLOAD_UNKNOWN")
        assert refused == unknown

        request = naming(mine, CONTENT, upload_id)
        answer = await stub.SubmitDocument(request)
        assert await stub.SubmitDocument(request) == answer
        again = await refusal_of(stub.SubmitDocument(naming(mine, CONTENT, upload_id)))
        assert again.reason == "UPLOAD_UNKNOWN"


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        ([], "REQUEST_MALFORMED"),
        ([calls.UploadContentRequest(data=b"x")], "REQUEST_MALFORMED"),
        (
            [calls.UploadContentRequest(start=calls.UploadStart(upload_id="x"))],
            "REQUEST_MALFORMED",
        ),
    ],
)
async def test_a_stream_that_does_not_begin_properly_is_refused(hub, stream, reason):
    refused = await refusal_of_upload(hub.speaker(QUAN_1).transport, hub.port, stream)
    assert refused.reason == reason


async def test_a_malformed_upload_id_refuses_one_document_of_a_batch(hub):
    speaker = hub.speaker(QUAN_1)
    bad = naming(speaker, b"x", "no-uuid")
    async with raw_stub(speaker.transport, hub.port) as stub:
        batch = calls.SubmitDocumentsRequest(documents=[bad, submission(speaker, [NOI_VU])])
        results = (await stub.SubmitDocuments(batch)).results
    assert [each.WhichOneof("result") for each in results] == ["error", "acceptance"]


async def test_documents_of_a_batch_name_uploads_each_its_own(hub):
    speaker = hub.speaker(QUAN_1)
    other = CONTENT[::-1]
    async with raw_stub(speaker.transport, hub.port) as stub:
        first, second = await uploaded(stub, CONTENT), await uploaded(stub, other)
        twice = await uploaded(stub, CONTENT, "again")
        documents = [
            naming(speaker, CONTENT, first),
            naming(speaker, other, first),  # The one before has it, or it does not fit.
            submission(speaker, [NOI_VU], [b"inline"]),
            naming(speaker, other, second),
            naming(speaker, CONTENT, twice),
        ]
        batch = calls.SubmitDocumentsRequest(documents=documents)
        results = (await stub.SubmitDocuments(batch)).results
        kinds = [each.WhichOneof("result") for each in results]
        assert kinds == ["acceptance", "error", "acceptance", "acceptance", "acceptance"]
        # The very same batch again gets the same answers, although the uploads are spent.
        again = (await stub.SubmitDocuments(batch)).results
        assert [each.acceptance for each in again] == [each.acceptance for each in results]
    assert hub.trace().inbox_heads == ((NOI_VU, 4),)
    assert "uploads/" not in "".join(content_files(hub.founded.folder.root))


async def test_refused_bytes_are_named(hub):
    changed = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    identity = hub.speaker(QUAN_1).transport

    async def refused(sent: bytes, offset: int | None = None) -> tuple[Refusal, str]:
        begun = await stub.BeginUpload(begin_request(CONTENT))
        stream = messages(begun.upload_id, sent, begun.offset if offset is None else offset)
        return await refusal_of_upload(identity, hub.port, stream), begun.upload_id

    async with raw_stub(identity, hub.port) as stub:
        for offset in (MIB, len(CONTENT), len(CONTENT) + 1, 2**63):
            too_far, _ = await refused(CONTENT[:1], offset)
            assert (too_far.reason, too_far.metadata["offset"]) == ("REQUEST_MALFORMED", "0")
        more, _ = await refused(CONTENT + b"x")
        assert more.reason == "TOO_LARGE"
        mismatch, upload_id = await refused(changed)
        assert mismatch.reason == "DIGEST_MISMATCH"
        gone = await refusal_of_upload(identity, hub.port, messages(upload_id, b""))
        assert (gone.status, gone.reason) == ("NOT_FOUND", "UPLOAD_UNKNOWN")
        assert content_files(hub.founded.folder.root) == ()


# --- Through the SDK --------------------------------------------------------------------


class Cutter:
    """A line between client and hub that breaks after so many bytes, each time others."""

    def __init__(self, target: int, chance: random.Random, cuts: int, bytes_max: int) -> None:
        self.port = 0
        self.cuts = cuts
        self._target = target
        self._chance = chance
        self._bytes_max = bytes_max

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Cutter]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _connect(self, near: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        far, onward = await asyncio.open_connection("127.0.0.1", self._target)
        left = None
        if self.cuts > 0:
            self.cuts -= 1
            left = self._chance.randint(20_000, self._bytes_max)
        pumps = [
            asyncio.ensure_future(self._pump(near, onward, left)),
            asyncio.ensure_future(self._pump(far, out, left)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for writer in (out, onward):
            with suppress(OSError, RuntimeError):
                writer.transport.abort()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    @staticmethod
    async def _pump(
        source: asyncio.StreamReader, sink: asyncio.StreamWriter, left: int | None
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if left is not None and (left := left - len(data)) < 0:
                    return
                sink.write(data)
                await sink.drain()


async def test_a_line_that_breaks_many_times_loses_and_doubles_nothing(hub, tmp_path):
    seed = random.randrange(2**32)
    print("seed", seed)
    path = tmp_path / "bản đồ.bin"
    path.write_bytes(CONTENT)
    cutter = Cutter(hub.port, random.Random(seed), cuts=12, bytes_max=2_500_000)
    seen: list[tuple[str, int, int]] = []
    policy = RetryPolicy(attempts_max=200, delay_first_s=0.01, delay_max_s=0.05)
    async with cutter.running():
        profile = hub.speaker(QUAN_1).profile(cutter.port)
        async with HubClient.open(profile, policy=policy) as client:
            draft = AttachmentDraft.from_file(path)
            accepted = await client.submit(
                LETTER, [draft], [NOI_VU], progress=lambda *each: seen.append(each)
            )
        assert cutter.cuts <= 10  # No connection carries half of it.
        cutter.cuts = 8
        async with HubClient.open(hub.speaker(NOI_VU).profile(cutter.port), policy=policy) as to:
            digest = hashlib.sha256(accepted.statement.payload).hexdigest()
            document = await to.collect(digest)
            down: list[tuple[str, int, int]] = []
            [got] = await to.download(
                document, tmp_path / "in", progress=lambda *each: down.append(each)
            )
        assert cutter.cuts <= 6
    assert got.read_bytes() == CONTENT
    for said in (seen, down):
        assert said[-1] == ("bản đồ.bin", len(CONTENT), len(CONTENT))
    assert hub.trace().inbox_heads == ((NOI_VU, 1),)


async def test_several_small_files_that_are_too_large_together_are_sent_too(hub, tmp_path):
    parts = [CONTENT[: 2 * MIB], CONTENT[2 * MIB : 4 * MIB], CONTENT[: 2 * MIB], b"small"]
    drafts = [AttachmentDraft.from_bytes(f"{n}.bin", part) for n, part in enumerate(parts)]
    async with HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as client:
        accepted = await client.submit(LETTER, drafts, [NOI_VU])
    async with HubClient.open(hub.speaker(NOI_VU).profile(hub.port)) as client:
        document = await client.collect(hashlib.sha256(accepted.statement.payload).hexdigest())
        paths = await client.download(document, tmp_path)
    assert [path.read_bytes() for path in paths] == parts
    assert "uploads/" not in "".join(content_files(hub.founded.folder.root))


async def test_a_file_that_changes_before_it_is_sent_is_not_sent(hub, tmp_path):
    path = tmp_path / "map.bin"
    path.write_bytes(CONTENT)
    draft = AttachmentDraft.from_file(path)
    path.write_bytes(CONTENT[::-1])
    async with HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as client:
        with pytest.raises(DigestMismatch, match="changed"):
            await client.submit(LETTER, [draft], [NOI_VU])
        assert await client.resume() == []
    assert content_files(hub.founded.folder.root) == ()


async def test_a_client_that_crashed_in_the_middle_goes_on_with_the_bytes_it_signed(
    hub, tmp_path, monkeypatch
):
    path = tmp_path / "map.bin"
    path.write_bytes(CONTENT)
    profile = hub.speaker(QUAN_1).profile(hub.port)

    def break_off(name: str, done: int, total: int) -> None:
        if done > 3 * MIB:
            sending.cancel()

    async with HubClient.open(profile) as client:
        draft = AttachmentDraft.from_file(path)
        sending = asyncio.ensure_future(
            client.submit(LETTER, [draft], [NOI_VU], progress=break_off)
        )
        with pytest.raises(asyncio.CancelledError):
            await sending
    path.unlink()  # The user's own file may be gone by then.
    offsets: list[int] = []
    async with HubClient.open(profile) as client:
        [repeated] = await client.resume(lambda _, done, __: offsets.append(done))
    assert repeated.error is None
    assert offsets[0] >= MIB
    assert offsets[0] % PART_BYTES == 0
    assert not any((profile.state / "contents").iterdir())
    assert hub.trace().inbox_heads == ((NOI_VU, 1),)


async def test_a_client_that_missed_the_answer_uploads_nothing_again(hub, tmp_path, monkeypatch):
    path = tmp_path / "map.bin"
    path.write_bytes(CONTENT)
    profile = hub.speaker(QUAN_1).profile(hub.port)

    async def lost(*_: object) -> None:
        raise HubUnreachable("the answer was lost")

    with monkeypatch.context() as patched:
        patched.setattr(speaking.Speaker, "_see_through", lost)
        async with HubClient.open(profile) as client:
            draft = AttachmentDraft.from_file(path)
            with pytest.raises(HubUnreachable):
                await client.submit(LETTER, [draft], [NOI_VU])
    told: list[int] = []
    async with HubClient.open(profile) as client:
        [repeated] = await client.resume(lambda *_: told.append(1))

    assert (repeated.error, told) == (None, [])
    assert hub.trace().inbox_heads == ((NOI_VU, 1),)


async def test_a_copy_that_is_gone_is_said_and_the_statement_stays(hub, tmp_path):
    path = tmp_path / "map.bin"
    path.write_bytes(CONTENT)
    profile = hub.speaker(QUAN_1).profile(hub.port)

    def vanish(*_: object) -> None:
        for copy in (profile.state / "contents").iterdir():
            copy.unlink()

    async with HubClient.open(profile) as client:
        draft = AttachmentDraft.from_file(path)
        with pytest.raises(StateDamaged):
            await client.submit(LETTER, [draft], [NOI_VU], progress=vanish)
        [repeated] = await client.resume()
        assert isinstance(repeated.error, StateDamaged)


# --- Crashes of the hub -----------------------------------------------------------------


async def test_a_hub_killed_again_and_again_during_an_upload_takes_it_in_the_end(founded, tmp_path):
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    content = random.Random(seed).randbytes(24 * MIB)
    path = tmp_path / "map.bin"
    path.write_bytes(content)
    async with HubProcess(founded) as process:
        async with HubClient.open(
            founded.speakers[QUAN_1].profile(process.port), policy=PATIENT
        ) as client:
            draft = AttachmentDraft.from_file(path)
            sending = asyncio.ensure_future(client.submit(LETTER, [draft], [NOI_VU]))
            for _ in range(4):
                await asyncio.sleep(chance.uniform(0.0, 0.4))
                process.kill()
                await process.start()
            async with asyncio.timeout(PATIENCE_S):
                accepted = await sending
        await require_arrived(founded, process, accepted, content, tmp_path)
        assert await process.terminate() == 0
    check_hub_is_whole(founded.folder.root)
    assert "uploads/" not in "".join(content_files(founded.folder.root))


async def require_arrived(
    founded: Founded, process: HubProcess, accepted, content: bytes, tmp_path: Path
) -> None:
    profile = founded.speakers[NOI_VU].profile(process.port)
    async with HubClient.open(profile, policy=PATIENT) as recipient:
        assert len([item async for item in recipient.inbox()]) == 1
        document = await recipient.collect(hashlib.sha256(accepted.statement.payload).hexdigest())
        [got] = await recipient.download(document, tmp_path / "in")
    assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("committed", [False, True], ids=["before-the-commit", "after-it"])
async def test_a_hub_killed_around_the_commit_needs_no_second_upload(
    founded, tmp_path, monkeypatch, committed
):
    """A copy of the data folder at that moment is what `kill -9` leaves."""
    speaker, image = founded.speakers[QUAN_1], tmp_path / "image" / "hub"
    async with (
        serving(founded) as hub,
        raw_stub(speaker.transport, hub.port) as stub,
    ):
        request = naming(speaker, CONTENT, await uploaded(stub, CONTENT))
        real = hub.core.log.commit

        def commit(what: object) -> None:
            if committed:
                real(what)
            shutil.copytree(founded.folder.root, image)
            if not committed:
                real(what)

        monkeypatch.setattr(hub.core.log, "commit", commit)
        await stub.SubmitDocument(request)
    monkeypatch.undo()
    assert "uploads/" not in "".join(content_files(founded.folder.root))
    assert not any("/content/0" in name for name in content_files(image))

    crashed = Founded(DataFolder(image))
    async with serving(crashed) as hub, raw_stub(speaker.transport, hub.port) as stub:
        given_back = any("/content/0" in name for name in content_files(image))
        assert given_back is not committed
        answer = await stub.SubmitDocument(request)
        assert await stub.SubmitDocument(request) == answer
        assert "uploads/" not in "".join(content_files(image))
        assert hub.trace().inbox_heads == ((NOI_VU, 1),)


async def test_an_upload_survives_a_commit_that_failed(founded, monkeypatch):
    """The content is under its exchange already; the event was never recorded."""
    speaker = founded.speakers[QUAN_1]

    def commit(_: object) -> None:
        raise OSError("the disk is gone")

    async with (
        serving(founded, check=False) as hub,
        raw_stub(speaker.transport, hub.port) as stub,
    ):
        request = naming(speaker, CONTENT, await uploaded(stub, CONTENT))
        with monkeypatch.context() as patched:
            patched.setattr(hub.core.log, "commit", commit)
            assert (await refusal_of(stub.SubmitDocument(request))).reason == "UNAVAILABLE"
        assert not any("/content/0" in name for name in content_files(founded.folder.root))
        await stub.SubmitDocument(request)
        assert "uploads/" not in "".join(content_files(founded.folder.root))
    # What the first attempt left under an exchange of its own is swept at the next start.
    async with serving(founded):
        pass


async def test_content_that_vanished_is_told_and_nothing_is_handed_over(hub):
    speaker, to = hub.speaker(QUAN_1), hub.speaker(NOI_VU)
    async with (
        raw_stub(speaker.transport, hub.port) as stub,
        raw_stub(to.transport, hub.port) as recipient,
    ):
        request = naming(speaker, CONTENT, await uploaded(stub, CONTENT))
        exchange = (await stub.SubmitDocument(request)).acceptance.exchange_id
        folder = hub.founded.folder.content / exchange[-2:] / exchange / "0"
        before = hub.trace()
        (folder / "00000003").rename(folder / "away")
        taking = collection(to, digest_of(request.envelope))
        assert (await refusal_of(recipient.CollectDocument(taking))).reason == "CONTENT_LOST"
        assert hub.trace().events == before.events
        (folder / "away").rename(folder / "00000003")
        (folder / "key").rename(folder / "away")
        assert (await refusal_of(recipient.CollectDocument(taking))).reason == "CONTENT_LOST"
        (folder / "away").rename(folder / "key")
        await recipient.CollectDocument(taking)

        fetch = calls.DownloadAttachmentRequest(exchange_id=exchange)
        (folder / "00000003").rename(folder / "away")
        lost = await refusal_of_stream(recipient.DownloadAttachment(fetch))
        assert (lost.status, lost.reason) == ("DATA_LOSS", "CONTENT_LOST")
        assert lost.metadata == {"exchange": exchange, "attachment": "0"}
        assert lost.message.endswith("part 3 is missing")
        (folder / "away").rename(folder / "00000003")


async def test_a_hub_whose_content_vanished_is_not_ready_until_it_is_back(founded, tmp_path):
    speaker, to, late = (founded.speakers[code] for code in (QUAN_1, NOI_VU, TAI_CHINH))
    content, away = founded.folder.content, tmp_path / "away"
    async with (
        serving(founded) as hub,
        raw_stub(speaker.transport, hub.port) as stub,
        raw_stub(to.transport, hub.port) as recipient,
        raw_stub(late.transport, hub.port) as other,
        raw_stub(to.transport, hub.port, health_pb2_grpc.HealthStub) as health,
    ):

        async def turns(wanted: int) -> None:
            for _ in range(400):
                if (await health.Check(health_pb2.HealthCheckRequest())).status == wanted:
                    return
                await asyncio.sleep(0.05)
            raise AssertionError(f"readiness did not turn {wanted}")

        statement = signed(speaker, envelope(speaker, [NOI_VU, TAI_CHINH], [CONTENT]))
        upload_ids = [await uploaded(stub, CONTENT)]
        request = calls.SubmitDocumentRequest(envelope=statement, upload_ids=upload_ids)
        accepted = await stub.SubmitDocument(request)
        digest = digest_of(statement)
        await recipient.CollectDocument(collection(to, digest))
        await turns(health_pb2.HealthCheckResponse.SERVING)
        before = hub.trace()

        content.rename(away)
        await turns(health_pb2.HealthCheckResponse.NOT_SERVING)
        fetch = calls.DownloadAttachmentRequest(exchange_id=accepted.acceptance.exchange_id)
        lost = await refusal_of_stream(recipient.DownloadAttachment(fetch))
        assert (lost.status, lost.reason) == ("DATA_LOSS", "CONTENT_LOST")
        taking = collection(late, digest)
        assert (await refusal_of(other.CollectDocument(taking))).reason == "CONTENT_LOST"
        sending = submission(speaker, [NOI_VU], [b"inline"])
        assert (await refusal_of(stub.SubmitDocument(sending))).reason == "UNAVAILABLE"
        beginning = begin_request(CONTENT, "while it is away")
        assert (await refusal_of(stub.BeginUpload(beginning))).reason == "UNAVAILABLE"
        assert hub.trace().events == before.events
        # No other folder took its place, in which later content would lie apart.
        assert not content.exists()

        content.mkdir()  # As an empty mount point is there, without the disk.
        await asyncio.sleep(2.5)
        await turns(health_pb2.HealthCheckResponse.NOT_SERVING)
        content.rmdir()
        away.rename(content)
        await turns(health_pb2.HealthCheckResponse.SERVING)
        got = [piece.data async for piece in recipient.DownloadAttachment(fetch)]
        assert b"".join(got) == CONTENT
        await other.CollectDocument(taking)
        await stub.SubmitDocument(sending)
        await uploaded(stub, CONTENT, "while it is away")


# --- Memory -----------------------------------------------------------------------------

# Sends one file, or fetches one document, in a process of its own; tells how far its memory
# grew, in KiB, and how long it took.
CLIENT = """
import asyncio, hashlib, sys, time
from dataclasses import replace
from datetime import date
from pathlib import Path
from hub.client import AttachmentDraft, ClientProfile, DocumentDraft, HubClient

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])

async def main(what, profile, port, argument):
    profile = replace(ClientProfile.load(Path(profile)), target=f"127.0.0.1:{port}")
    async with HubClient.open(profile) as hub:
        await hub.limits()
        before, started = peak(), time.monotonic()
        if what == "send":
            draft = AttachmentDraft.from_file(argument)
            letter = DocumentDraft(number="1", notation="UBND", type_name="Công văn",
                subject="V/v bản đồ", issued_on=date(2026, 11, 22))
            hashed = time.monotonic()
            accepted = await hub.submit(letter, [draft], [sys.argv[5]])
            name = hashlib.sha256(accepted.statement.payload).hexdigest()
            print(peak() - before, time.monotonic() - hashed, name)
        else:
            document = await hub.collect(sys.argv[5])
            await hub.download(document, argument)
            print(peak() - before, time.monotonic() - started, "-")

asyncio.run(main(*sys.argv[1:5]))
"""


async def run_client(*arguments: object) -> tuple[float, float, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, *map(str, arguments), cwd=ROOT, stdout=-1, stderr=-1
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    growth_kib, seconds, name = output.decode().split()
    return int(growth_kib) / 1024, float(seconds), name


def peak_mib(pid: int) -> float:
    """The most memory a process ever held."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


async def up_and_down(founded: Founded, tmp_path: Path, size: int) -> None:
    path = tmp_path / "large.bin"
    block = os.urandom(MIB)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(size // MIB):
            piece = number.to_bytes(8, "big") + block[8:]
            digest.update(piece)
            file.write(piece)
    async with HubProcess(founded) as process:
        sender, recipient = founded.speakers[QUAN_1], founded.speakers[NOI_VU]
        async with raw_stub(sender.transport, process.port) as stub:
            await stub.SubmitDocument(submission(sender, [NOI_VU], [bytes(1000)]))
        before = peak_mib(process.pid)
        home = str(sender.home / "profile.toml")
        sent = await run_client("send", home, process.port, path, NOI_VU)
        up = peak_mib(process.pid)
        path.unlink()
        into = tmp_path / "in"
        home = str(recipient.home / "profile.toml")
        fetched = await run_client("fetch", home, process.port, into, sent[2])
        down = peak_mib(process.pid)
        assert await process.terminate() == 0
    mib = size / MIB
    print(
        f"{mib:.0f} MiB: up {mib / sent[1]:.0f} MiB/s, client +{sent[0]:.0f} MiB, "
        f"server +{up - before:.0f} MiB; down {mib / fetched[1]:.0f} MiB/s, "
        f"client +{fetched[0]:.0f} MiB, server +{down - before:.0f} MiB"
    )
    with (into / "large.bin").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == digest.digest()
    assert max(sent[0], fetched[0], up - before, down - before) < GROWTH_MIB_MAX


async def test_64_mib_go_up_and_down_with_little_memory(founded, tmp_path):
    await up_and_down(founded, tmp_path, 64 * MIB)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_two_gib_go_up_and_down_with_little_memory(founded, tmp_path):
    await up_and_down(founded, tmp_path, 2048 * MIB)
