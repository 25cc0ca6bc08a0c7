"""The hub's settings: one file, `hub.toml` in its data folder, and the environment over it."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Sequence
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from hub.errors import VerificationFailed
from hub.proof.note import KeyType, VerifierKey

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILE_NAME = "hub.toml"
SIGNER_FILE_NAME = "signer.toml"
WITNESSES_MAX = 32

_PREFIX = "LIENTHONG_"
# What the command reads beside the settings: docs/configuration.md names them.
_OTHER_VARIABLES = {"LIENTHONG_KEY_SECRET", "LIENTHONG_LANG", "LIENTHONG_PROFILE"}
# How alike two names are, from 0 to 1: to be told of, and to be taken for a slip of the pen.
_ALIKE, _MISSPELT = 0.6, 0.85

# Host and port; a host of IPv6 in brackets.
_ADDRESS = r"^(\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]]+):[0-9]{1,5}$"
_OPTIONAL_ADDRESS = rf"{_ADDRESS}|^$"

KindOfDocument = Annotated[str, Field(min_length=1, max_length=100)]


class ConfigInvalid(Exception):
    """The settings cannot be used; the message says which, and what to do."""


class WitnessSetting(BaseModel):
    """A witness that is asked to cosign: its C2SP verifier key, and where it is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vkey: str
    url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$", max_length=500)]

    @field_validator("vkey")
    @classmethod
    def _is_a_witness(cls, vkey: str) -> str:
        try:
            key = VerifierKey.parse(vkey)
        except VerificationFailed as failure:
            raise ValueError(str(failure)) from failure
        if key.key_type is not KeyType.COSIGNATURE:
            raise ValueError("this is the key of a log, not of a witness")
        return vkey

    @property
    def key(self) -> VerifierKey:
        """The verifier key."""
        return VerifierKey.parse(self.vkey)


class TimestampAuthority(BaseModel):
    """A time-stamping authority (RFC 3161) that the hub asks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
    """What the hub calls it, for ever: events and the trusted root name it so."""

    url: Annotated[str, Field(pattern=r"^https?://[!-~]{1,2000}$")]
    """Where it is asked."""

    certificates: str
    """A PEM file: the authority's own root, and certificates between it and the signer's."""

    policy: Annotated[str, Field(pattern=r"^[0-2](\.(0|[1-9][0-9]{0,18})){1,30}$")] | None = None
    """The policy (OID) to ask for; its own choice if left out."""


class AxisSetting(BaseModel):
    """The national document axis, or a provincial wrapper of one, that this hub is connected to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["national", "provincial"] = "national"
    """Whose API it is: the operator's own, or a wrapper with a login and a bearer token."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$", max_length=500)]
    """The address that calls are appended to."""

    system_id: Annotated[str, Field(pattern=r"^[!-~]{1,100}$")]
    """Who this hub is there, as the axis's operator has registered it."""

    secrets: Annotated[tuple[str, ...], Field(min_length=1, max_length=2)]
    """Files with one secret each; two while one replaces the other, the new one first."""

    user: str = ""
    """Of a wrapper: who logs in."""

    application: str = ""
    """Of a wrapper: the code of the application that logs in."""

    password: str = ""
    """Of a wrapper: a file with the password."""

    directory_file: str = ""
    """A CSV file of the organisations behind an axis that does not list them itself."""

    send_every_s: Annotated[float, Field(ge=0.05, le=3600)] = 10.0
    """How many seconds lie between two looks at what is to be sent, beside each new fact."""

    send_at_once: Annotated[int, Field(ge=1, le=64)] = 4
    """How many packages are made and sent side by side."""

    poll_every_s: Annotated[float, Field(ge=0.05, le=86_400)] = 60.0
    """How many seconds lie between two questions what waits for us."""

    directory_every_s: Annotated[float, Field(ge=0.05, le=604_800)] = 86_400.0
    """How many seconds lie between two looks at the axis's list of organisations."""

    reconcile_every_s: Annotated[float, Field(ge=0.05, le=604_800)] = 86_400.0
    """How many seconds lie between two comparisons of our ledger with the axis's lists."""

    reconcile_days: Annotated[int, Field(ge=1, le=3650)] = 7
    """How many days back a comparison goes."""

    retry_first_s: Annotated[float, Field(ge=0.05, le=86_400)] = 30.0
    """How long after the first failure an attempt is repeated; doubled each time."""

    retry_longest_s: Annotated[float, Field(ge=0.05, le=604_800)] = 3600.0
    """How long it is at the most."""

    early_s: Annotated[float, Field(ge=0, le=604_800)] = 900.0
    """How long a package may wait for the document it speaks of before it is parked."""

    fetch_tries: Annotated[int, Field(ge=1, le=1000)] = 10
    """How often a package that cannot be fetched is asked for before it is parked."""

    call_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """How long one call may take in all."""

    transfer_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 1800.0
    """How long sending or fetching one package may take in all."""

    @model_validator(mode="after")
    def _names_its_login(self) -> Self:
        if self.kind == "provincial" and not (self.user and self.application and self.password):
            raise ValueError("a wrapper needs user, application and password")
        return self


