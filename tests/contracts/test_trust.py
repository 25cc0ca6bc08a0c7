"""What every TrustFetches and every RootFiles must do, whichever adapter provides it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.memory.determinism import FixedClock
from adapters.memory.trust import MemoryRootFiles, MemoryTrustFetches
from adapters.storage.engine import Database
from adapters.storage.migrate import migrate
from adapters.storage.trust import TrustFetches as StoredTrustFetches
from hub.application.ports import RootFiles, TrustFetch, TrustFetches
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.trust import FolderRoots
from tests.unit.proof.test_succession import FIRST, SECOND, signed

AT = FixedClock()()
EDITION = signed(SECOND, "an", "binh")


@pytest.fixture(params=["memory", "sqlite"])
def fetches(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TrustFetches]:
    if request.param == "memory":
        yield MemoryTrustFetches()
        return
    migrate(f"sqlite:///{tmp_path}/hub.db")
    with closing(Database(f"sqlite:///{tmp_path}/hub.db")) as database:
        yield StoredTrustFetches(database)


@pytest.fixture(params=["memory", "folder"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> RootFiles:
    if request.param == "memory":
        return MemoryRootFiles(FIRST.format())
    (tmp_path / "trusted_root.json").write_bytes(FIRST.format())
    return FolderRoots(DataFolder(tmp_path))


def test_nobody_has_fetched_anything(fetches: TrustFetches):
    assert list(fetches.all()) == []


def test_everybody_has_the_newest_edition_and_when(fetches: TrustFetches):
    fetches.note("operator", "operator", 1, AT)
    fetches.note("agency", "H29.2", 2, AT)
    fetches.note("agency", "H29.1", 1, AT)
    fetches.note("agency", "H29.1", 3, AT + timedelta(days=1))

    assert list(fetches.all()) == [
        TrustFetch("agency", "H29.1", 3, AT + timedelta(days=1)),
        TrustFetch("agency", "H29.2", 2, AT),
        TrustFetch("operator", "operator", 1, AT),
    ]


def test_an_older_edition_changes_nothing(fetches: TrustFetches):
    fetches.note("agency", "H29.1", 3, AT)
    for edition in (3, 2):
        fetches.note("agency", "H29.1", edition, AT + timedelta(days=1))
    assert list(fetches.all()) == [TrustFetch("agency", "H29.1", 3, AT)]


def test_what_was_noted_is_there_after_a_restart(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/hub.db"
    migrate(url)
    with closing(Database(url)) as database:
        StoredTrustFetches(database).note("agency", "H29.1", 3, AT)
    with closing(Database(url)) as database:
        again = StoredTrustFetches(database)
        again.note("agency", "H29.1", 2, AT + timedelta(days=1))
        assert list(again.all()) == [TrustFetch("agency", "H29.1", 3, AT)]


def test_the_first_edition_is_the_newest_until_one_is_kept(files: RootFiles):
    assert files.newest() == FIRST.format()
    assert files.edition(1) is None
    assert files.edition(2) is None


def test_a_kept_edition_is_handed_out_and_is_the_newest(files: RootFiles):
    for _ in range(2):
        files.keep(2, EDITION)
    assert files.edition(2) == EDITION
    assert files.newest() == EDITION
