"""What every UploadStore must do, whichever adapter provides it, beside its content store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from adapters.memory.content import MemoryContentStore
from adapters.memory.determinism import CountedRandomness, FixedClock
from adapters.memory.uploads import MemoryUploadStore
from adapters.storage.content import ContentStore as FolderContentStore
from adapters.storage.object_content import ObjectContentStore
from adapters.storage.uploads import UploadStore as FolderUploadStore
from adapters.storage.uploads import make_root
from hub.application.ports import Claim, ContentStore, NewUpload, UploadStore
from hub.application.sealing import PART_BYTES
from hub.errors import ContentLost

KEY, EXCHANGE_KEY, OTHER_KEY = b"k" * 32, b"e" * 32, b"o" * 32
EXCHANGE = UUID("01934f6e-7b00-7abc-8def-0123456789ab")
LONG = CountedRandomness("content")(2 * PART_BYTES + 1000)
LENGTHS = [1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, len(LONG)]


@dataclass
class Both:
    content: ContentStore
    uploads: UploadStore

    def reopened(self, tmp_path: Path) -> Both:
        """The stores of the next process."""
        if isinstance(self.content, MemoryContentStore):
            return self
        if isinstance(self.content, ObjectContentStore):
            return over_a_bucket(tmp_path, self.content)
        return on_disk(tmp_path)

    def upload(self, content: bytes, *, finish: bool = True) -> UUID:
        upload_id = uuid4()
        self.uploads.create(NewUpload(upload_id, "H29.1", len(content), "ab" * 32, "tag"))
        for number, start in enumerate(range(0, len(content), PART_BYTES)):
            part = content[start : start + PART_BYTES]
            last = start + len(part) == len(content)
            self.uploads.append(upload_id, number, part, KEY, last=last)
        if finish:
            self.uploads.finish(upload_id)
        return upload_id

    def read(self, size: int, *, index: int = 0, key: bytes = EXCHANGE_KEY) -> bytes:
        return b"".join(self.content.read(EXCHANGE, index, size, key, 0))


def on_disk(tmp_path: Path, *, shared: bool = False) -> Both:
    make_root(tmp_path / "content")
    content = FolderContentStore(tmp_path / "content", CountedRandomness())
    root = tmp_path / "content"
    return Both(content, FolderUploadStore(root, content, CountedRandomness(), shared=shared))


def over_a_bucket(tmp_path: Path, content: ObjectContentStore) -> Both:
    make_root(tmp_path / "content")
    return Both(content, FolderUploadStore(tmp_path / "content", content, CountedRandomness()))


@pytest.fixture(params=["memory", "storage", "s3"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Both:
    if request.param == "s3":
        return over_a_bucket(tmp_path, request.getfixturevalue("bucket_content"))
    if request.param == "storage":
        return on_disk(tmp_path)
    content = MemoryContentStore()
    return Both(content, MemoryUploadStore(content, FixedClock()))


def test_a_new_upload_is_found_again_and_empty(both: Both, tmp_path: Path):
    about = NewUpload(uuid4(), "H29.1", 5, "ab" * 32, "một thẻ")
    both.uploads.create(about)

    [found] = both.reopened(tmp_path).uploads.uploads()

    assert (found.upload, found.stored, found.whole, found.claim) == (about, 0, False, None)
    assert found.touched_at.tzinfo is not None


@pytest.mark.parametrize("length", LENGTHS)
def test_what_was_stored_is_counted_and_read_again(both: Both, tmp_path: Path, length: int):
    upload_id = both.upload(LONG[:length], finish=False)

    uploads = both.reopened(tmp_path).uploads

    [found] = uploads.uploads()
    assert (found.stored, found.whole) == (length, False)
    assert b"".join(uploads.read(upload_id, length, length, KEY)) == LONG[:length]
    uploads.check(upload_id, length)


def test_half_an_upload_is_so_much(both: Both, tmp_path: Path):
    upload_id = uuid4()
    both.uploads.create(NewUpload(upload_id, "H29.1", len(LONG), "ab" * 32, ""))
    both.uploads.append(upload_id, 0, LONG[:PART_BYTES], KEY, last=False)

    uploads = both.reopened(tmp_path).uploads

    [found] = uploads.uploads()
    assert found.stored == PART_BYTES
    assert b"".join(uploads.read(upload_id, len(LONG), PART_BYTES, KEY)) == LONG[:PART_BYTES]
    assert b"".join(uploads.read(upload_id, len(LONG), 0, KEY)) == b""
    with pytest.raises(ContentLost):
        uploads.check(upload_id, len(LONG))


def test_a_part_stored_again_takes_the_place_of_the_first(both: Both):
    upload_id = uuid4()
    both.uploads.create(NewUpload(upload_id, "H29.1", 3, "ab" * 32, ""))
    both.uploads.append(upload_id, 0, b"old", KEY, last=True)
    both.uploads.append(upload_id, 0, b"new", KEY, last=True)

    assert b"".join(both.uploads.read(upload_id, 3, 3, KEY)) == b"new"


@pytest.mark.parametrize("length", LENGTHS)
def test_adopted_content_is_the_exchanges_and_opens_with_its_key_alone(both: Both, length: int):
    upload_id = both.upload(LONG[:length])

    both.uploads.adopt(upload_id, Claim(EXCHANGE, 3), KEY, EXCHANGE_KEY)

    assert both.read(length, index=3) == LONG[:length]
    for key in (KEY, OTHER_KEY):
        with pytest.raises(ContentLost):
            both.read(length, index=3, key=key)
    [found] = both.uploads.uploads()
    assert found.claim == Claim(EXCHANGE, 3)
    with pytest.raises(ContentLost):
        both.uploads.check(upload_id, length)


def test_uploaded_and_inline_content_stand_side_by_side(both: Both):
    upload_id = both.upload(LONG)
    both.content.put(EXCHANGE, 0, b"inline", EXCHANGE_KEY)
    both.uploads.adopt(upload_id, Claim(EXCHANGE, 1), KEY, EXCHANGE_KEY)

    both.content.check(EXCHANGE, [6, len(LONG)])
    assert (both.read(6), both.read(len(LONG), index=1)) == (b"inline", LONG)


def test_content_that_is_given_back_can_be_adopted_by_another(both: Both, tmp_path: Path):
    upload_id, other = both.upload(LONG), UUID(int=EXCHANGE.int ^ 1)
    both.uploads.adopt(upload_id, Claim(other, 0), KEY, OTHER_KEY)
    both = both.reopened(tmp_path)

    for _ in range(2):  # The second time there is nothing to undo.
        both.uploads.give_back(upload_id, EXCHANGE)  # Another's claim is left alone.
        both.uploads.give_back(upload_id, other)
    both.content.discard(other)

    [found] = both.uploads.uploads()
    assert (found.stored, found.whole, found.claim) == (len(LONG), True, None)
    both.uploads.check(upload_id, len(LONG))
    both.uploads.adopt(upload_id, Claim(EXCHANGE, 0), KEY, EXCHANGE_KEY)
    assert both.read(len(LONG)) == LONG


def test_giving_back_one_leaves_the_others_where_they_are(both: Both):
    """Also those whose numbers begin with the same digit."""
    first, tenth = both.upload(b"first"), both.upload(b"tenth")
    both.uploads.adopt(first, Claim(EXCHANGE, 1), KEY, EXCHANGE_KEY)
    both.uploads.adopt(tenth, Claim(EXCHANGE, 10), KEY, EXCHANGE_KEY)

    both.uploads.give_back(first, EXCHANGE)

    assert both.read(5, index=10) == b"tenth"
    with pytest.raises(ContentLost):
        both.read(5, index=1)


def test_what_is_discarded_is_gone_but_not_what_was_adopted(both: Both):
    kept, adopted = both.upload(b"kept"), both.upload(LONG)
    both.uploads.adopt(adopted, Claim(EXCHANGE, 0), KEY, EXCHANGE_KEY)

    for _ in range(2):
        both.uploads.discard(adopted)
        both.uploads.discard(uuid4())

    assert [found.upload.upload_id for found in both.uploads.uploads()] == [kept]
    assert both.read(len(LONG)) == LONG


def test_uploads_are_no_exchanges(both: Both):
    both.upload(LONG)

    assert list(both.content.exchanges()) == []


# --- Where several hubs share a folder ------------------------------------------------------


def test_a_part_that_another_hub_has_stored_stays(tmp_path: Path):
    one, other = on_disk(tmp_path, shared=True), on_disk(tmp_path, shared=True)
    upload_id = one.upload(LONG[:PART_BYTES] + LONG, finish=False)
    assert other.uploads.upload(upload_id) == one.uploads.upload(upload_id)

    for number in (0, 3, 5):
        with pytest.raises(OSError, match="another hub goes on"):
            other.uploads.append(upload_id, number, b"x" * PART_BYTES, KEY, last=False)
    other.uploads.finish(upload_id)
    with pytest.raises(OSError, match="another hub goes on"):
        one.uploads.append(upload_id, 4, b"x" * PART_BYTES, KEY, last=False)


@pytest.fixture
def sharing(tmp_path: Path) -> Iterator[tuple[Both, Both]]:
    one, other = on_disk(tmp_path, shared=True), on_disk(tmp_path, shared=True)
    yield one, other
    for hub in (one, other):
        hub.uploads.close()


def test_one_hub_gives_an_upload_to_one_exchange(sharing: tuple[Both, Both]):
    one, other = sharing
    upload_id, another = one.upload(LONG), UUID(int=EXCHANGE.int ^ 1)
    one.uploads.adopt(upload_id, Claim(EXCHANGE, 0), KEY, EXCHANGE_KEY)

    with pytest.raises(OSError, match="another hub gives"):
        other.uploads.adopt(upload_id, Claim(another, 0), KEY, OTHER_KEY)
    other.uploads.give_back(upload_id, another)
    assert other.read(len(LONG)) == LONG

    one.uploads.discard(upload_id)
    assert other.uploads.upload(upload_id) is None
    with pytest.raises(OSError, match="another hub has ended"):
        other.uploads.append(upload_id, 0, b"x" * PART_BYTES, KEY, last=False)


def test_a_claim_is_abandoned_once_the_hub_that_made_it_is_gone(sharing: tuple[Both, Both]):
    one, other = sharing
    upload_id = one.upload(LONG)

    def is_abandoned() -> bool:
        found = other.uploads.upload(upload_id)
        assert found is not None
        return found.abandoned

    assert not is_abandoned()
    one.uploads.adopt(upload_id, Claim(EXCHANGE, 0), KEY, EXCHANGE_KEY)
    assert not is_abandoned()
    one.uploads.close()  # As the end of its process does.
    assert is_abandoned()
    other.uploads.give_back(upload_id, EXCHANGE)
    assert not is_abandoned()
    other.uploads.check(upload_id, len(LONG))


def test_what_another_hub_is_about_to_begin_is_not_tidied_away(tmp_path: Path):
    both = on_disk(tmp_path, shared=True)
    begun = tmp_path / "content" / "uploads" / str(uuid4())
    begun.mkdir()
    both.uploads.tidy()
    assert begun.exists()
