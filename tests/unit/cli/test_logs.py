"""The hub's own log never stands in the way of a call."""

import errno
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from hub.cli.logs import log_to_stderr


class FullDisk(io.StringIO):
    """Where nothing can be written for a while."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)

    def flush(self) -> None:
        self.write("")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_that_cannot_be_written_is_dropped_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, form: str
):
    stderr = FullDisk()
    monkeypatch.setattr(sys, "stderr", stderr)
    log_to_stderr(form, "info")
    for told in (structlog.get_logger("hub").warning, logging.getLogger("other").warning):
        told("lost")

    stderr.full = False
    structlog.get_logger("hub").warning("kept")
    logging.getLogger("other").warning("kept too")

    lines = stderr.getvalue().splitlines()
    assert len(lines) == 2
    if form == "json":
        assert [json.loads(line)["event"] for line in lines] == ["kept", "kept too"]
