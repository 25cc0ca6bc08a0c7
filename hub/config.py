"""The hub's settings: one file, `hub.toml` in its data folder, and the environment over it."""

from __future__ import annotations

import tomllib
from datetime import time
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

FILE_NAME = "hub.toml"


class ConfigInvalid(Exception):
    """The settings cannot be used; the message says which, and what to do."""


class Settings(BaseSettings):
    """How one hub process runs.

    Every field may stand in `hub.toml`, or in the environment as `LIENTHONG_` and its name in
    capitals, which wins. Relative paths are relative to the data folder.
    """

    model_config = SettingsConfigDict(env_prefix="LIENTHONG_", extra="forbid", frozen=True)

    origin: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9./-]{2,199}$")]
    """The name of the log, for ever: every statement and checkpoint carries it. By custom a
    host name and a path without scheme, e.g. `lienthong.tphcm.gov.vn/log`."""

    listen: str = "127.0.0.1:8443"
    """Address and port of the gRPC server; port 0 takes a free one."""

    database_url: str = "sqlite:///hub.db"
    """Where events are stored."""

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

    reader_threads: Annotated[int, Field(ge=1, le=256)] = 8
    """How many threads read from storage for calls that only read."""

    upload_age_h: Annotated[int, Field(ge=1, le=8760)] = 24
    """How many hours after its last byte an upload is forgotten that no submission has used."""

    log_format: Literal["json", "text"] = "json"
    """One JSON object a line, or text for a person."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are written."""

    work_begin: time = time(7, 30)
    """When offices open, in `time_zone`."""

    work_end: time = time(17, 0)
    """When offices close, in `time_zone`: what arrives from then on belongs to the next
    working day, and what had to be done that day is late."""

    time_zone: str = "Asia/Ho_Chi_Minh"
    """Where offices work, as the IANA database names it: deadlines are reckoned there."""

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{name!r} is no time zone of the IANA database") from error
        return name

    @model_validator(mode="after")
    def _works_by_day(self) -> Self:
        if self.work_begin.tzinfo or self.work_end.tzinfo:
            raise ValueError("work_begin and work_end are local times, without an offset")
        if self.work_begin >= self.work_end:
            raise ValueError("work_begin must be earlier than work_end")
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

    @classmethod
    def load(cls, folder: Path) -> Settings:
        """The settings of the hub in a data folder. Raises ConfigInvalid."""
        path = folder / FILE_NAME
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigInvalid(
                f"there is no hub in {folder}; make one with `lienthong init {folder}`"
            ) from None
        except (OSError, ValueError) as error:
            raise ConfigInvalid(f"{path} cannot be read: {error}") from error
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigInvalid(_sentences(path, error)) from error


def _sentences(path: Path, error: ValidationError) -> str:
    lines = [
        f"  {'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors()
    ]
    return f"the settings in {path} or the environment are wrong:\n" + "\n".join(lines)
