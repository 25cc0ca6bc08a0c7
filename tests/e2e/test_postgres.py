"""A hub on a PostgreSQL: made, served, checked and exported, and a server that goes away."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hub.bootstrap.folder import DataFolder
from hub.bootstrap.founding import Stores
from tests.e2e.test_kill import load_and
from tests.support import postgres
from tests.support.forks import run_forked
from tests.support.hubs import (
    ORIGIN,
    QUAN_1,
    TAI_CHINH,
    Founded,
    HubProcess,
    check_hub_is_whole,
    found,
    look_into,
    raw_stub,
    submission,
    trace,
)
from tests.support.patience import PATIENCE_S
from tests.support.postgres import Server


@pytest.fixture
def database_kind() -> str:
    return "postgres"


def command(*arguments: object) -> tuple[int, str, str]:
    """A command typed on the hub's machine."""
    done = run_forked("hub.cli.main", "--lang", "en", *arguments, timeout=PATIENCE_S)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def said(*arguments: object) -> dict[str, object]:
    status, out, err = command(*arguments, "--json")
    assert status == 0, out + err
    answer: dict[str, object] = json.loads(out)
    return answer


async def send(founded: Founded, process: HubProcess, count: int) -> None:
    sender = founded.speakers[QUAN_1]
    async with raw_stub(sender.transport, process.port) as stub:
        for _ in range(count):
            await stub.SubmitDocument(submission(sender, [TAI_CHINH], [b"content"]))


async def test_a_hub_lives_in_two_databases_named_by_their_urls(
    postgres_server: Server, tmp_path: Path
):
    urls = [postgres_server.url(postgres_server.create()) for _ in range(2)]
    root = tmp_path / "hub"
    options = ("--origin", ORIGIN, "--listen", "127.0.0.1:0", "--host", "127.0.0.1")
    said("init", root, *options, "--database", urls[0], "--document-keys", urls[1])
    founded = Founded(DataFolder(root))

    # A URL may carry a password, so others must not read the settings.
    assert (root / "hub.toml").stat().st_mode & 0o777 == 0o600
    assert not list(root.glob("*.db"))
    async with HubProcess(founded) as process:
        await send(founded, process, 3)
        events = trace(root).events
        assert said("ledger", "fsck", root) == {"events": events, "findings": []}
        assert said("ledger", "export", root, tmp_path / "export")["size"] == events
        assert await process.terminate() == 0
    trust = founded.folder.trusted_root
    assert said("ledger", "verify-export", tmp_path / "export", "--trust", trust)["findings"] == []
    assert said("audit", "rebuild", root)["same"] is True
    assert said("migrate", root)["changed"] is False

    status, _, err = command("init", tmp_path / "another", "--database", urls[0])
    assert (status, "is not empty" in err) == (1, True)
    assert not (tmp_path / "another").exists()


async def test_a_lost_database_is_filled_up_from_an_export(
    founded: Founded, postgres_server: Server, tmp_path: Path
):
    root = founded.folder.root
    said("ledger", "export", root, tmp_path / "export")
    settings = (root / "hub.toml").read_text()
    old = next(line for line in settings.splitlines() if line.startswith("database_url"))
    new = f"database_url = {json.dumps(postgres_server.url(postgres_server.create()))}"
    (root / "hub.toml").write_text(settings.replace(old, new))

    status, _, err = command("serve", root)
    assert (status, "put it back" in err) == (1, True)
    # No event holds a certificate; they come back from whoever has them.
    kept = ("--kept", founded.folder.clients)
    restored = said("ledger", "restore", root, "--from-export", tmp_path / "export", *kept)

    assert restored["size"] == trace(root).events
    async with HubProcess(founded) as process:
        await send(founded, process, 1)


async def test_an_event_changed_on_the_server_is_named_and_nobody_is_served(
    founded: Founded, postgres_server: Server
):
    root = founded.folder.root
    with look_into(root) as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
    postgres_server.execute(
        "ALTER TABLE events DISABLE TRIGGER USER",
        "UPDATE events SET state = convert_to(replace(convert_from(state, 'UTF8'), 'H29', 'H30'),"
        " 'UTF8') WHERE position = 5",
        "ALTER TABLE events ENABLE TRIGGER USER",
        database=name,
    )

    status, out, _ = command("ledger", "fsck", root, "--json")
    assert (status, json.loads(out)["findings"][0]["position"]) == (1, 5)
    status, _, err = command("serve", root)
    assert (status, "First event that differs: 5" in err) == (1, True)


