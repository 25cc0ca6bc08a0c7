"""What every ContentStore must do, whichever adapter provides it."""

from io import BytesIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from adapters.memory.content import MemoryContentStore
from adapters.memory.determinism import CountedRandomness
from adapters.storage.content import PART_BYTES
from adapters.storage.content import ContentStore as FolderContentStore
from adapters.storage.uploads import make_root
from hub.application.ports import ContentStore
from hub.errors import ContentLost

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
EXCHANGE = UUID("01934f6e-7b00-7abc-8def-0123456789ab")
LONG = CountedRandomness("content")(2 * PART_BYTES + 1000)
LENGTHS = [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES]


@pytest.fixture(params=["memory", "storage", "s3"])
def content(request: pytest.FixtureRequest, tmp_path: Path) -> ContentStore:
    if request.param == "memory":
        return MemoryContentStore()
    if request.param == "s3":
        bucket: ContentStore = request.getfixturevalue("bucket_content")
        return bucket
    make_root(tmp_path / "content")
    return FolderContentStore(tmp_path / "content", CountedRandomness())


def read(content: ContentStore, size: int, *, index: int = 0, offset: int = 0) -> bytes:
    return b"".join(content.read(EXCHANGE, index, size, KEY, offset))


@pytest.mark.parametrize("length", LENGTHS)
def test_content_comes_back_as_it_went_in(content: ContentStore, length: int):
    content.put(EXCHANGE, 0, LONG[:length], KEY)

    content.check(EXCHANGE, [length])
    assert read(content, length) == LONG[:length]


@pytest.mark.parametrize("offset", [0, 1, PART_BYTES - 1, PART_BYTES, len(LONG) - 1, len(LONG)])
def test_reading_begins_anywhere(content: ContentStore, offset: int):
    content.put(EXCHANGE, 0, LONG, KEY)

    assert read(content, len(LONG), offset=offset) == LONG[offset:]


@pytest.mark.parametrize("offset", [-1, 4])
def test_an_offset_outside_the_content_is_refused_before_reading(
    content: ContentStore, offset: int
):
    content.put(EXCHANGE, 0, b"abc", KEY)

    with pytest.raises(ValueError, match="offset"):
        content.read(EXCHANGE, 0, 3, KEY, offset)


def test_attachments_and_exchanges_do_not_mix(content: ContentStore):
    content.put(EXCHANGE, 0, b"first", KEY)
    content.put(EXCHANGE, 1, b"second", KEY)
    content.put(uuid4(), 0, b"other", KEY)

    assert read(content, 5, index=0) == b"first"
    assert read(content, 6, index=1) == b"second"


def test_content_never_changes(content: ContentStore):
    content.put(EXCHANGE, 0, b"first", KEY)

    with pytest.raises(FileExistsError):
        content.put(EXCHANGE, 0, b"other", KEY)

    assert read(content, 5) == b"first"


@pytest.mark.parametrize("length", [0, 5, len(LONG)])
def test_another_key_opens_nothing(content: ContentStore, length: int):
    content.put(EXCHANGE, 0, LONG[:length], KEY)

    with pytest.raises(ContentLost):
        b"".join(content.read(EXCHANGE, 0, length, OTHER_KEY, 0))


@pytest.mark.parametrize("claimed", [0, 4, 6, PART_BYTES, PART_BYTES + 5])
def test_content_of_another_size_is_lost(content: ContentStore, claimed: int):
    content.put(EXCHANGE, 0, b"12345", KEY)

    with pytest.raises(ContentLost):
        content.check(EXCHANGE, [claimed])
    with pytest.raises(ContentLost):
        read(content, claimed)


def test_a_missing_attachment_is_lost_and_named(content: ContentStore):
    content.put(EXCHANGE, 0, b"first", KEY)

    with pytest.raises(ContentLost) as lost:
        content.check(EXCHANGE, [5, 0])
    with pytest.raises(ContentLost):
        read(content, 0, index=1)

    assert lost.value.metadata == {"exchange": str(EXCHANGE), "attachment": "1"}


def test_what_is_discarded_is_gone(content: ContentStore):
    other = uuid4()
    content.put(EXCHANGE, 0, b"first", KEY)
    content.put(other, 0, b"other", KEY)

    for _ in range(2):  # The second time there is nothing.
        content.discard(EXCHANGE)

    with pytest.raises(ContentLost):
        content.check(EXCHANGE, [5])
    assert list(content.exchanges()) == [other]


def test_every_exchange_with_content_is_listed_once(content: ContentStore):
    exchanges = {uuid4() for _ in range(20)}
    for exchange_id in exchanges:
        content.put(exchange_id, 0, b"", KEY)
        content.put(exchange_id, 1, b"1", KEY)

    assert sorted(content.exchanges()) == sorted(exchanges)


def test_a_working_store_says_that_it_is_usable(content: ContentStore):
    assert content.is_usable()


@pytest.mark.parametrize("length", LENGTHS)
def test_content_from_a_file_comes_back_as_it_went_in(content: ContentStore, length: int):
    source = BytesIO(b"skipped" + LONG)
    source.seek(7)
    content.put_from(EXCHANGE, 0, source, length, KEY)

    content.check(EXCHANGE, [length])
    assert read(content, length) == LONG[:length]
    with pytest.raises(FileExistsError):
        content.put_from(EXCHANGE, 0, BytesIO(LONG), length, KEY)


def test_a_file_that_is_shorter_than_was_said_leaves_nothing(content: ContentStore):
    with pytest.raises(ValueError, match="shorter"):
        content.put_from(EXCHANGE, 0, BytesIO(LONG), len(LONG) + 1, KEY)

    with pytest.raises(ContentLost):
        content.check(EXCHANGE, [len(LONG)])
