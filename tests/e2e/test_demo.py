"""`lienthong demo` comes out as it is told, in both languages, and leaves its evidence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub.proof.__main__ import main as auditors_tool
from tests.support.patience import PATIENCE_S

ENGLISH = (
    "1. A new hub",
    "Accepted, and the receipt holds.",
    "125/UBND-VP: V/v thử nghiệm liên thông",
    "127/UBND-VP:",
    "[CONTENT_WITHHELD]",
    "01 arrived",
    "03 accepted",
    "15 recall agreed",
    "16 recall refused",
    "Verified, and kept: signature, enrolment and receipt hold.",
    "13. A letter goes over the axis",
    "03 accepted, by the axis's word",
    "14. An answer comes in",
    "the sender is not proven",
    "15. The hub changes its key",
    "Published, and the receipt holds.",
    "17. All receipts are verified offline",
    "Event 15 was changed: its bytes do not hash to the leaf that was signed",
    "20. The hub refuses to start",
    "[LEDGER_MISMATCH]",
    "First event that differs: 15",
    "Everything came out as told: event 15 was changed, and found.",
)
VIETNAMESE = (
    "1. Một máy chủ liên thông mới",
    "Đã tiếp nhận, và biên nhận đúng.",
    "127/UBND-VP:",
    "[CONTENT_WITHHELD]",
    "01 đã đến",
    "03 đã tiếp nhận",
    "15 đồng ý thu hồi",
    "16 từ chối thu hồi",
    "Đã kiểm tra và lưu lại: chữ ký, đăng ký chứng thư và biên nhận đều đúng.",
    "13. Một công văn đi qua trục",
    "14. Thư trả lời đến",
    "chưa được chứng minh",
    "15. Máy chủ đổi khóa",
    "Đã công bố, và biên nhận hợp lệ.",
    "17. Mọi biên nhận được kiểm tra ngoại tuyến",
    "Sự kiện 15 đã bị sửa: các byte của nó không băm ra lá đã được ký",
    "20. Máy chủ từ chối khởi động",
    "[LEDGER_MISMATCH]",
    "Sự kiện khác biệt đầu tiên: 15",
    "Mọi việc diễn ra đúng như đã kể: sự kiện 15 bị sửa, và bị phát hiện.",
)


def demo(language: str, *options: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "LIENTHONG_LANG": language,
        "TMPDIR": str(scratch),
        # What an operator has set for a hub of their own must not lead the demo astray.
        "LIENTHONG_LISTEN": "192.0.2.1:1",
        "http_proxy": "http://192.0.2.1:3128",
    }
    return subprocess.run(
        [sys.executable, "-m", "hub.cli.main", "demo", *options],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=2 * PATIENCE_S,
        check=False,
    )


@pytest.mark.early
def test_the_demo_comes_out_as_told(tmp_path):
    ended = demo("vi", scratch=tmp_path)
    assert_told(ended, VIETNAMESE)
    (folder,) = tmp_path.glob("lienthong-demo-*")
    assert [path.name for path in folder.iterdir()] == ["evidence"]
    assert_verifies(folder / "evidence")


@pytest.mark.long
def test_in_english_too_and_what_is_kept_can_be_looked_into(tmp_path):
    kept = tmp_path / "kept"
    assert_told(demo("en", "--keep", str(kept), scratch=tmp_path), ENGLISH)
    assert (kept / "hub" / "hub.toml").is_file()
    assert (kept / "evidence" / "ubnd-quan-1" / "cong-van-125.pdf").read_bytes()[:5] == b"%PDF-"
    assert_verifies(kept / "evidence")

    again = demo("vi", "--keep", str(kept), scratch=tmp_path)
    assert again.returncode == 1
    assert "[FOLDER_NOT_EMPTY]" in again.stderr


def assert_told(ended: subprocess.CompletedProcess[str], sentences: tuple[str, ...]) -> None:
    """It ended well, and said all of this in this order."""
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    place = -1
    for sentence in sentences:
        place = ended.stdout.find(sentence, place + 1)
        assert place >= 0, f"{sentence}\n{ended.stdout}"


def assert_verifies(evidence: Path) -> None:
    """Nothing refuted; what is not checked is the chain of a signing certificate, as told."""
    assert len(list(evidence.rglob("*.receipt.json"))) == 21
    assert auditors_tool(["--trust", str(evidence / "trusted_root.json"), str(evidence)]) == 2
    sent = evidence / "ubnd-quan-1" / "125.receipt.json"
    assert auditors_tool(["--trust", str(evidence / "trusted_root.json"), str(sent)]) == 0
