"""Packages of the national axis as files, and an axis to try against: the wiring for both."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, BinaryIO

from adapters.axis.edxml.errors import ContentChanged, EdxmlRefused, FieldInvalid
from adapters.axis.edxml.model import (
    DocumentPackage,
    Organ,
    Staff,
    StatusHeader,
    StatusPackage,
    from_json,
    to_json,
)
from adapters.axis.edxml.reader import Reading, read
from adapters.axis.edxml.writer import write_document, write_status
from adapters.axis.packing import Earlier, losses, package_of
from adapters.axis.reading import VIETNAM
from adapters.axis.reports import Report, report_of, status_package
from adapters.axis.saying import said_of
from adapters.axis.sending import digest_of
from adapters.axis.simulator.faults import Faults
from adapters.axis.simulator.habits import Habits
from adapters.axis.simulator.server import Simulator

DOCUMENT_FILE, STATUS_FILE = "document.json", "status.json"
_SAID_BYTES_MAX = 16 * 1024**2
_BLOCK_BYTES = 1 << 20


class PackageRefused(Exception):
    """A package, or a document for one, that cannot be used; `reason` is stable."""

    def __init__(self, refusal: EdxmlRefused) -> None:
        super().__init__(str(refusal))
        self.reason = refusal.reason
        self.where = refusal.where


@dataclass(frozen=True, slots=True)
class Imported:
    """What a package became: a JSON file, and the files beside it.

    `unknown` names elements that are kept in the JSON and that no package made of it holds.
    """

    said: Mapping[str, Any]
    file: Path
    attachments: tuple[Path, ...]
    is_signed: bool
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """A package that was written; `lost` names the fields it does not hold."""

    file: Path
    size: int
    sha256: str
    lost: tuple[str, ...]


def import_package(file: Path, into: Path) -> Imported:
    """Take a package apart into a folder, which is made; nothing there is ever overwritten.

    Raises PackageRefused, and OSError, FileExistsError among them.
    """
    try:
        with file.open("rb") as stream:
            reading = read(stream, _scratch)
    except EdxmlRefused as refusal:
        raise PackageRefused(refusal) from refusal
    try:
        into.mkdir(parents=True, exist_ok=True)
        return _taken_apart(reading, into)
    except EdxmlRefused as refusal:
        raise PackageRefused(refusal) from refusal
    finally:
        reading.close()


def export_package(source: Path, file: Path) -> Exported:
    """Make a package of a folder that `import_package` made, or of one like it.

    Sizes and digests that the JSON does not name are taken from the files. Raises
    PackageRefused, and OSError; a file that is there already is not touched.
    """
    try:
        kind = STATUS_FILE if (source / STATUS_FILE).exists() else DOCUMENT_FILE
        said = _read_said(source / kind)
        with _new_file(file) as out:
            lost = (
                _export_status(said, out)
                if kind == STATUS_FILE
                else _export_document(said, source, out)
            )
            size, digest = digest_of(out)
    except EdxmlRefused as refusal:
        raise PackageRefused(refusal) from refusal
    return Exported(file, size, digest.hex(), lost)


@contextmanager
def simulated_axis(
    folder: Path,
    host: str,
    port: int,
    organisations: Sequence[tuple[str, str]],
    *,
    fault_rate: float,
    seed: int,
    rewrites: bool,
    correspondents: Sequence[str] = (),
) -> Iterator[str]:
    """An axis that answers at the address given, until the block ends.

    `organisations` are codes with their secrets; those of earlier runs are still there.
    `correspondents` are organisations that answer by themselves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    simulator = Simulator(
        folder,
        lambda: datetime.now(UTC).astimezone(VIETNAM),
        faults=Faults(rate=fault_rate, seed=seed),
        habits=Habits(rewrites=rewrites, correspondents=tuple(correspondents)),
    )
    try:
        for code, secret in organisations:
            simulator.store.enrol(code, [secret])
        for code in correspondents:
            simulator.store.enrol(code, [token_urlsafe()])
        with simulator.listening(host, port) as address:
            yield address
    finally:
        simulator.store.close()


# --- A package becomes a folder ----------------------------------------------------------


def _taken_apart(reading: Reading, into: Path) -> Imported:
    package = reading.package
    if isinstance(package, StatusPackage):
        report = report_of(package)
        said = {"v": 1, **_report_said(report), "edxml": {"header": to_json(package.header)}}
        file, attachments = into / STATUS_FILE, list[Path]()
    else:
        said = {"v": 1, **said_of(package)}
        file = into / DOCUMENT_FILE
        _require_absent(file)
        names = [each["name"] for each in said["document"]["attachments"]]
        attachments = [into / _beside(name) for name in names]
        for path, content in zip(attachments, reading.contents, strict=True):
            with path.open("xb") as out:
                _copy(content, out)
    with file.open("x", encoding="utf-8") as out_:
        json.dump(said, out_, ensure_ascii=False, indent=2)
        out_.write("\n")
    unknown = tuple(f"{each.path}/{each.node.name}" for each in package.unknown)
    return Imported(said, file, tuple(attachments), package.signed, unknown)


