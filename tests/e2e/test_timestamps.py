"""A real time-stamping authority, `openssl ts`, stamps a hub that was told of it by `init`."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hub.bootstrap import jobs
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.founding import found_hub
from hub.bootstrap.timestamps import pem_of, read_offer
from hub.cli.main import main
from hub.client.client import HubClient
from hub.client.registry import RegistryClient
from hub.client.timestamps import HeldTimestamp, TimestampsStanding
from hub.errors import RoleNotPermitted
from hub.evidence.timestamps import TimestampEvidence, TimestampToken, verify_timestamp
from hub.proof.receipt import Receipt, parse_tlog_proof, verify_receipt
from tests.support.hubs import ORIGIN, QUAN_1, ROOT, SAMPLES, Founded, Running, serving
from tests.support.timestamping import (
    DAY,
    Authority,
    OpensslAuthority,
    replying,
)
from tests.support.timestamping import serving as serving_http


class Site:
    """An authority on this machine, which can be gone, and a hub that asks it."""

    def __init__(self, folder: Path, url: str, openssl: OpensslAuthority) -> None:
        self.openssl = openssl
        offer = folder / "offer.toml"
        (folder / "roots.pem").write_bytes(openssl.authority.root.pem)
        offer.write_text(
            f'[[timestamp_authorities]]\nname = "tsa.test"\nurl = "{url}"\n'
            'certificates = "roots.pem"\n'
        )
        made = found_hub(
            folder / "hub",
            origin=ORIGIN,
            listen="127.0.0.1:0",
            hosts=["127.0.0.1"],
            samples=SAMPLES[:2],
            timestamps=read_offer(offer),
        )
        self.founded = Founded(made)


@pytest.fixture
def gone() -> threading.Event:
    return threading.Event()


@pytest.fixture
def site(tmp_path: Path, gone: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    now = datetime.now(UTC)
    openssl = OpensslAuthority(tmp_path / "tsa", Authority.make(now - DAY, now + 900 * DAY))
    monkeypatch.setattr(jobs, "_TIMESTAMPS_EVERY_S", 0.05)

    def answer(request: bytes) -> bytes:
        return b"gone" if gone.is_set() else openssl.answer(request)

    with serving_http(replying(answer)) as url:
        yield Site(tmp_path, url, openssl)


@asynccontextmanager
async def operator(hub: Running) -> AsyncIterator[RegistryClient]:
    async with RegistryClient.open(hub.founded.operator_profile(hub.port)) as client:
        yield client


async def standing_until(
    hub: Running, done: Callable[[TimestampsStanding], bool]
) -> TimestampsStanding:
    """How it stands as soon as something is so; the test's own limit ends the wait."""
    async with operator(hub) as client:
        while True:
            standing = await client.timestamps.standing()
            if done(standing):
                return standing
            await asyncio.sleep(0.02)


def stamped(standing: TimestampsStanding) -> bool:
    return standing.authorities[0].newest is not None


def failed(standing: TimestampsStanding) -> bool:
    return standing.authorities[0].failures > 0


def evidence_in(held: HeldTimestamp) -> TimestampEvidence:
    checkpoint = parse_tlog_proof(held.proof).checkpoint
    token = held.token
    return TimestampEvidence(
        checkpoint, TimestampToken(token.authority, token.token, token.certificates)
    )


async def test_the_hub_is_stamped_and_anybody_can_prove_since_when_a_position_stands(site: Site):
    async with serving(site.founded) as hub:
        standing = await standing_until(hub, stamped)
        (authority,) = standing.authorities
        async with HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as client:
            (held,) = await client.timestamps.covering(3)

    assert (authority.name, authority.failures, authority.waiting_since) == ("tsa.test", 0, None)
    assert held.size == authority.newest_size
    trust = site.founded.trust
    evidence = evidence_in(held)
    proven = verify_timestamp(evidence, trust, at=datetime.now(UTC))
    assert abs(proven.time - datetime.now(UTC)) < timedelta(minutes=2)
    # The checkpoint is the log's, and what OpenSSL believes is the same.
    trust.open_checkpoint(evidence.checkpoint)
    site.openssl.verify(held.token.token, evidence.checkpoint)


async def test_an_event_proven_by_its_receipt_is_proven_under_the_stamped_checkpoint(site: Site):
    async with serving(site.founded) as hub:
        await standing_until(hub, stamped)
        async with HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as client:
            # That of its own registration.
            position = hub.core.engine.registry.agencies[QUAN_1].position
            (held,) = await client.timestamps.covering(position)
            leaf = hub.core.receipts.receipt(position).receipt.leaf

    verified = verify_receipt(Receipt(leaf, held.proof), site.founded.trust)
    assert verified.position == position


async def test_a_hub_whose_authority_is_gone_serves_and_catches_up(
    site: Site, gone: threading.Event
):
    gone.set()
    async with serving(site.founded) as hub:
        standing = await standing_until(hub, failed)
        assert standing.authorities[0].waiting_since is not None
        assert standing.authorities[0].waiting_events == hub.trace().events
        async with operator(hub) as client:
            await client.register_agency("H29.9.9", "Sở Khoa học")
        gone.clear()
    # By itself it would try again within the minute; a new start tries at once.
    async with serving(site.founded) as hub:
        standing = await standing_until(hub, stamped)
    assert standing.authorities[0].waiting_since is None


async def test_an_agency_may_not_ask_how_the_job_stands(site: Site):
    async with (
        serving(site.founded) as hub,
        HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as client,
    ):
        with pytest.raises(RoleNotPermitted):
            await client.timestamps.standing()


async def test_the_commands_of_the_verification_page_believe_the_token(site: Site, tmp_path: Path):
    async with serving(site.founded) as hub:
        await standing_until(hub, stamped)
        async with HubClient.open(hub.speaker(QUAN_1).profile(hub.port)) as client:
            (held,) = await client.timestamps.covering(0)
    (tmp_path / "proof").write_bytes(held.proof)
    (tmp_path / "token.der").write_bytes(held.token.token)
    for name, der in (("root", held.token.certificates[-1]), ("chain", held.token.certificates[1])):
        (tmp_path / f"{name}.pem").write_bytes(pem_of([der]))
    page = (ROOT / "docs" / "verification.md").read_text()
    (block,) = re.findall(r"^```\n(sed [^`]*openssl ts -verify[^`]*)^```$", page, re.MULTILINE)

    said = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-c", f"set -eu\n{block}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "Verification: OK" in said.stdout
    assert "Time stamp: " in said.stdout


def test_init_and_trust_are_told_of_authorities(site: Site, tmp_path: Path, capsys):
    folder = tmp_path / "second"
    words = ["init", folder, "--timestamps", tmp_path / "offer.toml", "--json"]
    assert main([str(word) for word in words]) == 0
    capsys.readouterr()

    assert main(["ledger", "trust", str(folder), "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert (said["version"], said["timestamp_authorities"]) == (1, ["tsa.test"])
    # Init listed it already: there is nothing for a second edition.
    assert Path(said["file"]) == DataFolder(folder).trusted_root


def test_the_trusted_root_of_a_new_hub_lists_the_authority(site: Site):
    (listed,) = site.founded.trust.timestamp_authorities
    assert listed.name == "tsa.test"
    assert listed.certificates == (site.openssl.authority.root.der,)
    assert listed.not_after is None
    # Every client's copy is the same.
    folder: DataFolder = site.founded.folder
    copies = folder.clients.glob("*/trusted_root.json")
    assert {copy.read_bytes() for copy in copies} == {folder.trusted_root.read_bytes()}
