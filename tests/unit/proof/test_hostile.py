"""Files made to hurt whoever reads them: refused, and in bounded memory.

Memory is what is asserted, as the most that Python held at once; how long it took is the
machine's affair. Each of these would cost hundreds of megabytes, or all there is, if it were
read the obvious way.
"""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Callable

import pytest

from hub.errors import VerificationFailed
from hub.proof.bundle import BUNDLE_BYTES_MAX, BUNDLE_MEDIA_TYPE
from hub.proof.checks import Checks
from hub.proof.evidence import RECEIPT_FILE_BYTES_MAX, RECEIPT_FILE_MEDIA_TYPE
from hub.proof.examination import examine_file
from hub.proof.findings import Verdict
from hub.proof.folders import content_in, read_at_most
from hub.proof.note import parse_note
from hub.proof.policy import parse_policy
from hub.proof.receipt import parse_tlog_proof
from hub.proof.trust import parse_trusted_root
from tests.unit.proof.building import LOG, Case, golden_files, plain_log, trusted_root
from tests.unit.proof.bundles import Story, sealed

MIB = 1 << 20
RECEIPT = RECEIPT_FILE_MEDIA_TYPE.encode()
BUNDLE = BUNDLE_MEDIA_TYPE.encode()


def peak_of(work: Callable[[], object]) -> tuple[int, object]:
    """The most bytes that were held at once beyond what was there before, and the result."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = work()
        return tracemalloc.get_traced_memory()[1] - before, result
    finally:
        tracemalloc.stop()


def with_proof(proof: str) -> bytes:
    file = json.loads(Case().file().format())
    file["proof"] = proof
    return json.dumps(file, ensure_ascii=False, indent=2).encode() + b"\n"


def with_checkpoint(change: Callable[[str], str]) -> bytes:
    return with_proof(change(json.loads(Case().file().format())["proof"]))


def with_cosignatures(count: int) -> bytes:
    """A receipt file whose proof ends in so many lines by a witness nobody knows."""
    file = golden_files()["fact.receipt.json"]
    end = b'"\n}\n'
    line = json.dumps(A_LINE, ensure_ascii=False)[1:-1].encode()
    return file.removesuffix(end) + line * count + end


def bundle_with(**members: object) -> bytes:
    return sealed(json.loads(Story().bundle().format()) | members)


A_LINE = "\u2014 w.example/1 " + base64.b64encode(bytes(76)).decode() + "\n"
FILES: dict[str, Callable[[], bytes]] = {
    "ten megabytes of open brackets": lambda: b"[" * (10 * MIB),
    "ten megabytes of nested lists": lambda: b"[" * (5 * MIB) + b"]" * (5 * MIB),
    "ten megabytes of nested objects": lambda: b'{"leaf":' * (10 * MIB // 8),
    "ten megabytes nested in a bundle": lambda: (
        b'{"media_type":"' + BUNDLE + b'","facts":' + b"[" * (10 * MIB)
    ),
    "a million empty lists": lambda: b'{"media_type":"%s","leaf":[%s[]]}' % (BUNDLE, b"[]," * MIB),
    "a million empty objects": lambda: (
        b'{"media_type":"%s","facts":[%s{}]}' % (BUNDLE, b"{}," * MIB)
    ),
    "a million zeros": lambda: b'{"media_type":"%s","facts":[%s0]}' % (BUNDLE, b"0," * MIB),
    "a million names": lambda: (
        b'{"media_type":"%s",' % RECEIPT
        + b",".join(b'"%d":0' % number for number in range(MIB))
        + b"}"
    ),
    "one name a million times": lambda: (
        b'{"media_type":"%s"' % RECEIPT + b',"leaf":""' * MIB + b"}"
    ),
    "a name twice": lambda: golden_files()["fact.receipt.json"].replace(
        b'{\n  "media', b'{\n  "proof": "",\n  "media', 1
    ),
    "one string without an end": lambda: (
        b'{"media_type":"%s","leaf":"' % BUNDLE + b"A" * (16 * MIB)
    ),
    "one string of escapes": lambda: (
        b'{"media_type":"%s","leaf":"' % RECEIPT + b"\\u0041" * (2 * MIB) + b'"}'
    ),
    "quotes only": lambda: b'"' * RECEIPT_FILE_BYTES_MAX,
    "backslashes only": lambda: b'"' + b"\\" * RECEIPT_FILE_BYTES_MAX,
    "an integer of ten million digits": lambda: (
        b'{"media_type":"%s","facts":%s}' % (BUNDLE, b"9" * (10 * MIB))
    ),
    "a float of ten million digits": lambda: (
        b'{"media_type":"%s","facts":0.%s}' % (BUNDLE, b"9" * (10 * MIB))
    ),
    "an exponent": lambda: b'{"media_type":"%s","facts":1e999999999}' % BUNDLE,
    "a million cosignatures": lambda: with_cosignatures(MIB),
    "as many cosignatures as fit": lambda: with_cosignatures(RECEIPT_FILE_BYTES_MAX // 130),
    "just too many cosignatures": lambda: with_checkpoint(lambda proof: proof + A_LINE * 100),
    "a path of a hundred thousand hashes": lambda: with_checkpoint(
        lambda proof: proof.replace("\n\n", "\n" + f"{'A' * 43}=\n" * 100_000 + "\n", 1)
    ),
    "a tree of absurd size": lambda: with_checkpoint(
        lambda proof: proof.replace("\n9\n", "\n" + "9" * 4_000_000 + "\n", 1)
    ),
    "an index of absurd size": lambda: with_checkpoint(
        lambda proof: proof.replace("index 5", "index " + "9" * 4_000_000, 1)
    ),
    "ten megabytes of extra data": lambda: with_checkpoint(
        lambda proof: proof.replace("index", "extra " + "A" * (10 * MIB) + "\nindex", 1)
    ),
    "a bundle of facts without end": lambda: bundle_with(
        facts=[{"leaf": "", "proof": ""}] * 12_000
    ),
    "a bundle of links without end": lambda: bundle_with(
        consistency=[{"old_size": 1, "new_size": 2, "hashes": []}] * 13_001
    ),
    "a bundle of hashes without end": lambda: bundle_with(
        consistency=[{"old_size": 1, "new_size": 2, "hashes": ["A" * 43 + "="] * 20_000}]
    ),
    "a bundle with a leaf of four megabytes": lambda: bundle_with(
        facts=[{"leaf": base64.b64encode(bytes(4 * MIB)).decode(), "proof": ""}]
    ),
    "a bundle larger than any": lambda: b" " * (BUNDLE_BYTES_MAX + 1) + BUNDLE,
    "no text at all": lambda: bytes(16 * MIB),
    "a byte order mark": lambda: b"\xef\xbb\xbf" + golden_files()["fact.receipt.json"],
    "a zip": lambda: b"PK\x03\x04" + bytes(MIB),
}
# A file that is read whole is held as bytes, as text, and once more as what it says.
_TIMES_ITS_SIZE = 6


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_in_bounded_memory(name):
    data = FILES[name]()
    checks = Checks(trusted_root())
    peak, findings = peak_of(lambda: examine_file(data, checks))
    assert findings.verdict is Verdict.REFUTED
    assert peak < _TIMES_ITS_SIZE * len(data) + 16 * MIB, f"{peak / MIB:.0f} MiB"
    # And what is said of it does not repeat it.
    text = findings.items[-1].text
    assert len(text) < 300
    assert text.isprintable()


ROOT = json.loads(golden_files()["trusted_root.json"])
PARTS: dict[str, tuple[Callable[[bytes], object], Callable[[], bytes]]] = {
    "a note of a million lines": (
        parse_note,
        lambda: plain_log().signed_checkpoint(LOG) + A_LINE.encode() * MIB,
    ),
    "a note of a hundred thousand lines": (
        parse_note,
        lambda: (plain_log().signed_checkpoint(LOG) + A_LINE.encode() * MIB)[:MIB],
    ),
    "a proof of newlines": (parse_tlog_proof, lambda: b"\n" * (10 * MIB)),
    "a trusted root of ten thousand logs": (
        parse_trusted_root,
        lambda: json.dumps(ROOT | {"logs": ROOT["logs"] * 10_000}).encode(),
    ),
    "a trusted root of one log many times": (
        parse_trusted_root,
        lambda: json.dumps(ROOT | {"logs": ROOT["logs"] * 1_000}).encode(),
    ),
    "a nested trusted root": (parse_trusted_root, lambda: b'{"logs":' * MIB),
    "a policy of comments": (parse_policy, lambda: b"#\n" * (5 * MIB)),
    "a policy of groups": (
        parse_policy,
        lambda: b"".join(b"group g%d any g%d\n" % (n + 1, n) for n in range(10_000)),
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_hostile_part_is_refused_in_bounded_memory(name):
    parse, make = PARTS[name]
    data = make()

    def work():
        with pytest.raises(VerificationFailed):
            parse(data)

    peak, _ = peak_of(work)
    assert peak < _TIMES_ITS_SIZE * min(len(data), MIB) + 4 * MIB, f"{peak / MIB:.0f} MiB"


def test_a_file_without_an_end_is_read_to_the_limit_only(tmp_path):
    path = tmp_path / "huge.bundle.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # A hole: it takes no room on the disk.
    peak, data = peak_of(lambda: read_at_most(path, 1000))
    assert len(data) == 1001
    assert peak < MIB


def test_an_attachment_without_an_end_is_read_a_piece_at_a_time(tmp_path):
    folder = tmp_path / "exchange"
    folder.mkdir()
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 40)
    peak, found = peak_of(lambda: content_in(tmp_path)("exchange", "huge", 40 * MIB))
    assert found[0] == 41 * MIB
    assert peak < 8 * MIB


def test_an_attachment_that_is_a_folder_or_a_pipe_is_not_waited_for(tmp_path):
    import os

    (tmp_path / "exchange" / "folder").mkdir(parents=True)
    os.mkfifo(tmp_path / "exchange" / "pipe")
    look = content_in(tmp_path)
    for name in ("folder", "pipe"):
        with pytest.raises(OSError, match="not a regular file"):
            look("exchange", name, 1)
    assert look("exchange", "missing", 1) is None
