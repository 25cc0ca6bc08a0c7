"""A PKCS#11 token in software, started by the tests: SoftHSM 2, as Debian ships it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234"


@dataclass(frozen=True)
class SoftToken:
    """A fresh token; `folder` is what it keeps its keys in."""

    label: str
    folder: Path

    def unplug(self) -> None:
        """What it holds is gone until it is plugged in again."""
        self.folder.rename(self.folder.with_suffix(".away"))
        self.folder.mkdir()

    def plug_in(self) -> None:
        self.folder.rmdir()
        self.folder.with_suffix(".away").rename(self.folder)


# One folder a process: the module reads its configuration once, when it is loaded.
_tokens: Path | None = None


def soft_token(tmp_path_factory: pytest.TempPathFactory) -> SoftToken:
    """A new token in this process, or a skip where SoftHSM is missing; CI installs it."""
    global _tokens  # noqa: PLW0603
    if not MODULE.exists() or shutil.which("softhsm2-util") is None:
        assert "CI" not in os.environ, "CI installs softhsm2"
        pytest.skip("needs softhsm2 (Debian)")
    if _tokens is None:
        _tokens = tmp_path_factory.mktemp("softhsm") / "tokens"
        _tokens.mkdir()
        configuration = _tokens.parent / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {_tokens}\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(configuration)
    label = f"token-{len(list(_tokens.iterdir()))}-{os.getpid()}"
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN,
         "--so-pin", "5678"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return SoftToken(label, _tokens)
