"""What is committed in hub/v1 is what the protos say today."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_committed_wire_code_is_what_the_protos_generate(tmp_path: Path):
    generate = ["make", "-s", "generated", f"VENV={sys.prefix}", f"OUT={tmp_path}"]
    made = subprocess.run(generate, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr

    fresh = _contents(tmp_path / "hub" / "v1")
    committed = _contents(ROOT / "hub" / "v1")
    assert committed.pop("__init__.py", None) == b"", "hub/v1/__init__.py is ours, and empty"
    assert sorted(committed) == sorted(fresh), "run `make protos`"
    stale = [name for name in fresh if committed[name] != fresh[name]]
    assert stale == [], "run `make protos`"


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
