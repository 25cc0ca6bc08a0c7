"""A hub whose log key lies with a signer of its own: killed, hanging, restored, it goes on."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.bootstrap.core import open_core
from hub.client import HubClient
from hub.client.errors import HubUnreachable
from hub.client.hub_keys import KeyState
from hub.client.retry import RetryPolicy
from hub.config import ConfigInvalid, Settings
from keys.remote_signer import SignerUnreachable
from tests.e2e.test_log_files import LETTER
from tests.support.hubs import PATIENT, QUAN_1, TAI_CHINH, Founded, Running, serving
from tests.support.rotation import two_operators
from tests.support.signers import SignerProcess

ONCE = RetryPolicy(attempts_max=1)


@pytest.fixture
def apart(founded: Founded, tmp_path: Path) -> Founded:
    """The hub's folder, without the log key and its memory."""
    shutil.move(founded.folder.root / "signer", tmp_path / "signer")
    with founded.folder.settings.open("a") as settings:
        settings.write(f'signer = "unix:{tmp_path}/socket"\nsigner_timeout_s = 60\n')
    return founded


@pytest.fixture
def signer(apart: Founded, tmp_path: Path) -> Iterator[SignerProcess]:
    with SignerProcess(tmp_path / "signer", tmp_path / "socket") as process:
        yield process


async def submit(hub: Running) -> None:
    """Sent until the receipt is there, which the SDK checks."""
    profile = hub.founded.speakers[QUAN_1].profile(hub.port)
    async with HubClient.open(profile, policy=PATIENT) as agency:
        await agency.submit(LETTER, [], [TAI_CHINH])


async def submit_while_it_cannot_sign(hub: Running) -> None:
    """One try; the statement stays in the agency's journal."""
    profile = hub.founded.speakers[QUAN_1].profile(hub.port)
    async with HubClient.open(profile, policy=ONCE) as agency:
        # UNAVAILABLE: recorded or not, the very same bytes get the answer later.
        with pytest.raises(HubUnreachable, match="repeat the very same call"):
            await agency.submit(LETTER, [], [TAI_CHINH])


async def get_the_receipt_that_was_delayed(hub: Running) -> None:
    profile = hub.founded.speakers[QUAN_1].profile(hub.port)
    async with HubClient.open(profile, policy=PATIENT) as agency:
        [repeated] = await agency.resume()
    assert repeated.error is None


async def ready(hub: Running) -> bool:
    return await hub.process.operating.look()


async def test_a_hub_without_a_log_key_gives_receipts(apart: Founded, signer: SignerProcess):
    async with serving(apart) as hub:
        await submit(hub)
        assert not apart.folder.log_key.exists()
        assert await ready(hub)


async def test_the_signer_is_killed_and_restarted_and_the_hub_goes_on(
    apart: Founded, signer: SignerProcess
):
    async with serving(apart) as hub:
        await submit(hub)
        size = hub.core.receipts.size
        signer.kill()
        await submit_while_it_cannot_sign(hub)
        # Recorded, and shown to nobody.
        assert hub.core.receipts.size == size
        assert not await ready(hub)

        signer.start()
        await get_the_receipt_that_was_delayed(hub)
        await submit(hub)
        assert await ready(hub)
        assert hub.core.receipts.size > size


async def test_a_signer_that_hangs_costs_a_moment_and_no_receipt(
    apart: Founded, signer: SignerProcess, monkeypatch: pytest.MonkeyPatch
):
    async with serving(apart) as hub:
        with monkeypatch.context() as hasty:
            hasty.setattr(hub.core.signer, "_timeout_s", 0.5)
            signer.send(signal.SIGSTOP)
            await submit_while_it_cannot_sign(hub)
        signer.send(signal.SIGCONT)
        await get_the_receipt_that_was_delayed(hub)
        await submit(hub)


def test_a_hub_does_not_start_without_its_signer(apart: Founded):
    settings = Settings.load(apart.folder.root)
    with pytest.raises(SignerUnreachable), open_core(apart.folder, settings):
        raise AssertionError("it is open")


def test_a_hub_that_kept_a_copy_of_the_signer_does_not_start(
    apart: Founded, signer: SignerProcess, tmp_path: Path
):
    shutil.copytree(tmp_path / "signer", apart.folder.root / "signer")
    settings = Settings.load(apart.folder.root)
    with pytest.raises(ConfigInvalid, match="do not copy"), open_core(apart.folder, settings):
        raise AssertionError("it is open")


def test_a_second_signer_in_one_folder_is_refused(signer: SignerProcess, tmp_path: Path):
    from tests.e2e.test_custody import type_command

    second = type_command("signer", "serve", tmp_path / "signer", "--socket", tmp_path / "other")
    assert second.returncode == 1
    assert "[FOLDER_BUSY]" in second.stderr


async def test_a_key_is_changed_where_the_signer_is_apart(
    apart: Founded, signer: SignerProcess, tmp_path: Path
):
    async with serving(apart) as hub:
        await submit(hub)
        async with two_operators(apart, hub.port) as operators:
            old = await operators.key(KeyState.ACTIVE)
            new = await operators.announce()
            await operators.publish_root()
            # Killed in between, it holds both keys and the one memory of what they signed.
            signer.kill()
            signer.start()
            await operators.together("activate-key", new)
            await operators.first.hub_keys.retire(old)
            await operators.publish_root()
        await submit(hub)
        assert [key.format() for key in hub.core.signer.keys] == [new]
    assert not (tmp_path / "signer" / "log-key.pem").exists()
    assert (tmp_path / "signer" / "log-key-2.pem").exists()