def _require_absent(file: Path) -> None:
    # Before any attachment is written: a half-made folder helps nobody.
    if file.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))


def _beside(name: str) -> str:
    # An attachment may have any name, also that of the file that describes it.
    return f"_{name}" if name in (DOCUMENT_FILE, STATUS_FILE) else name


def _report_said(report: Report) -> dict[str, Any]:
    said = {
        "code": report.code,
        "by": report.by,
        "to": report.to,
        "document_id": report.document_id,
        "document_code": report.document_code,
        "issued_on": None if report.issued_on is None else report.issued_on.isoformat(),
        "reason": report.reason,
        "at": None if report.at is None else report.at.isoformat(),
    }
    return {name: value for name, value in said.items() if value is not None}


# --- A folder becomes a package ----------------------------------------------------------


def _export_document(said: dict[str, Any], source: Path, out: BinaryIO) -> tuple[str, ...]:
    contents: list[BinaryIO] = []
    try:
        for each in said["document"].get("attachments", []):
            path = source / _beside(_plain_name(each))
            contents.append(path.open("rb"))
            _fill_in(each, contents[-1])
        earlier = said.get("relates_to_document_id")
        package = package_of(said, earlier=None if earlier is None else Earlier(str(earlier)))
        write_document(package, contents, out, _scratch)
    except (KeyError, TypeError, AttributeError) as error:
        raise FieldInvalid(f"a field is missing or not of its kind: {error}") from error
    finally:
        for content in contents:
            content.close()
    return _lost(said, package)


def _lost(said: dict[str, Any], package: DocumentPackage) -> tuple[str, ...]:
    unknown = tuple(f"{each.path}/{each.node.name}" for each in package.unknown)
    return (
        *losses({name: value for name, value in said.items() if name != "v"}, package),
        *unknown,
    )


def _plain_name(attachment: Mapping[str, Any]) -> str:
    name = attachment["name"]
    if not isinstance(name, str) or not name or Path(name).name != name or name in (".", ".."):
        raise FieldInvalid("a plain file name is needed", where="document.attachments")
    return name


def _fill_in(attachment: dict[str, Any], content: BinaryIO) -> None:
    size, sha256 = digest_of(content)
    digest = sha256.hex()
    if (
        attachment.setdefault("sha256", digest) != digest
        or attachment.setdefault("size", size) != size
    ):
        raise ContentChanged("the file is not the one described", where=str(attachment["name"]))


def _export_status(said: dict[str, Any], out: BinaryIO) -> tuple[str, ...]:
    try:
        before = from_json(StatusHeader, said.get("edxml", {}).get("header", {}))
        issued_on, at = said.get("issued_on"), said.get("at")
        report = Report(
            code=str(said["code"]),
            by=str(said["by"]),
            to=said.get("to"),
            document_id=said.get("document_id"),
            document_code=said.get("document_code"),
            issued_on=None if issued_on is None else date.fromisoformat(issued_on),
            reason=said.get("reason"),
            at=None if at is None else _instant(at),
            staff=before.staff or Staff(),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FieldInvalid(f"a field is missing or not of its kind: {error}") from error
    same = before.sender is not None and before.sender.organ_id == report.by
    package = status_package(report, before.sender if same else Organ(organ_id=report.by))
    report_of(package)
    write_status(package, out)
    return ()


def _instant(said: str) -> datetime:
    at = datetime.fromisoformat(said)
    return at if at.tzinfo else at.replace(tzinfo=VIETNAM)


def _read_said(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        data = stream.read(_SAID_BYTES_MAX + 1)
    try:
        said = json.loads(data) if len(data) <= _SAID_BYTES_MAX else None
    except (ValueError, RecursionError) as error:
        raise FieldInvalid("it is not JSON", where=file.name) from error
    if not isinstance(said, dict) or said.get("v") != 1:
        raise FieldInvalid("it is no description of a package in version 1", where=file.name)
    return said


@contextmanager
def _new_file(file: Path) -> Iterator[BinaryIO]:
    """A file that replaces none, and is removed again when it does not become whole."""
    # Not renamed from another: packages are carried on sticks, whose file systems cannot
    # refuse to replace a file in a rename.
    with file.open("xb+") as out:
        try:
            yield out
            out.flush()
            os.fsync(out.fileno())
        except BaseException:
            file.unlink()
            raise


def _scratch() -> BinaryIO:
    return tempfile.TemporaryFile()


def _copy(content: BinaryIO, out: BinaryIO) -> None:
    while block := content.read(_BLOCK_BYTES):
        out.write(block)
