"""A package of any size goes to the axis and comes from it in memory that does not grow with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GROWTH_BYTES_MAX = 48 * 1024**2

# Runs by itself, because the highest use of memory is a process's own.
PROGRAM = """
import asyncio, hashlib, os, resource, shutil, sys
from pathlib import Path
from adapters.axis.packages import EdxmlPackages
from adapters.memory.determinism import CountedRandomness
from adapters.storage.content import ContentStore
from adapters.storage.scratch import scratch_in
from adapters.storage.uploads import make_root
from hub.application.axis import MessageKind, Waiting
from hub.domain.relay import RelayState
from tests.support.builders import Stores, MemoryHub, Party, found
from tests.support.relaying import HERE, THERE, Linked
import tests.support.relaying as relaying

folder, size = Path(sys.argv[1]), int(sys.argv[2])
scratch = scratch_in(folder, os.urandom)
relaying.scratch = scratch
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

class OneFile:
    "An axis that keeps one package in a file."
    axis_id, narrows = "", True
    async def waiting(self, kind, **days):
        wanted = kind is MessageKind.DOCUMENT and self.axis_id
        return [Waiting(self.axis_id, recipient=THERE)] if wanted else []
    async def fetch(self, axis_id, into, raw=None):
        with (folder / "package").open("rb") as file:
            shutil.copyfileobj(file, into, 1 << 18)
    def prepare(self, kind, package, *, sender, recipients=()):
        from hub.application.axis import Prepared
        return Prepared(b"request")
    async def send(self, prepared, package):
        if not self.axis_id:
            with (folder / "package").open("wb") as file:
                shutil.copyfileobj(package, file, 1 << 18)
            self.axis_id = "one"
        return "sent"
    async def mark(self, axis_id, state):
        self.axis_id = ""
    async def agencies(self):
        from hub.application.axis import AxisAgency
        return [AxisAgency(code=HERE), AxisAgency(code=THERE)]

def link(code, size):
    place = folder / f"{code}-{size}"
    make_root(place)
    stores = Stores(content=ContentStore(place, os.urandom))
    hub = found(MemoryHub(stores, randomness=CountedRandomness(f"{code} {size}")))
    hub.register(code); hub.done(hub.enrolment(Party(code)))
    made = Linked(hub, axis, code); made.synchronise()
    return made

def round_trip(size):
    block, digest, left = os.urandom(1 << 20), hashlib.sha256(), size
    ours, theirs = link(HERE, size), link(THERE, size)
    content = scratch()
    while left:
        part = block[:left]; digest.update(part); content.write(part); left -= len(part)
    described = {"name": "scan.pdf", "media_type": "application/pdf", "size": size,
                 "sha256": digest.hexdigest()}
    envelope = Party(HERE).envelope(THERE, document={"attachments": [described]})
    put = ours.hub.stores.content.put
    def put_from_file(exchange_id, index, _content, key):
        content.seek(0)
        ours.hub.stores.content.put_from(exchange_id, index, content, size, key)
    from hub.application import intake
    ours.hub.stores.content.put = put_from_file
    checked, intake.require_content = intake.require_content, lambda *_: None
    ours.hub.submit(HERE, envelope, [b"instead"])
    intake.require_content = checked
    ours.hub.stores.content.put = put
    assert ours.send() == 1
    assert theirs.take() == 1
    ((_, _, document),) = theirs.hub.views.inbox(THERE, 0, 10)
    assert document.attachment_bytes == size
    assert [row.state for row in ours.rows()] == [RelayState.SENT]

axis = OneFile()
round_trip(1 << 20)
before = peak()
round_trip(size)
print(peak() - before)
"""


# In base64 the larger one is a package of 2 GiB.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "size", [64 * 1024**2, pytest.param(1536 * 1024**2, marks=pytest.mark.long)]
)
def test_a_large_document_goes_over_the_axis_in_constant_memory(tmp_path: Path, size: int):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(size)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1700,
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < GROWTH_BYTES_MAX
