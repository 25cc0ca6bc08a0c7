"""What every store that can be erased from must do, whichever it is and whoever provides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from adapters.memory.content import MemoryContentStore
from adapters.memory.determinism import CountedRandomness
from adapters.memory.document_keys import MemoryDocumentKeys
from adapters.memory.events import MemoryEventLog
from adapters.storage.content import ContentStore
from adapters.storage.document_keys import DocumentKeys
from adapters.storage.events import EventRecorder
from adapters.storage.object_content import ObjectContentStore
from adapters.storage.uploads import make_root
from hub.application.ports import Erasable, SealedPayload
from hub.domain.exchange import Exchange
from tests.support.commits import digest_of, new_commit, new_event

ONE, TWO, THREE = (UUID(int=n) for n in (1, 2, 3))


@dataclass
class Store:
    """A store, how something of an exchange gets into it, and whether it is still there."""

    it: Erasable
    fill: Callable[[UUID], None]
    holds: Callable[[UUID], bool]


def keys(it: MemoryDocumentKeys | DocumentKeys) -> Store:
    return Store(it, lambda each: it.add({each: each.bytes * 2}), lambda each: bool(it.get(each)))


def content(it: MemoryContentStore | ContentStore | ObjectContentStore) -> Store:
    return Store(
        it,
        lambda each: it.put(each, 0, b"content", b"k" * 32),
        lambda each: each in set(it.exchanges()),
    )


def log(it: MemoryEventLog | EventRecorder) -> Store:
    def fill(exchange_id: UUID) -> None:
        payload = SealedPayload(digest_of(str(exchange_id)), exchange_id, b"sealed")
        it.commit(new_commit(it.head().next_position, [new_event()], payloads=[payload]))

    return Store(it, fill, lambda each: it.payload(digest_of(str(each))) is not None)


@pytest.fixture(params=["keys", "content", "log"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Store:
    memory = request.param == "memory"
    if kind == "content":
        folder = tmp_path / "content"
        make_root(folder)
        if request.param == "postgres":
            # Content lies in no database: here stands what is elsewhere too.
            return content(request.getfixturevalue("bucket_content"))
        return content(
            MemoryContentStore() if memory else ContentStore(folder, CountedRandomness())
        )
    if kind == "keys":
        if memory:
            return keys(MemoryDocumentKeys())
        return keys(DocumentKeys(request.getfixturevalue(f"{request.param}_keys")))
    if memory:
        return log(MemoryEventLog())
    return log(EventRecorder(request.getfixturevalue(request.param)))


def test_a_new_store_has_erased_nothing(store: Store):
    assert store.it.erased_below() == 0


def test_what_is_erased_is_gone_and_remembered(store: Store):
    for each in (ONE, TWO, THREE):
        store.fill(each)

    store.it.erase([ONE, THREE], 17)

    assert store.it.erased_below() == 17
    assert [store.holds(each) for each in (ONE, TWO, THREE)] == [False, True, False]


def test_erasing_again_and_erasing_nothing_changes_nothing(store: Store):
    store.fill(ONE)
    for _ in range(2):
        store.it.erase([TWO, THREE], 17)
    store.it.erase([], 18)

    assert store.it.erased_below() == 18
    assert store.holds(ONE)


def test_the_mark_is_found_by_whoever_opens_the_folder_next(tmp_path: Path):
    store = ContentStore(tmp_path, CountedRandomness())
    store.erase([ONE], 2**40)

    assert ContentStore(tmp_path, CountedRandomness()).erased_below() == 2**40


@pytest.mark.parametrize("damaged", [b"", b"x", b"-1", b"1 ", b"9" * 30])
def test_a_damaged_mark_only_costs_time(tmp_path: Path, damaged: bytes):
    store = ContentStore(tmp_path, CountedRandomness())
    (tmp_path / "erased-below").write_bytes(damaged)

    assert store.erased_below() == 0


@pytest.mark.parametrize("which", ["memory", "sqlite", "postgres"])
def test_erasures_are_found_in_their_order(which: str, request: pytest.FixtureRequest):
    it = MemoryEventLog() if which == "memory" else EventRecorder(request.getfixturevalue(which))
    erased = [new_event(topic=Exchange.PayloadErased.TOPIC) for _ in range(3)]
    it.commit(new_commit(0, [new_event(), erased[0], new_event(), erased[1], erased[2]]))

    found = it.erasures(0, 10)

    assert [each.position for each in found] == [1, 3, 4]
    assert [each.exchange_id for each in found] == [event.originator_id for event in erased]
    assert [each.position for each in it.erasures(2, 1)] == [3]
    assert list(it.erasures(5, 10)) == []
