"""Hubs whose signer is on another machine: it dies and comes back, and certificates change."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.bootstrap import signer_links
from hub.bootstrap.core import open_core
from hub.bootstrap.founding import NewCustody, found_hub
from hub.client import HubClient
from hub.config import Settings
from keys.age import is_sealed
from keys.remote_signer import SignerTurnsAway, SignerUnreachable
from tests.e2e.test_cli_config import typed
from tests.e2e.test_custody import FIRST, SECOND, text_of
from tests.e2e.test_log_files import LETTER
from tests.e2e.test_metrics import page
from tests.e2e.test_signer import (
    get_the_receipt_that_was_delayed,
    ready,
    submit,
    submit_while_it_cannot_sign,
)
from tests.support.hubs import ORIGIN, QUAN_1, SAMPLES, TAI_CHINH, Founded, serving, until
from tests.support.ports import free_port
from tests.support.several import Several, several, signer_on_another_machine
from tests.support.several_load import load_and
from tests.support.signers import SignerProcess


@pytest.fixture
def signer(founded: Founded) -> Iterator[SignerProcess]:
    with signer_on_another_machine(founded) as process:
        yield process


# --- Two hubs, one signer -----------------------------------------------------------------

on_postgres = pytest.mark.parametrize("database_kind", ["postgres"], indirect=True)


async def kill_the_signer(hubs: Several, chance: random.Random) -> None:
    hubs.signer.kill()
    await asyncio.sleep(chance.uniform(0.0, 2.0))
    await asyncio.to_thread(hubs.signer.start)


async def kill_signer_and_leader(hubs: Several, chance: random.Random) -> None:
    leader = hubs.leader()
    hubs.signer.kill()
    leader.kill()
    await asyncio.to_thread(hubs.signer.start)
    await leader.start()


@pytest.fixture
async def two(founded: Founded) -> AsyncIterator[Several]:
    async with several(founded, 2, signer_on_another_machine) as hubs:
        yield hubs


@on_postgres
async def test_a_signer_killed_under_the_load_of_two_hubs_costs_no_promise(two: Several):
    await load_and(two, kill_the_signer, rounds=2)


@on_postgres
async def test_a_signer_killed_together_with_the_leader_costs_no_promise(two: Several):
    await load_and(two, kill_signer_and_leader, rounds=1)


# --- One hub --------------------------------------------------------------------------------


async def test_a_signer_that_is_away_delays_receipts_and_health_says_why(
    founded: Founded, signer: SignerProcess
):
    settings = founded.folder.settings
    settings.write_text(f'metrics_listen = "127.0.0.1:{free_port()}"\n{settings.read_text()}')
    async with serving(founded) as hub:
        await submit(hub)
        assert await ready(hub)
        size = hub.core.receipts.size
        signer.kill()
        await submit_while_it_cannot_sign(hub)
        assert hub.core.receipts.size == size
        assert not await ready(hub)
        said = await asyncio.to_thread(typed, "health", founded.folder.root)
        assert said.returncode == 1
        assert "The hub is not ready: " in said.stderr
        assert "; the signer on 127.0.0.1:" in said.stderr

        signer.start()
        await get_the_receipt_that_was_delayed(hub)
        await submit(hub)
        assert await ready(hub)


async def test_a_hub_whose_certificate_is_forgotten_is_not_ready_until_it_is_let_in_again(
    founded: Founded, signer: SignerProcess
):
    root = founded.folder.root
    ours = json.loads(typed("signer", "link", "show", root, "--json").stdout)["current"]
    async with serving(founded) as hub:
        await submit(hub)
        forgotten = typed("signer", "link", "forget", signer.folder, ours["fingerprint"][:8])
        assert forgotten.returncode == 0, forgotten.stderr
        another = root.parent / "another"
        another.mkdir()
        shutil.copy(founded.folder.settings, another)
        signer_links.make(another, "another", 1, lambda: "")
        pem = (another / "signer-link" / "certificate.pem").read_bytes()
        signer_links.link_in(signer.folder).accept(pem, datetime.now(UTC))
        await submit_while_it_cannot_sign(hub)
        assert not await ready(hub)
        checked = await asyncio.to_thread(typed, "config", "check", root)
        assert checked.returncode == 1
        assert "[SIGNER_TURNS_AWAY]" in checked.stderr

        mine = (founded.folder.signer_link / "certificate.pem").read_bytes()
        signer_links.link_in(signer.folder).accept(mine, datetime.now(UTC))
        await get_the_receipt_that_was_delayed(hub)
        assert await ready(hub)


async def test_operators_change_both_certificates_and_no_call_fails(
    founded: Founded, signer: SignerProcess, tmp_path: Path
):
    hub_root = founded.folder.root
    ended = asyncio.Event()
    async with serving(founded) as hub:
        sent: list[int] = []
        sending = asyncio.create_task(send_until(hub, ended, sent))
        for end, other in ((hub_root, signer.folder), (signer.folder, hub_root)):
            old = shown(end)["current"]["fingerprint"]
            made = await command("signer", "link", "make", end, "--name", "new", "--days", 3)
            (tmp_path / "new.pem").write_text(made.stdout)
            assert shown(end)["waiting"]["name"] == "new"
            await command("signer", "link", "accept", other, tmp_path / "new.pem")
            assert len(shown(other)["accepted"]) == 2
            await command("signer", "link", "switch", end)
            # A question that is under way is asked with what was shown when it began.
            begun = len(sent)
            await until(lambda begun=begun: len(sent) > begun + 1 or sending.done())
            await command("signer", "link", "forget", other, old)
            assert [each["name"] for each in shown(other)["accepted"]] == ["new"]
        ended.set()
        await sending
        assert await ready(hub)


async def send_until(hub: Any, ended: asyncio.Event, sent: list[int]) -> None:
    """Every call succeeds at its first attempt, or this raises."""
    from tests.e2e.test_signer import ONCE

    profile = hub.founded.speakers[QUAN_1].profile(hub.port)
    async with HubClient.open(profile, policy=ONCE) as agency:
        while not ended.is_set():
            await agency.submit(LETTER, [], [TAI_CHINH])
            sent.append(1)


async def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    done = await asyncio.to_thread(typed, *arguments)
    assert done.returncode == 0, done.stderr
    return done


def shown(root: Path) -> Any:
    return json.loads(typed("signer", "link", "show", root, "--json").stdout)


async def test_a_hub_shows_nothing_that_its_signer_does_not_accept(
    founded: Founded, signer: SignerProcess
):
    root = founded.folder.root
    before = shown(root)["current"]
    await command("signer", "link", "make", root)
    refused = typed("signer", "link", "switch", root)
    assert refused.returncode == 1
    assert "[SIGNER_TURNS_AWAY]" in refused.stderr
    assert shown(root)["current"] == before
    # Who knows better may: such as when the signer has gone for good.
    await command("signer", "link", "switch", root, "--untried")
    assert shown(root)["waiting"] is None


async def test_days_until_both_certificates_end_are_measured(
    founded: Founded, signer: SignerProcess
):
    settings = founded.folder.settings
    settings.write_text('metrics_listen = "127.0.0.1:0"\n' + settings.read_text())
    async with serving(founded) as hub:
        measured = await page(hub)
        for holder in ("hub", "signer"):
            days = measured.value("certificate_days", holder=holder, purpose="signer-link")
            assert 28 < days <= 30


def test_a_hub_says_what_is_wrong_with_its_signer(founded: Founded, signer: SignerProcess):
    settings = Settings.load(founded.folder.root)
    assert "The signer answers." in typed("config", "check", founded.folder.root).stdout
    signer.kill()
    unreachable = typed("config", "check", founded.folder.root)
    assert unreachable.returncode == 1
    assert "[SIGNER_UNREACHABLE]" in unreachable.stderr
    with pytest.raises(SignerUnreachable), open_core(founded.folder, settings):
        raise AssertionError("it is open")


def test_a_certificate_that_has_ended_is_named_before_the_hub_starts(
    founded: Founded, signer: SignerProcess
):
    link = signer_links.link_of_hub(founded.folder)
    link.make("old", now=datetime.now(UTC) - timedelta(days=9), lasting=timedelta(days=1))
    link.switch()
    checked = typed("config", "check", founded.folder.root)
    assert checked.returncode == 1
    assert "this hub's certificate has ended on " in checked.stderr


def test_a_hub_that_is_not_let_in_does_not_start(founded: Founded, signer: SignerProcess):
    shutil.rmtree(founded.folder.signer_link)
    other = signer_links.link_in(signer.folder).current().pem
    signer_links.make(founded.folder.root, "stranger", 1, lambda: "")
    signer_links.link_of_hub(founded.folder).accept(other.encode(), datetime.now(UTC))
    settings = Settings.load(founded.folder.root)
    with pytest.raises(SignerTurnsAway), open_core(founded.folder, settings):
        raise AssertionError("it is open")


def test_a_signer_that_would_turn_every_hub_away_does_not_start(
    founded: Founded, signer: SignerProcess
):
    signer.kill()
    serve = ("signer", "serve", signer.folder, "--listen", "127.0.0.1:0")
    link = signer_links.link_in(signer.folder)
    link.forget(link.accepted()[0].fingerprint)
    nobody = typed(*serve)
    shutil.rmtree(link.folder)
    nothing = typed(*serve)
    nowhere = typed("signer", "serve", signer.folder)
    wrong = typed("signer", "serve", signer.folder, "--listen", "here")
    assert (nobody.returncode, nothing.returncode) == (1, 1)
    assert "accepts nobody" in nobody.stderr
    assert "has no such certificate" in nothing.stderr
    assert (nowhere.returncode, wrong.returncode) == (2, 2)


async def test_sealed_keys_of_a_link_are_opened_as_the_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipients = FIRST.recipients + SECOND.recipients
    folder = found_hub(
        tmp_path / "hub",
        origin=ORIGIN,
        listen="127.0.0.1:0",
        hosts=["127.0.0.1", "localhost"],
        samples=SAMPLES[:2],
        custody=NewCustody(recipients),
    )
    founded = Founded(folder)
    signers = f'custody = "age"\nkey_recipients = {json.dumps(recipients)}\n'
    (folder.root / "signer" / "signer.toml").write_text(signers)
    monkeypatch.setenv("LIENTHONG_KEY_SECRET", text_of(FIRST))
    with signer_on_another_machine(founded) as signer:
        for root in (folder.root, signer.folder):
            [key] = signer_links.link_in(root).key_files()
            assert is_sealed(key.read_bytes())
        async with serving(founded) as hub:
            await submit(hub)
            assert await ready(hub)
        monkeypatch.delenv("LIENTHONG_KEY_SECRET")
        checked = typed("config", "check", folder.root)
        assert "The signer was not asked: its key is sealed." in checked.stdout


def test_keys_of_a_link_are_sealed_with_the_others(founded: Founded, signer: SignerProcess):
    recipients = [each for one in (FIRST, SECOND) for each in ("--recipient", *one.recipients)]
    for root in (founded.folder.root, signer.folder):
        sealed = typed("keys", "protect", root, *recipients)
        assert sealed.returncode == 0, sealed.stderr
        [key] = signer_links.link_in(root).key_files()
        assert is_sealed(key.read_bytes())


def test_what_cannot_be_done_with_a_link_is_said(founded: Founded, signer: SignerProcess):
    root = founded.folder.root
    own = founded.folder.signer_link / "certificate.pem"
    for words in (
        ("switch", root, "--untried"),
        ("accept", root, own),
        ("forget", root, "00000000"),
    ):
        refused = typed("signer", "link", *words)
        assert refused.returncode == 1
        assert "[LINK_REFUSED]" in refused.stderr
