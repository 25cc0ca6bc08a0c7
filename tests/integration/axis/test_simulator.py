"""The simulated axis serves the vendor's client as recorded, our gateway, and every fault."""

from __future__ import annotations

import base64
import io
import json
import random
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from adapters.axis.edxml.model import DocumentPackage, Organ, StatusPackage
from adapters.axis.http import Deadlines
from adapters.axis.national.gateway import NationalAxis, NationalSettings
from adapters.axis.packing import package_of
from adapters.axis.reports import Report, status_package
from adapters.axis.simulator.faults import Fault, Faults
from adapters.axis.simulator.server import Simulator
from hub.application.axis import (
    AxisError,
    AxisOutcomeUnknown,
    AxisRefused,
    AxisReplyUnreadable,
    AxisUnreachable,
    MessageKind,
    TransportState,
)
from hub.application.leading import undisputed
from tests.support.axis import (
    BY_CALL,
    SECRET,
    attachment,
    content_of,
    document_in,
    envelope,
    reading,
    sample,
    written,
)

AT = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
A, B, C = "TEST.00.00.H99", "TEST.01.00.H99", "TEST.02.00.H99"


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    made = Simulator(tmp_path, lambda: AT)
    made.store.enrol(A, [SECRET])
    made.store.enrol(B, ["b-secret", "b-next"])
    made.store.enrol(C, ["c-secret"])
    yield made
    made.store.close()


@pytest.fixture
def address(simulator: Simulator) -> Iterator[str]:
    with simulator.listening() as address:
        yield address


@dataclass
class Clock:
    """Every request has a time of its own, as time goes on."""

    at: datetime = AT

    def __call__(self) -> datetime:
        self.at += timedelta(milliseconds=7)
        return self.at


@dataclass
class Agency:
    """One end: a gateway, and what the agency knows."""

    axis: NationalAxis
    code: str
    sent: dict[str, str] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)


def gateway(address: str, code: str, *secrets: str, **settings: Any) -> NationalAxis:
    deadlines = Deadlines(connect_s=5, silence_s=5, call_s=10, transfer_s=60)
    made = NationalSettings(address, code, secrets, deadlines=deadlines, **settings)
    return NationalAxis(made, Clock(), may_act=undisputed)


@pytest.fixture
async def ends(address: str) -> AsyncIterator[tuple[NationalAxis, NationalAxis]]:
    sender, receiver = gateway(address, A, SECRET), gateway(address, B, "b-secret")
    yield sender, receiver
    await sender.close()
    await receiver.close()


def document(number: int = 1, to: tuple[str, ...] = (B,), content: bytes = b"%PDF") -> bytes:
    payload = {**envelope(number=str(number)), "agency": A, "recipients": list(to)}
    described = attachment("a.pdf", content)
    payload["document"]["attachments"] = [
        {
            "name": "a.pdf",
            "media_type": "application/pdf",
            "size": described.size,
            "sha256": described.sha256,
        }
    ]
    return written(package_of(payload), [content])


async def send(axis: NationalAxis, data: bytes, kind: MessageKind = MessageKind.DOCUMENT) -> str:
    package = io.BytesIO(data)
    return await axis.send(axis.prepare(kind, package, sender=A), package)


async def fetched(axis: NationalAxis, axis_id: str) -> bytes:
    into = io.BytesIO()
    await axis.fetch(axis_id, into)
    return into.getvalue()


# --- The vendor's client -----------------------------------------------------------------


def asked(address: str, head: list[str], body: bytes) -> tuple[str, bytes]:
    """The status line and body of what comes back to a raw request."""
    with socket.create_connection((urlsplit(address).hostname, urlsplit(address).port), 10) as line:
        line.sendall("\r\n".join(head).encode("latin-1") + b"\r\n\r\n")
        if "Expect: 100-continue" in head:
            # A client that is not told to go on waits three seconds.
            assert line.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(body)
        answer = b""
        # It closes after replying: some clients leave their end open until then.
        while piece := line.recv(65536):
            answer += piece
    head_, _, content = answer.partition(b"\r\n\r\n")
    return head_.split(b"\r\n")[0].decode(), content


