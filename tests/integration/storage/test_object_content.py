"""Content in a bucket: what S3 has that folders do not, and what becomes of it when it breaks."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from uuid import UUID

import pytest
from botocore.exceptions import ClientError

from adapters.memory.determinism import CountedRandomness
from adapters.storage.object_content import ObjectContentStore
from adapters.storage.objects import (
    CHUNK_BYTES,
    Bucket,
    BucketPlace,
    BucketRemembers,
    Credentials,
    StoreAway,
)
from hub.application.sealing import PART_BYTES
from hub.errors import ContentLost
from tests.support.proxies import Proxy
from tests.support.s3 import S3

KEY = b"k" * 32
EXCHANGE = UUID("01934f6e-7b00-7abc-8def-0123456789ab")
NAME = f"exchanges/{EXCHANGE}/0"
LONG = os.urandom(CHUNK_BYTES + 3 * PART_BYTES + 1)


class BrokenSource(BytesIO):
    """A file whose disk fails after so many bytes."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > CHUNK_BYTES + PART_BYTES:
            raise OSError("the disk fails")
        return super().read(size)


class Zeros(BytesIO):
    """A file without an end."""

    def read(self, size: int | None = -1) -> bytes:
        return bytes(size or 0)


class Swallows:
    """A client whose store takes everything and keeps nothing."""

    def head_object(self, **_: object) -> None:
        missing = {"Error": {"Code": "404"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
        raise ClientError(missing, "HeadObject")

    def _answers(self, **_: object) -> dict[str, str]:
        return {"UploadId": "1", "ETag": "x"}

    head_bucket = create_multipart_upload = upload_part = complete_multipart_upload = _answers

    def close(self) -> None:
        pass


@pytest.fixture
def bucket(s3: S3) -> str:
    return s3.new_bucket()


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with Proxy(s3.port) as proxy:
        yield proxy


def store_over(bucket: Bucket) -> ObjectContentStore:
    return ObjectContentStore(bucket, CountedRandomness())


@pytest.fixture
def content(s3: S3, bucket: str) -> Iterator[ObjectContentStore]:
    with s3.opened(bucket) as opened:
        yield store_over(opened)


@pytest.fixture
def through(s3: S3, bucket: str, proxy: Proxy) -> Iterator[ObjectContentStore]:
    """The same store over the proxy."""
    with s3.opened(bucket, port=proxy.port, timeout_s=60) as opened:
        yield store_over(opened)


@pytest.fixture
def impatient(s3: S3, bucket: str, proxy: Proxy) -> Iterator[ObjectContentStore]:
    """And with little patience."""
    with s3.opened(bucket, port=proxy.port, timeout_s=0.3) as opened:
        yield store_over(opened)


def read(content: ObjectContentStore, size: int, offset: int = 0) -> bytes:
    return b"".join(content.read(EXCHANGE, 0, size, KEY, offset))


def test_large_content_goes_up_in_parts_and_is_one_object(s3, bucket, content):
    content.put(EXCHANGE, 0, LONG, KEY)

    assert list(s3.objects(bucket)) == [NAME]
    assert s3.unfinished(bucket) == []
    content.check(EXCHANGE, [len(LONG)])
    assert read(content, len(LONG)) == LONG
    assert read(content, len(LONG), 4 * PART_BYTES + 5) == LONG[4 * PART_BYTES + 5 :]


def test_an_upload_in_parts_that_fails_leaves_nothing(s3, bucket, content):
    with pytest.raises(OSError, match="the disk fails"):
        content.put_from(EXCHANGE, 0, BrokenSource(LONG), len(LONG), KEY)

    assert (s3.objects(bucket), s3.unfinished(bucket)) == ({}, [])


def test_an_upload_in_parts_that_was_killed_is_found_and_swept(s3, bucket, content):
    s3.client.create_multipart_upload(Bucket=bucket, Key=NAME)

    assert list(content.exchanges()) == [EXCHANGE]
    content.discard(EXCHANGE)

    assert s3.unfinished(bucket) == []
    assert list(content.exchanges()) == []


@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
def test_a_bucket_that_keeps_versions_is_refused_and_nothing_counts_as_erased(
    s3, bucket, content, status
):
    content.put(EXCHANGE, 0, b"content", KEY)
    content.require_forgetful()
    for each in ("Enabled", status):
        versioning = {"Status": each}
        s3.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioning)

    with pytest.raises(BucketRemembers, match=status):
        content.require_forgetful()
    with pytest.raises(BucketRemembers):
        content.erase([EXCHANGE], 17)
    assert content.erased_below() == 0


def test_a_bucket_that_locks_objects_is_refused(s3):
    locked = s3.new_bucket(ObjectLockEnabledForBucket=True)

    with s3.opened(locked) as opened, pytest.raises(BucketRemembers):
        store_over(opened).require_forgetful()


@pytest.mark.parametrize("changed", [30, 100, -1])
def test_a_changed_object_no_longer_opens(s3, bucket, content, changed):
    content.put(EXCHANGE, 0, b"content", KEY)
    sealed = bytearray(s3.client.get_object(Bucket=bucket, Key=NAME)["Body"].read())
    sealed[changed if changed < len(sealed) else -2] ^= 1
    s3.client.put_object(Bucket=bucket, Key=NAME, Body=bytes(sealed))

    with pytest.raises(ContentLost, match="changed"):
        read(content, 7)


@pytest.mark.parametrize("by", [-1, 1])
def test_an_object_that_was_cut_off_or_has_grown_is_lost(s3, bucket, content, by):
    content.put(EXCHANGE, 0, b"content", KEY)
    sealed = s3.client.get_object(Bucket=bucket, Key=NAME)["Body"].read()
    s3.client.put_object(Bucket=bucket, Key=NAME, Body=sealed[:by] if by < 0 else sealed + b"x")

    for ask in (lambda: content.check(EXCHANGE, [7]), lambda: read(content, 7)):
        with pytest.raises(ContentLost, match="cut off"):
            ask()


def test_two_prefixes_of_one_bucket_are_two_stores(s3, bucket, content):
    content.put(EXCHANGE, 0, b"content", KEY)

    with s3.opened(bucket, prefix="other/") as opened:
        assert list(store_over(opened).exchanges()) == []
        store_over(opened).discard(EXCHANGE)

    assert read(content, 7) == b"content"


def test_a_store_that_is_away_says_so_and_is_no_loss(through, proxy):
    through.put(EXCHANGE, 0, b"content", KEY)
    proxy.go_away()

    assert not through.is_usable()
    for ask in (
        lambda: through.put(EXCHANGE, 1, b"content", KEY),
        lambda: through.check(EXCHANGE, [7]),
        lambda: read(through, 7),
        lambda: through.discard(EXCHANGE),
        lambda: list(through.exchanges()),
        through.erased_below,
    ):
        with pytest.raises(StoreAway):
            ask()
    proxy.come_back()

    assert through.is_usable()
    assert read(through, 7) == b"content"


def test_a_bucket_that_is_gone_is_away_and_no_content_counts_as_lost(s3, through, bucket):
    s3.client.delete_bucket(Bucket=bucket)

    for ask in (lambda: through.check(EXCHANGE, [7]), lambda: read(through, 7)):
        with pytest.raises(StoreAway):
            ask()


def test_a_download_that_breaks_goes_on_where_it_broke(content, through, proxy):
    content.put(EXCHANGE, 0, LONG, KEY)
    carried = 0

    def cut_once_in_the_middle(block: bytes) -> bool:
        nonlocal carried
        before, carried = carried, carried + len(block)
        return not before < 4 * PART_BYTES <= carried

    proxy.heard_from_server = cut_once_in_the_middle

    assert read(through, len(LONG)) == LONG
    assert proxy.connections > 1


def test_while_one_waits_for_a_silent_store_the_others_hear_at_once_that_it_is_away(
    content, impatient, proxy
):
    content.put(EXCHANGE, 0, b"content", KEY)
    proxy.go_away()
    with pytest.raises(StoreAway):
        impatient.check(EXCHANGE, [7])
    proxy.hold()
    proxy.stop_refusing()
    said: list[str] = []

    def ask() -> None:
        with pytest.raises(StoreAway) as away:
            impatient.check(EXCHANGE, [7])
        said.append(str(away.value))

    # Two ask at once, so one of them tries it, and the other hears so.
    first = threading.Thread(target=ask)
    first.start()
    while first.is_alive() and not said:
        ask()
    first.join()
    proxy.come_back()

    assert any("somebody else" in each for each in said)
    while not impatient.is_usable():  # However slow the machine, some time it is quick enough.
        pass


def test_wrong_credentials_are_no_loss_and_stand_in_no_message(s3, bucket):
    secret = Credentials("AKIA-WRONG", "a-secret-nobody-may-read")
    place = BucketPlace(bucket, "", "http://127.0.0.1:1")

    opened = Bucket(place, secret, timeout_s=0.2)
    with pytest.raises(StoreAway) as away:
        opened.size(NAME)
    opened.close()

    for text in (str(away.value), repr(secret), str(place)):
        assert "secret" not in text


def test_what_goes_through_is_never_in_memory_as_a_whole(content, monkeypatch):
    """Three times as much costs no more."""
    for client in ("_client", "_patient"):
        monkeypatch.setattr(content._bucket, client, Swallows())
    peaks = []
    for chunks in (3, 9):
        size = chunks * CHUNK_BYTES
        tracemalloc.start()
        try:
            content.put_from(EXCHANGE, 0, Zeros(), size, KEY)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()

    assert max(peaks) < 5 * CHUNK_BYTES


def test_an_object_whose_end_was_confirmed_and_not_heard_is_there(s3, bucket, through, proxy):
    def swallow_the_end(block: bytes) -> bool:
        return b"CompleteMultipartUploadResult" not in block

    proxy.heard_from_server = swallow_the_end

    through.put(EXCHANGE, 0, LONG, KEY)

    assert list(s3.objects(bucket)) == [NAME]
    assert s3.unfinished(bucket) == []
