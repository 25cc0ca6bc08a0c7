"""One bucket of an S3-compatible store, asked with deadlines and bounded repetition.

Every call waits at most a few seconds for a connection and `timeout_s` for each answer, is tried
three times, and then raises StoreAway. While the store is known to be away, one caller at a time
tries it and the others hear so at once: threads that wait for it would be missing elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any

ATTEMPTS_MAX = 3
# Parts of an upload in parts, the smallest that S3 takes. Three are in memory at the most.
CHUNK_BYTES = 5 * 1024**2
_CONNECT_TIMEOUT_S = 3.0
_CONNECTIONS_MAX = 64
# How many times longer than another answer the end of an upload in parts may take.
_COMPLETING = 6
_BLOCK_BYTES = 64 * 1024
_MISSING = frozenset({"404", "NoSuchKey", "NoSuchUpload"})
_NO_LOCK = frozenset(
    {
        "NotImplemented",
        "501",
        "ObjectLockConfigurationNotFoundError",
        "NoSuchObjectLockConfiguration",
    }
)


class StoreAway(OSError):
    """The object store gave no answer, or refused to give one."""


class ObjectDiffers(Exception):
    """An object is shorter or longer than it must be."""


class BucketRemembers(OSError):
    """The bucket keeps what is deleted: versions, or objects under a lock."""


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """Where a bucket is. `prefix` is empty or ends with a slash; no `endpoint` means AWS."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"

    def __str__(self) -> str:
        at = f" at {self.endpoint}" if self.endpoint else ""
        return f"s3://{self.bucket}/{self.prefix}{at}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signs the calls; its text shows none of it."""

    access_key: str
    secret_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "Credentials(…)"