@pytest.mark.parametrize(
    "name",
    [name for name in BY_CALL if "Edoc" in name and "send" not in name]
    + ["getAgenciesList", "getAgenciesListQD20", "getSynchronizeUnit", "registerAgency"],
)
def test_a_recorded_request_of_the_vendors_client_is_served(address: str, name: str):
    vector = BY_CALL[name]

    status, content = asked(address, vector["head"], content_of(vector))

    assert status == "HTTP/1.1 200 OK"
    if name == "downloadEdoc":
        assert content == b""
        return
    reply = json.loads(content)
    assert content.isascii()
    assert None not in reply.values()
    assert {"status", "ErrorCode", "ErrorDesc"} <= reply.keys()
    if name == "getEdoc":
        assert (reply["ErrorCode"], reply["data"]) == ("21", "")
    else:
        assert reply["ErrorCode"] == "0"


@pytest.mark.parametrize("name", ["sendEdoc document", "sendEdoc to"])
def test_a_package_of_the_vendors_client_reaches_each_receiver_under_an_id_of_its_own(
    address: str, simulator: Simulator, name: str
):
    vector = BY_CALL[name]
    body = content_of(vector) + b"\r\n"

    first = json.loads(asked(address, vector["head"], body)[1])
    again = json.loads(asked(address, vector["head"], body)[1])

    assert first["ErrorCode"] == "0"
    assert again["DocId"] == first["DocId"]
    deliveries = simulator.store.every_delivery()
    assert [each.recipient for each in deliveries] == [B, C]
    assert len({each.id for each in deliveries} | {first["DocId"]}) == 3
    kept = document_in(deliveries[0].package.file.read_bytes())
    assert kept.fingerprint() == document_in(content_of(vector)).fingerprint()
    assert kept.trace is not None
    assert [hop.organ_id for hop in kept.trace.hops] == [A, None]


def test_a_status_of_the_vendors_client_goes_to_the_sender_of_the_document(
    address: str, simulator: Simulator
):
    vector = BY_CALL["sendEdoc status"]
    # That client reported for another organisation than it was: both are one account's here.
    simulator.store.enrol(A, [SECRET], [A])
    simulator.store.delete(B, B)
    simulator.store.register(A, B)
    simulator.store._database.execute("UPDATE agency SET system_id = ? WHERE code = ?", (A, B))

    reply = json.loads(asked(address, vector["head"], content_of(vector) + b"\r\n")[1])

    assert reply["ErrorCode"] == "0"
    assert [each.recipient for each in simulator.store.every_delivery()] == [A]


@pytest.mark.parametrize(
    "change",
    [
        ("XroadVnpt-docId: 1", "XroadVnpt-docId: 2"),
        ('docId":"1', 'docId":"2'),
        ("hash-header: 3", "hash-header: 4"),
        ("systemid;docId", "docId;systemid"),
        ("XroadVnpt-sign-header: {", "XroadVnpt-sign-header: ["),
        ("XroadVnpt-sign-header: ", "X-Other: "),
    ],
)
def test_a_request_that_was_changed_is_refused(address: str, change: tuple[str, str]):
    head = [line.replace(*change) for line in BY_CALL["getEdoc"]["head"]]

    reply = json.loads(asked(address, head, b"{}")[1])

    assert reply["ErrorCode"] == "15"
    assert (reply["status"], reply["data"], reply["DocId"]) == ("FAIL", "", "")


def test_stale_parameters_and_two_slashes_do_no_harm(address: str):
    vector = BY_CALL["getReceivedEdocList"]
    head = [vector["head"][0].replace(" /", " //"), *vector["head"][1:], "XroadVnpt-docId: stale"]

    assert json.loads(asked(address, head, b"")[1])["data"] == []


def test_a_download_without_a_signature_is_refused_with_nothing(address: str):
    assert asked(address, ["GET /downloadEdoc HTTP/1.1", "Host: x"], b"") == (
        "HTTP/1.1 200 OK",
        b"",
    )


# --- Our gateway -------------------------------------------------------------------------


