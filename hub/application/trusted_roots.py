"""Editions of the trusted root: drafted as the log has it, signed elsewhere, published, fetched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, TypeVar

from hub.application.agencies import operator_request
from hub.application.key_ring import RingKey
from hub.application.lane import Lane, Recorded
from hub.application.offload import Offloader
from hub.application.ports import Clock, EventLog, RequestKey, RootFiles, TrustFetches
from hub.application.registry import Caller, Registry
from hub.application.session import Session
from hub.application.trust_ends import TrustEnd, ended
from hub.errors import TrustedRootRefused, VerificationFailed
from hub.proof.succession import SIGNED_ROOT_BYTES_MAX, next_edition, read_trusted_root
from hub.proof.timestamp_authority import format_instant
from hub.proof.trust import Closing, LogKey, TrustedLog, TrustedRoot
from hub.proof.window import Window

LIFE = timedelta(days=5 * 365)
"""How long after its draft was made an edition may be the newest."""
_RENEWED_BEFORE = timedelta(days=365)
_EDITIONS_BYTES_MAX = 10 << 20

_Listed = TypeVar("_Listed")


@dataclass(frozen=True, slots=True)
class PublishRoot:
    """Record the next edition of the trusted root."""

    while_frozen: ClassVar = True

    operator: str
    request_id: str
    edition: int
    data: bytes

    @property
    def request(self) -> RequestKey:
        """Bound to the operator and the file."""
        digest = hashlib.sha256(self.data).hexdigest()
        return operator_request(self.operator, self.request_id, "trusted-root", digest)

    def decide(self, session: Session) -> None:
        """Record `TrustedRootPublished` and keep the file as evidence."""
        if self.edition in session.registry.trusted_roots:
            raise TrustedRootRefused(f"edition {self.edition} is published already")
        digest = hashlib.sha256(self.data).digest()
        log = session.history.log()
        log.publish_trusted_root(
            at=session.at,
            edition=self.edition,
            digest=digest.hex(),
            by=self.operator,
            request_id=self.request_id,
        )
        session.add_evidence(digest, self.data)
        session.record(log, self.request)


@dataclass(frozen=True, slots=True)
class Laggard:
    """Somebody enrolled who does not hold the newest edition; 0 and None where never asked."""

    caller: Caller
    edition: int
    at: datetime | None


class TrustedRoots:
    """What is asked about the trusted root. Nothing here signs it: root keys lie offline."""

    def __init__(
        self,
        *,
        origin: str,
        lane: Lane,
        registry: Callable[[], Registry],
        files: RootFiles,
        fetches: TrustFetches,
        root_at: Callable[[int], bytes],
        extend: Callable[[TrustedRoot], TrustedRoot],
        offload: Offloader,
        clock: Clock,
    ) -> None:
        """`root_at` is the root of the log's tree of a size.

        `extend` adds what the hub's settings name and an edition does not list yet.
        """
        self._origin = origin
        self._lane = lane
        self._registry = registry
        self._files = files
        self._fetches = fetches
        self._root_at = root_at
        self._extend = extend
        self._offload = offload
        self._clock = clock

    async def newest(self) -> TrustedRoot:
        """The newest edition."""
        return await self._offload(self._newest)

    async def after(self, caller: Caller, held: int) -> tuple[list[bytes], bool]:
        """The editions after the one the caller holds, and whether there are more.

        That it holds that one is remembered.
        """
        return await self._offload(lambda: self._after(caller, held))

    async def laggards(self) -> list[Laggard]:
        """Everybody enrolled who does not hold the newest edition."""
        return await self._offload(self._laggards)

    async def changes(self) -> list[str]:
        """What the next edition would say that the newest does not; empty if nothing."""
        return await self._offload(lambda: _differences(self._newest(), self._next()))

    async def draft(self, ends: Sequence[TrustEnd] = ()) -> bytes:
        """The next edition, for the holders of the root keys to sign; it ends whom it is told.

        Raises TrustedRootRefused.
        """
        return await self._offload(lambda: self._draft(ends))

    async def publish(self, operator: str, request_id: str, data: bytes) -> Recorded:
        """Publish the next edition; the receipt of `TrustedRootPublished`.

        1. It follows the newest one, and has not expired. 2. What it says of this log's keys
        is what the log says: no other key, and each closing with the log's own root. Raises
        TrustedRootRefused.
        """
        # A call that is repeated finds its edition published: the lane has the first answer.
        edition = await self._offload(lambda: self._checked(data))
        return await self._lane.do(PublishRoot(operator, request_id, edition, data))

    def _newest(self) -> TrustedRoot:
        return read_trusted_root(self._files.newest())

    def _after(self, caller: Caller, held: int) -> tuple[list[bytes], bool]:
        newest = self._newest().version
        if 0 < held <= newest:
            with suppress(OSError):  # Told again with the next question.
                self._fetches.note(caller.role.value, caller.name, held, self._clock())
        found: list[bytes] = []
        for number in range(max(held, 0) + 1, newest + 1):
            data = self._files.edition(number)
            if data is None:
                # Before the first that was signed there is nothing that could be followed.
                found = []
                continue
            if sum(map(len, found)) + len(data) > _EDITIONS_BYTES_MAX:
                return found, True
            found.append(data)
        return found, False

    def _laggards(self) -> list[Laggard]:
        newest = self._newest().version
        fetched = {(each.role, each.caller): each for each in self._fetches.all()}
        callers = {(c.role.value, c.name): c for c in self._registry().callers.values()}
        found = []
        for key in sorted(callers):
            held = fetched.get(key)
            if held is None or held.edition < newest:
                edition, at = (held.edition, held.at) if held else (0, None)
                found.append(Laggard(callers[key], edition, at))
        return found

    def _draft(self, ends: Sequence[TrustEnd]) -> bytes:
        newest, following = self._newest(), ended(self._next(), ends)
        soon = newest.expires is None or newest.expires - self._clock() < _RENEWED_BEFORE
        if not soon and not _differences(newest, following):
            raise TrustedRootRefused(f"edition {newest.version} has everything and ends late")
        return following.format()

    def _next(self) -> TrustedRoot:
        newest = self._newest()
        keys = list(self._registry().hub_keys.of_log(self._origin))
        logs = [
            replace(log, keys=self._with_keys(log, keys)) if log.origin == self._origin else log
            for log in newest.logs
        ]
        ends = (self._clock() + LIFE).replace(microsecond=0)
        following = replace(newest, version=newest.version + 1, logs=tuple(logs), expires=ends)
        return self._extend(following)

    def _with_keys(self, log: TrustedLog, keys: Sequence[RingKey]) -> tuple[LogKey, ...]:
        listed = {each.key: each for each in log.keys}
        for entry in keys:
            known = listed.get(entry.key, LogKey(entry.key, entry.announced + 1))
            listed[entry.key] = replace(known, closed=known.closed or self._closing(entry))
        return tuple(listed.values())

    def _closing(self, entry: RingKey) -> Closing | None:
        return None if entry.size is None else Closing(entry.size, self._root_at(entry.size))

    def _checked(self, data: bytes) -> int:
        if len(data) > SIGNED_ROOT_BYTES_MAX:
            raise TrustedRootRefused(f"it has more than {SIGNED_ROOT_BYTES_MAX} bytes")
        try:
            new = read_trusted_root(data)
            if new.version in self._registry().trusted_roots:
                return new.version
            next_edition(self._newest(), data)
        except VerificationFailed as failure:
            raise TrustedRootRefused(str(failure)) from failure
        if new.expires is None or new.expires <= self._clock():
            raise TrustedRootRefused("it has expired, or says no end")
        self._require_true(new)
        return new.version

    def _require_true(self, new: TrustedRoot) -> None:
        """A mistake here would be for good: no later edition may take anything back."""
        ring = {entry.key: entry for entry in self._registry().hub_keys.of_log(self._origin)}
        listed = {
            each.key: each for log in new.logs if log.origin == self._origin for each in log.keys
        }
        if listed.keys() - ring.keys():
            raise TrustedRootRefused("it lists a key for this log that the log does not know")
        if ring.keys() - listed.keys():
            raise TrustedRootRefused("it leaves out a key of this log; have a newer draft signed")
        for key, each in listed.items():
            if each.closed is not None and each.closed != self._closing(ring[key]):
                raise TrustedRootRefused("it closes a key of this log otherwise than the log does")


class PublishedRoots:
    """Puts each edition that the log has published where it is fetched from.

    Called after every checkpoint and so at every start: a hub that was killed between the
    fact and the file finishes it.
    """

    def __init__(
        self, *, log: EventLog, registry: Callable[[], Registry], files: RootFiles
    ) -> None:
        self._log = log
        self._registry = registry
        self._files = files
        self._done: set[int] = set()

    def __call__(self) -> None:
        """Raises OSError when a file cannot be written; it is tried again.

        What is not in the evidence store is not served: `fsck` names it.
        """
        for edition, digest in sorted(self._registry().trusted_roots.items()):
            if edition in self._done:
                continue
            data = self._log.evidence(bytes.fromhex(digest))
            if data is not None and hashlib.sha256(data).hexdigest() == digest:
                self._files.keep(edition, data)
            self._done.add(edition)


def _differences(old: TrustedRoot, new: TrustedRoot) -> list[str]:
    """What an edition has that the one before it has not, one sentence each."""
    before = {key.key: key for log in old.logs for key in log.keys}
    said = []
    for key in (each for log in new.logs for each in log.keys):
        name = key.key.format()
        if key.key not in before:
            said.append(f"lists the log key {name}, from size {key.from_size}")
        if key.closed and not (key.key in before and before[key.key].closed):
            said.append(f"closes the log key {name} at size {key.closed.size}")
    said += _listings(
        {each.key: each.window for each in old.witnesses},
        {each.key: each.window for each in new.witnesses},
        lambda key: f"the witness {key.name}",
    )
    said += _listings(
        {(ca.certificate, ca.purpose): ca.window for ca in old.certificate_authorities},
        {(ca.certificate, ca.purpose): ca.window for ca in new.certificate_authorities},
        lambda ca: f"a certificate authority for {ca[1].value}",
    )
    said += [
        f"changes the time-stamping authority {authority.name}"
        for authority in new.timestamp_authorities
        if authority not in old.timestamp_authorities
    ]
    return said


def _listings(
    old: Mapping[_Listed, Window],
    new: Mapping[_Listed, Window],
    named: Callable[[_Listed], str],
) -> Iterator[str]:
    for each, window in new.items():
        if each not in old:
            yield f"lists {named(each)}"
        until = window.not_after
        if until is not None and (each not in old or old[each].not_after != until):
            yield f"ends {named(each)} at {format_instant(until)}"