class Bucket:
    """A bucket below a prefix. Every method raises StoreAway when there is no answer."""

    def __init__(self, place: BucketPlace, credentials: Credentials, *, timeout_s: float) -> None:
        """Connects to nothing yet.

        `timeout_s` bounds one answer, and one MiB of a longer one; six times as long the answer to
        the end of an upload in parts.
        """
        self.place = place
        self._timeout_s = timeout_s
        self._credentials = credentials
        self._client = _client(place, credentials, timeout_s)
        self._patient: Any = None  # Made when it is needed: most attachments are small.
        self._gate = _Gate()

    def close(self) -> None:
        """Drop the connections."""
        for client in (self._client, self._patient):
            if client is not None:
                client.close()

    def size(self, name: str) -> int | None:
        """How many bytes an object has; None when there is none."""
        answer = self._ask_for(name, self._client.head_object)
        if answer is None:
            # A HEAD tells a missing bucket no differently: that is no loss of this object.
            self.require_reachable()
            return None
        return int(answer["ContentLength"])

    def get_small(self, name: str, limit: int) -> bytes | None:
        """An object's first bytes, up to a limit; None when there is none."""
        answer = self._ask_for(name, self._client.get_object, Range=f"bytes=0-{limit - 1}")
        if answer is None:
            return None
        with self._asking():
            data: bytes = answer["Body"].read()
        return data

    def blocks(self, name: str, start: int, lengths: Sequence[int], total: int) -> Iterator[bytes]:
        """Successive blocks of an object from byte `start`, one in memory.

        A connection that breaks is made anew where it broke, so often for each block. Raises
        FileNotFoundError, and ObjectDiffers for an object that has not `total` bytes.
        """
        reading = _Reading(self, name, start, start + sum(lengths), total)
        try:
            for length in lengths:
                yield reading.next(length)
        finally:
            reading.close()

    def put(self, name: str, pieces: Iterable[bytes]) -> None:
        """Store an object, replacing any; it is there whole, or as before. Durable on return.

        When this raises, it may have been stored all the same, and so may parts that nobody
        sees: `unfinished` finds them.
        """
        chunks = _chunks(pieces)
        first, second = next(chunks, b""), next(chunks, None)
        if second is None:
            self._ask(self._client.put_object, Key=self._key(name), Body=first)
            return
        waiting = [first, second]
        del first, second
        key = self._key(name)
        upload = self._ask(self._client.create_multipart_upload, Key=key)["UploadId"]
        try:
            parts, total = [], 0
            for number, chunk in enumerate(_taken(waiting, chunks), start=1):
                parts.append(self._sent(key, upload, number, chunk))
                total += len(chunk)
            self._complete(name, upload, parts, total)
        except BaseException:
            with suppress(OSError):  # Whoever removes what lies below the name finds it again.
                self._abort(key, upload)
            raise

    def discard(self, below: str) -> None:
        """Delete every object and abort every unfinished one whose names begin so."""
        for name in {*self.names(below), *self.unfinished(below)}:
            self.remove(name)

    def remove(self, name: str) -> None:
        """Delete one object, or abort it unfinished; no error when there is nothing."""
        self._ask(self._client.delete_object, Key=self._key(name))
        for each, upload in list(self._unfinished(name)):
            if each == name:
                self._abort(self._key(name), upload)

    def names(self, below: str) -> Iterator[str]:
        """The names of objects that begin so, in their order."""
        for page in self._pages(Prefix=self._key(below)):
            for each in page.get("Contents", ()):
                yield self._name(each["Key"])

    def folders(self, below: str) -> Iterator[str]:
        """What follows `below` in names, up to the next slash; each once, in their order."""
        prefix = self._key(below)
        for page in self._pages(Prefix=prefix, Delimiter="/"):
            for each in page.get("CommonPrefixes", ()):
                yield each["Prefix"].removeprefix(prefix).rstrip("/")

    def unfinished(self, below: str) -> Iterator[str]:
        """The names of objects that were begun in parts and never finished."""
        return (name for name, _ in self._unfinished(below))

    def require_reachable(self) -> None:
        """Raise StoreAway unless the bucket is there and these credentials may use it."""
        self._ask(self._client.head_bucket)

    def require_forgetful(self) -> None:
        """Raise BucketRemembers unless what is deleted here is gone."""
        versioning = self._ask(self._client.get_bucket_versioning).get("Status")
        if versioning:
            raise BucketRemembers(
                f"the bucket {self.place.bucket} keeps versions ({versioning}): what is erased "
                "by law would stay in it; use a bucket that never had versioning"
            )
        try:
            answer = self._ask(self._client.get_object_lock_configuration)
        except StoreAway as error:
            if _code(error.__cause__) in _NO_LOCK:
                return
            raise
        if answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled":
            raise BucketRemembers(
                f"the bucket {self.place.bucket} locks objects: what is to be erased by law "
                "could not be; use a bucket without object lock"
            )

    # --- One call -----------------------------------------------------------------------

    def _ask(self, call: Callable[..., Any], **arguments: Any) -> Any:
        with self._asking():
            return call(Bucket=self.place.bucket, **arguments)

    def _ask_for(self, name: str, call: Callable[..., Any], **arguments: Any) -> Any:
        """The answer about an object, or None when there is none."""
        try:
            return self._ask(call, Key=self._key(name), **arguments)
        except StoreAway as error:
            if _code(error.__cause__) in _MISSING:
                return None
            raise

    @contextmanager
    def _asking(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see `_client`

        with self._gate.passed() as reached:
            try:
                yield
            except ClientError as error:
                # An answer, even a refusal: the store is there. Its code names no content.
                if int(error.response["ResponseMetadata"]["HTTPStatusCode"]) < 500:
                    reached()
                raise StoreAway(f"the object store answers {_code(error)}") from error
            except BotoCoreError as error:
                raise StoreAway(
                    f"the object store cannot be asked: {type(error).__name__}"
                ) from error
            reached()

    def open(self, name: str, position: int, end: int, total: int) -> Any:
        """The body of an object between two bytes. Raises as `blocks` does."""
        asked = f"bytes={position}-{end - 1}"
        try:
            answer = self._ask_for(name, self._client.get_object, Range=asked)
        except StoreAway as error:
            if _code(error.__cause__) == "InvalidRange":
                raise ObjectDiffers from error
            raise
        if answer is None:
            raise FileNotFoundError
        if answer.get("ContentRange", "").rpartition("/")[2] != str(total):
            answer["Body"].close()
            raise ObjectDiffers
        return answer["Body"]

    def take(self, body: Any, length: int) -> bytes:
        """So many bytes of a body, in bounded time."""
        taken, until = bytearray(), time.monotonic() + self._timeout_s
        while len(taken) < length:
            with self._asking():
                piece = body.read(min(_BLOCK_BYTES, length - len(taken)))
            if not piece:
                raise StoreAway("the object store broke off in an object")
            taken += piece
            if time.monotonic() > until:
                raise StoreAway("the object store gives an object too slowly")
        return bytes(taken)

    def _sent(self, key: str, upload: str, number: int, chunk: bytes) -> dict[str, Any]:
        send = self._client.upload_part
        answer = self._ask(send, Key=key, UploadId=upload, PartNumber=number, Body=chunk)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _complete(
        self, name: str, upload: str, parts: Sequence[dict[str, Any]], total: int
    ) -> None:
        """Make one object of the parts: a store may take long for many of them."""
        complete = self._patient_client().complete_multipart_upload
        try:
            key, done = self._key(name), {"Parts": parts}
            self._ask(complete, Key=key, UploadId=upload, MultipartUpload=done)
        except StoreAway:
            # It may have been done although the answer was lost, and be refused the second time.
            if self.size(name) != total:
                raise

    def _patient_client(self) -> Any:
        if self._patient is None:
            timeout_s = self._timeout_s * _COMPLETING
            self._patient = _client(self.place, self._credentials, timeout_s)
        return self._patient

    def _abort(self, key: str, upload: str) -> None:
        try:
            self._ask(self._client.abort_multipart_upload, Key=key, UploadId=upload)
        except StoreAway as error:
            if _code(error.__cause__) not in _MISSING:
                raise

    def _pages(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        more: dict[str, Any] = {}
        while True:
            page = self._ask(self._client.list_objects_v2, **arguments, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _unfinished(self, below: str) -> Iterator[tuple[str, str]]:
        prefix = self._key(below)
        more: dict[str, Any] = {}
        while True:
            page = self._ask(self._client.list_multipart_uploads, Prefix=prefix, **more)
            for each in page.get("Uploads", ()):
                # Not every store filters by the prefix it is given.
                if each["Key"].startswith(prefix):
                    yield self._name(each["Key"]), each["UploadId"]
            if not page.get("IsTruncated"):
                return
            more = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def _key(self, name: str) -> str:
        return self.place.prefix + name

    def _name(self, key: str) -> str:
        return key.removeprefix(self.place.prefix)


class _Reading:
    """An object on its way here, opened again where it broke off."""

    def __init__(self, bucket: Bucket, name: str, start: int, end: int, total: int) -> None:
        self._bucket, self._name = bucket, name
        self._position, self._end, self._total = start, end, total
        self._body: Any = None

    def next(self, length: int) -> bytes:
        """The next so many bytes."""
        for _ in range(ATTEMPTS_MAX - 1):
            with suppress(StoreAway):
                return self._once(length)
        return self._once(length)

    def close(self) -> None:
        """Drop the connection, if something is still to come on it."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def _once(self, length: int) -> bytes:
        try:
            if self._body is None:
                place = self._position, self._end, self._total
                self._body = self._bucket.open(self._name, *place)
            block = self._bucket.take(self._body, length)
        except StoreAway:
            self.close()
            raise
        self._position += length
        return block


class _Gate:
    """Lets everybody pass while the store answers, and one at a time while it does not."""

    def __init__(self) -> None:
        self._away = False
        self._trying = Lock()

    @contextmanager
    def passed(self) -> Iterator[Callable[[], None]]:
        """The block is one question; it calls what it is given when there was an answer."""
        if not self._away:
            with self._watched() as reached:
                yield reached
        elif self._trying.acquire(blocking=False):
            try:
                with self._watched() as reached:
                    yield reached
            finally:
                self._trying.release()
        else:
            raise StoreAway("the object store is away; somebody else is trying it now")

    @contextmanager
    def _watched(self) -> Iterator[Callable[[], None]]:
        answered = False

        def reached() -> None:
            nonlocal answered
            answered = True

        try:
            yield reached
        finally:
            self._away = not answered


def _client(place: BucketPlace, credentials: Credentials, timeout_s: float) -> Any:
    # Loaded only where a setting names a bucket.
    from botocore.config import Config  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    config = Config(
        connect_timeout=min(_CONNECT_TIMEOUT_S, timeout_s),
        read_timeout=timeout_s,
        retries={"total_max_attempts": ATTEMPTS_MAX, "mode": "standard"},
        max_pool_connections=_CONNECTIONS_MAX,
        tcp_keepalive=True,
        # The store so checks the SHA-256 of what it is sent, over HTTPS too; newer checksums are
        # not known to every store that speaks S3.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "payload_signing_enabled": True,
            "addressing_style": "path" if place.endpoint else "auto",
        },
    )
    return Session().create_client(
        "s3",
        region_name=place.region,
        endpoint_url=place.endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.session_token,
        config=config,
    )


def _code(error: BaseException | None) -> str:
    """What S3 calls an error; empty when it said nothing."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _taken(waiting: list[bytes], chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What waits, and then the rest; nothing is held on to."""
    while waiting:
        yield waiting.pop(0)
    yield from chunks


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        while len(gathered) >= CHUNK_BYTES:
            yield bytes(gathered[:CHUNK_BYTES])
            del gathered[:CHUNK_BYTES]
    if gathered:
        yield bytes(gathered)
