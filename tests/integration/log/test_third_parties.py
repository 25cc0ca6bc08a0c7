"""Software that nobody here wrote reads an exported log and our receipts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hub.proof.merkle import leaf_hash
from hub.proof.receipt import parse_tlog_proof
from tests.support.logs import GrownLog

GO_PATH = Path("/usr/share/gocode")
GO = shutil.which("go")
PROGRAM = Path(__file__).parent / "verify.go"


@pytest.fixture(scope="module")
def verify(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The program in Go, built without a network and without a cache of anyone's."""
    if GO is None or not (GO_PATH / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have Go: these tests are not to be skipped there")
        pytest.skip("Go is not installed (apt-get install golang-go golang-golang-x-mod-dev)")
    folder = tmp_path_factory.mktemp("go")
    environment = {
        "PATH": os.environ["PATH"],
        "GO111MODULE": "off",
        "GOPATH": str(GO_PATH),
        "GOCACHE": str(folder / "cache"),
        "GOPROXY": "off",
        "GOFLAGS": "",
        "HOME": str(folder),
    }
    program = folder / "verify"
    build = [str(GO), "build", "-o", str(program), PROGRAM.name]
    subprocess.run(build, cwd=PROGRAM.parent, env=environment, check=True, timeout=100)

    def run(grown: GrownLog, export: Path, receipts: Path) -> subprocess.CompletedProcess[str]:
        command = [str(program), grown.signer.verifier_key.format(), str(export), str(receipts)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)

    return run


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((1, 300, 700), id="small"),
        pytest.param((7, 256, 65_536, 99_999, 100_000), id="large", marks=pytest.mark.long),
    ],
)
def given(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[GrownLog, Path, tuple[int, ...]]:
    """A log of these sizes; its folder with an export and receipts, to be read only."""
    folder = tmp_path_factory.mktemp("log")
    return exported(folder, *request.param), folder, request.param


def exported(folder: Path, *sizes: int) -> GrownLog:
    """A log with a checkpoint at each of these sizes, exported, and receipts of some events."""
    grown = GrownLog.new(folder)
    for size in sizes:
        grown.grow(size - grown.log.head().next_position)
    grown.export(folder / "export")
    (folder / "receipts").mkdir()
    last = sizes[-1]
    spread = range(0, last, max(1, last // 50))
    grown.write_receipts(folder / "receipts", *sorted({*spread, 254, 255, 256, last - 1}))
    return grown


def test_go_reads_an_exported_log_and_our_receipts(given: Any, verify: Any):
    grown, folder, sizes = given
    count = len(list((folder / "receipts").glob("*.leaf")))
    tiles = sum(1 for path in (folder / "export/tile").rglob("*") if path.is_file())
    bundles = -(-sizes[-1] // 256)

    result = verify(grown, folder / "export", folder / "receipts")

    assert result.stderr == ""
    said = f"size {sizes[-1]} entries {sizes[-1]} tiles {tiles - bundles} receipts {count}\n"
    assert result.stdout == said


def test_go_refuses_what_was_changed(tmp_path: Path, verify: Any):
    grown = exported(tmp_path, 300, 700)
    export, receipts = tmp_path / "export", tmp_path / "receipts"
    files = [
        export / "checkpoint",
        *sorted(path for path in (export / "tile").rglob("*") if path.is_file()),
        receipts / "14.leaf",
        receipts / "14.tlog-proof",
    ]
    assert len(files) > 8
    for path in files:
        good = path.read_bytes()
        middle = len(good) // 2
        path.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
        assert verify(grown, export, receipts).returncode != 0, path
        path.write_bytes(good)
    assert verify(grown, export, receipts).returncode == 0


def test_a_verifier_in_rust_takes_our_checkpoints_and_proofs(given: Any):
    """`metamorphic-log` reads notes and proofs; it has no reader of tiles or entries."""
    theirs = pytest.importorskip("metamorphic_log")
    grown, folder, sizes = given
    vkeys = [grown.signer.verifier_key.format()]
    newest = (folder / "export" / "checkpoint").read_text()
    book = grown.receipts()

    head = theirs.checkpoint_verify(newest, vkeys)
    assert (head.origin, head.size) == (grown.signer.verifier_key.name, sizes[-1])
    for size, note in grown.store.checkpoints():
        proof = book.consistency(size, sizes[-1])
        theirs.checkpoint_verify_consistency(note.decode(), newest, vkeys, proof)
    for path in (folder / "receipts").glob("*.leaf"):
        proof = parse_tlog_proof(path.with_suffix(".tlog-proof").read_bytes())
        arguments = (proof.checkpoint.decode(), vkeys, proof.index)
        theirs.checkpoint_verify_inclusion(
            *arguments, leaf_hash(path.read_bytes()), list(proof.hashes)
        )
        with pytest.raises(theirs.VerifyError):
            theirs.checkpoint_verify_inclusion(
                *arguments, leaf_hash(b"another"), list(proof.hashes)
            )


def test_a_verifier_in_rust_refuses_what_was_changed(tmp_path: Path):
    theirs = pytest.importorskip("metamorphic_log")
    grown = exported(tmp_path, 300, 700)
    vkeys = [grown.signer.verifier_key.format()]
    newest = (tmp_path / "export" / "checkpoint").read_text()
    older = next(grown.store.checkpoints())[1].decode()
    proof = grown.receipts().consistency(300, 700)

    with pytest.raises(theirs.VerifyError):
        theirs.checkpoint_verify(newest.replace("\n700\n", "\n701\n"), vkeys)
    with pytest.raises(theirs.VerifyError):
        theirs.checkpoint_verify_consistency(older, newest, vkeys, [*proof[:-1], bytes(32)])