async def test_a_document_goes_through_and_its_status_comes_back(
    ends: tuple[NationalAxis, NationalAxis],
):
    sender, receiver = ends
    data = document()

    axis_id = await send(sender, data)
    [waiting] = await receiver.waiting(MessageKind.DOCUMENT)
    assert (waiting.sender, waiting.recipient, waiting.state) == (A, B, "initial")
    assert waiting.axis_id != axis_id
    got = await fetched(receiver, waiting.axis_id)
    assert document_in(got).fingerprint() == document_in(data).fingerprint()
    assert await receiver.count(MessageKind.DOCUMENT) == 1
    await receiver.mark(waiting.axis_id, TransportState.PROCESSING)
    assert len(await receiver.waiting(MessageKind.DOCUMENT)) == 1
    await receiver.mark(waiting.axis_id, TransportState.DONE)
    assert await receiver.waiting(MessageKind.DOCUMENT) == []
    [relayed] = await sender.relayed(MessageKind.DOCUMENT, axis_id) or []
    assert (relayed.recipient, relayed.receive_state) == (B, "done")
    assert relayed.recipient_axis_id == waiting.axis_id
    assert relayed.code == "1/UBND-VP"

    report = Report(code="01", by=B, to=A, document_id="x", document_code="1/UBND-VP", at=AT)
    status = io.BytesIO(written(status_package(report, Organ(organ_id=B))))
    await receiver.send(receiver.prepare(MessageKind.STATUS, status, sender=B), status)
    [told] = await sender.waiting(MessageKind.STATUS)
    assert isinstance(reading(await fetched(sender, told.axis_id)).package, StatusPackage)
    assert await sender.waiting(MessageKind.DOCUMENT) == []


async def test_each_account_sees_its_own_alone(
    address: str, ends: tuple[NationalAxis, NationalAxis]
):
    sender, receiver = ends
    await send(sender, document())
    [waiting] = await receiver.waiting(MessageKind.DOCUMENT)
    stranger = gateway(address, C, "c-secret")

    assert await stranger.waiting(MessageKind.DOCUMENT) == []
    with pytest.raises(AxisRefused):
        await fetched(stranger, waiting.axis_id)
    with pytest.raises(AxisRefused):
        await stranger.mark(waiting.axis_id, TransportState.DONE)
    await stranger.close()


async def test_the_directory_keeps_those_that_are_gone(
    simulator: Simulator, ends: tuple[NationalAxis, NationalAxis]
):
    simulator.store.register(C, "H37.02", name="Sở Nội vụ", old_code="000.00.02.H37")
    simulator.store.delete(C, C)

    listed = {each.code: each for each in await ends[0].agencies() or []}
    assert (listed[C].deleted, listed[A].deleted) == (True, False)
    assert listed["H37.02"].name == "Sở Nội vụ"
    [new] = await ends[0].agencies_of_level(2)
    assert (new.code, new.old_code) == ("H37.02", "000.00.02.H37")
    with pytest.raises(AxisRefused) as refused:
        await send(ends[0], document(to=(C,)))
    assert refused.value.code == "18"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"no xml", "22"),
        (b"<edXML/>", "22"),
        (b"<!DOCTYPE x><edXML/>", "22"),
        (document(to=("X",)), "18"),
    ],
)
async def test_a_package_that_cannot_be_delivered_is_refused_with_its_code(
    ends: tuple[NationalAxis, NationalAxis], data: bytes, code: str
):
    with pytest.raises(AxisRefused) as refused:
        await send(ends[0], data)
    assert refused.value.code == code


async def test_senders_and_receivers_have_to_be_let_in(
    simulator: Simulator, ends: tuple[NationalAxis, NationalAxis]
):
    package = io.BytesIO(document())
    with pytest.raises(AxisRefused) as refused:
        await ends[0].send(ends[0].prepare(MessageKind.DOCUMENT, package, sender=B), package)
    assert refused.value.code == "19"

    simulator.store.lock(B)
    with pytest.raises(AxisRefused) as refused:
        await send(ends[0], document())
    assert refused.value.code == "23"


async def test_both_secrets_are_valid_while_one_replaces_the_other(
    address: str, simulator: Simulator
):
    old, new = gateway(address, B, "b-secret"), gateway(address, B, "b-next", "b-secret")
    assert await old.waiting(MessageKind.DOCUMENT) == []
    assert await new.waiting(MessageKind.DOCUMENT) == []

    simulator.store.enrol(B, ["b-secret"])
    assert await new.waiting(MessageKind.DOCUMENT) == []
    simulator.store.enrol(B, ["b-next"])
    assert await new.waiting(MessageKind.DOCUMENT) == []
    with pytest.raises(AxisRefused):
        await old.waiting(MessageKind.DOCUMENT)
    await old.close()
    await new.close()


async def test_without_an_axis_nothing_is_asked(simulator: Simulator):
    with simulator.listening() as address:
        pass
    axis = gateway(address, A, SECRET)
    with pytest.raises(AxisUnreachable):
        await axis.waiting(MessageKind.DOCUMENT)
    await axis.close()


