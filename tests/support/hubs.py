"""Hubs for tests that go over the wire: founded, served, killed, looked into afterwards.

The clients here are bare: any certificate, any key, any bytes, so that a test can send what
the SDK would refuse to send.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.rpc import error_details_pb2, status_pb2

from adapters.storage.read_only import ReadOnlyDatabase
from adapters.system import system_clock
from hub.bootstrap import assembly
from hub.bootstrap.assembly import running_hub
from hub.bootstrap.check import check_hub
from hub.bootstrap.core import Core, open_core
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.founding import SAMPLE_AGENCIES, SampleAgency, Stores, found_hub
from hub.bootstrap.upgrade import database_url, document_keys_url
from hub.client.profile import ClientProfile
from hub.client.retry import RetryPolicy
from hub.config import Settings
from hub.ledger.fsck import Finding
from hub.proof.dsse import pre_authentication_encoding
from hub.proof.signatures import Algorithm, key_id_of
from hub.proof.statements import Collect, Envelope, Recall, RecallAnswer, Status
from hub.proof.succession import read_trusted_root
from hub.proof.trust import TrustedRoot
from hub.v1 import exchange_pb2 as wire
from hub.v1 import exchange_service_pb2 as calls
from hub.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from keys.development_ca import DevelopmentCA, Issued
from tests.support.forks import Forked
from tests.support.make_statement_examples import sign
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
ORIGIN = "lienthong.test/log"
VIETNAM = timezone(timedelta(hours=7))

# One agency for each algorithm: ECDSA, Ed25519, RSA-PSS, and here the fourth.
SAMPLES = (
    *SAMPLE_AGENCIES,
    SampleAgency("H29.3.1", "Sở Nội vụ", "so-noi-vu", Algorithm.RSA_PKCS1_SHA256),
)
QUAN_1, TAI_CHINH, Y_TE, NOI_VU = (sample.code for sample in SAMPLES)

CALL_DEADLINE_S = PATIENCE_S
# Tests that wait for a hub to come back ask often, for a bounded time.
PATIENT = RetryPolicy(attempts_max=2000, delay_first_s=0.05, delay_max_s=0.3)


# --- Who calls --------------------------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    """What a connection is made with, all PEM; a certificate of None is none at all."""

    ca: bytes
    certificate: bytes | None
    key: bytes | None

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)


@dataclass(frozen=True)
class Speaker:
    """An agency with its signing key in hand: it can sign whatever it likes."""

    code: str
    home: Path
    algorithm: Algorithm
    transport: Identity
    key: Any = field(repr=False)
    hub: str = ORIGIN

    @classmethod
    def of(cls, home: Path, sample: SampleAgency) -> Self:
        key = _private_key((home / "signing.key.pem").read_bytes())
        return cls(sample.code, home, sample.algorithm, identity_in(home), key)

    @property
    def key_id(self) -> str:
        return key_id_of(self.key.public_key())

    def with_key(self, issued: Issued, algorithm: Algorithm) -> Self:
        """The same agency with another signing key."""
        key = _private_key(issued.private_key_pem)
        return replace(self, key=key, algorithm=algorithm)

    def profile(self, port: int) -> ClientProfile:
        """The profile for the SDK, at the port the hub happens to have."""
        profile = ClientProfile.load(self.home / "profile.toml")
        return replace(profile, target=f"127.0.0.1:{port}")


@cache
def _private_key(pem: bytes) -> Any:
    # An RSA key is proven to be one when it is loaded, which takes as long as a small test.
    return load_pem_private_key(pem, password=None)


def identity_in(home: Path) -> Identity:
    """The transport certificate and key in a client's folder."""
    names = ("ca.pem", "transport.pem", "transport.key.pem")
    return Identity(*((home / name).read_bytes() for name in names))


