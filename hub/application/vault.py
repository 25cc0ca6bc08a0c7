"""One key for each exchange: made here, kept wrapped, and all that must die to erase it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from threading import Lock
from uuid import UUID

from hub.application.ports import DocumentKeys, KeyCustody, Randomness, SealedPayload
from hub.application.sealing import KEY_BYTES, seal, unseal
from hub.errors import ContentLost

_CACHED_KEYS_MAX = 1024


class Vault:
    """Document keys and the payloads they seal. Safe to use from several threads."""

    def __init__(self, keys: DocumentKeys, custody: KeyCustody, randomness: Randomness) -> None:
        self._keys = keys
        self._custody = custody
        self._randomness = randomness
        self._cache: OrderedDict[UUID, bytes] = OrderedDict()
        self._cache_lock = Lock()
        # How often keys were destroyed: a key that was read before that is not remembered.
        self._destroyed = 0

    def new_key(self) -> bytes:
        """A fresh document key, known to nobody and stored nowhere yet."""
        return self._randomness(KEY_BYTES)

    def store(self, keys: Mapping[UUID, bytes]) -> None:
        """Keep new keys, durably and wrapped, before anything refers to them."""
        if keys:
            self._keys.add({exchange: self._custody.wrap(key) for exchange, key in keys.items()})
        for exchange_id, key in keys.items():
            self._remember(exchange_id, key, self._destroyed)

    def key_of(self, exchange_id: UUID) -> bytes:
        """The key of an exchange. Raises ContentLost when it is gone."""
        key = self._cache.get(exchange_id)
        if key is None:
            destroyed = self._destroyed
            wrapped = self._keys.get(exchange_id)
            if wrapped is None:
                raise ContentLost("the key of this document is no longer in the hub's store")
            key = self._custody.unwrap(wrapped)
            self._remember(exchange_id, key, destroyed)
        return key

    def keys_of(self, exchange_ids: Collection[UUID]) -> dict[UUID, bytes]:
        """The keys of those exchanges that have one which can be had, with one look-up for all.

        They are not remembered: whoever asks for so many goes through a log.
        """
        cached = {each: key for each in exchange_ids if (key := self._cache.get(each))}
        wrapped = self._keys.find([each for each in exchange_ids if each not in cached])
        found = {each: self._unwrapped(key) for each, key in wrapped.items()}
        return cached | {each: key for each, key in found.items() if key is not None}

    def _unwrapped(self, wrapped: bytes) -> bytes | None:
        try:
            return self._custody.unwrap(wrapped)
        except ContentLost:
            return None

    def has_key(self, exchange_id: UUID) -> bool:
        """Whether the key of an exchange is stored."""
        return self._keys.get(exchange_id) is not None

    def forget(self, ids: Sequence[UUID]) -> None:
        """Destroy keys: what was sealed under them alone cannot be read again, by anyone.

        Raises OSError when a trace may be left: repeat it.
        """
        try:
            self._keys.discard(ids)
        finally:
            self._drop(ids)

    def erased_below(self) -> int:
        """As `Erasable`, for document keys."""
        return self._keys.erased_below()

    def erase(self, ids: Sequence[UUID], below: int) -> None:
        """As `Erasable`: destroy the keys of exchanges that were erased by law."""
        try:
            self._keys.erase(ids, below)
        finally:
            self._drop(ids)

    def let_go(self, ids: Sequence[UUID] | None = None) -> None:
        """Keep these keys, or any, in memory no longer: another hub may destroy them."""
        self._drop(list(self._cache) if ids is None else ids)

    def _drop(self, ids: Sequence[UUID]) -> None:
        with self._cache_lock:
            self._destroyed += 1
            for each in ids:
                self._cache.pop(each, None)

    def _remember(self, exchange_id: UUID, key: bytes, destroyed: int) -> None:
        with self._cache_lock:
            if destroyed != self._destroyed:
                return  # It may have been read just before it was destroyed.
            self._cache[exchange_id] = key
            while len(self._cache) > _CACHED_KEYS_MAX:
                self._cache.popitem(last=False)

    def seal_payload(
        self, exchange_id: UUID, digest: bytes, payload: bytes, key: bytes
    ) -> SealedPayload:
        """A statement's payload, encrypted under its exchange's key."""
        context = _payload_context(exchange_id, digest)
        return SealedPayload(digest, exchange_id, seal(key, payload, context, self._randomness))

    def open_payload(self, payload: SealedPayload, key: bytes | None = None) -> bytes:
        """The payload's bytes, under a `key` of `keys_of` or else the one that is found.

        Raises ContentLost when they or their key are gone.
        """
        context = _payload_context(payload.exchange_id, payload.digest)
        return unseal(key or self.key_of(payload.exchange_id), payload.sealed, context)


def _payload_context(exchange_id: UUID, digest: bytes) -> bytes:
    # Bound to its place: a payload moved to another row no longer opens.
    return b"lienthong payload v1\n" + exchange_id.bytes + digest
