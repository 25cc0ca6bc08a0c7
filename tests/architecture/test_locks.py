"""Locked files and every other file say what the product needs, not where it was made."""

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))

# Written in pieces, so that this file does not find itself.
PLACES = re.compile(
    "|".join(
        [
            r"(?<![\w.])/" + r"(?:work|farm)/",
            r"\.libr" + r"ary/",
            r"/opt/" + r"(?:wheels|pypi)",
            r"(?:py" + r"pi\.org|python" + r"hosted\.org|npm" + r"js\.(?:org|com))",
            r"this sess" + r"ion\b",
            r"\bsub" + r"agent",
            r"\b(?:anth" + r"ropic|cl" + r"aude)\b",
        ]
    ),
    re.IGNORECASE,
)


def tracked_files() -> list[Path]:
    """Committed files, and those that would be with `git add --all`."""
    listed = subprocess.run(
        # Whoever the checkout belongs to.
        [
            "git",
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    names = sorted({name for name in listed.decode().split("\0") if name})
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_the_pattern_finds_what_it_is_for():
    for text in ["see /wo" + "rk/main", "https://py" + "pi.org/simple", "This sess" + "ion saw"]:
        assert PLACES.search(text), text
    for text in ["docs/list", "a library of forms", "teamwork/"]:
        assert not PLACES.search(text), text


def test_no_file_names_the_place_where_it_was_made():
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked_files()
        for match in PLACES.finditer(path.read_bytes().decode("utf-8", errors="replace"))
    ]
    assert found == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_versions_and_hashes_but_no_address(lock: Path):
    text = lock.read_text()
    assert "://" not in text
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text))
    for block in filter(None, blocks):
        assert re.match(r"[A-Za-z0-9._-]+==\S+", block), block
        assert "--hash=sha256:" in block, block


def test_every_requirement_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime, groups = project["project"]["dependencies"], project["dependency-groups"]
    wanted = {
        "runtime.lock": runtime,
        "dev.lock": [*runtime, *chain.from_iterable(groups.values())],
        "build.lock": groups["build"],
    }
    assert {lock.name for lock in LOCKS} == set(wanted)
    for lock in LOCKS:
        locked = set(re.findall(r"(?m)^([A-Za-z0-9._-]+)==", lock.read_text()))
        names = {re.match(r"[A-Za-z0-9._-]+", entry).group() for entry in wanted[lock.name]}
        assert names - locked == set(), f"{lock.name}: run `make lock`"


def test_the_locks_agree_with_each_other():
    def versions(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / name).read_text()
        return dict(re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;]+)", text))

    everything = versions("dev.lock")
    for name in ("runtime.lock", "build.lock"):
        assert versions(name).items() <= everything.items(), name
