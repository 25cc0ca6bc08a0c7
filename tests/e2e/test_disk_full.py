"""The disk is full: nothing acknowledged is lost, and with room again everything goes on."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc.aio
import pytest

from hub.bootstrap.folder import DataFolder
from hub.v1 import exchange_service_pb2 as calls
from tests.e2e.test_kill import until_answered
from tests.e2e.test_large_attachments import naming
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Founded,
    HubProcess,
    Refusal,
    Speaker,
    check_hub_is_whole,
    collection,
    digest_of,
    raw_stub,
    refusal_in,
    refusal_of,
    submission,
    trace,
)
from tests.support.patience import PATIENCE_S
from tests.support.uploads import begin_request, messages, refusal_of_upload

CONTENT = os.urandom(3 * 1024**2 + 5)


@contextmanager
def no_file_may_grow_beyond(process: HubProcess, size: int) -> Iterator[None]:
    """What a full disk does, for one process: a write fails, in the middle if need be.

    The kernel refuses it with EFBIG where a full disk says ENOSPC (setrlimit(2), RLIMIT_FSIZE).
    """
    pid = process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # It was killed meanwhile.
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


async def refused_as_unavailable(method, message) -> None:
    require_unavailable(await refusal_of(method(message, timeout=PATIENCE_S)))


def require_unavailable(refusal: Refusal) -> None:
    assert (refusal.status, refusal.reason) == ("UNAVAILABLE", "UNAVAILABLE"), refusal


async def fill(stub, sender: Speaker, count: int) -> list:
    requests = [submission(sender, [TAI_CHINH], [b"content"]) for _ in range(count)]
    return [(request, await stub.SubmitDocument(request)) for request in requests]


# Below the size of every database, and of one part of an attachment; or nothing at all, not
# even a line of the hub's own log.
@pytest.mark.parametrize("size", [64 * 1024, 0], ids=["half", "nothing"])
async def test_a_full_disk_refuses_with_a_reason_and_room_makes_it_good(
    founded: Founded, size: int
):
    sender, recipient = founded.speakers[QUAN_1], founded.speakers[TAI_CHINH]
    root = founded.folder.root
    async with HubProcess(founded) as process:
        async with (
            raw_stub(sender.transport, process.port) as stub,
            raw_stub(recipient.transport, process.port) as other,
        ):
            answered = await fill(stub, sender, 5)
            begun = await stub.BeginUpload(begin_request(CONTENT))
            await stub.UploadContent(messages(begun.upload_id, CONTENT[: 2 * 1024**2]))
            before = trace(root)
            inline = submission(sender, [TAI_CHINH], [CONTENT[:1_000_000]])
            plain = submission(sender, [TAI_CHINH])
            taking = collection(recipient, digest_of(answered[0][0].envelope))
            rest = list(messages(begun.upload_id, CONTENT, 2 * 1024**2))

            with no_file_may_grow_beyond(process, size):
                await refused_as_unavailable(stub.SubmitDocument, inline)
                await refused_as_unavailable(stub.SubmitDocument, plain)
                await refused_as_unavailable(other.CollectDocument, taking)
                require_unavailable(await refusal_of_upload(sender.transport, process.port, rest))
                # What needs no room is served: the first answers again, and lists.
                assert await stub.SubmitDocument(answered[0][0]) == answered[0][1]
                assert len((await other.ListInbox(calls.ListInboxRequest())).items) == 5
            assert trace(root).events == before.events

            for method, message in (
                (stub.SubmitDocument, inline),
                (stub.SubmitDocument, plain),
                (other.CollectDocument, taking),
            ):
                answer = await until_answered(method, message)
                assert await method(message) == answer
            begun = await stub.BeginUpload(begin_request(CONTENT))
            assert begun.offset == 2 * 1024**2
            await stub.UploadContent(messages(begun.upload_id, CONTENT, begun.offset))
            await stub.SubmitDocument(naming(sender, CONTENT, begun.upload_id))
            for request, answer in answered:
                assert await stub.SubmitDocument(request) == answer
            assert trace(root).events == before.events + 4
        assert await process.terminate() == 0
    check_hub_is_whole(root)


async def test_a_hub_killed_on_a_full_disk_starts_with_everything_it_acknowledged(
    founded: Founded,
):
    sender = founded.speakers[QUAN_1]
    async with HubProcess(founded) as process:
        async with raw_stub(sender.transport, process.port) as stub:
            answered = await fill(stub, sender, 3)
            message = submission(sender, [TAI_CHINH], [b"content"])
            with no_file_may_grow_beyond(process, 64 * 1024):
                await refused_as_unavailable(stub.SubmitDocument, message)
                process.kill()
        await process.start()
        async with raw_stub(sender.transport, process.port) as stub:
            await until_answered(stub.SubmitDocument, message)
            for request, answer in answered:
                assert await stub.SubmitDocument(request) == answer
        assert await process.terminate() == 0
    assert trace(founded.folder.root).inbox_heads == ((TAI_CHINH, 4),)
    check_hub_is_whole(founded.folder.root)


# --- A disk that is really full -----------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", disk]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes root and CAP_SYS_ADMIN")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.long
@pytest.mark.parametrize("left", [0, 1, 3, 17, 60, 300], ids=lambda kib: f"{kib}-KiB-left")
async def test_a_disk_that_fills_up_under_load_loses_nothing(
    founded: Founded, small_disk: Path, left: int
):
    """ENOSPC wherever it strikes: content, events, tree, lists, the signer's memory."""
    shutil.copytree(founded.folder.root, small_disk / "hub")
    there = Founded(DataFolder(small_disk / "hub"))
    sender = there.speakers[QUAN_1]
    requests = [submission(sender, [TAI_CHINH], [os.urandom(3000)]) for _ in range(24)]
    async with HubProcess(there) as process:
        async with raw_stub(sender.transport, process.port) as stub:
            answered = [(each, await stub.SubmitDocument(each)) for each in requests[:4]]
            ballast = small_disk / "ballast"
            free = os.statvfs(small_disk)
            ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - left * 1024)))
            refusals = []
            for each in requests[4:]:
                try:
                    answered.append((each, await stub.SubmitDocument(each, timeout=PATIENCE_S)))
                except grpc.aio.AioRpcError as error:
                    refusals.append(refusal_in(error).reason)
            assert set(refusals) <= {"UNAVAILABLE", "RECEIPT_DELAYED"}
            assert refusals
            ballast.unlink()
            answers = await asyncio.gather(
                *(until_answered(stub.SubmitDocument, each) for each in requests)
            )
            given = dict(zip(map(id, requests), answers, strict=True))
            assert all(given[id(request)] == answer for request, answer in answered)
        assert await process.terminate() == 0
    assert trace(there.folder.root).inbox_heads == ((TAI_CHINH, len(requests)),)
    check_hub_is_whole(there.folder.root)
