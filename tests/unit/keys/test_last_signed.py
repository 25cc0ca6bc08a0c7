"""The signer remembers one head, changes it only by compare-and-swap, and never starts anew."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from keys.file import KeyFileError
from keys.last_signed import LastSigned, Signed, SignerConflict, SignerStoreError

ROOT = Path(__file__).parents[3]


def head(size: int, *, origin: str = "lienthong.example/2026", fill: int = 0) -> Signed:
    return Signed(origin, size, bytes([fill]) * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "last_signed.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[LastSigned]:
    store = LastSigned.create(path)
    yield store
    store.close()


def test_a_new_store_remembers_nothing(store: LastSigned):
    assert store.read() is None


def test_the_head_is_remembered_when_the_store_is_opened_again(store: LastSigned, path: Path):
    store.advance(None, head(5))
    store.close()
    again = LastSigned.open(path)
    assert again.read() == head(5)
    again.close()


@pytest.mark.parametrize("expected", [head(5), head(1), head(4, fill=1), head(4, origin="x")])
def test_a_head_that_is_not_the_expected_one_stays(store: LastSigned, expected: Signed):
    store.advance(None, head(4))
    with pytest.raises(SignerConflict):
        store.advance(expected, head(6))
    with pytest.raises(SignerConflict, match="expected nothing"):
        store.advance(None, head(6))
    assert store.read() == head(4)
    store.advance(head(4), head(6))


def test_an_empty_store_is_not_the_expected_head(store: LastSigned):
    with pytest.raises(SignerConflict, match="found nothing"):
        store.advance(head(4), head(6))
    assert store.read() is None


def test_of_two_that_expect_the_same_head_one_wins(store: LastSigned, path: Path):
    other = LastSigned.open(path)
    store.advance(None, head(4))
    store.advance(head(4), head(5, fill=1))
    with pytest.raises(SignerConflict):
        other.advance(head(4), head(5, fill=2))
    assert other.read() == store.read() == head(5, fill=1)
    other.close()


def test_of_many_threads_exactly_one_wins_each_step(store: LastSigned, path: Path):
    other = LastSigned.open(path)
    won: list[tuple[int, int]] = []
    barrier = threading.Barrier(8)

    def contend(number: int) -> None:
        mine = store if number % 2 else other
        for size in range(1, 11):
            barrier.wait()
            expected = mine.read()
            barrier.wait()
            try:
                mine.advance(expected, head(size, fill=number))
            except SignerConflict:
                continue
            won.append((size, number))

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [size for size, _ in won] == list(range(1, 11))
    assert store.read() == head(10, fill=won[-1][1])
    other.close()


def test_a_missing_store_is_not_replaced_by_an_empty_one(path: Path):
    with pytest.raises(SignerStoreError, match="unable to open"):
        LastSigned.open(path)
    assert not path.exists()


def test_a_store_is_never_created_over_another(store: LastSigned, path: Path):
    store.advance(None, head(5))
    with pytest.raises(KeyFileError, match="exists already"):
        LastSigned.create(path)
    assert store.read() == head(5)


def test_an_interrupted_creation_is_refused(path: Path):
    path.touch()
    with pytest.raises(SignerStoreError, match="interrupted"):
        LastSigned.open(path)


def test_another_file_in_its_place_is_refused(path: Path):
    path.write_bytes(b"not a database at all, but long enough to be taken for one" * 20)
    with pytest.raises(SignerStoreError, match="not a database"):
        LastSigned.open(path)
    path.unlink()
    stranger = sqlite3.connect(path)
    stranger.execute("CREATE TABLE last_signed (origin, size, root)")
    stranger.close()
    with pytest.raises(SignerStoreError, match="not a signer's store"):
        LastSigned.open(path)


def test_a_store_of_a_later_format_is_refused(store: LastSigned, path: Path):
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(SignerStoreError, match="format 2"):
        LastSigned.open(path)


def test_a_store_somebody_else_is_writing_to_is_not_waited_for_without_end(
    store: LastSigned, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("keys.last_signed._BUSY_TIMEOUT_S", 0.01)
    hasty = LastSigned.open(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(SignerStoreError, match="locked"):
        hasty.advance(None, head(1))
    holder.execute("ROLLBACK")
    holder.close()
    hasty.advance(None, head(1))
    assert store.read() == head(1)
    hasty.close()


def test_a_failed_write_is_not_kept_and_can_be_repeated(store: LastSigned, path: Path):
    store.advance(None, head(1))
    saboteur = sqlite3.connect(path)
    saboteur.execute(
        "CREATE TRIGGER full AFTER INSERT ON last_signed WHEN new.size = 2"
        " BEGIN SELECT RAISE(FAIL, 'disk full'); END"
    )
    saboteur.close()
    with pytest.raises(SignerStoreError, match="disk full"):
        store.advance(head(1), head(2))
    assert store.read() == head(1)
    store.advance(head(1), head(3))


def test_the_file_belongs_to_its_owner_alone(store: LastSigned, path: Path):
    store.advance(None, head(5))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert path.name in modes


def test_a_name_that_means_something_in_a_uri_is_only_a_name(tmp_path: Path):
    path = tmp_path / "đã ký?mode=memory#1%20"
    store = LastSigned.create(path)
    store.advance(None, head(5))
    store.close()
    store = LastSigned.open(path)
    assert store.read() == head(5)
    store.close()


@pytest.mark.parametrize(("size", "root"), [(-1, bytes(32)), (2**63, bytes(32)), (1, bytes(31))])
def test_a_head_no_checkpoint_can_have_is_refused(size: int, root: bytes):
    with pytest.raises(ValueError, match="tree head"):
        Signed("x", size, root)


def test_the_largest_size_is_kept(store: LastSigned):
    store.advance(None, head(2**63 - 1))
    assert store.read() == head(2**63 - 1)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace counts the syncs")
def test_an_advance_costs_one_sync(tmp_path: Path):
    program = (
        "import sys; from pathlib import Path; from keys.last_signed import *\n"
        "store = LastSigned.create(Path(sys.argv[1])); last = None\n"
        "for size in range(int(sys.argv[2])):\n"
        "    new = Signed('x', size, bytes(32)); store.advance(last, new); last = new\n"
        "import os; os._exit(0)"
    )

    def syncs(advances: int) -> int:
        trace = tmp_path / f"trace.{advances}"
        path = tmp_path / f"store.{advances}"
        command = ["strace", "-f", "-e", "trace=fsync,fdatasync", "-o", trace]
        command += [sys.executable, "-c", program, path, str(advances)]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
        return trace.read_text().count("sync(")

    assert syncs(11) - syncs(1) == 10
