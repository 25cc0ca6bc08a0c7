"""What every witness must do, whichever adapter reaches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from adapters.memory.determinism import FixedClock
from adapters.memory.witnesses import MemoryWitness
from adapters.witness.client import ANSWER_BYTES_MAX, HttpWitness, new_client
from hub.application.leading import undisputed
from hub.application.ports import Witness as WitnessPort
from hub.application.ports import WitnessConflict, WitnessRefused
from hub.proof.witnessing import AddCheckpoint, cosignature_in
from hub.witness import server
from hub.witness.state import WitnessState, open_state
from hub.witness.witness import Witness
from tests.support.witnesses import asking, forked_log, served_witness
from tests.unit.proof.building import LOG, NEXT_LOG, Signer, SmallLog, plain_log, private_key

NAME = "witness.example/w1"
LEDGER = plain_log(20)


@pytest.fixture(params=["memory", "http"])
async def witness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WitnessPort]:
    if request.param == "memory":
        yield MemoryWitness(NAME, private_key("witness"), LOG.key, FixedClock())
        return
    async with (
        served_witness(tmp_path / "witness", NAME, [LOG.key]) as served,
        new_client() as client,
    ):
        yield HttpWitness(served.key, served.url, client, may_act=undisputed)


async def test_a_log_that_grows_gets_cosignatures_that_hold(witness: WitnessPort):
    for old, new in [(0, 3), (3, 3), (3, 4), (4, 20)]:
        request = asking(LEDGER, old, new)
        answer = await witness.add_checkpoint(request)
        line = cosignature_in(answer, request.checkpoint, witness.key)
        assert line.name == witness.key.name == NAME


async def test_another_old_size_is_a_conflict_that_names_the_right_one(witness: WitnessPort):
    with pytest.raises(WitnessConflict) as conflict:
        await witness.add_checkpoint(asking(LEDGER, 3, 5))
    assert conflict.value.size == 0
    await witness.add_checkpoint(asking(LEDGER, 0, 9))
    for old, new in [(0, 9), (3, 5), (8, 12)]:
        with pytest.raises(WitnessConflict) as conflict:
            await witness.add_checkpoint(asking(LEDGER, old, new))
        assert conflict.value.size == 9


@pytest.mark.parametrize(("size", "statuses"), [(9, {409, 422}), (12, {422})])
async def test_another_history_is_refused(witness: WitnessPort, size: int, statuses: set[int]):
    await witness.add_checkpoint(asking(LEDGER, 0, 9))
    with pytest.raises(WitnessRefused) as refusal:
        await witness.add_checkpoint(asking(forked_log(20, at=5), 9, size))
    assert refusal.value.status in statuses
    await witness.add_checkpoint(asking(LEDGER, 9, 12))


async def test_an_unknown_log_and_an_unknown_key_are_refused(witness: WitnessPort):
    other = SmallLog(LEDGER.entries, "other.example/log")
    for log, signer, status in [
        (other, Signer("other.example/log", "x"), 404),
        (LEDGER, NEXT_LOG, 403),
    ]:
        with pytest.raises(WitnessRefused) as refusal:
            await witness.add_checkpoint(asking(log, 0, 5, signer))
        assert refusal.value.status == status


async def test_an_old_size_beyond_the_checkpoint_is_refused(witness: WitnessPort):
    with pytest.raises(WitnessRefused) as refusal:
        await witness.add_checkpoint(asking(LEDGER, 9, 5))
    assert refusal.value.status == 400


async def test_a_needless_proof_is_refused(witness: WitnessPort):
    with pytest.raises(WitnessRefused) as refusal:
        await witness.add_checkpoint(asking(LEDGER, 0, 5, proof=[bytes(32)]))
    assert refusal.value.status == 422


# --- What only HTTP can do wrong ---------------------------------------------------------

REQUEST = asking(LEDGER, 0, 5)


def response(status: int, body: bytes = b"", **headers: str) -> httpx2.Response:
    """An answer that is still to be read, as one from a socket is."""

    async def stream() -> AsyncIterator[bytes]:
        yield body

    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, content=stream(), headers=named)


async def answer_of(
    handler: Callable[[httpx2.Request], httpx2.Response], *, deadline_s: float = 5.0
) -> bytes:
    transport = httpx2.MockTransport(handler)
    async with httpx2.AsyncClient(transport=transport) as client:
        key = Signer(NAME, "witness").key
        witness = HttpWitness(
            key, "http://w.example/prefix/", client, deadline_s=deadline_s, may_act=undisputed
        )
        return await witness.add_checkpoint(REQUEST)


async def test_the_request_is_what_the_specification_says():
    seen: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return response(200, b"lines\n")

    assert await answer_of(handler) == b"lines\n"
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", "http://w.example/prefix/add-checkpoint")
    assert request.content == REQUEST.format()
    assert "gzip" not in request.headers["Accept-Encoding"]


@pytest.mark.parametrize("status", [500, 502, 503, 408, 429, 301, 302, 204, 100 + 99])
async def test_what_may_pass_is_tried_again_later(status: int):
    with pytest.raises(OSError, match="status"):
        await answer_of(lambda _: response(status, location="http://evil/"))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422, 451])
async def test_what_will_not_pass_is_a_refusal(status: int):
    with pytest.raises(WitnessRefused) as refusal:
        await answer_of(lambda _: response(status))
    assert refusal.value.status == status


@pytest.mark.parametrize(
    ("media_type", "body", "size"),
    [
        ("text/x.tlog.size", b"50\n", 50),
        ("text/x.tlog.size", b"0\n", 0),
        ("text/x.tlog.size", b"50", None),
        ("text/x.tlog.size", b"050\n", None),
        ("text/x.tlog.size", b"", None),
    ],
)
async def test_a_conflict_is_believed_only_in_its_one_form(media_type, body, size):
    def handler(_: httpx2.Request) -> httpx2.Response:
        return response(409, body, content_type=media_type)

    if size is None:
        with pytest.raises(OSError, match="nonsense"):
            await answer_of(handler)
    else:
        with pytest.raises(WitnessConflict) as conflict:
            await answer_of(handler)
        assert conflict.value.size == size


@pytest.mark.parametrize("media_type", ["text/plain", "text/x.tlog.size; charset=utf-8", ""])
async def test_a_conflict_without_a_size_is_a_refusal(media_type):
    with pytest.raises(WitnessRefused) as refusal:
        await answer_of(lambda _: response(409, b"5\n", content_type=media_type))
    assert refusal.value.status == 409


async def test_an_endless_answer_is_cut_off():
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1024

    with pytest.raises(OSError, match=str(ANSWER_BYTES_MAX)):
        await answer_of(lambda _: httpx2.Response(200, content=endless()))


async def test_an_answer_that_trickles_ends_with_the_deadline():
    async def trickle() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    with pytest.raises(OSError, match="no answer within"):
        await answer_of(lambda _: httpx2.Response(200, content=trickle()), deadline_s=0.05)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no such host"])
async def test_a_witness_that_cannot_be_reached_may_be_later(url: str):
    async with new_client() as client:
        witness = HttpWitness(Signer(NAME, "witness").key, url, client, may_act=undisputed)
        with pytest.raises(OSError):
            await witness.add_checkpoint(REQUEST)


# --- What only a server can be asked -----------------------------------------------------


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with served_witness(tmp_path / "witness", NAME, [LOG.key]) as served, new_client() as c:
        c.base_url = served.url
        yield c


async def test_the_server_has_one_url(http: httpx2.AsyncClient):
    assert (await http.get("/add-checkpoint")).status_code == 405
    assert (await http.post("/", content=REQUEST.format())).status_code == 404
    answer = await http.post("/add-checkpoint", content=REQUEST.format())
    assert answer.status_code == 200
    assert answer.text.startswith(f"— {NAME} ")
    assert "server" not in answer.headers


async def test_a_body_that_is_too_large_is_refused_unread(http: httpx2.AsyncClient):
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2000):
            yield b"x" * 1024

    assert (await http.post("/add-checkpoint", content=b"x" * 70_000)).status_code == 413
    # It may as well hang up while we are still sending.
    with suppress(httpx2.WriteError):
        assert (await http.post("/add-checkpoint", content=endless())).status_code == 413


async def test_junk_is_a_bad_request(http: httpx2.AsyncClient):
    for body in (b"", b"junk", b"\xff" * 1000, AddCheckpoint(0, (), b"x").format()):
        assert (await http.post("/add-checkpoint", content=body)).status_code == 400


async def test_a_body_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "BODY_DEADLINE_S", 0.05)
    WitnessState.create(tmp_path / "witness", NAME)

    async def stalled() -> AsyncIterator[bytes]:
        yield b"old 0\n"
        await asyncio.Event().wait()

    with open_state(tmp_path / "witness") as state:
        app = server.application(Witness(state, [LOG.key], FixedClock()), lambda _: None)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://w.example") as client:
            assert (await client.post("/add-checkpoint", content=stalled())).status_code == 408
