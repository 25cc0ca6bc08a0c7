"""The bundles people keep: unchanged, and still verified."""

import os
from pathlib import Path

import pytest

from hub.proof.bundle import parse_bundle
from hub.proof.checks import Checks
from hub.proof.examination import examine_bundle
from hub.proof.findings import Verdict
from hub.proof.folders import content_in
from hub.proof.trust import parse_trusted_root
from tests.unit.proof import bundles

FOLDER = Path(__file__).parent / "bundles"
MADE = bundles.golden_files()


@pytest.mark.parametrize("name", MADE)
def test_the_promised_bytes_are_unchanged(name):
    if os.environ.get("LIENTHONG_REWRITE_GOLDEN"):
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_bytes(MADE[name])
    assert (FOLDER / name).read_bytes() == MADE[name]


def test_no_sample_is_left_over():
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert files == {*MADE, "README.md"}


def test_a_kept_bundle_still_says_what_it_said():
    trust = parse_trusted_root((FOLDER / "trusted_root.json").read_bytes())
    data = (FOLDER / "document.bundle.json").read_bytes()
    checks = Checks(trust, content=content_in(FOLDER / "content"))
    items = examine_bundle(data, checks).items
    assert [item.verdict for item in items].count(Verdict.NOT_CHECKED) == 6
    assert [item.verdict for item in items].count(Verdict.STATED) == 7
    assert not [item for item in items if item.verdict is Verdict.REFUTED]
    assert len(items) == 35
    assert parse_bundle(data).format() == data