# --- Hubs -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Founded:
    """A hub's folder, and everybody who may call it."""

    folder: DataFolder

    @cached_property
    def speakers(self) -> Mapping[str, Speaker]:
        homes = {sample.code: self.folder.clients / sample.slug for sample in SAMPLES}
        return {
            sample.code: Speaker.of(homes[sample.code], sample)
            for sample in SAMPLES
            if homes[sample.code].is_dir()
        }

    @property
    def operator(self) -> Identity:
        return identity_in(self.folder.clients / "operator")

    def operator_profile(self, port: int, name: str = "operator") -> ClientProfile:
        profile = ClientProfile.load(self.folder.clients / name / "profile.toml")
        return replace(profile, target=f"127.0.0.1:{port}")

    @property
    def authority(self) -> DevelopmentCA:
        return DevelopmentCA.open(self.folder.development_ca, system_clock)

    @property
    def trust(self) -> TrustedRoot:
        return read_trusted_root(self.folder.trusted_root.read_bytes())


def found(
    tmp_path: Path, *, samples: Sequence[SampleAgency] = SAMPLES, stores: Stores | None = None
) -> Founded:
    """A new hub below `tmp_path`, with agencies for all four algorithms."""
    folder = found_hub(
        tmp_path / "hub",
        origin=ORIGIN,
        listen="127.0.0.1:0",
        hosts=["127.0.0.1", "localhost"],
        samples=samples,
        stores=stores,
    )
    return Founded(folder)


@dataclass(frozen=True)
class Running:
    """A hub that serves in this process."""

    founded: Founded
    core: Core
    port: int
    process: assembly.HubProcess
    http_port: int | None = None

    def speaker(self, code: str) -> Speaker:
        return self.founded.speakers[code]

    def trace(self) -> Trace:
        return trace(self.founded.folder.root)


@asynccontextmanager
async def serving(founded: Founded, *, check: bool = True) -> AsyncIterator[Running]:
    """An in-process hub on a free port; once stopped, it is found whole."""
    folder = founded.folder
    with open_core(folder, Settings.load(folder.root)) as core:
        async with running_hub(core) as hub:
            yield Running(founded, core, hub.port, hub, hub.http_port)
    if check:
        check_hub_is_whole(folder.root)