# --- Faults ------------------------------------------------------------------------------

NOT_DONE = {Fault.LOST_REQUEST, Fault.ERROR_500, Fault.REFUSED_20}
BREAKING = set(Fault) - {
    Fault.DUPLICATE,
    Fault.SECOND_ID,
    Fault.OUT_OF_ORDER,
    Fault.WRONG_BASE64,
    Fault.SLOW,
}


@pytest.mark.parametrize("fault", sorted(BREAKING))
async def test_after_any_fault_the_same_request_gets_the_first_ones_id(
    simulator: Simulator, ends: tuple[NationalAxis, NationalAxis], fault: Fault
):
    sender, receiver = ends
    package = io.BytesIO(document())
    request = sender.prepare(MessageKind.DOCUMENT, package, sender=A)
    simulator.faults.plan(fault, "sendEdoc")

    with pytest.raises(AxisError) as failed:
        await sender.send(request, package)
    assert isinstance(
        failed.value, AxisRefused if fault is Fault.REFUSED_20 else AxisOutcomeUnknown
    )
    assert len(simulator.store.every_delivery()) == (0 if fault in NOT_DONE else 1)

    axis_id = await sender.send(request, package)
    assert [each.package.id for each in simulator.store.every_delivery()] == [axis_id]
    assert len(await receiver.waiting(MessageKind.DOCUMENT)) == 1


@pytest.mark.parametrize("fault", sorted(BREAKING))
async def test_no_fault_looks_like_nothing_new(
    simulator: Simulator, ends: tuple[NationalAxis, NationalAxis], fault: Fault
):
    sender, receiver = ends
    await send(sender, document())
    for call in (
        lambda: receiver.waiting(MessageKind.DOCUMENT),
        lambda: receiver.count(MessageKind.DOCUMENT),
        receiver.agencies,
    ):
        simulator.faults.plan(fault)
        with pytest.raises(AxisError):
            await call()


async def test_a_package_that_is_not_base64_is_not_taken(
    simulator: Simulator, ends: tuple[NationalAxis, NationalAxis]
):
    await send(ends[0], document())
    [waiting] = await ends[1].waiting(MessageKind.DOCUMENT)
    simulator.faults.plan(Fault.WRONG_BASE64, "getEdoc")

    with pytest.raises(AxisReplyUnreadable):
        await fetched(ends[1], waiting.axis_id)
    assert await fetched(ends[1], waiting.axis_id)


async def test_an_axis_may_give_a_second_id_deliver_twice_and_lose_the_order(
    simulator: Simulator, ends: tuple[NationalAxis, NationalAxis]
):
    sender, receiver = ends
    package = io.BytesIO(document())
    request = sender.prepare(MessageKind.DOCUMENT, package, sender=A)
    first = await sender.send(request, package)
    simulator.faults.plan(Fault.SECOND_ID, "sendEdoc")
    assert await sender.send(request, package) != first
    simulator.faults.plan(Fault.DUPLICATE, "sendEdoc")
    await send(sender, document(2))

    in_order = [each.axis_id for each in await receiver.waiting(MessageKind.DOCUMENT)]
    assert len(in_order) == 4
    simulator.faults.plan(Fault.OUT_OF_ORDER, "getReceivedEdocList")
    other = [each.axis_id for each in await receiver.waiting(MessageKind.DOCUMENT)]
    assert sorted(other) == sorted(in_order)
    assert other != in_order


async def test_a_slow_answer_ends_with_the_deadline(simulator: Simulator, address: str):
    simulator.faults.slow_s = 2.0
    simulator.faults.plan(Fault.SLOW)
    settings = NationalSettings(address, A, (SECRET,), deadlines=Deadlines(call_s=0.2))
    axis = NationalAxis(settings, Clock(), may_act=undisputed)

    with pytest.raises(AxisOutcomeUnknown):
        await axis.waiting(MessageKind.DOCUMENT)
    await axis.close()


def test_faults_can_be_asked_for_over_http(address: str, simulator: Simulator):
    def plan(said: str) -> str:
        head = ["POST /simulator/faults HTTP/1.1", "Host: x", f"Content-Length: {len(said)}"]
        return asked(address, head, said.encode())[0]

    assert plan('{"fault": "empty", "call": "getEdoc", "times": 2}') == "HTTP/1.1 200 OK"
    assert plan('{"fault": "unheard-of"}').startswith("HTTP/1.1 400")
    assert plan("no json").startswith("HTTP/1.1 400")
    assert [simulator.faults.next("getEdoc") for _time in range(3)] == [
        Fault.EMPTY,
        Fault.EMPTY,
        None,
    ]
    plan('{"fault": "empty"}')
    plan('{"clear": true}')
    assert simulator.faults.next("getEdoc") is None


