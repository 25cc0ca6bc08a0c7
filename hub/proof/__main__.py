"""The auditor's tool: ``python -m hub.proof --trust ROOT FILE…``.

Exit status: 0 when everything is proven, 1 when something is refuted or cannot be read,
2 when nothing is refuted but something was not checked. What is only *stated* by the hub
changes nothing. A wrong command line is 1, so that it never passes for the milder 2.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from hub.errors import VerificationFailed
from hub.proof.evidence import RECEIPT_FILE_BYTES_MAX, Finding, Findings, Verdict, examine
from hub.proof.trust import TRUSTED_ROOT_BYTES_MAX, TrustedRoot, parse_trusted_root

RECEIPT_FILE_SUFFIX = ".receipt.json"

_EXIT_STATUS = {Verdict.PROVEN: 0, Verdict.REFUTED: 1, Verdict.NOT_CHECKED: 2}


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine the files named on the command line, print the findings, return the status."""
    options = _parser().parse_args(arguments)
    _print_what_the_terminal_cannot_show_as_escapes()
    try:
        trust = parse_trusted_root(_read(options.trust, TRUSTED_ROOT_BYTES_MAX))
    except (OSError, VerificationFailed) as error:
        print(f"The trusted root cannot be used: {_reason(error)}", file=sys.stderr)
        return _EXIT_STATUS[Verdict.REFUTED]
    report = _examine_all(options.files, trust)
    worst = _print_json(report) if options.json else _print_plain(report)
    return _EXIT_STATUS[worst]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(_EXIT_STATUS[Verdict.REFUTED], f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m hub.proof",
        description="Find out what receipt files prove, without a hub and without a network.",
        epilog="Exit status: 0 all proven, 1 something refuted or unreadable,"
        " 2 nothing refuted but something not checked.",
    )
    parser.add_argument(
        "--trust",
        type=Path,
        required=True,
        metavar="ROOT",
        help="the trusted root: the only thing believed; get it by a way you trust",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help=f"a receipt file, or a folder: every *{RECEIPT_FILE_SUFFIX} below it",
    )
    return parser


def _examine_all(paths: Iterable[Path], trust: TrustedRoot) -> Iterator[tuple[Path, Findings]]:
    for path in paths:
        if not os.path.isdir(path):
            yield path, _examine_file(path, trust)
            continue
        empty = True
        for file in _receipt_files_below(path):
            empty = False
            yield file, _examine_file(file, trust)
        # Nothing found is not everything proven: the folder may be the wrong one.
        if empty:
            yield path, _unreadable(f"there is no *{RECEIPT_FILE_SUFFIX} below this folder")


def _receipt_files_below(folder: Path) -> Iterator[Path]:
    # Links to folders are not followed: a ring of them would never end. A folder that
    # cannot be listed is yielded itself, and so reported like an unreadable file.
    unlisted: list[Path] = []
    walk = os.walk(folder, onerror=lambda error: unlisted.append(Path(error.filename)))
    for parent, folders, names in walk:
        folders.sort()
        for name in sorted(names):
            if name.endswith(RECEIPT_FILE_SUFFIX):
                yield Path(parent, name)
    yield from unlisted


def _examine_file(path: Path, trust: TrustedRoot) -> Findings:
    try:
        return examine(_read(path, RECEIPT_FILE_BYTES_MAX), trust)
    except OSError as error:
        return _unreadable(_reason(error))


def _read(path: Path, bytes_max: int) -> bytes:
    """At most one byte more than the limit, which every parser then refuses."""
    # A pipe or a terminal would be waited for, and may never end.
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError("it is not a regular file")
    with path.open("rb") as file:
        return file.read(bytes_max + 1)


def _unreadable(why: str) -> Findings:
    text = f"The file cannot be read: {why}."
    return Findings((Finding(1, Verdict.REFUTED, text),))


def _reason(error: Exception) -> str:
    # The name of the file is printed by the caller, once and made harmless.
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _print_plain(report: Iterable[tuple[Path, Findings]]) -> Verdict:
    worst = Verdict.PROVEN
    for path, findings in report:
        print(_shown(path))
        for finding in findings.items:
            print(f"  {finding.step}. {finding.verdict.upper():<11}  {finding.text}")
        worst = _worse(worst, findings.verdict)
    return worst


def _print_json(report: Iterable[tuple[Path, Findings]]) -> Verdict:
    worst, files = Verdict.PROVEN, []
    for path, findings in report:
        items = [{"step": f.step, "verdict": f.verdict, "text": f.text} for f in findings.items]
        files.append({"file": _shown(path), "verdict": findings.verdict, "findings": items})
        worst = _worse(worst, findings.verdict)
    print(json.dumps({"verdict": worst, "files": files}, ensure_ascii=False, indent=2))
    return worst


def _worse(one: Verdict, other: Verdict) -> Verdict:
    order = (Verdict.PROVEN, Verdict.NOT_CHECKED, Verdict.REFUTED)
    return max(one, other, key=order.index)


def _shown(path: Path) -> str:
    # A file's name may hold escape sequences that would rewrite the verdict on a terminal.
    name = str(path)
    return name if name.isprintable() else repr(name)


def _print_what_the_terminal_cannot_show_as_escapes() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
