"""The log as files over HTTPS, beside the agencies' own traffic."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hub.application.session import Session
from hub.bootstrap.assembly import running_hub
from hub.bootstrap.core import Core, open_core
from hub.cli.log_source import LogUnreachable, reading
from hub.client import DocumentDraft, HubClient
from hub.config import Settings
from hub.domain.principal import Principal
from hub.errors import VerificationFailed
from hub.proof.tiles import TILE_BYTES, check_log, open_log
from hub.server import log_files
from keys.development_ca import DevelopmentCA, Issued
from tests.support.hubs import QUAN_1, TAI_CHINH, Founded, Running
from tests.support.hubs import check_hub_is_whole as check_whole
from tests.support.patience import PATIENCE_S

LETTER = DocumentDraft(
    number="125",
    notation="UBND-VP",
    type_name="Công văn",
    subject="V/v liên thông văn bản",
    issued_on=date(2026, 11, 22),
)


class EnrolAuditor:
    """What an operator does, done here where no operator is."""

    request = None

    def __init__(self, issued: Issued) -> None:
        self._certificate = x509.load_pem_x509_certificate(issued.certificate_pem)

    def decide(self, session: Session) -> None:
        der = self._certificate.public_bytes(Encoding.DER)
        session.add_evidence(hashlib.sha256(der).digest(), der)
        session.record(
            Principal.enrol(
                principal_id=session.new_id(),
                at=session.at,
                name="thanh-tra",
                role="auditor",
                key_id=uuid.uuid4().hex * 2,
                certificate=hashlib.sha256(der).hexdigest(),
                not_before="2026-01-01T00:00:00.000000Z",
                not_after="2036-01-01T00:00:00.000000Z",
                by="test",
                request_id="",
            )
        )


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIENTHONG_HTTP_LISTEN", "127.0.0.1:0")


@asynccontextmanager
async def files_of(founded: Founded, auditor: Issued | None = None) -> AsyncIterator[Running]:
    folder = founded.folder
    with open_core(folder, Settings.load(folder.root)) as core:
        if auditor:
            enrol(core, auditor)
        async with running_hub(core) as hub:
            yield Running(founded, core, hub.port, hub, hub.http_port)
    check_whole(folder.root)


def enrol(core: Core, auditor: Issued) -> None:
    core.engine.load()
    (outcome,) = core.engine.process([EnrolAuditor(auditor)])
    assert not isinstance(outcome, Exception), outcome


def certificate(founded: Founded, folder: Path, name: str = "thanh-tra") -> tuple[Issued, Any]:
    """A client certificate of the authority the hub trusts, and where it lies with its key."""
    issued = founded.authority.issue_client(name)
    paths = folder / f"{name}.pem", folder / f"{name}.key.pem"
    paths[0].write_bytes(issued.certificate_pem)
    paths[1].write_bytes(issued.private_key_pem)
    return issued, paths


def client(hub: Running, chain: tuple[Path, Path] | None = None) -> httpx2.AsyncClient:
    ca = hub.founded.folder.clients / "operator" / "ca.pem"
    context = ssl.create_default_context(cafile=ca)
    if chain:
        context.load_cert_chain(*chain)
    return httpx2.AsyncClient(
        base_url=f"https://127.0.0.1:{hub.http_port}",
        verify=context,
        trust_env=False,
        timeout=PATIENCE_S,
    )


async def in_thread(work: Any) -> Any:
    return await asyncio.to_thread(work)


async def test_a_hub_serves_no_files_unless_it_is_told_to(hub: Running):
    assert hub.http_port is None


async def test_strangers_read_the_tree_and_no_entry(settings: None, founded: Founded):
    async with files_of(founded) as hub, client(hub) as stranger:
        checkpoint = await stranger.get("/checkpoint")
        assert checkpoint.content == hub.core.receipts.checkpoint()
        assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
        assert "server" not in checkpoint.headers
        size = hub.core.receipts.size
        tile = await stranger.get(f"/tile/0/000.p/{size}")
        assert (tile.status_code, len(tile.content)) == (200, 32 * size)
        head = await stranger.head(f"/tile/0/000.p/{size}")
        assert (head.headers["content-length"], head.content) == (str(32 * size), b"")
        entries = await stranger.get(f"/tile/entries/000.p/{size}")
        missing = await stranger.get("/tile/entries/999")
        assert (entries.status_code, entries.content) == (404, b"")
        assert entries.headers.items() >= missing.headers.items() - {("date", "")}
        assert (await stranger.post("/checkpoint", content=b"x")).status_code == 405


async def test_a_path_that_climbs_out_of_the_log_leads_nowhere(settings: None, founded: Founded):
    async with files_of(founded) as hub:
        ca = founded.folder.clients / "operator" / "ca.pem"
        context = ssl.create_default_context(cafile=ca)
        for path in ("/../hub.toml", "/tile/../../hub.toml", "/tile/0/..%2f..%2fhub.toml", "*"):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", hub.http_port, ssl=context, server_hostname="127.0.0.1"
            )
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), path
            assert b"origin" not in answer
            writer.close()


async def test_an_enrolled_auditor_reads_every_entry_and_can_prove_it(
    settings: None, founded: Founded, tmp_path: Path
):
    issued, chain = certificate(founded, tmp_path)
    async with files_of(founded, issued) as hub:
        ca = founded.folder.clients / "operator" / "ca.pem"
        url = f"https://127.0.0.1:{hub.http_port}"

        def read_all() -> list[bytes]:
            with reading(url, ca=ca, client=chain) as read:
                log = open_log(read, founded.trust)
                assert list(check_log(log)) == []
                return [leaf for _, leaf in log.entries()]

        leaves = await in_thread(read_all)
        assert leaves == [e.state for e in hub.core.log.entries(0, 1000)]


@pytest.mark.parametrize("who", ["agency", "operator", "nobody"])
async def test_a_certificate_that_is_no_auditors_opens_nothing(
    settings: None, founded: Founded, tmp_path: Path, who: str
):
    clients = founded.folder.clients
    homes = {"agency": founded.speakers[QUAN_1].home, "operator": clients / "operator"}
    chain = certificate(founded, tmp_path)[1]
    if who in homes:
        chain = homes[who] / "transport.pem", homes[who] / "transport.key.pem"
    async with files_of(founded) as hub, client(hub, chain) as caller:
        assert (await caller.get("/checkpoint")).status_code == 200
        assert (await caller.get("/tile/entries/000.p/5")).status_code == 404


async def test_a_certificate_of_another_authority_ends_the_handshake(
    settings: None, founded: Founded, tmp_path: Path
):
    other = DevelopmentCA.create(tmp_path / "other", lambda: datetime.now(UTC) - timedelta(days=1))
    issued = other.issue_client("thanh-tra")
    paths = tmp_path / "other.pem", tmp_path / "other.key.pem"
    paths[0].write_bytes(issued.certificate_pem)
    paths[1].write_bytes(issued.private_key_pem)
    async with files_of(founded) as hub, client(hub, paths) as caller:
        with pytest.raises(httpx2.HTTPError):
            await caller.get("/checkpoint")
    # And without TLS there is nothing at all.
    async with files_of(founded) as hub, httpx2.AsyncClient(trust_env=False) as plain:
        with pytest.raises(httpx2.HTTPError):
            await plain.get(f"http://127.0.0.1:{hub.http_port}/checkpoint")


async def test_what_grows_is_seen_and_what_was_seen_stays(settings: None, founded: Founded):
    async with files_of(founded) as hub, client(hub) as stranger:
        before = hub.core.receipts.size
        old = (await stranger.get(f"/tile/0/000.p/{before}")).content
        assert (await stranger.get(f"/tile/0/000.p/{before + 1}")).status_code == 404
        await submit(hub)
        newer = (await stranger.get(f"/tile/0/000.p/{before + 1}")).content
        assert newer[: len(old)] == old
        assert (await stranger.get(f"/tile/0/000.p/{before}")).content == old


async def test_agencies_are_served_while_strangers_hold_every_connection(
    settings: None, founded: Founded
):
    async with files_of(founded) as hub:
        held = [
            await asyncio.open_connection("127.0.0.1", hub.http_port)
            for _ in range(log_files.CONNECTIONS_MAX + 8)
        ]
        await submit(hub)
        for _reader, writer in held:
            writer.close()
    # The hub stopped although nobody had hung up properly.


async def test_beyond_its_connections_the_next_is_sent_away(
    settings: None, founded: Founded, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_files, "CONNECTIONS_MAX", 2)
    async with files_of(founded) as hub, client(hub) as one, client(hub) as two:
        assert (await one.get("/checkpoint")).status_code == 200
        assert (await two.get("/checkpoint")).status_code == 503


async def test_a_connection_does_not_last_for_ever(
    settings: None, founded: Founded, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_files, "_CONNECTION_S_MAX", 0.2)
    async with files_of(founded) as hub:
        context = ssl.create_default_context(cafile=founded.folder.clients / "operator" / "ca.pem")
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", hub.http_port, ssl=context, server_hostname="127.0.0.1"
        )
        writer.write(b"GET /checkpoint HTTP/1.1\r\n")  # And never more.
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError):  # What it had not read yet may make it a reset.
                assert await reader.read() == b""
        writer.close()


# --- Reading as an auditor's tools do ------------------------------------------------------


@asynccontextmanager
async def answering(data: bytes, *, close: bool = True) -> AsyncIterator[int]:
    """A stranger's web server that answers every request with these bytes."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def fetch(port: int, bytes_max: int = 100) -> Any:
    with reading(f"http://127.0.0.1:{port}/log") as read:
        return read("checkpoint", bytes_max)


OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (OK + b"Content-Length: 3\r\n\r\nabc", b"abc"),
        (OK + b"\r\n" + b"x" * 5000, b"x" * 101),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"ff\r\n" + b"y" * 255 + b"\r\n", b"y" * 101),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", None),
    ],
)
async def test_a_file_is_read_no_further_than_it_may_be_long(answer: bytes, expected: Any):
    async with answering(answer) as port:
        assert await in_thread(lambda: fetch(port)) == expected


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
        b"no http at all\r\n\r\n",
        b"",
    ],
)
async def test_any_other_answer_is_a_log_that_cannot_be_reached(answer: bytes):
    async with answering(answer) as port:
        with pytest.raises(LogUnreachable):
            await in_thread(lambda: fetch(port))


async def test_a_server_that_drips_meets_the_deadline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hub.cli.log_source.DEADLINE_S", 0.3)
    async with answering(OK + b"Content-Length: 50\r\n\r\nx", close=False) as port:
        with pytest.raises(LogUnreachable, match="no answer within"):
            await in_thread(lambda: fetch(port))


async def test_what_a_lying_server_says_is_not_believed(founded: Founded):
    note = founded.trust.logs[0].origin.encode() + b"\n5\n" + b"A" * 43 + b"=\n\n"
    note += "— x AAAAAAAAAAAAAAAAAAAAAAAA\n".encode()
    async with answering(OK + b"\r\n" + note) as port:

        def look() -> None:
            with reading(f"http://127.0.0.1:{port}") as read:
                open_log(read, founded.trust)

        with pytest.raises(VerificationFailed):
            await in_thread(look)


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "checkpoint")
    (tmp_path / "tile").mkdir()
    with reading(str(tmp_path)) as read:
        with pytest.raises(OSError, match="not a regular file"):
            read("checkpoint", 100)
        assert read("tile/0/000", TILE_BYTES) is None


async def submit(hub: Running) -> None:
    async with HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as agency:
        await agency.submit(LETTER, [], [TAI_CHINH])
