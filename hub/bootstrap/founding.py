"""A new hub in an empty folder: development authority, keys, database, first events."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.storage.document_keys import DocumentKeys, document_keys_missing
from adapters.storage.engine import Database
from adapters.storage.migrate import migrate
from adapters.storage.uploads import make_root
from adapters.system import system_clock
from hub.application.agencies import EnrolCertificate, RegisterAgency
from hub.application.certificates import Suitability
from hub.application.founding import FoundHub
from hub.application.lane import Command
from hub.application.operators import EnrolOperator
from hub.application.trusted_roots import LIFE
from hub.bootstrap.content import content_root
from hub.bootstrap.core import Core, open_core
from hub.bootstrap.custody import Ask, Custodian, hub_places, nobody
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.timestamps import Offered, pem_of, settings_of, trusted
from hub.bootstrap.trust import make_root_keys
from hub.bootstrap.upgrade import database_is_missing, database_url, document_keys_url
from hub.config import ConfigInvalid, Settings
from hub.proof.signatures import Algorithm
from hub.proof.trust import (
    CertificateAuthority,
    LogKey,
    Purpose,
    TrustedLog,
    TrustedRoot,
)
from keys.age import require_operators, seal
from keys.custody import new_content_key
from keys.development_ca import DevelopmentCA, Issued
from keys.file import create_file, private_key_pem, sync_folder
from keys.last_signed import LastSigned

OPERATOR, SECOND_OPERATOR = "operator", "operator-2"
OPERATORS = (OPERATOR, SECOND_OPERATOR)
_SECRET, _PUBLIC = 0o600, 0o644


class FolderNotEmpty(Exception):
    """A hub is made in a folder that does not exist yet, or is empty."""


@dataclass(frozen=True, slots=True)
class NewCustody:
    """Where the keys of a new hub shall be: in plain files, unless one of these is given.

    With `recipients` (age, at least two) they are sealed for them, and touch the disk in no other
    form. With a token, log key and content key are made in it; `ask` gets its PIN.
    """

    recipients: Sequence[str] = ()
    pkcs11_module: str = ""
    pkcs11_token: str = ""
    ask: Ask = nobody

    @property
    def settings(self) -> str:
        """The lines of `hub.toml` that say so."""
        if self.recipients:
            return f'custody = "age"\nkey_recipients = {json.dumps(list(self.recipients))}\n'
        if not self.pkcs11_token:
            return ""
        # JSON's strings are TOML's.
        module, token = json.dumps(self.pkcs11_module), json.dumps(self.pkcs11_token)
        return f'custody = "pkcs11"\npkcs11_module = {module}\npkcs11_token = {token}\n'


IN_PLAIN = NewCustody()


@dataclass(frozen=True, slots=True)
class SampleAgency:
    """An agency that `init` registers and makes a profile for."""

    code: str
    name: str
    slug: str
    algorithm: Algorithm


SAMPLE_AGENCIES = (
    SampleAgency("H29.1.1", "UBND Quận 1", "ubnd-quan-1", Algorithm.ECDSA_P256_SHA256),
    SampleAgency("H29.2.7", "Sở Tài chính", "so-tai-chinh", Algorithm.ED25519),
    SampleAgency("H29.2.9", "Sở Y tế", "so-y-te", Algorithm.RSA_PSS_SHA256),
)


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a new hub keeps its events and document keys; empty means what is the default."""

    database_url: str = ""
    document_keys_url: str = ""

    def settings(self) -> str:
        """The lines of hub.toml that say so."""
        urls = {"database_url": self.database_url, "document_keys_url": self.document_keys_url}
        # A string of JSON is one of TOML.
        return "".join(f"{name} = {json.dumps(url)}\n" for name, url in urls.items() if url)


