"""A hub whose keys are sealed serves as any other, once somebody opens them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx2
import pytest

from hub.application.ports import Commit
from hub.bootstrap.founding import NewCustody, found_hub
from hub.client import HubClient
from keys.age import Identities, KeySecretMissing, KeySecretWrong, is_sealed
from tests.e2e.test_log_files import LETTER, client
from tests.e2e.test_signer import (
    get_the_receipt_that_was_delayed,
    ready,
    submit_while_it_cannot_sign,
)
from tests.support.forks import run_forked
from tests.support.hubs import ORIGIN, QUAN_1, SAMPLES, TAI_CHINH, Founded, serving
from tests.support.patience import PATIENCE_S
from tests.support.rotation import two_operators
from tests.support.tokens import MODULE, PIN, soft_token

FIRST, SECOND, STRANGER = (Identities.generate() for _ in range(3))
SECRETS = ("signer/log-key.pem", "keys/content-key", "tls/server.key.pem")


def text_of(identities: Identities) -> str:
    return "".join(f"{each}\n" for each in identities._identities)


@pytest.fixture
def sealed(tmp_path: Path) -> Founded:
    folder = found_hub(
        tmp_path / "hub",
        origin=ORIGIN,
        listen="127.0.0.1:0",
        hosts=["127.0.0.1", "localhost"],
        samples=SAMPLES[:2],
        custody=NewCustody(FIRST.recipients + SECOND.recipients),
    )
    return Founded(folder)


@pytest.mark.parametrize("operator", [FIRST, SECOND], ids=["first", "second"])
async def test_either_operator_starts_a_sealed_hub(
    sealed: Founded, operator: Identities, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIENTHONG_KEY_SECRET", text_of(operator))
    monkeypatch.setenv("LIENTHONG_HTTP_LISTEN", "127.0.0.1:0")
    async with serving(sealed) as hub:
        async with HubClient.open(sealed.speakers[QUAN_1].profile(hub.port)) as sender:
            await sender.submit(LETTER, [], [TAI_CHINH])  # The SDK checks the receipt.
        # Its certificate is shown by the second server too, from the same sealed key.
        async with client(hub) as anyone:
            answer: httpx2.Response = await anyone.get("/checkpoint")
        assert answer.status_code == 200

    for name in SECRETS:
        assert is_sealed((sealed.folder.root / name).read_bytes())


@pytest.mark.parametrize(
    ("secret", "refusal"),
    [("", KeySecretMissing), (text_of(STRANGER), KeySecretWrong)],
    ids=["missing", "strange"],
)
async def test_nobody_else_starts_it(
    sealed: Founded, secret: str, refusal: type[Exception], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIENTHONG_KEY_SECRET", secret)
    with pytest.raises(refusal):
        async with serving(sealed):
            raise AssertionError("it serves")


def type_command(*arguments: object, secret: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"LIENTHONG_KEY_SECRET": secret, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    return run_forked("hub.cli.main", *arguments, env=environment, timeout=PATIENCE_S)


def test_keys_are_sealed_and_opened_from_the_keyboard(founded: Founded):
    root = founded.folder.root
    recipients = [word for each in (FIRST, SECOND) for word in ("--recipient", each.recipients[0])]

    sealed = type_command("keys", "protect", root, *recipients, "--json")
    assert sealed.returncode == 0, sealed.stderr
    assert all(is_sealed((root / name).read_bytes()) for name in SECRETS)

    # Still under the old setting, and then under the new one without, and with, the secret.
    refused = type_command("ledger", "fsck", root)
    assert "[KEY_PROTECTED]" in refused.stderr
    with (root / "hub.toml").open("a") as settings:
        settings.write('custody = "age"\n')
    assert "[KEY_SECRET_MISSING]" in type_command("ledger", "fsck", root).stderr
    wrong = type_command("ledger", "fsck", root, secret=text_of(STRANGER))
    assert "[KEY_SECRET_WRONG]" in wrong.stderr
    assert text_of(STRANGER)[16:40] not in wrong.stderr + wrong.stdout
    right = type_command("ledger", "fsck", root, secret=text_of(FIRST))
    assert right.returncode == 0, right.stderr

    opened = type_command("keys", "unprotect", root, secret=text_of(SECOND))
    assert opened.returncode == 0, opened.stderr
    assert (
        "[KEY_NOT_PROTECTED]" in type_command("ledger", "fsck", root, secret=text_of(FIRST)).stderr
    )


def test_one_recipient_is_not_enough(founded: Founded):
    refused = type_command(
        "keys", "protect", founded.folder.root, "--recipient", FIRST.recipients[0]
    )
    assert refused.returncode == 1
    assert "[RECIPIENTS_INVALID]" in refused.stderr


async def test_a_hub_with_its_keys_in_a_token_gives_receipts(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    soft = soft_token(tmp_path_factory)
    monkeypatch.setenv("LIENTHONG_KEY_SECRET", PIN)
    folder = found_hub(
        tmp_path / "hub",
        origin=ORIGIN,
        listen="127.0.0.1:0",
        hosts=["127.0.0.1", "localhost"],
        samples=SAMPLES[:2],
        custody=NewCustody(pkcs11_module=str(MODULE), pkcs11_token=soft.label),
    )
    assert not folder.log_key.exists()
    assert not folder.content_key.exists()
    founded = Founded(folder)
    async with (
        serving(founded) as hub,
        HubClient.open(founded.speakers[QUAN_1].profile(hub.port)) as sender,
    ):
        await sender.submit(LETTER, [], [TAI_CHINH])


async def test_a_token_unplugged_while_signing_costs_nothing_but_time(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    soft = soft_token(tmp_path_factory)
    monkeypatch.setenv("LIENTHONG_KEY_SECRET", PIN)
    founded = Founded(
        found_hub(
            tmp_path / "hub",
            origin=ORIGIN,
            listen="127.0.0.1:0",
            hosts=["127.0.0.1", "localhost"],
            samples=SAMPLES[:2],
            custody=NewCustody(pkcs11_module=str(MODULE), pkcs11_token=soft.label),
        )
    )
    async with serving(founded) as hub:
        profile = founded.speakers[QUAN_1].profile(hub.port)
        committed, commit = hub.core.log.head().next_position, hub.core.log.commit

        def commit_and_unplug(batch: Commit) -> None:
            commit(batch)
            soft.unplug()

        with monkeypatch.context() as patched:
            patched.setattr(hub.core.log, "commit", commit_and_unplug)
            await submit_while_it_cannot_sign(hub)
        try:
            # The commit stands, shown to nobody; the hub says that it is not well.
            assert hub.core.log.head().next_position == committed + 1
            assert hub.core.receipts.size == committed
            assert not await ready(hub)
        finally:
            soft.plug_in()
        await get_the_receipt_that_was_delayed(hub)
        assert hub.core.receipts.size == committed + 1
        assert await ready(hub)

        # Nobody signs anything, and it shows all the same.
        soft.unplug()
        try:
            assert not await ready(hub)
        finally:
            soft.plug_in()
        assert await ready(hub)
        async with HubClient.open(profile) as sender:
            await sender.submit(LETTER, [], [TAI_CHINH])


async def test_a_new_key_is_sealed_as_the_others_are(
    sealed: Founded, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIENTHONG_KEY_SECRET", text_of(FIRST))
    async with serving(sealed) as hub:
        async with two_operators(sealed, hub.port) as operators:
            await operators.rotate()
        async with HubClient.open(sealed.speakers[QUAN_1].profile(hub.port)) as sender:
            await sender.submit(LETTER, [], [TAI_CHINH])
    new = sealed.folder.log_key.with_name("log-key-2.pem")
    assert is_sealed(new.read_bytes())
    assert FIRST.read(new) == SECOND.read(new)
    assert not sealed.folder.log_key.exists()

    # The other operator starts it with what was made in the first one's time.
    monkeypatch.setenv("LIENTHONG_KEY_SECRET", text_of(SECOND))
    async with serving(sealed) as hub:
        assert await ready(hub)


async def test_a_key_is_changed_inside_a_token(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    soft = soft_token(tmp_path_factory)
    monkeypatch.setenv("LIENTHONG_KEY_SECRET", PIN)
    founded = Founded(
        found_hub(
            tmp_path / "hub",
            origin=ORIGIN,
            listen="127.0.0.1:0",
            hosts=["127.0.0.1", "localhost"],
            samples=SAMPLES[:2],
            custody=NewCustody(pkcs11_module=str(MODULE), pkcs11_token=soft.label),
        )
    )
    async with serving(founded) as hub:
        async with two_operators(founded, hub.port) as operators:
            for _ in range(2):
                await operators.rotate()
        async with HubClient.open(founded.speakers[QUAN_1].profile(hub.port)) as sender:
            await sender.submit(LETTER, [], [TAI_CHINH])
        assert len(hub.core.signer.keys) == 1
    assert list(founded.folder.root.rglob("log-key*")) == []
