"""What every VerifiedMark must do, whichever adapter provides it."""

import json
from pathlib import Path

import pytest

from adapters.memory.verified import MemoryVerifiedMark
from adapters.storage.verified import VerifiedFile
from hub.application.ports import Verified, VerifiedMark

ONE, TWO = Verified(1, b"r" * 32, b"x" * 32), Verified(2, b"s" * 32, b"y" * 32)


@pytest.fixture(params=["memory", "storage"])
def mark(request: pytest.FixtureRequest, tmp_path: Path) -> VerifiedMark:
    return MemoryVerifiedMark() if request.param == "memory" else VerifiedFile(tmp_path / "mark")


def test_there_is_no_mark_at_first_and_then_the_last_that_was_written(mark: VerifiedMark):
    assert mark.read() is None
    for each in (TWO, ONE):
        mark.write(each)
        assert mark.read() == each


def test_a_mark_that_was_removed_is_not_there(mark: VerifiedMark):
    mark.write(ONE)
    for _ in range(2):
        mark.write(None)
        assert mark.read() is None


def test_the_mark_is_found_by_whoever_opens_the_folder_next(tmp_path: Path):
    VerifiedFile(tmp_path / "mark").write(ONE)

    assert VerifiedFile(tmp_path / "mark").read() == ONE


GOOD = json.dumps({"size": 1, "root": "00" * 32, "register": "00" * 32})


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "[]",
        "7",
        GOOD.replace("1", '"1"'),
        GOOD.replace("1", "true"),
        GOOD.replace("1", "-1"),
        GOOD.replace("00", "", 1),
        GOOD.replace("00", "zz", 1),
        GOOD.replace("register", "other"),
        GOOD[:-1] + " " * 2000 + "}",
    ],
)
def test_a_damaged_mark_only_costs_time(tmp_path: Path, damaged: str):
    (tmp_path / "mark").write_text(damaged)

    assert VerifiedFile(tmp_path / "mark").read() is None
    assert damaged != GOOD
