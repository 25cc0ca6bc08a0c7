"""Wrapped document keys, and what wraps them, in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from adapters.memory.faults import FaultSwitch, breakable
from hub.errors import ContentLost

_KEY_BYTES = 32


class MemoryDocumentKeys:
    """The port DocumentKeys; a key once discarded cannot be added again."""

    def __init__(self) -> None:
        self._wrapped: dict[UUID, bytes] = {}
        self._discarded: set[UUID] = set()
        self._erased_below = 0
        self.faults = FaultSwitch(self)

    @breakable
    def add(self, wrapped: Mapping[UUID, bytes]) -> None:
        """Store keys; ValueError when an exchange has, or had, another one."""
        if any(self._wrapped.get(each, key) != key for each, key in wrapped.items()):
            raise ValueError("an exchange has another key already")
        if self._discarded & wrapped.keys():
            raise ValueError("the key of an exchange was discarded before")
        self._wrapped |= {each: bytes(key) for each, key in wrapped.items()}

    @breakable
    def get(self, exchange_id: UUID) -> bytes | None:
        """The wrapped key of an exchange; None when it was discarded or never was."""
        return self._wrapped.get(exchange_id)

    @breakable
    def find(self, exchange_ids: Collection[UUID]) -> dict[UUID, bytes]:
        """The wrapped keys of those exchanges that have one."""
        return {each: self._wrapped[each] for each in exchange_ids if each in self._wrapped}

    @breakable
    def discard(self, exchange_ids: Sequence[UUID]) -> None:
        """Remove keys; no error when there are none."""
        for exchange_id in exchange_ids:
            if self._wrapped.pop(exchange_id, None) is not None:
                self._discarded.add(exchange_id)

    @breakable
    def erased_below(self) -> int:
        """Every erasure recorded at a lower position has been carried out in this copy."""
        return self._erased_below

    @breakable
    def erase(self, exchange_ids: Sequence[UUID], below: int) -> None:
        """Destroy keys, then remember `below`."""
        self.discard(exchange_ids)
        self._erased_below = below


class MemoryKeyCustody:
    """The port KeyCustody, with a key that is the same in every run."""

    def __init__(self, key: bytes = bytes(_KEY_BYTES)) -> None:
        self._key = key
        self.faults = FaultSwitch(self)

    @breakable
    def wrap(self, key: bytes) -> bytes:
        """Encrypt a 32-byte key (AES Key Wrap, RFC 3394)."""
        if len(key) != _KEY_BYTES:
            raise ValueError("a document key has 32 bytes")
        return aes_key_wrap(self._key, key)

    @breakable
    def unwrap(self, wrapped: bytes) -> bytes:
        """Decrypt it again; raises ContentLost for anything else."""
        try:
            return aes_key_unwrap(self._key, wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise ContentLost("this was not wrapped here, or was changed since") from error
