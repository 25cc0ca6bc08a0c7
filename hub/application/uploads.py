"""Content on its way in: begun, taken part by part, claimed by one submission, or forgotten.

What an upload goes through, and what is left when we stop in between:

1. `begin`: its key, then its record. *(A key without an upload, which harms nobody.)*
2. `take`: each part, durable before it counts. *(A part that was never acknowledged; it is
   sent again.)* When all are there, their digest, then the mark that it was right. *(The
   next stream checks it again.)*
3. A submission claims it: `adopt` moves the content under the exchange and its key. Then the
   event is committed. *(A claim. If the log knows the exchange, go on at 4; if not, the
   content is given back and waits for the same statement, or another.)*
4. It is spent: its key is destroyed, so that only the exchange's opens the content, then its
   record goes. *(A claim of an exchange that the log knows: likewise.)*

`recover` does this at the start for all uploads, `sweep` now and then for those that a failure
left behind, and both forget what nobody has touched for too long.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from hub.application.offload import Offloader, SeeThrough
from hub.application.ports import (
    Claim,
    Clock,
    EventLog,
    NewUpload,
    Randomness,
    StoredUpload,
    UploadStore,
)
from hub.application.sealing import PART_BYTES
from hub.application.vault import Vault
from hub.domain.values import uuid7
from hub.errors import (
    ContentLost,
    ContentMissing,
    DigestMismatch,
    Overloaded,
    RequestMalformed,
    TooLarge,
    Unavailable,
    UploadUnknown,
)
from hub.proof.envelope import ATTACHMENT_BYTES_MAX

# What was claimed for longer without being recorded, no hub records any more: `commands.RECENT`.
ABANDONED_AFTER = timedelta(hours=1)
CHUNK_BYTES_MAX = 256 * 1024
UPLOADS_PER_AGENCY_MAX = 256
TAG_CHARS_MAX = 64
_FULL_RETRY_MS = 10_000
_DIGEST_BYTES = 32

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Upload:
    """An upload as this process knows it.

    `creation` runs until the disk knows the upload. `stored` bytes are durable, and `digest` is
    that of just these; it is None when it must be computed from the disk first. `turn` belongs
    to the stream that may add to it. `claim` is the exchange it is given to, and `in_flight`
    says that this exchange is being decided. `claimed_here` tells our claims from other hubs',
    and `abandoned` that such a hub is gone.
    """

    about: NewUpload
    touched_at: datetime
    stored: int = 0
    whole: bool = False
    claim: UUID | None = None
    claimed_here: bool = False
    abandoned: bool = False
    in_flight: bool = False
    gone: bool = False
    digest: Any = None
    turn: object = None
    creation: asyncio.Task[None] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_usable(self) -> bool:
        """Whether a submission may claim it now."""
        return self.whole and self.claim is None and not self.gone


class Uploads:
    """All uploads of a hub. Its methods run on the event loop; only `adopt` on a pool's thread.

    Files are touched by `offload` alone. What was begun there is seen through even when the
    caller hangs up: nothing may think a part unwritten while a thread still writes it.
    """

    def __init__(
        self,
        *,
        store: UploadStore,
        vault: Vault,
        log: EventLog,
        offload: Offloader,
        clock: Clock,
        randomness: Randomness,
        shared: bool = False,
    ) -> None:
        """`shared` looks at the disk before each step: other hubs take the same uploads on."""
        self._shared = shared
        self._store = store
        self._vault = vault
        self._log = log
        self._offload = offload
        self._clock = clock
        self._randomness = randomness
        self._uploads: dict[UUID, Upload] = {}
        # Spent or forgotten, but not yet gone from the disk.
        self._leftover: set[UUID] = set()
        self._see_through = SeeThrough()

    # --- what agencies do ---------------------------------------------------------

    async def begin(self, agency: str, size: int, sha256: bytes, tag: str) -> tuple[UUID, int]:
        """The agency's upload of this content, new or begun before, and how much is stored.

        Raises RequestMalformed, TooLarge, Overloaded and Unavailable.
        """
        _require_plausible(size, sha256, tag)
        await self._discover()
        upload = self._begun(agency, size, sha256.hex(), tag)
        if upload is None:
            upload = self._new(NewUpload(self._new_id(), agency, size, sha256.hex(), tag))
            upload.creation = self._see_through.start(self._create(upload))
        if upload.creation is not None:
            await asyncio.shield(upload.creation)
        # Whoever asks has given up the stream before: it may not add to what we answer.
        upload.turn = None
        await self._refresh(upload.about.upload_id)
        async with upload.lock:
            if upload.gone:
                raise Unavailable("the upload has just ended; repeat the very same call")
            return upload.about.upload_id, upload.stored

    async def take(
        self, agency: str, upload_id: UUID, offset: int, chunks: AsyncIterator[bytes]
    ) -> int:
        """Store what comes, from `offset` on; how much is stored for good afterwards.

        One part is held in memory. Raises UploadUnknown, RequestMalformed for another offset
        than the one stored, TooLarge, DigestMismatch (the upload is then gone), Unavailable.
        """
        await self._refresh(upload_id)
        upload = self._own(agency, upload_id)
        turn = upload.turn = object()
        await self._see_through(self._resume(upload, turn, offset))
        part = bytearray()
        async for chunk in chunks:
            self._require_turn(upload, turn)
            if len(chunk) > CHUNK_BYTES_MAX:
                raise _too_large("a message of an upload", CHUNK_BYTES_MAX)
            if upload.stored + len(part) + len(chunk) > upload.about.size:
                raise _too_large("this upload", upload.about.size)
            part += chunk
            while len(part) >= _next_part(upload) > 0:
                data, part = bytes(part[: _next_part(upload)]), part[_next_part(upload) :]
                await self._see_through(self._append(upload, turn, data))
        if upload.stored == upload.about.size:
            await self._see_through(self._finish(upload))
        return upload.stored

    # --- what a submission does -----------------------------------------------------

    async def named(self, agency: str, upload_ids: Sequence[UUID | None]) -> list[Upload | None]:
        """The uploads that a submission names, each whole and free; None where it names none.

        Raises UploadUnknown, ContentMissing for one that is not whole, RequestMalformed for
        one that is named twice, and Unavailable while another submission with it is undecided.
        """
        ids = [each for each in upload_ids if each is not None]
        if len(set(ids)) < len(ids):
            raise RequestMalformed("each upload is named once", field="upload_ids")
        return [None if each is None else await self._usable(agency, each) for each in upload_ids]

    def claim(self, uploads: Iterable[Upload], exchange_id: UUID) -> None:
        """Set uploads aside for one exchange, all or none, until `settle` or `release`."""
        uploads = list(uploads)
        if not all(upload.is_usable for upload in uploads):
            raise _in_use()
        for upload in uploads:
            upload.claim, upload.in_flight, upload.claimed_here = exchange_id, True, True

    def adopt(self, upload: Upload, claim: Claim, exchange_key: bytes) -> None:
        """Move a claimed upload's content under its exchange. Blocks; raises OSError."""
        upload_id = upload.about.upload_id
        self._store.adopt(upload_id, claim, self._vault.key_of(upload_id), exchange_key)

    async def settle(self, uploads: Iterable[Upload]) -> None:
        """The exchange was recorded: the uploads are spent."""
        for upload in uploads:
            await self._forget(upload)

    async def release(self, uploads: Iterable[Upload]) -> None:
        """The exchange was not recorded: the uploads are free again, for the next submission."""
        for upload in uploads:
            await self._give_back(upload)

    def leave_in_doubt(self, uploads: Iterable[Upload]) -> None:
        """Nobody knows whether the exchange was recorded: who asks next looks into the log."""
        for upload in uploads:
            upload.in_flight = False

    # --- what the hub does ----------------------------------------------------------

    async def recover(self) -> None:
        """Take up what is on the disk; before anything else is called. Raises OSError."""
        found = await self._offload(self._load)
        for each in found:
            self._uploads[each.upload.upload_id] = _as_found(each)
        await self._resolve_all()

    async def erase(self, agency: str, digests: Collection[str]) -> None:
        """Forget an agency's unused uploads of content that was erased by law.

        One that a submission is being decided with belongs to that. Raises OSError when
        something is left: repeat it.
        """
        await self._discover()
        for upload in list(self._uploads.values()):
            about = upload.about
            if about.agency == agency and about.sha256 in digests:
                async with upload.lock:
                    if upload.claim is None:
                        await self._forget(upload)
        for upload_id in list(self._leftover):
            await self._destroy(upload_id)
        if self._leftover:
            raise OSError("some uploads could not be destroyed yet")

    async def sweep(self, age: timedelta) -> int:
        """Forget uploads untouched for so long, and finish what failed; how many it were."""
        await self._discover()
        await self._resolve_all()
        for upload_id in list(self._leftover):
            await self._destroy(upload_id)
        now = self._clock()
        old = [
            upload
            for upload in self._uploads.values()
            if upload.claim is None and now - upload.touched_at >= age
        ]
        for upload in old:
            await self._refresh(upload.about.upload_id)
            async with upload.lock:
                if upload.claim is None and now - upload.touched_at >= age:
                    await self._forget(upload)
        return len(old)

    # --- beginning ------------------------------------------------------------------

    def _begun(self, agency: str, size: int, sha256: str, tag: str) -> Upload | None:
        wanted = (agency, size, sha256, tag)
        for upload in self._uploads.values():
            about = upload.about
            if (about.agency, about.size, about.sha256, about.tag) == wanted:
                return upload
        return None

    def _new(self, about: NewUpload) -> Upload:
        open_now = sum(each.about.agency == about.agency for each in self._uploads.values())
        if open_now >= UPLOADS_PER_AGENCY_MAX:
            raise Overloaded(
                "this agency has too many uploads that no submission has used; use them, or wait",
                limit=str(UPLOADS_PER_AGENCY_MAX),
                retry_after_ms=str(_FULL_RETRY_MS),
            )
        upload = Upload(about, self._clock(), digest=hashlib.sha256())
        self._uploads[about.upload_id] = upload
        return upload

    async def _create(self, upload: Upload) -> None:
        try:
            await self._write(lambda: self._create_now(upload.about))
        except BaseException:
            self._drop(upload)
            self._leftover.add(upload.about.upload_id)
            raise
        upload.creation = None

    def _create_now(self, about: NewUpload) -> None:
        self._vault.store({about.upload_id: self._vault.new_key()})
        self._store.create(about)

    # --- taking ---------------------------------------------------------------------

    async def _resume(self, upload: Upload, turn: object, offset: int) -> None:
        """Wait for a part that is still being written, then see that the offset fits."""
        async with upload.lock:
            self._require_turn(upload, turn)
            if offset != upload.stored:
                raise RequestMalformed(
                    f"{upload.stored} bytes are stored; go on there",
                    field="start.offset",
                    offset=str(upload.stored),
                )
            if upload.digest is None and not upload.whole:
                await self._read_again(upload)

    async def _read_again(self, upload: Upload) -> None:
        try:
            upload.digest = await self._write(lambda: self._digest_of_stored(upload))
        except ContentLost:
            # Nobody was promised anything yet; the agency still has the content.
            await self._forget(upload)
            raise _unknown() from None

    def _digest_of_stored(self, upload: Upload) -> Any:
        digest, about = hashlib.sha256(), upload.about
        key = self._vault.key_of(about.upload_id)
        for part in self._store.read(about.upload_id, about.size, upload.stored, key):
            digest.update(part)
        return digest

    async def _append(self, upload: Upload, turn: object, part: bytes) -> None:
        async with upload.lock:
            self._require_turn(upload, turn)
            await self._write(lambda: self._append_now(upload, part))
            upload.stored += len(part)
            upload.touched_at = self._clock()

    def _append_now(self, upload: Upload, part: bytes) -> None:
        about = upload.about
        self._store.append(
            about.upload_id,
            upload.stored // PART_BYTES,
            part,
            self._vault.key_of(about.upload_id),
            last=upload.stored + len(part) == about.size,
        )
        # Only what is durable counts: a part that failed comes again.
        upload.digest.update(part)

    async def _finish(self, upload: Upload) -> None:
        async with upload.lock:
            if upload.whole:
                return
            if upload.gone:
                raise _unknown()
            if upload.digest.hexdigest() != upload.about.sha256:
                await self._forget(upload)
                raise DigestMismatch(
                    f"the upload hashes to {upload.digest.hexdigest()}, not to what was stated; "
                    "it was discarded",
                    actual=upload.digest.hexdigest(),
                )
            await self._write(lambda: self._store.finish(upload.about.upload_id))
            upload.whole = True

    def _require_turn(self, upload: Upload, turn: object) -> None:
        if upload.gone:
            raise _unknown()
        if upload.turn is not turn:
            raise Unavailable("a later call goes on with this upload; this one has ended")

    # --- other hubs -------------------------------------------------------------------

    async def _discover(self) -> None:
        """Know of the uploads that other hubs have begun or ended."""
        if not self._shared:
            return
        found = await self._write(lambda: list(self._store.uploads()))
        for each in found:
            upload_id = each.upload.upload_id
            if upload_id not in self._uploads and upload_id not in self._leftover:
                self._uploads[upload_id] = _as_found(each)
        ended = self._uploads.keys() - {each.upload.upload_id for each in found}
        for upload_id in ended:
            await self._refresh(upload_id)

    async def _refresh(self, upload_id: UUID) -> None:
        """Take over what other hubs have done with one upload."""
        if not self._shared or upload_id in self._leftover:
            return
        upload = self._uploads.get(upload_id)
        if upload is None:
            if found := await self._write(lambda: self._store.upload(upload_id)):
                self._uploads.setdefault(upload_id, _as_found(found))
            return
        async with upload.lock:
            if upload.in_flight or upload.gone or upload.creation is not None:
                return
            found = await self._write(lambda: self._store.upload(upload_id))
            if upload.in_flight:
                return  # Claimed while we looked.
            if found is None:
                self._drop(upload)
                return
            _take_over(upload, found)

    # --- finding --------------------------------------------------------------------

    def _own(self, agency: str, upload_id: UUID) -> Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.about.agency != agency:
            raise _unknown()
        return upload

    async def _usable(self, agency: str, upload_id: UUID) -> Upload:
        await self._refresh(upload_id)
        upload = self._own(agency, upload_id)
        if upload.in_flight:
            raise _in_use()
        if upload.claim is not None:
            await self._see_through(self._resolve(upload))
            upload = self._own(agency, upload_id)
        if not upload.whole:
            raise ContentMissing(
                f"of an upload only {upload.stored} of {upload.about.size} bytes are here, or "
                "its digest is not checked yet",
                upload=str(upload_id),
                offset=str(upload.stored),
            )
        try:
            await self._write(lambda: self._check_now(upload.about))
        except ContentLost:
            if not upload.is_usable:  # Claimed while we looked: it lies elsewhere now.
                raise _in_use() from None
            await self._forget(upload)
            raise _unknown() from None
        return upload

    def _check_now(self, about: NewUpload) -> None:
        self._vault.key_of(about.upload_id)
        self._store.check(about.upload_id, about.size)

    # --- ending ---------------------------------------------------------------------

    async def _resolve_all(self) -> None:
        for upload in list(self._uploads.values()):
            if upload.claim is not None and not upload.in_flight:
                await self._resolve(upload)

    async def _resolve(self, upload: Upload) -> None:
        """Look into the log for what became of a claim, and act on it."""
        async with upload.lock:
            if upload.claim is None or upload.in_flight or upload.gone:
                return
            exchange_id = upload.claim
            if await self._write(lambda: self._is_recorded(exchange_id)):
                await self._forget(upload)
            elif upload.claimed_here or not self._may_be_decided(upload):
                await self._give_back(upload)

    def _may_be_decided(self, upload: Upload) -> bool:
        """Whether the hub that claimed it may still record the exchange."""
        age = self._clock() - upload.touched_at
        return self._shared and not upload.abandoned and age < ABANDONED_AFTER

    def _is_recorded(self, exchange_id: UUID) -> bool:
        if not self._shared:
            return bool(self._log.select_events(exchange_id))
        # Under the lock: what a hub that is gone had begun to commit is kept by now, or is not.
        with self._log.appending():
            return bool(self._log.select_events(exchange_id))

    async def _give_back(self, upload: Upload) -> None:
        if (claim := upload.claim) is None:
            return
        try:
            await self._offload(partial(self._store.give_back, upload.about.upload_id, claim))
        except OSError:
            # Handled by whoever asks next, or by the sweep: the claim still stands.
            upload.in_flight = False
        else:
            upload.claim, upload.in_flight, upload.claimed_here = None, False, False
            upload.touched_at = self._clock()

    async def _forget(self, upload: Upload) -> None:
        """From now on there is no such upload, whatever the disk says."""
        self._drop(upload)
        await self._destroy(upload.about.upload_id)

    def _drop(self, upload: Upload) -> None:
        upload.gone = True
        self._uploads.pop(upload.about.upload_id, None)

    async def _destroy(self, upload_id: UUID) -> None:
        self._leftover.add(upload_id)
        try:
            await self._offload(lambda: self._destroy_now(upload_id))
        except OSError:
            return  # Still among the leftovers: the next sweep tries again, or the next start.
        self._leftover.discard(upload_id)

    def _destroy_now(self, upload_id: UUID) -> None:
        # The key first: while the record is there, the next start knows that it must go.
        self._vault.forget([upload_id])
        self._store.discard(upload_id)

    def _load(self) -> list[StoredUpload]:
        self._store.tidy()
        return list(self._store.uploads())

    # --- below everything -------------------------------------------------------------

    def _new_id(self) -> UUID:
        return uuid7(self._clock(), self._randomness(10))

    async def _write(self, work: Callable[[], T]) -> T:
        try:
            return await self._offload(work)
        except OSError as error:
            raise Unavailable("uploads cannot be stored now; repeat the very same call") from error


