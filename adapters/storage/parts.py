"""One content on disk: a folder of numbered, encrypted parts, and the key they are sealed with.

The parts, from `00000000`, are sealed under a key of their content alone. That key lies
beside them in `key`, sealed under the key of the exchange the content belongs to: so content
that was uploaded comes to belong to an exchange without its parts being written again, and
dies with the exchange's key all the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from adapters.storage.folders import sync_folder
from hub.application.ports import Randomness
from hub.application.sealing import KEY_BYTES, PART_BYTES, SEAL_OVERHEAD_BYTES, seal, unseal
from hub.errors import ContentLost

KEY_NAME = "key"
_PARTS_MAX = 10**8
_UNFINISHED = ".new"


def last_part(size: int) -> int:
    """The number of the last part of content of this size; empty content has one, empty too."""
    return max(0, (size - 1) // PART_BYTES)


def write_part(
    folder: Path, number: int, part: bytes, key: bytes, *, last: bool, randomness: Randomness
) -> None:
    """Seal one part into its place. Its bytes are durable on return; for its name, sync the folder.

    A part that is there already is replaced: it was never acknowledged.
    """
    sealed = seal(key, part, part_context(number, last=last), randomness)
    write_durable(folder / _name(number), sealed)


def read_parts(folder: Path, size: int, key: bytes, offset: int) -> Iterator[bytes]:
    """The content from `offset` to `size`, in pieces of at most 1 MiB, one in memory.

    Raises ContentLost, perhaps after some good pieces, for a part that was changed, cut off or
    stood somewhere else; OSError for one that cannot be read.
    """
    # Empty content has one empty part, which is opened like any other.
    first, skipped = divmod(offset, PART_BYTES)
    for number in range(first, last_part(size) + 1):
        part = _open_part(folder, number, size, key)
        if piece := part[skipped:]:
            yield piece
        skipped = 0


def stored_bytes(folder: Path, size: int) -> int:
    """How much of content of this size is there, from its beginning and without a gap.

    Looks at names and sizes only; that the bytes are right is known on reading.
    """
    found = _sizes(folder)
    whole = 0
    for number in range(last_part(size) + 1):
        if found.get(_name(number)) != part_size(size, number) + SEAL_OVERHEAD_BYTES:
            break
        whole += part_size(size, number)
    return whole


def is_next(folder: Path, number: int) -> bool:
    """Whether this part is missing, and the one before it is not."""
    if (folder / _name(number)).exists():
        return False
    return not number or (folder / _name(number - 1)).exists()


def require_whole(folder: Path, size: int) -> None:
    """Raise ContentLost unless every part and the key are there in their full length.

    Raises OSError too.
    """
    found = _sizes(folder)
    _require_length("its key", found.get(KEY_NAME), KEY_BYTES)
    for number in range(last_part(size) + 1):
        _require_length(f"part {number}", found.get(_name(number)), part_size(size, number))


def write_key(
    folder: Path,
    content_key: bytes,
    exchange_key: bytes,
    place: tuple[UUID, int],
    randomness: Randomness,
) -> None:
    """Give the content to a place: attachment so many of this exchange.

    The key's bytes are durable on return; for its name, sync the folder.
    """
    sealed = seal(exchange_key, content_key, key_context(place), randomness)
    write_durable(folder / KEY_NAME, sealed)


def read_key(folder: Path, exchange_key: bytes, place: tuple[UUID, int]) -> bytes:
    """The key of the content in this place. Raises ContentLost and OSError."""
    return _open(folder / KEY_NAME, "its key", KEY_BYTES, exchange_key, key_context(place))


def write_durable(path: Path, data: bytes) -> None:
    """Put a file in place that has its name only once its bytes are durable.

    A file that is there already is replaced. To make the name durable too, sync the folder.
    """
    unfinished = path.with_name(path.name + _UNFINISHED)
    with unfinished.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def move_folder(old: Path, new: Path) -> None:
    """Move content from one place to another; durable on return.

    If we stop in between, a power cut may show it in either place, never in none: what is new
    is made durable before what is gone.
    """
    old.rename(new)
    sync_folder(new.parent)
    sync_folder(old.parent)


def sealed_files(folder: Path) -> Iterator[bytes]:
    """The sealed key, then each sealed part in its order, one in memory; nothing is opened.

    Raises OSError, also when a part between others is gone.
    """
    numbers = range(len([name for name in _sizes(folder) if name.isdigit()]))
    for name in (KEY_NAME, *map(_name, numbers)):
        with (folder / name).open("rb") as file:
            sealed = file.read(PART_BYTES + SEAL_OVERHEAD_BYTES + 1)
        if len(sealed) > PART_BYTES + SEAL_OVERHEAD_BYTES:
            raise OSError(f"{name} has grown")
        yield sealed


def _open_part(folder: Path, number: int, size: int, key: bytes) -> bytes:
    context = part_context(number, last=number == last_part(size))
    path = folder / _name(number)
    return _open(path, f"part {number}", part_size(size, number), key, context)


def _open(path: Path, what: str, length: int, key: bytes, context: bytes) -> bytes:
    """Open something sealed that has this length in plain. Raises ContentLost and OSError."""
    try:
        with path.open("rb") as file:
            # One byte more than there should be tells a file that is too long, and keeps one
            # that grew to gigabytes out of memory.
            sealed = file.read(length + SEAL_OVERHEAD_BYTES + 1)
    except FileNotFoundError:
        raise ContentLost(f"{what} is missing") from None
    _require_length(what, len(sealed), length)
    try:
        return unseal(key, sealed, context)
    except ContentLost:
        raise ContentLost(f"{what} was changed, or belongs somewhere else") from None


def _require_length(what: str, found: int | None, length: int) -> None:
    if found is None:
        raise ContentLost(f"{what} is missing")
    if found != length + SEAL_OVERHEAD_BYTES:
        raise ContentLost(f"{what} was cut off, or has grown")


def part_context(number: int, *, last: bool) -> bytes:
    """What a part is bound to: its number, and that nothing was cut off behind it.

    Its content it is bound to by the key, which seals nothing else.
    """
    return b"lienthong content v2\n%d %s" % (number, b"last" if last else b"more")


def key_context(place: tuple[UUID, int]) -> bytes:
    """What a content's key is bound to: it opens in no other exchange, for no other attachment."""
    exchange_id, index = place
    return b"lienthong content key v1\n" + exchange_id.bytes + b"\n%d" % index


def _sizes(folder: Path) -> dict[str, int]:
    with os.scandir(folder) as entries:
        return {entry.name: entry.stat().st_size for entry in entries}


def part_size(size: int, number: int) -> int:
    """How many bytes of the content a part has."""
    return min(PART_BYTES, size - number * PART_BYTES)


def _name(number: int) -> str:
    if number >= _PARTS_MAX:
        raise ValueError("content has at most a hundred million parts")
    return f"{number:08d}"