class CrlSetting(BaseModel):
    """A revocation list that is fetched ahead."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
    """What the hub calls it: events name it so."""

    url: Annotated[str, Field(pattern=r"^https?://[!-~]{1,2000}$")]
    """Where it is fetched, and nowhere else."""


class OcspSetting(BaseModel):
    """A responder (RFC 6960) that is asked ahead about the certificates in force here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
    """What the hub calls it: events name it so. Not `given`."""

    url: Annotated[str, Field(pattern=r"^https?://[!-~]{1,2000}$")]
    """Where it is asked, and nowhere else."""

    issuers: str = ""
    """A PEM file: the authorities about whose certificates it is asked; all of the hub's if left
    out."""

    method: Literal["post", "get"] = "post"
    """`get` lets caches on the way answer (RFC 5019); then no question holds a random number."""

    hash: Literal["sha1", "sha256"] = "sha1"
    """What certificates are named by. It protects nothing; many responders know SHA-1 only."""

    nonce: bool = True
    """Whether a question by `post` holds a random number, which the answer then may repeat."""

    @field_validator("name")
    @classmethod
    def _is_not_taken(cls, name: str) -> str:
        if name == "given":
            raise ValueError("answers that came along with a certificate are called so")
        return name


class CustodySettings(BaseSettings):
    """Where private keys are and what opens them; the same for a hub and for a signer."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", frozen=True)

    custody: Literal["file", "age", "pkcs11"] = "file"
    """`file`: keys lie in plain files, for development. `age`: in sealed ones. `pkcs11`: log key
    and content key never leave a token."""

    key_secret_file: str = ""
    """A file with the passphrase or age identity that opens sealed keys, or a token's PIN. If
    empty, the environment's LIENTHONG_KEY_SECRET; else the terminal is asked."""

    pkcs11_module: str = ""
    """The token's library, a shared object; required by `pkcs11`."""

    pkcs11_token: str = ""
    """The token's label; required by `pkcs11`."""

    key_recipients: tuple[str, ...] = ()
    """Whom new log keys are sealed for under `age`: the recipients of the others."""

    @model_validator(mode="after")
    def _token_is_named(self) -> Self:
        if self.custody == "pkcs11" and not (self.pkcs11_module and self.pkcs11_token):
            raise ValueError("custody pkcs11 needs pkcs11_module and pkcs11_token")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment over what `load` was given from the file."""
        return (env_settings, init_settings)


class SignerSettings(CustodySettings):
    """How a signer's process runs: `signer.toml` in its folder, which may be missing."""

    allow_uids: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """The users, by number, that hubs run as; the signer's own alone if left out."""

    log_format: Literal["json", "text"] = "json"
    """One JSON object a line, or text for a person."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are written."""

    @classmethod
    def load(cls, folder: Path) -> SignerSettings:
        """The settings of the signer in a folder. Raises ConfigInvalid."""
        path = folder / SIGNER_FILE_NAME
        _require_known_variables()
        values = _values(path) if path.exists() else {}
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigInvalid(_sentences(path, error, cls)) from error


