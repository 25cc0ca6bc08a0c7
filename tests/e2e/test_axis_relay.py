"""Two hubs, one axis: documents and statuses in both directions while everything goes wrong."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.axis.reading import VIETNAM
from adapters.axis.simulator.faults import Faults
from adapters.axis.simulator.server import Simulator
from hub.bootstrap.founding import SampleAgency
from hub.client import AttachmentDraft, HubClient
from hub.client.answers import DeliveryState, InboxItemKind, OutboxItemKind
from hub.client.registry import RegistryClient
from hub.proof.signatures import Algorithm
from tests.e2e.test_exchange import LETTER
from tests.support.hubs import (
    PATIENT,
    Founded,
    HubProcess,
    Speaker,
    check_hub_is_whole,
    found,
    reading,
    serving,
)
from tests.support.patience import PATIENCE_S

CITY = (
    SampleAgency("H29.1.1", "UBND Quận 1", "quan-1", Algorithm.ED25519),
    SampleAgency("H29.2.7", "Sở Tài chính", "tai-chinh", Algorithm.ED25519),
)
MINISTRY = (
    SampleAgency("G12.18", "Cục Thuế", "cuc-thue", Algorithm.ED25519),
    SampleAgency("G12.21", "Cục Quản lý công sản", "cong-san", Algorithm.ED25519),
)
QUAN_1, TAI_CHINH = (each.code for each in CITY)
CUC_THUE, CONG_SAN = (each.code for each in MINISTRY)
SECRETS = {"HUB.H29": "bi mat cua thanh pho", "HUB.G12": "bi mat cua bo"}
PACE = """
send_every_s = 0.2
poll_every_s = 0.2
directory_every_s = 0.5
reconcile_every_s = 600
retry_first_s = 0.1
retry_longest_s = 0.6
call_timeout_s = 20
"""
PDF = b"%PDF-1.7 " + bytes(100_000)


@dataclass
class Country:
    """Two hubs and the axis between them."""

    simulator: Simulator
    city: Founded
    ministry: Founded


@pytest.fixture
async def country(tmp_path: Path) -> AsyncIterator[Country]:
    simulator = Simulator(
        _made(tmp_path / "axis"),
        lambda: datetime.now(UTC).astimezone(VIETNAM),
        faults=Faults(seed=int(__import__("os").environ.get("SEED", "7")), slow_s=0.2),
    )
    with simulator.listening() as address:
        hubs = []
        for system_id, samples in (("HUB.H29", CITY), ("HUB.G12", MINISTRY)):
            codes = [each.code for each in samples]
            simulator.store.enrol(system_id, [SECRETS[system_id]], codes)
            founded = found(_made(tmp_path / system_id), samples=samples)
            connect(founded, system_id, address)
            hubs.append(founded)
        yield Country(simulator, *hubs)
    simulator.store.close()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def connect(founded: Founded, system_id: str, address: str) -> None:
    """What an operator writes into `hub.toml`."""
    root = founded.folder.root
    (root / "axis-secret").write_text(SECRETS[system_id] + "\n")
    with (root / "hub.toml").open("a") as settings:
        settings.write(
            f'\n[axis]\nendpoint = "{address}"\nsystem_id = "{system_id}"\n'
            f'secrets = ["axis-secret"]\n{PACE}'
        )


@asynccontextmanager
async def client(founded: Founded, code: str, port: int) -> AsyncIterator[HubClient]:
    (sample,) = [each for each in (*CITY, *MINISTRY) if each.code == code]
    profile = Speaker.of(founded.folder.clients / sample.slug, sample).profile(port)
    async with HubClient.open(profile, policy=PATIENT) as hub:
        yield hub


async def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that takes as long as it takes, with an end to it."""
    give_up = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(is_so):
        assert time.monotonic() < give_up, f"it never came: {what}"
        await asyncio.sleep(0.1)


def events(founded: Founded, topic: str) -> int:
    with closing(reading(founded.folder.database)) as database:
        count: int = database.execute(
            "SELECT count(*) FROM events WHERE topic = ?", (topic,)
        ).fetchone()[0]
    return count


def size(founded: Founded) -> int:
    with closing(reading(founded.folder.database)) as database:
        count: int = database.execute("SELECT count(*) FROM events").fetchone()[0]
    return count


def not_over(founded: Founded) -> int:
    """Packages on their way, or parked."""
    with closing(reading(founded.folder.database)) as database:
        count: int = database.execute(
            "SELECT count(*) FROM view_relays WHERE state NOT IN (4, 6)"
        ).fetchone()[0]
    return count


async def test_a_document_goes_over_the_axis_and_its_sender_is_not_proven(country, tmp_path):
    async with AsyncExitStack() as stack:
        city = await stack.enter_async_context(serving(country.city))
        ministry = await stack.enter_async_context(serving(country.ministry))
        ours = await stack.enter_async_context(client(country.city, QUAN_1, city.port))
        theirs = await stack.enter_async_context(client(country.ministry, CUC_THUE, ministry.port))
        await until(
            lambda: events(country.city, "hub.Relay.DirectorySynchronised") > 0, "the directory"
        )

        content = AttachmentDraft.from_bytes("kế hoạch.pdf", PDF)
        sent = await ours.submit(LETTER, [content], [CUC_THUE, TAI_CHINH])
        item = await anext(theirs.watch_inbox())
        assert (item.sender, item.origin, item.kind) == (QUAN_1, "axis", InboxItemKind.DOCUMENT)

        fetched = await theirs.fetch(item.envelope_digest, tmp_path / "văn bản")
        assert not fetched.document.sender_proven
        assert fetched.document.sender == QUAN_1
        assert [path.read_bytes() for path in fetched.files] == [PDF]
        await theirs.report_status(item.envelope_digest, "03")

        seen = []
        async for line in ours.watch_outbox():
            if line.kind is OutboxItemKind.AXIS_STATUS:
                seen.append((line.recipient, line.code))
            if len(seen) == 2:
                break
        assert seen == [(CUC_THUE, "01"), (CUC_THUE, "03")]
        exchange = await ours.exchange(sent.exchange_id)
        found = {each.recipient: each.state for each in exchange.deliveries}
        assert found[CUC_THUE] is DeliveryState.ACCEPTED


