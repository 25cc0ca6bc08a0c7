"""Every block of the SDK's README runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hub.client import ClientProfile

README = Path(__file__).parents[3] / "hub" / "client" / "README.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def desk(profiles, tmp_path, monkeypatch):
    """A folder as the README describes it, reaching the fake hub."""
    home = tmp_path / "H29.3"
    (tmp_path / "H29.7").rename(home / "recipient")
    (home / "cong-van.pdf").write_bytes(b"%PDF-1.7")
    monkeypatch.chdir(home)
    return home


def test_the_blocks_run_in_their_order(desk, tmp_path, capsys):
    namespace = {}
    for number, block in enumerate(blocks("python"), start=1):
        exec(compile(block, f"README block {number}", "exec"), namespace)

    output = capsys.readouterr().out
    assert "accepted at position" in output
    assert "['cong-van.pdf']" in output
    assert "1 125/UBND-VP ARRIVED" in output
    assert "H29.7 HANDED_OVER None signed by H29.7" in output
    assert "H29.7 STATUS 01 signed by H29.7" in output
    assert "recalled: Sai số liệu" in output
    assert "not sent" not in output
    assert (desk / "received" / "cong-van.pdf").read_bytes() == b"%PDF-1.7"
    # The last block is a test of its own.
    namespace["test_a_lost_answer_is_not_a_lost_document"](tmp_path / "vendor")


def test_the_profile_in_the_readme_can_be_loaded(tmp_path):
    [text] = blocks("toml")
    (tmp_path / "profile.toml").write_text(text)
    assert ClientProfile.load(tmp_path / "profile.toml").agency == "H29.3"
