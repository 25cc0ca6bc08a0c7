"""What a document leaves in the databases, for its whole life and for each more recipient.

    python -m tests.bench.stored [--documents 1000]

Prints bytes, on SQLite and on PostgreSQL where one can be started: the figures that
docs/capacity.md begins with.
"""

from __future__ import annotations

import argparse
import json
import uuid
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from adapters.storage.engine import Database
from adapters.storage.read_only import ReadOnlyDatabase
from adapters.system import system_clock, system_randomness
from hub.application import intake
from hub.application.agencies import RegisterAgency
from hub.application.commands import Spoken, SubmitDocument
from hub.bootstrap.core import Core, open_core
from hub.bootstrap.founding import SAMPLE_AGENCIES, Stores
from hub.bootstrap.upgrade import database_url, document_keys_url
from hub.config import Settings
from hub.domain.values import uuid7
from hub.proof.statements import Envelope
from tests.bench.history import EVENTS_PER_DOCUMENT, History, require_accepted
from tests.bench.place import OTHERS, RECIPIENT, SENDER, empty_logs
from tests.bench.sayings import domain_form, envelope_of_2_kb
from tests.support import postgres
from tests.support.hubs import Founded, found, signed

_MORE_RECIPIENTS = 100
_WAVE = 100


def measured(folder: Path, documents: int, stores: Stores | None) -> dict[str, int]:
    """Bytes for a document with one recipient, and for each recipient more that is silent."""
    founded = found(folder, samples=SAMPLE_AGENCIES[:2], stores=stores)
    with open_core(founded.folder, Settings.load(founded.folder.root)) as core:
        core.engine.load()
        speakers = founded.speakers
        empty = _bytes(founded, core)
        size = core.log.head().next_position
        history = History(core, speakers[SENDER], speakers[RECIPIENT], system_clock)
        history.grow(size + documents * EVENTS_PER_DOCUMENT)
        lived = _bytes(founded, core)
        require_accepted(
            core.engine.process(
                [
                    RegisterAgency("operator", str(uuid.uuid4()), code, f"Cơ quan {code}")
                    for code in OTHERS[: _MORE_RECIPIENTS - 1]
                ]
            )
        )
        before = _bytes(founded, core)
        to = [RECIPIENT, *OTHERS[: _MORE_RECIPIENTS - 1]]
        _submit(core, founded, to, documents // 10)
        many = _bytes(founded, core)
        _submit(core, founded, [RECIPIENT], documents)
        one = _bytes(founded, core)
        row = _row_of_events(founded)
    submitted = (one - many) / documents
    sent_to_many = (many - before) / (documents // 10)
    return {
        "document_bytes": round((lived - empty) / documents),
        "submission_bytes": round(submitted),
        "recipient_bytes": round((sent_to_many - submitted) / (_MORE_RECIPIENTS - 1)),
        **row,
    }


def _submit(core: Core, founded: Founded, to: list[str], count: int) -> None:
    sender = founded.speakers[SENDER]
    for start in range(0, count, _WAVE):
        commands = []
        for _ in range(min(_WAVE, count - start)):
            envelope = domain_form(signed(sender, envelope_of_2_kb(sender, to)))
            read = intake.read(envelope, Envelope, agency=sender.code, origin=sender.hub)
            registry = core.engine.registry
            judged = intake.judge(
                envelope, agency=sender.code, registry=registry, at=system_clock()
            )
            spoken = Spoken(sender.code, envelope, judged, registry.version)
            exchange_id = uuid7(system_clock(), system_randomness(10))
            commands.append(
                SubmitDocument(spoken, read, exchange_id, core.vault.new_key(), core.vault)
            )
        require_accepted(core.engine.process(commands))


def _bytes(founded: Founded, core: Core) -> int:
    """Both databases, with nothing left in their logs."""
    settings = Settings.load(founded.folder.root)
    urls = [place(founded.folder, settings) for place in (database_url, document_keys_url)]
    if core.database.is_server:
        return sum(_on_server(url) for url in urls)
    empty_logs(core)
    for url in urls:
        with closing(Database(url)) as database:
            database.forget()
    return sum(each.stat().st_size for each in founded.folder.root.glob("*.db"))


def _row_of_events(founded: Founded) -> dict[str, int]:
    """On a server: what an event takes in its table, the largest; indexes lie elsewhere."""
    url = database_url(founded.folder, Settings.load(founded.folder.root))
    with closing(ReadOnlyDatabase(url)) as database:
        if not database.is_server:
            return {}
        ask = "SELECT pg_relation_size('events')::float / count(*) FROM events"
        with database.reading() as connection:
            return {"event_row_bytes": round(connection.execute(sa.text(ask)).scalar_one())}


def _on_server(url: str) -> int:
    with closing(ReadOnlyDatabase(url)) as database, database.reading() as connection:
        return int(
            connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one()
        )


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.stored", description=__doc__)
    parser.add_argument("--documents", type=int, default=1000)
    documents = parser.parse_args().documents
    with TemporaryDirectory() as folder, ExitStack() as stack:
        figures = {"sqlite": measured(Path(folder) / "sqlite", documents, None)}
        try:
            server = stack.enter_context(postgres.serving())
        except postgres.Unavailable as reason:
            print(reason)
        else:
            stores = Stores(*(server.url(server.create()) for _ in range(2)))
            figures["postgresql"] = measured(Path(folder) / "postgresql", documents, stores)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
