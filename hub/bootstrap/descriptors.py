"""How many connections the limit of open files leaves room for."""

from __future__ import annotations

import resource

import structlog

_logger = structlog.get_logger("hub")
# Databases, content, workers and the log as files; each connection has a descriptor of its own.
_OWN_FILES = 512


def connections_allowed(wanted: int) -> int:
    """So many connections, or fewer where the system's limit does not stand them.

    The soft limit (setrlimit(2), RLIMIT_NOFILE) is raised as far as it has to be and may be.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OWN_FILES
    ceiling = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < ceiling:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
    allowed = max(1, min(wanted, ceiling - _OWN_FILES))
    if allowed < wanted:
        _logger.warning(
            "the limit of open files leaves room for fewer connections", wanted=wanted, room=allowed
        )
    return allowed