class Settings(CustodySettings):
    """How one hub process runs.

    Every field may stand in `hub.toml`, or in the environment as `LIENTHONG_` and its name in
    capitals, which wins. Relative paths are relative to the data folder.
    """

    origin: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9./-]{2,199}$")]
    """The name of the log, for ever: every statement and checkpoint carries it. By custom a
    host name and a path without scheme, e.g. `lienthong.tphcm.gov.vn/log`."""

    listen: Annotated[str, Field(pattern=_ADDRESS)] = "127.0.0.1:8443"
    """Address and port of the gRPC server; port 0 takes a free one."""

    http_listen: Annotated[str, Field(pattern=_OPTIONAL_ADDRESS)] = ""
    """Address and port where the log is served as static files over HTTPS; empty: nowhere."""

    signer: Annotated[
        str,
        Field(
            pattern=r"^(local|unix:/.{1,100}"
            r"|tls://(\[[0-9A-Fa-f:.%]{2,60}\]|[^\s:/?#@\[\]]{1,253}):[0-9]{1,5})$"
        ),
    ] = "local"
    """`local`: this process signs checkpoints itself. `unix:` and a path, or `tls://` with host
    and port: a signer's process listens there, and the hub holds no log key."""

    signer_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    """How long one answer of a signer's process may take in all, in seconds."""

    key_lifetime_days: Annotated[int, Field(ge=1, le=36_500)] = 730
    """How long a key of the hub signs, from its activation to its end."""

    key_announce_days: Annotated[int, Field(ge=1, le=3_650)] = 60
    """How long before its activation a key is announced."""

    key_overlap_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """How long a key and its predecessor both sign."""

    database_url: str = "sqlite:///hub.db"
    """Where events are stored: an SQLite file, or a PostgreSQL database."""

    document_keys_url: str = "sqlite:///document-keys.db"
    """Where the wrapped keys of documents are stored; never in the database of the events."""

    content_url: Annotated[
        str, Field(pattern=r"^(file:[^?#]+|s3://[a-z0-9][a-z0-9.-]{1,62}(/[^?#@]*)?(\?[^#@]*)?)$")
    ] = "file:content"
    """Where attachments lie: a folder, or a bucket of an S3-compatible store, as
    `s3://bucket/prefix?endpoint=https://…&region=…`. Never holds credentials."""

    content_credentials_file: str = ""
    """A file with the bucket's credentials in the form of AWS's: a section `[default]` with
    `aws_access_key_id` and `aws_secret_access_key`. If empty, the environment's."""

    content_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    """How long one answer of a bucket may take, or one MiB of it, in seconds; tried three times."""

    batch_max: Annotated[int, Field(ge=1, le=4096)] = 256
    """How many commands are decided, committed and signed together at the most."""

    queue_max: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    """How many commands may wait in all; beyond it callers get OVERLOADED."""

    queue_per_agency: Annotated[int, Field(ge=1, le=1_000_000)] = 512
    """How many commands of one agency may wait; beyond it that agency gets OVERLOADED."""

    rate_per_agency: Annotated[float, Field(gt=0)] = 500.0
    """How many commands a second one agency may send for long."""

    burst_per_agency: Annotated[int, Field(ge=1)] = 2000
    """How many commands one agency may send at once after a quiet time."""

    connections_max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """How many connections may be open; what comes beyond them is closed at once."""

    calls_per_caller: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """How many calls and streams of one caller may be open; beyond it it gets OVERLOADED."""

    reader_stall_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    """How many seconds a stream may wait for its reader to take the next message."""

    reader_threads: Annotated[int, Field(ge=1, le=256)] = 8
    """How many threads read from storage for calls that only read."""

    start_check_events: Annotated[int, Field(ge=0, le=1_000_000_000)] = 250_000
    """How many of the newest events a start reads again before the hub serves; 0 means all.
    The others are read beside the work, when they were found whole before."""

    timestamp_authorities: tuple[TimestampAuthority, ...] = ()
    """Whose clocks vouch for checkpoints."""

    timestamp_every_s: Annotated[int, Field(ge=60, le=604_800)] = 3600
    """How long after a timestamp of an authority it is asked for the next, in seconds."""

    timestamp_timeout_s: Annotated[float, Field(gt=0, le=300)] = 20.0
    """How long one answer of an authority may take in all, in seconds."""

    timestamp_renew_before_days: Annotated[int, Field(ge=1, le=3650)] = 180
    """How many days before its certificate ends a timestamp is renewed."""

    crls: Annotated[tuple[CrlSetting, ...], Field(max_length=32)] = ()
    """Revocation lists of the authorities that issue certificates for this hub."""

    crl_every_s: Annotated[int, Field(ge=60, le=604_800)] = 3600
    """How many seconds lie between two fetches of a revocation list."""

    crl_timeout_s: Annotated[float, Field(gt=0, le=600)] = 60.0
    """How long one fetch may take in all, in seconds."""

    crl_age_max_h: Annotated[int, Field(ge=1, le=8760)] = 48
    """How many hours old the newest list of an issuer may be, or the newest OCSP answer about a
    certificate, whichever is newer; counted from its own date."""

    crl_stale: Literal["warn", "refuse"] = "warn"
    """What happens to statements beyond that: accepted with a warning, or refused."""

    ocsp_responders: Annotated[tuple[OcspSetting, ...], Field(max_length=32)] = ()
    """Who is asked by OCSP about the certificates in force here."""

    ocsp_every_s: Annotated[int, Field(ge=60, le=604_800)] = 3600
    """How many seconds lie between two questions about a certificate."""

    ocsp_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """How long one answer may take in all, in seconds."""

    upload_age_h: Annotated[int, Field(ge=1, le=8760)] = 24
    """How many hours after its last byte an upload is forgotten that no submission has used."""
    witnesses: tuple[WitnessSetting, ...] = ()
    """Who is asked to cosign checkpoints; the log records the set. At most 32."""

    witness_every_s: Annotated[float, Field(ge=0.05, le=86_400)] = 60.0
    """How many seconds lie between two rounds to the witnesses."""

    axis: AxisSetting | None = None
    """The national axis this hub is connected to, if it is."""

    metrics_listen: Annotated[str, Field(pattern=_OPTIONAL_ADDRESS)] = ""
    """Address and port of `/metrics`, `/ready` and `/live` over plain HTTP; empty: nowhere."""

    trace_endpoint: Annotated[str, Field(pattern=r"^(https?://[!-~]{1,500})?$")] = ""
    """Where traces go (OTLP over gRPC); empty: none are made."""

    trace_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Which share of calls is traced, of those whose caller did not decide it."""

    stop_notice_s: Annotated[float, Field(ge=0, le=600)] = 0.0
    """How long the hub, once told to stop, still serves while it says that it is not ready."""

    drain_s: Annotated[float, Field(ge=0.1, le=600)] = 10.0
    """How long calls under way may then take to finish."""

    log_format: Literal["json", "text"] = "json"
    """One JSON object a line, or text for a person."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are written."""

    @field_validator("signer")
    @classmethod
    def _names_a_port(cls, signer: str) -> str:
        if signer.startswith("tls://") and not 0 < int(signer.rpartition(":")[2]) <= 65_535:
            raise ValueError("a port is a number from 1 to 65535")
        return signer

    @field_validator("witnesses")
    @classmethod
    def _are_different(cls, witnesses: tuple[WitnessSetting, ...]) -> tuple[WitnessSetting, ...]:
        if len(witnesses) > WITNESSES_MAX:
            raise ValueError(f"at most {WITNESSES_MAX} witnesses")
        # One key under two names would look like two witnesses.
        if len({witness.key.public_key for witness in witnesses}) < len(witnesses):
            raise ValueError("two witnesses have the same key")
        return witnesses

    @field_validator("ocsp_responders")
    @classmethod
    def _have_different_names(cls, named: tuple[OcspSetting, ...]) -> tuple[OcspSetting, ...]:
        if len({each.name for each in named}) < len(named):
            raise ValueError("two responders have the same name")
        return named

    work_begin: time = time(7, 30)
    """When offices open, in `time_zone`."""

    work_end: time = time(17, 0)
    """When offices close, in `time_zone`: what arrives from then on belongs to the next
    working day, and what had to be done that day is late."""

    time_zone: str = "Asia/Ho_Chi_Minh"
    """Where offices work, as the IANA database names it: deadlines are reckoned there."""

    retention: dict[KindOfDocument, Annotated[int, Field(ge=1, le=100)]] = {}
    """How many years documents of a kind are kept, counted from the hub's acceptance: a table
    of kinds, each by its name or its code. What is not named is kept for ever. Nothing is
    erased by itself: what is past its time is listed, ordered and approved."""

    document_signatures: Literal["note", "off"] = "note"
    """Whether signatures that documents carry are examined after acceptance, and noted."""

    signatures_required_by: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    """Recipients, by primary code, that take only documents whose own signatures are valid."""

    person_and_agency_required_by: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    """Of these recipients, by primary code: those that moreover take only documents of which a
    person and an agency both signed one attachment."""

    signature_timeout_s: Annotated[float, Field(gt=0, le=300)] = 20.0
    """How long the examination of one attachment may take, in seconds."""

    @field_validator("retention")
    @classmethod
    def _names_kinds(cls, retention: dict[str, int]) -> dict[str, int]:
        for kind in retention:
            if not any(sign.isalnum() for sign in kind):
                raise ValueError(f"{kind!r} in retention names no kind of document")
        return retention

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{name!r} is no time zone of the IANA database") from error
        return name

    @model_validator(mode="after")
    def _keeps_keys_apart(self) -> Self:
        # What is erased by law would come back with every backup of the events.
        if self.database_url == self.document_keys_url:
            raise ValueError("database_url and document_keys_url must not be the same")
        return self

    @model_validator(mode="after")
    def _listens_apart(self) -> Self:
        listens = [("listen", self.listen), ("http_listen", self.http_listen)]
        listens.append(("metrics_listen", self.metrics_listen))
        seen: dict[str, str] = {}
        for name, address in listens:
            if not address or address.endswith(":0"):
                continue
            if other := seen.get(address):
                raise ValueError(f"{other} and {name} are the same address")
            seen[address] = name
        return self

    @model_validator(mode="after")
    def _works_by_day(self) -> Self:
        if self.work_begin.tzinfo or self.work_end.tzinfo:
            raise ValueError("work_begin and work_end are local times, without an offset")
        if self.work_begin >= self.work_end:
            raise ValueError("work_begin must be earlier than work_end")
        return self

    @classmethod
    def load(cls, folder: Path) -> Settings:
        """The settings of the hub in a data folder. Raises ConfigInvalid."""
        path = folder / FILE_NAME
        if not path.exists():
            raise ConfigInvalid(
                f"there is no hub in {folder}; make one with `lienthong init {folder}`"
            )
        _require_known_variables()
        values = _values(path)
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigInvalid(_sentences(path, error, cls)) from error