def test_faults_at_random_are_the_same_in_every_run():
    def run() -> list[Fault | None]:
        faults = Faults(rate=0.5, seed=7)
        return [faults.next("x") for _time in range(50)]

    assert run() == run()
    assert len(set(run())) > 5


def test_what_it_took_in_outlives_it(tmp_path: Path):
    first = Simulator(tmp_path, lambda: AT)
    first.store.enrol(A, [SECRET])
    first.store.enrol(B, ["b"])
    first.store.enrol(C, ["c"])
    with first.listening() as address:
        vector = BY_CALL["sendEdoc document"]
        asked(address, vector["head"], content_of(vector) + b"\r\n")
    first.store.close()

    second = Simulator(tmp_path, lambda: AT)
    assert [each.recipient for each in second.store.every_delivery()] == [B, C]
    assert second.store.secrets(A) == [SECRET]
    second.store.close()


async def test_a_package_rewritten_on_the_way_has_the_same_fingerprint(
    simulator: Simulator, ends: tuple[NationalAxis, NationalAxis]
):
    simulator.habits.rewrites = True
    data = sample("built_new_document")
    await send(ends[0], data)
    [waiting] = await ends[1].waiting(MessageKind.DOCUMENT)
    got = await fetched(ends[1], waiting.axis_id)

    assert b"cid:cid:cid:" in got
    assert document_in(got).fingerprint() == document_in(data).fingerprint()
    found = reading(got)
    assert isinstance(found.package, DocumentPackage)
    assert [content.read() for content in found.contents] == [
        content.read() for content in reading(data).contents
    ]


async def test_every_document_arrives_and_can_be_told_from_its_doubles_whatever_goes_wrong(
    simulator: Simulator, ends: tuple[NationalAxis, NationalAxis]
):
    sender, receiver = ends
    simulator.faults.rate, simulator.faults.seed, simulator.faults.slow_s = 0.4, 1, 0.01
    simulator.habits.rewrites = True
    rng = random.Random(7)
    packages = {number: document(number, content=rng.randbytes(200)) for number in range(25)}
    requests = {
        number: sender.prepare(MessageKind.DOCUMENT, io.BytesIO(data), sender=A)
        for number, data in packages.items()
    }
    arrived: dict[str, int] = {}
    acknowledged: set[str] = set()
    simulator.faults.plan(Fault.DUPLICATE, "sendEdoc")

    for number, request in requests.items():
        await until_done(lambda n=number, r=request: sender.send(r, io.BytesIO(packages[n])))
    while waiting := await until_done(lambda: receiver.waiting(MessageKind.DOCUMENT)):
        for item in waiting:
            if item.axis_id in acknowledged:
                continue
            data = await until_done(lambda i=item.axis_id: fetched(receiver, i))
            fingerprint = document_in(data).fingerprint()
            arrived[fingerprint] = arrived.get(fingerprint, 0) + 1
            await until_done(lambda i=item.axis_id: receiver.mark(i, TransportState.DONE))
            acknowledged.add(item.axis_id)

    # Doubles have ids of their own, but not fingerprints of their own.
    assert set(arrived) == {document_in(data).fingerprint() for data in packages.values()}
    assert sum(arrived.values()) > len(arrived)
    assert len({fault for _call, fault in simulator.faults.happened}) > 10


async def until_done(call: Any) -> Any:
    """Again and again, as a relay does; the loop is bounded by the test's own time."""
    while True:
        try:
            return await call()
        except AxisOutcomeUnknown:
            continue
        except AxisRefused as refusal:
            if not refusal.is_transient:
                raise


def test_base64_of_a_large_package_is_announced_to_the_byte(tmp_path: Path):
    from adapters.axis.simulator.calls import Answer

    for size in (0, 1, 2, 3, 200_000):
        file = tmp_path / str(size)
        file.write_bytes(bytes(size))
        answer = Answer({"status": "OK"}, data_file=file)
        whole = b"".join(answer.pieces())
        assert len(whole) == answer.length()
        assert base64.b64decode(json.loads(whole)["data"]) == bytes(size)
