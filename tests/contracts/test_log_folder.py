"""What every LogFolder must do, whichever adapter provides it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.memory.export import MemoryLogFolder
from adapters.storage.export import ExportFolder
from hub.application.ports import LogFolder
from hub.proof.tiles import TilePath

TILE, PARTIAL, BUNDLE = TilePath(0, 0), TilePath(0, 0, 5), TilePath(None, 1234, 7)


@pytest.fixture(params=["memory", "storage"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogFolder]:
    if request.param == "memory":
        yield MemoryLogFolder()
        return
    with ExportFolder.open(tmp_path / "export") as files:
        yield files


def test_a_new_folder_holds_nothing(folder: LogFolder):
    assert folder.checkpoint() is None
    assert folder.file(TILE, 10) is None


def test_what_was_put_comes_back(folder: LogFolder):
    folder.put(BUNDLE, b"entries")
    folder.put(PARTIAL, b"hashes")

    assert folder.file(BUNDLE, 7) == b"entries"
    assert folder.file(PARTIAL, 6) == b"hashes"
    assert folder.file(TILE, 6) is None


def test_a_file_that_is_too_large_is_not_read_to_its_end(folder: LogFolder):
    folder.put(TILE, b"x" * 1000)

    assert folder.file(TILE, 10) == b"x" * 11


def test_the_checkpoint_is_the_one_committed_last(folder: LogFolder):
    for note in (b"one", b"one", b"two"):
        folder.commit(note)
        assert folder.checkpoint() == note


def test_partial_files_go_and_full_ones_stay(folder: LogFolder):
    for path in (TILE, PARTIAL, TilePath(0, 0, 200), TilePath(0, 1, 3), TilePath(None, 0, 3)):
        folder.put(path, b"data")

    folder.drop_partial(TILE)
    folder.drop_partial(TilePath(0, 7))

    assert folder.file(TILE, 9) == b"data"
    assert folder.file(PARTIAL, 9) is None
    assert folder.file(TilePath(0, 0, 200), 9) is None
    assert folder.file(TilePath(0, 1, 3), 9) == b"data"
    assert folder.file(TilePath(None, 0, 3), 9) == b"data"