DOCUMENTS, KILLS = 6, 6


@pytest.mark.early
async def test_every_fault_and_hubs_that_are_killed_lose_and_double_nothing(country, tmp_path):
    """What the issue asks to be shown: in the end everything is there, once."""
    chance = random.Random(int(__import__("os").environ.get("SEED", "11")))
    async with (
        HubProcess(country.city) as city,
        HubProcess(country.ministry) as ministry,
    ):
        hubs = ((country.city, city), (country.ministry, ministry))
        for founded, _hub in hubs:
            await until(
                lambda: events(founded, "hub.Relay.DirectorySynchronised") > 0,  # noqa: B023
                "the directory",
            )
        country.simulator.faults.rate = 0.3
        async with AsyncExitStack() as stack:
            city_client = await stack.enter_async_context(client(country.city, QUAN_1, city.port))
            ministry_client = await stack.enter_async_context(
                client(country.ministry, CONG_SAN, ministry.port)
            )
            killing = asyncio.create_task(_kill_now_and_then(hubs, chance))
            try:
                outgoing = _send(city_client, [CUC_THUE, CONG_SAN], "c")
                incoming = _send(ministry_client, [QUAN_1, TAI_CHINH], "m")
                sent = [*await asyncio.gather(outgoing, incoming)]
                answering = [
                    _answer(country, code, hub.port)
                    for founded, hub in hubs
                    for code in _codes(founded, country)
                ]
                await asyncio.gather(*answering)
            finally:
                killing.cancel()
                await asyncio.wait([killing])
            country.simulator.faults.clear()

            for founded, _hub in hubs:
                # Each document to two agencies, each of which said 01, 03 and 06.
                await until(
                    lambda: events(founded, "hub.Delivery.AxisStatusTaken") == DOCUMENTS * 2 * 3,  # noqa: B023
                    "every status",
                )
                await until(lambda: not_over(founded) == 0, "an empty outbox")  # noqa: B023
                assert events(founded, "hub.Exchange.AxisDocumentTaken") == DOCUMENTS
                assert events(founded, "hub.Relay.RelayParked") == 0
            for each in (city_client, ministry_client):
                await _require_finished(each, sent[each is ministry_client])
            for founded, hub in hubs:
                await until_reconciled(founded, hub.port)
        for _founded, hub in hubs:
            await hub.terminate()
    happened = Counter(fault for _call, fault in country.simulator.faults.happened)
    assert len(happened) >= 10, f"not much went wrong: {happened}"
    for founded, _hub in hubs:
        check_hub_is_whole(founded.folder.root)


def _codes(founded: Founded, country: Country) -> list[str]:
    return [each.code for each in (CITY if founded is country.city else MINISTRY)]


async def _kill_now_and_then(
    hubs: Sequence[tuple[Founded, HubProcess]], chance: random.Random
) -> None:
    """However slow the machine, a hub that is killed has done something since the last time."""
    for _ in range(KILLS):
        founded, hub = chance.choice(hubs)
        enough = size(founded) + chance.randint(10, 40)
        while await asyncio.to_thread(size, founded) < enough:  # noqa: ASYNC110 - another process.
            await asyncio.sleep(0.1)
        hub.kill()
        await hub.start()


async def _send(hub: HubClient, recipients: list[str], mark: str) -> list[str]:
    """Send some documents; their exchanges."""
    sent = []
    for number in range(DOCUMENTS):
        letter = replace(LETTER, number=f"{mark}{number}")
        content = AttachmentDraft.from_bytes(f"{mark}{number}.pdf", PDF + mark.encode())
        accepted = await hub.submit(letter, [content], recipients)
        sent.append(accepted.exchange_id)
    return sent


async def _answer(country: Country, code: str, port: int) -> None:
    """Collect every document that comes, and say what becomes of it."""
    founded = country.city if code in (QUAN_1, TAI_CHINH) else country.ministry
    sample = next(each for each in (*CITY, *MINISTRY) if each.code == code)
    # A second profile of its own: one state folder serves one program at a time.
    profile = Speaker.of(founded.folder.clients / sample.slug, sample).profile(port)
    profile = replace(profile, state=founded.folder.root.parent / f"state-{code}")
    async with HubClient.open(profile, policy=PATIENT) as hub:
        digests: set[str] = set()
        async for item in hub.watch_inbox():
            if item.kind is not InboxItemKind.DOCUMENT:
                continue
            assert item.envelope_digest not in digests
            digests.add(item.envelope_digest)
            document = await hub.collect(item.envelope_digest)
            assert not document.sender_proven
            for status in ("03", "06"):
                await hub.report_status(item.envelope_digest, status)
            if len(digests) == DOCUMENTS:
                return


async def _require_finished(hub: HubClient, exchanges: list[str]) -> None:
    for exchange_id in exchanges:
        exchange = await hub.exchange(exchange_id)
        assert {each.state for each in exchange.deliveries} == {DeliveryState.FINISHED}


async def until_reconciled(founded: Founded, port: int) -> None:
    profile = founded.operator_profile(port)
    async with RegistryClient.open(profile) as operator:
        report = await operator.axis.reconcile()
    assert list(report.differences) == []
