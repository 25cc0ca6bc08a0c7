"""What every DocumentKeys must do, whichever adapter provides it."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from adapters.memory.document_keys import MemoryDocumentKeys
from adapters.storage.document_keys import DocumentKeys as SqlDocumentKeys
from adapters.storage.engine import Database
from hub.application.ports import DocumentKeys


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def keys(request: pytest.FixtureRequest) -> Iterator[DocumentKeys]:
    if request.param == "memory":
        yield MemoryDocumentKeys()
        return
    database: Database = request.getfixturevalue(f"{request.param}_keys")
    yield SqlDocumentKeys(database)
    database.close()


def test_a_key_comes_back_as_it_was_added(keys: DocumentKeys):
    one, two = uuid4(), uuid4()
    keys.add({one: b"\x00wrapped 1", two: b"wrapped 2"})

    assert keys.get(one) == b"\x00wrapped 1"
    assert keys.get(two) == b"wrapped 2"
    assert keys.get(uuid4()) is None


def test_many_keys_are_found_at_once_without_those_that_are_not_there(keys: DocumentKeys):
    many = {uuid4(): b"%d" % n for n in range(1, 2001)}
    keys.add(many)
    gone = next(iter(many))
    keys.discard([gone])

    assert keys.find([*many, uuid4()]) == {each: key for each, key in many.items() if each != gone}
    assert keys.find([]) == {}


def test_adding_the_same_again_changes_nothing(keys: DocumentKeys):
    one, two = uuid4(), uuid4()
    keys.add({one: b"1"})
    keys.add({one: b"1", two: b"2"})
    keys.add({})

    assert (keys.get(one), keys.get(two)) == (b"1", b"2")


def test_a_second_key_for_an_exchange_is_refused_with_all_that_came_with_it(keys: DocumentKeys):
    one, two = uuid4(), uuid4()
    keys.add({one: b"1"})

    with pytest.raises(ValueError, match="another key"):
        keys.add({two: b"2", one: b"other"})

    assert keys.get(one) == b"1"
    assert keys.get(two) is None


def test_a_discarded_key_is_gone(keys: DocumentKeys):
    one, two = uuid4(), uuid4()
    keys.add({one: b"1", two: b"2"})

    for _ in range(2):  # The second time there is nothing.
        keys.discard([one, uuid4()])
    keys.discard([])

    assert keys.get(one) is None
    assert keys.get(two) == b"2"


def test_many_keys_are_added_at_once(keys: DocumentKeys):
    many = {uuid4(): b"%d" % n for n in range(2000)}
    keys.add(many)
    keys.add(many)

    assert all(keys.get(exchange_id) == key for exchange_id, key in many.items())
