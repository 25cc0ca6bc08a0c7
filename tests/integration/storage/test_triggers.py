"""The database itself refuses what would change history, whoever asks."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from adapters.storage.cosignatures import CosignatureStore
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.tree import TreeStore
from hub.application.ports import SealedPayload
from hub.proof.note import NoteSignature
from tests.support.commits import REGISTRY_TOPIC, digest_of, new_commit, new_event, new_request

FORBIDDEN = {
    "UPDATE events SET state = x'00'": "events is append-only",
    "UPDATE events SET position = 7": "events is append-only",
    "DELETE FROM events": "events is append-only",
    "REPLACE INTO events SELECT position, aggregate_id, version, topic, registry, x'00'"
    " FROM events": "events is append-only",
    "UPDATE requests SET digest = x'00'": "requests is append-only",
    "DELETE FROM requests": "requests is append-only",
    "REPLACE INTO requests SELECT * FROM requests": "requests is append-only",
    "UPDATE evidence SET data = x'00'": "evidence is append-only",
    "DELETE FROM evidence": "evidence is append-only",
    "REPLACE INTO evidence SELECT digest, x'00' FROM evidence": "evidence is append-only",
    "UPDATE checkpoints SET note = x'00'": "checkpoints is append-only",
    "DELETE FROM checkpoints": "checkpoints is append-only",
    "UPDATE tiles SET data = x'00'": "a tile only grows",
    "UPDATE tiles SET data = substr(data, 1, 32)": "a tile only grows",
    "UPDATE tiles SET data = substr(data, 33) || data": "a tile only grows",
    "UPDATE tiles SET number = 1": "a tile only grows",
    "DELETE FROM tiles": "tiles are never removed",
    "UPDATE head SET next_position = 1": "only moves forward",
    "UPDATE head SET registry_version = -1": "only moves forward",
    "DELETE FROM head": "never removed",
    "REPLACE INTO head VALUES (1, 0, -1)": "never removed",
    "INSERT INTO head VALUES (2, 0, -1)": "head_is_one_row",
    "UPDATE inbox_heads SET last_seq = 1": "never given twice",
    "UPDATE inbox_heads SET agency = 'H03'": "never given twice",
    "DELETE FROM inbox_heads": "inbox numbers are never given twice",
    "UPDATE outbox_heads SET last_seq = 1": "outbox numbers are never given twice",
    "UPDATE outbox_heads SET agency = 'H03'": "outbox numbers are never given twice",
    "DELETE FROM outbox_heads": "outbox numbers are never given twice",
    "UPDATE cosignatures SET signature = x'00'": "cosignatures is append-only",
    "UPDATE cosignatures SET size = 1": "cosignatures is append-only",
    "DELETE FROM cosignatures": "cosignatures is append-only",
    "REPLACE INTO cosignatures SELECT size, nth, witness, key_id, x'00' FROM cosignatures": (
        "cosignatures is append-only"
    ),
    "INSERT INTO cosignatures VALUES (1, 1, 'w', x'00', x'00')": "FOREIGN KEY",
    "REPLACE INTO outbox_heads VALUES ('H01', 1)": "outbox numbers are never given twice",
}
TABLES = (
    "head",
    "events",
    "requests",
    "evidence",
    "checkpoints",
    "tiles",
    "inbox_heads",
    "outbox_heads",
    "cosignatures",
)


@pytest.fixture
def filled(database: Database, log: EventRecorder) -> Database:
    log.commit(
        new_commit(
            0,
            [new_event(topic=REGISTRY_TOPIC), new_event()],
            requests=[new_request("r")],
            payloads=[SealedPayload(digest_of("p"), new_event().originator_id, b"sealed")],
            evidence=[b"certificate"],
            inbox_heads={"H02": 2},
            outbox_heads={"H01": 2},
        )
    )
    TreeStore(database).publish({(0, 0): digest_of("a") + digest_of("b")}, 2, b"note")
    CosignatureStore(database).add(2, NoteSignature("w1", b"key1", b"signature"))
    return database


def everything(database: Database) -> dict[str, list[sa.Row]]:
    with database.reading() as connection:
        return {
            table: connection.execute(sa.text(f"SELECT * FROM {table}")).all() for table in TABLES
        }


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_history_is_not_changed(filled: Database, statement: str):
    before = everything(filled)

    with pytest.raises(IntegrityError) as refused, filled.writing() as connection:
        connection.execute(sa.text(statement))

    assert FORBIDDEN[statement] in str(refused.value.orig)
    assert everything(filled) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tiles SET data = CAST(data || data AS BLOB)",
        "UPDATE head SET next_position = 3, registry_version = 2",
        "UPDATE inbox_heads SET last_seq = 3",
        "UPDATE outbox_heads SET last_seq = 3",
        "DELETE FROM payloads",
    ],
)
def test_what_may_change_does(filled: Database, statement: str):
    with filled.writing() as connection:
        assert connection.execute(sa.text(statement)).rowcount == 1


def test_a_request_names_an_event_that_exists(filled: Database):
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), filled.writing() as connection:
        connection.execute(sa.text("INSERT INTO requests VALUES ('x', 'H01', x'00', 7, NULL)"))
