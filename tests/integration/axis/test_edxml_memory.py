"""Packages of hundreds of megabytes pass in memory that does not grow with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S

ROOT = Path(__file__).parents[3]
GROWTH_BYTES_MAX = 32 * 1024**2

# Runs by itself, because the highest use of memory is a process's own.
PROGRAM = """
import hashlib, os, resource, sys, tempfile
from adapters.axis.edxml.model import Attachment, DocumentHeader, DocumentPackage, Organ
from adapters.axis.edxml.reader import read
from adapters.axis.edxml.writer import write_document

folder, size, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def scratch(): return tempfile.TemporaryFile(dir=folder)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def make(size):
    content, digest, left = scratch(), hashlib.sha256(), size
    while left:
        # Random, as zipped and scanned documents are; one block, to spare the machine.
        block = BLOCK[:left]
        content.write(block); digest.update(block); left -= len(block)
    content.seek(0)
    return content, digest.hexdigest()

def there_and_back(size):
    content, digest = make(size)
    attachment = Attachment(name=name, size=size, sha256=digest)
    header = DocumentHeader(to=(Organ(organ_id="B"),))
    package = DocumentPackage(header=header, attachments=(attachment,))
    out = scratch()
    write_document(package, [content], out, scratch)
    out.seek(0)
    reading = read(out, scratch)
    assert reading.package.attachments[0].sha256 == digest
    assert reading.package.attachments[0].size == size
    reading.close(); out.close(); content.close()

BLOCK = os.urandom(1 << 20)
there_and_back(1 << 20)
before = peak()
there_and_back(size)
print(peak() - before)
"""


@pytest.mark.parametrize("name", ["scan.pdf", "bảng.xlsx"])
@pytest.mark.parametrize(
    "size", [64 * 1024**2, pytest.param(512 * 1024**2, marks=pytest.mark.long)]
)
def test_a_large_package_goes_there_and_back_in_constant_memory(
    tmp_path: Path, name: str, size: int
):
    grown = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(size), name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )

    assert int(grown.stdout) < GROWTH_BYTES_MAX


WIRE_PROGRAM = """
import asyncio, datetime, hashlib, os, pathlib, resource, sys, tempfile
from adapters.axis.edxml.model import Attachment, DocumentHeader, DocumentPackage, Organ
from adapters.axis.edxml.writer import write_document
from adapters.axis.national.gateway import NationalAxis, NationalSettings
from adapters.axis.simulator.server import Simulator
from hub.application.axis import MessageKind
from hub.application.leading import undisputed

folder, size = pathlib.Path(sys.argv[1]), int(sys.argv[2])
def scratch(): return tempfile.TemporaryFile(dir=folder)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def clock(): return datetime.datetime.now(datetime.UTC)

def package(size):
    content, out = scratch(), scratch()
    block, digest = os.urandom(1 << 20), hashlib.sha256()
    for _ in range(size >> 20):
        content.write(block); digest.update(block)
    content.seek(0)
    attachment = Attachment(name="scan.pdf", size=size, sha256=digest.hexdigest())
    header = DocumentHeader(to=(Organ(organ_id="B"),))
    made = DocumentPackage(header=header, attachments=(attachment,))
    write_document(made, [content], out, scratch)
    return out

async def through(address, size):
    sender = NationalAxis(NationalSettings(address, "A", ("a",)), clock, may_act=undisputed)
    receiver = NationalAxis(NationalSettings(address, "B", ("b",)), clock, may_act=undisputed)
    data, into = package(size), scratch()
    await sender.send(sender.prepare(MessageKind.DOCUMENT, data, sender="A"), data)
    waiting = await receiver.waiting(MessageKind.DOCUMENT)
    assert await receiver.fetch(waiting[-1].axis_id, into) == data.seek(0, 2)
    await sender.close(); await receiver.close()

simulator = Simulator(folder, clock)
simulator.store.enrol("A", ["a"]); simulator.store.enrol("B", ["b"])
simulator.habits.appends_trace = False
with simulator.listening() as address:
    asyncio.run(through(address, 1 << 20))
    before = peak()
    asyncio.run(through(address, size))
    print(peak() - before)
"""


def test_a_large_package_passes_over_the_wire_in_constant_memory(tmp_path: Path):
    """Gateway and simulator in one process: neither holds it."""
    grown = subprocess.run(
        [sys.executable, "-c", WIRE_PROGRAM, str(tmp_path), str(64 * 1024**2)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )

    assert int(grown.stdout) < GROWTH_BYTES_MAX


HOSTILE = {
    "a comment without end": (b"<a><!--", b"x" * 65536),
    "a name without end": (b"<a", b"x" * 65536),
    "an attribute without end": (b"<a b='", b"x" * 65536),
    "CDATA without end": (b"<a><![CDATA[", b"x" * 65536),
    "text without end": (b"<a>", b"x" * 65536),
    "elements without end": (b"<a>", b"<b/>" * 16384),
    "depth without end": (b"", b"<b>" * 16384),
    "base64 without end": (b"<a><ContentTransferEncoded>", b"QUJD" * 16384),
}

HOSTILE_PROGRAM = """
import resource, sys
from adapters.axis.edxml.errors import EdxmlRefused
from adapters.axis.edxml.parsing import Limits
from adapters.axis.edxml.reader import read
from tests.integration.axis.test_edxml_memory import HOSTILE

class Endless:
    def __init__(self, start, block): self.start, self.block = start, block
    def read(self, size):
        start, self.start = self.start, b""
        return start or self.block

class Nowhere:
    def write(self, data): return len(data)
    def close(self): pass

def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
try:
    read(Endless(*HOSTILE[sys.argv[1]]), Nowhere, Limits(attachment_bytes=1 << 28))
except EdxmlRefused as refused:
    print(refused.reason, peak() - before)
"""


@pytest.mark.parametrize("case", HOSTILE)
def test_a_package_without_end_is_refused_before_it_costs_much(case: str):
    refused = subprocess.run(
        [sys.executable, "-c", HOSTILE_PROGRAM, case],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    reason, grown = refused.stdout.split()

    assert reason in {"EDXML_TOO_LARGE", "EDXML_TOO_DEEP", "EDXML_NOT_WELL_FORMED"}
    # Unfinished constructs are held up to a bound, header elements up to another.
    assert int(grown) < 160 * 1024**2