class HubProcess:
    """A hub as a real process, which can be killed, stopped, woken and started again.

    It keeps its port over restarts, as a hub in service does.
    """

    def __init__(self, founded: Founded, *, join: bool = False) -> None:
        self.founded = founded
        self.port = free_port()
        self._options = ("join",) if join else ()
        self._process: Forked | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    async def start(self) -> None:
        """Start, and wait until it serves; what it wrote is in the message if it does not."""
        port_file, log = self.spawn()
        assert self._process is not None
        give_up = time.monotonic() + PATIENCE_S
        while not port_file.exists():
            if self._process.poll() is not None or time.monotonic() > give_up:
                self.kill()
                raise AssertionError(f"the hub did not start:\n{log.read_text()[-4000:]}")
            await asyncio.sleep(0.02)

    def spawn(self) -> tuple[Path, Path]:
        """Start without waiting. The file that will hold its port, and its log."""
        beside = self.founded.folder.root.parent
        port_file = beside / f"port-{uuid.uuid4().hex}"
        log = port_file.with_suffix(".log")
        environment = {**os.environ, "LIENTHONG_LISTEN": f"127.0.0.1:{self.port}"}
        with log.open("wb") as output:
            self._process = Forked(
                "tests.support.serve",
                self.founded.folder.root,
                port_file,
                *self._options,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return port_file, log

    @property
    def pid(self) -> int:
        """The process, to look into."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """`kill -9`: nothing is finished, nothing is said."""
        self._end(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM: running calls finish. The exit status."""
        # Off the loop, which meanwhile serves the calls that are to finish.
        return await asyncio.to_thread(self._end, signal.SIGTERM)

    def stand_still(self) -> None:
        """SIGSTOP."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    async def ended(self) -> int:
        """Wait until it ends by itself. The exit status."""
        process, self._process = self._process, None
        assert process is not None
        try:
            return await asyncio.to_thread(process.wait, PATIENCE_S)
        finally:
            process.kill()
            assert process.stdin is not None
            process.stdin.close()

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(number)
        try:
            return process.wait(timeout=PATIENCE_S)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
            assert process.stdin is not None
            process.stdin.close()


# --- Bare calls -------------------------------------------------------------------------


@asynccontextmanager
async def raw_channel(identity: Identity, port: int) -> AsyncIterator[grpc.aio.Channel]:
    """A connection with any certificate and key, of its own and shared with nobody."""
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 200),
        ("grpc.max_receive_message_length", -1),
    ]
    target = f"127.0.0.1:{port}"
    async with grpc.aio.secure_channel(target, identity.credentials(), options) as channel:
        yield channel


@asynccontextmanager
async def raw_stub(
    identity: Identity, port: int, service: Callable[[grpc.aio.Channel], Any] = ExchangeServiceStub
) -> AsyncIterator[Any]:
    """A service's stub over a connection of its own."""
    async with raw_channel(identity, port) as channel:
        yield service(channel)


def raw_method(channel: grpc.aio.Channel, method: str) -> Callable[..., Awaitable[bytes]]:
    """A unary method that takes a message and gives the answer's bytes as they came."""
    call = channel.unary_unary(method, request_serializer=lambda message: message)

    async def ask(request: Any) -> bytes:
        data = request if isinstance(request, bytes) else request.SerializeToString()
        answer: bytes = await call(data, timeout=CALL_DEADLINE_S)
        return answer

    return ask


@dataclass(frozen=True)
class Refusal:
    """What a refused caller gets to see. `details` are the bytes of `google.rpc.Status`."""

    status: str
    reason: str | None
    domain: str | None
    metadata: Mapping[str, str]
    message: str
    details: bytes | None


async def refusal_of(call: Awaitable[Any]) -> Refusal:
    """The refusal that a call ends with."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return refusal_in(error)
    raise AssertionError(f"nothing was refused; the answer was {answer!r}")


async def refusal_of_stream(stream: Any) -> Refusal:
    """The refusal that a stream ends with, whatever came before it."""
    try:
        async for _ in stream:
            pass
    except grpc.aio.AioRpcError as error:
        return refusal_in(error)
    raise AssertionError("nothing was refused")


def refusal_in(error: Any) -> Refusal:
    """The refusal in a gRPC error, with its `google.rpc.ErrorInfo` if there is one."""
    trailing = dict(error.trailing_metadata() or ())
    details = trailing.get("grpc-status-details-bin")
    info = error_details_pb2.ErrorInfo()
    if details is not None:
        status = status_pb2.Status.FromString(details)
        assert status.code == error.code().value[0]
        assert status.details[0].Unpack(info)
    return Refusal(
        status=error.code().name,
        reason=info.reason or None,
        domain=info.domain or None,
        metadata=dict(info.metadata),
        message=error.details() or "",
        details=details,
    )


# --- What is said -----------------------------------------------------------------------


def header(speaker: Speaker) -> dict[str, Any]:
    """The fields every statement begins with."""
    return {
        "v": 1,
        "hub": speaker.hub,
        "agency": speaker.code,
        "request_id": str(uuid.uuid4()),
        "nonce": base64.b64encode(os.urandom(16)).decode(),
        "created_at": datetime.now(VIETNAM).isoformat(timespec="seconds"),
    }


def envelope(
    speaker: Speaker, recipients: Sequence[str], contents: Sequence[bytes] = (), **more: Any
) -> dict[str, Any]:
    """A good envelope, to be made bad by the test."""
    return {
        **header(speaker),
        "recipients": list(recipients),
        "action": "new",
        "document": {
            "number": "125",
            "notation": "UBND-VP",
            "type": {"name": "Công văn"},
            "secrecy": "none",
            "subject": "V/v liên thông văn bản",
            "issued_on": "2026-11-22",
            "priority": "normal",
            "language": "vi",
            "attachments": [described(n, content) for n, content in enumerate(contents)],
        },
        **more,
    }


def described(number: int, content: bytes) -> dict[str, Any]:
    """An attachment as an envelope names it."""
    return {
        "name": f"tệp-{number}.bin",
        "media_type": "application/octet-stream",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def collect(speaker: Speaker, envelope_digest: bytes) -> dict[str, Any]:
    """A good collect statement."""
    return {**header(speaker), "envelope_digest": envelope_digest.hex()}


def status(speaker: Speaker, envelope_digest: bytes, code: str = "01") -> dict[str, Any]:
    """A good status statement."""
    return {**collect(speaker, envelope_digest), "code": code}


def recall(speaker: Speaker, envelope_digest: bytes) -> dict[str, Any]:
    """A good recall."""
    return {**collect(speaker, envelope_digest), "reason": "ban hành nhầm thể thức"}


def recall_answer(speaker: Speaker, envelope_digest: bytes, code: str = "15") -> dict[str, Any]:
    """A good answer to a recall."""
    reason = {"reason": "văn bản đã được xử lý"} if code == "16" else {}
    return {**collect(speaker, envelope_digest), "code": code, **reason}


def encoded(payload: Mapping[str, Any] | bytes) -> bytes:
    """JSON bytes of a payload; bytes are left as they are."""
    return payload if isinstance(payload, bytes) else json.dumps(payload).encode()


def signed(
    speaker: Speaker,
    payload: Mapping[str, Any] | bytes,
    payload_type: str = Envelope.MEDIA_TYPE,
    *,
    key_id: str | None = None,
    signature: bytes | None = None,
) -> wire.SignedStatement:
    """Any bytes as any type, signed with the speaker's key unless something else is given."""
    data = encoded(payload)
    message = pre_authentication_encoding(payload_type, data)
    return wire.SignedStatement(
        payload_type=payload_type,
        payload=data,
        key_id=speaker.key_id if key_id is None else key_id,
        signature=sign(speaker.key, speaker.algorithm, message) if signature is None else signature,
    )


def submission(
    speaker: Speaker, recipients: Sequence[str], contents: Sequence[bytes] = (), **more: Any
) -> calls.SubmitDocumentRequest:
    """A good request to send a document."""
    statement = signed(speaker, envelope(speaker, recipients, contents, **more))
    return calls.SubmitDocumentRequest(envelope=statement, contents=contents)


def collection(speaker: Speaker, envelope_digest: bytes) -> calls.CollectDocumentRequest:
    """A good request to collect a document."""
    statement = signed(speaker, collect(speaker, envelope_digest), Collect.MEDIA_TYPE)
    return calls.CollectDocumentRequest(collect=statement)


def report(speaker: Speaker, envelope_digest: bytes, code: str = "01") -> calls.ReportStatusRequest:
    """A good request to report a status."""
    statement = signed(speaker, status(speaker, envelope_digest, code), Status.MEDIA_TYPE)
    return calls.ReportStatusRequest(status=statement)


def recalling(speaker: Speaker, envelope_digest: bytes) -> calls.RequestRecallRequest:
    """A good request to recall a document."""
    statement = signed(speaker, recall(speaker, envelope_digest), Recall.MEDIA_TYPE)
    return calls.RequestRecallRequest(recall=statement)


def answering(
    speaker: Speaker, envelope_digest: bytes, code: str = "15"
) -> calls.AnswerRecallRequest:
    """A good request to answer a recall."""
    said = recall_answer(speaker, envelope_digest, code)
    return calls.AnswerRecallRequest(answer=signed(speaker, said, RecallAnswer.MEDIA_TYPE))


def digest_of(statement: wire.SignedStatement) -> bytes:
    """The name of a statement everywhere else."""
    return hashlib.sha256(statement.payload).digest()


def request_id_of(statement: wire.SignedStatement) -> str:
    """The idempotency key in a statement."""
    request_id: str = json.loads(statement.payload)["request_id"]
    return request_id


# --- Looking into a hub -----------------------------------------------------------------


@dataclass(frozen=True)
class Trace:
    """All that a call can leave behind. Read past the hub, from its files."""

    events: int
    refusals: tuple[tuple[str, str, str], ...]
    requests: int
    payloads: int
    evidence: int
    inbox_items: int
    inbox_heads: tuple[tuple[str, int], ...]
    outbox_heads: tuple[tuple[str, int], ...]
    document_keys: int
    files: tuple[str, ...]

    def with_refusal(self, agency: str, reason: str, digest: bytes) -> Trace:
        """This, and one `SubmissionRefused` more."""
        refusals = (*self.refusals, (agency, reason, digest.hex()))
        return replace(self, events=self.events + 1, refusals=refusals)


def trace(root: Path) -> Trace:
    """What is stored in a hub's folder now; the hub may be running."""
    with look_into(root) as database:

        def count(table: str) -> int:
            number: int = database.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            return number

        refused = [
            json.loads(state)["data"]
            for (state,) in database.exec_driver_sql(
                "SELECT state FROM events WHERE topic = 'hub.Agency.SubmissionRefused'"
                " ORDER BY position"
            )
        ]

        def heads(box: str) -> tuple[tuple[str, int], ...]:
            ask = f"SELECT agency, last_seq FROM {box}_heads ORDER BY agency"
            return tuple((agency, seq) for agency, seq in database.exec_driver_sql(ask))

        with look_into(root, document_keys_url) as keys:
            # A key that was destroyed leaves zeros in its place.
            wrapped = keys.exec_driver_sql("SELECT wrapped FROM document_keys").scalars()
            document_keys = sum(any(key) for key in wrapped)
        return Trace(
            events=count("events"),
            refusals=tuple((data["agency"], data["reason"], data["digest"]) for data in refused),
            requests=count("requests"),
            payloads=count("payloads"),
            evidence=count("evidence"),
            inbox_items=count("view_notices WHERE NOT outbox"),
            inbox_heads=heads("inbox"),
            outbox_heads=heads("outbox"),
            document_keys=document_keys,
            files=content_files(root),
        )


def content_files(root: Path) -> tuple[str, ...]:
    """Every file below `content/`."""
    content = DataFolder(root).content
    return tuple(sorted(str(f.relative_to(content)) for f in content.rglob("*") if f.is_file()))


@contextmanager
def look_into(
    root: Path, url_of: Callable[[DataFolder, Settings], str] = database_url
) -> Iterator[sa.Connection]:
    """One of a hub's databases, whatever it lies on, past the hub and for reading only."""
    url = url_of(DataFolder(root), Settings.load(root))
    with closing(ReadOnlyDatabase(url)) as database, database.reading() as connection:
        yield connection


def reading(path: Path) -> sqlite3.Connection:
    """A connection that can change nothing."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def findings_of(root: Path) -> list[Finding]:
    """What `fsck` finds in a stopped hub."""
    with open_core(DataFolder(root), Settings.load(root)) as core:
        return list(check_hub(core))


def check_hub_is_whole(root: Path) -> None:
    """Every event readable, every store as the events say, every signature good."""
    assert findings_of(root) == []


async def until(holds: Callable[[], Any], *, within_s: float = PATIENCE_S) -> None:
    """Wait for something that is on its way, for a bounded time."""
    give_up = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up, "it did not come about"
        await asyncio.sleep(0.02)


on_both_databases = pytest.mark.parametrize("database_kind", ["sqlite", "postgres"], indirect=True)
"""For a test, or as `pytestmark` for a file: the hub lies on one, then on the other."""