def found_hub(
    root: Path,
    *,
    origin: str,
    listen: str,
    hosts: Sequence[str],
    samples: Sequence[SampleAgency] = SAMPLE_AGENCIES,
    timestamps: Sequence[Offered] = (),
    custody: NewCustody = IN_PLAIN,
    stores: Stores | None = None,
) -> DataFolder:
    """Make a hub, complete or not at all, and return its folder.

    1. Everything is made in a folder beside the wanted one. 2. The authority and all keys.
    3. Settings, stores, signer's memory. 4. The first events. 5. The trusted root and the
    client profiles. 6. The folder gets its name. If we stop before 6, a folder called
    `….new-…` is left that nothing refers to; and on a server a database that the next try
    finds not empty. Raises FolderNotEmpty, RecipientsInvalid, TokenUnavailable, and ConfigInvalid
    for a database that is not empty. Keys made in a token stay there if a later step fails; they
    are never replaced.
    """
    if custody.recipients:
        require_operators(custody.recipients)
    if root.exists() and any(root.iterdir()):
        raise FolderNotEmpty(f"{root} is not empty; a hub is made in a new folder")
    # (1) A half-made hub must never be found under the name somebody will serve.
    root.parent.mkdir(parents=True, exist_ok=True)
    folder = DataFolder(root.parent / f"{root.name}.new-{uuid.uuid4().hex[:8]}")
    folder.root.mkdir(mode=0o700)
    try:
        _fill(
            folder,
            origin=origin,
            listen=listen,
            hosts=hosts,
            samples=samples,
            timestamps=timestamps,
            custody=custody,
            stores=stores or Stores(),
        )
        # (6) Into place.
        if root.exists():
            root.rmdir()
        os.rename(folder.root, root)
        sync_folder(root.parent)
    except BaseException:
        shutil.rmtree(folder.root, ignore_errors=True)
        raise
    return DataFolder(root)


def _fill(
    folder: DataFolder,
    *,
    origin: str,
    listen: str,
    hosts: Sequence[str],
    samples: Sequence[SampleAgency],
    timestamps: Sequence[Offered],
    custody: NewCustody,
    stores: Stores,
) -> None:
    # (2) The authority and all keys.
    authority = DevelopmentCA.create(folder.development_ca, system_clock)
    held = _make_hub_keys(folder, authority, hosts, custody)
    # (3) Settings, databases, content folder, signer's memory.
    settings = _write_settings(folder, origin, listen, timestamps, custody=custody, stores=stores)
    _make_databases(folder, settings)
    make_root(content_root(folder, settings))
    LastSigned.create(folder.last_signed).close()
    # (4) The first events.
    issued = {name: authority.issue_client(f"lienthong {name}") for name in OPERATORS}
    custodian = Custodian(hub_places(folder), settings, custody.ask, held=held.__getitem__)
    if custody.pkcs11_token:
        custodian.token.make_keys()
    with open_core(folder, settings, custodian) as core:
        core.engine.load()
        _record_first_events(core, authority, issued, samples)
        verifier_key = core.signer.verifier_key
    # (5) What clients need.
    root = TrustedRoot(
        version=1,
        root_keys=make_root_keys(folder, origin),
        expires=(system_clock() + LIFE).replace(microsecond=0),
        logs=(TrustedLog(origin, (LogKey(verifier_key, from_size=0),)),),
        certificate_authorities=tuple(
            CertificateAuthority(purpose, _der(authority.certificate_pem)) for purpose in Purpose
        ),
        timestamp_authorities=tuple(
            trusted(each.configured.name, each.certificates, system_clock()) for each in timestamps
        ),
    )
    create_file(folder.trusted_root, root.format(), mode=_PUBLIC)
    _write_profiles(folder, settings, authority, issued, samples, host=hosts[0])


def _make_databases(folder: DataFolder, settings: Settings) -> None:
    url, keys_url = database_url(folder, settings), document_keys_url(folder, settings)
    if not (database_is_missing(url) and document_keys_missing(keys_url)):
        raise ConfigInvalid("a database on the server is not empty; a hub is made in new ones")
    migrate(url)
    with closing(Database(keys_url)) as keys:
        DocumentKeys(keys)


def _make_hub_keys(
    folder: DataFolder, authority: DevelopmentCA, hosts: Sequence[str], custody: NewCustody
) -> Mapping[Path, bytes]:
    """Make the keys that lie in files, and return them as they are in plain."""
    for path in (folder.log_key, folder.content_key, folder.server_key):
        path.parent.mkdir(mode=0o700, exist_ok=True)
    server = authority.issue_server(hosts)
    held = {folder.server_key: server.private_key_pem}
    if not custody.pkcs11_token:
        held[folder.log_key] = private_key_pem(Ed25519PrivateKey.generate())
        held[folder.content_key] = new_content_key()
    for path, plain in held.items():
        wanted = custody.recipients
        create_file(path, seal(plain, wanted) if wanted else plain, mode=_SECRET)
    create_file(folder.server_certificate, server.certificate_pem, mode=_PUBLIC)
    for path in (folder.transport_authorities, folder.signing_authorities):
        create_file(path, authority.certificate_pem, mode=_PUBLIC)
    return held


