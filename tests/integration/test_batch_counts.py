"""What one batch costs does not depend on how many documents are in it: counts, not times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.storage.document_keys import DocumentKeys
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from adapters.storage.migrate import migrate
from adapters.storage.tree import TreeStore
from adapters.storage.views import Views
from keys.checkpoint_signer import CheckpointSigner
from keys.last_signed import LastSigned, Signed
from tests.support.builders import (
    ORIGIN,
    OTHER,
    RECIPIENT,
    SENDER,
    MemoryHub,
    Party,
    Stores,
    check_whole,
    new_hub,
)
from tests.support.commands import collect_command, status_command, submit_command
from tests.support.signers import OneKey

sender, recipient = Party(SENDER), Party(RECIPIENT)
SIZES = (1, 32, 256)
WRITES = ("INSERT", "UPDATE", "DELETE")


class CountingLastSigned(LastSigned):
    """Counts the heads it was told to remember."""

    advanced = 0

    def advance(self, expected: Signed | None, new: Signed) -> None:
        super().advance(expected, new)
        self.advanced += 1


class CountingTreeStore(TreeStore):
    """Counts what was published."""

    published = 0

    def publish(self, *args: Any) -> None:
        super().publish(*args)
        self.published += 1


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    migrate(f"sqlite:///{tmp_path}/hub.db")
    database = Database(f"sqlite:///{tmp_path}/hub.db")
    keys = Database(f"sqlite:///{tmp_path}/document-keys.db")
    LastSigned.create(tmp_path / "last-signed.db").close()
    last_signed = CountingLastSigned.open(tmp_path / "last-signed.db")
    yield Stores(
        log=EventRecorder(database),
        tree=CountingTreeStore(database),
        views=Views(database),
        document_keys=DocumentKeys(keys),
        signer=CheckpointSigner(ORIGIN, OneKey(Ed25519PrivateKey.generate()), last_signed),
    )
    last_signed.close()
    keys.close()
    database.close()


@pytest.fixture
def hub(stores: Stores) -> MemoryHub:
    return new_hub(stores)


class Counts:
    """What was sent to the databases: by file, the verbs of the statements, and commits."""

    def __init__(self) -> None:
        self.statements: Counter[tuple[str, str]] = Counter()
        self.commits: Counter[str] = Counter()

    def __enter__(self) -> Counts:
        sa.event.listen(sa.Engine, "before_cursor_execute", self._executed)
        sa.event.listen(sa.Engine, "commit", self._committed)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(sa.Engine, "before_cursor_execute", self._executed)
        sa.event.remove(sa.Engine, "commit", self._committed)

    def _executed(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        verb = statement.split(maxsplit=1)[0]
        if verb != "BEGIN":
            self.statements[Path(connection.engine.url.database).name, verb] += 1

    def _committed(self, connection: Any) -> None:
        self.commits[Path(connection.engine.url.database).name] += 1

    def of(self, name: str, *verbs: str) -> int:
        return sum(self.statements[name, verb] for verb in verbs)


def cost(hub: MemoryHub, commands: list[Any]) -> Counts:
    """The counts of one batch, all of which is accepted."""
    with Counts() as counts:
        outcomes = hub.process(*commands)
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    return counts


def documents(hub: MemoryHub, count: int) -> list[Any]:
    return [submit_command(hub, sender, sender.envelope(RECIPIENT, OTHER)) for _ in range(count)]


def test_a_batch_of_documents_costs_the_same_whatever_its_size(hub):
    cost(hub, documents(hub, 1))
    counts = {size: cost(hub, documents(hub, size)) for size in SIZES}

    writes = {size: each.of("hub.db", *WRITES) for size, each in counts.items()}
    commits = {size: dict(each.commits) for size, each in counts.items()}
    # events, head, requests, payloads, inbox heads; tiles, checkpoint, its size; position,
    # documents, deliveries, notices.
    assert writes == dict.fromkeys(SIZES, 13)
    # The commit of the events, that of the tree, that of the lists; and that of the keys.
    assert all(each == {"hub.db": 3, "document-keys.db": 1} for each in commits.values()), commits
    keys = {size: each.of("document-keys.db", "INSERT") for size, each in counts.items()}
    assert keys == dict.fromkeys(SIZES, 1)


def test_a_batch_of_documents_asks_the_same_whatever_its_size(hub):
    cost(hub, documents(hub, 1))
    reads = {size: cost(hub, documents(hub, size)).of("hub.db", "SELECT") for size in SIZES}

    assert len(set(reads.values())) == 1, reads
    assert reads[1] <= 11


def test_what_recipients_say_is_written_in_as_few_statements(hub):
    envelopes = [sender.envelope() for _ in range(40)]
    for envelope in envelopes:
        hub.submit(SENDER, envelope)
    half = len(envelopes) // 2
    commands = [collect_command(hub, recipient, envelope) for envelope in envelopes[:half]]
    commands += [status_command(hub, recipient, envelope, "03") for envelope in envelopes[half:]]

    counts = cost(hub, commands)

    # events, head, requests, payloads, outbox heads; tiles, checkpoint, its size; position,
    # deliveries, notices.
    assert counts.of("hub.db", *WRITES) == 11
    assert counts.commits == {"hub.db": 3}
    check_whole(hub)


@pytest.mark.parametrize("size", SIZES)
def test_one_batch_is_one_signed_head_and_one_publication(hub, size):
    memory = hub.signer._last_signed
    before = memory.advanced, hub.stores.tree.published, len(list(hub.stores.tree.checkpoints()))

    cost(hub, documents(hub, size))

    after = memory.advanced, hub.stores.tree.published, len(list(hub.stores.tree.checkpoints()))
    assert after == tuple(count + 1 for count in before)


def test_a_batch_of_retries_writes_nothing(hub):
    commands = documents(hub, 32)
    hub.done(*commands)
    memory = hub.signer._last_signed
    before = memory.advanced, hub.stores.tree.published

    counts = cost(hub, commands)

    assert counts.of("hub.db", *WRITES) == 0
    assert counts.commits == {}
    assert (memory.advanced, hub.stores.tree.published) == before


def test_a_batch_of_refusals_writes_nothing(hub):
    commands = [submit_command(hub, sender, sender.envelope("H-NOBODY")) for _ in range(32)]

    with Counts() as counts:
        outcomes = hub.process(*commands)

    assert {outcome.reason for outcome in outcomes} == {"RECIPIENT_UNKNOWN"}
    assert counts.of("hub.db", *WRITES) == 0
    assert counts.commits == {}


def test_the_whole_hub_on_sqlite_agrees_with_itself(hub):
    hub.done(*documents(hub, 300))

    check_whole(hub)
    check_whole(hub.restarted())
