"""What an operator is told of settings and health, before and while a hub runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.forks import run_forked
from tests.support.hubs import Founded, serving
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.signers import ROOT, SignerProcess


def typed(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("LIENTHONG_")} | environment
    return run_forked(
        "hub.cli.main",
        "--lang",
        "en",
        *arguments,
        env={**env, "COLUMNS": "200"},
        timeout=PATIENCE_S,
    )


def test_settings_that_would_do_are_shown_where_they_are_chosen(founded: Founded):
    checked = typed(
        "config", "check", founded.folder.root, "--json", LIENTHONG_BATCH_MAX="7",
        LIENTHONG_DOCUMENT_KEYS_URL="postgresql://hub:hunter2@db/keys?sslpassword=x",
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    settings = json.loads(checked.stdout)["settings"]
    assert settings["batch_max"] == 7
    assert settings["document_keys_url"] == "postgresql://hub:…@db/keys?sslpassword=…"
    assert "queue_max" not in settings


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("queue_mx = 1", "is queue_max meant?"),
        ("key_lifetime_days = 70", "key_lifetime_days"),
        ('trace_endpoint = "collector"', "trace_endpoint"),
        ('custody = "pkcs11"', "custody pkcs11 needs pkcs11_module"),
    ],
)
def test_settings_that_would_not_do_are_named(founded: Founded, line: str, said: str):
    settings = founded.folder.settings
    settings.write_text(f"{line}\n{settings.read_text()}")
    checked = typed("config", "check", founded.folder.root)
    assert checked.returncode == 1
    assert said in checked.stderr
    assert "Traceback" not in checked.stderr


def test_a_file_that_a_setting_names_must_be_there(founded: Founded):
    founded.folder.server_certificate.unlink()
    checked = typed("config", "check", founded.folder.root)
    assert checked.returncode == 1
    assert "server.pem cannot be read" in checked.stderr


def test_checking_loads_beside_a_hub_and_changes_nothing(founded: Founded):
    before = sorted(str(path) for path in founded.folder.root.rglob("*"))
    assert typed("config", "check", founded.folder.root).returncode == 0
    assert sorted(str(path) for path in founded.folder.root.rglob("*")) == before


async def test_health_is_asked_of_the_hub_that_runs(founded: Founded):
    port = free_port()
    address = {"LIENTHONG_METRICS_LISTEN": f"0.0.0.0:{port}"}
    settings = founded.folder.settings
    settings.write_text(f'metrics_listen = "127.0.0.1:{port}"\n{settings.read_text()}')

    async def health(*options: str) -> subprocess.CompletedProcess[str]:
        import asyncio

        return await asyncio.to_thread(typed, "health", founded.folder.root, *options, **address)

    async with serving(founded) as hub:
        well = await health("--json")
        content = founded.folder.content
        away = content.rename(content.with_name("away"))
        await hub.process.operating.look()
        unwell = await health()
        away.rename(content)
    gone = await health()

    assert (well.returncode, json.loads(well.stdout)) == (
        0,
        {"ready": True, "failing": [], "signer": None},
    )
    assert unwell.returncode == 1
    assert "The hub is not ready: content" in unwell.stderr
    assert gone.returncode == 1
    assert "UNREACHABLE" in gone.stderr


def test_health_of_a_hub_that_tells_nobody_says_which_setting_is_missing(founded: Founded):
    asked = typed("health", founded.folder.root)
    assert asked.returncode == 1
    assert "metrics_listen" in asked.stderr
    assert sys.platform == "linux"


def test_the_script_of_the_compose_file_makes_what_signer_and_second_hub_need(
    founded: Founded, tmp_path: Path
):
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    (script,) = compose["services"]["found"]["command"]
    data, signer = tmp_path / "data", tmp_path / "signer"
    for folder in (data, signer):
        folder.mkdir()
    founded.folder.root.rename(data / "hub")
    here = script.replace("$$", "$").replace("/data/", f"{data}/").replace("/signer/", f"{signer}/")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "LANG": "C.UTF-8"}
    # A second time it finds everything there, and changes nothing.
    for _ in range(2):
        subprocess.run(["sh", "-ceu", here], check=True, env=environment)

    assert (signer / "own" / "log-key.pem").exists()
    for hub in ("hub", "other"):
        assert not (data / hub / "signer").exists()
    address = f"127.0.0.1:{free_port()}"
    named = compose["services"]["hub-2"]["environment"]["LIENTHONG_SIGNER"]
    chosen = {"LIENTHONG_SIGNER": named.replace("signer:8445", address)}
    with SignerProcess(signer / "own", listen=address):
        for hub in ("hub", "other"):
            checked = typed("config", "check", data / hub, "--json", **chosen)
            assert checked.returncode == 0, checked.stderr
            assert json.loads(checked.stdout)["signer_answers"] is True