def _write_settings(
    folder: DataFolder,
    origin: str,
    listen: str,
    timestamps: Sequence[Offered],
    *,
    custody: NewCustody,
    stores: Stores,
) -> Settings:
    text = (
        "# The settings of this hub; docs/configuration.md says what each one means.\n"
        f'origin = "{origin}"\nlisten = "{listen}"\n{custody.settings}'
    )
    text += stores.settings() + settings_of(timestamps, folder)
    if timestamps:
        folder.timestamp_authorities.mkdir(mode=0o700)
    for each in timestamps:
        path = folder.timestamp_authority(each.configured.name)
        create_file(path, pem_of(each.certificates), mode=_PUBLIC)
    # A URL may carry a password.
    create_file(folder.settings, text.encode(), mode=_SECRET if stores.settings() else _PUBLIC)
    return Settings.load(folder.root)


def _record_first_events(
    core: Core,
    authority: DevelopmentCA,
    issued: dict[str, Issued],
    samples: Sequence[SampleAgency],
) -> None:
    anchors = [_der(authority.certificate_pem)]
    suitability = Suitability(signing=anchors, transport=anchors)
    operator = suitability.require(
        _der(issued[OPERATOR].certificate_pem), "transport", None, system_clock()
    )
    commands: list[Command] = [
        FoundHub(core.settings.origin, core.signer.verifier_key.format(), OPERATOR, operator)
    ]
    for sample in samples:
        commands += _sample_commands(sample, authority, suitability, issued)
    # What cannot be undone takes two; each belongs on the machine of another person.
    second = _der(issued[SECOND_OPERATOR].certificate_pem)
    request_id = str(uuid.uuid4())
    commands.append(EnrolOperator(OPERATOR, request_id, SECOND_OPERATOR, second, suitability))
    for outcome in core.engine.process(commands):
        if isinstance(outcome, Exception):
            raise outcome


def _sample_commands(
    sample: SampleAgency,
    authority: DevelopmentCA,
    suitability: Suitability,
    issued: dict[str, Issued],
) -> list[Command]:
    signing = authority.issue_signing(sample.slug, sample.algorithm)
    transport = authority.issue_client(sample.slug)
    issued[f"{sample.code} signing"], issued[f"{sample.code} transport"] = signing, transport
    commands: list[Command] = [
        RegisterAgency(OPERATOR, str(uuid.uuid4()), sample.code, sample.name)
    ]
    for purpose, algorithm, certificate in (
        ("signing", sample.algorithm, signing),
        ("transport", None, transport),
    ):
        der = _der(certificate.certificate_pem)
        request_id = str(uuid.uuid4())
        commands.append(
            EnrolCertificate(
                OPERATOR, request_id, sample.code, purpose, algorithm, der, suitability
            )
        )
    return commands


def _write_profiles(
    folder: DataFolder,
    settings: Settings,
    authority: DevelopmentCA,
    issued: dict[str, Issued],
    samples: Sequence[SampleAgency],
    *,
    host: str,
) -> None:
    folder.clients.mkdir(mode=0o700)
    # Not `listen`: nobody can connect to every address of a machine.
    port = settings.listen.rpartition(":")[2]
    common = {
        "target": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "hub": settings.origin,
        "ca": "ca.pem",
        "transport_certificate": "transport.pem",
        "transport_key": "transport.key.pem",
        "trusted_root": "trusted_root.json",
        "state": "state",
    }
    for name in OPERATORS:
        _write_profile(folder, name, common, authority, issued[name])
    for sample in samples:
        signed = {
            "agency": sample.code,
            "signing_key": "signing.key.pem",
            "signing_algorithm": sample.algorithm.value,
        }
        home = _write_profile(
            folder, sample.slug, common | signed, authority, issued[f"{sample.code} transport"]
        )
        signing = issued[f"{sample.code} signing"]
        create_file(home / "signing.pem", signing.certificate_pem, mode=_PUBLIC)
        create_file(home / "signing.key.pem", signing.private_key_pem, mode=_SECRET)


def _write_profile(
    folder: DataFolder,
    name: str,
    values: dict[str, str],
    authority: DevelopmentCA,
    transport: Issued,
) -> Path:
    home = folder.clients / name
    home.mkdir(mode=0o700)
    text = "".join(f'{key} = "{value}"\n' for key, value in values.items())
    create_file(home / "profile.toml", text.encode(), mode=_PUBLIC)
    create_file(home / "ca.pem", authority.certificate_pem, mode=_PUBLIC)
    create_file(home / "transport.pem", transport.certificate_pem, mode=_PUBLIC)
    create_file(home / "transport.key.pem", transport.private_key_pem, mode=_SECRET)
    create_file(home / "trusted_root.json", folder.trusted_root.read_bytes(), mode=_PUBLIC)
    return home


def _der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
