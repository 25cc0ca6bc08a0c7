"""A traced run: what must be durable is synced before the caller hears of it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# Says on standard error, where the trace sees it, what has just returned.
PROGRAM = """
import os, sys
from pathlib import Path
from uuid import UUID
from adapters.storage.content import ContentStore, PART_BYTES
from adapters.storage.document_keys import DocumentKeys
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.migrate import migrate
from adapters.storage.tree import TreeStore
from adapters.storage.uploads import UploadStore, make_root
from adapters.storage.views import Views
from hub.application.ports import Claim, NewUpload, ViewChanges
from tests.support.commits import new_commit, new_event

folder = Path(sys.argv[1])
exchange = UUID("01934f6e-7b00-7abc-8def-0123456789ab")

def done(what):
    os.write(2, f"DONE {what}\\n".encode())

url = f"sqlite:///{folder}/hub.db"
migrate(url); done("migrate")
database = Database(url)
log, tree, views = EventRecorder(database), TreeStore(database), Views(database)
keys = DocumentKeys(Database(f"sqlite:///{folder}/keys.db"))
make_root(folder / "content")
content = ContentStore(folder / "content", os.urandom)
uploads = UploadStore(folder / "content", content, os.urandom)
# The first commit also creates the write-ahead log.
log.commit(new_commit(0, [new_event()])); views.position(); done("open")
content.put(exchange, 0, bytes(PART_BYTES + 1), bytes(32)); done("put")
uploads.create(NewUpload(exchange, "H29", 3, "ab" * 32, "")); done("begin")
uploads.append(exchange, 0, b"123", bytes(32), last=True); done("append")
uploads.finish(exchange); done("finish")
uploads.adopt(exchange, Claim(exchange, 1), bytes(32), bytes(32)); done("adopt")
keys.add({UUID(int=1): b"1" * 40}); done("first")
keys.add({exchange: b"2" * 40}); done("keys")
keys.erase([exchange], 7); done("destroyed")
content.erase([exchange], 7); done("erased")
log.commit(new_commit(1, [new_event() for _ in range(200)])); done("commit")
tree.publish({(0, 0): bytes(32)}, 1, b"note"); done("publish")
views.apply(ViewChanges([], [], []), start=0, end=1); done("views")
"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What was done before each of the program's reports, as `sync PATH` or `rename PATH`."""
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have strace: these tests are not to be skipped there")
        pytest.skip("strace is not installed (apt-get install strace)")
    folder = tmp_path_factory.mktemp("traced")
    output = folder / "trace"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,write"
    command = ["strace", "-f", "-y", "-e", calls, "-s", "64", "-o", output]
    (folder / "data").mkdir()
    subprocess.run(
        [*command, sys.executable, "-B", "-c", PROGRAM, folder / "data"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return _by_report(output.read_text(), folder / "data")


def _by_report(text: str, folder: Path) -> dict[str, list[str]]:
    reports: dict[str, list[str]] = {}
    seen: list[str] = []
    for line in text.splitlines():
        if report := re.search(r'"DONE (\w+)', line):
            reports[report[1]], seen = seen, []
        elif sync := re.search(r"f(?:data)?sync\(\d+<([^>]*)>", line):
            seen.append(f"sync {_short(sync[1], folder)}")
        elif rename := re.search(r'rename\w*\(.*"([^"]*)"', line):
            seen.append(f"rename {_short(rename[1], folder)}")
    return reports


def _short(path: str, folder: Path) -> str:
    """The path below the data folder; a temporary name has its random part cut off."""
    relative = os.path.relpath(path, folder)
    return re.sub(r"/\.(\d+)-\w+", r"/.\1", relative)


def _in_place(path: str) -> list[str]:
    """A file that has its name only once its bytes are durable."""
    return [f"sync {path}.new", f"rename {path}"]


def test_an_upload_is_synced_part_by_part(trace: dict[str, list[str]]):
    upload = "content/uploads/01934f6e-7b00-7abc-8def-0123456789ab"
    assert trace["begin"] == [
        *_in_place(f"{upload}/record"),
        f"sync {upload}",
        "sync content/uploads",
    ]
    assert trace["append"] == [*_in_place(f"{upload}/content/00000000"), f"sync {upload}/content"]
    assert trace["finish"] == [*_in_place(f"{upload}/whole"), f"sync {upload}"]


def test_an_adopted_upload_is_durable_in_its_exchange(trace: dict[str, list[str]]):
    upload = "content/uploads/01934f6e-7b00-7abc-8def-0123456789ab"
    exchange = "content/ab/01934f6e-7b00-7abc-8def-0123456789ab"
    assert trace["adopt"] == [
        *_in_place(f"{upload}/content/key"),
        f"sync {upload}/content",
        *_in_place(f"{upload}/claim"),
        f"sync {upload}",
        f"sync {exchange}",
        "sync content/ab",
        f"rename {exchange}/1",
        f"sync {exchange}",
        f"sync {upload}",
    ]


def test_content_is_synced_with_every_folder_above_it(trace: dict[str, list[str]]):
    exchange = "content/ab/01934f6e-7b00-7abc-8def-0123456789ab"
    assert trace["put"] == [
        *_in_place(f"{exchange}/.0/key"),
        *_in_place(f"{exchange}/.0/00000000"),
        *_in_place(f"{exchange}/.0/00000001"),
        f"sync {exchange}/.0",
        f"rename {exchange}/0",
        f"sync {exchange}",
        "sync content/ab",
        "sync content",
    ]


def test_the_write_ahead_log_is_found_after_a_power_cut(trace: dict[str, list[str]]):
    assert trace["open"].index("sync .") < len(trace["open"]) - 1
    assert trace["open"][-1] == "sync hub.db-wal"


def test_a_commit_is_one_sync_of_the_write_ahead_log(trace: dict[str, list[str]]):
    assert trace["commit"] == ["sync hub.db-wal"]


def test_a_checkpoint_is_synced_before_it_is_published(trace: dict[str, list[str]]):
    assert trace["publish"] == ["sync hub.db-wal"]


def test_document_keys_are_synced(trace: dict[str, list[str]]):
    assert trace["keys"] == ["sync keys.db-wal"]


def test_what_is_destroyed_is_gone_before_it_is_marked(trace: dict[str, list[str]]):
    # The zeros, their way into the file and the empty log; then the mark, in a fresh log.
    zeros, *emptied = trace["destroyed"]
    assert zeros == "sync keys.db-wal"
    assert "sync keys.db" in emptied
    assert set(emptied[emptied.index("sync keys.db") + 1 :]) == {"sync keys.db-wal"}
    *removed, new, name, folder = trace["erased"]
    assert removed[-1].startswith("sync content/")
    assert [new, name] == _in_place("content/erased-below")
    assert folder == "sync content"


def test_a_new_database_is_found_after_a_power_cut(trace: dict[str, list[str]]):
    assert "sync ." in trace["migrate"]
    assert trace["migrate"][-1] == "sync hub.db"


def test_views_are_not_synced(trace: dict[str, list[str]]):
    assert trace["views"] == []
