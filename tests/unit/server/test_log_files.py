"""What is served over HTTPS: the published tree for everyone, entries for auditors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hub.application.registry import Caller, Role
from hub.errors import LedgerMismatch
from hub.proof.merkle import leaf_hash
from hub.proof.tiles import TilePath, parse_bundle
from hub.server.log_files import Answer, LogFiles, application
from tests.support.builders import MemoryHub, new_hub

AUDITOR, AGENCY, OPERATOR = b"auditor", b"agency", b"operator"
CALLERS = {
    AUDITOR: Caller(Role.AUDITOR, "kiểm toán"),
    AGENCY: Caller(Role.AGENCY, "H29.2.7"),
    OPERATOR: Caller(Role.OPERATOR, "operator"),
}


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


@pytest.fixture
def files(hub: MemoryHub) -> LogFiles:
    async def file(path: TilePath) -> bytes | None:
        return hub.receipts.file(path)

    return LogFiles(
        checkpoint=hub.receipts.checkpoint,
        file=file,
        caller=lambda certificate: CALLERS.get(certificate or b""),
    )


def get(files: LogFiles, path: str, certificate: bytes | None = None) -> Answer:
    return asyncio.run(files.answer("GET", path, certificate))


def test_the_checkpoint_is_for_everyone_and_asked_for_again(files: LogFiles, hub: MemoryHub):
    answer = get(files, "/checkpoint")

    assert (answer.status, answer.body) == (200, hub.receipts.checkpoint())
    assert answer.media_type == b"text/plain; charset=utf-8"
    assert answer.cache == b"no-cache"


def test_a_tile_is_for_everyone_and_for_ever(files: LogFiles, hub: MemoryHub):
    size = hub.receipts.size
    answer = get(files, f"/tile/0/000.p/{size}")

    hashes = [leaf_hash(entry.state) for entry in hub.log.entries(0, size)]
    assert (answer.status, answer.body) == (200, b"".join(hashes))
    assert answer.media_type == b"application/octet-stream"
    assert answer.cache == b"public, max-age=31536000, immutable"


def test_a_tile_of_an_older_checkpoint_is_its_beginning(files: LogFiles):
    assert get(files, "/tile/0/000.p/3").body == get(files, "/tile/0/000.p/5").body[: 3 * 32]


def test_nothing_is_served_beyond_the_newest_checkpoint(files: LogFiles, hub: MemoryHub):
    size = hub.receipts.size
    for path in (f"/tile/0/000.p/{size + 1}", "/tile/0/000", "/tile/0/001.p/1", "/tile/1/000.p/1"):
        assert get(files, path).status == 404
    assert get(files, f"/tile/entries/000.p/{size + 1}", AUDITOR).status == 404


def test_events_that_are_committed_but_not_yet_signed_are_not_served(
    files: LogFiles, hub: MemoryHub
):
    size = hub.receipts.size
    hub.receipts.publish(size - 1, b"an older one")

    assert get(files, f"/tile/0/000.p/{size}").status == 404
    assert get(files, f"/tile/0/000.p/{size - 1}").status == 200


def test_entries_are_for_auditors(files: LogFiles, hub: MemoryHub):
    size = hub.receipts.size
    answer = get(files, f"/tile/entries/000.p/{size}", AUDITOR)

    assert answer.status == 200
    entries = [entry.state for entry in hub.log.entries(0, size)]
    assert parse_bundle(answer.body, width=size) == entries
    # No cache on the way keeps them for the next one.
    assert answer.cache == b"private, max-age=31536000, immutable"


@pytest.mark.parametrize("certificate", [None, AGENCY, OPERATOR, b"enrolled for nobody"])
def test_others_get_the_answer_that_a_missing_file_gets(files: LogFiles, certificate: Any):
    missing = get(files, "/tile/entries/999.p/7", certificate)
    assert get(files, "/tile/entries/000.p/5", certificate) == missing == Answer(404, b"")


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "checkpoint", "/checkpoint/", "//checkpoint", "/Checkpoint", "/tile",
        "/tile/0/../../hub.toml", "/../hub.toml", "/tile/0/%30%30%30.p/5", "/tile/0/000.p/05",
        "/tile/0/0.p/5", "/tile/entries/../0/000.p/5", "/tile/0/000.p/5/", "/tile/0/000.p/5?x",
        "/hub.db", "/signer/log-key.pem", "/" + "x" * 10_000, "/tile/0/" + "x999/" * 2000 + "999",
    ],
)  # fmt: skip
def test_every_other_path_is_nothing(files: LogFiles, path: str):
    assert get(files, path, AUDITOR) == Answer(404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "TRACE"])
def test_only_reading_is_answered(files: LogFiles, method: str):
    answer = asyncio.run(files.answer(method, "/checkpoint", AUDITOR))
    assert (answer.status, answer.body) == (405, b"")
    assert (b"allow", b"GET, HEAD") in answer.headers()


def test_before_the_first_checkpoint_there_is_none(files: LogFiles, hub: MemoryHub):
    hub.receipts.publish(0, b"")
    assert get(files, "/checkpoint").status == 404


def test_an_event_that_is_not_the_recorded_one_is_never_served(files: LogFiles, hub: MemoryHub):
    tables = hub.stores.log._tables
    state = tables.entries[5].state.replace(b"H02", b"H20")
    tables.entries[5] = tables.entries[5]._replace(state=state)
    with pytest.raises(LedgerMismatch) as mismatch:
        get(files, "/tile/entries/000.p/7", AUDITOR)
    assert mismatch.value.position == 5


# --- As an application ---------------------------------------------------------------------


def called(files: LogFiles, method: str, path: bytes) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "raw_path": path, "state": {}}
    asyncio.run(application(files)(scope, None, send))
    return sent


def test_head_says_what_get_would_send(files: LogFiles):
    get_start, get_body = called(files, "GET", b"/checkpoint")
    head_start, head_body = called(files, "HEAD", b"/checkpoint")

    assert head_start == get_start
    assert (b"content-length", b"%d" % len(get_body["body"])) in get_start["headers"]
    assert head_body["body"] == b""


def test_storage_that_fails_is_an_error_and_no_page_about_it(
    files: LogFiles, hub: MemoryHub, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any) -> bytes:
        raise OSError("the disk is gone")

    monkeypatch.setattr(hub.stores.tree, "tile", fail)
    start, body = called(files, "GET", b"/tile/0/000.p/3")

    assert (start["status"], body["body"]) == (500, b"")
    assert (b"cache-control", b"no-store") in start["headers"]


def test_bytes_that_are_no_text_are_no_path(files: LogFiles):
    assert called(files, "GET", b"/tile/\xff\xfe")[0]["status"] == 404
