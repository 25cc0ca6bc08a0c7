"""The auditor's tool: ``python -m hub.proof --trust ROOT FILE…``.

Exit status: 0 when everything is proven, 1 when something is refuted or cannot be read,
2 when nothing is refuted but something was not checked. What is only *stated* by the hub
changes nothing. A wrong command line is 1, so that it never passes for the milder 2.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from hub.errors import VerificationFailed
from hub.proof.findings import Findings, Verdict, worse
from hub.proof.folders import (
    SUFFIXES,
    files_in,
    read_at_most,
    reason,
)
from hub.proof.policy import POLICY_BYTES_MAX, parse_policy
from hub.proof.processes import PROCESSES_MAX, checks_of, examine_by
from hub.proof.succession import SIGNED_ROOT_BYTES_MAX, next_edition, read_trusted_root
from hub.proof.together import Together
from hub.proof.trust import TrustedRoot

EXIT_STATUS = {Verdict.PROVEN: 0, Verdict.REFUTED: 1, Verdict.NOT_CHECKED: 2}

Report = Iterable[tuple[Path, Findings]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine the files named on the command line, print the findings, return the status."""
    options = _parser().parse_args(arguments)
    _print_what_the_terminal_cannot_show_as_escapes()
    # On one log is more than on one tree: with a log there is nothing left to compare.
    together = None if options.log else Together()
    with ExitStack() as stack:
        try:
            trust = trust_in(options.trust, options.policy, options.editions)
            opening = partial(checks_of, trust, options.log, options.content)
            checks = stack.enter_context(opening(together))
        except UnusableFile as error:
            print(f"The {error.what} cannot be used: {error.why}", file=sys.stderr)
            return EXIT_STATUS[Verdict.REFUTED]
        except (OSError, VerificationFailed) as error:
            print(f"The log cannot be used: {reason(error)}", file=sys.stderr)
            return EXIT_STATUS[Verdict.REFUTED]
        report = examine_by(options.processes, files_in(options.files), checks, opening)
        worst = print_json(report, together) if options.json else _print_plain(report, together)
    return EXIT_STATUS[worst]


class UnusableFile(Exception):
    """What a verifier brings along cannot be read; nothing can be examined without it."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what
        self.why = why


def trust_in(root: Path, policy: Path | None, editions: Path | None = None) -> TrustedRoot:
    """The trusted root in a file, with the verifier's own policy. Raises UnusableFile.

    In the folder `editions` later ones lie, `2.json` and so on: those that follow are followed.
    That the newest may have ended is no matter: what it judges was signed before.
    """
    what = "trusted root"
    try:
        trust = read_trusted_root(read_at_most(root, SIGNED_ROOT_BYTES_MAX))
        while editions is not None and (path := editions / f"{trust.version + 1}.json").exists():
            trust = next_edition(trust, read_at_most(path, SIGNED_ROOT_BYTES_MAX))
        if policy is not None:
            what = "policy"
            trust = replace(trust, policy=parse_policy(read_at_most(policy, POLICY_BYTES_MAX)))
    except (OSError, VerificationFailed) as error:
        raise UnusableFile(what, reason(error)) from error
    return trust


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_STATUS[Verdict.REFUTED], f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m hub.proof",
        description="Find out what receipts and bundles prove, with no hub and no network.",
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
    parser.add_argument(
        "--editions",
        type=Path,
        metavar="FOLDER",
        help="later editions of the trusted root: each that follows the one before is believed",
    )
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="the witnesses that must have seen a checkpoint (C2SP tlog-policy); your own file",
    )
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FOLDER",
        help="an export of the log: read between enrolment and document, and all must lie on it",
    )
    parser.add_argument(
        "--content",
        type=Path,
        metavar="FOLDER",
        help="where the attachments lie, each document's in a folder named like its exchange",
    )
    parser.add_argument(
        "--processes",
        type=_count_of_processes,
        default=1,
        metavar="N",
        help=f"examine with so many processes, at most {PROCESSES_MAX}; finds the same",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help=f"a receipt or bundle, or a folder: every *{SUFFIXES[0]} and *{SUFFIXES[1]} below it",
    )
    return parser


def print_json(report: Report, together: Together | None) -> Verdict:
    """Print one JSON document, file by file as they are examined; return what stands for all."""
    worst = Verdict.PROVEN
    print('{\n  "files": [', end="")
    for number, (path, findings) in enumerate(report):
        worst = worse(worst, findings.verdict)
        members = {"file": shown(path), "verdict": findings.verdict, "findings": _items(findings)}
        print(
            ",\n    " if number else "\n    ",
            json.dumps(members, ensure_ascii=False),
            sep="",
            end="",
        )
    found = None if together is None else together.findings()
    rest = {"together": _items(found) if found else [], "verdict": worst}
    print("\n  ],", json.dumps(rest, ensure_ascii=False, indent=2).removeprefix("{"), sep="")
    return worst


def shown(path: Path) -> str:
    """A file's name without what would rewrite the verdict on a terminal."""
    name = str(path)
    return name if name.isprintable() else repr(name)


def _print_plain(report: Report, together: Together | None) -> Verdict:
    worst = Verdict.PROVEN
    for path, findings in report:
        print(shown(path))
        _print_findings(findings)
        worst = worse(worst, findings.verdict)
    if together is not None and (found := together.findings()):
        print("All files together")
        _print_findings(found)
    return worst


def _print_findings(findings: Findings) -> None:
    for finding in findings.items:
        print(f"  {finding.step}. {finding.verdict.upper():<11}  {finding.text}")


def _count_of_processes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= PROCESSES_MAX:
        raise argparse.ArgumentTypeError(f"a number from 1 to {PROCESSES_MAX}")
    return int(text)


def _items(findings: Findings) -> list[dict[str, Any]]:
    return [{"step": f.step, "verdict": f.verdict, "text": f.text} for f in findings.items]


def _print_what_the_terminal_cannot_show_as_escapes() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
