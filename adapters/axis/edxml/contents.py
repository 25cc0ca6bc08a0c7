"""The contents of attachments: base64 in and out, and the zip of one entry around them.

The vendor's library zips whatever it does not know, under a random name. Its labels cannot be
trusted, so a wrapping is known by its look: one entry named `<uuid>.<ext>`.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

from adapters.axis.edxml import names
from adapters.axis.edxml.errors import (
    BadBase64,
    ContentChanged,
    EdxmlRefused,
    TooLarge,
    ZipBomb,
    ZipBroken,
)

_BLOCK_BYTES = 192 * 1024  # a multiple of 3: base64 of a block needs no padding
_WHITE_SPACE = str.maketrans("", "", " \t\r\n")
_WRAPPED_NAME = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:\.[^/\\]*)?", re.I)
_EXTENSION = re.compile(r"[0-9A-Za-z]{1,16}")
_LOCAL_HEADER = b"PK\x03\x04"
# End of central directory (APPNOTE 4.3.16): signature, 18 bytes, at most 65535 of comment.
_END_OF_DIRECTORY, _END_BYTES, _COMMENT_BYTES_MAX = b"PK\x05\x06", 22, 65535
# Where entries or offsets are too many for it, a second end stands before it (4.3.14, 4.3.15).
_LOCATOR64, _LOCATOR64_BYTES, _END64_BYTES = b"PK\x06\x07", 20, 56
_DIRECTORY_BYTES_MAX = 4096
# All that the vendor's library writes. Others could ask for gigabytes to be opened.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# All that the library was seen to raise for zips whose bytes were changed.
_ZIP_FAILURES = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OverflowError,
    RuntimeError, ValueError,
)  # fmt: skip
# The oldest instant a zip can hold. A wrapping says nothing of when it was made.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Content in a file, positioned at its beginning. `size` is in bytes."""

    file: BinaryIO
    size: int
    sha256: str


class Decoder:
    """Base64 into a file, piece by piece; line breaks are taken, anything else foreign is not."""

    def __init__(self, file: BinaryIO, bytes_max: int, where: str) -> None:
        self._file, self._bytes_max, self._where = file, bytes_max, where
        self._rest = ""
        self._padded = False
        self._size = 0
        self._digest = hashlib.sha256()

    def feed(self, text: str) -> None:
        """Take the next piece. Raises BadBase64, TooLarge."""
        text = self._rest + text.translate(_WHITE_SPACE)
        whole = len(text) // 4 * 4
        self._rest = text[whole:]
        self._decode(text[:whole])

    def close(self) -> Decoded:
        """What was decoded. Raises BadBase64 when something is left over."""
        if self._rest:
            raise self.refusal("it is cut short")
        self._file.seek(0)
        return Decoded(self._file, self._size, self._digest.hexdigest())

    def refusal(self, why: str) -> EdxmlRefused:
        """The complaint about this content."""
        return BadBase64(f"the content is not base64: {why}", where=self._where)

    def _decode(self, text: str) -> None:
        if not text:
            return
        if self._padded:
            raise self.refusal("something follows its end")
        try:
            data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
        except (binascii.Error, UnicodeEncodeError):
            raise self.refusal("it holds foreign characters") from None
        self._padded = text.endswith("=")
        self._size += len(data)
        if self._size > self._bytes_max:
            raise TooLarge(f"an attachment has at most {self._bytes_max} bytes", where=self._where)
        self._digest.update(data)
        self._file.write(data)


def unwrapped(
    raw: Decoded,
    name: str,
    scratch: Callable[[], BinaryIO],
    *,
    bytes_max: int,
    free_bytes: int,
    inflation_max: int,
) -> Decoded | None:
    """The one entry of the zip around an attachment, or None where it is not wrapped.

    A file that is called `.zip` itself is never unwrapped. Raises ZipBroken, ZipBomb, TooLarge.
    """
    if name.lower().endswith(".zip") or not _looks_wrapped(raw.file, raw.size):
        return None
    allowed = max(free_bytes, raw.size * inflation_max)
    out, size, digest = scratch(), 0, hashlib.sha256()
    try:
        with zipfile.ZipFile(raw.file) as archive, archive.open(archive.infolist()[0]) as entry:
            while block := entry.read(_BLOCK_BYTES):
                size += len(block)
                if size > allowed:
                    raise ZipBomb(f"the zip grows more than {inflation_max} times", where=name)
                if size > bytes_max:
                    raise TooLarge(f"an attachment has at most {bytes_max} bytes", where=name)
                digest.update(block)
                out.write(block)
    except _ZIP_FAILURES as error:
        out.close()
        raise ZipBroken("the zip around it cannot be opened", where=name) from error
    except EdxmlRefused:
        out.close()
        raise
    out.seek(0)
    return Decoded(out, size, digest.hexdigest())


