"""What this client has signed and not yet had answered, so that a crash repeats the same bytes.

A statement is written down and synced before it is sent for the first time. After a crash
`pending` lists what is unanswered, byte for byte; the hub's idempotence does the rest.

The journal is one file of lines, `<16 hex digits of SHA-256> <JSON>`; lines are only ever
added, and answered statements are dropped when a new file takes its place. The content of
attachments lies beside it, one file each, as *bytes* and not as paths: the user's own file
may be moved or edited between the crash and the repetition, and then the signed statement
could never be sent again. A large file is copied here for the same reason, block by block; the
room for it is the disk's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.client.drafting import FileContent, sha256_of, to_upload
from hub.client.errors import JournalFull, StateDamaged
from hub.client.state import (
    StateDirectory,
    read_at_most,
    sync_folder,
    write_durably,
    writing_durably,
)
from hub.errors import DigestMismatch
from hub.proof.dsse import SignedStatement
from hub.proof.statements import PAYLOAD_BYTES_MAX
from hub.proof.strict import encode_base64

PENDING_MAX = 1000
PENDING_BYTES_MAX = 512 * 1024**2
# Answered statements are dropped when the file has grown by this much since the last time.
COMPACT_BYTES = 16 * 1024**2

_LINE_BYTES_MAX = 2 * PAYLOAD_BYTES_MAX
_FILE_BYTES_MAX = PENDING_BYTES_MAX * 2 + COMPACT_BYTES
_CHECK_DIGITS = 16
_BLOCK_BYTES = 1 << 20
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Answer:
    """The hub's answer to a statement, once its receipt was verified."""

    exchange_id: str
    leaf: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """The hub's refusal of a statement: its reason and its words."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A statement that was signed, with the SHA-256 of each attachment's content, in order.

    `uploads` are the numbers of those that are uploaded before the statement is sent;
    `contents_bytes` is what the others have.
    """

    request_id: str
    statement: SignedStatement
    contents: tuple[str, ...] = ()
    contents_bytes: int = 0
    uploads: tuple[int, ...] = ()

    @property
    def bytes_held(self) -> int:
        """What keeping this entry costs."""
        return len(self.statement.payload) + self.contents_bytes