def _values(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"{path} cannot be read: {error}") from error


def _require_known_variables() -> None:
    """Refuse a variable that is a setting misspelt; it would have no effect, and nobody notice.

    Others that begin alike are let be: an orchestrator sets some for each service it knows.
    """
    known = {*Settings.model_fields, *SignerSettings.model_fields}
    for variable in sorted(os.environ):
        name = variable.removeprefix(_PREFIX)
        if variable == name or variable in _OTHER_VARIABLES or name.lower() in known:
            continue
        if near := _nearest(name.lower(), known, _MISSPELT):
            raise ConfigInvalid(
                f"the variable {variable} is no setting; is {_PREFIX}{near.upper()} meant?"
            )


def _nearest(name: str, known: Iterable[str], likeness: float) -> str:
    found = difflib.get_close_matches(name, known, n=1, cutoff=likeness)
    return found[0] if found else ""


def _sentences(path: Path, error: ValidationError, settings: type[CustodySettings]) -> str:
    lines = [
        f"  {'.'.join(str(part) for part in problem['loc'])}: {_sentence(problem, settings)}"
        for problem in error.errors(include_input=False)
    ]
    return f"the settings in {path} or the environment are wrong:\n" + "\n".join(lines)


def _sentence(problem: ErrorDetails, settings: type[CustodySettings]) -> str:
    if problem["type"] != "extra_forbidden":
        return problem["msg"].removeprefix("Value error, ")
    *place, name = (str(part) for part in problem["loc"])
    known = _fields_at(settings, place)
    if near := _nearest(name, known, _ALIKE):
        return f"there is no such setting; is {near} meant?"
    return "there is no such setting"


def _fields_at(settings: type[BaseModel], place: Sequence[str]) -> Iterable[str]:
    """The fields of the settings, or of the table at a place in them."""
    if not place:
        return settings.model_fields
    tables: dict[str, type[BaseModel]] = {
        "axis": AxisSetting,
        "crls": CrlSetting,
        "ocsp_responders": OcspSetting,
        "timestamp_authorities": TimestampAuthority,
        "witnesses": WitnessSetting,
    }
    return tables[place[0]].model_fields if place[0] in tables else ()