def _looks_wrapped(file: BinaryIO, size: int) -> bool:
    """Whether it is a zip of exactly one entry, named `<uuid>.<ext>`, in no folder."""
    try:
        if file.read(4) != _LOCAL_HEADER or not _has_one_entry(file, size):
            return False
        # Only now is the directory read, of which we know that it is small.
        with zipfile.ZipFile(file) as archive:
            [entry] = archive.infolist()
            plain = entry.compress_type in _COMPRESSIONS and not entry.flag_bits & 0x1
            return plain and _WRAPPED_NAME.fullmatch(entry.filename) is not None
    except _ZIP_FAILURES:
        return False
    finally:
        file.seek(0)


def _has_one_entry(file: BinaryIO, size: int) -> bool:
    file.seek(max(0, size - _END_BYTES - _COMMENT_BYTES_MAX - _LOCATOR64_BYTES - _END64_BYTES))
    tail = file.read()
    at = tail.rfind(_END_OF_DIRECTORY)
    end = tail[at : at + _END_BYTES]
    if at < 0 or len(end) < _END_BYTES:
        return False
    entries, directory = _number(end[10:12]), _number(end[12:16])
    before = at - _LOCATOR64_BYTES
    if tail[max(0, before) : at].startswith(_LOCATOR64):
        end64 = tail[max(0, before - _END64_BYTES) : before]
        entries, directory = _number(end64[32:40]), _number(end64[40:48])
    return entries == 1 and directory <= _DIRECTORY_BYTES_MAX


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def is_sent_raw(file: BinaryIO, name: str, size: int) -> bool:
    """Whether content goes into a package as it is; the vendor's library zips the rest.

    What would come out changed at the other end is zipped too: an empty file, whose element
    that library leaves out, and one that itself looks like a wrapping.
    """
    extension = _extension(name)
    if extension == "zip":
        return True
    return extension in names.RAW_EXTENSIONS and size > 0 and not _looks_wrapped(file, size)


def label(name: str, *, raw: bool) -> str:
    """The ContentType of an attachment, as the vendor's library writes it."""
    return f"application/{_extension(name)}" if raw else names.ZIP_TYPE


def sent_name(name: str) -> str:
    """The name a file goes under. A real archive named `X.ZIP` would be unwrapped at the other
    end, and only its first file kept: the library compares with `zip` in small letters.
    """
    return name[:-4] + ".zip" if _extension(name) == "zip" else name


def wrapped(
    file: BinaryIO, name: str, size: int, sha256: str, scratch: Callable[[], BinaryIO]
) -> BinaryIO:
    """A zip of one entry around content, the same bytes each time."""
    out = scratch()
    entry = zipfile.ZipInfo(_entry_name(name, sha256), _NO_TIME)
    entry.compress_type, entry.file_size = zipfile.ZIP_DEFLATED, size
    with zipfile.ZipFile(out, "w") as archive, archive.open(entry, "w") as target:
        while block := file.read(_BLOCK_BYTES):
            target.write(block)
    file.seek(0)
    out.seek(0)
    return out


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def _entry_name(name: str, sha256: str) -> str:
    # Random in the vendor's library; from the content here, so that the same document makes
    # the same package.
    unique = UUID(bytes=bytes.fromhex(sha256)[:16], version=4)
    extension = name.rpartition(".")[2] if "." in name else ""
    return f"{unique}.{extension}" if _EXTENSION.fullmatch(extension) else str(unique)


def encode(file: BinaryIO, out: BinaryIO) -> None:
    """Write a file's base64 on one line."""
    while block := file.read(_BLOCK_BYTES):
        out.write(binascii.b2a_base64(block, newline=False))
    file.seek(0)


def check(file: BinaryIO, name: str, size: int, sha256: str) -> None:
    """Raise ContentChanged unless the file holds these bytes; it is left at its beginning."""
    digest, count = hashlib.sha256(), 0
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        count += len(block)
    file.seek(0)
    if count != size or digest.hexdigest() != sha256:
        raise ContentChanged("the content is not what was said of it", where=name)