class Journal:
    """The statements of one state directory, in the order they were signed.

    Safe to call from several threads. Once `begin` returns, the statement survives a power
    cut. After a failed write the journal refuses everything until it is opened again: what
    the disk holds is then unknown, and only reading it settles that.
    """

    def __init__(self, state: StateDirectory, *, compact_bytes: int = COMPACT_BYTES) -> None:
        """Read the journal, dropping a torn last line and content nobody names.

        Raises StateDamaged when anything before the last line is not as it was written.
        """
        self._path = state.path / "journal"
        self._contents = state.folder("contents")
        self._compact_bytes = compact_bytes
        self._mutex = threading.Lock()
        self._broken = False
        self._pending: dict[str, Entry] = {}
        for record in self._read():
            self._apply(record)
        self._start_afresh()
        self._sweep()

    def pending(self) -> tuple[Entry, ...]:
        """What has been signed and not been answered, oldest first."""
        with self._mutex:
            return tuple(self._pending.values())

    def find(self, request_id: str) -> Entry | None:
        """The unanswered entry of that request, if there is one."""
        with self._mutex:
            return self._pending.get(request_id)

    def begin(
        self,
        request_id: str,
        statement: SignedStatement,
        contents: Sequence[bytes | FileContent] = (),
    ) -> Entry:
        """Write down a signed statement before it is sent.

        Raises JournalFull beyond 1,000 unanswered statements or 512 MiB of them, large files
        not counted; StateDamaged for a request id that is pending already; DigestMismatch for
        a file that is no longer what was hashed; and OSError when the disk refuses.
        """
        uploads = to_upload(contents)
        inline = sum(
            len(content)
            for number, content in enumerate(contents)
            if isinstance(content, bytes) and number not in uploads
        )
        entry = Entry(request_id, statement, tuple(map(sha256_of, contents)), inline, uploads)
        with self._mutex:
            self._require_room(entry)
        # If we stop here, nothing is left. Large files take their time, so the others go on.
        self._keep_all(request_id, contents)
        with self._mutex:
            self._require_room(entry)
            # If we stop here, content is left that no line names; the next start sweeps it.
            self._append(_begun(entry))
            # If we stop here, the statement is pending; the next `resume` sends it.
            self._pending[request_id] = entry
        return entry

    def contents_of(self, entry: Entry) -> list[bytes]:
        """The content that goes with the statement, exactly as it was signed.

        Raises StateDamaged.
        """
        return [
            self._content(entry, number)
            for number in range(len(entry.contents))
            if number not in entry.uploads
        ]

    def path_of(self, entry: Entry, number: int) -> Path:
        """Where the content of an attachment lies that is uploaded before the statement."""
        return self._content_path(entry.request_id, number)

    def finish(self, request_id: str, outcome: Answer | Refusal) -> None:
        """Write down how the hub answered; the statement is no longer pending.

        Finishing what is not pending changes nothing: two repetitions may both be answered.
        """
        with self._mutex:
            entry = self._pending.get(request_id)
            if entry is None:
                return
            self._append(_done(request_id, outcome))
            # If we stop here, content of a finished statement is left; swept likewise.
            del self._pending[request_id]
            for number in range(len(entry.contents)):
                self._content_path(request_id, number).unlink(missing_ok=True)
            if self._path.stat().st_size > self._size_afresh + self._compact_bytes:
                self._start_afresh()

    def close(self) -> None:
        """Write nothing more; waits for a write under way."""
        with self._mutex:
            self._broken = True

    # --- The file -----------------------------------------------------------------------

    def _read(self) -> Iterator[dict[str, Any]]:
        data = read_at_most(self._path, _FILE_BYTES_MAX) or b""
        lines = data.split(b"\n")
        # A write that did not finish left no newline, or a last line that does not check.
        # Either way `begin` never returned, so the statement was never sent.
        torn = lines.pop()
        for number, line in enumerate(lines, start=1):
            record = _checked(line)
            if record is None:
                if number == len(lines) and not torn:
                    return
                raise StateDamaged(f"{self._path}: line {number} is not as it was written")
            yield record

    def _apply(self, record: dict[str, Any]) -> None:
        try:
            if record["kind"] == "begun":
                entry = _entry(record)
                self._pending[entry.request_id] = entry
            else:
                self._pending.pop(record["request_id"], None)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise StateDamaged(f"{self._path}: a line of another version") from error

    def _append(self, record: dict[str, Any]) -> None:
        if self._broken:
            raise StateDamaged(f"{self._path}: closed or not written whole; open the client again")
        line = _line(record)
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            # Broken until proven whole: after a failed write or sync nobody knows what the
            # disk holds, and a second sync would report success over lost pages.
            self._broken = True
            while line:
                line = line[os.write(handle, line) :]
            os.fsync(handle)
            self._broken = False
        finally:
            os.close(handle)

    def _start_afresh(self) -> None:
        """Put a file in place that holds only what is pending."""
        data = b"".join(_line(_begun(entry)) for entry in self._pending.values())
        write_durably(self._path, data)
        self._size_afresh = len(data)

    # --- Content ------------------------------------------------------------------------

    def _content_path(self, request_id: str, number: int) -> Path:
        # A request id becomes a file name only after it has proved to be a plain UUID.
        if not _UUID.fullmatch(request_id):
            raise StateDamaged("a request id that is not a UUID")
        return self._contents / f"{request_id}.{number}"

    def _keep_all(self, request_id: str, contents: Sequence[bytes | FileContent]) -> None:
        paths = [self._content_path(request_id, number) for number in range(len(contents))]
        try:
            for path, content in zip(paths, contents, strict=True):
                self._keep(path, content)
        except BaseException:
            # A client may live for months, and only its next start sweeps.
            for path in paths:
                path.unlink(missing_ok=True)
            raise

    def _keep(self, path: Path, content: bytes | FileContent) -> None:
        if isinstance(content, bytes):
            write_durably(path, content)
            return
        digest = hashlib.sha256()
        with content.path.open("rb") as file, writing_durably(path) as copy:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                copy.write(block)
            if digest.hexdigest() != content.sha256:
                raise DigestMismatch(
                    f"{content.path} has changed since it was hashed; send the document anew"
                )

    def _content(self, entry: Entry, number: int) -> bytes:
        path = self._content_path(entry.request_id, number)
        content = read_at_most(path, entry.contents_bytes)
        if content is None or hashlib.sha256(content).hexdigest() != entry.contents[number]:
            raise StateDamaged(f"{path} is not the content that was signed")
        return content

    def _sweep(self) -> None:
        named = {
            self._content_path(entry.request_id, number)
            for entry in self._pending.values()
            for number in range(len(entry.contents))
        }
        for path in set(self._contents.iterdir()) - named:
            path.unlink()
        sync_folder(self._contents)

    def _require_room(self, entry: Entry) -> None:
        if entry.request_id in self._pending:
            raise StateDamaged(f"request {entry.request_id} is pending already")
        held = sum(pending.bytes_held for pending in self._pending.values())
        if len(self._pending) >= PENDING_MAX or held + entry.bytes_held > PENDING_BYTES_MAX:
            raise JournalFull(
                f"{len(self._pending)} statements wait to be repeated; call resume() first"
            )


def _begun(entry: Entry) -> dict[str, Any]:
    statement = entry.statement
    return {
        "kind": "begun",
        "request_id": entry.request_id,
        "payload_type": statement.payload_type,
        "payload": encode_base64(statement.payload),
        "key_id": statement.key_id,
        "signature": encode_base64(statement.signature),
        "contents": list(entry.contents),
        "contents_bytes": entry.contents_bytes,
        "uploads": list(entry.uploads),
    }


def _done(request_id: str, outcome: Answer | Refusal) -> dict[str, Any]:
    match outcome:
        case Answer():
            return {
                "kind": "accepted",
                "request_id": request_id,
                "exchange_id": outcome.exchange_id,
                "leaf": encode_base64(outcome.leaf),
                "proof": encode_base64(outcome.proof),
            }
        case Refusal():
            return {
                "kind": "refused",
                "request_id": request_id,
                "reason": outcome.reason,
                "message": outcome.message[:1000],
            }


def _entry(record: dict[str, Any]) -> Entry:
    if not _UUID.fullmatch(record["request_id"]):
        raise ValueError("a request id that is not a UUID")
    return Entry(
        request_id=record["request_id"],
        statement=SignedStatement(
            payload_type=record["payload_type"],
            payload=base64.b64decode(record["payload"], validate=True),
            key_id=record["key_id"],
            signature=base64.b64decode(record["signature"], validate=True),
        ),
        contents=_texts(record["contents"]),
        contents_bytes=int(record["contents_bytes"]),
        # Journals of clients that could not upload have no such member.
        uploads=tuple(int(number) for number in record.get("uploads", ())),
    )


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode()
    return _check(text) + b" " + text + b"\n"


def _checked(line: bytes) -> dict[str, Any] | None:
    """The record of a line, or None when the line is not what was written."""
    check, space, text = line.partition(b" ")
    if not space or check != _check(text) or len(line) > _LINE_BYTES_MAX:
        return None
    record = json.loads(text)
    return record if isinstance(record, dict) else None


def _check(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:_CHECK_DIGITS].encode()
