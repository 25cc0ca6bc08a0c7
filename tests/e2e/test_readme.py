"""The commands of the README and of the operations guide run as they are written.

Two things are not as written: the venv is there already, and the port is a free one.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
SENDER, OPERATOR = "hub/clients/ubnd-quan-1", "hub/clients/operator"


def blocks(page: str, heading: str) -> list[str]:
    """The shell commands below a heading of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    _, _, rest = text.partition(f"\n## {heading}\n")
    part = rest.partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)


@dataclass
class Trial:
    """The folder that the README tells to work in, beside the repository."""

    folder: Path

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run some lines of a shell in it."""
        return subprocess.run(
            ["bash", "-c", f"set -eu\n{script}"],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def done(self, script: str) -> str:
        """The same, when it must come out well; what it printed."""
        result = self.run(script)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command that goes on; returns once it has printed its first line."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if "listens on" not in line:
            stop(process)
            raise AssertionError(line)
        return process

    def _environment(self) -> dict[str, str]:
        path = f"{self.folder.parent}/lienthong/.venv/bin:/usr/bin:/bin"
        return {"PATH": path, "HOME": str(self.folder), "LANG": "C.UTF-8"}


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """What the first two blocks of the README leave, up to the hub that is not served yet."""
    repository = tmp_path / "lienthong"
    repository.mkdir()
    (repository / ".venv").symlink_to(sys.prefix)
    prepare, found_and_serve, *_ = blocks("README.md", "Send a document in five commands")
    assert prepare.startswith("make venv\n")
    Trial(repository).done(prepare.removeprefix("make venv\n"))
    trial = Trial(tmp_path / "lienthong-trial")
    found, _serve = found_and_serve.splitlines()
    trial.done(f"{found} --listen 127.0.0.1:{free_port()}")
    return trial


@pytest.fixture
def served(trial: Trial) -> Iterator[Trial]:
    _found, serve = blocks("README.md", "Send a document in five commands")[1].splitlines()
    process = trial.start(serve)
    yield trial
    stop(process)


def test_a_document_is_sent_in_five_commands_and_verified_with_the_hub_switched_off(trial: Trial):
    _, found_and_serve, send_and_fetch = blocks("README.md", "Send a document in five commands")
    commands = re.findall(r"^lienthong", found_and_serve + send_and_fetch, re.MULTILINE)
    assert len(commands) == 5

    hub = trial.start(found_and_serve.splitlines()[1])
    try:
        said = trial.done(send_and_fetch)
    finally:
        stop(hub)

    assert "V/v thử nghiệm liên thông văn bản" in said
    received = trial.folder / "received"
    assert (received / "cong-van.txt").read_text() == "Kính gửi: Sở Tài chính\n"
    for each in blocks("README.md", "Verify it with the hub switched off")[0].splitlines():
        result = trial.run(each)
        assert result.returncode == 2, result.stderr
        assert "7. PROVEN" in result.stdout
        # The tool that stands alone leaves certificates to the command.
        chain = "8. PROVEN" if each.startswith("lienthong") else "8. NOT CHECKED"
        assert chain in result.stdout
        assert "9. NOT CHECKED" in result.stdout
        assert "REFUTED" not in result.stdout


def test_an_agency_is_added_as_the_operations_guide_says(served: Trial):
    enrol, make = blocks("docs/operations.md", "Adding an agency")

    served.done(make)
    served.done(enrol)

    listed = served.done(f"lienthong agency list --profile {OPERATOR}")
    assert "H29.2.11" in listed
    assert "Sở Nội vụ" in listed
    served.done(
        "lienthong send cong-van.txt --to H29.2.11 --number 1 --notation UBND-VP "
        f"--type 'Công văn' --subject 'Chào' --profile {SENDER}"
    )


SEND = (
    "lienthong send cong-van.txt --to H29.2.7 --number {number} --notation UBND-VP "
    f"--type 'Công văn' --subject 'Sao lưu' --profile {SENDER}"
)


def test_a_snapshot_of_a_running_hub_restores_unless_something_was_signed_after_it(trial: Trial):
    """Backup and restore, as the operations guide says, with the signer left alone."""
    process = trial.start("lienthong serve hub")
    trial.done(SEND.format(number=1))
    snapshot(trial.folder / "hub", trial.folder / "backup")
    stop(process)

    restore(trial.folder / "backup", trial.folder / "hub")
    trial.done("lienthong ledger fsck hub")
    process = trial.start("lienthong serve hub")
    trial.done(SEND.format(number=2))
    stop(process)

    restore(trial.folder / "backup", trial.folder / "hub")
    refused = trial.run("lienthong serve hub")
    assert refused.returncode == 1
    assert "[LEDGER_MISMATCH]" in refused.stderr
    assert "the signer has signed" in refused.stderr


def snapshot(hub: Path, backup: Path) -> None:
    backup.mkdir()
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name in ("hub.db", "document-keys.db"):
        statement = f"VACUUM INTO '/backup/{name}'"
        assert statement in text
        with closing(sqlite3.connect(hub / name)) as database:
            database.execute(statement.replace("/backup", str(backup)))
    shutil.copytree(hub / "content", backup / "content")


def restore(backup: Path, hub: Path) -> None:
    for name in ("hub.db", "document-keys.db"):
        for suffix in ("-wal", "-shm"):
            (hub / f"{name}{suffix}").unlink(missing_ok=True)
        shutil.copy(backup / name, hub / name)
    shutil.rmtree(hub / "content")
    shutil.copytree(backup / "content", hub / "content")