def _as_found(found: StoredUpload) -> Upload:
    return Upload(
        about=found.upload,
        touched_at=found.touched_at,
        stored=found.stored,
        whole=found.whole,
        claim=found.claim.exchange_id if found.claim else None,
        abandoned=found.abandoned,
        digest=hashlib.sha256() if found.stored == 0 else None,
    )


def _take_over(upload: Upload, found: StoredUpload) -> None:
    claim = found.claim.exchange_id if found.claim else None
    if found.stored != upload.stored and not claim:
        # Another hub goes on with it: what streams here has ended, and is read again.
        upload.stored, upload.digest, upload.turn = found.stored, None, None
    upload.whole, upload.touched_at = found.whole, found.touched_at
    upload.abandoned = found.abandoned
    if claim != upload.claim:
        upload.claim, upload.claimed_here = claim, False


def _next_part(upload: Upload) -> int:
    """How many bytes the next part has; 0 when nothing is missing."""
    return min(PART_BYTES, upload.about.size - upload.stored)


def _require_plausible(size: int, sha256: bytes, tag: str) -> None:
    if size == 0:
        raise RequestMalformed("empty content is sent inside the submission", field="size")
    if size > ATTACHMENT_BYTES_MAX:
        raise _too_large("an attachment", ATTACHMENT_BYTES_MAX)
    if len(sha256) != _DIGEST_BYTES:
        raise RequestMalformed("sha256 has 32 bytes", field="sha256")
    if len(tag) > TAG_CHARS_MAX:
        raise RequestMalformed(f"a tag has at most {TAG_CHARS_MAX} characters", field="tag")


def _too_large(what: str, limit: int) -> TooLarge:
    return TooLarge(f"{what} has at most {limit} bytes", limit=str(limit))


def _unknown() -> UploadUnknown:
    return UploadUnknown(
        "this agency has no such upload: never begun, used by an accepted submission, or "
        "forgotten; begin it anew"
    )


def _in_use() -> Unavailable:
    return Unavailable(
        "a submission with this upload is not decided yet; repeat the very same call"
    )
