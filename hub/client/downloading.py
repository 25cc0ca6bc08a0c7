"""Bringing a collected document's content into a folder, whole and as it was signed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import unicodedata
from pathlib import Path
from typing import BinaryIO, Protocol

import grpc

from hub.client.errors import error_of
from hub.client.line import Line
from hub.client.retry import given_up, is_repeatable
from hub.client.state import sync_folder
from hub.client.uploading import Progress, no_progress
from hub.errors import VerificationFailed
from hub.proof.envelope import Attachment
from hub.v1.exchange_service_pb2 import DownloadAttachmentRequest

_NAME_BYTES_MAX = 255
_BLOCK_BYTES = 1 << 20
# Names that mean a device on Windows, whatever follows the first dot.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


class Downloadable(Protocol):
    """A document that was collected, as far as its content is concerned."""

    @property
    def exchange_id(self) -> str:
        """The exchange."""
        ...

    @property
    def envelope_digest(self) -> str:
        """SHA-256 of the envelope's payload in hexadecimal."""
        ...

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The attachments, as the sender signed them."""
        ...


async def download(
    line: Line, document: Downloadable, folder: Path, progress: Progress = no_progress
) -> list[Path]:
    """Put every attachment into the folder; return their paths, in the envelope's order.

    A file appears under its name only when size and SHA-256 are as the sender signed them.
    A broken stream goes on where it stopped, also in a later call; `progress` is told how far
    each file is. What is there already, byte for byte, is not fetched again; a different file
    of that name is left alone, and ours gets a number. One call at a time per document and
    folder.

    Raises VerificationFailed(step="content") and forgets the bytes when they are not the
    signed ones, HubUnreachable when the attempts are used up without progress, the hub's
    refusal, and OSError.
    """
    await asyncio.to_thread(os.makedirs, folder, exist_ok=True)
    paths: list[Path] = []
    for index, attachment in enumerate(document.attachments):
        taken = {path.name for path in paths}
        path, there = await asyncio.to_thread(_place, folder, attachment, taken)
        if not there:
            unfinished = folder / f".{document.envelope_digest[:32]}-{index}.part"
            part = await asyncio.to_thread(_Part, unfinished, attachment, progress)
            await _fetch(line, document.exchange_id, index, part)
            await asyncio.to_thread(_put_in_place, unfinished, path)
        paths.append(path)
    return paths


def safe_name(name: str) -> str:
    """A file name that hides nothing and means nothing special anywhere.

    The envelope's names have no slashes already. Invisible signs, which can make
    `fdp.exe` read as `exe.pdf`, become `_`; so does a leading dot; a device's name gets
    a `_` before it.
    """
    plain = "".join("_" if unicodedata.category(sign)[0] == "C" else sign for sign in name)
    plain = re.sub(r'[/\\:*?"<>|]', "_", plain).rstrip(" .") or "_"
    if plain.startswith("."):
        plain = "_" + plain[1:]
    if _DEVICE.fullmatch(plain):
        plain = "_" + plain
    return _shortened(plain, "")


class _Part:
    """The bytes of one attachment that are here so far, hashed as they come."""

    def __init__(self, path: Path, attachment: Attachment, progress: Progress) -> None:
        self._path = path
        self._attachment = attachment
        self._progress = progress
        self._hash = hashlib.sha256()
        self.size = 0
        self._file = self._open()

    def _open(self) -> BinaryIO:
        file = self._path.open("a+b")
        file.seek(0)
        while block := file.read(_BLOCK_BYTES):
            self._hash.update(block)
            self.size += len(block)
        return file

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return self.size >= self._attachment.size

    def add(self, data: bytes) -> None:
        """Append what came. Raises VerificationFailed beyond the signed size."""
        if self.size + len(data) > self._attachment.size:
            raise self.wrong(f"is longer than the {self._attachment.size} bytes that were signed")
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        self._progress(self._attachment.name, self.size, self._attachment.size)

    def finish(self) -> None:
        """Check size and digest, and make the bytes survive a power cut."""
        if self.size != self._attachment.size:
            raise self.wrong(f"has {self.size} bytes, not the {self._attachment.size} signed")
        if self._hash.hexdigest() != self._attachment.sha256:
            raise self.wrong("does not hash to what the sender signed")
        self._file.flush()
        os.fsync(self._file.fileno())

    def wrong(self, why: str) -> VerificationFailed:
        """The failure; the bytes are forgotten, so that the next call begins anew."""
        self._path.unlink(missing_ok=True)
        return VerificationFailed(f"the content of {self._attachment.name!r} {why}", step="content")

    def close(self) -> None:
        """Leave what is here for the next call."""
        self._file.close()


async def _fetch(line: Line, exchange_id: str, index: int, part: _Part) -> None:
    try:
        attempt = 0
        while not part.is_whole:
            before = part.size
            failure = await _stream(line, exchange_id, index, part)
            if failure is None:
                break
            # The attachment is finite, so attempts that bring some of it are not counted.
            attempt = 0 if part.size > before else attempt + 1
            error = error_of(failure)
            if not is_repeatable(error):
                raise error from failure
            if attempt >= line.policy.attempts_max:
                raise given_up(attempt, error) from failure
            await line.policy.pause(attempt, failure)
        await asyncio.to_thread(part.finish)
    finally:
        part.close()


async def _stream(line: Line, exchange_id: str, index: int, part: _Part) -> grpc.RpcError | None:
    """Take what one stream brings; return what broke it, or None at its proper end."""
    request = DownloadAttachmentRequest(
        exchange_id=exchange_id, attachment_index=index, offset=part.size
    )
    stream = line.exchange.DownloadAttachment(request, timeout=line.policy.stream_deadline_s)
    try:
        async for response in stream:
            part.add(response.data)
    except grpc.RpcError as failure:
        return failure
    finally:
        stream.cancel()
    return None


def _place(folder: Path, attachment: Attachment, taken: set[str]) -> tuple[Path, bool]:
    """Where the attachment belongs, and whether it is there already."""
    name = safe_name(attachment.name)
    number = 1
    while True:
        suffix = f" ({number})" if number > 1 else ""
        path = folder / _shortened(name, suffix)
        if path.name not in taken:
            if not path.exists():
                return path, False
            if _holds(path, attachment):
                return path, True
        number += 1


def _holds(path: Path, attachment: Attachment) -> bool:
    if not path.is_file() or path.stat().st_size != attachment.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == attachment.sha256


def _put_in_place(part: Path, path: Path) -> None:
    os.replace(part, path)
    sync_folder(path.parent)


def _shortened(name: str, suffix: str) -> str:
    """The name with a suffix before its extension, in at most 255 bytes of UTF-8."""
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > 20:
        stem, extension = name, ""
    tail = suffix + (f".{extension}" if extension else "")
    room = _NAME_BYTES_MAX - len(tail.encode())
    return stem.encode()[:room].decode(errors="ignore") + tail
