"""Witnesses, and what they cosigned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from hub.proof.note import NoteSignature, VerifierKey
from hub.proof.witnessing import AddCheckpoint


class WitnessConflict(Exception):
    """The witness last saw a tree of `size` leaves, not the one it was asked to go on from."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the witness last saw size {size}")
        self.size = size


class WitnessRefused(Exception):
    """The witness will not cosign this, however often it is asked; `status` says why.

    404: it does not know the log. 403: nor the log's key. 409 and 422: the tree is not the
    one it saw before. Others: it does not understand us.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the witness refused with status {status}")
        self.status = status


class Witness(Protocol):
    """Somebody outside the hub who cosigns only a log that grows (C2SP tlog-witness).

    Untrusted: its answer is verified under `key`, which is configured, before it is kept.
    """

    @property
    def key(self) -> VerifierKey:
        """The witness's key."""
        ...

    async def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        """The signature lines it answers with, unverified; ends within its deadline.

        Raises WitnessConflict, WitnessRefused, and OSError when it could not be asked or gave
        no answer that means anything: later it may.
        """
        ...


class Cosignatures(Protocol):
    """What witnesses signed under our checkpoints: verified before it comes here.

    Untrusted: whoever changes a cosignature makes it fail at whoever verifies it; `fsck`
    finds it. Nothing is ever changed or removed.
    """

    def add(self, size: int, line: NoteSignature) -> None:
        """Keep a witness's cosignature of the checkpoint of this size, durably.

        One by the same witness key is there already: it stays, and nothing changes. Raises
        LedgerMismatch when there is no such checkpoint.
        """
        ...

    def of(self, size: int) -> Sequence[NoteSignature]:
        """The cosignatures of one checkpoint, in the order they came; at most 64."""
        ...

    def newest(self, witness: str, key_id: bytes) -> int:
        """The largest size that this witness key cosigned; 0 if none."""
        ...

    def best(self, position: int) -> int | None:
        """The smallest of the sizes beyond a position that most witnesses cosigned, if any."""
        ...

    def all(self) -> Iterator[tuple[int, NoteSignature]]:
        """Every cosignature with its size, by rising size."""
        ...
