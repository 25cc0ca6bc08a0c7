"""The hub's own log on stderr: one JSON object a line, or text for a person."""

from __future__ import annotations

import io
import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog
from structlog.typing import Processor


def log_to_stderr(form: str, level: str) -> None:
    """Write everything from this level on, our lines and those of libraries, in one form."""
    severity = logging.getLevelNamesMapping()[level.upper()]
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*before, *_rendering(form)],
        wrapper_class=structlog.make_filtering_bound_logger(severity),
        logger_factory=lambda *_: structlog.WriteLogger(cast(TextIO, _Lossy(sys.stderr))),
    )
    handler = logging.StreamHandler(_Lossy(sys.stderr))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(form),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=severity, force=True)
    # It tells at every start how it would migrate.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It tells of every request that was made, and the axis is asked all day long.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    # These tell what they send, to the last byte.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.WARNING)


class _Lossy(io.TextIOBase):
    """A stream that drops what cannot be written: a disk that is full of logs refuses nobody."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on, or drop."""
        with suppress(OSError):
            self._stream.flush()


def _rendering(form: str) -> list[Processor]:
    # Tracebacks without local variables: those hold documents and keys.
    if form == "text":
        plain = structlog.dev.plain_traceback
        colors = sys.stderr.isatty()
        return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
