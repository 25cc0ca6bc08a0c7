"""`lienthong ledger restore`: what a stopped hub has lost, put back from what others kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.storage.migrate import migrate
from hub.bootstrap.core import Core, open_core
from hub.bootstrap.custody import Custodian
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.upgrade import database_is_missing, database_url
from hub.config import Settings
from hub.errors import VerificationFailed
from hub.evidence.crls import CRL_BYTES_MAX
from hub.ledger.restore import Progress, Refilled, refill, take_back
from hub.ledger.sequencer import keys_of_log
from hub.proof.evidence import RECEIPT_FILE_BYTES_MAX, ReceiptFile, parse_receipt_file
from hub.proof.receipt import Receipt
from hub.proof.succession import SIGNED_ROOT_BYTES_MAX, is_signed_root
from hub.proof.tiles import Read, open_log
from hub.proof.trust import LogKey, TrustedLog, TrustedRoot

_EVIDENCE_BYTES_MAX = CRL_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: events, of `size` in all, and payloads and certificates."""

    events: int
    size: int
    taken_back: int


@contextmanager
def open_lost_core(
    folder: DataFolder, settings: Settings, custodian: Custodian | None = None
) -> Iterator[Core]:
    """A hub's core, with a new and empty database where there is none. Raises as `open_core`."""
    url = database_url(folder, settings)
    with folder.lock():
        if database_is_missing(url):
            migrate(url)
    with open_core(folder, settings, custodian) as core:
        yield core


def restore_hub(
    core: Core,
    *,
    export: Read | None,
    kept: Path | None,
    progress: Progress = lambda done, total: None,
) -> Restored:
    """Put back events from an export, then payloads and certificates from a folder.

    Ends with the checks of a start, and with lists made anew. Raises LedgerMismatch,
    VerificationFailed for an export that does not hold, and OSError.
    """
    refilled = Refilled(0, core.log.head().next_position)
    if export is not None:
        log = open_log(export, _trust(core))
        refilled = refill(core.log, core.store, core.signer, log, progress=progress)
    taken_back = 0
    if kept is not None:
        held = KeptFolder.of(kept, authorities_of(core.folder))
        taken_back = take_back(core.log, core.vault, held, progress=progress)
    # Words that came back belong into the lists, and whatever was wrong with these goes.
    core.views.clear()
    core.engine.load()
    return Restored(refilled.events, refilled.size, taken_back)


def authorities_of(folder: DataFolder) -> list[Path]:
    """The hub's own files of authorities: enrolments name them as what stands above."""
    return [folder.signing_authorities, folder.transport_authorities]


def _trust(core: Core) -> TrustedRoot:
    """Nothing but this hub's own keys and origin: an export of anything else is none of ours."""
    origin = core.settings.origin
    keys = keys_of_log(core.log, origin, core.signer.keys)
    return TrustedRoot(1, (TrustedLog(origin, tuple(LogKey(key, from_size=0) for key in keys)),))


class KeptFolder:
    """The port Keepsakes: receipt files and evidence in a folder, found by their digests.

    Certificates may be in PEM; everything else is taken as it is, and for what it hashes to.
    """

    def __init__(self, payloads: dict[bytes, Path], evidence: dict[bytes, Path]) -> None:
        """Use `of` instead."""
        self._receipts: list[Path] = []
        self._payloads = payloads
        self._evidence = evidence

    @classmethod
    def of(cls, root: Path, besides: Sequence[Path] = ()) -> KeptFolder:
        """What there is in a folder and below it, and in files besides; each is read once.

        Raises OSError.
        """
        kept = cls({}, {})
        for path in (*besides, *sorted(root.rglob("*"))):
            if path.is_file():
                kept._note(path)
        return kept

    def receipts(self) -> Iterator[Receipt]:
        """Every receipt there is, those of enrolments included; nothing is verified yet."""
        for path in self._receipts:
            if file := _receipt_file(path):
                yield file.receipt
                if file.enrolment:
                    yield file.enrolment.receipt

    def payload(self, digest: bytes) -> bytes | None:
        """The payload of a statement by its SHA-256."""
        path = self._payloads.get(digest)
        file = _receipt_file(path) if path else None
        return file.statement.payload if file and file.statement else None

    def evidence(self, digest: bytes) -> bytes | None:
        """A certificate in DER, a timestamp's token or the like by its SHA-256."""
        path = self._evidence.get(digest)
        if path is None:
            return None
        found = (each for each in _evidence_in(path) if hashlib.sha256(each).digest() == digest)
        return next(found, None)

    def _note(self, path: Path) -> None:
        if file := _receipt_file(path):
            self._receipts.append(path)
            if file.statement:
                self._payloads[file.statement.digest] = path
        for piece in _evidence_in(path):
            self._evidence[hashlib.sha256(piece).digest()] = path


def _receipt_file(path: Path) -> ReceiptFile | None:
    if path.suffix != ".json":
        return None
    try:
        return parse_receipt_file(_read(path, RECEIPT_FILE_BYTES_MAX))
    except VerificationFailed:
        return None


def _evidence_in(path: Path) -> list[bytes]:
    if path.suffix == ".json":
        file = _receipt_file(path)
        if file is None:
            # An edition of the trusted root, as clients and verifiers keep them.
            data = _read(path, SIGNED_ROOT_BYTES_MAX)
            return [data] if is_signed_root(data) else []
        return [file.enrolment.certificate] if file.enrolment else []
    data = _read(path, _EVIDENCE_BYTES_MAX)
    if path.suffix != ".pem":
        return [data]
    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError:
        return []
    return [certificate.public_bytes(Encoding.DER) for certificate in found]


def _read(path: Path, bytes_max: int) -> bytes:
    with path.open("rb") as file:
        return file.read(bytes_max + 1)