async def test_one_hub_at_a_time_serves_a_database(founded: Founded, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(founded.folder.root, copy)
    async with HubProcess(founded):
        status, _, err = command("serve", copy)
        assert (status, "FOLDER_BUSY" in err) == (1, True)


def test_a_server_that_is_not_there_is_named_as_the_cause(founded: Founded):
    settings = founded.folder.settings
    nobody = re.sub(r"@127\.0\.0\.1:\d+/", "@127.0.0.1:1/", settings.read_text())
    settings.write_text(nobody)

    status, _, err = command("serve", founded.folder.root)

    assert (status, "DATABASE_UNREACHABLE" in err) == (1, True)


# --- The server goes away -----------------------------------------------------------


@pytest.fixture
def own_server() -> Iterator[Server]:
    """One that this test alone kills."""
    try:
        with postgres.serving() as server:
            yield server
    except postgres.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.early
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGQUIT], ids=["killed", "crashed"])
async def test_a_server_that_dies_under_load_costs_no_promise(
    own_server: Server, tmp_path: Path, how: signal.Signals
):
    urls = [own_server.url(own_server.create()) for _ in range(2)]
    founded = found(tmp_path, stores=Stores(*urls))

    async def server_dies(process: HubProcess, chance: random.Random) -> None:
        own_server.stop(how)
        await asyncio.sleep(chance.uniform(0.0, 0.5))
        await asyncio.to_thread(own_server.start)

    # The hub is never told: it finds its database again by itself.
    await load_and(founded, server_dies, rounds=3)
    check_hub_is_whole(founded.folder.root)


# --- Moving -------------------------------------------------------------------------


async def test_a_hub_moves_to_a_server_and_every_promise_with_it(
    newly_founded: Founded, postgres_server: Server, tmp_path: Path
):
    root = tmp_path / "hub"
    shutil.copytree(newly_founded.folder.root, root)
    founded = Founded(DataFolder(root))
    sender = founded.speakers[QUAN_1]
    message = submission(sender, [TAI_CHINH], [b"content"])
    async with HubProcess(founded) as process:
        await send(founded, process, 3)
        async with raw_stub(sender.transport, process.port) as stub:
            answer = await stub.SubmitDocument(message)
        status, _, err = command("migrate", root, "--to", "postgresql://127.0.0.1/any")
        assert (status, "FOLDER_BUSY" in err) == (1, True)
        assert await process.terminate() == 0
    before = trace(root)
    url = postgres_server.url(postgres_server.create())

    moved = said("migrate", root, "--to", url)
    assert moved["size"] == before.events
    status, _, err = command("migrate", root, "--to", url)
    assert (status, "holds a log already" in err) == (1, True)
    with (root / "hub.toml").open("a") as settings:
        settings.write(f"\ndatabase_url = {json.dumps(url)}\n")
    (root / "hub.db").rename(tmp_path / "put-away.db")

    async with HubProcess(founded) as process:
        async with raw_stub(sender.transport, process.port) as stub:
            assert await stub.SubmitDocument(message) == answer
        assert trace(root) == before
        await send(founded, process, 1)
        assert await process.terminate() == 0
    check_hub_is_whole(root)


async def test_an_event_that_was_changed_is_not_moved(
    newly_founded: Founded, postgres_server: Server, tmp_path: Path
):
    root = tmp_path / "hub"
    shutil.copytree(newly_founded.folder.root, root)
    with closing(sqlite3.connect(root / "hub.db")) as database, database:
        database.execute("DROP TRIGGER events_refuse_update")
        database.execute(
            "UPDATE events SET state = CAST(replace(CAST(state AS TEXT), 'H29', 'H30') AS BLOB)"
            " WHERE position = 5"
        )

    status, _, err = command("migrate", root, "--to", postgres_server.url(postgres_server.create()))

    assert (status, "First event that differs: 5" in err) == (1, True)
