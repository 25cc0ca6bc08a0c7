"""Files of evidence examined by several processes: the same findings, in the same order.

Each process examines a stretch of files by itself, which is where the time goes: signatures and
text. What files show of each other is only noted there, and compared here, file by file in their
order; so it makes no difference how many processes there are.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice
from operator import methodcaller
from pathlib import Path

from hub.errors import VerificationFailed
from hub.proof.checkpoint import Checkpoint
from hub.proof.checks import Checks
from hub.proof.findings import Findings
from hub.proof.folders import content_in, examine_files, log_in
from hub.proof.tiles import open_log
from hub.proof.together import Together
from hub.proof.trust import TrustedRoot

PROCESSES_MAX = 64
# Files handed over at once, and how many stretches are under way for each process.
_STRETCH = 16
_AHEAD = 4

File = tuple[Path, Findings | None]
Seen = Callable[[Together], None]
Opening = Callable[[Together | None], AbstractContextManager[Checks]]
"""Opens the checks of one process; it is sent there, so it is a function of a module, or a
`partial` of one."""


def examine_by(
    processes: int, files: Iterable[File], checks: Checks, opening: Opening
) -> Iterator[tuple[Path, Findings]]:
    """As `examine_files` with these checks; `opening` makes the same ones in each process.

    1 to 64 processes, 1 being this one. Memory is bounded: a few stretches of files are under
    way. Raises BrokenProcessPool when a process was ended from outside.
    """
    if processes == 1:
        yield from examine_files(files, checks)
        return
    together = checks.together
    with ProcessPoolExecutor(
        processes,
        # Not forked: the libraries below have threads of their own.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(opening, together is not None),
    ) as pool:
        for (path, unread), findings, noted in _results(pool, iter(files), processes * _AHEAD):
            if together is not None and not _agrees(together, path, noted):
                # Examined here it comes to the same contradiction, and is refuted at that step.
                yield from examine_files([(path, unread)], checks)
            else:
                yield path, findings


def _results(
    pool: ProcessPoolExecutor, files: Iterator[File], ahead: int
) -> Iterator[tuple[File, Findings, Sequence[Seen]]]:
    waiting: deque[tuple[list[File], Future[list[tuple[Findings, list[Seen]]]]]] = deque()
    stretches = iter(lambda: list(islice(files, _STRETCH)), [])
    while True:
        for stretch in islice(stretches, ahead - len(waiting)):
            waiting.append((stretch, pool.submit(_examined, stretch)))
        if not waiting:
            return
        stretch, examined = waiting.popleft()
        for file, (findings, noted) in zip(stretch, examined.result(), strict=True):
            yield file, findings, noted


def _agrees(together: Together, path: Path, noted: Iterable[Seen]) -> bool:
    together.begin(path)
    try:
        for seen in noted:
            seen(together)
    except VerificationFailed:
        return False
    return True


@contextmanager
def checks_of(
    trust: TrustedRoot, log: Path | None, content: Path | None, together: Together | None
) -> Iterator[Checks]:
    """What `python -m hub.proof` examines by. Raises OSError, VerificationFailed for the log."""
    yield Checks(
        trust,
        log=open_log(log_in(log), trust) if log else None,
        content=content_in(content) if content else None,
        together=together,
    )


# --- In each process --------------------------------------------------------------------


class _Noting(Together):
    """Writes down what is to be compared elsewhere; finds no contradiction itself."""

    def __init__(self) -> None:
        super().__init__()
        self._noted: list[Seen] = []

    def saw_tree(self, checkpoint: Checkpoint) -> None:
        self._noted.append(methodcaller("saw_tree", checkpoint))

    def saw_path(
        self, checkpoint: Checkpoint, index: int, leaf: bytes, hashes: Sequence[bytes]
    ) -> None:
        self._noted.append(methodcaller("saw_path", checkpoint, index, leaf, hashes))

    def saw_link(self, old: Checkpoint, new: Checkpoint) -> None:
        self._noted.append(methodcaller("saw_link", old, new))

    def taken(self) -> list[Seen]:
        """What was written down since the last time."""
        noted, self._noted = self._noted, []
        return noted


class _Process:
    """What one process keeps from stretch to stretch."""

    noting: _Noting | None = None
    checks: Checks
    opened = ExitStack()  # Until the process ends.


def _begin(opening: Opening, compares: bool) -> None:
    _Process.noting = _Noting() if compares else None
    _Process.checks = _Process.opened.enter_context(opening(_Process.noting))


def _examined(stretch: Sequence[File]) -> list[tuple[Findings, list[Seen]]]:
    noting = _Process.noting
    return [
        (findings, noting.taken() if noting else [])
        for _path, findings in examine_files(stretch, _Process.checks)
    ]
