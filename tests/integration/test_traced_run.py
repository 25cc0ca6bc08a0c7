"""A traced hub: everything a receipt stands on is on the disk before the answer is given."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.support.hubs import found

ROOT = Path(__file__).parents[2]
PART_BYTES = 1 << 20

# Says on standard error, where the trace sees it, when a submission begins and when the hub
# has made up its answer: after that nothing is left to do but to send it.
PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from hub.bootstrap.folder import DataFolder
from hub.server import convert
from hub.v1 import exchange_service_pb2 as calls
from tests.support.hubs import QUAN_1, TAI_CHINH, Founded, raw_stub, serving, submission
from tests.support.uploads import uploaded

founded = Founded(DataFolder(Path(sys.argv[1])))
acceptance = convert.acceptance

def mark(what):
    os.write(2, f"MARK {what}\\n".encode())

def marked_acceptance(recorded):
    answer = acceptance(recorded)
    mark("answer")
    return answer

convert.acceptance = marked_acceptance

async def main():
    sender = founded.speakers[QUAN_1]
    async with serving(founded, check=False) as hub, raw_stub(sender.transport, hub.port) as stub:
        for number in range(2):
            contents = [bytes(int(sys.argv[2])), b"second"]
            request = submission(sender, [TAI_CHINH], contents)
            mark("begin")
            answer = await stub.SubmitDocument(request)
            assert answer.acceptance.receipt.position
        # The third: the same, but uploaded before.
        upload_ids = [await uploaded(stub, content) for content in contents]
        statement = submission(sender, [TAI_CHINH], contents).envelope
        request = calls.SubmitDocumentRequest(envelope=statement, upload_ids=upload_ids)
        mark("begin")
        answer = await stub.SubmitDocument(request)
        assert answer.acceptance.receipt.position

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def submissions(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """What was finished between the begin and the answer of each submission, in order."""
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have strace: this test is not to be skipped there")
        pytest.skip("strace is not installed (apt-get install strace)")
    folder = found(tmp_path_factory.mktemp("traced")).folder.root
    output = folder.parent / "trace"
    traced = "trace=fsync,fdatasync,openat,rename,renameat,renameat2,write,pwrite64"
    command = ["strace", "-f", "-y", "-s", "32", "-e", traced, "-o", output, sys.executable, "-B"]
    run = subprocess.run(
        [*command, "-c", PROGRAM, folder, str(PART_BYTES + 1)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    done = list(finished_calls(output.read_text(errors="replace")))
    return [
        [short(call, folder) for call in done[begin + 1 : answer]]
        for begin, answer in zip(
            [n for n, call in enumerate(done) if call == "mark begin"],
            [n for n, call in enumerate(done) if call == "mark answer"],
            strict=True,
        )
    ]


def finished_calls(trace: str) -> Iterator[str]:
    """`sync PATH`, `rename PATH` and `mark WORD`, each where the call returned."""
    unfinished: dict[str, str] = {}
    for line in trace.splitlines():
        pid, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            unfinished[pid] = call
            continue
        if call.startswith("<..."):
            call = unfinished.pop(pid) + call
        if mark := re.match(r'write\(2\D.*"MARK (\w+)', call):
            yield f"mark {mark[1]}"
        elif sync := re.match(r"f(?:data)?sync\(\d+<([^>]*)>.*= 0", call):
            yield f"sync {sync[1]}"
        elif rename := re.match(r'rename\w*\(.*"([^"]*)".*= 0', call):
            yield f"rename {rename[1]}"


def short(call: str, folder: Path) -> str:
    """The call with its path below the hub's folder, and the varying parts of it named."""
    call = call.replace(f"{folder}/", "").replace(f"{folder}", "FOLDER")
    call = re.sub(r"content/[0-9a-f]{2}(?=/|$)", "content/SHARD", call)
    call = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "EXCHANGE", call)
    return re.sub(r"/\.(\d)-[^/]+", r"/UNFINISHED-\1", call)


def in_place(path: str) -> list[str]:
    """A file that has its name only once its bytes are durable."""
    return [f"sync {path}.new", f"rename {path}"]


def adopted(index: int) -> list[str]:
    upload, exchange = "content/uploads/EXCHANGE", "content/SHARD/EXCHANGE"
    return [
        *in_place(f"{upload}/content/key"),
        f"sync {upload}/content",
        *in_place(f"{upload}/claim"),
        f"sync {upload}",
        f"sync {exchange}",
        "sync content/SHARD",
        f"rename {exchange}/{index}",
        f"sync {exchange}",
        f"sync {upload}",
    ]


def attachment(index: int, parts: int) -> list[str]:
    exchange = "content/SHARD/EXCHANGE"
    unfinished = f"{exchange}/UNFINISHED-{index}"
    names = ["key", *(f"{part:08d}" for part in range(parts))]
    return [
        *(call for name in names for call in in_place(f"{unfinished}/{name}")),
        f"sync {unfinished}",
        f"rename {exchange}/{index}",
        f"sync {exchange}",
        "sync content/SHARD",
    ]


LEDGER = [
    "sync document-keys.db-wal",
    "sync hub.db-wal",  # The events.
    "sync signer/last-signed.db-wal",
    "sync hub.db-wal",  # Tiles and checkpoint.
]


def test_three_submissions_were_traced(submissions):
    assert len(submissions) == 3


@pytest.mark.parametrize("number", [0, 1])
def test_content_then_keys_then_events_then_the_signer_then_the_checkpoint(submissions, number):
    done = submissions[number]
    # The first writes make the write-ahead logs: these have headers to be synced, and folders.
    logs = [call for call in done if call.endswith("-wal")]

    assert [call for call, _ in groupby(logs)] == LEDGER
    assert done.index("sync document-keys.db-wal") > max(
        n for n, call in enumerate(done) if "content" in call
    )


@pytest.mark.parametrize("number", [0, 1])
def test_every_part_its_folder_and_every_folder_above_it_are_synced(submissions, number):
    content = [call for call in submissions[number] if "content" in call]
    above = [call for call in content if call != "sync content"]

    assert above == attachment(0, parts=2) + attachment(1, parts=1)
    if number == 0:
        assert "sync content" in content, "the folder of a new shard has an entry of its own"


def test_uploads_are_under_their_exchange_before_the_event_and_spent_after_it(submissions):
    # The folder of the write-ahead logs is synced once by each connection that writes.
    done = [call for call in submissions[2] if call not in {"sync content", "sync FOLDER"}]
    moved = adopted(0) + adopted(1)

    assert done[: len(moved)] == moved
    assert done[len(moved) : len(moved) + len(LEDGER)] == LEDGER
    # Each upload's key, then its record, then the rest.
    spent = [call.removesuffix("-wal") for call in done[len(moved) + len(LEDGER) :]]
    keys, upload = "sync document-keys.db", "sync content/uploads/EXCHANGE"
    assert [call for call, _ in groupby(spent)] == [keys, upload, "sync content/uploads"] * 2


def test_a_running_hub_syncs_nothing_twice(submissions):
    done = [call for call in submissions[1] if "content" not in call]

    assert done == LEDGER
