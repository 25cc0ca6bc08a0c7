"""A vendor with the protos, OpenSSL and `buf curl` needs nothing else of ours.

The steps are those of `docs/examples`, run as they stand there.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub.client import HubClient
from tests.support.hubs import ORIGIN, QUAN_1, ROOT, SAMPLES, TAI_CHINH
from tests.support.patience import PATIENCE_S

EXAMPLES = ROOT / "docs" / "examples"
SEND = EXAMPLES / "send-with-openssl-and-buf.sh"
CHECK = EXAMPLES / "check-receipt-with-openssl.sh"
BUF = Path(sys.executable).with_name("buf")
CONTENT = "Nội dung của văn bản.\n".encode() * 100


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "van-ban.txt"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


async def run(*command: str | Path, port: int = 0) -> subprocess.CompletedProcess:
    """A command, while the hub in this process serves it."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",
        "BUF": str(BUF),
        "HUB": f"127.0.0.1:{port}",
    }
    return await asyncio.to_thread(
        subprocess.run,
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def receipt_in(out: Path) -> tuple[bytes, str]:
    """The leaf and the proof in what buf wrote down."""
    receipt = json.loads((out / "response.json").read_text())["acceptance"]["receipt"]
    return base64.b64decode(receipt["leaf"]), base64.b64decode(receipt["proof"]).decode()


@pytest.mark.parametrize("code", [sample.code for sample in SAMPLES])
async def test_a_document_is_sent_and_its_receipt_checked_without_any_code_of_ours(
    hub, tmp_path, file, out, code
):
    sender = hub.speaker(code)
    recipient = hub.speaker(TAI_CHINH if code != TAI_CHINH else QUAN_1)

    sent = await run(SEND, sender.home, recipient.code, file, out, port=hub.port)
    assert sent.returncode == 0, sent.stderr
    checked = await run(CHECK, out, hub.founded.folder.trusted_root)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith(f"proven: {ORIGIN} holds our payload ")

    # The leaf holds the digest of exactly the bytes that were signed, and the signature.
    leaf, proof = receipt_in(out)
    recorded = json.loads(leaf)["data"]
    payload = (out / "payload.json").read_bytes()
    assert recorded["sender"] == code
    assert recorded["statement"]["digest"] == hashlib.sha256(payload).hexdigest()
    assert (
        base64.b64decode(recorded["statement"]["signature"]) == (out / "signature.bin").read_bytes()
    )
    assert proof.splitlines()[0] == "c2sp.org/tlog-proof@v1"

    # And the recipient's system, which has the SDK, takes it like any other document.
    async with HubClient.open(recipient.profile(hub.port)) as client:
        (item,) = [item async for item in client.inbox()]
        document = await client.collect(item.envelope_digest)
        (path,) = await client.download(document, tmp_path / "received")
    assert (path.name, path.read_bytes()) == (file.name, CONTENT)


async def test_the_script_run_again_gets_the_same_answer(hub, file, out):
    sender = hub.speaker(QUAN_1)

    first = await run(SEND, sender.home, TAI_CHINH, file, out, port=hub.port)
    answer = receipt_in(out)
    before = hub.trace()
    second = await run(SEND, sender.home, TAI_CHINH, file, out, port=hub.port)

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert receipt_in(out) == answer
    assert hub.trace() == before


async def test_a_refusal_reaches_a_vendor_with_its_reason(hub, file, out):
    refused = await run(SEND, hub.speaker(QUAN_1).home, "X.1", file, out, port=hub.port)

    assert refused.returncode == 3 << 3  # INVALID_ARGUMENT, as buf puts it.
    told = json.loads(refused.stderr)
    assert told["message"] == "not registered at this hub: X.1"
    (info,) = [detail for detail in told["details"] if detail["type"] == "google.rpc.ErrorInfo"]
    # The details are protobuf in base64, whose padding buf leaves out.
    assert b"RECIPIENT_UNKNOWN" in base64.b64decode(info["value"] + "==")
    assert not (out / "response.json").exists() or not (out / "response.json").read_bytes()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


async def test_the_check_refuses_a_receipt_that_was_touched(hub, file, out):
    sender = hub.speaker(TAI_CHINH)
    for again in range(2):
        sent = await run(SEND, sender.home, QUAN_1, file, out / str(again), port=hub.port)
        assert sent.returncode == 0, sent.stderr
    out = out / "1"
    trusted_root = hub.founded.folder.trusted_root
    leaf, text = receipt_in(out)
    proof = text.encode()
    lines = text.splitlines(keepends=True)
    response = (out / "response.json").read_bytes()
    payload = (out / "payload.json").read_bytes()

    def with_receipt(leaf: bytes, proof: bytes) -> bytes:
        values = {
            "leaf": base64.b64encode(leaf).decode(),
            "proof": base64.b64encode(proof).decode(),
        }
        return json.dumps({"acceptance": {"receipt": values}}).encode()

    # Untouched, it is proven in this form too.
    (out / "response.json").write_bytes(with_receipt(leaf, proof))
    assert (await run(CHECK, out, trusted_root)).returncode == 0

    shorter = "".join(line for n, line in enumerate(lines) if n != 2).encode()
    longer = "".join([*lines[:3], lines[2], *lines[3:]]).encode()
    moved = text.replace("\nindex ", "\nindex 1").encode()
    touched = {
        "another leaf": with_receipt(flipped(leaf, 20), proof),
        "another path": with_receipt(leaf, shorter),
        "a longer path": with_receipt(leaf, longer),
        "another index": with_receipt(leaf, moved),
        "another root": with_receipt(
            leaf, proof.replace(root_in(lines), bytes(32).hex()[:44].encode())
        ),
        "another signature": with_receipt(leaf, proof[:-12] + b"AAAAAAAA" + proof[-4:]),
        "no receipt": b"{}",
    }
    for what, changed in touched.items():
        (out / "response.json").write_bytes(changed)
        told = await run(CHECK, out, trusted_root)
        assert told.returncode == 1, (what, told.stdout)
        assert "NOT PROVEN" in told.stderr, (what, told.stderr)
    (out / "response.json").write_bytes(response)
    (out / "payload.json").write_bytes(payload + b" ")
    assert "does not name our payload" in (await run(CHECK, out, trusted_root)).stderr


def root_in(lines: list[str]) -> bytes:
    """The root's line in the checkpoint."""
    return lines[lines.index("\n") + 3].strip().encode()


async def test_a_checkpoint_of_another_log_key_is_not_believed(hub, tmp_path, file, out):
    sent = await run(SEND, hub.speaker(QUAN_1).home, TAI_CHINH, file, out, port=hub.port)
    assert sent.returncode == 0, sent.stderr
    root = json.loads(hub.founded.folder.trusted_root.read_text())
    key = root["logs"][0]["keys"][0]
    name, key_id, _ = key["vkey"].split("+", 2)
    other = base64.b64encode(b"\x01" + os.urandom(32)).decode()
    key["vkey"] = f"{name}+{key_id}+{other}"
    forged = tmp_path / "other_root.json"
    forged.write_text(json.dumps(root))

    told = await run(CHECK, out, forged)

    assert told.returncode == 1
    assert "did not sign this checkpoint" in told.stderr
