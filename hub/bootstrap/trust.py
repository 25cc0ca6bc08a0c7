"""Editions of a hub's trusted root, in its folder: each one holds all that the one before it held.

Where an edition names root keys, the next one counts only with their signatures. They belong
offline; `init` makes some for development, and while they lie in the folder this signs with
them. Where they are gone it only writes what is to be signed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.system import system_clock
from hub.application.ports import RootFiles
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.timestamps import authorities_of
from hub.config import ConfigInvalid, Settings
from hub.errors import VerificationFailed
from hub.proof.note import KeyType, VerifierKey
from hub.proof.succession import (
    RootSignature,
    SignedRoot,
    bytes_to_sign,
    is_signed_root,
    parse_signed_root,
    read_trusted_root,
)
from hub.proof.trust import (
    CertificateAuthority,
    Purpose,
    RootKeys,
    TrustedRoot,
    TrustedWitness,
)
from keys.file import (
    KeyFileError,
    create_file,
    create_private_key,
    load_ed25519_key,
    sync_folder,
)

_PUBLIC = 0o644
ROOT_KEYS, ROOT_THRESHOLD = 3, 2


@dataclass(frozen=True, slots=True)
class FolderRoots:
    """The port RootFiles over a hub's folder."""

    folder: DataFolder

    def newest(self) -> bytes:
        """The newest edition. Raises OSError."""
        return self.folder.trusted_root.read_bytes()

    def edition(self, number: int) -> bytes | None:
        """A signed edition; None where there is none. Raises OSError."""
        try:
            return self._path(number).read_bytes()
        except FileNotFoundError:
            return None

    def keep(self, number: int, data: bytes) -> None:
        """Keep a signed edition, then make it the newest if it is. Raises OSError."""
        path = self._path(number)
        try:
            if self.edition(number) is None:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                _replace(path, data)
            # If we stop here, the same call makes it the newest.
            if read_trusted_root(self.newest()).version < number:
                _replace(self.folder.trusted_root, data)
        except KeyFileError as error:
            raise OSError(str(error)) from error

    def _path(self, number: int) -> Path:
        return self.folder.trusted_roots / f"{number}.json"


def held_root(folder: DataFolder) -> TrustedRoot:
    """The newest edition, which this version must be able to write whole.

    Raises ConfigInvalid, and VerificationFailed when it cannot be read.
    """
    data = folder.trusted_root.read_bytes()
    root = read_trusted_root(data)
    payload = parse_signed_root(data).payload if is_signed_root(data) else data
    # What this version does not know would be lost in writing; spaces do not matter.
    if json.loads(root.format()) != json.loads(payload):
        raise ConfigInvalid(f"{folder.trusted_root} says more than this version can write")
    return root


def put_next(folder: DataFolder, edition: TrustedRoot) -> Path:
    """Make an edition the newest, or write what is to be signed; the file that was written."""
    payload = edition.format()
    if edition.root_keys is None:
        _replace(folder.trusted_root, payload)
        return folder.trusted_root
    signed = SignedRoot(payload, tuple(_signatures(folder, payload, edition.root_keys)))
    try:
        signed.require_signed(edition.root_keys, "its own")
    except VerificationFailed:
        draft = folder.trusted_root.with_name("trusted_root.next.json")
        _replace(draft, payload)
        return draft
    files: RootFiles = FolderRoots(folder)
    files.keep(edition.version, signed.format())
    return folder.trusted_root


def publish(folder: DataFolder, settings: Settings) -> tuple[Path, TrustedRoot]:
    """Bring the trusted root up to the settings; the same again changes nothing.

    Returns where the edition lies, which is a draft where root keys must sign it elsewhere.
    Raises ConfigInvalid, and VerificationFailed when the file cannot be read.
    """
    root = held_root(folder)
    authorities = authorities_of(folder, settings, root, since=system_clock())
    if authorities == root.timestamp_authorities:
        return folder.trusted_root, root
    root = replace(root, version=root.version + 1, timestamp_authorities=authorities)
    return put_next(folder, root), root


def extended(
    folder: DataFolder, settings: Settings, root: TrustedRoot, *, since: datetime
) -> TrustedRoot:
    """An edition with the witnesses and authorities that the hub has now; nothing is taken out.

    Raises ConfigInvalid.
    """
    known = {(ca.purpose, ca.certificate): ca for ca in root.certificate_authorities}
    for purpose, path in (
        (Purpose.SIGNING, folder.signing_authorities),
        (Purpose.TRANSPORT, folder.transport_authorities),
    ):
        for certificate in x509.load_pem_x509_certificates(path.read_bytes()):
            der = certificate.public_bytes(Encoding.DER)
            known.setdefault((purpose, der), CertificateAuthority(purpose, der))
    witnesses = {each.key: each for each in root.witnesses}
    for witness in settings.witnesses:
        witnesses.setdefault(witness.key, TrustedWitness(witness.key))
    return replace(
        root,
        witnesses=tuple(witnesses.values()),
        certificate_authorities=tuple(known.values()),
        timestamp_authorities=authorities_of(folder, settings, root, since=since),
    )


def make_root_keys(folder: DataFolder, origin: str) -> RootKeys:
    """New root keys, for development: whoever means it moves each to a place of its own."""
    folder.root_keys.mkdir(mode=0o700)
    keys = []
    for number in range(1, ROOT_KEYS + 1):
        key = Ed25519PrivateKey.generate()
        create_private_key(folder.root_keys / f"root-{number}.key.pem", key)
        public = key.public_key().public_bytes_raw()
        keys.append(VerifierKey(f"{origin}/root-{number}", KeyType.ED25519, public))
    return RootKeys(ROOT_THRESHOLD, tuple(keys))


def _signatures(folder: DataFolder, payload: bytes, keys: RootKeys) -> Sequence[RootSignature]:
    named = {key.public_key: key for key in keys.keys}
    found = []
    for path in sorted(folder.root_keys.glob("*.pem")):
        private = load_ed25519_key(path)
        if key := named.get(private.public_key().public_bytes_raw()):
            found.append(RootSignature(key, private.sign(bytes_to_sign(payload))))
    return found


def _replace(path: Path, data: bytes) -> None:
    # Beside it, synced, then into its place: never half a file under the known name.
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    create_file(fresh, data, mode=_PUBLIC)
    os.replace(fresh, path)
    sync_folder(path.parent)
